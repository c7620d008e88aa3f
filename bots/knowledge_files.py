"""The files somebody may quote from: found, read within bounds, and read again when they change."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .passages import Passage, passages

_MOST_FILES = 200
_MOST_BYTES = 1 << 20
_MOST_BYTES_IN_ALL = 16 << 20
_MOST_FOLDERS = 2_000
_MOST_NAMED = 1_000
"""Files that are told to be left out."""
_LOOKS_EVERY = 3.0
"""Seconds between two looks at what has changed."""


@dataclass(frozen=True, slots=True)
class File:
    """One file, cut up."""

    name: str
    """Its path below the folder, with the folder's name in front where there are several."""
    title: str
    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class Shelf:
    """What stood in the files at one moment."""

    files: tuple[File, ...] = ()
    skipped: tuple[str, ...] = ()
    """The files that could not be taken in, each with its reason: `old/huge.txt: larger than 1 MiB`."""


@dataclass(frozen=True, slots=True)
class _Read:
    stamp: tuple[int, int, int, int]
    """Its size in bytes, and what else changes with it."""
    file: File


class Files:
    """The `*.md` and `*.txt` files at some places. Safe to ask from any thread; asking may read files."""

    def __init__(self, places: Sequence[Path], ticks: Callable[[], float] = time.monotonic) -> None:
        """`places` are folders, with all that is below them, and single files. A missing one is empty."""
        self._places = tuple(places)
        self._ticks = ticks
        self._looked: float | None = None
        self._read: dict[Path, _Read] = {}
        self._shelf = Shelf()
        self._reading = threading.Lock()

    def now(self) -> Shelf:
        """What stands in them, as of a few seconds ago at most; the same object while nothing has changed."""
        with self._reading:
            if self._looked is None or self._ticks() - self._looked >= _LOOKS_EVERY:
                self._look()
                self._looked = self._ticks()
            return self._shelf

    def _look(self) -> None:
        read: dict[Path, _Read] = {}
        skipped: list[str] = []
        room = _MOST_BYTES_IN_ALL
        for count, (path, name) in enumerate(self._named()):
            if count >= _MOST_FILES + _MOST_NAMED:
                break
            found = self._one(path, name, room) if count < _MOST_FILES else f"beyond the first {_MOST_FILES} files"
            if isinstance(found, str):
                skipped.append(f"{name}: {found}")
            else:
                read[path] = found
                room -= found.stamp[0]
        self._read = read
        files = tuple(each.file for each in read.values())
        if tuple(skipped) != self._shelf.skipped or list(map(id, files)) != list(map(id, self._shelf.files)):
            self._shelf = Shelf(files, tuple(skipped))

    def _one(self, path: Path, name: str, room: int) -> _Read | str:
        """The file, or why it is left out. One that has not changed is not read again."""
        try:
            status = path.stat()
            stamp = (status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
            if status.st_size > _MOST_BYTES:
                return "larger than 1 MiB"
            if status.st_size > room:
                return "beyond 16 MiB in all"
            before = self._read.get(path)
            if before and before.stamp == stamp:
                return before
            with path.open("rb") as file:
                text = file.read(_MOST_BYTES).decode("utf-8-sig").replace("\r\n", "\n")
        except OSError as error:
            return error.strerror or "unreadable"
        except UnicodeDecodeError:
            return "not UTF-8 text"
        title, found = passages(text, _written(path.stem), plain=path.suffix.lower() == ".txt")
        return _Read(stamp, File(name, title, tuple(found)))

    def _named(self) -> Iterator[tuple[Path, str]]:
        """The files in a stable order, each once, with their names."""
        several = len(self._places) > 1
        known: set[Path] = set()
        for place in self._places:
            for path in _files(place):
                if path not in known:
                    known.add(path)
                    name = path.relative_to(place) if path != place else Path(place.name)
                    yield path, _written((Path(place.name, name) if several and path != place else name).as_posix())


def _written(name: str) -> str:
    """A name fit to be told: on Linux it may be any bytes."""
    return " ".join(name.encode(errors="replace").decode().split())


def _files(place: Path) -> Iterator[Path]:
    """Files below a folder in a stable order. Links to folders are not walked; a link to a file counts while the
    file itself lies in the folder. A file named by itself is what it is."""
    if os.path.isfile(place):
        if place.suffix.lower() in (".md", ".txt"):
            yield place
        return
    home = Path(os.path.realpath(place))
    for count, (folder, folders, names) in enumerate(os.walk(place)):
        if count >= _MOST_FOLDERS:
            return
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if path.suffix.lower() in (".md", ".txt") and not name.startswith(".") and _inside(path, home):
                yield path


def _inside(path: Path, home: Path) -> bool:
    try:
        return path.resolve().is_relative_to(home) and path.is_file()
    except (OSError, RuntimeError):  # RuntimeError: a link that leads back to itself
        return False
