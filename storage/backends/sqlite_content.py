"""Checks what stands in an SQLite store: rows that nobody can read, rows that miss each other, the search index."""

from __future__ import annotations

import json
import sqlite3
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import words
from ..diagnosis import Finding, Places, Rule, Visit, amount
from ..model import Message, storable
from ..records import RECORDS
from . import sqlite_relations as relations
from .sqlite_index import CHUNK, Index
from .sqlite_rows import CHANNELS, MESSAGES, SESSIONS, messages_where, sessions_where

_PAGE = 500
_KINDS = {kind.kind: kind for kind in RECORDS}


def content(visit: Visit, path: Path, database: sqlite3.Connection) -> Iterator[Finding]:
    """Everything that stands in the tables; each thing is mended in a transaction of its own."""
    database.create_function("readable", 1, _decoded)
    for rule in relations.PARTNERS:
        yield from related(visit, path, database, rule)
    for table in TABLES:
        yield from rows(visit, path, database, table)
    for rule in relations.SUMS:
        yield from related(visit, path, database, rule)
    yield from index(visit, path, database)
    visit.whole = True
    (visit.messages,) = database.execute("SELECT count(*) FROM messages").fetchone()
    (visit.sessions,) = database.execute("SELECT count(*) FROM sessions").fetchone()


def related(visit: Visit, path: Path, database: sqlite3.Connection, rule: Rule) -> Iterator[Finding]:
    """What one rule finds, and whether it holds afterwards."""
    visit.tell(rule.what, 0, 0)
    places = Places(str(place) for (place,) in database.execute(rule.find))
    if not places.count:
        return
    fixed = False
    if visit.fix:
        try:
            with _transaction(database):
                for (row,) in database.execute(rule.aside) if rule.aside else ():
                    visit.aside(f"{rule.what}.jsonl", str(row).encode("utf-8", "backslashreplace"))
                for statement in rule.mends:
                    database.execute(statement, {"bot": visit.bot} if ":bot" in statement else {})
            fixed = database.execute(rule.find).fetchone() is None
        except sqlite3.Error:
            fixed = False
    sentence = rule.sentence if fixed or not visit.fix else f"{rule.sentence} It could not be mended. {visit.backup}"
    fixable = fixed or not visit.fix
    where = f"{path.name}: {places}"
    yield Finding(
        what=rule.what, where=where, sentence=sentence, count=places.count, fixable=fixable, fixed=fixed, lost=rule.lost
    )


@dataclass(frozen=True)
class Table:
    """Rows that are read like the store reads them."""

    name: str
    label: str
    """What a row is called, in SQL."""
    read: Callable[[sqlite3.Connection, str, tuple[int, int]], list[Any]]
    """The values of the rows that a SELECT brings; raises what reading them raises."""
    doubtful: dict[str, str] = field(default_factory=dict)
    """Columns a row can do without, and what stands there then, in SQL."""
    removable: bool = False
    """Whether a row that nobody can read may go, once it was put aside."""


def rows(visit: Visit, path: Path, database: sqlite3.Connection, table: Table) -> Iterator[Finding]:
    """Reads every row of a table. Of one that cannot be read the columns that are at fault are emptied; a copy of it
    as it was is put aside."""
    (total,) = database.execute(f"SELECT count(*) FROM {table.name}").fetchone()
    bad, mended, gone, done, last = Places(), 0, 0, 0, 0
    next_rows = f"SELECT rowid FROM {table.name} WHERE rowid > ? ORDER BY rowid LIMIT {_PAGE}"
    while numbers := [number for (number,) in database.execute(next_rows, (last,))]:
        for number in _unreadable(visit, database, table, last, numbers):
            (label,) = database.execute(f"SELECT {table.label} FROM {table.name} WHERE rowid = ?", (number,)).fetchone()
            bad.add(str(label))
            if visit.fix:
                outcome = _mended(visit, database, table, number)
                mended += outcome == "mended"
                gone += outcome == "gone"
        last, done = numbers[-1], done + len(numbers)
        visit.tell(table.name, done, total)
    if not bad.count:
        return
    left = bad.count - mended - gone if visit.fix else bad.count
    one = table.name.removesuffix("s")
    said = f"{amount(bad.count, one)} cannot be read: somebody changed the rows by hand, or a program wrote them wrong."
    if visit.fix:
        kept = f"a copy of each is in {visit.root / 'doctor'}"
        said = f"{said} {mended:,} can be read again, without what was at fault; {gone:,} had to go; {kept}."
    if visit.fix and left:
        said = f"{said} {left:,} could not be mended. {visit.backup}"
    where = f"{path.name}: {table.name} {bad}"
    fixable = bool(table.doubtful or table.removable) and not (visit.fix and left)
    what = f"unreadable-{table.name}"
    yield Finding(
        what=what, where=where, sentence=said, count=bad.count, fixable=fixable, fixed=not left, lost=bool(gone or left)
    )


