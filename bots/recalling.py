"""What a bot recalls for a question: the best of what its asker may be told, within a budget of a prompt."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from storage.memory_index import Entry, Hit, MemoryIndex
from storage.memory_words import asks_when, stems

from .facts import negated
from .prompt import tokens
from .recall_times import spoken_of

_SAID = 24
"""Tokens of a date, a name and a mark beside what is recalled."""
_LETTERS = 1_200
"""Of one line, that are told at most."""
_SPARE = 10
"""Hits that are looked at beyond those wanted, in the place of such as tell nothing."""
_FAINT = 0.25
"""A likeness in meaning that says nothing where no word is shared."""
_SAME, _NEARLY = 0.9, 0.8
"""The share of words in common from which on two lines say the same, and a line asks what is asked just now."""
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
        limit=limit + _SPARE,
        without=without,
    )
    told: list[Recalled] = []
    for hit in islice(_telling(hits, question), limit):
        budget -= tokens(hit.entry.text[:_LETTERS]) + _SAID
        if budget < 0:
            break
        why = [f"words {hit.words:.0%}"] if hit.words else []
        why += [f"meaning {hit.meaning:.0%}"] if hit.meaning else []
        why += ["what was drawn from it says so"] if hit.drawn else []
        told.append(Recalled(hit.entry, hit.score, ", ".join(why), hit.drawn))
    return told


def _telling(hits: Sequence[Hit], question: str) -> Iterator[Hit]:
    """Those hits that may tell something: not the question once more, nor what somebody said already, nor what is only
    faintly like it."""
    asked, when, asks_too = frozenset(stems(question)), asks_when(question), question.rstrip().endswith("?")
    heard: list[tuple[Entry, frozenset[str]]] = []
    for hit in hits:
        entry, words = hit.entry, frozenset(stems(hit.entry.text))
        asks = entry.kind == "turn" and entry.text.rstrip().endswith("?") == asks_too
        if (not hit.words and hit.meaning < _FAINT) or (asks and _shared(words, asked) >= _NEARLY):
            continue
        # When something was, each time that it was said may tell.
        if not when and any(_says_the_same(entry, words, *other) for other in heard):
            continue
        heard.append((entry, words))
        yield hit


def _says_the_same(entry: Entry, words: frozenset[str], other: Entry, others: frozenset[str]) -> bool:
    if (entry.kind, entry.speaker, entry.subject) != (other.kind, other.speaker, other.subject):
        return False
    figures = any(any(map(str.isdigit, word)) for word in words ^ others)
    return not figures and _shared(words, others) >= _SAME and negated(entry.text) == negated(other.text)


def _shared(words: frozenset[str], others: frozenset[str]) -> float:
    return len(words & others) / len(words | others) if words and others else 0.0
