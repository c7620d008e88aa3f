"""The messages of a session as they stand in a web page: who, when, what, and what people put to it."""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from html import escape
from itertools import groupby

from ..model import Attachment, MemoryReference, Message, Note, Part, Reaction, Text, ToolCall, ToolResponse
from . import Beside, Options
from .html_words import words
from .markdown import blocks, gist
from .text import as_json, called, flat, known, readable

HUES = (215, 160, 25, 280, 340, 190, 45, 125, 0, 255, 310, 85)
_TOGETHER = timedelta(minutes=7)
_RECENT = 2_000
"""Messages that a reply may quote; what was said before them is not looked for."""
_COLOURED = 10_000
"""People whose colour is remembered."""
_READ, _QUOTED = 500, 90
"""Characters of a message that are looked at for quoting it, and that are quoted."""
_KINDS = {"persona": "AI", "bot": "bot", "system": "system"}


class Chat:
    """One session's messages, in their order. `told` may run in a thread; one at a time."""

    def __init__(self, options: Options, beside: Beside, hues: dict[str, int]) -> None:
        """`hues` are the colours that people have in the page so far."""
        self._options = options
        self._beside = beside
        self._hues = hues
        self._recent: OrderedDict[str, Message] = OrderedDict()
        self._last: Message | None = None
        self.said = 0

    def told(self, messages: Sequence[Message]) -> list[str | Attachment]:
        """The next messages as HTML; a picture that may be shown within the page stands there itself."""
        pieces: list[str | Attachment] = []
        for message in messages:
            if self._options.timestamps and (not self._last or self._day(self._last.at) != self._day(message.at)):
                pieces.append(f'<h3 class="day">{self._day(message.at)}</h3>\n')
                self._last = None
            pieces += self._message(message)
            self._last = message
            self._remember(message)
            self.said += 1
        return list(_joined(pieces))

    def named(self, file: Attachment) -> str:
        """A file that is not shown: its name and size, with a link to where it is, if that is known."""
        size = f" <small>{readable(file.size)}</small>" if file.size else ""
        what = f' <small dir="auto">{escape(flat(file.description))}</small>' if file.description else ""
        told = f'<bdi dir="auto">{escape(flat(file.name))}</bdi>'
        where = self._beside(file) or (file.url if self._options.images == "link" and _is_web(file.url) else "")
        if where:
            told = f'<a href="{escape(where)}" rel="noopener noreferrer">{told}</a>'
        return f'<span class="file">📎 <span>{told}{size}{what}</span></span>'

    def _message(self, message: Message) -> Iterator[str | Attachment]:
        name, more = flat(message.sender.name) or message.sender.id, self._goes_on(message)
        hue = self._hues.get(message.sender.id, len(self._hues) % len(HUES))
        if len(self._hues) < _COLOURED:
            self._hues[message.sender.id] = hue
        kinds = f"m {message.sender.type} h{hue}{' more' if more else ''}"
        yield f'<article class="{kinds}" id="{_anchor(message)}" aria-label="{escape(name)}">'
        yield f'<div class="face" aria-hidden="true">{escape(_initials(name))}</div><div>'
        badge = f'<span class="kind">{_KINDS[message.sender.type]}</span>' if message.sender.type in _KINDS else ""
        shown = f'<span class="who" dir="auto">{escape(name)}</span>{badge}{self._at(message)}'
        yield f'<p class="by{" away" if more else ""}">{shown}</p>'
        yield self._reply(message)
        yield "".join(self._part(group) for group in _runs(message.parts))
        if message.attachments:
            yield '<ul class="files">'
            for file in message.attachments:
                yield "<li>"
                yield self._file(file)
                yield "</li>"
            yield "</ul>"
        yield self._marks(message)
        yield "</div></article>\n"

    def _goes_on(self, message: Message) -> bool:
        last = self._last
        return (
            last is not None
            and last.sender == message.sender
            and message.reply_to is None
            and timedelta() <= message.at - last.at < _TOGETHER
        )

    def _at(self, message: Message) -> str:
        if not self._options.timestamps:
            return ""
        at = message.at.astimezone(self._options.zone)
        time = f'<time datetime="{at.isoformat()}" title="{at:%Y-%m-%d %H:%M:%S} {escape(at.tzname() or "")}">'
        return f'<a class="at" href="#{_anchor(message)}">{time}{at:%H:%M}</time></a>'

    def _reply(self, message: Message) -> str:
        """A line of what is answered, unless it stands right above."""
        answered = self._recent.get(message.reply_to) if message.reply_to else None
        if answered is None or answered is self._last:
            return ""
        said = gist(blocks(answered.words[:_READ]))
        short = said if len(said) <= _QUOTED else said[: _QUOTED - 1] + "…"
        name = f'<bdi dir="auto">{escape(flat(answered.sender.name))}</bdi>'
        return (
            f'<p class="reply"><a href="#{_anchor(answered)}"><span class="away">In reply to </span>↪︎ <b>{name}</b> '
            f'<bdi dir="auto">{escape(short)}</bdi></a></p>'
        )

    def _part(self, run: tuple[type, list[Part]]) -> str:
        kind, parts = run
        if kind in (Text, Note):
            told = "".join(part.text for part in parts if isinstance(part, Text | Note))
            if not told.strip():
                return ""
            load = self._options.images == "link"
            shown = words(told.strip("\r\n"), code_language=self._options.code_language, load_images=load)
            return f'<div class="{"says" if kind is Text else "note"}" dir="auto">{shown}</div>'
        return "".join(map(_beside_words, parts)) if self._options.metadata else ""

    def _file(self, file: Attachment) -> str | Attachment:
        if file.type != "image":
            return self.named(file)
        if self._options.images == "embed":
            return file
        where = self._beside(file)
        if where or not _is_web(file.url):
            return self.named(file)
        told = escape(flat(file.description or file.name))
        return f'<img src="{escape(file.url)}" alt="{told}" title="{told}" loading="lazy" referrerpolicy="no-referrer">'

    def _marks(self, message: Message) -> str:
        told = "".join(_reacted(emoji, list(those)) for emoji, those in _by_emoji(message))
        marks = f'<ul class="marks" aria-label="Reactions">{told}</ul>' if told else ""
        beside = ["edited"] if message.edits else []
        beside += known(message, reactions=False) if self._options.metadata else []
        return marks + (f'<p class="known">{" · ".join(map(escape, beside))}</p>' if beside else "")

    def _remember(self, message: Message) -> None:
        for key in (message.id, message.origin, *(receipt.origin for receipt in message.receipts)):
            if key:
                self._recent[key] = message
        while len(self._recent) > _RECENT:
            self._recent.popitem(last=False)

    def _day(self, at: datetime) -> str:
        day = at.astimezone(self._options.zone)
        return f"{day:%A}, {day.day} {day:%B %Y}"


