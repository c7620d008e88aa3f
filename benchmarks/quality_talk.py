"""Annotated talk of channels, as the benchmark of sessions reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Line:
    """One thing said."""

    n: int
    at: float
    author: str
    text: str


@dataclass(frozen=True)
class Stretch:
    """Talk of one channel, and what people say about it."""

    id: str
    lines: tuple[Line, ...]
    true: dict[int, int]
    """By annotated line its conversation."""
    answers: dict[int, int]
    """By line the line it answers; those that begin a conversation are not in it."""


def read(path: Path) -> Iterator[Stretch]:
    """The stretches of a file; what the system said is left out."""
    with path.open(encoding="utf-8") as file:
        for told in map(json.loads, file):
            said = [m for m in told["messages"] if not m["system"]]
            lines = tuple(Line(m["n"], m["ts"], m["author"], m["text"]) for m in said)
            there = {line.n for line in lines}
            true = {int(n): conversation for n, conversation in told["gold"].items() if int(n) in there}
            answers = {later: earlier for earlier, later in sorted(told["links"]) if earlier < later and later in there}
            yield Stretch(told["id"], lines, dict(sorted(true.items())), answers)
