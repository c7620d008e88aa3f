"""Decisions, scores and what a router gets wrong as lines for a terminal; words of people only stand there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .calibrating import Score, Weighed
from .classifier import Verdict
from .cli_sessions_shown import plain
from .router import Decision
from .understanding import Understanding, in_words

_SIGNALS = ("keywords", "words", "letters", "meaning")
_LONGEST = 90
_WRONG = 15
"""Lines that are shown of those that are still wrong."""


def decision_lines(decision: Decision, verdict: Verdict, threshold: float, known: Understanding) -> Iterator[str]:
    """A decision in plain words, the personas with what speaks for each, and what is plain about the line."""
    yield f"{decision.persona} answers: {decision.detail}."
    yield ""
    kinds = [kind for kind in _SIGNALS if any(kind in of for of in verdict.signals.values())]
    rows = [["persona", "likely", *kinds]]
    for name, likely in verdict.ranked:
        rows.append([name, f"{likely:.0%}", *(f"{verdict.signals[name].get(kind, 0):.2f}" for kind in kinds)])
    yield from table(rows)
    yield ""
    if verdict.ranked:
        best = verdict.ranked[0][0]
        yield f"{best} is {'' if verdict.sure else 'not '}likely enough to answer for its words: the threshold is " + (
            f"{threshold:.0%}." if round(threshold * 100, 1).is_integer() else f"{threshold:.1%}."
        )
    if "meaning" not in kinds:
        yield "Words alone were weighed: there is no embedder that goes by meaning (`troupe doctor` tells why)."
    for each in decision.segments:
        whose = each.topic or "nobody in particular"
        yield f"A topic of its own, for {whose}, {each.confidence:.0%} likely: {short(each.text)}"
    yield in_words(known, plain)


def score_line(score: Score) -> str:
    """How a threshold does."""
    told = [
        f"{share:.1%} of {what}"
        for share, what in (
            (score.meant, "lines for a persona answered by the right one"),
            (score.nobody, "lines for nobody left alone"),
            (score.grabbed, "ordinary talk answered all the same"),
        )
        if share is not None
    ]
    return ", ".join(told) + "."


def confusion_lines(counts: Mapping[str | None, Mapping[str | None, int]], personas: Sequence[str]) -> Iterator[str]:
    """Who answered what: a row for whom lines are, a column for who answered."""
    every: list[str | None] = [*personas, None]
    given = [each for each in every if each in counts]
    took = [each for each in every if any(each in row for row in counts.values())]
    rows = [["meant for", *(each or "(nobody)" for each in took)]]
    rows += [[each or "(nobody)", *(str(counts[each].get(other, 0)) for other in took)] for each in given]
    yield from table(rows)


def wrong_lines(lines: Sequence[Weighed], talk: Sequence[Weighed], threshold: float) -> Iterator[str]:
    """What is still wrong, the surest mistakes first."""
    missed = sorted((each for each in lines if not each.right(threshold)), key=lambda each: -each.likely)
    grabbed = sorted((each for each in talk if each.answered(threshold)), key=lambda each: -each.likely)
    for title, found in (("Still wrong", missed), ("Ordinary talk that would be answered", grabbed)):
        if found:
            yield ""
            yield f"{title} ({len(found)}):"
        for each in found[:_WRONG]:
            line = f"line {each.line}: " if each.line else ""
            meant = f", meant for {each.persona or 'nobody'}" if title == "Still wrong" else ""
            got = each.answered(threshold)
            told = f"{got} would answer{meant}" if got else f"nobody would answer{meant}"
            yield f"  {line}{short(each.text)}  ({told}; {each.best} is {each.likely:.0%} likely)"
        if len(found) > _WRONG:
            yield f"  … and {len(found) - _WRONG} more; --json tells all."


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows with their columns one below the other; the first is words, the others numbers."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        cells = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        yield "  ".join((row[0].ljust(widths[0]), *cells)).rstrip()


def short(text: str) -> str:
    """A line of somebody on one line."""
    told = plain(" ".join(text.split()))
    return told if len(told) <= _LONGEST else told[: _LONGEST - 1] + "…"
