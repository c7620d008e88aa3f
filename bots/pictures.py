"""Pictures made fit for a model: small enough, upright, one frame, and without what else their file says."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import TYPE_CHECKING, Any

import structlog

from .providers import Image

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

log = structlog.get_logger()

FORMATS = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/gif": "GIF",
    "image/webp": "WEBP",
    "image/bmp": "BMP",
    "image/avif": "AVIF",
}
"""The kinds of pictures that can be shown to a model, each by the name of the only decoder that may touch it."""
_LONGEST = 1568
"""Pixels of the longer side: what Anthropic's models look at, and below what OpenAI's do."""
_SHORTEST = 8
"""Pixels of the shorter side below which servers refuse a picture that shows nothing anyway."""
_PIXELS = 50_000_000
"""The largest picture whose file is opened."""
_BYTES = 134_217_728
"""The most memory that a picture's pixels may take."""
_SCANS = 50
"""Passes over a picture that its file may ask for; each takes the time of a whole picture."""
_LOSSLESS = 1 << 20
"""Bytes up to which a drawing or a screenshot stays free of JPEG's smears."""
_LARGEST = 3_500_000
"""Bytes of a picture that every provider takes."""


def fitted(data: bytes, media_type: str) -> Image | None:
    """The picture in a file of one of `FORMATS`; None when it cannot be read, is too small to show anything or too
    large to be opened. Blocks, for up to a second or two."""
    try:
        return _fitted(data, FORMATS[media_type])
    except Exception as error:  # decoders raise whatever a hostile file makes them stumble over
        log.info("picture.unreadable", media_type=media_type, error=type(error).__name__)
        return None


def _fitted(data: bytes, decoder: str) -> Image | None:
    from PIL import Image as pillow  # only bots that are shown pictures pay for it

    pillow.MAX_IMAGE_PIXELS = _PIXELS
    warnings.simplefilter("error", pillow.DecompressionBombWarning)
    with pillow.open(io.BytesIO(data), formats=(decoder,)) as opened:
        if data.count(b"\xff\xda") > _SCANS and decoder == "JPEG":
            return None
        if _cost(opened) > _BYTES:
            return None
        picture = _upright(_coloured(opened))
    if min(picture.size) < _SHORTEST:
        return None
    if decoder != "JPEG":
        written = _written(picture, format="PNG")
        if len(written) <= _LOSSLESS:
            return Image("image/png", written)
    return Image("image/jpeg", _as_jpeg(picture))


def _cost(opened: Picture) -> int:
    """The bytes of a picture's pixels while it is read; a JPEG is asked to be read at a fraction of its size."""
    width, height = opened.size
    if opened.info.get("progressive"):
        return width * height * 6  # read whole, as numbers of two bytes, whatever size is wanted in the end
    opened.draft("RGB", (_LONGEST, _LONGEST))
    width, height = opened.size
    return width * height * 4


def _coloured(opened: Picture) -> Picture:
    """The picture in plain colours, read from its file."""
    if opened.mode.startswith("I;16"):
        return opened.convert("I").point(lambda value: value / 256).convert("RGB")
    return opened.convert("RGBA" if opened.has_transparency_data else "RGB")


def _upright(picture: Picture) -> Picture:
    """The picture within its bounds, turned as its camera says, and nothing else that its file told."""
    from PIL import ImageOps

    picture.thumbnail((_LONGEST, _LONGEST))
    with contextlib.suppress(Exception):  # what a camera says may be damaged where the picture is not
        ImageOps.exif_transpose(picture, in_place=True)
    picture.info.clear()
    return picture


def _as_jpeg(picture: Picture) -> bytes:
    from PIL import Image as pillow

    plain = picture
    if picture.mode == "RGBA":
        plain = pillow.new("RGB", picture.size, "white")
        plain.paste(picture, mask=picture.getchannel("A"))
    return next(
        data
        for quality in (85, 60, 30)
        if len(data := _written(plain, format="JPEG", quality=quality)) <= _LARGEST or quality == 30
    )


def _written(picture: Picture, **how: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, **how)
    return file.getvalue()
