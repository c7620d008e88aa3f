"""Exports as a zip: a file for each session, the attachments beside them, and a manifest of it all.

`sessions/<channel>_<session>.<form>`, `attachments/<hash>_<name>` and last `manifest.json`, with the size and the
SHA-256 of every other member. A complete JSON export is one file, `store.json`, since the order of all messages is in
it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict

from ..archive import MANIFEST, Member
from ..backend import Store
from ..blobs import Blobs, Damaged
from ..model import Attachment, Message, Session, Value
from ..place import Missing
from ..progress import Tell, silent
from ..sought import Sought
from ..zipping import zipped
from . import Form, Options
from .exported import document
from .model_json import model_json
from .text import flat
from .transcript import Wanted, messages, transcript

FILES, SESSIONS, STORE = "attachments/", "sessions/", "store.json"


class Manifest(Value):
    """What a zip says of itself."""

    model_config = ConfigDict(extra="ignore")  # a newer program may have said more
    troupe_export: Literal[1] = 1
    bot: str
    form: Form
    made_at: datetime
    options: dict[str, Any]
    sessions: int
    messages: int
    members: dict[str, Member]


async def zip_of(
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
    """The zip in chunks; without `blobs` no attachments are in it. A file that is gone or damaged is left out, its
    name stays in the session. Every form but v3. Raises `StorageError`."""
    wanted = Wanted(sought, person, complete=options.complete and form == "json")
    making = _Making(store, blobs, wanted, form, options, bot, at, tell)
    async with aclosing(zipped(making.members(), at, making.written)) as chunks:
        async for chunk in chunks:
            yield chunk


class _Making:
    def __init__(
        self,
        store: Store,
        blobs: Blobs | None,
        wanted: Wanted,
        form: Form,
        options: Options,
        bot: str,
        at: datetime,
        tell: Tell,
    ) -> None:
        self._store, self._blobs, self._wanted, self._form = store, blobs, wanted, form
        self._options, self._bot, self._at, self._tell = options, bot, at, tell
        self.written: dict[str, Member] = {}
        self._sessions = self._messages = 0
        self._files: dict[str, str] = {}
        """Where the attachments stand, by hash."""
        self._names: set[str] = set()

    async def members(self) -> AsyncGenerator[tuple[str, AsyncIterator[bytes]], None]:
        """Everything that is in the zip, one after the other."""
        if self._wanted.complete and self._wanted.everything:
            yield STORE, model_json(self._store, self._wanted, self._options, bot=self._bot, at=self._at)
            self._sessions = (await self._store.counts()).sessions
            async with aclosing(messages(self._store, self._wanted, self._tell)) as pages:
                async for page in pages:
                    async for member in self._beside(page):
                        yield member
        else:
            async with aclosing(transcript(self._store, self._wanted, tell=self._tell)) as sessions:
                async for session, pages_ in sessions:
                    self._sessions += 1
                    given = len(self._files)
                    yield self._name(session), self._told(session, pages_)
                    for hash in list(self._files)[given:]:
                        yield self._files[hash], self._bytes(hash)
        yield MANIFEST, self._manifest()

    def _told(self, session: Session, pages: AsyncIterator[list[Message]]) -> AsyncIterator[bytes]:
        if self._form == "json":
            return self._as_json(session, pages)
        title = flat(session.title) or session.id
        sessions = _alone(session, self._noted(pages))
        return document(
            sessions, self._blobs, self._form, self._options, title=title, at=self._at, beside=self._standing
        )

    async def _as_json(self, session: Session, pages: AsyncIterator[list[Message]]) -> AsyncGenerator[bytes, None]:
        async for _ in self._noted(pages):
            pass
        only = replace(self._wanted, sought=replace(self._wanted.sought, session_ids=(session.id,)))
        async with aclosing(model_json(self._store, only, self._options, bot=self._bot, at=self._at)) as pieces:
            async for piece in pieces:
                yield piece

    async def _noted(self, pages: AsyncIterator[list[Message]]) -> AsyncGenerator[list[Message], None]:
        """The pages; every attachment in them that there is gets its place before it is told of."""
        async for page in pages:
            await self._note(page)
            yield page

    async def _note(self, page: list[Message]) -> None:
        self._messages += len(page)
        for message in page:
            for hash in message.blobs if self._blobs is not None else ():
                if hash not in self._files and self._blobs is not None and await self._blobs.sound(hash):
                    name = next((each.name for each in message.attachments if each.blob == hash), "")
                    self._files[hash] = f"{FILES}{hash[:16]}_{_plain(name) or 'file'}"

    async def _beside(self, page: list[Message]) -> AsyncGenerator[tuple[str, AsyncIterator[bytes]], None]:
        given = len(self._files)
        await self._note(page)
        for hash in list(self._files)[given:]:
            yield self._files[hash], self._bytes(hash)

    def _standing(self, file: Attachment) -> str:
        name = self._files.get(file.blob or "")
        return f"../{name}" if name else ""

    async def _bytes(self, hash: str) -> AsyncGenerator[bytes, None]:
        """A file that was removed a moment ago is no reason to keep back the rest."""
        if self._blobs is None:
            return
        try:
            async with aclosing(self._blobs.read(hash)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except (Damaged, Missing):
            return

    def _name(self, session: Session) -> str:
        """A name that every system takes, and no other session has here."""
        base, number = f"{session.channel.safe_name}_{_plain(session.full_name)}", 1
        name = f"{SESSIONS}{base}.{self._form}"
        while name.casefold() in self._names:
            number += 1
            name = f"{SESSIONS}{base}_{number}.{self._form}"
        self._names.add(name.casefold())
        return name

    async def _manifest(self) -> AsyncGenerator[bytes, None]:
        shown = {**asdict(self._options), "zone": str(self._options.zone)}
        manifest = Manifest(
            bot=self._bot,
            form=self._form,
            made_at=self._at,
            options=shown,
            sessions=self._sessions,
            messages=self._messages,
            members=self.written,
        )
        yield (manifest.model_dump_json(indent=2) + "\n").encode()


async def _alone(
    session: Session, pages: AsyncIterator[list[Message]]
) -> AsyncGenerator[tuple[Session, AsyncIterator[list[Message]]], None]:
    yield session, pages


def _plain(name: str) -> str:
    """At most 90 bytes of letters, digits, dots and dashes, without a dot in front."""
    kept = re.sub(r"[^\w.-]+", "-", name).lstrip(".-").encode()
    stem, dot, end = kept.rpartition(b".")
    if len(kept) > 90 and dot and len(end) <= 10:
        return stem[: 89 - len(end)].decode(errors="ignore") + "." + end.decode(errors="ignore")
    return kept[:90].decode(errors="ignore")
