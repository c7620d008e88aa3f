"""SQLite: a bot's whole store in `<root>/conversations.db`."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from .. import words
from ..amendments import Amendment
from ..backend import Kept, Page
from ..errors import Unavailable
from ..model import Channel, Counts, Found, Message, Receipt, Session, Spending
from ..progress import Tell, silent
from ..records import Memory, Record, Vector
from ..sought import EVERYTHING, Sought
from . import changes, sqlite_people, sqlite_rows, sqlite_sought
from .cursors import nothing, understood, written
from .json_text import storable_all
from .sqlite_file import Connection, make_room, reader, snapshot, unreadable, writer
from .sqlite_index import Index
from .sqlite_records import Memories, record_page
from .sqlite_rows import CHANNELS, COUNTS, MESSAGES, SESSIONS, SPENDINGS, micros, split, stamp
from .sqlite_writer import Journal, Writer

Result = TypeVar("Result")
Item = TypeVar("Item")


class SqliteStore:
    """One bot's store: a connection that writes, one that reads, one for what takes longer, a thread for each.

    A busy event loop makes every trip between SQLite and Python slow, so a whole batch is written by one statement
    (`schema/writing.sql`), and a read brings one row: JSON, which pydantic parses.
    """

    def __init__(
        self, bot_name: str, writing: Connection, reading: Connection, studying: Connection, journal: Journal | None
    ) -> None:
        """On the thread of `writing`."""
        self._bot_name = bot_name
        self._writing = writing
        self._reading = reading
        self._studying = studying
        self._writer = Writer(bot_name, writing, Index(writing.inner), journal)
        self._memories = Memories()
        self.writing = self._writer
        self._closing: asyncio.Future[None] | None = None

    @classmethod
    async def open(
        cls,
        root: Path,
        bot_name: str,
        *,
        in_memory: bool = False,
        tell: Tell = silent,
    ) -> SqliteStore:
        """Opens the store, making root and file where they are missing; `tell` hears how far an upgrade is. Raises
        `Unavailable` or `NewerSchema`."""

        def prepared(connection: sqlite3.Connection, path: Path | None) -> None:
            writer(connection, path, tell)

        if in_memory:
            only = await Connection.open(None, writer)
            return await only.run(lambda _: cls(bot_name, only, only, only, None))
        path = root / "conversations.db"
        make_room(path)
        opened: list[Connection] = []
        try:
            for prepare in (prepared, reader, reader):
                opened = [*opened, await Connection.open(path, prepare)]
            return await opened[0].run(lambda _: cls(bot_name, opened[0], opened[1], opened[2], None))
        except BaseException:
            for connection in opened:
                await connection.close()
            raise

    async def keep_channel(self, channel: Channel) -> Channel:
        kept = await self.channel(channel.key)
        if kept is None or kept != channel.model_copy(update=changes.past(kept)):
            await self._put(changes.KeepChannel(channel))
            kept = await self.channel(channel.key)
        return kept or channel

    async def channel(self, key: str) -> Channel | None:
        return _first(await self._read(CHANNELS, sqlite_rows.CHANNEL_BY_KEY, key))

    async def channels(self, after: str = "", limit: int = 100) -> list[Channel]:
        return await self._study(CHANNELS, sqlite_rows.CHANNELS_BY_KEY, after, _most(limit))

    async def append(self, session: Session, message: Message) -> bool:
        if message.session_id != session.id:
            raise ValueError(f"message {message.id} belongs to session {message.session_id}, not to {session.id}")
        return cast(bool, await self._put(changes.Append(session, message)))

    async def keep_receipts(self, message_id: str, receipts: tuple[Receipt, ...]) -> None:
        if receipts:
            await self._put(changes.KeepReceipts(message_id, receipts))

    async def amend(self, message_id: str, change: Amendment) -> Message | None:
        return cast("Message | None", await self._put(changes.Amend(message_id, change)))

    async def remove_messages(self, ids: Sequence[str]) -> int:
        return cast(int, await self._put(changes.RemoveMessages(tuple(ids))))

    async def save_session(self, session: Session) -> None:
        await self._put(changes.SaveSession(session))

    async def remove_sessions(self, ids: Sequence[str]) -> int:
        return cast(int, await self._put(changes.RemoveSessions(tuple(ids))))

    async def remove_channels(self, keys: Sequence[str]) -> int:
        return cast(int, await self._put(changes.RemoveChannels(tuple(keys))))

    async def session(self, session_id: str) -> Session | None:
        return _first(await self._read(SESSIONS, sqlite_rows.SESSION_BY_ID, session_id))

    async def sessions(self, channel_key: str | None = None, *, limit: int = 50) -> list[Session]:
        query = sqlite_rows.SESSIONS_LAST_FIRST[channel_key is not None]
        return await self._read(SESSIONS, query, channel_key, _most(limit))

    async def browse(
        self,
        channel_key: str | None = None,
        *,
        cursor: str | None = None,
        limit: int = 50,
        deleted: bool = False,
        sought: Sought = EVERYTHING,
    ) -> Page[Session]:
        meant, bound = sqlite_sought.holding(sought)
        where = f"FROM sessions AS s WHERE {meant}"
        where += "" if channel_key is None else " AND channel_key = :channel"
        where += "" if deleted else " AND deleted_at IS NULL"
        return await self._browsed(where, cursor, limit, channel=channel_key, **bound)

    async def idle_sessions(self, before: datetime, limit: int = 100) -> list[Session]:
        return await self._read(SESSIONS, sqlite_rows.SESSIONS_IDLE, stamp(before), _most(limit))

    async def messages(self, session_id: str, limit: int = 100) -> list[Message]:
        newest_first = await self._read(MESSAGES, sqlite_rows.MESSAGES_NEWEST_FIRST, session_id, _most(limit))
        return newest_first[::-1]

    async def read(
        self, session_id: str | None = None, *, cursor: str | None = None, limit: int = 100, deleted: bool = False
    ) -> Page[Message]:
        where = "FROM messages WHERE true"
        if session_id is not None:
            where += " AND session = (SELECT id FROM sessions WHERE session_id = :session)"
        if not deleted:
            where += " AND deleted_at IS NULL AND NOT EXISTS (SELECT 1 FROM sessions WHERE sessions.id = session"
            where += " AND sessions.deleted_at IS NOT NULL)"
        return await self._leafed(where, cursor, limit, session=session_id)

    async def message(self, message_id: str) -> Message | None:
        return _first(await self._read(MESSAGES, sqlite_rows.MESSAGE_BY_ID, message_id))

    async def after(self, message_id: str) -> str | None:
        found = await self._rows(f"SELECT id FROM messages WHERE message_id IN {_GIVEN}", [message_id])
        return written("newer", found[0]) if found else None

    async def find(self, origin: str) -> Message | None:
        return _first(await self._read(MESSAGES, sqlite_rows.MESSAGE_BY_ORIGIN, *split(origin)))

    async def found(self, origins: Sequence[str]) -> dict[str, str]:
        named = await self._rows(sqlite_rows.FOUND, [split(origin) for origin in origins])
        return {origins[turn]: name for turn, name in named}

    async def search(
        self,
        query: str,
        *,
        channel_keys: Collection[str] | None = None,
        sought: Sought | None = None,
        limit: int = 20,
        skip: int = 0,
    ) -> list[Found]:
        asked, whole = words.parse(query), not query.strip() and sought not in (None, EVERYTHING)
        if not (asked or whole) or limit <= 0:
            return []
        meant = (sought or EVERYTHING).within(channel_keys)
        if asked:
            await self._writer.catch_up()
        query_for, bound = sqlite_sought.newest(meant) if whole else sqlite_sought.matching(meant)
        page = slice(max(0, skip), max(0, skip) + _most(limit))
        bound |= {"limit": _most(limit), "skip": _most(skip)} if whole else {"query": asked.fts5}

        def weigh(connection: sqlite3.Connection) -> list[Found]:
            rows = connection.execute(query_for, bound).fetchall()
            best = [(number, 0.0) for (number,) in rows] if whole else words.ranked(asked, rows)[page]
            numbers = json.dumps([number for number, _ in best])
            found = self._parsed(MESSAGES, connection, sqlite_rows.MESSAGES_BY_NUMBER, numbers)
            return [
                Found(message=message, snippet=text, hits=hits, score=score)
                for message, (_, score) in zip(found, best, strict=True)
                for text, hits in (words.snippet(asked, message.text),)
            ]

        return await self._ask(self._studying, _at_one_moment(weigh))

    async def references(self, hashes: Sequence[str]) -> dict[str, int]:
        query = "SELECT hash, count(*) FROM attachments WHERE hash IN (SELECT value FROM json_each(?)) GROUP BY hash"
        return dict(await self._rows(query, hashes))

    async def pinned(self, session_ids: Sequence[str]) -> set[str]:
        return {name for (name,) in await self._rows(PINNED, session_ids)}

    async def sizes(self, session_ids: Sequence[str]) -> dict[str, int]:
        return dict(await self._rows(SIZES, session_ids))

    async def talk_of(self, user_id: str, *, cursor: str | None = None, limit: int = 100) -> Page[Message]:
        return await self._leafed(sqlite_people.TALK_OF, cursor, limit, user=user_id)

    async def marked_by(self, user_id: str, *, cursor: str | None = None, limit: int = 100) -> Page[Message]:
        return await self._leafed(sqlite_people.MARKED_BY, cursor, limit, user=user_id)

    async def sessions_with(self, user_id: str, *, cursor: str | None = None, limit: int = 50) -> Page[Session]:
        return await self._browsed(sqlite_people.SESSIONS_WITH, cursor, limit, user=user_id)

    async def deleted_messages(self, before: datetime, limit: int = 100) -> list[Message]:
        return await self._study(MESSAGES, sqlite_rows.MESSAGES_DELETED, micros(before), _most(limit))

    async def deleted_sessions(self, before: datetime, limit: int = 100) -> list[Session]:
        return await self._study(SESSIONS, sqlite_rows.SESSIONS_DELETED, stamp(before), _most(limit))

    async def keep(self, *records: Record) -> None:
        if records:
            await self._put(changes.KeepRecords(records))

    async def record(self, kind: type[Kept], id: str) -> Kept | None:
        found = await self.records(kind, id=id, limit=1)
        return next(iter(found.items), None)

    async def records(
        self,
        kind: type[Kept],
        *,
        about: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
        id: str | None = None,
    ) -> Page[Kept]:
        at = understood(cursor, (int, str))
        filters = {"kind": kind.kind, "about": about, "id": id}
        given = {name: storable_all(value) for name, value in filters.items() if value is not None}
        return await self._ask(
            self._reading, _at_one_moment(lambda inner: record_page(inner, kind, given, at, _most(limit)))
        )

    async def remove_records(self, kind: type[Record], ids: Sequence[str]) -> int:
        return cast(int, await self._put(changes.RemoveRecords(kind, tuple(ids))))

    async def nearest(self, vector: Vector, audiences: Collection[str], limit: int = 10) -> list[tuple[Memory, float]]:
        asked = set(audiences)
        return await self._ask(self._studying, lambda inner: self._memories.nearest(inner, vector, asked, limit))

    async def spending(
        self, by: Literal["day", "user", "channel", "persona", "model", "seat"], since: datetime, until: datetime
    ) -> list[Spending]:
        return await self._study(SPENDINGS, sqlite_rows.SPENDING[by], micros(since), micros(until))

    async def scrub(self) -> None:
        self._refuse_closed()
        await self._writer.scrub()

    async def counts(self) -> Counts:
        return await self._study(COUNTS, sqlite_rows.HOW_MUCH)

    async def snapshot(self, path: Path) -> None:
        self._refuse_closed()
        await snapshot(self._writing.path, path)

    async def close(self) -> None:
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _put(self, change: changes.Change) -> Any:
        self._refuse_closed()
        return await self._writer.put(change)

    async def _read(self, shape: TypeAdapter[Result], query: str, *parameters: str | int | None) -> Result:
        return await self._ask(self._reading, lambda inner: self._parsed(shape, inner, query, *parameters))

    async def _study(self, shape: TypeAdapter[Result], query: str, *parameters: str | int | None) -> Result:
        return await self._ask(self._studying, lambda inner: self._parsed(shape, inner, query, *parameters))

    async def _rows(self, query: str, names: Sequence[Any]) -> list[Any]:
        asked = json.dumps(storable_all(list(names)))
        return await self._ask(self._studying, lambda inner: inner.execute(query, (asked,)).fetchall())

    async def _ask(self, connection: Connection, work: Callable[[sqlite3.Connection], Result]) -> Result:
        self._refuse_closed()
        return await connection.run(work)

    def _parsed(
        self, shape: TypeAdapter[Result], inner: sqlite3.Connection, query: str, *parameters: str | int | None
    ) -> Result:
        found = inner.execute(query, [storable_all(value) for value in parameters]).fetchone()[0]
        try:
            return shape.validate_json(found)
        except ValidationError as error:
            raise unreadable(self._reading.path, error) from error

    async def _leafed(self, where: str, cursor: str | None, limit: int, **named: Any) -> Page[Message]:
        at = understood(cursor, (int,))
        return await self._page(MESSAGES, sqlite_rows.messages_where, where, "id", at, limit, **named)

    async def _browsed(self, where: str, cursor: str | None, limit: int, **named: Any) -> Page[Session]:
        at = understood(cursor, (str, int))
        found = await self._page(SESSIONS, sqlite_rows.sessions_where, where, "last_at, id", at, limit, **named)
        return Page(found.items[::-1], found.older, found.newer)

    async def _page(
        self, shape: TypeAdapter[list[Item]], select: Any, where: str, order: str, at: Any, limit: int, **named: Any
    ) -> Page[Item]:
        """A page of the rows that `where` names, in the order of two columns; the items oldest first."""
        direction, key = at
        mark = ", ".join(f":key{place}" for place in range(order.count(",") + 1))
        bound = {name: storable_all(value) for name, value in named.items()}

        def beyond(inner: sqlite3.Connection, side: str, row: Sequence[str | int]) -> str | None:
            sign = "<" if side == "older" else ">"
            query = f"SELECT EXISTS (SELECT 1 {where} AND ({order}) {sign} ({mark}))"
            (there,) = inner.execute(query, {**bound, **_keyed(row)}).fetchone()
            return written(cast(Any, side), tuple(row)) if there else None

        def fetch(inner: sqlite3.Connection) -> Page[Item]:
            older = direction == "older"
            part = "" if key is None else f" AND ({order}) {'<' if older else '>'} ({mark})"
            by = order.replace(",", " DESC,") + " DESC" if older else order
            query = select(f"SELECT * {where}{part} ORDER BY {by} LIMIT :limit")
            found, keys = inner.execute(query, {**bound, **_keyed(key or ()), "limit": _most(limit)}).fetchone()
            try:
                items = shape.validate_json(found)
            except ValidationError as error:
                raise unreadable(self._reading.path, error) from error
            rows = [each if isinstance(each, list) else [each] for each in json.loads(keys)]
            if older:
                items.reverse()
                rows.reverse()
            if rows:
                return Page(tuple(items), beyond(inner, "older", rows[0]), beyond(inner, "newer", rows[-1]))
            (there,) = inner.execute(f"SELECT EXISTS (SELECT 1 {where})", bound).fetchone()
            return nothing(direction, there)

        return await self._ask(self._studying, _at_one_moment(fetch))

    def _refuse_closed(self) -> None:
        if self._closing is not None:
            raise Unavailable(f"The store of {self._bot_name} is closed: open it again.")

    async def _close(self) -> None:
        await self._writer.drain()
        for connection in {self._reading, self._studying} - {self._writing}:
            await connection.close()
        await self._writing.close("PRAGMA wal_checkpoint(TRUNCATE)")


def _at_one_moment(work: Callable[[sqlite3.Connection], Result]) -> Callable[[sqlite3.Connection], Result]:
    """Several statements that see the same state, whatever is written meanwhile."""

    def run(inner: sqlite3.Connection) -> Result:
        inner.execute("BEGIN")
        try:
            return work(inner)
        finally:
            inner.execute("ROLLBACK")

    return run


def _most(limit: int) -> int:
    return min(max(0, limit), 2**31)


def _keyed(key: Sequence[str | int]) -> dict[str, str | int]:
    return {f"key{place}": value for place, value in enumerate(key)}


def _first(found: list[Item]) -> Item | None:
    return found[0] if found else None


_GIVEN = "(SELECT value FROM json_each(?))"
_OF_SESSIONS = f"JOIN sessions AS s ON s.id = m.session WHERE s.session_id IN {_GIVEN}"
PINNED = f"SELECT DISTINCT s.session_id FROM messages AS m {_OF_SESSIONS} AND m.pinned"
SIZES = """
SELECT s.session_id, ifnull(sum(length(CAST(m.content AS BLOB))), 0)
FROM sessions AS s LEFT JOIN messages AS m ON m.session = s.id
WHERE s.session_id IN (SELECT value FROM json_each(?)) GROUP BY s.id
"""
