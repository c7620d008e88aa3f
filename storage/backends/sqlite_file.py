"""An SQLite file: opening it, bringing its schema up to date, and saying what is wrong with it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from ..aside import Aside
from ..errors import NewerSchema, StorageError, Unavailable
from ..progress import Tell, silent
from .worker import Worker

Result = TypeVar("Result")

SCHEMA = Path(__file__).parent / "schema"
APPLICATION_ID = 0x54525550  # "TRUP": `file conversations.db` and other programs can tell whose it is
CHUNK = 50_000
"""Rows that one go of an upgrade copies."""
WAL_PAGES = 4000
"""Pages of 4 KiB after which the write-ahead log is brought into the database: many a page is then written once
instead of four times."""
PATIENCE = 5.0
"""Seconds to wait for another program (an admin's `sqlite3`, a copying tool) to let go of the file."""
_TRIES = 20


class Connection:
    """A connection and the one thread that uses it, so that a call is one hop and nothing is ever shared."""

    def __init__(self, path: Path | None, thread: Worker, inner: sqlite3.Connection) -> None:
        self.path = path
        self.thread = thread
        self.inner = inner
        self._file = _identity(path)
        self._log = _identity(_log(path))

    def refuse_replaced(self) -> None:
        """Raises `Unavailable` when the file or its log is no longer the one that was opened: SQLite itself would go on
        writing into what nobody will ever find again."""
        self._log = self._log or _identity(_log(self.path))  # SQLite makes it when it first needs it
        if _identity(self.path) != self._file or _identity(_log(self.path)) != self._log:
            raise Unavailable(
                f"{self.path} or its log was moved, removed or replaced while the bot was running: nothing more is "
                "kept until the bot is started again. Put the file back first if it was moved by mistake."
            )

    @classmethod
    async def open(cls, path: Path | None, prepare: Callable[[sqlite3.Connection, Path | None], None]) -> Connection:
        """Connects to the file, or to a new database in memory, and runs `prepare` on it."""
        thread = Worker("storage")
        opening = asyncio.ensure_future(thread.run(_connect, path, prepare))
        try:
            inner = await asyncio.shield(opening)
        except asyncio.CancelledError:
            await asyncio.wait([opening])  # what is under way on the thread cannot be called back
            thread.end()
            if not opening.cancelled() and opening.exception() is None:
                opening.result().close()
            raise
        except BaseException:
            thread.end()
            raise
        return cls(path, thread, inner)

    async def run(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Runs `work` on the thread; SQLite's errors come back as sentences."""
        return await self.thread.run(self._guarded, work)

    async def close(self, last: str | None = None) -> None:
        """Closes after everything asked of it so far, with a `last` statement that may fail."""
        try:
            await self.thread.run(self._close, last)
        finally:
            self.thread.end()

    def _guarded(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        try:
            return work(self.inner)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise explained(self.path, error) from error

    def _close(self, last: str | None) -> None:
        if last is not None:
            with contextlib.suppress(sqlite3.Error):
                self.inner.execute(last).fetchall()
        self.inner.close()


def _identity(path: Path | None) -> tuple[int, int] | None:
    try:
        found = path.stat() if path else None
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found else None


def _log(path: Path | None) -> Path | None:
    return path.with_name(f"{path.name}-wal") if path else None


def _connect(path: Path | None, prepare: Callable[[sqlite3.Connection, Path | None], None]) -> sqlite3.Connection:
    try:
        inner = sqlite3.connect(path or ":memory:", timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise explained(path, error) from error
    try:
        inner.create_function("folded", 1, str.casefold, deterministic=True)  # SQLite's own folds ASCII alone
        prepare(inner, path)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        inner.close()
        raise explained(path, error) from error
    except BaseException:
        inner.close()
        raise
    return inner


def make_room(path: Path) -> None:
    """Makes an empty file that only its owner can read, and its folder, where there is none."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = path.with_name(f"{path.name}-wal")
        _refuse_cut(path, log.stat().st_size if log.exists() else 0)
        if not path.exists():
            path.touch(mode=0o600)
    except OSError as error:
        raise Unavailable(
            f"{path} cannot be made ({error.strerror}): the storage root must be a folder which belongs to the "
            "user who runs the bot."
        ) from error


def _refuse_cut(path: Path, log: int) -> None:
    """Raises `Unavailable` for a database that lost its end, or all but its log: SQLite itself would round its size
    up, or throw the log away."""
    size = path.stat().st_size if path.exists() else 0
    if log:
        if not size:
            raise Unavailable(
                f"{path} is {'empty' if path.exists() else 'missing'}, and its log {path.name}-wal is there, which may "
                "hold all that was said: put the database back beside it, or move the log aside to begin anew."
            )
        return
    if not path.is_file() or path.with_name(f"{path.name}-shm").exists():
        return  # one that is in use must not be closed as a plain file: SQLite's locks on it would go with that
    with path.open("rb") as file:
        head = file.read(100)
    page = int.from_bytes(head[16:18], "big")
    pages, counted = int.from_bytes(head[28:32], "big"), head[24:28] == head[92:96]
    if len(head) == 100 and counted and size < pages * (65_536 if page == 1 else page):
        raise Unavailable(f"{path} is damaged (its end is missing): {_DAMAGE}.")


def writer(connection: sqlite3.Connection, path: Path | None, tell: Tell = silent) -> None:
    """The one connection that writes: brings the schema up to date, then promises that a commit is on the disk."""
    upgrade(connection, path, tell)
    _write_ahead(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
    connection.executescript((SCHEMA / "writing.sql").read_text("utf-8"))


def _write_ahead(connection: sqlite3.Connection) -> None:
    """SQLite waits for locks, but not for the one it takes to change the journal: with another program opening the
    file at that moment it gives up at once."""
    for _ in range(_TRIES):
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")
            return
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")


def indexer(connection: sqlite3.Connection, path: Path | None) -> None:
    """A writer of what stands in files as well: what a power cut takes is read from them again."""
    writer(connection, path)
    connection.execute("PRAGMA synchronous = NORMAL")


def reader(connection: sqlite3.Connection, path: Path | None) -> None:
    """A connection that cannot write: with two that could, SQLite before 3.51.3 can corrupt a WAL."""
    connection.execute("PRAGMA query_only = ON")


async def snapshot(source: Path | None, target: Path) -> None:
    """Writes the database as it stands into a new file, which is not synced, without writing to the old one: two
    writers could corrupt it."""
    if source is None:
        raise Unavailable("A store in memory cannot be backed up: set storage.enabled to true first.")
    if not source.exists():
        raise Unavailable(f"There is no {source}: nothing was kept there yet.")
    if target.exists():
        raise Unavailable(f"{target} is there already: move it away first.")
    try:
        async with Aside() as aside:
            await aside.run(_copy, source, target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _copy(source: Path, target: Path) -> None:
    address = f"{source.absolute().as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
            # Half a database synced at once would hold up every message for as long as that takes.
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("VACUUM INTO ?", (str(target),))
    except sqlite3.Error as error:
        raise explained(source, error) from error


def upgrade(connection: sqlite3.Connection, path: Path | None, tell: Tell = silent) -> None:
    """Runs the numbered steps that the database has not seen, all or none."""
    steps = sorted(SCHEMA.glob("[0-9]*.sql"))
    # The lock comes before the look: of two programs starting at once, the second sees the first one's work.
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        _refuse_foreign(connection, path, version, len(steps))
        for number, step in enumerate(steps[version:], version + 1):
            for statement in _statements(step.read_text("utf-8")):
                _run(connection, statement, tell)
            connection.execute(f"PRAGMA user_version = {number}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _run(connection: sqlite3.Connection, statement: str, tell: Tell) -> None:
    """A statement marked `@chunks TABLE` is run for one stretch of that table's ids after the other, so that a big
    database is copied in small memory."""
    marked = re.search(r"^-- @chunks (\w+)$", statement, re.MULTILINE)
    if marked is None:
        connection.execute(statement)
        return
    (last,) = connection.execute(f"SELECT ifnull(max(id), 0) FROM {marked[1]}").fetchone()
    for start in range(0, last, CHUNK):
        connection.execute(statement, (start, min(start + CHUNK, last)))
        tell("bringing the database up to date", min(start + CHUNK, last), last)


def _refuse_foreign(connection: sqlite3.Connection, path: Path | None, version: int, known: int) -> None:
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (empty,) = connection.execute("SELECT NOT EXISTS (SELECT 1 FROM sqlite_master)").fetchone()
    if owner != APPLICATION_ID and not empty:
        raise Unavailable(
            f"{path} is another program's database, not one that Troupe made: move it out of the storage root "
            "(nothing in it was changed)."
        )
    if version > known:
        raise NewerSchema(
            f"{path} has schema version {version}, and this program knows versions up to {known}: start the newer "
            "Troupe that wrote it, or restore a backup from before the upgrade. Nothing in it was changed."
        )


def _statements(script: str) -> Iterator[str]:
    """One statement at a time: `executescript` would commit the open transaction first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


_SCRAMBLED = ("Could not decode to UTF-8", "malformed JSON")
"""What SQLite says of a row that somebody else has written into."""
_MEMORY = "The store in memory"
_FILE = "check that it and its folder exist and belong to the user who runs the bot"
_DISK = "check that the disk has room and is healthy"
_DAMAGE = "move it aside and restore the latest backup"
_TROUBLES = {
    sqlite3.SQLITE_FULL: (
        "could not grow",
        "free some disk space. The store goes on by itself then, and nothing acknowledged is lost",
    ),
    sqlite3.SQLITE_IOERR: ("could not be read or written", _DISK),
    sqlite3.SQLITE_NOMEM: ("ran out of memory", "give the bot more memory"),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", _FILE),
    sqlite3.SQLITE_READONLY: ("cannot be written", _FILE),
    sqlite3.SQLITE_PERM: ("cannot be opened", _FILE),
    sqlite3.SQLITE_AUTH: ("cannot be opened", _FILE),
    sqlite3.SQLITE_NOTADB: ("is not a database", _DAMAGE),
    sqlite3.SQLITE_CORRUPT: ("is damaged", _DAMAGE),
    sqlite3.SQLITE_BUSY: ("is held by another program", "close that program"),
    sqlite3.SQLITE_LOCKED: ("is held by another program", "close that program"),
    sqlite3.SQLITE_PROTOCOL: ("is held by another program", "close that program"),
}
"""What is wrong with a file, and what to do; anything else is wrong with what was asked."""


def is_trouble(error: sqlite3.Error) -> bool:
    """Whether the file cannot be used right now, rather than one change being at fault."""
    return _code(error) in _TROUBLES


def explained(path: Path | None, error: sqlite3.Error | UnicodeDecodeError) -> StorageError:
    """SQLite's error as a sentence that names the file and says what to do."""
    if isinstance(error, UnicodeDecodeError) or any(sign in str(error) for sign in _SCRAMBLED):
        return Unavailable(
            f"{path or _MEMORY} is damaged (words in it are no text any more; `troupe doctor storage` says where): "
            f"{_DAMAGE}."
        )
    if not is_trouble(error):
        return StorageError(f"{path or _MEMORY} refused what was asked of it: {error}.")
    what, remedy = _TROUBLES[_code(error)]
    return Unavailable(f"{path or _MEMORY} {what} ({error}): {remedy}.")


def unreadable(path: Path | None, error: ValidationError) -> Unavailable:
    """What pydantic has against the rows that were read, as a sentence: someone has edited them by hand."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return Unavailable(f"{path or _MEMORY} holds a row that this program cannot read: {where}: {first['msg']}.")


def _code(error: sqlite3.Error) -> int:
    """The primary code: the extended ones only add a detail in the higher bits."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
