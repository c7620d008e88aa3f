"""Attachments by content: each file is kept once, under the hash of its bytes, and known by what it holds."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from .durable import in_thread
from .errors import StorageError, Unavailable
from .model import Value
from .place import PIECE, Missing, Place, gathered
from .sniff import HEAD, media_type

Result = TypeVar("Result")


class Blob(Value):
    """Bytes that are kept: their SHA-256 in lower-case hex, what they are, and how many."""

    hash: str
    media_type: str
    size: int


class TooBig(StorageError):
    """A file has more bytes than are allowed; nothing of it was kept."""

    def __init__(self, name: str, limit: int) -> None:
        said = "".join(filter(str.isprintable, name))[:80] or "The file"
        super().__init__(f"{said} is larger than the {_readable(limit)} that are allowed: send a smaller one.")


class Damaged(StorageError):
    """A blob's bytes are no longer those that were kept."""

    def __init__(self, place: Place, hash: str) -> None:
        super().__init__(f"The file {hash} in {place} is damaged: restore it from a backup, or send it again.")


class Referring(Protocol):
    """Who knows which blobs are in use: a `storage.backend.Store`."""

    async def references(self, hashes: Sequence[str]) -> dict[str, int]:
        """How many kept messages refer to each blob; none is absent."""


class Blobs:
    """Files by content in a place, as `<first two digits>/<hash>`.

    They come through a nameless file in the folder `spool`, which a crash leaves nothing of. A hash that is not one
    is a `ValueError`; every method raises `Unavailable` when the place or the spool cannot be used right now.
    """

    def __init__(self, place: Place, spool: Path) -> None:
        self._place = place
        self._spool = spool

    async def keep(self, chunks: AsyncIterable[bytes], *, limit: int, name: str = "") -> Blob:
        """Keeps a file, unless it is there already, and says what it is, whatever `name` says.

        Raises `TooBig` (with the name) as soon as there are more than `limit` bytes: then nothing was kept."""
        with ExitStack() as held:
            spooled = await self._spooling(_Spooled, self._spool, held)
            async with aclosing(gathered(_within(chunks, limit, name), PIECE)) as pieces:
                async for piece in pieces:
                    await self._spooling(spooled.write, piece)
            blob = spooled.blob()
            # Another size is another program's file, or what a failing disk left: it is put anew.
            if await self.size(blob.hash) != blob.size:
                await self._place.put(_name(blob.hash), self._again(spooled))
        return blob

    def read(self, hash: str, *, first: int = 0) -> AsyncGenerator[bytes, None]:
        """A blob's bytes in chunks, all or from byte `first` on. Raises `Missing`; or, of all, `Damaged` in place of
        the last chunk when they are not what the hash says."""
        return self._place.get(_name(hash), first=first) if first else self._read(hash, _name(hash))

    async def size(self, hash: str) -> int | None:
        """How many bytes a blob has; None when it is not kept."""
        return await self._place.size(_name(hash))

    async def sound(self, hash: str) -> bool:
        """Whether a blob is there and is what its hash says, by reading all of it."""
        try:
            async for _ in self.read(hash):
                pass
        except (Damaged, Missing):
            return False
        return True

    async def remove(self, hash: str) -> bool:
        """Removes a blob for good, whoever refers to it; False when there was none."""
        return await self._place.remove(_name(hash))

    async def hashes(self, after: str = "") -> AsyncGenerator[str, None]:
        """The hash of every blob in sorted order, or of those behind `after`. Other files in the place are left out."""
        async with aclosing(self._place.names(after=after and _name(after))) as names:
            async for name in names:
                hash = name[3:]
                if _HASH.fullmatch(hash) and name == _name(hash):
                    yield hash

    async def _read(self, hash: str, name: str) -> AsyncGenerator[bytes, None]:
        digest, held = hashlib.sha256(), b""
        async with aclosing(self._place.get(name)) as chunks:
            async for chunk in chunks:
                await in_thread(digest.update, chunk)
                if held:
                    yield held
                held = chunk
        if digest.hexdigest() != hash:
            raise Damaged(self._place, hash)
        if held:
            yield held

    async def _again(self, spooled: _Spooled) -> AsyncGenerator[bytes, None]:
        await self._spooling(spooled.file.seek, 0)
        while piece := await self._spooling(spooled.file.read, PIECE):
            yield piece

    async def _spooling(self, work: Callable[..., Result], *args: object) -> Result:
        try:
            return await in_thread(work, *args)
        except OSError as error:
            raise Unavailable(
                f"{self._spool} cannot take a file on its way ({error.strerror}): check that its disk has room, and "
                "that the folder belongs to the user who runs the bot. Nothing of the file was kept."
            ) from error


async def orphans(blobs: Blobs, store: Referring, page: int = 500) -> AsyncGenerator[tuple[str, int], None]:
    """Every blob that no message refers to, with its bytes, in sorted order; `page` hashes are asked for at a time.

    One that was kept a moment ago, and whose message is not, is among them: remove what was an orphan when the last
    look began, too, and let nobody keep blobs meanwhile."""
    async for hashes in _pages(blobs.hashes(), page):
        used = await store.references(hashes)
        for hash in hashes:
            if not used.get(hash) and (size := await blobs.size(hash)) is not None:
                yield hash, size


async def _pages(hashes: AsyncGenerator[str, None], page: int) -> AsyncGenerator[list[str], None]:
    found: list[str] = []
    async with aclosing(hashes):
        async for hash in hashes:
            found.append(hash)
            if len(found) == page:
                yield found
                found = []
    if found:
        yield found


class _Spooled:
    """A file being kept, on its way through a nameless file that is gone once closed."""

    def __init__(self, folder: Path, held: ExitStack) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        self.file: BinaryIO = held.enter_context(file)
        self._digest = hashlib.sha256()
        self._size = 0
        self._head = b""

    def write(self, piece: bytes) -> None:
        self._digest.update(piece)
        self._size += len(piece)
        self._head += piece[: HEAD - len(self._head)]
        rest = memoryview(piece)
        while rest:
            rest = rest[self.file.write(rest) :]

    def blob(self) -> Blob:
        return Blob(hash=self._digest.hexdigest(), media_type=media_type(self._head), size=self._size)


async def _within(chunks: AsyncIterable[bytes], limit: int, name: str) -> AsyncGenerator[bytes, None]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise TooBig(name, limit)
        yield chunk


_HASH = re.compile(r"[0-9a-f]{64}")


def _name(hash: str) -> str:
    if not _HASH.fullmatch(hash):
        raise ValueError(f"{hash[:80]!r} is not the hash of a file: that has 64 digits of 0-9 and a-f")
    return f"{hash[:2]}/{hash}"


def _readable(size: int) -> str:
    return f"{size / 2**20:.4g} MiB" if size >= 2**20 else f"{size:,} bytes"
