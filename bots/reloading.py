"""Takes a changed configuration on while the bot runs: read whole, refused whole, and applied without losing a turn."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from pydantic import BaseModel

from .errors import ConfigError, TroupeError
from .loading import load
from .settings import BotSettings
from .status import Report
from .values import Section

log = structlog.get_logger()

LOOK_EVERY = 5.0
"""Seconds between two looks at the files."""
RESTART = (
    "name",
    "storage.enabled",
    "storage.type",
    "storage.url",
    "storage.path",
    "storage.attachments",
    "storage.backup",
    "storage.retention",
    "discord.token",
    "discord.api_url",
    "discord.gateway_url",
    "discord.message_content",
    "web.enabled",
    "web.host",
    "web.port",
)
"""What a bot is built upon: a change of these waits for its next start."""

Stamp = tuple[tuple[str, int, int, int], ...]
"""Of every file: its path, when it was changed, its size, and which file it is."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What a reading of the configuration brought, by the keys of a bot's file."""

    changed: tuple[str, ...] = ()
    """What is in force now."""
    waiting: tuple[str, ...] = ()
    """What was changed and waits for a restart."""

    def __str__(self) -> str:
        if not self.changed and not self.waiting:
            return "Nothing has changed."
        said = f"In force now: {', '.join(self.changed)}." if self.changed else "Nothing else has changed."
        return f"Waiting for a restart: {', '.join(self.waiting)}. {said}" if self.waiting else said


class Reloading:
    """Keeps one bot's settings as its files have them.

    `apply` takes the new settings on, in which all that `RESTART` names stands as it runs. `report` is told
    `config_trouble`: why a change was refused, or nothing. `stale` says that the files may have changed since `running`
    was read from them, as they may for a bot that was started again."""

    def __init__(
        self,
        folder: Path,
        running: BotSettings,
        apply: Callable[[BotSettings], None],
        *,
        report: Report,
        stale: bool = False,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._folder = folder
        self._running = running
        self._apply = apply
        self._report = report
        self._environ = environ
        self._stale = stale
        self._one = asyncio.Lock()
        self._read: Stamp | None = None
        """The files as they were last read; None before the first look."""
        self._seen: Stamp | None = None
        """The files as they were at the last look."""

    async def run(self, interval: float = LOOK_EVERY) -> None:
        """Looks at the files every so many seconds, until it is cancelled."""
        while True:
            await self.tick()
            await asyncio.sleep(interval)

    async def tick(self) -> Reloaded | None:
        """Reads the files if they have changed, and have stayed the same since the look before: somebody may be
        writing still. None where there is nothing to read, or nothing good: a refusal is logged and reported."""
        found = await asyncio.to_thread(stamp, self._folder)
        settled, self._seen = found == self._seen, found
        if self._read is None and not self._stale:
            self._read = found
        if found == self._read or not settled:
            return None
        try:
            return await self.reload()
        except TroupeError:
            return None
        except Exception:
            log.exception("config.unapplied")
            return None

    async def reload(self) -> Reloaded:
        """Reads the files now. Raises `ConfigError` with what is wrong with them: then nothing has changed."""
        async with self._one:
            self._read = await asyncio.to_thread(stamp, self._folder)
            try:
                new = await asyncio.to_thread(self._loaded)
            except ConfigError as error:
                log.error("config.refused", findings=error.findings)
                self._report({"config_trouble": f"The changed configuration is refused: {error.findings[0]}"})
                raise
            waiting = [key for key in differing(self._running, new) if needs_restart(key)]
            new = _as_running(new, self._running, waiting)
            changed = differing(self._running, new)
            if changed:
                self._apply(new)
            self._running = new
            self._report({"config_trouble": ""})
            done = Reloaded(tuple(changed), tuple(waiting))
            if changed or waiting:
                log.info("config.reloaded", changed=list(done.changed), waiting=list(done.waiting))
            return done

    def _loaded(self) -> BotSettings:
        name = self._running.name
        found = load(self._folder, self._environ).bot(name)
        if found is None:
            raise ConfigError([f"{self._folder}: found no bot {name!r} any more; stop it, or write its file again"])
        return found


def stamp(folder: Path) -> Stamp:
    """What tells that a file of a configuration has changed, come or gone, without reading it."""
    files = (folder / "troupe.yaml", folder.parent / ".env", *folder.glob("bots/*"), *folder.glob("personas/*"))
    return tuple(sorted(each for path in files if (each := _stamped(path)) is not None))


def differing(one: Section, other: Section, inside: str = "") -> list[str]:
    """The keys by which two blocks of settings differ, each as short as names one setting."""
    found: list[str] = []
    for key in type(one).model_fields:
        before, after = getattr(one, key), getattr(other, key)
        if isinstance(before, Section) and type(before) is type(after):
            found += differing(before, after, f"{inside}{key}.")
        elif before != after:
            found.append(f"{inside}{key}")
    return found


def _stamped(path: Path) -> tuple[str, int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return str(path), found.st_mtime_ns, found.st_size, found.st_ino


def needs_restart(key: str) -> bool:
    """Whether a changed setting waits for the bot's next start."""
    return any(key == fixed or key.startswith(f"{fixed}.") for fixed in RESTART)


def _as_running(new: BotSettings, running: BotSettings, keys: list[str]) -> BotSettings:
    """The new settings, with those under some keys as they were."""
    for key in keys:
        new = _with(new, key.split("."), running)
    return new


def _with(block: Any, path: list[str], source: BaseModel) -> Any:
    key, *rest = path
    value = getattr(source, key)
    return block.model_copy(update={key: _with(getattr(block, key), rest, value) if rest else value})
