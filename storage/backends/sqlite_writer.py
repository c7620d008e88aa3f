"""The one writer of an SQLite store: what waits is written together, in one commit."""

from __future__ import annotations

import json
import sqlite3
from array import array
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Protocol, TypeVar, cast

from ..amendments import AMENDMENT, Amendment, amended
from ..errors import StorageError, Unavailable
from ..model import Message
from ..records import Memory, Record
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
    Watch,
    located,
    unwatched,
)
from .group_commit import GroupCommit
from .json_text import json_text, storable_all
from .sqlite_batch import Batches
from .sqlite_file import Connection, explained, is_trouble
from .sqlite_index import CHUNK, Index
from .sqlite_rows import ASKER, KEPT_ALREADY, MESSAGE_BY_ID, MESSAGES, TIME, json_of, micros, parts_of, split

Result = TypeVar("Result")
_PLAIN = (KeepChannel, SaveSession, Append, KeepReceipts)


class Journal(Protocol):
    """Who is told of every change before it is committed, and may refuse it: another, more durable form."""

    def write(self, changes: Sequence[Change]) -> None:
        """Keeps the changes so that they survive a power cut; raises `StorageError` when it cannot."""

    def settle(self) -> None:
        """Told that what was written is committed."""

    def take_back(self) -> None:
        """Told that nothing is: what was written since the last commit must be undone."""


