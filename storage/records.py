"""What a bot keeps beside its talk: memories, runs, profiles, settings, the audit, and who wants to be forgotten."""

from __future__ import annotations

import math
from array import array
from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, JsonValue

from .model import Finite, Sender, Usage, Value


class Record(Value):
    """What a bot keeps beside its talk, under an id of its own; the newest has the latest `at`."""

    kind: ClassVar[str]
    """The short name of the class, in databases and file names."""
    id: str
    at: datetime

    @property
    def about(self) -> str | None:
        """Whom or what it concerns, for looking it up by."""
        return None


class Vector(Value):
    """Where a text stands in the space of one embedding model; vectors of two models never meet."""

    model: str
    values: Annotated[tuple[Finite, ...], AfterValidator(lambda values: tuple(array("f", values)))]
    """As 32-bit floats, which is what models give and stores keep."""


class Memory(Record):
    """Something worth knowing later: what happened, a fact, a way of doing things, or what is on the table now."""

    kind = "memory"
    type: Literal["episodic", "semantic", "procedural", "working"]
    audience: str
    """Who may be told: the key of a channel, `guild:id`, `user:id` or `bot`. Asked for before any likeness."""
    subject: str
    """Whom or what it is about: `user:id`, say."""
    text: str
    vector: Vector | None = None
    importance: float = Field(default=0.5, ge=0, le=1)
    touched_at: datetime | None = None
    access_count: int = 0
    source: str | None = None
    """The id of the message or session it comes from."""
    people: tuple[str, ...] = ()
    """The ids of those whose words or doings it draws on, beside the one it is about: it goes with any of them."""
    superseded_by: str | None = None
    """The id of the memory that says better, or what is true since; then this one is history and is not recalled."""
    superseded_at: datetime | None = None
    links: tuple[str, ...] = ()
    metadata: dict[str, str] = Field(default_factory=dict)

    @property
    def about(self) -> str:
        return self.subject

    def strength(self, at: datetime, half_life: timedelta) -> float:
        """How much of its importance it has at a time, from 0 to 1: half after each half-life in which it was not
        recalled. Every earlier recall makes a half-life longer, by a logarithm, so that much use never counts more
        than what it is about."""
        idle = max(0.0, (at - (self.touched_at or self.at)).total_seconds())
        lasting = half_life.total_seconds() * (1 + math.log1p(self.access_count))
        return self.importance * 0.5 ** (idle / lasting) if lasting > 0 else 0.0


class Run(Record):
    """The state of something that takes several steps: a panel, a workflow."""

    kind = "run"
    type: str
    session_id: str | None = None
    state: str
    data: dict[str, JsonValue] = Field(default_factory=dict)

    @property
    def about(self) -> str | None:
        return self.session_id


class Profile(Record):
    """What a bot keeps on a person by that person's wish: names, preferences. Its id is the user's id."""

    kind = "profile"
    name: str = ""
    past_names: tuple[str, ...] = ()
    preferences: dict[str, JsonValue] = Field(default_factory=dict)


class AuditEntry(Record):
    """Who did what to what: never changed once kept."""

    kind = "audit"
    actor: Sender
    action: str
    target: str = ""
    details: dict[str, JsonValue] = Field(default_factory=dict)

    @property
    def about(self) -> str:
        return self.target


class Spent(Record):
    """What a message took that is gone for good: its id is the message's, its words are nowhere."""

    kind = "spent"
    usage: Usage
    user_id: str = ""
    """Who was answered."""
    channel_key: str = ""
    persona: str = ""

    @property
    def about(self) -> str:
        return self.user_id


class Setting(Record):
    """What the people of a place have set over the configuration; its id is the place: `guild:1`, say."""

    kind = "setting"
    values: dict[str, JsonValue] = Field(default_factory=dict)
    before: dict[str, JsonValue] = Field(default_factory=dict)
    """What stood there before the last change, for undoing it."""
    by: Sender


class Tombstone(Record):
    """Somebody who asked to be forgotten, by the user's id alone: what was kept before `at` stays forgotten, in
    backups that are restored too."""

    kind = "tombstone"


class Opening(Value):
    """A line that a session begins with: words of the configuration, or what somebody said."""

    role: Literal["user", "assistant"]
    text: str = ""
    """Its words, where nobody has said it."""
    line: str = ""
    """The id of the message that it is. The words stand there alone, so that what becomes of them is true here too."""


class Template(Record):
    """What a new session can begin with."""

    kind = "template"
    name: str
    audience: str
    """Where it is offered: the key of a channel, or `bot` for everywhere."""
    by: Sender
    people: tuple[str, ...] = ()
    """The ids of those who may be quoted in it: who took part in the session it was drawn from, who said its opening,
    and who is answered there."""
    title: str = ""
    persona: str | None = None
    tags: tuple[str, ...] = ()
    goals: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    shared_knowledge: tuple[str, ...] = ()
    opening: tuple[Opening, ...] = ()

    @property
    def about(self) -> str:
        return self.audience


RECORDS: tuple[type[Record], ...] = (Memory, Run, Profile, AuditEntry, Spent, Setting, Tombstone, Template)
