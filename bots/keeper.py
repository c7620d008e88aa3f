"""One bot as the supervisor sees it: started, listened to, judged and started again."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from typing import Literal

import structlog
from pydantic import ValidationError

from . import status, wish
from .errors import ConfigError, TroupeError
from .knocking import told_to
from .loading import load
from .nursery import LOST, Child, Nursery
from .process import FATAL, Launch
from .reloading import Stamp, stamp
from .settings import BotSettings
from .status import BotStatus

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_UNNAMED = "config/ has no such bot any more: name it again under `bots` in troupe.yaml, or start `troupe up` anew"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the supervisor waits (in seconds) and how often it tries."""

    first_pause: float = 1.0
    longest_pause: float = 300.0
    well_after: float = 600.0
    """A bot that ran this long starts again with the first pause."""
    first_beat: float = 60.0
    """A bot must give its first sign of life within this time."""
    missed_beats: int = 10
    memory_beats: int = 3
    """Memory is looked at once in so many beats."""
    rest_within: float = 40.0
    """For the answers under way, beyond what the bot itself allows them: it may be stuck."""
    stop_within: float = 10.0
    look_every: float = 2.0
    """How often the files of the configuration are looked at, for a bot that waits for a person to change them."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all keepers share."""

    nursery: Nursery
    launch: Launch
    memory_limit: int
    """Bytes."""
    book: Callable[[BotSettings], float]
    """Seconds to wait before the start that is hereby booked."""
    announce: Callable[[BotStatus], None]
    stop: asyncio.Event
    patience: Patience
    hopeless: Callable[[], bool]
    """Whether every bot waits for a person."""
    now: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random


