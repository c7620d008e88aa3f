"""What bots cost in memory and in time to start, beside a bare discord.py client in the same run.

    python -m benchmarks.fleet [--bots 10] [--runs 3] [--provider offline]

Memory is read once everybody is connected and has been left alone for two seconds: PSS counts what processes share
by shares, USS only what is a process's own. Readiness is Discord's view: from the start of the command to READY.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from subprocess import Popen

import psutil

from tests.stage import Stage, running, stage

SETTLED = 2.0
Start = Callable[[Stage, dict[str, str]], AbstractContextManager[Popen[bytes]]]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bots", type=int, default=10)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--provider", choices=["offline", "openai"], default="offline")
    options = parser.parse_args()
    figures: dict[str, list[float]] = {}
    for _ in range(options.runs):
        for name, figure in (await measure(options.bots, options.provider)).items():
            figures.setdefault(name, []).append(figure)
    middle = {name: statistics.median(values) for name, values in figures.items()}
    for name, value in middle.items():
        print(f"{name:<44} {value:8.2f}   ({', '.join(f'{v:.2f}' for v in figures[name])})")
    share = middle["one bot alone, MiB (PSS)"] / middle["bare client, MiB (PSS)"]
    print(f"{'one bot alone / bare client, memory':<44} {share:8.2f}")
    many = middle[f"{options.bots} bots ready, s"]
    print(f"{f'{options.bots} bots / one bot, time to ready':<44} {many / middle['one bot of a fleet ready, s']:8.2f}")


async def measure(bots: int, provider: str) -> dict[str, float]:
    """One run of everything, each on a stage of its own."""
    figures: dict[str, float] = {}
    async with connected(["bare"], _bare) as (_, process, _seconds):
        figures["bare client, MiB (PSS)"] = memory(process.pid)[0]
    async with connected(["one"], _alone, provider) as (_, process, _seconds):
        figures["one bot alone, MiB (PSS)"] = memory(process.pid)[0]
    async with connected(["one"], _fleet, provider) as (_, _process, seconds):
        figures["one bot of a fleet ready, s"] = seconds
    names = [f"bot{n}" for n in range(bots)]
    async with connected(names, _fleet, provider) as (here, process, seconds):
        figures[f"{bots} bots ready, s"] = seconds
        own = [memory(here.status(name)["pid"])[1] for name in names]
        figures["each bot of a fleet, MiB of its own (USS)"] = statistics.median(own)
        figures["the dearest of them, MiB (USS)"] = max(own)
        family = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
        figures["the whole fleet, supervisor and all, MiB"] = sum(memory(pid)[0] for pid in family)
    return figures


@asynccontextmanager
async def connected(
    names: list[str], start: Start, provider: str = "offline"
) -> AsyncIterator[tuple[Stage, Popen[bytes], float]]:
    """A started process whose bots are all READY and settled, and the seconds it took."""
    with tempfile.TemporaryDirectory(prefix="troupe-fleet-") as folder:
        async with stage(Path(folder), strict=False) as here:
            accounts = [here.discord.add_bot(f"token-{name}", name) for name in names]
            here.discord.add_guild("Home").add_channel("general")
            models = {"models": [{"provider": "offline"}]} if provider == "offline" else {}
            bots = {name: {**models, "web": {"enabled": True}} for name in names}
            environment = here.write(bots, web_port=8790)
            began = time.monotonic()
            with start(here, environment) as process:
                for account in accounts:
                    await here.discord.until_ready(account, timeout=60)
                seconds = time.monotonic() - began
                await asyncio.sleep(SETTLED)
                yield here, process, seconds


def memory(pid: int) -> tuple[float, float]:
    """A process's memory in MiB: with its share of what it shares (PSS), and its own alone (USS)."""
    told = psutil.Process(pid).memory_full_info()
    return told.pss / 2**20, told.uss / 2**20


def _alone(here: Stage, environment: dict[str, str]) -> AbstractContextManager[Popen[bytes]]:
    return here.troupe("bot", "one", environment=environment)


def _fleet(here: Stage, environment: dict[str, str]) -> AbstractContextManager[Popen[bytes]]:
    return here.troupe("up", environment=environment)


def _bare(here: Stage, environment: dict[str, str]) -> AbstractContextManager[Popen[bytes]]:
    addresses = (here.discord.api_url, here.discord.gateway_url)
    return running(["-m", "benchmarks.bare", "token-bare", *addresses], here.folder / "bare.log", environment)


if __name__ == "__main__":
    asyncio.run(main())
