"""The file of the memory index: its tables, and what is at hand of them in memory; for one thread alone."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from .backends.sqlite_file import PATIENCE
from .memory_entries import Entry, Hit, Question
from .memory_lines import ASKS, WHEN, Line, Lines, Speakers
from .memory_ranking import Ranking
from .memory_words import number, stems, tells_when
from .model import storable
from .vectors import Sketches, half

VERSION = 1
"""Of the tables and of how words are cut."""
_APPLICATION = 0x5452554D  # "TRUM"


class IndexFile:
    """An SQLite file and, of each of its entries, some numbers in memory."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._connection: sqlite3.Connection
        self._lines: Lines
        self._audiences: dict[str, int]
        self._speakers: Speakers
        self._sketches: Sketches | None
        self._bare: str | None = None
        """The embedder for which the table `bare` has the entries without a vector, once somebody has asked."""
        self._size: tuple[str, int] | None = None
        """An embedder, and the bytes of its latest vector: one of another length is none."""
        self.made_anew = False

    def open(self) -> None:
        """Opens the file; one that is damaged, or of another version, is made anew."""
        self._connection = self._begin()
        if not self._is_sound():
            self.clear()
            self.made_anew = True
        self._read()

    def clear(self) -> None:
        """Begins anew, with an empty file."""
        self._connection.close()
        for ending in ("", "-wal", "-shm") if self._path else ():
            Path(f"{self._path}{ending}").unlink(missing_ok=True)
        self._connection = self._begin()
        self._is_sound()  # sets what a connection needs
        self._connection.executescript(f"{_TABLES}PRAGMA user_version = {VERSION};")
        self._connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        self._read()

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def put(self, entries: Sequence[Entry]) -> None:
        """Takes in entries, or what has become of them, all or none."""
        changes: list[_Change] = []
        with self._transaction():
            for entry in entries:
                changes += self._put(entry)
        self._follow(changes)

    def remove(self, ids: Sequence[str]) -> None:
        """Takes out entries, all or none."""
        changes: list[_Change] = []
        with self._transaction():
            for id in ids:
                changes += self._remove(id)
        self._follow(changes)

    def of_session(self, session_id: str) -> list[str]:
        """Some of the ids of a session's entries; none when there are no more."""
        rows = self._connection.execute("SELECT id FROM entries WHERE session = ? LIMIT 500", (session_id,))
        return [id for (id,) in rows]

    def sessions(self, after: str, limit: int) -> list[str]:
        """The ids of sessions with entries, in order, beyond one."""
        asked = "SELECT DISTINCT session FROM entries WHERE session > ? ORDER BY session LIMIT ?"
        return [id for (id,) in self._connection.execute(asked, (after, limit))]

    def alone(self, after: str, limit: int) -> list[str]:
        """The ids of entries of no session, in order, beyond one."""
        asked = "SELECT id FROM entries WHERE session IS NULL AND id > ? ORDER BY id LIMIT ?"
        return [id for (id,) in self._connection.execute(asked, (after, limit))]

    def known(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that are there."""
        asked = "SELECT id FROM entries WHERE id IN (SELECT value FROM json_each(?))"
        return {id for (id,) in self._connection.execute(asked, (json.dumps(ids),))}

    def count(self) -> int:
        """How many entries there are."""
        return self._lines.counts.total()

    def missing(self, embedder: str, limit: int) -> list[tuple[str, str]]:
        """Entries without a vector of this embedder, the newest first: id and the text to embed."""
        if self._bare != embedder:
            self._bare = None
            self._connection.execute("DELETE FROM bare")
            size = self._size[1] if self._size is not None and self._size[0] == embedder else None
            self._connection.execute(_BARED, (storable(embedder), size))
            self._bare = embedder
        rows = self._connection.execute(_MISSING, (limit,))
        return [(id, _embedded(speaker, text)) for id, speaker, text in rows]

    def put_vectors(self, embedder: str, vectors: Sequence[tuple[str, str, Sequence[float]]]) -> None:
        """Takes in vectors, all or none; those whose entry is gone or reads differently by now are left out. Where the
        embedder gave others of another length before, these are missing from now on."""
        kept: list[tuple[int, int, bytes]] = []
        if vectors:
            self._mind_size(embedder, len(vectors[0][2]))
        with self._transaction():
            for id, text, values in vectors:
                asked = "SELECT number, audience, speaker, text FROM entries WHERE id = ?"
                row = self._connection.execute(asked, (storable(id),)).fetchone()
                if row is not None and _embedded(row[2], row[3]) == storable(text):
                    kept.append((row[0], row[1], half(values)))
            rows = [(number, storable(embedder), data) for number, _, data in kept]
            self._connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)
            self._connection.executemany("DELETE FROM bare WHERE entry = ?", [(number,) for number, _, _ in kept])
        if self._bare != embedder:
            self._bare = None
        if self._sketches is not None:
            self._sketches.add(kept)

    def found(self, asked: Question, audiences: set[str], without: set[str], limit: int) -> list[Hit]:
        """What these audiences may be told that fits, the best first."""
        codes = [self._audiences[name] for name in sorted(map(storable, audiences)) if name in self._audiences]
        barred: set[int] = set()
        if without:
            barred = {n for (n,) in self._connection.execute(_NUMBERS, (json.dumps([*map(storable, without)]),))}
        if asked.vector is not None:
            self._mind_size(asked.embedder, len(asked.vector))
            if self._sketches is None:
                self._sketches = self._read_sketches(asked.embedder, len(asked.vector))
        ranking = Ranking(self._connection, self._lines, self._speakers, self._sketches)
        best = ranking.best(asked, codes, barred, limit)
        numbers = [number for found in best for number in (found.number, *found.drawn)]
        rows = self._connection.execute(_ENTRIES, (json.dumps(numbers),))
        entries = {row[0]: _entry(*row[1:]) for row in rows}
        return [Hit(entries[f.number], f.score, f.words, f.meaning, tuple(entries[n] for n in f.drawn)) for f in best]

    def scrub(self) -> None:
        """Writes the file anew without what was taken out, and empties its log."""
        self._connection.execute("VACUUM")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _put(self, entry: Entry) -> list[_Change]:
        row = _Row(
            storable(entry.id),
            self._audience(storable(entry.audience)),
            entry.kind,
            None if entry.session_id is None else storable(entry.session_id),
            storable(entry.speaker),
            storable(entry.subject),
            entry.at.timestamp(),
            None if entry.source is None else storable(entry.source),
            storable(entry.text),
        )
        lasted = (entry.importance, entry.touched_at.timestamp() if entry.touched_at else 0.0, entry.access_count)
        old = self._connection.execute(_TOLD, (row.id,)).fetchone()
        if old is not None and old[1:] == row:
            used = "UPDATE entries SET importance = ?, touched = ?, uses = ? WHERE number = ?"
            self._connection.execute(used, (*lasted, old[0]))
            return [_Change(old[0], lasted=lasted)]
        changes = [] if old is None else self._remove(row.id)
        terms = [number(stem) for stem in stems(row.text)]
        marks = WHEN * tells_when(row.text) | ASKS * row.text.rstrip().endswith("?")
        (new,) = self._connection.execute(_INSERT, (*row, *lasted, len(terms), marks)).fetchone()
        if self._bare is not None:
            self._connection.execute("INSERT OR IGNORE INTO bare VALUES (?)", (new,))
        rows = [(row.audience, term, new) for term in terms]
        self._connection.executemany("INSERT OR IGNORE INTO postings VALUES (?, ?, ?)", rows)
        source = self._connection.execute("SELECT number FROM entries WHERE id = ?", (row.source,)).fetchone()
        line = self._line(new, row, source[0] if source else 0, lasted, len(terms), marks)
        drawn = [n for (n,) in self._connection.execute("SELECT number FROM entries WHERE source = ?", (row.id,))]
        return [*changes, _Change(new, line, *self._beside(new, row), tuple(drawn))]

    def _remove(self, id: str) -> list[_Change]:
        row = self._connection.execute("SELECT number, audience, text FROM entries WHERE id = ?", (id,)).fetchone()
        if row is None:
            return []
        old, audience, text = row
        gone = "DELETE FROM postings WHERE audience = ? AND term = ? AND entry = ?"
        self._connection.executemany(gone, [(audience, number(stem), old) for stem in stems(text)])
        self._connection.execute("DELETE FROM vectors WHERE entry = ?", (old,))
        self._connection.execute("DELETE FROM bare WHERE entry = ?", (old,))
        self._connection.execute("DELETE FROM entries WHERE number = ?", (old,))
        return [_Change(old)]

    def _beside(self, new: int, row: _Row) -> tuple[int, int]:
        """The turns that stand before and behind a turn in its session."""
        if row.kind != "turn" or row.session is None:
            return 0, 0
        found = [self._connection.execute(side, (row.session, row.at, new)).fetchone() for side in (_BEFORE, _AFTER)]
        return (found[0][0] if found[0] else 0), (found[1][0] if found[1] else 0)

    def _follow(self, changes: Sequence[_Change]) -> None:
        """Brings what is at hand in step with the file."""
        for change in changes:
            if change.lasted is not None:
                self._lines.use(change.number, *change.lasted)
            elif change.line is not None:
                self._lines.put(change.line, change.before, change.after)
                for drawn in change.drawn:
                    self._lines.point(drawn, change.number)
            else:
                self._lines.remove(change.number)
                if self._sketches is not None:
                    self._sketches.forget(change.number)

    def _line(
        self, number: int, row: _Row, source: int, lasted: tuple[float, float, int], words: int, marks: int
    ) -> Line:
        return Line(number, row.audience, self._speakers.number(row.speaker), source, row.at, *lasted, words, marks)

    def _audience(self, name: str) -> int:
        if name not in self._audiences:
            made = self._connection.execute("INSERT INTO audiences (name) VALUES (?) RETURNING number", (name,))
            self._audiences[name] = made.fetchone()[0]
        return self._audiences[name]

    def _begin(self) -> sqlite3.Connection:
        if self._path is not None and not self._path.exists():
            self._path.touch(mode=0o600)
        place = self._path or ":memory:"
        return sqlite3.connect(place, timeout=PATIENCE, isolation_level=None, check_same_thread=False)

    def _is_sound(self) -> bool:
        try:
            for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "secure_delete = ON", "temp_store = MEMORY"):
                self._connection.execute(f"PRAGMA {pragma}").fetchall()
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            owner = self._connection.execute("PRAGMA application_id").fetchone()[0]
            if (version, owner) != (VERSION, _APPLICATION):
                return False
            tables = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_master")}
            return tables.issuperset(_NAMES) and bool(
                self._connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
            )
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            return False

    def _read(self) -> None:
        """Fills what is at hand from the file."""
        self._lines, self._speakers, self._sketches, self._bare = Lines(), Speakers(), None, None
        self._connection.execute("CREATE TEMP TABLE IF NOT EXISTS bare (entry INTEGER PRIMARY KEY)")
        self._audiences = dict(self._connection.execute("SELECT name, number FROM audiences"))
        session, last = None, 0
        for this, source, importance, touched, uses, words, marks, *rest in self._connection.execute(_ALL):
            row = _Row(*rest)
            before = last if row.kind == "turn" and row.session is not None and row.session == session else 0
            self._lines.put(self._line(this, row, source or 0, (importance, touched, uses), words, marks), before)
            if row.kind == "turn":
                session, last = row.session, this

    def _mind_size(self, embedder: str, dimensions: int) -> None:
        """Another model may stand behind the same name: then what the one before has made is made anew."""
        if self._size != (embedder, 2 * dimensions):
            self._size = (embedder, 2 * dimensions)
            self._bare = self._sketches = None

    def _read_sketches(self, embedder: str, dimensions: int) -> Sketches:
        sketches = Sketches(embedder, dimensions)
        rows = self._connection.execute(_SKETCHED, (storable(embedder),))
        while some := rows.fetchmany(5_000):
            sketches.add(some)
        return sketches

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        audiences = dict(self._audiences)
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
                self._audiences = audiences


class _Row(NamedTuple):
    """What an entry says, as it stands in the table."""

    id: str
    audience: int
    kind: str
    session: str | None
    speaker: str
    subject: str
    at: float
    source: str | None
    text: str


class _Change(NamedTuple):
    """What has become of an entry: used again, there with a line, or gone."""

    number: int
    line: Line | None = None
    before: int = 0
    after: int = 0
    drawn: tuple[int, ...] = ()
    lasted: tuple[float, float, int] | None = None


def _embedded(speaker: str, text: str) -> str:
    """What is embedded of an entry: a vector of `I love it` says more when it says whose."""
    return f"{speaker}: {text}" if speaker else text


def _entry(
    id: str, audience: str, kind: str, session: str | None, speaker: str, subject: str, at: float, text: str,
    importance: float, source: str | None, touched: float, uses: int,
) -> Entry:  # fmt: skip
    when, used = datetime.fromtimestamp(at, UTC), datetime.fromtimestamp(touched, UTC) if touched else None
    return Entry(id, audience, kind, session, speaker, subject, when, text, importance, source, used, uses)


_TABLES = """
CREATE TABLE audiences (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE entries (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, audience INTEGER NOT NULL, kind TEXT NOT NULL,
    session TEXT, speaker TEXT NOT NULL, subject TEXT NOT NULL, at REAL NOT NULL, source TEXT,
    importance REAL NOT NULL, touched REAL NOT NULL, uses INTEGER NOT NULL, words INTEGER NOT NULL,
    marks INTEGER NOT NULL, text TEXT NOT NULL
);
CREATE INDEX entries_by_session ON entries (session, at, number) WHERE session IS NOT NULL;
CREATE INDEX entries_by_source ON entries (source) WHERE source IS NOT NULL;
CREATE TABLE postings (audience INTEGER, term INTEGER, entry INTEGER, PRIMARY KEY (audience, term, entry))
    WITHOUT ROWID;
CREATE TABLE vectors (entry INTEGER PRIMARY KEY, embedder TEXT NOT NULL, data BLOB NOT NULL);
"""
_NAMES = ("audiences", "entries", "postings", "vectors")
_TOLD = "SELECT number, id, audience, kind, session, speaker, subject, at, source, text FROM entries WHERE id = ?"
_INSERT = """
INSERT INTO entries (id, audience, kind, session, speaker, subject, at, source, text, importance, touched, uses, words,
    marks)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING number
"""
_ALL = """
SELECT e.number, s.number, e.importance, e.touched, e.uses, e.words, e.marks,
    e.id, e.audience, e.kind, e.session, e.speaker, '', e.at, NULL, ''
FROM entries AS e LEFT JOIN entries AS s ON s.id = e.source ORDER BY e.session, e.at, e.number
"""
_ENTRIES = """
SELECT e.number, e.id, a.name, e.kind, e.session, e.speaker, e.subject, e.at, e.text, e.importance, e.source,
    e.touched, e.uses
FROM entries AS e JOIN audiences AS a ON a.number = e.audience
WHERE e.number IN (SELECT value FROM json_each(?))
"""
_SKETCHED = """
SELECT e.number, e.audience, v.data FROM vectors AS v JOIN entries AS e ON e.number = v.entry WHERE v.embedder = ?
"""
_NUMBERS = "SELECT number FROM entries WHERE id IN (SELECT value FROM json_each(?))"
_BARED = """
INSERT INTO bare
SELECT e.number FROM entries AS e LEFT JOIN vectors AS v ON v.entry = e.number
WHERE v.embedder IS NOT ? OR length(v.data) <> ?
"""
_MISSING = """
SELECT e.id, e.speaker, e.text FROM bare AS b JOIN entries AS e ON e.number = b.entry ORDER BY b.entry DESC LIMIT ?
"""
_BESIDE = (
    "SELECT number FROM entries WHERE session = ? AND (at, number) {} (?, ?) AND kind = 'turn' ORDER BY {} LIMIT 1"
)
_BEFORE = _BESIDE.format("<", "at DESC, number DESC")
_AFTER = _BESIDE.format(">", "at, number")
