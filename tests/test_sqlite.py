"""SQLite's own promises: durability, shared commits, honest errors and the planned schema."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from storage.backends.sqlite import SqliteStore
from storage.backends.sqlite_file import explained
from storage.backends.sqlite_rows import HOW_MUCH, MESSAGES_NEWEST_FIRST, SESSIONS_IDLE, SESSIONS_LAST_FIRST
from storage.blobs import Blobs
from storage.doctor import examine
from storage.errors import NewerSchema, Unavailable
from storage.model import Channel, Message, Sender, Session, Text
from storage.place import Folder

HOUSE = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden" / "schema_v1.sql"
NOON = datetime(2024, 1, 8, 12, 0, tzinfo=UTC)
GENERAL = Channel(front="discord", id="100", kind="channel", name="general")
SESSION = Session(id="s1", channel=GENERAL, opened_at=NOON, last_at=NOON)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path, "sage")
    yield opened
    await opened.close()


def message(number: int, **fields: Any) -> Message:
    given = {"id": f"m{number}", "origin": f"discord:100:{number}", "session_id": "s1", "role": "user"}
    told = {"sender": Sender(type="user", id="7", name="Ann"), "parts": (Text(text=f"line {number}"),)}
    return Message(**{**given, **told, "at": NOON + timedelta(seconds=number), **fields})


def rows(database: Path, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query, parameters).fetchall()


def child(script: str, *arguments: object) -> subprocess.Popen[str]:
    """A real process that runs `script`; what it prints comes through its `stdout`."""
    command = [sys.executable, "-c", f"from tests.test_sqlite import *\n{script}", *map(str, arguments)]
    return subprocess.Popen(command, cwd=HOUSE, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


def lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    return (line.rstrip("\n") for line in process.stdout)


# Durability

TALKER = """
async def talk():
    store = await SqliteStore.open(Path(sys.argv[1]), "sage")
    async def caller(name):
        for number in range(name, 10**9, 8):
            assert await store.append(SESSION, message(number))
            print(f"m{number}", flush=True)
    await asyncio.gather(*map(caller, range(8)))
asyncio.run(talk())
"""


async def test_whatever_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    with child(TALKER, tmp_path) as talker:
        for line in lines(talker):
            acknowledged.append(line)
            if len(acknowledged) == 400:
                talker.kill()
    store = await SqliteStore.open(tmp_path, "sage")
    kept = {told.id for told in await store.messages("s1", 10**6)}
    assert len(acknowledged) >= 400
    assert set(acknowledged) <= kept
    assert (await store.counts()).messages == len(kept)
    assert await store.append(SESSION, message(10**9))
    await store.close()


LOOKER = """
with closing(sqlite3.connect(sys.argv[1])) as database:
    print(database.execute("SELECT count(*) FROM messages").fetchone()[0])
"""


async def test_a_bot_that_looks_itself_over_keeps_its_log_whoever_else_looks(
    store: SqliteStore, tmp_path: Path
) -> None:
    assert await store.append(SESSION, message(1))
    again = await SqliteStore.open(tmp_path, "sage")
    assert (await examine("sage", tmp_path, Blobs(Folder(tmp_path / "attachments"), tmp_path), running=True)).healthy
    await again.close()
    with child(LOOKER, tmp_path / "conversations.db") as looker:
        assert list(lines(looker)) == ["1"]
    assert (tmp_path / "conversations.db-wal").exists()
    assert await store.append(SESSION, message(2))


async def test_nothing_is_acknowledged_once_the_log_is_gone(store: SqliteStore, tmp_path: Path) -> None:
    assert await store.append(SESSION, message(1))
    (tmp_path / "conversations.db-wal").unlink()
    with pytest.raises(Unavailable, match="its log was moved, removed or replaced"):
        await store.append(SESSION, message(2))


async def test_closing_leaves_one_tidy_file(store: SqliteStore, tmp_path: Path) -> None:
    await store.append(SESSION, message(1))
    await store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["conversations.db"]
    assert (tmp_path / "conversations.db").stat().st_mode & 0o077 == 0
    assert rows(tmp_path / "conversations.db", "PRAGMA integrity_check") == [("ok",)]


def commits(wal: Path) -> int:
    """The commits in a write-ahead log: frames that carry the database's size after them."""
    log = wal.read_bytes()
    (page_size,) = struct.unpack(">I", log[8:12])
    frames = range(32, len(log), 24 + page_size)
    return sum(
        struct.unpack(">I", log[at + 4 : at + 8])[0] > 0 and log[at + 8 : at + 16] == log[16:24] for at in frames
    )


