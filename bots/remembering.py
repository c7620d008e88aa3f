"""What people of a place asked a bot to remember there: lines that were said, as they read now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from storage.backend import ManyWriters, Store
from storage.model import Message, Sender
from storage.records import Memory, Setting

from .audiences import audience
from .errors import TroupeError
from .sessions import short
from .speakers import Speakers

_MOST = 12
_LETTERS = 300
"""How many lines a place has in mind, the latest remembered, and the letters of each."""
_MEMORY_LETTERS = 4_000
_VALUE = "remembered"
"""In the setting of a channel: the ids of the messages, the latest last."""


class Remembering:
    """The lines that one bot has in mind. A line that was edited is told as it reads now; one that was deleted, or
    whose session was cleared, is not told; one of somebody who was forgotten is gone. Nobody is called by one of the
    bot's `voices`."""

    def __init__(self, store: Store, *, now: Callable[[], datetime], voices: Callable[[], tuple[str, ...]]) -> None:
        self._store = store
        self._shared = isinstance(store, ManyWriters)
        self._now = now
        self._voices = voices
        self._ids: dict[str, tuple[str, ...]] = {}
        """By channel key, where nobody else writes."""
        self.settings = asyncio.Lock()
        """Held by whoever changes the setting of a channel."""

    def adopt(self, channel_key: str, setting: Setting) -> None:
        """Takes in what the setting of a channel says."""
        if ids := _ids(setting):
            self._ids[channel_key] = ids

    async def remember(self, message_id: str, by: Sender) -> Memory:
        """Keeps in mind what a message says, in its place and for those of the place alone."""
        message = await self._store.message(message_id)
        session = await self._store.session(message.session_id) if message is not None else None
        if message is None or session is None or message.deleted_at is not None or session.deleted_at is not None:
            raise TroupeError("I have not kept that message, or it was deleted.")
        if not message.words.strip():
            raise TroupeError("There are no words in that message that I could remember.")
        place = session.channel
        person = message.sender if message.sender.type == "user" else by
        memory = Memory(
            id=_memory_id(message),  # the same message is remembered once
            at=self._now(),
            type="semantic",
            audience=audience(place),
            subject=f"user:{person.id}",
            text=_text(message),
            source=message.id,
        )
        async with self.settings:
            known = await self._store.record(Setting, f"channel:{place.key}")
            ids = (*(id for id in _ids(known) if id != message.id), message.id)[-_MOST:]
            values = {**(known.values if known else {}), _VALUE: [*ids]}
            setting = Setting(id=f"channel:{place.key}", at=self._now(), values=values, by=known.by if known else by)
            await self._store.keep(memory, setting)
            self._ids[place.key] = ids
        return memory

    async def lines(self, channel_key: str) -> tuple[str, ...]:
        """Who said what, each on one line of at most about 300 letters, the latest remembered last: words of people.
        Where nothing is remembered the store is asked only if others write to it too."""
        ids = self._ids.get(channel_key, ())
        if self._shared:
            ids = _ids(await self._store.record(Setting, f"channel:{channel_key}"))
        told = await asyncio.gather(*map(self._still, ids))
        messages = [message for message in told if message is not None]
        speakers = Speakers(messages, self._voices())
        return tuple(f"{speakers.name(each.sender)}: {short(each.words, _LETTERS)}" for each in messages)

    async def known(self, channel_key: str) -> str:
        """The same for a prompt, ahead of the history, so that no line can pose as another; empty when there are
        none."""
        things = [f"- {line}" for line in await self.lines(channel_key)]
        return "\n".join(["(People here asked you to keep in mind what was said:", *things, ")"]) if things else ""

    async def _still(self, message_id: str) -> Message | None:
        """The message, if it is in sight and still remembered."""
        message = await self._store.message(message_id)
        if message is None or message.deleted_at is not None or not message.words.strip():
            return None
        session = await self._store.session(message.session_id)
        if session is None or session.deleted_at is not None:
            return None
        return message if await self._store.record(Memory, _memory_id(message)) is not None else None


async def follow(store: Store, message: Message) -> None:
    """Lets what is remembered of a message follow what has become of it. Raises `StorageError`."""
    memory = await store.record(Memory, _memory_id(message))
    if memory is None:
        return
    if message.deleted_at is not None or not message.words.strip():
        await store.remove_records(Memory, [memory.id])
    elif memory.text != _text(message):
        await store.keep(memory.model_copy(update={"text": _text(message), "vector": None}))


def _memory_id(message: Message) -> str:
    return f"remembered {message.id}"


def _text(message: Message) -> str:
    return short(message.words, _MEMORY_LETTERS)


def _ids(setting: Setting | None) -> tuple[str, ...]:
    ids = setting.values.get(_VALUE) if setting else None
    return tuple(id for id in ids if isinstance(id, str)) if isinstance(ids, list) else ()
