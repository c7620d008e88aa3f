"""One answer on its way on the web: what has come of it so far, for whoever listens, from any point."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from storage.errors import StorageError
from storage.model import Message, Sender, Session

from ..errors import TroupeError

_STEPS = 2_000
"""Steps of an answer that can be listened to one by one, at least; who is further behind gets the words so far."""

_KEPT_ALIVE = 15.0
"""Seconds of silence after which whoever listens is told that somebody is still there."""
Told = TypeVar("Told")
Kind = Literal["began", "delta", "reset", "done", "refused"]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to an answer; its number counts within that answer, from 1. Those numbered 0 only repeat
    what happened before."""

    number: int
    kind: Kind
    text: str = ""
    """More words, or why there is no answer."""


@dataclass(eq=False)
class Answering:
    """One answer on its way to whoever listens, and for some minutes after."""

    session: Session
    origin: str
    """Of the line that it answers first."""
    asker: Sender
    id: str = ""
    """The id that the answer will have; empty until it has begun."""
    persona: str = ""
    speaker: str = ""
    line: Message | None = None
    """The line that it answers, once that is kept."""
    message: Message | None = None
    """The answer, once there is one."""
    refused: str = ""
    """Why there is none."""
    done: bool = False
    admitted: bool = False
    """Whether it has its turn, or had it."""
    left: bool = False
    """Whether it is given elsewhere, once the bot has come back."""
    failure: StorageError | TroupeError | None = None
    """Why the line could not be kept."""
    ended_at: float = 0.0
    """On the loop's clock, once it is `done`."""
    number: int = 0
    """That of the last step."""
    _said: list[str] = field(default_factory=list)
    _steps: list[Step] = field(default_factory=list)
    """The latest."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def text(self) -> str:
        """The words so far."""
        return "".join(self._said)

    def tell(self, kind: Kind, text: str = "") -> None:
        """Tells everybody who listens of the next step."""
        if kind == "delta":
            self._said.append(text)
        elif kind == "reset":
            self._said.clear()
        self.number += 1
        self._steps.append(Step(self.number, kind, text))
        if len(self._steps) > 2 * _STEPS:
            del self._steps[:_STEPS]
        self.wake()

    def shrink(self) -> None:
        """Lets go of all but the words and how it ended, once nobody listens step by step any more."""
        self._said = [self.text]
        del self._steps[:-1]

    def wake(self) -> None:
        """Has whoever waits look again."""
        self._news.set()
        self._news = asyncio.Event()

    async def changed(self) -> None:
        """Waits for the next thing that happens."""
        await self._news.wait()

    async def begun(self) -> None:
        """Waits until it has begun, or is over without."""
        while not self.id and not self.done:
            await self.changed()

    async def over(self) -> None:
        """Waits until nothing more comes of it."""
        while not self.done:
            await self.changed()

    async def events(self, after: int | None = None) -> AsyncIterator[Step]:
        """The steps behind number `after`, until the answer is over; without one, or where too many have passed since,
        the words so far as one step."""
        if after is None or not self._has(after):
            known = self.number
            for step in self._so_far(fresh=not after):
                yield step
            after = known
        while True:
            if not self._has(after):  # it took too long meanwhile
                known = self.number
                for step in self._so_far(fresh=False):
                    yield step
                after = known
            for step in self._steps[after - self.number :] if after < self.number else ():
                yield step
                after = step.number
            if after < self.number:
                continue
            if self.done:
                return
            await self.changed()

    def _has(self, after: int) -> bool:
        """Whether all the steps behind a number are at hand."""
        return self.number - len(self._steps) <= after <= self.number

    def _so_far(self, *, fresh: bool) -> list[Step]:
        told = [Step(0, "began")] if self.id else []
        told += [] if fresh else [Step(0, "reset")]
        ended = [each for each in self._steps[-1:] if each.kind in ("done", "refused")]
        told += [Step(self.number - len(ended), "delta", text)] if (text := self.text) else []
        return [*told, *ended]


async def alive(coming: AsyncIterator[Told]) -> AsyncGenerator[Told | None, None]:
    """All that comes, and None whenever nothing did for a while."""
    following: asyncio.Future[Told] = asyncio.ensure_future(anext(coming))
    try:
        while True:
            await asyncio.wait((following,), timeout=_KEPT_ALIVE)
            if not following.done():
                yield None
                continue
            try:
                yield following.result()
            except StopAsyncIteration:
                return
            following = asyncio.ensure_future(anext(coming))
    finally:
        following.cancel()
