"""A bot's backups as its settings want them: where they go, what one takes, when somebody must be told."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from importlib import metadata

import storage
from storage.backend import Freezes, Snapshots, Store
from storage.backup import Beside, Subject, back_up, prune, workspace
from storage.blobs import Blobs
from storage.errors import StorageError
from storage.manifest import Destination, Manifest, Unsound, backup_named, manifest, shelf
from storage.place import open_place
from storage.progress import Tell, silent
from storage.rehearsal import prove
from storage.rootlock import RootLock
from storage.tiers import Tiers

from . import moved
from .errors import TroupeError
from .jobs import Job
from .settings import BotSettings
from .status import Report

_S3 = {
    "access_key_id": ("AWS_ACCESS_KEY_ID",),
    "secret_access_key": ("AWS_SECRET_ACCESS_KEY",),
    "session_token": ("AWS_SESSION_TOKEN",),
    "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    "endpoint": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
}


def s3_options(environment: Mapping[str, str]) -> dict[str, str]:
    """What a `Place` in S3 must be told, out of the usual variables."""
    found = {
        option: next((environment[name] for name in names if environment.get(name)), "")
        for option, names in _S3.items()
    }
    return {option: value for option, value in found.items() if value}


def destination(bot: BotSettings, environment: Mapping[str, str] = os.environ) -> Destination:
    """Where a bot's backups are: `backups/` in its root, or a folder named after it where `to` says. Raises
    `TroupeError`."""
    to = bot.storage.backup.to
    where = f"{to.rstrip('/')}/{bot.name}" if to else str(bot.root / "backups")
    options = s3_options(environment) if where.startswith("s3://") else None
    try:
        return Destination.at(where, options, spool=bot.root)
    except ValueError as error:
        raise TroupeError(f"{bot.name}: storage.backup.to: {error}.") from error


def attachments(bot: BotSettings, environment: Mapping[str, str] = os.environ) -> Blobs:
    """Where a bot's attachments are."""
    where = bot.storage.attachments or str(bot.root / "attachments")
    options = s3_options(environment) if where.startswith("s3://") else None
    try:
        return Blobs(open_place(where, options), bot.root)
    except ValueError as error:
        raise TroupeError(f"{bot.name}: storage.attachments: {error}.") from error


async def make(
    bot: BotSettings,
    store: Snapshots | Freezes,
    blobs: Blobs,
    to: Destination,
    *,
    now: Callable[[], datetime],
    tell: Tell = silent,
    proved: Callable[[Manifest], None] = lambda made: None,
) -> Manifest:
    """Makes a backup, proves it by a rehearsal, and lets go of those that no tier keeps. Raises `StorageError`;
    `Unsound` when there is a new backup, but not a proven one: then all the others stay. `proved` hears of a proven
    one at once, whatever becomes of the old ones."""
    settings = bot.storage.backup
    subject = Subject(bot.name, bot.storage.type, store, blobs)
    async with workspace(bot.root) as work:
        made = await back_up(subject, to, work, now=now, program=metadata.version("troupe"), tell=tell)
        scratch = work / "rehearsal"
        scratch.mkdir()
        proven = await prove(to, made, scratch, now=now, tell=tell)
        if proven.trouble:
            raise Unsound(f"The backup {made.name} was made, but its rehearsal failed: {proven.trouble}")
        proved(proven)
        await prune(to, bot.name, Tiers(settings.keep.daily, settings.keep.weekly, settings.keep.monthly), tell)
    return proven


@asynccontextmanager
async def source(bot: BotSettings) -> AsyncIterator[Snapshots | Freezes]:
    """What a bot's store is backed up from by another process than the bot's. Raises `ConfigError` where nobody can
    say where its talk lives, and `StorageError`; `RootInUse` where only the bot itself can do it."""
    if not bot.storage.enabled:
        raise StorageError(f"{bot.name} keeps everything in memory only: there is nothing to back up.")
    bot = moved.again(bot, os.environ)
    if bot.storage.type == "sqlite":
        yield Beside(bot.root / "conversations.db")
        return
    lock = RootLock.take(bot.root) if bot.storage.type == "file" else None
    try:
        store = await storage.connect(bot.name, bot.root, type=bot.storage.type, url=bot.storage.address)
        try:
            yield able(bot, store)
        finally:
            await store.close()
    finally:
        if lock:
            lock.release()


def able(bot: BotSettings, store: Store) -> Snapshots | Freezes:
    """What a bot's open store is backed up from by the bot itself. Raises `StorageError`."""
    if isinstance(store, Snapshots | Freezes):
        return store
    raise StorageError(f"{bot.name}: storage of the type {bot.storage.type} cannot be backed up.")


def job(bot: BotSettings, store: Store, blobs: Blobs, report: Report, *, now: Callable[[], datetime]) -> Job:
    """A bot's own scheduled backup. It reports `last_backup`, the time of the newest proven one."""

    async def last() -> datetime | None:
        found = await newest(destination(bot))
        report({"last_backup": found})
        return found

    async def work() -> None:
        await make_and_report(bot, store, blobs, report, now=now)

    settings = bot.storage.backup
    return Job("backup", settings.schedule, settings.jitter, work, last)


async def make_and_report(
    bot: BotSettings,
    store: Store,
    blobs: Blobs,
    report: Report,
    *,
    now: Callable[[], datetime],
    tell: Tell = silent,
) -> Manifest:
    """A running bot's backup of itself, as `make`; it reports `last_backup`."""

    def proved(made: Manifest) -> None:
        report({"last_backup": made.made_at})

    return await make(bot, able(bot, store), blobs, destination(bot), now=now, tell=tell, proved=proved)


async def found(bot: BotSettings, name: str) -> Manifest:
    """A bot's backup of that name. Raises `TroupeError` where there is none that can be read, and `StorageError`."""
    said = await manifest(destination(bot).place, name) if backup_named(name) == name else None
    if said is None:
        raise TroupeError(f"There is no backup '{name[:60]}' whose manifest can be read.")
    return said


async def verify(bot: BotSettings, name: str, *, now: Callable[[], datetime], tell: Tell = silent) -> Manifest:
    """Rehearses a backup with all its attachments, and notes in its manifest what came of it. Raises `Unsound` where it
    is damaged, and as `found` does."""
    said = await found(bot, name)
    async with workspace(bot.root) as work:
        result = await prove(destination(bot), said, work, now=now, thorough=True, tell=tell)
    if result.trouble:
        raise Unsound(result.trouble)
    return result


async def newest(to: Destination) -> datetime | None:
    """When the newest proven backup was made; None when there is none."""
    found = (await shelf(to.place)).newest_proven
    return found.made_at if found else None
