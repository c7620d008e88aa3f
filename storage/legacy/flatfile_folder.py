"""One session's folder of the flat-file programs: what was said in it, its files, and what it was about."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from functools import partial
from itertools import count
from typing import Any, get_args

from ..model import Annotation, Channel, Message, Sender, Session, SessionContext, SessionType, session_id, storable
from ..records import Memory
from . import Refused, Spot, Taken, Terms
from .cutting import PARTICIPANTS
from .flatfile_lines import Beside, Cast, Lines, members, provenance
from .once import Once
from .reading import TIMELESS, attempted, chance, document, flat, known_id, lines, told, when, words
from .sorting import Sorted
from .source import Source

_OWN = (
    *("session_id", "id", "user_id", "title", "session_name", "name", "created_at", "session_type", "type", "tags"),
    *("message_count", "metadata"),
)
_NAMED_TIME = re.compile(r"(?<!\d)(\d{8})(?:_(\d{6})(?:_(\d{6}))?)?(?!\d)")
_SYSTEM = Sender(type="system", id="system", name="system")


@dataclass(frozen=True, slots=True)
class Folder:
    """What is known of a session before its messages are read."""

    program: str
    path: str
    """Of the folder, within the source."""
    name: str
    """What the source calls the session."""
    channel: Channel
    owner: str
    """Who has it: with `name` it tells the session from all others."""
    cast: Cast
    type: SessionType
    meta: Mapping[str, Any]
    spot: Spot
    """Of `meta`, or of the folder's first file."""
    talk: tuple[str, ...]
    """The files of messages; a message that stands in two of them is one."""
    beside: Beside
    context: SessionContext = field(default_factory=SessionContext)
    metadata: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str | None, list[Annotation]] = field(default_factory=dict)
    """By what the source calls the message they are noted on; None, or one that is not there, is the last."""
    ids: set[str] = field(default_factory=set)
    """Of the sessions that were read before, so that no two share one."""

    def read(self, source: Source, terms: Terms) -> Generator[Taken | Refused, None, Session]:
        """The session, its messages in the order of time, and again the session, which is what it returns."""
        began, stood = (_began(self.meta, self.name, zone) for zone in (terms.zone, UTC))
        key = f"{self.owner}/{self.name}"
        reader = Lines(self.program, key, self.cast, self.beside, terms.zone, terms.at, began, stood)
        once = Once()
        with Sorted(terms.scratch) as order:
            for name in self.talk:
                for found in lines(source, name):
                    if isinstance(found, Refused):
                        yield found
                        continue
                    spot, value = found
                    line = attempted(spot, partial(reader.read, value, spot))
                    if isinstance(line, Refused):
                        yield line
                    else:
                        message = line.message
                        if line.answers:
                            message = message.model_copy(update={"reply_to": line.answers})
                        order.add("", message, spot, line.files)
            for message, spot, files in self._papers(terms, began, stood):
                order.add("", message, spot, files)
            stood = stood or reader.first
            session = yield from self._told(once, order.of(""), began, stood or TIMELESS, reader.wanted, terms)
        yield from once.copied()
        return session

    def _told(
        self, once: Once, said: Iterator[Taken], began: datetime | None, stood: datetime, wanted: set[str], terms: Terms
    ) -> Generator[Taken | Refused, None, Session]:
        growing: _Growing | None = None
        held: Taken | None = None
        notes = {None: list(self.notes.get(None, ()))} | {key: list(value) for key, value in self.notes.items() if key}
        ids: dict[str, str] = {}
        there: set[str] = set()
        for taken in once.lines(said):
            yield from once.refused()
            message = taken.item
            assert isinstance(message, Message)
            if growing is None:
                growing = _Growing(self, stood, min(began or message.at, message.at))
                yield Taken(growing.session(), self.spot)
            message = message.model_copy(update={"session_id": growing.id} | growing.heard(message, ids, wanted))
            legacy = message.metadata.get("legacy_id")
            if legacy and legacy in notes:
                there.add(legacy)
                message = message.model_copy(update={"annotations": tuple(notes.pop(legacy))})
            if held is not None:
                yield held
            held = Taken(message, taken.spot, taken.files)
        yield from once.refused()
        if held is not None:
            assert isinstance(held.item, Message)
            left = tuple(note for each in notes.values() for note in each)
            whole = held.item.model_copy(update={"annotations": held.item.annotations + left})
            yield Taken(whole, held.spot, held.files)
        if growing is None:
            growing = _Growing(self, stood, began or terms.at)
        session = growing.session()
        yield Taken(session, self.spot)
        return session

    def _papers(
        self, terms: Terms, began: datetime | None, stood: datetime | None
    ) -> Iterator[tuple[Message, Spot, dict[str, str]]]:
        """A message for each file of the folder that none of its messages names."""
        for name in list(self.beside.unnamed()):
            entry, paper = self.beside.entries.get(name, {}), self.beside.attachment(name)
            found = when(entry.get("uploaded_at"), terms.zone) or began
            stands = when(entry.get("uploaded_at"), UTC) or stood or TIMELESS
            rest = flat(entry, "filename", "original_name", "path", "metadata")
            message = Message(
                id=known_id(stands, self.program, self.owner, self.name, "file", name),
                session_id="",
                role="system",
                sender=_SYSTEM,
                parts=(paper.attachment,),
                at=found or terms.at,
                metadata=provenance(self.program, None, rest, flat(entry.get("metadata"))),
            )
            files = {paper.attachment.url: paper.file} if paper.file else {}
            yield message, Spot(self.spot.file, item=storable(name)), files


