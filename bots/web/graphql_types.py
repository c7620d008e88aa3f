"""What GraphQL shows: the same sessions, messages, memories and sums that the rest of the API tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NewType

import strawberry

from storage.model import Sender, Usage, storable

from ..events import Anew, Began, Changed, Ended, Event, More, Said, SessionChanged
from .auditing import Act
from .callers import Caller
from .desk import Desk
from .memories import MemoryShown
from .messages import messages
from .problems import Forbidden, WebError
from .rendering import html_of
from .sessions import shown
from .shapes import MessageShown, SessionShown, messages_shown, session_shown, shown_now
from .talking import Talking
from .tokens import Scope

Long = NewType("Long", int)
"""A whole number beyond 32 bits."""
MOST = 100
"""Of a list at once."""


@dataclass
class Asking:
    """Who asks, and of what."""

    desk: Desk
    caller: Caller
    talking: Talking
    by_socket: bool = False
    acts: dict[str | int, Act] = field(default_factory=dict)
    """What was to be changed, by the name that the answer has for it."""

    def may(self, scope: Scope) -> None:
        """Raises `Forbidden` where the caller may not."""
        if not self.caller.may(scope):
            raise Forbidden(f"This takes the scope '{scope}', and yours is '{self.caller.scope}'.")

    def changes(self, info: Info, target: str = "web") -> None:
        """Told before anything is changed, for the audit. Raises `WebError` where it may not be."""
        if self.by_socket:
            raise WebError("Send what changes something by POST: there it is noted in the audit.")
        self.acts[info.path.key] = Act(200, info.field_name, storable(target))
        self.may("chat")

    def failed(self, path: Sequence[str | int], status: int) -> None:
        """Told what did not come about of what was to be changed."""
        if len(path) == 1 and path[0] in self.acts:
            self.acts[path[0]] = replace(self.acts[path[0]], status=status)


Info = strawberry.Info[Asking, None]


def few(first: int) -> int:
    """How many of a list are wanted. Raises `WebError`."""
    if not 1 <= first <= MOST:
        raise WebError(f"`first` is between 1 and {MOST}; {first} was asked for.")
    return first


@strawberry.type(name="Person")
class PersonNode:
    """Somebody who speaks: a person, a persona, a program."""

    id: strawberry.ID
    name: str
    type: str

    @staticmethod
    def of(sender: Sender) -> PersonNode:
        """As they are known."""
        return PersonNode(id=strawberry.ID(sender.id), name=sender.name, type=sender.type)


@strawberry.type(name="Channel")
class ChannelNode:
    """The place of a session."""

    key: strawberry.ID
    name: str
    kind: str
    front: str
    guild_name: str | None


@strawberry.type(name="Usage")
class UsageNode:
    """What an answer took."""

    provider: str
    model: str
    tokens_in: Long
    tokens_out: Long
    cost_micros: Long | None

    @staticmethod
    def of(usage: Usage) -> UsageNode:
        """As it was counted."""
        told = usage.model_dump(include={"provider", "model", "tokens_in", "tokens_out", "cost_micros"})
        return UsageNode(**told)


@strawberry.type(name="Reaction")
class ReactionNode:
    """One emoji on a message."""

    emoji: str
    count: int
    mine: bool
    names: list[str]


@strawberry.type(name="File")
class FileNode:
    """A file beside a message."""

    name: str
    type: str
    media_type: str | None
    size: Long
    url: str | None
    """Where its bytes are, on this front."""


@strawberry.type(name="Message")
class MessageNode:
    """One thing said."""

    id: strawberry.ID
    session_id: strawberry.ID
    role: str
    sender: PersonNode
    persona: str | None
    text: str
    at: datetime
    reply_to: strawberry.ID | None
    outcome: str
    usage: UsageNode | None
    reactions: list[ReactionNode]
    files: list[FileNode]
    edited: int
    """How often it was worded anew."""

    @strawberry.field
    async def html(self, info: Info) -> str | None:
        """Its words as HTML that can do nothing; null of too much at once."""
        return await html_of(info.context.caller.person.id, self.text)

    @strawberry.field
    async def session(self, info: Info) -> SessionNode:
        """Where it was said."""
        return SessionNode.of(await shown(info.context.desk, info.context.caller, self.session_id))

    @staticmethod
    def of(told: MessageShown) -> MessageNode:
        """As the caller sees it."""
        plain = told.model_dump(include={"role", "persona", "text", "outcome"})
        files = [part for part in told.parts if part.type in ("image", "audio", "video", "file")]
        kinds = {"name", "type", "media_type", "size", "url"}
        return MessageNode(
            **plain,
            id=strawberry.ID(told.id),
            session_id=strawberry.ID(told.session_id),
            sender=PersonNode.of(told.sender),
            at=told.at,
            reply_to=strawberry.ID(told.reply_to) if told.reply_to else None,
            usage=UsageNode.of(told.usage) if told.usage else None,
            reactions=[ReactionNode(**each.model_dump()) for each in told.reactions],
            files=[FileNode(**each.model_dump(include=kinds)) for each in files],
            edited=len(told.edits),
        )


@strawberry.type(name="MessagePage")
class MessagePage:
    """A stretch of what was said, oldest first."""

    items: list[MessageNode]
    older: str | None
    newer: str | None


@strawberry.type(name="Session")
class SessionNode:
    """Messages with no long silence between them, in one place."""

    id: strawberry.ID
    title: str
    channel: ChannelNode
    persona: str | None
    participants: list[PersonNode]
    opened_at: datetime
    last_at: datetime
    closed_at: datetime | None
    message_count: int
    tags: list[str]
    starred: bool
    archived: bool
    deleted_at: datetime | None
    parent_id: strawberry.ID | None
    mine: bool

    @strawberry.field
    async def messages(self, info: Info, first: int = 25, cursor: str | None = None) -> MessagePage:
        """What was said; without a cursor the newest, with `oldest` the oldest."""
        asking = info.context
        page = await messages(asking.desk, asking.caller, self.id, bounded(cursor), None, few(first), html=False)
        return MessagePage(items=[MessageNode.of(each) for each in page.items], older=page.older, newer=page.newer)

    @staticmethod
    def of(told: SessionShown) -> SessionNode:
        """As the caller sees it."""
        times = {"opened_at", "last_at", "closed_at", "deleted_at"}
        plain = {"title", "persona", "message_count", "tags", "starred", "archived", "mine", *times}
        place = told.channel
        return SessionNode(
            **told.model_dump(include=plain),
            id=strawberry.ID(told.id),
            channel=ChannelNode(
                key=strawberry.ID(place.key),
                name=place.name,
                kind=place.kind,
                front=place.front,
                guild_name=place.guild_name,
            ),
            participants=[PersonNode.of(each) for each in told.participants],
            parent_id=strawberry.ID(told.parent_id) if told.parent_id else None,
        )


@strawberry.type(name="SessionPage")
class SessionPage:
    """Sessions, the one a person spoke in last first."""

    items: list[SessionNode]
    older: str | None


@strawberry.type(name="Hit")
class HitNode:
    """A message that was found."""

    message: MessageNode
    snippet: str
    score: float


@strawberry.type(name="Memory")
class MemoryNode:
    """Something that is remembered."""

    id: strawberry.ID
    at: datetime
    type: str
    text: str
    audience: str
    subject: str
    importance: float
    mine: bool

    @staticmethod
    def of(told: MemoryShown) -> MemoryNode:
        """As the caller sees it."""
        plain = {"at", "type", "text", "audience", "subject", "importance", "mine"}
        return MemoryNode(id=strawberry.ID(told.id), **told.model_dump(include=plain))


@strawberry.type(name="Happening")
class Happening:
    """Something that happens in the bot."""

    kind: str
    """`said`, `began`, `more`, `anew`, `ended`, `changed`, or `session`."""
    session: SessionNode
    message: MessageNode | None = None
    answer_id: strawberry.ID | None = None
    persona: str | None = None
    """Of an answer that begins."""
    text: str | None = None
    """More words of an answer."""
    gone: bool = False
    """Whether the session was removed for good."""

    @staticmethod
    async def of(asking: Asking, event: Event) -> Happening | None:
        """As the caller hears it; None for what is told elsewhere."""
        if not isinstance(event, Said | Changed | Began | More | Anew | Ended | SessionChanged):
            return None
        if isinstance(event, More):  # there are many, and nothing of the session changes with them
            now = session_shown(event.session, asking.caller)
        else:
            now = await shown_now(asking.desk, event.session, asking.caller)
        told = Happening(kind=_KINDS[type(event)], session=SessionNode.of(now))
        match event:
            case Said(message=message) | Changed(message=message):
                (shown_message,) = await messages_shown(asking.desk, [message], asking.caller)
                told.message = MessageNode.of(shown_message)
            case SessionChanged(gone=gone):
                told.gone = gone
            case _:
                told.answer_id = strawberry.ID(event.answer_id)
                told.text = event.text if isinstance(event, More) else None
                told.persona = event.persona if isinstance(event, Began) else None
        return told


_KINDS: dict[type, str] = {
    Said: "said",
    Began: "began",
    More: "more",
    Anew: "anew",
    Ended: "ended",
    Changed: "changed",
    SessionChanged: "session",
}


def bounded(word: str | None, most: int = 400) -> str | None:
    """An id or a cursor that is not absurdly long. Raises `WebError`."""
    if word is not None and len(word) > most:
        raise WebError(f"No id and no cursor has more than {most} characters.")
    return word
