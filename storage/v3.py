"""Messages, sessions and memories as the third Flatfile chat database keeps them, and read back from there.

What that format has no field for stands under `metadata.troupe`: the model's own JSON. It is believed as long as the
rest says the same; where another program has changed the rest, the rest counts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from .legacy.reading import TIMELESS, flat, known_id, told, when, words
from .legacy.talks import plain
from .model import (
    Attachment,
    Channel,
    MemoryReference,
    Message,
    Note,
    Part,
    Role,
    Sender,
    Session,
    SessionContext,
    SessionType,
    Text,
    ToolCall,
    ToolResponse,
)
from .records import Memory, Vector

Model = TypeVar("Model", bound=BaseModel)

_OURS = "troupe"
_SENDERS = {"user": "user", "bot": "user", "persona": "agent", "system": "system"}
_FOLDERS = {"image": "multimodal/images", "audio": "multimodal/audio", "video": "multimodal/video", "file": "documents"}
_KINDS: Mapping[str, SessionType] = {each: each for each in ("chat", "panel", "workflow", "playground", "interview")}


def blob_name(part: Attachment) -> str:
    """Where in a session's folder the bytes of a kept file stand."""
    name = re.sub(r"[^\w.-]+|^\.+", "-", part.name).encode()[-80:].decode(errors="ignore")
    return f"{_FOLDERS[part.type]}/{(part.blob or '')[:16]}_{name or 'file'}"


def files_of(message: Message) -> list[Attachment]:
    """The files beside a message, those of its earlier wordings too."""
    wordings = (message.parts, *(edit.parts for edit in message.edits))
    return [part for parts in wordings for part in parts if isinstance(part, Attachment)]


def message_as_v3(message: Message) -> dict[str, Any]:
    """One message: `sender`, `content` by type, `timestamp`, `tool_calls`, `tool_responses`, `memory_refs`."""
    kind = "tool" if message.role == "tool" else _SENDERS[message.sender.type]
    parts = message.parts
    return {
        "id": message.id,
        "sender": {"type": kind, "id": message.sender.id, "name": message.sender.name, "metadata": {}},
        "content": [shown for part in parts if (shown := _content(part)) is not None],
        "timestamp": message.at.isoformat(),
        "thread_id": None,
        "parent_id": message.reply_to,
        "session_id": message.session_id,
        "tool_calls": [
            {"tool_id": part.tool, "function": part.function, "arguments": part.arguments, "call_id": part.call_id}
            for part in parts
            if isinstance(part, ToolCall)
        ],
        "tool_responses": [
            {"call_id": part.call_id, "tool_id": part.tool, "result": part.result, "error": part.error}
            for part in parts
            if isinstance(part, ToolResponse)
        ],
        "memory_refs": [
            {
                "memory_id": part.memory_id,
                "memory_type": part.memory_type,
                "relevance_score": part.relevance,
                "context": part.context,
            }
            for part in parts
            if isinstance(part, MemoryReference)
        ],
        "metadata": {_OURS: message.model_dump(mode="json")},
    }


def session_as_v3(session: Session) -> dict[str, Any]:
    """The `metadata.json` of a session."""
    capabilities = {"user": ["text"], "persona": ["text"], "bot": ["text"], "system": []}
    return {
        "id": session.id,
        "type": session.type,
        "title": session.title,
        "participants": [
            {
                "id": each.id,
                "type": _SENDERS[each.type],
                "role": "member",
                "name": each.name,
                "capabilities": capabilities[each.type],
            }
            for each in session.participants
        ],
        "context": {
            "summary": session.context.summary or None,
            "goals": list(session.context.goals),
            "constraints": list(session.context.constraints),
            "shared_knowledge": {str(number): each for number, each in enumerate(session.context.shared_knowledge)},
            "active_tools": list(session.context.active_tools),
        },
        "memory_scope": {"session_specific": True},
        "capabilities": ["memory"],
        "created_at": session.opened_at.isoformat(),
        "updated_at": session.last_at.isoformat(),
        "message_count": session.message_count,
        "active": session.closed_at is None,
        "metadata": {_OURS: session.model_dump(mode="json")},
    }


def memory_as_v3(memory: Memory) -> dict[str, Any]:
    """One memory, as `MemoryEntry` has it."""
    return {
        "id": memory.id,
        "type": memory.type,
        "content": memory.text,
        "embedding": list(memory.vector.values) if memory.vector else None,
        "source_id": memory.source,
        "timestamp": memory.at.isoformat(),
        "access_count": memory.access_count,
        "last_accessed": memory.touched_at.isoformat() if memory.touched_at else None,
        "importance": memory.importance,
        "associations": list(memory.links),
        "metadata": {_OURS: memory.model_dump(mode="json")},
    }


