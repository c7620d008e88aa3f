"""A migration that is only tried: what it would write goes into a store aside, which is gone afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from . import connect
from .backend import Kept, Page, Store
from .legacy import Terms
from .model import Channel, Message, Session
from .records import Record


class Target(Protocol):
    """What a migration asks of a store: see `Store`."""

    async def keep_channel(self, channel: Channel) -> Channel: ...
    async def channel(self, key: str) -> Channel | None: ...
    async def append(self, session: Session, message: Message) -> bool: ...
    async def save_session(self, session: Session) -> None: ...
    async def session(self, session_id: str) -> Session | None: ...
    async def message(self, message_id: str) -> Message | None: ...
    async def find(self, origin: str) -> Message | None: ...
    async def read(self, *, limit: int, deleted: bool) -> Page[Message]: ...
    async def keep(self, *records: Record) -> None: ...
    async def record(self, kind: type[Kept], id: str) -> Kept | None: ...
    async def records(self, kind: type[Kept], *, cursor: str | None, limit: int) -> Page[Kept]: ...


@asynccontextmanager
async def rehearsing(store: Store, terms: Terms) -> AsyncIterator[Target]:
    """A target that knows what the store holds and writes nothing to it."""
    with tempfile.TemporaryDirectory(dir=terms.scratch) as folder:
        aside = await connect(terms.bot, Path(folder) / "store")
        try:
            yield _Rehearsal(store, aside)
        finally:
            await aside.close()


class _Rehearsal:
    """Reads from both stores, writes to the one aside."""

    def __init__(self, real: Store, aside: Store) -> None:
        self._real, self._aside = real, aside

    async def keep_channel(self, channel: Channel) -> Channel:
        return await self._aside.keep_channel(channel)

    async def channel(self, key: str) -> Channel | None:
        return await self._aside.channel(key) or await self._real.channel(key)

    async def append(self, session: Session, message: Message) -> bool:
        if await self._real.message(message.id) or (message.origin and await self._real.find(message.origin)):
            return False
        return await self._aside.append(session, message)

    async def save_session(self, session: Session) -> None:
        await self._aside.save_session(session)

    async def session(self, session_id: str) -> Session | None:
        return await self._aside.session(session_id) or await self._real.session(session_id)

    async def message(self, message_id: str) -> Message | None:
        return await self._aside.message(message_id) or await self._real.message(message_id)

    async def find(self, origin: str) -> Message | None:
        return await self._aside.find(origin) or await self._real.find(origin)

    async def read(self, *, limit: int, deleted: bool) -> Page[Message]:
        return await self._aside.read(limit=limit, deleted=deleted)

    async def keep(self, *records: Record) -> None:
        await self._aside.keep(*records)

    async def record(self, kind: type[Kept], id: str) -> Kept | None:
        return await self._aside.record(kind, id) or await self._real.record(kind, id)

    async def records(self, kind: type[Kept], *, cursor: str | None, limit: int) -> Page[Kept]:
        return await self._real.records(kind, cursor=cursor, limit=limit)
