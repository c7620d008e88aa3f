"""Room for what is learned: where an audience has too many memories, the least useful are put into summaries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from storage.backend import Store
from storage.forgetting import pages
from storage.records import Memory

from .consolidating import PACKED, packed
from .memory_settings import MemorySettings


class Room:
    """The room of one bot's memory; `one` is held while memories are read and written again."""

    def __init__(
        self,
        store: Store,
        *,
        settings: Callable[[], MemorySettings],
        now: Callable[[], datetime],
        one: asyncio.Lock,
        changed: Callable[[Sequence[Memory], Sequence[str]], None],
    ) -> None:
        self._store, self._settings, self._now, self._one, self._changed = store, settings, now, one, changed
        self.grown = True
        """Whether something was learned since it was last seen that there is room."""

    async def make(self) -> None:
        """Puts the least useful memories of each audience together where there are too many of them."""
        if not self.grown:
            return
        self.grown = False
        audiences: dict[str, int] = {}
        over: list[str] = []
        async for page in pages(lambda cursor: self._store.records(Memory, cursor=cursor, limit=200)):
            for memory in page:
                if memory.superseded_by is None:
                    audiences[memory.audience] = audiences.get(memory.audience, 0) + 1
                elif memory.superseded_by.startswith(PACKED):
                    over.append(memory.id)  # a crash kept it beside its summary
        capacity = self._settings().capacity
        for told in [each for each, count in audiences.items() if count > capacity]:
            over += await self._pack(told, capacity)
        if over:
            await self._store.remove_records(Memory, over)
            self._changed((), over)

    async def _pack(self, told: str, capacity: int) -> list[str]:
        """Packs one audience down to nine tenths of its room, so that this is rare. Returns the ids that are in
        summaries now."""
        async with self._one:
            memories: list[Memory] = []
            async for page in pages(lambda cursor: self._store.records(Memory, cursor=cursor, limit=200)):
                memories += [each for each in page if each.audience == told and each.superseded_by is None]
            half_life = timedelta(seconds=self._settings().half_life)
            kept = await asyncio.to_thread(packed, memories, max(1, capacity * 9 // 10), self._now(), half_life)
            there = [await self._store.record(Memory, each.id) for each in kept if each.superseded_by is not None]
            if None in there:  # somebody was forgotten meanwhile: what is left is looked at again
                kept, self.grown = [], True
            if kept:
                await self._store.keep(*kept)
                self._changed(kept, ())
        return [each.id for each in kept if each.superseded_by is not None]
