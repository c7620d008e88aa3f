"""What the web front shows of sessions and messages: the model's own fields, as one caller may see them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, Field, JsonValue

from storage.model import (
    Attachment,
    Channel,
    ChannelKind,
    Front,
    MemoryReference,
    Message,
    Note,
    Outcome,
    Role,
    Sender,
    Session,
    SessionContext,
    SessionType,
    Text,
    ToolCall,
    ToolResponse,
    Usage,
)

from ..afterwards import DROPPED
from ..incoming import UNSEEN
from ..session_marks import MERGED
from ..titles import titled
from .callers import Caller, latest
from .desk import Desk
from .rendering import html_of_each

Shown = TypeVar("Shown")
_PLAIN = ("why", "placed", "lines", "said_by", "usage")
"""Entries of a message's metadata that are shown as they are."""
_RECALLED = ("id", "kind", "score")


class PageShown(BaseModel, Generic[Shown]):
    """A stretch of a longer list. A cursor is opaque; null where nothing is further on that way."""

    items: list[Shown]
    older: str | None = None
    """Goes on to what was before in time."""
    newer: str | None = None
    """Goes on to what came after it."""


class ChannelShown(BaseModel):
    """The place of a session."""

    front: Front
    id: str
    key: str
    kind: ChannelKind
    name: str
    guild_id: str | None = None
    guild_name: str | None = None
    parent_id: str | None = None


class SessionShown(BaseModel):
    """A session, without its messages."""

    id: str
    title: str
    channel: ChannelShown
    type: SessionType
    persona: str | None = None
    """Who speaks there; null, whoever fits."""
    participants: list[Sender]
    opened_at: AwareDatetime
    last_at: AwareDatetime
    """When a person last spoke there."""
    closed_at: AwareDatetime | None = None
    message_count: int
    """Those in sight."""
    tags: list[str]
    starred: bool
    archived: bool
    deleted_at: AwareDatetime | None = None
    """Since when it is out of sight, to be brought back until retention removes it."""
    parent_id: str | None = None
    """The id of the session that it branched from,"""
    branched_at: str | None = None
    """and of the last message that it took from there."""
    follows: str | None = None
    """The id of the session that it goes on from."""
    merged_into: str | None = None
    """The id of the session that it became a part of."""
    context: SessionContext | None = None
    """Only where one session is asked for."""
    mine: bool
    """Whether it is in the caller's own place on the web."""


class TextShown(BaseModel):
    """Words; as `system`, those that the program added for people."""

    type: Literal["text", "system"]
    text: str


class AttachmentShown(BaseModel):
    """A file beside a message."""

    type: Literal["image", "audio", "video", "file"]
    name: str
    media_type: str | None = None
    size: int
    hash: str | None = None
    """Of its bytes, where the bot holds them."""
    description: str
    url: str | None = None
    """Where its bytes are, on this front; null where the bot does not hold them."""


PartShown = Annotated[
    TextShown | AttachmentShown | ToolCall | ToolResponse | MemoryReference, Field(discriminator="type")
]


class EditShown(BaseModel):
    """What a message said until it was edited."""

    text: str
    at: AwareDatetime


class ReactionShown(BaseModel):
    """One emoji on a message, and whose."""

    emoji: str
    count: int
    mine: bool
    names: list[str]


class AnnotationShown(BaseModel):
    """What somebody noted on a message."""

    id: str
    kind: str
    text: str
    sender: Sender
    at: AwareDatetime
    mine: bool


class MessageShown(BaseModel):
    """One thing said."""

    id: str
    session_id: str
    role: Role
    sender: Sender
    persona: str | None = None
    """The name of the persona that said it."""
    text: str
    """All of its words, as Markdown."""
    html: str | None = None
    """Its words as HTML that can do nothing, where that was asked for, and not of too much at once."""
    parts: list[PartShown]
    at: AwareDatetime
    reply_to: str | None = None
    """The id of the message it replies to or answers."""
    outcome: Outcome
    usage: Usage | None = None
    edits: list[EditShown]
    """Earlier wordings, oldest first."""
    reactions: list[ReactionShown]
    annotations: list[AnnotationShown]
    pinned: bool
    seen: bool = True
    """False for a wish by a button, which stands nowhere in the talk."""
    deleted_at: AwareDatetime | None = None
    metadata: dict[str, JsonValue]
    """`why`, `placed`, `lines`, `decision` and `recalled`, where it has them."""