class Writer:
    """Takes changes from the event loop and writes them on the connection's thread, in the order they came."""

    def __init__(self, bot_name: str, connection: Connection, index: Index, journal: Journal | None = None) -> None:
        self._bot_name = bot_name
        self._connection = connection
        self._index = index
        self._journal = journal
        self._batches = Batches(bot_name, connection.inner)
        self._version = -1
        """SQLite's number for the state that other connections left."""
        self._idle: list[Amend] = []
        """Amendments of the batch that changed nothing."""
        self._changes = GroupCommit[Change | Callable[[], Any], Any](
            self._commit, connection.thread, spare=index.use_quiet
        )
        self.watch: Watch = unwatched

    async def put(self, change: Change) -> Any:
        """Returns the change's answer once it would survive a power cut."""
        with self.watch(change):
            return await self._changes.put(change)

    async def settled(self) -> None:
        """Returns once what was put so far is kept or refused."""
        await self._changes.put(RemoveMessages(()))  # changes are taken in the order in which they come

    async def catch_up(self) -> None:
        """Returns once the search knows everything kept so far."""
        while await self._changes.put(lambda: self._index.advance(CHUNK)):
            pass

    def take_in(self, changes: Sequence[Change]) -> list[Any]:
        """On the connection's thread, before anything is put: writes what the journal holds already."""
        with self._index.transaction():
            return self._in_turn(changes)

    def unload(self, session_id: str) -> None:
        """On the connection's thread, before anything is put: forgets a session's messages, to be taken in anew."""
        connection = self._connection.inner
        self._batches.forget()
        with self._index.transaction():
            row = connection.execute("SELECT id FROM sessions WHERE session_id = ?", (session_id,)).fetchone()
            if row is None:
                return
            for number, content in connection.execute("SELECT id, content FROM messages WHERE session = ?", row):
                self._index.replace(number, content, None)
            connection.execute("DELETE FROM messages WHERE session = ?", row)

    def recount(self) -> None:
        """On the connection's thread, after everything was taken in: the search learns how much is new to it."""
        self._index.recount()

    async def scrub(self) -> None:
        """Forgets the names of those who say nothing any more, takes removed words out of the search index too, and
        empties the log: what is deleted is overwritten anyway (`secure_delete`)."""
        await self._changes.put(self._forget_names)
        first = True
        while await self._changes.put(lambda first=first: self._index.merge(anew=first)):  # type: ignore[misc]
            first = False
        await self._connection.run(lambda inner: inner.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())

    async def drain(self) -> None:
        """Waits for everything accepted so far."""
        await self._changes.drain()

    def _commit(self, batch: list[Change | Callable[[], Any]]) -> list[Any]:
        """One transaction for all; where one of them spoils it, one for each."""
        self._idle.clear()
        try:
            self._connection.refuse_replaced()
            self._notice_others()
            outcomes = self._together(batch)
        except Unavailable as error:
            self._batches.forget()
            return [error for _ in batch]
        except Exception as error:
            self._batches.forget()
            if isinstance(error, sqlite3.Error) and is_trouble(error):
                return [explained(self._connection.path, error) for _ in batch]
            if len(batch) > 1:
                return [self._commit([change])[0] for change in batch]
            if isinstance(error, sqlite3.Error):
                return [explained(self._connection.path, error)]
            known = isinstance(error, StorageError | ValueError)
            return [error if known else StorageError(f"This cannot be kept: {error}.")]
        self._index.keep_up(sum(isinstance(change, Append) for change in batch))
        return outcomes

    def _notice_others(self) -> None:
        """What another process has changed must not be taken for what was written here."""
        (version,) = self._connection.inner.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._version = version
            self._batches.forget()

    def _together(self, batch: list[Change | Callable[[], Any]]) -> list[Any]:
        """A batch that only adds is one statement and needs no transaction around it. Whether a message is kept
        already is only asked when the database says that one is: few are."""
        if self._journal is None and all(_is_simple(change) for change in batch):
            try:
                return self._add(batch, known=set())
            except sqlite3.IntegrityError:
                return self._add(batch, self._known(batch))
        try:
            with self._index.transaction():
                outcomes = self._in_turn(batch)
                if self._journal is not None:
                    done = zip(batch, outcomes, strict=True)
                    self._journal.write(
                        [cast(Change, change) for change, outcome in done if self._matters(change, outcome)]
                    )
        except BaseException:
            if self._journal is not None:
                self._journal.take_back()
            raise
        if self._journal is not None:
            self._journal.settle()
        return outcomes

    def _matters(self, change: Any, outcome: Any) -> bool:
        """Whether a change did anything."""
        nothing = outcome is False or outcome == 0 or (outcome is None and isinstance(change, Amend))
        return not callable(change) and not nothing and not any(change is idle for idle in self._idle)

    def _in_turn(self, batch: Sequence[Any]) -> list[Any]:
        outcomes: list[Any] = []
        for plain, group in groupby(batch, key=lambda change: isinstance(change, _PLAIN)):
            changes = list(group)
            if plain:
                outcomes += self._add(changes, self._known(changes))
            else:
                outcomes += [self._alter(change) for change in changes]
        return outcomes

    def _add(self, changes: Sequence[Any], known: set[int]) -> list[Any]:
        """True for each change that was written, False for a message whose place in the batch is `known`, or that
        comes twice in it."""
        ids: set[str] = set()
        origins: set[str] = set()
        fresh: list[Any] = []
        for place, change in enumerate(changes):
            new = place not in known
            if new and isinstance(change, Append):
                message = change.message
                new = message.id not in ids and (message.origin is None or message.origin not in origins)
                if new:
                    ids.add(message.id)
                    origins.add(message.origin or "")
            fresh.append(new)
        written = changes if all(fresh) else [change for change, new in zip(changes, fresh, strict=True) if new]
        self._batches.write(written)
        self._refer(written)
        return fresh

    def _refer(self, changes: Sequence[Any]) -> None:
        """Notes which stored files the messages refer to; few do."""
        for change in changes:
            if isinstance(change, Append) and change.message.blobs:
                self._connection.inner.execute(_REFER, (change.message.id,))

    def _known(self, changes: Sequence[Any]) -> set[int]:
        """The places in the batch of messages that are kept already."""
        asked = [
            storable_all([place, change.message.id, *split(change.message.origin)])
            for place, change in enumerate(changes)
            if isinstance(change, Append)
        ]
        if not asked:
            return set()
        (found,) = self._connection.inner.execute(KEPT_ALREADY, (json.dumps(asked),)).fetchone()
        return set(json.loads(found))

    def _alter(self, change: Any) -> Any:
        match change:
            case Amend():
                return self._amend(change)
            case RemoveMessages(ids):
                return self._remove("SELECT id FROM messages WHERE message_id IN (SELECT value FROM json_each(?))", ids)
            case RemoveSessions(ids):
                return self._remove_sessions(ids)
            case RemoveChannels(keys):
                self._batches.forget()
                return self._connection.inner.execute(_EMPTY_CHANNELS, (json.dumps(storable_all(list(keys))),)).rowcount
            case KeepRecords(records):
                for record in records:
                    self._keep(record)
                return None
            case RemoveRecords(kind, ids):
                return self._remove_records(kind, ids)
        return change()

    def _amend(self, asked: Amend) -> Message | None:
        found, numbers = self._connection.inner.execute(MESSAGE_BY_ID, (storable_all(asked.message_id),)).fetchone()
        before = next(iter(MESSAGES.validate_json(found)), None)
        if before is None:
            return None
        after = amended(before, _storable(asked.change))
        if after is before:
            self._idle.append(asked)
            return before
        (number,) = json.loads(numbers)
        if after.text != before.text:
            (content,) = self._connection.inner.execute(_CONTENT, (number,)).fetchone()
            self._index.replace(number, content, after.text)
        values = (
            after.text,
            parts_of(after),
            json_of(after.edits),
            json_of(after.reactions),
            json_of(after.annotations),
            after.pinned or None,
            after.deleted_at and micros(after.deleted_at),
        )
        self._connection.inner.execute(_AMEND, (*values, number))
        if before.blobs or after.blobs:
            self._connection.inner.execute("DELETE FROM attachments WHERE message = ?", (number,))
            self._connection.inner.execute(_REFER, (after.id,))
        return after

    def _remove(self, which: str, ids: Sequence[str]) -> int:
        connection = self._connection.inner
        asked = json.dumps(storable_all(list(ids)))
        connection.execute(_ASKED.replace(":which", which), (asked,))
        connection.execute(_SPENT.replace(":which", which.replace("(?)", "(?2)")), (self._bot_name, asked))
        for number, content in connection.execute(f"SELECT id, content FROM messages WHERE id IN ({which})", (asked,)):
            self._index.replace(number, content, None)
        return connection.execute(f"DELETE FROM messages WHERE id IN ({which})", (asked,)).rowcount

    def _remove_sessions(self, ids: Sequence[str]) -> int:
        self._batches.forget()
        of_sessions = "SELECT id FROM sessions WHERE session_id IN (SELECT value FROM json_each(?))"
        self._remove(f"SELECT id FROM messages WHERE session IN ({of_sessions})", ids)
        asked = json.dumps(storable_all(list(ids)))
        return self._connection.inner.execute(f"DELETE FROM sessions WHERE id IN ({of_sessions})", (asked,)).rowcount

    def _forget_names(self) -> None:
        self._batches.forget()
        self._connection.inner.execute("DELETE FROM senders WHERE id NOT IN (SELECT sender FROM messages)")

    def _keep(self, record: Record) -> None:
        vector = record.vector if isinstance(record, Memory) else None
        told = storable_all(record.model_dump(mode="json", exclude={"vector"}))
        if isinstance(record, Memory) and record.touched_at is not None:
            located(record.touched_at)
        body = json.dumps(told, ensure_ascii=False)
        about = None if record.about is None else storable_all(record.about)
        connection = self._connection.inner
        connection.execute(_KEEP, (record.kind, told["id"], micros(record.at), about, body, self._bot_name))
        if not isinstance(record, Memory):
            return
        if vector is None:
            connection.execute("DELETE FROM vectors WHERE memory_id = ?", (told["id"],))
            return
        data = array("f", vector.values).tobytes()
        row = (told["id"], storable_all(vector.model), told["audience"], data)
        same = "SELECT 1 FROM vectors WHERE (memory_id, model, audience, data) = (?, ?, ?, ?)"
        if connection.execute(same, row).fetchone() is None:
            connection.execute("DELETE FROM vectors WHERE memory_id = ?", (told["id"],))
            connection.execute("INSERT INTO vectors (memory_id, model, audience, data) VALUES (?, ?, ?, ?)", row)

    def _remove_records(self, kind: type[Record], ids: Sequence[str]) -> int:
        asked = json.dumps(storable_all(list(ids)))
        if kind is Memory:
            gone = "DELETE FROM vectors WHERE memory_id IN (SELECT value FROM json_each(?))"
            self._connection.inner.execute(gone, (asked,))
        removed = "DELETE FROM records WHERE kind = ? AND id IN (SELECT value FROM json_each(?))"
        return self._connection.inner.execute(removed, (kind.kind, asked)).rowcount


