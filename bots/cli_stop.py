"""`troupe stop` and `troupe start`: one bot goes down, and comes back, while the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .cli_bots import bot_named, config_folder, progress, read_settings, told_to

if TYPE_CHECKING:
    from .settings import BotSettings

WITHIN = 60.0
"""Seconds within which a bot must have stopped or started."""
_LOOK_EVERY = 0.1


@click.command()
@click.argument("name", metavar="BOT")
@config_folder
def stop(folder: Path, name: str) -> None:
    """Stop one bot, for a migration or an import, say; the others go on.

    The `troupe up` that looks after it leaves it down until `troupe start`, or until that is started anew itself. A bot
    that runs alone just ends: where docker or a service started it, stop it there, or it is started again.

    \b
    Example:
      troupe stop sage
    """
    bot = bot_named(read_settings(folder), name)
    with progress(name):
        said = _done(_stopped(bot))
    click.echo(said)


@click.command()
@click.argument("name", metavar="BOT")
@config_folder
def start(folder: Path, name: str) -> None:
    """Start one bot again that `troupe stop` has stopped.

    \b
    Example:
      troupe start sage
    """
    bot = bot_named(read_settings(folder), name)
    with progress(name):
        said = _done(_started(bot))
    click.echo(said)


async def _stopped(bot: BotSettings) -> str:
    """Stops it, and tells how to have it run again. Raises `TroupeError`."""
    from storage.rootlock import holder

    from . import status, wish
    from .errors import TroupeError

    fleet, before = holder(bot.root, status.FLEET), status.of(bot)
    if fleet is None:
        if holder(bot.root) is None:
            raise TroupeError(f"{bot.name} is not running.")
        await told_to(bot, {"do": "end"}, _unheard)
        await _until(lambda: holder(bot.root) is None, f"{bot.name} has not stopped yet: look at its log.")
        return (
            f"{bot.name} has stopped. It ran alone: where docker or a service has started it, stop it there as well "
            f"(`docker compose stop {bot.name}`), or it is started again."
        )
    if before.state == "fatal" or (before.state == "stopped" and before.last_error):
        raise TroupeError(f"{bot.name} is not running ({before.state}: {before.last_error}).")
    wish.leave(bot.root, "stop")
    await _until(
        lambda: not wish.waits(bot.root) and holder(bot.root) is None and status.of(bot).state == "stopped",
        f"{bot.name} has not stopped yet: `troupe status {bot.name}` tells.",
    )
    return f"{bot.name} is stopped, and the others go on. `troupe start {bot.name}` runs it again."


async def _started(bot: BotSettings) -> str:
    """Has it run again. Raises `TroupeError`."""
    from storage.rootlock import holder

    from . import status, wish
    from .errors import TroupeError

    if holder(bot.root, status.FLEET) is None:
        raise TroupeError(
            f"No `troupe up` looks after {bot.name}: `troupe up` starts all bots, and `troupe bot {bot.name}` this one."
        )
    if status.of(bot).running:
        raise TroupeError(f"{bot.name} is running already, or its storage is in use by a command.")
    wish.leave(bot.root, "start")
    settled = ("ready", "fatal", "backing off")
    await _until(
        lambda: not wish.waits(bot.root) and status.of(bot).state in settled,
        f"{bot.name} has not said yet that it is ready: `troupe status {bot.name}` tells.",
    )
    after = status.of(bot)
    if after.state != "ready":
        raise TroupeError(f"{bot.name} could not start ({after.state}: {after.last_error}).")
    return f"{bot.name} is ready."


async def _until(met: Callable[[], bool], otherwise: str) -> None:
    from .errors import TroupeError

    try:
        async with asyncio.timeout(WITHIN):
            while True:
                if met():
                    return
                await asyncio.sleep(_LOOK_EVERY)
    except TimeoutError:
        raise TroupeError(otherwise) from None


async def _unheard(line: str) -> None:
    """It tells nothing as it goes."""


def _done(work: Coroutine[Any, Any, str]) -> str:
    from .errors import TroupeError

    try:
        return asyncio.run(work)
    except TroupeError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename or 'The root'} could not be written: {error.strerror}.") from error
