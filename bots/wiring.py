"""The one wiring room of a bot: the only place that names concrete classes."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import structlog
from tzlocal import get_localzone

import storage
from storage.backend import Store
from storage.blobs import Blobs
from storage.durable import in_thread
from storage.errors import StorageError
from storage.manifest import Manifest
from storage.memory_index import MemoryIndex
from storage.place import Folder
from storage.progress import Tell, silent

from . import backing, export_order, token_notes, upkeep
from .bot import Bot
from .cleaning import Cleaner
from .index_files import FILE, discard
from .jobs import LATENESS, Jobs
from .library import Library
from .long_memory import Means
from .memory_orders import MemoryOrders
from .moving import Moving
from .operations import Operations, Say, model_states, model_trouble
from .providers.embedding import embedder
from .providers.patience import Patient
from .reloading import Reloading
from .routing_orders import RoutingOrders
from .session_orders import SessionOrders
from .settings import BotSettings
from .status import BotStatus, Report, alarmed, left_behind, models
from .status import of as status_of
from .terminal import Answer, Door, Order
from .wiring_models import answering, patient

if TYPE_CHECKING:
    from .checkup import Check

log = structlog.get_logger()

_ENDED_WITHIN = 30.0
"""Seconds that answers under way have when the bot is stopped, or goes over to another store."""
_LONGEST_TURN = 900.0
"""Seconds after which nobody can be asking a model any more that is no longer configured."""


@dataclass
class House:
    """One bot with everything it needs, ready to run."""

    bot: Bot
    store: Store
    cleaner: Cleaner
    blobs: Blobs
    asked: list[Patient]
    """The models that are asked, as they are now."""
    library: Library
    now: Callable[[], datetime]
    chance: Callable[[], int]
    folder: Path | None = None
    """Where the configuration is, if it is to be read again when it changes."""
    stale: bool = False
    """Whether it may have changed since the settings were read."""
    hide: Callable[[BotSettings], None] = lambda settings: None
    """Keeps the secrets of changed settings out of the log."""
    hears: Callable[[], None] = lambda: None
    """Remembers that everything up to now was heard."""
    looks: Callable[[], None] = lambda: None
    """Makes the account look as the settings have it."""
    door: Door | None = None
    """At which people already wait for this bot, and then, those of the next one."""

    async def run(self, report: Report) -> BotSettings:
        """Opens every door and keeps them open until cancelled, or until the talk moves to another store: returns
        the settings by which the bot is to be built again, be it that it has moved or that it could not. `report` is
        told what changes: Discord's state, live sessions, the last error. Raises `Fatal` when only a person can
        help."""
        token = self.bot.settings.discord.token
        report({"discord": "connecting" if token else "off"})
        reloading = self.reloading(report) if self.folder else None
        jobs = self._jobs(report)
        operations = self._operations(report, reloading, jobs)
        moving = Moving(lambda: self.bot.settings, self.store, report, now=self.now, folder=self.folder, hide=self.hide)
        try:
            async with asyncio.TaskGroup() as doors:
                doors.create_task(self._looked_after(report))
                doors.create_task(upkeep.learn(self.bot))
                talk = self._talk_orders()
                orders = _orders(operations) | {"export": self._exports(), "transfer": moving.order, "end": self._end}
                orders |= {name: talk[name].order for name in ("sessions", "memory", "route")}
                orders[token_notes.ORDER] = token_notes.order(self.store, self.now, self.chance)
                self.door = door = self._opened(orders)
                doors.create_task(door.serve())
                doors.create_task(jobs.run())
                doors.create_task(self._leave_when_due(moving, door))
                if reloading is not None:
                    doors.create_task(reloading.run())
                if token:
                    doors.create_task(self._discord(report, operations))
                if self.bot.settings.web.enabled:
                    doors.create_task(self._web(report, operations, talk))
        except* Exception as group:
            if not isinstance(first := _first(group), _Leave):
                raise first from None
            await self.bot.close()
            await self.bot.settle()
            await moving.finish()
        finally:
            await moving.close()
        return moving.settings()

    async def _looked_after(self, report: Report) -> None:
        def failing() -> str:
            return model_trouble(model_states(self.bot.settings, self.asked))

        await upkeep.look_after(self.bot, self.store, report, hears=lambda: self.hears(), failing=failing)

    def _opened(self, orders: Mapping[str, Order]) -> Door:
        if self.door is None:
            return Door(self.bot, orders)
        self.door.admit(self.bot, orders)
        return self.door

    async def _leave_when_due(self, moving: Moving, door: Door) -> None:
        """Closes every door once the bot may go over, and nobody is in the middle of an answer."""
        await moving.due()
        log.info("transfer.pausing", until="the answers under way are given")
        door.hold()
        await self.bot.pause(_ENDED_WITHIN)
        raise _Leave

    async def _end(self, _asked: Answer, _say: Say) -> None:
        """Ends this process once the answers under way are given, even where whoever asked for it has gone."""
        assert self.door is not None
        log.info("ending", once="the answers under way are given")
        self.door.hold()
        await self.bot.pause(_ENDED_WITHIN)
        os.kill(os.getpid(), signal.SIGTERM)

    def reloading(self, report: Report) -> Reloading:
        """What reads the configuration again; for a house that knows its folder."""
        assert self.folder is not None

        def adopt(settings: BotSettings) -> None:
            self._adopt(settings)
            report({"models": models(settings)})

        return Reloading(self.folder, self.bot.settings, adopt, report=report, stale=self.stale)

    def _adopt(self, settings: BotSettings) -> None:
        """Goes by other settings from now on; the models before are let go of once nobody asks them any more."""
        self.hide(settings)
        asked, memory = patient(settings), self.bot.memory
        same = settings.embedder == self.bot.settings.embedder
        unused = memory.adopt(settings.memory, memory.embedder if same else embedder(settings.embedder))
        if unused is not None and not same:
            asyncio.get_running_loop().call_later(_LONGEST_TURN, lambda: asyncio.ensure_future(unused.close()))
        self.library.adopt(settings, memory.embedder)
        before = self.bot.adopt(settings, answering(settings, asked, self.now, self.library))
        self.asked[:] = asked
        asyncio.get_running_loop().call_later(_LONGEST_TURN, lambda: asyncio.ensure_future(before.close()))
        self.looks()

    def _operations(self, report: Report, reloading: Reloading | None, jobs: Jobs) -> Operations:
        async def back_up(tell: Tell = silent) -> Manifest:
            given = (self.bot.settings, self.store, self.blobs, report)
            return await backing.make_and_report(*given, now=self.now, tell=tell)

        async def clean_up(say: Say, dry_run: bool) -> None:
            await self.cleaner.tell(say, dry_run=dry_run)

        def status() -> BotStatus:
            return alarmed(self.bot.settings, status_of(self.bot.settings), self.now())

        async def check_up(tell: Tell) -> Sequence[Check]:
            from .wiring_checkup import looked_over  # what it needs takes memory, and it is asked for now and then

            said = await asyncio.to_thread(status)
            return await looked_over(self.bot.settings, said, self.bot.memory.embedder, self.blobs, self.now, tell)

        return Operations(
            status=status,
            models=lambda: model_states(self.bot.settings, self.asked),
            back_up=back_up,
            clean_up=clean_up,
            jobs=jobs,
            check_up=check_up,
            reload=reloading.reload if reloading else None,
        )

    def _talk_orders(self) -> TalkOrders:
        """The orders that are about what was said."""
        bot = self.bot
        sessions = SessionOrders(lambda: bot.settings, self.store, bot.conversations, bot.doors, busy=bot.at_work)
        memory = MemoryOrders(self.store, bot.memory.memories, bot.memory.indexing, bot.memory.rebuild)
        route = RoutingOrders(
            lambda: bot.settings, self.store, now=self.now, applied=lambda found: bot.router.calibrate(found)
        )
        return {"sessions": sessions, "memory": memory, "route": route}

    def _exports(self) -> Order:
        return export_order.order(self.store, self.blobs, self.bot.settings.name, self.now)

    async def _web(self, report: Report, operations: Operations, talk: TalkOrders) -> None:
        try:
            from .web.desk import Desk  # a bot without a console does not pay for one
            from .web.server import serve
        except ImportError as error:
            trouble = (
                f"Its parts are not installed ({error.name}): `pip install 'troupe[web]'`, or set web.enabled: no."
            )
            log.warning("web.off", why=trouble)
            report({"web": "", "web_trouble": trouble})
            return

        kept = (self.bot, self.store, self.blobs, self.cleaner, operations)
        await serve(Desk(*kept, **talk, now=self.now, chance=self.chance, folder=self.folder), report)

    async def _discord(self, report: Report, operations: Operations) -> None:
        from .discord.client import Front  # a bot without Discord does not pay for discord.py
        from .discord.limits import host_file

        front = Front(
            self.bot,
            refusals_file=host_file(),
            clock=time.time,
            ticks=time.monotonic,
            report=report,
            operations=operations,
        )
        self.hears, self.looks = front.catchup.note, front.dress
        await front.serve()

    def _jobs(self, report: Report) -> Jobs:
        storage = self.bot.settings.storage
        jobs = [self.cleaner.job()] if storage.enabled else []
        if storage.enabled and storage.backup.enabled:
            jobs.append(backing.job(self.bot.settings, self.store, self.blobs, report, now=self.now))
        troubles: dict[str, str] = {}

        def told(name: str, trouble: str) -> None:
            troubles[name] = trouble
            report({"job_trouble": " ".join(f"{job}: {text}" for job, text in troubles.items() if text)})

        return Jobs(jobs, told, now=self.now, chance=lambda: (self.chance() & LATENESS) / (LATENESS + 1))


class TalkOrders(TypedDict):
    """What answers orders about what was said."""

    sessions: SessionOrders
    memory: MemoryOrders
    route: RoutingOrders


class _Leave(Exception):
    """Closes every door."""


def _orders(operations: Operations) -> dict[str, Order]:
    """What may be ordered at the terminal's door."""

    async def back_up(_asked: Answer, say: Say) -> None:
        await say((await operations.back_up()).model_dump_json())

    async def clean_up(asked: Answer, say: Say) -> None:
        await operations.clean_up(say, asked.get("dry") != "no")

    return {"backup": back_up, "cleanup": clean_up}


