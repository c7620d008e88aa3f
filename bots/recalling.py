"""What a bot recalls for a question: the best of what its asker may be told, within a budget of a prompt."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from storage.memory_index import Entry, MemoryIndex

from .prompt import tokens
from .recall_times import spoken_of

_SAID = 24
"""Tokens of a date, a name and a mark beside what is recalled."""
_OWN = re.compile(r"(?i)\b(?:i|me|my|mine|myself|i'm|i've|i'd)\b")


@dataclass(frozen=True, slots=True)
class Recalled:
    """Something that may help to answer."""

    entry: Entry
    """What was said, wherever it is known; what was drawn from it counts as the same."""
    score: float
    why: str
    """For people: `words 80 %, meaning 61 %, and a fact that says so`."""
    facts: tuple[Entry, ...] = ()
    """What was drawn from it and fits as well, at least near it."""


async def recalled(
    index: MemoryIndex,
    question: str,
    audiences: Collection[str],
    *,
    now: datetime,
    half_life: timedelta,
    asker: str = "",
    vector: Sequence[float] | None = None,
    embedder_id: str | None = None,
    without: Collection[str] = (),
    budget: int = 1_000,
    limit: int = 10,
) -> list[Recalled]:
    """The best first, as many as have room in so many tokens (`budget`) with a date and a name beside each.

    Nothing for a question without a word that carries meaning. `asker` is what index entries call the one who asks,
    who is meant by `I`; `vector` is the question's, by the embedder named; `without` are the ids of entries that are
    not wanted, because the prompt shows them anyway. Raises `StorageError`."""
    hits = await index.found(
        question,
        audiences,
        now=now,
        half_life=half_life,
        vector=vector,
        embedder_id=embedder_id,
        names=(asker,) if asker and _OWN.search(question) else (),
        around=spoken_of(question, now),
        limit=limit,
        without=without,
    )
    told: list[Recalled] = []
    for hit in hits:
        budget -= tokens(hit.entry.text) + _SAID
        if budget < 0:
            break
        why = [f"words {hit.words:.0%}"] if hit.words else []
        why += [f"meaning {hit.meaning:.0%}"] if hit.meaning else []
        why += ["what was drawn from it says so"] if hit.drawn else []
        told.append(Recalled(hit.entry, hit.score, ", ".join(why), hit.drawn))
    return told
