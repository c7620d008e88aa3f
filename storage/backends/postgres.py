"""PostgreSQL: a bot's whole store in one schema of a database, which several processes may write at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from .. import words
from ..amendments import Amendment
from ..backend import Kept, Page, Store
from ..errors import Unavailable
from ..model import Channel, Counts, Found, Message, Receipt, Session, Spending
from ..progress import Tell, silent
from ..records import Memory, Record, Vector
from ..sought import EVERYTHING, Sought
from . import changes, postgres_sought
from . import postgres_people as people
from . import postgres_rows as rows
from . import postgres_sums as sums
from .changes import Append, KeepChannel, KeepReceipts, Plain, SaveSession, located, past
from .cursors import nothing, understood, written
from .json_text import storable_all
from .postgres_link import Link, Way
from .postgres_schema import Schema, prepare, schema_name
from .postgres_writer import Writer

Result = TypeVar("Result")

STATEMENT_TIMEOUT = 30.0
PATIENCE = 30.0


class PostgresStore:
    """One bot's store in the schema `troupe_<bot>`.

    A write whose connection breaks before the server has answered is sent again, and known again by its number, so it
    is neither lost nor doubled. When the server stays away for longer than the store's patience, the caller hears
    `Unavailable` for something that may have been kept all the same; the same message again is then False. What
    removes has no number: sent again after its answer got lost, it finds nothing left to remove, and answers 0.

    Statements are prepared: a point read takes 0.1 ms so, and 0.5 ms without. A pooler in between must follow them
    (PgBouncer 1.21 with `max_prepared_statements`) and needs
    `ignore_startup_parameters = statement_timeout, idle_in_transaction_session_timeout`.
    """

    def __init__(self, bot_name: str, schema: Schema, program: int, way: Way) -> None:
        self._bot_name = bot_name
        self._schema = schema
        self._program = program
        self._way = way
        self._writer = Writer(way, schema, bot_name, program)
        self.writing = self._writer
        self._closing: asyncio.Future[None] | None = None

    @classmethod
    async def open(
        cls,
        url: str,
        bot_name: str,
        *,
        statement_timeout: float = STATEMENT_TIMEOUT,
        patience: float = PATIENCE,
        tell: Tell = silent,
    ) -> PostgresStore:
        """Opens the store, making its schema where it is missing. The URL is libpq's, TLS options included.

        A statement is stopped after `statement_timeout` seconds, and work is tried again for `patience` seconds while
        the server is away. `tell` hears how far the work is that a newer program finds to do. Raises `Unavailable` or
        `NewerSchema`."""
        schema_name(bot_name)
        link = Link(url, bot_name, statement_timeout, patience)
        await link.start()
        try:
            schema, program = await link.write(lambda connection: prepare(connection, bot_name, link.place))
            store = cls(bot_name, schema, program, link)
            await store._writer.respell(tell)
        except BaseException:
            await link.close()
            raise
        return store

    async def keep_channel(self, channel: Channel) -> Channel:
        kept = await self.channel(channel.key)
        if kept is None or kept != channel.model_copy(update=past(kept)):
            await self._put(KeepChannel(channel))
            kept = await self.channel(channel.key)
        return kept or channel

    async def channel(self, key: str) -> Channel | None:
        return _first(await self._read(rows.CHANNELS, rows.CHANNEL_BY_KEY, key))

    async def channels(self, after: str = "", limit: int = 100) -> list[Channel]:
        return await self._read(rows.CHANNELS, rows.CHANNELS_BY_KEY, after, min(max(0, limit), 2**31))

    async def append(self, session: Session, message: Message) -> bool:
        if message.session_id != session.id:
            raise ValueError(f"message {message.id} belongs to session {message.session_id}, not to {session.id}")
        return await self._put(Append(session, message))

    async def keep_receipts(self, message_id: str, receipts: tuple[Receipt, ...]) -> None:
        if receipts:
            await self._put(KeepReceipts(message_id, receipts))

    async def amend(self, message_id: str, change: Amendment) -> Message | None:
        self._refuse_closed()
        return await self._writer.amend(message_id, change)

    async def remove_messages(self, ids: Sequence[str]) -> int:
        return await self._remove(changes.RemoveMessages(tuple(ids)), "SELECT bot.remove_messages($1)", list(ids))

    async def save_session(self, session: Session) -> None:
        await self._put(SaveSession(session))

    async def open_session(self, session: Session, fresh: datetime | None) -> Session:
        self._refuse_closed()
        told = (self._bot_name, rows.session_row(session), fresh and located(fresh))
        sql = self._schema.spelt("SELECT bot.open_session($1, $2, $3)")
        with self.writing.changing(SaveSession(session)):
            name = await self._way.write(lambda connection: connection.fetchval(sql, *told))
        return await self.session(name) or session

    async def remove_sessions(self, ids: Sequence[str]) -> int:
        return await self._remove(changes.RemoveSessions(tuple(ids)), "SELECT bot.remove_sessions($1)", list(ids))

    async def remove_channels(self, keys: Sequence[str]) -> int:
        return await self._remove(changes.RemoveChannels(tuple(keys)), people.REMOVE_CHANNELS, list(keys))

    async def session(self, session_id: str) -> Session | None:
        return _first(await self._read(rows.SESSIONS, rows.SESSION_BY_ID, session_id))

    async def sessions(self, channel_key: str | None = None, *, limit: int = 50) -> list[Session]:
        if channel_key is None:
            return await self._read(rows.SESSIONS, rows.SESSIONS_LAST_FIRST, min(max(0, limit), 2**31))
        return await self._read(rows.SESSIONS, rows.SESSIONS_OF_CHANNEL, min(max(0, limit), 2**31), channel_key)

    async def browse(
        self,
        channel_key: str | None = None,
        *,
        cursor: str | None = None,
        limit: int = 50,
        deleted: bool = False,
        sought: Sought = EVERYTHING,
    ) -> Page[Session]:
        meant, values = postgres_sought.holding(await self._spelt(sought), 2)
        where = ["true" if deleted else "s.deleted_at IS NULL", meant]
        if channel_key is not None:
            values.append(channel_key)
            where.append(f"s.channel_key = ${len(values) + 1}")
        return await self._browsed(" AND ".join(where), values, cursor, limit)

    async def idle_sessions(self, before: datetime, limit: int = 100) -> list[Session]:
        return await self._read(rows.SESSIONS, rows.SESSIONS_IDLE, located(before), min(max(0, limit), 2**31))

    async def messages(self, session_id: str, limit: int = 100) -> list[Message]:
        found = await self._read(rows.MESSAGES, rows.MESSAGES_NEWEST_FIRST, session_id, min(max(0, limit), 2**31))
        return found[::-1]

    async def read(
        self, session_id: str | None = None, *, cursor: str | None = None, limit: int = 100, deleted: bool = False
    ) -> Page[Message]:
        where = ["true" if deleted else rows.IN_SIGHT]
        values: list[Any] = []
        if session_id is not None:
            values.append(session_id)
            where.append(f"m.session_id = ${len(values) + 1}")
        return await self._leafed(" AND ".join(where), values, cursor, limit)

    async def message(self, message_id: str) -> Message | None:
        return _first(await self._read(rows.MESSAGES, rows.MESSAGE_BY_ID, message_id))

    async def after(self, message_id: str) -> str | None:
        found = await self._fetch("SELECT id FROM bot.conversations WHERE message_id = $1", message_id)
        return written("newer", tuple(found[0])) if found else None

    async def find(self, origin: str) -> Message | None:
        return _first(await self._read(rows.MESSAGES, rows.MESSAGE_BY_ORIGIN, origin))

    async def found(self, origins: Sequence[str]) -> dict[str, str]:
        return {origins[turn - 1]: name for turn, name in await self._fetch(rows.FOUND, list(origins))}

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
        meant = await self._spelt((sought or EVERYTHING).within(channel_keys))
        if whole:
            sql, values = postgres_sought.newest(meant)
            best = [(int(n), 0.0) for (n,) in await self._fetch(sql, min(limit, 2**31), max(0, skip), *values)]
        else:
            sql, values = postgres_sought.matching(meant)
            candidates = [(int(n), str(content)) for n, content in await self._fetch(sql, asked.tsquery, *values)]
            best = words.ranked(asked, candidates)[max(0, skip) :][:limit]
        by_number = await self._numbered([number for number, _ in best])
        shown = [(by_number[number], score) for number, score in best if number in by_number]
        return [Found(message=one, score=score, **_shown(asked, one.text)) for one, score in shown]

    async def references(self, hashes: Sequence[str]) -> dict[str, int]:
        return await self._read(rows.HOW_MANY, sums.REFERENCES, list(hashes))

    async def pinned(self, session_ids: Sequence[str]) -> set[str]:
        return await self._read(rows.IDS, sums.PINNED, list(session_ids))

    async def sizes(self, session_ids: Sequence[str]) -> dict[str, int]:
        return await self._read(rows.HOW_MANY, sums.SIZES, list(session_ids))

    async def talk_of(self, user_id: str, *, cursor: str | None = None, limit: int = 100) -> Page[Message]:
        return await self._leafed(people.TALK_OF, [user_id], cursor, limit)

    async def marked_by(self, user_id: str, *, cursor: str | None = None, limit: int = 100) -> Page[Message]:
        return await self._leafed(people.MARKED_BY, [user_id], cursor, limit)

    async def sessions_with(self, user_id: str, *, cursor: str | None = None, limit: int = 50) -> Page[Session]:
        return await self._browsed(people.SESSIONS_WITH, [user_id], cursor, limit)

    async def deleted_messages(self, before: datetime, limit: int = 100) -> list[Message]:
        return await self._read(rows.MESSAGES, rows.MESSAGES_DELETED, located(before), min(max(0, limit), 2**31))

    async def deleted_sessions(self, before: datetime, limit: int = 100) -> list[Session]:
        return await self._read(rows.SESSIONS, rows.SESSIONS_DELETED, located(before), min(max(0, limit), 2**31))

    async def keep(self, *records: Record) -> None:
        self._refuse_closed()
        if records:
            await self._writer.keep(records)

    async def record(self, kind: type[Kept], id: str) -> Kept | None:
        shape: TypeAdapter[list[Kept]] = TypeAdapter(list[kind])  # type: ignore[valid-type]
        return _first(await self._read(shape, rows.RECORD_BY_ID, kind.kind, id))

    async def records(
        self, kind: type[Kept], *, about: str | None = None, cursor: str | None = None, limit: int = 100
    ) -> Page[Kept]:
        where, values = "r.kind = $2", [kind.kind]
        if about is not None:
            where, values = f"{where} AND r.about = $3", [*values, about]
        shape: TypeAdapter[list[Kept]] = TypeAdapter(list[kind])  # type: ignore[valid-type]
        shown = (sums.RECORDS, where, values, rows.records_where)
        return await self._page(shape, shown, cursor, (int, str), limit, newest_first=True)

    async def remove_records(self, kind: type[Record], ids: Sequence[str]) -> int:
        return await self._remove(changes.RemoveRecords(kind, tuple(ids)), sums.REMOVE_RECORDS, kind.kind, list(ids))

    async def nearest(self, vector: Vector, audiences: Collection[str], limit: int = 10) -> list[tuple[Memory, float]]:
        size = len(vector.values)
        by_index = self._schema.vectors is not None and 0 < size <= sums.INDEXED
        sql = self._schema.spelt(sums.nearest_by_index(size) if by_index else sums.NEAREST)
        told = storable_all([list(vector.values), vector.model, sorted(audiences), min(max(0, limit), 2**31)])

        async def work(connection: Any) -> list[tuple[str, float]]:
            async with connection.transaction():
                if by_index:  # go on until enough of what the index brings may be told
                    await connection.execute(
                        "SET LOCAL hnsw.iterative_scan = strict_order; SET LOCAL hnsw.ef_search = 200"
                    )
                return [(name, likeness) for name, likeness in await connection.fetch(sql, *told)]

        self._refuse_closed()
        best = await self._way.read(work)
        names = [name for name, _ in best]
        found = await self._read(TypeAdapter(list[Memory]), rows.RECORDS_BY_ID, Memory.kind, names)
        # Between the two looks a memory may have become somebody else's.
        memories = {memory.id: memory for memory in found if memory.audience in told[2]}
        return [(memories[name], likeness) for name, likeness in best if name in memories]

    async def spending(
        self, by: Literal["day", "user", "channel", "persona", "model", "seat"], since: datetime, until: datetime
    ) -> list[Spending]:
        return await self._read(rows.SPENDINGS, sums.SPENDING[by], located(since), located(until))

    async def scrub(self) -> None:
        self._refuse_closed()
        await self._writer.vacuum()

    async def counts(self) -> Counts:
        return await self._read(rows.COUNTS, sums.HOW_MUCH)

    @contextlib.asynccontextmanager
    async def frozen(self) -> AsyncIterator[Store]:
        """A store on a connection of its own. While it is held, the server keeps what was removed since: let go of it
        soon. It does not outlive a restart of the server."""
        self._refuse_closed()
        if not isinstance(self._way, Link):
            yield self
            return
        async with self._way.moment() as way:
            yield PostgresStore(self._bot_name, self._schema, self._program, way)

    async def close(self) -> None:
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _put(self, change: Plain) -> bool:
        self._refuse_closed()
        return await self._writer.put(change)

    async def _remove(self, change: changes.Change, sql: str, *values: Any) -> int:
        self._refuse_closed()
        return await self._writer.remove(change, sql, *values)

    async def _fetch(self, sql: str, *values: Any) -> list[Any]:
        self._refuse_closed()
        told = storable_all(list(values))
        found: list[Any] = await self._way.read(lambda connection: connection.fetch(self._schema.spelt(sql), *told))
        return found

    async def _read(self, shape: TypeAdapter[Result], sql: str, *values: Any) -> Result:
        (row,) = await self._fetch(sql, *values)
        return self._parsed(shape, row[0])

    async def _spelt(self, sought: Sought) -> Sought:
        return postgres_sought.tagged(sought, await self._fetch(postgres_sought.TAGS) if sought.tags else [])

    async def _numbered(self, numbers: list[int]) -> dict[int, Message]:
        ((found, keys),) = await self._fetch(rows.MESSAGES_BY_NUMBER, numbers)
        messages = self._parsed(rows.MESSAGES, found)
        return {number: message for (number,), message in zip(json.loads(keys), messages, strict=True)}

    async def _leafed(self, where: str, values: list[Any], cursor: str | None, limit: int) -> Page[Message]:
        shown = (sums.MESSAGES, where, values, rows.messages_where)
        return await self._page(rows.MESSAGES, shown, cursor, (int,), limit, newest_first=False)

    async def _browsed(self, where: str, values: list[Any], cursor: str | None, limit: int) -> Page[Session]:
        shown = (sums.SESSIONS, where, values, rows.sessions_where)
        return await self._page(rows.SESSIONS, shown, cursor, (int, int), limit, newest_first=True)

    async def _page(
        self,
        shape: TypeAdapter[list[Result]],
        shown: tuple[sums.Listing, str, list[Any], Any],
        cursor: str | None,
        key_shape: tuple[type, ...],
        limit: int,
        *,
        newest_first: bool,
    ) -> Page[Result]:
        """A page of what is shown: a listing, a condition, the values in it from $2 on, how its rows become JSON."""
        listing, where, values, as_json = shown
        direction, key = understood(cursor, key_shape)
        start = rows.key_values(cursor, key)
        first = len(values) + 2
        selected, others = sums.page(
            listing, where, direction, ", ".join(f"${n}" for n in range(first, first + len(start)))
        )
        sql = f"SELECT *, {others} FROM ({as_json(selected)}) AS page"
        ((found, keys, others_there),) = await self._fetch(sql, min(max(0, limit), 2**31) + 1, *values, *start)
        items, ends = self._parsed(shape, found)[: min(max(0, limit), 2**31)], json.loads(keys)
        if not items:
            return nothing(direction, int(others_there))
        onward = written(direction, tuple(ends[len(items) - 1])) if len(ends) > len(items) else None
        back = written("newer" if direction == "older" else "older", tuple(ends[0])) if others_there else None
        if (direction == "older") != newest_first:
            items = items[::-1]
        return Page(tuple(items), *((onward, back) if direction == "older" else (back, onward)))

    def _parsed(self, shape: TypeAdapter[Result], found: str) -> Result:
        try:
            return shape.validate_json(found)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise Unavailable(
                f"The schema {self._schema.name} holds a row that this program cannot read: {where}: {first['msg']}."
            ) from error

    def _refuse_closed(self) -> None:
        if self._closing is not None:
            raise Unavailable(f"The store of {self._bot_name} is closed: open it again.")

    async def _close(self) -> None:
        await self._writer.drain()
        await self._way.close()


def _shown(asked: words.Query, text: str) -> dict[str, Any]:
    snippet, hits = words.snippet(asked, text)
    return {"snippet": snippet, "hits": hits}


def _first(found: list[Result]) -> Result | None:
    return found[0] if found else None
