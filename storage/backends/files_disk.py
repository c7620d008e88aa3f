"""Changes to files under one root that reach the disk together, or are taken back together.

Nothing done here counts before `sync` has returned, which makes lines and names survive a power cut; a whole file is
synced before it takes another's place. What was replaced or removed waits in `<root>/.aside` until `settle`, so that
`take_back` needs no room on the disk.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from ..durable import sync_folder

_OPEN = 64
"""Files that are kept open."""


class Disk:
    """Files and folders under `root`. Every method blocks and may raise `OSError`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._aside = root / ".aside"
        self._files: OrderedDict[Path, int] = OrderedDict()
        self._unsynced: dict[int, None] = {}
        self._folders: dict[Path, None] = {}
        self._undo: list[Callable[[], object]] = []
        self._spares: list[Path] = []
        self._number = 0

    def sweep(self) -> None:
        """Clears away what a crash left; nobody is writing."""
        shutil.rmtree(self._aside, ignore_errors=True)

    def append(self, path: Path, data: bytes) -> str:
        """Adds whole lines to a file, made where it is missing; returns the state in which it found it. A last line
        that was left without an end by somebody else is ended first."""
        before = state(path)
        descriptor = self._descriptor(path, fresh=not before)
        found = os.fstat(descriptor)
        self._undo.append(partial(self._cut, path, found) if before else partial(path.unlink, missing_ok=True))
        self._unsynced[descriptor] = None
        if found.st_size and os.pread(descriptor, 1, found.st_size - 1) != b"\n":
            data = b"\n" + data
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        return before

    def replace(self, path: Path, pieces: Iterable[bytes]) -> None:
        """Puts a whole file in place of another in one step."""
        draft = self._spare()
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        self._forget(path)
        if os.path.lexists(path):
            old = self._spare()
            try:
                os.link(path, old, follow_symlinks=False)
            except OSError:  # a disk that has no links
                shutil.copy2(path, old, follow_symlinks=False)
            self._undo.append(partial(self._move, old, path))
        else:
            self._undo.append(partial(path.unlink, missing_ok=True))
        draft.replace(path)
        self._folders[path.parent] = None

    def make(self, folder: Path) -> None:
        """Makes a folder, and those above it."""
        if not folder.is_dir():
            self.make(folder.parent)
            folder.mkdir(mode=0o700)
            self._undo.append(folder.rmdir)
            self._folders[folder.parent] = None

    def rename(self, old: Path, new: Path) -> None:
        """Moves a folder."""
        self._move(old, new)
        self._undo.append(partial(self._move, new, old))
        self._folders |= {old.parent: None, new.parent: None}

    def remove(self, path: Path) -> None:
        """Removes a file or a folder with all that is in it, if it is there."""
        if os.path.lexists(path):
            spare = self._spare()
            self._move(path, spare)
            self._undo.append(partial(self._move, spare, path))
            self._folders[path.parent] = None

    def sync(self) -> None:
        """Returns once everything done so far would survive a power cut."""
        for descriptor in self._unsynced:
            os.fdatasync(descriptor)  # all but the times, which nobody depends on
        self._unsynced.clear()
        for folder in self._folders:
            with contextlib.suppress(FileNotFoundError):  # it was moved on meanwhile
                sync_folder(folder)
        self._folders.clear()
        self._trim()

    def settle(self) -> None:
        """What was done stays."""
        self._undo.clear()
        for spare in self._spares:
            _clear(spare)
        self._spares.clear()

    def take_back(self) -> None:
        """Undoes what was done since the last `settle`."""
        for step in reversed(self._undo):
            with contextlib.suppress(OSError):
                step()
        self._unsynced.clear()
        self._folders.clear()
        self.settle()
        self.close()

    def close(self) -> None:
        """Lets go of the files."""
        while self._files:
            os.close(self._files.popitem()[1])

    def _descriptor(self, path: Path, *, fresh: bool) -> int:
        """The open file. An editor that saved another in its place must not leave us writing into what nobody will
        ever find again."""
        if path in self._files and (fresh or not os.path.samestat(os.fstat(self._files[path]), os.lstat(path))):
            self._forget(path)
        if path not in self._files:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            self._files[path] = os.open(path, flags, 0o600)
            if fresh:
                self._folders[path.parent] = None
            if len(self._files) > 2 * _OPEN:  # a batch that writes to more files than a process may open
                self._forget(next(iter(self._files)))
        self._files.move_to_end(path)
        return self._files[path]

    def _trim(self) -> None:
        while len(self._files) > _OPEN:
            os.close(self._files.popitem(last=False)[1])

    def _forget(self, path: Path) -> None:
        """Lets go of a file, or of all in a folder, after it reached the disk."""
        for each in [each for each in self._files if each == path or path in each.parents]:
            descriptor = self._files.pop(each)
            if descriptor in self._unsynced:
                os.fdatasync(descriptor)
                del self._unsynced[descriptor]
            os.close(descriptor)

    def _cut(self, path: Path, found: os.stat_result) -> None:
        os.truncate(path, found.st_size)
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))

    def _move(self, old: Path, new: Path) -> None:
        self._forget(old)
        old.replace(new)

    def _spare(self) -> Path:
        """A name nobody has, on the same disk."""
        self._aside.mkdir(mode=0o700, exist_ok=True)
        self._number += 1
        self._spares.append(self._aside / str(self._number))
        return self._spares[-1]


def state(path: Path) -> str:
    """What tells whether a file is as it was; empty where there is none, or something else."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    return f"{found.st_size}:{found.st_mtime_ns}" if stat.S_ISREG(found.st_mode) else ""


def _clear(spare: Path) -> None:
    if spare.is_dir():
        shutil.rmtree(spare, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            spare.unlink()
