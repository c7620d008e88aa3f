"""Forgetting somebody whose talk came from other programs: their own room on the web, and what stands beside it."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest

from bots.handing_over import packed
from storage import connect
from storage.archive import Archive
from storage.backend import Store
from storage.blobs import Blobs
from storage.forgetting import forget
from storage.forgotten_list import LIST
from storage.model import Channel, Message, Sender, Session, Text
from storage.place import Folder
from storage.records import Memory, Run
from storage.rewriting import rewrite_without

MARK = "xyzzyplugh"
NOON = datetime(2024, 1, 8, 12, tzinfo=UTC)
EVE, BEN = (Sender(type="user", id=id, name=name) for id, name in (("77", f"{MARK}-eve"), ("8", "Ben")))
SAGE = Sender(type="persona", id="sage", name="Sage")
EVES = Channel(front="web", kind="web", id="chatgpt-77", name=f"ChatGPT of {EVE.name}", parent_id="77")
BENS = Channel(front="web", kind="web", id="chatgpt-8", name="ChatGPT of Ben", parent_id="8")
HALL = Channel(front="web", kind="web", id="panels", name="panels")


async def say(store: Store, session: Session, id: str, sender: Sender, text: str) -> None:
    role: Literal["user", "assistant", "tool"] = "user" if sender.type == "user" else "assistant"
    role = "tool" if sender.type == "system" else role
    told = Message(id=id, session_id=session.id, role=role, sender=sender, parts=(Text(text=text),), at=NOON)
    await store.append(session, told)


async def moved_in(store: Store) -> None:
    """Eve's room with a tool that spoke there, another in which she said nothing, and a panel with Ben."""
    given = {"opened_at": NOON, "last_at": NOON}
    own = Session(id="own", channel=EVES, title=MARK, metadata={"feedback": MARK}, participants=(EVE,), **given)
    await say(store, own, "q", EVE, MARK)
    await say(store, own, "t", Sender(type="system", id="browser", name="browser"), f"statement of {MARK}")
    silent = Session(id="silent", channel=EVES, title=MARK, **given)
    await say(store, silent, "a", SAGE, f"what {MARK} has uploaded")
    panel = Session(id="panel", channel=HALL, participants=(EVE, BEN), **given)
    await say(store, panel, "p", BEN, "ordinary words")
    await say(store, Session(id="bens", channel=BENS, **given), "b", BEN, "words of Ben")
    room = {"at": NOON, "type": "semantic", "text": MARK, "subject": "project:1"}
    await store.keep(
        Memory(id="project", audience=EVES.key, **room),
        Memory(id="uploaded", audience="bot", source="silent", **room),
        Memory(id="bens", audience=BENS.key, **{**room, "text": "tea"}),
        Run(id="r1", at=NOON, type="panel", session_id="own", state="done", data={"question": MARK}),
        Run(id="r2", at=NOON, type="panel", session_id="panel", state="done", data={"insights": [MARK]}),
        Run(id="r3", at=NOON, type="workflow", state="done", data={"user": "77", "wish": MARK}),
        Run(id="r4", at=NOON, type="workflow", state="done", data={"user": "8"}),
    )


@pytest.mark.parametrize("type", ["sqlite", "file"])
async def test_a_room_on_the_web_goes_with_whose_it_is(tmp_path: Path, type: Literal["sqlite", "file"]) -> None:
    store = await connect("sage", tmp_path, type=type)
    await moved_in(store)
    done = await forget(store, "77", NOON + timedelta(days=1))
    assert (done.sessions, done.memories, done.records) == (2, 2, 3)
    assert {each.key for each in await store.channels()} == {HALL.key, BENS.key}
    assert {each.id for each in (await store.browse(deleted=True)).items} == {"panel", "bens"}
    assert [each.id for each in (await store.records(Run)).items] == ["r4"]
    assert [each.id for each in (await store.records(Memory)).items] == ["bens"]
    await store.close()
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != LIST]
    assert [path.name for path in files if MARK in str(path) or MARK.encode() in path.read_bytes()] == []


async def test_what_is_remembered_for_such_a_room_is_handed_over(tmp_path: Path) -> None:
    store = await connect("sage", tmp_path)
    await moved_in(store)
    blobs = Blobs(Folder(tmp_path / "attachments"), tmp_path)
    path = tmp_path / "eve.zip"
    path.write_bytes(b"".join([chunk async for chunk in packed(store, blobs, "77", NOON, files=False)]))
    await store.close()
    with zipfile.ZipFile(path) as taken:
        assert {each["id"] for each in json.loads(taken.read("memories.json"))} == {"project", "uploaded"}
        assert {each["id"] for each in json.loads(taken.read("sessions.json"))} == {"own", "silent", "panel"}


async def test_an_archive_of_such_a_room_is_written_anew_without_it(tmp_path: Path) -> None:
    store = await connect("sage", tmp_path / "sage")
    await moved_in(store)
    silent = await store.session("silent")
    assert silent
    archive = Archive(tmp_path / "old", bot="sage", program="0", at=NOON)
    await archive.add(store, silent)
    await archive.finish()
    await store.close()
    (path,) = (tmp_path / "old").glob("*.zip")
    assert await rewrite_without(path, "77", NOON + timedelta(days=1), tmp_path / "work")
    assert not path.exists()
