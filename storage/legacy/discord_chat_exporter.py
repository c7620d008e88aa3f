"""Exports of DiscordChatExporter in JSON: single files, folders of them, parts, with or without their media.

A file holds one channel, thread, forum post, DM or group; several may hold parts of the same, or the same lines again.
What people are told by Discord itself (joins, pins, calls, new names) is kept as notes. The looks of people (colours,
pictures) are not taken, nor are the previews that Discord shows of links.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any
from urllib.parse import unquote

from ..model import Channel, ChannelKind, Message, Sender, Session
from . import Refused, Spot, Taken, Terms
from .cutting import cut
from .decoding import Decoded
from .discord_lines import Line, person
from .once import Once
from .reading import Places, attempted, is_snowflake, items, told, when, words
from .sorting import Sorted
from .source import BadSource, Source
from .talks import mapping, shown

PROGRAM = "discord_chat_exporter"
_LOOKED_AT = 20
_HEAD = 1 << 16
_MESSAGES = re.compile(r'"messages"\s*:\s*\[')
_COUNT = re.compile(rb'"messageCount"\s*:\s*(\d+)\s*\}\s*$')
_RECENT = 10_000
"""How many lines back an answer may be to be found as the answer to one."""
_KINDS: dict[str, ChannelKind] = {
    "DirectTextChat": "dm",
    "DirectGroupTextChat": "dm",
    "GuildNewsThread": "thread",
    "GuildPublicThread": "thread",
    "GuildPrivateThread": "thread",
    "1": "dm",
    "3": "dm",
    "10": "thread",
    "11": "thread",
    "12": "thread",
}
"""Every other is a channel; old versions wrote some as numbers."""


def recognise(source: Source) -> bool:
    """Whether one of the first JSON files begins as these exports do."""
    names = [name for name in source.names if name.lower().endswith(".json")]
    return any(_head(source, name) for name in names[:_LOOKED_AT])


def read(source: Source, terms: Terms) -> Iterator[Taken | Refused]:
    """Everything in the source, channel by channel, cut into sessions."""
    rooms: dict[str, _Room] = {}
    media = _Media(source)
    with Sorted(terms.scratch) as lines:
        for name in source.names:
            if head := _head(source, name):
                yield from _gathered(source, name, head, terms, rooms, lines, media)
        for key in sorted(rooms):
            room = rooms[key]
            once = Once()
            told_of = _answering(once.lines(lines.of(key)))
            for taken in cut(room.channel(), told_of, terms.gap, PROGRAM):
                yield from once.refused()
                if isinstance(taken.item, Session):
                    more = {**room.metadata, **taken.item.metadata}
                    taken = Taken(taken.item.model_copy(update={"metadata": more}), taken.spot)
                yield taken
            yield from once.refused()
            yield from once.copied()


def _head(source: Source, name: str) -> Mapping[str, Any]:
    """What stands before the messages of a file; empty for one that is no such export."""
    if not name.lower().endswith(".json"):
        return {}
    try:
        with source.open(name) as file:
            text = Decoded(file).read(_HEAD).decode("utf-8", "replace")
        found = _MESSAGES.search(text)
        head = mapping(json.loads(text[: found.start()].rstrip(", \r\n\t") + "}" if found else text))
    except (OSError, BadSource, ValueError, RecursionError):
        return {}
    return head if found and {"guild", "channel"} <= set(head) else {}


@dataclass
class _Room:
    """What the files of one channel say of it."""

    id: str
    kind: ChannelKind
    direct: bool
    guild_id: str | None = None
    guild_name: str | None = None
    parent_id: str | None = None
    names: dict[str, str] = field(default_factory=dict)
    """By the time of the export, so that the latest is the channel's name."""
    metadata: dict[str, str] = field(default_factory=dict)
    people: dict[str, str] = field(default_factory=dict)

    def channel(self) -> Channel:
        names = list(dict.fromkeys(self.names[at] for at in sorted(self.names)))
        name = self.names[max(self.names)]
        other = next((id for id, known in self.people.items() if known == name), next(iter(self.people), None))
        return Channel(
            front="discord",
            id=self.id,
            kind=self.kind,
            name=name,
            guild_id=self.guild_id,
            guild_name=self.guild_name,
            parent_id=other if self.direct else self.parent_id,
            past_names=tuple(each for each in names if each != name),
        )


def _gathered(
    source: Source,
    name: str,
    head: Mapping[str, Any],
    terms: Terms,
    rooms: dict[str, _Room],
    lines: Sorted,
    media: _Media,
) -> Iterator[Refused]:
    room, starts = _room(name, head, rooms), Places(source, name, "messages.item")
    if isinstance(room, Refused):
        yield room
        return
    number = 0
    for found in items(source, name, "messages.item"):
        if isinstance(found, Refused):
            yield found
            return
        number += 1
        spot, record = found
        taken = _taken(room, record, spot, terms, media)
        if isinstance(taken, Refused):
            yield Refused(starts.found(spot), taken.reason)
        else:
            lines.add(room.id, *taken)
    told_count = _count(source, name)
    if told_count is not None and told_count != number:
        reason = f"The file says that it has {told_count} messages, and has {number}: export the channel again."
        yield Refused(Spot(name, item="messageCount"), reason)


