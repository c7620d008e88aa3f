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
from storage.blobs import Blobs
from storage.exports import Form, Options
from storage.exports.zip import zip_of
from storage.model import Attachment, Text
from storage.sought import EVERYTHING
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
    pieces = [piece async for piece in zip_of(*here, EVERYTHING, form, Options(), bot="sage", at=NOON)]
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


async def test_without_files_none_are_in_it(here: tuple[Store, Blobs]) -> None:
    await fill(*here)
    pieces = [piece async for piece in zip_of(here[0], None, EVERYTHING, "txt", Options(), bot="sage", at=NOON)]
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as opened:
        assert not [name for name in opened.namelist() if name.startswith("attachments/")]
        assert b"cat.png" in b"".join(map(opened.read, opened.namelist()))
