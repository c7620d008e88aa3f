"""Shows the files that people sent beside the messages that speak of them, under their own names."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ..model import Attachment
from . import sqlite_rows
from .files_disk import Disk, state
from .files_layout import attachment_name


class Attachments:
    """A folder `attachments` in a session's own; the bytes are shared with the bot's blobs, by links."""

    def __init__(self, root: Path, index: sqlite3.Connection, disk: Disk) -> None:
        self._root = root
        self._index = index
        self._disk = disk

    def show(self, session_id: str, path: str) -> None:
        """Shows the files of a session beside its messages under their own names, where they are kept in this root."""
        for attachment in self._of(session_id):
            blob = attachment.blob or ""
            kept = self._root / "attachments" / blob[:2] / blob
            shown = self._root / path / "attachments" / attachment_name(attachment)
            if re.fullmatch("[0-9a-f]{64}", blob) and state(kept) and not os.path.lexists(shown):
                self._disk.make(shown.parent)
                with contextlib.suppress(OSError):  # a disk without links: the message says where it is
                    os.link(kept, shown)

    def tidy(self, session_id: str, path: str) -> None:
        """Takes away what no message of a session speaks of any more."""
        folder = self._root / path / "attachments"
        if folder.is_dir():
            wanted = {attachment_name(attachment) for attachment in self._of(session_id)}
            for name in set(os.listdir(folder)) - wanted:
                self._disk.remove(folder / name)

    def _of(self, session_id: str) -> Iterator[Attachment]:
        query = "SELECT DISTINCT message FROM attachments JOIN messages AS m ON m.id = message JOIN sessions AS s"
        query = f"SELECT * FROM messages WHERE id IN ({query} ON s.id = m.session WHERE s.session_id = ?1)"
        found, _ = self._index.execute(sqlite_rows.messages_where(query), (session_id,)).fetchone()
        for message in sqlite_rows.MESSAGES.validate_json(found):
            for parts in (message.parts, *(edit.parts for edit in message.edits)):
                yield from (part for part in parts if isinstance(part, Attachment))
