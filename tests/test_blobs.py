"""Attachments by content: kept once, told by what they hold, whole or refused."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import os
import re
import tracemalloc
import wave
import zipfile
from collections.abc import AsyncGenerator, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.blobs import Blob, Blobs, Damaged, TooBig, orphans
from storage.errors import Unavailable
from storage.place import Folder, Missing, Place, open_place
from storage.sniff import HEAD, media_type

if TYPE_CHECKING:
    from tests.s3 import S3

pytest_plugins = ("tests.s3",)

LIMIT = 32 << 20
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return Folder(tmp_path / "blobs")
    server: S3 = request.getfixturevalue("s3")
    return open_place(server.corner(), server.options)


@pytest.fixture
def blobs(place: Place, tmp_path: Path) -> Blobs:
    return Blobs(place, tmp_path / "spool")


async def pieces(*chunks: bytes) -> AsyncGenerator[bytes, None]:
    for chunk in chunks:
        yield chunk


async def kept(blobs: Blobs, content: bytes) -> str:
    return (await blobs.keep(pieces(content), limit=LIMIT)).hash


async def read(blobs: Blobs, hash: str) -> bytes:
    return b"".join([chunk async for chunk in blobs.read(hash)])


async def hashes(blobs: Blobs, after: str = "") -> list[str]:
    return [hash async for hash in blobs.hashes(after)]


async def test_a_file_is_kept_under_the_hash_of_its_bytes(blobs: Blobs, place: Place) -> None:
    blob = await blobs.keep(pieces(PNG[:5], PNG[5:]), limit=LIMIT, name="cat.exe")
    assert blob == Blob(hash=hashlib.sha256(PNG).hexdigest(), media_type="image/png", size=48)
    assert await read(blobs, blob.hash) == PNG
    assert await blobs.size(blob.hash) == 48
    assert await blobs.sound(blob.hash)
    assert [name async for name in place.names()] == [f"{blob.hash[:2]}/{blob.hash}"]


async def test_an_empty_file_is_a_file(blobs: Blobs) -> None:
    blob = await blobs.keep(pieces(), limit=0)
    assert (blob.size, blob.media_type) == (0, "application/octet-stream")
    assert await read(blobs, blob.hash) == b""


async def test_the_same_file_is_written_once(tmp_path: Path) -> None:
    blobs = Blobs(Folder(tmp_path), tmp_path / "spool")
    first = await blobs.keep(pieces(PNG), limit=LIMIT, name="cat.png")
    (path,) = tmp_path.glob("*/" + first.hash)
    written = path.stat().st_ino
    assert await blobs.keep(pieces(PNG), limit=LIMIT, name="dog.png") == first
    assert path.stat().st_ino == written


async def test_of_the_same_file_sent_by_many_at_once_one_is_kept(blobs: Blobs) -> None:
    same = [blobs.keep(pieces(PNG, bytes(number // 10)), limit=LIMIT) for number in range(20)]
    found = {blob.hash for blob in await asyncio.gather(*same)}
    assert len(found) == 2
    assert await hashes(blobs) == sorted(found)
    assert [await blobs.sound(hash) for hash in found] == [True, True]


async def test_a_file_over_the_limit_is_refused_whole(blobs: Blobs, tmp_path: Path) -> None:
    asked = 0

    async def endless() -> AsyncGenerator[bytes, None]:
        nonlocal asked
        while True:
            asked += 1
            yield bytes(1 << 20)

    with pytest.raises(TooBig, match=r"^cat\.png is larger than the 3 MiB that are allowed: send a smaller one\.$"):
        await blobs.keep(endless(), limit=3 << 20, name="cat.png")
    assert asked == 4
    with pytest.raises(TooBig, match=r"^The file is larger than the 1,000 bytes"):
        await blobs.keep(pieces(bytes(1001)), limit=1000, name="\r\n\x1b")
    assert (await blobs.keep(pieces(bytes(1000)), limit=1000)).size == 1000
    assert len(await hashes(blobs)) == 1
    assert list((tmp_path / "spool").iterdir()) == []


async def test_a_file_whose_sender_hangs_up_leaves_nothing(blobs: Blobs, tmp_path: Path) -> None:
    async def torn() -> AsyncGenerator[bytes, None]:
        yield bytes(2 << 20)
        raise ConnectionResetError("the other side hung up")

    with pytest.raises(ConnectionResetError):
        await blobs.keep(torn(), limit=LIMIT)
    assert await hashes(blobs) == []
    assert list((tmp_path / "spool").iterdir()) == []


async def test_a_long_file_takes_little_memory(blobs: Blobs) -> None:
    async def chunks() -> AsyncGenerator[bytes, None]:
        for number in range(48 << 4):
            yield number.to_bytes(4, "big") * (1 << 14)

    tracemalloc.start()
    try:
        blob = await blobs.keep(chunks(), limit=48 << 20)
        async for _ in blobs.read(blob.hash):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert blob.size == 48 << 20
    # A bucket takes parts of 5 MiB: some on their way, one being read, and one being put together.
    assert peak < 30 << 20


async def test_what_is_not_kept_is_said(blobs: Blobs) -> None:
    nowhere = "0" * 64
    with pytest.raises(Missing, match=nowhere):
        await read(blobs, nowhere)
    assert await blobs.size(nowhere) is None
    assert await blobs.sound(nowhere) is False
    assert await blobs.remove(nowhere) is False


@pytest.mark.parametrize("hash", ["", "..", "A" * 64, "0" * 63, "0" * 65, "0" * 64 + "\n", "../" + "0" * 61])
async def test_what_is_not_a_hash_is_refused(blobs: Blobs, hash: str) -> None:
    with pytest.raises(ValueError, match="is not the hash of a file"):
        blobs.read(hash)
    for ask in (blobs.size, blobs.remove, blobs.sound):
        with pytest.raises(ValueError, match="is not the hash of a file"):
            await ask(hash)


@pytest.mark.parametrize("size", [48, 3 << 20])
async def test_a_flipped_byte_is_found_before_the_file_is_whole(blobs: Blobs, place: Place, size: int) -> None:
    content = os.urandom(size)
    hash = await kept(blobs, content)
    await place.put(f"{hash[:2]}/{hash}", pieces(b"\0" + content[1:] if content[0] else b"\1" + content[1:]))
    assert await blobs.sound(hash) is False
    got = 0

    async def take() -> None:
        nonlocal got
        async for chunk in blobs.read(hash):
            got += len(chunk)

    with pytest.raises(Damaged, match=f"{hash} in {place} is damaged: restore it"):
        await take()
    assert got < size


async def test_a_file_cut_short_is_mended_by_sending_it_again(blobs: Blobs, place: Place) -> None:
    hash = await kept(blobs, PNG)
    await place.put(f"{hash[:2]}/{hash}", pieces(PNG[:-1]))
    assert await blobs.sound(hash) is False
    assert await kept(blobs, PNG) == hash
    assert await read(blobs, hash) == PNG


async def test_hashes_are_sorted_and_other_files_left_out(blobs: Blobs, place: Place) -> None:
    told = sorted([await kept(blobs, bytes([number])) for number in range(6)])
    for name in ("readme", "ff/readme", "00/" + "f" * 64, "x/ff/" + "f" * 64):
        await place.put(name, pieces(b"x"))
    assert await hashes(blobs) == told
    assert await hashes(blobs, after=told[3]) == told[4:]
    assert await blobs.remove(told[0]) is True
    assert await hashes(blobs) == told[1:]


async def test_a_spool_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("not a folder")
    with pytest.raises(Unavailable, match="spool cannot take a file on its way"):
        await Blobs(Folder(tmp_path), tmp_path / "spool").keep(pieces(PNG), limit=LIMIT)


class Talk:
    """Messages that refer to blobs."""

    def __init__(self, used: Iterable[str]) -> None:
        self.used = set(used)
        self.pages: list[int] = []

    async def references(self, hashes: Sequence[str]) -> dict[str, int]:
        self.pages.append(len(hashes))
        return {hash: 2 for hash in hashes if hash in self.used}


async def test_what_no_message_refers_to_is_an_orphan(blobs: Blobs) -> None:
    told = sorted([await kept(blobs, bytes(number)) for number in range(7)])
    sizes = {hash: await blobs.size(hash) for hash in told}
    talk = Talk(told[::2])
    found = [orphan async for orphan in orphans(blobs, talk, page=3)]
    assert found == [(hash, sizes[hash]) for hash in told[1::2]]
    assert talk.pages == [3, 3, 1]
    async for hash, _ in orphans(blobs, talk, page=2):
        await blobs.remove(hash)
    assert await hashes(blobs) == told[::2]


# What it is


def zipped(*names: str, first: bytes = b"") -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        if first:
            archive.writestr("mimetype", first, zipfile.ZIP_STORED)
        for name in names:
            archive.writestr(name, "<xml/>" * 50)
    return held.getvalue()


def sound() -> bytes:
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(100))
    return held.getvalue()


OFFICE = ("[Content_Types].xml", "_rels/.rels", "docProps/app.xml")
ODT = b"application/vnd.oasis.opendocument.text"
OOXML = "application/vnd.openxmlformats-officedocument"
ISO = b"\0\0\0\x1cftyp%s\0\0\0\0isom%s%s"
BINARY = "application/octet-stream"
KINDS: list[tuple[bytes, str]] = [
    (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
    (b"GIF89a\1\0\1\0", "image/gif"),
    (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp"),
    (b"RIFF\x24\0\0\0AVI LIST", "video/x-msvideo"),
    (b"BM" + bytes(12) + b"\x28\0\0\0" + bytes(40), "image/bmp"),
    (b"BMW makes cars.", "text/plain"),
    (b"II*\0\x08\0\0\0", "image/tiff"),
    (b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0" + bytes(8), "image/vnd.microsoft.icon"),
    (ISO % (b"avif", b"mif1", b"miaf"), "image/avif"),
    (ISO % (b"mif1", b"avif", b"miaf"), "image/avif"),
    (ISO % (b"heic", b"mif1", b"heic"), "image/heic"),
    (ISO % (b"isom", b"avc1", b"mp41"), "video/mp4"),
    (ISO % (b"qt  ", b"qt  ", b"qt  "), "video/quicktime"),
    (ISO % (b"M4A ", b"mp42", b"M4A "), "audio/mp4"),
    (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\1\x42\x82\x84webm", "video/webm"),
    (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\1\x42\x82\x88matroska", "video/x-matroska"),
    (b"OggS\0\2" + bytes(22) + b"OpusHead", "audio/ogg"),
    (b"OggS\0\2" + bytes(22) + b"\x80theora", "video/ogg"),
    (b"ID3\4\0\0\0\0\0\0", "audio/mpeg"),
    (b"\xff\xfb\x90\x44" + bytes(20), "audio/mpeg"),
    (b"fLaC\0\0\0\x22", "audio/flac"),
    (sound(), "audio/wav"),
    (b"%PDF-1.7\n%\xe2\xe3", "application/pdf"),
    (zipped("cat.txt", "word/dog.txt"), "application/zip"),
    (zipped(), "application/zip"),
    (zipped(*OFFICE, "word/document.xml"), f"{OOXML}.wordprocessingml.document"),
    (zipped(*OFFICE, "xl/workbook.xml"), f"{OOXML}.spreadsheetml.sheet"),
    (zipped("_rels/.rels", "ppt/presentation.xml"), f"{OOXML}.presentationml.presentation"),
    (zipped("content.xml", first=ODT), ODT.decode()),
    (zipped("META-INF/container.xml", first=b"application/epub+zip"), "application/epub+zip"),
    (zipped("x", first=b"text/html"), "application/zip"),
    (gzip.compress(b"x"), "application/gzip"),
    (b"\x28\xb5\x2f\xfd\x04\0", "application/zstd"),
    (b"7z\xbc\xaf\x27\x1c\0\4", "application/x-7z-compressed"),
    (b"\x7fELF\2\1\1", "application/x-executable"),
    (b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0", "application/vnd.microsoft.portable-executable"),
    (b"MZ was his name.", "text/plain"),
    (b'<?xml version="1.0"?>\n<!-- x -->\n<svg xmlns="http://www.w3.org/2000/svg">', "image/svg+xml"),
    (b"\xef\xbb\xbf  <!DOCTYPE html><p>", "text/html"),
    (b"<!-- hello --><HTML>", "text/html"),
    (b"Write <html> or <svg> first.", "text/plain"),
    (b'<?xml version="1.0"?><feed/>', "application/xml"),
    (b' {"a": [1, 2]}\n', "application/json"),
    (b'[{"a": 1}]', "application/json"),
    (b"[" * 60_000, "text/plain"),
    (b'[{"key": 1},' + b'{"key": 2},' * 10_000, "application/json"),
    (b"[2024-01-08] it rained", "text/plain"),
    (b"42", "text/plain"),
    ("Grüße, שלום, 👋\r\n\t\x1b[1m".encode(), "text/plain"),
    ("é".encode() * HEAD, "text/plain"),
    (b"x" + "é".encode() * HEAD, "text/plain"),
    ("Grüße".encode("latin-1"), BINARY),
    (b"text\0with a hole", BINARY),
    (bytes(64), BINARY),
    (b"", BINARY),
]


@pytest.mark.parametrize(("content", "kind"), KINDS, ids=[f"{at} {kind}" for at, (_, kind) in enumerate(KINDS)])
def test_a_file_is_known_by_what_it_holds(content: bytes, kind: str) -> None:
    assert media_type(content[:HEAD]) == kind


STARTS = st.sampled_from([content[:64] for content, _ in KINDS])


@given(st.builds(lambda start, cut, rest: start[:cut] + rest, STARTS, st.integers(0, 64), st.binary(max_size=64)))
def test_whatever_comes_is_given_a_type(content: bytes) -> None:
    assert re.fullmatch(r"[a-z]+/[a-z0-9.+-]+", media_type(content))
