"""The writer of a PostgreSQL store: whatever waits while one commit runs goes into the next one together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from .. import words
from ..amendments import Amendment, amended
from ..errors import StorageError, Unavailable
from ..model import Message
from ..progress import Tell
from ..records import Memory, Record
from .changes import Amend, Append, Change, KeepRecords, Plain, Watch, located, unwatched
from .json_text import json_text, storable_all
from .postgres_link import Way
from .postgres_rows import MESSAGE_TO_AMEND, MESSAGES, WRITE, Rows, arguments, check_times, rows_of, wording
from .postgres_schema import STEP, Schema
from .postgres_sums import INDEXED, KEEP_RECORDS, vector_index

BATCH = 1000
"""The most changes in one commit, so that nobody waits behind an endless one."""
_GRACE = 5.0
"""Seconds for which closing waits for an index."""


class Writer:
    """Takes changes, writes them in batches, one batch at a time, in the order they came.

    Each change has a number that is kept with its message. When a connection breaks before the server's answer, the
    batch is sent again, and a message that is there with its own number is known to be ours: it was kept, not doubled.
    """

    def __init__(self, way: Way, schema: Schema, bot_name: str, program: int) -> None:
        self._way = way
        self._schema = schema
        self._bot_name = bot_name
        self._write = schema.spelt(WRITE)
        self._number = program << 32
        self._waiting: list[tuple[Rows, asyncio.Future[bool]]] = []
        self._task: asyncio.Task[None] | None = None
        self._amending = asyncio.Lock()
        """Of two amendments the first asked for comes first."""
        self._indexing: dict[tuple[str, int], asyncio.Task[None]] = {}
        """The making of the vectors' indexes, each tried once: without one, searching is only slower."""
        self.watch: Watch = unwatched
        self._under_way: set[asyncio.Future[None]] = set()

    async def put(self, change: Plain) -> bool:
        """Returns once the change is committed, False for a message kept already. Cancelling the caller leaves the
        change accepted."""
        with self.changing(change):
            self._number += 1
            rows = rows_of(change, self._number)
            done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            self._waiting.append((rows, done))
            if self._task is None:
                self._task = asyncio.ensure_future(self._run())
            return await done or not isinstance(change, Append)

    @contextlib.contextmanager
    def changing(self, change: Change) -> Iterator[None]:
        """Around what changes something, from the asking to the answer."""
        with self.watch(change):
            over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._under_way.add(over)
            try:
                yield
            finally:
                self._under_way.discard(over)
                over.set_result(None)

    async def settled(self) -> None:
        """Returns once everything asked for so far is kept or refused."""
        if self._under_way:
            await asyncio.wait(self._under_way)
        if self._task is not None:  # somebody may have given up waiting for what it writes
            await asyncio.shield(self._task)

    async def drain(self) -> None:
        """Waits for everything accepted so far, and a little for an index that is being made."""
        if self._task is not None:
            await asyncio.shield(self._task)
        if making := self._indexing.values():
            _, late = await asyncio.wait(making, timeout=_GRACE)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            outcomes = await self._commit([rows for rows, _ in batch])
            for (_, done), outcome in zip(batch, outcomes, strict=True):
                if done.done():
                    continue
                if isinstance(outcome, BaseException):
                    done.set_exception(outcome)
                else:
                    done.set_result(outcome)
        self._task = None

    async def _commit(self, batch: list[Rows]) -> list[bool | Exception]:
        """One transaction for all; where one of them spoils it, one for each half."""
        told = arguments(batch)

        async def write(connection: Any) -> list[int]:
            kept: list[int] = await connection.fetchval(self._write, self._bot_name, *told)
            return kept

        try:
            kept = set(await self._way.write(write))
        except Unavailable as error:
            return [error for _ in batch]
        except StorageError as error:
            if len(batch) == 1:
                return [error]
            half = len(batch) // 2
            return await self._commit(batch[:half]) + await self._commit(batch[half:])
        except Exception as error:
            return [error for _ in batch]
        return [rows.number in kept for rows in batch]

    async def amend(self, message_id: str, change: Amendment) -> Message | None:
        """Does to a message what `amended` says, while nobody else does."""
        change = type(change).model_validate_json(json_text(change))  # what is kept is what it must be compared with
        find, put, refer = (self._schema.spelt(sql) for sql in (MESSAGE_TO_AMEND, _AMEND, _REFER))

        async def work(connection: Any) -> Message | None:
            async with connection.transaction():
                found, _ = await connection.fetchrow(find, storable_all(message_id))
                before = next(iter(MESSAGES.validate_json(found)), None)
                if before is None:
                    return None
                after = amended(before, change)
                if after is before:
                    return before
                check_times(after)
                content, parts, spelt = wording(after)
                said = [json_text(each) if each else None for each in (after.edits, after.reactions, after.annotations)]
                values = (content, parts, spelt, *said, after.pinned, after.deleted_at)
                await connection.execute(put, before.id, *values)
                if after.blobs != before.blobs:
                    await connection.execute(refer, before.id, sorted(map(storable_all, after.blobs)))
                (found, _) = await connection.fetchrow(find, before.id)
                return MESSAGES.validate_json(found)[0]

        with self.changing(Amend(message_id, change)):
            async with self._amending:
                return await self._way.write(work)

    async def keep(self, records: Sequence[Record]) -> None:
        """Stores records, all or none; of those with one kind and id the last."""
        latest = {(record.kind, storable_all(record.id)): record for record in records}
        rows = [json_text(_record_row(record)) for record in latest.values()]
        vectors = [
            {"id": record.id, "audience": record.audience, "model": record.vector.model, "data": record.vector.values}
            for record in latest.values()
            if isinstance(record, Memory) and record.vector is not None
        ]
        told = (self._bot_name, f"[{','.join(rows)}]", json_text(vectors))
        with self.changing(KeepRecords(tuple(records))):
            await self._way.write(lambda connection: connection.execute(self._schema.spelt(KEEP_RECORDS), *told))
        for model, dimensions in {(str(row["model"]), len(row["data"])) for row in vectors} - self._indexing.keys():
            if self._schema.vectors and 0 < dimensions <= INDEXED:
                self._indexing[model, dimensions] = asyncio.ensure_future(self._index(model, dimensions))

    async def _index(self, model: str, dimensions: int) -> None:
        """Makes the index of a model's vectors; trouble is let pass, for the next program tries again."""
        quote = "SELECT quote_literal($1::text), quote_ident('idx_vectors_' || md5($1) || '_' || $2::integer)"

        async def work(connection: Any) -> None:
            literal, name = await connection.fetchrow(quote, storable_all(model), dimensions)
            on = self._schema.spelt(vector_index(dimensions))  # before a model's name, which may hold anything
            async with connection.transaction():
                await connection.execute("SET LOCAL statement_timeout = 0")  # over years of memories
                await connection.execute(
                    f"CREATE INDEX IF NOT EXISTS {name} ON {on} AND model = {literal}", timeout=STEP
                )

        with contextlib.suppress(StorageError):
            await self._way.write(work)

    async def respell(self, tell: Tell) -> None:
        """Spells the words of every message anew where they were spelt by other rules than this program's."""
        last: int | None = 0
        while last is not None and await self._ask(_LEXER) != words.LEXER:
            tell("spelling the words anew", last, 0)
            last = await self._respell_from(last)

    async def _respell_from(self, last: int) -> int | None:
        """The same for some messages beyond a row number; returns the last of them, None once all are done."""
        chunk = self._schema.spelt(_CHUNK)
        found = await self._way.write(lambda connection: connection.fetch(chunk, last))
        if not found:
            await self._ask(_SPELT, words.LEXER)
            return None
        numbers, contents = [number for number, _ in found], [content for _, content in found]
        await self._ask(_RESPELL, numbers, contents, list(map(words.tsvector, contents)))
        return int(numbers[-1])

    async def vacuum(self) -> None:
        """Has the server give up what was removed; in its backups and its log it stays for as long as those do."""

        async def work(connection: Any) -> None:
            await connection.execute("SET statement_timeout = 0")  # over years of talk
            try:
                for table in ("conversations", "sessions", "channels", "records", "vectors", "attachments", "receipts"):
                    await connection.execute(self._schema.spelt(f"VACUUM bot.{table}"), timeout=STEP)
            finally:
                await connection.execute("RESET statement_timeout")

        await self._way.write(work)

    async def _ask(self, sql: str, *values: Any) -> Any:
        return await self._way.write(lambda connection: connection.fetchval(self._schema.spelt(sql), *values))

    async def remove(self, change: Change, sql: str, *values: Any) -> int:
        """How many there were, by the statement that does the change."""
        with self.changing(change):
            return int(await self._ask(sql, *storable_all(list(values))))


