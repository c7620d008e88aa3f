"""What can be asked and done by GraphQL: the routes of the API under other names, with the same rules."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Any

import strawberry
import structlog
from graphql import GraphQLError
from pydantic import ValidationError
from strawberry.extensions import MaskErrors
from strawberry.schema.config import StrawberryConfig

from storage.backend import NotACursor
from storage.errors import StorageError
from storage.model import storable

from ..errors import TroupeError
from ..events import Behind, places
from . import memories, messages, searching, sessions, usage
from .graphql_described import describe
from .graphql_limits import limits
from .graphql_types import (
    Happening,
    HitNode,
    Info,
    Long,
    MemoryNode,
    MessageNode,
    PersonNode,
    SessionNode,
    SessionPage,
    bounded,
    few,
)
from .live_told import joined
from .problems import TooMany, WebError
from .shapes import messages_shown

log = structlog.get_logger()

_ROOM = 2_000
"""Events that may wait for one subscriber."""
_SESSIONS = 500
_LONGEST = 100_000
"""Characters of a line."""


@strawberry.type
class Me:
    """Whoever asks."""

    person: PersonNode
    scope: str
    bot: str


@strawberry.type
class Persona:
    """A voice the bot can take."""

    name: strawberry.ID
    display: str
    description: str


@strawberry.type
class Sum:
    """What answers took over one day, person, channel, persona or model."""

    key: str
    name: str
    answers: Long
    tokens_in: Long
    tokens_out: Long
    cost_micros: Long
    unpriced: Long


@strawberry.type
class Heard:
    """What came of a line."""

    session: SessionNode
    line: MessageNode | None
    answer: MessageNode | None
    answer_id: strawberry.ID | None
    refused: str | None


@strawberry.type
class Query:
    """What can be asked."""

    @strawberry.field
    def me(self, info: Info) -> Me:
        """Who asks."""
        asking = info.context
        return Me(person=PersonNode.of(asking.caller.person), scope=asking.caller.scope, bot=asking.desk.settings.name)

    @strawberry.field
    def personas(self, info: Info) -> list[Persona]:
        """Whom one can talk with."""
        return [
            Persona(name=strawberry.ID(each.name), display=each.display, description=each.description)
            for each in info.context.desk.settings.personas
        ]

    @strawberry.field
    async def sessions(
        self,
        info: Info,
        first: int = 25,
        cursor: str | None = None,
        q: str = "",
        tags: list[str] | None = None,
        starred: bool | None = None,
        archived: bool | None = None,
        mine: bool = False,
    ) -> SessionPage:
        """Sessions in sight, the one a person spoke in last first."""
        asking = info.context
        meant = sessions.Listed(q=q, tag=tags or [], starred=starred, archived=archived, mine=mine)
        page = await sessions.sessions(asking.desk, asking.caller, meant, bounded(cursor), few(first))
        return SessionPage(items=[SessionNode.of(each) for each in page.items], older=page.older)

    @strawberry.field
    async def session(self, info: Info, id: strawberry.ID) -> SessionNode:
        """One session, also one that was taken out of sight."""
        return SessionNode.of(await sessions.session(info.context.desk, info.context.caller, _id(id)))

    @strawberry.field
    async def message(self, info: Info, id: strawberry.ID) -> MessageNode:
        """One message."""
        return MessageNode.of(await messages.message(info.context.desk, info.context.caller, _id(id)))

    @strawberry.field
    async def search(self, info: Info, q: str, first: int = 25) -> list[HitNode]:
        """Messages in sight that hold the words, the best match first."""
        wanted = searching.Sought(q=q)
        found = await searching.search(info.context.desk, info.context.caller, wanted, few(first), 0)
        return [HitNode(message=MessageNode.of(h.message), snippet=h.snippet, score=h.score) for h in found.items]

    @strawberry.field
    async def memories(self, info: Info, first: int = 25, q: str = "", all: bool = False) -> list[MemoryNode]:
        """What is remembered of whoever asks; with `all`, which takes the scope admin, of everybody."""
        asking = info.context
        told = await memories.memories(asking.desk, asking.caller, q[:200], all=all, limit=few(first))
        return [MemoryNode.of(each) for each in told.items]

    @strawberry.field
    async def usage(
        self, info: Info, by: str = "day", since: datetime | None = None, until: datetime | None = None
    ) -> list[Sum]:
        """By `day`, `user`, `channel`, `persona` or `model`; takes the scope admin."""
        info.context.may("admin")
        if by not in ("day", "user", "channel", "persona", "model"):
            raise WebError("`by` is day, user, channel, persona or model.")
        for each in (since, until):
            if each is not None and each.tzinfo is None:
                raise WebError("A time has a zone: 2026-03-02T18:30:00Z.")
        told = await usage.usage(info.context.desk, info.context.caller, by, since, until)  # type: ignore[arg-type]
        fields = set(Sum.__annotations__)
        return [Sum(**each.model_dump(include=fields)) for each in told.items]


@strawberry.type
class Mutation:
    """What can be done; it takes the scope chat."""

    @strawberry.mutation
    async def begin_session(
        self, info: Info, title: str = "", persona: str = "", tags: list[str] | None = None
    ) -> SessionNode:
        """Begins a session in the caller's own place."""
        info.context.changes(info)
        given = sessions.Begin(title=title, persona=persona, tags=tags or [])
        return SessionNode.of(await sessions.begin_session(info.context.desk, info.context.caller, given))

    @strawberry.mutation
    async def change_session(
        self,
        info: Info,
        id: strawberry.ID,
        title: str | None = None,
        tags: list[str] | None = None,
        starred: bool | None = None,
        archived: bool | None = None,
        persona: str | None = None,
    ) -> SessionNode:
        """Names, tags, stars or archives a session; what is left out stays."""
        info.context.changes(info, f"session:{_id(id)}")
        given = sessions.Change(title=title, tags=tags, starred=starred, archived=archived, persona=persona)
        return SessionNode.of(await sessions.change_session(info.context.desk, info.context.caller, _id(id), given))

    @strawberry.mutation
    async def delete_session(self, info: Info, id: strawberry.ID, hard: bool = False) -> bool:
        """Takes a session out of sight; with `hard`, for good."""
        info.context.changes(info, f"session:{_id(id)}")
        await sessions.delete_session(info.context.desk, info.context.caller, _id(id), hard)
        return True

    @strawberry.mutation
    async def restore_session(self, info: Info, id: strawberry.ID) -> SessionNode:
        """Brings a session back that was taken out of sight."""
        info.context.changes(info, f"session:{_id(id)}")
        return SessionNode.of(await sessions.restore_session(info.context.desk, info.context.caller, _id(id)))

    @strawberry.mutation
    async def say(
        self,
        info: Info,
        text: str,
        session: strawberry.ID | None = None,
        persona: str | None = None,
        reply_to: strawberry.ID | None = None,
        wait: bool = True,
    ) -> Heard:
        """Says something, in a new session where none is named, and has it answered."""
        info.context.changes(info, f"session:{_id(session)}" if session else "web")
        if not text.strip() or len(text) > _LONGEST:
            raise WebError(f"Say something, in at most {_LONGEST:,} characters.")
        asking = info.context
        into = _id(session) if session else None
        if into is None:
            into = (await sessions.begin_session(asking.desk, asking.caller, sessions.Begin())).id
        answering = await asking.talking.say(asking.caller, into, text, (), bounded(reply_to), persona)
        line = answering.line
        if wait:
            await answering.over()
        told = [each for each in (line, answering.message if answering.done else None) if each is not None]
        shown = {each.id: MessageNode.of(each) for each in await messages_shown(asking.desk, told, asking.caller)}
        return Heard(
            session=SessionNode.of(await sessions.shown(asking.desk, asking.caller, answering.session.id)),
            line=shown.get(line.id) if line else None,
            answer=shown.get(answering.message.id) if answering.message else None,
            answer_id=strawberry.ID(answering.id) if answering.id else None,
            refused=answering.refused or None,
        )

    @strawberry.mutation
    async def stop(self, info: Info, session: strawberry.ID) -> bool:
        """Ends at once what is being said in a session; whether there was anything."""
        info.context.changes(info, f"session:{_id(session)}")
        found = await info.context.caller.session(info.context.desk, _id(session))
        return await info.context.talking.stop(found.id)

    @strawberry.mutation
    async def reword_message(self, info: Info, id: strawberry.ID, text: str) -> MessageNode:
        """Words a message anew: one's own, or an answer in one's own place."""
        info.context.changes(info, f"message:{_id(id)}")
        given = messages.Reworded(text=text)
        return MessageNode.of(await messages.reword_message(info.context.desk, info.context.caller, _id(id), given))

    @strawberry.mutation
    async def delete_message(self, info: Info, id: strawberry.ID) -> bool:
        """Takes a message out of sight, and what was learned from it."""
        info.context.changes(info, f"message:{_id(id)}")
        await messages.delete_message(info.context.desk, info.context.caller, _id(id))
        return True

    @strawberry.mutation
    async def react(self, info: Info, id: strawberry.ID, emoji: str, take_back: bool = False) -> MessageNode:
        """Puts an emoji on a message; with `take_back`, takes one's own off it."""
        info.context.changes(info, f"message:{_id(id)}")
        if not 1 <= len(emoji) <= 64:
            raise WebError("An emoji has between 1 and 64 characters.")
        done = messages.take_reaction_back if take_back else messages.react
        return MessageNode.of(await done(info.context.desk, info.context.caller, _id(id), storable(emoji)))

    @strawberry.mutation
    async def remember(self, info: Info, text: str, everywhere: bool = False) -> MemoryNode:
        """For you alone with the bot, or with `everywhere` wherever it answers you."""
        info.context.changes(info)
        wanted = memories.Remembered(text=text, scope="me" if everywhere else "here")
        return MemoryNode.of(await memories.remember(info.context.desk, info.context.caller, wanted))

    @strawberry.mutation
    async def correct_memory(self, info: Info, id: strawberry.ID, text: str) -> MemoryNode:
        """Puts other words in a memory's place."""
        info.context.changes(info, f"memory:{_id(id)}")
        wanted = memories.Corrected(text=text)
        return MemoryNode.of(await memories.correct(info.context.desk, info.context.caller, _id(id), wanted))

    @strawberry.mutation
    async def forget_memory(self, info: Info, id: strawberry.ID) -> bool:
        """Forgets it."""
        info.context.changes(info, f"memory:{_id(id)}")
        await memories.forget(info.context.desk, info.context.caller, _id(id))
        return True


