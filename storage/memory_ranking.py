"""How the memory index ranks: rare words first, said in a line or beside it, by the one who is named; then meaning.

All weights are shares of 1 and round, and no question is asked of anything but its own audiences.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import nlargest

from .memory_entries import Question
from .memory_lines import ASKS, WHEN, Lines, Speakers
from .memory_words import number
from .vectors import Sketches, whole

BEFORE, AFTER, NEARBY = 0.5, 0.4, 0.3
"""What a word counts for a line when it was said in the line before it, in the one after it, or one further off."""
NAMED = 0.5
"""What a line gains from being said by somebody whom the question names."""
CALLED = 0.3
"""What the name of somebody who said something counts beside other words: lines that greet them tell nothing."""
TIMED = 0.2
"""What a line gains from saying when, where that is asked; and from being of the time that is asked for."""
ASKED = 0.3
"""What a line loses by being a question itself."""
DRAWN = 0.25
"""What a line gains of the score of what was drawn from it, or that of it, whichever is less."""
MEANING = 0.75
"""What likeness in meaning counts beside words."""
TIE = 0.02
"""What strength counts: it decides between near ties."""
_LENGTH = 0.2
_USUAL = 8
"""How much a line of more than the usual number of words loses."""
_TERMS, _FREQUENT, _POSTINGS = 12, 1_000, 3_000
"""The words of a question that count, the places from which on a word is too frequent to tell anything (in a big index
one in a hundred), and the places that are looked at in all: rare words come first."""
_SPREAD, _CANDIDATES = 500, 100
"""The entries whose words count for those near them, and the best by words and by meaning that are compared."""


@dataclass(frozen=True, slots=True)
class Found:
    """An entry by its number, and how well it fits."""

    number: int
    score: float
    words: float
    meaning: float
    drawn: tuple[int, ...]


class Ranking:
    """One question's way through the index."""

    def __init__(
        self, connection: sqlite3.Connection, lines: Lines, speakers: Speakers, sketches: Sketches | None
    ) -> None:
        self._connection = connection
        self._lines = lines
        self._speakers = speakers
        self._sketches = sketches

    def best(self, asked: Question, audiences: Sequence[int], barred: set[int], limit: int) -> list[Found]:
        """The entries of these audiences that fit best, but for those barred."""
        words = self._words(asked, audiences)
        candidates = {*self._first(_CANDIDATES, words)}
        if asked.vector is not None and self._sketches is not None:
            candidates.update(self._sketches.near(asked.vector, audiences, _CANDIDATES))
        lines = self._lines
        for each in [*candidates]:
            if lines.source[each] or each in lines.drawn:
                candidates.update(self._together(each, audiences))
        meaning = self._meaning(asked, candidates) if asked.vector is not None else {}
        scores = self._scores(asked, candidates, words, meaning)
        heads = [each for each in candidates if each not in barred and self._head(each, audiences) == each]
        least = nlargest(limit, map(scores.__getitem__, heads))[-1] if heads and limit else 0.0
        found = []
        for each in heads:
            if each not in lines.drawn and scores[each] * (1 + TIE) < least:
                continue  # however it has lasted, others are before it
            drawn = [n for n in lines.drawn.get(each, ()) if n in scores and n not in barred]
            if len(drawn) > 1:
                drawn.sort(key=lambda n: (-scores[n], n))
            found.append(self._joined(each, drawn, scores, words, meaning, asked))
        found.sort(key=lambda f: (-f.score, *(-part for part in lines.lasted(f.number)), f.number))
        return [each for each in found if each.score > 0][:limit]

    def _words(self, asked: Question, audiences: Sequence[int]) -> dict[int, float]:
        """The entries that have words of the question, or stand near such, with the share of them that they have."""
        lines = self._lines
        total = sum(lines.counts[audience] for audience in audiences)
        places = self._places(asked.stems, audiences, total)
        weights = {term: math.log(1 + (total - len(rows) + 0.5) / (len(rows) + 0.5)) for term, rows in places.items()}
        for term in self._names(places):
            weights[term] *= CALLED
        all_of_them = sum(weights.values()) or 1.0
        own = _added(dict.fromkeys(rows, weights[term]) for term, rows in places.items())
        best = own if len(own) <= _SPREAD else set(self._first(_SPREAD, own))
        covered = _added(
            self._spread([row for row in rows if row in best], weights[term] / all_of_them)
            for term, rows in places.items()
        )
        told = set(audiences)
        return {row: share for row, share in covered.items() if lines.audience[row] in told}

    def _names(self, places: dict[str, list[int]]) -> list[str]:
        """The words which call somebody who said something where one of the words stands."""
        called = {term: self._speakers.meant((term,), ()) for term in places}
        if not any(called.values()):
            return []
        speakers = {self._lines.speaker[row] for rows in places.values() for row in rows}
        return [term for term, meant in called.items() if meant & speakers]

    def _first(self, count: int, scores: dict[int, float]) -> list[int]:
        """The best of them; of equals those that have lasted."""
        if len(scores) <= count:
            return list(scores)
        least = sorted(scores.values())[-count]  # quicker than a heap, where many are taken
        best = [n for n, score in scores.items() if score > least]
        equals = [n for n, score in scores.items() if score == least]
        equals.sort(key=self._lines.last.__getitem__, reverse=True)
        return best + equals[: count - len(best)]

    def _spread(self, rows: Sequence[int], weight: float) -> dict[int, float]:
        """What a word counts for the entries that have it, and for those near them in their session, where the most
        counts: it overwrites what is less. They may be another audience's, or none."""
        before, after = self._lines.before.__getitem__, self._lines.after.__getitem__
        shares = dict.fromkeys(map(before, map(before, rows)), NEARBY * weight)
        shares.update(dict.fromkeys(map(after, map(after, rows)), NEARBY * weight))
        shares.update(dict.fromkeys(map(before, rows), AFTER * weight))
        shares.update(dict.fromkeys(map(after, rows), BEFORE * weight))
        shares.update(dict.fromkeys(rows, weight))
        return shares

    def _places(self, terms: Sequence[str], audiences: Sequence[int], total: int) -> dict[str, list[int]]:
        """Where the rarer words of the question stand; at least the rarest, where it was said last."""
        most, asked = max(_FREQUENT, total // 100), json.dumps([*audiences])
        counts = {}
        for term in terms[: 2 * _TERMS]:
            (counts[term],) = self._connection.execute(_COUNTED, (asked, number(term), most + 1)).fetchone()
        places: dict[str, list[int]] = {}
        left = _POSTINGS
        for term, count in sorted(counts.items(), key=lambda item: item[1])[:_TERMS]:
            if (left := left - count) < 0 or (places and count > most):
                break
            latest = _LATEST if count > most else _POSTED
            places[term] = [row for (row,) in self._connection.execute(latest, (asked, number(term), most))]
        return places

    def _together(self, each: int, audiences: Sequence[int]) -> Iterable[int]:
        """What counts as one with an entry, itself included."""
        head = self._head(each, audiences)
        return (head, *(n for n in self._lines.drawn.get(head, ()) if self._lines.audience[n] in audiences))

    def _head(self, each: int, audiences: Sequence[int]) -> int:
        """What an entry was drawn from, if that may be told; else itself."""
        source = self._lines.source[each]
        return source if source and self._lines.audience[source] in audiences else each

    def _meaning(self, asked: Question, candidates: Iterable[int]) -> dict[int, float]:
        """The likeness of entries to the question, from 0 to 1."""
        import numpy as np

        rows = self._connection.execute(_VECTORS, (json.dumps([*candidates]), asked.embedder)).fetchall()
        size = 2 * len(asked.vector or ())
        rows = [row for row in rows if len(row[1]) == size]
        if not rows:
            return {}
        vector = np.asarray(asked.vector, np.float32)
        likeness = whole([data for _, data in rows]) @ (vector / (float(np.linalg.norm(vector)) or 1.0))
        return {n: max(0.0, float(value)) for (n, _), value in zip(rows, likeness, strict=True)}

    def _scores(
        self, asked: Question, candidates: Iterable[int], words: dict[int, float], meaning: dict[int, float]
    ) -> dict[int, float]:
        """How well each entry fits by itself."""
        lines, around = self._lines, asked.around
        named = self._speakers.meant(asked.stems, asked.names)
        scores = {}
        for n in candidates:
            length = 1 - _LENGTH + _LENGTH * max(_USUAL, lines.words[n]) / _USUAL
            marks = lines.marks[n]
            gain = NAMED * (lines.speaker[n] in named) - ASKED * bool(marks & ASKS)
            gain += TIMED * (asked.when and bool(marks & WHEN))
            if around is not None:
                gain += TIMED * (around[0] <= lines.at(n) < around[1])
            scores[n] = (words.get(n, 0.0) / length + MEANING * meaning.get(n, 0.0)) * (1 + gain)
        return scores

    def _joined(
        self, each: int, drawn: Sequence[int], scores: dict[int, float], words: dict[int, float],
        meaning: dict[int, float], asked: Question,
    ) -> Found:  # fmt: skip
        """An entry and what was drawn from it, as one."""
        lines = self._lines
        if not drawn:
            lasting = 1 + TIE * lines.strength(each, asked.now, asked.half_life)
            return Found(each, scores[each] * lasting, words.get(each, 0.0), meaning.get(each, 0.0), ())
        own, other = scores[each], max((scores[n] for n in drawn), default=0.0)
        members = (each, *drawn)
        strength = max(lines.strength(n, asked.now, asked.half_life) for n in members)
        return Found(
            each,
            (max(own, other) + DRAWN * min(own, other)) * (1 + TIE * strength),
            max(words.get(n, 0.0) for n in members),
            max(meaning.get(n, 0.0) for n in members),
            tuple(drawn),
        )


def _added(each: Iterable[dict[int, float]]) -> dict[int, float]:
    """The sums of what several say of the same."""
    sums: dict[int, float] = {}
    for one in each:
        both = {row: sums[row] + one[row] for row in sums.keys() & one.keys()}
        sums.update(one)
        sums.update(both)
    return sums


_LATEST = """
SELECT entry FROM postings WHERE audience IN (SELECT value FROM json_each(?)) AND term = ? ORDER BY entry DESC LIMIT ?
"""
_POSTED = "SELECT entry FROM postings WHERE audience IN (SELECT value FROM json_each(?)) AND term = ? LIMIT ?"
_COUNTED = """
SELECT count(*) FROM (
    SELECT 1 FROM postings WHERE audience IN (SELECT value FROM json_each(?)) AND term = ? LIMIT ?
)
"""
_VECTORS = "SELECT entry, data FROM vectors WHERE entry IN (SELECT value FROM json_each(?)) AND embedder = ?"
