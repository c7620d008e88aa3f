"""What the bot remembers: everybody sees and changes what is theirs, whoever runs the bot all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from storage.model import storable
from storage.records import Memory

from ..consolidating import undone
from ..errors import NotYours, TroupeError
from ..known_names import MemoryNames
from ..memories import LONGEST, Scope
from .callers import Admin, Caller, Chatter, Reader
from .desk import At, Desk
from .given import Cursor
from .problems import Forbidden, NotThere, WebError

router = APIRouter(prefix="/api/memories", tags=["memories"])

Text = Annotated[str, Field(min_length=1, max_length=LONGEST)]
Where = Literal["here", "me", "channel", "guild", "everybody"]
_SCOPES: dict[str, Scope] = {"here": "here", "me": "me"}


class SourceShown(BaseModel):
    """What a memory was drawn from."""

    session_id: str
    message_id: str | None


class MemoryShown(BaseModel):
    """Something that is remembered."""

    id: str
    at: datetime
    type: Literal["episodic", "semantic", "procedural", "working"]
    audience: str
    """Who may be told."""
    audience_name: str
    subject: str
    subject_name: str
    text: str
    importance: float
    recalled: int
    """How often it was recalled."""
    recalled_at: datetime | None
    source: SourceShown | None
    """Null where it was told as such, where it is gone, or where whoever asks may not see it."""
    told: bool
    """Whether a person said that it is to be remembered."""
    superseded_by: str | None
    superseded_at: datetime | None
    undoable: bool
    """Whether a change that it was a part of can be taken back."""
    mine: bool


class MemoriesShown(BaseModel):
    """Memories, the newest first."""

    items: list[MemoryShown]
    more: bool
    """Whether there are more than were asked for."""
    older: str | None = None
    """With `all`, the cursor that goes on to what was before."""


@router.get("")
async def memories(
    desk: At,
    caller: Reader,
    q: Annotated[str, Query(max_length=200)] = "",
    person: Annotated[str, Query(max_length=200)] = "",
    audience: Annotated[str, Query(max_length=200)] = "",
    history: bool = False,
    all: bool = False,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> MemoriesShown:
    """What is remembered of whoever asks; with `all`, which takes the scope `admin`, of everybody: `person` narrows it
    to whom it is about, `audience` to who may be told, and `history` has what was replaced as well."""
    if all and not caller.may("admin"):
        raise Forbidden("What I remember of others is shown to nobody but them and whoever runs me.")
    if all:
        found, older = await desk.memory.seek(
            text=storable(q), person=storable(person), audience=audience, history=history, cursor=cursor, limit=limit
        )
        return MemoriesShown(items=await _shown(desk, caller, found), more=older is not None, older=older)
    wanted = storable(q).strip().casefold()
    own = await desk.bot.memory.memories.list(caller.person.id, caller.channel)
    found = [each for each in own if wanted in each.text.casefold()]
    return MemoriesShown(items=await _shown(desk, caller, found[:limit]), more=len(found) > limit)


class Remembered(BaseModel):
    """What is to be remembered, and who may be told."""

    model_config = ConfigDict(extra="forbid")
    text: Text
    scope: Where = "here"
    """`here`: you, alone with the bot; `me`: wherever it answers you; the others are for whoever runs the bot."""
    channel: Annotated[str, Field(max_length=200)] | None = None
    """The key of the channel that `channel` and `guild` mean."""


@router.post("", status_code=201)
async def remember(desk: At, caller: Chatter, wanted: Remembered) -> MemoryShown:
    """Has the bot remember something."""
    text = storable(wanted.text)
    if wanted.scope in _SCOPES:
        given = (text, caller.person, caller.channel, _SCOPES[wanted.scope])
        return await _one(desk, caller, await desk.bot.memory.memories.remember(*given))
    if not caller.may("admin"):
        raise Forbidden("Only whoever runs me may have me remember something for others: say `here` or `me`.")
    if wanted.scope != "everybody" and not wanted.channel:
        raise WebError("Say in which channel: `channel` is the key of one.")
    order: dict[str, Any] = {"text": text}
    if wanted.scope != "everybody":
        order |= {"channel": storable(wanted.channel or ""), "guild": wanted.scope == "guild"}
    return await _one(desk, caller, await _told(desk, await desk.memory.do("remember", order)))


class PauseShown(BaseModel):
    """Whether nothing is learned of somebody now."""

    person: str
    paused: bool


@router.get("/pause")
async def paused(desk: At, caller: Reader, person: Annotated[str | None, Query(max_length=200)] = None) -> PauseShown:
    """Whether the bot learns about whoever asks, or about another person, which takes the scope `admin`."""
    whose = _whose(caller, person)
    return PauseShown(person=whose, paused=await desk.bot.memory.memories.paused(whose))


class PauseWanted(BaseModel):
    """Whether nothing is to be learned of somebody."""

    model_config = ConfigDict(extra="forbid")
    paused: bool
    person: Annotated[str, Field(max_length=200)] | None = None


@router.put("/pause")
async def pause(desk: At, caller: Chatter, wanted: PauseWanted) -> PauseShown:
    """Has the bot learn nothing about whoever asks until they say otherwise, or about another person (`admin`)."""
    whose, kept = _whose(caller, wanted.person), desk.bot.memory.memories
    await (kept.pause if wanted.paused else kept.resume)(whose, caller.person)
    return PauseShown(person=whose, paused=wanted.paused)


def _whose(caller: Caller, person: str | None) -> str:
    whose = storable(person or "").strip() or caller.person.id
    if not whose.isprintable() or "\ufffd" in whose:
        raise WebError("That is nobody's id.")
    if whose != caller.person.id and not caller.may("admin"):
        raise Forbidden("That is for them to say, and for whoever runs me.")
    return whose


@router.get("/report")
async def report(desk: At, caller: Admin) -> dict[str, JsonValue]:
    """How much is remembered, what share of it was ever recalled, and who wants nothing to be learned of them."""
    return {"index": None, **await desk.memory.do("report", {})}


@router.post("/rebuild", status_code=202)
async def rebuild(desk: At, caller: Admin) -> dict[str, JsonValue]:
    """Has the index by which memories are found made anew."""
    return await desk.memory.do("rebuild", {})


class Corrected(BaseModel):
    """What is true instead."""

    model_config = ConfigDict(extra="forbid")
    text: Text


@router.put("/{memory_id:path}")
async def correct(desk: At, caller: Chatter, memory_id: str, wanted: Corrected) -> MemoryShown:
    """Puts other words in a memory's place; what stood there is history, and `undo` brings it back."""
    id, text = storable(memory_id), storable(wanted.text)
    try:
        if caller.may("admin"):
            return await _one(
                desk, caller, await _told(desk, await desk.memory.do("correct", {"memory": id, "text": text}))
            )
        corrected = await desk.bot.memory.memories.correct(id, text, caller.person, caller.channel)
        return await _one(desk, caller, corrected)
    except NotYours as error:
        raise _absent(id) from error


