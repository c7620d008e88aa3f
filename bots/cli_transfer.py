"""`troupe transfer`: a bot's talk goes to another type of storage, and back, also while the bot talks."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .cli_bots import bot_named, config_folder, progress, read_settings, utc_now
from .knocking import told_to

if TYPE_CHECKING:
    from storage.progress import Tell

    from .settings import BotSettings

WITHIN = 120.0
"""Seconds within which a bot must be back after it has gone over."""
_LOOK_EVERY = 0.1
_FOUND = {
    "nothing": "nothing is there yet",
    "copy": "an earlier copy of this talk with {there:,} messages is there, of which only what differs is written",
    "ahead": "an earlier copy with {there:,} messages is there, which holds things that this one does not have: they "
    "would be removed",
    "other": "other talk is there ({there:,} messages), which would be removed",
}


@click.command()
@click.argument("name", metavar="BOT")
@click.option("--to", "target", metavar="TARGET", help="sqlite, file, postgres, or the configured postgres:// address.")
@click.option("--back", is_flag=True, help="Go back to where the talk was before, with all that was said since.")
@click.option("--dry-run", is_flag=True, help="Only say what would be copied, and what the target holds.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: what was found, or what was done.")
@click.option("--yes", is_flag=True, help="Do not ask, even where the target holds what would be removed.")
@config_folder
def transfer(folder: Path, name: str, target: str | None, back: bool, dry_run: bool, as_json: bool, yes: bool) -> None:
    """Move a bot's talk to another type of storage.

    Everything is copied and compared while the bot goes on talking; then it pauses for a moment, once the answers under
    way are given, brings over what was said meanwhile, compares again, and goes on in the new place by itself: what
    people say in the pause is answered there. Where anything differs, it stays where it
    was. The old place is left as it is then, so that `--back` has little to do. Attachments stay where they are: every
    type of storage finds them there.

    \b
    Examples:
      troupe transfer sage --to postgres --dry-run
      troupe transfer sage --to postgres
      troupe transfer sage --back
    """
    from .moving import BACK

    if back == (target is not None):
        raise click.UsageError("either --to TARGET or --back")
    bot = bot_named(read_settings(folder), name)
    aim = BACK if target is None else target
    with progress(name):
        seen = _done(_look(bot, aim))
    if dry_run or not as_json:
        _echo(seen, as_json, _sentence(seen))
    if dry_run:
        return
    if seen["found"] in ("ahead", "other"):
        if not yes:
            click.confirm(f"Remove from {seen['to']} what is not in {name}'s talk?", abort=True, err=True)
    elif not yes and sys.stdin.isatty():
        click.confirm(f"Move {name}'s talk to {seen['to']}?", abort=True, err=True)
    with progress(name) as tell:
        _done(_move(bot, seen["to"], tell))
    after = bot_named(read_settings(folder), name)
    _echo({**seen, "done": True}, as_json, _after(after))


async def _look(bot: BotSettings, aim: str) -> dict[str, Any]:
    """What a move would do, by the running bot or here."""
    from storage.rootlock import holder

    from . import moving

    there = moving.aimed(bot, aim)
    if not holder(bot.root):
        async with moving.at_rest(bot) as (here, store):
            return moving.told(await moving.look(here, moving.aimed(here, aim), store))
    found: list[dict[str, Any]] = []

    async def hear(line: str) -> None:
        found.append(json.loads(line)["look"])

    await told_to(bot, {"do": "transfer", "to": there.storage.type, "dry": "yes"}, hear)
    return found[-1]


async def _move(bot: BotSettings, to: str, tell: Tell) -> None:
    """Has the running bot do it, or does it here. Raises `TroupeError`, also where somebody breaks it off."""
    from storage.rootlock import holder

    from . import moving
    from .errors import TroupeError

    given_up = TroupeError(
        f"The move is given up: {bot.name}'s talk stays where it was. What was copied is left there, and the next "
        f"`troupe transfer {bot.name} --to {to}` goes on from it."
    )
    if not holder(bot.root):
        try:
            await moving.move(bot, to, now=utc_now, tell=tell)
        except asyncio.CancelledError:
            raise given_up from None
        return

    async def hear(line: str) -> None:
        said = json.loads(line)
        if "step" in said:
            tell(said["step"], said["done"], said["of"])

    try:
        await told_to(bot, {"do": "transfer", "to": to, "dry": "no"}, hear)
    except asyncio.CancelledError:  # the bot gives it up when nobody hears it any more
        raise given_up from None
    tell("going over", 0, 0)
    try:
        await _gone_over(bot, to)
    except asyncio.CancelledError:
        raise TroupeError(
            f"{bot.name} is going over to {to} by now, and does so to the end: `troupe status {bot.name}` tells when "
            "it is back."
        ) from None


async def _gone_over(bot: BotSettings, to: str) -> None:
    """Waits until the bot is back. Raises `TroupeError` where it did not go over, with what it says of that."""
    from .errors import TroupeError
    from .status import of

    try:
        async with asyncio.timeout(WITHIN):
            while True:
                said = of(bot)
                if said.state == "ready" and said.storage == to:
                    return
                if said.transfer_trouble:
                    raise TroupeError(said.transfer_trouble)
                if not said.running:
                    why = said.last_error or said.state
                    raise TroupeError(f"{bot.name} stopped while it went over ({why}): start it, then look again.")
                await asyncio.sleep(_LOOK_EVERY)
    except TimeoutError:
        raise TroupeError(f"{bot.name} has not said yet that it is back: `troupe status {bot.name}` tells.") from None


def _sentence(seen: dict[str, Any]) -> str:
    from storage.retention import amount

    return (
        f"{seen['bot']}: {seen['messages']:,} messages in {seen['sessions']:,} sessions ({amount(seen['bytes'])} of "
        f"words) would go from {seen['from']} to {seen['to']}; {_FOUND[seen['found']].format(**seen)}. Attachments "
        f"stay in {seen['attachments']}."
    )


def _after(bot: BotSettings) -> str:
    from . import moved

    marker = moved.read(bot.root)
    many = f" ({marker.counts.messages:,} messages, compared with where they were)" if marker else ""
    write = moved.told(bot)
    done = f"{bot.name}'s talk lives in {bot.storage.type} now{many}; `troupe transfer {bot.name} --back` goes back."
    return f"{done}\n{write}" if write else done


def _echo(seen: dict[str, Any], as_json: bool, sentence: str) -> None:
    click.echo(json.dumps(seen) if as_json else sentence)


def _done(work: Coroutine[Any, Any, Any]) -> Any:
    from storage.errors import StorageError

    from .errors import TroupeError

    try:
        return asyncio.run(work)
    except (StorageError, TroupeError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename or 'The root'} could not be written: {error.strerror}.") from error
