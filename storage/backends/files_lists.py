"""Lists of all channels and of all sessions for people, written now and then, and when the store closes."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from .files_disk import Disk
from .files_layout import document
from .sqlite_rows import CHANNELS_BY_KEY

_FEW = 50
_PAGE = 500


class Lists:
    """`channels.json` and `session_index.json`. Nothing is read from them."""

    def __init__(self, root: Path, index: sqlite3.Connection, disk: Disk) -> None:
        self._root = root
        self._index = index
        self._disk = disk
        self._enough = _FEW
        self.changed = 0
        """Channels and sessions that were opened, closed or renamed since the lists were written."""

    def keep_up(self) -> None:
        """Writes the lists when more than a tenth of what they tell has changed: that costs each change little."""
        if self.changed > self._enough:
            self.write()

    def write(self) -> None:
        """Writes the lists, if anything changed; trouble is let pass, for they can be made anew."""
        if not self.changed:
            return
        self.changed = 1  # should it fail, closing tries once more
        with contextlib.suppress(OSError, sqlite3.Error):
            self._disk.replace(self._root / "channels.json", _array(self._channels()))
            self._disk.replace(self._root / "session_index.json", _array(self._sessions()))
            self._disk.sync()
            (many,) = self._index.execute("SELECT count(*) FROM folders").fetchone()
            self._enough = max(_FEW, many // 10)
            self.changed = 0
        self._disk.settle()

    def _channels(self) -> Iterator[bytes]:
        after = ""
        while found := json.loads(self._index.execute(CHANNELS_BY_KEY, (after, _PAGE)).fetchone()[0]):
            yield from (document(channel).rstrip() for channel in found)
            after = f"{found[-1]['front']}:{found[-1]['id']}"

    def _sessions(self) -> Iterator[bytes]:
        for (row,) in self._index.execute(_SESSIONS):
            yield row.encode()


def _array(values: Iterator[bytes]) -> Iterator[bytes]:
    between = b"[\n"
    for value in values:
        yield between + value
        between = b",\n"
    yield b"\n]\n" if between == b",\n" else b"[]\n"


_SESSIONS = """
SELECT json_object('id', s.session_id, 'folder', f.path, 'channel', s.channel_key, 'title', s.title,
    'opened_at', s.started_at, 'last_at', s.last_at, 'closed_at', s.closed_at, 'messages', s.message_count)
FROM sessions AS s CROSS JOIN folders AS f USING (session_id) ORDER BY s.last_at DESC, s.id DESC
"""
