"""One export: what is sought of a store, in the form that somebody asked for, piece by piece."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import datetime

from ..backend import Store
from ..blobs import Blobs
from ..model import Attachment, Session
from ..progress import Tell, silent
from ..sought import Sought
from . import Form, Options, Transcript
from .html import Beside
from .model_json import model_json
from .text import flat
from .transcript import Wanted, listed, transcript


async def exported(
    store: Store,
    blobs: Blobs | None,
    sought: Sought,
    form: Form,
    options: Options,
    *,
    bot: str,
    at: datetime,
    person: str | None = None,
    tell: Tell = silent,
) -> AsyncGenerator[bytes, None]:
    """What is sought, as one file, in memory that does not grow with it (but for PDF and DOCX); v3 is a zip.

    With `person`, a user's id, only what they said and the answers to that. Raises `StorageError`."""
    wanted = Wanted(sought, person, complete=options.complete and form in ("json", "v3"))
    if form == "json":
        pieces = model_json(store, wanted, options, bot=bot, at=at, tell=tell)
    elif form == "v3":
        pieces = _v3(store, blobs, wanted, at)
    else:
        first, several = await _looked_ahead(store, wanted)
        title = flat(first.title) or first.id if first is not None and not several else f"Conversations of {bot}"
        contents = listed(store, wanted, titled=True) if several and form == "html" else None
        told = transcript(store, wanted, tell=tell)
        pieces = document(told, blobs, form, options, title=title, at=at, contents=contents)
    async with aclosing(pieces):
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
    blobs: Blobs | None,
    form: Form,
    options: Options,
    *,
    title: str,
    at: datetime,
    contents: AsyncIterator[Session] | None = None,
    beside: Beside = _not_beside,
) -> AsyncGenerator[bytes, None]:
    """Sessions as a document for reading: every form but JSON and v3. `beside` says where an attachment stands that
    comes along. Raises `StorageError`, also where PDF or DOCX needs something that is not installed."""
    pieces: AsyncIterator[bytes]
    match form:
        case "html":
            from .html import html  # each form is paid for by those who ask for it

            pieces = html(sessions, blobs, options, title=title, at=at, contents=contents, beside=beside)
        case "pdf":
            from .pdf import pdf

            pieces = pdf(sessions, blobs, options, title=title, at=at)
        case "docx":
            from .docx import docx

            pieces = docx(sessions, blobs, options, title=title, at=at)
        case "md" | "txt":
            from .text import text

            pieces = text(sessions, form, options)
        case _:
            raise ValueError(f"{form} is not for reading")
    async for piece in pieces:
        yield piece


async def _looked_ahead(store: Store, wanted: Wanted) -> tuple[Session | None, bool]:
    """The first session, and whether there are more."""
    first: Session | None = None
    async with aclosing(listed(store, wanted, titled=True)) as sessions:
        async for session in sessions:
            if first is not None:
                return first, True
            first = session
    return first, False


async def _v3(store: Store, blobs: Blobs | None, wanted: Wanted, at: datetime) -> AsyncGenerator[bytes, None]:
    from ..errors import StorageError
    from ..zipping import zipped
    from .v3 import members

    if wanted.person is not None:
        raise StorageError("One person's own talk cannot be exported as v3: choose md, json, txt, html, pdf or docx.")
    async with aclosing(zipped(members(store, blobs, wanted.sought, complete=wanted.complete), at)) as chunks:
        async for chunk in chunks:
            yield chunk
