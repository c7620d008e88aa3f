"""Exports as the third Flatfile chat database: what is meant and nothing else, each thing once, also while people talk.

What comes back from one is in test_legacy_flatfile_v3.py."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from storage.backend import Store
from storage.blobs import Blobs
from storage.exports import Export, Options
from storage.exports.exported import exported
from storage.model import Attachment, SessionContext
from storage.records import AuditEntry, Memory
from storage.sought import Sought
from tests.test_export_json import SESSION, here, line, talk

from .generating import NOON, PLACES, SENDERS

__all__ = ["here"]
BEN = SENDERS[1]
OF_BEN = SESSION.model_copy(
    update={
        "id": "s2",
        "channel": PLACES[2],
        "title": "Ben's divorce",
        "context": SessionContext(summary="Ben told of his divorce"),
        "participants": (BEN,),
    }
)


async def once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def unpacked(export: Export) -> dict[str, bytes]:
    data = b"".join([piece async for piece in exported(export)])
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert len(set(opened.namelist())) == len(opened.namelist())
        return {name: opened.read(name) for name in opened.namelist()}


@pytest.mark.parametrize(
    ("sought", "person"),
    [
        (Sought(session_ids=("s1",)), None),
        (Sought(people=("7",)), None),
        (Sought(channel_keys=("discord:100",)), None),
        (Sought(tags=("trip",)), None),
        (Sought(), "7"),
    ],
)
async def test_a_part_tells_nothing_of_the_rest(sought: Sought, person: str | None, here: tuple[Store, Blobs]) -> None:
    await talk(here[0], line(1))
    await here[0].save_session(SESSION.model_copy(update={"tags": ("trip",)}))
    await here[0].append(OF_BEN, line(2, session_id="s2", sender=BEN))
    divorce = Memory(id="x", at=NOON, type="semantic", audience="bot", subject="user:8", text="Ben has a divorce")
    await here[0].keep(divorce, AuditEntry(id="a", at=NOON, actor=BEN, action="divorce"))
    export = Export(*here, "v3", "sage", NOON, sought=sought, person=person, options=Options(complete=True))
    files = await unpacked(export)
    assert [json.loads(data)["id"] for name, data in files.items() if name.endswith("m1.json")] == ["m1"]
    assert not [name for name, data in files.items() if b"divorce" in data or "s2" in name or "system" in name]


async def test_a_session_that_somebody_speaks_in_meanwhile_is_there_once(here: tuple[Store, Blobs]) -> None:
    store, _ = here
    many = 202  # more than a page
    for number in range(many):
        closed = NOON if number else None
        told = SESSION.model_copy(
            update={"id": f"s{number}", "closed_at": closed, "last_at": NOON + timedelta(0, number)}
        )
        await store.append(told, line(number, session_id=told.id))
    data, times = b"", 0
    async for piece in exported(Export(store, None, "v3", "sage", NOON, options=Options(complete=True))):
        data += piece
        times += 1
        for number in range(3) if times in (1, 30, 600) else ():  # also in one that was closed
            at = NOON + timedelta(hours=times)
            told = SESSION.model_copy(update={"id": f"s{number}", "last_at": at})
            await store.append(told, line(100 * times + number, session_id=told.id, at=at))
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        names = opened.namelist()
        ordered = [json.loads(each)["file"] for each in opened.read("system/troupe/messages.jsonl").splitlines()]
        listed = [
            f"{name.removesuffix('index.jsonl')}{json.loads(each)['file']}"
            for name in names
            if name.endswith("index.jsonl")
            for each in opened.read(name).splitlines()
        ]
    assert len({*names}) == len(names)
    assert sum(name.endswith("/metadata.json") for name in names) == many
    assert times > 600
    assert sorted(listed) == sorted(ordered) == sorted(name for name in names if "000000_m" in name)


async def test_ids_that_make_the_same_name_stay_apart(here: tuple[Store, Blobs]) -> None:
    for id in ("a/b", "a?b", "a-b"):
        await here[0].append(SESSION.model_copy(update={"id": id}), line(1, id=f"m {id}", session_id=id))
    files = await unpacked(Export(*here, "v3", "sage", NOON))
    assert sum(name.endswith("/metadata.json") for name in files) == 3


async def test_a_damaged_file_is_left_out_rather_than_cut_short(here: tuple[Store, Blobs], tmp_path: Path) -> None:
    store, blobs = here
    big = b"x" * 5_000_000
    kept = [await blobs.keep(once(data), limit=len(big)) for data in (big, b"sound")]
    files = tuple(Attachment(type="file", name="f", url="https://x.example", blob=each.hash) for each in kept)
    await talk(store, line(1, parts=files))
    (tmp_path / "here" / "attachments" / kept[0].hash[:2] / kept[0].hash).write_bytes(big[:-1] + b"y")
    there = await unpacked(Export(*here, "v3", "sage", NOON))
    assert [data for name, data in there.items() if "/documents/" in name] == [b"sound"]
