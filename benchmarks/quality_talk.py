"""Annotated talk of channels, as the benchmark of sessions reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any


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


class Unreadable(Exception):
    """Talk that cannot be read; says in which file and line, and why."""


def read(path: Path) -> Iterator[Stretch]:
    """The stretches of a file; what the system said, and empty lines, are left out. Ids of lines may be of any sort,
    times Unix seconds or ISO 8601. Raises `Unreadable`."""
    found = False
    try:
        with path.open(encoding="utf-8") as file:
            for number, told in enumerate(file, 1):
                if told.strip():
                    found = True
                    try:
                        yield _stretch(json.loads(told), f"{path.stem} {number}")
                    except json.JSONDecodeError as error:
                        raise Unreadable(f"{path}, line {number}: this is not JSON: {error.msg}.") from error
                    except KeyError as error:
                        raise Unreadable(f"{path}, line {number}: {error} is missing.") from error
                    except (TypeError, ValueError, AttributeError) as error:
                        raise Unreadable(f"{path}, line {number}: this is not a stretch of talk: {error}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(f"{path} cannot be read: {error}.") from error
    if not found:
        raise Unreadable(f"{path} is empty: it should hold one stretch of talk a line, as JSON.")


def _stretch(told: Mapping[str, Any], otherwise: str) -> Stretch:
    """A stretch with its lines numbered anew, as they come; `otherwise` is what it is called if it has no id."""
    said = [m for m in told["messages"] if not m.get("system")]
    numbers = {str(m["n"]): n for n, m in enumerate(said)}
    lines = tuple(
        Line(n, _seconds(m["ts"]), str(m["author"]), str(m.get("text") or ""))  # what was no text is heard, too
        for n, m in enumerate(said)
    )
    conversations: dict[str, int] = {}
    true = {
        numbers[str(n)]: conversations.setdefault(str(one), len(conversations))
        for n, one in (told.get("gold") or {}).items()
        if str(n) in numbers
    }
    links = [(numbers[str(a)], numbers[str(b)]) for a, b in told.get("links") or () if {str(a), str(b)} <= {*numbers}]
    answers = {later: earlier for earlier, later in sorted(links) if earlier < later}
    return Stretch(str(told.get("id") or otherwise), lines, dict(sorted(true.items())), answers)


def _seconds(told: float | str) -> float:
    try:
        return float(told)
    except ValueError:
        return datetime.fromisoformat(str(told)).timestamp()
