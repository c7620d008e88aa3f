"""What a storage backend promises. A store is opened for one bot and holds only that bot's talk."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from .model import Channel, Counts, Message, Receipt, Session


class Store(Protocol):
    """Everything said to and by one bot.

    A method that writes returns once the change would survive a power cut, and raises `Unavailable` when it
    could not be kept: then nothing of it was. Times are timezone-aware and given by the caller; a naive one is a
    `ValueError`. Text comes back as it was given, but for what no database takes: NUL and halves of surrogate pairs
    become U+FFFD.
    """

    async def keep_channel(self, channel: Channel) -> Channel:
        """Stores a channel or brings its names up to date, and returns it with its past names.

        A new name moves the old one to the end of `past_names`, a guild's to `past_guild_names`; sessions keep
        pointing at the channel by its id."""

    async def channel(self, key: str) -> Channel | None:
        """The channel kept under `front:id`."""

    async def append(self, session: Session, message: Message) -> bool:
        """Keeps one message, and the session as given (its `message_count` is the store's own and ignored).

        False when a message with that `origin`, or that id, is kept already: then nothing changes, the session
        included. The session's channel is stored with it when nobody has kept that yet."""

    async def keep_receipts(self, message_id: str, receipts: tuple[Receipt, ...]) -> None:
        """Adds proof of delivery to a message; a receipt whose origin is known already changes nothing,
        nor does one for a message that is not kept."""

    async def save_session(self, session: Session) -> None:
        """Stores a session's own fields (not its messages); creates it when new."""

    async def session(self, session_id: str) -> Session | None:
        """The session of that id."""

    async def sessions(self, channel_key: str | None = None, *, limit: int = 50) -> list[Session]:
        """Sessions, the one a person spoke in last first; of one channel, or of all."""

    async def idle_sessions(self, before: datetime, limit: int = 100) -> list[Session]:
        """Open sessions in which no person has spoken since `before`, the longest silent first."""

    async def messages(self, session_id: str, limit: int = 100) -> list[Message]:
        """The newest `limit` messages of a session, oldest first, in the order in which they were kept."""

    async def find(self, origin: str) -> Message | None:
        """The message that came from `origin`, or whose answer has a page standing there."""

    async def counts(self) -> Counts:
        """How much the store holds."""

    async def close(self) -> None:
        """Waits for what was accepted, then lets go of the root. The store is of no use afterwards."""