class _Growing:
    """A session of which more and more is known."""

    def __init__(self, folder: Folder, stood: datetime, opened_at: datetime) -> None:
        """`stood` is when it began, with times that name no zone as UTC; `TIMELESS` where nothing tells."""
        tries = (chance(folder.program, folder.owner, folder.name, *([n] if n else [])) for n in count())
        self.id = next(id for number in tries if (id := session_id(stood, number)) not in folder.ids)
        folder.ids.add(self.id)
        self._folder = folder
        self._opened_at = self._last_at = self._ended_at = opened_at
        self._who: dict[tuple[str, str], Sender] = {}

    def heard(self, message: Message, ids: dict[str, str], wanted: set[str]) -> dict[str, Any]:
        """Takes note of a message; returns which one it answers, by our id."""
        self._ended_at = max(self._ended_at, message.at)
        if message.role == "user":
            self._last_at = max(self._last_at, message.at)
        if message.sender.type != "system":
            self._who.setdefault((message.sender.type, message.sender.id), message.sender)
        legacy = message.metadata.get("legacy_id")
        if legacy in wanted:
            ids.setdefault(str(legacy), message.id)
        return {"reply_to": ids.get(message.reply_to) if message.reply_to else None}

    def session(self) -> Session:
        folder, meta = self._folder, self._folder.meta
        more = members(meta.get("metadata"))
        tags = meta.get("tags")
        named = [folder.cast.voices[name] for name in named_by(meta) if name in folder.cast.voices]
        who = {(each.type, each.id): each for each in (folder.cast.person, *named)} | self._who
        voices = [each for each in who.values() if each.type == "persona"]
        return Session(
            id=self.id,
            channel=folder.channel,
            type=folder.type,
            title=words(meta.get("title")) or words(meta.get("session_name")) or words(meta.get("name")) or "",
            persona=voices[0].id if folder.type == "chat" and len(voices) == 1 else None,
            participants=tuple(who.values())[:PARTICIPANTS],
            context=folder.context,
            opened_at=self._opened_at,
            last_at=self._last_at,
            closed_at=self._ended_at,
            tags=tuple(told(tag) for tag in tags) if isinstance(tags, list) else (),
            metadata=provenance(
                folder.program,
                words(meta.get("session_id")) or words(meta.get("id")) or folder.name,
                flat(meta, *_OWN),
                flat(more),
                folder.metadata,
            ),
        )


def session_type(meta: Mapping[str, Any], name: str) -> SessionType:
    """What kind of session it is, as its file or its folder's name says."""
    more = members(meta.get("metadata"))
    kinds: tuple[SessionType, ...] = get_args(SessionType)
    said = meta.get("session_type"), more.get("session_type"), "panel" if name.startswith("panel") else "chat"
    return next((kind for found in said for kind in kinds if kind == found), "chat")


