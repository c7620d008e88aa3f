"""What programs have in common in which one person talks with a model: a room for them, files, times.

ChatGPT, Claude and SillyTavern know no channels. All talk of one account is in one room here, private to its person.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite
from pathlib import PurePosixPath
from typing import Any, Literal, TypeVar

from pydantic import JsonValue

from ..model import Attachment, Channel, Message, Sender, Session, session_id, storable
from . import Refused, Spot
from .reading import TIMELESS, Places, chance, document, items
from .source import Source

_TALKS = re.compile(r"(^|/)conversations(-\d+)?\.json$")
_SHORT = 60
_A_DAY = timedelta(days=1)
_TYPES = mimetypes.MimeTypes()
_TYPES.add_type("image/webp", ".webp")
_BIGGEST = 2**56
Timed = TypeVar("Timed", Message, Session)
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


def opening_id(at: datetime, *key: object) -> str:
    """The id of a session that was opened then, with so long a tail that no two of an export share one."""
    luck = chance(*key)
    return session_id(at, luck) + session_id(at, luck >> 20)[-4:]


def after(at: datetime, before: datetime | None) -> datetime:
    """A line's time, so that it stands behind the one before it: ids, and so the order of lines, go by milliseconds."""
    return at if before is None else max(at, before + timedelta(milliseconds=1))


def dated(item: Timed, now: datetime) -> Timed:
    """A message or session of a talk in which nothing has a time, as of `now`; its id was made without."""

    def at(time: datetime) -> datetime:
        return now + (time - TIMELESS)

    if isinstance(item, Session):
        if item.opened_at - TIMELESS >= _A_DAY:
            return item
        closed = at(item.closed_at) if item.closed_at else None
        times = {"opened_at": at(item.opened_at), "last_at": at(item.last_at), "closed_at": closed}
        return item.model_copy(update=times)
    if item.at - TIMELESS >= _A_DAY:
        return item
    notes = tuple(note.model_copy(update={"at": at(note.at)}) for note in item.annotations)
    return item.model_copy(update={"at": at(item.at), "annotations": notes})


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
    if isinstance(value, bool | int) or value is None or (isinstance(value, float) and isfinite(value)):
        return value
    return storable(str(value))


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
