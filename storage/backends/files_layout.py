"""How a bot's talk lies in folders that people can read: where things stand, and what a line of a file says.

    channels/<name>_<id>/channel.json             a channel and its past names
    channels/<name>_<id>/<session>/               session_meta.json  messages.jsonl  attachments/
    dms/<name>_<id>/                              the same
    users/<id>/profile.json                       memory/memories.jsonl  runs.jsonl  audit.jsonl  usage.jsonl
    settings.jsonl  tombstones.jsonl              what people have set, and who wants to be forgotten
    channels.json  session_index.json  index.db   can be made anew from the rest

A line of `messages.jsonl` is a message in the model's JSON, or something that happened: `{"amend": id, "change": …}`,
`{"receipts": id, "pages": […]}`, or `{"last_at": time}` where it is not a person's last message that tells when
somebody last spoke. A line of a file of records is a record; the last one with an id counts. The folder of a channel
keeps the name it was first given, and the folder of a closed session carries how many seconds it took.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from ..amendments import AMENDMENT
from ..model import Attachment, Channel, Message, Receipt, Session, storable
from ..records import AuditEntry, Memory, Record, Run, Setting, Spent, Template, Tombstone
from .changes import Amend, Append, Change, KeepReceipts, located
from .files_disk import state

META, MESSAGES, CHANNEL = "session_meta.json", "messages.jsonl", "channel.json"
TORN = "torn.txt"
"""What a crash left of a last line."""
KINDS = ("channels", "dms")
LISTS: dict[type[Record], str] = {
    Memory: "memory/memories.jsonl",
    Run: "runs.jsonl",
    AuditEntry: "audit.jsonl",
    Spent: "usage.jsonl",
    Setting: "settings.jsonl",
    Tombstone: "tombstones.jsonl",
    Template: "templates.jsonl",
}
PROFILES = "users"
_LONGEST = 100
"""Bytes of a name; the disk's own limit is 255."""
_RECEIPTS = TypeAdapter(tuple[Receipt, ...])
_TIME = TypeAdapter(datetime)


def session_name(session: Session) -> str:
    """What a session's folder is called; a closed one carries its duration."""
    return safe(session.full_name)


def channel_folder(channel: Channel) -> Path:
    """Where a channel's sessions stand, counted from the root, when it is first heard of."""
    return Path("dms" if channel.kind == "dm" else "channels") / channel.safe_name


def profile_file(user_id: str) -> Path:
    return Path(PROFILES) / safe(user_id) / "profile.json"


def attachment_name(attachment: Attachment) -> str:
    """A file's own name made safe, with a bit of its hash, since many are called `image.png`."""
    stem, dot, ending = attachment.name.rpartition(".")
    return f"{_plain(stem or ending)[:60]}_{(attachment.blob or '')[:8]}{dot}{_plain(ending)[:10] if dot else ''}"


def safe(name: str) -> str:
    """A name that any disk takes; one that had to be changed, or that some disks would take for another, has a bit of
    its hash, so that two never share a file."""
    plain = _plain(name).encode()[:_LONGEST].decode(errors="ignore")
    return plain if plain == name.lower() == name and name else f"{plain}~{tail(name)}"


def tail(name: str) -> str:
    """Eight digits that hardly any other name has."""
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]+|^\.+", "-", name)


def line(value: BaseModel | dict[str, Any]) -> bytes:
    """A value in one line of JSON, without what goes without saying."""
    told = to_jsonable_python(value)
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        told = {name: told[name] for name, field in fields.items() if getattr(value, name) != field.default}
    return storable(json.dumps(told, ensure_ascii=False)).encode() + b"\n"


def document(value: Any) -> bytes:
    """A value as a file of its own, for reading."""
    return storable(json.dumps(to_jsonable_python(value), ensure_ascii=False, indent=2)).encode() + b"\n"


