"""Backs a store up while it is written to, and clears away what no tier keeps.

Two steps that belong together are elsewhere: `rehearsal.py` proves a backup, `restore.py` brings one back.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import shutil
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import zstandard

from . import connect
from .aside import Aside
from .backend import Freezes, Snapshots
from .backends.sqlite_file import snapshot
from .backends.sqlite_rows import COUNTS, HOW_MUCH
from .blobs import Blobs, Damaged
from .copying import copy
from .durable import in_thread
from .errors import StorageError, Unavailable
from .manifest import BLOBS, DATABASE, MANIFEST, Destination, Manifest, Unsound, blob_hashes, shelf, write
from .model import Counts
from .place import PIECE, Missing
from .progress import Tell, silent
from .tiers import Tiers, kept

LEVEL, THREADS = 1, 2
"""How hard Zstandard tries, and on how many threads: a backup shares its processor with a bot that is talking."""
STRETCH = 4 << 20
"""Bytes that are compressed at once: every stretch is one trip to a thread, for which a busy loop waits."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is backed up: a bot's store, and its attachments where it keeps any."""

    bot: str
    backend: str
    """The type of its storage: sqlite, file or postgres."""
    store: Snapshots | Freezes
    blobs: Blobs | None


@asynccontextmanager
async def workspace(root: Path) -> AsyncIterator[Path]:
    """An empty folder on the root's disk, gone afterwards. Whoever has it is the only one who backs the root up.

    Raises `Unavailable` when somebody else has it, or when it cannot be made."""
    work = root / "backup.work"
    lock = _locked(root)
    try:
        await in_thread(shutil.rmtree, work, True)
        with on_disk(work):
            work.mkdir(mode=0o700)
        yield work
    finally:
        try:
            await in_thread(shutil.rmtree, work, True)
        finally:
            os.close(lock)


def _locked(root: Path) -> int:
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(root / "backup.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(f"{root} cannot be used to make a backup in ({error.strerror}).") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if not isinstance(error, BlockingIOError):
            raise Unavailable(f"{root} cannot be used to make a backup in ({error.strerror}).") from error
        raise Unavailable(f"A backup of {root} is being made or checked right now: wait until it is done.") from None
    return lock


async def back_up(
    subject: Subject, to: Destination, work: Path, *, now: Callable[[], datetime], program: str, tell: Tell = silent
) -> Manifest:
    """Backs up everything, as it stood at one moment, while writing goes on; the backup is not proven yet.

    `work` is an empty folder with room for the whole database. Raises `StorageError`: then there is no new backup,
    and nothing that was there before is touched."""
    started = now()
    before = await shelf(to.place)
    name = before.free_name(started)
    database = work / "conversations.db"
    try:
        with on_disk(work):
            tell("copying the store", 0, 0)
            await _snapshot(subject, database)
            packed = Packed(database, tell)
            counting = asyncio.ensure_future(in_thread(_counted, database))
            try:
                async with aclosing(packed.chunks()) as chunks:
                    packed_size = await to.place.put(name + DATABASE, chunks)
            finally:
                version, counts = await counting
            await in_thread(database.unlink)
            blobs = await _copy_blobs(subject.blobs, to, name, work, tell) if subject.blobs else _NO_BLOBS
            said = Manifest(
                number=before.next_number,
                name=name,
                bot=subject.bot,
                backend=subject.backend,
                made_at=started,
                seconds=max(0.0, (now() - started).total_seconds()),
                program=program,
                schema_version=version,
                counts=counts,
                size=packed.size,
                sha256=packed.sha256,
                packed_size=packed_size,
                packed_sha256=packed.packed_sha256,
                blobs=blobs.count,
                blobs_sha256=blobs.sha256,
                blobs_lost=blobs.lost,
            )
            await write(to.place, said)
    except BaseException:
        with suppress(StorageError):
            for end in (MANIFEST, DATABASE, BLOBS):  # the manifest may have got there before its putting failed
                await to.place.remove(name + end)
        raise
    return said


@contextmanager
def on_disk(folder: Path) -> Iterator[None]:
    """Makes a sentence of what the disk under a folder has against us."""
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"{error.filename or folder} could not be written or read ({error.strerror}): check that its disk has room "
            "and is healthy. Earlier backups are not touched."
        ) from error


