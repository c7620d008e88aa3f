"""Brings a backup back, into a root of its own: never over what is there."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import zstandard

from . import connect
from .aside import Aside
from .backend import Store
from .backends.sqlite_file import explained
from .backup import STRETCH, Beside, on_disk
from .blobs import Blobs, Damaged
from .copying import copy
from .durable import in_thread, sync_folder
from .errors import RootInUse, StorageError, Unavailable
from .forgetting import Forgotten
from .forgotten_list import LIST, forget_listed, listed, note
from .manifest import Destination, Manifest, Unsound, blob_hashes
from .model import Counts
from .place import Folder, Missing, Place
from .progress import Tell, silent
from .rootlock import RootLock, holder

Type = Literal["sqlite", "file", "postgres"]


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back."""

    counts: Counts
    lost: int
    """Attachments that are missing or damaged in the backup, and so did not."""
    forgotten: int = 0
    """People who asked to be forgotten since, and were taken out again."""
    removed: int = 0
    """Messages that went with them: theirs, and the answers to them."""


async def restore(
    source: Destination,
    said: Manifest,
    root: Path,
    *,
    type: Type = "sqlite",
    bot: str,
    url: str = "",
    tell: Tell = silent,
) -> Restored:
    """Restores a backup into `root`, which must be missing or empty, for storage of that type; for postgres the talk
    goes to the server at `url`, into what must be empty there. Attachments go to `attachments/` in the root.

    Whoever asked to be forgotten since, by the list beside the backups or in the root, is taken out again first. The
    database is checked to the byte before it stands where a bot would find it. Raises `StorageError`, perhaps as
    `Unsound`, `RootInUse`, `NewerSchema` or `Unavailable`: then the root is as it was; what a server has by then is
    said."""

    async def fill(folder: Path) -> int:
        await fetch(source.place, said, folder, tell)
        attachments = Blobs(Folder(folder / "attachments"), folder)
        lost = count = 0
        async with aclosing(listed_blobs(source.place, said)) as hashes:
            async for hash in hashes:
                try:
                    await attachments.keep(source.blobs.read(hash), limit=1 << 62, name=hash)
                except (Damaged, Missing):  # one picture less is no reason to do without the talk
                    lost += 1
                count += 1
                tell("attachments", count, said.blobs)
        return lost

    return await _into(root, fill, type, bot, url, source.place, tell)


async def restore_database(
    database: Path, root: Path, *, type: Type = "sqlite", bot: str, url: str = "", tell: Tell = silent
) -> Restored:
    """Restores a bare database file, one that somebody copied by hand, with the same promises; there is no manifest
    to check it by, so that only SQLite's own check tells whether it is whole."""

    async def fill(folder: Path) -> int:
        if not database.stat().st_size:
            raise Unsound(f"{database} is empty: it is no backup of anything.")
        if any(database.with_name(database.name + end).exists() for end in _UNFINISHED):
            await Beside(database).snapshot(folder / "conversations.db")
        else:
            async with Aside() as aside:
                await aside.run(_copy_at_rest, database, folder / "conversations.db")
        return 0

    return await _into(root, fill, type, bot, url, Folder(database.parent), tell)


async def fetch(place: Place, said: Manifest, folder: Path, tell: Tell = silent) -> Path:
    """Brings a backup's database into an empty folder, as `conversations.db`. Raises `Unsound` when it is not, to the
    byte, what the manifest says."""
    packed, database = folder / "conversations.db.zst", folder / "conversations.db"
    await in_thread(_refuse_without_room, folder, said)
    digest, size = hashlib.sha256(), 0
    with _written(packed) as file:
        try:
            async with aclosing(place.get(said.database)) as chunks:
                async for chunk in chunks:
                    await in_thread(_take, file, digest.update, chunk)
                    size += len(chunk)
                    tell("fetching", size, said.packed_size)
        except Missing as error:
            raise Unsound(f"{said.name} is no whole backup: {error}") from error
    if (size, digest.hexdigest()) != (said.packed_size, said.packed_sha256):
        raise Unsound(
            f"{said.database} in {place} is not the file that was put there ({size} bytes, {said.packed_size} "
            "expected, or other ones): it was cut off or changed, or its disk is failing. Restore another backup."
        )
    async with Aside() as aside:
        await aside.run(_unpack, packed, database, said)
    await in_thread(packed.unlink)
    return database


def listed_blobs(place: Place, said: Manifest) -> AsyncGenerator[str, None]:
    """The hashes of a backup's attachments. Raises `Unsound` or `Missing`."""
    return blob_hashes(place, said.blob_list, said.blobs_sha256) if said.blobs_sha256 else _none()


async def check(database: Path) -> None:
    """SQLite's own check of every page and index of a database. Raises `Unsound`."""
    async with Aside() as aside:
        found = await aside.run(_integrity, database)
    if found != "ok":
        raise Unsound(f"The database is damaged inside: {found}")


async def _into(
    root: Path, fill: Callable[[Path], Awaitable[int]], type: Type, bot: str, url: str, beside: Place, tell: Tell
) -> Restored:
    """Fills a new root under its lock: everything in a folder aside, which is emptied into the root at the end."""
    schema = _schema(bot) if type == "postgres" else ""
    async with _new(root) as lock:
        aside = root / "restoring"
        aside.mkdir(mode=0o700)
        lost = await fill(aside)
        tell("checking", 0, 0)
        await check(aside / "conversations.db")
        store = await connect(bot, aside)
        try:
            done = await _forgotten(store, aside, (beside, Folder(root)), tell)
            counts = await store.counts()
            if type != "sqlite":
                target = await connect(bot, aside / "copy", type=type, url=url)
                try:
                    await _copied(store, target, schema, tell)
                finally:
                    await target.close()
        finally:
            await store.close()
        await in_thread(_settle, root, aside, type)
        lock.release()
    return Restored(counts, lost, len(done), sum(each.messages + each.answers for each in done.values()))