async def test_those_who_wait_together_share_a_commit(store: SqliteStore, tmp_path: Path) -> None:
    wal = tmp_path / "conversations.db-wal"
    opening = commits(wal)
    for number in range(3):
        await store.append(SESSION, message(number))
    assert commits(wal) == opening + 3
    await asyncio.gather(*(store.append(SESSION, message(number)) for number in range(10, 210)))
    assert commits(wal) == opening + 4
    await store.append(SESSION, message(1, id="again"))
    assert commits(wal) == opening + 4


# Trouble

FULL_DISK = """
import resource
async def fill():
    store = await SqliteStore.open(Path(sys.argv[1]), "sage")
    assert await store.append(SESSION, message(0))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
    kept = 1
    try:
        while True:
            await store.append(SESSION, message(kept))
            kept += 1
    except Unavailable as error:
        print(error)
    told = [message(10**6 + number) for number in range(20)]
    refused = await asyncio.gather(*(store.append(SESSION, each) for each in told), return_exceptions=True)
    assert [type(each) for each in refused] == [Unavailable] * 20, refused
    assert len(await store.messages("s1", 10**6)) == kept
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert await store.append(SESSION, message(kept))
    assert len(await store.messages("s1", 10**6)) == kept + 1
    assert (await store.session("s1")).message_count == kept + 1
    await store.close()
    print(kept + 1)
asyncio.run(fill())
"""


async def test_a_full_disk_is_said_and_survived(tmp_path: Path) -> None:
    with child(FULL_DISK, tmp_path) as filler:
        sentence, kept = lines(filler)
    assert f"{tmp_path}/conversations.db could not be read or written" in sentence
    assert "check that the disk has room" in sentence
    assert rows(tmp_path / "conversations.db", "SELECT count(*) FROM conversations") == [(int(kept),)]


def test_a_disk_without_room_is_told_from_other_trouble() -> None:
    with closing(sqlite3.connect(":memory:")) as small:
        small.execute("PRAGMA max_page_count = 1")
        with pytest.raises(sqlite3.OperationalError) as full:
            small.executescript("CREATE TABLE a (x); CREATE TABLE b (x);")
    told = explained(Path("x.db"), full.value)
    assert isinstance(told, Unavailable)
    assert str(told).startswith("x.db could not grow (database or disk is full): free some disk space.")


async def test_a_newer_database_is_refused_untouched(tmp_path: Path) -> None:
    await (await SqliteStore.open(tmp_path, "sage")).close()
    database = tmp_path / "conversations.db"
    rows(database, "PRAGMA user_version = 99")
    before = database.read_bytes()
    with pytest.raises(NewerSchema, match=re.escape(f"{database} has schema version 99, and this program knows")):
        await SqliteStore.open(tmp_path, "sage")
    assert database.read_bytes() == before


async def test_another_programs_database_is_refused_untouched(tmp_path: Path) -> None:
    database = tmp_path / "conversations.db"
    rows(database, "CREATE TABLE conversations (mine TEXT)")
    before = database.read_bytes()
    with pytest.raises(Unavailable, match="another program's database"):
        await SqliteStore.open(tmp_path, "sage")
    assert database.read_bytes() == before


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "conversations.db").write_bytes(b"Dear diary, " * 1000)
    with pytest.raises(Unavailable, match=r"conversations.db is not a database .* restore the latest backup"):
        await SqliteStore.open(tmp_path, "sage")


async def test_a_damaged_database_is_said(store: SqliteStore, tmp_path: Path) -> None:
    await asyncio.gather(*(store.append(SESSION, message(number)) for number in range(200)))
    await store.close()
    database = tmp_path / "conversations.db"
    whole = database.read_bytes()
    database.write_bytes(whole[:100] + b"\xff" * (len(whole) - 100))
    with pytest.raises(Unavailable, match=r"is damaged .* restore the latest backup"):
        await SqliteStore.open(tmp_path, "sage")


