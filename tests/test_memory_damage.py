"""A memory index that is damaged, or held by somebody else: forgetting is finished, and the index is made anew."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bots.index_files import FILE, take_out
from storage.errors import Unavailable
from storage.memory_index import MemoryIndex
from storage.records import AuditEntry

from .test_memory_house import indexing, later, remembering, told
from .test_memory_index import found
from .world import ANA, BEN, World

SECRET = b"Wafflesnark"


def damage(root: Path, how: str) -> None:
    with closing(sqlite3.connect(root / FILE)) as connection:
        if how == "a table is gone":
            connection.execute("DROP TABLE postings")
            connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    if how == "overwritten":
        size = (root / FILE).stat().st_size
        with (root / FILE).open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(size - 4096))


def holding(root: Path) -> list[str]:
    """The files of a bot in which what was forgotten can still be read."""
    return [path.name for path in root.rglob("*") if path.is_file() and SECRET in path.read_bytes()]


async def forgets(w: World) -> None:
    assert (await w.bot.privacy.forget(ANA.sender.id)).messages == 1
    assert [entry.action for entry in (await w.store.records(AuditEntry)).items] == ["forget"]


@pytest.mark.parametrize("how", ["overwritten", "a table is gone"])
async def test_who_is_forgotten_is_gone_from_a_damaged_index_and_the_rest_is_read_anew(
    tmp_path: Path, how: str
) -> None:
    async with remembering(tmp_path) as (w, model):
        hall = w.room("hall")
        await told(hall, f"My dog is called {SECRET.decode()}")
        await hall.say(BEN, "my canoe is moored in Lisbon")
        await later(w)
        damage(tmp_path, how)
        await forgets(w)
        assert holding(tmp_path) == []
        await hall.say(BEN, "where is the canoe moored?")
        assert "Lisbon" in model.last


async def test_who_is_forgotten_while_the_index_is_locked_is_gone_from_it_after_the_next_start(tmp_path: Path) -> None:
    root, killed = tmp_path / "root", tmp_path / "killed"
    root.mkdir()
    async with remembering(root) as (w, _):
        await told(w.room("hall"), f"My dog is called {SECRET.decode()}")
        await later(w)
        index = indexing(w)._index
        await index._run(index._file._connection.execute, "PRAGMA busy_timeout = 0")
        with closing(sqlite3.connect(root / FILE, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            await forgets(w)
            shutil.copytree(root, killed)
        await indexing(w).settle()
        assert holding(root) == []
    assert holding(killed)
    async with remembering(killed):
        assert holding(killed) == []


async def test_a_damaged_index_of_a_bot_at_rest_is_read_anew_at_its_next_start(tmp_path: Path) -> None:
    async with remembering(tmp_path) as (w, _):
        await told(w.room("hall"), "My dog is called Waffles")
        await indexing(w).settle()
    damage(tmp_path, "overwritten")
    await take_out(tmp_path, ("a session",), ())
    async with remembering(tmp_path) as (w, model):
        await later(w)
        await w.room("hall").say(BEN, "what is the dog of Ana called?")
        assert "Waffles" in model.last


async def test_an_index_that_stays_broken_is_made_anew_but_once(tmp_path: Path) -> None:
    index = await MemoryIndex.open(tmp_path / FILE)
    assert not index.damaged
    for again in (True, False):
        damage(tmp_path, "a table is gone")
        with pytest.raises(Unavailable, match="no such table: postings"):
            await found(index, "the canoe?")
        assert index.damaged is again
        await index.clear()
    await index.close()
