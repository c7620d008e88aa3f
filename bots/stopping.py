"""One bot stopped, started, or started anew, while the others of its fleet go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

from storage.rootlock import holder

from . import status, wish
from .errors import NoDoor, TroupeError
from .knocking import told_to
from .settings import BotSettings
from .status import BotStatus

Act = Literal["stop", "start", "restart"]

WITHIN = 60.0
"""Seconds within which a bot must have stopped or started."""
_RESTED_WITHIN = 40.0
"""Seconds for the answers under way, beyond what the bot itself allows them: it may be stuck."""
_LOOK_EVERY = 0.1
_SETTLED = ("ready", "fatal", "backing off")


def possible(bot: BotSettings, said: BotStatus) -> tuple[Act, ...]:
    """What can be done with a bot that is as `said`; a bot that runs alone can only end. Reads files."""
    if holder(bot.root, status.FLEET) is None:
        return ("stop",) if said.running else ()
    if said.running:
        return ("restart", "stop")
    if said.state == "backing off":
        return ("start", "stop")
    return ("start",) if said.state in ("stopped", "fatal") and said.last_error else ()


async def stop(bot: BotSettings) -> str:
    """Stops it once the answers under way are given, and tells how to have it run again. Raises `TroupeError`, and
    `OSError` where its root cannot be written."""
    fleet, before = holder(bot.root, status.FLEET), status.of(bot)
    if fleet is None:
        if holder(bot.root) is None:
            raise TroupeError(f"{bot.name} is not running.")
        await _rested(bot)
        await told_to(bot, {"do": "end"}, _unheard)
        await _until(lambda: holder(bot.root) is None, f"{bot.name} has not stopped yet: look at its log.")
        return (
            f"{bot.name} has stopped. It ran alone: where docker or a service has started it, stop it there as well "
            f"(`docker compose stop {bot.name}`), or it is started again."
        )
    if before.state == "fatal" or (before.state == "stopped" and before.last_error):
        raise TroupeError(f"{bot.name} is not running ({before.state}: {before.last_error}).")
    await _rested(bot)
    wish.leave(bot.root, "stop")
    await _until(
        lambda: not wish.waits(bot.root) and holder(bot.root) is None and status.of(bot).state == "stopped",
        f"{bot.name} has not stopped yet: `troupe status {bot.name}` tells.",
    )
    return f"{bot.name} is stopped, and the others go on. `troupe start {bot.name}` runs it again."


async def start(bot: BotSettings) -> str:
    """Has it run again, by its files as they are now. Raises as `stop` does."""
    if holder(bot.root, status.FLEET) is None:
        raise TroupeError(
            f"No `troupe up` looks after {bot.name}: `troupe up` starts all bots, and `troupe bot {bot.name}` this one."
        )
    if status.of(bot).running:
        raise TroupeError(f"{bot.name} is running already, or its storage is in use by a command.")
    wish.leave(bot.root, "start")
    return await _ready(bot, lambda: True)


async def restart(bot: BotSettings) -> str:
    """Stops it once the answers under way are given, and has it run again, by its files as they are now. Raises as
    `stop` does."""
    before = status.of(bot)
    if holder(bot.root, status.FLEET) is None or not before.running:
        raise TroupeError(f"{bot.name} is not running, or no `troupe up` looks after it.")
    await _rested(bot)
    wish.leave(bot.root, "restart")
    return await _ready(bot, lambda: status.of(bot).started != before.started)


async def _rested(bot: BotSettings) -> None:
    """Has the answers under way end; what is said from now on waits for the bot's next start. One that does not hear
    ends without."""
    with suppress(NoDoor, TimeoutError):
        async with asyncio.timeout(_RESTED_WITHIN):
            await told_to(bot, {"do": "rest"}, _unheard)


async def _ready(bot: BotSettings, another: Callable[[], bool]) -> str:
    await _until(
        lambda: not wish.waits(bot.root) and another() and status.of(bot).state in _SETTLED,
        f"{bot.name} has not said yet that it is ready: `troupe status {bot.name}` tells.",
    )
    after = status.of(bot)
    if after.state != "ready":
        raise TroupeError(f"{bot.name} could not start ({after.state}: {after.last_error}).")
    return f"{bot.name} is ready."


async def _until(met: Callable[[], bool], otherwise: str) -> None:
    try:
        async with asyncio.timeout(WITHIN):
            while True:
                if await asyncio.to_thread(met):
                    return
                await asyncio.sleep(_LOOK_EVERY)
    except TimeoutError:
        raise TroupeError(otherwise) from None


async def _unheard(line: str) -> None:
    """It tells nothing as it goes."""