@router.delete("/{memory_id:path}", status_code=204)
async def forget(desk: At, caller: Chatter, memory_id: str) -> None:
    """Removes a memory for good, and what it had replaced."""
    id = storable(memory_id)
    try:
        if caller.may("admin"):
            await desk.memory.do("forget", {"memory": id})
        else:
            await desk.bot.memory.memories.forget(id, caller.person, caller.channel)
    except NotYours as error:
        raise _absent(id) from error


@router.post("/{memory_id:path}/undo")
async def undo(desk: At, caller: Chatter, memory_id: str) -> MemoriesShown:
    """Takes the last change of a memory back, and tells what holds again."""
    id = storable(memory_id)
    try:
        if caller.may("admin"):
            told: Any = await desk.memory.do("undo", {"memory": id})
            holding: Iterable[Memory] = [await _told(desk, each) for each in told["memories"]]
        else:
            holding = await desk.bot.memory.memories.undo(id, caller.person, caller.channel)
    except NotYours as error:
        raise _absent(id) from error
    return MemoriesShown(items=await _shown(desk, caller, list(holding)), more=False)


def _absent(id: str) -> NotThere:
    return NotThere(f"There is no memory '{id[:60]}' that is yours.")


async def _told(desk: Desk, told: dict[str, Any]) -> Memory:
    """The memory that an order tells of."""
    if (kept := await desk.store.record(Memory, str(told["id"]))) is None:
        raise TroupeError("Somebody had it forgotten just now.")
    return kept


async def _one(desk: Desk, caller: Caller, memory: Memory) -> MemoryShown:
    return (await _shown(desk, caller, [memory]))[0]


async def _shown(desk: Desk, caller: Caller, memories: list[Memory]) -> list[MemoryShown]:
    names = await MemoryNames.of(desk.store, memories, caller.person)
    sources = await _sources(desk, caller, {each.source for each in memories if each.source})
    changed = await asyncio.gather(*(undone(desk.store, each, desk.now()) for each in memories))
    plain = {"id", "at", "type", "audience", "subject", "text", "importance", "superseded_by", "superseded_at"}
    return [
        MemoryShown(
            **each.model_dump(include=plain),
            audience_name=names.audience(each),
            subject_name=names.subject(each),
            recalled=each.access_count,
            recalled_at=each.touched_at,
            source=sources.get(each.source or ""),
            told=each.metadata.get("by") == "person",
            undoable=bool(back),
            mine=caller.person.id in (each.subject.removeprefix("user:"), *each.people),
        )
        for each, back in zip(memories, changed, strict=True)
    ]


async def _sources(desk: Desk, caller: Caller, ids: Collection[str]) -> dict[str, SourceShown]:
    """The lines and sessions of these ids, as far as the caller may see them; each is read once."""
    messages = dict(zip(ids, await asyncio.gather(*map(desk.store.message, ids)), strict=True))
    of = {id: message.session_id if message else id for id, message in messages.items()}
    asked = set(of.values())
    seen = dict(zip(asked, await asyncio.gather(*(_may_see(desk, caller, id) for id in asked)), strict=True))
    standing = {id for id, message in messages.items() if message is not None and message.deleted_at is None}
    return {
        id: SourceShown(session_id=session_id, message_id=id if id in standing else None)
        for id, session_id in of.items()
        if seen[session_id]
    }


async def _may_see(desk: Desk, caller: Caller, session_id: str) -> bool:
    try:
        await caller.session(desk, session_id)
    except NotThere:
        return False
    return True
