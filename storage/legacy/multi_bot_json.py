"""Reads the JSON files of the multi-bot program: one for each channel and person, in a folder for each bot or shared.

As the program (github.com/rcs/ollama-discord) wrote them over its three lives: bare lists of `role, content, timestamp`
in a folder for each bot; conversations that all bots shared, in which an answer has a `bot_name` and a line stands once
for every bot that took it up; conversations of one bot alone. A person's line has `username`, `channel_name` and
Discord's `message_id` in its metadata, an answer the `response_to_message_id`; times are naive and local.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from ..model import Channel, ChannelKind, Message, Receipt, Role, Sender, Session, Text, storable
from . import Refused, Spot, Taken, Terms
from .cutting import cut
from .multi_bot_files import FOLDER, Conversation, Home, candidates, channel_of, conversations
from .multi_bot_owners import Owners
from .once import Once
from .reading import attempted, flat, is_snowflake, known_id, surely, told, when, words
from .sorting import Sorted
from .source import Source

NAME = "multi_bot_json"
_ROLES: Mapping[str, Role] = {
    "user": "user",
    "human": "user",
    "person": "user",
    "assistant": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "system": "system",
}
_LOOKED_AT = 5
_LATELY = 10_000
_HERE = ("role", "content", "timestamp", "bot_name", "metadata", "channel_id", "user_id")
"""What of a message has a place of its own."""
_NAMES = ("username", "author_name", "display_name", "user_name")
_PLACED = ("message_id", "channel_id", "user_id", *_NAMES, "channel_name", "guild_id", "guild_name")


_MEANWHILE = "It was written to while it was read, and nothing of it is taken now: do the same again."


def recognise(source: Source) -> bool:
    """Whether there are files named after a channel and a person, or shared ones, with lines that have a role."""
    for name, _ in islice(candidates(source, None), _LOOKED_AT):
        if channel_of(name) is not None and FOLDER in (*PurePosixPath(name).parts, source.path.resolve().name):
            return True
        found = next(conversations(source, name, "named", ""), None)
        if isinstance(found, Conversation) and _speaks(found):
            return True
    return False


def read(source: Source, terms: Terms, channel_id: str | None = None) -> Iterator[Taken | Refused]:
    """The bot's own sessions and messages, those of all or of one channel."""
    with Sorted(terms.scratch) as held:
        known: dict[str, _Known] = {}
        for name, home in candidates(source, terms.bot, channel_id):
            before = source.stamp(name)
            for found in _of_file(source, name, home, terms):
                if isinstance(found, Refused):
                    yield found
                elif channel_id is None or found.channel_id == channel_id:
                    known.setdefault(found.channel_id, _Known(found.channel_id)).hear(found)
                    held.add(found.channel_id, found.message, found.spot)
            if source.stamp(name) != before:
                held.drop(name)
                yield Refused(Spot(name), _MEANWHILE)
        for id in known:
            yield from known[id].sessions(held.of(id), terms.gap)


def first_lines(source: Source, terms: Terms, most: int) -> Iterator[Message]:
    """The first line of the bot's in each of at most so many files, as it comes without those before it elsewhere."""
    for name, home in islice(candidates(source, terms.bot), most):
        for found in _of_file(source, name, home, terms):
            if not isinstance(found, Refused):
                yield found.message
                break


@dataclass(frozen=True, slots=True)
class _Line:
    """A message that is the bot's, and what is said with it of its channel."""

    message: Message
    spot: Spot
    channel_id: str
    about: Mapping[str, Any]
    conversation: Conversation


def _of_file(source: Source, name: str, home: Home, terms: Terms) -> Iterator[_Line | Refused]:
    for conversation in conversations(source, name, home, terms.bot):
        if isinstance(conversation, Refused):
            yield conversation
        else:
            yield from surely(Spot(conversation.file), _of_conversation(conversation, terms))


def _of_conversation(conversation: Conversation, terms: Terms) -> Iterator[_Line | Refused]:
    owners = _owners(conversation, terms.bot) if conversation.home != "own" else None
    if owners is not None and conversation.home == "named" and not owners.names:
        owners = None  # nobody says otherwise
    reading = _Reading(conversation, terms)
    mine = 0
    for number, found in enumerate(conversation.lines()):
        if isinstance(found, Refused):
            yield found
            continue
        whose = owners.mine(number) if owners is not None else True
        if whose is False and isinstance(found[1], dict):
            continue
        mine += 1
        line = _line(reading, *found) if whose or not isinstance(found[1], dict) else _NOBODYS
        yield Refused(conversation.place(found[0]), line) if isinstance(line, str) else line
    if owners is not None and conversation.home == "named" and not mine:
        yield Refused(
            Spot(conversation.file),
            f"It is what was said to {', '.join(sorted(map(told, owners.names)))[:120]}, and only what was said to "
            f"{terms.bot} is taken: if it is to be {terms.bot}'s, put it into a folder of that name.",
        )


