"""Channels as an operator watches over them: what goes on in each, and speaking there in the bot's place."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from storage.model import Session, storable

from ..errors import TroupeError
from .callers import Admin, Caller
from .desk import At, Desk
from .problems import Conflict, NotThere
from .shapes import ChannelShown, MessageShown, PageShown, SessionShown, channel_shown, messages_shown, shown_now

router = APIRouter(prefix="/api/live/channels", tags=["live"])

_PAGES = 20
"""Pages of sessions looked through for channels at a time: in one channel there may be many."""
_LONGEST_QUIET = 7 * 24 * 60
"""Minutes: longer than a week nobody watches over a channel without looking."""
_Key = Annotated[str, Path(min_length=1, max_length=200, description="The channel's key, as `channel.key` has it.")]


class AnswerUnderWay(BaseModel):
    """An answer that is being given."""

    answer_id: str
    session_id: str
    channel: str
    persona: str
    speaker: str
    asked: list[str]
    """The ids of the lines that it answers."""
    text: str
    """Its words so far."""


class LiveChannel(BaseModel):
    """A channel, and what goes on there now."""

    channel: ChannelShown
    session: SessionShown
    """The one in which a person spoke last."""
    under_way: list[AnswerUnderWay]
    quiet_until: AwareDatetime | None
    """Until when the bot answers nobody there, since somebody has taken over."""


class QuietFor(BaseModel):
    """How long the bot is to keep quiet."""

    model_config = ConfigDict(extra="forbid")
    minutes: Annotated[int, Field(ge=1, le=_LONGEST_QUIET)] = 60


class SayThere(BaseModel):
    """What is to be said as the bot."""

    model_config = ConfigDict(extra="forbid")
    text: Annotated[str, Field(min_length=1, max_length=20_000)]
    session: Annotated[str, Field(max_length=200)] | None = None
    """In which session of the channel; left out, in the one in which a person spoke last."""


class Stopped(BaseModel):
    """Whether there was anything to stop."""

    stopped: bool


@router.get("")
async def channels(
    desk: At,
    caller: Admin,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> PageShown[LiveChannel]:
    """Every channel in which somebody spoke to the bot, the latest first, with what goes on there now. A channel may
    come again on a later page, with an older session; the first is the one that counts."""
    found: dict[str, Session] = {}
    if cursor is None:
        for answer in desk.bot.under_way:
            kept = await desk.store.session(answer.session.id)
            found.setdefault(answer.session.channel.key, kept or answer.session)
    for _ in range(_PAGES):
        page = await desk.store.browse(cursor=cursor, limit=limit)
        for session in page.items:
            found.setdefault(session.channel.key, session)
        cursor = page.older
        if cursor is None or len(found) >= limit:
            break
    return PageShown(items=[await _shown(desk, session, caller) for session in found.values()], older=cursor)


@router.get("/{key}")
async def channel(key: _Key, desk: At, caller: Admin) -> LiveChannel:
    """One channel, and what goes on there now."""
    return await _shown(desk, await _last(desk, key), caller)


@router.post("/{key}/quiet")
async def keep_quiet(key: _Key, order: QuietFor, desk: At, caller: Admin) -> LiveChannel:
    """Takes over: the bot goes on listening there, and in the threads that hang on it, and answers nobody until so many
    minutes are over, also after a restart. What it is saying just now it says to its end: `stop` ends that."""
    last = await _last(desk, key)
    until = desk.now() + timedelta(minutes=order.minutes)
    await desk.bot.quiet.keep(last.channel, until, caller.person)
    return await _shown(desk, last, caller)


@router.delete("/{key}/quiet")
async def speak_again(key: _Key, desk: At, caller: Admin) -> LiveChannel:
    """Hands a channel back to the bot: the next line there is answered again."""
    last = await _last(desk, key)
    await desk.bot.quiet.keep(last.channel, None, caller.person)
    return await _shown(desk, last, caller)


@router.post("/{key}/messages")
async def say(key: _Key, order: SayThere, desk: At, caller: Admin) -> MessageShown:
    """Says something there as the bot: on Discord with the bot's own account. It is kept as the bot's words, with who
    said them through it."""
    text = storable(order.text).strip()
    if not text:
        raise TroupeError("There are no words in what is to be said.")
    there, session = await _last(desk, key), None
    if order.session is not None:
        session = await caller.session(desk, order.session)
        if session.channel.key != key:
            raise NotThere(f"The session '{session.id}' is not one of that channel.")
    try:
        message = await desk.bot.saying.through(there.channel, text, caller.person, session or there)
    except TroupeError as error:
        raise Conflict(str(error)) from None
    (shown,) = await messages_shown(desk, [message], caller)
    return shown


@router.post("/{key}/stop")
async def stop(key: _Key, desk: At, caller: Admin) -> Stopped:
    """Ends every answer under way there at once; what was said of it is kept."""
    there = await _last(desk, key)
    return Stopped(stopped=await desk.bot.stop(there.channel, everybody=True))


async def _last(desk: Desk, key: str) -> Session:
    """The session of a channel in which a person spoke last."""
    page = await desk.store.browse(key, limit=1)
    if not page.items:
        raise NotThere(f"Nobody has spoken to me in a channel '{key[:60]}'.")
    return page.items[0]


async def _shown(desk: Desk, session: Session, caller: Caller) -> LiveChannel:
    key = session.channel.key
    under_way = [
        AnswerUnderWay(
            answer_id=each.answer_id,
            session_id=each.session.id,
            channel=key,
            persona=each.persona,
            speaker=each.speaker,
            asked=list(each.asked),
            text=each.text,
        )
        for each in desk.bot.under_way
        if each.session.channel.key == key
    ]
    return LiveChannel(
        channel=channel_shown(session.channel),
        session=await shown_now(desk, session, caller),
        under_way=under_way,
        quiet_until=desk.bot.quiet.until(session.channel),
    )