def named_by(meta: Mapping[str, Any]) -> list[str]:
    """The personas that a session's or panel's file names."""
    more = members(meta.get("metadata"))
    found: dict[str, None] = {}
    for given in (meta.get("personas"), meta.get("participants"), more.get("personas"), more.get("participants")):
        for each in given if isinstance(given, list) else []:
            name = each.get("id") or each.get("persona_id") if isinstance(each, Mapping) else each
            if isinstance(name, str) and name:
                found[name] = None
    return list(found)


def about(value: Any) -> tuple[SessionContext, dict[str, str]]:
    """What a session was about, and what the model has no field for."""
    if not isinstance(value, Mapping):
        return SessionContext(summary=told(value) if value else ""), {}
    entities = value.get("entities")
    known = _listed(value, "shared_knowledge", "key_points")
    if isinstance(entities, Mapping):
        known += [f"{told(key)}: {', '.join(_all(each))}" for key, each in entities.items() if each]
    summaries = [text for key in ("summary", "text", "recap", "conversation_flow") if (text := words(value.get(key)))]
    context = SessionContext(
        summary="\n".join(summaries),
        goals=tuple(_listed(value, "goals", "active_goals")),
        constraints=tuple(_listed(value, "constraints")),
        shared_knowledge=tuple(known),
        active_tools=tuple(_listed(value, "active_tools")),
    )
    leave = ("summary", "text", "recap", "conversation_flow", "goals", "active_goals", "constraints", "active_tools")
    rest = flat(
        value, *leave, "shared_knowledge", "key_points", *(["entities"] if isinstance(entities, Mapping) else [])
    )
    return context, rest


def remembered(
    source: Source, names: Iterable[str], session: Session, subject: str, terms: Terms, program: str
) -> Iterator[Taken | Refused]:
    """What a session was about at earlier times: each file of its history, or each entry of one, as a memory."""
    for name in names:
        for spot, value in _entries(source, name):
            if isinstance(value, Refused):
                yield value
                continue
            context, rest = about(value)
            written = value.get("timestamp") if isinstance(value, Mapping) else None
            parts = [context.summary, *context.goals, *context.shared_knowledge]
            text = "\n".join(part for part in parts if part) or told(value)
            yield Taken(
                Memory(
                    id=known_id(
                        when(written, UTC) or TIMELESS, program, session.id, "context", name, spot.item or spot.line
                    ),
                    at=when(written, terms.zone) or session.opened_at,
                    type="episodic",
                    audience=session.channel.key,
                    subject=subject,
                    text=text,
                    source=session.id,
                    metadata=provenance(program, None, rest),
                ),
                spot,
            )


def _entries(source: Source, name: str) -> Iterator[tuple[Spot, Any]]:
    if name.endswith(".jsonl"):
        for found in lines(source, name):
            yield (found.spot, found) if isinstance(found, Refused) else found
        return
    value = document(source, name)
    if isinstance(value, Mapping):
        inside = next(
            (value[key] for key in ("history", "contexts", "entries") if isinstance(value.get(key), list)), None
        )
        value = value if inside is None else inside
    if not isinstance(value, list):
        yield Spot(name), value
        return
    for number, each in enumerate(value):
        yield Spot(name, item=f"[{number}]"), each


def _began(meta: Mapping[str, Any], name: str, zone: tzinfo) -> datetime | None:
    for key in ("created_at", "created", "started_at", "start_time", "timestamp"):
        if found := when(meta.get(key), zone):
            return found
    if stamp := _NAMED_TIME.search(name):
        day, clock, fraction = stamp.groups()
        return when(f"{day}T{clock or '000000'}.{fraction or '0'}", zone)
    return None


def _listed(value: Mapping[str, Any], *keys: str) -> list[str]:
    return [each for key in keys for each in _all(value.get(key))]


def _all(value: object) -> list[str]:
    if isinstance(value, Mapping):
        return [f"{told(key)}: {told(each)}" for key, each in value.items()]
    given = value if isinstance(value, list) else [value]
    return [told(each) for each in given if each not in (None, "", [], {})]
