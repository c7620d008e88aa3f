"""Vectors without a model: the pieces of a text's words, hashed into a few hundred numbers."""

from __future__ import annotations

import asyncio
import math
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence

from ..terms import folded

_MOST_CHARACTERS = 2_000
_SHORTEST, _LONGEST = 3, 4
_NUMBERS = 256


class Hashed:
    """Likeness of letters: finds what is spelt alike, past endings and slips of the finger; nothing by meaning."""

    id = "hashed-256"
    dimensions: int | None = _NUMBERS
    semantic = False

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        return await asyncio.to_thread(lambda: [_vector(text[:_MOST_CHARACTERS]) for text in texts])

    async def close(self) -> None:
        """Holds nothing open."""


def _vector(text: str) -> tuple[float, ...]:
    numbers = [0.0] * _NUMBERS
    for piece, count in Counter(_pieces(text)).items():
        hashed = zlib.crc32(piece.encode(errors="replace"))
        # A sign of its own for each piece: two that meet in one number then cancel out as often as they add up.
        numbers[hashed % _NUMBERS] += math.copysign(math.sqrt(count), (hashed >> 16 & 1) - 0.5)
    length = math.hypot(*numbers)
    # A text without a letter is nothing in particular, and like others of its kind.
    return tuple(number / length for number in numbers) if length else (1.0, *numbers[1:])


def _pieces(text: str) -> Iterator[str]:
    for word in folded(text).split():
        edged = f" {word} "
        for size in range(_SHORTEST, _LONGEST + 1):
            yield from (edged[at : at + size] for at in range(len(edged) - size + 1))
