"""Files beside messages: fetched once and kept by content, and what of them a model is shown."""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from fnmatch import fnmatchcase
from hashlib import sha256
from types import MappingProxyType
from typing import NamedTuple

import structlog

from storage.amendments import Fetched
from storage.blobs import Blobs
from storage.durable import in_thread
from storage.errors import StorageError
from storage.model import Attachment, Message
from storage.sniff import HEAD, media_type

from . import pictures
from .community_settings import MediaSettings
from .errors import TroupeError
from .prompt import cut_to, tokens
from .providers import Image
from .speakers import inert

log = structlog.get_logger()

Fetch = Callable[[Attachment, str | None], AsyncGenerator[bytes, None]]
"""The bytes of a file beside the message with that origin, from where its front holds them; raises `MediaError`."""

_AT_ONCE = 4
"""Files that are fetched at a time."""
_PATIENCE = 30.0
"""Seconds in which a file must have come."""
_LARGEST_PICTURE = 32 << 20
"""Bytes of a picture that is looked at; it is held in memory meanwhile, one at a time."""
_TEXTS = ("text/*", "application/json", "application/xml", "image/svg+xml")
_CHARACTERS = 2_000_000
"""How much of texts read before is remembered."""
_PICTURES = 8 << 20
"""Bytes of pictures made fit before that are remembered: a talk goes on about the same ones."""
_REFUSED = 1_000
"""Refused files that are not asked for again."""
_FEW = 50
"""Tokens below which the beginning of a text says nothing."""


class MediaError(TroupeError):
    """A file cannot be had."""


class Glimpse(NamedTuple):
    """What could be seen of files without keeping them."""

    files: tuple[Attachment, ...]
    """Those that could be looked at, each with the hash of its bytes."""
    images: dict[str, Image]
    """By hash, as `texts` are."""
    texts: dict[str, str]


class _Refused(MediaError):
    """A file is not wanted."""


