"""How a bot's talk lies in folders that people can read: where things stand, and what a line of a file says.

    channels/<name>_<id>/<session>/   session_meta.json  messages.jsonl  attachments/
    dms/<name>_<id>/<session>/        the same
    users/<id>/profile.json           memory/memories.jsonl  runs.jsonl  audit.jsonl  usage.jsonl
    channels.json  session_index.json  index.db               can be made anew from the rest

A line of `messages.jsonl` is a message in the model's JSON, or something that happened to one:
`{"amend": id, "change": …}`, `{"receipts": id, "pages": […]}`. A line of a file of records is a record, the last one
with an id counts. The folder of a channel keeps the name it was first given.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from ..amendments import AMENDMENT, amended
from ..model import Attachment, AuditEntry, Channel, Memory, Message, Receipt, Record, Run, Session, Spent, storable

META, MESSAGES = "session_meta.json", "messages.jsonl"
TORN = "messages.jsonl.torn"
LISTS: dict[type[Record], str] = {
    Memory: "memory/memories.jsonl",
    Run: "runs.jsonl",
    AuditEntry: "audit.jsonl",
    Spent: "usage.jsonl",
}
PROFILES = "users"
_RECEIPTS = TypeAdapter(tuple[Receipt, ...])


def session_folder(channel_folder: Path, session: Session) -> Path:
    """Where a session stands; a closed one carries its duration."""
    return channel_folder / _safe(session.full_name)


def channel_folder(channel: Channel) -> Path:
    """Where a channel's sessions stand, counted from the root, when it is first heard of."""
    return Path("dms" if channel.kind == "dm" else "channels") / channel.safe_name


def profile_file(user_id: str) -> Path:
    return Path(PROFILES) / _safe(user_id) / "profile.json"


def attachment_name(attachment: Attachment) -> str:
    """A file's own name made safe, with a bit of its hash, since many are called `image.png`."""
    stem, dot, ending = attachment.name.rpartition(".")
    return f"{_safe(stem or ending)[:80]}_{(attachment.blob or '')[:8]}{dot}{_safe(ending)[:10] if dot else ''}"


def line(value: Any) -> bytes:
    """A value in one line of JSON, without what is empty."""
    told = to_jsonable_python(value, by_alias=True)
    kept = {key: each for key, each in told.items() if each not in (None, [], {}, False)}
    return storable(json.dumps(kept, ensure_ascii=False)).encode() + b"\n"


def document(value: Any) -> bytes:
    """A value as a file of its own, for reading."""
    return storable(json.dumps(to_jsonable_python(value), ensure_ascii=False, indent=2)).encode() + b"\n"


@dataclass
class Read:
    """A session as its folder tells it, and what of it could not be understood."""

    session: Session
    messages: list[Message] = field(default_factory=list)
    size: int = 0
    """Bytes of `messages.jsonl` that were read."""
    changes: int = 0
    """Lines that only say what happened to another."""
    problems: list[str] = field(default_factory=list)


def read_session(folder: Path) -> Read:
    """Reads a session's folder; a last line that was torn off is put aside. Raises OSError, and ValueError for a
    folder without a `session_meta.json` that can be read."""
    try:
        found = Read(Session.model_validate_json((folder / META).read_bytes()))
    except ValidationError as error:
        raise ValueError(f"{folder / META}: {_first(error)}") from error
    messages: dict[str, Message] = {}
    for number, raw in _lines(folder, found):
        try:
            found.changes += _take(messages, json.loads(raw), found.session.id)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            what = _first(error) if isinstance(error, ValidationError) else str(error)
            found.problems.append(f"{folder / MESSAGES}:{number}: this line cannot be read: {what}")
    found.messages = list(messages.values())
    return found


def read_records(path: Path, kind: type[Record]) -> tuple[list[Record], list[str]]:
    """The records in a file, each as it was kept last, and what could not be understood."""
    records: dict[str, Record] = {}
    problems: list[str] = []
    if not path.exists():
        return [], []
    for number, raw in enumerate(path.read_bytes().splitlines(), 1):
        try:
            record = kind.model_validate_json(raw)
        except ValidationError as error:
            problems.append(f"{path}:{number}: this line cannot be read: {_first(error)}")
        else:
            records[record.id] = record
    return list(records.values()), problems


def _lines(folder: Path, found: Read) -> Iterator[tuple[int, bytes]]:
    """The whole lines of a session's messages."""
    path = folder / MESSAGES
    if not path.exists():
        return
    raw = path.read_bytes()
    whole = raw.rfind(b"\n") + 1
    if whole < len(raw):
        with (folder / TORN).open("ab") as aside:
            aside.write(raw[whole:] + b"\n")
        os.truncate(path, whole)
    found.size = whole
    yield from enumerate(raw[:whole].split(b"\n")[:-1], 1)


def _take(messages: dict[str, Message], told: dict[str, Any], session_id: str) -> int:
    if "amend" in told:
        changed = messages[told["amend"]]
        messages[told["amend"]] = amended(changed, AMENDMENT.validate_python(told["change"], strict=False))
        return 1
    if "receipts" in told and "pages" in told:
        message = messages[told["receipts"]]
        known = {receipt.origin for receipt in message.receipts}
        new = (each for each in _RECEIPTS.validate_python(told["pages"]) if each.origin not in known)
        receipts = tuple(sorted((*message.receipts, *new), key=lambda receipt: receipt.page))
        messages[message.id] = message.model_copy(update={"receipts": receipts})
        return 1
    message = Message.model_validate_json(json.dumps({**told, "session_id": session_id}))
    messages.setdefault(message.id, message)
    return 0


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]+|^\.+", "-", name)[:150] or "-"


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'JSON'}: {first['msg']}"
