"""The search index of an SQLite store: a little behind the messages, never out of step with them.

Messages are indexed some hundred at a time, which costs a fraction of what one at a time does. How far the index
has come stands in the same transaction, so a crash loses nothing; whoever searches waits for the rest.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from .. import words

CHUNK = 500
"""Messages that are indexed in one go where nobody waits."""
CROWD = 16
"""Messages in one commit from which on nobody in particular is waiting."""
MOST = 10_000
"""The most messages that may be waiting; more are indexed between commits, a few milliseconds at a time."""


class Index:
    """Keeps the table `search` in step, on the writer's thread and connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        (self._synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
        self._behind = self._start()
        """About how many messages wait."""

    def keep_up(self, added: int) -> None:
        """Told after each commit how many messages it added; indexes some when too many are waiting: many where many
        come at once, and hardly any that a single caller would wait for."""
        self._behind += added
        many = added >= CROWD
        if self._behind > MOST + many * 2 * CHUNK:
            self._advance_lightly(2 * CHUNK if many else CHUNK // 10)

    def recount(self) -> None:
        """Told when messages came or went without a word."""
        self._behind = self._start()

    def use_quiet(self) -> bool:
        """Indexes a chunk; False when there is nothing more to do."""
        return self._behind > 0 and self._advance_lightly(CHUNK)

    def _advance_lightly(self, most: int) -> bool:
        """What a power cut takes from the index is indexed again, so this commit need not reach the disk."""
        try:
            self._connection.execute("PRAGMA synchronous = NORMAL")
            return self.advance(most)
        except sqlite3.Error:  # a full disk, say: they wait until the next time
            return False
        finally:
            self._connection.execute(f"PRAGMA synchronous = {self._synchronous}")

    def advance(self, most: int) -> bool:
        """Indexes so many more; False when there were not as many left."""
        with self.transaction():
            found = self._connection.execute(_WAITING, (most,)).fetchall()
            spelt = [(number, words.words(content)) for number, content in found]
            self._connection.executemany("INSERT INTO search (rowid, words) VALUES (?, ?)", spelt)
            if found:
                self._connection.execute("UPDATE facts SET value = ? WHERE name = 'indexed'", (found[-1][0],))
        self._behind = max(0, self._behind - most) if len(found) == most else 0
        return len(found) == most

    def replace(self, number: int, old: str, new: str | None) -> None:
        """Takes a message's old words out of the index and puts the new ones in; inside a transaction."""
        (reached,) = self._connection.execute(_REACHED).fetchone()
        if number > reached:
            return
        gone = "INSERT INTO search (search, rowid, words) VALUES ('delete', ?, ?)"
        self._connection.execute(gone, (number, words.words(old)))
        if new is not None:
            self._connection.execute("INSERT INTO search (rowid, words) VALUES (?, ?)", (number, words.words(new)))

    def merge(self, *, anew: bool) -> bool:
        """Brings the index nearer to one piece, which holds nothing of what was removed; `anew` is for the first of
        several goes. False when there was nothing more to do. Inside a transaction."""
        before = self._connection.total_changes
        self._connection.execute(_MERGE, (-_PAGES if anew else _PAGES,))
        return self._connection.total_changes - before > 1

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction around what is done inside, unless there is one already."""
        if self._connection.in_transaction:
            yield
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _start(self) -> int:
        """An index spelt by other rules is begun anew."""
        (lexer,) = self._connection.execute("SELECT value FROM facts WHERE name = 'lexer'").fetchone()
        if lexer != words.LEXER:
            with self.transaction():
                self._connection.execute("INSERT INTO search (search) VALUES ('delete-all')")
                self._connection.execute("UPDATE facts SET value = 0 WHERE name = 'indexed'")
                self._connection.execute("UPDATE facts SET value = ? WHERE name = 'lexer'", (words.LEXER,))
        (behind,) = self._connection.execute(f"SELECT ifnull(max(id), 0) - ({_REACHED}) FROM messages").fetchone()
        return int(behind)


_PAGES = 500
"""Of the index, that are merged in one go."""
_MERGE = "INSERT INTO search (search, rank) VALUES ('merge', ?)"
_REACHED = "SELECT value FROM facts WHERE name = 'indexed'"
_WAITING = f"SELECT id, content FROM messages WHERE id > ({_REACHED}) ORDER BY id LIMIT ?"
