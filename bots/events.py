"""What happens in a bot, told to whoever listens: typed, in order, and never waited for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from storage.model import Message, Sender, Session


@dataclass(frozen=True, slots=True)
class Said:
    """A line or an answer was kept, or a notice of the bot."""

    session: Session
    message: Message


@dataclass(frozen=True, slots=True)
class Began:
    """An answer is about to be given."""

    session: Session
    answer_id: str
    persona: str
    speaker: str
    asked: tuple[str, ...]
    """The ids of the lines that it answers."""


@dataclass(frozen=True, slots=True)
class More:
    """More words of an answer."""

    session: Session
    answer_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Anew:
    """The words of an answer so far are to be forgotten: it starts again."""

    session: Session
    answer_id: str


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing more comes of an answer. What is kept of it was `Said` before."""

    session: Session
    answer_id: str


@dataclass(frozen=True, slots=True)
class Changed:
    """A message was edited, deleted, reacted to or noted on; this is how it stands now."""

    session: Session
    message: Message


@dataclass(frozen=True, slots=True)
class SessionChanged:
    """A session was begun, named, tagged, archived, closed, taken up again or removed."""

    session: Session
    gone: bool = False
    """Removed for good."""


@dataclass(frozen=True, slots=True)
class Typing:
    """Somebody is writing in a channel."""

    channel_key: str
    sender: Sender
    at: datetime
    session_id: str | None = None


@dataclass(frozen=True, slots=True)
class Presence:
    """Somebody came to the console, or left it."""

    channel_key: str
    sender: Sender
    state: Literal["here", "gone"]
    at: datetime


@dataclass(frozen=True, slots=True)
class Quieted:
    """An operator has the bot answer nobody in a channel until some time; None is that it answers again."""

    channel_key: str
    until: datetime | None
    by: Sender


@dataclass(frozen=True, slots=True)
class Standing:
    """How the answers under way stand: what a listener asks for, and hears in its place among the other events."""

    answers: tuple[tuple[Began, str], ...]
    """Each with its words so far."""


Event = Said | Began | More | Anew | Ended | Changed | SessionChanged | Typing | Presence | Quieted | Standing
Wanted = Callable[[Event], bool]


class Behind(Exception):
    """A listener took too long, and was dropped."""


class Events:
    """What happens in one bot. Telling never waits and never fails; who listens too slowly is dropped."""

    def __init__(self) -> None:
        self._everywhere: set[Listening] = set()
        self._somewhere: dict[str, set[Listening]] = {}
        """By the key of a channel, or the id of a session: who listens elsewhere costs nothing."""

    @property
    def listened(self) -> bool:
        """Whether anybody listens."""
        return bool(self._everywhere or self._somewhere)

    @property
    def everywhere(self) -> int:
        """How many listen to all that happens."""
        return len(self._everywhere)

    def tell(self, event: Event) -> None:
        """Tells everybody who wants to know."""
        for each in tuple(self._everywhere):
            each.hear(event)
        if self._somewhere:
            there = [self._somewhere.get(place) for place in places(event)]
            for each in frozenset().union(*filter(None, there)):
                each.hear(event)

    @contextmanager
    def listen(
        self, wanted: Wanted = lambda event: True, *, room: int = 1_000, at: Collection[str] | None = None
    ) -> Iterator[Listening]:
        """Hears what is wanted from now on, until it is left; at most `room` events wait to be read. With `at`, only
        what happens in these places: keys of channels and ids of sessions."""
        listening = Listening(wanted, room)
        self.move(listening, at)
        try:
            yield listening
        finally:
            self._leave(listening)

    def move(self, listening: Listening, at: Collection[str] | None) -> None:
        """Lets a listener hear what happens in other places from now on."""
        self._leave(listening)
        listening.at = at if at is None else frozenset(at)
        if listening.at is None:
            self._everywhere.add(listening)
        for place in listening.at or ():
            self._somewhere.setdefault(place, set()).add(listening)

    def _leave(self, listening: Listening) -> None:
        self._everywhere.discard(listening)
        for place in listening.at or ():
            there = self._somewhere.get(place, set())
            there.discard(listening)
            if not there:
                self._somewhere.pop(place, None)


@dataclass(eq=False)
class Listening:
    """What one listener has not read yet."""

    wanted: Wanted
    room: int
    at: Collection[str] | None = None
    _waiting: deque[Event] = field(default_factory=deque)
    _some: asyncio.Event = field(default_factory=asyncio.Event)
    _behind: bool = False

    def hear(self, event: Event) -> None:
        if self._behind or not self.wanted(event):
            return
        if len(self._waiting) >= self.room:
            self._behind = True
            self._waiting.clear()
        else:
            self._waiting.append(event)
        self._some.set()

    async def some(self, breath: float = 0.0) -> list[Event]:
        """All that waits, in order, once there is something and so many seconds have passed. Raises `Behind` when too
        much waited."""
        await self._some.wait()
        if breath:
            await asyncio.sleep(breath)
        if self._behind:
            raise Behind
        waited = list(self._waiting)
        self._waiting.clear()
        self._some.clear()
        return waited

    async def __aiter__(self) -> AsyncIterator[Event]:
        """The events in order. Raises `Behind` when too many waited."""
        while True:
            for event in await self.some():
                yield event
                if self._behind:
                    raise Behind


def places(event: Event) -> tuple[str, ...]:
    """Where something happens: the key of a channel, and the id of a session if it is about one."""
    match event:
        case Typing(channel_key=key, session_id=session_id):
            return (key, session_id) if session_id else (key,)
        case Presence(channel_key=key) | Quieted(channel_key=key):
            return (key,)
        case Standing():
            return ()
        case _:
            return event.session.channel.key, event.session.id
