"""One export: what is sought of a store, in the form that somebody asked for, piece by piece."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

from ..backend import Freezes, Store
from ..model import Attachment, Message, Session
from ..zipping import zipped
from . import Beside, Export, Tally, Transcript
from .model_json import model_json
from .text import flat
from .transcript import Wanted, holds, listed, transcript


async def exported(export: Export) -> AsyncGenerator[bytes, None]:
    """One file, in memory that does not grow with it (but for PDF and DOCX); v3 is a zip. Raises `StorageError`."""
    async with at_one_moment(export) as still, aclosing(_pieces(still)) as pieces:
        async for piece in pieces:
            yield piece


@asynccontextmanager
async def at_one_moment(export: Export) -> AsyncIterator[Export]:
    """The export of a store at rest, where its store can be read as it stood at one moment; else as it is."""
    if not isinstance(export.store, Freezes):
        yield export
        return
    async with export.store.frozen() as still:
        yield replace(export, store=still)


async def is_empty(export: Export) -> bool:
    """Whether nothing that is kept is meant. Raises `Unavailable`."""
    wanted = _wanted(export)
    return not (wanted.complete and wanted.everything) and not await holds(export.store, wanted)


def _wanted(export: Export) -> Wanted:
    whole = export.options.complete and export.form in ("json", "v3")
    return Wanted(export.sought, export.person, complete=whole)


def _pieces(export: Export) -> AsyncGenerator[bytes, None]:
    wanted = _wanted(export)
    match export.form:
        case "json":
            return model_json(export, wanted)
        case "v3":
            from .v3 import members  # each form is paid for by those who ask for it

            return zipped(members(export, wanted), export.at)
        case _:
            return _document(export, wanted)


async def _document(export: Export, wanted: Wanted) -> AsyncGenerator[bytes, None]:
    first, several = await _looked_ahead(export.store, wanted)
    title = flat(first.title) or first.id if first is not None and not several else f"Conversations of {export.bot}"
    contents = listed(export.store, wanted, titled=True) if several and export.form == "html" else None
    told = transcript(export.store, wanted, tell=export.tell)
    async with aclosing(document(told, export, title=title, contents=contents)) as pieces:
        async for piece in pieces:
            yield piece


def file_name(session: Session, end: str) -> str:
    """A name for a session's file, safe in any file system: the place and the session."""
    kept = re.sub(r"[^A-Za-z0-9_-]+", "-", session.full_name)[:80]
    return f"{session.channel.safe_name}_{kept}.{end}"


def _not_beside(file: Attachment) -> str:
    return ""


async def document(
    sessions: Transcript,
    export: Export,
    *,
    title: str,
    contents: AsyncIterator[Session] | None = None,
    beside: Beside = _not_beside,
) -> AsyncGenerator[bytes, None]:
    """Sessions as a document for reading: every form but JSON and v3. `beside` says where an attachment stands that
    comes along. Raises `StorageError`, also where PDF or DOCX needs something that is not installed."""
    blobs, options, at = export.blobs, export.options, export.at
    pieces: AsyncIterator[bytes]
    sessions = _counted(sessions, export.tally)
    match export.form:
        case "html":
            from .html import html

            pieces = html(sessions, blobs, options, title=title, at=at, contents=contents, beside=beside)
        case "pdf":
            from .pdf import pdf

            pieces = pdf(sessions, blobs, options, title=title, at=at, noted=export.noted)
        case "docx":
            from .docx import docx

            pieces = docx(sessions, blobs, options, title=title, at=at, noted=export.noted)
        case "md" | "txt":
            from .text import text

            pieces = text(sessions, export.form, options)
        case _:
            raise ValueError(f"{export.form} is not for reading")
    async for piece in pieces:
        yield piece


async def _counted(
    sessions: Transcript, tally: Tally
) -> AsyncGenerator[tuple[Session, AsyncIterator[list[Message]]], None]:
    async def heard(pages: AsyncIterator[list[Message]]) -> AsyncGenerator[list[Message], None]:
        async for page in pages:
            tally.messages += len(page)
            yield page

    async for session, pages in sessions:
        tally.sessions += 1
        yield session, heard(pages)


async def _looked_ahead(store: Store, wanted: Wanted) -> tuple[Session | None, bool]:
    """The first session, and whether there are more."""
    first: Session | None = None
    async with aclosing(listed(store, wanted, titled=True)) as sessions:
        async for session in sessions:
            if first is not None:
                return first, True
            first = session
    return first, False
