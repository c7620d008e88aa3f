"""What the contract tests put into a store: a few people, places and builders of everything that can be kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from storage.backend import Store
from storage.model import Annotation, Attachment, Channel, Message, Reaction, Sender, Session, Text, Usage
from storage.records import Memory, Vector

NOON = datetime(2024, 1, 8, 12, 0, tzinfo=UTC)
NAIVE = datetime(2024, 1, 8, 12, 0)
GENERAL = Channel(front="discord", id="100", kind="channel", name="general", guild_id="1", guild_name="Troupers")
PRIVATE = Channel(front="discord", id="200", kind="dm", name="ann", parent_id="7")
ANN = Sender(type="user", id="7", name="Ann")
BEN = Sender(type="user", id="8", name="Ben")
SAGE = Sender(type="persona", id="sage", name="Sage")


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def session(name: str = "s1", **fields: Any) -> Session:
    return Session(**{"id": name, "channel": GENERAL, "opened_at": NOON, "last_at": NOON, **fields})


def message(number: int, within: str = "s1", **fields: Any) -> Message:
    given = {
        "id": f"m{number}",
        "origin": f"discord:100:{number}",
        "session_id": within,
        "role": "user",
        "sender": ANN,
        "parts": (Text(text=f"line {number}"),),
        "at": later(number),
    }
    return Message(**{**given, **fields})


def said(number: int, *texts: str, **fields: Any) -> Message:
    return message(number, **{"parts": words(*texts), **fields})


def answer(number: int, to: int, **fields: Any) -> Message:
    given = {"role": "assistant", "sender": SAGE, "persona": "sage", "reply_to": f"m{to}", "usage": usage()}
    return message(number, **{**given, **fields})


def words(*texts: str) -> tuple[Text, ...]:
    return tuple(Text(text=text) for text in texts)


def picture(blob: str | None, **fields: Any) -> Attachment:
    return Attachment(
        **{"type": "image", "name": "cat.png", "url": "https://example.org/cat.png", **fields, "blob": blob}
    )


def usage(cost: int | None = 40, **fields: Any) -> Usage:
    given = {"provider": "openai", "model": "gpt", "tokens_in": 10, "tokens_out": 5, "cache_read": 2, "cache_write": 1}
    return Usage(**{**given, "cost_micros": cost, "seconds": 0.5, **fields})


def reaction(emoji: str = "👍", sender: Sender = ANN) -> Reaction:
    return Reaction(emoji=emoji, sender=sender, at=later(60))


def annotation(id: str = "a1", text: str = "good", **fields: Any) -> Annotation:
    return Annotation(**{"id": id, "kind": "remark", "text": text, "sender": BEN, "at": later(70), **fields})


def memory(id: str, *values: float, **fields: Any) -> Memory:
    given = {"at": NOON, "type": "semantic", "audience": GENERAL.key, "subject": "user:7", "text": f"of {id}"}
    vector = Vector(model="small", values=values) if values else None
    return Memory(**{"id": id, **given, "vector": vector, **fields})


async def tell(store: Store, *told: Message) -> None:
    """Keeps messages, each in a session of its name in `GENERAL`."""
    for each in told:
        assert await store.append(session(each.session_id), each)


async def ids(store: Store, within: str = "s1", limit: int = 100) -> list[str]:
    return [kept.id for kept in await store.messages(within, limit)]