def _unreadable(
    visit: Visit, database: sqlite3.Connection, table: Table, last: int, numbers: list[int]
) -> Iterator[int]:
    """Those of the rows beyond `last` that cannot be read. The files of messages are noted on the way."""
    found = _read(database, table, last, numbers[-1])
    if found is not None and len(found) == len(numbers):
        _note(visit, found)
        return
    for number in numbers:
        there = f"SELECT EXISTS (SELECT 1 FROM {table.name} WHERE rowid = ?)"
        one = _read(database, table, number - 1, number)
        if not one and database.execute(there, (number,)).fetchone()[0]:
            yield number
            one = _read(database, table, number - 1, number)
        _note(visit, one or [])


def _note(visit: Visit, found: list[Any]) -> None:
    for value in found:
        if isinstance(value, Message):
            visit.ledger.note(value)


def _read(database: sqlite3.Connection, table: Table, after: int, last: int) -> list[Any] | None:
    which = f"SELECT * FROM {table.name} WHERE rowid > ?1 AND rowid <= ?2 ORDER BY rowid"
    try:
        return table.read(database, which, (after, last))
    except (sqlite3.OperationalError, ValueError, KeyError, TypeError):
        return None


def _mended(visit: Visit, database: sqlite3.Connection, table: Table, number: int) -> str:
    """`mended`, `gone` or, with the row as it was, `left`."""
    try:
        with _transaction(database):
            _put_aside(visit, database, table, number)
            if table.doubtful and _made_readable(database, table, number):
                return "mended"
            if not table.removable:
                return "left"
            database.execute(f"DELETE FROM {table.name} WHERE rowid = ?", (number,))
            return "gone"
    except sqlite3.Error:
        return "left"


def _put_aside(visit: Visit, database: sqlite3.Connection, table: Table, number: int) -> None:
    found = database.execute(f"SELECT * FROM {table.name} WHERE rowid = ?", (number,))
    names = [column[0] for column in found.description]
    row = dict(zip(names, found.fetchone(), strict=True))
    visit.aside(f"unreadable-{table.name}.jsonl", json.dumps(row, ensure_ascii=False, default=bytes.hex).encode())


def _made_readable(database: sqlite3.Connection, table: Table, number: int) -> bool:
    """Empties every doubtful column, then puts back each that does no harm."""

    def put(column: str, value: str) -> None:
        database.execute(f"UPDATE {table.name} SET {column} = {value} WHERE rowid = ?", (number,))

    database.execute("SAVEPOINT mending")
    database.execute(f"CREATE TEMP TABLE held AS SELECT * FROM main.{table.name} WHERE rowid = ?", (number,))
    for column, empty in table.doubtful.items():
        put(column, empty)
    well = bool(_read(database, table, number - 1, number))
    for column, empty in table.doubtful.items() if well else ():
        put(column, f"(SELECT {column} FROM temp.held)")
        if not _read(database, table, number - 1, number):
            put(column, empty)
    if not well:
        database.execute("ROLLBACK TO mending")
    else:
        database.execute("DROP TABLE temp.held")
    database.execute("RELEASE mending")
    return well


def _messages(database: sqlite3.Connection, which: str, bounds: tuple[int, int]) -> list[Any]:
    (found, _) = database.execute(messages_where(which), bounds).fetchone()
    return MESSAGES.validate_json(found)


def _sessions(database: sqlite3.Connection, which: str, bounds: tuple[int, int]) -> list[Any]:
    (found, _) = database.execute(sessions_where(which), bounds).fetchone()
    return SESSIONS.validate_json(found)


