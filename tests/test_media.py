"""Files beside messages: kept once, shown to models within limits, and harmless whatever they hold."""

from __future__ import annotations

import asyncio
import io
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image

from bots.community_settings import MediaSettings
from bots.media import Media, MediaError
from bots.prompt import tokens
from bots.providers import Image as Shown
from bots.providers import Line, Prompt
from bots.providers.offline import Offline
from storage.amendments import amended
from storage.blobs import Blobs
from storage.model import Attachment, Message, Sender, Text
from storage.place import Folder

NOW = datetime(2026, 3, 2, tzinfo=UTC)
ANA = Sender(type="user", id="1", name="Ana")
ELF = b"\x7fELF" + bytes(100)


class Desk:
    """A `Media` over files that a front holds, each under its name."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.files: dict[str, bytes | Exception] = {}
        self.fetched: list[str] = []
        self.open = 0
        self.blobs = Blobs(Folder(root / "blobs"), root)
        self.media = Media(self.blobs, MediaSettings(**settings))
        self.media.source("discord", self.fetch)

    async def fetch(self, attachment: Attachment, origin: str | None) -> AsyncGenerator[bytes, None]:
        self.fetched.append(attachment.name)
        self.open += 1
        try:
            held = self.files[attachment.name]
            if isinstance(held, Exception):
                raise held
            for at in range(0, len(held), 1000):
                yield held[at : at + 1000]
        finally:
            self.open -= 1

    def message(self, files: Mapping[str, bytes | Exception], says: Mapping[str, int] | None = None) -> Message:
        """A message with these files beside it; `says` are sizes that the front gives wrongly."""
        self.files |= files
        beside = tuple(
            Attachment(
                type="file",
                name=name,
                url=f"https://cdn.invalid/{name}?ex=1",
                size=(says or {}).get(name, len(held) if isinstance(held, bytes) else 1),
            )
            for name, held in files.items()
        )
        parts = (Text(text="look"), *beside)
        return Message(id="m", origin="discord:1:2", session_id="s", role="user", sender=ANA, parts=parts, at=NOW)

    async def kept(self, message: Message) -> Message:
        """The message once its files were taken."""
        for file in await self.media.take(message):
            message = amended(message, file)
        return message

    async def beside(self, **files: bytes) -> tuple[Attachment, ...]:
        return (await self.kept(self.message(files))).attachments

    async def seen(self, data: bytes) -> Image.Image | None:
        """A picture as a model would be shown it."""
        shown = [*(await self.media.images(await self.beside(picture=data))).values()]
        return Image.open(io.BytesIO(shown[0].data)) if shown else None

    async def hashes(self) -> list[str]:
        return [hash async for hash in self.blobs.hashes()]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def picture(
    size: tuple[int, int] = (40, 20), form: str = "PNG", mode: str = "RGB", colour: Any = "red", **how: Any
) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, colour).save(file, form, **how)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(side: int) -> bytes:
    """A PNG of a few bytes that says it has that many pixels a side, and a good beginning of them."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(100_000))) + chunk(b"IEND", b"")


async def test_a_file_is_fetched_once_kept_by_content_and_known_by_its_bytes(desk: Desk) -> None:
    message = await desk.kept(desk.message({"notes.txt": picture()}))
    file = message.attachments[0]
    assert (file.type, file.media_type, file.size) == ("image", "image/png", len(picture()))
    assert await desk.hashes() == [file.blob]
    assert await desk.media.take(message) == []
    assert desk.fetched == ["notes.txt"]


async def test_the_same_file_under_two_names_is_kept_once(desk: Desk) -> None:
    one, other = await desk.beside(**{"a.txt": b"words", "b.txt": b"words"})
    assert one.blob == other.blob
    assert len(await desk.hashes()) == 1


async def test_a_file_that_says_it_is_too_large_is_not_even_asked_for(tmp_path: Path) -> None:
    desk = Desk(tmp_path, limit=100)
    assert await desk.media.take(desk.message({"big": bytes(101), "small": bytes(100)})) != []
    assert desk.fetched == ["small"]


async def test_a_file_that_is_larger_than_it_says_leaves_nothing_behind(tmp_path: Path) -> None:
    desk = Desk(tmp_path, limit=5000)
    assert await desk.media.take(desk.message({"big": bytes(100_000)}, says={"big": 10})) == []
    assert await desk.hashes() == []
    assert desk.open == 0, "the rest of it is not waited for"


async def test_of_many_files_the_first_are_taken(tmp_path: Path) -> None:
    desk = Desk(tmp_path, count=2)
    files = {f"{n}.txt": b"%d" % n for n in range(5)}
    assert len(await desk.media.take(desk.message(files))) == 2
    assert sorted(desk.fetched) == ["0.txt", "1.txt"]