def _room(name: str, head: Mapping[str, Any], rooms: dict[str, _Room]) -> _Room | Refused:
    channel, guild = mapping(head["channel"]), mapping(head["guild"])
    id = words(channel.get("id"))
    if not id or not is_snowflake(id):
        return Refused(Spot(name, item="channel"), f"Its channel has no id but {shown(channel.get('id'))}.")
    kind = str(channel.get("type"))
    room = rooms.setdefault(id, _Room(id, _KINDS.get(kind, "channel"), kind in ("DirectTextChat", "1")))
    if guild.get("id") not in (None, "", "0"):
        room.guild_id, room.guild_name = told(guild["id"]), words(guild.get("name"))
    category = words(channel.get("categoryId"))
    if room.kind == "thread" and category:  # the program calls the channel of a thread its category
        room.parent_id = category
    elif room.kind == "channel" and words(channel.get("category")):
        room.metadata["category"] = str(words(channel.get("category")))
    if words(channel.get("topic")):
        room.metadata["topic"] = str(words(channel.get("topic")))
    room.names[told(head.get("exportedAt") or "")] = words(channel.get("name")) or id
    return room


def _taken(
    room: _Room, record: object, spot: Spot, terms: Terms, media: _Media
) -> tuple[Message, Spot, dict[str, str]] | Refused:
    if not isinstance(record, Mapping):
        return Refused(spot, "A message is an object with `id`, `timestamp`, `author` and `content`; this is none.")
    id, at = words(record.get("id")), when(record.get("timestamp"), terms.zone)
    if not id or not is_snowflake(id):
        return Refused(spot, f"The message has no id but {shown(record.get('id'))}.")
    if at is None:
        return Refused(spot, f"Its timestamp is no time: {shown(record.get('timestamp'))}.")
    author = mapping(record.get("author"))
    if not words(author.get("id")):
        return Refused(spot, "The message has no author.")
    stands = when(record.get("timestamp"), UTC) or at
    line = Line(room.id, record, at, stands, _own(author, terms.bot), lambda url: media.find(spot.file, url))
    message = attempted(spot, line.message)
    if isinstance(message, Refused):
        return message
    if room.direct and not author.get("isBot"):
        sender = person(author)
        room.people.setdefault(sender.id, sender.name)
    return message, spot, line.files


def _own(author: Mapping[str, Any], bot: str) -> Sender | None:
    """The bot itself as the one who speaks, where it is the bot whose talk is wanted."""
    known = {str(author.get(key)).casefold() for key in ("id", "name", "nickname")}
    if not author.get("isBot") or bot.casefold() not in known:
        return None
    return Sender(type="persona", id=bot, name=person(author).name)


def _count(source: Source, name: str) -> int | None:
    """How many messages the file says it has, in its last line."""
    try:
        with source.open(name) as file:
            file.seek(max(0, source.size(name) - 200))
            found = _COUNT.search(file.read(400))
    except (OSError, BadSource):
        return None
    return int(found[1][:18]) if found else None


def _answering(lines: Iterable[Taken]) -> Iterator[Taken]:
    """The messages of a channel in the order of time: an answer names the message that it answers by its id."""
    recent: dict[str, str] = {}
    for line in lines:
        message = line.item
        assert isinstance(message, Message)
        assert message.origin
        recent[message.origin] = message.id
        if len(recent) > _RECENT:
            del recent[next(iter(recent))]
        if message.role == "assistant" and message.reply_to is not None:
            message = message.model_copy(update={"reply_to": recent.get(message.reply_to)})
        yield Taken(message, line.spot, line.files)


class _Media:
    """Where the media lie: beside the export, in a folder for all of them, or where they were moved to."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._by_name: dict[str, str] | None = None

    def find(self, file: str, url: str) -> str | None:
        """The file of the source that a path in an export means."""
        if re.match(r"https?://", url):
            return None
        return self._near(file, url) or self._anywhere(url)

    def _near(self, file: str, url: str) -> str | None:
        folder = file.rpartition("/")[0]
        for path in (url, unquote(url)):
            plain = path.replace("\\", "/").removeprefix("./")
            name = f"{folder}/{plain}" if folder else plain
            if name in self._source:
                return name
        return None

    def _anywhere(self, url: str) -> str | None:
        if self._by_name is None:
            self._by_name = {name.rpartition("/")[2]: name for name in reversed(self._source.names)}
        return self._by_name.get(unquote(url).replace("\\", "/").rpartition("/")[2])