def _line(reading: _Reading, spot: Spot, value: Any) -> _Line | str:
    found: _Line | str | Refused = attempted(spot, lambda: reading.line(spot, value))
    return found.reason if isinstance(found, Refused) else found


_NOBODYS = "Nothing tells which bot it was said by or to: put the file into a folder that is named after the bot."


def _owners(conversation: Conversation, bot: str) -> Owners:
    owners = Owners(bot)
    for found in conversation.lines():
        value = None if isinstance(found, Refused) else found[1]
        if not isinstance(value, dict):
            owners.skipped()
            continue
        about = _about(value, conversation.told)
        key = f"{_ids(value, about, conversation)}"
        if _role(value) == "assistant":
            owners.answered(key, str(value.get("bot_name") or about.get("bot_name") or ""), _answers(about))
        else:
            owners.heard(key, _snowflake(about.get("message_id")))
    there = conversation.told.get("participants")
    owners.end([name for name in there if isinstance(name, str)] if isinstance(there, list) else [])
    return owners


@dataclass(slots=True)
class _Reading:
    """Where the reading of a conversation has come to."""

    conversation: Conversation
    terms: Terms
    at: datetime | None = None
    """When the line before was said."""
    stood: datetime | None = None
    """The same, with times that name no zone as UTC: ids are made from it."""
    asked: dict[tuple[str, str], str] = field(default_factory=dict)
    """By channel and person the id of the last line that was no answer."""
    asked_by_id: OrderedDict[str, str] = field(default_factory=OrderedDict)

    def line(self, spot: Spot, value: Any) -> _Line | str:
        """A line as the model has it, or why it cannot be taken."""
        if not isinstance(value, dict):
            return "It is no message: an object with role, content and timestamp is."
        role, text = _role(value), words(value.get("content"))
        if role is None:
            return f"Its role is {told(value.get('role'))[:40]!r}: user, assistant and system are known."
        if text is None:
            return "Its content is no text."
        about = _about(value, self.conversation.told)
        channel_id, user_id = _ids(value, about, self.conversation)
        if not channel_id:
            return "Nothing tells its channel: neither the file's name nor a channel_id."
        written = value.get("timestamp")
        at = when(written, self.terms.zone, self.at)
        if at is None:
            if written not in (None, ""):
                return f"Its timestamp is no time: {told(written)[:40]!r}."
            if self.at is None:
                return "It has no timestamp, and neither has one before it."
            at = self.at + timedelta(microseconds=1)
        stands = when(written, UTC, self.stood) or (self.stood or at) + timedelta(microseconds=1)
        self.at, self.stood = at, stands
        metadata = {"from": NAME, **flat(value, *_HERE, *_PLACED), **flat(_mapping(value.get("metadata")), *_PLACED)}
        if written in (None, ""):
            metadata["time"] = "not known: just after the line before it"
        id = known_id(stands, NAME, channel_id, user_id, role, text, stands.isoformat())
        voice = str(value.get("bot_name") or "")
        message = self._message(id, role, text, at, channel_id, user_id, voice, about, metadata)
        return _Line(message, spot, channel_id, about, self.conversation)

    def _message(
        self,
        id: str,
        role: Role,
        text: str,
        at: datetime,
        channel_id: str,
        user_id: str,
        bot_name: str,
        about: Mapping[str, Any],
        metadata: dict[str, str],
    ) -> Message:
        foreign = _snowflake(about.get("message_id"))
        origin = f"discord:{channel_id}:{foreign}" if is_snowflake(foreign) else None
        if foreign and origin is None:
            metadata["legacy_id"] = foreign
        reply_to: str | None = None
        if role == "assistant":
            answers, before = _answers(about), self.asked.get((channel_id, user_id))
            reply_to = self.asked_by_id.get(answers, before)
            if answers in self.asked_by_id:
                metadata.pop("response_to_message_id", None)
            voice = storable(bot_name) or self.terms.bot
            sender = Sender(type="persona", id=voice, name=voice)
        elif role == "user":
            id = self.asked_by_id.setdefault(foreign, id) if foreign else id
            self.asked[channel_id, user_id] = id
            if len(self.asked_by_id) > _LATELY:
                self.asked_by_id.popitem(last=False)
            name = next((words(about[key]) for key in _NAMES if words(about.get(key))), None)
            sender = Sender(type="user", id=user_id, name=name or user_id or "somebody")
        else:
            sender = Sender(type="system", id=self.terms.bot, name=self.terms.bot)
        return Message(
            id=id,
            origin=origin if role != "assistant" else None,
            session_id="",
            role=role,
            sender=sender,
            persona=sender.id if role == "assistant" else None,
            parts=(Text(text=text),) if text else (),
            at=at,
            reply_to=reply_to,
            asker=user_id or None if role == "assistant" and reply_to is None else None,
            receipts=(Receipt(origin=origin, page=0),) if role == "assistant" and origin else (),
            metadata=metadata,
        )


