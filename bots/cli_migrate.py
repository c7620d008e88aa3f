"""`troupe migrate`: takes the talk of other programs into a bot's storage, and tells what became of each item."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from .cli_bots import bots_meant, config_folder, opened, progress, read_settings, utc_now
from .cli_migrate_shown import findings, nothing, personas_of, plain, table, then

if TYPE_CHECKING:
    from storage.backend import Store
    from storage.migration_report import Report
    from storage.naming import Naming
    from storage.progress import Tell

    from .discord.names import Names
    from .persona_files import PersonaFiles
    from .settings import BotSettings


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
@click.option("--since", metavar="DATE", help="Leave out what is older, such as 2024-03-02 or 2024-03-02T18:30.")
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
    metavar="FILE",
    help="Where it is told what became of everything; else a new file in migration-reports/ of the bot's data.",
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
    since: str | None,
    map_: Path | None,
    timezone: str | None,
    report: Path | None,
    personas: Path | None,
    as_json: bool,
) -> None:
    """Take the talk of another program into a bot's storage.

    SOURCE is a folder, a file or a zip; what wrote it is found out by looking at it, and it is never changed. The bot
    must not be running. What is there already stays as it is, so that the same command, given again, adds only what is
    new, and goes on where one was stopped. The exit code is 0 when it came to its end and found something of the bot's:
    what it could not take stands in the report, each with file, line and reason.

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
    report = report or bot.root / _REPORTS / f"{utc_now():%Y-%m-%dT%H-%M-%S.%fZ}.json"
    try:
        naming = read_naming(map_) if map_ else Naming()
        wish = Wish(source, bot, format_, dry_run, _since(since, zone), naming, zone, report)
        with progress(bot.name) as tell:
            done, asked = asyncio.run(_migrate(wish, files, tell))
    except (StorageError, TroupeError, UnknownFormat, OSError) as error:
        raise click.ClickException("\n".join([str(error), *getattr(error, "__notes__", ())])) from error
    except KeyboardInterrupt:
        click.echo(f"\nStopped. What was taken stays; the same command goes on from there.{_FOR_NOW}", err=True)
        sys.exit(130)
    if as_json:
        click.echo(done.model_dump_json())
    else:
        file = folder / "bots" / f"{bot.name}.yaml"
        again = _for_good() if dry_run else ""
        for line in (
            *table(done),
            *findings(done, report),
            *personas_of(bot, files, file),
            *then(bot, done, asked, again),
        ):
            click.echo(line)
    if told := nothing(done):
        raise click.ClickException(told)


_REPORTS = "migration-reports"
_SCRATCH = ".migration"
_FOR_NOW = " Until it is done, sessions that are not complete yet have no end."


async def _migrate(wish: Wish, files: PersonaFiles, tell: Tell) -> tuple[Report, str]:
    """What was done, and what came of asking Discord."""
    from storage.errors import StorageError
    from storage.legacy import Terms
    from storage.legacy.source import Source
    from storage.migration import migrate, name_of, named, recognised
    from storage.migration_report import Tally

    from .backing import attachments
    from .errors import TroupeError

    bot, gap = wish.bot, wish.bot.storage.session_gap
    tell("looking at the source", 0, 0)
    with Source(wish.source) as source:
        reader = named(wish.format) if wish.format else recognised(source)[1]
        async with _reporting(wish.report), _target(wish) as store, _asking(wish) as names:
            with _scratch(bot) as scratch:
                terms = Terms(
                    bot.name, wish.zone, None if gap is None else timedelta(seconds=gap), utc_now(), scratch, wish.since
                )
                unasked, tally = _Unasked(), Tally(scratch)
                try:
                    done = await migrate(
                        source,
                        reader,
                        store,
                        attachments(bot),
                        terms,
                        naming=wish.naming,
                        look_up=names.look_up if names else unasked.look_up,
                        dry_run=wish.dry_run,
                        tell=tell,
                        persona=files.welcome,
                        tally=tally,
                    )
                except BaseException as error:  # Ctrl-C as well
                    failed = str(error) or "It was stopped."
                    done = tally.report(source.path, name_of(reader), terms, wish.dry_run, failed)
                    with suppress(StorageError, TroupeError):
                        await asyncio.to_thread(tally.flush)
                        await asyncio.to_thread(_write, done, scratch, wish.report)
                        error.add_note(f"What became of everything until then is told in {wish.report}")
                    raise
                told = _told(wish, names, unasked)
                notes = (*done.notes, *([told] if told else []))
                done = done.model_copy(update={"notes": notes})
                await asyncio.to_thread(_write, done, scratch, wish.report)
    return done, told


