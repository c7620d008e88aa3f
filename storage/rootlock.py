"""The lock that makes one process the only writer of a bot's storage root."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from .errors import RootInUse, Unavailable

_LOOKS = 1000
"""More than the moments for which somebody's look, or a pid not yet written, can stand in the way."""


class RootLock:
    """A held root. The kernel frees it however the process ends, `kill -9` included.

    The lock is the kernel's `flock` on `<root>/lock`, which is not dependable on NFS: keep the root on a local disk.
    A process started by this one does not inherit it (close-on-exec); one that is forked without exec does.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, root: Path, name: str = "lock") -> RootLock:
        """Takes the root, by the lock file of that name, making the folder (for its owner only) when it is missing.

        Raises `RootInUse` with the holder's pid, or `Unavailable` where the folder cannot be used."""
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(root / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unavailable(
                f"{root} cannot be used as a storage root ({error.strerror}): it must be a folder, or one that can "
                "be made, which belongs to the user who runs the bot."
            ) from error
        if not _locked(descriptor):
            pid = _pid(descriptor)
            os.close(descriptor)
            raise RootInUse(str(root), pid)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return cls(descriptor)

    def release(self) -> None:
        """Gives the root back; harmless when done twice."""
        if self._descriptor is None:
            return
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
        self._descriptor = None


def holder(root: Path, name: str = "lock") -> int | None:
    """The pid of the living process that holds the root, by the lock file of that name, without getting in anybody's
    way; None when it is free."""
    try:
        descriptor = os.open(root / name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        for _ in range(_LOOKS):
            if _try(descriptor, fcntl.LOCK_SH):
                return None
            if pid := _pid(descriptor):
                return pid
            os.sched_yield()
        return None
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Takes the lock for good. A `holder` looking on shares the lock for a moment and must not refuse a start."""
    for _ in range(_LOOKS):
        if _try(descriptor, fcntl.LOCK_EX):
            return True
        if not _try(descriptor, fcntl.LOCK_SH):
            return False
        os.sched_yield()
    return False


def _try(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _pid(descriptor: int) -> int | None:
    written = os.pread(descriptor, 32, 0).strip()
    return int(written) if written.isdigit() else None
