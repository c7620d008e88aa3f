"""The program that is killed: it keeps messages as fast as it can, and tells of each once it is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from storage.backend import Store
from storage.rootlock import RootLock

from . import talk
from .talk import AT_ONCE, CROWD, LANES, Name, Place, Tell

BURST = 4
"""Steps between opening and closing for those who never settle down."""


async def write(place: Place, round: int, restless: bool, tell: Tell) -> None:
    """Writes until it is killed; the restless open and close the store all the time."""
    with held(place):
        steps: list[Callable[[Store, int], Awaitable[None]]]
        steps = [_Lane(round, lane, tell).step for lane in LANES]
        steps.append(_Crowd(round, tell).step)
        done = 0
        while True:
            store = await place.open()
            tell("opened")
            going_on = BURST if restless else 1 << 40
            await asyncio.gather(*(_repeated(step, store, done, done + going_on) for step in steps))
            done += going_on
            await store.close()


@contextmanager
def held(place: Place) -> Iterator[None]:
    """The root, for one process at a time, where it is not a server's."""
    lock = None if place.backend == "postgres" else RootLock.take(place.root)
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


async def _repeated(step: Callable[[Store, int], Awaitable[None]], store: Store, start: int, end: int) -> None:
    number = start
    while number < end:
        number += 1
        await step(store, number)


class _Lane:
    """One session, in which one thing is done after the other."""

    def __init__(self, round: int, lane: str, tell: Tell) -> None:
        self._round = round
        self._lane = lane
        self._tell = tell

    async def step(self, store: Store, number: int) -> None:
        name = Name(self._round, self._lane, number)
        session, message = talk.session(name), talk.message(name)
        if not await store.append(session, message):
            raise AssertionError(f"{name} was refused as kept already")
        self._tell("kept", name)
        if change := talk.amendment(name):
            if await store.amend(message.id, change) != talk.changed(name):
                raise AssertionError(f"{name} is something else after its amendment")
            self._tell("changed", name)
        match number % 8:
            case 3:
                await store.keep_receipts(message.id, (talk.page(name),))
                self._tell("changed", name)
            case 4:
                await store.keep(talk.run(name))
                self._tell("run", name)
            case 6:
                passing = talk.passing(name)
                await store.append(session, passing)
                await store.remove_messages([passing.id])
                self._tell("removed", name)
            case 7:
                after = Name(self._round, self._lane, number + 1)
                await store.save_session(talk.session(after).model_copy(update={"last_at": session.last_at}))
                self._tell("titled", after)


class _Crowd:
    """One session, in which many speak at once; they are kept in the order in which they began."""

    def __init__(self, round: int, tell: Tell) -> None:
        self._round = round
        self._tell = tell

    async def step(self, store: Store, number: int) -> None:
        first = (number - 1) * AT_ONCE + 1
        await asyncio.gather(*(self._say(store, first + place) for place in range(AT_ONCE)))

    async def _say(self, store: Store, number: int) -> None:
        name = Name(self._round, CROWD, number)
        if not await store.append(talk.session(name), talk.message(name)):
            raise AssertionError(f"{name} was refused as kept already")
        self._tell("kept", name)
