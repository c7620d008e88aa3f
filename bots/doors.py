"""One thing at a time in a channel: a lock for each, as long as somebody holds or waits for it."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary


class Doors:
    """The locks of one bot's channels."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, channel_key: str) -> asyncio.Lock:
        """The lock of the channel under `front:id`."""
        return self._locks.setdefault(channel_key, asyncio.Lock())

    def of_origin(self, origin: str) -> asyncio.Lock:
        """The lock of the channel in which something stands, by `front:channel:id`."""
        return self.of(origin.rpartition(":")[0])
