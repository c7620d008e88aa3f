"""A complete copy of one store into another, whatever keeps them, and a digest by which two stores are compared."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from .backend import OLDEST, Page, Store
from .errors import StorageError
from .model import Channel, Counts, Message, Session
from .progress import Tell, silent
from .records import RECORDS, Record

PAGE = 500
"""Items that are in memory at a time."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a store holds: how much, and a SHA-256 over every item, whatever keeps them."""

    counts: Counts
    digest: str


class CopyDiffers(StorageError):
    """A copy does not hold what it was made from."""


async def copy(source: Store, target: Store, *, tell: Tell = silent) -> Contents:
    """Copies everything in `source`, soft-deleted things included, into the empty store `target`, reads it back and
    compares. Nothing may be written to the source meanwhile: pass a frozen one. Memory stays the same however much
    there is. Raises `CopyDiffers`, or `StorageError` when the target is not empty."""
    counts = await source.counts()
    there = await target.counts()
    if there.channels or there.sessions or there.messages or there.records:
        raise StorageError("The copy goes only into an empty store, and this one holds something: choose another.")
    written = _Digest()
    async for channels in every_channel(source):
        await asyncio.gather(*map(target.keep_channel, channels))
        written.add(*channels)
    sessions: dict[str, Session] = {}
    async for page in every_session(source):
        await asyncio.gather(*map(target.save_session, page))
        written.add(*page)
    tell("messages", 0, counts.messages)
    async for messages in every_message(source):
        sessions = await sessions_of(source, messages, sessions)
        await asyncio.gather(*(target.append(sessions[each.session_id], each) for each in messages))
        written.add_in_order(*messages)
        tell("messages", written.placed, counts.messages)
    async for records in every_record(source):
        await target.keep(*records)
        written.add(*records)
    copied = await contents(target, tell=tell)
    if copied.digest != written.told() or copied.counts != counts:
        raise CopyDiffers(
            f"The copy does not hold what its source does ({_shown(copied.counts)} instead of {_shown(counts)}): "
            "the source was written to meanwhile, or a disk is failing. Do not use the copy; try again."
        )
    return copied


async def contents(store: Store, *, tell: Tell = silent) -> Contents:
    """Reads everything in a store, page by page. Nothing may be written to it meanwhile.

    Two stores have the same digest when they hold the same channels, sessions, messages and records, and the messages
    in the same order."""
    counts, digest = await store.counts(), _Digest()
    async for channels in every_channel(store):
        digest.add(*channels)
    async for sessions in every_session(store):
        digest.add(*sessions)
    async for messages in every_message(store):
        digest.add_in_order(*messages)
        tell("checking messages", digest.placed, counts.messages)
    async for records in every_record(store):
        digest.add(*records)
    return Contents(counts, digest.told())


async def sessions_of(source: Store, messages: list[Message], known: dict[str, Session]) -> dict[str, Session]:
    """The sessions of these messages by id; those of the page before are looked at first."""
    found = {}
    for id in {message.session_id for message in messages}:
        session = known.get(id) or await source.session(id)
        if session is None:
            raise StorageError(f"A message belongs to the session {id}, which is not there: the store is damaged.")
        found[id] = session
    return found


async def every_channel(store: Store) -> AsyncGenerator[list[Channel], None]:
    after = ""
    while channels := await store.channels(after, PAGE):
        yield channels
        after = channels[-1].key


async def every_session(store: Store) -> AsyncGenerator[list[Session], None]:
    async for page in pages(lambda cursor: store.browse(cursor=cursor, limit=PAGE, deleted=True)):
        yield page


async def every_message(store: Store) -> AsyncGenerator[list[Message], None]:
    async for page in pages(lambda cursor: store.read(cursor=cursor, limit=PAGE, deleted=True)):
        yield page


async def every_record(store: Store) -> AsyncGenerator[list[Record], None]:
    for kind in RECORDS:
        async for page in pages(lambda cursor, kind=kind: store.records(kind, cursor=cursor, limit=PAGE)):  # type: ignore[misc]
            yield page


async def pages(read: Callable[[str | None], Awaitable[Page[Any]]]) -> AsyncGenerator[list[Any], None]:
    """Page after page from the oldest on."""
    cursor: str | None = OLDEST
    while cursor is not None:
        page = await read(cursor)
        if page.items:
            yield list(page.items)
        cursor = page.newer


class _Digest:
    """A sum of hashes, so that no order is needed where stores promise none; a message counts with its place."""

    def __init__(self) -> None:
        self._sum = 0
        self.placed = 0

    def add(self, *items: BaseModel) -> None:
        for item in items:
            self._add(f"{type(item).__name__}:", item)

    def add_in_order(self, *items: BaseModel) -> None:
        for item in items:
            self._add(f"{self.placed}:", item)
            self.placed += 1

    def told(self) -> str:
        return f"{self._sum % (1 << 256):064x}"

    def _add(self, label: str, item: BaseModel) -> None:
        self._sum += int.from_bytes(hashlib.sha256((label + spelt(item)).encode()).digest())


def spelt(item: BaseModel) -> str:
    """All of it as text: the same for two items that a digest takes for the same."""
    return json.dumps(item.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)


def _shown(counts: Counts) -> str:
    return f"{counts.messages} messages, {counts.sessions} sessions, {counts.channels} channels"
