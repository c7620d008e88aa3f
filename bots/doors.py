"""One thing at a time in a channel: a lock for each, as long as somebody holds or waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class Doors:
    """The locks of one bot's channels."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._coming: dict[str, asyncio.Future[bool]] = {}

    def of(self, channel_key: str) -> asyncio.Lock:
        """The lock of the channel under `front:id`."""
        return self._locks.setdefault(channel_key, asyncio.Lock())

    def coming(self, origin: str, kept: asyncio.Future[bool]) -> None:
        """Told that a line is on its way into storage: whatever is done to it has to wait for that."""
        self._coming[origin] = kept
        kept.add_done_callback(lambda _: self._coming.pop(origin, None))

    @asynccontextmanager
    async def of_origin(self, origin: str) -> AsyncIterator[None]:
        """Holds the lock of the channel in which something stands, by `front:channel:id`, once that is kept."""
        async with self.of(origin.rpartition(":")[0]):
            if origin in self._coming:
                await asyncio.wait((self._coming[origin],))
            yield
