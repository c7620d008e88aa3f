"""Writes records: lists with a line for each time that one was kept, and a file for each profile."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..model import storable
from ..records import Profile, Record
from .files_disk import Disk, state
from .files_layout import LISTS, Unreadable, document, line, lines, profile_file, record_of, without
from .files_seen import Seen

_SLACK = 100
"""Lines that a list may have too many before it is worth rewriting."""


class Records:
    """The records' files under one root; `index` is the writer's connection."""

    def __init__(self, root: Path, index: sqlite3.Connection, disk: Disk, seen: Seen) -> None:
        self._root = root
        self._index = index
        self._disk = disk
        self._seen = seen

    def keep(self, records: Iterable[Record]) -> None:
        """Adds a line for each record to its list, or puts a profile in place of the one before."""
        told: dict[type[Record], list[bytes]] = {}
        for record in records:
            if isinstance(record, Profile):
                kept = record.model_copy(update={"id": storable(record.id)})
                self._seen.replace(profile_file(kept.id), [document(kept)])
            else:
                told.setdefault(type(record), []).append(line(record))
        for kind, each in told.items():
            path = self._root / LISTS[kind]
            self._disk.make(path.parent)
            before = self._disk.append(path, b"".join(each))
            self._seen.see(LISTS[kind], before)
            self._index.execute(_TOLD, (LISTS[kind], len(each)))

    def remove(self, kind: type[Record], ids: set[str]) -> None:
        """Takes every line of these records out of their list, or removes the profiles' folders."""
        if kind is not Profile:
            before = state(self._root / LISTS[kind])
            self._disk.replace(self._root / LISTS[kind], without(self._root / LISTS[kind], ids))
            self._seen.see(LISTS[kind], before)
            return
        for path in map(profile_file, ids):
            self._disk.remove((self._root / path).parent)
            self._seen.forget(path)

    def compact(self, slack: int | None = None) -> None:
        """Rewrites the lists of which more than half is void, since later lines tell the same records anew; with
        `slack` those that have more than so many such lines."""
        for kind, name in LISTS.items():
            (many,) = self._index.execute("SELECT count(*) FROM records WHERE kind = ?", (kind.kind,)).fetchone()
            told = self._index.execute("SELECT lines FROM told WHERE path = ?", (name,)).fetchone()
            before = state(self._root / name)
            if told and told[0] > (2 * many + _SLACK if slack is None else many + slack) and before:
                self._disk.replace(self._root / name, self._latest(self._root / name, kind))
                self._seen.see(name, before)
                self._index.execute("INSERT OR REPLACE INTO told VALUES (?, ?)", (name, many))

    def _latest(self, path: Path, kind: type[Record]) -> Iterator[bytes]:
        """The last line of each record, and those that nobody can read."""
        self._index.execute("CREATE TEMP TABLE latest (id TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE)")
        ids = ((_id(raw, kind), number) for number, raw in lines(path))
        self._index.executemany(
            "INSERT OR REPLACE INTO latest VALUES (?, ?)", (row for row in ids if row[0] is not None)
        )
        for number, raw in lines(path):
            last = self._index.execute("SELECT 1 FROM latest WHERE number = ?", (number,)).fetchone()
            if last or _id(raw, kind) is None:
                yield raw if raw.endswith(b"\n") else raw + b"\n"
        self._index.execute("DROP TABLE latest")


def _id(raw: bytes, kind: type[Record]) -> str | None:
    try:
        return record_of(raw, kind).id
    except Unreadable:
        return None


_TOLD = "INSERT INTO told VALUES (?, ?) ON CONFLICT (path) DO UPDATE SET lines = lines + excluded.lines"