def _channels(database: sqlite3.Connection, which: str, bounds: tuple[int, int]) -> list[Any]:
    (found,) = database.execute(relations.CHANNELS.replace(":which", which), bounds).fetchone()
    return CHANNELS.validate_json(found)


def _records(database: sqlite3.Connection, which: str, bounds: tuple[int, int]) -> list[Any]:
    """A record of a kind that only a newer program knows counts as read."""
    found: list[Any] = []
    for kind, body, model, data in database.execute(relations.RECORDS.replace(":which", which), bounds):
        told = json.loads(body)
        if data is not None:
            told["vector"] = {"model": model, "values": array("f", data).tolist()}
        found.append(_KINDS[kind].model_validate_json(json.dumps(told)) if kind in _KINDS else told)
    return found


TABLES = (
    Table("channels", "key", _channels, relations.DOUBTFUL_OF_CHANNELS),
    Table("sessions", "session_id", _sessions, relations.DOUBTFUL_OF_SESSIONS),
    Table("messages", "message_id", _messages, relations.DOUBTFUL_OF_MESSAGES, removable=True),
    Table("records", "kind || ' ' || id", _records, removable=True),
)


def index(visit: Visit, path: Path, database: sqlite3.Connection) -> Iterator[Finding]:
    """Every word of every message against the search index, as far as that has come, by a sum over both."""
    visit.tell("search index", 0, 0)
    try:
        same = _indexed(visit, database)
    except sqlite3.DatabaseError:
        same = False
    if same:
        return
    fixed = visit.fix and _indexed_anew(visit, database)
    said = "The search index does not hold the words of the messages; it can be made anew from them."
    where = f"{path.name}: search"
    yield Finding(what="search", where=where, sentence=said, fixable=True, fixed=fixed)


def _indexed(visit: Visit, database: sqlite3.Connection) -> bool:
    database.execute("CREATE VIRTUAL TABLE IF NOT EXISTS temp.vocabulary USING fts5vocab(main, search, instance)")
    database.execute("BEGIN")  # both as they stand at one moment
    try:
        facts = dict(database.execute("SELECT name, value FROM facts"))
        (newest,) = database.execute("SELECT ifnull(max(id), 0) FROM messages").fetchone()
        reached = facts.get("indexed")
        if not isinstance(reached, int) or not 0 <= reached <= newest or "lexer" not in facts:
            return False
        if facts["lexer"] != words.LEXER:
            return True  # made anew when the store is next opened
        (strays,) = database.execute(relations.STRAY_DOCUMENTS, (reached,)).fetchone()
        return not strays and _sum_of_index(database) == _sum_of_messages(visit, database, reached)
    finally:
        database.execute("ROLLBACK")


def _sum_of_index(database: sqlite3.Connection) -> int:
    return sum(map(hash, database.execute("SELECT doc, term, offset FROM temp.vocabulary")))


def _sum_of_messages(visit: Visit, database: sqlite3.Connection, reached: int) -> int:
    total = 0
    query = "SELECT id, content FROM messages WHERE id <= ?"
    for done, (number, text) in enumerate(database.execute(query, (reached,))):
        total += sum(hash((number, term, place)) for place, term in enumerate(words.terms(text)))
        if done % 10_000 == 0:
            visit.tell("search index", done, reached)
    return total


def _indexed_anew(visit: Visit, database: sqlite3.Connection) -> bool:
    """How far it has come is kept with each step, so that whatever ends this, the store goes on from there."""
    try:
        with _transaction(database):
            database.execute("INSERT INTO search (search) VALUES ('delete-all')")
            database.execute("DELETE FROM facts WHERE name IN ('indexed', 'lexer')")
            database.execute("INSERT INTO facts (name, value) VALUES ('indexed', 0), ('lexer', ?)", (words.LEXER,))
        anew = Index(database)
        while anew.advance(CHUNK):
            pass
        return _indexed(visit, database)
    except sqlite3.DatabaseError:
        return False


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    finally:
        if database.in_transaction:
            database.execute("ROLLBACK")


def _decoded(raw: bytes | None) -> str:
    return storable(raw.decode("utf-8", "replace")) if isinstance(raw, bytes) else ""
