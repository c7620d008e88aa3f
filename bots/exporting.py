"""One session as a file that people can take along: Markdown, plain text, or the model's own JSON."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Literal, get_args

from storage.model import Message, Session

from .errors import TroupeError

Form = Literal["md", "json", "txt"]

_MARKS = re.compile(r"([\\`*_{}\[\]<>()#+!|~-])")


async def export(session: Session, messages: AsyncIterator[Message], form: Form) -> AsyncIterator[bytes]:
    """The session as UTF-8, piece by piece: a head, then every message in order. Earlier wordings are left out: they
    were taken back. Nobody's words can pose as somebody else's line. Raises `TroupeError` for an unknown form."""
    if form not in get_args(Form):
        raise TroupeError(f"'{form[:20]}' is no form in which a session can be exported: choose md, json or txt.")
    yield _head(session, form).encode()
    first = True
    async for message in messages:
        yield _told(message, form, first).encode()
        first = False
    if form == "json":
        yield b"\n]}\n"


def filename(session: Session, form: Form) -> str:
    """A name for the file, safe in any file system: the place and the session."""
    kept = re.sub(r"[^A-Za-z0-9_-]+", "-", session.full_name)[:80]
    return f"{session.channel.safe_name}_{kept}.{form}"


def _head(session: Session, form: Form) -> str:
    if form == "json":
        return f'{{"session": {session.model_dump_json()},\n"messages": ['
    title = _flat(session.title) or session.id
    place = _flat(session.channel.name)
    people = ", ".join(_flat(person.name) for person in session.participants)
    when = f"{session.opened_at:%Y-%m-%d %H:%M} to {session.last_at:%Y-%m-%d %H:%M} UTC"
    if form == "txt":
        return f"{title}\n{place}, {when}\nWith {people or 'nobody yet'}.\n"
    return f"# {_inert(title)}\n\n{_inert(place)}, {when}  \nWith {_inert(people) or 'nobody yet'}.\n"


def _told(message: Message, form: Form, first: bool) -> str:
    if form == "json":
        return ("\n" if first else ",\n") + message.model_copy(update={"edits": ()}).model_dump_json()
    name = _flat(message.sender.name)
    at = f"{message.at:%Y-%m-%d %H:%M:%S}"
    files = [f"[{part.type}: {_flat(part.name)}]" for part in message.attachments]
    lines = [*message.text.strip().splitlines(), *(files if form == "txt" else map(_inert, files))]
    if form == "txt":
        return f"\n[{at}] {name}:\n" + "".join(f"    {line}\n" for line in lines)
    quoted = "".join(f"> {line}\n" for line in lines)
    return f"\n**{_inert(name)}** ({at})\n\n{quoted}"


def _flat(text: str) -> str:
    """The text on one line."""
    return " ".join(text.split())


def _inert(text: str) -> str:
    return _MARKS.sub(r"\\\1", text)
