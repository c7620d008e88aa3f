"""Who keeps messages: our store, and what people use instead. Each is given the same lines in the same way."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sqlite3
from pathlib import Path
from typing import Any, Protocol

from storage.backend import Store
from storage.backends.sqlite import SqliteStore
from storage.model import Message, Session


class Keeper(Protocol):
    """Somebody to whom lines are given; each call returns once its line is committed."""

    async def prepare(self, sessions: list[Session]) -> None:
        """Gets ready for these sessions, which nobody measures."""

    async def add(self, session: Session, message: Message) -> None: ...

    async def settle(self) -> None:
        """Returns once a search would find everything."""

    async def close(self) -> None: ...


class Ours:
    def __init__(self, store: Store) -> None:
        self.store = store

    @classmethod
    async def open(cls, folder: Path) -> Ours:
        return cls(await SqliteStore.open(folder, "sage"))

    async def prepare(self, sessions: list[Session]) -> None:
        """Nothing: a session's first line brings it."""

    async def add(self, session: Session, message: Message) -> None:
        await self.store.append(session, message)

    async def settle(self) -> None:
        await self.store.search("nothing-is-called-so")

    async def close(self) -> None:
        await self.store.close()


class AgentsSession:
    """The OpenAI Agents SDK's `SQLiteSession`, one for each session over one file. It has no full-text index."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "agents.db"
        self._sessions: dict[str, Any] = {}

    @classmethod
    async def open(cls, folder: Path) -> AgentsSession:
        return cls(folder)

    async def prepare(self, sessions: list[Session]) -> None:
        from agents import SQLiteSession  # type: ignore[import-not-found,unused-ignore]

        self._sessions.update({session.id: SQLiteSession(session.id, self._path) for session in sessions})

    async def add(self, session: Session, message: Message) -> None:
        await self._sessions[session.id].add_items([{"role": message.role, "content": message.text}])

    async def settle(self) -> None:
        """Nothing."""

    async def close(self) -> None:
        for session in self._sessions.values():
            session.close()


class Naive:
    """What most bots do: aiosqlite, one lock, one commit for each message; a full-text index kept by a trigger."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._lock = asyncio.Lock()

    @classmethod
    async def open(cls, folder: Path) -> Naive:
        import aiosqlite  # type: ignore[import-not-found,unused-ignore]

        connection = await aiosqlite.connect(folder / "naive.db")
        await connection.executescript(NAIVE)
        return cls(connection)

    async def prepare(self, sessions: list[Session]) -> None:
        async with self._lock:
            await self._connection.executemany(NAIVE_SESSION, [naive_session(session) for session in sessions])
            await self._connection.commit()

    async def add(self, session: Session, message: Message) -> None:
        async with self._lock:
            await self._connection.execute(NAIVE_MESSAGE, naive_row(message))
            await self._connection.execute(NAIVE_MOVE, (session.last_at.isoformat(), session.id))
            await self._connection.commit()

    async def settle(self) -> None:
        """Nothing: the trigger has done it."""

    async def close(self) -> None:
        await self._connection.close()


class Raw:
    """Python's own `sqlite3` on the loop's thread, as fast as one commit for each message can be."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, folder: Path) -> Raw:
        connection = sqlite3.connect(folder / "raw.db", isolation_level=None)
        connection.executescript(NAIVE)
        return cls(connection)

    async def prepare(self, sessions: list[Session]) -> None:
        self._connection.executemany(NAIVE_SESSION, [naive_session(session) for session in sessions])

    async def add(self, session: Session, message: Message) -> None:
        self._connection.execute("BEGIN")
        self._connection.execute(NAIVE_MESSAGE, naive_row(message))
        self._connection.execute(NAIVE_MOVE, (session.last_at.isoformat(), session.id))
        self._connection.execute("COMMIT")

    async def settle(self) -> None:
        """Nothing: the trigger has done it."""

    async def close(self) -> None:
        self._connection.close()


KEEPERS: dict[str, Any] = {"ours": Ours, "SQLiteSession": AgentsSession, "naive": Naive, "raw sqlite3": Raw}
_NEEDS = {"SQLiteSession": ("agents", "openai-agents"), "naive": ("aiosqlite", "aiosqlite")}


def missing(name: str) -> str | None:
    """Why a peer cannot take part, as a sentence; None when it can."""
    module, package = _NEEDS.get(name, ("", ""))
    if not module or importlib.util.find_spec(module):
        return None
    return f"{name} is skipped: `pip install {package}` brings it."


def naive_session(session: Session) -> tuple[str, ...]:
    return session.id, session.channel.key, session.opened_at.isoformat(), session.last_at.isoformat()


def naive_row(message: Message) -> tuple[str | None, ...]:
    """The columns of `messages` below."""
    usage = message.usage.model_dump_json() if message.usage else None
    told = (message.sender.type, message.sender.id, message.sender.name, message.text, message.at.isoformat())
    return (message.id, message.origin, message.session_id, message.role, *told, message.persona, message.reply_to,
            usage, json.dumps(message.metadata))  # fmt: skip


NAIVE = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE sessions (id TEXT PRIMARY KEY, channel TEXT NOT NULL, opened_at TEXT NOT NULL, last_at TEXT NOT NULL,
    message_count INTEGER NOT NULL DEFAULT 0);
CREATE TABLE messages (id INTEGER PRIMARY KEY, message_id TEXT NOT NULL UNIQUE, origin TEXT UNIQUE,
    session_id TEXT NOT NULL REFERENCES sessions (id), role TEXT NOT NULL, sender_type TEXT NOT NULL,
    sender_id TEXT NOT NULL, sender_name TEXT NOT NULL, content TEXT NOT NULL, at TEXT NOT NULL, persona TEXT,
    reply_to TEXT, usage TEXT, metadata TEXT NOT NULL);
CREATE INDEX of_session ON messages (session_id);
CREATE VIRTUAL TABLE found USING fts5 (content, content='messages', content_rowid='id');
CREATE TRIGGER find AFTER INSERT ON messages BEGIN
    INSERT INTO found (rowid, content) VALUES (NEW.id, NEW.content);
END;
"""
NAIVE_SESSION = "INSERT INTO sessions (id, channel, opened_at, last_at) VALUES (?, ?, ?, ?)"
NAIVE_MESSAGE = """
INSERT INTO messages (message_id, origin, session_id, role, sender_type, sender_id, sender_name, content, at, persona,
    reply_to, usage, metadata) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
NAIVE_MOVE = "UPDATE sessions SET last_at = ?, message_count = message_count + 1 WHERE id = ?"
