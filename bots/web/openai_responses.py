"""OpenAI's responses over a bot: the same talk as with chat completions, and it can go on with an earlier answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from itertools import count
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, JsonValue

from storage.model import Message, Usage

from .answering import STILL_HERE, Step
from .callers import Chatter, Reader
from .desk import At
from .given import Id, IdGiven
from .openai_compat import Metadata, Most, SessionId, Words, obliged_to_nothing, refuse
from .openai_talk import Asked, Exchange, Line, answer_of, exchange
from .openai_wire import (
    REFUSALS,
    SESSION_TOLD,
    OpenAIRoute,
    Refusal,
    Spoken,
    begun,
    error_told,
    event,
    streamed,
    there_is_one,
    whole,
)
from .talking import Talking

router = APIRouter(prefix="/v1", tags=["openai"], route_class=OpenAIRoute, responses=REFUSALS)

_PREFIX = "resp_"
Status = Literal["completed", "incomplete", "in_progress", "failed"]


class InputPart(BaseModel):
    """A piece of a message."""

    type: Annotated[str, Field(max_length=60)]
    text: Words | None = None
    refusal: Words | None = None
    image_url: Annotated[str, Field(max_length=50_000_000)] | None = None


class InputItem(BaseModel):
    """One thing said."""

    type: Annotated[str, Field(max_length=60)] = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: Words | Annotated[list[InputPart], Field(max_length=200)] | None = None


class Conversation(BaseModel):
    """The session in which it is said."""

    id: IdGiven


class Responding(BaseModel):
    """What is asked. How the persona speaks (temperature and the like) its own settings decide."""

    model: IdGiven
    input: Words | Annotated[list[InputItem], Field(min_length=1, max_length=5_000)]
    instructions: Words | None = None
    previous_response_id: IdGiven | None = None
    """The answer to go on with."""
    conversation: IdGiven | Conversation | None = None
    metadata: Metadata | None = None
    """`session`: the id of the session in which it is said."""
    max_output_tokens: Most | None = None
    """Tokens after which the answer ends, by a careful guess."""
    stream: bool | None = None
    tool_choice: JsonValue = None
    prompt: JsonValue = None
    background: bool | None = None
    text: JsonValue = None


class OutputText(BaseModel):
    """Words."""

    type: Literal["output_text"] = "output_text"
    text: str
    annotations: list[JsonValue] = []
    logprobs: list[JsonValue] = []


class OutputMessage(BaseModel):
    """What the persona said."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    status: Literal["completed", "incomplete", "in_progress"]
    content: list[OutputText]


class InputDetails(BaseModel):
    """Of what was read."""

    cached_tokens: int
    cache_write_tokens: int


class OutputDetails(BaseModel):
    """Of what was written."""

    reasoning_tokens: int = 0


class ResponseUsage(BaseModel):
    """What it took."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails = OutputDetails()
    total_tokens: int


class ResponseShown(BaseModel):
    """An answer."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: Status
    error: JsonValue = None
    incomplete_details: JsonValue = None
    instructions: str | None = None
    metadata: dict[str, str] = {}
    model: str
    output: list[OutputMessage]
    parallel_tool_calls: bool = False
    previous_response_id: str | None = None
    conversation: Conversation | None = None
    tool_choice: Literal["none"] = "none"
    tools: list[JsonValue] = []
    temperature: float | None = None
    top_p: float | None = None
    text: dict[str, JsonValue] = {"format": {"type": "text"}}
    truncation: Literal["auto"] = "auto"
    store: bool = True
    usage: ResponseUsage | None = None


@router.post(
    "/responses",
    response_model=ResponseShown,
    responses={
        200: {
            "description": "The answer; with `stream`, its events as they come.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "headers": SESSION_TOLD,
        }
    },
)
async def respond(wanted: Responding, desk: At, caller: Chatter, request: Request, named: SessionId = None) -> Response:
    """Has a persona answer the last message, in the session that is named, that of an earlier answer, the one that
    holds the messages before it, or a new one."""
    refuse(wanted, ("prompt", "background"))
    obliged_to_nothing(wanted, ("tool_choice",))
    form = wanted.text.get("format") if isinstance(wanted.text, dict) else None
    if form not in (None, {"type": "text"}):
        raise Refusal("Personas answer in words, in no other format.", "text.format", "unsupported_value")
    talking: Talking = request.app.state.talking
    rules, lines = _read(wanted)
    after = wanted.previous_response_id
    session = named or _session(wanted)
    asked = Asked(wanted.model, lines, rules, session, after.removeprefix(_PREFIX) if after else None)
    said = await exchange(desk, talking, caller, asked)
    if wanted.stream:
        await begun(said.answering)
        return streamed(_events(said, wanted), said.session_id)
    await whole(said.answering)
    answer = said.answering.message
    assert answer is not None
    spoken = Spoken(most=wanted.max_output_tokens)
    spoken.hear(Step(0, "done"), said.answering)
    if not spoken.cut:
        await said.told(answer.text)
    told = _shown(answer, said.answering.persona, wanted, spoken)
    return JSONResponse(told.model_dump(), headers={"X-Troupe-Session": said.session_id})


@router.get("/responses/{id}")
async def response(id: Id, desk: At, caller: Reader) -> ResponseShown:
    """An answer that was given before."""
    answer = await answer_of(desk, caller, id.removeprefix(_PREFIX))
    return _shown(answer, answer.persona or "")


