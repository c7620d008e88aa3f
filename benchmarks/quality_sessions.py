"""How well the lines of a channel are told apart into sessions, line by line as they come, beside fixed gaps.

    .venv/bin/python -m benchmarks.quality_sessions FILE… [--explicit 0.3] [--seed 1] [--as calm]

A line of a file is a stretch of talk as JSON: `{id, messages: [{n, ts, author, text, system}], gold: {line:
conversation}, links: [[earlier, later], …]}`, of which only `messages` with `n`, `ts` and `author` must be there; lines
that nobody annotated are heard, too, but not scored. `--as` makes slower channels of the same talk: `calm` keeps a part
of its conversations and spreads them, `quiet` sets them one after the other among a few people. VI, 1-1, exact and ctxF
are in percent."""

from __future__ import annotations

import argparse
import math
import random
import statistics
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from bots.disentangling import Disentangler, Heard

from .quality_scores import scores
from .quality_talk import Line, Stretch, Unreadable, read
from .slower_channels import calm, quiet

GAPS = (300.0, 900.0)
SCORES = ("VI", "1-1", "exact", "ctxF")
BASE_GAP = 300.0


def add(parser: argparse.ArgumentParser) -> None:
    """Declares what the command line takes."""
    parser.add_argument("files", type=Path, nargs="+", help="annotated talk, one stretch a line")
    parser.add_argument("--explicit", type=float, default=0.3, help="share of answers made with reply (default 0.3)")
    parser.add_argument("--seed", type=int, default=1, help="which answers those are, and what --as makes")
    parser.add_argument("--as", dest="kind", choices=("calm", "quiet"), help="make slower channels of the same talk")


def run(arguments: argparse.Namespace) -> int:
    """Prints the table; nothing that is not measured has a figure."""
    try:
        return _run(arguments)
    except Unreadable as error:
        print(error, file=sys.stderr)
        return 1


def _run(arguments: argparse.Namespace) -> int:
    print(f"{'file':>24} {'method':>26} {'VI':>6} {'1-1':>6} {'exact':>6} {'ctxF':>6} {'us':>6}")
    means: dict[str, list[dict[str, float]]] = {}
    for path in arguments.files:
        stretches = list(read(path))
        if arguments.kind is not None:
            rnd = random.Random(arguments.seed)
            stretches = [calm(one, rnd) for one in stretches] if arguments.kind == "calm" else quiet(stretches, rnd)
        for method, row in _rows(stretches, arguments.explicit, arguments.seed):
            means.setdefault(method, []).append(row)
            _print(path.stem, method, row)
    if len(arguments.files) > 1:
        for method, rows in means.items():
            _print("mean", method, _mean(rows))
    return 0


def _rows(stretches: list[Stretch], share: float, seed: int) -> Iterator[tuple[str, dict[str, float]]]:
    for gap in GAPS:
        yield f"gap {gap:.0f} s", _mean([scores(by_gap(one.lines, gap), one.true) for one in stretches if one.true])
    for method, explicit in (("structural", 0.0), (f"{share:.0%} of answers explicit", share)):
        rows: list[dict[str, float]] = []
        times: list[float] = []
        for one in stretches:
            rnd = random.Random(f"{one.id} {seed}")
            replied = {later: earlier for later, earlier in sorted(one.answers.items()) if rnd.random() < explicit}
            division = structural(one.lines, replied, times)
            if one.true:
                rows.append(scores(division, one.true))
        yield method, _mean(rows) | {"us": statistics.median(times) * 1e6 if times else math.nan}


def by_gap(lines: Iterable[Line], gap: float) -> dict[int, int]:
    """The division that one fixed gap makes."""
    found: dict[int, int] = {}
    number, before = 0, float("-inf")
    for line in lines:
        number += line.at - before > gap
        found[line.n], before = number, line.at
    return found


def structural(lines: Iterable[Line], replied: dict[int, int], times: list[float]) -> dict[int, str]:
    """The division that the product makes; the seconds of each choice are added to `times`."""
    channel = Disentangler(BASE_GAP)
    found: dict[int, str] = {}
    for line in lines:
        to = replied.get(line.n)
        heard = Heard(str(line.n), line.at, line.author, (line.author,), line.text, replied=str(to) if to else None)
        began = time.perf_counter()
        choice = channel.choose(heard)
        times.append(time.perf_counter() - began)
        found[line.n] = choice.session or f"began with {line.n}"
        channel.joined(heard, found[line.n])
    return found


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return (
        {name: statistics.mean(row[name] for row in rows) for name in rows[0]}
        if rows
        else dict.fromkeys(SCORES, math.nan)
    )


def _print(file: str, method: str, row: dict[str, float]) -> None:
    told = " ".join(f"{row[name] * 100:6.1f}" for name in SCORES)
    print(f"{file:>24} {method:>26} {told} " + (f"{row['us']:6.1f}" if "us" in row else ""), flush=True)


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add(asked)
    sys.exit(run(asked.parse_args()))