def session_shown(session: Session, caller: Caller, *, context: bool = False) -> SessionShown:
    """A session that was just read as a caller sees it; any other `shown_now` tells."""
    return SessionShown(
        id=session.id,
        title=session.title,
        channel=channel_shown(session.channel),
        type=session.type,
        persona=session.persona,
        participants=list(session.participants),
        opened_at=session.opened_at,
        last_at=session.last_at,
        closed_at=session.closed_at,
        message_count=session.message_count,
        tags=list(session.tags),
        starred=session.starred,
        archived=session.archived,
        deleted_at=session.deleted_at,
        parent_id=session.parent_id,
        branched_at=session.branched_at,
        follows=session.follows,
        merged_into=session.metadata.get(MERGED),
        context=session.context if context else None,
        mine=session.channel.front == "web" and session.channel.id == caller.person.id,
    )


async def shown_now(desk: Desk, session: Session, caller: Caller) -> SessionShown:
    """A session that was not just read, as a caller sees it now: with its messages counted, and with a title."""
    kept = await desk.store.session(session.id)
    now = latest(desk, kept) if kept is not None else session
    return session_shown(await titled(desk.store, now), caller)


def channel_shown(channel: Channel) -> ChannelShown:
    """A channel as everybody in it sees it."""
    return ChannelShown.model_validate(channel, from_attributes=True)


async def messages_shown(
    desk: Desk, messages: Iterable[Message], caller: Caller, *, html: bool = False
) -> list[MessageShown]:
    """Messages as a caller sees them; with `html` their words as HTML, too."""
    told, ids = list(messages), dict[str, str]()
    for each in told:
        if each.origin:
            ids[each.origin] = each.id
        ids.update({receipt.origin: each.id for receipt in each.receipts})
    elsewhere = list({m.reply_to for m in told if m.reply_to and m.role != "assistant"} - ids.keys())
    if elsewhere:
        ids |= await desk.store.found(elsewhere)
    texts = [each.text for each in told] if html else []
    written = await html_of_each(caller.person.id, texts) if html else [None] * len(told)
    return [
        message_shown(each, caller, replied=ids.get(each.reply_to or "") or None, html=words)
        for each, words in zip(told, written, strict=True)
    ]


def message_shown(
    message: Message, caller: Caller, *, replied: str | None = None, html: str | None = None
) -> MessageShown:
    """A message as a caller sees it; `replied` is the id of what a person's line replies to."""
    me = caller.person.id
    return MessageShown(
        id=message.id,
        session_id=message.session_id,
        role=message.role,
        sender=message.sender,
        persona=message.persona,
        text=message.text,
        html=html,
        parts=[_part(part, message.id) for part in message.parts],
        at=message.at,
        reply_to=message.reply_to if message.role == "assistant" else replied,
        outcome=message.outcome,
        usage=message.usage,
        edits=[EditShown(text=_words(edit.parts), at=edit.at) for edit in message.edits],
        reactions=_reactions(message, me) if message.reactions else [],
        annotations=[
            AnnotationShown(**each.model_dump(), mine=each.sender.id == me)
            for each in message.annotations
            if each.kind != DROPPED
        ],
        pinned=message.pinned,
        seen=not message.metadata.keys() >= UNSEEN.keys(),
        deleted_at=message.deleted_at,
        metadata=_metadata(message) if message.metadata else {},
    )


def _part(part: object, message_id: str) -> PartShown:
    match part:
        case Text() | Note():
            return TextShown(type=part.type, text=part.text)
        case Attachment():
            known = part.model_dump(include={"type", "name", "media_type", "size", "description"})
            url = f"/api/chat/attachments/{part.blob}?message={message_id}" if part.blob else None
            return AttachmentShown(**known, hash=part.blob, url=url)
        case ToolCall() | ToolResponse() | MemoryReference():
            return part
    raise TypeError(type(part))


def _words(parts: Sequence[object]) -> str:
    return "".join(part.text for part in parts if isinstance(part, Text | Note))


def _reactions(message: Message, me: str) -> list[ReactionShown]:
    by_emoji: dict[str, list[Sender]] = {}
    for each in message.reactions:
        by_emoji.setdefault(each.emoji, []).append(each.sender)
    return [
        ReactionShown(
            emoji=emoji,
            count=len(people),
            mine=any(person.id == me for person in people),
            names=[person.name for person in people],
        )
        for emoji, people in by_emoji.items()
    ]


def _metadata(message: Message) -> dict[str, JsonValue]:
    """What may be told of how a message came to be: ids and rules, and nobody's words."""
    told: dict[str, JsonValue] = {name: message.metadata[name] for name in _PLAIN if name in message.metadata}
    decision, recalled = _read(message, "decision"), _read(message, "recalled")
    if isinstance(decision, dict):
        told["decision"] = decision
    if isinstance(recalled, list):
        told["recalled"] = [
            {name: each[name] for name in _RECALLED if name in each} for each in recalled if isinstance(each, dict)
        ]
    return told


def _read(message: Message, name: str) -> JsonValue:
    if name not in message.metadata:
        return None
    try:
        found: JsonValue = json.loads(message.metadata[name])
    except ValueError:
        return None
    return found
