"""`troupe cleanup` and `troupe import`: what retention removes, shown and done, and archives brought back."""

from __future__ import annotations

import asyncio
import json
import sys
import zipfile
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .cli_bots import bots_meant, config_folder, opened, progress, read_settings, utc_now
from .knocking import told_to

if TYPE_CHECKING:
    from storage.backend import Store

    from .cleaning import Cleaner
    from .settings import BotSettings

LISTED = 20
"""Lines of one bot that a terminal shows."""
_UNITS = {
    "session": "sessions",
    "message": "messages",
    "memory": "memories",
    "run": "runs",
    "audit": "audit entries",
    "channel": "channels",
    "setting": "settings",
    "template": "templates",
}
Say = Callable[[str], Awaitable[None]]


@click.command()
@click.argument("name", metavar="[BOT]", required=False)
@click.option("--all", "every", is_flag=True, help="Every bot, as when none is named.")
@click.option("--dry-run", is_flag=True, help="Only say what would go, why, and how much it is.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object a line; the last of each bot has the total."
)
@click.option("--yes", is_flag=True, help="Do not ask before removing.")
@config_folder
def cleanup(folder: Path, name: str | None, every: bool, dry_run: bool, as_json: bool, yes: bool) -> None:
    """Remove what storage.retention says is due, from one bot or all.

    Sessions are archived first unless the settings say `delete`; `troupe import` brings an archive back. A bot that is
    running does it itself, between its turns.

    \b
    Examples:
      troupe cleanup --dry-run
      troupe cleanup sage
      troupe cleanup --all --yes --json
    """
    from .errors import TroupeError

    failed = False
    for bot in bots_meant(read_settings(folder), name, every):
        try:
            if not dry_run and not yes:
                found = Telling(as_json=False, loud=True, err=as_json)
                asyncio.run(_clean(bot, found.hear, dry_run=True))
                if not found.total:
                    continue
                click.confirm(f"Remove this from {bot.name}?", abort=True, err=True)
            asyncio.run(_clean(bot, Telling(as_json=as_json, loud=dry_run).hear, dry_run=dry_run))
        except TroupeError as error:
            click.echo(f"Error: {error}", err=True)
            failed = True
    sys.exit(1 if failed else 0)


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--to", "name", required=True, metavar="BOT", help="Whose talk it becomes.")
@click.option("--dry-run", is_flag=True, help="Only check an export, and say what it would bring.")
@click.option("--json", "as_json", is_flag=True, help="Say what was done as one JSON object.")
@config_folder
def import_(folder: Path, file: Path, name: str, dry_run: bool, as_json: bool) -> None:
    """Bring back what an archive of `troupe cleanup`, or a json export of `troupe export`, holds.

    What the bot has already stays as it is, so that doing it twice does no harm. The bot must not be running.

    \b
    Examples:
      troupe import data/sage/archives/2024-01-08_1.zip --to sage
      troupe import sage.zip --to sage --dry-run
    """
    from storage.errors import StorageError

    from .errors import TroupeError

    (bot,) = bots_meant(read_settings(folder), name)
    try:
        told, text = asyncio.run(_import(bot, file, dry_run))
    except (StorageError, TroupeError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps(told) if as_json else text)


class Telling:
    """Shows a cleanup's lines as they come: all of them as JSON, or the first ones and a table of totals."""

    def __init__(self, *, as_json: bool, loud: bool, err: bool = False) -> None:
        self._as_json = as_json
        self._err = err
        self._loud = loud
        """Whether to show each thing, and not only the totals."""
        self._most = LISTED if (sys.stderr if err else sys.stdout).isatty() else sys.maxsize
        self._heard = 0
        self.total: dict[str, dict[str, int]] = {}

    async def hear(self, line: str) -> None:
        """One line of `Cleaner.tell`."""
        told: dict[str, Any] = json.loads(line)
        self.total = told.get("total", {})
        if self._as_json:
            click.echo(line)
        elif "total" in told:
            self._sum_up(told)
        else:
            self._heard += 1
            if self._loud and self._heard <= self._most:
                where = f" in {told['channel']}" if told["channel"] else ""
                self._echo(f"{told['bot']}: {told['kind']} {_plain(told['id'])}{where}: {told['why']}")

    def _sum_up(self, told: dict[str, Any]) -> None:
        bot, dry = told["bot"], told["dry_run"]
        if self._loud and self._heard > self._most:
            self._echo(f"{bot}: … and {self._heard - self._most:,} more")
        if told["more"]:
            self._echo(f"{bot}: more deleted messages than these are due")
        verb = "to go" if dry else "gone"
        for kind, total in told["total"].items():
            self._echo(f"{bot}: {_amount(kind, total)} {verb}")
        if not told["total"]:
            self._echo(f"{bot}: nothing is due")
        for path in told["archives"]:
            self._echo(f"{bot}: archived in {path}")
        if told["kept"]:
            self._echo(f"{bot}: {told['kept']:,} sessions stay, since somebody came back to them")

    def _echo(self, line: str) -> None:
        click.echo(line, err=self._err)


def _amount(kind: str, total: dict[str, int]) -> str:
    from storage.retention import amount

    items = total["items"]
    many = f"{items:,} {_UNITS.get(kind, 'files')}" if items != 1 else f"1 {kind}"
    inside = f"{total['messages']:,} messages, " if kind == "session" else ""
    return f"{many} ({inside}{amount(total['bytes'])})"


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:80]


