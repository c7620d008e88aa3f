"""Brings the index in step with the files when a store opens: after a crash, after an edit by hand, or from nothing.

Only what changed since the index last saw it is read. Messages keep their order: inside a session that of its file,
and between sessions that in which they were kept, or, where no index remembers, that of their times. Of sessions in
which a person last spoke at the same moment, the one whose folder's name comes later counts as the newer.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from .. import words
from ..errors import Unavailable
from ..model import Channel, Session, storable
from ..progress import Tell
from ..records import Memory, Profile, Record
from . import sqlite_rows
from .changes import Amend, Append, Change, KeepChannel, KeepRecords, SaveSession
from .files_disk import state
from .files_layout import (
    CHANNEL,
    KINDS,
    LISTS,
    MESSAGES,
    META,
    PROFILES,
    TORN,
    Unreadable,
    heal,
    lines,
    message_of,
    profile_file,
    read_document,
    record_of,
    understood,
)
from .json_text import json_text
from .sqlite_writer import Writer

_TOGETHER = 500
_TOLD = 1000
"""The most problems that are told one by one."""


class CatchUp:
    """Works on the writer's thread, before anything is put."""

    def __init__(self, root: Path, writer: Writer, index: sqlite3.Connection, tell: Tell) -> None:
        self._root = root
        self._writer = writer
        self._index = index
        self._tell = tell
        self._read = 0
        self.problems: list[str] = []
        self.homeless: set[str] = set()
        """The keys of channels that have no `channel.json` and need one."""
        self.loaded = 0
        """Sessions that were read."""

    def run(self) -> None:
        """Raises `Unavailable` where a folder cannot be read."""
        try:
            self._find()
            for (path,) in self._index.execute("SELECT path FROM met ORDER BY name, path").fetchall():
                self._session(path)
            self._forget_missing()
            for kind, name in LISTS.items():
                self._list(kind, name)
            self._profiles()
            self._order()
        except OSError as error:
            raise Unavailable(
                f"{error.filename or self._root} could not be read ({error.strerror}): check that it belongs to the "
                "user who runs the bot and that the disk is healthy. Nothing in it was changed."
            ) from error
        self._index.execute("DELETE FROM removed")
        for table in ("met", "before", "renumbered"):
            self._index.execute(f"DROP TABLE {table}")

    def _find(self) -> None:
        """Notes every session's folder, and takes in the channels."""
        for statement in _TABLES:  # once: making one has every statement compiled anew
            self._index.execute(statement)
        for kind in KINDS:
            for home in self._folders(kind):
                self._transact(self._channel, home)
                names = self._folders(home)
                rows = ((path, Path(path).name) for path in names)
                self._index.executemany("INSERT INTO met VALUES (?, ?)", rows)
        for key, home in self._index.execute("SELECT channel_key, path FROM homes").fetchall():
            if not (self._root / home).is_dir():
                self._index.execute("DELETE FROM homes WHERE channel_key = ?", (key,))

    def _folders(self, within: str) -> list[str]:
        found: list[str] = []
        if (self._root / within).is_dir():
            with os.scandir(self._root / within) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        self._complain(f"{entry.path} is a link: it is not followed.")
                    elif entry.is_dir(follow_symlinks=False):
                        found.append(storable(f"{within}/{entry.name}"))
        return sorted(found)

    def _channel(self, home: str) -> None:
        path = f"{home}/{CHANNEL}"
        now = state(self._root / path)
        if not now or not self._is_new(path, now):
            return
        try:
            channel: Channel = read_document(self._root / path, Channel)
        except Unreadable as error:
            self._complain(f"{error}.")
            return
        row = self._index.execute("SELECT path FROM homes WHERE channel_key = ?", (channel.key,)).fetchone()
        if row and row[0] != home and state(self._root / row[0] / CHANNEL):
            self._complain(f"{self._root / path} is of the channel that has {self._root / row[0]} already: not read.")
            return
        self._index.execute("INSERT OR REPLACE INTO homes VALUES (?, ?)", (channel.key, home))
        self._writer.take_in([KeepChannel(channel)])
        past = (json_text(channel.past_names), json_text(channel.past_guild_names))
        update = "UPDATE channels SET past_names = ?, past_guild_names = ? WHERE key = ?"
        self._index.execute(update, (*past, storable(channel.key)))
        self._see(path, now)

    def _session(self, path: str) -> None:
        folder = self._root / path
        now = (state(folder / MESSAGES), state(folder / META))
        query = "SELECT session_id, lines, meta FROM folders WHERE path = ?"
        known_id, *known = self._index.execute(query, (path,)).fetchone() or ("", "", "")
        if tuple(known) == now:
            return
        session = self._meta(path, known_id) if any(now) else None
        if session is None:
            return
        if known_id and known_id != session.id:
            self._transact(self._forget, known_id)
        query = "SELECT path FROM folders WHERE session_id = ? AND path <> ?"
        for (other,) in self._index.execute(query, (session.id, path)).fetchall():
            if self._holds(other, session.id):
                self._complain(f"{folder} is a copy of {self._root / other}: it is not read.")
                return
        self._transact(self._load, path, session)
        self.loaded += 1

    def _meta(self, path: str, known_id: str) -> Session | None:
        """A session's own file; where it cannot be read, the session as the index or its first line remembers it."""
        try:
            session: Session = read_document(self._root / path / META, Session)
            sqlite_rows.session_row(session)  # its times say where they are
            return session
        except (Unreadable, ValueError) as error:
            found = self._index.execute(sqlite_rows.SESSION_BY_ID, (known_id,)).fetchone()[0]
            remembered = next(iter(sqlite_rows.SESSIONS.validate_json(found)), None)
            try:
                remembered = remembered or self._guessed(path)
            except Unreadable as unreadable:
                self._complain(f"{unreadable}.")
            how = "is read without it" if remembered else "is not read"
            self._complain(f"{self._root / path} {how}: {error}.")
            return remembered

    def _guessed(self, path: str) -> Session | None:
        query = "SELECT channel_key FROM homes WHERE path = ?"
        for (key,) in self._index.execute(query, (str(Path(path).parent),)).fetchall():
            found = self._index.execute(sqlite_rows.CHANNEL_BY_KEY, (key,)).fetchone()[0]
            for channel in sqlite_rows.CHANNELS.validate_json(found):
                for _, raw in lines(self._root / path / MESSAGES):
                    if first := message_of(raw):
                        return Session(id=first.session_id, channel=channel, opened_at=first.at, last_at=first.at)
        return None

    def _holds(self, path: str, session_id: str) -> bool:
        try:
            return bool(read_document(self._root / path / META, Session).id == session_id)
        except Unreadable:
            return False

    def _load(self, path: str, session: Session) -> None:
        file = self._root / path / MESSAGES
        self._heal(file)
        now = state(file), state(self._root / path / META)
        self._index.execute("DELETE FROM before")
        query = "SELECT id, message_id FROM messages WHERE session = (SELECT id FROM sessions WHERE session_id = ?)"
        many = self._index.execute(f"INSERT INTO before {query}", (session.id,)).rowcount
        if many:
            self._writer.unload(session.id)
        if self._index.execute("SELECT 1 FROM homes WHERE channel_key = ?", (session.channel.key,)).fetchone() is None:
            home = str(Path(path).parent)
            self._index.execute("INSERT OR IGNORE INTO homes VALUES (?, ?)", (session.channel.key, home))
            self.homeless.add(session.channel.key)
        if session.channel.key in self.homeless:
            self._writer.take_in([KeepChannel(session.channel)])
        self._writer.take_in([SaveSession(session)])
        changes, last_at = self._load_lines(file, session)
        self._writer.take_in([SaveSession(session.model_copy(update={"last_at": last_at}))])
        row = (session.id, path, *now, changes, sqlite_rows.stamp(last_at))
        self._index.execute("INSERT OR REPLACE INTO folders VALUES (?, ?, ?, ?, ?, ?)", row)
        if many:
            self._restore_numbers()

    def _load_lines(self, file: Path, session: Session) -> tuple[int, datetime]:
        """How many lines tell only of others, and when somebody last spoke."""
        waiting: list[tuple[str, Change]] = []
        changes, last_at = 0, session.last_at
        if not state(file):
            return changes, last_at
        for number, raw in lines(file):
            where = f"{file}:{number}"
            self._read += 1
            if self._read % _TOGETHER == 0:
                self._tell("reading the files", self._read, 0)
            if not raw.strip():
                continue
            try:
                said = understood(raw, session)
            except Unreadable as error:
                self._complain(f"{where}: this line cannot be read ({error}): it is left as it is.")
                continue
            if isinstance(said, datetime):
                last_at = said
                continue
            if isinstance(said, Append) and said.message.sender.type == "user":
                last_at = said.message.at
            changes += not isinstance(said, Append)
            waiting.append((where, said))
            if len(waiting) == _TOGETHER:
                self._take_in(waiting)
                waiting = []
        self._take_in(waiting)
        return changes, last_at

    def _take_in(self, told: Sequence[tuple[str, Change]]) -> None:
        """Writes what lines tell; where one of them spoils it, one after the other."""
        self._index.execute("SAVEPOINT lines")
        try:
            outcomes = self._writer.take_in([change for _, change in told])
        except (ValueError, OverflowError, sqlite3.IntegrityError) as error:
            self._index.execute("ROLLBACK TO lines")
            if len(told) > 1:
                for each in told:
                    self._take_in([each])
            else:
                self._complain(f"{told[0][0]}: this line cannot be kept ({error}): it is left as it is.")
            outcomes = []
        self._index.execute("RELEASE lines")
        for (where, change), outcome in zip(told, outcomes, strict=False):
            if outcome is False:
                self._complain(f"{where}: this message is kept already, here or elsewhere: it is told once.")
            elif outcome is None and isinstance(change, Amend):
                self._complain(f"{where}: this line tells of a message that is not here: it is left as it is.")

    def _restore_numbers(self) -> None:
        """Gives messages that were read anew the places that they had before, if they are in the same order still."""
        self._index.execute("DELETE FROM renumbered")
        self._index.execute(
            "INSERT INTO renumbered SELECT m.id, b.id FROM before AS b JOIN messages AS m USING (message_id)"
        )
        session = "(SELECT session FROM messages WHERE id = (SELECT min(old) FROM renumbered))"
        new = f"SELECT min(id) FROM messages WHERE session = {session} AND id NOT IN (SELECT old FROM renumbered)"
        (same,) = self._index.execute(
            "SELECT NOT EXISTS (SELECT 1 FROM (SELECT new, lag(new) OVER (ORDER BY old) AS last FROM renumbered) "
            "WHERE new < last) AND ifnull((SELECT max(max(old), max(new)) FROM renumbered) < "
            f"({new}), true)"
        ).fetchone()
        if same:
            self._renumber()
            query = "SELECT id, content FROM messages JOIN renumbered ON id = new WHERE id <= "
            query += "(SELECT value FROM facts WHERE name = 'indexed')"
            spelt = [(number, words.words(content)) for number, content in self._index.execute(query)]
            self._index.executemany("INSERT INTO search (rowid, words) VALUES (?, ?)", spelt)

    def _order(self) -> None:
        """Where nobody remembers in which order messages of different sessions came, their times tell."""
        if self._index.execute("SELECT 1 FROM facts WHERE name = 'ordered'").fetchone():
            return

        def order() -> None:
            self._index.execute("DELETE FROM renumbered")
            self._index.execute(_BY_TIME)
            self._renumber()
            self._index.execute("INSERT INTO facts VALUES ('ordered', 1)")

        self._transact(order)

    def _renumber(self) -> None:
        self._index.execute("PRAGMA defer_foreign_keys = ON")
        for table, column in (("messages", "id"), ("pages", "message"), ("attachments", "message")):
            moved = f"UPDATE {table} SET {column} = -new FROM renumbered WHERE {column} = old AND old <> new"
            self._index.execute(moved)
            self._index.execute(f"UPDATE {table} SET {column} = -{column} WHERE {column} < 0")

    def _forget_missing(self) -> None:
        query = "SELECT session_id, path FROM folders"
        for session_id, path in self._index.execute(query).fetchall():
            if not (state(self._root / path / MESSAGES) or state(self._root / path / META)):
                self._transact(self._forget, session_id)
        homes = "SELECT channel_key FROM homes UNION SELECT channel_key FROM sessions"
        self._index.execute(f"DELETE FROM channels WHERE key NOT IN ({homes})")

    def _forget(self, session_id: str) -> None:
        self._writer.unload(session_id)
        self._index.execute("DELETE FROM sessions WHERE session_id = ?", (session_id,))
        self._index.execute("DELETE FROM folders WHERE session_id = ?", (session_id,))

    def _list(self, kind: type[Record], name: str) -> None:
        if self._is_new(name, state(self._root / name)):
            self._transact(self._load_list, kind, name)

    def _load_list(self, kind: type[Record], name: str) -> None:
        file = self._root / name
        self._heal(file)
        self._index.execute("DELETE FROM records WHERE kind = ?", (kind.kind,))
        if kind is Memory:
            self._index.execute("DELETE FROM vectors")
        waiting: list[tuple[str, Change]] = []
        number = 0
        for number, raw in lines(file) if state(file) else ():
            if raw.strip():
                self._gather(f"{file}:{number}", raw, kind, waiting)
        self._take_in(waiting)
        self._index.execute("INSERT OR REPLACE INTO told VALUES (?, ?)", (name, number))
        self._see(name, state(file))

    def _gather(self, where: str, raw: bytes, kind: type[Record], waiting: list[tuple[str, Change]]) -> None:
        try:
            waiting.append((where, KeepRecords((record_of(raw, kind),))))
        except Unreadable as error:
            self._complain(f"{where}: this line cannot be read ({error}): it is left as it is.")
        if len(waiting) == _TOGETHER:
            self._take_in(waiting)
            waiting.clear()

    def _profiles(self) -> None:
        known = self._index.execute("SELECT id FROM records WHERE kind = 'profile'").fetchall()
        for (id,) in known:
            if not state(self._root / profile_file(id)):
                self._index.execute("DELETE FROM records WHERE kind = 'profile' AND id = ?", (id,))
                self._index.execute("DELETE FROM seen WHERE path = ?", (str(profile_file(id)),))
        for folder in self._folders(PROFILES):
            path = f"{folder}/profile.json"
            now = state(self._root / path)
            if not now or not self._is_new(path, now):
                continue
            try:
                profile: Profile = read_document(self._root / path, Profile)
            except Unreadable as error:
                self._complain(f"{error}.")
                continue
            if str(profile_file(profile.id)) != path:
                self._complain(f"{self._root / path} is a copy of {self._root / profile_file(profile.id)}: not read.")
                continue
            self._transact(self._take_in, [(str(self._root / path), KeepRecords((profile,)))])
            self._see(path, now)

    def _heal(self, file: Path) -> None:
        try:
            if heal(file):
                aside = file.parent / TORN
                self._complain(f"{file}: its last line was torn off: what there was of it stands in {aside}.")
        except Unreadable as error:
            self._complain(f"{error}.")

    def _is_new(self, path: str, now: str) -> bool:
        row = self._index.execute("SELECT state FROM seen WHERE path = ?", (path,)).fetchone()
        return bool((row[0] if row else "") != now)

    def _see(self, path: str, now: str) -> None:
        self._index.execute("INSERT OR REPLACE INTO seen VALUES (?, ?)", (path, now))

    def _transact(self, work: Callable[..., None], *given: Any) -> None:
        self._index.execute("BEGIN IMMEDIATE")
        try:
            work(*given)
            self._index.execute("COMMIT")
        finally:
            if self._index.in_transaction:
                self._index.execute("ROLLBACK")

    def _complain(self, sentence: str) -> None:
        if len(self.problems) < _TOLD:
            self.problems.append(sentence)


_TABLES = (
    "CREATE TEMP TABLE met (path TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TEMP TABLE before (id INTEGER NOT NULL, message_id TEXT PRIMARY KEY)",
    "CREATE TEMP TABLE renumbered (old INTEGER PRIMARY KEY, new INTEGER NOT NULL)",
)
_BY_TIME = """
INSERT INTO renumbered
SELECT id, row_number() OVER (ORDER BY reached, session, id)
FROM (SELECT id, session, max(at) OVER (PARTITION BY session ORDER BY id) AS reached FROM messages)
"""
