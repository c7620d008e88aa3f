"""The data model: frozen values whose JSON is the only wire form of what happened."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

Front = Literal["discord", "web", "terminal"]
ChannelKind = Literal["channel", "thread", "dm", "web", "terminal"]
SessionType = Literal["chat", "panel", "workflow", "playground", "interview"]
Role = Literal["user", "assistant", "system", "tool"]
Outcome = Literal["whole", "stopped", "cut"]
"""How an answer ended: said in full, stopped by a person, or cut off by a failure."""
Finite = Annotated[float, Field(ge=-(2.0**127), le=2.0**127)]
Count = Annotated[int, Field(ge=0, le=2**56)]


class Value(BaseModel):
    """A value without identity of its own: equal when its fields are, and never changed in place."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Channel(Value):
    """A place behind a door: a guild channel, a thread, a DM, a web room or a terminal."""

    front: Front
    id: str
    kind: ChannelKind
    name: str
    guild_id: str | None = None
    guild_name: str | None = None
    parent_id: str | None = None
    """The channel a thread hangs on; for a DM the other person's id."""
    past_names: tuple[str, ...] = ()
    """Earlier names, oldest first."""
    past_guild_names: tuple[str, ...] = ()
    """Earlier names of its guild, as they were seen here."""

    @property
    def key(self) -> str:
        """`front:id`, unique in a bot's storage."""
        return f"{self.front}:{self.id}"

    @property
    def safe_name(self) -> str:
        """A readable name safe in any file system, unique by its id and bounded to 120 bytes."""
        owner = self.parent_id if self.kind == "dm" and self.parent_id else self.id
        tail = re.sub(r"[^A-Za-z0-9]+", "-", owner)[:60]
        kept = "".join(c if c.isalnum() else "-" for c in unicodedata.normalize("NFC", self.name))
        readable = re.sub(r"-+", "-", kept).strip("-").lower().encode()[: 119 - len(tail)].decode(errors="ignore")
        return f"{readable or self.kind}_{tail}"


class Text(Value):
    """Words."""

    type: Literal["text"] = "text"
    text: str


class Note(Value):
    """Words the program added for people (a fallback's notice, say): shown and kept, never sent to a model."""

    type: Literal["system"] = "system"
    text: str


class Attachment(Value):
    """A file beside a message, kept as a reference to where its front holds it."""

    type: Literal["image", "audio", "video", "file"]
    name: str
    url: str
    media_type: str | None = None
    size: Count = 0
    """Bytes."""
    blob: str | None = None
    """The hash of its bytes in the bot's own blobs, once they were fetched."""
    description: str = ""
    """What it shows, for those who cannot see it."""


class ToolCall(Value):
    """What a persona had a tool do."""

    type: Literal["tool_call"] = "tool_call"
    call_id: str
    tool: str
    function: str = ""
    arguments: JsonValue = None


class ToolResponse(Value):
    """What a tool gave back."""

    type: Literal["tool_response"] = "tool_response"
    call_id: str
    tool: str
    result: JsonValue = None
    error: str | None = None


class MemoryReference(Value):
    """A memory that was recalled for a message."""

    type: Literal["memory_reference"] = "memory_reference"
    memory_id: str
    memory_type: str = ""
    relevance: Finite = 0.0
    context: str = ""


Part = Annotated[Text | Note | Attachment | ToolCall | ToolResponse | MemoryReference, Field(discriminator="type")]


class Sender(Value):
    """Who said it. A `persona` is a voice of this bot; a `bot` is somebody else's program."""

    type: Literal["user", "persona", "bot", "system"]
    id: str
    name: str


class Usage(Value):
    """What an answer took. Token counts are the provider's own; `cost_micros` is millionths of a US dollar,
    None where the model has no known price."""

    provider: str
    model: str
    tokens_in: Count = 0
    tokens_out: Count = 0
    cache_read: Count = 0
    cache_write: Count = 0
    cost_micros: Count | None = None
    seconds: float = Field(default=0.0, allow_inf_nan=False)


class Receipt(Value):
    """Proof that a page of an answer arrived: `origin` is where it now stands."""

    origin: str
    page: Annotated[int, Field(ge=0, lt=2**31)]


class Edit(Value):
    """What a message said until it was edited at a time."""

    parts: tuple[Part, ...]
    at: datetime


class Reaction(Value):
    """One emoji of one person on a message."""

    emoji: str
    sender: Sender
    at: datetime


class Annotation(Value):
    """What somebody noted on a message: a thumb, a remark, an insight."""

    id: str
    kind: str
    text: str = ""
    sender: Sender
    at: datetime


