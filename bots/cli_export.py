"""`troupe export`: what a bot keeps, or a part of it, as a file to read or to take along."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from .cli_bots import bot_named, config_folder, opened, progress, read_settings, told_to, utc_now

if TYPE_CHECKING:
    from storage.exports import Noted
    from storage.progress import Tell

    from .export_order import Request
    from .settings import BotSettings

_FORMS = ("md", "json", "txt", "html", "pdf", "docx", "v3")
_DATES = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])


@click.command()
@click.argument("name", metavar="BOT")
@click.option("--form", type=click.Choice(_FORMS), default="md", show_default=True, help="What kind of file.")
@click.option("--session", "sessions", multiple=True, metavar="ID", help="Only this session; may be given again.")
@click.option("--channel", "channels", multiple=True, metavar="NAME|ID", help="Only this channel; may be given again.")
@click.option("--user", metavar="ID", help="Only what this person said, and the answers to that.")
@click.option("--persona", metavar="ID", help="Only what this persona said.")
@click.option("--tag", "tags", multiple=True, help="Only sessions with this tag; with several, all of them.")
@click.option("--starred", is_flag=True, help="Only starred sessions.")
@click.option("--since", type=_DATES, help="Only what was said at this time or later, in --timezone.")
@click.option("--until", type=_DATES, help="Only what was said before this time, in --timezone.")
@click.option("--with-files", "files", is_flag=True, help="The files beside the messages too; makes a zip.")
@click.option("--zip", "zipped", is_flag=True, help="A zip with a file for each session and a manifest.")
@click.option("--complete", is_flag=True, help="json and v3: deleted and edited things, and all records, too.")
@click.option("--no-metadata", "metadata", flag_value=False, default=True, help="Only names and words.")
@click.option("--no-timestamps", "timestamps", flag_value=False, default=True, help="No times.")
@click.option("--header-level", type=click.IntRange(1, 5), default=1, help="md: that of a session's heading.")
@click.option("--code-language", default="", help="Of code blocks that name none.")
@click.option("--timezone", "zone", default="UTC", show_default=True, help="Europe/Berlin, say, or local.")
@click.option("--images", type=click.Choice(["embed", "link"]), default="embed", show_default=True, help="html only.")
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
    missing then.

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
        request = _request(asked)
        if dry_run:
            _say(asyncio.run(_counted(bot, request)), "", as_json)
            return
        path = Path(target or f"{bot.name}-{utc_now():%Y-%m-%d}.{request.end}")
        notes: list[str] = []
        with progress(bot.name) as tell, _standing(path, target, force) as write:
            size = asyncio.run(_write(bot, request, tell, write, notes.append))
    except (StorageError, TroupeError) as error:
        raise click.ClickException(str(error)) from error
    except BrokenPipeError:
        sys.stderr.close()  # whoever read it has enough
        sys.exit(1)
    for note in dict.fromkeys(notes):
        click.echo(note, err=True)
    if target != "-":
        _say({"bot": bot.name, "form": request.form, "bytes": size, "file": str(path)}, str(path), as_json)


def _request(asked: dict[str, Any]) -> Request:
    """Raises `TroupeError`."""
    from pydantic import ValidationError

    from .errors import TroupeError
    from .export_order import Request, zone

    if asked["zone"] == "local":
        import tzlocal

        asked["zone"] = tzlocal.get_localzone_name()
    if asked["complete"] and asked["form"] not in ("json", "v3"):
        raise TroupeError(f"--complete goes with json and v3: {asked['form']} shows what is in sight.")
    within = zone(asked["zone"])
    for edge in ("since", "until"):
        asked[edge] = asked[edge] and asked[edge].replace(tzinfo=within)
    try:
        return Request(**asked)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise TroupeError(f"--{str(first['loc'][0]).replace('_', '-')}: {first['msg']}") from error


def _say(told: dict[str, Any], path: str, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(told))
    elif path:
        click.echo(f"{path}: {told['bytes']:,} bytes")
    else:
        click.echo(f"{told['messages']:,} messages in {told['sessions']:,} sessions")


@contextmanager
def _standing(path: Path, target: str | None, force: bool) -> Iterator[Callable[[bytes], object]]:
    """What writes the file, which is there only once all of it is."""
    if target == "-":
        yield sys.stdout.buffer.write
        sys.stdout.buffer.flush()
        return
    if path.exists() and not force:
        raise click.ClickException(f"{path} is there already: choose another name, or write over it with --force.")
    try:
        with _aside(path) as file:
            yield file.write
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}. Nothing was left there.") from error


@contextmanager
def _aside(path: Path) -> Iterator[IO[bytes]]:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:60]}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


async def _write(bot: BotSettings, request: Request, tell: Tell, write: Callable[[bytes], object], noted: Noted) -> int:
    """Has the running bot make the file, or makes it here. Returns its bytes."""
    from storage.durable import in_thread
    from storage.rootlock import holder

    size = 0
    if holder(bot.root):

        async def hear(line: str) -> None:
            nonlocal size
            told = json.loads(line)
            if "done" in told:
                tell("messages", told["done"], told["of"])
            if "note" in told:
                noted(told["note"])
                return
            piece = base64.b64decode(told["piece"])
            size += len(piece)
            await in_thread(write, piece)

        await told_to(bot, {"do": "export", "request": request.model_dump_json()}, hear)
        return size
    async with aclosing(_at_rest(bot, request, tell, noted)) as pieces:
        async for piece in pieces:
            size += len(piece)
            await in_thread(write, piece)
    return size


async def _at_rest(bot: BotSettings, request: Request, tell: Tell, noted: Noted) -> AsyncGenerator[bytes, None]:
    from .backing import attachments
    from .export_order import made

    async with (
        opened(bot) as store,
        aclosing(made(request, store, attachments(bot), bot.name, utc_now(), tell, noted)) as all_,
    ):
        async for piece in all_:
            yield piece


async def _counted(bot: BotSettings, request: Request) -> dict[str, int]:
    from storage.rootlock import holder

    from .export_order import counted

    if not holder(bot.root):
        async with opened(bot) as store:
            return await counted(request, store)
    heard: list[str] = []

    async def hear(line: str) -> None:
        heard.append(line)

    await told_to(bot, {"do": "export", "dry": "yes", "request": request.model_dump_json()}, hear)
    found: dict[str, int] = json.loads(heard[-1])
    return found
