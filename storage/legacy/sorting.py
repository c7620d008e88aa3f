"""Messages of many files put in the order of time, on the disk, so that any number of them fits into memory."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

from ..errors import Unavailable
from ..model import Message
from . import Spot, Taken

_AT_ONCE = 1_000


class Sorted:
    """Collects messages by a key, a channel's say, and gives those of each key back in the order of time; those of one
    time in the order in which they came. Used with `with`: what it keeps in `scratch` is gone afterwards. All of it
    raises `Unavailable` where that folder is full."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._held = contextlib.ExitStack()
        self._waiting: list[tuple[str, float, str, str]] = []

    def __enter__(self) -> Sorted:
        with self._explained():
            folder = self._held.enter_context(tempfile.TemporaryDirectory(dir=self._scratch))
            self._database = sqlite3.connect(Path(folder) / "sorted.db", isolation_level=None, check_same_thread=False)
            self._held.callback(self._database.close)
            for pragma in ("journal_mode = OFF", "synchronous = OFF", "temp_store = FILE", "cache_size = -16384"):
                self._database.execute(f"PRAGMA {pragma}")
            self._database.execute("CREATE TABLE lines (key TEXT, at REAL, message TEXT, place TEXT)")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._held.close()

    def add(self, key: str, message: Message, spot: Spot, files: Mapping[str, str] | None = None) -> None:
        """Takes one in."""
        place = json.dumps([spot.file, spot.line, spot.item, dict(files or {})])
        self._waiting.append((key, message.at.timestamp(), message.model_dump_json(), place))
        if len(self._waiting) >= _AT_ONCE:
            self._write()

    def drop(self, file: str) -> None:
        """Gives back nothing of a file."""
        self._write()
        with self._explained():
            self._database.execute("DELETE FROM lines WHERE json_extract(place, '$[0]') = ?", (file,))

    def keys(self) -> list[str]:
        """Every key there is, in their order."""
        self._write()
        with self._explained():
            return [key for (key,) in self._database.execute("SELECT DISTINCT key FROM lines ORDER BY key")]

    def of(self, key: str) -> Iterator[Taken]:
        """The messages of a key, each as a `Taken`. Called after everything was added."""
        self._write()
        with self._explained():
            self._database.execute("CREATE INDEX IF NOT EXISTS in_time ON lines (key, at)")
            found = self._database.execute("SELECT message, place FROM lines WHERE key = ? ORDER BY at, rowid", (key,))
            for message, place in found:
                file, line, item, files = json.loads(place)
                yield Taken(Message.model_validate_json(message), Spot(file, line, item), files)

    def _write(self) -> None:
        with self._explained():
            self._database.execute("BEGIN")
            self._database.executemany("INSERT INTO lines VALUES (?, ?, ?, ?)", self._waiting)
            self._database.execute("COMMIT")
        self._waiting = []

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise Unavailable(
                f"What is read waits in {self._scratch} to be put in order, and that folder cannot be written to "
                f"({error}): make room there, about as much as the source takes, then do the same again: it goes on "
                "from there."
            ) from error
