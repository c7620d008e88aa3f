"""One answer on its way on the web: what has come of it so far, for whoever listens, from any point."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from storage.errors import StorageError
from storage.model import Message, Sender, Session

from ..errors import TroupeError

_STEPS = 2_000
"""Steps of an answer that can be listened to one by one, at least; who is further behind gets the words so far."""
STILL_HERE = b": still here\n\n"
"""What a stream of events says in a silence."""
_KEPT_ALIVE = 15.0
"""Seconds of silence after which whoever listens is told that somebody is still there."""
Kind = Literal["began", "delta", "reset", "done", "refused", "silence"]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to an answer; its number counts within that answer, from 1. Those numbered 0 only repeat
    what happened before, or say that nothing did."""

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
    breath: Callable[[], float] = lambda: 0.0
    """How many seconds at least are between two tellings of more words, now: what comes between is told in one."""
    _said: list[str] = field(default_factory=list)
    _steps: list[Step] = field(default_factory=list)
    """The latest."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _held: asyncio.TimerHandle | None = None
    _rests_until: float = 0.0

    @property
    def text(self) -> str:
        """The words so far."""
        return "".join(self._said)

    def tell(self, kind: Kind, text: str = "") -> None:
        """Tells everybody who listens of the next step, of more words after a breath at the latest."""
        if kind == "delta":
            self._said.append(text)
        elif kind == "reset":
            self._said.clear()
        self.number += 1
        self._steps.append(Step(self.number, kind, text))
        if len(self._steps) > 2 * _STEPS:
            del self._steps[:_STEPS]
        if kind != "delta" or not self._breathes():
            self.wake()

    def shrink(self) -> None:
        """Lets go of all but the words and how it ended, once nobody listens step by step any more."""
        self._said = [self.text]
        del self._steps[:-1]

    def _breathes(self) -> bool:
        """Whether those who listen are told a little later, if they are to be told of more words now."""
        if self._held is not None:
            return True
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now < self._rests_until:
            self._held = loop.call_at(self._rests_until, self.wake)
            return True
        self._rests_until = now + self.breath()
        return False

    def wake(self) -> None:
        """Has whoever waits look again."""
        if self._held is not None:
            self._held.cancel()
            self._held = None
            self._rests_until = asyncio.get_running_loop().time() + self.breath()
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
        """The steps behind number `after`, until the answer is over, and `silence` whenever nothing happened for a
        while. Words that came meanwhile are one step; without `after`, or where too much has passed since, all of them
        so far."""
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
            if after < self.number:
                for step in _joined(self._steps[after - self.number :]):
                    yield step
                    after = step.number
            elif self.done:
                return
            elif not await self._stirs():
                yield Step(0, "silence")

    async def _stirs(self) -> bool:
        """Waits for the next thing that happens; whether something did."""
        try:
            async with asyncio.timeout(_KEPT_ALIVE):
                await self.changed()
        except TimeoutError:
            return False
        return True

    def _has(self, after: int) -> bool:
        """Whether all the steps behind a number are at hand."""
        return self.number - len(self._steps) <= after <= self.number

    def _so_far(self, *, fresh: bool) -> list[Step]:
        told = [Step(0, "began")] if self.id else []
        told += [] if fresh else [Step(0, "reset")]
        ended = [each for each in self._steps[-1:] if each.kind in ("done", "refused")]
        told += [Step(self.number - len(ended), "delta", text)] if (text := self.text) else []
        return [*told, *ended]


def _joined(steps: Iterable[Step]) -> Iterator[Step]:
    """The same with words that came right after one another as one step, which has the number of the last."""
    for more, some in groupby(steps, lambda step: step.kind == "delta"):
        if more:
            words = list(some)
            yield Step(words[-1].number, "delta", "".join(each.text for each in words))
        else:
            yield from some