@pytest.mark.parametrize("root", ["file", "file/below", "/proc/nowhere", "folder in place of the database"])
async def test_a_root_that_cannot_be_used_is_said(tmp_path: Path, root: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "folder in place of the database" / "conversations.db").mkdir(parents=True)
    with pytest.raises(Unavailable, match=re.escape(f"{tmp_path / root}/conversations.db cannot be ")):
        await SqliteStore.open(tmp_path / root, "sage")


async def test_a_row_nobody_can_read_is_said(store: SqliteStore, tmp_path: Path) -> None:
    await store.append(SESSION, message(1))
    with closing(sqlite3.connect(tmp_path / "conversations.db", isolation_level=None)) as admin:
        admin.execute("UPDATE messages SET outcome = 'lost'")
    with pytest.raises(Unavailable, match=r"conversations.db holds a row .*: 0.outcome: Input should be"):
        await store.messages("s1")


# The schema

PLANNED = """
CREATE TABLE conversations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    bot_name TEXT NOT NULL,
    channel_id TEXT NOT NULL,
    channel_name TEXT NOT NULL,
    channel_type TEXT NOT NULL CHECK (channel_type IN ('channel', 'dm')),
    user_id TEXT NOT NULL,
    username TEXT NOT NULL,
    session_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('user', 'assistant', 'system')),
    content TEXT NOT NULL,
    timestamp DATETIME DEFAULT CURRENT_TIMESTAMP,
    metadata TEXT -- JSON for additional data
);
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    bot_name TEXT NOT NULL,
    channel_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    started_at DATETIME DEFAULT CURRENT_TIMESTAMP,
    last_activity DATETIME DEFAULT CURRENT_TIMESTAMP,
    message_count INTEGER DEFAULT 0,
    is_active BOOLEAN DEFAULT 1
);
CREATE INDEX idx_conversations_bot_channel ON conversations(bot_name, channel_id);
CREATE INDEX idx_conversations_session ON conversations(session_id);
CREATE INDEX idx_sessions_bot_channel ON sessions(bot_name, channel_id);
CREATE INDEX idx_sessions_active ON sessions(is_active);
"""
"""The storage plan's schema, word for word."""


def schema(connection: sqlite3.Connection, table: str) -> tuple[list[tuple[Any, ...]], dict[str, list[str]]]:
    """The columns in order (name, type, not null, default, primary key), and each index's columns."""
    columns = [row[1:] for row in connection.execute(f"PRAGMA table_info({table})")]
    indexes = {
        name: [column for _, _, column in connection.execute(f"PRAGMA index_info({name})")]
        for _, name, *_ in connection.execute(f"PRAGMA index_list({table})")
    }
    return columns, indexes


async def test_the_plans_columns_and_indexes_are_all_there(store: SqliteStore, tmp_path: Path) -> None:
    with closing(sqlite3.connect(":memory:")) as plan, closing(sqlite3.connect(tmp_path / "conversations.db")) as real:
        plan.executescript(PLANNED)
        columns, indexes = schema(plan, "sessions")
        assert schema(real, "sessions")[0][: len(columns)] == columns
        assert indexes.items() <= schema(real, "sessions")[1].items()
        names = [name for name, *_ in schema(plan, "conversations")[0]]
        assert [name for name, *_ in schema(real, "conversations")[0]][: len(names)] == names


async def test_the_plans_checks_hold(store: SqliteStore, tmp_path: Path) -> None:
    await store.append(SESSION, message(1))
    with closing(sqlite3.connect(tmp_path / "conversations.db", isolation_level=None)) as admin:
        for change in ("role = 'narrator'", "content = NULL", "message_id = NULL", "session = NULL"):
            with pytest.raises(sqlite3.IntegrityError):
                admin.execute(f"UPDATE messages SET {change}")
        admin.execute("UPDATE messages SET role = 'tool'")
        with pytest.raises(sqlite3.IntegrityError):
            admin.execute("UPDATE sessions SET is_active = 0")


