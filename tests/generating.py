"""Stores with everything that a store can hold, made up by hypothesis: for round trips through other forms."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from storage.backend import Store
from storage.blobs import Blobs
from storage.model import (
    Annotation,
    Attachment,
    Channel,
    Edit,
    MemoryReference,
    Message,
    Note,
    Part,
    Reaction,
    Receipt,
    Sender,
    Session,
    SessionContext,
    Text,
    ToolCall,
    ToolResponse,
    Usage,
)
from storage.records import (
    AuditEntry,
    Memory,
    Opening,
    Profile,
    Record,
    Run,
    Setting,
    Spent,
    Template,
    Tombstone,
    Vector,
)

NOON = datetime(2024, 1, 8, 12, 0, tzinfo=UTC)
PLACES = (
    Channel(front="discord", id="100", kind="channel", name="général", guild_id="1", guild_name="Troupers"),
    Channel(front="discord", id="101", kind="thread", name="a thread", guild_id="1", parent_id="100"),
    Channel(front="discord", id="200", kind="dm", name="ann", parent_id="7", past_names=("anna",)),
    Channel(front="web", id="room", kind="web", name="../web room"),
    Channel(front="terminal", id="here", kind="terminal", name="terminal"),
)
SENDERS = (
    Sender(type="user", id="7", name="Ann"),
    Sender(type="user", id="8", name="علي"),
    Sender(type="persona", id="sage", name="Sage"),
    Sender(type="bot", id="9", name="other bot"),
    Sender(type="system", id="merge", name="merge"),
)
FILES = {
    hashlib.sha256(data).hexdigest(): data for data in (b"", b"words\n", b"\x89PNG\r\n\x1a\nno picture", b"\0" * 70_000)
}
_WORDS = st.one_of(
    st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40),
    st.sampled_from(
        [
            "```python\nprint('hi')\n```",
            "| a | b |\n|---|---|\n| 1 | 2 |",
            "<script>alert(1)</script> [x](javascript:alert(1))",
            "你好，世界 🙂 👩‍👩‍👧 مرحبا",
            "line\r\nline\u2028end",
            "",
        ]
    ),
)
_TIMES = st.integers(0, 10**9).map(lambda n: NOON + timedelta(milliseconds=n))
_NAMES = st.sampled_from(["cat.png", "../../etc/passwd", "a b?.txt", "файл.pdf", "CON", "x" * 200])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=3),
    max_leaves=5,
)
_METADATA = st.dictionaries(st.sampled_from(["from", "kept", "note"]), _WORDS, max_size=2)
_FILE = st.builds(
    Attachment,
    type=st.sampled_from(["image", "audio", "video", "file"]),
    name=_NAMES,
    url=st.integers(0, 5).map(lambda n: f"https://cdn.discordapp.com/attachments/1/{n}/file"),
    media_type=st.sampled_from([None, "image/png", "text/plain"]),
    size=st.integers(0, 10**9),
    blob=st.sampled_from([None, *FILES]),
    description=_WORDS,
)
_PART: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, text=_WORDS),
    st.builds(Note, text=_WORDS),
    _FILE,
    st.builds(ToolCall, call_id=_NAMES, tool=_WORDS, function=_WORDS, arguments=_JSON),
    st.builds(ToolResponse, call_id=_NAMES, tool=_WORDS, result=_JSON, error=st.none() | _WORDS),
    st.builds(
        MemoryReference, memory_id=_NAMES, memory_type=_WORDS, relevance=st.floats(0, 1, width=32), context=_WORDS
    ),
)
_PARTS = st.lists(_PART, min_size=1, max_size=3).map(tuple)
_SENDER = st.sampled_from(SENDERS)
_USAGE = st.builds(
    Usage,
    provider=st.just("openai"),
    model=st.sampled_from(["gpt", "other"]),
    tokens_in=st.integers(0, 10**6),
    tokens_out=st.integers(0, 10**6),
    cost_micros=st.none() | st.integers(0, 10**6),
    seconds=st.floats(0, 100, width=32),
)


@dataclass(frozen=True)
class Generated:
    """What a store is to hold. Every session has messages; every blob a message names is in `FILES`."""

    channels: tuple[Channel, ...]
    sessions: tuple[Session, ...]
    messages: tuple[Message, ...]
    records: tuple[Record, ...]


@st.composite
def generated(draw: st.DrawFn) -> Generated:
    """A few sessions in some places, with messages of every kind, edited, deleted, reacted to; and records."""
    sessions: list[Session] = []
    for number in range(draw(st.integers(1, 4))):
        opened = draw(_TIMES)
        sessions.append(
            Session(
                id=f"2024-01-08_12-00-00_{number:04d}",
                channel=draw(st.sampled_from(PLACES)),
                type=draw(st.sampled_from(["chat", "panel", "workflow", "playground", "interview"])),
                title=draw(_WORDS),
                persona=draw(st.sampled_from([None, "sage"])),
                participants=draw(st.lists(_SENDER, max_size=2, unique_by=lambda each: each.id).map(tuple)),
                context=SessionContext(summary=draw(_WORDS), goals=("finish",), shared_knowledge=(draw(_WORDS),)),
                opened_at=opened,
                last_at=opened + timedelta(seconds=draw(st.integers(0, 9999))),
                closed_at=draw(st.none() | _TIMES),
                follows=draw(st.sampled_from([None, *(each.id for each in sessions)])),
                parent_id=draw(st.sampled_from([None, *(each.id for each in sessions)])),
                branched_at=draw(st.sampled_from([None, "m0"])),
                tags=draw(st.sampled_from([(), ("news",), ("news", "été")])),
                starred=draw(st.booleans()),
                archived=draw(st.booleans()),
                deleted_at=draw(st.none() | st.none() | _TIMES),
                metadata=draw(_METADATA),
            )
        )
    messages = tuple(draw(_message(number, sessions)) for number in range(draw(st.integers(1, 12))))
    used = {message.session_id for message in messages}
    kept = tuple(session for session in sessions if session.id in used)
    channels = {session.channel.key: session.channel for session in kept}
    return Generated(
        tuple(channels.values()), kept, messages, tuple(draw(st.lists(_RECORD, max_size=6, unique_by=_key)))
    )


async def fill(store: Store, given: Generated, blobs: Blobs | None = None) -> None:
    """Puts all of it into an empty store."""
    for channel in given.channels:
        await store.keep_channel(channel)
    sessions = {session.id: session for session in given.sessions}
    for session in given.sessions:
        await store.save_session(session)
    for message in given.messages:
        assert await store.append(sessions[message.session_id], message)
    await store.keep(*given.records)
    if blobs is not None:
        for hash in {hash for message in given.messages for hash in message.blobs}:
            await blobs.keep(_once(FILES[hash]), limit=1 << 20)


async def _once(data: bytes):  # type: ignore[no-untyped-def]
    yield data


@st.composite
def _message(draw: st.DrawFn, number: int, sessions: list[Session]) -> Message:
    sender, at = draw(_SENDER), draw(_TIMES)
    return Message(
        id=f"m{number}",
        origin=draw(st.sampled_from([None, f"discord:100:{number}"])),
        session_id=draw(st.sampled_from(sessions)).id,
        role={"user": "user", "persona": "assistant", "bot": "user", "system": "system"}[sender.type],
        sender=sender,
        persona="sage" if sender.type == "persona" else None,
        parts=draw(_PARTS),
        at=at,
        reply_to=draw(st.sampled_from([None, "m0", "discord:100:0"])),
        asker=draw(st.sampled_from([None, "7"])),
        outcome=draw(st.sampled_from(["whole", "stopped", "cut"])),
        usage=draw(st.none() | _USAGE),
        receipts=draw(st.sampled_from([(), (Receipt(origin=f"discord:100:{number + 1000}", page=0),)])),
        edits=draw(st.lists(st.builds(Edit, parts=_PARTS, at=_TIMES), max_size=1).map(tuple)),
        reactions=draw(st.sampled_from([(), (Reaction(emoji="👍", sender=SENDERS[0], at=NOON),)])),
        annotations=draw(
            st.sampled_from([(), (Annotation(id="a", kind="insight", text="!", sender=SENDERS[1], at=NOON),)])
        ),
        pinned=draw(st.booleans()),
        deleted_at=draw(st.none() | st.none() | _TIMES),
        metadata=draw(_METADATA),
    )


_IDS = st.sampled_from(["r1", "r2", "r3"])
_RECORD: st.SearchStrategy[Record] = st.one_of(
    st.builds(
        Memory,
        id=_IDS,
        at=_TIMES,
        type=st.sampled_from(["episodic", "semantic", "procedural", "working"]),
        audience=st.sampled_from(["bot", "user:7", "discord:100"]),
        subject=st.just("user:7"),
        text=_WORDS,
        vector=st.sampled_from([None, Vector(model="small", values=(0.25, -1.5, 3.0))]),
        importance=st.floats(0, 1, width=32),
        touched_at=st.none() | _TIMES,
        source=st.none() | st.just("m0"),
        links=st.just(("r2",)),
        metadata=_METADATA,
    ),
    st.builds(
        Run,
        id=_IDS,
        at=_TIMES,
        type=st.just("panel"),
        state=st.just("done"),
        data=st.dictionaries(_WORDS, _JSON, max_size=2),
    ),
    st.builds(
        Profile,
        id=_IDS,
        at=_TIMES,
        name=_WORDS,
        past_names=st.just(("Anna",)),
        preferences=st.dictionaries(_WORDS, _JSON, max_size=2),
    ),
    st.builds(
        AuditEntry,
        id=_IDS,
        at=_TIMES,
        actor=_SENDER,
        action=st.just("set"),
        target=_WORDS,
        details=st.dictionaries(_WORDS, _JSON, max_size=2),
    ),
    st.builds(Spent, id=_IDS, at=_TIMES, usage=_USAGE, user_id=st.just("7"), channel_key=st.just("discord:100")),
    st.builds(Setting, id=_IDS, at=_TIMES, values=st.dictionaries(_WORDS, _JSON, max_size=2), by=_SENDER),
    st.builds(
        Template,
        id=_IDS,
        at=_TIMES,
        name=_WORDS,
        audience=st.sampled_from(["bot", "discord:100"]),
        by=_SENDER,
        people=st.just(("7", "8")),
        title=_WORDS,
        goals=st.just(("win",)),
        opening=st.just((Opening(role="user", text="Begin."),)),
    ),
    st.builds(Tombstone, id=_IDS, at=_TIMES),
)


def _key(record: Record) -> tuple[str, str]:
    return record.kind, record.id
