"""Exports over HTTP: one session, or many, streamed as they are made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends
from fastapi import Request as Asked
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from storage.exports import Form
from storage.exports.exported import file_name

from ..export_order import Request, counted, export_of, made
from .auditing import changes_nothing
from .callers import Caller, Reader
from .desk import At, Desk
from .given import IdGiven, Short, Tag, Time, is_named
from .problems import Conflict, Forbidden, WebError

router = APIRouter(prefix="/api/chat", tags=["export"])

_TYPES = {
    "md": "text/markdown; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "json": "application/json",
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "zip": "application/zip",
}
_TEXT = {"type": "string"}
_BINARY = {"type": "string", "format": "binary"}
_SCHEMAS = {"json": {"type": "object"}, "pdf": _BINARY, "docx": _BINARY, "zip": _BINARY}
_LOOK = 0.5
"""Seconds after which it is looked again whether anybody still waits."""
_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file, with its name in `Content-Disposition`.",
        "content": {kind.partition(";")[0]: {"schema": _SCHEMAS.get(end, _TEXT)} for end, kind in _TYPES.items()},
    }
}


class Look(BaseModel):
    """How an export is to look."""

    model_config = ConfigDict(extra="forbid")
    form: Form = "md"
    files: bool = False
    """Also the files beside the messages: the export is a zip then."""
    zipped: bool = False
    """A zip of single documents."""
    metadata: bool = True
    timestamps: bool = True
    header_level: Annotated[int, Field(ge=1, le=5)] = 1
    code_language: Annotated[str, Field(pattern=r"^[\w.+#-]{0,40}$")] = ""
    zone: Short = "UTC"
    """In which time zone times are told: `Europe/Berlin`."""
    images: Literal["embed", "link"] = "embed"
    complete: bool = False
    """Also what was deleted, and earlier wordings (`json` and `v3`); takes the scope `admin`."""

    def request(self, caller: Caller, **meant: Any) -> Request:
        """The order for such a file. Raises `Forbidden`."""
        if self.complete and not caller.may("admin"):
            raise Forbidden("What was deleted is exported to those with the scope 'admin' only.")
        return Request(**self.model_dump(include=set(Look.model_fields)), **meant)


class Bulk(Look):
    """What many sessions are exported; nothing said means all that the caller may see."""

    sessions: Annotated[list[IdGiven], Field(max_length=1_000)] | None = None
    """Their ids; left out, all."""
    channels: Annotated[list[Short], Field(max_length=100)] = []
    """Names, ids or keys."""
    user: Short | None = None
    """A name or an id: only what that person said, and the answers."""
    persona: Short | None = None
    tags: Annotated[list[Tag], Field(max_length=20)] = []
    starred: bool = False
    since: Time | None = None
    until: Time | None = None

    async def order(self, desk: Desk, caller: Caller) -> Request:
        """What is asked for, as far as the caller may. Raises `WebError`."""
        if self.sessions is not None and not self.sessions:
            raise WebError("Name at least one session, or leave `sessions` out for all.")
        for id in self.sessions or ():
            await caller.session(desk, id)
        channels, user = tuple(self.channels), self.user
        if caller.keys is not None:
            if not all(is_named(caller.channel, name) for name in channels):
                raise Forbidden("You may export what is in your own place on the web; name no other channel.")
            if user is not None and user not in (caller.person.id, caller.person.name):
                raise Forbidden("You may export your own talk; name nobody else.")
            channels, user = (), caller.person.id if user is not None else None
        meant = {"sessions": tuple(self.sessions or ()), "channels": channels, "user": user, "persona": self.persona}
        more = {"tags": tuple(self.tags), "starred": self.starred, "since": self.since, "until": self.until}
        return self.request(caller, **meant, **more)


_AS_IT_COMES = Look()


class CountShown(BaseModel):
    """How much an export would hold."""

    sessions: int
    messages: int


@router.post("/sessions/{id}/export", response_class=StreamingResponse, responses=_FILE)
async def export_session(
    desk: At, caller: Reader, at: Asked, id: IdGiven, given: Look = _AS_IT_COMES
) -> StreamingResponse:
    """One session as a file."""
    session = await caller.session(desk, id)
    request = given.request(caller, sessions=(session.id,))
    return await _streamed(desk, caller, at, request, file_name(session, request.end))


@router.post("/export/bulk", response_class=StreamingResponse, responses=_FILE)
async def export_many(desk: At, caller: Reader, at: Asked, given: Bulk) -> StreamingResponse:
    """Many sessions as one file."""
    request = await given.order(desk, caller)
    name = f"{desk.settings.name}_{desk.now():%Y-%m-%d}.{request.end}"
    return await _streamed(desk, caller, at, request, name)


@router.post("/export/count", dependencies=[Depends(changes_nothing)])
async def count_export(desk: At, caller: Reader, given: Bulk) -> CountShown:
    """How much such an export would hold; nothing is made."""
    request = await given.order(desk, caller)
    return CountShown(**await counted(request, desk.store, desk.settings.name, caller.keys))


async def _streamed(desk: Desk, caller: Caller, at: Asked, request: Request, name: str) -> StreamingResponse:
    return await streamed(caller, at, _pieces(desk, caller, request), _TYPES[request.end], name)


async def streamed(
    caller: Caller, at: Asked, file: AsyncGenerator[bytes, None], media_type: str, name: str
) -> StreamingResponse:
    """A file as it is made; of one person one at a time, since some are made in memory as a whole. Raises `Conflict`,
    and what is raised before there is anything of it."""
    under_way = _under_way(at)
    if caller.person.id in under_way:
        raise Conflict("I am making another export for you already: try again once that is done.")
    under_way.add(caller.person.id)
    pieces = _counted(file, caller, under_way)
    first = await _first(at, pieces)  # what is wrong is told before anything is sent
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "Cache-Control": "no-store",
    }
    return StreamingResponse(_whole(first, pieces), media_type=media_type, headers=headers)


async def _first(at: Asked, pieces: AsyncGenerator[bytes, None]) -> bytes:
    """The first of it. Raises `Conflict` where nobody waits for it any more."""
    coming: asyncio.Future[bytes] = asyncio.ensure_future(anext(pieces, b""))
    try:
        while not (await asyncio.wait((coming,), timeout=_LOOK))[0]:
            if await at.is_disconnected():
                raise Conflict("Nobody waits for this export any more.")
        return coming.result()
    finally:
        if not coming.done():
            coming.cancel()
            await asyncio.wait((coming,))


async def _counted(
    file: AsyncGenerator[bytes, None], caller: Caller, under_way: set[str]
) -> AsyncGenerator[bytes, None]:
    try:
        async with aclosing(file):
            async for piece in file:
                yield piece
    finally:
        under_way.discard(caller.person.id)


async def _pieces(desk: Desk, caller: Caller, request: Request) -> AsyncGenerator[bytes, None]:
    export = await export_of(request, desk.store, desk.blobs, desk.settings.name, desk.now(), within=caller.keys)
    async with aclosing(made(request, export)) as pieces:
        async for piece in pieces:
            yield piece


async def _whole(first: bytes, pieces: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    async with aclosing(pieces):
        yield first
        async for piece in pieces:
            yield piece


def _under_way(at: Asked) -> set[str]:
    """The ids of those for whom an export is being made."""
    found: set[str] = at.app.state.exporting
    return found
