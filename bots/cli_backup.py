"""`troupe backup` and `troupe restore`: copies of what bots keep, checked, and brought back."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Coroutine
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .cli_bots import bot_named, bots_meant, config_folder, progress, read_settings, utc_now
from .knocking import told_to

if TYPE_CHECKING:
    from storage.manifest import Destination, Manifest, Shelf
    from storage.progress import Tell

    from .settings import BotSettings


class WithDefault(click.Group):
    """A group whose first command is meant where none is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = (*self.commands, *ctx.help_option_names)
        return super().parse_args(ctx, args if args and args[0] in known else [next(iter(self.commands)), *args])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or self.commands[next(iter(self.commands))]


@click.group(cls=WithDefault)
def backup() -> None:
    """Back bots up, and look after their backups.

    `troupe backup [BOT]` backs up one bot, or all of them: also while they run. Every backup is proven by restoring it
    into a scratch folder. Running bots do it by themselves (storage.backup in their settings).

    \b
    Examples:
      troupe backup sage
      troupe backup --all
      troupe backup list
      troupe backup verify sage
    """


@backup.command(hidden=True)
@click.argument("name", metavar="[BOT]", required=False)
@click.option("--all", "every", is_flag=True, help="Every bot, as when none is named.")
@config_folder
def make(folder: Path, name: str | None, every: bool) -> None:
    """Back up one bot, or all of them.

    \b
    Examples:
      troupe backup make sage
      troupe backup sage
    """
    from storage.rootlock import holder

    from . import backing
    from .errors import NoDoor

    async def one(bot: BotSettings, tell: Tell) -> str:
        to = backing.destination(bot)
        made: Manifest | None = None
        if holder(bot.root):
            with suppress(NoDoor) if bot.storage.type != "file" else nullcontext():  # files have one reader
                made = await _by_itself(bot)
        if made is None:
            async with backing.source(bot) as store:
                made = await backing.make(bot, store, backing.attachments(bot), to, now=utc_now, tell=tell)
        lost = f"; {made.blobs_lost} attachments could not be read and are not in it" if made.blobs_lost else ""
        return (
            f"{made.name} in {to.place}: {made.counts.messages:,} messages, {_size(made.packed_size)} in "
            f"{made.seconds:.1f} s, proven by a restore{lost}"
        )

    failed = 0
    for bot in bots_meant(read_settings(folder), name, every):
        with progress(bot.name) as tell:
            text, well = _tried(one(bot, tell))
        click.echo(f"{bot.name}: {text}", err=not well)
        failed += not well
    raise SystemExit(1 if failed else 0)


async def _by_itself(bot: BotSettings) -> Manifest:
    """Has the running bot back itself up. Raises `TroupeError`."""
    from storage.manifest import Manifest

    told: list[str] = []

    async def hear(line: str) -> None:
        told.append(line)

    await told_to(bot, {"do": "backup"}, hear)
    return Manifest.model_validate_json(told[-1])


@backup.command(name="list")
@click.argument("name", metavar="[BOT]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array of manifests.")
@config_folder
def list_(folder: Path, name: str | None, as_json: bool) -> None:
    """List the backups of one bot, or of all.

    \b
    Examples:
      troupe backup list
      troupe backup list sage --json
    """
    from storage.manifest import shelf

    from . import backing

    async def look(bot: BotSettings) -> Shelf:
        return await shelf(backing.destination(bot).place)

    bots = bots_meant(read_settings(folder), name)
    shelves = {bot.name: _done(look(bot)) for bot in bots}
    if as_json:
        click.echo(json.dumps([each.model_dump(mode="json") for found in shelves.values() for each in found.backups]))
        return
    for bot_name, found in shelves.items():
        for each in found.backups:
            click.echo(f"{bot_name}/{_line(each)}")
        for stray in found.strays:
            click.echo(f"{bot_name}: {stray} belongs to no whole backup; look at it and remove it", err=True)
    if not any(found.backups for found in shelves.values()):
        click.echo("There are no backups yet: `troupe backup` makes them.", err=True)


