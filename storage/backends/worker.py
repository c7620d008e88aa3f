"""A thread that does one thing after the other for the event loop, with less ceremony than an executor."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

Result = TypeVar("Result")


class Worker:
    """One thread; it ends with the process, or when told to."""

    def __init__(self, name: str) -> None:
        self._asked: SimpleQueue[tuple[Callable[..., object], tuple[Any, ...]] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[..., object], *arguments: Any) -> None:
        """Has `work` done after everything asked before; it must not raise."""
        self._asked.put((work, arguments))

    async def run(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Has `work` done and returns what it returns, or raises what it raises."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Result] = loop.create_future()
        self._asked.put((_answer, (loop, done, work, arguments)))
        return await done

    def end(self) -> None:
        """Lets the thread go once everything asked is done; it takes no more."""
        self._asked.put(None)

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            work, arguments = asked
            work(*arguments)
            del asked, work, arguments  # what was asked must not live on while nothing is


def _answer(
    loop: asyncio.AbstractEventLoop, done: asyncio.Future[Any], work: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    outcome: Any = None
    failure: BaseException | None = None
    try:
        outcome = work(*arguments)
    except BaseException as error:
        failure = error
    with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody is waiting
        loop.call_soon_threadsafe(_settle, done, outcome, failure)


def _settle(done: asyncio.Future[Any], outcome: Any, failure: BaseException | None) -> None:
    if done.done():
        return
    if failure is None:
        done.set_result(outcome)
    else:
        done.set_exception(failure)
