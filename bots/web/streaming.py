"""Saying something on the web and hearing the answer: whole, or as it comes (server-sent events), from any point."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from storage.model import Message, storable

from .answering import STILL_HERE, Answering, Step
from .attachments import Hash, beside, uploads_of
from .auditing import changes_nothing
from .callers import Caller, Chatter, Reader
from .desk import At, Desk
from .given import Html, Id
from .problems import TooMany, WebError
from .rendering import html_of
from .shapes import MessageShown, SessionShown, messages_shown, shown_now
from .talking import Talking

router = APIRouter(prefix="/api/chat", tags=["chat"])

_LONGEST = 100_000
"""Characters of a line."""
_EVENTS = "text/event-stream"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
Accepts = Annotated[str, Header(alias="Accept", max_length=1_000, include_in_schema=False)]


class Line(BaseModel):
    """What somebody says."""

    model_config = ConfigDict(extra="forbid")
    text: Annotated[str, Field(max_length=_LONGEST)] = ""
    attachments: Annotated[list[Hash], Field(max_length=20)] = []
    """Files that were sent before, by their hashes."""
    reply_to: Annotated[str, Field(max_length=200)] | None = None
    """The id of the message that it replies to."""
    persona: Annotated[str, Field(max_length=200)] | None = None
    """Who should answer; left out, whoever fits."""
    answer: bool = True
    """Whether an answer is wanted."""
    wait: bool = True
    """Whether to wait until the answer is whole."""
    key: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\w.-]+$")] | None = None
    """The caller's own id for the line: sent again with the same one, it is kept and answered once."""


class WordedAnew(BaseModel):
    """A line in other words."""

    model_config = ConfigDict(extra="forbid")
    text: Annotated[str, Field(min_length=1, max_length=_LONGEST)]
    persona: Annotated[str, Field(max_length=200)] | None = None
    wait: bool = True


class Heard(BaseModel):
    """What came of a line."""

    line: MessageShown | None
    """As it is kept."""
    answer: MessageShown | None = None
    """Null where there is none, or none yet."""
    answer_id: str | None = None
    """The id that the answer has, or will have."""
    refused: str | None = None
    """Why there is none, as a sentence."""
    session: SessionShown | None = None
    """The session that was begun for it."""


_STREAMED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The whole answer; or, where `Accept` asks for `text/event-stream`, its events as they come: "
        "`said` {message}, `began` {answer_id, persona, speaker, session_id}, `delta` {text}, `reset` {}, "
        "`done` {message}, `refused` {detail}. Each but `said` has an id: `Last-Event-ID` goes on behind it.",
        "content": {_EVENTS: {"schema": {"type": "string"}}},
    },
    202: {"model": Heard, "description": "The line is kept, and its answer is still to come."},
}


class Written(BaseModel):
    """Words as Markdown."""

    model_config = ConfigDict(extra="forbid")
    text: Annotated[str, Field(max_length=_LONGEST)]


class Rendered(BaseModel):
    """Words as HTML that can do nothing."""

    html: str


class Stopped(BaseModel):
    """Whether there was anything to stop."""

    stopped: bool


def talking(request: Request) -> Talking:
    """What is being said at this web front."""
    found: Talking = request.app.state.talking
    return found


@router.post("/sessions/{id}/messages", response_model=Heard, responses=_STREAMED)
async def say(
    id: Id, line: Line, desk: At, caller: Chatter, request: Request, accept: Accepts = "*/*", html: Html = False
) -> Response:
    """Says something in a session, and gives the answer to it. It is given to its end whether or not anybody waits."""
    if not line.text.strip() and not line.attachments:
        raise WebError("Say something, or send a file.")
    files = await beside(request, desk, caller, line.attachments)
    answering = await talking(request).say(
        caller, id, line.text, files, line.reply_to, line.persona, answer=line.answer, key=line.key
    )
    if answering.line is not None:
        uploads_of(request).said(caller.person.id, line.attachments)
    return await _told(desk, caller, answering, _Wish(accept, wait=line.wait, html=html))


@router.get("/sessions/{id}/stream", response_class=StreamingResponse, responses={200: _STREAMED[200], 204: {}})
async def stream(
    id: Id,
    desk: At,
    caller: Reader,
    request: Request,
    last: Annotated[str | None, Header(alias="Last-Event-ID", max_length=100)] = None,
    html: Html = False,
) -> Response:
    """The answer under way in a session, as it comes; or what came of an answer behind an event that was heard. 204
    where nothing is being said."""
    session = await caller.session(desk, id)
    answer_id, number = _heard(last)
    talk = talking(request)
    found = talk.find(answer_id) if answer_id else None
    kept = await desk.store.message(answer_id) if answer_id else None
    gone = kept is not None and kept.deleted_at is not None
    if found is not None and found.session.id == session.id and not found.left and not gone:
        return _streamed(desk, caller, found, html=html, after=number)
    if kept is not None and kept.session_id == session.id and not gone:
        return StreamingResponse(_once(desk, caller, kept, html), media_type=_EVENTS, headers=_HEADERS)
    under_way = talk.under_way(session.id)
    if under_way is None:
        return Response(status_code=204)
    return _streamed(desk, caller, under_way, html=html, after=0 if answer_id else None)


@router.post("/sessions/{id}/stop")
async def stop(id: Id, desk: At, caller: Chatter, request: Request) -> Stopped:
    """Ends at once what is being said in a session. What was said so far is kept."""
    session = await caller.session(desk, id)
    return Stopped(stopped=await talking(request).stop(session.id))


