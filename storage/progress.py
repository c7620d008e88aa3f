"""How far long work is, told to whoever wants to know."""

from __future__ import annotations

from collections.abc import Callable

Tell = Callable[[str, int, int], None]
"""Hears how far work is: what is being done, how much of it is done, of how much (0 where nobody knows)."""


def silent(step: str, done: int, of: int) -> None:
    """For those to whom nothing needs to be told."""
