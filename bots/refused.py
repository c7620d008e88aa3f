"""What storage would not take: tried again in order, each channel's for itself, until it does."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from storage.errors import StorageError, Unavailable

log = structlog.get_logger()

_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class _Waiting:
    channel_key: str
    name: str
    again: Callable[[], Awaitable[object]]


class Refused:
    """The queue of one bot."""

    def __init__(self) -> None:
        self._waiting: deque[_Waiting] = deque()
        self._one = asyncio.Lock()

    def add(self, channel_key: str, name: str, again: Callable[[], Awaitable[object]]) -> None:
        """Remembers how something is kept once storage is back; `name` is for the log, should that never be."""
        if len(self._waiting) >= _LIMIT:
            log.error("line.lost", line=name, reason="too many wait for storage already")
            return
        self._waiting.append(_Waiting(channel_key, name, again))

    async def try_again(self) -> None:
        """Keeps what was refused before, each channel's in its order. Raises `StorageError` when some is refused
        still; one channel's trouble holds up no other."""
        if not self._waiting:
            return
        async with self._one:
            trouble: StorageError | None = None
            stuck: set[str] = set()
            for _ in range(len(self._waiting)):
                each = self._waiting.popleft()
                try:
                    if each.channel_key not in stuck:
                        await each.again()
                        continue
                except Unavailable as error:
                    trouble = error
                    stuck.add(each.channel_key)
                except Exception:
                    log.exception("line.lost", line=each.name, reason="storage takes others, but not this one")
                    continue
                self._waiting.append(each)
            if trouble is not None:
                raise trouble

    def give_up(self) -> None:
        """Says what is lost, once nobody can try again."""
        for each in self._waiting:
            log.error("line.lost", line=each.name)
