"""The files of the multi-bot JSON format: whose they are, and the conversations in them however they are nested."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

from . import Refused, Spot
from .reading import Places, entries, is_snowflake, items, outline
from .source import Source

FOLDER = "multi_bot_conversations"
_SHARED = {FOLDER, "data", "conversations"}
"""Folders that are named after no bot."""
_NAME = re.compile(r"(?:channel_)?([0-9]+)_(?:user_)?([0-9]+)")
_TOGETHER = "shared_conversations"
_ENDS = (".json", ".tmp")
"""A `.tmp` is what the program was writing when it ended; it may know more than the file that it was to replace."""

Home = Literal["own", "shared", "named", "other"]
"""Whose a file is by its folder: the bot's; any bot's, as its answers say; the bot's that somebody has named with it,
unless its answers say otherwise; another bot's."""
Lines = Callable[[], Iterator[tuple[Spot, Any] | Refused]]


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was said in one channel, as a rule with one person."""

    file: str
    home: Home
    channel_id: str
    user_id: str
    """Both empty where only the messages tell."""
    lines: Lines
    """Reads the messages, each time from the beginning."""
    place: Callable[[Spot], Spot]
    """A spot of theirs, with its line where that can be had."""
    told: Mapping[str, Any] = field(default_factory=dict)
    """What else is said of the conversation as a whole."""


def candidates(source: Source, bot: str | None, channel_id: str | None = None) -> Iterator[tuple[str, Home]]:
    """The files that may be the bot's, or any bot's, by their names; of one channel alone, as far as names tell."""
    for name in source.names:
        path = PurePosixPath(name)
        named = _NAME.fullmatch(path.stem)
        alone = len(source.names) == 1 and not source.path.is_dir()
        if path.suffix not in _ENDS or not (named or path.stem == _TOGETHER or FOLDER in path.parts or alone):
            continue
        if named and channel_id is not None and named[1] != channel_id:
            continue
        home = _home(source, path, bot) if bot is not None else "named"
        if home != "other":
            yield name, home


def channel_of(name: str) -> str | None:
    """The channel that a file's name tells."""
    named = _NAME.fullmatch(PurePosixPath(name).stem)
    return named[1] if named else None


def conversations(source: Source, name: str, home: Home, bot: str) -> Iterator[Conversation | Refused]:
    """Everything in a file: a conversation, a bare list of messages, or many of either in an object or a list."""
    named = _NAME.fullmatch(PurePosixPath(name).stem)
    channel, user = (named[1], named[2]) if named else ("", "")
    shape = outline(source, name)
    if isinstance(shape, dict) and isinstance(shape.get("messages"), list):
        yield _whole(source, name, home, "messages.item", _id(shape, "channel_id") or channel, user, shape)
    elif isinstance(shape, list) and (first := _first(source, name)) is not None and "role" in first:
        yield _whole(source, name, home, "item", channel, user, {})
    elif isinstance(shape, list):
        for number, found in enumerate(items(source, name)):
            if isinstance(found, Refused):
                yield found
            else:
                yield from _within(found[1], (f"[{number}]",), name, home, bot)
    elif isinstance(shape, dict):
        for member in entries(source, name):
            if isinstance(member, Refused):
                yield member
            else:
                yield from _within(member[2], (member[1],), name, home, bot)
    else:
        yield Refused(Spot(name, 1), "It is neither a conversation nor a list of messages, or torn at its beginning.")


def _home(source: Source, path: PurePosixPath, bot: str) -> Home:
    inside = path.parent.name
    top = source.path.resolve()
    outside = top.name if top.is_dir() else top.parent.name if source.names == [top.name] else top.stem
    folder = inside or outside
    if folder.casefold() == bot.casefold():
        return "own"
    if folder in _SHARED:
        return "shared"
    return "other" if inside else "named"


def _whole(
    source: Source, name: str, home: Home, path: str, channel: str, user: str, told: Mapping[str, Any]
) -> Conversation:
    places = Places(source, name, path)
    user = _id(told, "user_id") or user
    return Conversation(name, home, channel, user, lambda: items(source, name, path), places.found, told)


def _first(source: Source, name: str) -> Mapping[str, Any] | None:
    for found in items(source, name):
        if not isinstance(found, Refused) and isinstance(found[1], dict):
            return found[1]
    return None


def _within(value: Any, keys: tuple[str, ...], name: str, home: Home, bot: str) -> Iterator[Conversation]:
    """The conversations in a part of a file; the keys above them tell the channel, the person or the bot."""
    if isinstance(value, dict) and isinstance(value.get("messages"), list):
        told = {key: each for key, each in value.items() if key != "messages"}
        yield _part(value["messages"], keys, name, home, bot, told)
    elif isinstance(value, list) and any(isinstance(each, dict) and "role" in each for each in value):
        yield _part(value, keys, name, home, bot, {})
    elif isinstance(value, dict | list):
        members = value.items() if isinstance(value, dict) else ((f"[{n}]", each) for n, each in enumerate(value))
        for key, each in members:
            yield from _within(each, (*keys, key), name, home, bot)


def _part(
    found: list[Any], keys: tuple[str, ...], name: str, home: Home, bot: str, told: Mapping[str, Any]
) -> Conversation:
    own = any(key.casefold() == bot.casefold() for key in keys)
    named = next((match for key in keys if (match := _NAME.fullmatch(key))), None)
    bare = [key for key in keys if is_snowflake(key)]
    channel, user = (named[1], named[2]) if named else (*bare, "", "")[:2]
    where = ".".join(keys).replace(".[", "[")

    def lines() -> Iterator[tuple[Spot, Any]]:
        for number, each in enumerate(found):
            yield Spot(name, item=f"{where}[{number}]"), each

    ids = _id(told, "channel_id") or channel, _id(told, "user_id") or user
    return Conversation(name, "own" if own else home, *ids, lines, lambda spot: spot, told)


def _id(told: Mapping[str, Any], key: str) -> str:
    """An id, which some write as a number."""
    value = told.get(key)
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