class Keeper:
    """Keeps one bot running until it is told to stop or a person has to act."""

    def __init__(self, bot: BotSettings, around: Surroundings) -> None:
        self.bot = bot
        self.status = BotStatus(bot=bot.name, models=status.models(bot))
        self._around = around
        self._child: Child | None = None
        self._failures = 0
        self._restarts = 0
        self._lived = False
        self._heard = False
        self._reason = ""
        self._unnamed = False
        """Whether the files no longer say anything of it, so that it cannot start."""
        self._wanted: wish.Wish | None = None
        """What somebody wants of it, until that is done."""
        self._log = log.bind(bot=bot.name)

    async def keep(self) -> None:
        """Returns when the bot is stopped, or when it waits for a person as all the others do; `status` says which.
        A fatal bot is started again when the files of the configuration have changed, and any when somebody wants it
        to start; one that is to stop stays down until then. What is wanted goes by the files as they are then."""
        wish.taken(self.bot.root)  # what an earlier fleet did not hear of
        while await self._its_turn():
            read = await self._stamp()
            began = self._around.now()
            code = FATAL if self._unnamed else await self._live()
            if self._wanted is not None:
                continue
            if code == FATAL or self.status.state == "fatal":
                reason = self.status.last_error or f"ended with exit code {code}"
                self._log.error("stays down until a person has changed something", reason=reason)
                self._say("fatal", reason)
                if not await self._mended(read):
                    return
                continue
            if self._around.stop.is_set():
                break
            await self._pause(self._why(code), self._around.now() - began)
        self._say("stopped", self._reason or self.status.last_error)

    def kill(self) -> None:
        if self._child:
            self._child.kill()

    async def _stamp(self) -> Stamp:
        folder = self._around.launch.folder
        return await asyncio.to_thread(stamp, folder) if folder else ()

    async def _mended(self, read: Stamp) -> bool:
        """Waits until the files are others than those it was started with, for two looks in a row, and good; False
        when there is nothing to wait for any more."""
        folder, seen = self._around.launch.folder, read
        while folder is not None and not self._around.hopeless():
            await self._wait(self._around.patience.look_every)
            if self._around.stop.is_set():
                return False
            if (wanted := wish.taken(self.bot.root)) in ("start", "restart"):
                self._wanted = wanted
                return True
            before, seen = seen, await self._stamp()
            if seen == read or seen != before:
                continue
            read = seen
            if await self._read_again() == "taken":
                self._log.info("is started again, since the configuration has changed")
                self._failures = 0
                self._tell(self.status.model_copy(update={"last_error": ""}))
                return True
            self._say("fatal", self.status.last_error)
        return False

    async def _read_again(self) -> Literal["taken", "refused", "unnamed"]:
        """Takes over what the files say of the bot now; where they are refused, or say nothing of it, `status` does."""
        if (folder := self._around.launch.folder) is None:
            return "taken"
        try:
            found = (await asyncio.to_thread(load, folder, os.environ)).bot(self.bot.name)
        except ConfigError as error:
            trouble = f"The changed configuration is refused: {error.findings[0]}"
            self._log.error("config.refused", findings=error.findings)
            self._tell(self.status.model_copy(update={"config_trouble": trouble}))
            return "refused"
        self._unnamed = found is None
        facts = {"config_trouble": "", **({"last_error": _UNNAMED} if self._unnamed else {})}
        self._tell(self.status.model_copy(update=facts))
        self.bot = found or self.bot
        return "unnamed" if self._unnamed else "taken"

    async def _its_turn(self) -> bool:
        """Waits for this start's turn among all starts; False when everything stops instead."""
        if self._wanted == "stop":
            await self._stay_down()
        if self._wanted is not None:
            self._wanted, self._failures, self._reason = None, 0, ""
            self._tell(self.status.model_copy(update={"last_error": ""}))
            await self._read_again()
        await self._wait(self._around.book(self.bot))
        return not self._around.stop.is_set()

    async def _stay_down(self) -> None:
        """Waits until it is wanted again."""
        reason = (
            f"on purpose, since {datetime.now(UTC):%Y-%m-%d %H:%M} UTC: `troupe start {self.bot.name}` runs it again"
        )
        self._log.info("stays down until it is wanted again")
        self._say("stopped", reason)
        while self._wanted == "stop" and not self._around.stop.is_set():
            await self._wait(self._around.patience.look_every)
            self._wanted = wish.taken(self.bot.root) or "stop"

    async def _live(self) -> int:
        """One life of the process: its exit code."""
        self._reason = ""
        launch = replace(self._around.launch, restarts=self._restarts, stale=self._lived)
        now = datetime.now(UTC)
        self._tell(self.status.model_copy(update={"state": "starting", "since": now, "started": now, "pid": None}))
        try:
            child = await self._around.nursery.start(self.bot, launch)
        except (OSError, EOFError) as error:
            self._reason = f"could not be started: {type(error).__name__}: {error}"
            return LOST
        self._child, self._lived = child, True
        self._tell(self.status.model_copy(update={"pid": child.pid}))
        self._log.info("started", pid=child.pid, run=launch.run, restarts=self._restarts)
        tasks = [asyncio.create_task(each) for each in (self._watch(child), self._dismiss(child), self._heed(child))]
        listening = asyncio.create_task(self._listen(child))
        try:
            code = await child.exited()
            # Its last word may still be on the way; a process of its own may hold the pipe open for ever.
            await asyncio.wait({listening}, timeout=1.0)
        finally:
            for task in (*tasks, listening):
                task.cancel()
            await asyncio.gather(*tasks, listening, return_exceptions=True)
            child.close()
            self._child = None
        return code

    async def _listen(self, child: Child) -> None:
        async for line in child.lines():
            with suppress(ValidationError):
                said = BotStatus.model_validate_json(line)
                if said.state == "ready" and self.status.state != "ready":
                    self._log.info("ready", pid=child.pid, discord=said.discord or "off")
                self._heard = True
                self._tell(said)

    async def _watch(self, child: Child) -> None:
        """Ends a bot that is silent or too big. Silence is counted in rounds of this loop, not by the clock: when
        the whole machine has slept, so has the bot."""
        patience, beat = self._around.patience, self._around.launch.heartbeat
        missed, allowed = 0, patience.first_beat / beat
        for turn in count(1):
            await asyncio.sleep(beat)
            missed = 0 if self._heard else missed + 1
            if self._heard:
                allowed = patience.missed_beats
            self._heard = False
            if missed >= allowed:
                self._reason = f"stuck: no sign of life in {missed * beat:.0f} s"
                child.kill()
                return
            if turn % patience.memory_beats == 0 and (used := status.memory(child.pid)) > self._around.memory_limit:
                self._reason = f"used {used >> 20} MiB of memory; the limit is {self._around.memory_limit >> 20} MiB"
                await self._retire(child)
                return

    async def _dismiss(self, child: Child) -> None:
        await self._around.stop.wait()
        await self._retire(child)

    async def _heed(self, child: Child) -> None:
        """Ends the bot when it is to stay down, or to be started anew, once the answers under way are given."""
        wanted: wish.Wish | None = None
        while wanted not in ("stop", "restart"):
            await asyncio.sleep(self._around.patience.look_every)
            wanted = wish.taken(self.bot.root)
        self._wanted = wanted
        with suppress(TroupeError, TimeoutError):  # one that does not hear ends without
            async with asyncio.timeout(self._around.patience.rest_within):
                await told_to(self.bot, {"do": "end"})
        await self._retire(child)

    async def _retire(self, child: Child) -> None:
        """Asks it to stop, and makes it stop when it does not."""
        child.ask()
        await asyncio.sleep(self._around.patience.stop_within)
        self._log.warning("did not stop in time and was killed", pid=child.pid)
        self._reason = self._reason or "did not stop in time and was killed"
        child.kill()

    def _why(self, code: int) -> str:
        if self._reason:
            return self._reason
        if self.status.state == "died" and self.status.last_error:
            return self.status.last_error
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    async def _pause(self, reason: str, lived: float) -> None:
        """Waits before the next start: twice as long after every failure."""
        patience = self._around.patience
        self._failures = 1 if lived >= patience.well_after else self._failures + 1
        self._restarts += 1
        pause = min(patience.first_pause * 2.0 ** min(self._failures - 1, 32), patience.longest_pause)
        # Bots that fell together should not all rise together.
        pause *= 0.8 + 0.2 * self._around.chance()
        self._log.warning("will be started again", reason=reason, seconds=round(pause, 1), restarts=self._restarts)
        self._say("backing off", reason)
        until = self._around.now() + pause
        while self._wanted is None and not self._around.stop.is_set() and (left := until - self._around.now()) > 0:
            await self._wait(min(left, patience.look_every))
            self._wanted = wish.taken(self.bot.root)

    async def _wait(self, seconds: float) -> None:
        """Until that time is over or everything stops."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._around.stop.wait()

    def _say(self, state: status.State, reason: str) -> None:
        """Speaks for a bot that is not running."""
        facts = {"state": state, "pid": None, "since": datetime.now(UTC), "memory_bytes": 0, "live_sessions": 0}
        said = self.status.model_copy(update={**facts, "discord": "", "last_error": reason, "restarts": self._restarts})
        try:
            status.write_unless_held(self.bot.root, said)
        except OSError as error:
            self._log.warning("cannot write the status file", reason=str(error))
        self._tell(said)

    def _tell(self, said: BotStatus) -> None:
        self.status = said
        self._around.announce(said)
