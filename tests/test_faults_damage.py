"""Files that were flipped, cut, emptied or deleted: the store says so in a sentence, or has all that is on the disk."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from storage import connect
from storage.backend import OLDEST, Store
from storage.blobs import Blobs
from storage.errors import Unavailable
from storage.place import Missing, open_place
from storage.records import Memory, Run
from tests.contracts.samples import NOON, ids, memory, message, picture, said, session, tell
from tests.test_faults import soak

MANY = 300
LINES = [f"m{number}" for number in range(MANY)]
DATABASE = "conversations.db"


@pytest.mark.parametrize("backend", ["sqlite", "file"])
def test_no_damage_costs_what_is_still_on_the_disk(backend: str, tmp_path: Path) -> None:
    said = soak("--fault", "damage", "--backend", backend, "--rounds", "30", "--seed", "7", "--root", str(tmp_path))
    assert f"{backend}, seed 7: 30 rounds, " in said


@pytest.fixture
async def killed(tmp_path: Path) -> Path:
    """The root of an SQLite store as a process leaves it that was killed: with its write-ahead log."""
    store = await _filled(tmp_path / "live")
    shutil.copytree(tmp_path / "live", tmp_path / "killed")
    await store.close()
    return tmp_path / "killed"


@pytest.fixture
async def root(tmp_path: Path) -> Path:
    """The root of an SQLite store that was closed."""
    await (await _filled(tmp_path / "closed")).close()
    return tmp_path / "closed"


async def _filled(root: Path) -> Store:
    store = await connect("sage", root)
    for first in range(0, MANY, 50):
        await asyncio.gather(*(store.append(session(), message(number)) for number in range(first, first + 50)))
    return store


async def everything(store: Store) -> list[str]:
    page = await store.read(cursor=OLDEST, limit=2 * MANY)
    return [one.id for one in page.items]


# SQLite


@pytest.mark.parametrize("missing", ["conversations.db-wal", "conversations.db-shm"])
async def test_without_its_side_files_a_database_is_what_it_was_at_some_moment(killed: Path, missing: str) -> None:
    (killed / missing).unlink()
    store = await connect("sage", killed)
    kept = await everything(store)
    assert kept == LINES[: len(kept)]
    assert (await store.counts()).messages == len(kept)
    assert len(kept) == MANY or missing.endswith("-wal")
    assert await store.append(session(), message(MANY))
    await store.close()


async def test_a_log_that_ends_in_the_middle_costs_only_what_stood_behind(killed: Path) -> None:
    log = killed / "conversations.db-wal"
    whole = log.read_bytes()
    for part in range(1, 6):
        log.write_bytes(whole[: len(whole) * part // 6])
        store = await connect("sage", killed)
        kept = await everything(store)
        assert kept == LINES[: len(kept)]
        assert [each.message.id for each in await store.search("line", limit=MANY)] == kept[::-1]
        await store.close()


async def test_a_database_that_went_missing_does_not_take_its_log_with_it(killed: Path) -> None:
    """The log may hold everything said since the last checkpoint: an empty file beside it would be its end."""
    (killed / DATABASE).unlink()
    with pytest.raises(Unavailable, match=r"conversations\.db"):
        await connect("sage", killed)
    assert (killed / "conversations.db-wal").stat().st_size


@pytest.mark.parametrize("cut", [1, 2000, 5000, 100_000])
async def test_a_database_that_was_cut_off_is_refused(root: Path, cut: int) -> None:
    database = root / DATABASE
    with closing(sqlite3.connect(database, isolation_level=None)) as admin:
        admin.execute("VACUUM")  # the last page is one of the messages' then
    database.write_bytes(database.read_bytes()[:-cut])
    with pytest.raises(Unavailable, match=r"restore the latest backup"):
        await _read_all(root)


async def test_damage_met_while_opening_is_said(root: Path) -> None:
    _strike(root, "messages", 0)
    with pytest.raises(Unavailable, match=r"is damaged .* restore the latest backup"):
        await _read_all(root)


async def test_a_schema_that_is_no_text_any_more_is_said(root: Path) -> None:
    _overwrite(root, b"INDEX idx_sessions_active O")
    with pytest.raises(Unavailable, match=r"is damaged .* restore the latest backup"):
        await _read_all(root)


async def test_words_that_are_no_text_any_more_are_said(root: Path) -> None:
    _overwrite(root, b"line 150")
    with pytest.raises(Unavailable, match=r"restore the latest backup") as refused:
        await _read_all(root)
    assert "SELECT" not in str(refused.value)


async def _read_all(root: Path) -> None:
    store = await connect("sage", root)
    try:
        assert len(await everything(store)) == MANY
    finally:
        await store.close()


def _strike(root: Path, table: str, offset: int) -> None:
    """Spoils a byte of the first page of a table."""
    database = root / DATABASE
    with closing(sqlite3.connect(database)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    content = bytearray(database.read_bytes())
    content[(page - 1) * size + offset] ^= 0xFF
    database.write_bytes(content)


def _overwrite(root: Path, words: bytes) -> None:
    """Makes the last letter of these words one that UTF-8 does not have."""
    database = root / DATABASE
    content = database.read_bytes()
    assert words in content
    database.write_bytes(content.replace(words, words[:-1] + b"\xff"))


# Files


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """The root of a store of files: two sessions that take turns, and some records."""
    store = await connect("sage", tmp_path / "files", type="file")
    await tell(store, *(message(number, "ab"[number % 2]) for number in range(20)))
    await store.keep(Run(id="r1", at=NOON, type="panel", state="open"), memory("k1"))
    await store.close()
    return tmp_path / "files"


@pytest.fixture
async def files(folder: Path) -> AsyncIterator[Store]:
    """The same, opened after its index was deleted."""
    forget_index(folder)
    store = await connect("sage", folder, type="file")
    yield store
    await store.close()


def forget_index(folder: Path) -> None:
    for path in (*folder.glob("index.db*"), *folder.glob("*.json")):
        path.unlink()


def problems(store: Store) -> str:
    """What a store of files could not understand in them."""
    return "\n".join(getattr(store, "problems", ()))


def only(folder: Path, within: str, name: str) -> Path:
    (path,) = folder.glob(f"channels/*/{within}/{name}")
    return path


async def test_a_deleted_index_is_made_anew(files: Store) -> None:
    assert await ids(files, "a") == [f"m{number}" for number in range(0, 20, 2)]
    assert await ids(files, "b") == [f"m{number}" for number in range(1, 20, 2)]
    assert (await files.counts()).messages == 20
    assert len(await files.search("line", limit=50)) == 20
    assert await files.record(Run, "r1")
    assert await files.record(Memory, "k1")
    assert not problems(files)
    assert not await files.append(session("a"), message(2, "a", id="again"))


async def test_a_new_index_has_the_order_of_the_old_one(files: Store) -> None:
    assert await everything(files) == [f"m{number}" for number in range(20)]


@pytest.mark.parametrize("content", [b"", b"Dear diary, " * 1000])
async def test_an_index_that_is_no_index_is_made_anew(folder: Path, content: bytes) -> None:
    (folder / "index.db").write_bytes(content)
    store = await connect("sage", folder, type="file")
    assert (await store.counts()).messages == 20
    await store.close()


async def test_records_are_read_again_when_a_power_cut_threw_the_index_back(folder: Path) -> None:
    """The index is not synced with each change: the files are."""
    before = (folder / "index.db").read_bytes()
    store = await connect("sage", folder, type="file")
    await tell(store, message(20, "a"))
    await store.keep(Run(id="r2", at=NOON, type="panel", state="open"))
    await store.close()
    (folder / "index.db").write_bytes(before)
    store = await connect("sage", folder, type="file")
    assert await store.message("m20")
    assert await store.record(Run, "r2")
    await store.close()


async def test_half_a_record_at_the_end_does_not_cost_the_next_one(folder: Path) -> None:
    with (folder / "runs.jsonl").open("ab") as file:
        file.write(b'{"id":"r2","at"')
    store = await connect("sage", folder, type="file")
    await store.keep(Run(id="r3", at=NOON, type="panel", state="open"))
    await store.close()
    forget_index(folder)
    store = await connect("sage", folder, type="file")
    assert {run.id for run in (await store.records(Run)).items} == {"r1", "r3"}
    await store.close()


async def test_half_a_line_at_the_end_is_put_aside(folder: Path) -> None:
    path = only(folder, "a", "messages.jsonl")
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b'"m18"') + 20])
    store = await connect("sage", folder, type="file")
    assert await ids(store, "a") == [f"m{number}" for number in range(0, 18, 2)]
    assert await store.append(session("a"), message(18, "a"))
    await store.close()
    assert b'"m18"' in only(folder, "a", "torn.txt").read_bytes()
    forget_index(folder)
    store = await connect("sage", folder, type="file")
    assert await ids(store, "a") == [f"m{number}" for number in range(0, 20, 2)]
    await store.close()


async def test_a_damaged_line_costs_no_other_and_stays(folder: Path) -> None:
    path = only(folder, "a", "messages.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"m4"', b'"m4\x01'))
    forget_index(folder)
    store = await connect("sage", folder, type="file")
    assert await ids(store, "a") == [f"m{number}" for number in range(0, 20, 2) if number != 4]
    assert str(path) in problems(store)
    await store.remove_messages(["m6"])
    await store.close()
    lines = [line for each in path.parent.iterdir() if each.is_file() for line in each.read_bytes().splitlines()]
    assert [line for line in lines if b'"m4\x01' in line], "what could not be read was thrown away"


async def test_a_session_whose_own_file_is_damaged_loses_no_messages(folder: Path) -> None:
    only(folder, "a", "session_meta.json").write_text("{")
    forget_index(folder)
    store = await connect("sage", folder, type="file")
    assert await store.append(session("a"), message(20, "a"))
    assert not await store.append(session("a"), message(4, "a", id="again")), "it was kept before"
    assert await ids(store, "a") == [f"m{number}" for number in range(0, 21, 2)]
    await store.close()


# Attachments


@pytest.mark.parametrize("backend", ["sqlite", "file"])
async def test_a_missing_attachment_costs_no_words_and_comes_back_when_sent_again(backend: str, tmp_path: Path) -> None:
    async def sent() -> AsyncIterator[bytes]:
        yield b"a cat"

    store = await connect("sage", tmp_path, type=backend)  # type: ignore[arg-type]
    blobs = Blobs(open_place(str(tmp_path / "attachments")), tmp_path)
    blob = await blobs.keep(sent(), limit=100)
    told = said(1, "Look!")
    told = told.model_copy(update={"parts": (*told.parts, picture(blob.hash))})
    await tell(store, told)
    await store.close()
    (tmp_path / "attachments" / blob.hash[:2] / blob.hash).unlink()
    store = await connect("sage", tmp_path, type=backend)  # type: ignore[arg-type]
    assert await store.messages("s1") == [told]
    assert await blobs.size(blob.hash) is None
    with pytest.raises(Missing, match=blob.hash):
        async for _ in blobs.read(blob.hash):
            pass
    assert await blobs.keep(sent(), limit=100) == blob
    assert await blobs.sound(blob.hash)
    await store.close()
