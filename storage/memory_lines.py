"""What the memory index has at hand of every entry: where it stands in its session, who said it, how it has lasted."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from .memory_words import stem
from .words import terms

WHEN, ASKS = 1, 2
"""Marks of an entry: it says when something was; it is a question."""


class Line(NamedTuple):
    """One entry in numbers; 0 stands for none."""

    number: int
    audience: int
    speaker: int
    source: int
    at: float
    importance: float
    touched: float
    uses: int
    words: int
    marks: int


class Lines:
    """The entries by number, in a few dozen bytes each."""

    def __init__(self) -> None:
        self.audience = array("i")
        """0 where there is no entry."""
        self.speaker = array("i")
        self.source = array("i")
        self.before = array("i")
        self.after = array("i")
        """The neighbours in the session, 0 for none."""
        self.words = array("i")
        self.marks = array("b")
        self._uses = array("i")
        self._at = array("d")
        self._importance = array("d")
        self.last = array("d")
        """When it was used last, or else when it was said, in seconds since 1970."""
        self._grow(1024)
        self.drawn: dict[int, list[int]] = {}
        """What was drawn from an entry."""
        self.counts: Counter[int] = Counter()
        """How many entries an audience has."""

    def __len__(self) -> int:
        return len(self.audience)

    def at(self, number: int) -> float:
        """When it was said, in seconds since 1970."""
        return self._at[number]

    def put(self, line: Line, before: int = 0, after: int = 0) -> None:
        """Takes in an entry that stands between two of its session."""
        number = line.number
        if number >= len(self.audience):
            self._grow(max(number + 1, len(self.audience) * 3 // 2))
        self.counts[line.audience] += 1
        self.audience[number], self.speaker[number] = line.audience, line.speaker
        self.words[number], self.marks[number] = min(line.words, 1 << 20), line.marks
        self._at[number], self._importance[number] = line.at, line.importance
        self.last[number], self._uses[number] = line.touched or line.at, min(line.uses, 1 << 30)
        self.source[number] = line.source
        if line.source:
            self.drawn.setdefault(line.source, []).append(number)
        self.before[number], self.after[number] = before, after
        if before:
            self.after[before] = number
        if after:
            self.before[after] = number

    def remove(self, number: int) -> None:
        """Forgets an entry; its neighbours are each other's now, and what was drawn from it stands alone."""
        self.counts[self.audience[number]] -= 1
        before, after = self.before[number], self.after[number]
        if before:
            self.after[before] = after
        if after:
            self.before[after] = before
        for drawn in self.drawn.pop(number, ()):
            self.source[drawn] = 0
        if source := self.source[number]:
            left = [drawn for drawn in self.drawn.get(source, ()) if drawn != number]
            self.drawn.pop(source, None)
            if left:
                self.drawn[source] = left
        self.audience[number] = self.before[number] = self.after[number] = self.source[number] = 0

    def point(self, number: int, source: int) -> None:
        """Says what an entry was drawn from, once that is there."""
        self.source[number] = source
        self.drawn.setdefault(source, []).append(number)

    def use(self, number: int, importance: float, touched: float, uses: int) -> None:
        """Takes in that an entry was needed again."""
        self._importance[number], self._uses[number] = importance, uses
        self.last[number] = touched or self._at[number]

    def strength(self, number: int, now: float, half_life: float) -> float:
        """What `storage.records.Memory.strength` is, from 0 to 1."""
        idle = max(0.0, now - self.last[number])
        lasting = half_life * (1 + math.log1p(self._uses[number]))
        return self._importance[number] * 0.5 ** min(idle / lasting, 1_000.0) if lasting > 0 else 0.0

    def lasted(self, number: int) -> tuple[float, int, float]:
        """What decides between entries that are alike in all else: the time of the last use, how many, its own."""
        return (self.last[number], self._uses[number], self._at[number])

    def _grow(self, size: int) -> None:
        for column in (self.audience, self.speaker, self.source, self.before, self.after, self.words, self.marks,
                       self._uses, self._at, self._importance, self.last):  # fmt: skip
            column.frombytes(bytes((size - len(column)) * column.itemsize))


class Speakers:
    """Those who said something, by number, and what a question may call them."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._called: dict[str, set[int]] = {}

    def number(self, name: str) -> int:
        """The number of a name; 0 for nobody."""
        if name and name not in self._numbers:
            self._numbers[name] = len(self._numbers) + 1
            for first in terms(name)[:1]:
                self._called.setdefault(stem(first), set()).add(self._numbers[name])
        return self._numbers.get(name, 0)

    def meant(self, stems: Iterable[str], names: Iterable[str]) -> set[int]:
        """Those whose first name is among the words, and those of these names."""
        meant = {self._numbers[name] for name in names if name in self._numbers}
        return meant.union(*(self._called.get(word, ()) for word in stems))
