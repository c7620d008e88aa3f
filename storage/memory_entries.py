"""What the memory index holds and gives back: entries, and how well they fit a question."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that can be recalled."""

    id: str
    audience: str
    """Who may be told, as in `storage.records.Memory`."""
    kind: str
    """`turn` for what was said in a session, whose neighbours count for it; anything else stands alone."""
    session_id: str | None
    speaker: str
    """The name of who said it, empty for nobody."""
    subject: str
    at: datetime
    text: str
    """The words alone, without who said them."""
    importance: float = 0.5
    source: str | None = None
    """The id of the entry it was drawn from, if that is one: both then count as one."""
    touched_at: datetime | None = None
    access_count: int = 0
    """When it was recalled last, and how often."""


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry that was found, and how well it fits."""

    entry: Entry
    score: float
    """About 0 to 2, to compare hits of one question by."""
    words: float
    """The share of the question's words that it and its neighbours have, from 0 to 1, rare words counting for more."""
    meaning: float
    """The likeness in meaning, from 0 to 1; 0 without vectors."""
    drawn: tuple[Entry, ...] = ()
    """What was drawn from it and fits too."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the index; times are seconds since 1970."""

    stems: tuple[str, ...]
    when: bool
    """Whether it asks for a time."""
    names: tuple[str, ...]
    """Speakers it means without naming them."""
    vector: tuple[float, ...] | None
    embedder: str
    around: tuple[float, float] | None
    """The time it speaks of."""
    now: float
    half_life: float
