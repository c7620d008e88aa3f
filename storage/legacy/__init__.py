"""What people bring along from other programs: a reader for each format, which yields the model and nothing else.

Each reader is a module with two functions. `recognise(source)` says whether this is its format, by looking at a few
files. `read(source, terms)` yields items in an order in which they can be kept: a session before its messages, and
again, complete, when all that is known of it was read; messages of one session in the order of time. What it cannot
take it yields as `Refused`, and goes on. Readers hold names and ids in memory but only one conversation's messages at
most, draw no random numbers and never write to their source: read twice, a source gives the same items with the same
ids of messages, whatever time it is then and whatever zone its times are read in, and one that has grown gives those
and more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Protocol

from ..model import Channel, Message, Session
from ..records import Record
from .source import Source


@dataclass(frozen=True, slots=True)
class Terms:
    """What a reader is told."""

    bot: str
    """Whose talk is wanted, where a source holds that of several bots."""
    zone: tzinfo
    """Of times that name none."""
    gap: timedelta | None
    """A longer silence of the people begins a new session, where a source has none of its own; None for never."""
    at: datetime
    """When this is done: the time of what has none of its own. No id is made from it."""
    scratch: Path
    """A folder for what does not fit into memory; whoever makes the terms removes it."""
    since: datetime | None = None
    """Messages before it are not wanted. The runner leaves them out; a reader may, where that saves it work."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where in a source something stands."""

    file: str
    """The file's name within the source, with `/`."""
    line: int | None = None
    """Counted from one; None where a file is not read by lines."""
    item: str = ""
    """Which one, where lines do not tell: `messages[12]`."""


@dataclass(frozen=True, slots=True)
class Persona:
    """A voice as another program describes it; it becomes a file in `config/personas/`."""

    id: str
    name: str
    description: str = ""
    prompt: str = ""
    """What a model was told of who it is."""
    traits: tuple[str, ...] = ()
    expertise: tuple[str, ...] = ()
    style: Mapping[str, str] = field(default_factory=dict)
    """How it speaks: `tone: warm`, say."""
    greeting: str = ""
    examples: tuple[str, ...] = ()
    """Lines it might say."""
    tags: tuple[str, ...] = ()
    picture: str = ""
    """The file of the source that shows it."""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Taken:
    """Something that was read, and where it stands."""

    item: Channel | Session | Message | Record | Persona
    """A session may come again, and then is as it was given last."""
    spot: Spot
    files: Mapping[str, str] = field(default_factory=dict)
    """For a message: which file of the source has the bytes of the attachment with this `url`, or, where it names its
    `blob` already, with this hash."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that cannot be taken, and why."""

    spot: Spot
    reason: str
    """What was found and what is allowed, in one sentence; words of people in it are short and printable."""
    again: bool = False
    """It was taken from another place of the source: nothing is lost."""


def unopened(source: Source) -> Iterator[Refused]:
    """What a source has and no reader is shown: names that lead out of it, say, for whoever runs a reader."""
    for name, why in source.left_out.items():
        shown = "".join(c if c.isprintable() else "?" for c in name)[:200]
        yield Refused(Spot(shown), why)


class Reader(Protocol):
    """A module of this package."""

    def recognise(self, source: Source) -> bool:
        """Whether the source is of this format, by a look at its names and at most a few files."""

    def read(self, source: Source, terms: Terms) -> Iterator[Taken | Refused]:
        """Everything in the source; see above."""


class UnknownFormat(ValueError):
    """No reader knows a source."""
