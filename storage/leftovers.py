"""Files that no message refers to: noted when they are first seen so, and removed when they have been for long enough.

A file is kept before the message that refers to it, so a young one proves nothing. `leftovers.txt` in the bot's root
says since when each was seen without a message: a hash and a time a line, in the order of the hashes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, TypeVar

from .backend import Store
from .blobs import Blobs, orphans
from .durable import Partial, in_thread
from .errors import Unavailable

Result = TypeVar("Result")
_PAGE = 200
Leftover = tuple[str, int, datetime]
"""A hash, the bytes, and since when no message was seen to refer to it."""


class Leftovers:
    """The files of one bot that may go."""

    def __init__(self, blobs: Blobs, root: Path) -> None:
        self._blobs = blobs
        self._path = root / "leftovers.txt"

    async def look(
        self, store: Store, now: datetime, age: timedelta, *, dry_run: bool
    ) -> AsyncGenerator[list[Leftover], None]:
        """Removes the files that have been without a message for `age` or longer, and notes the others; yields those
        that are gone, some at a time. A dry run removes and notes nothing."""
        notes = await self._run(_Notes, self._path, not dry_run)
        try:
            async with aclosing(orphans(self._blobs, store, _PAGE)) as found:
                page: list[tuple[str, int]] = []
                async for each in found:
                    page.append(each)
                    if len(page) == _PAGE:
                        yield await self._looked(page, store, notes, now, age, dry_run)
                        page = []
            if page:
                yield await self._looked(page, store, notes, now, age, dry_run)
            await self._run(notes.become)
        finally:
            await in_thread(notes.close)

    async def _looked(
        self, page: Sequence[tuple[str, int]], store: Store, notes: _Notes, now: datetime, age: timedelta, dry_run: bool
    ) -> list[Leftover]:
        seen = await self._run(notes.seen, [hash for hash, _ in page])
        known = [(hash, size, seen.get(hash, now)) for hash, size in page]
        old = [each for each in known if now - each[2] >= age]
        if not dry_run and old:
            used = await store.references([hash for hash, _, _ in old])
            old = [each for each in old if not used.get(each[0])]
            for hash, _, _ in old:
                await self._blobs.remove(hash)
        await self._run(notes.note, [each for each in known if each not in old])
        return old

    async def _run(self, work: Callable[..., Result], *args: object) -> Result:
        try:
            return await in_thread(work, *args)
        except OSError as error:
            raise Unavailable(
                f"{self._path} cannot be read or written ({error.strerror}): check that its disk has room, and that it "
                "belongs to the user who runs the bot. No file was removed that a message refers to."
            ) from error


class _Notes:
    """The old notes being read and the new ones being written, side by side. One thread at a time."""

    def __init__(self, path: Path, writing: bool) -> None:
        self._path = path
        self._old: IO[str] | None = path.open(encoding="ascii", errors="replace") if path.is_file() else None
        self._new = Partial(path.parent) if writing else None
        if self._new is not None:
            self._new.open()
        self._next: tuple[str, datetime] | None = self._read()

    def seen(self, hashes: Sequence[str]) -> dict[str, datetime]:
        """Since when each of these is noted; they come in sorted order, from one call to the next as well."""
        found: dict[str, datetime] = {}
        for hash in hashes:
            while self._next is not None and self._next[0] < hash:
                self._next = self._read()
            if self._next is not None and self._next[0] == hash:
                found[hash] = self._next[1]
        return found

    def note(self, leftovers: Sequence[Leftover]) -> None:
        if self._new is not None:
            self._new.write("".join(f"{hash} {since.isoformat()}\n" for hash, _, since in leftovers).encode())

    def become(self) -> None:
        """Puts the new notes in place of the old ones."""
        if self._new is not None:
            self._new.become(self._path)

    def close(self) -> None:
        for file in (self._old, self._new):
            if file is not None:
                file.close()

    def _read(self) -> tuple[str, datetime] | None:
        """The next line that is one; a line that somebody spoilt only makes its file wait anew."""
        for line in self._old or ():
            hash, _, written = line.strip().partition(" ")
            try:
                since = datetime.fromisoformat(written)
            except ValueError:
                continue
            if since.tzinfo is not None:
                return hash, since
        return None
