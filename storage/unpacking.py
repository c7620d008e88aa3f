"""Archives read back: zips that are trusted in nothing, and the sessions in them put where they were."""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from asyncio import gather
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ValidationError

from .archive import FILES, MANIFEST, MESSAGES, META, Contents
from .backend import Store
from .backends.changes import located
from .blobs import Blobs
from .durable import in_thread
from .errors import StorageError
from .forgetting import forget
from .model import Message, Session
from .place import PIECE
from .records import Spent, Tombstone
from .retention import TAKEN

MEMBERS = 500_000
"""The most files that a zip may hold: what is known of them takes half a gigabyte of memory."""
_BYTES, _MANIFEST, _SMALL, _LINE = 1 << 40, 1 << 28, 1 << 26, 1 << 26
"""The most that is read: bytes in all, bytes of a manifest, of a session, of a message."""
_PAGE = 200


class BadArchive(StorageError):
    """A zip is not an archive that this program wrote, or not any more."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path.name} cannot be read back: {what}. Nothing was taken from it.")


@dataclass(frozen=True, slots=True)
class Restored:
    """What an archive brought back."""

    sessions: int
    messages: int
    """Those that were missing."""
    known: int
    """Messages that were kept already."""
    files: int


async def restore_archive(path: Path, store: Store, blobs: Blobs | None = None) -> Restored:
    """Puts every session of an archive back, with its messages and files; what is there already stays as it is, so
    that doing it twice is doing it once.

    Whoever asked to be forgotten meanwhile stays so. All of the archive is read and found good before anything is kept.
    Raises `BadArchive`, or `Unavailable`: then
    some of it may be back, and the same call finishes."""
    people: set[str] = set()
    async with aclosing(read_archive(path)) as sessions:
        async for session, messages in sessions:
            kept = await store.session(session.id)
            if kept is not None and kept.channel.key != session.channel.key:
                where = f"in {kept.channel.safe_name}, and in the archive in {session.channel.safe_name}"
                raise BadArchive(path, f"the session {session.id[:80]} is kept {where}")
            async for page in messages:
                people.update(id for message in page for id in (message.sender.id, message.asker) if id)
    files = await _restore_files(path, blobs)
    back = new = known = 0
    async with aclosing(read_archive(path)) as sessions:
        async for session, messages in sessions:
            kept = await store.session(session.id)
            current = kept or session
            if kept is not None and kept.deleted_at == TAKEN:
                await store.save_session(current := kept.model_copy(update={"deleted_at": None}))
            if kept is None:
                if await store.channel(session.channel.key) is None:
                    await store.keep_channel(session.channel)
                await store.save_session(session)
            async for page in messages:
                fresh = await gather(*(store.append(current, message) for message in page))
                # Known again from the messages themselves: counted twice otherwise. One whose origin is kept under
                # another id did not come back, and its record is all that is left of it.
                paid = [(message.id, is_new) for message, is_new in zip(page, fresh, strict=True) if message.usage]
                await store.remove_records(Spent, [id for id, is_new in paid if is_new or await store.message(id)])
                new += sum(fresh)
                known += len(page) - sum(fresh)
            back += 1
    for who in people:
        if tombstone := await store.record(Tombstone, who):
            await forget(store, who, tombstone.at, blobs=blobs)
    return Restored(back, new, known, files)


async def description(path: Path) -> Contents:
    """What an archive says of itself. Raises `BadArchive`."""
    reader = await in_thread(_Reader, path)
    await in_thread(reader.close)
    return reader.contents


async def read_archive(path: Path) -> AsyncGenerator[tuple[Session, AsyncIterator[list[Message]]], None]:
    """The sessions of an archive, each with its messages in their order, some at a time; read these before the next.

    Raises `BadArchive`, with file and line, where it is not what its manifest says, or is larger than any that this
    program writes."""
    reader = await in_thread(_Reader, path)
    try:
        for name in reader.names(META):
            folder = name.removesuffix(META)
            session = await in_thread(reader.session, name)
            yield session, _messages(reader, folder + MESSAGES, session)
    finally:
        await in_thread(reader.close)


async def _messages(reader: _Reader, name: str, session: Session) -> AsyncGenerator[list[Message], None]:
    member = await in_thread(_Reading, reader, name)
    while page := await in_thread(member.messages, session):
        yield page


async def _restore_files(path: Path, blobs: Blobs | None) -> int:
    reader = await in_thread(_Reader, path)
    try:
        names = reader.names("", within=FILES)
        for name in names:
            async for _ in _chunks(reader, name):
                pass
        if blobs is None:
            return 0
        missing = [name for name in names if await blobs.size(name.removeprefix(FILES)) is None]
        for name in missing:
            await blobs.keep(_chunks(reader, name), limit=reader.contents.members[name].size)
        return len(missing)
    finally:
        await in_thread(reader.close)


async def _chunks(reader: _Reader, name: str) -> AsyncGenerator[bytes, None]:
    member = await in_thread(_Reading, reader, name)
    while chunk := await in_thread(member.chunk):
        yield chunk


class _Reader:
    """A zip that is trusted in nothing. One thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened = ExitStack()
        try:
            self._zip = zipfile.ZipFile(path)
        except OSError as error:
            raise BadArchive(path, f"it cannot be opened ({error.strerror})") from error
        except (zipfile.BadZipFile, ValueError, RuntimeError) as error:
            raise BadArchive(path, "it is not a zip, or not a whole one") from error
        try:
            self.contents = self._understood()
        except BaseException:
            self.close()
            raise

    def names(self, end: str, within: str = "") -> list[str]:
        return [name for name in self.contents.members if name.endswith(end) and name.startswith(within)]

    def open(self, name: str) -> IO[bytes]:
        """One file in it; the one before is closed."""
        self._opened.close()
        try:
            return self._opened.enter_context(self._zip.open(name))
        except _BROKEN as error:
            raise BadArchive(self.path, f"{said(name)} in it is damaged") from error

    def session(self, name: str) -> Session:
        text = _Reading(self, name).whole(_SMALL)
        try:
            session = Session.model_validate_json(text)
        except ValidationError as error:
            raise BadArchive(self.path, f"{said(name)} in it is not a session ({first_of(error)})") from error
        if wrong := wrong_time(session):
            raise BadArchive(self.path, f"{said(name)} in it has {wrong}")
        return session

    def close(self) -> None:
        self._opened.close()
        self._zip.close()

    def _understood(self) -> Contents:
        if wrong := wrong_with(self._zip):
            raise BadArchive(self.path, wrong)
        names = set(self._zip.namelist())
        try:
            contents = Contents.model_validate_json(self._zip.read(MANIFEST))
        except (ValidationError, *_BROKEN) as error:
            raise BadArchive(self.path, f"its {MANIFEST} is damaged") from error
        for name in sorted(names ^ {MANIFEST, *contents.members}):
            verb = "holds" if name in names else "lacks"
            raise BadArchive(self.path, f"it {verb} {said(name)}, which its {MANIFEST} says otherwise about")
        for name in self._lonely(contents):
            raise BadArchive(self.path, f"{said(name)} in it belongs to no session")
        return contents

    def _lonely(self, contents: Contents) -> list[str]:
        """Files that stand where an archive has none, or a half of a session."""
        lonely = []
        for name, member in contents.members.items():
            folder, _, file = name.rpartition("/")
            other = {META: MESSAGES, MESSAGES: META}.get(file)
            blob = name.startswith(FILES) and name == FILES + member.sha256
            if not blob and (other is None or f"{folder}/{other}" not in contents.members):
                lonely.append(name)
        return lonely


