"""Sessions made of others, over HTTP: branches, copies, merges, two side by side, and the whole family."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.requests import HTTPConnection
from pydantic import BaseModel, ConfigDict

from ..comparing import Comparison, Row
from ..families import family
from .auditing import changes_nothing
from .callers import Caller, Chatter, Reader
from .desk import At
from .given import Html, Id, IdGiven
from .rendering import html_of
from .sessions import shown
from .shapes import MessageShown, SessionShown, message_shown, session_shown

router = APIRouter(prefix="/api/chat/sessions", tags=["sessions"])


class BranchFrom(BaseModel):
    """Where a branch begins."""

    model_config = ConfigDict(extra="forbid")
    after: IdGiven | None = None
    """The id of the last message that it knows; left out, the newest."""


_AT_THE_END = BranchFrom()


class MergeWith(BaseModel):
    """What is to become one session."""

    model_config = ConfigDict(extra="forbid")
    other: IdGiven
    """The id of the other session."""
    dry_run: bool = False
    """Only say what would come of it."""


class MergeShown(BaseModel):
    """What two sessions became, or would become."""

    dry_run: bool
    session: SessionShown | None = None
    """The new one; null where nothing was done."""
    lines: int
    """How many it holds."""
    came: int
    """Those of them that are only in the second session."""
    archived: list[str]
    """The ids of those that are put out of the way."""


class ComparedShown(BaseModel):
    """One line of each, beside each other."""

    side: Literal["both", "left", "right", "apart"]
    """In both alike, in one, or in both differently."""
    left: MessageShown | None
    right: MessageShown | None


class CompareShown(BaseModel):
    """Two sessions side by side."""

    left: SessionShown
    right: SessionShown
    told: str
    shared: int
    only_left: int
    only_right: int
    cut: bool
    """Whether one has more lines than are compared."""
    rows: list[ComparedShown]
    total: int
    """How many rows there are in all."""


class DescentShown(BaseModel):
    """One session came of another."""

    parent: str
    child: str
    how: Literal["branch", "copy", "merge"]


class TreeShown(BaseModel):
    """The family of a session, as far as the caller may see it."""

    sessions: list[SessionShown]
    """The oldest first."""
    descents: list[DescentShown]
    cut: bool
    """Whether there are more than are shown."""


@router.post("/{id}/branch", status_code=201)
async def branch_session(desk: At, caller: Chatter, id: Id, given: BranchFrom = _AT_THE_END) -> SessionShown:
    """A new session in the same place that knows what was said up to a message."""
    found = await caller.session(desk, id)
    async with desk.bot.doors.of(found.channel.key):
        made = await desk.bot.conversations.branch(found.id, given.after, found.channel)
    return await shown(desk, caller, made.id)


@router.post("/{id}/duplicate", status_code=201)
async def duplicate_session(desk: At, caller: Chatter, id: Id) -> SessionShown:
    """A session with all that was said in another one, beside it."""
    found = await caller.session(desk, id)
    async with desk.bot.doors.of(found.channel.key):
        made = await desk.bot.conversations.duplicate(found.id)
    return await shown(desk, caller, made.id)


@router.post("/{id}/merge")
async def merge_sessions(desk: At, caller: Chatter, at: HTTPConnection, id: Id, given: MergeWith) -> MergeShown:
    """One session of two of the same place, the lines of both in the order of time, each once; the two are archived."""
    first, second = await caller.session(desk, id), await caller.session(desk, given.other)
    talk, archived = desk.bot.conversations, [first.id, second.id]
    async with desk.bot.doors.of(first.channel.key):
        if given.dry_run:
            changes_nothing(at)
            lines, came = await talk.would_merge(first.id, second.id)
            return MergeShown(dry_run=True, lines=lines, came=came, archived=archived)
        merged = await talk.merge_two(first.id, second.id, busy=desk.bot.at_work)
    session = await shown(desk, caller, merged.session.id)
    return MergeShown(dry_run=False, session=session, lines=merged.lines, came=merged.came, archived=archived)


@router.get("/{id}/compare")
async def compare_sessions(
    desk: At,
    caller: Reader,
    id: Id,
    other: Annotated[str, Query(min_length=1, max_length=200)],
    skip: Annotated[int, Query(ge=0, le=20_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=2_000)] = 500,
    html: Html = False,
) -> CompareShown:
    """Two sessions side by side: what they have in common, and what is only in one of them."""
    first, second = await caller.session(desk, id), await caller.session(desk, other)
    return await _compared(await desk.bot.conversations.compare(first.id, second.id), caller, skip, limit, html=html)


@router.get("/{id}/tree")
async def tree(desk: At, caller: Reader, id: Id) -> TreeShown:
    """Which sessions were made of which, as far as they are related to this one."""
    found = await family(desk.store, await caller.session(desk, id), caller.keys)
    return TreeShown(
        sessions=[session_shown(each, caller) for each in found.members],
        descents=[DescentShown(parent=each.parent, child=each.child, how=each.how) for each in found.descents],
        cut=found.cut,
    )


async def _compared(found: Comparison, caller: Caller, skip: int, limit: int, *, html: bool) -> CompareShown:
    only_left, only_right = found.only
    page = islice(found.rows, skip, skip + limit)
    return CompareShown(
        left=session_shown(found.left, caller),
        right=session_shown(found.right, caller),
        told=found.told(),
        shared=found.shared,
        only_left=only_left,
        only_right=only_right,
        cut=found.cut,
        rows=await asyncio.gather(*(_beside(row, caller, html=html) for row in page)),
        total=len(found.rows),
    )


async def _beside(row: Row, caller: Caller, *, html: bool) -> ComparedShown:
    """One row; words that stand in both alike are made into HTML once."""
    left, right = row.left, row.right
    words = await html_of(caller.person.id, left.text) if html and left else None
    alike = left is not None and right is not None and left.text == right.text
    other = words if alike or not html or right is None else await html_of(caller.person.id, right.text)
    return ComparedShown(
        side=row.side,
        left=message_shown(left, caller, html=words) if left else None,
        right=message_shown(right, caller, html=other) if right else None,
    )
