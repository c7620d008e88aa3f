"""What a writer is asked to do, as values: a backend that has them in hand can write many in one commit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime

from ..amendments import Amendment
from ..model import Channel, Message, Receipt, Session
from ..records import Record


@dataclass(frozen=True, slots=True)
class KeepChannel:
    channel: Channel


@dataclass(frozen=True, slots=True)
class SaveSession:
    session: Session


@dataclass(frozen=True, slots=True)
class Append:
    """Answered with False when a message of that id or origin is kept already."""

    session: Session
    message: Message


@dataclass(frozen=True, slots=True)
class KeepReceipts:
    message_id: str
    receipts: tuple[Receipt, ...]


@dataclass(frozen=True, slots=True)
class Amend:
    """Answered with the message as it is then, or None."""

    message_id: str
    change: Amendment


@dataclass(frozen=True, slots=True)
class RemoveMessages:
    """Answered with how many there were."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RemoveSessions:
    """Answered with how many there were."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RemoveChannels:
    """Answered with how many went."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeepRecords:
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class RemoveRecords:
    """Answered with how many there were."""

    kind: type[Record]
    ids: tuple[str, ...]


Plain = KeepChannel | SaveSession | Append | KeepReceipts
"""What can be written without reading first."""
Change = Plain | Amend | RemoveMessages | RemoveSessions | RemoveChannels | KeepRecords | RemoveRecords
Watch = Callable[[Change], AbstractContextManager[None]]
"""What is told of a change: entered when it is asked for, left when its caller has been answered."""


def unwatched(change: Change) -> AbstractContextManager[None]:
    """For when nobody watches."""
    return nullcontext()


def located(at: datetime) -> datetime:
    """The time in UTC. Raises ValueError for one that does not say where it is, or that nobody lives in."""
    if at.tzinfo is UTC and 1 < at.year < 9999:
        return at
    if at.utcoffset() is None:
        raise ValueError(f"{at!r} has no timezone: storage takes only times that say where they are")
    try:
        there = at.astimezone(UTC)
    except OverflowError:
        there = datetime.max
    if not 1 < there.year < 9999:
        raise ValueError(f"{at!r} is no time that storage takes: it lies outside the years 2 to 9998")
    return there


def past(channel: Channel) -> dict[str, tuple[str, ...]]:
    """The names that a channel had, as a change to one that is given without them."""
    return {"past_names": channel.past_names, "past_guild_names": channel.past_guild_names}
