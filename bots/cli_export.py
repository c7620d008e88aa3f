"""`troupe export`: what a bot keeps, or a part of it, as a file to read or to take along."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from .cli_bots import bot_named, config_folder, opened, progress, read_settings, utc_now
from .cli_output import hush, standing
from .knocking import told_to

if TYPE_CHECKING:
    from storage.exports import Noted
    from storage.progress import Tell

    from .export_order import Request
    from .settings import BotSettings

_FORMS = ("md", "json", "txt", "html", "pdf", "docx", "v3")
_GOES_WITH = {
    "timestamps": ("md", "txt", "html", "pdf", "docx"),
    "metadata": ("md", "txt", "html", "pdf", "docx", "json"),
    "header_level": ("md", "docx"),
    "code_language": ("md", "html", "pdf", "docx"),
    "images": ("html", "pdf", "docx"),
    "complete": ("json", "v3"),
}
"""The forms that an option changes; those that are not here change any."""
_SAID = {"timestamps": "--no-timestamps", "metadata": "--no-metadata"}


@click.command()
@click.argument("name", metavar="BOT")
@click.option("--form", type=click.Choice(_FORMS), default="md", show_default=True, help="What kind of file.")
@click.option("--session", "sessions", multiple=True, metavar="ID", help="Only this session; may be given again.")
@click.option("--channel", "channels", multiple=True, metavar="NAME|ID", help="Only this channel; may be given again.")
@click.option("--user", metavar="NAME|ID", help="Only what this person said, and the answers to that.")
@click.option("--persona", metavar="NAME", help="Only what this persona said.")
@click.option("--tag", "tags", multiple=True, help="Only sessions with this tag; with several, all of them.")
@click.option("--starred", is_flag=True, help="Only starred sessions.")
@click.option("--since", metavar="DATE", help="Only what was said on this day or later, such as 2026-03-01.")
@click.option("--until", metavar="DATE", help="Only what was said on this day or before, in --timezone.")
@click.option("--with-files", "files", is_flag=True, help="The files beside the messages too; makes a zip.")
@click.option("--zip", "zipped", is_flag=True, help="A zip with a file for each session and a manifest.")
@click.option("--complete", is_flag=True, help="json and v3: deleted and edited things, and all records, too.")
@click.option("--no-metadata", "metadata", flag_value=False, default=True, help="Only names and words.")
@click.option("--no-timestamps", "timestamps", flag_value=False, default=True, help="No times.")
@click.option("--header-level", type=click.IntRange(1, 5), default=1, help="md, docx: of a session's heading.")
@click.option("--code-language", default="", help="Of code blocks that name none.")
@click.option("--timezone", "zone", default="UTC", show_default=True, help="Europe/Berlin, say, or local.")
@click.option(
    "--images", type=click.Choice(["embed", "link"]), default="embed", show_default=True, help="html, pdf, docx."
)
@click.option("-o", "--output", "target", metavar="FILE|-", help="Where to; - for the standard output.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option("--dry-run", is_flag=True, help="Only say how much there is.")
@click.option("--json", "as_json", is_flag=True, help="Say what was done as one JSON object.")
@config_folder
def export(
    folder: Path, name: str, target: str | None, force: bool, dry_run: bool, as_json: bool, **asked: Any
) -> None:
    """Take along what a bot keeps: all of it, or what the options say, also while it runs.

    A file is there whole or not at all. `troupe import` reads json back; with --complete and --with-files nothing is
    missing then. v3 is a zip of the folders that `troupe migrate` and other tools read, of at most a million files: it
    takes 1 kB of memory for each message, while the other forms take none, but for pdf and docx.

    \b
    Examples:
      troupe export sage --form html -o sage.html
      troupe export sage --form json --complete --with-files -o sage.zip
      troupe export sage --channel general --since 2024-01-01 --form pdf
    """
    from storage.errors import StorageError

    from .errors import TroupeError

    bot = bot_named(read_settings(folder), name)
    try:
        request = _request(asked, bot)
        if dry_run:
            _say(asyncio.run(_counted(bot, request)), "", as_json)
            return
        path = Path(target or f"{bot.name}-{utc_now():%Y-%m-%d}.{request.end}")
        notes = _named_as_it_is(path, target, request)
        with progress(bot.name) as tell, standing(path, target, force) as write:
            told = asyncio.run(_write(bot, request, tell, write, notes.append))
    except (StorageError, TroupeError) as error:
        raise click.ClickException(str(error)) from error
    except BrokenPipeError:
        hush()  # whoever read it has enough
        sys.exit(1)
    for note in dict.fromkeys(notes):
        click.echo(note, err=True)
    if target != "-":
        _say({"bot": bot.name, "form": request.form, "file": str(path), **told}, str(path), as_json)


def _named_as_it_is(path: Path, target: str | None, request: Request) -> list[str]:
    """What is to be said of a name that says something else than what the file is."""
    odd = target != "-" and request.end == "zip" and path.suffix.lower() != ".zip" and not path.is_char_device()
    return [f"{path} is a zip: name it {path.stem}.zip for programs that go by names."] if odd else []


def _request(asked: dict[str, Any], bot: BotSettings) -> Request:
    """Raises `TroupeError`."""
    from pydantic import ValidationError

    from .errors import TroupeError
    from .export_order import Request, zone
    from .seeking import moment

    if asked["zone"] == "local":
        import tzlocal

        asked["zone"] = tzlocal.get_localzone_name()
    given = click.get_current_context()
    for option, forms in _GOES_WITH.items():
        if asked["form"] not in forms and given.get_parameter_source(option) is not ParameterSource.DEFAULT:
            said = _SAID.get(option) or f"--{option.replace('_', '-')}"
            raise TroupeError(f"{said} does nothing for {asked['form']}: it goes with {', '.join(forms)}.")
    within = zone(asked["zone"])
    for edge in ("since", "until"):
        asked[edge] = moment(asked[edge], within, end=edge == "until") if asked[edge] else None
    for each in bot.personas:
        if (asked["persona"] or "").casefold() in (each.name.casefold(), each.display.casefold()):
            asked["persona"] = each.name
    try:
        return Request(**asked)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise TroupeError(f"--{str(first['loc'][0]).replace('_', '-')}: {first['msg']}") from error


def _say(told: dict[str, Any], path: str, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(told))
    elif path:
        files = f" and {_many(told['files'], 'file')}" if told["files"] else ""
        click.echo(f"{path}: {_amount(told)}{files}, {_many(told['bytes'], 'byte')}")
    else:
        click.echo(_amount(told))


def _amount(told: dict[str, Any]) -> str:
    return f"{_many(told['messages'], 'message')} in {_many(told['sessions'], 'session')}"


def _many(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


async def _write(
    bot: BotSettings, request: Request, tell: Tell, write: Callable[[bytes], object], noted: Noted
) -> dict[str, int]:
    """Has the running bot make the file, or makes it here. Returns how much is in it, and its bytes."""
    from storage.durable import in_thread
    from storage.rootlock import holder

    size, amount = 0, dict[str, int]()
    if holder(bot.root):

        async def hear(line: str) -> None:
            nonlocal size
            told = json.loads(line)
            if "done" in told:
                tell("messages", told["done"], told["of"])
            if "note" in told:
                noted(told["note"])
                return
            if "told" in told:
                amount.update(told["told"])
                return
            piece = base64.b64decode(told["piece"])
            size += len(piece)
            await in_thread(write, piece)

        await told_to(bot, {"do": "export", "request": request.model_dump_json()}, hear)
        return {**amount, "bytes": size}
    from .backing import attachments
    from .export_order import export_of, made

    async with opened(bot) as store:
        export = await export_of(request, store, attachments(bot), bot.name, utc_now(), tell, noted)
        async with aclosing(made(request, export)) as pieces:
            async for piece in pieces:
                size += len(piece)
                await in_thread(write, piece)
    return {**asdict(export.tally), "bytes": size}


async def _counted(bot: BotSettings, request: Request) -> dict[str, int]:
    from storage.rootlock import holder

    from .export_order import counted

    if not holder(bot.root):
        async with opened(bot) as store:
            return await counted(request, store, bot.name)
    heard: list[str] = []

    async def hear(line: str) -> None:
        heard.append(line)

    await told_to(bot, {"do": "export", "dry": "yes", "request": request.model_dump_json()}, hear)
    found: dict[str, int] = json.loads(heard[-1])
    return found
