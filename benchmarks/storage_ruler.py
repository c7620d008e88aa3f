"""How the storage benchmarks measure and tell: time, CPU, late ticks, and figures with their verdicts."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TICK = 0.001


@dataclass(frozen=True)
class Bench:
    """Where a run writes, and how much it does."""

    root: Path
    report: Report
    quick: bool

    @property
    def million(self) -> int:
        """As many messages as the big store holds."""
        return 30_000 if self.quick else 1_000_000

    def scaled(self, usual: int, quick: int) -> int:
        return quick if self.quick else usual

    @contextlib.contextmanager
    def folder(self) -> Iterator[Path]:
        """An empty folder in the root, gone afterwards."""
        made = Path(tempfile.mkdtemp(prefix="run-", dir=self.root))
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)


@dataclass
class Report:
    """Prints each figure as it comes, and in the end those that missed their target."""

    part: str = ""
    missed: list[str] = field(default_factory=list)
    met: int = 0

    def head(self, part: str) -> None:
        self.part = part
        print(f"\n{part:<46} {'ours':>14} {'peer':>14} {'ratio':>8} {'target':>8}", flush=True)

    def figure(
        self,
        what: str,
        ours: float,
        peer: float | None = None,
        *,
        unit: str = "",
        least: float | None = None,
        most: float | None = None,
    ) -> None:
        """A figure of ours beside a peer's. `least` and `most` are what the ratio shall be, or, without a peer, the
        figure itself."""
        ratio = ours if peer is None else ours / peer if peer else float("inf")
        target = f">={least:g}" if least is not None else f"<={most:g}" if most is not None else ""
        fine = (least is None or ratio >= least) and (most is None or ratio <= most)
        shown = "" if peer is None else f"{ratio:8.2f}" if ratio >= 0.1 else f"{ratio:8.4f}"
        verdict = "" if not target else "met" if fine else "MISSED"
        theirs = "" if peer is None else _shown(peer, unit)
        print(f"  {what:<44} {_shown(ours, unit):>14} {theirs:>14} {shown:>8} {target:>8} {verdict}", flush=True)
        if target and fine:
            self.met += 1
        elif target:
            self.missed.append(f"{self.part}: {what} {shown.strip() or _shown(ours, unit)}, {target} wanted")

    def say(self, sentence: str) -> None:
        print(f"  {sentence}", flush=True)

    def fail(self, why: str) -> None:
        """The rest of a part could not be measured."""
        self.say(f"FAILED: {why}")
        self.missed.append(f"{self.part}: {why}")

    def sum_up(self) -> None:
        print(f"\n{self.met} targets met, {len(self.missed)} missed.")
        for line in self.missed:
            print(f"  {line}")


@dataclass
class Cost:
    """What keeping some messages took, over several rounds: seconds and CPU seconds for each message."""

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Messages a second, the median round."""
        return 1 / middle(self.seconds)

    @property
    def cpu_each(self) -> float:
        """Microseconds of all threads together for each message."""
        return middle(self.cpu) * 1e6


class Lap:
    """Time and CPU of all threads since it was made; what there was before is out of the collector's sight, as it is
    in a bot."""

    def __init__(self, many: int) -> None:
        gc.collect()
        gc.freeze()
        self._many = many
        self._seconds, self._cpu = time.perf_counter(), time.process_time()

    def into(self, cost: Cost) -> None:
        seconds, cpu = time.perf_counter() - self._seconds, time.process_time() - self._cpu
        cost.seconds.append(seconds / self._many)
        cost.cpu.append(cpu / self._many)

    def end(self) -> None:
        gc.unfreeze()


@contextlib.asynccontextmanager
async def late_ticks() -> AsyncIterator[list[float]]:
    """How late a ticker of a millisecond is woken, in seconds, while this is held."""
    late: list[float] = []

    async def tick() -> None:
        while True:
            due = time.perf_counter() + TICK
            await asyncio.sleep(TICK)
            late.append(max(0.0, time.perf_counter() - due))

    ticking = asyncio.ensure_future(tick())
    try:
        yield late
    finally:
        ticking.cancel()


def middle(values: Sequence[float]) -> float:
    return statistics.median(values)


def tail(values: Sequence[float], part: float = 0.99) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def _shown(value: float, unit: str) -> str:
    number = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{number} {unit}".strip()
