"""Keeping messages: fifty at once, one alone, and a thousand a second, beside the peers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from .storage_peers import KEEPERS, Keeper, missing
from .storage_ruler import Bench, Cost, Lap, late_ticks, middle, tail
from .storage_talk import START, Line, Talk

APPENDERS = 50


async def many(bench: Bench) -> None:
    """Fifty appenders, a session each, each waiting for its line to be committed before it says the next."""
    amounts = {"ours": bench.scaled(600, 100), "SQLiteSession": bench.scaled(60, 10), "naive": bench.scaled(60, 10)}
    costs = await _rounds(bench, APPENDERS, amounts, bench.scaled(5, 2))
    for name in ("SQLiteSession", "naive"):
        if name in costs:
            (acknowledged, _), (mine, mine_found) = costs[name], costs["ours"]
            for what, cost in (("acknowledged", mine), ("index caught up", mine_found)):
                bench.report.figure(f"messages/s, {what} : {name}", cost.rate, acknowledged.rate, least=10)
                most = 0.1 if name == "SQLiteSession" else None
                bench.report.figure(f"CPU µs, {what} : {name}", cost.cpu_each, acknowledged.cpu_each, most=most)


async def alone(bench: Bench) -> None:
    """One appender that says one line after the other."""
    each = bench.scaled(1500, 200)
    amounts = dict.fromkeys(KEEPERS, each)
    costs = await _rounds(bench, 1, amounts, bench.scaled(5, 2))
    for name in ("SQLiteSession", "naive", "raw sqlite3"):
        if name in costs:
            against = name == "SQLiteSession"
            (acknowledged, _), (mine, mine_found) = costs[name], costs["ours"]
            for what, cost in (("acknowledged", mine), ("index caught up", mine_found)):
                rates, cpu = (cost.rate, acknowledged.rate), (cost.cpu_each, acknowledged.cpu_each)
                bench.report.figure(f"messages/s, {what} : {name}", *rates, least=1.2 if against else None)
                bench.report.figure(f"CPU µs, {what} : {name}", *cpu, most=0.7 if against else None)


async def steady(bench: Bench) -> None:
    """A thousand lines a second, said when they are due whether or not those before them are kept."""
    rate, seconds = 1000, bench.scaled(15, 3)
    measured: dict[str, Paced] = {}
    for name in ("ours", "naive"):
        if sentence := missing(name):
            bench.report.say(sentence)
            continue
        for number in range(bench.scaled(2, 1)):
            with bench.folder() as folder:
                keeper = await KEEPERS[name].open(folder)
                turns = Talk(number + 1).turns(APPENDERS, rate * seconds // APPENDERS)
                await keeper.prepare([turn[0][0] for turn in turns])
                lines = [line for lines in zip(*turns, strict=True) for line in lines]
                heard = await paced(keeper, lines, rate)
                measured.setdefault(name, Paced()).extend(heard)
                await keeper.close()
    mine = measured["ours"]
    if theirs := measured.get("naive"):
        late, usual = ([tail(heard.waits, part) * 1e3 for heard in (mine, theirs)] for part in (0.99, 0.5))
        bench.report.figure("acknowledged, p99 : naive", *late, unit="ms", most=0.2)
        bench.report.figure("acknowledged, p50 : naive", *usual, unit="ms")
        bench.report.figure("CPU of a core : naive", mine.cpu * 100, theirs.cpu * 100, unit="%")
        bench.report.figure("loop late, p99 : naive", tail(mine.late) * 1e3, tail(theirs.late) * 1e3, unit="ms")
    bench.report.figure("loop late, p99", tail(mine.late) * 1e3, unit="ms", most=5)
    bench.report.figure("loop late, the worst", max(mine.late) * 1e3, unit="ms")


@dataclass
class Paced:
    """What happened while lines were said at a rate: waits for acknowledgement and late ticks, in seconds."""

    waits: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    cpu: float = 0.0
    """CPU seconds a second."""

    def extend(self, other: Paced) -> None:
        self.waits += other.waits
        self.late += other.late
        self.cpu = other.cpu


async def paced(keeper: Keeper, lines: Iterable[Line], rate: float, go_on: Callable[[], bool] = lambda: True) -> Paced:
    """Says each line when it is due; a wait counts from then on. Stops at the last line, or when it is not to go on."""
    heard = Paced()
    saying: set[asyncio.Task[None]] = set()

    async def say(line: Line, due: float) -> None:
        await keeper.add(*line)
        heard.waits.append(time.perf_counter() - due)

    lap, cost = Lap(1), Cost()
    async with late_ticks() as late:
        start = time.perf_counter()
        for number, line in enumerate(lines):
            due = start + number / rate
            if (ahead := due - time.perf_counter()) > 0:
                await asyncio.sleep(ahead)
            elif number % 50 == 0:
                await asyncio.sleep(0)  # others want their turn, however late this is
            if not go_on():
                break
            saying.add(task := asyncio.ensure_future(say(line, due)))
            task.add_done_callback(saying.discard)
        await asyncio.gather(*saying)
    lap.into(cost)
    lap.end()
    heard.late, heard.cpu = late, cost.cpu[0] / cost.seconds[0]
    return heard


async def _rounds(bench: Bench, appenders: int, amounts: dict[str, int], rounds: int) -> dict[str, tuple[Cost, Cost]]:
    """What each keeper took for lines that were acknowledged, and for lines that a search finds, in turn. The first
    round, in which files and logs grow to their usual size, does not count."""
    costs: dict[str, tuple[Cost, Cost]] = {}
    keepers: dict[str, Keeper] = {}
    with bench.folder() as folder:
        for name in amounts:
            if sentence := missing(name):
                bench.report.say(sentence)
                continue
            (folder / name).mkdir()
            keepers[name] = await KEEPERS[name].open(folder / name)
        for number in range(1 + rounds):
            talk = Talk(number, START + timedelta(days=number))
            for name, keeper in keepers.items():
                taken = costs.setdefault(name, (Cost(), Cost())) if number else (Cost(), Cost())
                await _say_all(keeper, talk.turns(appenders, amounts[name]), *taken)
        for keeper in keepers.values():
            await keeper.close()
    spread = {name: [1 / each for each in taken[0].seconds] for name, taken in costs.items()}
    told = ", ".join(f"{name} {min(s):,.0f}-{max(s):,.0f} (median {middle(s):,.0f})" for name, s in spread.items())
    bench.report.say(f"messages/s over {rounds} rounds: {told}")
    return costs


async def _say_all(keeper: Keeper, turns: list[list[Line]], acknowledged: Cost, found: Cost) -> None:
    async def say(lines: list[Line]) -> None:
        for session, message in lines:
            await keeper.add(session, message)

    await keeper.prepare([turn[0][0] for turn in turns])
    lap = Lap(sum(map(len, turns)))
    await asyncio.gather(*map(say, turns))
    lap.into(acknowledged)
    await keeper.settle()
    lap.into(found)
    lap.end()
