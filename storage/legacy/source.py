"""Files that another program left: a folder, a zip or a single file, of which nothing is changed."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Literal

from ..errors import StorageError

_NAMES = 2_000_000
"""The most files of one source: each takes up memory, a kilobyte of it in a zip."""


_OUTSIDE = "It leads out of the source, or is no file: nothing outside of it is read. Name what it leads to by itself."
_TWICE = "The zip has two files of this name: the later one is read, and this one is not."


class BadSource(StorageError):
    """A source cannot be read at all."""


class Source:
    """Opened once, closed by `with`. Names are relative, with `/`; a file of which a link leads out of the folder, a
    device, a name with `..` in it: none of these is opened, and each is in `left_out`."""

    def __init__(self, path: Path) -> None:
        """Raises `BadSource` where there is nothing that can be read."""
        self.path = path
        self._held = ExitStack()
        self._zip: zipfile.ZipFile | None = None
        self.left_out: dict[str, str] = {}
        """By their names, as they are written, why something is not read: no reader is shown it."""
        try:
            if path.is_file() and zipfile.is_zipfile(path):
                self._zip = self._held.enter_context(zipfile.ZipFile(path))
            self._files = dict(self._found())
        except (OSError, zipfile.BadZipFile, RuntimeError) as error:
            self._held.close()
            raise BadSource(f"{path} cannot be read ({error}): name a folder, a file or a zip.") from error
        except BadSource:
            self._held.close()
            raise
        self.names = sorted(self._files)
        """Every file there is."""

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def __enter__(self) -> Source:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._held.close()

    def open(self, name: str) -> IO[bytes]:
        """A file's bytes, to be closed by the caller. Raises `BadSource` for one that cannot be read."""
        if name not in self._files:
            raise BadSource(f"{self.path} has no file {name[:120]!r}.")
        try:
            return self._zip.open(name) if self._zip else self._files[name].open("rb")
        except (OSError, zipfile.BadZipFile, RuntimeError) as error:
            raise BadSource(f"{name[:120]} in {self.path} cannot be read ({error}).") from error

    def size(self, name: str) -> int:
        """How many bytes a file has; 0 where it is gone."""
        try:
            return self._zip.getinfo(name).file_size if self._zip else self._files[name].stat().st_size
        except (OSError, KeyError):
            return 0

    def stamp(self, name: str) -> tuple[int, ...]:
        """Another one as soon as a file was written to; empty where it is gone."""
        if self._zip:
            return (self._zip.getinfo(name).CRC,)
        try:
            now = self._files[name].stat()
        except (OSError, KeyError):
            return ()
        return now.st_ino, now.st_size, now.st_mtime_ns

    def _found(self) -> Iterator[tuple[str, Path]]:
        if self._zip is not None:
            if len(self._zip.infolist()) > _NAMES:
                raise BadSource(f"{self.path} has more than {_NAMES:,} files: unpack it and name a folder in it.")
            for info in self._zip.infolist():
                if not _plain(info.filename):
                    self.left_out[info.filename] = _OUTSIDE
                elif info is not self._zip.getinfo(info.filename):
                    self.left_out[info.filename] = _TWICE
                elif not info.is_dir():
                    yield info.filename, self.path
        elif self.path.is_dir():
            yield from self._walked()
        elif stat.S_ISREG(self.path.stat().st_mode):
            yield self.path.name, self.path

    def _walked(self) -> Iterator[tuple[str, Path]]:
        top = self.path.resolve()
        for number, (path, found) in enumerate(_below(self.path)):
            if number >= _NAMES:
                raise BadSource(f"{self.path} has more than {_NAMES:,} files: name a folder further down.")
            name = path.relative_to(self.path).as_posix()
            kind = _kind(path, found, top)
            if kind == "file":
                yield name, path
            elif kind is None:
                self.left_out[name] = _OUTSIDE


def _below(top: Path) -> Iterator[tuple[Path, os.DirEntry[str]]]:
    """Everything in a folder, however deep; links are not followed."""
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as found:
                inside = list(found)
        except PermissionError:  # as `Path.rglob` does
            continue
        for each in inside:
            yield folder / each.name, each
            if each.is_dir(follow_symlinks=False):
                waiting.append(folder / each.name)


def _kind(path: Path, found: os.DirEntry[str], top: Path) -> Literal["file", "folder"] | None:
    if not found.is_symlink():  # nothing else leads out of the folder it is found in
        return "file" if found.is_file() else "folder" if found.is_dir() else None
    try:
        real = path.resolve()
        if real.is_relative_to(top):
            return "file" if real.is_file() else "folder" if real.is_dir() else None
    except (OSError, RuntimeError):  # links that lead to each other
        pass
    return None


def _plain(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return not name.startswith(("/", "\\")) and ".." not in parts and ":" not in parts[0]