async def _clean(bot: BotSettings, say: Say, *, dry_run: bool) -> None:
    """Has the running bot do it, or does it here. Raises `TroupeError`."""
    from storage.errors import StorageError
    from storage.rootlock import holder

    from .errors import TroupeError

    try:
        if holder(bot.root):
            await told_to(bot, {"do": "cleanup", "dry": "yes" if dry_run else "no"}, say)
        elif bot.storage.enabled and (bot.root.exists() or bot.storage.type == "postgres"):
            await _here(bot, say, dry_run=dry_run)
        else:
            await say(json.dumps(_nothing(bot, dry_run)))
    except StorageError as error:
        raise TroupeError(f"{bot.name}: {error}") from error


def _nothing(bot: BotSettings, dry_run: bool) -> dict[str, Any]:
    return {"bot": bot.name, "dry_run": dry_run, "total": {}, "archives": [], "kept": 0, "more": False}


async def _here(bot: BotSettings, say: Say, *, dry_run: bool) -> None:
    from .index_files import take_out

    sessions, memories = set[str](), set[str]()
    async with opened(bot) as store:
        await _cleaner(bot, store, gone=sessions.add, unlearned=memories.add).tell(say, dry_run=dry_run)
        await take_out(bot.root, sessions, memories)


def _nobody(id: str) -> None:
    """Told of what goes, where nobody has it in mind."""


def _cleaner(
    bot: BotSettings, store: Store, *, gone: Callable[[str], None] = _nobody, unlearned: Callable[[str], None] = _nobody
) -> Cleaner:
    from importlib import metadata

    from .backing import attachments
    from .cleaning import Cleaner

    program = metadata.version("troupe")
    blobs = attachments(bot)
    return Cleaner(bot, store, now=utc_now, program=program, blobs=blobs, breath=0, gone=gone, unlearned=unlearned)


async def _import(bot: BotSettings, file: Path, dry_run: bool) -> tuple[dict[str, Any], str]:
    from storage.exports.json_back import import_json, is_export
    from storage.unpacking import restore_archive

    from .backing import attachments
    from .errors import TroupeError

    if not file.stat().st_size:
        raise TroupeError(f"{file.name} is empty (0 bytes): nothing can come of it. Make the export again.")
    if not is_export(file):
        if format_ := _foreign(file):
            raise TroupeError(
                f"{file.name} looks like {format_}: `troupe migrate {file} --to {bot.name}` takes that in."
            )
        if dry_run:
            raise TroupeError(
                f"{file.name} is an archive: --dry-run is for exports. What is there already stays as it is."
            )
        async with opened(bot) as store:
            back = await restore_archive(file, store, attachments(bot))
            due = await _due(bot, store)
        text = (
            f"{bot.name}: {back.sessions:,} sessions read, {back.messages:,} messages and {back.files:,} files brought "
        )
        return asdict(back), f"{text}back, {back.known:,} messages were there already{due}"
    with progress(bot.name) as tell:
        async with opened(bot) as store:
            came = await import_json(file, store, attachments(bot), dry_run=dry_run, tell=tell)
            due = await _due(bot, store)
    verb = "would come" if dry_run else "brought in"
    text = f"{came.messages:,} messages, {came.sessions:,} sessions, {came.records:,} records and {came.files:,} files"
    known = f"{came.known:,} messages {'are' if dry_run else 'were'} there already"
    if came.differing:
        named = "; ".join(came.named) + (" and others" if came.differing > len(came.named) else "")
        says = "1 of them says" if came.differing == 1 else f"{came.differing:,} of them say"
        known += (
            f", and {says} something else than the file, and {'would stay' if dry_run else 'stayed'} as kept: {named}"
        )
    return asdict(came), f"{bot.name}: {text} {verb}, {known}{'' if dry_run else due}"


def _foreign(file: Path) -> str:
    """The format of another program that a file, which is no export, has; empty where it has none that is known."""
    from storage.archive import MANIFEST
    from storage.errors import StorageError
    from storage.legacy import UnknownFormat
    from storage.legacy.source import Source
    from storage.migration import recognised

    try:
        with zipfile.ZipFile(file) as opened:
            if MANIFEST in opened.namelist():
                return ""  # by a cleanup
    except (OSError, zipfile.BadZipFile, ValueError):
        pass
    try:
        with Source(file) as source:
            return recognised(source)[0]
    except (StorageError, UnknownFormat):
        return ""


async def _due(bot: BotSettings, store: Store) -> str:
    """What keeps sessions that retention has put aside once from being put aside again."""
    from .jobs import first_run
    from .storage_settings import LimitSettings

    limits = bot.storage.retention
    if {limits.channel, limits.thread, limits.dm, limits.web, limits.terminal} == {LimitSettings()}:
        return ""
    now, job = utc_now(), _cleaner(bot, store).job()
    first = first_run(job.schedule, await job.last(), now, 0)
    if first is None:
        return ""
    when = f"at {first:%Y-%m-%d %H:%M} UTC" if first > now else f"when {bot.name} starts"
    return f"\n{bot.name}: star what shall stay, or raise storage.retention, before the next cleanup {when}"
