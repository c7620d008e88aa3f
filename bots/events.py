"""What happens in a bot, told to whoever listens: typed, in order, and never waited for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
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


Event = Said | Began | More | Anew | Ended | Changed | SessionChanged | Typing | Presence
Wanted = Callable[[Event], bool]


class Behind(Exception):
    """A listener took too long, and was dropped."""


class Events:
    """What happens in one bot. Telling never waits and never fails; who listens too slowly is dropped."""

    def __init__(self) -> None:
        self._listening: set[Listening] = set()

    def __bool__(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listening)

    def tell(self, event: Event) -> None:
        """Tells everybody who wants to know."""
        for each in tuple(self._listening):
            each.hear(event)

    @contextmanager
    def listen(self, wanted: Wanted = lambda event: True, *, room: int = 1_000) -> Iterator[Listening]:
        """Hears what is wanted from now on, until it is left; at most `room` events wait to be read."""
        listening = Listening(wanted, room)
        self._listening.add(listening)
        try:
            yield listening
        finally:
            self._listening.discard(listening)


@dataclass(eq=False)
class Listening:
    """What one listener has not read yet."""

    wanted: Wanted
    room: int
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

    async def __aiter__(self) -> AsyncIterator[Event]:
        """The events in order. Raises `Behind` when too many waited."""
        while True:
            await self._some.wait()
            if self._behind:
                raise Behind
            while self._waiting:
                yield self._waiting.popleft()
                if self._behind:
                    raise Behind
            self._some.clear()
