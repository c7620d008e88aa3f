"""Who and what the ids of old data stand for: people and channels as they are known elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .model import Annotation, Channel, ChannelKind, Message, Reaction, Sender, Session, Value
from .records import AuditEntry, Memory, Profile, Record, Setting, Spent, Template

Mark = TypeVar("Mark", Reaction, Annotation)
Given = TypeVar("Given", bound=Value)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody under the id that counts from now on."""

    id: str
    name: str = ""
    """Empty where it is not known: then the old one stays."""


@dataclass(frozen=True, slots=True)
class Room:
    """What is known of a channel; what is empty stays as it was."""

    name: str = ""
    kind: ChannelKind | None = None
    guild_id: str = ""
    guild_name: str = ""
    parent_id: str = ""


@dataclass(frozen=True, slots=True)
class Naming:
    """People and channels by the ids that old data has for them. Personas and other bots keep their names."""

    people: Mapping[str, Person] = field(default_factory=dict)
    channels: Mapping[str, Room] = field(default_factory=dict)

    def over(self, other: Naming) -> Naming:
        """Both; what this one says counts more."""
        return Naming({**other.people, **self.people}, {**other.channels, **self.channels})

    def sender(self, sender: Sender) -> Sender:
        person = self.people.get(sender.id) if sender.type == "user" else None
        if person is None:
            return sender
        return Sender(type="user", id=person.id, name=person.name or sender.name)

    def channel(self, channel: Channel) -> Channel:
        """A channel with its names; a private one of somebody who is known is theirs, and bears their name where it
        had none of its own."""
        room = self.channels.get(channel.id, Room())
        owner = room.parent_id or channel.parent_id or ""
        person = self.people.get(owner)
        given = {
            "name": room.name or (person.name if person and channel.name in (channel.id, owner) else ""),
            "kind": room.kind if room.kind and channel.front == "discord" else None,
            "guild_id": room.guild_id,
            "guild_name": room.guild_name,
            "parent_id": person.id if person else room.parent_id,
        }
        return _with(channel, **{key: value for key, value in given.items() if value})

    def session(self, session: Session) -> Session:
        """A session with its channel and its people."""
        people = session.participants
        if self.people:  # of whom two may be one
            known: dict[tuple[str, str], Sender] = {}
            for each in map(self.sender, people):
                known.setdefault((each.type, each.id), each)
            people = tuple(known.values())
        return _with(session, channel=self.channel(session.channel), participants=people)

    def message(self, message: Message) -> Message:
        """A message, with the reactions and notes on it."""
        if not self.people:
            return message
        return _with(
            message,
            sender=self.sender(message.sender),
            asker=found.id if (found := self.people.get(message.asker or "")) else message.asker,
            reactions=tuple(map(self._signed, message.reactions)),
            annotations=tuple(map(self._signed, message.annotations)),
        )

    def record(self, record: Record) -> Record:
        """A record about, by or for the people meant."""
        match record:
            case Memory():
                return _with(record, audience=self._whom(record.audience), subject=self._whom(record.subject))
            case Profile() if person := self.people.get(record.id):
                return _with(record, id=person.id, name=person.name or record.name)
            case Setting():
                return _with(record, id=self._whom(record.id), by=self.sender(record.by))
            case AuditEntry():
                return _with(record, actor=self.sender(record.actor), target=self._whom(record.target))
            case Spent() if person := self.people.get(record.user_id):
                return _with(record, user_id=person.id)
            case Template():
                people = dict.fromkeys(self.people[id].id if id in self.people else id for id in record.people)
                by = self.sender(record.by)
                return _with(record, audience=self._whom(record.audience), by=by, people=tuple(people))
        return record

    def _signed(self, mark: Mark) -> Mark:
        return _with(mark, sender=self.sender(mark.sender))

    def _whom(self, place: str) -> str:
        person = self.people.get(place.removeprefix("user:")) if place.startswith("user:") else None
        return f"user:{person.id}" if person else place


def _with(value: Given, **fields: Any) -> Given:
    """The same value where nothing changes."""
    changed = {name: new for name, new in fields.items() if getattr(value, name) != new}
    return value.model_copy(update=changed) if changed else value
