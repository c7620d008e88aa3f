"""A line of `messages.jsonl` as the flat-file programs write it, and the files that it names."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any, Literal

from ..model import Attachment, Message, Role, Sender, Text, storable
from . import Refused, Spot
from .reading import TIMELESS, flat, known_id, told, when, words
from .source import Source

_SYSTEM = Sender(type="system", id="system", name="system")
_TOOL = Sender(type="system", id="tool", name="tool")
_ROLES = ("user", "assistant", "system", "tool")
_OWN = ("role", "content", "message_id", "id", "timestamp", "attachments", "metadata")


@dataclass(frozen=True, slots=True)
class Cast:
    """Who speaks in a session."""

    person: Sender
    voices: Mapping[str, Sender]
    """By what the source calls them."""
    alone: Sender
    """Who answers where a line does not say."""


@dataclass(frozen=True, slots=True)
class Line:
    """A message whose session is not known yet."""

    message: Message
    files: Mapping[str, str]
    answers: str | None = None
    """What the source calls the message that it answers."""


@dataclass(frozen=True, slots=True)
class Paper:
    """A file that somebody named."""

    attachment: Attachment
    file: str | None
    """The file of the source that has its bytes, or would have them; None for what lies elsewhere."""
    name: str
    """Its bare name in the folder."""


class Beside:
    """The files in a session's folder, found by their bare names only: a name that people wrote leads nowhere else."""

    def __init__(
        self, source: Source, folder: str, files: Iterable[str], entries: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """`entries` say more of the files, by the names that they have in the folder."""
        self._source, self._folder = source, folder
        self._by_name: dict[str, str] = {}
        for file in files:
            self._by_name[bare(file) if bare(file) not in self._by_name else file] = file
        longer = {name.rpartition(".")[0]: name for name in self._by_name}
        for name in entries:  # a later version stores a document under its id and one more ending
            if name not in self._by_name and name in longer:
                self._by_name[name] = self._by_name.pop(longer[name])
        self.entries = entries
        self.named: set[str] = set()
        """The bare names that a message has named."""
        self._by_first_name = {
            first: key for key, entry in entries.items() if (first := words(entry.get("original_name")))
        }

    def attachment(self, reference: str) -> Paper:
        """What a reference means."""
        name = reference if reference in self._by_name else bare(reference)
        name = name if name in self._by_name else self._by_first_name.get(name, name)
        file, entry = self._by_name.get(name), self.entries.get(name, {})
        self.named.add(name)
        kind = words(entry.get("mime_type")) or mimetypes.guess_type(name)[0]
        size = entry.get("size")
        attachment = Attachment(
            type=_type_of(kind or ""),
            name=words(entry.get("original_name")) or storable(bare(name)) or "file",
            url=storable(file or reference),
            media_type=kind,
            size=self._source.size(file) if file else size if type(size) is int and 0 <= size < 2**56 else 0,
        )
        if file is None and not reference.startswith(("http:", "https:", "data:")):
            missing = f"{self._folder}/{name}"
            file = missing if missing not in self._source else None
        return Paper(attachment, file, name)

    def has(self, reference: str) -> bool:
        """Whether such a file lies in the folder."""
        return bare(reference) in self._by_name

    def unnamed(self) -> Iterator[str]:
        """The bare names that no message has named, of files and of what is told of files that are gone."""
        return (name for name in sorted({*self._by_name, *self.entries}) if name not in self.named)


@dataclass(slots=True)
class Lines:
    """Makes messages of the lines of one session."""

    program: str
    session: str
    """Tells the session from all others."""
    cast: Cast
    beside: Beside
    zone: tzinfo
    at: datetime
    """The time of lines that come before any time is known."""
    before: datetime | None = None
    """The time of the latest line that had one; of the session itself at first."""
    stood: datetime | None = None
    """The same, with times that name no zone as UTC: ids are made from it."""
    first: datetime | None = None
    """The earliest of those."""
    wanted: set[str] = field(default_factory=set)
    """What other lines call those that they answer."""

    def read(self, value: Any, spot: Spot) -> Line | Refused:
        """The message of a line."""
        if not isinstance(value, Mapping):
            return Refused(spot, "A message is an object with `role` and `content`; this is none.")
        more = members(value.get("metadata"))
        who = self._speaker(value, more)
        if who is None:
            shown = told(value.get("role"))[:40]
            return Refused(spot, f"Nobody here is called {shown!r}: a role is {', '.join(_ROLES)} or a known persona.")
        role, sender = who
        content = value.get("content")
        text = "" if content in (None, "", [], {}) else told(content)
        papers = self._papers(value, more)
        if not text and not papers:
            return Refused(spot, "It has neither `content` nor `attachments`.")
        legacy = words(value.get("message_id")) or words(value.get("id"))
        found = when(value.get("timestamp"), self.zone)
        self.before = found or self.before
        if stands := when(value.get("timestamp"), UTC):
            self.stood, self.first = stands, min(stands, self.first or stands)
        own = {} if found or not value.get("timestamp") else {"legacy_timestamp": told(value["timestamp"])}
        answers = words(value.get("response_to"))
        rest = [*_OWN] if more or not value.get("metadata") else [name for name in _OWN if name != "metadata"]
        message = Message(
            id=known_id(self.stood or TIMELESS, self.program, self.session, legacy or f"line {spot.line}", role, text),
            session_id="",
            role=role,
            sender=sender,
            persona=sender.id if sender.type == "persona" else None,
            parts=(*((Text(text=text),) if text else ()), *(paper.attachment for paper in papers)),
            at=self.before or self.at,
            metadata=provenance(self.program, legacy, own, flat(value, *rest), flat(more), self._told_of(papers)),
        )
        if answers:
            self.wanted.add(answers)
        return Line(message, {paper.attachment.url: paper.file for paper in papers if paper.file}, answers)

    def _speaker(self, value: Mapping[str, Any], more: Mapping[str, Any]) -> tuple[Role, Sender] | None:
        role = value.get("role")
        voices = self.cast.voices
        if role == "user":
            return "user", self.cast.person
        if role == "assistant":
            name = next(
                (n for n in (more.get("persona"), value.get("persona_id"), more.get("persona_id")) if _is_name(n)), None
            )
            return "assistant", self.cast.alone if name is None else voices.get(name) or voice(name)
        if role in ("system", "tool"):
            return role, _SYSTEM if role == "system" else _TOOL
        return ("assistant", voices[role]) if isinstance(role, str) and role in voices else None

    def _papers(self, value: Mapping[str, Any], more: Mapping[str, Any]) -> list[Paper]:
        """The files that a line names, where files are named or anywhere in its metadata."""
        given = value.get("attachments")
        references = [_reference(each) for each in (given if isinstance(given, list) else [given] if given else [])]
        references += [text for text in _texts(more) if self.beside.has(text)]
        papers = (self.beside.attachment(reference) for reference in references)
        return list({paper.attachment.url: paper for paper in papers}.values())

    def _told_of(self, papers: Iterable[Paper]) -> dict[str, str]:
        """What the source says of the files, under their names."""
        entries = self.beside.entries
        return {f"document {paper.name}": told(entries[paper.name]) for paper in papers if paper.name in entries}


def members(value: object) -> Mapping[str, Any]:
    """The members of an object of JSON; none of anything else."""
    return value if isinstance(value, Mapping) else {}


def voice(name: str, shown: str = "") -> Sender:
    """A persona of which only the name is known."""
    return Sender(type="persona", id=storable(name), name=storable(shown or name))


def provenance(program: str, legacy: str | None, *foreign: Mapping[str, str]) -> dict[str, str]:
    """Where something comes from, and what the source says besides; of two values of one name neither is lost."""
    kept = {"from": program} | ({"legacy_id": legacy} if legacy else {})
    for values in foreign:
        for key, value in values.items():
            while kept.get(key, value) != value:
                key = f"legacy.{key}"
            kept[key] = value
    return kept


def bare(name: str) -> str:
    """The last part of a path, of any system."""
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2]


def _type_of(media_type: str) -> Literal["image", "audio", "video", "file"]:
    match media_type.partition("/")[0]:
        case "image" | "audio" | "video" as known:
            return known
    return "file"


def _reference(value: object) -> str:
    """What an attachment is called: a name or path, or an object that has one."""
    if isinstance(value, Mapping):
        for key in ("path", "filename", "file", "name", "url", "id"):
            if isinstance(value.get(key), str) and value[key]:
                return str(value[key])
    return told(value)


def _texts(value: object, depth: int = 4) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth and isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each, depth - 1)
    elif depth and isinstance(value, list):
        for each in value:
            yield from _texts(each, depth - 1)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value) and value not in _ROLES
