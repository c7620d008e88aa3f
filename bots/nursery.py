"""Where bot processes come from: forked from one preloaded parent, each on a pipe of its own."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerProcess
from types import ModuleType
from typing import Protocol

import psutil

from . import preload
from .process import STOP, Launch
from .settings import BotSettings, Troupe

LOST = 255
"""What multiprocessing gives as exit code when the forkserver is gone and nobody knows."""


class Entry(Protocol):
    """What a bot's process runs: a function importable by name, since that process is no copy of this one."""

    def __call__(self, settings: BotSettings, pipe: socket.socket, launch: Launch) -> None: ...


class Nursery:
    """The forkserver. It needs no end of its own: it goes when this process and the last child have gone."""

    def __init__(self, entry: Entry, settings: Troupe) -> None:
        self._entry = entry
        self._parts = ",".join(_parts(settings))
        self._context = multiprocessing.get_context("forkserver")

    async def open(self) -> preload.Loaded:
        """Starts the forkserver and asks, through a first child, how the preload went. Raises OSError or EOFError
        when nothing can be forked at all."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._serve()
            probe = self._context.Process(target=preload.tell, args=(theirs,))
            # The only start that waits for all the imports, hence the thread.
            await asyncio.to_thread(_start, probe)
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            told = json.loads(await reader.readline() or b"{}")
        finally:
            writer.close()
        return preload.Loaded(
            told.get("pid", 0), tuple(told.get("modules", ())), tuple(told.get("problems", ())), told.get("frozen", 0)
        )

    async def start(self, bot: BotSettings, launch: Launch) -> Child:
        """A new process for this bot. Raises OSError or EOFError."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._serve()
            process = self._context.Process(target=self._entry, args=(bot, theirs, launch), name=bot.name)
            _start(process)
        reader, writer = await asyncio.open_connection(sock=ours)
        return Child(process, reader, writer)

    def _serve(self) -> None:
        """Makes sure that the forkserver runs, and only ever with its preload."""
        resource_tracker.ensure_running()  # unblocks the signals below, so it goes first
        self._context.set_forkserver_preload(["bots.preload"])
        before = os.environ.get(preload.VARIABLE)
        os.environ[preload.VARIABLE] = self._parts
        # Ctrl-C must not hit the forkserver before the preload makes it deaf; the mask is inherited.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            del os.environ[preload.VARIABLE]
            if before is not None:
                os.environ[preload.VARIABLE] = before


class Child:
    """A bot's process and the supervisor's end of the pipe to it."""

    def __init__(self, process: ForkServerProcess, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = process.pid or 0
        self._process = process
        self._reader = reader
        self._writer = writer
        self._gone = asyncio.Event()
        asyncio.get_running_loop().add_reader(process.sentinel, self._gone.set)

    async def lines(self) -> AsyncIterator[bytes]:
        """What it says, to the end; a line that is too long counts as the end."""
        with suppress(ConnectionError, ValueError):
            while line := await self._reader.readline():
                yield line

    async def exited(self) -> int:
        """Waits for its end: the exit code, negative for a signal, LOST when only its end is known."""
        await self._gone.wait()
        code = self._process.exitcode
        if code in (None, LOST):
            await asyncio.to_thread(_make_sure, self.pid)
        return LOST if code is None else code

    def ask(self) -> None:
        """Asks it to stop, by pipe and by signal: either may come too early or be blocked."""
        self._writer.write(STOP)
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        """Lets go of a process that has ended, and ends one that has not."""
        if not self._gone.is_set():
            self._process.kill()
            self._process.join()
        asyncio.get_running_loop().remove_reader(self._process.sentinel)
        self._writer.close()
        self._process.close()


def _parts(settings: Troupe) -> set[str]:
    """Only what some bot of this fleet will use: an SDK nobody asks costs 40 MB."""
    models = {model.provider for bot in settings.bots for model in bot.models if model.ready}
    stores = {bot.storage.type if bot.storage.enabled else "sqlite" for bot in settings.bots}
    web = {"web" for bot in settings.bots if bot.web.enabled}
    return models | stores | web | {"discord" for bot in settings.bots if bot.discord.token}


def _start(process: ForkServerProcess) -> None:
    with _no_main():
        process.start()


@contextmanager
def _no_main() -> Iterator[None]:
    """Hides `__main__`: multiprocessing would run the program that started us, be it `troupe` or pytest, once more
    in every child, and nothing of ours lives there."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _make_sure(pid: int) -> None:
    """Without the forkserver a child's end is not reported: it may well live, and hold its bot's root."""
    with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
        process = psutil.Process(pid)
        process.kill()
        process.wait(timeout=5)
