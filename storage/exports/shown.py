"""What a document shows of a session and of a message: labels in words, what was said as blocks."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..model import Attachment, MemoryReference, Message, Session, ToolCall, ToolResponse
from .document import Head
from .markdown import Block, CodeBlock, Paragraph, Table, blocks, gist
from .markdown import Text as Words
from .text import as_json, called, readable
from .transcript import branch_of

_ILLEGAL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""What XML forbids, and what no font shows."""
_TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_WIDEST = 10
"""Columns of a table that a page has room for."""


@dataclass(frozen=True, slots=True)
class File:
    """A file beside a message; `picture` is the name of its bytes in the folder, empty where they are not at hand."""

    label: str
    picture: str
    address: str
    description: str


@dataclass(frozen=True, slots=True)
class Line:
    """A message; what is empty is not shown."""

    name: str
    persona: bool
    at: str
    marks: tuple[str, ...]
    about: str
    """The line that it answers."""
    body: tuple[Block, ...]
    files: tuple[File, ...]
    reactions: tuple[str, ...]
    remarks: tuple[str, ...]


def heading(session: Session) -> str:
    """What a session is called."""
    return flat(session.title, 160) or session.id


def facts(session: Session, head: Head) -> list[tuple[str, str]]:
    """What is known of a session, each with its label."""
    if not head.metadata:
        return []
    people = ", ".join(flat(person.name) for person in session.participants[:20])
    more = len(session.participants) - 20
    known = [
        ("Branch of", flat(branch_of(session), 160)),
        ("Place", " / ".join(filter(None, (flat(session.channel.guild_name or ""), flat(session.channel.name))))),
        ("Time", f"{session.opened_at:%Y-%m-%d %H:%M} to {session.last_at:%Y-%m-%d %H:%M}" if head.timestamps else ""),
        ("People", people + (f" and {more} more" if more > 0 else "")),
        ("Persona", flat(session.persona or "")),
        ("Tags", ", ".join(map(flat, session.tags))),
    ]
    return [(label, told) for label, told in known if told]


class Shown:
    """The lines of one session after the other; it remembers what an answer may refer to."""

    def __init__(self, head: Head, folder: Path) -> None:
        self._head = head
        self._folder = folder
        self._said: dict[str, str] = {}

    def line(self, message: Message) -> Line:
        """What is shown of the next message."""
        name, known = flat(message.sender.name) or message.sender.id, self._head.metadata
        words = flat(gist(blocks(message.words[:500])), 60)
        about = self._said.get(message.reply_to or "", "") if known else ""
        for key in filter(None, (message.id, message.origin)):
            self._said[key] = f"{name}: {words}" if words else name
        counted = Counter(flat(reaction.emoji, 30) for reaction in message.reactions)
        return Line(
            name=name,
            persona=message.sender.type == "persona",
            at=f"{message.at:%Y-%m-%d %H:%M:%S}" if self._head.timestamps else "",
            marks=tuple(_marks(message)) if known else (),
            about=about if message.role == "user" else "",
            body=tuple(self._body(message)),
            files=tuple(self._file(file) for file in message.attachments),
            reactions=tuple(f"{emoji} {count}" for emoji, count in counted.items()) if known else (),
            remarks=tuple(_remarks(message)) if known else (),
        )

    def _body(self, message: Message) -> Iterator[Block]:
        for kind, told in _stretches(message):
            if kind and not self._head.metadata:
                continue
            if kind:
                yield Paragraph((Words(kind),), small=True)
            if kind and told:
                yield CodeBlock("", legal(told))
            for block in () if kind else blocks(legal(told)):
                yield from self._fitting(block)

    def _fitting(self, block: Block) -> Iterator[Block]:
        if isinstance(block, CodeBlock) and not block.language:
            yield CodeBlock(self._head.code_language, block.text)
        elif isinstance(block, Table) and len(block.header) > _WIDEST:
            yield from _sliced(block)
        else:
            yield block

    def _file(self, file: Attachment) -> File:
        at_hand = file.type == "image" and file.blob and (self._folder / file.blob).is_file()
        told = [flat(file.name) or file.type, readable(file.size) if file.size else ""]
        return File(
            label=", ".join(filter(None, told)),
            picture=file.blob or "" if at_hand else "",
            address=file.url if re.fullmatch(r"https?://[!-~]{1,2000}", file.url) else "",
            description=flat(file.description, 300),
        )


def _stretches(message: Message) -> Iterator[tuple[str, str]]:
    """What was said, and between what was done: a label where it was no words, and what stands there."""
    words = ""
    for part in message.parts:
        if isinstance(part, Attachment):
            continue
        if not isinstance(part, ToolCall | ToolResponse | MemoryReference):
            words += part.text
            continue
        if words:
            yield "", words
            words = ""
        match part:
            case ToolCall():
                yield f"used {flat(called(part))}", as_json(part.arguments)
            case ToolResponse():
                yield f"{flat(part.tool)} {'failed' if part.error else 'answered'}", part.error or as_json(part.result)
            case MemoryReference():
                yield f"remembered: {flat(part.context, 300) or flat(part.memory_id)}", ""
    if words:
        yield "", words


def _marks(message: Message) -> Iterator[str]:
    if message.outcome != "whole":
        yield {"stopped": "stopped", "cut": "cut off"}[message.outcome]
    if message.pinned:
        yield "pinned"
    if message.sender.type in ("bot", "system"):
        yield message.sender.type


def _remarks(message: Message) -> Iterator[str]:
    if message.usage is not None:
        yield f"{flat(message.usage.model)}, {message.usage.tokens_in:,} tokens in, {message.usage.tokens_out:,} out"
    for note in message.annotations:
        yield f"{flat(note.kind)} by {flat(note.sender.name)}" + (f": {flat(note.text, 1000)}" if note.text else "")


def _sliced(table: Table) -> Iterator[Table]:
    """Tables that fit, each beginning with the first column of all."""
    step = _WIDEST - 1
    for start in range(1, len(table.header), step):
        part = slice(start, start + step)
        yield Table(
            (table.header[0], *table.header[part]),
            tuple((row[0], *row[part]) for row in table.rows),
            (table.alignments[0], *table.alignments[part]),
        )


def legal(text: str) -> str:
    """The text without what no document may hold."""
    return _ILLEGAL.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def flat(text: str, most: int = 80) -> str:
    """A name or the beginning of a text on one line, which cannot turn what stands beside it."""
    told = " ".join(legal(_TURNING.sub("", text[: 20 * most])).split())
    return told if len(told) <= most else told[: most - 1] + "…"


def to_the_left(text: str) -> bool:
    """Whether a text is written from right to left, as its first letter says."""
    for character in text:
        kind = unicodedata.bidirectional(character)
        if kind in ("L", "R", "AL"):
            return kind != "L"
    return False


def language(text: str) -> str:
    """The language whose letters a text has, as far as its looks depend on that; else empty."""
    for name, letters in _LETTERS:
        if letters.search(text):
            return name
    return ""


_LETTERS = (
    ("ja", re.compile("[\u3041-\u30ff\uff66-\uff9d]")),
    ("ko", re.compile("[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]")),
    ("zh", re.compile("[\u3400-\u9fff\U00020000-\U0003ffff]")),
    ("he", re.compile("[\u0590-\u05ff]")),
    ("ar", re.compile("[\u0600-\u06ff\u0750-\u077f]")),
)
