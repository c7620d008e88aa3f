"""The fleet: one process per bot, kept running until somebody stops it."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex

import structlog

from . import process
from .keeper import Keeper, Patience, Surroundings
from .nursery import Entry, Nursery
from .process import CRASHED, KILLED, OK, Launch
from .settings import BotSettings, Troupe
from .status import BotStatus

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Supervisor:
    """Runs every bot of a config.

    `entry` is what a bot's process runs. `told` hears of every change in any bot's status."""

    def __init__(
        self,
        settings: Troupe,
        entry: Entry = process.main,
        *,
        folder: Path | None = None,
        tty: bool | None = None,
        told: Callable[[BotStatus], None] = lambda status: None,
        patience: Patience = Patience(),  # noqa: B008 - frozen
        now: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._told = told
        self._stop = asyncio.Event()
        self._killed = False
        self._change = asyncio.Event()
        self._nursery = Nursery(entry, settings)
        fleet = settings.fleet
        launch = Launch(
            token_hex(3),
            heartbeat=fleet.heartbeat,
            log_level=fleet.log_level,
            tty=tty,
            leave_within=patience.stop_within,
            folder=folder,
        )
        around = Surroundings(
            self._nursery,
            launch,
            memory_limit=fleet.memory_limit << 20,
            book=Starts(fleet.stagger, now).book,
            announce=self._announce,
            stop=self._stop,
            patience=patience,
            hopeless=lambda: all(keeper.status.state == "fatal" for keeper in self._keepers),
            now=now,
            chance=chance,
        )
        self._keepers = [Keeper(bot, around) for bot in settings.bots]

    async def run(self) -> int:
        """Returns the exit code: 0 after an orderly stop, 1 when no bot can run until a person has changed
        something, 130 when the stop was cut short. No process is left behind."""
        # Two threads of a linear-algebra library are slower than one where every process has its own.
        for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
            os.environ.setdefault(name, "1")
        self._listen()
        try:
            await self._open()
            await asyncio.gather(*(keeper.keep() for keeper in self._keepers))
        finally:
            self.kill()
            self._deafen()
        if self._killed:
            return KILLED
        return OK if self._stop.is_set() else CRASHED

    def stop(self) -> None:
        """All bots stop, side by side; what has not stopped in time is killed."""
        self._stop.set()

    async def asked_to_stop(self) -> None:
        await self._stop.wait()

    def kill(self) -> None:
        for keeper in self._keepers:
            keeper.kill()

    @property
    def statuses(self) -> list[BotStatus]:
        return [keeper.status for keeper in self._keepers]

    async def until(self, met: Callable[[list[BotStatus]], bool]) -> None:
        """Waits until the bots' statuses satisfy `met`."""
        while not met(self.statuses):
            await self._change.wait()

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupted)
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
            loop.add_signal_handler(signal.SIGHUP, self.stop)

    def _deafen(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)

    def _interrupted(self) -> None:
        """The first Ctrl-C asks, the second does not."""
        if self._stop.is_set():
            self._killed = True
            self.kill()
        self.stop()

    async def _open(self) -> None:
        began = time.monotonic()
        loaded = await self._nursery.open()
        for problem in loaded.problems:
            log.warning("not shared between the bots' processes: they will need more memory", reason=problem)
        log.debug("preloaded", objects=loaded.frozen, seconds=round(time.monotonic() - began, 2))

    def _announce(self, status: BotStatus) -> None:
        self._told(status)
        self._change.set()
        self._change = asyncio.Event()


class Starts:
    """The book of starts, so that bots on Discord connect one after the other. How often one account may connect is
    its own affair (`bots/discord/limits.py`)."""

    def __init__(self, stagger: float, now: Callable[[], float]) -> None:
        self._stagger = stagger
        self._now = now
        self._latest = float("-inf")

    def book(self, bot: BotSettings) -> float:
        """Seconds to wait before the start that is hereby booked."""
        if not bot.discord.token:
            return 0.0
        now = self._now()
        self._latest = max(now, self._latest + self._stagger)
        return self._latest - now
