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
from ..errors import StorageError
from ..model import Attachment, Message, Session, Value
from ..progress import silent
from ..unpacking import MEMBERS
from ..zipping import begun, zipped
from . import Export, Form
from .exported import at_one_moment, document
from .model_json import model_json
from .text import flat
from .transcript import Wanted, transcript

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


async def zip_of(export: Export) -> AsyncGenerator[bytes, None]:
    """The zip in chunks; without `blobs` no attachments are in it. A file that is gone or damaged is left out, its
    name stays in the session. Every form but v3. Raises `StorageError`."""
    async with at_one_moment(export) as still:
        making = _Making(still)
        async with aclosing(zipped(making.members(), still.at, making.written)) as chunks:
            async for chunk in chunks:
                yield chunk


class _Making:
    def __init__(self, export: Export) -> None:
        self._export, self._blobs = export, export.blobs
        complete = export.options.complete and export.form == "json"
        self._wanted = Wanted(export.sought, export.person, complete=complete)
        self.written: dict[str, Member] = {}
        self._files: dict[str, str] = {}
        """Where the attachments stand, by hash; empty where one is gone or damaged."""
        self._coming: dict[str, str] = {}
        """Those that are not in the zip yet."""
        self._names: set[str] = set()

    async def members(self) -> AsyncGenerator[tuple[str, AsyncIterator[bytes]], None]:
        """Everything that is in the zip, one after the other. Raises `StorageError` where it could not be read back."""
        store = self._export.store
        if self._wanted.complete and self._wanted.everything:
            yield STORE, model_json(self._export, self._wanted, self._saw)
            self._refuse_too_many()
            async for member in self._beside():
                yield member
        else:
            async with aclosing(transcript(store, self._wanted, tell=self._export.tell)) as sessions:
                async for session, pages in sessions:
                    yield self._name(session), self._told(session, pages)
                    async for member in self._beside():
                        yield member
                    self._refuse_too_many()
        yield MANIFEST, self._manifest()

    def _told(self, session: Session, pages: AsyncIterator[list[Message]]) -> AsyncIterator[bytes]:
        if self._export.form == "json":
            only = replace(self._wanted, sought=replace(self._wanted.sought, session_ids=(session.id,)))
            return model_json(replace(self._export, tell=silent), only, self._saw)
        title = flat(session.title) or session.id
        return document(_alone(session, self._noted(pages)), self._export, title=title, beside=self._standing)

    def _saw(self, page: list[Message]) -> None:
        """Gives every new file beside the messages its place."""
        for message in page if self._blobs is not None else ():
            for hash in message.blobs:
                if hash not in self._files:
                    name = next((each.name for each in message.attachments if each.blob == hash), "")
                    self._files[hash] = self._coming[hash] = f"{FILES}{hash[:16]}_{_plain(name) or 'file'}"

    async def _noted(self, pages: AsyncIterator[list[Message]]) -> AsyncGenerator[list[Message], None]:
        """The pages; what is not there, or damaged, has no place by the time that they are told."""
        async for page in pages:
            known = len(self._coming)
            self._saw(page)
            for hash in list(self._coming)[known:]:
                if self._blobs is not None and not await self._blobs.sound(hash):
                    self._files[hash] = ""
                    del self._coming[hash]
            yield page

    def _refuse_too_many(self) -> None:
        if len(self.written) + len(self._coming) >= MEMBERS:
            raise StorageError(
                f"A zip of {MEMBERS:,} files and more could not be read back: take fewer sessions or days, or leave "
                "the files out."
            )

    async def _beside(self) -> AsyncGenerator[tuple[str, AsyncIterator[bytes]], None]:
        """The files that are not in the zip yet."""
        coming, self._coming = self._coming, {}
        for hash, name in coming.items():
            if self._blobs is None or (self._export.form == "json" and not await self._blobs.sound(hash)):
                continue
            if (chunks := await begun(self._blobs, hash)) is not None:
                self._export.tally.files += 1
                yield name, chunks

    def _standing(self, file: Attachment) -> str:
        name = self._files.get(file.blob or "")
        return f"../{name}" if name else ""

    def _name(self, session: Session) -> str:
        """A name that every system takes, and no other session has here."""
        base, number = f"{session.channel.safe_name}_{_plain(session.full_name)}", 1
        name = f"{SESSIONS}{base}.{self._export.form}"
        while name.casefold() in self._names:
            number += 1
            name = f"{SESSIONS}{base}_{number}.{self._export.form}"
        self._names.add(name.casefold())
        return name

    async def _manifest(self) -> AsyncGenerator[bytes, None]:
        options = self._export.options
        shown = {**asdict(options), "zone": str(options.zone)}
        manifest = Manifest(
            bot=self._export.bot,
            form=self._export.form,
            made_at=self._export.at,
            options=shown,
            sessions=self._export.tally.sessions,
            messages=self._export.tally.messages,
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
