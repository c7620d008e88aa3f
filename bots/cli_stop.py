"""`troupe stop` and `troupe start`: one bot goes down, and comes back, while the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from .cli_bots import bot_named, config_folder, progress, read_settings


@click.command()
@click.argument("name", metavar="BOT")
@config_folder
def stop(folder: Path, name: str) -> None:
    """Stop one bot, for a migration or an import, say; the others go on.

    The answers under way are given first, for half a minute at most; what is said meanwhile waits for its next start.
    The `troupe up` that looks after it leaves it down until `troupe start`, or until that is started anew itself. A bot
    that runs alone just ends: where docker or a service started it, stop it there, or it is started again.

    \b
    Example:
      troupe stop sage
    """
    from . import stopping

    bot = bot_named(read_settings(folder), name)
    with progress(name):
        said = _done(stopping.stop(bot))
    click.echo(said)


@click.command()
@click.argument("name", metavar="BOT")
@config_folder
def start(folder: Path, name: str) -> None:
    """Start one bot again that was stopped, by its files as they are now.

    \b
    Example:
      troupe start sage
    """
    from . import stopping

    bot = bot_named(read_settings(folder), name)
    with progress(name):
        said = _done(stopping.start(bot))
    click.echo(said)


def _done(work: Coroutine[Any, Any, str]) -> str:
    from .errors import TroupeError

    try:
        return asyncio.run(work)
    except TroupeError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename or 'The root'} could not be written: {error.strerror}.") from error
