"""JSON exports brought back into a store, alone or in a zip: nothing is kept before all of it was found good."""

from __future__ import annotations

import zipfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pydantic import BaseModel

from ..archive import MANIFEST
from ..backend import Store
from ..blobs import Blobs
from ..durable import in_thread
from ..forgetting import forget
from ..migration_forgotten import Forgotten
from ..model import Channel, Message, Session
from ..place import PIECE
from ..progress import Tell, silent
from ..records import Memory, Profile, Record, Run, Spent, Template, Tombstone
from ..unpacking import said
from .json_reading import BROKEN, ORDER, BadExport, Kind, Opened

_PAGE = 200
_HEAD = 1 << 16
_NAMED = 5
"""Differing messages that are named."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an export brought, or would bring."""

    bot: str
    channels: int
    sessions: int
    messages: int
    """Those that were missing."""
    known: int
    """Messages that are kept already."""
    records: int
    files: int
    differing: int
    """Those of the known that say something else in the export."""
    named: tuple[str, ...]
    """Some of these by their places in the export and their ids."""


def is_export(path: Path) -> bool:
    """Whether a file looks like one that `import_json` reads, rather than an archive of `troupe cleanup`."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            return file.read(_HEAD).lstrip().startswith(b"{")
    with zipfile.ZipFile(path) as opened:
        try:
            with opened.open(MANIFEST) as manifest:
                return b'"troupe_export"' in manifest.read(_HEAD)
        except (KeyError, *BROKEN):
            return False


async def import_json(
    path: Path, store: Store, blobs: Blobs | None = None, *, dry_run: bool = False, tell: Tell = silent
) -> Imported:
    """Puts everything that a JSON export holds into a store; what is there already stays as it is, so that doing it
    twice is doing it once. A complete export makes an empty store equal to the one it was made of.

    Whoever asked to be forgotten stays so, also where this is cut off. All of it is read and found good before anything
    is kept; with `dry_run` that is all. Raises `BadExport`, with the place of what is wrong; or `Unavailable`: then
    some of it may be there, and the same call finishes."""
    reader = await in_thread(Opened, path)
    try:
        forgotten, counted = await _checked(reader, store, tell)
        if dry_run:
            return counted
        done = await _Taking(reader, store, forgotten, tell).all()
        files = await _files(reader, blobs)
    finally:
        await in_thread(reader.close)
    for tombstone in forgotten:
        await forget(store, tombstone.id, tombstone.at, blobs=blobs)
    return Imported(reader.bot, *done, files, counted.differing, counted.named)


async def _checked(reader: Opened, store: Store, tell: Tell) -> tuple[list[Tombstone], Imported]:
    """Reads everything once. Returns what the store knows of who is to stay forgotten, and what would be new."""
    people: set[str] = set()
    known_there: dict[str, Tombstone] = {}
    new = dict.fromkeys((*ORDER, "known"), 0)
    sessions: set[str] = set()
    read = differing = 0
    named: list[str] = []
    async with aclosing(_pages(reader)) as pages:
        async for page in pages:
            for kind, place, item in page:
                if isinstance(item, Session):
                    sessions.add(item.id)
                    people.update(each.id for each in item.participants)
                    kept = await store.session(item.id)
                    if kept is not None and kept.channel.key != item.channel.key:
                        where = f"kept in {kept.channel.safe_name}, and here in {item.channel.safe_name}"
                        raise BadExport(reader.name, f"the session {said(item.id)} at {place} is {where}")
                    new[kind] += kept is None
                elif isinstance(item, Message):
                    if item.session_id not in sessions:
                        told = f"the message at {place} is of the session {said(item.session_id)}, which is not in it"
                        raise BadExport(reader.name, told)
                    people.update(_named(item))
                    there = await store.message(item.id) or (await store.find(item.origin) if item.origin else None)
                    new["known" if there else kind] += 1
                    if there is not None and _gist(there) != _gist(item):
                        differing += 1
                        named += [f"{place}, {said(item.id)}"] if differing <= _NAMED else []
                elif isinstance(item, Channel):
                    new[kind] += await store.channel(item.key) is None
                elif isinstance(item, Record):
                    people.add(item.id)
                    people.update([item.about.removeprefix("user:")] if item.about else [])
                    if isinstance(item, Tombstone):
                        known_there[item.id] = item
                    new[kind] += await store.record(type(item), item.id) is None
            read += len(page)
            tell("checking", read, 0)
    files = await in_thread(reader.check_files)
    counts = (new["channels"], new["sessions"], new["messages"], new["known"], new["records"])
    tombstones = [await store.record(Tombstone, who) for who in sorted(people)]
    # An export that knows of it already holds only what was said afterwards.
    return [each for each in tombstones if each and each != known_there.get(each.id)], Imported(
        reader.bot, *counts, files, differing, tuple(named)
    )


def _gist(message: Message) -> tuple[object, ...]:
    """What makes two tellings of a message say the same."""
    return message.sender.id, message.at, message.text, [each.name for each in message.attachments]


def _named(message: Message) -> Iterator[str]:
    yield from filter(None, (message.sender.id, message.asker))
    yield from (reaction.sender.id for reaction in message.reactions)
    yield from (note.sender.id for note in message.annotations)


class _Taking:
    """Keeps what is new, in the order in which it stands in the file."""

    def __init__(self, reader: Opened, store: Store, forgotten: list[Tombstone], tell: Tell) -> None:
        self._reader, self._store, self._tell = reader, store, tell
        self._forgotten = Forgotten({each.id: each.at for each in forgotten})
        self._channels = self._sessions = self._messages = self._known = self._records = 0
        self._of: dict[str, Session] = {}
        """Sessions that messages were kept in lately."""

    async def all(self) -> tuple[int, int, int, int, int]:
        async with aclosing(_pages(self._reader)) as pages:
            async for page in pages:
                for _, _, item in page:
                    await self._take(item)
                self._tell("messages", self._messages + self._known, 0)
        return self._channels, self._sessions, self._messages, self._known, self._records

    async def _take(self, item: BaseModel) -> None:
        store = self._store
        match item:
            case Channel() if not self._forgotten.is_theirs(item) and await store.channel(item.key) is None:
                await store.keep_channel(item)
                self._channels += 1
            case Session():
                self._forgotten.meet(item)
                if await store.session(item.id) is None and not self._forgotten.owns(item.channel, item.last_at):
                    await store.save_session(self._forgotten.without(item))
                    self._sessions += 1
            case Message():
                await self._message(item)
            case Memory() | Run() | Template() | Profile() if self._forgotten.about(item):
                return
            case Record() if await store.record(type(item), item.id) is None:
                await store.keep(item)
                self._records += 1

    async def _message(self, message: Message) -> None:
        session = self._of.get(message.session_id) or await self._store.session(message.session_id)
        if session is None:
            return  # somebody took it away meanwhile, or it was private to somebody who is forgotten
        if len(self._of) > _PAGE:
            self._of.clear()
        self._of[session.id] = session
        if self._forgotten.said(message, session.channel, after=False):
            self._forgotten.note(message)
            return
        if not await self._store.append(session, self._forgotten.unmarked(message)):
            self._known += 1
            return
        self._messages += 1
        if message.usage is not None:  # known again from the message itself: counted twice otherwise
            await self._store.remove_records(Spent, [message.id])


async def _pages(reader: Opened) -> AsyncGenerator[list[tuple[Kind, str, BaseModel]], None]:
    """Items with their kinds and places, some at a time."""
    with closing(reader.items()) as items:
        while page := await in_thread(lambda: list(islice(items, _PAGE))):
            yield page


async def _files(reader: Opened, blobs: Blobs | None) -> int:
    new = 0
    for name, hash, size in reader.files() if blobs is not None else ():
        if blobs is not None and await blobs.size(hash) is None:
            await blobs.keep(_chunks(reader, name), limit=size)
            new += 1
    return new


async def _chunks(reader: Opened, name: str) -> AsyncGenerator[bytes, None]:
    with closing(await in_thread(reader.open, name)) as opened:
        while chunk := await in_thread(opened.read, PIECE):
            yield chunk
