"""What programs have in common in which one person talks with a model: a room for them, forks, files, times.

ChatGPT, Claude and SillyTavern know no channels. All talk of one account is in one room here, private to its person.
"""

from __future__ import annotations

import mimetypes
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import JsonValue

from ..model import Attachment, Channel, Message, Sender, Session, session_id, storable
from . import Refused, Spot, Taken
from .reading import Places, chance, document, items
from .source import Source

_TALKS = re.compile(r"(^|/)conversations(-\d+)?\.json$")
_SHORT = 60
_TYPES = mimetypes.MimeTypes()
_TYPES.add_type("image/webp", ".webp")
_BIGGEST = 2**56
_KINDS: dict[str, Literal["image", "audio", "video"]] = {"image": "image", "audio": "audio", "video": "video"}


@dataclass(frozen=True, slots=True)
class Account:
    """Whose talk an export holds."""

    program: str
    """The reader's name."""
    id: str
    name: str

    def room(self, title: str) -> Channel:
        """The channel in which all of it is; `title` is the program's name as people know it."""
        name = f"{title} of {self.name}"
        return Channel(front="web", kind="web", id=f"{self.program}-{self.id}", name=name, parent_id=self.id)

    @property
    def person(self) -> Sender:
        return Sender(type="user", id=self.id, name=self.name)


@dataclass(frozen=True, slots=True)
class Limb:
    """Lines of a talk that follow each other."""

    lines: tuple[str, ...]
    fork: str | None
    """The line after which it leaves another limb; None where it begins anew."""


def limbs(parents: Mapping[str, str | None], last: str | None) -> Iterator[Limb]:
    """A tree of lines as one talk and its branches: first the way to the line `last` (where there is none of that name,
    always the latest of several answers), then every way that leaves one already given. Lines that hang in a circle are
    in none. `parents` has the lines in the order in which they were said."""
    children: dict[str | None, list[str]] = defaultdict(list)
    for line, parent in parents.items():
        children[parent if parent in parents else None].append(line)
    way: list[str] = []
    seen: set[str | None] = set()
    while last in parents and last not in seen:
        seen.add(last)
        way.append(str(last))
        last = parents[str(last)]
    if last in seen:
        way = []
    open_ends: list[tuple[str | None, str]] = []
    begun = _followed(children, way[0])[1:] if way else []
    if children[None]:
        first = [*reversed(way), *begun] or _followed(children, children[None][-1])
        open_ends = [(None, root) for root in reversed(children[None]) if root != first[0]]
        yield from _limb(children, None, first, open_ends)
    while open_ends:
        fork, line = open_ends.pop()
        yield from _limb(children, fork, _followed(children, line), open_ends)


def _limb(
    children: Mapping[str | None, list[str]], fork: str | None, way: list[str], open_ends: list[tuple[str | None, str]]
) -> Iterator[Limb]:
    yield Limb(tuple(way), fork)
    on_it = set(way)
    for line in reversed(way):
        open_ends += [(line, child) for child in reversed(children.get(line, [])) if child not in on_it]


def _followed(children: Mapping[str | None, list[str]], line: str) -> list[str]:
    way = [line]
    while following := children.get(way[-1]):
        way.append(following[-1])
    return way


def whole(room: Channel, lines: list[Taken], program: str, key: str, **more: Any) -> Session:
    """The session of these messages, closed, of which `key` tells it from others; `more` are further fields."""
    said = [line.item for line in lines if isinstance(line.item, Message)]
    people = {each.sender.id: each.sender for each in said if each.role == "user"}
    spoke = [each.at for each in said if each.role == "user"]
    return Session(
        id=opening_id(said[0].at, program, key),
        channel=room,
        participants=tuple(people.values()),
        opened_at=said[0].at,
        last_at=spoke[-1] if spoke else said[0].at,
        closed_at=said[-1].at,
        **more,
    )


def opening_id(at: datetime, *key: object) -> str:
    """The id of a session that was opened then, with so long a tail that no two of an export share one."""
    luck = chance(*key)
    return session_id(at, luck) + session_id(at, luck >> 20)[-4:]


def after(at: datetime, before: datetime | None) -> datetime:
    """A line's time, so that it stands behind the one before it: ids, and so the order of lines, go by milliseconds."""
    return at if before is None else max(at, before + timedelta(milliseconds=1))


def talk_files(source: Source) -> list[str]:
    """The files that hold talk: `conversations.json`, `conversations-000.json`, or the only file there is."""
    return [name for name in source.names if _TALKS.search(name)] or source.names[:1] * (len(source.names) == 1)


def first_talk(source: Source) -> Mapping[str, Any]:
    """A look at the first conversation of an export; empty where there is none."""
    for name in talk_files(source):
        for found in items(source, name):
            if not isinstance(found, Refused) and isinstance(found[1], Mapping):
                return found[1]
            break
    return {}


def placed(refused: Refused, spot: Spot, starts: Places) -> Refused:
    """What was refused within a conversation, with the line on which that begins."""
    return Refused(Spot(spot.file, starts.found(spot).line, refused.spot.item), refused.reason)


def beside(source: Source, name: str) -> Iterator[tuple[Spot, Any] | Refused]:
    """The documents of this name, in whatever folders: an export may be wrapped in one, or be several."""
    for each in source.names:
        if PurePosixPath(each).name == name:
            found = document(source, each)
            yield found if isinstance(found, Refused) else (Spot(each), found)


def file_part(
    name: object, url: str, *, size: object = 0, media_type: object = None, description: object = ""
) -> Attachment:
    """A file beside a line, with what is known of it."""
    shown = storable(name if isinstance(name, str) and name else PurePosixPath(url).name or "file")
    media = media_type if isinstance(media_type, str) and "/" in media_type else _TYPES.guess_type(shown)[0]
    return Attachment(
        type=_KINDS.get((media or "").partition("/")[0], "file"),
        name=shown,
        url=storable(url),
        media_type=storable(media) if media else None,
        size=int(size) if isinstance(size, int | float) and 0 <= size <= _BIGGEST else 0,
        description=storable(description) if isinstance(description, str) else "",
    )


def plain(value: object) -> JsonValue:
    """Any JSON value as it can be kept: its texts without what no store holds."""
    if isinstance(value, Mapping):
        return {storable(str(key)): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, str):
        return storable(value)
    return value if isinstance(value, bool | int | float) or value is None else storable(str(value))


def shown(value: object) -> str:
    """What a source has at a place, short and printable, for a sentence about it."""
    text = "".join(c if c.isprintable() else "?" for c in str(value))
    return repr(text if len(text) <= _SHORT else text[: _SHORT - 3] + "...")


def mappings(value: object) -> Iterable[Mapping[str, Any]]:
    """The objects in a JSON array; nothing where it is none."""
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def mapping(value: object) -> Mapping[str, Any]:
    """A JSON object; empty where it is none."""
    return value if isinstance(value, Mapping) else {}
