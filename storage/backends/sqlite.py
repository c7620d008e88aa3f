"""SQLite: a bot's whole store in `<root>/conversations.db`."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from ..errors import Unavailable
from ..model import Channel, Counts, Message, Receipt, Session, storable
from .group_commit import GroupCommit
from .sqlite_file import Connection, explained, is_trouble, make_room, reader, unreadable, writer

Result = TypeVar("Result")

_MESSAGES = TypeAdapter(list[Message])
_SESSIONS = TypeAdapter(list[Session])
_CHANNELS = TypeAdapter(list[Channel])
_COUNTS = TypeAdapter(Counts)


class SqliteStore:
    """One bot's store: a connection that writes, a connection that reads, a thread for each.

    A busy event loop makes every trip between SQLite and Python slow, so a whole batch is written by one statement
    (`schema/writing.sql`), and a read brings one row: JSON, which pydantic parses.
    """

    def __init__(self, bot_name: str, writing: Connection, reading: Connection) -> None:
        self._bot_name = bot_name
        self._writing = writing
        self._reading = reading
        self._changes = GroupCommit(self._commit, writing.thread)
        self._closing: asyncio.Future[None] | None = None

    @classmethod
    async def open(cls, root: Path, bot_name: str, *, in_memory: bool = False) -> SqliteStore:
        """Opens the store, making root and file where they are missing. Raises `Unavailable` or `NewerSchema`."""
        if in_memory:
            only = await Connection.open(None, writer)
            return cls(bot_name, only, only)
        path = root / "conversations.db"
        make_room(path)
        writing = await Connection.open(path, writer)
        try:
            return cls(bot_name, writing, await Connection.open(path, reader))
        except BaseException:
            await writing.close()
            raise

    async def keep_channel(self, channel: Channel) -> Channel:
        kept = await self.channel(channel.key)
        if kept is None or kept != channel.model_copy(update=_past(kept)):
            await self._put(_Change((_Row("channels", channel),)))
            kept = await self.channel(channel.key)
        return kept or channel

    async def channel(self, key: str) -> Channel | None:
        return _first(await self._read(_CHANNELS, CHANNEL_BY_KEY, key))

    async def append(self, session: Session, message: Message) -> bool:
        if message.session_id != session.id:
            raise ValueError(f"message {message.id} belongs to session {message.session_id}, not to {session.id}")
        told = {"message": message, "content": message.text, "at": _stamp(message.at), "channel": session.channel}
        rows = (_session_row(session), _Row("messages", told), *_receipt_rows(message.id, message.receipts))
        return await self._put(_Change(rows, message.id, message.origin))

    async def keep_receipts(self, message_id: str, receipts: tuple[Receipt, ...]) -> None:
        if receipts:
            await self._put(_Change(tuple(_receipt_rows(message_id, receipts))))

    async def save_session(self, session: Session) -> None:
        await self._put(_Change((_session_row(session),)))

    async def session(self, session_id: str) -> Session | None:
        return _first(await self._read(_SESSIONS, SESSION_BY_ID, session_id))

    async def sessions(self, channel_key: str | None = None, *, limit: int = 50) -> list[Session]:
        query = SESSIONS_LAST_FIRST[channel_key is not None]
        return await self._read(_SESSIONS, query, channel_key, max(0, limit))

    async def idle_sessions(self, before: datetime, limit: int = 100) -> list[Session]:
        return await self._read(_SESSIONS, SESSIONS_IDLE, _stamp(before), max(0, limit))

    async def messages(self, session_id: str, limit: int = 100) -> list[Message]:
        newest_first = await self._read(_MESSAGES, MESSAGES_NEWEST_FIRST, session_id, max(0, limit))
        return newest_first[::-1]

    async def find(self, origin: str) -> Message | None:
        return _first(await self._read(_MESSAGES, MESSAGE_BY_ORIGIN, origin))

    async def counts(self) -> Counts:
        return await self._read(_COUNTS, HOW_MUCH)

    async def close(self) -> None:
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _put(self, change: _Change) -> bool:
        self._refuse_closed()
        return await self._changes.put(change)

    async def _read(self, shape: TypeAdapter[Result], query: str, *parameters: str | int | None) -> Result:
        self._refuse_closed()
        values = [_storable(value) for value in parameters]

        def fetch(connection: sqlite3.Connection) -> Result:
            (found,) = connection.execute(query, values).fetchone()
            try:
                return shape.validate_json(found)
            except ValidationError as error:
                raise unreadable(self._reading.path, error) from error

        return await self._reading.run(fetch)

    def _refuse_closed(self) -> None:
        if self._closing is not None:
            raise Unavailable(f"The store of {self._bot_name} is closed: open it again.")

    async def _close(self) -> None:
        await self._changes.drain()
        if self._reading is not self._writing:
            await self._reading.close()
        await self._writing.close("PRAGMA wal_checkpoint(TRUNCATE)")

    def _commit(self, batch: list[_Change]) -> list[bool | Exception]:
        """One transaction for all; where one of them spoils it, one for each.

        Whether a message is kept already is only asked when the database says that one is: few are."""
        try:
            self._writing.refuse_replaced()
            try:
                return self._write(batch, known=set())
            except sqlite3.IntegrityError:
                return self._write(batch, self._known(batch))
        except Unavailable as error:
            return [error for _ in batch]
        except sqlite3.Error as error:
            if is_trouble(error) or len(batch) == 1:
                return [explained(self._writing.path, error) for _ in batch]
            return [self._commit([change])[0] for change in batch]

    def _write(self, batch: list[_Change], known: set[int]) -> list[bool | Exception]:
        """True for each change that was written, False for a message whose place in the batch is `known`,
        or that comes twice in it."""
        seen: set[tuple[str, str | None]] = set()
        fresh: list[bool | Exception] = []
        for place, change in enumerate(batch):
            names = change.names
            fresh.append(place not in known and seen.isdisjoint(names))
            seen |= names
        columns = _columns(change for change, new in zip(batch, fresh, strict=True) if new)
        # Not `execute`: that waits for Python's lock once more, to fetch a row id that nobody needs.
        self._writing.inner.executemany(WRITE, [(self._bot_name, *columns)])
        return fresh

    def _known(self, batch: list[_Change]) -> set[int]:
        """The places in the batch of messages that are kept already."""
        asked = [
            [place, _storable(change.message_id), _storable(change.origin)]
            for place, change in enumerate(batch)
            if change.message_id is not None
        ]
        (found,) = self._writing.inner.execute(KEPT_ALREADY, (json.dumps(asked),)).fetchone()
        return set(json.loads(found))


class _Row:
    """A row of JSON for one column of the view `batch`. Of rows with the same key the last one counts."""

    __slots__ = ("column", "json", "key")

    def __init__(self, column: str, value: Any, key: str | None = None) -> None:
        self.column = column
        self.json = _json(value)
        self.key = key


@dataclass(frozen=True, slots=True)
class _Change:
    """What one call wants written, together or not at all; with the names of the message it would append."""

    rows: tuple[_Row, ...]
    message_id: str | None = None
    origin: str | None = None

    @property
    def names(self) -> set[tuple[str, str | None]]:
        return {(kind, name) for kind, name in (("id", self.message_id), ("origin", self.origin)) if name is not None}


def _session_row(session: Session) -> _Row:
    told = {
        "session": session,
        "key": session.channel.key,
        "opened_at": _stamp(session.opened_at),
        "last_at": _stamp(session.last_at),
        "closed_at": session.closed_at and _stamp(session.closed_at),
    }
    return _Row("sessions", told, key=session.id)


def _receipt_rows(message_id: str, receipts: tuple[Receipt, ...]) -> Iterable[_Row]:
    return (_Row("receipts", {"message_id": message_id, "receipt": receipt}) for receipt in receipts)


def _stamp(at: datetime) -> str:
    """UTC text of one width, so that the order of the text is the order of time."""
    if at.utcoffset() is None:
        raise ValueError(f"{at!r} has no timezone: storage takes only times that say where they are")
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _json(value: Any) -> str:
    try:
        text = to_json(value).decode()
    except PydanticSerializationError:
        text = ""
    if not text or r"\u0000" in text:
        return json.dumps(_storable(to_jsonable_python(value)), ensure_ascii=False)
    return text


def _storable(value: Any) -> Any:
    """A value with every text in it as `storable` makes it."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    return value