def _record_row(record: Record) -> dict[str, Any]:
    for at in (record.at, getattr(record, "touched_at", None)):
        if at is not None:
            located(at)
    body = record.model_dump(mode="json", exclude={"vector"})
    return {"kind": record.kind, "id": record.id, "at": record.at, "about": record.about, "body": body}


_AMEND = """
UPDATE bot.conversations SET content = $2, parts = $3, words = $4::text::tsvector, edits = $5, reactions = $6,
    annotations = $7, pinned = $8, deleted_at = $9
WHERE message_id = $1
"""
_REFER = "INSERT INTO bot.attachments (hash, message_id) SELECT unnest($2::text[]), $1 ON CONFLICT DO NOTHING"
_LEXER = "SELECT value FROM bot.facts WHERE name = 'lexer'"
_SPELT = """
INSERT INTO bot.facts (name, value) VALUES ('lexer', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
_CHUNK = "SELECT id, content FROM bot.conversations WHERE id > $1 ORDER BY id LIMIT 500"
# One that was amended meanwhile is spelt anew already.
_RESPELL = """
UPDATE bot.conversations AS m SET words = anew.words::tsvector
FROM unnest($1::bigint[], $2::text[], $3::text[]) AS anew(id, content, words)
WHERE m.id = anew.id AND m.content = anew.content
"""