@asynccontextmanager
async def _reporting(path: Path) -> AsyncIterator[None]:
    """The place of the report, made before anything is taken. Raises `TroupeError`."""
    from storage.migration_report import aside, ready

    from .errors import TroupeError

    try:
        await asyncio.to_thread(ready, path)
    except OSError as error:
        raise TroupeError(
            f"The report cannot be written to {path} ({error.strerror}): name a file for it with --report. Nothing was "
            "taken."
        ) from error
    try:
        yield
    finally:
        aside(path).unlink(missing_ok=True)


def _write(done: Report, scratch: Path, path: Path) -> None:
    """Raises `TroupeError`."""
    from storage.migration_report import write

    from .errors import TroupeError

    try:
        write(done.model_copy(update={"finished_at": utc_now()}), scratch, path)
    except OSError as error:
        raise TroupeError(
            f"What could be taken was, but the report cannot be written to {path} ({error.strerror}): make room, or "
            "name a file for it with --report, and do the same again: nothing is taken twice."
        ) from error


@asynccontextmanager
async def _target(wish: Wish) -> AsyncIterator[Store]:
    """The bot's store; where only a dry run would make it, an empty one that touches no disk."""
    import storage

    bot = wish.bot
    new = not bot.root.exists() or {path.name for path in bot.root.iterdir()} <= {_REPORTS, _SCRATCH}
    if wish.dry_run and bot.storage.enabled and bot.storage.type != "postgres" and new:
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
    folder = bot.root / _SCRATCH
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
            f"--timezone {plain(name or '')}: no such time zone is known; name one like Europe/Berlin or UTC"
        ) from error


class _Unasked:
    """Stands where Discord is where that cannot be asked, and notes whether it would have known something."""

    def __init__(self) -> None:
        self.missed = False

    async def look_up(self, people: Collection[str], channels: Collection[str]) -> Naming:
        from storage.naming import Naming

        theirs = (id.isascii() and id.isdecimal() and len(id) in range(15, 21) for id in people)
        self.missed = self.missed or bool(channels) or any(theirs)
        return Naming()


def _since(text: str | None, zone: tzinfo) -> datetime | None:
    from .errors import TroupeError
    from .seeking import moment

    try:
        return None if text is None else moment(text, zone)
    except TroupeError as error:
        raise click.UsageError(f"--since: {error}") from error


def _told(wish: Wish, names: Names | None, unasked: _Unasked) -> str:
    """What came of asking Discord, where that would have known something."""
    if names is None:
        if not unasked.missed:
            return ""
        why = "does not take the bot's token, or cannot be reached" if wish.bot.discord.token else "has no token to ask"
        who = "Discord" if wish.bot.discord.token else wish.bot.name
        return f"{who} {why}: people and channels without a name keep their ids until they are seen again"
    if not names.asked:
        return ""
    more = f", and {names.unasked:,} more were not asked for" if names.unasked else ""
    return f"Discord was asked for {names.asked:,} names and knew {names.found:,}{more}"


def _for_good() -> str:
    """The command as it was given, without --dry-run."""
    here = click.get_current_context()
    words = ["troupe", "migrate", str(here.params["source"])]
    for each in here.command.params:
        name = each.name or ""
        if name in ("source", "dry_run") or here.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        words += [each.opts[0], str(here.params[name])]
    return shlex.join(words)
