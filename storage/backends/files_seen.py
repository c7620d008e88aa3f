"""Remembers how files were left, so that an opening reads only what somebody else changed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from .files_disk import Disk, state

EDITED = "edited"
"""The state of a file that somebody else wrote to meanwhile: it is read again when the store opens."""


class Seen:
    """Channels, profiles and lists of records, by their paths from the root."""

    def __init__(self, root: Path, index: sqlite3.Connection, disk: Disk) -> None:
        self._root = root
        self._index = index
        self._disk = disk

    def replace(self, path: Path, data: list[bytes]) -> None:
        """Puts a whole file in place of another, and makes its folder."""
        self._disk.make((self._root / path).parent)
        self._disk.replace(self._root / path, data)
        self.see(str(path), None)

    def see(self, path: str, before: str | None) -> None:
        """Notes how a file was left; `before` is what it was found as, if that matters."""
        row = self._index.execute("SELECT state FROM seen WHERE path = ?", (path,)).fetchone()
        known = row[0] if row else ""
        after = state(self._root / path) if before in (None, known) else EDITED
        self._index.execute("INSERT OR REPLACE INTO seen VALUES (?, ?)", (path, after))

    def forget(self, path: Path) -> None:
        """The file is gone."""
        self._index.execute("DELETE FROM seen WHERE path = ?", (str(path),))
