"""What the writers of a soak say: each message and what becomes of it follows from its name alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import storage
from storage.amendments import Amendment, Deleted, Edited, Reacted, amended
from storage.backend import Store
from storage.model import Channel, Message, Reaction, Receipt, Sender, Session, Text
from storage.records import Run

Tell = Callable[..., None]
Backend = Literal["sqlite", "file", "postgres"]

NOON = datetime(2024, 1, 8, 12, 0, tzinfo=UTC)
ROOM = Channel(front="discord", id="100", kind="channel", name="room")
ANN = Sender(type="user", id="7", name="Ann")
LANES = ("a", "b", "c")
"""One thing after the other, in a session of its own for each round."""
CROWD = "crowd"
"""Many at once, in one session for all rounds."""
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is."""

    backend: Backend
    root: Path
    url: str = ""
    bot: str = "sage"

    async def open(self) -> Store:
        return await storage.connect(self.bot, self.root, type=self.backend, url=self.url)


@dataclass(frozen=True, slots=True)
class Name:
    """The place of a message in the talk, the last part of its origin: `12-a-3`."""

    round: int
    lane: str
    number: int

    def __str__(self) -> str:
        return f"{self.round}-{self.lane}-{self.number}"

    @classmethod
    def read(cls, text: str) -> Name:
        round, lane, number = text.split("-")
        return cls(int(round), lane, int(number))

    @classmethod
    def of(cls, message: Message) -> Name:
        return cls.read(str(message.origin).rpartition(":")[2])

    @property
    def within(self) -> str:
        """The id of its session."""
        return CROWD if self.lane == CROWD else f"{self.round}-{self.lane}"

    @property
    def mark(self) -> str:
        """A word that stands in no other message."""
        return f"mark{self.round}{self.lane}{self.number}"


def session(name: Name) -> Session:
    """The session of a message, with its title of that time."""
    at = NOON + timedelta(hours=name.round, seconds=name.number)
    title = "" if name.lane == CROWD else f"{name.number - name.number % 8}"
    return Session(id=name.within, channel=ROOM, opened_at=NOON, last_at=at, title=title)


def message(name: Name, id: str = "") -> Message:
    """The message of that name as it is first said."""
    return Message(
        id=id or str(name),
        origin=f"discord:100:{name}",
        session_id=name.within,
        role="user",
        sender=ANN,
        parts=(Text(text=f"{name.mark} is line {name.number} of {name.lane}"),),
        at=NOON + timedelta(hours=name.round, seconds=name.number),
    )


def page(name: Name) -> Receipt:
    return Receipt(origin=f"discord:100:page-{name}", page=0)


def amendment(name: Name) -> Amendment | None:
    """What is done to the message once it is kept."""
    at = NOON + timedelta(hours=name.round + 1, seconds=name.number)
    match name.number % 8:
        case 1:
            return Edited(parts=(Text(text=f"{name.mark} was line {name.number}"),), at=at)
        case 2:
            return Reacted(reaction=Reaction(emoji="👍", sender=ANN, at=at))
        case 5:
            return Deleted(at=at)
    return None


def changed(name: Name) -> Message:
    """The message as it is once everything was done to it."""
    change = amendment(name)
    if name.lane == CROWD:
        return message(name)
    if name.number % 8 == 3:
        return message(name).model_copy(update={"receipts": (page(name),)})
    return amended(message(name), change) if change else message(name)


def passing(name: Name) -> Message:
    """A message that is removed for good as soon as it is kept."""
    told = {"origin": f"discord:100:passing-{name}", "parts": (Text(text="never mind"),)}
    return message(name, id=f"passing-{name}").model_copy(update=told)


def run(name: Name) -> Run:
    return Run(id=f"{name.round}-{name.lane}", at=NOON, type="soak", state=str(name.number))
