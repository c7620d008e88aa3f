"""Sessions as Markdown or plain text, for reading; nobody's words can pose as somebody else's line."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from typing import Literal

from ..model import Message, Session, ToolCall, ToolResponse
from . import Options, Transcript
from .transcript import branch_of

_MARKS = re.compile(r"([\\`*_{}\[\]<>()#+!|~-])")
_FENCE = re.compile(r"\s{0,3}(`{3,}|~{3,})(.*)")
_TOOL_CHARACTERS = 2_000


async def text(sessions: Transcript, form: Literal["md", "txt"], options: Options) -> AsyncGenerator[bytes, None]:
    """The sessions as UTF-8, one after the other: a head, then every message in order."""
    between = ""
    async for session, pages in sessions:
        yield (between + _head(session, form, options)).encode()
        async for page in pages:
            yield "".join(_told(message, form, options) for message in page).encode()
        between = "\n\n"


def _head(session: Session, form: str, options: Options) -> str:
    title = flat(session.title) or session.id
    about = [flat(session.channel.name)] if options.metadata else []
    if options.timestamps:
        opened, last = (at.astimezone(options.zone) for at in (session.opened_at, session.last_at))
        about.append(f"{opened:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} {last.tzname()}")
    people = ", ".join(flat(person.name) or person.id for person in session.participants) or "nobody yet"
    lines = [", ".join(about)] if about else []
    parent = flat(branch_of(session)) if options.metadata else ""
    lines += [f"Branch of {parent}"] if parent and form == "txt" else []
    lines += [f"With {people}."] if options.metadata else []
    lines += [f"Tags: {', '.join(map(flat, session.tags))}"] if options.metadata and session.tags else []
    if form == "txt":
        return "".join(f"{line}\n" for line in [title, *lines])
    mark = "#" * min(max(options.header_level, 1), 6)
    branch = [f"Branch of *{_inert(parent)}*"] if parent else []
    told = "  \n".join([*branch, *map(_inert_line, lines)])
    return f"{mark} {_inert(title)}\n" + (f"\n{told}\n" if told else "")


def _told(message: Message, form: str, options: Options) -> str:
    name = flat(message.sender.name) or message.sender.id
    at = f"{message.at.astimezone(options.zone):%Y-%m-%d %H:%M:%S}"
    beside = [f"[{part.type}: {flat(part.name)}]" for part in message.attachments]
    beside += _tools(message) if options.metadata else []
    words = message.text.strip().splitlines()
    if form == "txt":
        lines = [*words, *beside, *(f"({note})" for note in _notes(message, options))]
        when = f"[{at}] " if options.timestamps else ""
        return f"\n{when}{name}:\n" + "".join(f"    {line}\n" for line in lines)
    lines = [*_named(words, options.code_language), *map(_inert, beside)]
    quoted = "".join(f"> {line}\n" for line in lines)
    when = f" ({at})" if options.timestamps else ""
    notes = " · ".join(map(_inert, _notes(message, options)))
    return f"\n**{_inert(name)}**{when}\n\n{quoted}" + (f"\n*{notes}*\n" if notes else "")


def _notes(message: Message, options: Options) -> list[str]:
    return [*(["edited"] if message.edits else []), *known(message)] if options.metadata else []


def known(message: Message, *, reactions: bool = True) -> list[str]:
    """What is known of a message beside its words, in a few words each: its model, marks of people on it."""
    told = []
    if message.usage is not None:
        usage = message.usage
        tokens = f"{usage.tokens_in:,} tokens in, {usage.tokens_out:,} out"
        told.append(f"{flat(f'{usage.provider} {usage.model}')}, {tokens}")
    if message.outcome != "whole":
        told.append("stopped" if message.outcome == "stopped" else "cut off")
    counted: dict[str, int] = {}
    for reaction in message.reactions if reactions else ():
        counted[reaction.emoji] = counted.get(reaction.emoji, 0) + 1
    told += [f"{flat(emoji)} {many}" for emoji, many in counted.items()]
    told += [f"{flat(each.kind)}: {flat(each.text)}".removesuffix(": ") for each in message.annotations]
    return [*told, "pinned"] if message.pinned else told


def _tools(message: Message) -> list[str]:
    told = []
    for part in message.parts:
        if isinstance(part, ToolCall):
            told.append(f"[tool {flat(called(part))}: {flat(as_json(part.arguments))}]")
        elif isinstance(part, ToolResponse):
            told.append(f"[{flat(part.tool)} answered: {flat(part.error or as_json(part.result))}]")
    return told


def called(call: ToolCall) -> str:
    """The tool and its function."""
    return f"{call.tool}.{call.function}" if call.function else call.tool


def as_json(value: object) -> str:
    """A tool's words, of sensible length."""
    told = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return told if len(told) <= _TOOL_CHARACTERS else told[: _TOOL_CHARACTERS - 1] + "…"


def flat(text: str) -> str:
    """The text on one line."""
    return " ".join(text.split())


def readable(size: int) -> str:
    """Bytes as people read them."""
    for unit, bytes_ in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= bytes_:
            return f"{size / bytes_:.3g} {unit}"
    return f"{size} bytes"


def _named(lines: list[str], language: str) -> list[str]:
    """The lines, with a language at every code block that names none."""
    if not language:
        return lines
    told, within = [], ""
    for line in lines:
        match = _FENCE.match(line)
        if match and not within:
            within = match[1]
            told.append(line if match[2].strip() else line.rstrip() + language)
            continue
        if match and match[1].startswith(within) and not match[2].strip():
            within = ""
        told.append(line)
    return told


def _inert(text: str) -> str:
    return _MARKS.sub(r"\\\1", text)


def _inert_line(line: str) -> str:
    """A line of the head: times stay as they are."""
    return re.sub(r"([\\`*_{}\[\]<>#+!|~])", r"\\\1", line)
