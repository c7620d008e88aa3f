"""A message cut into its topics, where it plainly has several; most messages have one."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from .classifier import Classifier, Verdict
from .understanding import understood

_MOST = 2_000
"""Characters of a message that are looked at."""
_SURE, _OTHERS = 0.6, 0.4
"""How likely a stretch's own persona must be, and how unlikely each that another stretch is for."""
_FEWEST_WORDS = 3
_PIECES = 12
"""Where a message has more sentences than that, neighbours are weighed together."""


@dataclass(frozen=True, slots=True)
class TopicSegment:
    """A stretch of a message that is about one thing."""

    text: str
    topic: str
    """The name of the persona it is for; empty where it is nobody's."""
    confidence: float
    """How likely that persona is meant, from 0 to 1."""
    entities: Mapping[str, tuple[str, ...]]
    """What it names, as `understood` finds it."""
    start_pos: int
    end_pos: int
    """Where it stands in the message, in characters."""


def segments(text: str, classifier: Classifier) -> tuple[TopicSegment, ...]:
    """The stretches of a message that are for different personas, in order, all of it; none where it has one topic or
    it is not sure. A persona called by name at the beginning of a clause is meant."""
    starts = [0, *(match.end() for match in _BREAK.finditer(text, 0, _MOST))]
    starts = starts[:: math.ceil(len(starts) / _PIECES)]
    pieces = [(start, end) for start, end in zip(starts, [*starts[1:], len(text)], strict=True) if text[start:end]]
    if len(pieces) < 2:
        return ()
    calls = _calls(classifier)
    stretches: list[_Stretch] = []
    for start, end in pieces:
        stretch = _weighed(text, start, end, classifier, calls)
        if stretches and stretch.topic in ("", stretches[-1].topic):
            stretches[-1].end = end
            stretches[-1].confidence = max(stretches[-1].confidence, stretch.confidence if stretch.topic else 0.0)
        elif len(stretches) == 1 and not stretches[0].topic and not (stretch.called and stretches[0].spoken):
            stretch.start = 0
            stretches = [stretch]
        else:
            stretches.append(stretch)
    topics = {stretch.topic for stretch in stretches}
    if len(topics) < 2 or any(_torn(stretch, topics) for stretch in stretches):
        return ()
    return tuple(
        TopicSegment(
            text[each.start : each.end].strip(),
            each.topic,
            each.confidence,
            understood(text[each.start : each.end]).entities,
            each.start,
            each.end,
        )
        for each in stretches
    )


@dataclass(slots=True)
class _Stretch:
    start: int
    end: int
    topic: str
    confidence: float
    likely: dict[str, float]
    spoken: bool
    """Whether it is long enough to be about something."""
    called: bool = False


def _weighed(text: str, start: int, end: int, classifier: Classifier, calls: Mapping[str, re.Pattern[str]]) -> _Stretch:
    piece = text[start:end]
    for name, call in calls.items():
        if call.match(piece):
            return _Stretch(start, end, name, 1.0, {name: 1.0}, spoken=True, called=True)
    if len(piece.split()) < _FEWEST_WORDS:
        return _Stretch(start, end, "", 0.0, {}, spoken=False)
    verdict: Verdict = classifier.scores(piece)
    best, likely = verdict.ranked[0]
    meant = likely > max(_SURE, classifier.threshold)
    return _Stretch(start, end, best if meant else "", likely if meant else 0.0, dict(verdict.ranked), spoken=True)


def _torn(stretch: _Stretch, topics: set[str]) -> bool:
    """Whether a stretch might be for one of the other personas as well."""
    return any(stretch.likely.get(other, 0.0) > _OTHERS for other in topics - {stretch.topic})


def _calls(classifier: Classifier) -> dict[str, re.Pattern[str]]:
    return {
        card.name: re.compile(
            rf"\s*(?:(?:and|but|then|und)\s+)?@?(?:{re.escape(card.display)}|{re.escape(card.name)})\s*[,:]",
            re.IGNORECASE,
        )
        for card in classifier.personas
    }


_BREAK = re.compile(
    r"[.!?…]+[)\"'”]*\s+|[。！？]|\n+|;\s+|,?\s+(?=(?:and|but|then) @?\w+,\s)|,\s+(?=(?:and|but|also|then|plus)\s)"
    r"|\s+(?=and (?:also|then)\s)"
)
