"""One bot's process: its lock on the root, its loop, its signs of life and its end."""

from __future__ import annotations

import asyncio
import gc
import os
import select
import signal
import socket
import sys
import threading
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import structlog

from storage.errors import NewerSchema, RootInUse
from storage.rootlock import RootLock

from . import logs, status
from .errors import ConfigError, Fatal
from .settings import BotSettings
from .status import BotStatus, Report

OK, CRASHED, FATAL, ABANDONED, KILLED = 0, 1, 78, 75, 130
"""What a bot's process ends with. 78 (EX_CONFIG): do not start me again until a person has changed something."""
NEEDS_A_PERSON = (Fatal, ConfigError, NewerSchema)
STOP = b"stop\n"
WRITE_EVERY = 2.0
"""Seconds between two writes of the status file while nothing changes."""

Program = Callable[[BotSettings, Report], Coroutine[Any, Any, None]]
"""What a bot does until it is cancelled; reports `state: ready` once it does it."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Launch:
    """How a process was started."""

    run: str = "alone"
    """Names the run of the fleet this process belongs to."""
    restarts: int = 0
    stale: bool = False
    """Whether the configuration may have changed since it was read for this process."""
    heartbeat: float = 2.0
    """Seconds between signs of life."""
    log_level: str = "info"
    tty: bool | None = None
    """Whether to log for reading; None asks the terminal."""
    leave_within: float = 10.0
    """Seconds an orphan has to stop by itself."""
    folder: Path | None = None
    """Where the configuration is, to be read again when it changes; None never reads it again."""
    with_parent: bool = False
    """Whether the end of standard input, held open by whoever started this process, stops it."""


async def house(settings: BotSettings, report: Report, launch: Launch = Launch()) -> None:
    """The bot itself; when its talk moves to another store, it is built again there."""
    from .moving import at_home
    from .wiring import build

    hidden = list(logs.secrets(settings))

    def hide(changed: BotSettings) -> None:
        hidden.extend(logs.secrets(changed))
        logs.configure(settings.name, launch.log_level, secrets=hidden, tty=launch.tty)

    settings, stale = at_home(settings, launch.folder), launch.stale
    hide(settings)
    door = None
    try:
        while True:
            async with build(settings, folder=launch.folder, stale=stale, hide=hide, door=door) as house:
                # What start-up made stays; without this a full collection stops the loop for a tenth of a second.
                gc.collect()
                gc.freeze()
                report({"state": "ready", "storage": settings.storage.type})
                try:
                    settings, stale = await house.run(report), True
                finally:
                    door = house.door
                report({"state": "starting"})
    finally:
        if door is not None:
            await door.close()


def main(settings: BotSettings, pipe: socket.socket | None, launch: Launch, program: Program | None = None) -> None:
    """Runs a bot until it is told to stop, by SIGTERM, by the supervisor's pipe or by its closing.

    Without a pipe it runs alone and Ctrl-C stops it too. Raises SystemExit with one of the codes above."""
    # Ctrl-C reaches the whole process group, but stopping is the supervisor's affair.
    signal.signal(signal.SIGINT, signal.SIG_IGN if pipe else signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # A thread that waits for a busy loop gets its turn within a fifth of a millisecond. With Python's own 5 ms the
    # store's threads were seen to wait for seconds: the loop's short polls start their clock anew each time.
    sys.setswitchinterval(0.0002)
    logs.configure(settings.name, launch.log_level, secrets=logs.secrets(settings), tty=launch.tty)
    structlog.contextvars.bind_contextvars(run=launch.run)
    if pipe:
        _leave_when_orphaned(pipe.fileno(), launch.leave_within)
    elif launch.with_parent:
        _leave_when_orphaned(sys.stdin.fileno(), launch.leave_within, ask=True)
    sys.exit(Life(settings, pipe, launch).live(program or partial(house, launch=launch)))


def _leave_when_orphaned(pipe: int, within: float, *, ask: bool = False) -> None:
    """Ends this process some time after the other end of a pipe is gone, even if its loop is stuck; where nobody
    reads the pipe, it must `ask` for the orderly stop itself. The kernel's own signal for that (PR_SET_PDEATHSIG)
    speaks of the parent, and a bot's parent is the forkserver, not the supervisor."""
    end = os.dup(pipe)

    def watch() -> None:
        poll = select.poll()
        poll.register(end, getattr(select, "POLLRDHUP", select.POLLHUP))
        poll.poll()
        if ask:
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(within)
        os._exit(ABANDONED)

    threading.Thread(target=watch, name="orphan watch", daemon=True).start()


