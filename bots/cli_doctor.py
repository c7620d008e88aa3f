"""`troupe doctor`: looks over what bots need to run, finds damage in what they keep, and mends what can be mended."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .cli_bots import bots_meant, config_folder, hold, progress, read_settings, utc_now

if TYPE_CHECKING:
    from storage.diagnosis import Finding
    from storage.doctor import Diagnosis
    from storage.progress import Tell

    from .checkup import Check
    from .settings import BotSettings
    from .status import BotStatus

_FATAL = ("token", "intents")
"""What Discord says against a bot that keeps it down, until a person has changed something."""


class _BotOrCommand(click.Group):
    """A group in which the name of a bot stands for looking that bot over."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["discord", *args]
        return super().resolve_command(ctx, args)


@click.group(cls=_BotOrCommand, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a bot.")
@config_folder
@click.pass_context
def doctor(context: click.Context, folder: Path, as_json: bool) -> None:
    """Look over all that bots need, and mend what can be mended.

    Without a command, every bot is looked over: its Discord account, its rights in every channel, its commands, its
    providers' keys, its storage, the disk and the clock.

    \b
    Examples:
      troupe doctor
      troupe doctor sage
      troupe doctor discord sage --json
      troupe doctor storage --all
    """
    # What stands before the name of a bot counts for it, too.
    context.default_map = {name: {"folder": folder, "as_json": as_json} for name in ("discord", "storage")}
    if context.invoked_subcommand is None:
        _look_over(folder, None, as_json)


@doctor.command()
@click.argument("name", metavar="[BOT]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a bot.")
@config_folder
def discord(folder: Path, name: str | None, as_json: bool) -> None:
    """Look one bot over, or all, from the Discord account to the disk.

    Nothing is changed, and the bot may be running or not. Each line says what was looked at, how it is and what to do.
    The exit code is 1 when something is wrong.

    \b
    Examples:
      troupe doctor discord
      troupe doctor discord sage --json
    """
    _look_over(folder, name, as_json)


@doctor.command()
@click.argument("name", metavar="[BOT]", required=False)
@click.option("--all", "every", is_flag=True, help="Every bot, as when none is named.")
@click.option("--fix", is_flag=True, help="Mend what can be rebuilt. The bot must be stopped.")
@click.option("--deep", is_flag=True, help="Read every byte of every attachment, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a bot.")
@config_folder
def storage(folder: Path, name: str | None, every: bool, fix: bool, deep: bool, as_json: bool) -> None:
    """Read everything a bot keeps, and say what is wrong with it.

    Pages, rows, counts, the search index, lines of files, attachments. Without --fix nothing is changed, and the bot
    may be running. With it, nothing is thrown away without a copy in doctor/ of the bot's root. The exit code is 1
    when something is wrong still.

    \b
    Examples:
      troupe doctor storage
      troupe doctor storage sage --fix
      troupe doctor storage sage --deep --json
    """
    from storage.errors import StorageError

    from .errors import TroupeError

    well = True
    for bot in bots_meant(read_settings(folder), name, every):
        try:
            with progress(bot.name) as tell:
                found = _looked_over(bot, tell, fix=fix, deep=deep)
        except (StorageError, TroupeError) as error:
            click.echo(f"{bot.name}: {error}", err=True)
            well = False
            continue
        well = well and found.healthy and not any(each.lost for each in found.findings)
        if as_json:
            told = {"bot": found.bot, "healthy": found.healthy, "messages": found.messages, "sessions": found.sessions}
            click.echo(json.dumps({**told, "findings": [each.model_dump() for each in found.findings]}))
        else:
            _show(found)
    raise SystemExit(0 if well else 1)


def _looked_over(bot: BotSettings, tell: Tell, *, fix: bool, deep: bool) -> Diagnosis:
    """Raises `StorageError`, also where a running bot stands in the way of mending, and `ConfigError`."""
    from storage.doctor import Diagnosis, examine
    from storage.rootlock import holder

    from . import moved
    from .backing import attachments

    kept = bot.storage.enabled and (bot.root.exists() or bot.storage.type == "postgres")
    if not kept:
        return Diagnosis(bot.name, (), 0, 0)
    lock = hold(bot) if fix else None
    try:
        bot = moved.again(bot, os.environ)
        running = lock is None and holder(bot.root) is not None
        stale = [] if running else _stale(bot, fix)
        type, url = bot.storage.type, bot.storage.address
        look = examine(
            bot.name, bot.root, attachments(bot), type=type, url=url, fix=fix, deep=deep, running=running, tell=tell
        )
        found = asyncio.run(look)
    finally:
        if lock:
            lock.release()
    return Diagnosis(found.bot, (*stale, *found.findings), found.messages, found.sessions)


def _stale(bot: BotSettings, fix: bool) -> list[Finding]:
    """What a bot that no longer runs left behind it."""
    from storage.diagnosis import Finding

    from .status import FILE
    from .terminal import SOCKET

    found = []
    socket = bot.root / SOCKET
    if socket.exists():
        if fix:
            socket.unlink(missing_ok=True)
        said = "A bot that was killed left its door behind; nobody is there. The next start clears it away, too."
        found.append(Finding(what="stale-door", where=str(socket), sentence=said, fixable=True, fixed=fix, note=True))
    for draft in bot.root.glob(f".{FILE}"):
        if fix:
            draft.unlink(missing_ok=True)
        said = "A status that was never finished; it can go."
        found.append(Finding(what="stale-status", where=str(draft), sentence=said, fixable=True, fixed=fix, note=True))
    return found


def _show(found: Diagnosis) -> None:
    for each in found.findings:
        state = "note" if each.note else "LOST" if each.lost else "mended" if each.fixed else "WRONG"
        many = f" ({each.count:,})" if each.count > 1 else ""
        click.echo(f"{found.bot}: {state}: {each.what}{many}: {each.sentence} [{each.where}]")
    messages = f"{found.messages:,} message{'' if found.messages == 1 else 's'}"
    counted = f"{messages} in {found.sessions:,} session{'' if found.sessions == 1 else 's'} checked"
    wrong = [each for each in found.findings if each.open]
    if not wrong:
        lost = any(each.lost for each in found.findings)
        rest = f"; what was LOST may be in a backup: `troupe backup list {found.bot}`" if lost else ""
        click.echo(f"{found.bot}: {'the rest is healthy' if lost else 'healthy'}: {counted}{rest}")
        return
    fixable = sum(each.fixable for each in wrong)
    remedy = (
        f"; `troupe doctor storage {found.bot} --fix` mends {fixable} of them (stop the bot first)" if fixable else ""
    )
    click.echo(f"{found.bot}: {len(wrong)} wrong: {counted}{remedy}")


def _look_over(folder: Path, name: str | None, as_json: bool) -> None:
    """Looks bots over from Discord to the disk, says what it finds, and ends the command."""
    from dataclasses import asdict

    from .status import read

    well = True
    settings = read_settings(folder)
    statuses = {each.bot: each for each in read(settings)}
    for bot in bots_meant(settings, name):
        asked = asyncio.run(_asked(bot, statuses[bot.name]))
        known = any(each.state == "wrong" and each.what in _FATAL for each in asked)
        checks = [*asked, *_here(bot, statuses[bot.name], known)]
        wrong = sum(each.state == "wrong" for each in checks)
        well = well and not wrong
        if as_json:
            click.echo(json.dumps({"bot": bot.name, "healthy": not wrong, "checks": [asdict(each) for each in checks]}))
            continue
        for each in checks:
            state = each.state.upper() if each.state == "wrong" else each.state
            remedy = f" {each.remedy}" if each.remedy else ""
            where = f" ({each.where})" if each.where != bot.name else ""
            click.echo(f"{bot.name}: {state}: {each.what}{where}: {each.sentence}{remedy}")
        click.echo(f"{bot.name}: {f'{wrong} wrong' if wrong else 'nothing is wrong'}")
    raise SystemExit(0 if well else 1)


async def _asked(bot: BotSettings, said: BotStatus) -> list[Check]:
    """What others say: Discord, the providers and the embedder."""
    from .embedding import chosen
    from .providers.embedding import made
    from .wiring_checkup import asked

    model = made(chosen(bot.embedder), bot.embedder)
    try:
        return await asked(bot, said, model, utc_now)
    finally:
        if model is not None:
            await model.close()


def _here(bot: BotSettings, said: BotStatus, known: bool) -> list[Check]:
    """What this machine says: the process, the disk, the files to quote from, the storage. `known` is whether it was
    said already what keeps the bot down."""
    from storage.errors import StorageError

    from . import status
    from .checkup import Check, knowledge, place, process
    from .errors import TroupeError
    from .wiring_checkup import storage_check

    found = [*process(bot, status.alarmed(bot, said, utc_now()), known=known), *place(bot), *knowledge(bot)]
    if not bot.storage.enabled:
        return found
    try:
        with progress(bot.name) as tell:
            seen = _looked_over(bot, tell, fix=False, deep=False)
    except (StorageError, TroupeError) as error:
        return [*found, Check("wrong", "storage", str(bot.root), str(error))]
    return [*found, storage_check(bot, seen)]
