"""SillyTavern's chats, with one character or several, and its characters: a user's whole folder, or a part of it.

Each chat is a session. Of an answer that was made several times the wording that was chosen is the message; the others
are annotations of the kind `alternative`. A chat that was branched holds its own copy of what came before.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from functools import cached_property, partial
from pathlib import PurePosixPath
from typing import Any

from ..model import Message, Sender, Session, storable
from ..records import Memory
from . import Refused, Spot, Taken, Terms
from .reading import TIMELESS, attempted, chance, document, flat, lines, surely, told, when, words
from .silly_tavern_cards import entries, in_picture, is_card, persona, persona_id, resolved
from .silly_tavern_lines import SYSTEM, Line
from .source import Source
from .talks import Account, after, dated, mapping, opening_id, shown

PROGRAM = "silly_tavern"
_TITLE = "SillyTavern"
_LOOKED_AT = 50
_HANDLE = "default-user"
"""What the program calls the one user it has, where it is not told of more."""
_USER_FOLDERS = ("chats", "group chats", "groups", "characters", "worlds", "backups")
"""Those that the program makes in a user's folder; in the last are copies of chats."""
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_WORDED = re.compile(r"(\w{3})\w*\s+(\d{1,2}),\s*(\d{4})\s+(\d{1,2}):(\d{2})\s*([ap])m", re.IGNORECASE)
_MARKED = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})\s*@\s*(\d{1,2})h\s*(\d{1,2})m\s*(\d{1,2})s(?:\s*(\d{1,3})ms)?")


def recognise(source: Source) -> bool:
    """Whether one of the first files that may be a chat or a character is one."""
    names = [name for name in source.names if name.endswith((".jsonl", ".png", ".json"))]
    names.sort(key=lambda name: (not name.endswith(".jsonl"), not name.endswith(".png")))
    return any(_is_ours(source, name) for name in names[:_LOOKED_AT])


def read(source: Source, terms: Terms) -> Iterator[Taken | Refused]:
    """The characters, then the chats, then the books of lore."""
    groups: dict[str, Mapping[str, Any]] = {}
    books: list[str] = []
    users = _users(source)
    for name in source.names:
        user = users.get(_folder(name), "the user")
        if name.endswith(".png"):
            yield from surely(Spot(name), _character(name, in_picture(source, name), user))
        elif name.endswith(".json"):
            found = document(source, name)
            if is_card(found):
                yield from surely(Spot(name), _character(name, found, user))
            elif isinstance(mapping(found).get("members"), list):
                group = mapping(found)
                chats = group.get("chats") if isinstance(group.get("chats"), list) else [group.get("chat_id")]
                groups.update({told(chat): group for chat in chats or ()})
            elif "entries" in mapping(found):
                books.append(name)
            elif isinstance(found, Refused) and _part(name) in ("characters", "groups", "worlds"):
                yield found
    for name in source.names:
        if name.endswith(".jsonl") and _part(name) != "backups" and _is_ours(source, name):
            chat = _Chat(source, name, terms, groups.get(PurePosixPath(name).stem, {}), users)
            yield from surely(Spot(name), chat.taken())
    for name in books:
        yield from surely(Spot(name), _lore(name, mapping(document(source, name)), terms, users))


def timed(value: object, zone: tzinfo) -> datetime | None:
    """A time in any of the ways in which the program has written it over the years."""
    if isinstance(value, str):
        if found := _WORDED.search(value):
            month, day, year, hour, minute, half = found.groups()
            if month.lower() not in _MONTHS:
                return None
            hours = int(hour) % 12 + (12 if half.lower() == "p" else 0)
            value = f"{year}-{_MONTHS.index(month.lower()) + 1:02}-{int(day):02}T{hours:02}:{minute}"
        elif found := _MARKED.search(value):
            year, *rest = (int(each or 0) for each in found.groups())
            month_, day_, hour_, minute_, second, milliseconds = rest
            value = f"{year}-{month_:02}-{day_:02}T{hour_:02}:{minute_:02}:{second:02}.{milliseconds:03}"
    return when(value, zone)


def _is_ours(source: Source, name: str) -> bool:
    if name.endswith(".png"):
        return is_card(in_picture(source, name))
    if name.endswith(".json"):
        return is_card(document(source, name))
    for found in lines(source, name):
        record = mapping(None if isinstance(found, Refused) else found[1])
        if _is_header(record) or {"mes", "is_user"} <= set(record):
            return True
        if record:
            break
    return _part(name) in ("chats", "group chats")