def _columns(changes: Iterable[_Change]) -> list[str | None]:
    columns: dict[str, dict[str | int, str]] = {column: {} for column in _COLUMNS}
    for change in changes:
        for row in change.rows:
            rows = columns[row.column]
            rows[len(rows) if row.key is None else row.key] = row.json
    return [f"[{','.join(rows.values())}]" if rows else None for rows in columns.values()]


def _past(channel: Channel) -> dict[str, tuple[str, ...]]:
    return {"past_names": channel.past_names, "past_guild_names": channel.past_guild_names}


def _first(found: list[Result]) -> Result | None:
    return found[0] if found else None


_COLUMNS = ("channels", "sessions", "messages", "receipts")
WRITE = "INSERT INTO batch (bot_name, channels, sessions, messages, receipts) VALUES (?, ?, ?, ?, ?)"

KEPT_ALREADY = """
SELECT json_group_array(value ->> 0) FROM json_each(?)
WHERE EXISTS (SELECT 1 FROM conversations WHERE message_id = value ->> 1)
   OR EXISTS (SELECT 1 FROM conversations WHERE origin = value ->> 2)
"""

_MESSAGE = """
SELECT json_group_array(json_object(
    'id', message_id, 'origin', origin, 'session_id', session_id, 'role', role,
    'sender', json_object('type', sender_type, 'id', user_id, 'name', username),
    'persona', persona, 'parts', json(parts), 'at', timestamp, 'reply_to', reply_to, 'outcome', outcome,
    'usage', json(usage), 'metadata', json(metadata),
    'receipts', json((
        SELECT json_group_array(json_object('origin', origin, 'page', page))
        FROM (SELECT origin, page FROM receipts WHERE receipts.message_id = m.message_id ORDER BY page)
    ))
)) FROM (SELECT * FROM conversations :which) AS m
"""
MESSAGES_NEWEST_FIRST = _MESSAGE.replace(":which", "WHERE session_id = ?1 ORDER BY id DESC LIMIT ?2")
MESSAGE_BY_ORIGIN = _MESSAGE.replace(
    ":which",
    """WHERE message_id = coalesce(
        (SELECT message_id FROM conversations WHERE origin = ?1), (SELECT message_id FROM receipts WHERE origin = ?1)
    )""",
)