class Media:
    """The files of one bot."""

    def __init__(self, blobs: Blobs, settings: MediaSettings) -> None:
        self._blobs = blobs
        self._settings = settings
        self._sources: dict[str, Fetch] = {}
        self._fetching = asyncio.Semaphore(_AT_ONCE)
        self._looking = asyncio.Semaphore(1)
        self._glimpsing = asyncio.Semaphore(1)
        self._glimpsed: dict[str, bytes] = {}
        """The file that is being glimpsed at."""
        self._texts: OrderedDict[str, _Start] = OrderedDict()
        self._refused: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._images: OrderedDict[str, Image] = OrderedDict()

    def adopt(self, settings: MediaSettings) -> None:
        """Goes by other limits from now on."""
        self._settings = settings
        self._refused.clear()
        self._texts.clear()  # as much of each as the limit before could show

    def source(self, front: str, fetch: Fetch) -> None:
        """Says how the files of a front's messages are fetched; those of a front without a source stay there."""
        self._sources[front] = fetch

    async def take(self, message: Message) -> list[Fetched]:
        """Fetches and keeps the files beside a message that are not kept yet, as far as they are within the limits.

        What comes back is to be kept as amendments of the message. Never raises: why a file was left out is in the
        log, and the message still names it."""
        fetch = self._fetch_of(message.origin)
        if fetch is None:
            return []
        for number, file in enumerate(message.attachments[self._settings.count :], self._settings.count + 1):
            if _mark(message.origin, file) not in self._refused:
                self._refuse(message.origin, file, f"It is number {number} of the files beside one message.")
        missing = [file for file in message.attachments[: self._settings.count] if file.blob is None]
        wanted = [file for file in missing if _mark(message.origin, file) not in self._refused]
        async with asyncio.TaskGroup() as group:  # which waits for all, also when it is given up
            taken = [group.create_task(self._taken(fetch, message, file)) for file in wanted]
        return [fetched for task in taken if (fetched := task.result()) is not None]

    async def glimpse(self, attachments: Sequence[Attachment], origin: str | None) -> Glimpse:
        """What a model may be shown of files beside the message at `origin`, which is not kept; neither are they. One
        after the other, so that no more than one is held in memory. Never raises, as `take`."""
        fetch = self._fetch_of(origin)
        seen = Glimpse((), {}, {})
        for file in attachments[: self._settings.count] if fetch else ():
            async with self._glimpsing:
                found = await self._glimpsed_at(fetch, file, origin) if fetch else None
                if found is None:
                    continue
                hash = found.blob or ""
                try:
                    room = len(seen.images) < self._settings.images
                    seen.images.update(await self.images([found]) if room else {})
                    seen.texts.update(await self.texts([found]))
                finally:
                    del self._glimpsed[hash]
                seen = seen._replace(files=(*seen.files, found))
        return seen

    async def images(
        self, attachments: Sequence[Attachment], glimpsed: Mapping[str, Image] = MappingProxyType({})
    ) -> dict[str, Image]:
        """The kept pictures among these files, or those of which there was a glimpse, fit for a model and by their
        hashes: the first that can be read, as many as one question may show."""
        found: dict[str, Image] = {}
        for file in attachments:
            if len(found) >= self._settings.images:
                break
            known = file.blob is None or file.blob in found
            if not known and file.media_type in pictures.FORMATS and 0 < file.size <= _LARGEST_PICTURE:
                image = glimpsed.get(file.blob or "") or await self._looked_at(file)
                found |= {file.blob: image} if file.blob and image else {}
        return found

    async def texts(self, attachments: Sequence[Attachment]) -> dict[str, str]:
        """The texts among the kept files of one message, by the hash of each, cut so that together they stay within
        the limit; what was cut away is said. The same files are always cut the same way."""
        found: dict[str, str] = {}
        left = self._settings.text_tokens
        for file in attachments:
            is_text = any(fnmatchcase(file.media_type or "", pattern) for pattern in _TEXTS)
            if file.blob is None or file.blob in found or not is_text or not file.size or left < _FEW:
                continue
            start = await self._start(file)
            if start is not None and start.text.strip():
                shown = cut_to(start.text, left)
                left -= tokens(shown)
                found[file.blob] = shown + _more(file, start, shown)
        return found

    def _fetch_of(self, origin: str | None) -> Fetch | None:
        return self._sources.get((origin or "").partition(":")[0])

    async def _taken(self, fetch: Fetch, message: Message, file: Attachment) -> Fetched | None:
        async with self._trouble(message.origin, file), self._fetching:
            async with self._coming(fetch, file, message.origin) as chunks:
                blob = await self._blobs.keep(chunks, limit=self._settings.limit, name=file.name)
            return Fetched(url=file.url, blob=blob.hash, media_type=blob.media_type, size=blob.size)
        return None

    async def _glimpsed_at(self, fetch: Fetch, file: Attachment, origin: str | None) -> Attachment | None:
        """The file, whose bytes `_glimpsed` has from now on."""
        async with self._trouble(origin, file):
            data = bytearray()
            async with self._coming(fetch, file, origin) as chunks:
                async for chunk in chunks:
                    data += chunk
                    if len(data) > min(self._settings.limit, _LARGEST_PICTURE):
                        raise MediaError("It is larger than what is looked at.")
            hash = sha256(data).hexdigest()
            self._glimpsed[hash] = bytes(data)
            kind = media_type(bytes(data[:HEAD]))
            return file.model_copy(update={"blob": hash, "media_type": kind, "size": len(data)})
        return None

    @asynccontextmanager
    async def _coming(
        self, fetch: Fetch, file: Attachment, origin: str | None
    ) -> AsyncGenerator[AsyncGenerator[bytes, None], None]:
        """The bytes of a file that is permitted, from its front."""
        if file.size > self._settings.limit:
            raise _Refused(f"It has {file.size:,} bytes; allowed are {self._settings.limit:,}.")
        async with (
            asyncio.timeout(_PATIENCE),
            aclosing(fetch(file, origin)) as chunks,
            aclosing(self._permitted(chunks)) as permitted,
        ):
            yield permitted

    @asynccontextmanager
    async def _trouble(self, origin: str | None, file: Attachment) -> AsyncGenerator[None, None]:
        """Whatever goes wrong with one file is for the log alone."""
        try:
            yield
        except TimeoutError:
            self._left_out(origin, file, f"It has not come within {_PATIENCE:.0f} seconds.")
        except _Refused as error:
            self._refuse(origin, file, str(error))
        except (MediaError, StorageError) as error:
            self._left_out(origin, file, str(error))
        except Exception:
            log.exception("media.failed", message=origin, file=inert(file.name, 80))

    def _refuse(self, origin: str | None, file: Attachment, reason: str) -> None:
        """Leaves a file out for good: it would be refused again."""
        self._refused[_mark(origin, file)] = None
        if len(self._refused) > _REFUSED:
            self._refused.popitem(last=False)
        self._left_out(origin, file, reason)

    def _left_out(self, origin: str | None, file: Attachment, reason: str) -> None:
        log.warning("media.left_out", message=origin, file=inert(file.name, 80), reason=reason)

    async def _permitted(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """The chunks, once their beginning has told that they are of no kind that is refused."""
        head, judged = b"", False
        async for chunk in chunks:
            if judged:
                yield chunk
                continue
            head += chunk
            if len(head) >= HEAD:
                self._judge(head)
                judged = True
                yield head
        if not judged:
            self._judge(head)
            yield head

    def _judge(self, head: bytes) -> None:
        kind = media_type(head[:HEAD])
        if any(fnmatchcase(kind, pattern.lower()) for pattern in self._settings.refuse):
            raise _Refused(f"Its bytes are {kind}, which media.refuse names.")

    async def _looked_at(self, file: Attachment) -> Image | None:
        hash = file.blob or ""
        async with self._looking:
            if (known := self._images.get(hash)) is not None:
                self._images.move_to_end(hash)
                return known
            data = await self._read(file, _LARGEST_PICTURE)
            image = await in_thread(pictures.fitted, data, file.media_type or "") if data else None
            if image is not None and hash not in self._glimpsed:
                self._images[hash] = image
                while sum(len(each.data) for each in self._images.values()) > _PICTURES:
                    self._images.popitem(last=False)
            return image

    async def _start(self, file: Attachment) -> _Start | None:
        """As much of a text as the limit could ever show of it."""
        hash = file.blob or ""
        if (known := self._texts.get(hash)) is not None:
            self._texts.move_to_end(hash)
            return known
        most = self._settings.text_tokens * 4  # characters, of up to four bytes each
        data = await self._read(file, 4 * most)
        if data is None:
            return None
        text = _CONTROLS.sub("", data.decode("utf-8-sig", "replace").replace("\r\n", "\n"))
        start = _Start(text[:most], len(text) if len(data) >= file.size else None)
        if hash not in self._glimpsed:
            self._texts[hash] = start
        while sum(len(each.text) for each in self._texts.values()) > _CHARACTERS and len(self._texts) > 1:
            self._texts.popitem(last=False)
        return start

    async def _read(self, file: Attachment, most: int) -> bytes | None:
        """The first bytes of a kept file, at least `most` where it has as many; None when storage cannot give them."""
        if (glimpsed := self._glimpsed.get(file.blob or "")) is not None:
            return glimpsed
        data = bytearray()
        try:
            async with aclosing(self._blobs.read(file.blob or "")) as chunks:
                async for chunk in chunks:
                    data += chunk
                    if len(data) >= most:
                        break
        except (StorageError, ValueError) as error:
            log.warning("media.unread", blob=file.blob, reason=str(error))
            return None
        return bytes(data)


def _mark(origin: str | None, file: Attachment) -> tuple[str, str]:
    """A file beside a message; its address without what is signed, which is another one each time."""
    return origin or "", file.url.partition("?")[0]


class _Start(NamedTuple):
    """The beginning of a text."""

    text: str
    characters: int | None
    """Of all of it, where all was read."""


_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")


def _more(file: Attachment, start: _Start, shown: str) -> str:
    if start.characters is None:
        return f"\n… {max(1, file.size - len(shown.encode())):,} more bytes"
    left = start.characters - len(shown)
    return f"\n… {left:,} more characters" if left else ""
