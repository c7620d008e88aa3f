"""`troupe memory`: what a bot remembers, listed, added to, corrected and forgotten, in a bot that runs or rests."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .cli_bots import bot_named, config_folder, opened, read_settings, told_to, utc_now
from .cli_sessions_asked import printed
from .cli_sessions_shown import plain

if TYPE_CHECKING:
    from .settings import BotSettings

_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_bot = click.argument("bot")
_memory = click.argument("memory")


@click.group()
def memory() -> None:
    """Look after what a bot remembers beyond its sessions, whether it runs or not.

    A memory is named by its id, as `list` shows it.

    \b
    Example:
      troupe memory list sage tea
      troupe memory report sage
    """


@memory.command("list")
@_bot
@click.argument("text", required=False, default="")
@click.option("--person", default="", metavar="ID", help="Only about this user.")
@click.option("--history", is_flag=True, help="Also what something newer has replaced.")
@click.option("--limit", type=click.IntRange(1, 1000), default=25, show_default=True, help="How many.")
@_as_json
@config_folder
def list_(folder: Path, bot: str, as_json: bool, **given: Any) -> None:
    """List memories, the newest first; with TEXT those that hold it.

    \b
    Example:
      troupe memory list sage
      troupe memory list sage tea --person 123456789012345678 --history
    """
    told = _asked(folder, bot, "list", given)
    if printed(told, as_json):
        return
    for each in told["memories"]:
        click.echo(_line(each))
    if not told["memories"]:
        click.echo("There are no such memories.")
    if told["more"]:
        click.echo("There are more: raise --limit.", err=True)


@memory.command()
@_bot
@click.argument("text")
@click.option("--channel", default="", metavar="NAME", help="For those of this channel alone; else for everybody.")
@click.option("--guild", is_flag=True, help="With --channel: for everybody on its server.")
@_as_json
@config_folder
def remember(folder: Path, bot: str, as_json: bool, **given: Any) -> None:
    """Have a bot remember something.

    \b
    Example:
      troupe memory remember sage "The museum is closed on Mondays."
    """
    _changed(folder, bot, "remember", given, as_json, "Remembered")


@memory.command()
@_bot
@_memory
@_as_json
@config_folder
def forget(folder: Path, bot: str, as_json: bool, **given: Any) -> None:
    """Remove a memory for good, with what it had replaced; the line that it was drawn from stays.

    \b
    Example:
      troupe memory forget sage "fact 01hr2t5k8x0c9d4e7f2g"
    """
    _changed(folder, bot, "forget", given, as_json, "Forgotten")


@memory.command()
@_bot
@_memory
@click.argument("text")
@_as_json
@config_folder
def correct(folder: Path, bot: str, as_json: bool, **given: Any) -> None:
    """Put other words in a memory's place; `undo` takes it back.

    \b
    Example:
      troupe memory correct sage "fact 01hr2t5k8x0c9d4e7f2g" "Ann lives in Oslo."
    """
    _changed(folder, bot, "correct", given, as_json, "Corrected")


@memory.command()
@_bot
@_memory
@_as_json
@config_folder
def undo(folder: Path, bot: str, as_json: bool, **given: Any) -> None:
    """Take back the last change of a memory: what it had replaced holds again.

    \b
    Example:
      troupe memory undo sage "fact 01hr2t5k8x0c9d4e7f2g"
    """
    told = _asked(folder, bot, "undo", given)
    if not printed(told, as_json):
        for each in told["memories"]:
            click.echo(f"Holds again: {_line(each)}")


@memory.command()
@_bot
@click.argument("person")
@click.option("--off", is_flag=True, help="Learn about them again.")
@_as_json
@config_folder
def pause(folder: Path, bot: str, as_json: bool, off: bool, **given: Any) -> None:
    """Have a bot learn nothing about somebody, by the user's id.

    \b
    Example:
      troupe memory pause sage 123456789012345678
      troupe memory pause sage 123456789012345678 --off
    """
    told = _asked(folder, bot, "resume" if off else "pause", given)
    if not printed(told, as_json):
        click.echo(f"{bot} {'may learn about them again' if off else 'learns nothing about them any more'}.")


@memory.command()
@_bot
@_as_json
@config_folder
def report(folder: Path, bot: str, as_json: bool) -> None:
    """Say how much a bot remembers, what share of it was ever recalled, and how far its index is.

    \b
    Example:
      troupe memory report sage
    """
    told = _asked(folder, bot, "report", {})
    if printed(told, as_json):
        return
    click.echo(f"{told['memories']:,} memories for {told['audiences']:,} audiences, {told['history']:,} replaced ones.")
    click.echo(
        f"Ever recalled: {told['recalled']:,} ({told['share']:.0%}). Models asked today: {told['calls']:,} times."
    )
    if index := told.get("index"):
        missing = f", {index['vectors_missing']:,} without a vector yet" if index["vectors_missing"] else ""
        behind = " It is still reading." if index["behind"] else ""
        click.echo(f"The index has {index['entries']:,} entries{missing}.{behind}")


@memory.command()
@_bot
@_as_json
@config_folder
def rebuild(folder: Path, bot: str, as_json: bool) -> None:
    """Make the index that memories are found by anew; nothing that is remembered is lost.

    A bot that runs does it in the background, one that rests at its next start.

    \b
    Example:
      troupe memory rebuild sage
    """
    told = _asked(folder, bot, "rebuild", {})
    if not printed(told, as_json):
        click.echo(f"{bot} makes its index anew, in the background or at its next start.")


def _changed(folder: Path, bot: str, verb: str, given: dict[str, Any], as_json: bool, done: str) -> None:
    told = _asked(folder, bot, verb, given)
    if not printed(told, as_json):
        click.echo(f"{done}: {_line(told)}")


def _line(told: dict[str, Any]) -> str:
    replaced = " (replaced)" if told["superseded_by"] else ""
    text = plain(" ".join(told["text"].split()))
    return f"{told['at'][:10]}  {plain(told['id'])}  [{plain(told['audience'])}]  {text}{replaced}"


def _asked(folder: Path, bot: str, verb: str, given: dict[str, Any]) -> dict[str, Any]:
    """What a bot answers to an order. Ends the command where it cannot be."""
    from storage.errors import StorageError

    from .errors import TroupeError

    chosen = bot_named(read_settings(folder), bot)
    try:
        return asyncio.run(_ordered(chosen, verb, given))
    except (StorageError, TroupeError) as error:
        raise click.ClickException(plain(str(error))) from error


async def _ordered(bot: BotSettings, verb: str, given: dict[str, Any]) -> dict[str, Any]:
    """Has the running bot do it, or does it here."""
    from storage.rootlock import holder

    if holder(bot.root):
        heard: list[str] = []

        async def hear(line: str) -> None:
            heard.append(json.loads(line))

        await told_to(bot, {"do": "memory", "verb": verb, "given": json.dumps(given)}, hear)
        told: dict[str, Any] = json.loads("".join(heard))
        return told
    from .memory_orders import at_rest

    async with opened(bot) as store, at_rest(bot, store, utc_now) as orders:
        return await orders.do(verb, given)