@pytest.mark.parametrize(
    ("refuse", "held"), [(None, ELF), (("image/*",), picture()), (("text/html",), b"<!doctype html><p>hi")]
)
async def test_a_refused_kind_is_told_by_its_bytes_whatever_its_name(
    tmp_path: Path, refuse: tuple[str, ...] | None, held: bytes
) -> None:
    desk = Desk(tmp_path, **({"refuse": refuse} if refuse else {}))
    taken = await desk.kept(desk.message({"holiday.mp3": held, "fine.txt": b"fine"}))
    assert [file.blob is not None for file in taken.attachments] == [False, True]
    assert len(await desk.hashes()) == 1


@pytest.mark.parametrize("trouble", [MediaError("Gone."), ValueError("a fault of ours"), OSError(5, "network")])
async def test_one_file_that_cannot_be_had_costs_no_other(desk: Desk, trouble: Exception) -> None:
    taken = await desk.kept(desk.message({"a": trouble, "b": b"here"}))
    assert [file.blob is not None for file in taken.attachments] == [False, True]


async def test_files_of_a_front_that_gives_none_stay_there(desk: Desk) -> None:
    message = desk.message({"a": b"x"}).model_copy(update={"origin": "terminal:1:2"})
    assert await desk.media.take(message) == []
    assert await desk.media.take(message.model_copy(update={"origin": None})) == []


async def test_who_gives_up_leaves_no_fetch_open(desk: Desk) -> None:
    under_way = asyncio.Event()

    async def endless(attachment: Attachment, origin: str | None) -> AsyncGenerator[bytes, None]:
        desk.open += 1
        try:
            while True:
                yield b"x"
                under_way.set()
                await asyncio.sleep(0)
        finally:
            desk.open -= 1

    desk.media.source("discord", endless)
    taking = asyncio.create_task(desk.media.take(desk.message({str(n): b"x" for n in range(9)})))
    await under_way.wait()
    assert 1 <= desk.open <= 4, "a few at a time"
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert desk.open == 0
    assert await desk.hashes() == []


async def test_a_large_picture_is_made_smaller_and_keeps_its_shape(desk: Desk) -> None:
    seen = await desk.seen(picture((3000, 1500), "JPEG"))
    assert seen is not None
    assert seen.size == (1568, 784)


async def test_a_photo_stands_upright_and_tells_nothing_of_where_it_was_taken(desk: Desk) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    exif[ExifTags.Base.Make] = "Spyglass"
    photo = picture((60, 30), "JPEG", exif=exif, comment=b"Spyglass of Ana")
    shown = [*(await desk.media.images(await desk.beside(photo=photo))).values()]
    assert Image.open(io.BytesIO(shown[0].data)).size == (30, 60)
    assert b"Spyglass" in photo
    assert b"Spyglass" not in shown[0].data
    assert not Image.open(io.BytesIO(shown[0].data)).getexif()


async def test_of_an_animation_the_first_frame_is_shown(desk: Desk) -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("green", "blue")]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    seen = await desk.seen(file.getvalue())
    assert seen is not None
    assert seen.convert("RGB").getpixel((5, 5)) == (0, 128, 0)
    assert getattr(seen, "n_frames", 1) == 1


@pytest.mark.parametrize(
    ("form", "mode", "colour"),
    [
        ("PNG", "RGBA", (255, 0, 0, 40)),
        ("PNG", "LA", (200, 40)),
        ("PNG", "P", 1),
        ("PNG", "1", 1),
        ("PNG", "I;16", 40_000),
        ("JPEG", "CMYK", (0, 200, 200, 0)),
        ("JPEG", "L", 100),
        ("WEBP", "RGBA", (255, 0, 0, 40)),
        ("BMP", "RGB", "red"),
        ("AVIF", "RGB", "red"),
    ],
)
async def test_every_way_to_keep_colours_can_be_shown(desk: Desk, form: str, mode: str, colour: Any) -> None:
    seen = await desk.seen(picture((40, 20), form, mode, colour))
    assert seen is not None
    assert seen.format in ("PNG", "JPEG")
    assert seen.mode == ("RGBA" if mode in ("RGBA", "LA") else "RGB")


async def test_what_is_shown_is_small_enough_for_every_provider(desk: Desk) -> None:
    noise = io.BytesIO()
    Image.frombytes("RGBA", (600, 700), random.Random(1).randbytes(4 * 600 * 700)).save(noise, "PNG")
    shown = [*(await desk.media.images(await desk.beside(noise=noise.getvalue()))).values()]
    assert shown[0].media_type == "image/jpeg"
    assert len(shown[0].data) < 3_500_000


