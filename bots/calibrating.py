"""From lines of which somebody knows whom they are for, and from ordinary talk, to the threshold that serves best."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .classifier import THRESHOLD
from .errors import TroupeError

GRABS = 0.05
"""The most of ordinary talk that a persona may answer without being called, if it can be helped."""
_FEW = 10
"""So many lines count as much as the built-in threshold."""
_STEPS = 1_000
_LONGEST = 4_000


@dataclass(frozen=True, slots=True)
class Example:
    """A line and whom it is for."""

    text: str
    persona: str | None
    """None: nobody should answer it."""
    line: int
    """Where it stands in its file."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """A line as the classifier sees it."""

    text: str
    persona: str | None
    """Whom it is for, None for nobody."""
    best: str
    likely: float
    """How likely the best persona is meant."""
    line: int = 0

    def answered(self, threshold: float) -> str | None:
        """Who would answer it."""
        return self.best if self.likely > threshold else None

    def right(self, threshold: float) -> bool:
        """Whether that is who should."""
        return self.answered(threshold) == self.persona


@dataclass(frozen=True, slots=True)
class Score:
    """How a threshold does, each a share from 0 to 1, None where there was no such line."""

    meant: float | None
    """Of lines for somebody, answered by the right one."""
    nobody: float | None
    """Of lines for nobody, left alone."""
    grabbed: float | None
    """Of ordinary talk, answered all the same."""

    @property
    def overall(self) -> float:
        """The mean of what there is; talk counts as lines for nobody do."""
        left = [each for each in (self.nobody, None if self.grabbed is None else 1 - self.grabbed) if each is not None]
        parts = [*([self.meant] if self.meant is not None else []), *([sum(left) / len(left)] if left else [])]
        return sum(parts) / len(parts) if parts else 0.0


def scored(lines: Sequence[Weighed], talk: Sequence[Weighed], threshold: float) -> Score:
    """How a threshold does on lines and on ordinary talk."""
    meant = [each.right(threshold) for each in lines if each.persona is not None]
    nobody = [each.right(threshold) for each in lines if each.persona is None]
    grabbed = [each.answered(threshold) is not None for each in talk]
    return Score(_share(meant), _share(nobody), _share(grabbed))


def found(lines: Sequence[Weighed], talk: Sequence[Weighed], before: float) -> float:
    """The threshold with the best overall score among those that grab no more talk than `GRABS`, or the least that can
    be; of equal ones the middle one. Few lines move it little from the built-in one. Where that is no better than
    `before`, and without lines for somebody, or without any that nobody should answer, the one before stays."""
    meant = sum(each.persona is not None for each in lines)
    if not meant or not (talk or meant < len(lines)):
        return before
    steps = [step / _STEPS for step in range(20, _STEPS - 19, 5)]
    scores = {step: scored(lines, talk, step) for step in steps}
    least = min(score.grabbed or 0.0 for score in scores.values())
    allowed = [step for step in steps if (scores[step].grabbed or 0.0) <= max(GRABS, least)]
    best = max(scores[step].overall for step in allowed)
    good = [step for step in allowed if scores[step].overall >= best]
    chosen = good[len(good) // 2]
    trust = len(lines) / (len(lines) + _FEW)
    after = round(trust * chosen + (1 - trust) * THRESHOLD, 3)

    def worth(threshold: float) -> tuple[float, float]:
        score = scored(lines, talk, threshold)
        return -max(score.grabbed or 0.0, GRABS, least), score.overall

    return after if worth(after) > worth(before) else before


def confusion(lines: Sequence[Weighed], threshold: float) -> dict[str | None, dict[str | None, int]]:
    """For whom lines are, and who answered how many of them; None is nobody."""
    table: dict[str | None, dict[str | None, int]] = {}
    for each in lines:
        row = table.setdefault(each.persona, {})
        answered = each.answered(threshold)
        row[answered] = row.get(answered, 0) + 1
    return table


def read(lines: Iterator[str], source: str, personas: Sequence[str]) -> list[Example]:
    """Examples of a file of JSON lines, `{"text": …, "persona": name or null}`. Raises `TroupeError` that names
    file and line and what is allowed there."""
    known = f"one of {', '.join(personas)}, or null for nobody"
    examples = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        refused = _refusing(source, number)
        try:
            given = json.loads(line)
        except (ValueError, RecursionError):
            raise refused('this is no JSON: write {"text": "…", "persona": "…"} on one line') from None
        if not isinstance(given, dict):
            raise refused('this is no JSON object: write {"text": "…", "persona": "…"}')
        text = given.get("text")
        if not isinstance(text, str) or not text.strip():
            raise refused("`text` is missing or empty: it is what somebody says")
        if "persona" not in given:
            raise refused(f"`persona` is missing: {known}")
        persona = given["persona"]
        if persona is not None and persona not in personas:
            raise refused(f"`persona` is {json.dumps(persona)[:60]}, and this bot has none of that name: {known}")
        examples.append(Example(text[:_LONGEST], persona, number))
    if not examples:
        raise TroupeError(f'{source}: there is no line in it: write {{"text": "…", "persona": "…"}}, one on each line.')
    return examples


def _refusing(source: str, number: int) -> Callable[[str], TroupeError]:
    return lambda told: TroupeError(f"{source}, line {number}: {told}.")


def _share(hits: Sequence[bool]) -> float | None:
    return sum(hits) / len(hits) if hits else None
