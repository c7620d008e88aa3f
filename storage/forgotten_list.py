"""The list of those whom nobody may bring back: `forgotten.jsonl`, in a bot's root and where its backups go.

It has a line for each who asked to be forgotten, with the user's id and when. Whoever restores a backup from before
that time reads it and takes the person out again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime

from .backend import Store
from .backends.changes import located
from .blobs import Blobs
from .errors import StorageError
from .forgetting import Forgotten, forget, pages
from .place import Missing, Place
from .records import Tombstone

LIST = "forgotten.jsonl"


async def listed(place: Place) -> dict[str, datetime]:
    """Who is to be forgotten, by the list in a place: when, by the user's id. Raises `StorageError` where a line says
    nothing: it might be somebody."""
    text = bytearray()
    try:
        async with aclosing(place.get(LIST)) as chunks:
            async for chunk in chunks:
                text += chunk
    except Missing:
        return {}
    found: dict[str, datetime] = {}
    for number, line in enumerate(text.splitlines(), 1):
        try:
            told = json.loads(line)
            user_id, at = str(told["user_id"]), located(datetime.fromisoformat(told["at"]))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise StorageError(
                f"Line {number} of {LIST} in {place} does not say who is to be forgotten: mend it "
                '({"user_id": "…", "at": "2024-01-08T12:00:00+00:00"}), or remove it if it is nobody.'
            ) from error
        found[user_id] = max(at, found.get(user_id, at))
    return found


async def note(place: Place, people: dict[str, datetime]) -> None:
    """Adds people to the list in a place; whoever is on it keeps the later time. Raises `StorageError`."""
    known = await listed(place)
    both = {**known, **{who: max(at, known.get(who, at)) for who, at in people.items()}}
    if both != known:
        lines = (json.dumps({"user_id": who, "at": at.isoformat()}) + "\n" for who, at in both.items())
        await place.put(LIST, _once("".join(lines).encode()))


async def _once(piece: bytes) -> AsyncIterator[bytes]:
    yield piece


async def forget_listed(store: Store, people: dict[str, datetime], blobs: Blobs | None) -> dict[str, Forgotten]:
    """Forgets those of the people whom this store does not know to be forgotten by then, and says whom and what."""
    done: dict[str, Forgotten] = {}
    for who, at in people.items():
        known = await store.record(Tombstone, who)
        if known is None or known.at < at:
            done[who] = await forget(store, who, at, blobs=blobs)
    return done


async def forgotten_by(store: Store) -> str:
    """Tells those whom a store knows to be forgotten, and when, from any others; empty for nobody."""
    told: list[str] = []
    async for people in pages(lambda cursor: store.records(Tombstone, cursor=cursor)):
        told += [f"{each.id} {each.at.isoformat()}" for each in people]
    return hashlib.blake2s("\n".join(sorted(told)).encode(), digest_size=10).hexdigest() if told else ""
