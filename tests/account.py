"""A bot with a Discord account, logged in to a simulated Discord."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import simcord

from bots.discord.client import Front
from bots.operations import Operations
from bots.providers import Provider
from bots.settings import BotSettings

from .world import World, settings, world


@asynccontextmanager
async def account(
    tmp_path: Path,
    config: BotSettings | None = None,
    *,
    provider: Provider | None = None,
    operations: Operations | None = None,
    root: Path | None = None,
    **discord_settings: Any,
) -> AsyncIterator[tuple[World, simcord.Env]]:
    """The bot and its Discord; with `root` it keeps what is said there."""
    config = config or settings(root or tmp_path, siblings=["Logic", "logic"], discord=discord_settings)
    async with world(config, root=root, provider=provider) as w:
        front = front_of(w, tmp_path, **({"operations": operations} if operations else {}))
        async with simcord.run(front, strict_sync=False) as env:
            yield w, env


def front_of(w: World, tmp_path: Path, **more: Any) -> Front:
    """The Discord front of a bot, not yet logged in."""
    w.bot.settings.root.mkdir(parents=True, exist_ok=True)
    known = {
        "refusals_file": tmp_path / "refusals",
        "clock": time.time,
        "ticks": time.monotonic,
        "report": _ignore,
        "operations": Operations(status=_never, models=tuple, back_up=_never, clean_up=_never),
    }
    front = Front(w.bot, **{**known, **more})
    front._connection.guild_ready_timeout = 0.02  # the library would wait for more guilds for two seconds
    return front


def _ignore(_facts: dict[str, object]) -> None:
    """Status is not what these tests are about."""


def _never(*_: object, **__: object) -> Any:
    raise AssertionError("nobody asked for this")
