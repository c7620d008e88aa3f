"""The files backend's own promises: what lies where, what an edit by hand does, and an index made anew."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from storage.amendments import Edited, Pinned, Reacted
from storage.backend import Page
from storage.backends.files import FilesStore
from storage.errors import RootInUse, Unavailable
from storage.model import Channel, Receipt, SessionContext
from storage.records import AuditEntry, Memory, Profile, Run, Spent, Vector
from tests.contracts.samples import (
    ANN,
    GENERAL,
    NOON,
    PRIVATE,
    answer,
    later,
    memory,
    message,
    picture,
    reaction,
    said,
    session,
    words,
)

Open = Callable[[], Awaitable[FilesStore]]
BLOB = "ab" * 32
CALLED = "2024-01-08_12-00-00_k3f9"


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """A root in a folder that holds nothing else."""
    return tmp_path / "sage"


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Open]:
    opened: list[FilesStore] = []

    async def enter() -> FilesStore:
        for each in opened:
            await each.close()
        opened.append(await FilesStore.open_files(tmp_path, "sage"))
        return opened[-1]

    yield enter
    for each in opened:
        await each.close()


def tree(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def told(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


async def talk(store: FilesStore) -> None:
    """Two channels and a DM, whose messages come in turn, and something of everything else."""
    other = Channel(front="web", id="100", kind="web", name="general")
    await store.keep_channel(Channel(front="discord", id="900", kind="channel", name="silent"))
    for number in range(1, 7):
        within, channel = (("s1", GENERAL), ("s2", PRIVATE), ("s3", other))[number % 3]
        asked = said(number, f"tea number {number}", session_id=within, origin=f"{channel.key}:{number}")
        await store.append(session(within, channel=channel, last_at=later(number)), asked)
    kept = await store.session("s2")
    assert kept is not None
    replied = answer(10, 1, session_id="s2", at=later(10))
    await store.append(kept, replied)
    await store.append(kept, answer(11, 1, session_id="s2", at=later(11)))
    await store.keep_receipts("m10", (Receipt(origin="discord:200:50", page=0),))
    await store.amend("m1", Edited(parts=words("coffee after all"), at=later(20)))
    await store.amend("m2", Reacted(reaction=reaction()))
    await store.amend("m3", Pinned())
    await store.remove_messages(["m11", "m4"])
    await store.keep_channel(GENERAL.model_copy(update={"name": "lounge"}))
    await store.save_session(kept.model_copy(update={"title": "Tea", "last_at": later(3), "closed_at": later(99)}))
    await store.keep(
        *(memory(f"k{number}", number, 1.0, importance=0.0, at=later(number)) for number in range(3)),
        Run(id="r1", at=NOON, type="panel", state="open"),
        Run(id="r1", at=later(1), type="panel", state="done", session_id="s1"),
        Profile(id="7", at=NOON, name="Ann", preferences={"tea": "green"}),
        AuditEntry(id="a1", at=NOON, actor=ANN, action="looked"),
    )


async def everything(store: FilesStore) -> dict[str, object]:
    """What every method of the contract says."""
    browsed = await store.browse(deleted=True)
    ids = [each.id for each in browsed.items]
    read = await store.read(deleted=True)
    kinds = (Memory, Run, Profile, AuditEntry, Spent)
    records: list[Page[Any]] = [await store.records(kind) for kind in kinds]
    return {
        "channels": await store.channels(),
        "sessions": await store.sessions(),
        "browsed": browsed,
        "read": read,
        "messages": [await store.messages(each) for each in ids],
        "one": [await store.message(each.id) for each in read.items],
        "found": [await store.find(each.origin) for each in read.items if each.origin],
        "page": await store.find("discord:200:50"),
        "idle": await store.idle_sessions(later(10**6)),
        "search": await store.search("tea OR coffee"),
        "references": await store.references([BLOB]),
        "pinned": await store.pinned(ids),
        "sizes": await store.sizes(ids),
        "records": [page.items for page in records],
        "nearest": await store.nearest(Vector(model="small", values=(1.0, 0.2)), [GENERAL.key]),
        "spending": [await store.spending("user", NOON, later(999)), await store.spending("channel", NOON, later(999))],
        "counts": await store.counts(),
    }


# What lies where


async def test_a_conversation_lies_in_folders_that_people_can_read(door: Open, tmp_path: Path) -> None:
    store = await door()
    about = session(CALLED, title="Tea", context=SessionContext(summary="They like green tea."), last_at=later(2))
    await store.append(about, said(1, "Grüner Tee, bitte ☕", session_id=CALLED))
    await store.append(about, answer(2, 1, session_id=CALLED))
    await store.append(session("s2", channel=PRIVATE), message(3, "s2"))
    await store.keep(Profile(id="7", at=NOON, name="Ann"), memory("k1"))
    await store.close()
    home = tmp_path / "channels" / "general_100"
    assert [path for path in tree(tmp_path) if "/" in path] == [
        "channels/general_100/2024-01-08_12-00-00_k3f9/messages.jsonl",
        "channels/general_100/2024-01-08_12-00-00_k3f9/session_meta.json",
        "channels/general_100/channel.json",
        "dms/ann_7/channel.json",
        "dms/ann_7/s2/messages.jsonl",
        "dms/ann_7/s2/session_meta.json",
        "memory/memories.jsonl",
        "users/7/profile.json",
    ]
    question, clock, reply = told(home / CALLED / "messages.jsonl")
    assert (question["parts"][0]["text"], question["sender"]["name"]) == ("Grüner Tee, bitte ☕", "Ann")
    assert "Grüner Tee, bitte ☕" in (home / CALLED / "messages.jsonl").read_text("utf-8")
    assert reply["reply_to"] == "m1"
    assert clock == {"last_at": "2024-01-08T12:00:02.000000Z"}
    meta = json.loads((home / CALLED / "session_meta.json").read_text("utf-8"))
    assert (meta["title"], meta["context"]["summary"]) == ("Tea", "They like green tea.")
    index = json.loads((tmp_path / "session_index.json").read_text("utf-8"))
    assert [(each["folder"], each["messages"]) for each in index] == [
        ("channels/general_100/2024-01-08_12-00-00_k3f9", 2),
        ("dms/ann_7/s2", 1),
    ]
    assert [each["name"] for each in json.loads((tmp_path / "channels.json").read_text("utf-8"))] == ["general", "ann"]
    assert not [path for path in tmp_path.rglob("*") if path.stat().st_mode & 0o077]


async def test_a_closed_sessions_folder_says_how_long_it_took(door: Open, tmp_path: Path) -> None:
    store = await door()
    await store.append(session(last_at=later(60)), message(60))
    closed = session(last_at=later(60), closed_at=later(400))
    await store.save_session(closed)
    home = tmp_path / "channels" / "general_100"
    assert sorted(path.name for path in home.iterdir()) == ["channel.json", "s1_60s"]
    await store.append(session(last_at=later(500)), message(500))
    assert sorted(path.name for path in home.iterdir()) == ["channel.json", "s1"]
    store = await door()
    assert await store.session("s1") == session(last_at=later(500), message_count=2)


async def test_closing_a_session_leaves_one_line_for_each_message(door: Open, tmp_path: Path) -> None:
    store = await door()
    await store.append(session(last_at=later(1)), message(1))
    await store.append(session(last_at=later(1)), answer(2, 1))
    await store.keep_receipts("m2", (Receipt(origin="discord:100:3", page=0),))
    await store.amend("m1", Edited(parts=words("better so"), at=later(3)))
    file = tmp_path / "channels" / "general_100" / "s1" / "messages.jsonl"
    assert [next(iter(line)) for line in told(file)] == ["id", "id", "receipts", "amend"]
    before = await everything(store)
    await store.save_session(session(last_at=later(1), closed_at=later(9)))
    lines = told(file.parent.with_name("s1_1s") / "messages.jsonl")
    assert [line["id"] for line in lines] == ["m1", "m2"]
    (tmp_path / "index.db").unlink()
    store = await door()
    assert (await everything(store))["read"] == before["read"]


async def test_a_renamed_channel_keeps_its_history_together(door: Open, tmp_path: Path) -> None:
    store = await door()
    await store.append(session(), message(1))
    renamed = await store.keep_channel(GENERAL.model_copy(update={"name": "lounge"}))
    await store.append(session("s2", channel=renamed), message(2, "s2"))
    await store.close()
    assert sorted(path.name for path in (tmp_path / "channels" / "general_100").iterdir()) == [
        "channel.json",
        "s1",
        "s2",
    ]
    (listed,) = json.loads((tmp_path / "channels.json").read_text("utf-8"))
    assert (listed["name"], listed["past_names"]) == ("lounge", ["general"])
    (tmp_path / "index.db").unlink()
    (tmp_path / "channels.json").unlink()
    assert await (await door()).channel(GENERAL.key) == renamed


async def test_attachments_are_shown_beside_their_messages(door: Open, tmp_path: Path) -> None:
    (tmp_path / "attachments" / "ab").mkdir(parents=True)
    (tmp_path / "attachments" / "ab" / BLOB).write_bytes(b"meow")
    store = await door()
    await store.append(session(), message(1, parts=(picture(BLOB, name="../my cat.png"),)))
    await store.append(session(), message(2, parts=(picture("../../etc/passwd"),)))
    shown = tmp_path / "channels" / "general_100" / "s1" / "attachments"
    assert {path.name: path.read_bytes() for path in shown.iterdir()} == {"--my-cat_abababab.png": b"meow"}
    await store.remove_messages(["m1"])
    assert list(shown.iterdir()) == []


async def test_the_lists_are_written_while_the_store_runs(door: Open, tmp_path: Path) -> None:
    store = await door()
    for number in range(60):
        await store.append(session(f"s{number}"), message(number, f"s{number}"))
    assert len(json.loads((tmp_path / "session_index.json").read_text("utf-8"))) > 20


@pytest.mark.parametrize(
    "name", ["..", "a/b", "/etc/passwd", "x" * 300, "京" * 200, "🦀", "NUL\0", "S1", "con", ".hidden", "", "a b"]
)
async def test_hostile_names_stay_in_the_root(door: Open, tmp_path: Path, name: str) -> None:
    store = await door()
    channel = Channel(front="web", id=name, kind="web", name=name)
    await store.append(session(name, channel=channel, last_at=later(1)), message(1, name))
    await store.append(session("s1", last_at=later(2)), message(2, "s1"))
    await store.keep(Profile(id=name, at=NOON, name="odd"))
    before = await everything(store)
    assert [path.name for path in tmp_path.parent.iterdir()] == [tmp_path.name]
    await store.close()
    (tmp_path / "index.db").unlink()
    assert await everything(await door()) == before


async def test_names_that_look_alike_never_share_a_file(door: Open, tmp_path: Path) -> None:
    store = await door()
    for number, name in enumerate(("a/b", "a-b", "A-B", "a b")):
        channel = Channel(front="web", id=name, kind="web", name="room")
        await store.append(session(name, channel=channel, last_at=later(number)), message(number, name))
        await store.keep(Profile(id=name, at=NOON, name=name))
    await store.append(session("a-b_1s", channel=channel, last_at=later(9)), message(9, "a-b_1s"))
    await store.save_session(session("a-b", channel=channel, last_at=later(1), closed_at=later(2)))
    before = await everything(store)
    await store.close()
    (tmp_path / "index.db").unlink()
    assert await everything(await door()) == before


# The index can go


def delete(root: Path) -> None:
    (root / "index.db").unlink()


def overwrite(root: Path) -> None:
    (root / "index.db").write_bytes(b"Dear diary, " * 9000)


def cut(root: Path) -> None:
    os.truncate(root / "index.db", (root / "index.db").stat().st_size // 3)


def flip(root: Path) -> None:
    whole = (root / "index.db").read_bytes()
    (root / "index.db").write_bytes(whole[:20_000] + b"\xff" * 60_000 + whole[80_000:])


def nothing(root: Path) -> None:
    """The index is as it was."""


def copy(root: Path) -> None:
    for path in root.rglob("*"):
        os.utime(path, (0, 0))


@pytest.mark.parametrize("harm", [delete, overwrite, cut, flip, nothing, copy])
async def test_an_index_made_anew_gives_the_same_answers(
    door: Open, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    store = await door()
    await talk(store)
    before = await everything(store)
    await store.close()
    files = {path: (tmp_path / path).read_bytes() for path in tree(tmp_path) if not path.startswith("index.")}
    harm(tmp_path)
    store = await door()
    assert await everything(store) == before
    assert store.problems == []
    await store.close()
    assert {path: (tmp_path / path).read_bytes() for path in files} == files


async def test_another_programs_index_is_left_alone(door: Open, tmp_path: Path) -> None:
    tmp_path.mkdir()
    with closing(sqlite3.connect(tmp_path / "index.db")) as foreign:
        foreign.execute("CREATE TABLE mine (x)")
    before = (tmp_path / "index.db").read_bytes()
    with pytest.raises(Unavailable, match="another program's database"):
        await door()
    assert (tmp_path / "index.db").read_bytes() == before


async def test_a_root_is_one_stores_at_a_time(door: Open, tmp_path: Path) -> None:
    store = await door()
    with pytest.raises(RootInUse, match=f"process {os.getpid()}"):
        await FilesStore.open_files(tmp_path, "sage")
    await store.close()
    await store.close()
    await (await FilesStore.open_files(tmp_path, "sage")).close()


async def test_messages_read_again_keep_their_places_among_all(door: Open, tmp_path: Path) -> None:
    store = await door()
    for number in range(1, 9):
        within = f"s{number % 2}"
        await store.append(session(within, last_at=later(9 - number)), said(number, "tea", session_id=within, at=NOON))
    await store.search("tea")
    before = [kept.id for kept in (await store.read()).items]
    await store.close()
    with (tmp_path / "channels" / "general_100" / "s1" / "messages.jsonl").open("ab") as file:
        file.write(said(50, "late tea").model_dump_json().encode() + b"\n")
    store = await door()
    assert [kept.id for kept in (await store.read()).items] == [*before, "m50"]
    assert {found.message.id for found in await store.search("tea")} == {*before, "m50"}


async def test_two_hundred_sessions_at_once_open_few_files(door: Open, tmp_path: Path) -> None:
    store = await door()
    for turn in range(3):
        told = (message(200 * turn + number, f"s{number}") for number in range(200))
        assert all(await asyncio.gather(*(store.append(session(each.session_id), each) for each in told)))
    held = [link for link in map(_target, os.listdir("/proc/self/fd")) if link.startswith(f"{tmp_path}/channels")]
    assert len(held) <= 64
    await store.close()
    assert not [link for link in map(_target, os.listdir("/proc/self/fd")) if link.startswith(str(tmp_path))]
    store = await door()
    assert (await store.counts()).messages == 600


def _target(descriptor: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except FileNotFoundError:
        return ""
