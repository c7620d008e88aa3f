"""Writes every change into files before it counts: lines appended and synced, whole files replaced in one step.

What is acknowledged is on the disk: the file a line went to is synced, and its folder too when the file is new. A
line that could not be written whole is cut off again.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import Unavailable
from ..model import Message, Profile, Record, Session, Spent
from . import sqlite_rows
from .changes import (
    Amend,
    Append,
    Change,
    KeepChannel,
    KeepReceipts,
    KeepRecords,
    RemoveMessages,
    RemoveRecords,
    RemoveSessions,
    SaveSession,
)
from .files_layout import (
    LISTS,
    MESSAGES,
    META,
    attachment_name,
    channel_folder,
    document,
    line,
    profile_file,
    session_folder,
)
from .sqlite_records import every_record

_OPEN = 64
"""Files that are kept open."""
_REMEMBERED = 4096

TABLES = """
CREATE TABLE IF NOT EXISTS folders (
    session_id TEXT NOT NULL PRIMARY KEY,
    channel_key TEXT NOT NULL,
    path TEXT NOT NULL, -- counted from the root
    size INTEGER NOT NULL, -- bytes of messages.jsonl that stand in the tables
    meta INTEGER NOT NULL, -- when session_meta.json was written, in nanoseconds
    changes INTEGER NOT NULL -- lines that only say what happened to another
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS idx_folders_channel ON folders(channel_key);
CREATE TEMP TABLE removed (session INTEGER NOT NULL, message_id TEXT NOT NULL);
CREATE TEMP TRIGGER note_removed AFTER DELETE ON main.messages BEGIN
    INSERT INTO removed VALUES (OLD.session, OLD.message_id);
END;
"""


class Files:
    """The files of one root, as a journal of what is asked of the store."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: OrderedDict[Path, int] = OrderedDict()
        self._metas: dict[str, dict[str, Any]] = {}
        self._undo: list[Callable[[], object]] = []

    def write(self, changes: Sequence[Change], connection: sqlite3.Connection) -> None:
        """Keeps the changes; raises `Unavailable` when it kept none."""
        self._undo.clear()
        try:
            lines: dict[str, list[bytes]] = {}
            for change in changes:
                self._take(change, lines, connection)
            for session_id, told in lines.items():
                self._append(session_id, told, connection)
            self._rewrite_removed(connection)
        except OSError as error:
            self._metas.clear()
            for step in reversed(self._undo):
                with contextlib.suppress(OSError):
                    step()
            raise Unavailable(
                f"{error.filename or self._root} could not be written ({error.strerror}): check that the disk has room "
                "and that the folder belongs to the user who runs the bot. Nothing acknowledged is lost."
            ) from error

    def close(self) -> None:
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()

    def _take(self, change: Change, lines: dict[str, list[bytes]], connection: sqlite3.Connection) -> None:
        match change:
            case Append(session, message):
                self._keep_meta(session, connection)
                lines.setdefault(session.id, []).append(line(message))
                self._link(message, connection)
            case SaveSession(session):
                self._keep_meta(session, connection)
                if session.closed_at is not None and session.id not in lines:
                    self._compact(session.id, connection)
            case KeepReceipts(message_id, receipts):
                told = line({"receipts": message_id, "pages": receipts})
                self._about(message_id, told, lines, connection)
            case Amend(message_id, amendment):
                self._about(message_id, line({"amend": message_id, "change": amendment}), lines, connection)
            case KeepChannel():
                self.write_channels(connection)
            case RemoveSessions(ids):
                for session_id in ids:
                    self._drop(session_id, connection)
            case KeepRecords(records):
                self._keep_records(records)
            case RemoveRecords(kind, ids):
                self._remove_records(kind, ids, connection)
            case RemoveMessages():
                pass  # `removed` tells which

    def _about(
        self, message_id: str, told: bytes, lines: dict[str, list[bytes]], connection: sqlite3.Connection
    ) -> None:
        query = "SELECT session_id FROM messages JOIN sessions ON sessions.id = session WHERE message_id = ?"
        for (session_id,) in connection.execute(query, (message_id,)).fetchall():
            lines.setdefault(session_id, []).append(told)
            connection.execute("UPDATE folders SET changes = changes + 1 WHERE session_id = ?", (session_id,))

    def _append(self, session_id: str, told: list[bytes], connection: sqlite3.Connection) -> None:
        path = self._folder(session_id, connection) / MESSAGES
        descriptor = self._open(path)
        before = os.fstat(descriptor).st_size
        self._undo.append(lambda: os.truncate(path, before))
        data = b"".join(told)
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
        size = os.fstat(descriptor).st_size
        connection.execute("UPDATE folders SET size = ? WHERE session_id = ?", (size, session_id))

    def _keep_meta(self, session: Session, connection: sqlite3.Connection) -> None:
        """Writes a session's own file when more changed than the last word and the count, which the lines tell."""
        told = {**session.__dict__, "message_count": None, "last_at": None}
        if self._metas.get(session.id) == told:
            return
        folder = self._place(session, connection)
        self.replace(folder / META, document(session.model_copy(update={"message_count": 0})))
        stamp = (folder / META).stat().st_mtime_ns
        connection.execute("UPDATE folders SET meta = ? WHERE session_id = ?", (stamp, session.id))
        if len(self._metas) > _REMEMBERED:
            self._metas.clear()
        self._metas[session.id] = told

    def _place(self, session: Session, connection: sqlite3.Connection) -> Path:
        """The session's folder, made or renamed as it should be."""
        key = session.channel.key
        mine = connection.execute("SELECT path FROM folders WHERE session_id = ?", (session.id,)).fetchone()
        near = mine or connection.execute("SELECT path FROM folders WHERE channel_key = ? LIMIT 1", (key,)).fetchone()
        home = Path(near[0]).parent if near else channel_folder(session.channel)
        wanted = session_folder(home, session)
        if mine and Path(mine[0]) != wanted:
            self._forget(self._root / mine[0] / MESSAGES)
            (self._root / mine[0]).rename(self._root / wanted)
            self._undo.append(lambda: (self._root / wanted).rename(self._root / mine[0]))
        (self._root / wanted).mkdir(parents=True, exist_ok=True, mode=0o700)
        _sync(self._root / home)
        connection.execute(
            "INSERT INTO folders VALUES (?, ?, ?, 0, 0, 0) ON CONFLICT (session_id) DO UPDATE SET path = excluded.path",
            (session.id, key, str(wanted)),
        )
        return self._root / wanted

    def _compact(self, session_id: str, connection: sqlite3.Connection) -> None:
        """Rewrites a session's lines as they stand now, if some only said what happened to others."""
        row = connection.execute("SELECT changes FROM folders WHERE session_id = ?", (session_id,)).fetchone()
        if row and row[0]:
            self._rewrite(session_id, connection)

    def _rewrite(self, session_id: str, connection: sqlite3.Connection) -> None:
        query = (
            "SELECT m.* FROM messages AS m JOIN sessions AS s ON s.id = session WHERE s.session_id = ?1 ORDER BY m.id"
        )
        found, _ = connection.execute(sqlite_rows.messages_where(query), (session_id,)).fetchone()
        path = self._folder(session_id, connection) / MESSAGES
        self._forget(path)
        data = b"".join(map(line, sqlite_rows.MESSAGES.validate_json(found)))
        self.replace(path, data)
        connection.execute("UPDATE folders SET size = ?, changes = 0 WHERE session_id = ?", (len(data), session_id))

    def _rewrite_removed(self, connection: sqlite3.Connection) -> None:
        """What was removed must not linger in a file; what it took is noted."""
        if not connection.execute("SELECT EXISTS (SELECT 1 FROM removed)").fetchone()[0]:
            return
        query = "SELECT DISTINCT session_id FROM removed JOIN sessions ON sessions.id = session"
        for (session_id,) in connection.execute(query).fetchall():
            self._rewrite(session_id, connection)
        gone = connection.execute(
            "SELECT body FROM records JOIN removed ON id = message_id WHERE kind = 'spent'"
        ).fetchall()
        self._keep_records([Spent.model_validate_json(body) for (body,) in gone])
        connection.execute("DELETE FROM removed")

    def _drop(self, session_id: str, connection: sqlite3.Connection) -> None:
        row = connection.execute("SELECT path FROM folders WHERE session_id = ?", (session_id,)).fetchone()
        if row is not None:
            folder = self._root / row[0]
            self._forget(folder / MESSAGES)
            self._metas.pop(session_id, None)
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                folder.parent.rmdir()  # the channel's last session
            connection.execute("DELETE FROM folders WHERE session_id = ?", (session_id,))

    def _keep_records(self, records: Iterable[Record]) -> None:
        lists: dict[type[Record], list[bytes]] = {}
        for record in records:
            if isinstance(record, Profile):
                self.replace(self._root / profile_file(record.id), document(record))
            else:
                lists.setdefault(type(record), []).append(line(record))
        for kind, told in lists.items():
            path = self._root / LISTS[kind]
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = self._open(path)
            before = os.fstat(descriptor).st_size
            self._undo.append(lambda path=path, before=before: os.truncate(path, before))  # type: ignore[misc]
            os.write(descriptor, b"".join(told))
            os.fsync(descriptor)

    def _remove_records(self, kind: type[Record], ids: Sequence[str], connection: sqlite3.Connection) -> None:
        if kind is Profile:
            for user_id in ids:
                (self._root / profile_file(user_id)).unlink(missing_ok=True)
            return
        path = self._root / LISTS[kind]
        self._forget(path)
        self.replace(path, b"".join(line(record) for record in every_record(connection, kind)))

    def write_channels(self, connection: sqlite3.Connection) -> None:
        """All channels in one file, for people, and for those in which nothing was said yet."""
        (found,) = connection.execute(sqlite_rows.CHANNELS_BY_KEY, ("", -1)).fetchone()
        self.replace(self._root / "channels.json", document(json.loads(found)))

    def write_index(self, connection: sqlite3.Connection) -> None:
        """All sessions in one file, for people."""
        rows = connection.execute(_SESSIONS)
        told = [json.loads(row) for (row,) in rows]
        self.replace(self._root / "session_index.json", document(told))

    def replace(self, path: Path, data: bytes) -> None:
        """Puts a whole file in place of another in one step, power cut or not."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f".{path.name}.new")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync(path.parent)

    def _link(self, message: Message, connection: sqlite3.Connection) -> None:
        """Shows the files of a message beside it under their own names, where they are kept in this root."""
        for attachment in message.attachments:
            kept = self._root / "attachments" / (attachment.blob or "")[:2] / (attachment.blob or "")
            if attachment.blob and kept.is_file():
                shown = self._folder(message.session_id, connection) / "attachments" / attachment_name(attachment)
                shown.parent.mkdir(exist_ok=True, mode=0o700)
                with contextlib.suppress(OSError):  # there already, or a disk without links: the message says where
                    os.link(kept, shown)

    def _folder(self, session_id: str, connection: sqlite3.Connection) -> Path:
        (path,) = connection.execute("SELECT path FROM folders WHERE session_id = ?", (session_id,)).fetchone()
        return self._root / str(path)

    def _open(self, path: Path) -> int:
        if path in self._files:
            self._files.move_to_end(path)
            return self._files[path]
        fresh = not path.exists()
        self._files[path] = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if fresh:
            _sync(path.parent)
        if len(self._files) > _OPEN:
            os.close(self._files.popitem(last=False)[1])
        return self._files[path]

    def _forget(self, path: Path) -> None:
        if path in self._files:
            os.close(self._files.pop(path))


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_SESSIONS = """
SELECT json_object('id', s.session_id, 'folder', f.path, 'channel', s.channel_key, 'title', s.title,
    'opened_at', s.started_at, 'last_at', s.last_at, 'closed_at', s.closed_at, 'messages', s.message_count)
FROM sessions AS s JOIN folders AS f USING (session_id) ORDER BY s.started_at, s.id
"""
