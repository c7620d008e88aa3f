"""Files that are there whole or not at all, whatever ends the program: written aside, synced, renamed."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")


class Partial:
    """A file on its way into a folder: written aside, then renamed. What a crash leaves behind, the next one sweeps.

    Whoever writes shares the lock on `<root>/.partial/lock`; whoever gets it alone knows that nobody is writing.
    """

    def __init__(self, root: Path) -> None:
        self._aside = root / ".partial"
        self._held = ExitStack()

    def open(self) -> None:
        """Starts the file, and makes the folder where it is missing. Every method blocks and may raise `OSError`."""
        _make_folder(self._aside)
        lock = self._held.enter_context((self._aside / "lock").open("ab"))
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for leftover in set(self._aside.iterdir()) - {self._aside / "lock"}:
                leftover.unlink(missing_ok=True)
        fcntl.flock(lock, fcntl.LOCK_SH)
        descriptor, path = tempfile.mkstemp(dir=self._aside)
        self._path = Path(path)
        self._held.callback(self._path.unlink, missing_ok=True)
        self._file = self._held.enter_context(os.fdopen(descriptor, "wb", buffering=0))

    def write(self, piece: bytes) -> None:
        """Adds all of the bytes."""
        rest = memoryview(piece)
        while rest:
            rest = rest[self._file.write(rest) :]

    def become(self, target: Path) -> None:
        """Puts the file in its place, durably, and its folders with it."""
        os.fsync(self._file.fileno())
        _make_folder(target.parent)
        self._path.replace(target)
        sync_folder(target.parent)

    def close(self) -> None:
        """Lets go; a file that has not become anything is gone."""
        self._held.close()


def remove(path: Path) -> None:
    """Removes a file so that a power cut does not bring it back."""
    path.unlink()
    sync_folder(path.parent)


def _make_folder(folder: Path) -> None:
    """Makes a folder, and those above it, so that a power cut does not unmake them."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Makes what was made, renamed or removed in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def in_thread(work: Callable[..., Result], *args: object) -> Result:
    """Runs blocking work in a thread; whoever gives up, even twice, waits for it and cleans up only afterwards."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *args))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        raise
