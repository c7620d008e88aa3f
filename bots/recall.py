"""The newest messages of the sessions under way, at hand in memory beside the store."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from storage.backend import ManyWriters, Store
from storage.model import Message


class Follows(Protocol):
    """Somebody who follows what becomes of what is kept."""

    def heard(self, message: Message) -> None:
        """A message was kept."""

    def changed(self, message: Message) -> None:
        """Something has become of a message."""

    def forget(self, session_id: str) -> None:
        """A session is gone, or is not what it was."""


_CHARACTERS = 8_000_000
"""The most that is held over all sessions; the session longest unused goes first."""


class Recent:
    """What a prompt may need, without a trip to the store for every turn.

    True as long as this process alone writes to the store and tells every message it has kept (`heard`); where others
    write too, the store is asked every time. `also` is told what it is told."""

    def __init__(self, store: Store, limit: int, also: Follows | None = None) -> None:
        self._store = store
        self._limit = limit
        self._also = also
        self._alone = not isinstance(store, ManyWriters)
        self._lists: OrderedDict[str, list[Message]] = OrderedDict()
        self._held = 0
        self._meanwhile: dict[str, list[Message]] = {}

    def adopt(self, limit: int) -> None:
        """Holds so many messages of each session from now on."""
        if limit != self._limit:
            self._limit = limit
            for session_id in (*self._lists, *self._meanwhile):
                self._drop(session_id)

    def heard(self, message: Message) -> None:
        """Takes in a message that has just been kept."""
        if self._also is not None:
            self._also.heard(message)
        if message.session_id in self._meanwhile:
            self._meanwhile[message.session_id].append(message)
        known = self._lists.get(message.session_id)
        if known is not None:
            known.append(message)
            self._held += len(message.text) - sum(len(old.text) for old in known[: -self._limit])
            del known[: -self._limit]

    def changed(self, message: Message) -> None:
        """Takes in what has become of a message that was kept before: it is read as it is now, or no more."""
        if self._also is not None:
            self._also.changed(message)
        if message.session_id in self._meanwhile:
            self._drop(message.session_id)  # read too early: once more
        known = self._lists.get(message.session_id, [])
        for at, old in enumerate(known):
            if old.id == message.id:
                self._held -= len(old.text)
                if message.deleted_at is None:
                    known[at] = message
                    self._held += len(message.text)
                else:
                    del known[at]
                return

    async def messages(self, session_id: str) -> list[Message]:
        """The newest messages of a session, oldest first, as many as the limit allows; without their receipts."""
        if not self._alone:
            return await self._store.messages(session_id, limit=self._limit)
        if session_id not in self._lists:
            meanwhile = self._meanwhile.setdefault(session_id, [])
            try:
                read = await self._store.messages(session_id, limit=self._limit)
            finally:
                alone = self._meanwhile.pop(session_id, None) is meanwhile
            if not alone:  # read by two at once, or forgotten while it was read
                return await self.messages(session_id)
            known = {message.id for message in read}
            found = [*read, *(m for m in meanwhile if m.id not in known)]
            self._lists[session_id] = found
            self._held += sum(len(message.text) for message in found)
            while self._held > _CHARACTERS and len(self._lists) > 1:
                _, forgotten = self._lists.popitem(last=False)
                self._held -= sum(len(message.text) for message in forgotten)
        self._lists.move_to_end(session_id)
        return list(self._lists[session_id])

    def forget(self, session_id: str) -> None:
        """Lets go of a session of which something was removed: what is left of it is read again."""
        if self._also is not None:
            self._also.forget(session_id)
        self._drop(session_id)

    def _drop(self, session_id: str) -> None:
        self._meanwhile.pop(session_id, None)
        forgotten = self._lists.pop(session_id, [])
        self._held -= sum(len(message.text) for message in forgotten)
