"""What of the talk, and of what was learned from it, stands in the index of memories."""

from __future__ import annotations

from storage.memory_index import Entry
from storage.model import Message
from storage.records import Memory

from .carrying import is_copy
from .retelling import retells


def tells(message: Message) -> bool:
    """Whether somebody said something of their own in it: not a notice, a copy, or an answer that tells of others."""
    said = message.role in ("user", "assistant") and message.sender.type != "system"
    there = said and message.deleted_at is None and bool(message.words.strip())
    return there and not is_copy(message) and not retells(message)


def turn_entry(message: Message, heard_by: str) -> Entry:
    return Entry(
        id=message.id,
        audience=heard_by,
        kind="turn",
        session_id=message.session_id,
        speaker=message.sender.name,
        subject=f"user:{message.sender.id}" if message.sender.type == "user" else "",
        at=message.at,
        text=message.words,
    )


def fact_entry(fact: Memory) -> Entry:
    return Entry(
        id=fact.id,
        audience=fact.audience,
        kind="fact",
        session_id=None,
        speaker="",
        subject=fact.subject,
        at=fact.at,
        text=fact.text,
        importance=fact.importance,
        source=fact.source,
        touched_at=fact.touched_at,
        access_count=fact.access_count,
    )