class _Known:
    """What the lines of a channel say of it."""

    def __init__(self, channel_id: str) -> None:
        self._id = channel_id
        self._named_at: datetime | None = None
        self._name = ""
        self._guild: dict[str, str | None] = {}
        self._kind: ChannelKind = "channel"
        self._person = ""
        self._told: dict[str, Mapping[str, Any]] = {}
        """By file, and part of it, what it says of its conversation."""

    def hear(self, line: _Line) -> None:
        about, at = line.about, line.message.at
        if (name := words(about.get("channel_name"))) and (self._named_at is None or at >= self._named_at):
            self._name, self._named_at = name, at
        for key in ("guild_id", "guild_name"):
            if about.get(key):
                self._guild[key] = told(about[key])
        if about.get("is_dm") is True or about.get("channel_type") in ("dm", "private"):
            self._kind = "dm"
        elif about.get("is_thread") is True or about.get("channel_type") == "thread":
            self._kind = "thread"
        if line.message.role == "user":
            self._person = line.message.sender.id
        if line.conversation.told:
            self._told[_part(line.spot)] = line.conversation.told

    def sessions(self, lines: Iterable[Taken], gap: timedelta | None) -> Iterator[Taken | Refused]:
        channel = Channel(
            front="discord",
            id=self._id,
            kind=self._kind,
            name=self._name or self._id,
            parent_id=self._person or None if self._kind == "dm" else None,
            **self._guild,
        )
        parts: list[str] = []
        once = Once()
        for taken in cut(channel, once.lines(lines), gap, NAME):
            yield from once.refused()
            if isinstance(taken.item, Session) and parts:
                taken, parts = Taken(self._entitled(taken.item, parts), taken.spot), []
            elif isinstance(taken.item, Message) and _part(taken.spot) not in parts:
                parts.append(_part(taken.spot))
            yield taken
        yield from once.refused()
        yield from once.copied()

    def _entitled(self, session: Session, parts: list[str]) -> Session:
        """A complete session with what its files say of it."""
        said = [self._told[part] for part in parts if part in self._told]
        title = next((topic for each in said if (topic := words(each.get("topic")))), "")
        leave_out = ("topic", "last_updated", "channel_id", "user_id", "messages", *_PLACED)
        metadata = {key: value for each in reversed(said) for key, value in flat(each, *leave_out).items()}
        return session.model_copy(update={"title": title, "metadata": {**metadata, **session.metadata}})


def _speaks(conversation: Conversation) -> bool:
    for found in conversation.lines():
        if not isinstance(found, Refused):
            value = found[1]
            about = _about(value, conversation.told) if isinstance(value, dict) else {}
            return "content" in about and "role" in about and bool(_ids(value, about, conversation)[0])
    return bool(conversation.channel_id)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _about(value: Mapping[str, Any], told: Mapping[str, Any]) -> Mapping[str, Any]:
    """Everything that is said with a line: by its conversation, by itself and by its metadata, which knows best."""
    return {**told, **value, **_mapping(value.get("metadata"))}


def _role(value: Mapping[str, Any]) -> Role | None:
    role = value.get("role")
    return _ROLES.get(role.strip().lower()) if isinstance(role, str) else None


def _ids(value: Mapping[str, Any], about: Mapping[str, Any], conversation: Conversation) -> tuple[str, str]:
    """The channel and the person of a line: its own word goes before the file's."""
    channel, user = (_snowflake(about.get(key)) for key in ("channel_id", "user_id"))
    return channel or conversation.channel_id, user or conversation.user_id


def _answers(about: Mapping[str, Any]) -> str:
    return _snowflake(about.get("response_to_message_id"))


def _part(spot: Spot) -> str:
    return f"{spot.file} {spot.item.rpartition('[')[0]}"


def _snowflake(value: Any) -> str:
    """An id that some write as a number; empty for what is none."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if 0 < len(text) <= 40 and text.isprintable() else ""