def _folder(name: str) -> str:
    """The folder of the user whose file this is: the one that holds the program's own folders."""
    parts = name.split("/")
    found = next((at for at, part in enumerate(parts) if part in _USER_FOLDERS), 0)
    return "/".join(parts[:found])


def _part(name: str) -> str:
    """Which of the program's own folders a file is in; empty where it is in none."""
    return next((part for part in name.split("/") if part in _USER_FOLDERS), "")


def _account(name: str, users: Mapping[str, str]) -> Account:
    """Whose file this is."""
    folder = _folder(name)
    handle = folder.rpartition("/")[2] or _HANDLE
    return Account(PROGRAM, handle, users.get(folder) or handle)


def _users(source: Source) -> dict[str, str]:
    """What the users call themselves, by their folders."""
    found = {}
    for name in source.names:
        if name.rpartition("/")[2] == "settings.json":
            username = words(mapping(document(source, name)).get("username"))
            if username:
                found[name.rpartition("/")[0]] = username
    return found


def _character(name: str, card: object, user: str) -> Iterator[Taken | Refused]:
    if isinstance(card, Refused):
        yield card
    elif is_card(card):
        stem = PurePosixPath(name).stem
        data = mapping(mapping(card).get("data")) or mapping(card)
        known = stem if _part(name) == "characters" else words(data.get("name")) or stem
        picture = name if name.endswith(".png") else ""
        found = persona(mapping(card), persona_id(known), user, picture)
        yield Taken(found, Spot(name)) if found else Refused(Spot(name), "The character has no name.")
    elif PurePosixPath(name).parent.name == "characters":
        yield Refused(Spot(name), "There is no character in the picture.")


def _lore(name: str, book: Mapping[str, Any], terms: Terms, users: Mapping[str, str]) -> Iterator[Taken]:
    room = _account(name, users).room(_TITLE)
    title = storable(PurePosixPath(name).stem)
    for number, text in entries(book):
        yield Taken(
            Memory(
                id=f"{PROGRAM}-{chance(name, number):016x}",
                at=terms.at,
                type="semantic",
                audience=room.key,
                subject=f"lore:{title}",
                text=resolved(text, users.get(_folder(name), "the user"), "{{char}}"),
                metadata={"from": PROGRAM, "book": title, "legacy_id": number},
            ),
            Spot(name, item=f"entries[{number}]"),
        )