def slow(scans: int) -> bytes:
    """A progressive JPEG that asks to be gone over again and again."""
    whole = picture((400, 400), "JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * scans + whole[-2:]


HARMLESS: dict[str, bytes] = {
    "a bomb": bomb(60_000),
    "a bomb that stays below the pixels allowed": bomb(6_900),
    "a picture of endless passes": slow(5_000),
    "a torn picture": picture((400, 400), "JPEG")[:-400],
    "a torn drawing": picture((400, 400))[:-60],
    "only a beginning": b"\x89PNG\r\n\x1a\n" + bytes(40),
    "a photo of nothing": b"\xff\xd8\xff" + bytes(4000),
    "a line": picture((1, 4000)),
    "a drawing in XML": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'><script>alert(1)</script></svg>",
    "a page": b"<!doctype html><script>alert(1)</script>",
    "nothing": b"",
    "a pretender": b"GIF89a<script>alert(1)</script>",
    "a metafile": b"\xd7\xcd\xc6\x9a" + bytes(100),
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n(%pipe%id) (w) file /DCTDecode filter\n",
}


@pytest.mark.parametrize("name", HARMLESS)
async def test_what_is_no_picture_is_shown_as_none_and_breaks_nothing(desk: Desk, name: str) -> None:
    bad, good = await desk.beside(bad=HARMLESS[name], good=picture())
    assert len(await desk.media.images([bad, good])) == 1
    liar = bad.model_copy(update={"media_type": "image/jpeg"})
    assert await desk.media.images([liar]) == {}


async def test_only_so_many_pictures_are_shown_and_none_twice(tmp_path: Path) -> None:
    desk = Desk(tmp_path, images=2)
    files = await desk.beside(a=picture(), b=picture(), c=picture(colour="blue"), d=picture(colour="green"))
    assert len(await desk.media.images(files[:2])) == 1
    assert len(await desk.media.images(files)) == 2


async def test_a_picture_that_storage_lost_is_left_out(desk: Desk) -> None:
    (file,) = await desk.beside(a=picture())
    assert file.blob
    await desk.blobs.remove(file.blob)
    assert await desk.media.images([file]) == {}
    assert await desk.media.texts([file.model_copy(update={"media_type": "text/plain"})]) == {}


async def test_texts_and_code_are_read_whatever_they_are_called(desk: Desk) -> None:
    files = await desk.beside(a=b"print('hi')\r\n", b=b'{"a": 1}', c=b"<!doctype html><p>hi", d=picture(), e=ELF[:3])
    texts = await desk.media.texts(files)
    assert [texts.get(file.blob or "") for file in files[:3]] == ["print('hi')\n", '{"a": 1}', "<!doctype html><p>hi"]
    assert files[3].blob not in texts


async def test_a_long_text_is_cut_the_same_way_each_time_and_says_so(tmp_path: Path) -> None:
    desk = Desk(tmp_path, text_tokens=100)
    (file,) = await desk.beside(log="".join(f"line {n}\n" for n in range(500)).encode())
    first = await desk.media.texts([file])
    text = first[file.blob or ""]
    assert first == await Media(desk.blobs, MediaSettings(text_tokens=100)).texts([file])
    assert text.startswith("line 0\nline 1\n")
    body, _, end = text.rpartition("\n")
    assert end == f"… {file.size - len(body):,} more characters"
    assert tokens(body) <= 100


async def test_the_rest_of_a_huge_text_is_told_without_reading_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path, text_tokens=100)
    (file,) = await desk.beside(log=b"0123456789\n" * 300_000)
    body, _, end = (await desk.media.texts([file]))[file.blob or ""].rpartition("\n")
    assert end == f"… {3_300_000 - len(body):,} more bytes"


async def test_texts_of_one_message_share_the_room(tmp_path: Path) -> None:
    desk = Desk(tmp_path, text_tokens=250)
    files = await desk.beside(a=b"a" * 600, b=b"b" * 600, c=b"c" * 600)
    texts = await desk.media.texts(files)
    assert [len(texts.get(file.blob or "", "")) > 0 for file in files] == [True, True, False]
    assert "more characters" in texts[files[1].blob or ""]
    assert await Desk(tmp_path, text_tokens=0).media.texts(files) == {}


async def test_controls_in_a_text_do_not_reach_a_model(desk: Desk) -> None:
    (file,) = await desk.beside(a="\x1b[31mred\x9b\ttab ünï 漢 🦀\n".encode())
    assert (await desk.media.texts([file]))[file.blob or ""] == "[31mred\ttab ünï 漢 🦀\n"


def test_only_who_is_shown_pictures_pays_for_reading_them() -> None:
    code = "import sys, bots.media, bots.discord.files; print('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"False\n"


@pytest.mark.parametrize("beside", [(Shown("image/png", picture()),), ()])
async def test_the_offline_provider_says_that_it_cannot_look(beside: tuple[Shown, ...]) -> None:
    line = Line("user", "(It is Monday.)\nAna: [image: cat.png, 1 KB]", beside)
    prompt = Prompt("You are Sage.", (line,), "")
    said = "".join([chunk.text async for chunk in Offline(None, now=lambda: NOW).stream(prompt)])
    assert said.startswith("I cannot look at pictures without a model.")