async def _forgotten(store: Store, aside: Path, lists: Sequence[Place], tell: Tell) -> dict[str, Forgotten]:
    """Takes those out who asked to be forgotten since; the new root has the list too."""
    tell("looking who is to be forgotten", 0, 0)
    for place in lists:
        await note(Folder(aside), await listed(place))
    people = await listed(Folder(aside))
    return await forget_listed(store, people, Blobs(Folder(aside / "attachments"), aside))


def _schema(bot: str) -> str:
    """Where on a server a bot's talk goes."""
    from .backends.postgres_schema import schema_name

    try:
        return schema_name(bot)
    except ValueError as error:
        raise StorageError(f"{error}. Name the bot for which it is restored: `--for sage2`.") from error


async def _copied(store: Store, target: Store, schema: str, tell: Tell) -> None:
    """The root takes back what a copy that fails leaves; a server does not."""
    there = await target.counts()
    try:
        await copy(store, target, tell=tell)
    except StorageError as error:
        if not schema:
            raise
        remove = f'remove it (DROP SCHEMA "{schema}" CASCADE)'
        remedy = f"What was copied by then stays in the schema {schema} of the server: {remove}, then try again."
        if there.channels or there.sessions or there.messages or there.records:
            remedy = (
                f"It is the schema {schema} of the server. Where an earlier restore that failed left it, {remove} and "
                "try again; where it is a bot's talk, name another bot (`--for`)."
            )
        raise StorageError(f"{error} {remedy}") from error


@asynccontextmanager
async def _new(root: Path) -> AsyncIterator[RootLock]:
    """The lock of a root that is missing or empty; where it does not work out, the root is as it was."""
    if pid := holder(root):
        raise RootInUse(str(root), pid)
    refuse_filled(root)
    there = root.exists()
    lock = RootLock.take(root)
    try:
        refuse_filled(root)
        with on_disk(root):
            yield lock
    except BaseException:
        await in_thread(shutil.rmtree, root / "restoring", True)
        lock.release()
        (root / "lock").unlink(missing_ok=True)
        if not there:
            root.rmdir()
        raise


def refuse_filled(root: Path) -> None:
    """Raises `Unavailable` where a folder is neither missing nor empty."""
    try:
        found = sorted(path.name for path in root.iterdir() if path.name not in ("lock", LIST))
    except FileNotFoundError:
        return
    except OSError as error:
        raise Unavailable(f"{root} cannot be used as a storage root ({error.strerror}).") from error
    if found:
        raise Unavailable(
            f"{root} is not empty (it holds {', '.join(found[:3])}{' …' if len(found) > 3 else ''}), and a backup is "
            "never restored over anything: name a folder that is not there yet."
        )


def _settle(root: Path, aside: Path, type: Type) -> None:
    """Moves what was restored to where a bot looks for it, databases last."""
    if type != "sqlite":
        (aside / "conversations.db").unlink()
        copied = aside / "copy"
        for path in copied.iterdir() if copied.exists() else ():
            path.rename(aside / path.name)
        shutil.rmtree(copied, ignore_errors=True)
    for path in sorted(aside.iterdir(), key=lambda path: (".db" in path.name, path.name)):
        path.rename(root / path.name)
    aside.rmdir()
    sync_folder(root)


def _refuse_without_room(folder: Path, said: Manifest) -> None:
    needed, free = said.packed_size + said.size, shutil.disk_usage(folder).free
    if free < needed:
        raise Unavailable(
            f"The disk of {folder} has {free >> 20} MiB left, and restoring {said.name} needs {(needed >> 20) + 1} "
            "MiB there: free some disk space."
        )


def _written(path: Path) -> BinaryIO:
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb", buffering=0)


def _take(file: BinaryIO, note: Callable[[bytes], None], chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[file.write(rest) :]
    note(chunk)


def _unpack(packed: Path, database: Path, said: Manifest) -> None:
    """No further than the manifest's size, whatever the archive would like to become."""
    digest, left = hashlib.sha256(), said.size
    try:
        with packed.open("rb") as source, _written(database) as target:
            plain = zstandard.ZstdDecompressor().stream_reader(source)
            while left >= 0 and (piece := plain.read(STRETCH)):
                left -= len(piece)
                _take(target, digest.update, piece)
                os.fsync(target.fileno())  # all of it at once would hold up a bot that is talking
    except zstandard.ZstdError as error:
        raise Unsound(f"{said.database} cannot be unpacked ({error}): restore another backup.") from error
    if left or digest.hexdigest() != said.sha256:
        raise Unsound(f"{said.database} does not hold the database its manifest describes: restore another backup.")


_UNFINISHED = ("-wal", "-journal")
"""Files beside a database that hold a part of it."""


def _copy_at_rest(database: Path, target: Path) -> None:
    """Leaves nothing beside the database, as an ordinary look at it would: it may lie among somebody's backups."""
    address = f"{database.absolute().as_uri()}?immutable=1"
    try:
        with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("VACUUM INTO ?", (str(target),))
    except sqlite3.Error as error:
        raise explained(database, error) from error


def _integrity(database: Path) -> str:
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        return str(explained(database, error))
    return str(found)


async def _none() -> AsyncGenerator[str, None]:
    nothing: tuple[str, ...] = ()
    for each in nothing:
        yield each
