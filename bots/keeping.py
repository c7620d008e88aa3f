"""Keeping what is said: at once, or in its order as soon as storage takes it again."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import structlog

from storage.backend import Store
from storage.errors import StorageError, Unavailable
from storage.model import Message, Session

from .events import Event, Said, SessionChanged
from .recall import Recent

log = structlog.get_logger()
Changed = TypeVar("Changed")

_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class _Waiting:
    channel_key: str
    name: str
    again: Callable[[], Awaitable[object]]


class Keeping:
    """What one bot keeps, and what storage would not take yet. `latest` gives a session as it stands now; `answered`
    hears what the bot says in one; `tell` is told of all that is kept."""

    def __init__(
        self,
        store: Store,
        recent: Recent,
        latest: Callable[[Session], Session],
        answered: Callable[[Session, Message], None],
        tell: Callable[[Event], None],
    ) -> None:
        self._store = store
        self._recent = recent
        self._latest = latest
        self._answered = answered
        self._tell = tell
        self._waiting: deque[_Waiting] = deque()
        self._one = asyncio.Lock()

    async def keep(self, session: Session, message: Message) -> bool:
        """Keeps a message; False when it was there before. Raises `StorageError`: an answer is then tried again later,
        a line is its hearer's affair."""
        if message.role == "assistant":
            self._answered(session, message)
        try:
            return await self._keep(session, message)
        except StorageError:
            if message.role == "assistant":
                self.later(session.channel.key, message.id, lambda: self._keep(self._latest(session), message))
            raise

    def later(self, channel_key: str, name: str, again: Callable[[], Awaitable[object]]) -> None:
        """Remembers how something is kept once storage is back; `name` is for the log, should that never be."""
        if len(self._waiting) >= _LIMIT:
            log.error("line.lost", line=name, reason="too many wait for storage already")
            return
        self._waiting.append(_Waiting(channel_key, name, again))

    async def in_order(self, channel_key: str, name: str, change: Callable[[], Awaitable[Changed]]) -> Changed | None:
        """Makes a change once all is kept that waits in its channel; None when it has to wait as well. Raises
        `StorageError` when storage refuses this one; it is then tried again later."""
        with suppress(StorageError):
            await self.try_again()
        if any(each.channel_key == channel_key for each in self._waiting):
            self.later(channel_key, name, change)
            return None
        try:
            return await change()
        except StorageError:
            self.later(channel_key, name, change)
            raise

    async def try_again(self) -> None:
        """Keeps what was refused before, each channel's in its order. Raises `StorageError` when some is refused
        still; one channel's trouble holds up no other."""
        if not self._waiting and not self._one.locked():
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

    async def _keep(self, session: Session, message: Message) -> bool:
        kept = await self._store.append(session, message)
        if kept:
            self._recent.heard(message)
            now = self._latest(session)
            if message.role == "user" and message.at == session.opened_at:
                self._tell(SessionChanged(now))
            self._tell(Said(now, message))
        return kept

    def give_up(self) -> None:
        """Says what is lost, once nobody can try again."""
        for each in self._waiting:
            log.error("line.lost", line=each.name)
