"""Checks an SQLite store from the outside in: the file, its pages, its schema, what stands in it."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from ..diagnosis import Finding, Visit
from .sqlite_content import content
from .sqlite_file import APPLICATION_ID, PATIENCE, SCHEMA, explained, upgrade

DATABASE = "conversations.db"
_MAGIC = b"SQLite format 3\0"
_WAL = (0x377F0682, 0x377F0683)
_MENDED_WAL = (3, 51, 3)
_KEPT_ELSEWHERE = ("search", "attachments")
"""Tables that are made of the messages."""
_ROOM = 1 << 20
"""Bytes of free pages that are not worth a word."""


def examine(visit: Visit) -> Iterator[Finding]:
    """Looks at `<root>/conversations.db`, which may be in use unless `fix` is asked for."""
    path = visit.root / DATABASE
    try:
        if not path.stat().st_size:
            return  # made, and never written to
        outside = [] if visit.running else list(_outside(visit, path))
    except FileNotFoundError:
        yield from _absent(visit)
        return
    except OSError as error:
        yield _unusable("file", path, f"{path} cannot be read ({error.strerror}): check whom it belongs to.")
        return
    yield from outside
    if any(finding.open for finding in outside):
        return
    try:
        with closing(_opened(path, visit)) as database:
            yield from _inside(visit, path, database)
    except sqlite3.Error as error:
        yield _unusable("file", path, f"{explained(path, error)} {visit.backup}", lost=True)


def _inside(visit: Visit, path: Path, database: sqlite3.Connection) -> Iterator[Finding]:
    steps = (_owner, pages, _objects)
    for step in steps:
        found = list(step(visit, path, database))
        yield from found
        if any(finding.open and finding.what != "objects" for finding in found):
            return  # nothing more is mended in a file of which that is wrong
    yield from content(visit, path, database)
    yield from _free_pages(visit, path, database)
    yield from _version(path)


def _opened(path: Path, visit: Visit) -> sqlite3.Connection:
    """Read-only unless something is to be mended: a second writer could damage what a running bot writes."""
    address = f"{path.absolute().as_uri()}?mode={'rw' if visit.fix else 'ro'}"
    database = sqlite3.connect(address, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    # Bytes that are no text become what no JSON holds, and so are found like anything else nobody can read.
    database.text_factory = lambda raw: raw.decode("utf-8", "backslashreplace")
    return database


def _unusable(what: str, path: Path, sentence: str, *, lost: bool = False) -> Finding:
    return Finding(what=what, where=str(path), sentence=sentence, lost=lost)


def _absent(visit: Visit) -> Iterator[Finding]:
    others = [name for name in ("attachments", "archives", "backups") if (visit.root / name).exists()]
    if others:
        said = f"There is no {DATABASE} beside {', '.join(others)}: put it back if it was moved."
        yield _unusable("missing", visit.root / DATABASE, f"{said} {visit.backup}", lost=True)


def _outside(visit: Visit, path: Path) -> Iterator[Finding]:
    """What can be seen without SQLite. Never of a file that is in use: whoever closes it as a plain file takes away the
    locks that SQLite has on it in the same process (https://sqlite.org/howtocorrupt.html, 2.2)."""
    with path.open("rb") as file:
        head = file.read(100)
    if len(head) < 100 or head[:16] != _MAGIC:
        said = f"{path} is not a database, or its first page is gone. {visit.backup}"
        yield _unusable("header", path, said, lost=True)
    else:
        yield from _leftovers(visit, path, head)


def _page_size(head: bytes) -> int:
    (size,) = struct.unpack(">H", head[16:18])
    return 65536 if size == 1 else int(size)


def _leftovers(visit: Visit, path: Path, head: bytes) -> Iterator[Finding]:
    """Files of another database: SQLite would write what stands in them into this one when it is opened."""
    journal, wal = Path(f"{path}-journal"), Path(f"{path}-wal")
    strays = []
    if head[18] == 2 and journal.exists() and journal.stat().st_size:
        strays.append(journal)
    if wal.exists() and wal.stat().st_size and not _is_wal_of(wal, _page_size(head)):
        strays.append(wal)
    for stray in strays:
        said = f"{stray.name} belongs to another database and would spoil this one: "
        if visit.fix:
            moved = visit.move_aside(stray)
            yield Finding(
                what="leftover", where=str(stray), sentence=f"{said}moved to {moved}.", fixable=True, fixed=True
            )
        else:
            yield Finding(what="leftover", where=str(stray), sentence=f"{said}it is moved aside.", fixable=True)


def _is_wal_of(wal: Path, page_size: int) -> bool:
    """By what its header and the first pages in it say; an unfinished one holds nothing that would be taken."""
    with wal.open("rb") as file:
        head = file.read(32)
        if len(head) < 32:
            return True
        magic, _, size = struct.unpack(">III", head[:12])
        if magic not in _WAL or size != page_size:
            return False
        while len(frame := file.read(24 + page_size)) == 24 + page_size and frame[8:16] == head[16:24]:
            if frame[:4] == b"\0\0\0\1":
                (owner,) = struct.unpack(">I", frame[24 + 68 : 24 + 72])
                return bool(owner in (0, APPLICATION_ID) and frame[24:40] == _MAGIC)
    return True


def _owner(visit: Visit, path: Path, database: sqlite3.Connection) -> Iterator[Finding]:
    (owner,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    known = len(list(SCHEMA.glob("[0-9]*.sql")))
    if owner != APPLICATION_ID:
        said = f"{path} is another program's database: move it out of the storage root. {visit.backup}"
        yield _unusable("foreign", path, said)
    elif version != known:
        what, remedy = "newer-schema", "check it with the newer Troupe that wrote it"
        if version < known:
            what, remedy = "older-schema", "start the bot once, which brings it up to date, then check again"
        yield _unusable(what, path, f"{path} has schema version {version}, and this program checks {known}: {remedy}.")


def pages(visit: Visit, path: Path, database: sqlite3.Connection) -> Iterator[Finding]:
    """Every page, and every index against its table. What is wrong outside the tables is made anew from them."""
    visit.tell("pages", 0, 0)
    said = _complaints(database)
    if not said:
        return
    where, count = str(path), len(said)
    if gone := _lost_rows(database):
        sentence = f"{path} is damaged ({gone}). {visit.backup}"
        yield Finding(what="pages", where=where, sentence=sentence, count=count, lost=True)
        return
    fixed = visit.fix and _reindexed(database)
    sentence = f"The indexes do not fit their tables ({said[0][:200]}); they can be made anew."
    if visit.fix and not fixed:
        sentence = f"The indexes do not fit their tables ({said[0][:200]}), and cannot be made anew. {visit.backup}"
    fixable = fixed or not visit.fix
    yield Finding(what="index", where=where, sentence=sentence, count=count, fixable=fixable, fixed=fixed)


def _complaints(database: sqlite3.Connection) -> list[str]:
    try:
        said = [line for (text,) in database.execute("PRAGMA integrity_check(100)") for line in text.splitlines()]
    except sqlite3.DatabaseError as error:
        return [str(error)]
    return [line for line in said if line != "ok" and not line.startswith("***")]


def _lost_rows(database: sqlite3.Connection) -> str:
    """What cannot be had from the tables, by reading all of them: a table that cannot be read, or one that has fewer
    rows than one of its indexes knows."""
    query = "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
    table = "its schema"
    try:
        for (table,) in database.execute(query).fetchall():
            there = sum(1 for _ in database.execute(f'SELECT * FROM "{table}" NOT INDEXED'))
            for _, index, _, _, partial in database.execute(f'PRAGMA index_list("{table}")').fetchall():
                if not partial and (more := _entries(database, table, index) - there) > 0:
                    return f"{more:,} rows of {table} are gone"
    except sqlite3.DatabaseError as error:
        return f"{table}: {error}"
    return ""


def _entries(database: sqlite3.Connection, table: str, index: str) -> int:
    try:
        (count,) = database.execute(f'SELECT count(*) FROM "{table}" INDEXED BY "{index}"').fetchone()
    except sqlite3.DatabaseError:  # it can be made anew
        return 0
    return int(count)


def _reindexed(database: sqlite3.Connection) -> bool:
    """Whether everything is well afterwards; otherwise nothing was changed."""
    try:
        database.execute("BEGIN IMMEDIATE")
        database.execute("REINDEX")
        well = not _complaints(database)
        database.execute("COMMIT" if well else "ROLLBACK")
    except sqlite3.Error:
        well = False
        if database.in_transaction:
            database.execute("ROLLBACK")
    return well


def _objects(visit: Visit, path: Path, database: sqlite3.Connection) -> Iterator[Finding]:
    """Tables, indexes, triggers and views that every database of ours has."""
    query = "SELECT name, type, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'search~_%' ESCAPE '~'"
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        upgrade(fresh, None)
        wanted = {name: (kind, sql) for name, kind, sql in fresh.execute(query)}
    for name, *_ in database.execute(query):
        wanted.pop(name, None)
    tables = sorted(name for name, (kind, _) in wanted.items() if kind == "table")
    if lost := [name for name in tables if name not in _KEPT_ELSEWHERE]:
        said = f"The tables {', '.join(lost)} are gone from {path}. {visit.backup}"
        yield Finding(what="tables", where=str(path), sentence=said, count=len(lost), lost=True)
    elif wanted:
        fixed = visit.fix and _made(database, [sql for _, sql in wanted.values()], "search" in wanted)
        said = f"{', '.join(sorted(wanted))} {'is' if len(wanted) == 1 else 'are'} gone, and can be made anew."
        what = "tables" if tables else "objects"
        yield Finding(what=what, where=str(path), sentence=said, count=len(wanted), fixable=True, fixed=fixed)


def _made(database: sqlite3.Connection, statements: list[str], search: bool) -> bool:
    try:
        database.execute("BEGIN IMMEDIATE")
        for statement in statements:
            database.execute(statement)
        if search:
            database.execute("UPDATE facts SET value = 0 WHERE name = 'indexed'")
        database.execute("COMMIT")
    except sqlite3.Error:
        if database.in_transaction:
            database.execute("ROLLBACK")
        return False
    return True


def _free_pages(visit: Visit, path: Path, database: sqlite3.Connection) -> Iterator[Finding]:
    (free,), (size,), (all_,) = (
        database.execute(f"PRAGMA {name}").fetchone() for name in ("freelist_count", "page_size", "page_count")
    )
    if free * size < _ROOM or free * 10 < all_:
        return
    room = f"{free * size / _ROOM:,.1f} MiB of {all_ * size / _ROOM:,.1f} MiB"
    said = f"{room} are free pages; `troupe doctor storage {visit.bot} --fix` gives them back to the disk."
    if visit.fix:
        visit.tell("giving free pages back", 0, 0)
        database.execute("VACUUM")
        said = f"{room} were free pages; they were given back to the disk."
    yield Finding(
        what="free-pages", where=str(path), sentence=said, count=free, note=True, fixable=True, fixed=visit.fix
    )


def _version(path: Path) -> Iterator[Finding]:
    if sqlite3.sqlite_version_info < _MENDED_WAL:
        said = (
            f"This Python brings SQLite {sqlite3.sqlite_version}. Before 3.51.3 it can damage a database that two "
            f"programs write to; Troupe only ever writes from one place, and so must you: open {path.name} read-only."
        )
        yield Finding(what="sqlite-version", where=sqlite3.sqlite_version, sentence=said, note=True)
