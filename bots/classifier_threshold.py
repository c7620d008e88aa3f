"""Where between scores the line runs above which somebody answers, and how sure a score is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_QUIET = 0.9


@dataclass(frozen=True, slots=True)
class Line:
    """Turns scores into probabilities: `at` is even odds."""

    at: float
    slope: float

    def probability(self, score: float) -> float:
        """From 0 to 1, more for more."""
        return 1 / (1 + math.exp(-max(-40.0, min(40.0, (score - self.at) * self.slope))))


@dataclass(frozen=True, slots=True)
class Trial:
    """Texts of which it is known who should answer, weighed as if they were new."""

    right: Sequence[float]
    """Scores of texts whose best persona is the right one."""
    wrong: int
    """How many texts another persona than the right one was best for."""
    absent: Sequence[float]
    """The best scores of the others, once the right persona is not there."""
    background: Sequence[float]
    """The best scores of texts that are for nobody in particular."""

    @property
    def nobody(self) -> Sequence[float]:
        """The best scores of all that nobody should answer."""
        return [*self.absent, *self.background]

    @property
    def quiet(self) -> float:
        """The score below which nearly all of the background lies."""
        return sorted(self.background)[int(_QUIET * len(self.background))]


def best(trial: Trial) -> float:
    """The score with the best mean of those answered rightly and those left alone, in the middle where several are."""
    right, nobody = sorted(trial.right), sorted(trial.nobody)
    asked = len(right) + trial.wrong
    points = sorted({*right, *nobody})
    gains: list[float] = []
    over = under = 0
    for point in points:
        while over < len(right) and right[over] <= point:
            over += 1
        while under < len(nobody) and nobody[under] <= point:
            under += 1
        gains.append((len(right) - over) / asked + under / len(nobody))
    top = max(gains)
    good = [at for at, gain in enumerate(gains) if gain == top]
    middle = good[len(good) // 2]
    return (points[middle] + points[min(middle + 1, len(points) - 1)]) / 2


def slope(at: float, trial: Trial) -> float:
    """How steeply the probability rises around `at`: the likeliest of a row of slopes, either kind counting alike."""

    def loss(steepness: float) -> float:
        line = Line(at, steepness)
        answered = sum(-math.log(max(line.probability(score), 1e-9)) for score in trial.right) / len(trial.right)
        left = sum(-math.log(max(1 - line.probability(score), 1e-9)) for score in trial.nobody) / len(trial.nobody)
        return answered + left

    return min((2.0 * 1.3**step for step in range(20)), key=loss)
