"""What commands share: the config, a bot by its name, its open store, and a word to it while it runs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .knocking import told_to

if TYPE_CHECKING:
    from storage.backend import Store
    from storage.progress import Tell
    from storage.rootlock import RootLock

    from .settings import BotSettings, Troupe

config_folder = click.option(
    "--config",
    "folder",
    type=click.Path(path_type=Path),
    default="config",
    show_default=True,
    envvar="TROUPE_CONFIG",
    show_envvar=True,
    metavar="DIR",
    help="The folder that holds troupe.yaml, bots/ and personas/.",
)


def read_settings(folder: Path) -> Troupe:
    """The config; ends the command with every finding where it is wrong."""
    from .errors import ConfigError
    from .loading import load

    try:
        return load(folder, os.environ)
    except ConfigError as error:
        for finding in error.findings:
            click.echo(finding, err=True)
        sys.exit(1)


def bot_named(settings: Troupe, name: str, *, beside: str = "") -> BotSettings:
    """The bot of that name; ends the command where there is none."""
    found = settings.bot(name)
    if found is None:
        names = ", ".join(bot.name for bot in settings.bots)
        raise click.ClickException(f"{beside}no bot is called {name!r}; there are: {names}")
    return found


def bots_meant(settings: Troupe, name: str | None, every: bool = False) -> tuple[BotSettings, ...]:
    """One bot, or all of them where none is named."""
    if every and name:
        raise click.UsageError(f"either {name} or --all")
    return settings.bots if name is None else (bot_named(settings, name),)


@asynccontextmanager
async def opened(bot: BotSettings) -> AsyncIterator[Store]:
    """The bot's store, held so that the bot does not start meanwhile, wherever its talk lives by then. Raises
    `StorageError` and `ConfigError`."""
    import storage
    from storage.errors import StorageError

    from . import moved

    if not bot.storage.enabled:
        raise StorageError(f"{bot.name} keeps everything in memory only: there is nothing to open.")
    lock = hold(bot)
    try:
        bot = moved.again(bot, os.environ)
        store = await storage.connect(bot.name, bot.root, type=bot.storage.type, url=bot.storage.address)
        try:
            yield store
        finally:
            await store.close()
    finally:
        lock.release()


def hold(bot: BotSettings) -> RootLock:
    """The bot's root, so that the bot does not start meanwhile. Raises `StorageError`, which says how a running bot is
    stopped."""
    from storage.errors import RootInUse, StorageError
    from storage.rootlock import RootLock

    try:
        return RootLock.take(bot.root)
    except RootInUse as error:
        raise StorageError(
            f"{error} `troupe stop {bot.name}` stops it, `troupe start {bot.name}` runs it again."
        ) from error


async def answer_of(bot: BotSettings, order: str, verb: str, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the running bot answers to an order in JSON; None where it rests. Raises as `told_to` does."""
    import asyncio

    from storage.rootlock import holder

    if not await asyncio.to_thread(holder, bot.root):
        return None
    heard: list[str] = []

    async def hear(line: str) -> None:
        heard.append(json.loads(line))

    await told_to(bot, {"do": order, "verb": verb, "given": json.dumps(given)}, hear)
    told: dict[str, Any] = json.loads("".join(heard))
    return told


def utc_now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def progress(title: str) -> Iterator[Tell]:
    """How far long work is, on a terminal only."""
    from rich.console import Console

    with Console(stderr=True).status(title) as status:

        def tell(step: str, done: int, of: int) -> None:
            share = f" {100 * done // of} %" if of else f" {done:,}" if done else ""
            status.update(f"{title}: {step}{share}")

        yield tell
