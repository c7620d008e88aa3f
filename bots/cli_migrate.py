"""`troupe migrate`: takes the talk of other programs into a bot's storage, and tells what became of each item."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .cli_bots import bots_meant, config_folder, opened, progress, read_settings, utc_now

if TYPE_CHECKING:
    from storage.backend import Store
    from storage.migration_report import Report
    from storage.naming import Naming
    from storage.progress import Tell

    from .discord.names import Names
    from .persona_files import PersonaFiles
    from .settings import BotSettings

SHOWN = 5
"""Refused items and notes that the screen shows; the report has all of them."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asked for."""

    source: Path
    bot: BotSettings
    format: str | None
    dry_run: bool
    since: datetime | None
    naming: Naming
    zone: tzinfo
    report: Path


@click.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.option("--to", "name", required=True, metavar="BOT", help="Whose talk it becomes.")
@click.option("--format", "format_", metavar="NAME", help="What wrote the source, where looking at it does not tell.")
@click.option("--dry-run", is_flag=True, help="Only say what would be taken; nothing is written but the report.")
@click.option(
    "--since", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]), metavar="DATE", help="Leave out what is older."
)
@click.option(
    "--map",
    "map_",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="A YAML file that says who the ids in the source are.",
)
@click.option("--timezone", metavar="ZONE", help="Of times that name none, such as Europe/Berlin; else this machine's.")
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    default="migration-report.json",
    show_default=True,
    metavar="FILE",
    help="Where it is told what became of everything.",
)
@click.option(
    "--personas",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where personas go that are in the source; else personas/ of the configuration.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
@config_folder
def migrate(
    folder: Path,
    source: Path,
    name: str,
    format_: str | None,
    dry_run: bool,
    since: datetime | None,
    map_: Path | None,
    timezone: str | None,
    report: Path,
    personas: Path | None,
    as_json: bool,
) -> None:
    """Take the talk of another program into a bot's storage.

    SOURCE is a folder, a file or a zip; what wrote it is found out by looking at it, and it is never changed. The bot
    must not be running. What is there already stays as it is, so that the same command, given again, adds only what is
    new, and goes on where one was stopped. The exit code is 0 when it came to its end: what it could not take stands in
    the report, each with file, line and reason.

    \b
    The file for --map:
      users:    {user_001: {id: "123456789012345678", name: Ann}}
      channels: {"234567890123456789": {name: general, guild: "345678901234567890", kind: channel}}

    \b
    Examples:
      troupe migrate data/multi_bot_conversations --to sage --dry-run
      troupe migrate data/multi_bot_conversations --to sage --timezone Europe/Berlin
      troupe migrate chatgpt-export.zip --to sage --since 2024-01-01
    """
    from storage.errors import StorageError
    from storage.legacy import UnknownFormat
    from storage.naming import Naming

    from .errors import TroupeError
    from .naming_file import read_naming
    from .persona_files import PersonaFiles

    (bot,) = bots_meant(read_settings(folder), name)
    zone = _zone(timezone)
    files = PersonaFiles(personas or folder / "personas", dry_run=dry_run)
    try:
        naming = read_naming(map_) if map_ else Naming()
        wish = Wish(source, bot, format_, dry_run, since and since.replace(tzinfo=zone), naming, zone, report)
        with progress(bot.name) as tell:
            done, asked = asyncio.run(_migrate(wish, files, tell))
    except (StorageError, TroupeError, UnknownFormat, OSError) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        click.echo(f"\nStopped. What was taken stays; the same command goes on from there.{_FOR_NOW}", err=True)
        sys.exit(130)
    if as_json:
        click.echo(done.model_dump_json())
        return
    for line in (*_table(done), *_findings(done, report), *_next(bot, files, done, asked)):
        click.echo(line)


_FOR_NOW = " Until it is done, sessions that are not complete yet have no end."


async def _migrate(wish: Wish, files: PersonaFiles, tell: Tell) -> tuple[Report, str]:
    """What was done, and what came of asking Discord."""
    from storage.legacy import Terms
    from storage.legacy.source import Source
    from storage.migration import migrate, named, nobody, recognised
    from storage.migration_report import write

    from .backing import attachments

    bot, gap = wish.bot, wish.bot.storage.session_gap
    with Source(wish.source) as source:
        reader = named(wish.format) if wish.format else recognised(source)[1]
        async with _target(wish) as store, _asking(wish) as names:
            with _scratch(bot) as scratch:
                terms = Terms(
                    bot.name, wish.zone, None if gap is None else timedelta(seconds=gap), utc_now(), scratch, wish.since
                )
                done = await migrate(
                    source,
                    reader,
                    store,
                    attachments(bot),
                    terms,
                    naming=wish.naming,
                    look_up=names.look_up if names else nobody,
                    dry_run=wish.dry_run,
                    tell=tell,
                    persona=files.welcome,
                )
                told = _told(wish, names)
                notes = (*done.notes, *([told] if told else []))
                done = done.model_copy(update={"finished_at": utc_now(), "notes": notes})
                await asyncio.to_thread(write, done, scratch, wish.report)
    return done, told


@asynccontextmanager
async def _target(wish: Wish) -> AsyncIterator[Store]:
    """The bot's store; where only a dry run would make it, an empty one that touches no disk."""
    import storage

    bot = wish.bot
    if wish.dry_run and bot.storage.enabled and bot.storage.type != "postgres" and not bot.root.exists():
        store = await storage.connect(bot.name, bot.root, enabled=False)
        try:
            yield store
        finally:
            await store.close()
        return
    async with opened(bot) as store:
        yield store


@asynccontextmanager
async def _asking(wish: Wish) -> AsyncIterator[Names | None]:
    """Somebody who asks Discord for names, where the bot has a token."""
    if not wish.bot.discord.token:
        yield None
        return
    from .discord.names import names

    async with names(wish.bot.discord) as asking:
        yield asking


@contextmanager
def _scratch(bot: BotSettings) -> Iterator[Path]:
    """A folder beside the bot's data, for that is where there is room; one that a crash left is emptied."""
    if not bot.root.exists():
        with tempfile.TemporaryDirectory() as made:
            yield Path(made)
        return
    folder = bot.root / ".migration"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _zone(name: str | None) -> tzinfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    import tzlocal

    try:
        return tzlocal.get_localzone() if name is None else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise click.UsageError(
            f"--timezone {_plain(name or '')}: no such time zone is known; name one like Europe/Berlin or UTC"
        ) from error


def _told(wish: Wish, names: Names | None) -> str:
    """What came of asking Discord."""
    if names is None:
        why = "does not take the bot's token, or cannot be reached" if wish.bot.discord.token else "has no token to ask"
        who = "Discord" if wish.bot.discord.token else wish.bot.name
        return f"{who} {why}: people and channels without a name keep their ids until they are seen again"
    if not names.asked:
        return ""
    more = f", and {names.unasked:,} more were not asked for" if names.unasked else ""
    return f"Discord was asked for {names.asked:,} names and knew {names.found:,}{more}"


def _table(done: Report) -> Iterator[str]:
    would = "would be new" if done.dry_run else "new"
    yield f"{done.bot}: {done.source} ({done.format}, times without a zone are {done.zone}'s)"
    if done.since:
        yield f"{done.bot}: what was said before {done.since:%Y-%m-%d %H:%M} is left out"
    yield f"{'':<10}{'found':>12}{would:>14}{'known':>12}{'left out':>12}{'refused':>12}"
    for kind in ("messages", "sessions", "channels", "records", "personas", "files"):
        each = getattr(done, kind)
        if each.found:
            yield (
                f"{kind:<10}{each.found:>12,}{each.taken:>14,}{each.known:>12,}{each.left_out:>12,}{each.refused:>12,}"
            )
    if done.verified and not done.dry_run:
        yield f"{done.verified:,} messages were read back and are what the source says"
    if done.forgotten:
        yield f"{done.forgotten:,} things were left out, since somebody asked to be forgotten"
    if not done.messages.taken and done.messages.known:
        yield "Everything was there already: nothing was added"


def _findings(done: Report, report: Path) -> Iterator[str]:
    from storage.migration_report import shown

    for item in done.refused_items[:SHOWN]:
        yield f"refused: {_plain(shown(item))}: {_plain(item.reason)}"
    if done.refused > SHOWN:
        yield f"… and {done.refused - SHOWN:,} more that were refused"
    for note in done.notes[:SHOWN]:
        yield f"note: {_plain(note)}"
    if len(done.notes) > SHOWN:
        yield f"… and {len(done.notes) - SHOWN:,} more notes"
    yield f"What became of everything is told in {report}"


def _next(bot: BotSettings, files: PersonaFiles, done: Report, asked: str) -> Iterator[str]:
    """What to do now."""
    from .storage_settings import LimitSettings

    if done.unmapped and not asked.startswith("Discord was"):
        yield f"{len(done.unmapped):,} people have no name but their id: --map names them before they are taken in"
    for name in files.kept:
        yield f"The persona {name} is there already and stays as it is"
    if files.written:
        names = ", ".join([*(each.name for each in bot.personas), *files.written])
        made = "would be written" if done.dry_run else "are new"
        yield f"{len(files.written):,} personas {made}; for {bot.name} to speak with them, its file says"
        yield f"  personas: [{names}]"
    if done.dry_run:
        yield "Nothing was written. Without --dry-run it is done"
    elif done.messages.taken:
        limits = bot.storage.retention
        if any(getattr(limits, kind) != LimitSettings() for kind in ("channel", "thread", "dm", "web", "terminal")):
            yield f"storage.retention removes old talk: raise it before {bot.name} starts, if this shall stay"
        yield f"`troupe up` starts {bot.name} with what it has now"


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:300]
