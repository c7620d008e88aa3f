"""Zips of exports: every member is what the manifest says, and names that people chose harm nobody."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from storage.backend import Store
from storage.blobs import Blobs, Damaged
from storage.exports import Export, Form, Options
from storage.exports.zip import zip_of
from storage.model import Attachment, Text
from storage.unpacking import wrong_with
from storage.zipping import begun
from tests.test_export_json import SESSION, here, line

from .generating import NOON, PLACES

__all__ = ["here"]
NAMES = ["cat.png", "../../etc/passwd", "CON", "a b?.txt", "x" * 300 + ".pdf", "файл\u202egnp.exe"]


async def once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def fill(store: Store, blobs: Blobs) -> list[str]:
    """Three sessions, two of them with names that become the same one; returns the hashes of the files."""
    hashes = []
    for number, name in enumerate(NAMES):
        blob = await blobs.keep(once(f"file {number}".encode()), limit=99)
        file = Attachment(type="file", name=name, url="https://x.example", blob=blob.hash, size=blob.size)
        session = SESSION.model_copy(
            update={"id": f"s{'?/:'[number % 3]}", "last_at": NOON + timedelta(hours=number), "channel": PLACES[3]}
        )
        await store.append(session, line(number, session_id=session.id, parts=(Text(text="look"), file, file)))
        hashes.append(blob.hash)
    lost = Attachment(type="file", name="lost", url="https://x.example", blob="0" * 64)
    await store.append(session, line(99, session_id=session.id, parts=(lost,)))
    return hashes


@pytest.mark.parametrize("form", ["md", "txt", "json", "html"])
async def test_every_member_is_what_the_manifest_says(form: Form, here: tuple[Store, Blobs]) -> None:
    hashes = await fill(*here)
    pieces = [piece async for piece in zip_of(Export(*here, form, "sage", NOON))]
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as opened:
        manifest = json.loads(opened.read("manifest.json"))
        assert (manifest["form"], manifest["sessions"], manifest["messages"]) == (form, 3, 7)
        assert {*opened.namelist()} == {*manifest["members"], "manifest.json"}
        for name, member in manifest["members"].items():
            data = opened.read(name)
            assert (len(data), hashlib.sha256(data).hexdigest()) == (member["size"], member["sha256"])
        names = opened.namelist()
        assert len({name.casefold() for name in names}) == len(names)
        assert sum(name.startswith("sessions/") for name in names) == 3
        assert all(".." not in Path(name).parts and len(name.encode()) < 255 and "\u202e" not in name for name in names)
        kept = {hashlib.sha256(opened.read(name)).hexdigest() for name in names if name.startswith("attachments/")}
        assert kept == set(hashes)
        if form == "html":
            page = opened.read(next(name for name in names if name.endswith(".html"))).decode()
            assert 'href="../attachments/' in page


@pytest.mark.parametrize("complete", [True, False])
async def test_a_file_that_turns_out_to_be_damaged_is_left_out_rather_than_cut_short(
    complete: bool, here: tuple[Store, Blobs], tmp_path: Path
) -> None:
    hashes = await fill(*here)
    data, options = b"", Options(complete=complete)
    async for piece in zip_of(Export(*here, "json", "sage", NOON, options=options)):
        if not data:
            for hash in hashes:
                (tmp_path / "here" / "attachments" / hash[:2] / hash).write_bytes(b"torn")
        data += piece
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert not [name for name in opened.namelist() if name.startswith("attachments/")]
        assert json.loads(opened.read("manifest.json"))["messages"] == 7


async def test_a_part_of_a_file_never_poses_as_all_of_it(here: tuple[Store, Blobs], tmp_path: Path) -> None:
    _, blobs = here
    small, big, gone = [
        await blobs.keep(once(data * size), limit=size) for data, size in ((b"s", 9), (b"b", 3 << 20), (b"g", 9))
    ]
    for blob in (small, big):
        (tmp_path / "here" / "attachments" / blob.hash[:2] / blob.hash).write_bytes(b"x" * blob.size)
    await blobs.remove(gone.hash)
    assert await begun(blobs, small.hash) is None
    assert await begun(blobs, gone.hash) is None
    chunks = await begun(blobs, big.hash)
    assert chunks is not None
    with pytest.raises(Damaged):
        async for _ in chunks:
            pass


def test_a_zip_of_very_many_files_can_be_read_back() -> None:
    with zipfile.ZipFile(io.BytesIO(), "w") as made:
        for number in range(100_001):
            made.writestr(zipfile.ZipInfo(f"attachments/{number}_file"), b"")
        made.writestr("manifest.json", b"{}")
        assert wrong_with(made) == ""


async def test_without_files_none_are_in_it(here: tuple[Store, Blobs]) -> None:
    await fill(*here)
    pieces = [piece async for piece in zip_of(Export(here[0], None, "txt", "sage", NOON))]
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as opened:
        assert not [name for name in opened.namelist() if name.startswith("attachments/")]
        assert b"cat.png" in b"".join(map(opened.read, opened.namelist()))
