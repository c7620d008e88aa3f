"""Where bytes are kept outside the database: named files in a folder or in an S3-compatible bucket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import stat
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterator, Mapping
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeVar

from .durable import Partial, in_thread, remove
from .errors import StorageError, Unavailable

if TYPE_CHECKING:
    from obstore.store import S3Credential

Result = TypeVar("Result")

PIECE = 1 << 20
"""Bytes that go through a thread or a connection at once, more or less."""
PART = 5 << 20
"""The least that S3 takes as a part of a file sent in parts."""


class Missing(StorageError):
    """There is no file of that name in the place."""

    def __init__(self, place: Place, name: str) -> None:
        super().__init__(f"{place} holds no {name}: it was removed, or never put there.")


class Place(Protocol):
    """Named files that are put whole and never changed in place.

    A name is made of ASCII letters, digits, `.`, `_` and `-`, with `/` between folders; no part of it starts with a
    dot or is longer than 200 characters. Any other name is a `ValueError`. A name is a file's or a folder's, for good.
    Every method raises `Unavailable` when the place cannot be used right now. `str(place)` says where it is.
    """

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> int:
        """Keeps the bytes under that name, in place of what was there, and returns how many they are.

        They survive a power cut from then on. Whoever looks finds all of them or what was there before, also when
        the chunks end in an error, which comes back as it is."""

    def get(self, name: str, *, first: int = 0) -> AsyncGenerator[bytes, None]:
        """The bytes under that name, from byte `first` on, which has to be one of them, in chunks of a few MiB at
        most. Raises `Missing`."""

    async def size(self, name: str) -> int | None:
        """How many bytes are kept under that name; None when nothing is."""

    def names(self, prefix: str = "", after: str = "") -> AsyncGenerator[str, None]:
        """Every name in sorted order: of one folder (its name and a `/`) or of all, those behind `after` only.

        At most one folder's own names, or one page of a bucket's, are in memory at a time."""

    async def remove(self, name: str) -> bool:
        """Removes a file for good; False when there was none."""


def open_place(where: str, options: Mapping[str, str] | None = None) -> Place:
    """The place at `s3://bucket/prefix`, with its `options` (see `Bucket`), or in a local folder.

    Touches nothing yet. Raises `ValueError` when the address or an option is not of that form."""
    if where.startswith("s3://"):
        return Bucket(where, options or {})
    if not where or "\0" in where or re.match(r"\w+://", where):
        raise ValueError("a place for files is a folder's path or s3://bucket/prefix, and this is neither")
    return Folder(Path(where))


class Folder:
    """A place on a local disk. Files are their owner's alone (0600, in folders 0700)."""

    def __init__(self, path: Path) -> None:
        self._root = path

    def __str__(self) -> str:
        return str(self._root)

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> int:
        target = self._root / _checked(name)
        partial, size = Partial(self._root), 0
        try:
            await self._run(partial.open)
            async with aclosing(gathered(chunks, PIECE)) as pieces:
                async for piece in pieces:
                    await self._run(partial.write, piece)
                    size += len(piece)
            await self._run(partial.become, target)
        finally:
            await self._run(partial.close)
        return size

    def get(self, name: str, *, first: int = 0) -> AsyncGenerator[bytes, None]:
        return self._get(_checked(name), first)

    async def size(self, name: str) -> int | None:
        try:
            found = await self._run((self._root / _checked(name)).stat)
        except _Gone:
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def names(self, prefix: str = "", after: str = "") -> AsyncGenerator[str, None]:
        return self._walk(_checked_folder(prefix), after and _checked(after))

    async def remove(self, name: str) -> bool:
        with contextlib.suppress(_Gone):
            await self._run(remove, self._root / _checked(name))
            return True
        return False

    async def _get(self, name: str, first: int) -> AsyncGenerator[bytes, None]:
        def opened() -> BinaryIO:
            file = held.enter_context((self._root / name).open("rb"))
            file.seek(first)
            return file

        with ExitStack() as held:
            try:
                file = await self._run(opened)
            except _Gone:
                raise Missing(self, name) from None
            while chunk := await self._run(file.read, PIECE):
                yield chunk

    async def _walk(self, folder: str, after: str) -> AsyncGenerator[str, None]:
        """Folders are sorted with their `/`, so that names come in the order in which a bucket lists them."""
        for entry in await self._run(_listed, self._root / folder):
            name = folder + entry
            if not entry.endswith("/"):
                if name > after:
                    yield name
            elif name > after or after.startswith(name):
                async for inner in self._walk(name, after):
                    yield inner

    async def _run(self, work: Callable[..., Result], *args: object) -> Result:
        try:
            return await in_thread(work, *args)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise _Gone(self._trouble(error)) from error
        except OSError as error:
            raise Unavailable(self._trouble(error)) from error

    def _trouble(self, error: OSError) -> str:
        return (
            f"Files cannot be kept in {self._root} or read from it ({error.strerror}): check that its disk has room "
            "and is healthy, and that the folder belongs to the user who runs the bot. What was kept is not touched."
        )