async def test_the_plans_columns_are_filled(store: SqliteStore, tmp_path: Path) -> None:
    private = Channel(front="discord", id="200", kind="dm", name="ann")
    closed = SESSION.model_copy(update={"id": "s2", "channel": private, "closed_at": NOON + timedelta(hours=1)})
    await store.append(SESSION, message(1))
    await store.append(closed, message(2, session_id="s2", metadata={"rule": "dm"}))
    database = tmp_path / "conversations.db"
    said = "bot_name, channel_id, channel_name, channel_type, user_id, username, session_id, message_id, role, content"
    assert rows(database, f"SELECT {said}, timestamp, metadata FROM conversations ORDER BY id") == [
        ("sage", "100", "general", "channel", "7", "Ann", "s1", "m1", "user", "line 1", stamp(1), "{}"),
        ("sage", "200", "ann", "dm", "7", "Ann", "s2", "m2", "user", "line 2", stamp(2), '{"rule":"dm"}'),
    ]
    kept = "bot_name, channel_id, session_id, started_at, last_activity, message_count, is_active"
    assert rows(database, f"SELECT {kept} FROM sessions ORDER BY id") == [
        ("sage", "100", "s1", stamp(0), stamp(1), 1, 1),
        ("sage", "200", "s2", stamp(0), stamp(2), 1, 0),
    ]


def stamp(seconds: int) -> str:
    return f"2024-01-08T12:00:{seconds:02}.000000Z"


async def test_the_count_follows_a_removal_by_hand(store: SqliteStore, tmp_path: Path) -> None:
    for number in range(3):
        await store.append(SESSION, message(number))
    with closing(sqlite3.connect(tmp_path / "conversations.db", isolation_level=None)) as admin:
        admin.execute("DELETE FROM messages WHERE message_id = 'm1'")
    kept = await store.session("s1")
    assert kept is not None
    assert kept.message_count == 2


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (MESSAGES_NEWEST_FIRST, "SEARCH messages USING INDEX idx_messages_session (session=?)"),
        (SESSIONS_LAST_FIRST[False], "SCAN sessions USING INDEX idx_sessions_last"),
        (SESSIONS_LAST_FIRST[True], "SEARCH sessions USING INDEX idx_sessions_channel_last (channel_key=?)"),
    ],
)
async def test_lists_are_read_in_an_indexs_order(store: SqliteStore, tmp_path: Path, query: str, index: str) -> None:
    with closing(sqlite3.connect(tmp_path / "conversations.db")) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", ("x", 100))]
    assert index in plan
    assert not [step for step in plan if "TEMP B-TREE" in step]


async def test_silent_sessions_are_looked_for_among_the_open_ones(store: SqliteStore, tmp_path: Path) -> None:
    plan = [row[3] for row in rows(tmp_path / "conversations.db", f"EXPLAIN QUERY PLAN {SESSIONS_IDLE}", "x", 100)]
    assert "SEARCH sessions USING INDEX idx_sessions_active (is_active=?)" in plan


async def test_counting_does_not_read_the_messages(store: SqliteStore, tmp_path: Path) -> None:
    assert not [
        row for row in rows(tmp_path / "conversations.db", f"EXPLAIN QUERY PLAN {HOW_MUCH}") if "messages" in row[3]
    ]


async def test_the_first_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    with closing(sqlite3.connect(tmp_path / "old" / "conversations.db", isolation_level=None)) as connection:
        connection.executescript(GOLDEN.read_text("utf-8"))
    told: list[tuple[str, int, int]] = []
    old, new = [
        await SqliteStore.open(tmp_path / name, "sage", tell=lambda *said: told.append(said)) for name in ("old", "new")
    ]
    assert set(told) == {("bringing the database up to date", 2, 2)}
    question, answer = await old.messages("2024-01-08_12-00-00_k3f9")
    assert (question.text, answer.text, answer.reply_to) == ("Tea?", "Gladly.", question.id)
    assert await old.find("discord:100:2") == answer
    (kept,) = await old.sessions("discord:100")
    assert (kept.message_count, kept.channel.past_names) == (2, ("lobby",))
    assert await old.append(kept, message(3, session_id=kept.id))
    for each in (old, new):
        await each.close()
    assert made(tmp_path / "old") == made(tmp_path / "new")


def made(root: Path) -> list[object]:
    """A database's schema, whatever its comments and spacing."""
    database = root / "conversations.db"
    statements = rows(database, "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name")
    plain = [(*row[:3], " ".join(re.sub(r"--.*", "", row[3] or "").split())) for row in statements]
    return [plain, rows(database, "PRAGMA user_version"), rows(database, "PRAGMA application_id")]