@dataclass(slots=True)
class _Heard:
    """What was met in a chat so far."""

    opened_at: datetime
    last_at: datetime
    before: datetime
    opened: datetime
    stood: datetime
    """The same as `opened_at` and `before`, with times that name no zone as UTC: ids are made from them."""
    asked: str | None = None
    people: dict[str, Sender] = field(default_factory=dict)
    same: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often somebody spoke at what the program takes for one time, which may be a minute."""


class _Chat:
    def __init__(
        self, source: Source, name: str, terms: Terms, group: Mapping[str, Any], users: Mapping[str, str]
    ) -> None:
        self._source, self._name, self._terms, self._group = source, name, terms, group
        self._path = PurePosixPath(name)
        self._users, self._account = users, _account(name, users)
        self._user = users.get(_folder(name), "")
        self._header: Mapping[str, Any] = {}

    def taken(self) -> Iterator[Taken | Refused]:
        """Its session, its messages, and the session again when all of them are known."""
        heard: _Heard | None = None
        for spot, record in self._records():
            if isinstance(record, Refused):
                yield record
                continue
            line = attempted(spot, partial(self._line, record, spot, heard))
            if isinstance(line, Refused):
                yield line
                continue
            found = self._message(line, record, spot, heard)
            if isinstance(found, Refused):
                yield found
                continue
            if heard is None:
                heard = _Heard(line.at, line.at, line.at, line.stands, line.stands)
                yield Taken(dated(self._session(heard, over=False), self._terms.at), spot)
            heard.same[_moment(line, record)] += 1
            heard.before, heard.stood = line.at, line.stands
            heard.people[line.sender.id] = line.sender
            if found.role == "user":
                heard.last_at, heard.asked = found.at, found.id
                self._user = self._user or line.sender.name
            yield Taken(dated(found, self._terms.at), spot, line.files)
        if heard is not None:
            yield Taken(dated(self._session(heard, over=True), self._terms.at), Spot(self._name))

    def _records(self) -> Iterator[tuple[Spot, Any]]:
        """The lines behind the header, if there is one."""
        first = True
        for found in lines(self._source, self._name):
            if isinstance(found, Refused):
                yield found.spot, found
            elif first and _is_header(found[1]):
                self._header = found[1]
                self._user = self._user or self._real("user_name")
            else:
                yield found
            first = False

    def _line(self, record: object, spot: Spot, heard: _Heard | None) -> Line | Refused:
        if not isinstance(record, Mapping) or not isinstance(record.get("mes"), str):
            return Refused(spot, "A line is an object with `name`, `is_user` and `mes`; this is none.")
        given = record.get("send_date")
        at = timed(given, self._terms.zone)
        if at is None and given not in (None, ""):
            return Refused(spot, f"Its send_date is no time: {shown(given)}.")
        at = after(at or (heard.before if heard else self._created[0]), heard.before if heard else None)
        stands = timed(given, UTC) or (heard.stood if heard else self._created[1])
        stands = after(stands, heard.stood if heard else None)
        return Line(self._name, record, at, stands, self._sender(record), self._user, self._find)

    def _message(self, line: Line, record: Mapping[str, Any], spot: Spot, heard: _Heard | None) -> Message | Refused:
        moment = _moment(line, record)
        key = (*moment, str(heard.same[moment] if heard else 0))
        session = self._session_id(heard.opened if heard else line.stands)
        return attempted(spot, lambda: line.message(key, session, heard.asked if heard else None))

    def _sender(self, record: Mapping[str, Any]) -> Sender:
        name = words(record.get("name")) or ""
        if record.get("is_user") is True:
            return Sender(type="user", id=self._account.id, name=name or self._account.name)
        if mapping(record.get("extra")).get("type") in SYSTEM or name == "SillyTavern System":
            return Sender(type="system", id=name or _TITLE, name=name or _TITLE)
        avatar = PurePosixPath(words(record.get("original_avatar")) or "").stem
        folder = self._path.parent.name if _part(self._name) == "chats" else ""
        known = avatar or ("" if self._group else folder) or name or self._real("character_name") or "character"
        return Sender(type="persona", id=persona_id(known), name=name or known)

    def _session(self, heard: _Heard, *, over: bool) -> Session:
        more = mapping(self._header.get("chat_metadata"))
        personas = [each.id for each in heard.people.values() if each.type == "persona"]
        group = words(self._group.get("name"))
        return Session(
            id=self._session_id(heard.opened),
            channel=self._account.room(_TITLE),
            title=f"{group}: {self._path.stem}" if group else self._path.stem,
            persona=personas[0] if len(personas) == 1 and not self._group else None,
            participants=tuple(heard.people.values()),
            opened_at=heard.opened_at,
            last_at=heard.last_at,
            closed_at=heard.before if over else None,
            parent_id=self._parent(words(more.get("main_chat"))),
            metadata={**flat(self._header, "chat_metadata"), **flat(more), "from": PROGRAM, "legacy_id": self._name},
        )

    def _session_id(self, opened: datetime) -> str:
        return opening_id(opened, PROGRAM, self._name)

    def _parent(self, main: str | None) -> str | None:
        """The session of the chat that this one was branched from, where that is at hand."""
        name = (self._path.parent / f"{main}.jsonl").as_posix()
        if not main or name == self._name or name not in self._source:
            return None
        return _Chat(self._source, name, self._terms, {}, self._users)._opening()

    def _opening(self) -> str | None:
        """Its session's id, without reading it all."""
        for spot, record in self._records():
            line = record if isinstance(record, Refused) else self._line(record, spot, None)
            if isinstance(line, Line):
                return self._session_id(line.stands)
        return None

    @cached_property
    def _created(self) -> tuple[datetime, datetime]:
        """When it began, as it says or its first line that has a time; and that with a time of no zone as UTC."""
        return self._began(self._terms.zone), self._began(UTC)

    def _began(self, zone: tzinfo) -> datetime:
        lines = (timed(mapping(record).get("send_date"), zone) for _, record in self._records())
        told_of = timed(self._header.get("create_date"), zone) or timed(self._path.stem, zone)
        return told_of or next(filter(None, lines), TIMELESS)

    def _real(self, key: str) -> str:
        name = words(self._header.get(key)) or ""
        return "" if name == "unused" else name

    def _find(self, url: str) -> str | None:
        """The file that a path of the program means: it counts from the user's folder."""
        folder = _folder(self._name)
        name = "/".join(filter(None, (folder, url.lstrip("/"))))
        return name if name in self._source else None


def _is_header(record: object) -> bool:
    keys = set(mapping(record))
    return "mes" not in keys and bool({"chat_metadata", "user_name", "character_name", "create_date"} & keys)


def _moment(line: Line, record: Mapping[str, Any]) -> tuple[str, str]:
    return told(record.get("send_date")), line.sender.id
