"""What a storage backend promises. A store is opened for one bot and holds only that bot's talk."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Generic, Literal, Protocol, TypeVar, runtime_checkable

from .amendments import Amendment
from .backends.changes import Watch
from .model import Channel, Counts, Found, Message, Receipt, Session, Spending
from .records import Memory, Record, Vector
from .sought import EVERYTHING, Sought

Item = TypeVar("Item")
Kept = TypeVar("Kept", bound=Record)

OLDEST = "oldest"
"""The cursor of the oldest page."""


class NotACursor(ValueError):
    """What was given as a cursor is none of the list that is asked for."""


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A stretch of a longer list, and where to go on from it.

    A cursor is opaque, and stays good while things are written and removed around it."""

    items: tuple[Item, ...]
    older: str | None
    """The cursor of the page before it in time; None where there is nothing older."""
    newer: str | None
    """The cursor of the page after it in time; None where there is nothing newer yet."""


class Store(Protocol):
    """Everything said to and by one bot.

    A method that writes returns once the change would survive a power cut, and raises `Unavailable` when it
    could not be kept: then nothing of it was. Times are timezone-aware and given by the caller; a naive one is a
    `ValueError`. Text comes back as it was given, but for what no database takes: NUL and halves of surrogate pairs
    become U+FFFD. A cursor that this store did not give is `NotACursor`. Reading sees everything that this process
    was told is kept.
    """

    async def keep_channel(self, channel: Channel) -> Channel:
        """Stores a channel or brings its names up to date, and returns it with its past names.

        A new name moves the old one to the end of `past_names`, a guild's to `past_guild_names`; sessions keep
        pointing at the channel by its id."""

    async def channel(self, key: str) -> Channel | None:
        """The channel kept under `front:id`."""

    async def channels(self, after: str = "", limit: int = 100) -> list[Channel]:
        """Channels in the order of their keys, from the first beyond `after`."""

    async def append(self, session: Session, message: Message) -> bool:
        """Keeps one message as it is given, amendments included, and the session as given (its `message_count` is
        the store's own and ignored).

        False when a message with that `origin`, or that id, is kept already: then nothing changes, the session
        included. The session's channel is stored with it when nobody has kept that yet. Of calls under way at once
        the one asked for first is kept first."""

    async def keep_receipts(self, message_id: str, receipts: tuple[Receipt, ...]) -> None:
        """Adds proof of delivery to a message; a receipt whose origin is known already changes nothing,
        nor does one for a message that is not kept."""

    async def amend(self, message_id: str, change: Amendment) -> Message | None:
        """Does to a message what `amended` says; returns it as it is then, None when it is not kept."""

    async def remove_messages(self, ids: Sequence[str]) -> int:
        """Removes messages for good, words, edits and receipts. Returns how many there were. What answers
        among them took stays known as `Spent`, and an answer that stays, whose `usage` is known, says as its `asker`
        who had asked."""

    async def save_session(self, session: Session) -> None:
        """Stores a session's own fields (not its messages); creates it when new."""

    async def remove_sessions(self, ids: Sequence[str]) -> int:
        """Removes sessions for good, each with its messages, as `remove_messages` does. Returns how many there were."""

    async def remove_channels(self, keys: Sequence[str]) -> int:
        """Removes channels for good, names and past names; one that has a session stays. Returns how many went."""

    async def session(self, session_id: str) -> Session | None:
        """The session of that id, soft-deleted or not."""

    async def sessions(self, channel_key: str | None = None, *, limit: int = 50) -> list[Session]:
        """Sessions in sight, the one a person spoke in last first; of one channel, or of all."""

    async def browse(
        self,
        channel_key: str | None = None,
        *,
        cursor: str | None = None,
        limit: int = 50,
        deleted: bool = False,
        sought: Sought = EVERYTHING,
    ) -> Page[Session]:
        """A page of sessions, the one a person spoke in last first; without a cursor the newest page. With
        `deleted`, soft-deleted ones as well. Only those that are `sought`: where that says something of messages,
        those that hold one which is meant and is not soft-deleted by itself."""

    async def idle_sessions(self, before: datetime, limit: int = 100) -> list[Session]:
        """Open sessions in sight in which no person has spoken since `before`, the longest silent first."""

    async def messages(self, session_id: str, limit: int = 100) -> list[Message]:
        """The newest `limit` messages in sight of a session, oldest first, in the order in which they were kept."""

    async def read(
        self, session_id: str | None = None, *, cursor: str | None = None, limit: int = 100, deleted: bool = False
    ) -> Page[Message]:
        """A page of a session's messages, or of everybody's, oldest first, in the order in which they were kept;
        without a cursor the newest page. With `deleted`, soft-deleted ones and those of soft-deleted sessions as
        well."""

    async def message(self, message_id: str) -> Message | None:
        """The message of that id, soft-deleted or not."""

    async def after(self, message_id: str) -> str | None:
        """The cursor, for `read`, of what was kept after a message; None when it is not kept."""

    async def find(self, origin: str) -> Message | None:
        """The message that came from `origin`, or whose answer has a page standing there, soft-deleted or not."""

    async def found(self, origins: Sequence[str]) -> dict[str, str]:
        """The id of the message that `find` finds for each of these; one for which it finds none is absent."""

    async def search(
        self,
        query: str,
        *,
        channel_keys: Collection[str] | None = None,
        sought: Sought | None = None,
        limit: int = 20,
        skip: int = 0,
    ) -> list[Found]:
        """Messages in sight whose `text` holds the words of a query as `words.parse` reads it, the best match first,
        and among equals the newest; of the given channels only, or of all, and only those that are `sought`. Of more
        than a thousand matches the thousand kept last are weighed.

        A blank query with something sought finds all that is meant, the newest first, each shown by its
        beginning; what is said of messages alone is looked for in all of them, a second or so for a million."""

    async def references(self, hashes: Sequence[str]) -> dict[str, int]:
        """How many kept messages refer to each blob, as it stands or in an earlier wording; none is absent."""

    async def pinned(self, session_ids: Sequence[str]) -> set[str]:
        """Those of the sessions that hold a pinned message."""

    async def sizes(self, session_ids: Sequence[str]) -> dict[str, int]:
        """The bytes of words (UTF-8) that each of the sessions holds; one that is not kept is absent."""

    async def talk_of(self, user_id: str, *, cursor: str | None = None, limit: int = 100) -> Page[Message]:
        """A page of what somebody said and of the answers to that, as `read` gives it, soft-deleted things included.
        No voice of the bot counts as somebody. Like the two below it goes through everything that is kept: a second
        or two for a million messages."""

    async def marked_by(self, user_id: str, *, cursor: str | None = None, limit: int = 100) -> Page[Message]:
        """A page of the messages that somebody has put a reaction or a note on, as `read` gives it, soft-deleted ones
        included."""

    async def sessions_with(self, user_id: str, *, cursor: str | None = None, limit: int = 50) -> Page[Session]:
        """A page of the sessions that somebody spoke in or is a participant of, and of all in a DM with them, as
        `browse` gives it, soft-deleted ones included."""

    async def deleted_messages(self, before: datetime, limit: int = 100) -> list[Message]:
        """Messages soft-deleted before a time, the longest gone first."""

    async def deleted_sessions(self, before: datetime, limit: int = 100) -> list[Session]:
        """Sessions soft-deleted before a time, the longest gone first."""

    async def keep(self, *records: Record) -> None:
        """Stores records, each in place of one with its kind and id; all or none."""

    async def record(self, kind: type[Kept], id: str) -> Kept | None:
        """The record of that kind and id."""

    async def records(
        self, kind: type[Kept], *, about: str | None = None, cursor: str | None = None, limit: int = 100
    ) -> Page[Kept]:
        """A page of records of a kind, newest first, about one thing or all; without a cursor the newest page."""

    async def remove_records(self, kind: type[Record], ids: Sequence[str]) -> int:
        """Removes records for good. Returns how many there were."""

    async def nearest(self, vector: Vector, audiences: Collection[str], limit: int = 10) -> list[tuple[Memory, float]]:
        """The memories of these audiences whose vectors, by the same model, point most nearly the same way, with
        the cosine of the angle between, best first."""

    async def spending(
        self, by: Literal["day", "user", "channel", "persona", "model", "seat"], since: datetime, until: datetime
    ) -> list[Spending]:
        """What answers kept from `since` to before `until` took, in the order of the keys; days are UTC's, a user is
        the one who was answered, a seat a user in a channel: the user's id, a line break and the channel's key."""

    async def scrub(self) -> None:
        """Takes what was removed or replaced so far off the disk as well, as far as that is in the store's power; what
        another program is reading just now may stay until it is done. Writing goes on meanwhile."""

    async def counts(self) -> Counts:
        """How much the store holds."""

    async def close(self) -> None:
        """Waits for what was accepted, then lets go of the root. The store is of no use afterwards."""