def _storable(change: Amendment) -> Amendment:
    """The change with its texts as they can be kept, and its times sure of where they are."""
    for at in (getattr(change, name, None) for name in ("at", "reaction", "annotation")):
        if at is not None:
            located(getattr(at, "at", at))
    return AMENDMENT.validate_json(json_text(change))


def _is_simple(change: Any) -> bool:
    if isinstance(change, Append):
        return not change.message.blobs
    return isinstance(change, _PLAIN)


_REFER = """
INSERT OR IGNORE INTO attachments (hash, message)
SELECT found.value, m.id FROM (SELECT id, parts, edits FROM messages WHERE message_id = ?) AS m,
    json_tree(json_array(json(m.parts), json(m.edits))) AS found
WHERE found.key = 'blob' AND found.type = 'text'
"""
_ASKED = """
UPDATE messages SET asker = (
    SELECT user_id FROM messages AS q JOIN senders ON senders.id = q.sender WHERE q.message_id = messages.reply_to
) WHERE usage IS NOT NULL AND asker IS NULL AND reply_to IN (SELECT message_id FROM messages WHERE id IN (:which))
"""
_CONTENT = "SELECT content FROM messages WHERE id = ?"
_AMEND = """
UPDATE messages SET content = ?, parts = ?, edits = ?, reactions = ?, annotations = ?, pinned = ?, deleted_at = ?
WHERE id = ?
"""
_EMPTY_CHANNELS = """
DELETE FROM channels WHERE key IN (SELECT value FROM json_each(?)) AND key NOT IN (SELECT channel_key FROM sessions)
"""
_KEEP = """
INSERT INTO records (kind, id, at, about, body, bot_name) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (kind, id) DO UPDATE SET at = excluded.at, about = excluded.about, body = excluded.body
"""
_SPENT = f"""
INSERT OR IGNORE INTO records (kind, id, at, about, body, bot_name)
SELECT 'spent', message_id, at, user_id, json_object('id', message_id, 'at', at_text, 'usage', json(usage),
    'user_id', user_id, 'channel_key', channel_key, 'persona', persona), ?1
FROM (
    SELECT m.message_id, m.at, m.usage, {ASKER} AS user_id, s.channel_key, ifnull(m.persona, '') AS persona,
        {TIME.replace(":at", "m.at")} AS at_text
    FROM messages AS m JOIN sessions AS s ON s.id = m.session
    WHERE m.usage IS NOT NULL AND m.id IN (:which)
)
"""
