"""Pictures made fit for paper: small enough, upright, one frame, and in a form that every document takes."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageOps

_FORMS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "AVIF")
"""The only decoders that may touch what people sent."""
_LONGEST = 1400
"""Pixels of the longer side: more than a printed page shows."""
_PIXELS = 50_000_000


class Figure(NamedTuple):
    """A picture that can be shown, in pixels."""

    path: Path
    width: int
    height: int


@cache
def fitted(path: Path) -> Figure | None:
    """The picture in a file, written anew beside it; None when it cannot be shown."""
    try:
        return _fitted(path)
    except MemoryError:
        raise
    except Exception:  # decoders raise whatever a hostile file makes them stumble over
        return None


def _fitted(path: Path) -> Figure | None:
    Image.MAX_IMAGE_PIXELS = _PIXELS
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    data = path.read_bytes()
    with Image.open(io.BytesIO(data), formats=_FORMS) as opened:
        if opened.width * opened.height > _PIXELS:
            return None
        photo = opened.format == "JPEG"
        if photo:
            opened.draft("RGB", (_LONGEST, _LONGEST))
        picture = opened.convert("RGBA" if opened.has_transparency_data else "RGB")
    picture.thumbnail((_LONGEST, _LONGEST))
    with contextlib.suppress(Exception):  # what a camera says may be damaged where the picture is not
        ImageOps.exif_transpose(picture, in_place=True)
    picture.info.clear()
    target = path.with_name(f"{path.name}.{'jpg' if photo else 'png'}")
    if photo:
        picture.convert("RGB").save(target, format="JPEG", quality=85)
    else:
        picture.save(target, format="PNG")
    return Figure(target, *picture.size)


def unseen(count: int) -> Iterator[str]:
    """What is to be said of pictures that could not be shown."""
    if count:
        yield (
            "1 picture cannot be shown, and is named instead."
            if count == 1
            else (f"{count} pictures cannot be shown, and are named instead.")
        )
