"""Where a page ends, as a word that people may carry around: a direction and the sort key of the row next to it."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Literal

from ..backend import OLDEST, NotACursor, Page

Direction = Literal["older", "newer"]
Key = tuple[str | int, ...]


def written(direction: Direction, key: Key) -> str:
    """The cursor of what lies on that side of a row."""
    return _spelt(direction, *key)


def nothing(direction: Direction, there: int) -> Page[Any]:
    """The empty page on one side of everything that is `there`, if anything is: the way back leads through it all."""
    if direction == "newer":
        return Page((), _NEWEST if there else None, None)
    return Page((), None, OLDEST if there else None)


def understood(cursor: str | None, shape: tuple[type, ...]) -> tuple[Direction, Key | None]:
    """The direction, and the key to start beyond: None at either end. Raises NotACursor for one that is none, or
    that belongs to another list."""
    if cursor is None or cursor == _NEWEST:
        return "older", None
    if cursor == OLDEST:
        return "newer", None
    try:
        direction, *key = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, TypeError, RecursionError):
        direction, key = None, []
    fits = tuple(type(each) for each in key) == shape and not any(type(each) is int and abs(each) >> 63 for each in key)
    if direction not in ("older", "newer") or not fits:
        raise NotACursor(f"{cursor[:80]!r} is not a cursor of this list: take one from a page of it, or leave it out")
    return direction, tuple(key)


def _spelt(*told: str | int) -> str:
    return urlsafe_b64encode(json.dumps(told).encode()).decode().rstrip("=")


_NEWEST = _spelt("newest")