def _session(wanted: Responding) -> str | None:
    """The session that is named."""
    if wanted.conversation is None:
        return None if wanted.previous_response_id else (wanted.metadata or {}).get("session")
    if wanted.previous_response_id:
        raise Refusal("Name a conversation or an earlier response, not both.", "previous_response_id")
    return wanted.conversation if isinstance(wanted.conversation, str) else wanted.conversation.id


def _read(wanted: Responding) -> tuple[str, tuple[Line, ...]]:
    """A client's instructions, and what it says was said."""
    if isinstance(wanted.input, str):
        return wanted.instructions or "", (Line("user", wanted.input),)
    rules, lines = [wanted.instructions or ""], []
    for item in wanted.input:
        if item.type == "reasoning":  # what another model thought is of no use to this one
            continue
        if item.type != "message" or item.role is None:
            raise Refusal(f"Items of type '{item.type}' are not taken here.", "input", "unsupported_value")
        words, pictures = _said(item)
        if item.role in ("system", "developer"):
            rules.append(words)
        else:
            lines.append(Line("assistant" if item.role == "assistant" else "user", words, pictures))
    return "\n\n".join(filter(None, rules)), tuple(lines)


def _said(item: InputItem) -> tuple[str, tuple[str, ...]]:
    if item.content is None or isinstance(item.content, str):
        return item.content or "", ()
    words, pictures = [], []
    for part in item.content:
        if part.type == "input_image" and part.image_url:
            pictures.append(part.image_url)
        elif part.type in ("input_text", "output_text", "text", "refusal"):
            words.append(part.text or part.refusal or "")
        else:
            raise Refusal(f"Content of type '{part.type}' is not taken here.", "input", "unsupported_value")
    return "\n".join(words), tuple(pictures)


def _shown(
    answer: Message, persona: str, wanted: Responding | None = None, spoken: Spoken | None = None
) -> ResponseShown:
    """An answer as it stands, or with the words that were told of it."""
    status: Literal["completed", "incomplete"] = (
        "incomplete" if answer.outcome == "cut" or (spoken and spoken.short) else "completed"
    )
    part = OutputText(text=answer.text if spoken is None else spoken.text)
    return ResponseShown(
        id=f"{_PREFIX}{answer.id}",
        created_at=int(answer.at.timestamp()),
        status=status,
        incomplete_details={"reason": "max_output_tokens"} if status == "incomplete" else None,
        instructions=wanted.instructions if wanted else None,
        metadata=dict(wanted.metadata or {}) if wanted else {},
        model=persona,
        output=[OutputMessage(id=f"msg_{answer.id}", status=status, content=[part])],
        previous_response_id=wanted.previous_response_id if wanted else None,
        conversation=Conversation(id=answer.session_id),
        usage=_usage(answer.usage),
    )


def _usage(usage: Usage | None) -> ResponseUsage:
    read, written = (usage.tokens_in, usage.tokens_out) if usage else (0, 0)
    cached, kept = (usage.cache_read, usage.cache_write) if usage else (0, 0)
    return ResponseUsage(
        input_tokens=read,
        input_tokens_details=InputDetails(cached_tokens=cached, cache_write_tokens=kept),
        output_tokens=written,
        total_tokens=read + written,
    )


async def _events(said: Exchange, wanted: Responding) -> AsyncGenerator[bytes, None]:
    answering, spoken, numbers = said.answering, Spoken(most=wanted.max_output_tokens), count()

    def told(kind: str, **fields: Any) -> bytes:
        return event({"type": kind, **fields, "sequence_number": next(numbers)}, kind)

    opening = ResponseShown(
        id=f"{_PREFIX}{answering.id}",
        created_at=int(said.desk.now().timestamp()),
        status="in_progress",
        instructions=wanted.instructions,
        metadata=dict(wanted.metadata or {}),
        model=answering.persona,
        output=[],
        previous_response_id=wanted.previous_response_id,
        conversation=Conversation(id=said.session_id),
    )
    for kind in ("response.created", "response.in_progress"):
        yield told(kind, response=opening.model_dump())
    item = OutputMessage(id=f"msg_{answering.id}", status="in_progress", content=[])
    place: dict[str, Any] = {"item_id": item.id, "output_index": 0, "content_index": 0}
    yield told("response.output_item.added", output_index=0, item=item.model_dump())
    yield told("response.content_part.added", **place, part=OutputText(text="").model_dump())
    async for step in answering.events():
        if step.kind == "silence":
            yield STILL_HERE
        elif more := spoken.hear(step, answering):
            yield told("response.output_text.delta", **place, delta=more, logprobs=[])
    try:
        there_is_one(answering)
    except Refusal as error:
        failure = {"code": "server_error", "message": error_told(error)["error"]["message"]}
        failed = opening.model_copy(update={"status": "failed", "error": failure})
        yield told("response.failed", response=failed.model_dump())
        return
    answer = answering.message
    assert answer is not None
    if not spoken.cut:
        await said.told(spoken.text)
    whole = _shown(answer, answering.persona, wanted, spoken)
    yield told("response.output_text.done", **place, text=spoken.text, logprobs=[])
    yield told("response.content_part.done", **place, part=whole.output[0].content[0].model_dump())
    yield told("response.output_item.done", output_index=0, item=whole.output[0].model_dump())
    yield told(f"response.{whole.status}", response=whole.model_dump())
