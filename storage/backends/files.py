"""Files: a bot's whole store in folders that people can read, with an index that can be made anew.

Each change stands in the files before it is acknowledged: `fdatasync` has returned for each file that lines were added
to, and `fsync` for each file and folder that was replaced or made; changes that wait together share that. The index
is not synced on its own: what a power cut takes from it is read from the files again.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from ..errors import StorageError, Unavailable
from ..progress import Tell, silent
from ..rootlock import RootLock
from .files_catch_up import CatchUp
from .files_disk import state
from .files_journal import TABLES, Files
from .sqlite import SqliteStore
from .sqlite_file import APPLICATION_ID, Connection, indexer, make_room, reader

INDEX = "index.db"
CLOSED = "index.closed"
"""How the index was left; one that stands otherwise is looked through before it is believed."""
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class FilesStore(SqliteStore):
    """One bot's store. The files are what is kept.

    Reading, searching and counting are done in an SQLite database beside them, `index.db`, which follows each change
    and is brought up to date with the files when the store opens: after a crash, after an edit by hand, or from
    nothing. Only one process may have the root open. What is edited while it is open is noticed at the next opening.
    """

    _root: Path
    _lock: RootLock
    _files: Files
    problems: list[str]
    """What could not be understood in the files when the store opened, in sentences; it stays where it is."""

    @classmethod
    async def open_files(cls, root: Path, bot_name: str, *, tell: Tell = silent) -> FilesStore:
        """Opens the store, making the root where it is missing; `tell` hears, on another thread, how many lines were
        read again. Raises `Unavailable`, `NewerSchema` or `RootInUse`."""
        lock = RootLock.take(root, "files.lock")
        try:
            try:
                store = await cls._open_index(root, bot_name, tell)
            except (_Damaged, Unavailable, sqlite3.Error) as error:
                if not _is_damage(error, root / INDEX):
                    raise
                for leftover in (INDEX, f"{INDEX}-wal", f"{INDEX}-shm"):
                    (root / leftover).unlink(missing_ok=True)
                store = await cls._open_index(root, bot_name, tell)
        except BaseException:
            lock.release()
            raise
        store._lock = lock
        return store

    @classmethod
    async def _open_index(cls, root: Path, bot_name: str, tell: Tell) -> FilesStore:
        path = root / INDEX
        make_room(path)
        closed = root / CLOSED
        trusted = closed.is_file() and closed.read_text("utf-8", "replace") == state(path)
        opened: list[Connection] = []
        try:
            for prepare in (indexer, reader, reader):
                opened = [*opened, await Connection.open(path, prepare)]
            if not trusted:
                await opened[0].run(_look_through)
            await opened[0].run(lambda inner: inner.executescript(TABLES))
            files = Files(root, opened[0].inner)
            store = cls(bot_name, opened[0], opened[1], opened[2], files)
            store._root, store._files = root, files
            store.problems = await opened[0].run(lambda inner: store._catch_up(inner, tell))
        except BaseException:
            for connection in opened:
                await connection.close()
            raise
        return store

    def _catch_up(self, index: sqlite3.Connection, tell: Tell) -> list[str]:
        catching_up = CatchUp(self._root, self._writer, index, tell)
        catching_up.run()
        self._files.house(catching_up.homeless)
        self._files.compact()
        if catching_up.loaded:
            self._files.write_lists(anew=True)
        self._writer.recount()
        return catching_up.problems

    async def scrub(self) -> None:
        self._refuse_closed()
        await self._writing.run(lambda _: self._files.scrub())
        await super().scrub()

    async def _close(self) -> None:
        try:
            await self._writer.drain()
            with contextlib.suppress(StorageError):
                await self._writing.run(lambda _: self._files.write_lists())
            await super()._close()
            self._files.close()
            with contextlib.suppress(OSError):
                (self._root / CLOSED).touch(0o600)
                (self._root / CLOSED).write_text(state(self._root / INDEX), "utf-8")
        finally:
            self._lock.release()


class _Damaged(Exception):
    """The index is not to be believed."""


def _look_through(index: sqlite3.Connection) -> None:
    if index.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        raise _Damaged


def _is_damage(error: BaseException, path: Path) -> bool:
    """Whether the index itself is at fault: it holds nothing of its own, so it can go. Another program's cannot."""
    cause = error.__cause__ or error
    if isinstance(cause, sqlite3.Error):
        return (getattr(cause, "sqlite_errorcode", 0) & 0xFF) in _DAMAGE
    head = b""
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(100)
    ours = not head.startswith(b"SQLite format 3\0") or int.from_bytes(head[68:72], "big") == APPLICATION_ID
    return isinstance(cause, _Damaged) or (isinstance(cause, Unavailable) and ours)