@asynccontextmanager
async def build(
    settings: BotSettings,
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ticks: Callable[[], float] = time.monotonic,
    chance: Callable[[], int] = lambda: secrets.randbits(50),
    folder: Path | None = None,
    stale: bool = False,
    hide: Callable[[BotSettings], None] = lambda settings: None,
    door: Door | None = None,
) -> AsyncIterator[House]:
    """A bot over its own storage root; closing it keeps what is under way and lets go of the root. `door` is that of
    the bot before, with people who wait for this one."""
    kept = settings.storage
    with tempfile.TemporaryDirectory(prefix="troupe-") as passing:
        blobs = backing.attachments(settings) if kept.enabled else Blobs(Folder(Path(passing)), Path(passing))
        async with _built(settings, blobs, now, ticks, chance) as house:
            yield replace(house, folder=folder, stale=stale, hide=hide, door=door)


@asynccontextmanager
async def _built(
    settings: BotSettings,
    blobs: Blobs,
    now: Callable[[], datetime],
    ticks: Callable[[], float],
    chance: Callable[[], int],
) -> AsyncIterator[House]:
    kept = settings.storage
    store = await storage.connect(
        settings.name, settings.root, type=kept.type, url=kept.address, enabled=kept.enabled, tell=_upgrading
    )
    upkeep.complain(store)
    if left := left_behind(settings):
        log.warning("storage.left_behind", what=left)
    asked = patient(settings)
    index = await _index(settings)
    meaning = embedder(settings.embedder)
    library = Library.of_bot(settings, meaning)
    provider = answering(settings, asked, now, library)
    bot = Bot(
        settings,
        store,
        provider,
        now=now,
        ticks=ticks,
        chance=chance,
        blobs=blobs,
        backups=backing.destination(settings).place if kept.enabled else None,
        means=Means(index, meaning, library),
    )
    program = metadata.version("troupe")
    cleaner = Cleaner(
        settings,
        store,
        now=now,
        program=program,
        blobs=blobs,
        latest=bot.sessions.latest,
        gone=bot.forget,
        unlearned=bot.memory.unlearned,
    )
    try:
        if kept.enabled and _old_files(settings.root):
            await _mind_old_data(bot, store, now, ticks)
        await bot.start()
        yield House(bot, store, cleaner, blobs, asked, library, now, chance)
    finally:
        await bot.close()
        await bot.settle()
        await bot.memory.end()
        await bot.provider.close()
        await store.close()


