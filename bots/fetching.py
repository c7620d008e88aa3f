"""Files on their way from a front into storage, once each, while the turn that wants them gets ready."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from storage.amendments import amended
from storage.backend import Store
from storage.errors import StorageError
from storage.model import Attachment, Message

from .media import Media
from .providers import Image
from .recall import Recent

log = structlog.get_logger()

_PATIENCE = 20.0
"""Seconds that a question waits for the files beside it."""
_NEWEST = 200
"""Lines of which a crash may have left files behind."""


class Fetching:
    """The files of one bot that are being fetched."""

    def __init__(self, media: Media, store: Store, recent: Recent, *, patience: float = _PATIENCE) -> None:
        self._media = media
        self._store = store
        self._recent = recent
        self._patience = patience
        self._under_way: dict[str, asyncio.Task[None]] = {}
        """By the message they stand beside."""

    def begin(self, line: Message, kept: asyncio.Future[bool]) -> None:
        """Fetches what stands beside a line, once that is kept."""
        if not line.attachments:
            return
        task = asyncio.ensure_future(self._fetch(line, kept))
        self._under_way[line.id] = task
        task.add_done_callback(lambda _: self._under_way.pop(line.id, None))

    async def left(self, front: str) -> None:
        """Fetches what stands beside the newest lines of a front and never came, as when a crash came first. Raises
        `StorageError`."""
        for line in (await self._store.read(limit=_NEWEST)).items:
            missing = any(file.blob is None for file in line.attachments)
            if missing and line.id not in self._under_way and (line.origin or "").startswith(f"{front}:"):
                kept = asyncio.get_running_loop().create_future()
                kept.set_result(True)
                self.begin(line, kept)

    async def ready(self, lines: Sequence[Message]) -> list[Message]:
        """The lines as they are with their files fetched, or once that has taken too long."""
        waited = [self._under_way[line.id] for line in lines if line.id in self._under_way]
        if not waited:
            return list(lines)
        await asyncio.wait(waited, timeout=self._patience)
        return [await self._store.message(line.id) or line for line in lines]

    async def shown(self, replied: Message) -> tuple[Attachment, ...]:
        """The files beside the message that a line replies to, fetched where they are not kept."""
        message = replied
        for fetched in await self._media.take(replied):
            message = amended(message, fetched)
        return message.attachments

    async def images(self, attachments: Sequence[Attachment]) -> tuple[Image, ...]:
        """The pictures among files, fit for a model."""
        return await self._media.images(attachments)

    async def texts(self, messages: Sequence[Message]) -> dict[str, str]:
        """The texts among the files beside messages, by their hashes."""
        found: dict[str, str] = {}
        for message in messages:
            if any(file.blob for file in message.attachments):
                found |= await self._media.texts(message.attachments)
        return found

    async def close(self) -> None:
        """Stops fetching."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fetch(self, line: Message, kept: asyncio.Future[bool]) -> None:
        try:
            if not await asyncio.shield(kept):
                return
            for fetched in await self._media.take(line):
                changed = await self._store.amend(line.id, fetched)
                if changed is not None:
                    self._recent.changed(changed)
        except StorageError as error:
            log.warning("files.unkept", line=line.id, error=str(error))
