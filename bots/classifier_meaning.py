"""What vectors tell of whom a message is for: nearness to examples and cards, less likeness to any talk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .classifier_words import BACKGROUND, FEW

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_NEAREST = 3
_CROWDED = 0.4
"""How much of an example's likeness to its own neighbours is taken off: where examples stand close together a stranger
is near soon, where they stand apart a friend may be far."""
_ANY_TALK = 0.1


class Meaning:
    """Vectors of one embedder, of length 1: of each persona's phrases, of its description, of its examples, and of the
    background."""

    def __init__(
        self,
        phrases: Sequence[Sequence[Sequence[float]]],
        descriptions: Sequence[Sequence[float]],
        examples: Sequence[Sequence[Sequence[float]]],
        background: Sequence[Sequence[float]],
    ) -> None:
        self._background = _matrix(background)
        self._descriptions = _matrix(descriptions)
        self._phrases = [_matrix(each) if each else self._descriptions[[at]] for at, each in enumerate(phrases)]
        self._centres = np.stack([_unit(each.mean(axis=0)) for each in self._phrases])
        self._examples = [_matrix(each) if each else self._descriptions[:0] for each in examples]
        self._crowded = [_CROWDED * _own_nearness(each) for each in self._examples]

    def scores(self, vector: Sequence[float], without: tuple[int, int] | None = None) -> list[float]:
        """A number for each persona, about 0 to 1. `without` takes the vector as if it were not the example of that
        persona and place; `(BACKGROUND, place)` as if it were not in the background."""
        wanted = np.asarray(vector, dtype=np.float32)
        whose, place = without or (None, 0)
        talk = self._background @ wanted
        if whose == BACKGROUND:
            talk[place] = -1
        off = _ANY_TALK * _top(talk, _NEAREST)
        descriptions, centres = self._descriptions @ wanted, self._centres @ wanted
        found = []
        for number, phrases in enumerate(self._phrases):
            near = phrases @ wanted
            told = (near.max() + _top(near, _NEAREST) + descriptions[number] + centres[number]) / 4
            examples = self._examples[number]
            count = len(examples) - (whose == number)
            if count:
                close = examples @ wanted - self._crowded[number]
                if whose == number:
                    close[place] = -1
                trust = count / (count + FEW)
                told = trust * _top(close, _depth(count)) + (1 - trust) * told
            found.append(float(told - off))
        return found


def _depth(examples: int) -> int:
    """How many neighbours are asked: few where there are few examples."""
    return min(_NEAREST, 1 + examples // 12)


def _own_nearness(examples: Floats) -> Floats:
    """For each example how near the nearest others of its persona are."""
    nearness = np.zeros(len(examples), dtype=np.float32)
    for start in range(0, len(examples) if len(examples) > 1 else 0, 256):
        likeness = examples[start : start + 256] @ examples.T
        likeness[np.arange(len(likeness)), start + np.arange(len(likeness))] = -1
        depth = min(_NEAREST, len(examples) - 1)
        nearness[start : start + 256] = np.partition(likeness, -depth, axis=1)[:, -depth:].mean(axis=1)
    return nearness


def _top(likeness: Floats, count: int) -> float:
    """The mean of the largest."""
    if count == 1 or len(likeness) <= 1:
        return float(likeness.max(initial=-1))
    count = min(count, len(likeness))
    return float(np.partition(likeness, -count)[-count:].mean())


def _matrix(vectors: Sequence[Sequence[float]]) -> Floats:
    return np.asarray(vectors, dtype=np.float32)


def _unit(vector: Floats) -> Floats:
    length = float(np.linalg.norm(vector))
    return vector / length if length else vector
