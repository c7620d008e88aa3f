"""The files of a migration: copied out of the source into the blobs, so that messages refer to them."""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, Mapping
from typing import Literal, cast
from zipfile import BadZipFile

from .blobs import Blobs, TooBig
from .durable import in_thread
from .legacy import Refused, Spot
from .legacy.source import BadSource, Source
from .migration_report import Tally
from .model import Attachment, Message, Part
from .place import PIECE

LIMIT = 1 << 31
"""The most bytes of one file."""
_BROKEN = (OSError, BadZipFile, zlib.error, EOFError, RuntimeError, BadSource)


class _Unreadable(Exception):
    """A file of the source cannot be read to its end."""


class Files:
    """Copies files, or, in a dry run, only looks at them."""

    def __init__(self, source: Source, blobs: Blobs, tally: Tally, *, dry_run: bool) -> None:
        self._source, self._blobs, self._tally = source, blobs, tally
        self._dry_run = dry_run

    async def kept_with(self, message: Message, files: Mapping[str, str], spot: Spot) -> Message:
        """The message with its files kept and looked at. One that is missing or cannot be read stays a name, and is
        told of."""
        edits = [
            edit.model_copy(update={"parts": await self._parts(edit.parts, files, spot)}) for edit in message.edits
        ]
        parts = await self._parts(message.parts, files, spot)
        return message.model_copy(update={"parts": parts, "edits": tuple(edits)})

    async def _parts(self, parts: tuple[Part, ...], files: Mapping[str, str], spot: Spot) -> tuple[Part, ...]:
        return tuple(
            [
                await self._part(part, files[part.blob or part.url], spot)
                if isinstance(part, Attachment) and (part.blob or part.url) in files
                else part
                for part in parts
            ]
        )

    async def _part(self, part: Attachment, name: str, spot: Spot) -> Attachment:
        self._tally.count("files", "found")
        if name not in self._source:
            self._tally.count("files", "missing")
            self._tally.note(spot, f"the file {_shown(name)} is not there; its name is kept")
            return part
        try:
            if self._dry_run:
                return await self._looked_at(part, name)
            blob = await self._blobs.keep(self._chunks(name), limit=LIMIT, name=part.name)
        except (_Unreadable, TooBig) as error:
            at = Spot(name, item=f"of {spot.file}")
            self._tally.refuse(Refused(at, f"{error} Its name is kept with the message."), "files")
            return part
        self._taken(blob.size)
        if part.blob:
            if blob.hash != part.blob:
                self._tally.note(spot, f"the file {_shown(name)} is not what its hash says")
            return part
        about = {"blob": blob.hash, "media_type": blob.media_type, "size": blob.size, "type": _kind(blob.media_type)}
        return part.model_copy(update=about)

    async def _looked_at(self, part: Attachment, name: str) -> Attachment:
        size = 0
        async for chunk in self._chunks(name):
            size += len(chunk)
            if size > LIMIT:
                raise TooBig(part.name, LIMIT)
        self._taken(size)
        return part

    def _taken(self, size: int) -> None:
        self._tally.count("files", "taken")
        self._tally.count("files", "bytes", size)

    async def _chunks(self, name: str) -> AsyncGenerator[bytes, None]:
        try:
            file = await in_thread(self._source.open, name)
            try:
                while chunk := await in_thread(file.read, PIECE):
                    yield chunk
            finally:
                await in_thread(file.close)
        except _BROKEN as error:
            raise _Unreadable(f"The file cannot be read ({_shown(str(error))}).") from error


def _kind(media_type: str) -> Literal["image", "audio", "video", "file"]:
    kind = media_type.partition("/")[0]
    return cast('Literal["image", "audio", "video", "file"]', kind if kind in ("image", "audio", "video") else "file")


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:120]
