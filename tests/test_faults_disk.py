"""A disk that is full while a store writes, is upgraded or is copied: it is said, and it costs nothing."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from storage import connect
from storage.amendments import Edited
from storage.backend import Store
from storage.copying import contents, copy
from storage.errors import Unavailable
from tests.contracts.samples import NOON, ids, message, said, session, words
from tests.soak.kills import first_schema

HOUSE = Path(__file__).parent.parent
LONG = "A long story. " * 40


def child(function: str, *arguments: str) -> list[str]:
    """What a process prints that does nothing but run one function of this file: a full disk is its own affair."""
    script = f"import asyncio, sys\nfrom tests.test_faults_disk import *\nasyncio.run({function}(*sys.argv[1:]))"
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file of this process grows beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# Writing


async def fill(backend: str, root: str) -> None:
    store = await connect("sage", Path(root), type=backend)  # type: ignore[arg-type]
    kept = 0
    with files_of_at_most(300_000):
        try:
            for number in range(10_000):
                assert await store.append(session(), said(number, LONG))
                kept += 1
        except Unavailable as error:
            print(error)
        for refused in (store.append(session(), said(kept, LONG)), store.amend("m0", change())):
            try:
                await refused
            except Unavailable:
                print("refused")
        assert len(await ids(store, limit=10_000)) == kept
    assert await store.append(session(), said(kept, LONG))
    assert await store.amend("m0", change())
    await store.close()
    print(kept + 1)


def change() -> Edited:
    return Edited(parts=words("Never mind. " + LONG), at=NOON)


@pytest.mark.parametrize("backend", ["sqlite", "file"])
async def test_whoever_cannot_write_is_told_and_goes_on_when_there_is_room(backend: str, tmp_path: Path) -> None:
    sentence, *refused, kept = child("fill", backend, str(tmp_path))
    assert str(tmp_path) in sentence
    assert "check that the disk has room" in sentence
    assert refused[0] == "refused"  # what is smaller may still find room
    store = await connect("sage", tmp_path, type=backend)  # type: ignore[arg-type]
    assert await ids(store, limit=10_000) == [f"m{number}" for number in range(int(kept))]
    edited = await store.message("m0")
    assert edited
    assert edited.text.startswith("Never mind.")
    assert len(edited.edits) == 1
    await store.close()


# The upgrade


async def upgrade(root: str, more: str) -> None:
    path = Path(root) / "conversations.db"
    with files_of_at_most(path.stat().st_size + int(more)):
        try:
            await connect("sage", Path(root))
            print("opened")
        except Unavailable as error:
            print(error)


@pytest.mark.parametrize("more", [0, 4096, 100_000])
async def test_an_upgrade_without_room_leaves_the_old_database_as_it_was(more: int, tmp_path: Path) -> None:
    database = tmp_path / "conversations.db"
    told = first_schema(database)
    before = dump(database)
    (sentence,) = child("upgrade", str(tmp_path), str(more))
    assert str(database) in sentence
    assert "the disk has room" in sentence or "free some disk space" in sentence
    assert dump(database) == before
    store = await connect("sage", tmp_path)
    assert (await store.counts()).messages == told
    assert [one.text for one in await store.messages("2024-01-08_12-00-00_k3f9", 5000)][:2] == ["Tea?", "Gladly."]
    await store.close()


def dump(database: Path) -> list[object]:
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [connection.execute("PRAGMA user_version").fetchall(), list(connection.iterdump())]


# Moving to another storage


async def move(backend: str, root: str) -> None:
    source = await connect("sage", Path(root) / "old")
    await asyncio.gather(*(source.append(session(), said(number, LONG)) for number in range(1000)))
    before = await contents(source)

    async def target(name: str) -> Store:
        return await connect("sage", Path(root) / name, type=backend)  # type: ignore[arg-type]

    full = await target("full")
    with files_of_at_most(400_000):
        try:
            await copy(source, full)
        except Unavailable as error:
            print(error)
    await full.close()
    assert await contents(source) == before
    assert await source.append(session(), message(5000))
    roomy = await target("roomy")
    print((await copy(source, roomy)).counts.messages)
    await roomy.close()
    await source.close()


@pytest.mark.parametrize("backend", ["sqlite", "file"])
def test_a_move_to_a_full_disk_costs_the_old_store_nothing(backend: str, tmp_path: Path) -> None:
    sentence, moved = child("move", backend, str(tmp_path))
    assert str(tmp_path / "full") in sentence
    assert moved == "1001"