class _Reading:
    """One member being read: never more of it than its manifest says, and in the end found to be the same bytes."""

    def __init__(self, reader: _Reader, name: str) -> None:
        self._reader, self._name = reader, name
        self._member = reader.contents.members[name]
        self._file = reader.open(name)
        self._digest = hashlib.sha256()
        self._left = self._member.size
        self._line = 0

    def whole(self, limit: int) -> bytes:
        if self._member.size > limit:
            raise self._bad("is larger than any that this program writes")
        pieces = []
        while piece := self.chunk():
            pieces.append(piece)
        return b"".join(pieces)

    def chunk(self) -> bytes:
        return self._checked(lambda: self._file.read(PIECE))

    def messages(self, session: Session) -> list[Message]:
        """Some of the messages; none at the end."""
        found: list[Message] = []
        while len(found) < _PAGE and (line := self._checked(lambda: self._file.readline(_LINE))):
            self._line += 1
            try:
                message = Message.model_validate_json(line)
            except ValidationError as error:
                raise self._bad(f"has no message in line {self._line} ({first_of(error)})") from error
            if wrong := wrong_time(message):
                raise self._bad(f"has in line {self._line} {wrong}")
            if message.session_id != session.id:
                raise self._bad(f"has a message of another session in line {self._line}")
            found.append(message)
        return found

    def _checked(self, read: Callable[[], bytes]) -> bytes:
        try:
            piece = read()
        except _BROKEN as error:
            raise self._bad("is damaged") from error
        self._left -= len(piece)
        self._digest.update(piece)
        if self._left < 0 or (not piece and (self._left or self._digest.hexdigest() != self._member.sha256)):
            raise self._bad(f"is not what its {MANIFEST} says (another size or SHA-256)")
        return piece

    def _bad(self, what: str) -> BadArchive:
        return BadArchive(self._reader.path, f"{said(self._name)} in it {what}")


def wrong_with(opened: zipfile.ZipFile) -> str:
    """What speaks against a zip from a stranger, before anything in it is read; empty where nothing does."""
    entries = opened.infolist()
    names = {entry.filename for entry in entries}
    if len(entries) > MEMBERS or sum(entry.file_size for entry in entries) > _BYTES:
        return "it holds more than any archive of this program"
    if len(names) < len(entries):
        return "it holds two files of one name"
    for entry in entries:
        if entry.filename.startswith("/") or re.search(r"(^|/)\.\.(/|$)|[\\\0:]", entry.filename):
            return f"it holds a file with the path {said(entry.filename)}"
        if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return f"{said(entry.filename)} in it is packed in a way that is not known here"
    if MANIFEST not in names or opened.getinfo(MANIFEST).file_size > _MANIFEST:
        return f"it has no {MANIFEST}, so it is not an archive of this program"
    return ""


_BROKEN = (OSError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error)


def said(name: str) -> str:
    """A name from outside, fit to be printed."""
    return "".join(c if c.isprintable() else "?" for c in name)[:160]


def wrong_time(value: object) -> str:
    """What is wrong with the first time in a value that no store would take; empty where every one is fine."""
    if isinstance(value, datetime):
        try:
            located(value)
        except ValueError:
            return "a time without its zone" if value.tzinfo is None else f"{value}, and years go from 2 to 9998"
    if isinstance(value, BaseModel):
        return next(filter(None, map(wrong_time, value.__dict__.values())), "")
    return next(filter(None, map(wrong_time, value)), "") if isinstance(value, tuple) else ""


def first_of(error: ValidationError) -> str:
    """The first thing that is wrong, and where."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'JSON'}: {first['msg']}"