def _joined(pieces: list[str | Attachment]) -> Iterator[str | Attachment]:
    """The same with as few strings as there can be."""
    for is_text, run in groupby(pieces, key=lambda piece: isinstance(piece, str)):
        if is_text:
            yield "".join(piece for piece in run if isinstance(piece, str))
        else:
            yield from run


def _runs(parts: Sequence[Part]) -> Iterator[tuple[type, list[Part]]]:
    for kind, run in groupby((part for part in parts if not isinstance(part, Attachment)), key=type):
        yield kind, list(run)


def _beside_words(part: Part) -> str:
    match part:
        case ToolCall():
            return _folded(f"Tool: {called(part)}", as_json(part.arguments))
        case ToolResponse():
            return _folded(f"Answer of {part.tool}", part.error or as_json(part.result))
        case MemoryReference():
            return _folded("Remembered", part.context or part.memory_id)
    return ""


def _folded(summary: str, inner: str) -> str:
    told = f'<pre tabindex="0"><code>{escape(inner)}</code></pre>'
    return f"<details><summary>{escape(flat(summary))}</summary>{told}</details>"


def _by_emoji(message: Message) -> Iterator[tuple[str, Iterator[Reaction]]]:
    return groupby(sorted(message.reactions, key=lambda each: each.emoji), key=lambda each: each.emoji)


def _reacted(emoji: str, those: list[Reaction]) -> str:
    names = escape(", ".join(flat(each.sender.name) for each in those[:20]))
    return f'<li title="{names}">{escape(emoji)} {len(those)}<span class="away"> by {names}</span></li>'


def _initials(name: str) -> str:
    letters = [part[0] for part in re.findall(r"\w+", name)]
    return "".join(letters[:1] + letters[-1:] if len(letters) > 1 else letters).upper()[:2] or "?"


def _anchor(message: Message) -> str:
    return "m-" + (message.id if re.fullmatch(r"[\w-]{1,64}", message.id, re.ASCII) else _short(message.id))


def _short(id: str) -> str:
    return hashlib.sha256(id.encode()).hexdigest()[:20]


def _is_web(url: str) -> bool:
    return re.match(r"https?://[^\s]+$", url) is not None