async def prune(to: Destination, bot: str, tiers: Tiers, tell: Tell = silent) -> list[Manifest]:
    """Removes this bot's backups that no tier keeps, then attachments that no backup has any more. Returns the
    backups that went. The newest proven one always stays, and so does whatever is not a backup of this bot. Where a
    list of attachments cannot be read, all attachments stay, and that is told."""
    found = await shelf(to.place)
    going = outdated([each for each in found.backups if each.bot == bot], tiers)
    for each in going:
        for file in reversed(each.files):  # the manifest last: it tells the next one what was not finished
            await to.place.remove(file)
    if any(each.blobs for each in going):
        staying = [each for each in found.backups if each not in going]
        lists = [(each.blob_list, each.blobs_sha256) for each in staying if each.blobs_sha256]
        unclear = [(file, None) for file in found.strays if file.endswith(BLOBS)]
        await _sweep(to, [*lists, *unclear], tell)
    return going


def _fuller(kept: Sequence[Manifest], proven: Sequence[Manifest]) -> set[int]:
    """Of the days whose newest backup stays, the ones that hold more messages than that: on such a day something went
    wrong, and nobody may have noticed yet."""
    fuller: dict[tuple[str, int], Manifest] = {}
    for stays in kept:
        day = f"{stays.made_at:%Y-%m-%d}"
        for each in proven:
            same = f"{each.made_at:%Y-%m-%d}" == day and each.number < stays.number
            if same and each.counts.messages > stays.counts.messages:
                best = fuller.get((day, stays.number))
                if best is None or each.counts.messages >= best.counts.messages:
                    fuller[day, stays.number] = each
    return {each.number for each in fuller.values()}


def outdated(backups: Sequence[Manifest], tiers: Tiers) -> list[Manifest]:
    """Which of these, in the order in which they were made, no tier keeps. Tiers are for proven ones; of those that
    failed since the last proven one, as many stay as there are daily ones."""
    proven = [each for each in backups if each.proven_at]
    stay = {proven[place].number for place in kept([each.made_at for each in proven], tiers)}
    stay |= _fuller([each for each in proven if each.number in stay], proven)
    last = proven[-1].number if proven else 0
    failed = [each.number for each in backups if not each.proven_at and each.number > last]
    stay |= set(failed[-tiers.daily :])
    return [each for each in backups if each.number not in stay]


class Beside:
    """A look at a SQLite store that another process may be writing to, without ever writing to it: two writers could
    corrupt it."""

    def __init__(self, database: Path) -> None:
        self._database = database

    async def snapshot(self, path: Path) -> None:
        """As `Snapshots.snapshot`."""
        await snapshot(self._database, path)


class Packed:
    """A file on its way into an archive: its bytes compressed, and afterwards what they were before and are now."""

    def __init__(self, path: Path, tell: Tell = silent) -> None:
        self._path = path
        self._tell = tell
        self._plain, self._packed = hashlib.sha256(), hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._plain.hexdigest()

    @property
    def packed_sha256(self) -> str:
        return self._packed.hexdigest()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The compressed bytes, to be gone through once. A piece is made while the one before it is taken."""
        whole = (await in_thread(self._path.stat)).st_size
        async with Aside() as aside:
            pieces = self._pieces()
            coming = asyncio.ensure_future(aside.run(next, pieces, None))
            try:
                while (piece := await coming) is not None:
                    coming = asyncio.ensure_future(aside.run(next, pieces, None))
                    yield piece
                    self._tell("packing", self.size, whole)
            finally:
                await asyncio.wait([coming])
                pieces.close()

    def _pieces(self) -> Generator[bytes, None, None]:
        """On a thread, where reading, hashing and compressing leave Python's lock alone."""
        packer = zstandard.ZstdCompressor(level=LEVEL, threads=THREADS, write_checksum=True).compressobj()
        with self._path.open("rb", buffering=0) as file:
            while plain := file.read(STRETCH):
                self._plain.update(plain)
                self.size += len(plain)
                yield self._hashed(packer.compress(plain))
            yield self._hashed(packer.flush())

    def _hashed(self, packed: bytes) -> bytes:
        self._packed.update(packed)
        return packed


