"""How long a person waits beyond the model itself, beside a bare client in the same run.

Measured are the time from the gateway event to the provider's request, and from the provider's last byte to the
final text.

    python -m benchmarks.turn [--rounds 30] [--channels 1 10 100]

Both run in processes of their own against the same loopback Discord and provider, in turn, round by round; every
time is taken in the servers' process on one monotonic clock.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.stage import Stage, running, stage
from tests.wire.discord_accounts import BotAccount, Person
from tests.wire.discord_model import Channel
from tests.wire.provider_server import Answer, Ask

PIECES = 24
PACE = 0.1
"""An answer of some 1,200 characters that takes two and a half seconds to tell."""
MARK = re.compile(r"mark-\d+-\d+")
END = "That is all."


@dataclass
class Times:
    """Seconds, one entry per line answered."""

    to_request: list[float] = field(default_factory=list)
    to_final: list[float] = field(default_factory=list)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="rounds for one channel; fewer for many (default 30)")
    parser.add_argument("--channels", type=int, nargs="+", default=[1, 10, 100])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="troupe-turn-") as folder:
        async with stage(Path(folder), strict=False) as here:
            await measure(here, options.rounds, options.channels)


async def measure(here: Stage, rounds: int, counts: list[int]) -> None:
    guilds = {name: here.discord.add_guild(name) for name in ("bare", "troupe")}
    peers = {name: here.discord.add_bot(f"token-{name}", name, guilds=[guild]) for name, guild in guilds.items()}
    ana = here.discord.add_person("ana")
    here.provider.default = _told
    environment = here.write({"troupe": {}})
    addresses = (here.discord.api_url, here.discord.gateway_url, here.provider.openai_url)
    bare = running(["-m", "benchmarks.bare", "token-bare", *addresses], here.folder / "bare.log", {})
    with bare, here.troupe("bot", "troupe", environment=environment):
        for account in peers.values():
            await here.discord.until_ready(account, timeout=30)
        print(f"{'':>8} {'':>7} {'event to request, ms':>34} {'last byte to final text, ms':>34}")
        for count in counts:
            times = {name: Times() for name in peers}
            rooms = {
                name: [guild.add_channel(f"room-{count}-{n}") for n in range(count)] for name, guild in guilds.items()
            }
            for name, account in peers.items():
                await _round(here, account, ana, rooms[name], Times())  # warm
            for _ in range(max(3, round(rounds / count**0.5))):
                for name, account in peers.items():
                    await _round(here, account, ana, rooms[name], times[name])
            _print(count, times)


async def _round(here: Stage, account: BotAccount, ana: Person, rooms: list[Channel], times: Times) -> None:
    """One line in every room at once, to one of the peers; waits for all the final texts."""
    before = len(here.provider.asks)
    heard: dict[str, float] = {}
    finals: dict[str, float] = {}

    def watch(what: str, facts: dict[str, Any]) -> None:
        if what in ("message", "edit") and facts["message"].content.endswith(END):
            finals[_mark(facts["message"].content)] = facts["at"]

    for _ in rooms:
        here.provider.script(Answer(None, pace=PACE))
    here.discord.observers.append(watch)
    for number, room in enumerate(rooms):
        mark = f"mark-{before}-{number}"
        heard[mark] = time.monotonic()
        await here.discord.say(ana, room, mark, mentions=[account])
    await here.discord.until(lambda: len(finals) == len(rooms), timeout=60)
    here.discord.observers.remove(watch)
    for ask in here.provider.asks[before:]:
        mark = _mark(ask.question)
        times.to_request.append(ask.at - heard[mark])
        times.to_final.append(finals[mark] - (ask.last_byte_at or 0.0))


def _told(ask: Ask) -> str:
    return " ".join(
        [_mark(ask.question), *(f"This-is-part-{n}-of-what-there-is-to-be-told." for n in range(PIECES)), END]
    )


def _mark(text: str) -> str:
    return str(MARK.findall(text)[-1])


def _print(count: int, times: dict[str, Times]) -> None:
    for name, taken in times.items():
        told = [_middle_and_tail(seconds) for seconds in (taken.to_request, taken.to_final)]
        cells = [f"p50 {p50 * 1e3:8.2f}  p99 {p99 * 1e3:8.2f}" for p50, p99 in told]
        print(f"{count:>4} {name:>11} {cells[0]:>34} {cells[1]:>34}   n={len(taken.to_request)}")
    ratios = [
        f"p50 {mine / theirs:8.2f}  p99 {mine_late / theirs_late:8.2f}"
        for (mine, mine_late), (theirs, theirs_late) in (
            (_middle_and_tail(times["troupe"].to_request), _middle_and_tail(times["bare"].to_request)),
            (_middle_and_tail(times["troupe"].to_final), _middle_and_tail(times["bare"].to_final)),
        )
    ]
    print(f"{'ratio':>16} {ratios[0]:>34} {ratios[1]:>34}", flush=True)


def _middle_and_tail(seconds: list[float]) -> tuple[float, float]:
    ordered = sorted(seconds)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


if __name__ == "__main__":
    asyncio.run(main())