@strawberry.type
class Subscription:
    """What can be followed."""

    @strawberry.subscription
    async def live(self, info: Info, sessions: list[strawberry.ID] | None = None) -> AsyncGenerator[Happening, None]:
        """What happens from now on, in these sessions or in all that one may see."""
        asking, keys = info.context, info.context.caller.keys
        if sessions is not None and len(sessions) > _SESSIONS:
            raise WebError(f"At most {_SESSIONS} sessions can be followed at once.")
        wanted = None if sessions is None else frozenset(map(str, sessions))

        def seen(event: Any) -> bool:
            at = places(event)
            return bool(at) and (keys is None or at[0] in keys) and (wanted is None or not wanted.isdisjoint(at))

        with asking.desk.events.listen(seen, room=_ROOM, at=keys if wanted is None else wanted) as listening:
            while True:
                try:
                    waited = joined(await listening.some())
                except Behind:
                    raise TooMany("You listen too slowly, and missed something: subscribe again.") from None
                for event in waited:
                    if (told := await Happening.of(asking, event)) is not None:
                        yield told


def _id(given: str) -> str:
    word = storable(bounded(str(given), 200) or "")
    if not word:
        raise WebError("An id is never empty.")
    return word


class _Sentences(MaskErrors):
    """Tells what went wrong in a sentence, and nothing of the inside."""

    def __init__(self) -> None:
        super().__init__(should_mask_error=lambda error: error.original_error is not None)

    def anonymise_error(self, error: GraphQLError) -> GraphQLError:
        status, told = _refusal(error.original_error)
        return GraphQLError(told, error.nodes, error.source, error.positions, error.path, None, {"status": status})


def _refusal(error: Exception | None) -> tuple[int, str]:
    match error:
        case WebError():
            return error.status, str(error)
        case TroupeError() | NotACursor():
            return 400, str(error)
        case StorageError():
            return 503, str(error)
        case ValidationError():
            first = error.errors()[0]
            return 422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}."
        case GraphQLError():
            return 400, error.message
    return 500, "Something went wrong on my side; my log says what."


class Schema(strawberry.Schema):
    """The whole of it. What is nobody's fault but the program's is logged."""

    def process_errors(self, errors: list[GraphQLError], execution_context: Any = None) -> None:
        for each in errors:
            status = _refusal(each.original_error)[0]
            if execution_context is not None:
                execution_context.context.failed(each.path or (), status)
            if each.original_error is not None and status == 500:
                log.error("web.graphql_failed", path=each.path, exc_info=each.original_error)


schema = Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    extensions=[*limits(), _Sentences],
    config=StrawberryConfig(scalar_map={Long: strawberry.scalar(name="Long", serialize=int, parse_value=int)}),
)
describe(schema)
