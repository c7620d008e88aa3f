"""`troupe doctor`: looks for damage in what bots keep, and mends what can be mended."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .cli_bots import bots_meant, config_folder, progress, read_settings

if TYPE_CHECKING:
    from storage.diagnosis import Finding
    from storage.doctor import Diagnosis
    from storage.progress import Tell

    from .settings import BotSettings


@click.group()
def doctor() -> None:
    """Look for damage, and mend what can be mended.

    \b
    Example:
      troupe doctor storage --all
    """


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
    """Raises `StorageError`, `RootInUse` among them where a running bot stands in the way of mending."""
    from storage.doctor import Diagnosis, examine
    from storage.rootlock import RootLock, holder

    from .backing import attachments

    kept = bot.storage.enabled and (bot.root.exists() or bot.storage.type == "postgres")
    if not kept:
        return Diagnosis(bot.name, (), 0, 0)
    lock = RootLock.take(bot.root) if fix else None
    try:
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
    counted = f"{found.messages:,} messages in {found.sessions:,} sessions checked"
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
