"""`troupe memory`: what a bot remembers, listed, added to, corrected and forgotten, in a bot that runs or rests."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .cli_bots import answer_of, bot_named, config_folder, opened, read_settings, utc_now
from .cli_sessions_asked import printed
from .cli_sessions_shown import plain
from .memory_settings import OFF

if TYPE_CHECKING:
    from .settings import BotSettings

_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_bot = click.argument("bot")
_memory = click.argument("memory")


@click.group()
def memory() -> None:
    """Look after what a bot remembers beyond its sessions, whether it runs or not.

    A memory is named by its id as `list` shows it, by the beginning of one, or by words that stand in it alone.

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
    from .memory_orders import handle

    told = _asked(folder, bot, "list", given)
    if printed(told, as_json):
        return
    ids = Counter(handle(each["id"]) for each in told["memories"])
    for each in told["memories"]:
        click.echo(_line(each, alone=ids[handle(each["id"])] == 1))
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
    if not as_json:
        place = f"on the server of {given['channel']}" if given["guild"] else f"who reads {given['channel']}"
        click.echo(f"Everybody {place if given['channel'] else 'who talks with it, wherever that is,'} may be told it.")


@memory.command()
@_bot
@_memory
@_as_json
@config_folder
def forget(folder: Path, bot: str, as_json: bool, **given: Any) -> None:
    """Remove a memory for good, with what it had replaced; the line that it was drawn from stays.

    \b
    Example:
      troupe memory forget sage "lives in Rome"
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
      troupe memory correct sage 0c9d4e7f2g "Ann lives in Oslo."
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
      troupe memory undo sage 0c9d4e7f2g
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
    """Have a bot learn nothing about somebody, by the user's id; `report` lists them.

    \b
    Example:
      troupe memory pause sage 123456789012345678
      troupe memory pause sage 123456789012345678 --off
    """
    told = _asked(folder, bot, "resume" if off else "pause", given)
    if not printed(told, as_json):
        person = plain(told["person"])
        click.echo(f"{bot} {'may learn about' if off else 'learns nothing any more about'} the user {person}.")
        if not told["known"]:
            click.echo(f"Nobody with the id {person} has spoken to {bot} yet: is it the right one?", err=True)


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
    memories, audiences = _many(told["memories"], "memory", "memories"), _many(told["audiences"], "audience")
    click.echo(f"{memories} for {audiences}, {told['history']:,} replaced.")
    calls = _many(told["calls"], "time")
    click.echo(f"Ever recalled: {told['recalled']:,} ({told['share']:.0%}). Models asked today: {calls}.")
    if told["paused"]:
        click.echo(f"Learning is paused about: {', '.join(map(plain, told['paused']))}.")
    if index := told.get("index"):
        missing = f", {index['vectors_missing']:,} of them without a vector yet" if index["vectors_missing"] else ""
        behind = " It is still reading." if index["behind"] else ""
        click.echo(f"The index has {_many(index['entries'], 'entry', 'entries')}{missing}.{behind}")


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
    from storage.rootlock import holder

    runs = holder(bot_named(read_settings(folder), bot).root) is not None
    told = _asked(folder, bot, "rebuild", {})
    if not printed(told, as_json):
        click.echo(f"{bot} makes its index anew {'now, in the background' if runs else 'at its next start'}.")


def _changed(folder: Path, bot: str, verb: str, given: dict[str, Any], as_json: bool, done: str) -> None:
    told = _asked(folder, bot, verb, given)
    if not printed(told, as_json):
        click.echo(f"{done}: {_line(told)}")


def _line(told: dict[str, Any], *, alone: bool = True) -> str:
    """A memory on one line, by the last word of its id where no other there has the same."""
    from .memory_orders import handle

    replaced = f" (replaced by {_as_argument(told['superseded_by'])})" if told["superseded_by"] else ""
    text = plain(" ".join(told["text"].split()))
    id = plain(handle(told["id"])) if alone else _as_argument(told["id"])
    return f"{told['at'][:10]}  {id}  [{_for_whom(told['audience'])}]  {text}{replaced}"


def _for_whom(audience: str) -> str:
    """Who may be told it, in words."""
    kind, _, name = plain(audience).partition(":")
    match kind:
        case "bot":
            return "for everybody"
        case "user":
            return f"for {name}, in private"
        case "asker":
            return f"for {name}, wherever they ask"
        case "guild":
            return f"for the server {name}"
        case "terminal":
            return f"for {name}, at the terminal"
    return f"in {plain(audience)}"


def _as_argument(id: str) -> str:
    """An id as it can be given to the other commands."""
    shown = plain(id)
    return f'"{shown}"' if " " in shown else shown


def _many(count: int, one: str, several: str = "") -> str:
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"


def _asked(folder: Path, bot: str, verb: str, given: dict[str, Any]) -> dict[str, Any]:
    """What a bot answers to an order. Ends the command where it cannot be."""
    from storage.errors import StorageError

    from .errors import TroupeError

    chosen = bot_named(read_settings(folder), bot)
    if not chosen.memory.enabled and verb in ("list", "remember", "report"):
        click.echo(f"The memory of {bot} is {OFF}.", err=True)
    try:
        return asyncio.run(_ordered(chosen, verb, given))
    except (StorageError, TroupeError) as error:
        raise click.ClickException(plain(str(error))) from error


async def _ordered(bot: BotSettings, verb: str, given: dict[str, Any]) -> dict[str, Any]:
    """Has the running bot do it, or does it here."""
    if (told := await answer_of(bot, "memory", verb, given)) is not None:
        return told
    from .memory_orders import at_rest

    async with opened(bot) as store, at_rest(bot, store, utc_now) as orders:
        return await orders.do(verb, given)
