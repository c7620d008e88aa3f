"""What can happen to a message after it was kept, and what it is then.

An amendment is a value with a JSON form of its own: the files backend appends it as it is, and every backend lets
`amended` decide what it means. Applying one twice is the same as applying it once.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from .model import Annotation, Attachment, Edit, Message, Part, Reaction, Value


class Edited(Value):
    """Its author changed the words, or took files away; what it was goes to `edits`. A file that was fetched stays so,
    also where that was not known yet to whom the edit comes from."""

    type: Literal["edit"] = "edit"
    parts: tuple[Part, ...]
    at: datetime


class Fetched(Value):
    """A file beside it was fetched from its front: it is kept as a blob, and is what its bytes say it is."""

    type: Literal["fetch"] = "fetch"
    url: str
    """Of the attachment."""
    blob: str
    media_type: str
    size: int


class Deleted(Value):
    """It was taken away from people's sight."""

    type: Literal["delete"] = "delete"
    at: datetime


class Restored(Value):
    """It was brought back into sight."""

    type: Literal["restore"] = "restore"


class Reacted(Value):
    """Somebody put an emoji on it; one of each kind from each person counts."""

    type: Literal["react"] = "react"
    reaction: Reaction


class Unreacted(Value):
    """Somebody took an emoji back."""

    type: Literal["unreact"] = "unreact"
    emoji: str
    sender_id: str


class Noted(Value):
    """Somebody noted something; a note with a known id replaces the old one."""

    type: Literal["annotate"] = "annotate"
    annotation: Annotation


class Unannotated(Value):
    """A note was taken back."""

    type: Literal["unannotate"] = "unannotate"
    id: str


class Pinned(Value):
    """It was pinned, or no longer is."""

    type: Literal["pin"] = "pin"
    pinned: bool = True


Amendment = Annotated[
    Edited | Fetched | Deleted | Restored | Reacted | Unreacted | Noted | Unannotated | Pinned,
    Field(discriminator="type"),
]


AMENDMENT: TypeAdapter[Amendment] = TypeAdapter(Amendment)


def amended(message: Message, change: Amendment) -> Message:
    """The message after the change; the same object where nothing changes."""
    fields = _fields(message, change)
    if all(getattr(message, name) == value for name, value in fields.items()):
        return message
    return message.model_copy(update=fields)


def _fields(message: Message, change: Amendment) -> dict[str, object]:
    match change:
        case Edited(parts=edited, at=at):
            fetched = {file.url: file for file in message.attachments if file.blob}
            parts = tuple(fetched.get(p.url, p) if isinstance(p, Attachment) and not p.blob else p for p in edited)
            if parts == message.parts:
                return {}
            return {"parts": parts, "edits": (*message.edits, Edit(parts=message.parts, at=at))}
        case Fetched():
            return {"parts": tuple(_kept(part, change) for part in message.parts)}
        case Deleted(at=at):
            return {"deleted_at": message.deleted_at or at}
        case Restored():
            return {"deleted_at": None}
        case Reacted(reaction=new):
            others = tuple(r for r in message.reactions if (r.emoji, r.sender.id) != (new.emoji, new.sender.id))
            return {} if len(others) < len(message.reactions) else {"reactions": (*others, new)}
        case Unreacted(emoji=emoji, sender_id=sender):
            return {"reactions": tuple(r for r in message.reactions if (r.emoji, r.sender.id) != (emoji, sender))}
        case Noted(annotation=new):
            if new in message.annotations:
                return {}
            return {"annotations": (*(a for a in message.annotations if a.id != new.id), new)}
        case Unannotated(id=id):
            return {"annotations": tuple(a for a in message.annotations if a.id != id)}
        case Pinned(pinned=pinned):
            return {"pinned": pinned}


def _kept(part: Part, file: Fetched) -> Part:
    if not isinstance(part, Attachment) or part.url != file.url:
        return part
    kinds: dict[str, Literal["image", "audio", "video"]] = {"image": "image", "audio": "audio", "video": "video"}
    kind = kinds.get(file.media_type.partition("/")[0], "file")
    return part.model_copy(update={"type": kind, "blob": file.blob, "media_type": file.media_type, "size": file.size})