class _Gone(Unavailable):
    """A file or a folder on the way to it is not there, or is the other of the two."""


class Bucket:
    """A place in an S3-compatible store, at `s3://bucket` or `s3://bucket/prefix`.

    `options` name the key (`access_key_id`, `secret_access_key`, perhaps `session_token`), the `region` (us-east-1
    when left out) and the `endpoint` (Amazon's when left out). An upload that is cut off may leave parts that nobody
    sees and the store charges for: give the bucket a rule that removes incomplete uploads.
    """

    def __init__(self, url: str, options: Mapping[str, str]) -> None:
        form = re.fullmatch(rf"s3://([a-z0-9][a-z0-9.-]{{1,61}}[a-z0-9])(?:/({_NAME.pattern}))?/?", url)
        if not form:
            raise ValueError("the address of a bucket is s3://bucket or s3://bucket/prefix, with nothing else in it")
        self._where = url.rstrip("/")
        _check_options(self._where, options)
        try:
            from obstore.exceptions import BaseError
            from obstore.store import S3Store
        except ImportError:
            raise Unavailable(f"{self._where} needs obstore: install Troupe with its extra `s3`.") from None
        region = options.get("region") or "us-east-1"
        endpoint = options.get("endpoint") or f"https://s3.{region}.amazonaws.com"
        key: S3Credential = {
            "access_key_id": options["access_key_id"],
            "secret_access_key": options["secret_access_key"],
            "token": options.get("session_token") or None,
            "expires_at": None,
        }
        self._failure = BaseError
        # The library fills what is not said from the environment, even a session token beside somebody else's key.
        self._store = S3Store(
            form[1],
            prefix=form[2],
            config={"region": region, "endpoint": endpoint, "virtual_hosted_style_request": False},
            client_options={"allow_http": endpoint.startswith("http://"), "connect_timeout": "10s", "timeout": "300s"},
            retry_config={"max_retries": 3},
            credential_provider=lambda: key,
        )

    def __str__(self) -> str:
        return self._where

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> int:
        _checked(name)
        async with aclosing(gathered(chunks, PART)) as pieces:
            first = await anext(pieces, b"")
            with self._explaining():
                if len(first) < PART:
                    await self._store.put_async(name, first)
                    return len(first)
                feed = _Feed(first, pieces)
                del first
                uploading = asyncio.ensure_future(self._store.put_async(name, feed.pieces(), max_concurrency=2))
                try:
                    await asyncio.shield(uploading)
                finally:
                    await feed.stop()
                    await asyncio.gather(uploading, return_exceptions=True)
                return feed.size

    def get(self, name: str, *, first: int = 0) -> AsyncGenerator[bytes, None]:
        return self._get(_checked(name), first)

    async def size(self, name: str) -> int | None:
        try:
            with self._explaining(_checked(name)):
                return (await self._store.head_async(name))["size"]
        except Missing:
            return None

    def names(self, prefix: str = "", after: str = "") -> AsyncGenerator[str, None]:
        return self._list(_checked_folder(prefix), after and _checked(after))

    async def remove(self, name: str) -> bool:
        if await self.size(name) is None:
            return False
        with self._explaining(name):
            await self._store.delete_async(name)
        return True

    async def _get(self, name: str, first: int) -> AsyncGenerator[bytes, None]:
        with self._explaining(name):
            found = await self._store.get_async(name, options={"range": {"offset": first}} if first else None)
            async for chunk in found.stream(min_chunk_size=PIECE):
                yield bytes(chunk)

    async def _list(self, prefix: str, after: str) -> AsyncGenerator[str, None]:
        with self._explaining():
            async for page in self._store.list(prefix or None, offset=after or None, chunk_size=1000):
                for found in page:
                    if _NAME.fullmatch(found["path"]):
                        yield found["path"]

    @contextlib.contextmanager
    def _explaining(self, name: str = "") -> Iterator[None]:
        """The library's errors as sentences of our own: theirs quote the server, address and all."""
        try:
            yield
        except FileNotFoundError as error:
            said = str(error)
            if name and "<Code>NoSuchBucket<" not in said:
                raise Missing(self, name) from None
            if "status code" in said:
                raise self._unavailable(said) from None
            raise  # by whoever hands over the chunks
        except self._failure as error:
            raise self._unavailable(str(error)) from None

    def _unavailable(self, said: str) -> Unavailable:
        code = re.search(r"<Code>(\w{1,80})</Code>", said)
        status = re.search(r"status code: (\d{3})", said)
        what, remedy = "could not be reached", "check the endpoint and the network"
        if code and code[1] == "NoSuchBucket":
            what, remedy = "does not exist", "make the bucket, or correct its name, region or endpoint"
        elif status and status[1] in ("401", "403"):
            what, remedy = "refused the key", "check the access key, its secret and what it may do with this bucket"
        elif status:
            what, remedy = "failed", "check the region and the endpoint, and whether the store is in good health"
        detail = ", ".join(found[1] for found in (status, code) if found) or "no answer"
        return Unavailable(f"{self._where} {what} ({detail}): {remedy}. What was kept there is not touched.")


