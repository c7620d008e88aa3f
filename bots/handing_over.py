"""Hands over what is kept about one person: a zip that is written while it is read, whatever its size."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

from pydantic import BaseModel

from storage.backend import OLDEST, Store
from storage.blobs import Blobs, Damaged
from storage.forgetting import is_private, is_theirs, memories_of, pages, records_of, sessions_of, stems_from
from storage.model import Annotation, Attachment, Message, Reaction, Sender
from storage.place import Missing
from storage.records import AuditEntry, Memory, Profile, Setting, Spent, Template
from storage.zipping import zipped

from .audiences import BOT, asker, private

_PAGE = 200
_README = """\
What is kept about you
======================

Everything that this bot keeps about the user {user_id}, as it was on {at:%Y-%m-%d %H:%M} UTC.

messages.md     what you said and what was answered, for reading
messages.json   the same with every detail, for programs
sessions.json   where and when you took part in a conversation
marks.json      your reactions and notes on what others said
memories.json   what is remembered about you in your own words, or for you alone; what was true before as well
records.json    what you have set, the log entries that name you, and what answers to you cost that are gone
profile.json    your profile, if there is one
attachments/    the files beside the messages{files}

What others said is not in here, but for the answers to you, which may repeat it.
"""


async def packed(store: Store, blobs: Blobs, user_id: str, at: datetime, *, files: bool) -> AsyncGenerator[bytes, None]:
    """The zip in chunks, with or without the attachments. Raises `StorageError` on the way."""
    async with aclosing(zipped(_members(store, blobs, user_id, at, files), at)) as chunks:
        async for chunk in chunks:
            yield chunk


async def _members(
    store: Store, blobs: Blobs, user_id: str, at: datetime, files: bool
) -> AsyncGenerator[tuple[str, AsyncIterable[bytes]], None]:
    told = {"user_id": user_id, "at": at.astimezone(UTC), "files": "" if files else ", which were left out this time"}
    yield "README.txt", _once(_README.format(**told))
    yield "messages.md", _for_reading(store, user_id)
    yield "messages.json", _array(_talk(store, user_id))
    yield "sessions.json", _array(_sessions(store, user_id))
    yield "marks.json", _array(_marks(store, user_id))
    yield "memories.json", _array(_memories(store, user_id))
    yield "records.json", _array(_records(store, user_id))
    profile = await store.record(Profile, user_id)
    if profile is not None:
        yield "profile.json", _once(profile.model_dump_json(indent=2) + "\n")
    given: set[str] = set()
    async for messages in _talk(store, user_id):
        for file in (file for message in messages for file in _files(message) if files):
            hash = file.blob or ""
            if hash not in given and await blobs.size(hash) is not None:
                given.add(hash)
                yield f"attachments/{hash[:12]}_{_plain(file.name)}", _bytes(blobs, hash)


async def _talk(store: Store, user_id: str) -> AsyncIterator[tuple[Message, ...]]:
    """What they said and what was answered, the oldest first."""
    cursor: str | None = OLDEST
    while cursor is not None:
        page = await store.talk_of(user_id, cursor=cursor, limit=_PAGE)
        if page.items:
            yield page.items
        cursor = page.newer


async def _for_reading(store: Store, user_id: str) -> AsyncIterator[bytes]:
    within = ""
    yield b"# What you said, and what was answered\n"
    async for messages in _talk(store, user_id):
        for message in messages:
            if message.session_id != within:
                within = message.session_id
                session = await store.session(within)
                name = session.channel.name if session is not None else within
                yield f"\n## {_line(name)}, {message.at.astimezone(UTC):%Y-%m-%d}\n".encode()
            gone = " (deleted)" if message.deleted_at else ""
            files = "".join(f"\n[file: {_line(file.name)}]" for file in message.attachments)
            at = message.at.astimezone(UTC)
            yield f"\n**{_line(message.sender.name)}** {at:%Y-%m-%d %H:%M} UTC{gone}\n{message.text}{files}\n".encode()


class _Attended(BaseModel):
    """A session without what it tells of others: their names, and the titles and summaries that may quote them."""

    id: str
    place: str
    opened_at: datetime
    last_at: datetime
    closed_at: datetime | None
    you: Sender | None
    """As its participant; None where somebody was not named, or is no longer."""


async def _sessions(store: Store, user_id: str) -> AsyncIterator[list[_Attended]]:
    async for sessions in sessions_of(store, user_id):
        yield [
            _Attended(
                id=session.id,
                place=session.channel.name,
                opened_at=session.opened_at,
                last_at=session.last_at,
                closed_at=session.closed_at,
                you=next((each for each in session.participants if is_theirs(each, user_id)), None),
            )
            for session in sessions
        ]


async def _memories(store: Store, user_id: str) -> AsyncIterator[list[Memory]]:
    """Those that are for them or for everybody, or were drawn from their own words alone: others stand in the rest."""
    async with aclosing(memories_of(store, user_id)) as found:
        async for memories in found:
            yield [memory for memory in memories if await _their_own(store, memory, user_id)]


async def _their_own(store: Store, memory: Memory, user_id: str) -> bool:
    if memory.audience in (BOT, private(user_id), asker(user_id)):
        return True
    place = await store.channel(memory.audience)
    if place is not None and is_private(place, user_id):
        return True
    return set(memory.people) <= {user_id} and await stems_from(store, memory.source, user_id)


class _Named(BaseModel):
    """A record with its kind."""

    kind: str
    record: Spent | AuditEntry | Setting | Template


async def _records(store: Store, user_id: str) -> AsyncIterator[list[_Named]]:
    async for records in records_of(store, user_id):
        yield [_Named(kind=record.kind, record=record) for record in records]


async def _marks(store: Store, user_id: str) -> AsyncIterator[list[_Mark]]:
    async for messages in pages(lambda cursor: store.marked_by(user_id, cursor=cursor, limit=_PAGE)):
        yield [
            _Mark(message=message.id, mark=mark)
            for message in messages
            if not is_theirs(message.sender, user_id)
            for mark in _all_marks(message)
            if is_theirs(mark.sender, user_id)
        ]


class _Mark(BaseModel):
    """A reaction or a note, without what it is on."""

    message: str
    mark: Reaction | Annotation


def _all_marks(message: Message) -> list[Reaction | Annotation]:
    return [*message.reactions, *message.annotations]


async def _array(stretches: AsyncIterable[Sequence[BaseModel]]) -> AsyncIterator[bytes]:
    between = "[\n"
    async for items in stretches:
        for item in items:
            yield (between + item.model_dump_json()).encode()
            between = ",\n"
    yield b"\n]\n" if between == ",\n" else b"[]\n"


async def _bytes(blobs: Blobs, hash: str) -> AsyncIterator[bytes]:
    """One that is damaged, or was removed a moment ago, is no reason to keep back the rest."""
    try:
        async with aclosing(blobs.read(hash)) as chunks:
            async for chunk in chunks:
                yield chunk
    except (Damaged, Missing):
        return


async def _once(text: str) -> AsyncIterator[bytes]:
    yield text.encode()


def _files(message: Message) -> list[Attachment]:
    wordings = (message.parts, *(edit.parts for edit in message.edits))
    return [part for parts in wordings for part in parts if isinstance(part, Attachment) and part.blob]


def _line(name: str) -> str:
    return " ".join(name.split())


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]+|^\.+", "-", name)[:80]
