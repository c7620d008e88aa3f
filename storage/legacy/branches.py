"""A talk with branches: the way to where it stands is a session, and so is every other way that leaves it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..model import Message, Session
from . import Refused, Spot, Taken, Terms
from .reading import TIMELESS, when
from .talks import Account, dated, opening_id, shown

ZONE = UTC
"""Programs with branches write them on servers: of a time that names no zone."""


@dataclass
class Talk(ABC):
    """One conversation of an export, in which each line may name the line before it."""

    id: str
    record: Mapping[str, Any]
    spot: Spot
    account: Account
    terms: Terms
    parents: dict[str, str | None] = field(default_factory=dict)
    """By line, in the order in which they were said, the line before it."""
    kept: dict[str, Message] = field(default_factory=dict)
    """The messages, by their lines."""

    @abstractmethod
    def line(self, node: str) -> Iterator[Taken | Refused]:
        """The message of a line, which it puts into `kept`; nothing for one that says nothing."""

    @abstractmethod
    def place(self, line: str) -> Spot:
        """Where a line stands."""

    @abstractmethod
    def about(self) -> Mapping[str, Any]:
        """What its sessions have besides their messages, once those were read: fields of `Session`."""

    def sessions(self, title: str, last: str | None) -> Iterator[Taken | Refused]:
        """Its sessions with their messages. `title` is the program's name as people know it, `last` the line where the
        talk stands."""
        opened: dict[str, str] = {}
        hanging = dict.fromkeys(self.parents)
        main: str | None = None
        for limb in limbs(self.parents, last):
            lines: list[Taken] = []
            for line in limb.lines:
                del hanging[line]
                for each in self.line(line):
                    if isinstance(each, Taken):
                        lines.append(each)
                    else:
                        yield each
            if not lines:
                continue
            fork = self.before(limb.lines[0])
            session = _whole(lines, self.account, title, f"{self.id}/{limb.lines[0] if main else ''}")
            about = {**self.about(), "parent_id": opened[fork.id] if fork else main}
            session = session.model_copy(update={**about, "branched_at": fork.id if fork else None})
            main = main or session.id
            yield Taken(dated(session, self.terms.at), self.spot)
            for taken in lines:
                assert isinstance(taken.item, Message)
                opened[taken.item.id] = session.id
                message = taken.item.model_copy(update={"session_id": session.id})
                yield Taken(dated(message, self.terms.at), taken.spot, taken.files)
        for line in hanging:
            yield Refused(self.place(line), "The message hangs in a circle of messages that answer each other.")
        if main is None:
            yield Refused(self.spot, f"The conversation {shown(self.about().get('title'))} has no messages.")

    def before(self, line: str) -> Message | None:
        """The message before a line that was kept, in whatever session."""
        parent = self.parents[line]
        while parent in self.parents:
            if parent in self.kept:
                return self.kept[parent]
            parent = self.parents[parent]
        return None


def began(first: object, times: Iterable[object]) -> datetime:
    """When a talk began: as it says itself, else the earliest time of its lines; `TIMELESS` where none is known."""
    return when(first, ZONE) or min(filter(None, (when(each, ZONE) for each in times)), default=TIMELESS)


@dataclass(frozen=True, slots=True)
class Limb:
    """Lines of a talk that follow each other."""

    lines: tuple[str, ...]
    fork: str | None
    """The line after which it leaves another limb; None where it begins anew."""


def limbs(parents: Mapping[str, str | None], last: str | None) -> Iterator[Limb]:
    """A tree of lines as one talk and its branches: first the way to the line `last` (where there is none of that name,
    always the latest of several answers), then every way that leaves one already given. Lines that hang in a circle are
    in none. `parents` has the lines in the order in which they were said."""
    children: dict[str | None, list[str]] = defaultdict(list)
    for line, parent in parents.items():
        children[parent if parent in parents else None].append(line)
    way: list[str] = []
    seen: set[str | None] = set()
    while last in parents and last not in seen:
        seen.add(last)
        way.append(str(last))
        last = parents[str(last)]
    if last in seen:
        way = []
    open_ends: list[tuple[str | None, str]] = []
    begun = _followed(children, way[0])[1:] if way else []
    if children[None]:
        first = [*reversed(way), *begun] or _followed(children, children[None][-1])
        open_ends = [(None, root) for root in reversed(children[None]) if root != first[0]]
        yield from _limb(children, None, first, open_ends)
    while open_ends:
        fork, line = open_ends.pop()
        yield from _limb(children, fork, _followed(children, line), open_ends)


def _limb(
    children: Mapping[str | None, list[str]], fork: str | None, way: list[str], open_ends: list[tuple[str | None, str]]
) -> Iterator[Limb]:
    yield Limb(tuple(way), fork)
    on_it = set(way)
    for line in reversed(way):
        open_ends += [(line, child) for child in reversed(children.get(line, [])) if child not in on_it]


def _followed(children: Mapping[str | None, list[str]], line: str) -> list[str]:
    way = [line]
    while following := children.get(way[-1]):
        way.append(following[-1])
    return way


def _whole(lines: list[Taken], account: Account, title: str, key: str) -> Session:
    """The session of these messages, closed, of which `key` tells it from others."""
    said = [line.item for line in lines if isinstance(line.item, Message)]
    people = {each.sender.id: each.sender for each in said if each.role == "user"}
    spoke = [each.at for each in said if each.role == "user"]
    return Session(
        id=opening_id(said[0].at, account.program, key),
        channel=account.room(title),
        participants=tuple(people.values()),
        opened_at=said[0].at,
        last_at=spoke[-1] if spoke else said[0].at,
        closed_at=said[-1].at,
    )
