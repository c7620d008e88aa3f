"""Moving in: what a reader finds in another program's data is kept, counted, read back and compared.

A page of items is written at a time, and one more is read meanwhile. Every item has the same id whenever it is read, so
that a migration which was cut off goes on when it is done anew, and one that is repeated adds only what is new.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Collection
from contextlib import aclosing, nullcontext
from typing import cast

from .backend import Store
from .blobs import Blobs
from .durable import in_thread
from .legacy import Reader, Terms, UnknownFormat, unopened
from .legacy.source import Source
from .migration_beside import others, whose
from .migration_files import Files
from .migration_page import LookUp, Names, Welcome, Writing
from .migration_reading import Reading, broken_off
from .migration_rehearsal import rehearsing
from .migration_report import Report, Tally
from .naming import Naming
from .progress import Tell, silent

READERS = (
    "multi_bot_json",
    "flatfile_v3",
    "flatfile_v2",
    "flatfile_sessions",
    "discord_chat_exporter",
    "chatgpt",
    "claude",
    "silly_tavern",
)
"""The formats that are known, in the order in which a source is tried."""


async def nobody(people: Collection[str], channels: Collection[str]) -> Naming:
    """For those who cannot find out any names."""
    return Naming()


async def migrate(
    source: Source,
    reader: Reader,
    store: Store,
    blobs: Blobs,
    terms: Terms,
    *,
    naming: Naming | None = None,
    look_up: LookUp = nobody,
    dry_run: bool = False,
    tell: Tell = silent,
    persona: Welcome | None = None,
    tally: Tally | None = None,
) -> Report:
    """Takes everything in a source into a store that nobody else writes to meanwhile, and says what became of each
    item. Of a dry run nothing stays.

    What is kept already stays as it is. What people have asked to be forgotten is not taken in. `naming` counts more
    than what `look_up` finds. The refused items wait in `terms.scratch` for `migration_report.write`. Raises
    `StorageError` where the source cannot be read to its end, the store cannot be written to, or does not give back
    what it was given: then what was taken so far stays, the same call goes on from there, and a `tally` of the
    caller's own knows what came of it until then."""
    tally = tally or Tally(terms.scratch)
    async with rehearsing(store, terms) if dry_run else nullcontext(store) as target:
        files = Files(source, blobs, tally, dry_run=dry_run)
        writing = Writing(target, files, terms, tally, Names(naming or Naming(), look_up), persona)
        await writing.begin()
        for refused in unopened(source):
            tally.refuse(refused)
        reading = Reading(reader.read(source, terms), tell)
        async with aclosing(reading.pages()) as pages:
            async for page in pages:
                tell("writing, messages so far", tally.of["messages"]["found"], 0)
                await writing.take(page)
                await in_thread(tally.flush)
        taken = None if dry_run else tally.of["messages"]["taken"]
        if (broken := broken_off(reading, name_of(reader), taken)) is not None:
            raise broken from reading.failure
        await writing.end()
    tell("looking for what else is there", 0, 0)
    known = [(name, named(name)) for name in READERS]
    tally.beside = await in_thread(others, source, name_of(reader), known)
    tally.whose = await in_thread(whose, source, terms.bot) if name_of(reader) == "multi_bot_json" else ()
    await in_thread(tally.flush)
    return tally.report(source.path, name_of(reader), terms, dry_run)


def recognised(source: Source) -> tuple[str, Reader]:
    """The reader that knows a source, and the name of its format. Raises `UnknownFormat`."""
    for name in READERS:
        if (found := _module(name)) is not None and found.recognise(source):
            return name, found
    there = ", ".join(repr(name)[1:-1][:80] for name in source.names[:5]) or "nothing"
    more = f" and {len(source.names) - 5:,} more files" if len(source.names) > 5 else ""
    raise UnknownFormat(
        f"{source.path} is of no format that is known here (found {there}{more}). Known are {', '.join(READERS)}: name "
        "the folder that the other program wrote to, or its export as it was downloaded."
    )


def named(name: str) -> Reader:
    """The reader of a format. Raises `UnknownFormat`."""
    found = _module(name) if name in READERS else None
    if found is None:
        raise UnknownFormat(f"There is no format {name[:80]!r}; known are {', '.join(READERS)}.")
    return found


def name_of(reader: Reader) -> str:
    """The name of a reader's format: its module's."""
    return str(getattr(reader, "__name__", type(reader).__name__)).rpartition(".")[2]


def _module(name: str) -> Reader | None:
    full = f"{__package__}.legacy.{name}"
    return cast(Reader, importlib.import_module(full)) if importlib.util.find_spec(full) else None