class _Feed:
    """Pieces for a library that reads ahead: left alone, one that is given up would go on reading."""

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes, None]) -> None:
        self.size = len(first)
        self._first, self._rest = first, rest
        self._reading: asyncio.Future[bytes] | None = None

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        piece, self._first = self._first, b""
        while piece:
            yield piece
            piece = await self._next()
            self.size += len(piece)

    async def stop(self) -> None:
        """An end would be taken for the file's: a cancelled reading makes the library take back what it sent."""
        reading, self._rest = self._reading, _cancelled()
        if reading and not reading.done():
            reading.cancel()
            await asyncio.wait([reading])

    async def _next(self) -> bytes:
        self._reading = asyncio.ensure_future(anext(self._rest, b""))
        return await self._reading


async def _cancelled() -> AsyncGenerator[bytes, None]:
    raise asyncio.CancelledError
    yield b""


async def gathered(chunks: AsyncIterable[bytes], size: int) -> AsyncGenerator[bytes, None]:
    """The same bytes in fewer chunks: each but the last has at least `size` of them, and none is empty."""
    held: list[bytes] = []
    waiting = 0
    async for chunk in chunks:
        held.append(chunk)
        waiting += len(chunk)
        if waiting >= size:
            yield _taken(held)
            waiting = 0
    if waiting:
        yield _taken(held)


def _taken(held: list[bytes]) -> bytes:
    whole = b"".join(held)
    held.clear()  # while somebody works with the whole, its parts need not be in memory
    return whole


_PART_OF_NAME = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}"
_NAME = re.compile(rf"{_PART_OF_NAME}(?:/{_PART_OF_NAME})*")
_LONGEST = 900
"""S3 takes 1,024, the prefix included."""


def _checked(name: str) -> str:
    if len(name) > _LONGEST or not _NAME.fullmatch(name):
        raise ValueError(
            f"{name[:80]!r} is not a name for a file: take ASCII letters, digits, '.', '_' and '-', with '/' between "
            f"folders, no dot in front, at most 200 characters a part and {_LONGEST} in all"
        )
    return name


def _checked_folder(prefix: str) -> str:
    if prefix and not prefix.endswith("/"):
        raise ValueError(f"{prefix[:80]!r} is not a folder: a prefix ends with '/'")
    return prefix and _checked(prefix[:-1]) + "/"


def _check_options(where: str, options: Mapping[str, str]) -> None:
    needed = {"access_key_id", "secret_access_key"}
    allowed = needed | {"session_token", "region", "endpoint"}
    if strange := sorted(set(options) - allowed):
        raise ValueError(f"{where} has the option {strange[0]!r}; allowed are {', '.join(sorted(allowed))}")
    if lacking := sorted(name for name in needed if not options.get(name)):
        raise ValueError(f"{where} needs {' and '.join(lacking)}")
    if (endpoint := options.get("endpoint")) and not re.fullmatch(r"https?://[^/?#@\s]+(/[^?#@\s]*)?", endpoint):
        raise ValueError(f"{where} has an endpoint that is not an address: it starts with https:// and a host's name")


def _listed(folder: Path) -> list[str]:
    """What a folder holds, in order, folders with a `/` behind them; what has no name for a place is left out."""
    try:
        with os.scandir(folder) as entries:
            known = [entry for entry in entries if _NAME.fullmatch(entry.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    files = [entry.name for entry in known if entry.is_file(follow_symlinks=False)]
    return sorted(files + [f"{entry.name}/" for entry in known if entry.is_dir(follow_symlinks=False)])
