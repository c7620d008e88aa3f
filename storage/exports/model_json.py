"""A store as one JSON file in the model's own words: what an import makes an equal store of.

`{"troupe": 1, "bot": …, "exported_at": …, "complete": …, "channels": […], "sessions": […], "messages": […],
"records": […]}`, in this order, so that it can be read as it comes. A complete one has its messages in the order in
which they were kept, and every record with its `kind`; another has no records, and nothing of what was taken back.
Of a session that is not in it, since it was opened while the file was made, there are no messages either.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from pydantic import BaseModel

from ..backend import Store
from ..copying import every_channel, every_record
from ..durable import in_thread
from ..model import Channel, Message, Session
from ..records import Record
from . import Export
from .transcript import Wanted, listed, messages

VERSION = 1
_BESIDE = {"metadata", "usage", "receipts", "context"}


def _unseen(page: list[Message]) -> None:
    """Nobody looks."""


async def model_json(
    export: Export, wanted: Wanted, saw: Callable[[list[Message]], None] = _unseen
) -> AsyncGenerator[bytes, None]:
    """The file, piece by piece; `saw` is shown the messages in it. Records are in it only where everything is wanted,
    and wanted complete."""
    head = {"troupe": VERSION, "bot": export.bot, "exported_at": export.at.isoformat(), "complete": wanted.complete}
    yield json.dumps(head, ensure_ascii=False)[:-1].encode()
    kept = None if export.options.metadata else _BESIDE
    store, told, tally = export.store, set[str](), export.tally
    for name, stretches in (
        ("channels", _channels(store, wanted)),
        ("sessions", _sessions(store, wanted, told)),
        ("messages", _messages(export, wanted, told, saw)),
        ("records", _records(store, wanted)),
    ):
        between = f',\n"{name}": [\n'
        async with aclosing(stretches):
            async for items in stretches:
                tally.sessions += len(items) * (name == "sessions")
                tally.messages += len(items) * (name == "messages")
                yield between.encode() + await in_thread(_joined, items, kept)
                between = ",\n"
        yield b"\n]" if between == ",\n" else f',\n"{name}": []'.encode()
    yield b"}\n"


def _joined(items: list[BaseModel], left_out: set[str] | None) -> bytes:
    return b",\n".join(_told(item, left_out) for item in items)


def _told(item: BaseModel, left_out: set[str] | None) -> bytes:
    told = item.model_dump_json(exclude=left_out)
    if isinstance(item, Record):
        told = f'{{"kind": "{item.kind}",{told[1:]}'
    return told.encode()


async def _channels(store: Store, wanted: Wanted) -> AsyncGenerator[list[Channel], None]:
    """All of them, or those of the sessions: one of which everything was deleted is named in a complete file only."""
    if wanted.everything and wanted.complete:
        async for page in every_channel(store):
            yield page
        return
    told: set[str] = set()
    async with aclosing(listed(store, wanted, titled=False)) as sessions:
        async for session in sessions:
            if session.channel.key not in told:
                told.add(session.channel.key)
                yield [session.channel]


async def _sessions(store: Store, wanted: Wanted, told: set[str]) -> AsyncGenerator[list[Session], None]:
    async with aclosing(listed(store, wanted, titled=False)) as sessions:
        async for session in sessions:
            told.add(session.id)
            yield [session]


async def _messages(
    export: Export, wanted: Wanted, of: set[str], saw: Callable[[list[Message]], None]
) -> AsyncGenerator[list[Message], None]:
    async with aclosing(messages(export.store, wanted, of, export.tell)) as pages:
        async for page in pages:
            if page:
                saw(page)
                yield page


async def _records(store: Store, wanted: Wanted) -> AsyncGenerator[list[Record], None]:
    if wanted.everything and wanted.complete:
        async for page in every_record(store):
            yield page