class Life:
    """A bot's process from its first to its last sign."""

    def __init__(
        self,
        settings: BotSettings,
        pipe: socket.socket | None,
        launch: Launch,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._pipe = pipe
        self._launch = launch
        self._now = now
        self._hide = logs.mask(logs.secrets(settings))
        self._changed = asyncio.Event()
        self._lock: RootLock | None = None
        self._written = -WRITE_EVERY
        begun = BotStatus(
            bot=settings.name,
            pid=os.getpid(),
            state="starting",
            since=now(),
            started=now(),
            restarts=launch.restarts,
            version=_version(),
            models=status.models(settings),
        )
        before = status.carried(settings.root, begun)
        self._status = before.model_copy(update={"first_started": before.first_started or before.started})

    def live(self, program: Program) -> int:
        """The exit code."""
        try:
            self._lock = RootLock.take(self._settings.root)
            asyncio.run(self._run(program))
        except Exception as error:
            return self._end_of(error)
        self._last_word({"state": "stopped"})
        return OK

    def report(self, facts: dict[str, object]) -> None:
        """Merges facts into the status. A new state, error or Discord state is told at once, the rest with the
        next beat. Raises ValidationError on a fact of the wrong type."""
        before = self._status
        if facts.get("state", before.state) != before.state:
            facts = {**facts, "since": self._now()}
        if "last_error" in facts:
            facts = {**facts, "last_error": self._hide(str(facts["last_error"]))}
        after = BotStatus.model_validate({**before.model_dump(), **facts})
        self._status = after
        if (before.state, before.discord, before.last_error) != (after.state, after.discord, after.last_error):
            self._written = -WRITE_EVERY
            self._changed.set()
        if self._pipe is None and sys.stdout.isatty() and (before.state, after.state) == ("starting", "ready"):
            name = self._settings.name
            print(f"{name} is ready: talk to it with `troupe chat {name}` in another terminal. Ctrl-C stops it.")

    async def _run(self, program: Program) -> None:
        stop = asyncio.Event()
        self._listen(stop)
        reader, writer = await self._open()
        work = asyncio.create_task(program(self._settings, self.report), name="bot")
        beats = asyncio.create_task(self._beat(writer), name="beats")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        orders = asyncio.create_task(_obey(reader, stop), name="orders")
        try:
            await asyncio.wait({work, beats, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if beats.done():
                beats.result()
            if not stopping.done():
                await work
                raise RuntimeError("the bot ended by itself")
            self.report({"state": "stopping"})
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work
        finally:
            for task in (work, beats, stopping, orders):
                task.cancel()

    def _listen(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        if self._pipe is None:
            loop.add_signal_handler(signal.SIGINT, lambda: os._exit(KILLED) if stop.is_set() else stop.set())
            if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
                loop.add_signal_handler(signal.SIGHUP, stop.set)

    async def _open(self) -> tuple[StreamReader | None, StreamWriter | None]:
        if self._pipe is None:
            return None, None
        # A copy, because the last word is said after the loop has closed its own.
        return await asyncio.open_connection(sock=self._pipe.dup())

    async def _beat(self, writer: StreamWriter | None) -> None:
        while True:
            self._changed.clear()
            self._write_when_due()
            if writer and not writer.is_closing():
                with suppress(ConnectionError):
                    writer.write(self._line())
                    await writer.drain()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._launch.heartbeat):
                    await self._changed.wait()

    def _write_when_due(self) -> None:
        """Writes a few hundred bytes without a thread hop: a disk that hangs on these is a stuck bot."""
        if time.monotonic() - self._written < WRITE_EVERY or self._lock is None:
            return
        self._written = time.monotonic()
        if self._status.running:
            self._status = self._status.model_copy(update={"memory_bytes": status.memory(os.getpid())})
        try:
            status.write(self._settings.root, self._status)
        except OSError as error:
            log.warning("cannot write the status file", reason=str(error))

    def _line(self) -> bytes:
        return self._status.model_dump_json().encode() + b"\n"

    def _end_of(self, error: Exception) -> int:
        if isinstance(error, RootInUse) and self._pipe:  # somebody's `troupe chat`, say: the supervisor tries again
            log.warning("cannot start yet", reason=str(error))
            self._last_word({"state": "died", "last_error": str(error)})
            return CRASHED
        reason = str(error) if isinstance(error, RootInUse) else _for_a_person(error)
        if reason is not None:
            log.error("stopped until a person has changed something", reason=reason)
            self._last_word({"state": "fatal", "last_error": reason})
            return FATAL
        log.error("crashed", exc_info=error)
        self._last_word({"state": "died", "last_error": f"{type(error).__name__}: {error}"})
        return CRASHED

    def _last_word(self, facts: dict[str, object]) -> None:
        self.report({**facts, "pid": None, "memory_bytes": 0})
        if self._lock is not None:
            self._write_when_due()
            self._lock.release()
        if self._pipe:
            self._pipe.settimeout(1.0)
            with suppress(OSError):
                self._pipe.sendall(self._line())


async def _obey(reader: StreamReader | None, stop: asyncio.Event) -> None:
    """The supervisor's word, or its end, stops the bot."""
    if reader is None:
        return
    with suppress(ConnectionError):
        while await reader.readline() not in (STOP, b""):
            pass
    stop.set()


def _for_a_person(error: BaseException) -> str | None:
    """What a person must change, if that is what ended the bot; looks into groups of errors."""
    if isinstance(error, NEEDS_A_PERSON):
        return str(error)
    if isinstance(error, BaseExceptionGroup):
        return next((reason for reason in map(_for_a_person, error.exceptions) if reason is not None), None)
    return None


def _version() -> str:
    try:
        return metadata.version("troupe")
    except metadata.PackageNotFoundError:
        return ""
