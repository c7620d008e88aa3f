"""What was recalled for a turn: as a model is told it, and as the answer keeps it, without a word."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from storage.model import MemoryReference

from .prompt import tokens
from .providers import Earlier
from .recalled_names import balanced
from .retelling import RECALLED

CITED = "cited"
"""In an answer's metadata: the passages of files that stood beside the question, as JSON without a word of them: file,
section, lines, score."""
_MOST = 10
"""Things that are told."""
_OPENING = "(From earlier talk, as it was said then; it may not matter now:"
_STILL_OPEN = "(On the table in this conversation, from before what you see of it:"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that was recalled."""

    id: str
    kind: str
    """`turn`, `fact` or `session`."""
    type: str
    score: float
    why: str
    at: datetime
    whose: str
    """Whose words they are: `Ana said`."""
    words: str
    """Words of people."""
    by: str = ""
    """The id of the one who said them, where it was a person."""
    people: frozenset[str] = frozenset()
    """The ids of those who took part in a session."""
    drawn: tuple[str, ...] = ()
    """The ids of the facts that were drawn from it and fit too: who is told it is told them."""
    until: datetime | None = None
    """Since when it holds no more, or some of it; what does is told beside it."""
    to_the_minute: bool = False
    """Whether its day alone does not say when it was."""

    @property
    def said(self) -> str:
        """As a model is told it."""
        when = f"{self.at:%Y-%m-%d %H:%M}" if self.to_the_minute else f"{self.at:%Y-%m-%d}"
        until = f", which in part holds no more since {self.until:%Y-%m-%d}" if self.until is not None else ""
        return f"{when}, {self.whose}{until}: {self.words}"


@dataclass(frozen=True, slots=True)
class Recollected:
    """What was recalled for a turn, and what its files say."""

    items: tuple[Item, ...] = ()
    passages: str = ""
    """What stands in files on it, for the one who answers just now."""
    cited: tuple[dict[str, object], ...] = ()
    """Where those stand, and what was told to others who answer before, without a word of it."""
    on_the_table: tuple[str, ...] = ()
    """What was asked and aimed at in the session itself, and is out of view: words of people."""
    drew_on: frozenset[str] | None = None
    """The ids of the items that the answer tells; None where nobody can say."""

    @property
    def told(self) -> str:
        """For a prompt, in order of time, indented, so that no line poses as another; empty where there is nothing."""
        said = [item.said for item in sorted(self.items, key=lambda item: item.at)]
        return "\n".join(filter(None, (_block(_OPENING, said), _block(_STILL_OPEN, self.on_the_table), self.passages)))

    @property
    def used(self) -> tuple[Item, ...]:
        """The items that an answer draws on, as far as anybody can say; otherwise all."""
        return tuple(item for item in self.items if self.drew_on is None or item.id in self.drew_on)

    def drawn_on(self, ids: frozenset[str] | None) -> Recollected:
        """The same, once a voice has said which of the items it told, if it has."""
        return self if ids is None else replace(self, drew_on=(self.drew_on or frozenset()) | ids)

    def quotable(self, asker_id: str) -> tuple[Earlier, ...]:
        """For a provider that quotes: `You said on 21 November 2026`, and the words."""
        return tuple(_quotable(item, asker_id) for item in self.items if item.until is None)

    @property
    def parts(self) -> tuple[MemoryReference, ...]:
        """For the answer, without a word of it."""
        return tuple(
            MemoryReference(memory_id=item.id, memory_type=item.type, relevance=item.score) for item in self.used
        )

    @property
    def metadata(self) -> dict[str, str]:
        """For the answer, without a word of it."""
        cited = {CITED: json.dumps(self.cited)} if self.cited else {}
        if not self.used:
            return cited
        told = [{"id": i.id, "kind": i.kind, "score": round(i.score, 3), "why": i.why} for i in self.used]
        return {RECALLED: json.dumps(told), **cited}


NOTHING = Recollected()


def dated(items: Sequence[Item], now: datetime) -> tuple[Item, ...]:
    """The same, to the minute where several are of one day, or of today."""
    days = Counter([now.date(), *(item.at.date() for item in items)])
    return tuple(replace(item, to_the_minute=days[item.at.date()] > 1) for item in items)


def fitting(items: Sequence[Item], room: int) -> tuple[Item, ...]:
    """The first of them that fit into so many tokens."""
    kept, left = [], room - tokens(_OPENING)
    for item in items[:_MOST]:
        left -= tokens(item.said) + 4
        if left < 0:
            break
        kept.append(item)
    return tuple(kept)


def _quotable(item: Item, asker_id: str) -> Earlier:
    whose = "You said" if item.by and item.by == asker_id else item.whose[:1].upper() + item.whose[1:]
    return Earlier(item.id, f"{whose} on {item.at.day} {item.at:%B %Y}", item.words, item.kind == "session")


def _block(opening: str, each: Sequence[str]) -> str:
    told = "\n".join("    " + balanced(one).replace("\n", "\n        ") for one in each)
    return f"{opening}\n{told})" if told else ""
