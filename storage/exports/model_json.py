"""A store as one JSON file in the model's own words: what an import makes an equal store of.

`{"troupe": 1, "bot": …, "exported_at": …, "complete": …, "channels": […], "sessions": […], "messages": […],
"records": […]}`, in this order, so that it can be read as it comes. A complete one has its messages in the order in
which they were kept, and every record with its `kind`; another has no records, and nothing of what was taken back.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from ..backend import OLDEST, Store
from ..durable import in_thread
from ..model import Channel, Session
from ..progress import Tell, silent
from ..records import RECORDS, Record
from . import Options
from .transcript import Wanted, listed, messages

VERSION = 1
_PAGE = 500
_BESIDE = {"metadata", "usage", "receipts", "context"}


async def model_json(
    store: Store, wanted: Wanted, options: Options, *, bot: str, at: datetime, tell: Tell = silent
) -> AsyncGenerator[bytes, None]:
    """The file, piece by piece. Records are in it only where everything is wanted, and wanted complete."""
    head = {"troupe": VERSION, "bot": bot, "exported_at": at.isoformat(), "complete": wanted.complete}
    yield json.dumps(head, ensure_ascii=False)[:-1].encode()
    kept = None if options.metadata else _BESIDE
    for name, stretches in (
        ("channels", _channels(store, wanted)),
        ("sessions", _sessions(store, wanted)),
        ("messages", messages(store, wanted, tell)),
        ("records", _records(store, wanted)),
    ):
        between = f',\n"{name}": [\n'
        async with aclosing(stretches):
            async for items in stretches:
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
    """All of them, or those of the sessions."""
    if wanted.everything:
        after = ""
        while page := await store.channels(after, _PAGE):
            yield page
            after = page[-1].key
        return
    told: set[str] = set()
    async with aclosing(_sessions(store, wanted)) as pages:
        async for session in (session async for sessions in pages for session in sessions):
            if session.channel.key not in told:
                told.add(session.channel.key)
                yield [session.channel]


async def _sessions(store: Store, wanted: Wanted) -> AsyncGenerator[list[Session], None]:
    async with aclosing(listed(store, wanted, titled=False)) as sessions:
        async for session in sessions:
            yield [session]


async def _records(store: Store, wanted: Wanted) -> AsyncGenerator[list[Any], None]:
    for kind in RECORDS if wanted.everything and wanted.complete else ():
        cursor: str | None = OLDEST
        while cursor is not None:
            page = await store.records(kind, cursor=cursor, limit=_PAGE)
            if page.items:
                yield list(page.items)
            cursor = page.newer