_CHANNEL = """json_object(
    'front', c.front, 'id', c.channel_id, 'kind', c.kind, 'name', c.name, 'guild_id', c.guild_id,
    'guild_name', c.guild_name, 'parent_id', c.parent_id, 'past_names', json(c.past_names),
    'past_guild_names', json(c.past_guild_names)
)"""
CHANNEL_BY_KEY = "SELECT json_group_array(:channel) FROM channels AS c WHERE key = ?1".replace(":channel", _CHANNEL)

# CROSS JOIN keeps the sessions outermost, and with them their order.
_SESSION = """
SELECT json_group_array(json_object(
    'id', s.session_id, 'channel', :channel, 'type', s.type, 'title', s.title, 'persona', s.persona,
    'participants', json(s.participants), 'context', json(s.context), 'opened_at', s.started_at,
    'last_at', s.last_at, 'closed_at', s.closed_at, 'message_count', s.message_count, 'follows', s.follows,
    'metadata', json(s.metadata)
)) FROM (SELECT * FROM sessions :which) AS s CROSS JOIN channels AS c ON c.key = s.channel_key
""".replace(":channel", _CHANNEL)
SESSION_BY_ID = _SESSION.replace(":which", "WHERE session_id = ?1")
SESSIONS_IDLE = _SESSION.replace(
    ":which", "INDEXED BY idx_sessions_active WHERE is_active = 1 AND last_at < ?1 ORDER BY last_at, id LIMIT ?2"
)
SESSIONS_LAST_FIRST = {
    of_channel: _SESSION.replace(
        ":which",
        f"WHERE {'channel_key = ?1' if of_channel else '?1 IS NULL'} ORDER BY last_at DESC, id DESC LIMIT ?2",
    )
    for of_channel in (False, True)
}

HOW_MUCH = """
SELECT json_object(
    'channels', (SELECT count(*) FROM channels),
    'sessions', (SELECT count(*) FROM sessions),
    'open_sessions', (SELECT count(*) FROM sessions WHERE closed_at IS NULL),
    'messages', (SELECT ifnull(sum(message_count), 0) FROM sessions)
)
"""
