"""Group commit: whatever waits while one commit runs goes into the next one together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from .worker import Worker

Change = TypeVar("Change")
Outcome = TypeVar("Outcome")

BATCH = 1000
"""The most changes in one commit, so that nobody waits behind an endless one."""
REST = 0.05
"""Seconds of quiet before spare work is done."""


class GroupCommit(Generic[Change, Outcome]):
    """Hands changes to `commit` on a thread, one batch at a time, in the order they came.

    `commit` answers for each change with an outcome, or with the error that its caller shall see. In quiet moments
    `spare` is called on the thread, for as long as it says that there is more to do.
    """

    def __init__(
        self,
        commit: Callable[[list[Change]], list[Outcome | Exception]],
        thread: Worker,
        spare: Callable[[], bool] = lambda: False,
    ) -> None:
        self._commit = commit
        self._thread = thread
        self._spare = spare
        self._rest: asyncio.TimerHandle | None = None
        self._waiting: list[tuple[Change, asyncio.Future[Outcome]]] = []
        self._idle: asyncio.Future[None] | None = None
        """Set while there is work, done when there is none."""

    async def put(self, change: Change) -> Outcome:
        """Returns once the change is committed. Cancelling the caller leaves the change accepted."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Outcome] = loop.create_future()
        self._waiting.append((change, done))
        if self._idle is None:
            self._idle = loop.create_future()
            if self._rest is not None:
                self._rest.cancel()
            loop.call_soon(self._start)  # after everybody whose turn it is: they share the commit
        return await done

    async def drain(self) -> None:
        """Waits for everything accepted so far, and does no more spare work."""
        self._spare = lambda: False
        if self._idle is not None:
            await asyncio.shield(self._idle)
        if self._rest is not None:
            self._rest.cancel()

    def _start(self) -> None:
        batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
        self._thread.submit(self._run, asyncio.get_running_loop(), batch)

    def _run(self, loop: asyncio.AbstractEventLoop, batch: list[tuple[Change, asyncio.Future[Outcome]]]) -> None:
        """On the thread. The callers are woken straight from here: every step in between would cost a busy loop
        one more round."""
        outcomes: Sequence[Outcome | BaseException]
        try:
            outcomes = self._commit([change for change, _ in batch])
        except BaseException as error:
            outcomes = [error] * len(batch)
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody is waiting
            loop.call_soon_threadsafe(self._settle, [done for _, done in batch], outcomes)

    def _use_quiet(self) -> None:
        if self._idle is None:
            loop = asyncio.get_running_loop()
            self._thread.submit(self._work, loop)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        """On the thread: a piece of spare work, and another after it unless somebody comes."""
        if self._spare():
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._use_quiet)

    def _settle(self, callers: list[asyncio.Future[Outcome]], outcomes: Sequence[Outcome | BaseException]) -> None:
        if self._waiting:
            self._start()
        elif self._idle is not None:
            self._idle.set_result(None)
            self._idle = None
            self._rest = asyncio.get_running_loop().call_later(REST, self._use_quiet)
        for done, outcome in zip(callers, outcomes, strict=True):
            if done.done():
                continue
            if isinstance(outcome, BaseException):
                done.set_exception(outcome)
            else:
                done.set_result(outcome)