async def _snapshot(subject: Subject, database: Path) -> None:
    if isinstance(subject.store, Snapshots):
        await in_thread(_refuse_without_room, database.parent)
        await subject.store.snapshot(database)
        return
    target = await connect(subject.bot, database.parent)
    try:
        async with subject.store.frozen() as still:
            await copy(still, target)
    finally:
        await target.close()


def _refuse_without_room(work: Path) -> None:
    """Better said before a disk that the bot needs is full."""
    needed = sum(path.stat().st_size for path in work.parent.glob("*.db*"))
    free = shutil.disk_usage(work).free
    if free < needed:
        raise Unavailable(
            f"The disk of {work.parent} has {free >> 20} MiB left, and a backup needs about {(needed >> 20) + 1} MiB "
            "there while it is made: free some disk space. Earlier backups are not touched."
        )


def _counted(database: Path) -> tuple[int, Counts]:
    """The version of a database's schema, and how much it holds."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (counts,) = connection.execute(HOW_MUCH).fetchone()
    return int(version), COUNTS.validate_json(counts)


@dataclass(frozen=True, slots=True)
class _Listed:
    """The attachments of a backup."""

    count: int
    lost: int
    sha256: str | None


_NO_BLOBS = _Listed(0, 0, None)


async def _copy_blobs(blobs: Blobs, to: Destination, name: str, work: Path, tell: Tell) -> _Listed:
    """Copies attachments that are not there yet, and puts the list of all. One that is damaged or missing is left
    out: it would be in no later backup either, and must not keep the talk from being backed up."""
    draft, digest, count, lost = work / "blobs", hashlib.sha256(), 0, 0
    with draft.open("wb") as file:
        async for hash, there in _beside(blobs.hashes(), to.blobs.hashes()):
            try:
                if not there:
                    await to.blobs.keep(blobs.read(hash), limit=1 << 62, name=hash)
            except (Damaged, Missing):
                lost += 1
                continue
            line = f"{hash}\n".encode()
            digest.update(line)
            file.write(line)
            count += 1
            tell("copying attachments", count, 0)
    if count:
        await to.place.put(name + BLOBS, _read(draft))
    return _Listed(count, lost, digest.hexdigest() if count else None)


async def _beside(
    wanted: AsyncGenerator[str, None], there: AsyncGenerator[str, None]
) -> AsyncIterator[tuple[str, bool]]:
    """Each of the one sorted stream, and whether it is in the other."""
    async with aclosing(wanted), aclosing(there):
        other = await anext(there, None)
        async for each in wanted:
            while other is not None and other < each:
                other = await anext(there, None)
            yield each, each == other


async def _sweep(to: Destination, lists: list[tuple[str, str | None]], tell: Tell) -> None:
    """Removes attachments in none of these lists; nothing where one of them cannot be read. Holds some 100 bytes for
    each that stays."""
    needed: set[bytes] = set()
    try:
        for file, sha256 in lists:
            async for hash in blob_hashes(to.place, file, sha256):
                needed.add(bytes.fromhex(hash))
    except (Missing, Unsound) as error:
        tell(f"attachments of earlier backups all stay: {error}", 0, 0)
        return
    async with aclosing(to.blobs.hashes()) as hashes:
        async for hash in hashes:
            if bytes.fromhex(hash) not in needed:
                await to.blobs.remove(hash)


async def _read(path: Path) -> AsyncGenerator[bytes, None]:
    with path.open("rb") as file:
        while piece := await in_thread(file.read, PIECE):
            yield piece
