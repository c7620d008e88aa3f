"""A store in the folders of the third Flatfile chat database, which other tools of that family read."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from typing import IO, Any

from ..backend import Store
from ..blobs import Blobs
from ..copying import PAGE, every_channel, every_message, every_record, pages
from ..durable import in_thread
from ..errors import StorageError
from ..model import Channel, Message, Session
from ..place import PIECE
from ..records import Memory
from ..v3 import blob_name, files_of, memory_as_v3, message_as_v3, session_as_v3
from ..zipping import begun
from . import Export
from .transcript import Wanted, transcript, without_edits

Member = tuple[str, AsyncIterable[bytes]]
"""A file's name, and its bytes."""
_OURS = "system/troupe"
MOST = 1_000_000
"""Files: what a zip has to remember of each until its end takes a kilobyte of memory."""
_INDEX = 1 << 20
"""Bytes of a session's index that are held in memory."""


async def members(export: Export, wanted: Wanted) -> AsyncGenerator[Member, None]:
    """Every file, one after the other; read each before the next. Where everything is wanted, and wanted complete,
    there are also the channels, the records, and the order in which messages were kept: read back, that gives an equal
    store. A file beside a message that is gone or damaged is left out. Raises
    `StorageError` for more than `MOST`."""
    many = 0
    async with aclosing(_members(export, wanted)) as every:
        async for member in every:
            many += 1
            if many > MOST:
                raise StorageError(
                    f"The v3 form has a file for every message, and a zip of more than {MOST:,} files cannot be made: "
                    "take fewer sessions or days, or json, which may be as long as it likes."
                )
            yield member


async def _members(export: Export, wanted: Wanted) -> AsyncGenerator[Member, None]:
    owners, tally = set[str](), export.tally
    last: dict[str, str] = {}
    async with aclosing(transcript(export.store, wanted, titled=False, tell=export.tell)) as sessions:
        async for session, told in sessions:
            tally.sessions += 1
            owner = f"users/{session.channel.safe_name}"
            if owner not in owners:
                owners.add(owner)
                yield f"{owner}/profile.json", _json(_profile(session.channel))
            folder, shown = _folder(session), session_as_v3(session)
            yield f"{folder}/metadata.json", _json(shown)
            yield f"{folder}/context/current.json", _json(shown["context"])
            given: set[str] = set()
            with tempfile.SpooledTemporaryFile(_INDEX) as index:
                async for page in told:
                    tally.messages += len(page)
                    for message in page if wanted.complete else map(without_edits, page):
                        yield f"{folder}/messages/{_named(message)}", _json(message_as_v3(message))
                        async for member in _files(export.blobs, folder, message, given):
                            tally.files += 1
                            yield member
                    await in_thread(index.write, b"".join(map(_entry, page)))
                    last[session.id] = page[-1].id
                yield f"{folder}/messages/index.jsonl", _read(index)
    if wanted.everything and wanted.complete:
        async for member in _rest(export.store, last):
            yield member


async def _files(blobs: Blobs | None, folder: str, message: Message, given: set[str]) -> AsyncGenerator[Member, None]:
    for part in files_of(message) if blobs is not None else ():
        name = blob_name(part)
        if blobs is None or part.blob is None or name in given or not await blobs.sound(part.blob):
            continue
        if (chunks := await begun(blobs, part.blob)) is not None:
            given.add(name)
            yield f"{folder}/{name}", chunks


def _entry(message: Message) -> bytes:
    return _line({"id": message.id, "file": _named(message), "timestamp": message.at.isoformat()})


async def _read(index: IO[bytes]) -> AsyncGenerator[bytes, None]:
    await in_thread(index.seek, 0)
    while piece := await in_thread(index.read, PIECE):
        yield piece


async def _rest(store: Store, last: dict[str, str]) -> AsyncGenerator[Member, None]:
    yield f"{_OURS}/channels.jsonl", _channels(store)
    yield f"{_OURS}/messages.jsonl", _order(store, last)
    yield f"{_OURS}/records.jsonl", _records(store)
    async for page in pages(lambda cursor: store.records(Memory, cursor=cursor, limit=PAGE)):
        for memory in page:
            kind, _, owner = memory.audience.partition(":")
            folder = f"users/{_plain(owner)}/memory" if kind == "user" else "memory/global"
            yield f"{folder}/{memory.type}/{_plain(memory.id)}.json", _json(memory_as_v3(memory))


async def _channels(store: Store) -> AsyncGenerator[bytes, None]:
    async for page in every_channel(store):
        for channel in page:
            yield channel.model_dump_json().encode() + b"\n"


async def _order(store: Store, last: dict[str, str]) -> AsyncGenerator[bytes, None]:
    """The messages that were written: of each session up to its last; somebody may have spoken meanwhile."""
    folders: dict[str, str] = {}
    async for page in every_message(store):
        told = []
        for message in page:
            if message.session_id in last:
                folder = folders.get(message.session_id)
                if folder is None:
                    session = await store.session(message.session_id)
                    folder = folders[message.session_id] = _folder(session) if session is not None else ""
                told.append(_line({"file": f"{folder}/messages/{_named(message)}"}))
                if message.id == last[message.session_id]:
                    del last[message.session_id]
        yield b"".join(told)
        if len(folders) > PAGE:
            folders.clear()


async def _records(store: Store) -> AsyncGenerator[bytes, None]:
    """All but the memories, which have files of their own."""
    async for page in every_record(store):
        for record in page:
            if not isinstance(record, Memory):
                yield _line({"kind": record.kind, "record": record.model_dump(mode="json")})


def _profile(channel: Channel) -> dict[str, Any]:
    return {
        "user_id": channel.safe_name,
        "username": channel.name,
        "metadata": {"troupe": channel.model_dump(mode="json")},
    }


def _folder(session: Session) -> str:
    if session.type == "panel":
        return f"panels/{_plain(session.id)}"
    return f"users/{session.channel.safe_name}/sessions/{_plain(session.id)}"


def _named(message: Message) -> str:
    """`{timestamp}_{message_id}.json`, with a time that every file system takes."""
    return f"{message.at:%Y-%m-%dT%H-%M-%S.%f}_{_plain(message.id)}.json"


def _plain(id: str) -> str:
    """The id as a name for a file, which no other id has."""
    plain = re.sub(r"[^\w.-]+|^\.+", "-", id).encode()[:100].decode(errors="ignore")
    return plain if plain == id else f"{plain}-{hashlib.sha256(id.encode()).hexdigest()[:12]}"


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


async def _json(value: object) -> AsyncGenerator[bytes, None]:
    yield json.dumps(value, ensure_ascii=False, indent=2).encode() + b"\n"