@runtime_checkable
class ManyWriters(Protocol):
    """A store to which several processes of one bot may write at once: nothing read from it stays true, and between
    two messages of this process, which come in the order in which they were asked for, there may be others'."""

    async def open_session(self, session: Session, fresh: datetime | None) -> Session:
        """Stores a new session, unless another open one in its channel, in which somebody has spoken at or after
        `fresh`, is there already: then that one is returned and nothing changes. Without `fresh` it is always
        stored. Of two calls at once only one opens a session."""


@runtime_checkable
class Snapshots(Protocol):
    """A store that can copy itself into an SQLite file."""

    async def snapshot(self, path: Path) -> None:
        """Writes everything, as it stood at one moment, into a new database at `path`, while writing goes on.
        Raises `Unavailable`, and leaves no file, when it cannot."""


@runtime_checkable
class Reports(Protocol):
    """A store that takes what it can from what people may have damaged, and says what it could not."""

    problems: list[str]


@runtime_checkable
class Freezes(Protocol):
    """A store whose readers can be held to one moment."""

    def frozen(self) -> AbstractAsyncContextManager[Store]:
        """A store that reads everything as it stood at one moment, and does not write."""


class Writing(Protocol):
    """What writes to a store."""

    watch: Watch
    """Every change of this process goes through it; what it raises on entering refuses the change."""

    async def settled(self) -> None:
        """Returns once everything asked for so far is kept or refused, also what nobody waits for any more."""


@runtime_checkable
class Watched(Protocol):
    """A store that lets somebody follow what is written to it."""

    writing: Writing