def message_from_v3(value: Mapping[str, Any], session: Session, zone: tzinfo, before: datetime | None) -> Message | str:
    """A message of a session; or why it is none, in a sentence. `before` is the time of the message before it, for one
    without a time of its own."""
    if (ours := _own(value, Message, message_as_v3)) is not None and ours.session_id == session.id:
        return ours
    at = when(value.get("timestamp"), zone)
    if at is None and value.get("timestamp") not in (None, ""):
        return f"Its timestamp is no time ({told(value.get('timestamp'))[:40]})."
    if at is None and (at := before) is None:
        return "It has no timestamp, and nothing before it has one."
    sender = value.get("sender")
    if not isinstance(sender, Mapping) or sender.get("type") not in ("user", "agent", "system", "tool"):
        return "Its sender's type is none of user, agent, system and tool."
    parts = _parts(value)
    if isinstance(parts, str):
        return parts
    legacy = told(value.get("id") or "")
    extra = {**flat(value.get("metadata"), _OURS), **flat({"thread_id": value.get("thread_id")})}
    extra |= {f"sender_{key}": text for key, text in flat(sender.get("metadata")).items()}
    parent = words(value.get("parent_id"))
    return Message(
        id=foreign_id(session.id, legacy or told([value.get("timestamp"), value.get("content")])),
        session_id=session.id,
        role=_role(sender["type"]),
        sender=_sender(sender),
        persona=told(sender.get("id") or "agent") if sender["type"] == "agent" else None,
        parts=parts,
        at=at,
        reply_to=foreign_id(session.id, parent) if parent else None,
        metadata={"from": "flatfile_v3", **_legacy(legacy), **extra},
    )


def session_from_v3(value: Mapping[str, Any], channel: Channel, zone: tzinfo, at: datetime) -> Session:
    """A session; what it does not tell, such as its times, is taken from `at`. One of ours keeps its own channel."""
    if (ours := _own(value, Session, session_as_v3)) is not None:
        return ours
    legacy = told(value.get("id") or "")
    opened = when(value.get("created_at"), zone) or at
    context = value.get("context")
    known = context if isinstance(context, Mapping) else {}
    people = [each for each in _listed(value, "participants") if isinstance(each, Mapping)]
    left = flat(value, "id", "type", "title", "participants", "context", "created_at", "updated_at", "message_count",
                "active", "metadata")  # fmt: skip
    roles = {
        told(each.get("id")): {k: each[k] for k in ("role", "capabilities", "metadata") if each.get(k)}
        for each in people
    }
    return Session(
        id=foreign_session_id(channel, legacy, when(value.get("created_at"), UTC) or TIMELESS),
        channel=channel,
        type=_KINDS.get(str(value.get("type")), "chat"),
        title=words(value.get("title")) or "",
        participants=tuple(_sender(each) for each in people),
        context=SessionContext(
            summary=words(known.get("summary")) or "",
            goals=_texts(known, "goals"),
            constraints=_texts(known, "constraints"),
            shared_knowledge=tuple(f"{key}: {text}" for key, text in flat(known.get("shared_knowledge")).items()),
            active_tools=_texts(known, "active_tools"),
        ),
        opened_at=opened,
        last_at=max(opened, when(value.get("updated_at"), zone) or opened),
        closed_at=None if value.get("active") is True else max(opened, when(value.get("updated_at"), zone) or opened),
        metadata={
            "from": "flatfile_v3",
            **_legacy(legacy),
            **left,
            **flat({"participants": roles if any(roles.values()) else None}),
            **flat(value.get("metadata"), _OURS),
        },
    )


def memory_from_v3(value: Mapping[str, Any], audience: str, subject: str, zone: tzinfo, at: datetime) -> Memory | str:
    """A memory for an audience; or why it is none."""
    if (ours := _own(value, Memory, memory_as_v3)) is not None:
        return ours
    if value.get("type") not in ("episodic", "semantic", "procedural", "working"):
        return "Its type is none of episodic, semantic, procedural and working."
    text = words(value.get("content"))
    if not text:
        return "It has no content."
    embedding, legacy = value.get("embedding"), told(value.get("id") or "")
    numbers = embedding if isinstance(embedding, list) and embedding else None
    try:
        return Memory(
            id=foreign_id(audience, legacy or known_id(TIMELESS, text)),
            at=when(value.get("timestamp"), zone) or at,
            type=value["type"],
            audience=audience,
            subject=subject,
            text=text,
            vector=Vector(model=f"legacy:{len(numbers)}", values=tuple(numbers)) if numbers else None,
            importance=min(1.0, max(0.0, float(value.get("importance", 0.5)))),
            touched_at=when(value.get("last_accessed"), zone),
            access_count=max(0, int(value.get("access_count") or 0)),
            source=words(value.get("source_id")),
            links=tuple(foreign_id(audience, each) for each in _texts(value, "associations")),
            metadata={"from": "flatfile_v3", **_legacy(legacy), **flat(value.get("metadata"), _OURS)},
        )
    except (TypeError, ValueError):
        return "Its numbers (importance, access_count, embedding) are none."


def foreign_id(of: str, legacy: str) -> str:
    """The id of a message of a session, or of a memory of an audience, that has one of another program's; the same for
    each reference to it."""
    return f"v3-{hashlib.sha256(f'{of}/{legacy}'.encode()).hexdigest()[:24]}"


