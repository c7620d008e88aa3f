"""The folders of channels: each keeps the name that it was first given, and goes with its channel."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from ..model import storable
from . import sqlite_rows
from .files_disk import Disk
from .files_layout import CHANNEL, channel_folder, document, tail
from .files_seen import Seen


class Homes:
    """The channels' folders under one root; `index` is the writer's connection."""

    def __init__(self, root: Path, index: sqlite3.Connection, disk: Disk, seen: Seen) -> None:
        self._root = root
        self._index = index
        self._disk = disk
        self._seen = seen

    def of(self, key: str) -> str | None:
        """A channel's folder, counted from the root."""
        row = self._index.execute("SELECT path FROM homes WHERE channel_key = ?", (storable(key),)).fetchone()
        return row and str(row[0])

    def keep(self, key: str) -> str:
        """Writes a channel's own file, as it stands in the index; returns its folder."""
        found = self._index.execute(sqlite_rows.CHANNEL_BY_KEY, (storable(key),)).fetchone()[0]
        (channel,) = sqlite_rows.CHANNELS.validate_json(found)
        path = self.of(key)
        if path is None:
            path = str(channel_folder(channel))
            if os.path.lexists(self._root / path):
                path += f"~{tail(channel.key)}"
            self._disk.make(self._root / path)
            self._index.execute("INSERT INTO homes VALUES (?, ?)", (channel.key, path))
        self._seen.replace(Path(path) / CHANNEL, [document(channel)])
        return path

    def remove(self, key: str) -> None:
        """Removes the folder of a channel that the index has no more, with all that is in it."""
        path = self.of(key)
        there = self._index.execute("SELECT 1 FROM channels WHERE key = ?", (storable(key),)).fetchone()
        if path is not None and there is None:
            self._disk.remove(self._root / path)
            self._index.execute("DELETE FROM homes WHERE channel_key = ?", (storable(key),))
            self._seen.forget(Path(path) / CHANNEL)