async def _index(settings: BotSettings) -> MemoryIndex | None:
    """What the bot finds memories by; None where it is to have none. A bot whose index cannot be opened talks all the
    same."""
    if not settings.storage.enabled:
        return await MemoryIndex.open(None) if settings.memory.enabled else None
    try:
        if settings.memory.enabled:
            return await MemoryIndex.open(settings.root / FILE)
        await in_thread(discard, settings.root)
    except StorageError as error:
        log.warning("memory.no_index", why=str(error))
    return None


def _old_files(root: Path) -> bool:
    """Whether the multi-bot program may have left something beside a root or in it."""
    names = ("../multi_bot_conversations", "[0-9]*_[0-9]*.json", "channel_*_*.json")
    return (root / names[0]).is_dir() or any(True for name in names[1:] for _ in root.glob(name))


async def _mind_old_data(bot: Bot, store: Store, now: Callable[[], datetime], ticks: Callable[[], float]) -> None:
    from .old_data import OldData  # few bots have any, and what reads it takes memory

    old = OldData(bot.settings, store, zone=get_localzone(), now=now, ticks=ticks)
    bot.places.first_heard = old.bring
    if lies_about := await old.found():
        log.warning("old_data.found", what=lies_about)


def _upgrading(step: str, done: int, of: int) -> None:
    log.info("storage.upgrading", step=step, done=done, of=of)


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