@router.post("/messages/{id}/regenerate", response_model=Heard, responses=_STREAMED)
async def regenerate(
    id: Id, desk: At, caller: Chatter, request: Request, accept: Accepts = "*/*", html: Html = False, wait: bool = True
) -> Response:
    """Gives an answer anew, in place of the one before, which leaves sight once the new one is there; of a line, the
    answer that it has, or lacks."""
    answering = await talking(request).redo(caller, id)
    return await _told(desk, caller, answering, _Wish(accept, wait=wait, html=html))


@router.post("/messages/{id}/continue", response_model=Heard, responses=_STREAMED)
async def go_on(
    id: Id, desk: At, caller: Chatter, request: Request, accept: Accepts = "*/*", html: Html = False, wait: bool = True
) -> Response:
    """Has the persona of an answer go on where it stopped."""
    answering = await talking(request).go_on(caller, id)
    return await _told(desk, caller, answering, _Wish(accept, wait=wait, html=html))


@router.post("/messages/{id}/edit-and-branch", response_model=Heard, responses=_STREAMED)
async def edit_and_branch(
    id: Id,
    reworded: WordedAnew,
    desk: At,
    caller: Chatter,
    request: Request,
    accept: Accepts = "*/*",
    html: Html = False,
) -> Response:
    """Says a line in other words in a new session that knows what was said before it; the old one stays as it is."""
    if not reworded.text.strip():
        raise WebError("Say something.")
    answering = await talking(request).reword(caller, id, reworded.text, reworded.persona)
    return await _told(desk, caller, answering, _Wish(accept, wait=reworded.wait, html=html, session=True))


@router.post("/rendered", dependencies=[Depends(changes_nothing)])
async def render(written: Written, caller: Reader) -> Rendered:
    """Markdown as HTML that is safe to show: no script, no style, nothing from elsewhere. A very long text is shown as
    it was written."""
    html = await html_of(caller.person.id, storable(written.text))
    if html is None:
        raise TooMany("I am rendering much for you already: try again once that is done.")
    return Rendered(html=html)


class _Wish:
    """How somebody wants to hear an answer."""

    def __init__(self, accept: str, *, wait: bool, html: bool, session: bool = False) -> None:
        self.streamed = _EVENTS in accept
        self.wait, self.html, self.session = wait, html, session


async def _told(desk: Desk, caller: Caller, answering: Answering, wish: _Wish) -> Response:
    if wish.streamed:
        return _streamed(desk, caller, answering, html=wish.html, line=answering.line)
    line = answering.line  # what others say meanwhile is theirs
    if wish.wait:
        await answering.over()
    shown = (await messages_shown(desk, [line], caller, html=wish.html))[0] if line else None
    message = answering.message if answering.done else None
    heard = Heard(
        line=shown,
        answer=(await messages_shown(desk, [message], caller, html=wish.html))[0] if message else None,
        answer_id=answering.id or None,
        refused=answering.refused or None,
        session=await shown_now(desk, answering.session, caller) if wish.session else None,
    )
    whole = answering.done and not answering.left  # the bot goes over to another store, and answers from there
    return Response(heard.model_dump_json(), 200 if whole else 202, media_type="application/json")


def _streamed(
    desk: Desk,
    caller: Caller,
    answering: Answering,
    *,
    html: bool,
    after: int | None = None,
    line: Message | None = None,
) -> StreamingResponse:
    told = _events(desk, caller, answering, html=html, after=after, line=line)
    return StreamingResponse(told, media_type=_EVENTS, headers=_HEADERS)


async def _events(
    desk: Desk, caller: Caller, answering: Answering, *, html: bool, after: int | None, line: Message | None
) -> AsyncGenerator[bytes, None]:
    if line is not None:
        session = await shown_now(desk, answering.session, caller)
        said = (await messages_shown(desk, [line], caller, html=html))[0]
        yield _event("said", {"message": said.model_dump(mode="json"), "session": session.model_dump(mode="json")})
    async for step in answering.events(after):
        yield await _step(desk, caller, answering, step, html) if step.kind != "silence" else STILL_HERE


async def _step(desk: Desk, caller: Caller, answering: Answering, step: Step, html: bool) -> bytes:
    told: dict[str, JsonValue] = {}
    match step.kind:
        case "began":
            told = {
                "answer_id": answering.id,
                "persona": answering.persona,
                "speaker": answering.speaker,
                "session_id": answering.session.id,
            }
        case "delta":
            told = {"text": step.text}
        case "refused":
            told = {"detail": step.text}
        case "done" if answering.message is not None:
            shown = (await messages_shown(desk, [answering.message], caller, html=html))[0]
            told = {"message": shown.model_dump(mode="json")}
    return _event(step.kind, told, f"{answering.id}:{step.number}" if answering.id else None)


async def _once(desk: Desk, caller: Caller, message: Message, html: bool) -> AsyncIterator[bytes]:
    """An answer that was given long ago, to somebody who has not heard its end."""
    shown = (await messages_shown(desk, [message], caller, html=html))[0]
    yield _event("done", {"message": shown.model_dump(mode="json")}, f"{message.id}:0")


def _event(name: str, told: dict[str, JsonValue], id: str | None = None) -> bytes:
    return format_sse_event(event=name, data_str=json.dumps(told, separators=(",", ":")), id=id)


def _heard(last: str | None) -> tuple[str, int]:
    answer_id, _, number = (last or "").rpartition(":")
    return answer_id, int(number) if number.isascii() and number.isdigit() and len(number) < 15 else 0
