"""One bot stopped, started, or started anew, while the others of its fleet go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from storage.rootlock import holder

from . import status, wish
from .errors import TroupeError
from .knocking import told_to
from .settings import BotSettings
from .status import BotStatus
from .wish import Wish

WITHIN = 90.0
"""Seconds within which a bot must have stopped or started, after the answers under way."""
_LOOK_EVERY = 0.1
_SETTLED = ("ready", "fatal", "backing off")


def possible(bot: BotSettings, said: BotStatus) -> tuple[Wish, ...]:
    """What can be done with a bot that is as `said`; a bot that runs alone can only end. Reads files."""
    if alone(bot):
        return ("stop",) if said.running else ()
    if said.running:
        return ("restart", "stop")
    if said.state == "backing off":
        return ("start", "stop")
    return ("start",) if said.state in ("stopped", "fatal") and said.last_error else ()


def alone(bot: BotSettings) -> bool:
    """Whether no `troupe up` looks after it, which could start it again. Reads a file."""
    return holder(bot.root, status.FLEET) is None


async def stop(bot: BotSettings) -> str:
    """Stops it once the answers under way are given, and tells how to have it run again. Once that was heard it goes
    on, whoever leaves meanwhile. Raises `TroupeError`, and `OSError` where its root cannot be written."""
    before = status.of(bot)
    if alone(bot):
        if holder(bot.root) is None:
            raise TroupeError(f"{bot.name} is not running.")
        await told_to(bot, {"do": "end"})
        await _until(lambda: holder(bot.root) is None, f"{bot.name} has not stopped yet: look at its log.")
        return (
            f"{bot.name} has stopped. It ran alone: where docker or a service has started it, stop it there as well "
            f"(`docker compose stop {bot.name}`), or it is started again."
        )
    if before.state == "fatal" or (before.state == "stopped" and before.last_error):
        raise TroupeError(f"{bot.name} is not running ({before.state}: {before.last_error}).")
    await _met(
        bot,
        "stop",
        lambda: holder(bot.root) is None and _stays_down(bot),
        f"{bot.name} has not stopped yet: `troupe status {bot.name}` tells.",
    )
    return f"{bot.name} is stopped, and the others go on. `troupe start {bot.name}` runs it again."


async def start(bot: BotSettings) -> str:
    """Has it run again, by its files as they are now. Raises as `stop` does."""
    if alone(bot):
        raise TroupeError(
            f"No `troupe up` looks after {bot.name}: `troupe up` starts all bots, and `troupe bot {bot.name}` this one."
        )
    before = status.of(bot)
    if before.running:
        raise TroupeError(f"{bot.name} is running already, or its storage is in use by a command.")
    return await _ready(bot, "start", before)


async def restart(bot: BotSettings) -> str:
    """Stops it once the answers under way are given, and has it run again, by its files as they are now. Raises as
    `stop` does, and goes on as that does."""
    before = status.of(bot)
    if alone(bot) or not before.running:
        raise TroupeError(f"{bot.name} is not running, or no `troupe up` looks after it.")
    return await _ready(bot, "restart", before)


async def _ready(bot: BotSettings, act: Wish, before: BotStatus) -> str:
    def again() -> bool:
        said = status.of(bot)
        refused = said.state == "fatal" and said.since != before.since  # it got no process
        return (said.started != before.started or refused) and said.state in _SETTLED

    await _met(bot, act, again, f"{bot.name} has not said yet that it is ready: `troupe status {bot.name}` tells.")
    after = status.of(bot)
    if after.state != "ready":
        raise TroupeError(f"{bot.name} could not start ({after.state}: {after.last_error}).")
    return f"{bot.name} is ready."


def _stays_down(bot: BotSettings) -> bool:
    """Whether it was stopped to stay so: one that starts anew is stopped, too, for a moment."""
    said = status.of(bot)
    return said.state == "stopped" and (bool(said.last_error) or alone(bot))


async def _met(bot: BotSettings, act: Wish, met: Callable[[], bool], otherwise: str) -> None:
    """Leaves a wish and waits until it is met; one that nobody has heard goes when nobody waits for it any more."""
    if wish.waits(bot.root):
        raise TroupeError(f"Something else is asked of {bot.name} just now: try again in a moment.")
    wish.leave(bot.root, act)
    try:
        await _until(lambda: not wish.waits(bot.root) and met(), otherwise)
    except BaseException:
        wish.withdraw(bot.root, act)
        raise


async def _until(met: Callable[[], bool], otherwise: str) -> None:
    try:
        async with asyncio.timeout(WITHIN):
            while True:
                if await asyncio.to_thread(met):
                    return
                await asyncio.sleep(_LOOK_EVERY)
    except TimeoutError:
        raise TroupeError(otherwise) from None