def meta(session: Session) -> bytes:
    """A session's own file; how many messages it has is told by their file."""
    told = to_jsonable_python(session)
    del told["message_count"]
    return document(told)


class Unreadable(Exception):
    """A file, or a line of one, that says nothing; its text says why."""


def read_document(path: Path, shape: type[BaseModel]) -> Any:
    """A file that is one value. Raises `Unreadable`, also where there is none."""
    try:
        return shape.model_validate_json(_regular(path).read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except ValidationError as error:
        raise Unreadable(f"{path} cannot be read: {_first(error)}") from error
    except FileNotFoundError as error:
        raise Unreadable(f"{path} is missing") from error


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their numbers; none where it is missing. Raises `Unreadable` for what is no file."""
    if os.path.lexists(path):
        with _regular(path).open("rb") as file:
            yield from enumerate(file, 1)


def heal(path: Path) -> bool:
    """Puts a last line without an end aside, into `torn.txt` beside it, unless it is whole but for that; whether it
    did."""
    torn = b""
    for _, raw in lines(path):
        torn = raw
    if not torn or torn.endswith(b"\n"):
        return False
    try:
        whole = isinstance(json.loads(torn), dict)
    except (ValueError, RecursionError):
        whole = False
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        if whole:
            file.write(b"\n")
            return False
        with path.with_name(TORN).open("ab") as aside:
            aside.write(torn + b"\n")
            aside.flush()
            os.fsync(aside.fileno())
        file.truncate(file.tell() - len(torn))
        os.fsync(file.fileno())
    return True


def understood(raw: bytes, session: Session) -> Change | datetime:
    """What a line of a session's messages says; a time is when somebody last spoke. Raises `Unreadable`."""
    try:
        told = json.loads(raw.removeprefix(b"\xef\xbb\xbf"))
        if "amend" in told:
            return Amend(str(told["amend"]), AMENDMENT.validate_python(told["change"]))
        if "pages" in told:
            return KeepReceipts(str(told["receipts"]), _RECEIPTS.validate_python(told["pages"]))
        if "last_at" in told:
            return located(_TIME.validate_python(told["last_at"]))
        message = Message.model_validate({**told, "session_id": session.id})
        located(message.at)
        return Append(session, message)
    except ValidationError as error:
        raise Unreadable(_first(error)) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def message_of(raw: bytes) -> Message | None:
    """The message that a line tells, if it does."""
    try:
        return Message.model_validate_json(raw)
    except ValidationError:
        return None


def about(raw: bytes) -> tuple[str, str]:
    """What a line is (`message`, `change`, `time`, or `other` where nobody can tell) and the message it concerns."""
    try:
        told = json.loads(raw.removeprefix(b"\xef\xbb\xbf"))
        if "amend" in told or "pages" in told:
            return "change", str(told["amend"] if "amend" in told else told["receipts"])
        if "last_at" in told:
            return "time", ""
        return "message", str(told["id"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return "other", ""


def record_of(raw: bytes, kind: type[Record]) -> Record:
    """The record that a line tells. Raises `Unreadable`."""
    try:
        record = kind.model_validate_json(raw.removeprefix(b"\xef\xbb\xbf"))
        for at in (record.at, getattr(record, "touched_at", None)):
            if at is not None:
                located(at)
        return record
    except ValidationError as error:
        raise Unreadable(_first(error)) from error
    except ValueError as error:
        raise Unreadable(str(error)) from error


def without(path: Path, ids: Collection[str]) -> Iterator[bytes]:
    """The lines of a file of records, but for those of some ids."""
    for _, raw in lines(path):
        kind, id = about(raw)
        if kind != "message" or id not in ids:
            yield raw


def _regular(path: Path) -> Path:
    """The path of what is a file and no link: those lead anywhere."""
    if os.path.lexists(path) and not state(path):
        raise Unreadable(f"{path} is not a plain file: it is left alone")
    return path


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'JSON'}: {first['msg']}"
