"""A batch of additions as one SQL statement, and what it leaves out because it stands there already."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any

from ..model import Message, Sender, Session, storable
from .changes import Append, KeepChannel, KeepReceipts, Plain, SaveSession
from .json_text import json_text, storable_all
from .sqlite_rows import message_row, receipt_rows, session_row, split

_EMPTY = (None,) * 26
"""A row of the view `batch`: bot name, 22 columns of a message, channels, sessions, receipts."""
_LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
_REMEMBERED = 4096

_ROW = f"({','.join('?' * len(_EMPTY))})"
_INSERT = {length: f"INSERT INTO batch VALUES {','.join([_ROW] * length)}" for length in _LENGTHS}


_Who = tuple[str, str, str]


@dataclass(slots=True)
class _Asked:
    """What a batch adds, by the kind of row."""

    channels: list[str] = field(default_factory=list)
    sessions: dict[str, Session] = field(default_factory=dict)
    """Those that are new, or in which more than the last word changed."""
    senders: set[_Who] = field(default_factory=set)
    places: set[str] = field(default_factory=set)
    spoken: list[tuple[Session, Message, _Who, str | None]] = field(default_factory=list)
    receipts: list[str] = field(default_factory=list)

    @property
    def news(self) -> bool:
        """Whether it takes more than one statement."""
        return bool(self.channels or self.sessions or self.senders or self.places or self.receipts)


class Batches:
    """Writes additions. Of a session that was written before, and in which only somebody spoke, nothing but that is
    written again; the row numbers of sessions, senders and places are remembered."""

    def __init__(self, bot_name: str, connection: sqlite3.Connection) -> None:
        self._bot_name = bot_name
        self._connection = connection
        self._sessions: dict[str, tuple[int, dict[str, Any]]] = {}
        self._senders: dict[tuple[str, str, str], int] = {}
        self._places: dict[str, int] = {}

    def write(self, changes: Sequence[Plain]) -> None:
        """Adds everything or nothing; raises sqlite3.IntegrityError for a message that is kept already."""
        if any(len(each) > _REMEMBERED for each in (self._sessions, self._senders, self._places)):
            self.forget()
        asked = _Asked()
        for change in changes:
            self._read(change, asked)
        inside = self._connection.in_transaction
        try:
            if not inside and (asked.news or len(asked.spoken) > _LENGTHS[-1]):
                self._connection.execute("BEGIN IMMEDIATE")
            self._write(asked)
            if not inside and self._connection.in_transaction:
                self._connection.execute("COMMIT")
        except BaseException:
            self.forget()
            if not inside and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def forget(self) -> None:
        """What was written before may not stand there any more."""
        for remembered in (self._sessions, self._senders, self._places):
            remembered.clear()

    def _read(self, change: Plain, asked: _Asked) -> None:
        match change:
            case Append(session, message):
                who, place = _who(message.sender), split(message.origin)[0]
                asked.spoken.append((session, message, who, place))
                if who not in self._senders:
                    asked.senders.add(who)
                if place is not None and place not in self._places:
                    asked.places.add(place)
                if message.receipts:
                    asked.receipts += receipt_rows(message.id, message.receipts)
                if not self._knows(session):
                    asked.sessions[session.id] = session
            case SaveSession(session):
                asked.sessions[session.id] = session
            case KeepChannel(channel):
                asked.channels.append(json_text(channel))
            case KeepReceipts(message_id, receipts):
                asked.receipts += receipt_rows(message_id, receipts)

    def _write(self, asked: _Asked) -> None:
        if asked.channels or asked.sessions:
            self._tell(asked.channels, list(asked.sessions.values()))
        for who in asked.senders:
            self._connection.execute("INSERT OR IGNORE INTO senders (type, user_id, name) VALUES (?, ?, ?)", who)
            query = "SELECT id FROM senders WHERE (type, user_id, name) = (?, ?, ?)"
            (self._senders[who],) = self._connection.execute(query, who).fetchone()
        for place in asked.places:
            self._connection.execute("INSERT OR IGNORE INTO places (key) VALUES (?)", (place,))
            (self._places[place],) = self._connection.execute(
                "SELECT id FROM places WHERE key = ?", (place,)
            ).fetchone()
        rows = [self._row(*each) for each in asked.spoken]
        if asked.receipts:
            rows.append((*_EMPTY[:-1], _array(asked.receipts)))
        for start in range(0, len(rows), _LENGTHS[-1]):
            self._insert(rows[start : start + _LENGTHS[-1]])

    def _tell(self, channels: list[str], sessions: list[Session]) -> None:
        """Writes channels and whole sessions, and remembers the sessions' row numbers."""
        told = (_array(channels), _array(map(session_row, sessions)), None)
        self._insert([(self._bot_name, *_EMPTY[1:-3], *told)])
        names = json.dumps(storable_all([session.id for session in sessions]))
        rows = self._connection.execute(_SESSION_NUMBERS, (names,)).fetchall()
        for session, (number,) in zip(sessions, rows, strict=True):
            self._sessions[session.id] = number, _told(session)

    def _row(self, session: Session, message: Message, who: _Who, place: str | None) -> tuple[Any, ...]:
        number, known = self._sessions[session.id]
        moved = None if known["last_at"] == session.last_at else session.last_at
        if moved:
            known["last_at"] = moved
        place_number = None if place is None else self._places[place]
        row = message_row(message, number, self._senders[who], place_number, moved)
        return (None, *row, None, None, None)

    def _insert(self, rows: list[tuple[Any, ...]]) -> None:
        length = next(length for length in _LENGTHS if length >= len(rows))
        values = list(chain(chain.from_iterable(rows), repeat(None, (length - len(rows)) * len(_EMPTY))))
        # Not `execute`: that waits for Python's lock once more, to fetch a row id that nobody needs.
        self._connection.executemany(_INSERT[length], [values])

    def _knows(self, session: Session) -> bool:
        """Whether the session stands there as given, but for when somebody last spoke."""
        known = self._sessions.get(session.id)
        return known is not None and known[1] == {**_told(session), "last_at": known[1]["last_at"]}


def _told(session: Session) -> dict[str, Any]:
    return {**session.__dict__, "message_count": None}


def _who(sender: Sender) -> _Who:
    return sender.type, storable(sender.id), storable(sender.name)


def _array(rows: Iterable[str]) -> str:
    return f"[{','.join(rows)}]"


_SESSION_NUMBERS = """
SELECT sessions.id FROM json_each(?) CROSS JOIN sessions ON session_id = value ORDER BY json_each.key
"""
