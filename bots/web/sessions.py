"""Sessions over HTTP: found, begun, named, put away, brought back and removed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from storage.model import Session, storable
from storage.records import Template

from ..leaving_sight import brought_back, removed, taken_away
from ..session_marks import CLEARED
from ..sessions import short
from ..surgery import TAGS, archived
from ..titles import titled
from .callers import Caller, Chatter, Reader
from .desk import At, Desk
from .given import Cursor, Filters, Id, IdGiven, Short, Tag, Title, persona_named
from .problems import NotThere
from .shapes import PageShown, SessionShown, session_shown

router = APIRouter(prefix="/api/chat/sessions", tags=["sessions"])

Said = Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(storable)]


class Listed(Filters):
    """Which sessions are meant."""

    q: Short = ""
    """A part of the title or the id."""
    deleted: bool = False
    """Only those that were taken out of sight, and can be brought back."""


class Begin(BaseModel):
    """How a session begins."""

    model_config = ConfigDict(extra="forbid")
    title: Title = ""
    """Left out, it is called by its first words."""
    persona: Short = ""
    """The persona that speaks there; left out, whoever fits."""
    tags: Annotated[list[Tag], Field(max_length=TAGS)] = []
    template: IdGiven | None = None
    """The id or the name of a template that it begins with."""


_ANEW = Begin()


class ContextGiven(BaseModel):
    """What a session is about."""

    model_config = ConfigDict(extra="forbid")
    goals: Annotated[list[Said], Field(max_length=20)] | None = None
    constraints: Annotated[list[Said], Field(max_length=20)] | None = None
    shared_knowledge: Annotated[list[Said], Field(max_length=20)] | None = None


class Change(BaseModel):
    """What is to be otherwise; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")
    title: Title | None = None
    """Empty, it is called by its first words again."""
    tags: Annotated[list[Tag], Field(max_length=TAGS)] | None = None
    """All that it is to have."""
    starred: bool | None = None
    archived: bool | None = None
    persona: Short | None = None
    """Empty, whoever fits."""
    context: ContextGiven | None = None


class Summary(BaseModel):
    """What a session is about."""

    summary: str
    """Empty where nothing was said yet."""


@router.get("")
async def sessions(
    desk: At,
    caller: Reader,
    meant: Annotated[Listed, Query()],
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 25,
) -> PageShown[SessionShown]:
    """Sessions, the one a person spoke in last first; archived ones only where they are asked for. A page may hold
    fewer than `limit`, also none, and not be the last: that is the one without `older`."""
    sought = await meant.sought(desk, caller)
    if sought.channel_keys is not None and not sought.channel_keys:
        return PageShown(items=[])
    keys = sought.channel_keys
    page = await desk.bot.conversations.listing(
        next(iter(keys)) if keys is not None and len(keys) == 1 else None,
        text=meant.q,
        cleared=meant.deleted,
        sought=sought,
        cursor=cursor,
        limit=limit,
    )
    return PageShown(items=[session_shown(each, caller) for each in page.items], older=page.older)


@router.post("", status_code=201)
async def begin_session(desk: At, caller: Chatter, given: Begin = _ANEW) -> SessionShown:
    """Begins a session in the caller's own place; the others there go on."""
    persona, bot = _persona(desk, caller, given.persona), desk.bot
    async with bot.doors.of(caller.channel.key):
        channel = await bot.places.know(caller.channel)
        template = await _template(desk, caller, given.template) if given.template else None
        if template is not None:
            session = await bot.conversations.templates.begin(desk.settings, channel, template)
        else:
            session = await bot.sessions.begin(channel, desk.now(), carry_over=False)
    tags = _each_once((*session.tags, *given.tags))[:TAGS]
    wanted = {"title": given.title or session.title, "tags": tags, "persona": persona or session.persona}
    await bot.sessions.change(session.id, lambda now: now.model_copy(update=wanted))
    return await shown(desk, caller, session.id)


@router.get("/{id}")
async def session(desk: At, caller: Reader, id: Id) -> SessionShown:
    """One session, also one that was taken out of sight and can be brought back."""
    return await shown(desk, caller, id)


@router.put("/{id}")
async def change_session(desk: At, caller: Chatter, id: Id, given: Change) -> SessionShown:
    """Names, tags, stars, archives a session, or says what it is about."""
    found, at = await caller.session(desk, id), desk.now()
    wanted: dict[str, object] = given.model_dump(include={"title", "starred"}, exclude_none=True)
    if given.tags is not None:
        wanted["tags"] = _each_once(given.tags)
    if given.persona is not None:
        wanted["persona"] = _persona(desk, caller, given.persona)
    told = given.context.model_dump(exclude_none=True) if given.context else {}

    def changed(now: Session) -> Session:
        if given.archived is not None and given.archived != now.archived:
            now = archived(now, given.archived, at)
        context = now.context.model_copy(update={name: tuple(words) for name, words in told.items()})
        return now.model_copy(update={**wanted, "context": context})

    async with desk.bot.doors.of(found.channel.key):
        await desk.bot.sessions.change(found.id, changed)
    return await shown(desk, caller, found.id)


@router.delete("/{id}", status_code=204, response_class=Response)
async def delete_session(
    desk: At, caller: Chatter, id: Id, hard: Annotated[bool, Query(description="For good, at once.")] = False
) -> None:
    """Takes a session out of sight, to be brought back until retention removes it; or removes it for good."""
    found = await kept(desk, caller, id)
    if hard:
        await removed(desk.bot, found, desk.now())
    else:
        await taken_away(desk.bot, found, desk.now())


@router.post("/{id}/restore")
async def restore_session(desk: At, caller: Chatter, id: Id) -> SessionShown:
    """Brings a session back that was taken out of sight."""
    found = await kept(desk, caller, id)
    await brought_back(desk.bot, found)
    return await shown(desk, caller, found.id)


@router.post("/{id}/summary")
async def summary(desk: At, caller: Chatter, id: Id) -> Summary:
    """What a session is about, by a model where one can be asked; kept until somebody speaks there again."""
    found = await caller.session(desk, id)
    return Summary(summary=await desk.bot.conversations.summary(found.id))


async def kept(desk: Desk, caller: Caller, id: str) -> Session:
    """A session that the caller may see, or bring back. Raises `NotThere`."""
    found = await caller.session(desk, id, gone=True)
    if found.deleted_at is not None and CLEARED not in found.metadata:
        raise NotThere(f"There is no session '{short(id, 60)}' that you may see.")
    return found


async def shown(desk: Desk, caller: Caller, id: str) -> SessionShown:
    """The session as it is now. Raises `NotThere`."""
    return session_shown(await titled(desk.store, await kept(desk, caller, id)), caller, context=True)


async def _template(desk: Desk, caller: Caller, named: str) -> Template:
    """The template that is meant, by its id or its name."""
    offered = await desk.bot.conversations.templates.offered(desk.settings, caller.channel)
    by_id = next((each for each in offered if each.id == named), None)
    return by_id or await desk.bot.conversations.templates.named(desk.settings, caller.channel, named)


def _persona(desk: Desk, caller: Caller, named: str) -> str | None:
    """The name of a persona that the caller may ask; None where none is named."""
    return persona_named(desk, caller, named).name if named.strip() else None


def _each_once(tags: Iterable[str]) -> tuple[str, ...]:
    return tuple({tag.casefold(): tag for tag in tags}.values())
