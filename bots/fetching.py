"""Files on their way from a front into storage, once each, while the turn that wants them gets ready."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from storage.backend import Store
from storage.errors import StorageError
from storage.model import Attachment, Message

from .incoming import UNFETCHED
from .media import Glimpse, Media
from .providers import Image
from .recall import Recent

log = structlog.get_logger()

_PATIENCE = 20.0
"""Seconds that a question waits for the files beside it."""
_NEWEST = 200
"""Lines of which a crash may have left files behind."""


async def _nobody(_changed: Message) -> None:
    pass


@dataclass(eq=False)
class Replied:
    """A message that a line replies to."""

    origin: str
    message: Message | None
    """As it is kept, if it is."""
    shown: tuple[Attachment, ...] = ()
    """The files beside it, as its front showed them."""
    glimpse: asyncio.Task[Glimpse] | None = None
    """A look at those of its files that are not kept."""

    @property
    def files(self) -> tuple[Attachment, ...]:
        """Those beside it."""
        return self.message.attachments if self.message else self.shown

    @property
    def persona(self) -> str | None:
        """Whose message it is, if a persona's."""
        return self.message.persona if self.message else None


class Fetching:
    """The files of one bot that are being fetched."""

    def __init__(
        self,
        media: Media,
        store: Store,
        recent: Recent,
        *,
        patience: float = _PATIENCE,
        amended: Callable[[Message], Awaitable[None]] = _nobody,
    ) -> None:
        """`amended` is told of a line whose files have come."""
        self._media = media
        self._amended = amended
        self._store = store
        self._recent = recent
        self._patience = patience
        self._under_way: dict[str, asyncio.Task[None]] = {}
        """By the message they stand beside."""
        self._glimpses: set[asyncio.Task[Glimpse]] = set()

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
            wanted = _incomplete(line) and not line.metadata.keys() >= UNFETCHED.keys()
            if wanted and line.id not in self._under_way and (line.origin or "").startswith(f"{front}:"):
                kept = asyncio.get_running_loop().create_future()
                kept.set_result(True)
                self.begin(line, kept)

    async def ready(self, lines: Sequence[Message]) -> list[Message]:
        """The lines as they are with their files fetched, or once that has taken too long."""
        waited = [self._under_way[line.id] for line in lines if line.id in self._under_way]
        if waited:
            await asyncio.wait(waited, timeout=self._patience)
        # Also those whose files came before somebody waited for them: what is given is what was heard.
        return [(await self._store.message(line.id) or line) if _incomplete(line) else line for line in lines]

    async def glimpse(self, replied: Replied) -> Glimpse:
        """What can be seen of the files beside a message replied to that are not kept; they are fetched once, however
        often somebody asks, and stay nowhere."""
        if replied.message is not None:
            (replied.message,) = await self.ready([replied.message])
        missing = [file for file in replied.files if file.blob is None]
        if missing and replied.glimpse is None:
            replied.glimpse = asyncio.ensure_future(self._media.glimpse(missing, replied.origin))
            self._glimpses.add(replied.glimpse)
            replied.glimpse.add_done_callback(self._glimpses.discard)
        if replied.glimpse is not None:
            await asyncio.wait((replied.glimpse,), timeout=self._patience)
            if replied.glimpse.done() and not replied.glimpse.cancelled():
                return replied.glimpse.result()
        return Glimpse((), {}, {})

    async def images(self, attachments: Sequence[Attachment], glimpsed: Mapping[str, Image]) -> dict[str, Image]:
        """The pictures among files, or of which there was a glimpse, fit for a model, by their hashes."""
        return await self._media.images(attachments, glimpsed)

    async def texts(self, messages: Sequence[Message]) -> dict[str, str]:
        """The texts among the files beside messages, by their hashes."""
        found: dict[str, str] = {}
        for message in messages:
            files = message.attachments
            if files and any(file.blob for file in files):
                found |= await self._media.texts(message.attachments)
        return found

    async def close(self) -> None:
        """Stops fetching."""
        tasks = [*self._under_way.values(), *self._glimpses]
        for task in tasks:
            if not task.cancelling():  # a second time would not let it close its file
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
                    await self._amended(changed)
        except StorageError as error:
            log.warning("files.unkept", line=line.id, error=str(error))


def _incomplete(line: Message) -> bool:
    """Whether a file stands beside it that is not known to be kept."""
    return any(file.blob is None for file in line.attachments)


def with_files(
    lines: Sequence[Message], before: Sequence[Message], replied: Sequence[Replied], glimpses: Sequence[Glimpse]
) -> list[Message]:
    """The lines of a turn for its prompt: beside the last one also stand the files of the messages replied to, as far
    as the prompt would not show them otherwise."""
    in_view = {message.id for message in (*before, *lines)}
    kept = [each.message for each in replied if each.message and each.message.id not in in_view]
    files = [*(file for message in kept for file in message.attachments if file.blob)]
    files += [file for each in glimpses for file in each.files]
    *others, last = lines
    return [*others, last.model_copy(update={"parts": (*last.parts, *files)})] if files else list(lines)
