"""Who asked to be forgotten: what old data has of them is not taken in again."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from .backend import Kept, Page
from .forgetting import is_private
from .model import Channel, Message, Sender, Session, SessionContext
from .records import AuditEntry, Memory, Profile, Record, Run, Setting, Spent, Template, Tombstone


class Remembering(Protocol):
    """A store, as far as its records are read."""

    async def records(self, kind: type[Kept], *, cursor: str | None, limit: int) -> Page[Kept]: ...


class Forgotten:
    """People by their ids, and what was left out because of them."""

    def __init__(self, people: dict[str, datetime] | None = None) -> None:
        self._people = people or {}
        self._unsaid: set[str] = set()
        """Ids and origins of messages, and ids of sessions, of which something was left out."""
        self._rooms: dict[str, str] = {}
        """By the key of a channel that is private to such a person: who that is."""

    @classmethod
    async def known_to(cls, store: Remembering) -> Forgotten:
        people: dict[str, datetime] = {}
        page = await store.records(Tombstone, cursor=None, limit=500)
        while True:
            people.update((each.id, each.at) for each in page.items)
            if page.older is None:
                return cls(people)
            page = await store.records(Tombstone, cursor=page.older, limit=500)

    def meet(self, session: Session) -> None:
        """Hears of a session before anything of it."""
        self.is_theirs(session.channel)
        if self.owns(session.channel, session.last_at):
            self._unsaid.add(session.id)

    def is_theirs(self, channel: Channel) -> bool:
        """Whether a channel is private to such a person, whenever they were there."""
        owner = channel.parent_id
        if owner not in self._people or not is_private(channel, owner):
            return False
        self._rooms[channel.key] = owner
        return True

    def said(self, message: Message, channel: Channel, *, after: bool) -> bool:
        """Whether a message is of such a person, an answer to one, or stands where only they talked. `after` is whether
        the line before it was: an answer that names no question belongs to that."""
        if not self._people:
            return False
        answers = message.role != "user" and (after if message.reply_to is None else message.reply_to in self._unsaid)
        if message.asker and self._gone(message.asker, message.at):
            return True
        return answers or self._is(message.sender, message.at) or self.owns(channel, message.at)

    def note(self, message: Message) -> None:
        """Remembers a message that was left out."""
        self._unsaid |= {message.id, message.session_id, *filter(None, [message.origin])}

    def owns(self, channel: Channel, at: datetime) -> bool:
        """Whether a channel is private to such a person."""
        return is_private(channel, channel.parent_id) and self._gone(channel.parent_id, at)

    def without(self, session: Session) -> Session:
        """A session without such people, and then without the words that may quote them."""
        there = tuple(each for each in session.participants if not self._is(each, session.last_at))
        if len(there) == len(session.participants):
            return session
        return session.model_copy(update={"participants": there, "title": "", "context": SessionContext()})

    def unmarked(self, message: Message) -> Message:
        """A message without their reactions and notes."""
        if not self._people or not (message.reactions or message.annotations):
            return message
        reactions = tuple(each for each in message.reactions if not self._is(each.sender, each.at))
        annotations = tuple(each for each in message.annotations if not self._is(each.sender, each.at))
        return message.model_copy(update={"reactions": reactions, "annotations": annotations})

    def about(self, record: Record) -> bool:
        """Whether a record speaks of such a person, or was drawn from what they said."""
        if not self._people:
            return False
        match record:
            case Memory():
                named = [record.subject, record.audience]
                return record.source in self._unsaid or any(self._whom(each, record.at) for each in named)
            case Run():
                named = [value for value in record.data.values() if isinstance(value, str)]
                return record.session_id in self._unsaid or any(self._gone(each, record.at) for each in named)
            case Template():
                people = [*record.people, *([record.by.id] if record.by.type != "persona" else [])]
                return any(self._gone(each, record.at) for each in people)
            case Profile():
                return self._gone(record.id, record.at)
            case Setting():
                return self._whom(record.id, record.at) or self._is(record.by, record.at)
            case AuditEntry():
                return self._whom(record.target, record.at) or self._is(record.actor, record.at)
            case Spent():
                return self._gone(record.user_id, record.at)
        return False

    def _is(self, sender: Sender, at: datetime) -> bool:
        return sender.type != "persona" and self._gone(sender.id, at)

    def _whom(self, place: str, at: datetime) -> bool:
        """Whether a place is theirs: a person, or a channel by its key."""
        if place.startswith("user:"):
            return self._gone(place.removeprefix("user:"), at)
        return self._gone(self._rooms.get(place.removeprefix("channel:")), at)

    def _gone(self, user_id: str | None, at: datetime) -> bool:
        asked = self._people.get(user_id or "")
        return asked is not None and at <= asked