@backup.command()
@click.argument("what", metavar="[BOT|BOT/BACKUP|FILE]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array of what was found.")
@config_folder
def verify(folder: Path, what: str | None, as_json: bool) -> None:
    """Check backups: every byte, every attachment, and a restore into a scratch folder.

    Of one bot, of all, or a single one by its name or its file. The exit code is 1 when one of them is damaged, or when
    there is none.

    \b
    Examples:
      troupe backup verify
      troupe backup verify sage/conversations_2024-01-08
      troupe backup verify /mnt/copies/conversations_2024-01-08.db.zst
    """
    from storage.manifest import shelf

    found: list[dict[str, Any]] = []
    for wanted in [_wanted(folder, what)] if what else _all(folder):
        held = _done(shelf(wanted.at.place))
        backups = [each for each in held.backups if wanted.name in (None, each.name)]
        for each in backups:
            with progress(each.name) as tell:
                trouble, well = _tried(_checked(wanted, each, tell))
            found.append({"bot": each.bot, "backup": each.name, "ok": well, "trouble": "" if well else trouble})
        strays = [] if backups and wanted.name else held.strays
        found += [{"bot": wanted.title, "backup": name, "ok": False, "trouble": _STRAY} for name in strays]
        if not backups and not strays:
            told = {"bot": wanted.title, "backup": wanted.name or "", "trouble": f"no backup there ({wanted.at.place})"}
            found.append({**told, "ok": False})
    if as_json:
        click.echo(json.dumps(found))
    for each in () if as_json else found:
        title = "/".join(filter(None, (each["bot"], each["backup"])))
        click.echo(f"{title}: {'whole' if each['ok'] else each['trouble']}", err=not each["ok"])
    raise SystemExit(0 if all(each["ok"] for each in found) else 1)


@click.command()
@click.argument("what", metavar="BOT|BOT/BACKUP|FILE")
@click.option(
    "--as",
    "root",
    required=True,
    metavar="ROOT",
    type=click.Path(path_type=Path),
    help="The new root: missing or empty.",
)
@click.option(
    "--type",
    type=click.Choice(["sqlite", "file", "postgres"]),
    default="sqlite",
    show_default=True,
    help="What shall keep it there.",
)
@click.option("--for", "name", metavar="BOT", help="The bot that shall use it, if not the one it was made of.")
@click.option("--url-from", metavar="VARIABLE", help="For postgres: the variable that holds the server's address.")
@config_folder
def restore(folder: Path, what: str, root: Path, type: str, name: str | None, url_from: str | None) -> None:
    """Restore a backup into a new root, never over anything that is there.

    A backup is named by its bot (then it is the newest proven one), by bot and name as `troupe backup list` shows them,
    or by its file, beside which its manifest must lie; a bare conversations.db, copied by hand, will do as well.

    \b
    Examples:
      troupe restore sage --as ./data/sage2
      troupe restore sage/conversations_2024-01-08 --as ./data/sage2 --type file
      troupe restore /mnt/copies/conversations_2024-01-08.db.zst --as ./data/sage
    """
    from storage import restore as restoring

    if (type == "postgres") != (url_from is not None):
        raise click.UsageError("--type postgres and --url-from go together")
    url = os.environ.get(url_from, "") if url_from else ""
    if url_from and not url:
        raise click.UsageError(f"the variable {url_from} is not set")
    more: dict[str, Any] = {"type": type, "url": url}
    with progress(what) as tell:
        if what.endswith(".db") and Path(what).is_file():
            done = _done(restoring.restore_database(Path(what), root, bot=name or root.name, tell=tell, **more))
            title = what
        else:
            wanted = _wanted(folder, what)
            said = _done(_one(wanted))
            title = f"{said.name} of {said.bot}, made {said.made_at:%Y-%m-%d %H:%M} UTC"
            done = _done(restoring.restore(wanted.at, said, root, bot=name or said.bot, tell=tell, **more))
    click.echo(
        f"Restored {done.counts.messages:,} messages in {done.counts.sessions:,} sessions ({title}) into {root}."
    )
    if done.lost:
        click.echo(f"{done.lost} attachments are missing or damaged in the backup and did not come back.", err=True)
    if done.forgotten:
        click.echo(
            f"{done.forgotten} people have asked to be forgotten since that backup was made; {done.removed:,} messages "
            "went with them."
        )
    lines = f"path: {root}" if type == "sqlite" else f"type: {type}, path: {root}"
    click.echo(f"To run a bot on it, write `storage: {{{lines}}}` into its file in {folder}/bots/ and start it.")


