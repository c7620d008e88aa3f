"""Slower channels made of the talk of a busy one, true labels and all: for tuning where no annotated one is at hand."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from math import log

from .quality_talk import Line, Stretch

_CALL = re.compile(r"@?([^\s:,>]+)\s*[:,]\s*(.*)", re.DOTALL)
_KEPT, _STRETCHED, _UNCALLED = 0.3, 2.0, 0.4
_PEOPLE = 8


def calm(stretch: Stretch, rnd: random.Random) -> Stretch:
    """Some of its conversations, at half the pace, and with fewer names; of the lines before, those of some people."""
    sizes = Counter(stretch.true.values())
    order = [one for one in sizes if sizes[one] > 2 or rnd.random() < 0.3]
    rnd.shuffle(order)
    kept: set[int] = set()
    for one in order:
        if sum(sizes[other] for other in kept) < _KEPT * len(stretch.true):
            kept.add(one)
    present = {line.author for line in stretch.lines if stretch.true.get(line.n) in kept}
    everybody = {line.author for line in stretch.lines}
    present |= {author for author in sorted(everybody - present) if rnd.random() < _KEPT / 2}
    names = {author.casefold(): author for author in everybody}
    lines = []
    for line in stretch.lines:
        if stretch.true[line.n] in kept if line.n in stretch.true else line.author in present:
            text = _uncalled(line.text, names, rnd, _UNCALLED)
            lines.append(Line(line.n, (line.at + rnd.uniform(0, 60)) * _STRETCHED, line.author, text))
    lines.sort(key=lambda line: (line.at // (60 * _STRETCHED), line.n))  # as they were said within a minute
    true = {n: one for n, one in stretch.true.items() if one in kept}
    return Stretch(f"{stretch.id} calm", tuple(_in_order(lines)), true, stretch.answers)


def quiet(stretches: Sequence[Stretch], rnd: random.Random) -> list[Stretch]:
    """Conversations of all of them, mostly one at a time with long pauses, among a few people who seldom call each
    other by name."""
    talks = [(stretch, lines) for stretch in stretches for lines in _conversations(stretch)]
    rnd.shuffle(talks)
    third = -(-len(talks) // 3)
    return [_one_by_one(f"quiet {n}", talks[n * third : (n + 1) * third], rnd) for n in range(3)]


def _conversations(stretch: Stretch) -> list[list[Line]]:
    by_conversation: dict[int, list[Line]] = {}
    for line in stretch.lines:
        if line.n in stretch.true:
            by_conversation.setdefault(stretch.true[line.n], []).append(line)
    return [lines for lines in by_conversation.values() if len({line.author for line in lines}) in range(2, 6)]


def _one_by_one(name: str, talks: list[tuple[Stretch, list[Line]]], rnd: random.Random) -> Stretch:
    said: list[tuple[Line, int, tuple[int, int], tuple[int, int] | None]] = []
    began = end = 0.0
    for number, (stretch, lines) in enumerate(talks):
        alongside = rnd.random() < 0.15
        at = rnd.uniform(began, end) if alongside else end + rnd.lognormvariate(log(2500), 1.3)
        began, before = at, ""
        authors = list(dict.fromkeys(line.author for line in lines))
        who = dict(zip(authors, rnd.sample([f"person{n}" for n in range(_PEOPLE)], len(authors)), strict=True))
        names = {author.casefold(): who[author] for author in authors}
        for line in lines:
            at += rnd.lognormvariate(log(18 if line.author == before else 54), 1.5) if before else 0.0
            before = line.author
            text = _uncalled(line.text, names, rnd, 0.8)
            earlier = stretch.answers.get(line.n)
            answered = None if earlier is None else (number, earlier)
            said.append((Line(0, at, who[line.author], text), number, (number, line.n), answered))
        end = max(end, at)
    said.sort(key=lambda one: one[0].at)
    place = {key: n for n, (_, _, key, _) in enumerate(said)}
    return Stretch(
        name,
        tuple(Line(n, line.at, line.author, line.text) for n, (line, _, _, _) in enumerate(said)),
        {n: number for n, (_, number, _, _) in enumerate(said)},
        {n: place[answered] for n, (_, _, _, answered) in enumerate(said) if answered in place},
    )


def _uncalled(text: str, names: dict[str, str], rnd: random.Random, share: float) -> str:
    """The text without the name that it begins with, in a share of cases; else with the name it is now."""
    called = _CALL.match(text)
    if called is None or called[1].casefold() not in names:
        return text
    return called[2] if rnd.random() < share else f"{names[called[1].casefold()]}: {called[2]}"


def _in_order(lines: list[Line]) -> list[Line]:
    """The same lines with times that never go back."""
    times = sorted(line.at for line in lines)
    return [Line(line.n, at, line.author, line.text) for line, at in zip(lines, times, strict=True)]
