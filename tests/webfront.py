"""A whole bot with its web front on a real port of this machine, for tests that talk to it as a browser would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import httpx2

from bots.jobs import LATENESS
from bots.loading import load
from bots.settings import BotSettings
from bots.wiring import House, build
from tests.world import persona

_CHANCE = Random(7)
"""One for all fronts of a process: those that are opened in one second in one folder give different ids."""


@dataclass
class Web:
    """A running bot and its web front."""

    url: str
    house: House
    client: httpx2.AsyncClient
    """Asks as whoever is at this machine."""
    told: dict[str, Any]
    """What the bot has reported of itself."""


def bot_settings(folder: Path, **more: Any) -> BotSettings:
    """One bot, sage, with three personas, that keeps everything in `folder` and answers offline."""
    settings = {
        "name": "sage",
        "personas": [persona("sage"), persona("compass"), persona("gadfly")],
        "storage": {"path": str(folder / "data" / "{bot_name}")},
        "embedder": {"provider": "none"},
        "discord": {},
        **more,
    }
    bot = BotSettings.model_validate(settings)
    return bot.model_copy(update={"web": bot.web.model_copy(update={"port": bot.web.port or 0})})


@asynccontextmanager
async def web_front(
    folder: Path,
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    config: Path | None = None,
    **settings: Any,
) -> AsyncIterator[Web]:
    """A bot that serves its web front until left. `settings` are those of its file; with `config` they are those that
    are written there for sage."""
    told: dict[str, Any] = {}
    open = asyncio.Event()

    def report(facts: dict[str, object]) -> None:
        told.update(facts)
        if "web" in facts:
            open.set()

    written = load(config, {}).bot("sage") if config else None
    bot = written or bot_settings(folder, **settings)
    async with build(bot, now=now, chance=_late, folder=config) as house:
        running = asyncio.create_task(house.run(report))
        opened = asyncio.create_task(open.wait())
        await asyncio.wait({running, opened}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        async with httpx2.AsyncClient(base_url=told["web"], timeout=20) as client:
            try:
                yield Web(told["web"], house, client, told)
            finally:
                running.cancel()
                opened.cancel()
                await asyncio.gather(running, opened, return_exceptions=True)


def _late() -> int:
    """A chance by which jobs that were missed come late, after minutes: none runs while a test looks on."""
    return _CHANCE.getrandbits(50) | (LATENESS & ~(LATENESS >> 3))
