"""Moves a bot's talk to another type of storage: while it runs, or at rest."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import structlog

import storage
from storage.backend import Store
from storage.copying import Contents
from storage.durable import in_thread
from storage.errors import RootInUse, StorageError
from storage.model import Counts
from storage.presence import present
from storage.progress import Tell, silent
from storage.rootlock import RootLock
from storage.transfer import Transfer, copied, survey

from . import moved
from .errors import TroupeError
from .loading import load
from .operations import Say
from .settings import BotSettings
from .status import Report
from .storage_settings import Type
from .terminal import Answer

log = structlog.get_logger()

BACK = "back"
"""The target that stands for where the talk was before."""
_TELL_EVERY = 0.5


def at_home(bot: BotSettings, folder: Path | None) -> BotSettings:
    """The settings of a bot that is about to start and holds its root, with storage where its talk lives by now.
    Raises `ConfigError`."""
    marker = moved.read(bot.root)
    if marker is None or marker.type == bot.storage.type or not bot.storage.enabled:
        return bot
    if folder is not None and (found := load(folder, os.environ).bot(bot.name)) is not None:
        return bot.model_copy(update={"storage": found.storage})
    return moved.again(bot, os.environ)


def aimed(bot: BotSettings, target: str) -> BotSettings:
    """The bot with its talk at `target`: a type of storage, `back`, or the address of a PostgreSQL server, which must
    be the configured one. Raises `TroupeError`; no address is told."""
    kept = bot.storage
    if not kept.enabled:
        raise TroupeError(f"{bot.name} keeps everything in memory only: there is nothing to move.")
    if target == BACK:
        marker = moved.read(bot.root)
        if marker is None or not marker.left:
            raise TroupeError(f"{bot.name}'s talk has not been moved, so that there is nothing to go back to.")
        target = marker.left[-1]
    if target.startswith(("postgres://", "postgresql://")):
        if target != kept.address:
            raise TroupeError(
                f"That address is not the one that {bot.name} has in its settings, where it must be found at every "
                f"start: {_write_address(bot)}, then `troupe transfer {bot.name} --to postgres`."
            )
        target = "postgres"
    if target not in ("sqlite", "file", "postgres"):
        raise TroupeError(f"There is no storage {target!r}; allowed: sqlite, file, postgres, or a postgres:// address.")
    if target == kept.type:
        raise TroupeError(f"{bot.name}'s talk lives in {target} already.")
    if target == "postgres" and not kept.address:
        raise TroupeError(f"{bot.name} has no address of a PostgreSQL server: {_write_address(bot)}.")
    return bot.model_copy(update={"storage": kept.living(cast(Type, target), kept.url)})


@dataclass(frozen=True, slots=True)
class Look:
    """What a move would do, as it is told to people and programs."""

    bot: str
    origin: Type
    target: Type
    counts: Counts
    bytes: int
    """Of words."""
    found: str
    """What the target holds: `nothing`, `copy` (an earlier state of this talk), `ahead` (one that holds things which
    this one does not have), or `other` talk."""
    there: int
    """Messages in the target."""
    attachments: str
    """Where they are, and stay."""


async def look(bot: BotSettings, there: BotSettings, store: Store) -> Look:
    """Looks at both stores; an absent target is not made. Raises `StorageError`."""
    found, many = "nothing", 0
    if await _present(there):
        async with _opened(there) as target:
            seen = await survey(store, target)
        many = seen.counts.messages
        if many:
            found = "other" if not seen.known else "ahead" if seen.ahead else "copy"
    size, cursor = 0, cast("str | None", "oldest")
    while cursor is not None:
        page = await store.browse(cursor=cursor, limit=500, deleted=True)
        size += sum((await store.sizes([session.id for session in page.items])).values())
        cursor = page.newer
    kept = bot.storage.attachments or str(bot.root / "attachments")
    return Look(bot.name, bot.storage.type, there.storage.type, await store.counts(), size, found, many, kept)


async def move(bot: BotSettings, target: str, *, now: Callable[[], datetime], tell: Tell = silent) -> Contents:
    """Moves the talk of a bot that is not running, and holds its root meanwhile. Raises `TroupeError` or
    `StorageError`: then the talk lives where it did."""
    async with at_rest(bot) as (here, store):
        there = aimed(here, target)
        async with _opened(there) as other:
            done = await copied(store, other, tell=tell)
        # Whoever holds the root next must find it.
        await in_thread(moved.note, here, there, now(), done.counts, done.digest)
    return done


@asynccontextmanager
async def at_rest(bot: BotSettings) -> AsyncIterator[tuple[BotSettings, Store]]:
    """A bot that is not running, with its storage where the talk lives, and its store. Raises `RootInUse` for one that
    is, and `ConfigError`."""
    lock = RootLock.take(bot.root)
    try:
        here = moved.again(bot, os.environ)
        async with _opened(here) as store:
            yield here, store
    finally:
        lock.release()


@dataclass(frozen=True, slots=True)
class _Ready:
    """A copy that a bot may go over to."""

    here: BotSettings
    there: BotSettings
    target: Store
    transfer: Transfer
    compared: Contents

    async def leave(self) -> None:
        """Lets go of it; the talk goes on where it is."""
        self.transfer.leave()
        await self.target.close()


class Moving:
    """Moves the talk of a running bot, when that is ordered.

    The store is followed while the bot goes on. Once little is left, `due` returns; whoever runs the bot then ends its
    turns and calls `finish`, and builds it again by `settings`."""

    def __init__(
        self,
        settings: Callable[[], BotSettings],
        store: Store,
        report: Report,
        *,
        now: Callable[[], datetime],
        folder: Path | None,
        hide: Callable[[BotSettings], None],
    ) -> None:
        """`settings` are those that the bot goes by just now."""
        self.settings = settings
        self._store = store
        self._report = report
        self._now = now
        self._folder = folder
        self._hide = hide
        self._busy = False
        self._ready: _Ready | None = None
        self._lock: RootLock | None = None
        """On the target: nobody is forgotten in it meanwhile."""
        self._due = asyncio.Event()

    async def order(self, asked: Answer, say: Say) -> None:
        """`to` is a target as `aimed` takes it, and `dry` asks only what a move would do. Tells a line of JSON each:
        `look`, or how far it is, and `ready` when the bot is about to go over; where `say` raises before that, the
        move is given up. Raises `TroupeError` and `StorageError`: then the talk lives where it did."""
        if self._busy:
            raise TroupeError(f"{self.settings().name}'s talk is being moved already.")
        self._busy = True
        try:
            here = await asyncio.to_thread(self._read)
            there = aimed(here, asked.get("to", ""))
            self._lock = _alone(here)
            if asked.get("dry") != "no":
                await say(json.dumps({"look": told(await look(here, there, self._store))}))
                return
            self._report({"transfer_trouble": ""})
            await self._follow(here, there, say)
        finally:
            self._busy = self._ready is not None
            if not self._busy:
                self._release()

    async def due(self) -> None:
        """Returns once the bot may pause to go over."""
        await self._due.wait()

    async def finish(self) -> None:
        """Brings the rest over and writes down where the talk lives now. Where that fails, it lives where it did, and
        the report says why. Nobody is answered meanwhile."""
        assert self._ready is not None
        ready, self._ready = self._ready, None
        here, there = ready.here, ready.there
        try:
            counts = await ready.transfer.finish()
            await in_thread(moved.note, here, there, self._now(), counts, ready.compared.digest)
        except (StorageError, OSError) as error:
            ready.transfer.leave()
            trouble = (
                f"{here.name}'s talk stays in {here.storage.type}, for the move to {there.storage.type} failed: "
                f"{error} The copy is left for a look; `troupe transfer {here.name} --to {there.storage.type}` tries "
                "again, and mends it."
            )
            log.error("transfer.failed", error=trouble)
            self._report({"transfer_trouble": trouble})
        else:
            self.settings = lambda: there
            log.warning("transfer.done", to=there.storage.type, messages=counts.messages)
        finally:
            await ready.target.close()
            self._release()

    async def close(self) -> None:
        """Lets go of a target that the bot was to go over to, and did not."""
        ready, self._ready = self._ready, None
        if ready is not None:
            await ready.leave()
        self._release()

    async def _follow(self, here: BotSettings, there: BotSettings, say: Say) -> None:
        """Opens the target and brings over what there is, until the bot may pause for the rest. Whoever asked hears
        of it every now and then, be it the same: so it is known that they are still there."""
        self._hide(there)
        last = ("opening", 0, 0)

        def tell(step: str, done: int, of: int) -> None:
            nonlocal last
            last = (step, done, of)

        work = asyncio.create_task(self._brought(here, there, tell))
        try:
            while not (await asyncio.wait([work], timeout=_TELL_EVERY))[0]:
                step, done, of = last
                await say(json.dumps({"step": step, "done": done, "of": of}))
            self._ready = await work
            await say(json.dumps({"ready": True}))
        except BaseException:
            work.cancel()
            await asyncio.wait([work])
            await self._give_up(work)
            raise
        self._due.set()

    async def _brought(self, here: BotSettings, there: BotSettings, tell: Tell) -> _Ready:
        target = await storage.connect(**_where(there))
        try:
            transfer = Transfer(here.name, here.root, self._store, target, tell)
            try:
                compared = await transfer.begin()
                await transfer.catch_up()
            except BaseException:
                transfer.leave()
                raise
        except BaseException:
            await target.close()
            raise
        return _Ready(here, there, target, transfer, compared)

    async def _give_up(self, work: asyncio.Task[_Ready]) -> None:
        self._ready = None
        log.info("transfer.given_up")
        if not work.cancelled() and work.exception() is None:
            await work.result().leave()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _read(self) -> BotSettings:
        """The bot as the files have it by now: it will be built by that."""
        running = self.settings()
        found = load(self._folder, os.environ).bot(running.name) if self._folder else None
        if found is None:
            return running
        if (found.storage.type, found.root) != (running.storage.type, running.root):
            raise TroupeError(f"{running.name}'s storage was changed in its settings: start it again first.")
        return found


def told(found: Look) -> dict[str, Any]:
    """A look as JSON."""
    return {
        "bot": found.bot,
        "from": found.origin,
        "to": found.target,
        "messages": found.counts.messages,
        "sessions": found.counts.sessions,
        "bytes": found.bytes,
        "found": found.found,
        "there": found.there,
        "attachments": found.attachments,
    }


def _alone(bot: BotSettings) -> RootLock:
    """The right to write to the places in the root that the talk does not live in. Raises `TroupeError`."""
    try:
        return RootLock.take(bot.root, moved.LEFT)
    except RootInUse as error:
        raise TroupeError(
            f"Somebody is being forgotten in the places that {bot.name}'s talk has left: try again in a moment."
        ) from error


@asynccontextmanager
async def _opened(bot: BotSettings) -> AsyncIterator[Store]:
    store = await storage.connect(**_where(bot))
    try:
        yield store
    finally:
        await store.close()


async def _present(bot: BotSettings) -> bool:
    return await present(**_where(bot))


def _where(bot: BotSettings) -> dict[str, Any]:
    return {"bot_name": bot.name, "root": bot.root, "type": bot.storage.type, "url": bot.storage.address}


def _write_address(bot: BotSettings) -> str:
    variable = bot.storage.url.variable if bot.storage.url else "TROUPE_DATABASE_URL"
    line = (
        "" if bot.storage.url else f"write `storage: {{url: ${{{variable}:-}}}}` into config/bots/{bot.name}.yaml, and "
    )
    return f"{line}put it into .env as {variable}=postgresql://user:password@host/database"
