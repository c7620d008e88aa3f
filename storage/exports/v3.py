"""A store in the folders of the third Flatfile chat database, which other tools of that family read."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import aclosing
from typing import Any

from ..backend import OLDEST, Store
from ..blobs import Blobs, Damaged
from ..copying import PAGE
from ..model import Channel, Message, Session
from ..place import Missing
from ..records import RECORDS, Memory
from ..sought import Sought
from ..v3 import blob_name, files_of, memory_as_v3, message_as_v3, session_as_v3

Member = tuple[str, AsyncIterable[bytes]]
"""A file's name, and its bytes."""
_OURS = "system/troupe"


async def members(store: Store, blobs: Blobs | None, sought: Sought, *, complete: bool) -> AsyncIterator[Member]:
    """Every file, one after the other; read each before the next. With `complete` there are also the channels, the
    records, what was deleted, and the order in which messages were kept: read back, that gives an equal store."""
    told: set[str] = set()
    async for session in sessions(store, sought, deleted=complete):
        owner = f"users/{session.channel.safe_name}"
        if owner not in told:
            told.add(owner)
            yield f"{owner}/profile.json", _json(_profile(session.channel))
        folder = _folder(session)
        yield f"{folder}/metadata.json", _json(session_as_v3(session))
        yield f"{folder}/context/current.json", _json(session_as_v3(session)["context"])
        given: set[str] = set()
        async for message in _messages(store, session.id, sought, complete):
            yield f"{folder}/messages/{_named(message)}", _json(message_as_v3(message))
            for part in files_of(message) if blobs else ():
                name = blob_name(part)
                if blobs and part.blob and name not in given and await blobs.size(part.blob) is not None:
                    given.add(name)
                    yield f"{folder}/{name}", _bytes(blobs, part.blob)
        yield f"{folder}/messages/index.jsonl", _index(store, session, sought, complete)
    if complete:
        async for member in _rest(store):
            yield member


async def sessions(store: Store, sought: Sought, *, deleted: bool) -> AsyncIterator[Session]:
    """The sessions meant, from the oldest on."""
    cursor: str | None = OLDEST
    while cursor is not None:
        page = await store.browse(cursor=cursor, limit=PAGE, deleted=deleted)
        for session in page.items:
            if sought.has_session(session):
                yield session
        cursor = page.newer


async def _messages(store: Store, session_id: str | None, sought: Sought, deleted: bool) -> AsyncIterator[Message]:
    cursor: str | None = OLDEST
    while cursor is not None:
        page = await store.read(session_id, cursor=cursor, limit=PAGE, deleted=deleted)
        for message in page.items:
            if sought.has_message(message):
                yield message if deleted else message.model_copy(update={"edits": ()})
        cursor = page.newer


async def _rest(store: Store) -> AsyncIterator[Member]:
    yield f"{_OURS}/channels.jsonl", _channels(store)
    yield f"{_OURS}/messages.jsonl", _order(store)
    yield f"{_OURS}/records.jsonl", _records(store)
    async for memory in _memories(store):
        kind, _, owner = memory.audience.partition(":")
        folder = f"users/{_plain(owner)}/memory" if kind == "user" else "memory/global"
        yield f"{folder}/{memory.type}/{_plain(memory.id)}.json", _json(memory_as_v3(memory))


async def _memories(store: Store) -> AsyncIterator[Memory]:
    cursor: str | None = OLDEST
    while cursor is not None:
        page = await store.records(Memory, cursor=cursor, limit=PAGE)
        for memory in page.items:
            yield memory
        cursor = page.newer


async def _index(store: Store, session: Session, sought: Sought, deleted: bool) -> AsyncIterator[bytes]:
    async for message in _messages(store, session.id, sought, deleted):
        yield _line({"id": message.id, "file": _named(message), "timestamp": message.at.isoformat()})


async def _channels(store: Store) -> AsyncIterator[bytes]:
    after = ""
    while channels := await store.channels(after, PAGE):
        for channel in channels:
            yield channel.model_dump_json().encode() + b"\n"
        after = channels[-1].key


async def _order(store: Store) -> AsyncIterator[bytes]:
    folders: dict[str, str] = {}
    async for message in _messages(store, None, Sought(), True):
        folder = folders.get(message.session_id)
        if folder is None:
            session = await store.session(message.session_id)
            folder = _folder(session) if session else ""
            folders = {message.session_id: folder}
        yield _line({"file": f"{folder}/messages/{_named(message)}"})


async def _records(store: Store) -> AsyncIterator[bytes]:
    for kind in RECORDS:
        cursor: str | None = OLDEST if kind is not Memory else None
        while cursor is not None:
            page = await store.records(kind, cursor=cursor, limit=PAGE)
            for record in page.items:
                yield _line({"kind": kind.kind, "record": record.model_dump(mode="json")})
            cursor = page.newer


async def _bytes(blobs: Blobs, hash: str) -> AsyncIterator[bytes]:
    """One that is damaged, or was removed a moment ago, is no reason to keep back the rest."""
    try:
        async with aclosing(blobs.read(hash)) as chunks:
            async for chunk in chunks:
                yield chunk
    except (Damaged, Missing):
        return


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
    return re.sub(r"[^\w.-]+|^\.+", "-", id).encode()[:120].decode(errors="ignore") or "-"


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


async def _json(value: object) -> AsyncIterator[bytes]:
    yield json.dumps(value, ensure_ascii=False, indent=2).encode() + b"\n"
