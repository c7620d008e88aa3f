"""One thing at a time in a channel: a lock for each, as long as somebody holds or waits for it."""

from __future__ import annotations

import asyncio
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

    async def kept(self, origin: str) -> None:
        """Returns once nothing of that origin is on its way into storage. A line sets out while the lock of its channel
        is held: whoever asks with that lock finds every line that was said before."""
        if origin in self._coming:
            await asyncio.wait((self._coming[origin],))
