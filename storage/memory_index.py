"""The index of what a bot may recall: derived from the store, in a file of its own that can be deleted at any time.

Nobody is ever shown what was not meant for them: every word is filed under the audience it was said to, so that a
question reads the words of its own audiences alone, and vectors of others are taken out before they are compared.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from .backends.worker import Worker
from .errors import Unavailable
from .memory_entries import Entry, Hit, Question
from .memory_file import IndexFile
from .memory_words import asks_when, stems
from .model import storable

__all__ = ["Entry", "Hit", "MemoryIndex"]

Result = TypeVar("Result")

_TOGETHER = 50
"""Entries that are taken in between two questions."""
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
"""What SQLite says of a file that is not as it was left; the last one of a table that is missing."""
_READ_SHORT, _MOVED = sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_READONLY_DBMOVED


class MemoryIndex:
    """An open index; one thread does everything, a question between two pieces of other work.

    Every method but `open` may raise `StorageError`."""

    def __init__(self, path: Path | None) -> None:
        """For `open` alone."""
        self._path = path
        self._thread = Worker("memory index")
        self._file = IndexFile(path)
        self._damaged = self._cleared = False

    @classmethod
    async def open(cls, path: Path | None) -> MemoryIndex:
        """Opens the file, or makes it; None is an index in memory. Raises `StorageError` where no file can be."""
        index = cls(path)
        try:
            await index._run(index._file.open)
        except BaseException:
            index._thread.end()
            raise
        return index

    async def close(self) -> None:
        """Closes after everything asked so far."""
        try:
            await self._run(self._file.close)
        finally:
            self._thread.end()

    @property
    def made_anew(self) -> bool:
        """Whether it began empty: there was no such file, it was damaged, or of another version."""
        return self._file.made_anew

    @property
    def damaged(self) -> bool:
        """Whether the file turned out to be damaged since it was opened, and `clear` may help: it is tried once."""
        return self._damaged and not self._cleared

    async def put(self, entries: Iterable[Entry]) -> None:
        """Takes in entries, or what has become of them: an id that is there is replaced. One whose words are as they
        were keeps its vector."""
        waiting = list(entries)
        for start in range(0, len(waiting), _TOGETHER):
            await self._run(self._file.put, waiting[start : start + _TOGETHER])

    async def remove(self, ids: Iterable[str]) -> None:
        """Takes out entries; those that are not there are nobody's fault."""
        waiting = [storable(id) for id in ids]
        for start in range(0, len(waiting), _TOGETHER):
            await self._run(self._file.remove, waiting[start : start + _TOGETHER])

    async def remove_session(self, session_id: str) -> None:
        """Takes out all entries of a session."""
        while ids := await self._run(self._file.of_session, storable(session_id)):
            await self.remove(ids)

    async def clear(self) -> None:
        """Takes out everything, to the last byte."""
        self._cleared |= self._damaged
        await self._run(self._file.clear)

    async def sessions(self, after: str, limit: int) -> list[str]:
        """The ids of sessions with entries, in order, from the first beyond `after`."""
        return await self._run(self._file.sessions, after, limit)

    async def alone(self, after: str, limit: int) -> list[str]:
        """The ids of entries of no session, in order, from the first beyond `after`."""
        return await self._run(self._file.alone, after, limit)

    async def known(self, ids: Collection[str]) -> set[str]:
        """Those of the ids that are there."""
        return await self._run(self._file.known, [storable(id) for id in ids])

    async def count(self) -> int:
        """How many entries there are."""
        return await self._run(self._file.count)

    async def vectors_missing(self, embedder_id: str, limit: int) -> list[tuple[str, str]]:
        """Entries without a vector of this embedder, the newest first: id and the text to embed."""
        return await self._run(self._file.missing, embedder_id, limit)

    async def put_vectors(self, embedder_id: str, vectors: Sequence[tuple[str, str, Sequence[float]]]) -> None:
        """Takes in vectors as (id, embedded text, numbers), instead of another embedder's. One whose entry is gone or
        reads differently by now is left out."""
        for start in range(0, len(vectors), _TOGETHER):
            await self._run(self._file.put_vectors, embedder_id, vectors[start : start + _TOGETHER])

    async def found(
        self,
        question: str,
        audiences: Collection[str],
        *,
        now: datetime,
        half_life: timedelta,
        vector: Sequence[float] | None = None,
        embedder_id: str | None = None,
        names: Collection[str] = (),
        around: tuple[datetime, datetime] | None = None,
        limit: int = 30,
        without: Collection[str] = (),
    ) -> list[Hit]:
        """What these audiences may be told that fits a question, the best first. A question without a word that
        carries meaning finds nothing.

        `vector` is the question's, by the embedder named; `names` are speakers whom the question means without naming
        them; `around` is the time it speaks of; `without` are ids of entries that are not wanted. Strength (`now`,
        `half_life`) decides between near ties alone."""
        asked = Question(
            stems=tuple(stems(question)),
            when=asks_when(question),
            names=tuple(map(storable, names)),
            vector=None if embedder_id is None or vector is None else tuple(vector),
            embedder=embedder_id or "",
            around=None if around is None else (around[0].timestamp(), around[1].timestamp()),
            now=now.timestamp(),
            half_life=half_life.total_seconds(),
        )
        if not asked.stems:
            return []
        return await self._run(self._file.found, asked, set(audiences), set(without), limit)

    async def scrub(self) -> None:
        """Makes sure that no byte of what was taken out is left in the file or its log."""
        await self._run(self._file.scrub)

    async def _run(self, work: Callable[..., Result], *arguments: Any) -> Result:
        return await self._thread.run(self._guarded, work, arguments)

    def _guarded(self, work: Callable[..., Result], arguments: tuple[Any, ...]) -> Result:
        try:
            return work(*arguments)
        except (sqlite3.Error, OSError) as error:
            code = getattr(error, "sqlite_errorcode", 0)
            self._damaged |= code & 0xFF in _DAMAGE or code in (_READ_SHORT, _MOVED)
            raise Unavailable(
                f"The memory index {self._path or 'in memory'} cannot be used ({error}): it holds nothing that the "
                "store does not, so stop the bot, delete the file and start again; it is made anew."
            ) from error
