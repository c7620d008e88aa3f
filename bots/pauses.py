"""When somebody did not want to be learned about: spans of time in their own setting, and whom that keeps silent."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from storage.backend import Store
from storage.model import Channel, Message, Sender
from storage.records import Memory, Setting

from .terms import telling

_VALUE = "memory_paused"
"""In the setting of a person: pairs of when it began and when it ended; the last may have no end."""
_MOST = 50
_SESSIONS = 20
"""The latest of somebody, for what they are called."""
MENTION = re.compile(r"<@!?(\d+)>")


def pausing(setting: Setting | None, id: str, at: datetime, by: Sender) -> Setting:
    """The setting with a pause that begins now, unless one is under way."""
    spans = _spans(setting)
    if not spans or spans[-1][1] is not None:
        spans.append((at, None))
    return _with(setting, id, spans, at, by)


def resuming(setting: Setting | None, id: str, at: datetime, by: Sender) -> Setting:
    """The setting with the pause ended now."""
    spans = _spans(setting)
    if spans and spans[-1][1] is None:
        spans[-1] = (spans[-1][0], max(at, spans[-1][0]))
    return _with(setting, id, spans, at, by)


def paused(setting: Setting | None) -> bool:
    """Whether a pause is under way."""
    spans = _spans(setting)
    return bool(spans) and spans[-1][1] is None


def in_pause(setting: Setting | None, at: datetime, until: datetime | None = None) -> bool:
    """Whether a time, or some of the time `until` another, lies in a pause, its end included."""
    return any(begin <= (until or at) and (end is None or at <= end) for begin, end in _spans(setting))


async def unpaused(store: Store, lines: Iterable[Message]) -> list[Message]:
    """Those of some lines that nobody said in a pause of theirs. Raises `StorageError`."""
    settings: dict[str, Setting | None] = {}
    found = []
    for line in lines:
        id = line.sender.id
        if line.sender.type == "user" and id not in settings:
            settings[id] = await store.record(Setting, f"user:{id}")
        if not in_pause(settings.get(id), line.at):
            found.append(line)
    return found


async def silent(store: Store, talk: Sequence[Message], place: Channel, pausing: Collection[str]) -> Silent:
    """Who is not to be learned about in a talk: of those who speak or are pinged in it, and of those in a pause,
    `pausing`, whom people of the place may speak of. Raises `StorageError`."""
    called: dict[str, set[str]] = {}
    for line in talk:
        if line.sender.type == "user":
            called.setdefault(line.sender.id, set()).add(line.sender.name)
    mentioned = (id for line in talk for id in MENTION.findall(line.words))
    settings: dict[str, Setting] = {}
    names: set[str] = set()
    for id in {*called, *mentioned, *pausing}:
        setting = await store.record(Setting, f"user:{id}")
        if setting is None:
            continue
        settings[id] = setting
        if paused(setting):
            names |= called.get(id) or await _names(store, id, place)
    return Silent(settings, names)


async def _names(store: Store, id: str, place: Channel) -> set[str]:
    """What somebody is called in the guild of a place; what is said in private may be about anybody."""
    page = await store.sessions_with(id, limit=_SESSIONS)
    near = [each for each in page.items if place.guild_id in (None, each.channel.guild_id)]
    return {each.name for session in near for each in session.participants if each.id == id}


class Silent:
    """Who is not to be learned about: by setting of a user's id, and by the names of those who are in a pause now."""

    def __init__(self, settings: dict[str, Setting], names: set[str]) -> None:
        self._settings = settings
        first = {name.split()[0] for name in names if len(name.split()) > 1}
        # A name of words that are in any talk would keep everything from being learned.
        words = sorted(name for name in names | first if len(name.strip()) > 1 and telling(name))
        self._named = (
            re.compile("|".join(rf"(?<!\w){re.escape(each)}(?!\w)" for each in words), re.IGNORECASE) if words else None
        )

    def covers(self, line: Message) -> bool:
        """Whether it was said in a pause of its speaker, or its speaker is in one now; or it speaks of one who is."""
        own = self._settings.get(line.sender.id)
        if line.sender.type == "user" and (in_pause(own, line.at) or paused(own)):
            return True
        if any(paused(self._settings.get(id)) for id in MENTION.findall(line.words)):
            return True
        return self._named is not None and bool(self._named.search(line.words))

    def names(self, memory: Memory) -> bool:
        """Whether a memory speaks of somebody who is in a pause now."""
        if any(paused(self._settings.get(id)) for id in (*memory.people, memory.subject.removeprefix("user:"))):
            return True
        return self._named is not None and bool(self._named.search(memory.text))


def _with(
    setting: Setting | None, id: str, spans: list[tuple[datetime, datetime | None]], at: datetime, by: Sender
) -> Setting:
    if len(spans) > _MOST:  # many short pauses become one long one: what was not to be learned stays so
        spans = [(spans[0][0], spans[-_MOST][1]), *spans[-_MOST + 1 :]]
    written = [[begin.isoformat(), end and end.isoformat()] for begin, end in spans]
    values = {**(setting.values if setting else {}), _VALUE: written}
    return Setting(id=id, at=at, values=values, by=setting.by if setting else by)


def _spans(setting: Setting | None) -> list[tuple[datetime, datetime | None]]:
    """What cannot be read is as if it were one pause from the beginning on."""
    written = setting.values.get(_VALUE) if setting else None
    if not isinstance(written, list):
        return []
    spans: list[tuple[datetime, datetime | None]] = []
    for each in written:
        if isinstance(each, list) and len(each) == 2 and isinstance(each[0], str):
            end = each[1]
            spans.append(
                (datetime.fromisoformat(each[0]), datetime.fromisoformat(end) if isinstance(end, str) else None)
            )
    return spans
