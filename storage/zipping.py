"""A zip that is written while it is read, whatever its size: one member after the other, forwards only."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, datetime
from typing import IO

from .archive import Member
from .blobs import Blobs, Damaged
from .durable import in_thread
from .place import Missing

Members = AsyncIterator[tuple[str, AsyncIterable[bytes]]]
_PACKED = ("attachments/",)
"""Folders of files that are mostly packed already."""


async def zipped(
    members: Members, at: datetime, written: dict[str, Member] | None = None
) -> AsyncGenerator[bytes, None]:
    """The zip in chunks, of members as they come, by their names; `at` is the time of all. What is finished stands in
    `written` before the next is asked for, so that the last can list those before it."""
    draft = _Draft(at, written)
    try:
        async with AsyncExitStack() as held:
            if isinstance(members, AsyncGenerator):
                await held.enter_async_context(aclosing(members))
            async for name, pieces in members:
                draft.begin(name)
                async for piece in pieces:
                    if chunk := await in_thread(draft.write, piece):
                        yield chunk
                await in_thread(draft.end)
        yield await in_thread(draft.finish)
    finally:
        draft.drop()


async def begun(blobs: Blobs, hash: str) -> AsyncGenerator[bytes, None] | None:
    """The bytes of a file that was just found sound, on their way; None where it is gone or damaged all the same.

    Should that come out only later, `Damaged` or `Missing` is raised: a part of a file may not pose as all of it."""
    chunks = blobs.read(hash)
    try:
        first = await anext(chunks, b"")
    except (Damaged, Missing):
        return None
    return _from(first, chunks)


async def _from(first: bytes, chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(chunks):
        yield first
        async for chunk in chunks:
            yield chunk


class _Draft:
    """A zip being written into memory, from where it is taken piece by piece. One thread at a time."""

    def __init__(self, at: datetime, written: dict[str, Member] | None) -> None:
        self._at = at.astimezone(UTC)
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w")
        self._written = written
        self._member: IO[bytes] | None = None

    def begin(self, name: str) -> None:
        entry = zipfile.ZipInfo(name, (max(self._at.year, 1980), *self._at.timetuple()[1:6]))
        entry.compress_type = zipfile.ZIP_STORED if name.startswith(_PACKED) else zipfile.ZIP_DEFLATED
        entry.external_attr = 0o600 << 16
        self._name, self._digest, self._size = name, hashlib.sha256(), 0
        self._member = self._zip.open(entry, "w", force_zip64=True)

    def write(self, piece: bytes) -> bytes:
        if self._member is not None:
            self._member.write(piece)
            self._digest.update(piece)
            self._size += len(piece)
        return self._sink.taken()

    def end(self) -> None:
        member, self._member = self._member, None
        if member is not None:
            member.close()
        if member is not None and self._written is not None:
            self._written[self._name] = Member(size=self._size, sha256=self._digest.hexdigest())

    def finish(self) -> bytes:
        self.drop()
        return self._sink.taken()

    def drop(self) -> None:
        self.end()
        self._zip.close()


class _Sink:
    """A file as a zip is written into it: forwards only."""

    def __init__(self) -> None:
        self._held = bytearray()

    def write(self, piece: bytes) -> int:
        self._held += piece
        return len(piece)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Its owner takes what there is."""

    def taken(self) -> bytes:
        held, self._held = bytes(self._held), bytearray()
        return held