class Message(Value):
    """One thing said, by a person or a bot. What is said about it later comes as an amendment."""

    id: str
    origin: str | None = None
    """`front:channel:id` of the event it came from, unique: a redelivered event is the same message."""
    session_id: str
    role: Role
    sender: Sender
    persona: str | None = None
    parts: tuple[Part, ...]
    at: datetime
    reply_to: str | None = None
    """For a person's line the origin it replies to; for an answer the id of the message it answers."""
    asker: str | None = None
    """The id of the one who was answered: told by a store once the question is removed for good, until then None; or by
    a reader of old data that does not hold the question."""
    outcome: Outcome = "whole"
    usage: Usage | None = None
    receipts: tuple[Receipt, ...] = ()
    edits: tuple[Edit, ...] = ()
    """Earlier wordings, oldest first."""
    reactions: tuple[Reaction, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    pinned: bool = False
    """Kept whatever retention says."""
    deleted_at: datetime | None = None
    """When it was taken away from people's sight; retention removes it for good."""
    metadata: dict[str, str] = {}

    @property
    def text(self) -> str:
        """Every word of it as people see it."""
        if len(self.parts) == 1 and type(self.parts[0]) is Text:  # nearly always, and asked of every line of a page
            return self.parts[0].text
        return "".join(part.text for part in self.parts if isinstance(part, Text | Note))

    @property
    def words(self) -> str:
        """What its sender said, without the program's notes."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        if len(self.parts) == 1 and type(self.parts[0]) is Text:  # nearly always, and asked of every line of a prompt
            return ()
        return tuple(part for part in self.parts if isinstance(part, Attachment))

    @property
    def blobs(self) -> frozenset[str]:
        """The hashes of the stored files it refers to, in its earlier wordings too."""
        wordings = (self.parts, *(edit.parts for edit in self.edits))
        return frozenset(p.blob for parts in wordings for p in parts if isinstance(p, Attachment) and p.blob)


class SessionContext(Value):
    """What a session is about, carried beside its messages."""

    summary: str = ""
    goals: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    shared_knowledge: tuple[str, ...] = ()
    active_tools: tuple[str, ...] = ()


class Session(Value):
    """Messages with no long silence between them, in one channel."""

    id: str
    channel: Channel
    type: SessionType = "chat"
    title: str = ""
    persona: str | None = None
    participants: tuple[Sender, ...] = ()
    context: SessionContext = SessionContext()
    opened_at: datetime
    last_at: datetime
    """When a person last spoke: the only thing that moves the gap clock."""
    closed_at: datetime | None = None
    message_count: int = 0
    follows: str | None = None
    """The session before it in the channel, whose carry-over it starts with."""
    parent_id: str | None = None
    """The session it was branched from."""
    branched_at: str | None = None
    """The id of the message after which it was branched."""
    tags: tuple[str, ...] = ()
    starred: bool = False
    """Kept whatever retention says."""
    archived: bool = False
    """Put out of people's way, and still found."""
    deleted_at: datetime | None = None
    """When it was taken away from people's sight, its messages with it; retention removes it for good."""
    metadata: dict[str, str] = {}

    @property
    def full_name(self) -> str:
        """The id, with the duration in seconds once closed: `2024-01-08_14-30-00_k3f9_3600s`."""
        if self.closed_at is None:
            return self.id
        return f"{self.id}_{max(0, int((self.last_at - self.opened_at).total_seconds()))}s"


class Counts(Value):
    """How much a store holds."""

    channels: int
    sessions: int
    open_sessions: int
    messages: int
    """Soft-deleted ones included."""
    records: dict[str, int] = {}
    """By kind; one of which there is none is absent."""


class Found(Value):
    """A message that a search came upon."""

    message: Message
    snippet: str
    """The stretch of its words that tells why."""
    hits: tuple[tuple[int, int], ...]
    """Where in the snippet the words sought stand: from, to, in characters."""
    score: float


class Spending(Value):
    """What answers took, over one day, person, channel, persona or model."""

    key: str
    answers: int
    tokens_in: int
    tokens_out: int
    cache_read: int
    cache_write: int
    cost_micros: int
    unpriced: int
    """Answers whose price is not known, and so not in `cost_micros`."""


def storable(text: str) -> str:
    """The text as it can be kept and shown anywhere: halves of a surrogate pair joined, and what is left of them
    replaced by U+FFFD, like NUL."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")


_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case


def message_id(at: datetime, chance: int) -> str:
    """A 20-character id that sorts by time: 48 bits of milliseconds, then the low 50 bits of `chance`."""
    return _base32(int(at.timestamp() * 1000), 10) + _base32(chance, 10)


def session_id(at: datetime, chance: int) -> str:
    """The start in UTC and a short tail from the low 20 bits of `chance`: `2024-01-08_14-30-00_k3f9`."""
    return f"{at:%Y-%m-%d_%H-%M-%S}_{_base32(chance, 4)}"


def _base32(number: int, width: int) -> str:
    return "".join(_ALPHABET[(number >> (5 * place)) & 31] for place in reversed(range(width)))
