"""What `troupe sessions` asks of a bot: by its door where it runs, at its store where it rests."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .cli_bots import answer_of, bot_named, opened, read_settings, utc_now
from .cli_sessions_shown import plain, session_line

if TYPE_CHECKING:
    from .settings import BotSettings


def changed(folder: Path, bot: str, verb: str, given: dict[str, Any], as_json: bool, done: str) -> None:
    """Does something to a session, and says what was done, and to which."""
    told = asked(folder, bot, verb, given)
    if not printed(told, as_json):
        click.echo(f"{done}: {session_line(told)}")


def printed(told: dict[str, Any], as_json: bool) -> bool:
    """Prints an answer as it is where that is wanted; says whether."""
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False))
    return as_json


def asked(folder: Path, bot: str, verb: str, given: dict[str, Any]) -> dict[str, Any]:
    """What a bot answers to an order. Ends the command where it cannot be."""
    from storage.errors import StorageError

    from .errors import TroupeError

    chosen = bot_named(read_settings(folder), bot)
    try:
        return asyncio.run(_ordered(chosen, verb, {name: value for name, value in given.items() if value is not None}))
    except (StorageError, TroupeError) as error:
        raise click.ClickException(plain(str(error))) from error


async def _ordered(bot: BotSettings, verb: str, given: dict[str, Any]) -> dict[str, Any]:
    """Has the running bot do it, or does it here."""
    if (told := await answer_of(bot, "sessions", verb, given)) is not None:
        return told
    from .session_orders import at_rest

    async with opened(bot) as store:
        return await at_rest(bot, store, utc_now).do(verb, given)