def foreign_session_id(channel: Channel, legacy: str, opened: datetime) -> str:
    """An id like the others' for a session that has one of another program's."""
    return f"{opened.astimezone(UTC):%Y-%m-%d_%H-%M-%S}_{known_id(opened, 'v3', channel.key, legacy)[-8:]}"


def _legacy(id: str) -> dict[str, str]:
    return {"legacy_id": id} if id else {}


def _own(value: Mapping[str, Any], kind: type[Model], shown: Any) -> Model | None:
    """What the model's own JSON in a value says, if the rest of the value still says the same."""
    metadata = value.get("metadata")
    ours = metadata.get(_OURS) if isinstance(metadata, Mapping) else None
    if ours is None:
        return None
    try:
        found = kind.model_validate(plain(ours))
    except ValidationError:
        return None
    return found if is_placed(found) and shown(found) == dict(value) else None


def is_placed(item: BaseModel) -> bool:
    """Whether its times say where they are, in years that a store takes."""
    times = [value for _, value in item if isinstance(value, datetime)]
    return all(each.utcoffset() is not None and 2 < each.year < 9998 for each in times)


def _content(part: Part) -> dict[str, Any] | None:
    match part:
        case Text(text=text):
            return {"type": "text", "text": text, "format": "markdown"}
        case Note(text=text):
            return {"type": "system", "text": text}
        case Attachment():
            url = blob_name(part) if part.blob else part.url
            alt = {"alt_text": part.description or None, "name": part.name, "size": part.size}
            return {"type": part.type, "url": url, "mime_type": part.media_type, "has_data": bool(part.blob), **alt}
    return None


def _parts(value: Mapping[str, Any]) -> tuple[Part, ...] | str:
    content = value.get("content")
    listed = content if isinstance(content, list) else [content]
    parts: list[Part] = []
    for each in listed:
        part = _part(each)
        if isinstance(part, str):
            return part
        parts.append(part)
    calls = [each for each in _listed(value, "tool_calls") if isinstance(each, Mapping)]
    responses = [each for each in _listed(value, "tool_responses") if isinstance(each, Mapping)]
    references = [each for each in _listed(value, "memory_refs") if isinstance(each, Mapping)]
    try:
        parts += [
            ToolCall(
                call_id=told(each.get("call_id") or ""),
                tool=told(each.get("tool_id") or ""),
                function=told(each.get("function") or ""),
                arguments=plain(each.get("arguments")),
            )
            for each in calls
        ]
        parts += [
            ToolResponse(
                call_id=told(each.get("call_id") or ""),
                tool=told(each.get("tool_id") or ""),
                result=plain(each.get("result")),
                error=words(each.get("error")),
            )
            for each in responses
        ]
        parts += [
            MemoryReference(
                memory_id=told(each.get("memory_id") or ""),
                memory_type=told(each.get("memory_type") or ""),
                relevance=float(each.get("relevance_score") or 0),
                context=told(each.get("context") or ""),
            )
            for each in references
        ]
    except (TypeError, ValueError):
        return "Its tool calls, tool answers or memories have values that are none."
    return tuple(parts) or "It has no content."


def _part(each: object) -> Part | str:
    if isinstance(each, str):
        return Text(text=words(each) or "")
    if not isinstance(each, Mapping):
        return "Its content is neither a text nor an object with a type."
    kind = each.get("type")
    if kind == "text" and isinstance(each.get("text"), str):
        return Text(text=words(each["text"]) or "")
    if kind == "system" and isinstance(each.get("text"), str):
        return Note(text=words(each["text"]) or "")
    if kind in _FOLDERS:
        url = told(each.get("url") or "")
        name = told(each.get("name") or "") or url.replace("\\", "/").rpartition("/")[2] or str(kind)
        size = each.get("size")
        return Attachment(
            type=kind,
            name=name,
            url=url,
            media_type=words(each.get("mime_type")),
            size=size if isinstance(size, int) and 0 <= size < 2**56 else 0,
            description=told(each.get("alt_text") or ""),
        )
    return f"Its content has a type that nobody knows ({told(kind)[:40]})."


def _sender(value: Mapping[str, Any]) -> Sender:
    kind = value.get("type")
    named = told(value.get("name") or value.get("id") or str(kind))
    types: Mapping[object, Any] = {"agent": "persona", "user": "user"}
    return Sender(type=types.get(kind, "system"), id=told(value.get("id") or named), name=named)


def _role(kind: str) -> Role:
    roles: Mapping[str, Role] = {"user": "user", "agent": "assistant", "system": "system", "tool": "tool"}
    return roles[kind]


def _listed(value: Mapping[str, Any], key: str) -> list[Any]:
    found = value.get(key)
    return found if isinstance(found, list) else []


def _texts(value: Mapping[str, Any], key: str) -> tuple[str, ...]:
    return tuple(told(each) for each in _listed(value, key))
