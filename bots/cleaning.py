"""Cleaning up a bot's storage by its retention settings: by schedule, and when `troupe cleanup` asks for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime, timedelta

import structlog

from storage.archive import Archive
from storage.backend import Store
from storage.blobs import Blobs
from storage.leftovers import Leftovers
from storage.model import Sender, Session
from storage.records import AuditEntry
from storage.retention import Due, Limit, Rules
from storage.sweeping import Swept, sweep

from .jobs import Job
from .settings import BotSettings
from .storage_settings import LimitSettings, RetentionSettings

log = structlog.get_logger()

ARCHIVES = "archives"
ACTOR = Sender(type="system", id="cleanup", name="cleanup")
TARGET = "storage"
_BREATH = 0.05
"""Seconds between two batches, for the turns that wait."""


class Cleaner:
    """Cleans up one bot's storage, once at a time.

    `latest` gives a session as the bot knows it now; `gone` hears the id of each that is not whole any more,
    `unlearned` that of each memory that was removed."""

    def __init__(
        self,
        settings: BotSettings,
        store: Store,
        *,
        now: Callable[[], datetime],
        program: str,
        blobs: Blobs,
        latest: Callable[[Session], Session] = lambda session: session,
        gone: Callable[[str], None] = lambda session_id: None,
        unlearned: Callable[[str], None] = lambda memory_id: None,
        breath: float = _BREATH,
    ) -> None:
        self._settings = settings
        self._store = store
        self._now = now
        self._program = program
        self._blobs = blobs
        self._leftovers = Leftovers(blobs, settings.root)
        self._latest = latest
        self._gone, self._unlearned = gone, unlearned
        self._breath = breath
        self._one = asyncio.Lock()

    async def clean_up(self) -> Swept:
        """Removes what is due, and logs how much. Raises `StorageError`."""
        swept = await self._sweep(_silent, dry_run=False)
        removed = {kind: total.items for kind, total in swept.totals.items()}
        log.info("storage.cleaned", removed=removed, archives=[path.name for path in swept.archives], kept=swept.kept)
        return swept

    def job(self) -> Job:
        """The same at its scheduled times."""
        settings = self._settings.storage.retention
        return Job("cleanup", settings.schedule, settings.jitter, self.clean_up, self._last)

    async def tell(self, say: Callable[[str], Awaitable[None]], *, dry_run: bool) -> None:
        """Cleans up and says so as it goes: a line of JSON for each thing that goes, with what and why, and in the
        end one with `total`. A dry run only says what would go. Raises `StorageError`."""

        async def told(due: Due) -> None:
            facts = {name: getattr(due, name) for name in ("kind", "id", "why", "messages", "bytes", "channel")}
            await say(json.dumps({"bot": self._settings.name, **facts}))

        swept = await self._sweep(told, dry_run=dry_run)
        summary = {
            "bot": self._settings.name,
            "dry_run": dry_run,
            "total": {kind: asdict(total) for kind, total in swept.totals.items()},
            "archives": [str(path) for path in swept.archives],
            "kept": swept.kept,
            "more": swept.more,
        }
        await say(json.dumps(summary))

    async def _sweep(self, told: Callable[[Due], Awaitable[None]], *, dry_run: bool) -> Swept:
        async def counted(due: Due) -> None:
            if due.kind == "memory" and not dry_run:
                self._unlearned(due.id)
            await told(due)

        async with self._one:
            now = self._now()
            swept = await sweep(
                self._store,
                rules(self._settings.storage.retention),
                now,
                leftovers=self._leftovers,
                archive=self._archive(now),
                dry_run=dry_run,
                tell=counted,
                pause=self._pause,
                latest=self._latest,
                gone=self._gone,
            )
            if not dry_run:
                details = {kind: total.items for kind, total in swept.totals.items()}
                entry = AuditEntry(
                    id=f"cleanup {now.isoformat()}",
                    at=now,
                    actor=ACTOR,
                    action="cleanup",
                    target=TARGET,
                    details=details,
                )
                await self._store.keep(entry)
        return swept

    async def _last(self) -> datetime | None:
        """When it was last done, as the audit has it."""
        page = await self._store.records(AuditEntry, about=TARGET, limit=1)
        return page.items[0].at if page.items else None

    def _archive(self, now: datetime) -> Archive | None:
        if self._settings.storage.retention.action == "delete":
            return None
        folder = self._settings.root / ARCHIVES
        return Archive(folder, bot=self._settings.name, program=self._program, at=now, blobs=self._blobs)

    async def _pause(self) -> None:
        await asyncio.sleep(self._breath)


def rules(settings: RetentionSettings) -> Rules:
    """The rules that the settings make."""
    return Rules(
        channel=_limit(settings.channel),
        thread=_limit(settings.thread),
        dm=_limit(settings.dm),
        web=_limit(settings.web),
        terminal=_limit(settings.terminal),
        deleted=_span(settings.deleted),
        attachments=_span(settings.attachments),
        memories=_span(settings.memories),
        runs=_span(settings.runs),
        audit=_span(settings.audit),
        left_guild=_span(settings.left_guild),
    )


def _limit(settings: LimitSettings) -> Limit:
    return Limit(age=_span(settings.age), messages=settings.messages, size=settings.size)


def _span(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


async def _silent(due: Due) -> None:
    """The log has the totals."""
