"""Proves a backup by restoring it into a scratch folder and comparing what comes back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime
from pathlib import Path

from . import connect
from .backup import on_disk
from .errors import StorageError, Unavailable
from .manifest import Destination, Manifest, Unsound, write
from .place import Missing
from .progress import Tell, silent
from .restore import check, fetch, listed_blobs

SAMPLE = 100
"""Attachments that are read in full in a rehearsal, spread over all; the others are only looked for."""
NEWEST = 100
"""Messages that must be readable."""


async def prove(
    at: Destination,
    said: Manifest,
    scratch: Path,
    *,
    now: Callable[[], datetime],
    thorough: bool = False,
    tell: Tell = silent,
) -> Manifest:
    """Rehearses a backup and writes into its manifest what came of it: `proven_at`, or `trouble`, which is empty in
    what is returned when all is well. A backup that was proven stays so when the rehearsal only could not be held.

    Raises `Unavailable` when the manifest cannot be written."""
    try:
        await rehearse(at, said, scratch, thorough=thorough, tell=tell)
        result = said.model_copy(update={"proven_at": now(), "trouble": ""})
    except Unavailable as error:
        result = said.model_copy(update={"trouble": str(error)})
    except StorageError as error:
        result = said.model_copy(update={"proven_at": None, "trouble": str(error)})
    await write(at.place, result)
    return result


async def rehearse(
    at: Destination, said: Manifest, scratch: Path, *, thorough: bool = False, tell: Tell = silent
) -> None:
    """Restores a backup into the empty folder `scratch`, opens it as a bot would, and compares it with its manifest:
    every byte, SQLite's own check, the counts, the newest messages, the attachments (a sample is read, or with
    `thorough` every one). Raises `Unsound`, `NewerSchema` or `Unavailable`."""
    with on_disk(scratch):
        database = await fetch(at.place, said, scratch, tell)
    tell("checking the database", 0, 0)
    await check(database)
    store = await connect(said.bot, scratch)
    try:
        counts = await store.counts()
        if counts != said.counts:
            raise Unsound(f"{said.name} holds other things than its manifest says: {counts}, not {said.counts}.")
        newest = await store.read(limit=NEWEST, deleted=True)
        if len(newest.items) != min(NEWEST, counts.messages):
            raise Unsound(f"{said.name} does not give back its newest messages.")
    finally:
        await store.close()
    await _look_at_blobs(at, said, thorough, tell)


async def _look_at_blobs(at: Destination, said: Manifest, thorough: bool, tell: Tell) -> None:
    """Both lists are sorted, so that one look at each is enough."""
    every = 1 if thorough else max(1, said.blobs // SAMPLE)
    place = 0
    try:
        async with aclosing(listed_blobs(at.place, said)) as wanted, aclosing(at.blobs.hashes()) as kept:
            other = await anext(kept, None)
            async for hash in wanted:
                while other is not None and other < hash:
                    other = await anext(kept, None)
                if other != hash or (place % every == 0 and not await at.blobs.sound(hash)):
                    raise Unsound(
                        f"The attachment {hash} of {said.name} is missing or damaged in {at.place}: remove what is "
                        "left of it, and the next backup copies it again if the bot still has it."
                    )
                place += 1
                tell("checking attachments", place, said.blobs)
    except Missing as error:
        raise Unsound(f"{said.name} is no whole backup: {error}") from error
    if place != said.blobs:
        raise Unsound(f"{said.name} lists {place} attachments, and its manifest says {said.blobs}.")
