"""Writes every change into the files before it counts, as the index has it by then.

A line is appended, or a whole file is replaced, and all of it is on the disk before the index commits: when that
fails the files are put back as they were. A session's lines are rewritten, without what only said what happened to
others, when it closes, and whenever something is removed; a line that nobody can read goes along as it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import Unavailable
from ..model import Message, Session, storable
from ..records import Spent
from . import sqlite_rows
from .changes import (
    Amend,
    Append,
    Change,
    KeepChannel,
    KeepReceipts,
    KeepRecords,
    RemoveChannels,
    RemoveMessages,
    RemoveRecords,
    RemoveSessions,
    SaveSession,
)
from .files_attachments import Attachments
from .files_disk import Disk, state
from .files_homes import Homes
from .files_layout import (
    CHANNEL,
    MESSAGES,
    META,
    Unreadable,
    about,
    line,
    lines,
    meta,
    session_name,
    tail,
)
from .files_lists import Lists
from .files_records import Records
from .files_seen import EDITED, Seen

_REMEMBERED = 4096

TABLES = """
CREATE TABLE IF NOT EXISTS folders (
    session_id TEXT NOT NULL PRIMARY KEY,
    path TEXT NOT NULL UNIQUE, -- counted from the root
    lines TEXT NOT NULL, -- the state of messages.jsonl that stands in the tables
    meta TEXT NOT NULL, -- that of session_meta.json
    changes INTEGER NOT NULL, -- lines that only say what happened to others
    last_at TEXT NOT NULL -- when somebody last spoke, as the lines tell
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS homes (
    channel_key TEXT NOT NULL PRIMARY KEY,
    path TEXT NOT NULL UNIQUE
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen ( -- channels, profiles and lists of records
    path TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS told (
    path TEXT NOT NULL PRIMARY KEY,
    lines INTEGER NOT NULL -- that a list of records has at most
) WITHOUT ROWID;
CREATE TEMP TABLE removed (session INTEGER NOT NULL, message_id TEXT NOT NULL);
CREATE TEMP TRIGGER note_removed AFTER DELETE ON main.messages BEGIN
    INSERT INTO removed VALUES (OLD.session, OLD.message_id);
END;
CREATE TEMP TABLE asked (session INTEGER NOT NULL, message_id TEXT NOT NULL);
CREATE TEMP TRIGGER note_asked AFTER UPDATE OF asker ON main.messages BEGIN
    INSERT INTO asked VALUES (NEW.session, NEW.message_id);
END;
"""


class Files:
    """The files of one root, as a journal of what is asked of the store; `index` is the writer's connection."""

    def __init__(self, root: Path, index: sqlite3.Connection) -> None:
        self._root = root
        self._index = index
        self._disk = Disk(root)
        self._disk.sweep()
        self._lists = Lists(root, index, self._disk)
        self._attachments = Attachments(root, index, self._disk)
        self._seen = Seen(root, index, self._disk)
        self._homes = Homes(root, index, self._disk, self._seen)
        self._records = Records(root, index, self._disk, self._seen)
        self._metas: dict[str, dict[str, Any]] = {}
        self._changed: dict[str, None] = {}
        """Sessions of which more than the last word changed in this batch."""
        self._lines: dict[str, list[bytes]] = {}
        self._spoke: dict[str, datetime] = {}
        self._gone: dict[str, set[str]] = {}
        """By session, the messages that this batch removes."""
        self._asked: dict[str, set[str]] = {}
        """By session, the answers whose questions this batch removes, until their lines tell who asked."""

    def write(self, changes: Sequence[Change]) -> None:
        """Keeps the changes; raises `Unavailable` when it could not."""
        with self._explained():
            if any(isinstance(change, RemoveMessages | RemoveSessions) for change in changes):
                self._note_removed()
            for change in changes:
                self._take(change)
            self._flush()
            for session_id, answers in self._asked.items():
                if answers:
                    self._rewrite(session_id, set())
            self._disk.sync()

    def settle(self) -> None:
        """Told once the index has committed."""
        self._forget_batch()
        self._disk.settle()
        self._lists.keep_up()

    def take_back(self) -> None:
        """Told when it has not: the files are put back as they were."""
        self._forget_batch()
        self._metas.clear()
        self._disk.take_back()

    def house(self, keys: Collection[str]) -> None:
        """Writes the files of channels that have none, before anything is put. Raises `Unavailable`."""
        missed = self._index.execute(_MISSED).fetchall()  # by an opening that failed
        self._transact(lambda: [self._keep_channel(key) for key in {*keys, *(key for (key,) in missed)}])

    def compact(self) -> None:
        """Rewrites lists of records that grew too long, before anything is put; trouble is let pass."""
        with contextlib.suppress(Unavailable, sqlite3.Error):
            self._transact(self._records.compact)

    def scrub(self) -> None:
        """Rewrites every file that still tells what was changed or taken back since, between two batches. Raises
        `Unavailable`."""
        stale = self._index.execute("SELECT session_id FROM folders WHERE changes > 0").fetchall()
        for (session_id,) in stale:
            self._transact(lambda session_id=session_id: self._compact(session_id))  # type: ignore[misc]
        self._transact(lambda: self._records.compact(slack=0))
        self.write_lists(anew=True)

    def write_lists(self, *, anew: bool = False) -> None:
        """Brings the lists for people up to date, if they are not; `anew` where nobody can tell."""
        self._lists.changed += anew
        self._lists.write()

    def close(self) -> None:
        self._disk.close()

    def _transact(self, work: Callable[[], object]) -> None:
        self._index.execute("BEGIN IMMEDIATE")
        try:
            with self._explained():
                work()
                self._disk.sync()
            self._index.execute("COMMIT")
        except BaseException:
            if self._index.in_transaction:
                self._index.execute("ROLLBACK")
            self._disk.take_back()
            raise
        self._disk.settle()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (OSError, Unreadable) as error:
            what = f"{error.strerror}" if isinstance(error, OSError) else str(error)
            where = getattr(error, "filename", None) or self._root
            raise Unavailable(
                f"{where} could not be written ({what}): check that the disk has room and that the folder belongs to "
                "the user who runs the bot. Nothing acknowledged is lost."
            ) from error

    def _forget_batch(self) -> None:
        for noted in (self._changed, self._lines, self._spoke, self._gone, self._asked):
            noted.clear()

    def _take(self, change: Change) -> None:
        match change:
            case Append(session, message):
                self._gather(session).append(line(message))
                if message.sender.type == "user":
                    self._spoke[storable(session.id)] = message.at
            case SaveSession(session):
                self._gather(session)
            case KeepReceipts(message_id, receipts):
                self._tell_about(message_id, {"receipts": message_id, "pages": receipts})
            case Amend(message_id, amendment):
                self._tell_about(message_id, {"amend": message_id, "change": amendment})
            case KeepChannel(channel):
                self._keep_channel(channel.key)
            case RemoveMessages(ids):
                self._flush()
                self._remove_messages(set(map(storable, ids)))
            case RemoveSessions(ids):
                for session_id in map(storable, ids):
                    self._remove_session(session_id)
            case RemoveChannels(keys):
                for key in keys:
                    self._homes.remove(key)
                self._lists.changed += 1
            case KeepRecords(records):
                self._records.keep(records)
            case RemoveRecords(kind, ids):
                self._records.remove(kind, set(map(storable, ids)))

    def _gather(self, session: Session) -> list[bytes]:
        session_id = storable(session.id)
        if self._metas.get(session_id) != _own(session):
            self._changed[session_id] = None
        return self._lines.setdefault(session_id, [])

    def _tell_about(self, message_id: str, told: dict[str, Any]) -> None:
        query = "SELECT session_id FROM messages JOIN sessions ON sessions.id = session WHERE message_id = ?"
        for (session_id,) in self._index.execute(query, (storable(message_id),)).fetchall():
            self._lines.setdefault(session_id, []).append(line(told))
            self._index.execute("UPDATE folders SET changes = changes + 1 WHERE session_id = ?", (session_id,))

    def _flush(self) -> None:
        """Writes what was gathered. What was removed again later in the batch is in the index no more, and left out."""
        for session_id in self._changed:
            found = self._index.execute(sqlite_rows.SESSION_BY_ID, (session_id,)).fetchone()[0]
            for session in sqlite_rows.SESSIONS.validate_json(found):
                self._keep_meta(session)
        for session_id, told in self._lines.items():
            self._append(session_id, told)
        for session_id in self._changed:
            if session_id in self._metas and self._metas[session_id]["closed_at"] is not None:
                self._compact(session_id)
        self._forget_lines()

    def _forget_lines(self) -> None:
        for noted in (self._changed, self._lines, self._spoke):
            noted.clear()

    def _keep_meta(self, session: Session) -> None:
        if self._homes.of(session.channel.key) is None:
            self._keep_channel(session.channel.key)
        path = self._place(session)
        self._disk.replace(self._root / path / META, [meta(session)])
        stamp = state(self._root / path / META)
        self._index.execute("UPDATE folders SET meta = ? WHERE session_id = ?", (stamp, session.id))
        if len(self._metas) > _REMEMBERED:
            self._metas.clear()
        self._metas[session.id] = _own(session)
        self._lists.changed += 1

    def _place(self, session: Session) -> str:
        """The session's folder, made or renamed as it should be; one that somebody moved stays where it was put."""
        row = self._index.execute("SELECT path FROM folders WHERE session_id = ?", (session.id,)).fetchone()
        mine = row and str(row[0])
        key = session.channel.key
        home = str(Path(mine).parent) if mine else self._homes.of(key) or self._keep_channel(key)
        wanted = f"{home}/{session_name(session)}"
        if wanted != mine and os.path.lexists(self._root / wanted):
            wanted += f"~{tail(session.id)}"
        if mine is None:
            self._disk.make(self._root / wanted)
            row = (session.id, wanted, "", "", 0, sqlite_rows.stamp(session.last_at))
            self._index.execute("INSERT INTO folders VALUES (?, ?, ?, ?, ?, ?)", row)
        elif wanted != mine:
            self._disk.rename(self._root / mine, self._root / wanted)
            self._index.execute("UPDATE folders SET path = ? WHERE session_id = ?", (wanted, session.id))
        return wanted

    def _keep_channel(self, key: str) -> str:
        self._lists.changed += 1
        return self._homes.keep(key)

    def _append(self, session_id: str, told: list[bytes]) -> None:
        query = "SELECT path, lines, folders.last_at, sessions.last_at FROM folders JOIN sessions USING (session_id)"
        row = self._index.execute(f"{query} WHERE session_id = ?", (session_id,)).fetchone()
        if row is None:
            return
        path, known, told_at, last_at = row
        if last_at != (sqlite_rows.stamp(self._spoke[session_id]) if session_id in self._spoke else told_at):
            told = [*told, line({"last_at": last_at})]
        if not told:
            return
        file = self._root / path / MESSAGES
        before = self._disk.append(file, b"".join(told))
        after = state(file) if before == known else EDITED
        update = "UPDATE folders SET lines = ?, last_at = ? WHERE session_id = ?"
        self._index.execute(update, (after, last_at, session_id))
        if any(b'"blob"' in each for each in told):
            self._attachments.show(session_id, path)

    def _compact(self, session_id: str) -> None:
        row = self._index.execute("SELECT changes FROM folders WHERE session_id = ?", (session_id,)).fetchone()
        if row and row[0]:
            self._rewrite(session_id, set())

    def _remove_messages(self, ids: set[str]) -> None:
        for session_id, gone in self._gone.items():
            if gone & ids:
                self._rewrite(session_id, gone & ids)

    def _rewrite(self, session_id: str, gone: Collection[str]) -> None:
        query = "SELECT path, lines, last_at FROM folders WHERE session_id = ?"
        row = self._index.execute(query, (session_id,)).fetchone()
        if row is None:
            return
        path, known, last_at = row
        file = self._root / path / MESSAGES
        before = state(file)
        self._disk.replace(file, self._rewritten(file, gone, self._asked.get(session_id, set()), last_at))
        after = state(file) if before == known else EDITED
        self._index.execute("UPDATE folders SET lines = ?, changes = 0 WHERE session_id = ?", (after, session_id))
        if gone:
            self._attachments.tidy(session_id, path)

    def _rewritten(self, file: Path, gone: Collection[str], asked: set[str], last_at: str) -> Iterator[bytes]:
        """Each message as it stands in the index where something happened to it, else its line as it is. Strikes those
        that were written from `asked`."""
        told = [about(raw) for _, raw in lines(file)]
        changed = {id for kind, id in told if kind == "change"} | asked
        there = {id for kind, id in told if kind == "message"}
        derived = ""
        for _, raw in lines(file):
            kind, id = about(raw)
            if (
                kind == "time"
                or (kind == "change" and (id in there or id in gone))
                or (kind == "message" and id in gone)
            ):
                continue
            if kind == "message" and id in changed:
                found = self._message(id)
                raw = raw if found is None else line(found)
                asked.discard(id)
            if kind == "message":
                derived = _spoken(raw) or derived
            yield raw if raw.endswith(b"\n") else raw + b"\n"
        if derived != last_at:
            yield line({"last_at": last_at})

    def _message(self, message_id: str) -> Message | None:
        (found, _) = self._index.execute(sqlite_rows.MESSAGE_BY_ID, (message_id,)).fetchone()
        return next(iter(sqlite_rows.MESSAGES.validate_json(found)), None)

    def _note_removed(self) -> None:
        """What the batch removes, noted by a trigger; what it took is kept before it goes."""
        query = "SELECT session_id, message_id FROM removed JOIN sessions ON sessions.id = session"
        for session_id, message_id in self._index.execute(query):
            self._gone.setdefault(session_id, set()).add(message_id)
        query = "SELECT session_id, message_id FROM asked JOIN messages USING (message_id) JOIN sessions ON"
        for session_id, message_id in self._index.execute(f"{query} sessions.id = asked.session"):
            self._asked.setdefault(session_id, set()).add(message_id)
        self._index.execute("DELETE FROM asked")
        query = "SELECT body FROM records JOIN removed ON id = message_id WHERE kind = 'spent'"
        spent = [Spent.model_validate_json(body) for (body,) in self._index.execute(query)]
        self._index.execute("DELETE FROM removed")
        self._records.keep(spent)
        if spent:
            self._disk.sync()

    def _remove_session(self, session_id: str) -> None:
        row = self._index.execute("SELECT path FROM folders WHERE session_id = ?", (session_id,)).fetchone()
        for noted in (self._changed, self._lines, self._spoke, self._metas):
            noted.pop(session_id, None)
        if row is not None:
            self._disk.remove(self._root / row[0])
            self._index.execute("DELETE FROM folders WHERE session_id = ?", (session_id,))
            self._lists.changed += 1


def _own(session: Session) -> dict[str, Any]:
    """What of a session its own file tells first-hand."""
    return {**session.__dict__, "channel": session.channel.key, "message_count": None, "last_at": None}


def _spoken(raw: bytes) -> str:
    """When a line says that a person spoke; empty where it does not."""
    told = json.loads(raw)
    with contextlib.suppress(KeyError, TypeError, ValueError):
        if told["sender"]["type"] == "user":
            return sqlite_rows.stamp(datetime.fromisoformat(told["at"]))
    return ""


_MISSED = f"""
SELECT channel_key FROM homes JOIN channels ON key = channel_key
WHERE path || '/{CHANNEL}' NOT IN (SELECT path FROM seen)
"""