_STRAY = "belongs to no whole backup: its manifest is missing or damaged, or speaks of another file"


@dataclass(frozen=True)
class Wanted:
    """Which backups somebody means."""

    at: Destination
    name: str | None = None
    """One backup's name; None for all of them."""
    bot: BotSettings | None = None

    @property
    def title(self) -> str:
        return self.bot.name if self.bot else str(self.at.place)


def _wanted(folder: Path, what: str) -> Wanted:
    """A bot's name, a bot's and a backup's, or where one of a backup's files is."""
    from storage.manifest import Destination, backup_named

    from . import backing

    where, _, last = what.rpartition("/")
    name = backup_named(last)
    if what.startswith("s3://") or (name and Path(what).is_file()):
        if name is None:
            raise click.ClickException(f"{what} is not named like a backup's file (conversations_2024-01-08.db.zst)")
        options = backing.s3_options(os.environ) if what.startswith("s3://") else None
        try:
            return Wanted(Destination.at(where or ".", options, spool=Path(tempfile.gettempdir())), name)
        except ValueError as error:
            raise click.ClickException(str(error)) from error
    bot = bot_named(read_settings(folder), where if name else what, beside="no such file, and ")
    return Wanted(backing.destination(bot), name, bot)


def _all(folder: Path) -> list[Wanted]:
    from . import backing

    return [Wanted(backing.destination(bot), None, bot) for bot in read_settings(folder).bots]


async def _one(wanted: Wanted) -> Manifest:
    from storage.manifest import Unsound, manifest, shelf

    if wanted.name is None:
        newest = (await shelf(wanted.at.place)).newest_proven
        if newest is None:
            raise Unsound(f"{wanted.at.place} holds no proven backup: `troupe backup list` shows what there is.")
        return newest
    said = await manifest(wanted.at.place, wanted.name)
    if said is None:
        raise Unsound(
            f"{wanted.name} in {wanted.at.place} has no manifest that can be read ({wanted.name}.json), and so nothing "
            "to check it by: put that file beside it. To go without, unpack it (zstd -d) and restore the .db."
        )
    return said


async def _checked(wanted: Wanted, said: Manifest, tell: Tell) -> str:
    """Rehearses a backup with all its attachments; what came of it is noted in the manifest of a bot's own."""
    from storage.backup import workspace
    from storage.manifest import Unsound
    from storage.rehearsal import prove, rehearse

    if wanted.bot is None:
        with tempfile.TemporaryDirectory() as scratch:
            await rehearse(wanted.at, said, Path(scratch), thorough=True, tell=tell)
    else:
        async with workspace(wanted.bot.root) as work:
            result = await prove(wanted.at, said, work, now=utc_now, thorough=True, tell=tell)
        if result.trouble:
            raise Unsound(result.trouble)
    return ""


def _tried(work: Coroutine[Any, Any, str]) -> tuple[str, bool]:
    """What came of it as a sentence, and whether it went well."""
    from storage.errors import StorageError

    from .errors import TroupeError

    try:
        return asyncio.run(work), True
    except (StorageError, TroupeError) as error:
        return str(error), False


def _done(work: Coroutine[Any, Any, Any]) -> Any:
    from storage.errors import StorageError

    from .errors import TroupeError

    try:
        return asyncio.run(work)
    except (StorageError, TroupeError) as error:
        raise click.ClickException(str(error)) from error


def _line(each: Manifest) -> str:
    proven = f"proven {each.proven_at:%Y-%m-%d %H:%M}" if each.proven_at else f"NOT PROVEN {each.trouble}"
    size = _size(each.packed_size)
    return (
        f"{each.name}  {each.made_at:%Y-%m-%d %H:%M} UTC  {each.counts.messages:,} messages  {size}  {proven}".rstrip()
    )


def _size(amount: int) -> str:
    return f"{amount / 2**20:,.1f} MiB" if amount >= 1 << 20 else f"{amount / 2**10:,.1f} KiB"
