"""Forgets people also in the places that a bot's talk has left: what these keep would tell of them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import structlog

from storage import connect
from storage.durable import in_thread
from storage.errors import RootInUse, StorageError
from storage.forgotten_list import forget_listed
from storage.presence import present
from storage.rootlock import RootLock

from . import moved
from .errors import ConfigError

log = structlog.get_logger()

_AGAIN = 5.0
"""Seconds after which a place is tried again that the talk is just being moved to."""


class LeftPlaces:
    """Those in one root, which the caller holds. A server that the talk has left is left alone: the status says so."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._due: dict[str, datetime] = {}
        self._work: asyncio.Task[None] | None = None

    def forget(self, people: dict[str, datetime]) -> None:
        """Begins to forget people, each up to a time, in the background. What fails or is cut off is done when it is
        asked for again: at the next start."""
        self._due |= people
        if self._due and self._work is None:
            self._work = asyncio.create_task(self._forget())

    async def done(self) -> None:
        """Returns once what was begun is done."""
        if self._work is not None:
            await asyncio.wait([self._work])

    async def close(self) -> None:
        """Cuts it off."""
        if self._work is not None:
            self._work.cancel()
            await self.done()

    async def _forget(self) -> None:
        try:
            while self._due:
                people, self._due = self._due, {}
                await self._forget_in_all(people)
        except (StorageError, ConfigError) as error:
            log.warning("privacy.left_place_not_cleared", why=str(error))
        finally:
            self._work = None

    async def _forget_in_all(self, people: dict[str, datetime]) -> None:
        if await in_thread(moved.read, self._root) is None:
            return
        lock = await self._held()
        try:
            marker = await in_thread(moved.read, self._root)
            for type in marker.left if marker else ():
                if type == "postgres" or not await present(self._root.name, self._root, type=type):
                    continue
                store = await connect(self._root.name, self._root, type=type)
                try:
                    for done in (await forget_listed(store, people, None)).values():
                        log.info("privacy.left_place_cleared", place=type, **done.all())
                finally:
                    await store.close()
        finally:
            lock.release()

    async def _held(self) -> RootLock:
        while True:
            with suppress(RootInUse):
                return RootLock.take(self._root, moved.LEFT)
            await asyncio.sleep(_AGAIN)
