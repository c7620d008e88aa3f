"""Files: a bot's whole store in folders that people can read, with an index that can be made anew."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ..errors import StorageError, Unavailable
from ..model import Channel, Profile, Session
from ..rootlock import RootLock
from .changes import Append, Change, KeepChannel, KeepRecords, SaveSession
from .files_journal import TABLES, Files
from .files_layout import LISTS, MESSAGES, META, PROFILES, Read, read_records, read_session
from .sqlite import SqliteStore
from .sqlite_file import Connection, indexer, make_room, reader
from .sqlite_writer import Writer

INDEX = "index.db"
_CHANNELS = TypeAdapter(list[Channel])


class FilesStore(SqliteStore):
    """One bot's store. The files are what is kept: each change stands in them, synced, before it is acknowledged.

    Reading, searching and counting are done in an SQLite database beside them, `index.db`, which follows each change
    and is brought up to date with the files when the store opens: after a crash, after an edit by hand, or from
    nothing. Only one process may have the root open.
    """

    _lock: RootLock
    _files: Files
    problems: list[str]
    """What could not be understood in the files when they were read; it stays where it is."""

    @classmethod
    async def open_files(cls, root: Path, bot_name: str) -> FilesStore:
        """Opens the store, making the root where it is missing. Raises `Unavailable`, `NewerSchema` or `RootInUse`."""
        lock = RootLock.take(root, "files.lock")
        try:
            try:
                store = await cls._open_index(root, bot_name)
            except Unavailable:
                if not (root / INDEX).is_file():
                    raise
                for leftover in (INDEX, f"{INDEX}-wal", f"{INDEX}-shm"):  # damaged: it holds nothing of its own
                    (root / leftover).unlink(missing_ok=True)
                store = await cls._open_index(root, bot_name)
        except BaseException:
            lock.release()
            raise
        store._lock = lock
        return store

    @classmethod
    async def _open_index(cls, root: Path, bot_name: str) -> FilesStore:
        path = root / INDEX
        make_room(path)
        opened: list[Connection] = []
        try:
            for prepare in (indexer, reader, reader):
                opened = [*opened, await Connection.open(path, prepare)]
            files = Files(root)
            store = cls(bot_name, opened[0], opened[1], opened[2], files)
            store._files = files
            await opened[0].run(lambda inner: inner.executescript(TABLES))
            store.problems = await opened[0].run(lambda inner: _CatchUp(root, store._writer, inner).run())
        except BaseException:
            for connection in opened:
                await connection.close()
            raise
        return store

    async def _close(self) -> None:
        await self._writer.drain()
        with contextlib.suppress(StorageError, OSError):
            await self._writing.run(self._files.write_index)
        self._files.close()
        await super()._close()
        self._lock.release()


class _CatchUp:
    """Brings the index in step with the files, on the writer's thread."""

    def __init__(self, root: Path, writer: Writer, connection: sqlite3.Connection) -> None:
        self._root = root
        self._writer = writer
        self._connection = connection
        self._problems: list[str] = []

    def run(self) -> list[str]:
        known = {
            path: (session_id, size, meta)
            for session_id, path, size, meta in self._connection.execute(
                "SELECT session_id, path, size, meta FROM folders"
            )
        }
        fresh = not known
        if fresh:
            self._take_channels()
        for folder in self._session_folders():
            path = str(folder.relative_to(self._root))
            session_id, *seen = known.pop(path, (None, 0, 0))
            if seen != _state(folder):
                self._load(folder, path, session_id)
        for path, (session_id, *_) in known.items():
            if not self._moved(session_id, path):
                self._unload(session_id)
        if fresh:
            self._take_records()
        return self._problems

    def _session_folders(self) -> Iterator[Path]:
        for kind in ("channels", "dms"):
            with contextlib.suppress(FileNotFoundError):
                for channel in sorted(os.scandir(self._root / kind), key=lambda entry: entry.name):
                    if channel.is_dir():
                        sessions = sorted(entry.name for entry in os.scandir(channel.path) if entry.is_dir())
                        yield from (Path(channel.path) / name for name in sessions)

    def _load(self, folder: Path, path: str, session_id: str | None) -> None:
        try:
            found = read_session(folder)
        except (ValueError, OSError) as error:
            self._problems.append(str(error))
            return
        self._problems += found.problems
        self._unload(found.session.id)
        if session_id is not None and session_id != found.session.id:
            self._unload(session_id)
        spoken = _spoken(found)
        self._write([SaveSession(spoken), *(Append(spoken, message) for message in found.messages)])
        size, meta = _state(folder)
        row = (found.session.id, found.session.channel.key, path, size, meta, found.changes)
        self._connection.execute("INSERT OR REPLACE INTO folders VALUES (?, ?, ?, ?, ?, ?)", row)

    def _unload(self, session_id: str) -> None:
        self._writer.unload(session_id)
        self._connection.execute("DELETE FROM folders WHERE session_id = ?", (session_id,))

    def _moved(self, session_id: str, path: str) -> bool:
        """Whether a session stands elsewhere by now: its row was replaced when that place was read."""
        row = self._connection.execute("SELECT path FROM folders WHERE session_id = ?", (session_id,)).fetchone()
        return row is not None and row[0] != path

    def _take_channels(self) -> None:
        with contextlib.suppress(OSError, ValidationError):
            kept = _CHANNELS.validate_json((self._root / "channels.json").read_bytes())
            self._write([KeepChannel(channel) for channel in kept])

    def _take_records(self) -> None:
        for kind, name in LISTS.items():
            records, problems = read_records(self._root / name, kind)
            self._problems += problems
            self._write([KeepRecords(tuple(records))])
        for path in sorted((self._root / PROFILES).glob("*/profile.json")):
            try:
                self._write([KeepRecords((Profile.model_validate_json(path.read_bytes()),))])
            except ValidationError as error:
                self._problems.append(f"{path} cannot be read: {error.errors()[0]['msg']}")

    def _write(self, changes: list[Change]) -> None:
        for start in range(0, len(changes), 500):
            self._writer.take_in(changes[start : start + 500])


def _state(folder: Path) -> list[int]:
    """What tells whether a session's files are as they were."""
    with contextlib.suppress(FileNotFoundError):
        meta = (folder / META).stat().st_mtime_ns
        with contextlib.suppress(FileNotFoundError):
            return [(folder / MESSAGES).stat().st_size, meta]
        return [0, meta]
    return [-1, -1]


def _spoken(found: Read) -> Session:
    """The session with the time of its last word, which its lines tell better than its own file."""
    people = (message.at for message in found.messages if message.sender.type == "user")
    return found.session.model_copy(update={"last_at": max(chain(people, (found.session.last_at,)))})
