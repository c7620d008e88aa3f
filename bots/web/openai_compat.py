"""OpenAI's chat completions over a bot: any client that speaks them talks to its personas, which are the models."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, JsonValue
from starlette.exceptions import HTTPException

from storage.model import Message, Usage, storable

from .answering import STILL_HERE, Step
from .callers import Chatter, Reader
from .desk import At
from .given import Id, IdGiven, personas
from .openai_talk import WHOEVER_FITS, Asked, Exchange, Line, exchange, persona_of
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

Words = Annotated[str, Field(max_length=400_000), AfterValidator(storable)]
SessionId = Annotated[
    str | None, Header(alias="X-Troupe-Session", max_length=200, description="The session in which it is said.")
]
Stop = Annotated[str, Field(max_length=200)]
Stops = Annotated[
    list[Stop],
    Field(max_length=20),
    BeforeValidator(
        lambda given: [given] if isinstance(given, str) else given, json_schema_input_type=Stop | list[Stop]
    ),
]
Most = Annotated[int, Field(ge=1)]
Metadata = dict[
    Annotated[str, Field(max_length=64), AfterValidator(storable)],
    Annotated[str, Field(max_length=512), AfterValidator(storable)],
]
_AT = 0
"""Since when a persona is there: OpenAI's clients want a number."""


class ModelOffered(BaseModel):
    """A persona, as a model."""

    id: str
    object: Literal["model"] = "model"
    created: int = _AT
    owned_by: str


class ModelsShown(BaseModel):
    """Whom one may ask."""

    object: Literal["list"] = "list"
    data: list[ModelOffered]


class ImageAddress(BaseModel):
    """A picture."""

    url: Annotated[str, Field(max_length=50_000_000)]


class ContentPart(BaseModel):
    """A piece of a message."""

    type: Annotated[str, Field(max_length=60)]
    text: Words | None = None
    refusal: Words | None = None
    image_url: ImageAddress | None = None


class MessageSaid(BaseModel):
    """One thing said."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Words | Annotated[list[ContentPart], Field(max_length=200)] | None = None


class StreamOptions(BaseModel):
    """What a stream tells beside words."""

    include_usage: bool | None = None


class Completing(BaseModel):
    """What is asked. How the persona speaks (temperature and the like) its own settings decide."""

    model: IdGiven
    messages: Annotated[list[MessageSaid], Field(min_length=1, max_length=5_000)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    metadata: Metadata | None = None
    """`session`: the id of the session in which it is said."""
    n: int | None = None
    tool_choice: JsonValue = None
    function_call: JsonValue = None
    logprobs: bool | None = None
    modalities: list[str] | None = None
    audio: JsonValue = None
    prediction: JsonValue = None
    web_search_options: JsonValue = None
    response_format: JsonValue = None
    max_tokens: Most | None = None
    max_completion_tokens: Most | None = None
    """Tokens after which the answer ends, by a careful guess; this one goes before `max_tokens`."""
    stop: Stops | None = None
    """Words before which the answer ends."""


class AnswerSaid(BaseModel):
    """What the persona said."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None
    annotations: list[JsonValue] = []


class Choice(BaseModel):
    """The answer."""

    index: int = 0
    message: AnswerSaid
    logprobs: None = None
    finish_reason: Literal["stop", "length"]


class PromptDetails(BaseModel):
    """Of what was read."""

    cached_tokens: int


class CompletionUsage(BaseModel):
    """What it took."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails


class Completion(BaseModel):
    """A whole answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: CompletionUsage


@router.get("/models")
async def models(desk: At, caller: Reader) -> ModelsShown:
    """The personas that one may ask, and `auto`, which is whoever fits."""
    names = [each.name for each in personas(desk, caller)]
    return ModelsShown(
        data=[ModelOffered(id=name, owned_by=desk.settings.name) for name in dict.fromkeys((*names, WHOEVER_FITS))]
    )


@router.get("/models/{id}")
async def model(id: Id, desk: At, caller: Reader) -> ModelOffered:
    """One of them."""
    found = persona_of(desk, caller, id)
    return ModelOffered(id=found.name if found else WHOEVER_FITS, owned_by=desk.settings.name)


@router.post(
    "/chat/completions",
    response_model=Completion,
    responses={
        200: {
            "description": "The answer; with `stream`, its chunks as they come.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "headers": SESSION_TOLD,
        }
    },
)
async def complete(
    wanted: Completing, desk: At, caller: Chatter, request: Request, named: SessionId = None
) -> Response:
    """Has a persona answer the last message. Where no session is named, it goes on with the one that holds the messages
    before it, or with a new one; `X-Troupe-Session` tells which."""
    refuse(wanted, ("logprobs", "audio", "prediction", "web_search_options"))
    obliged_to_nothing(wanted, ("tool_choice", "function_call"))
    if wanted.n not in (None, 1):
        raise Refusal("There is one answer: leave out 'n', or send 1.", "n", "unsupported_value")
    if set(wanted.modalities or ()) - {"text"}:
        raise Refusal("Personas answer in text.", "modalities", "unsupported_value")
    if wanted.response_format not in (None, {"type": "text"}):
        raise Refusal("Personas answer in words, in no other format.", "response_format", "unsupported_value")
    talking: Talking = request.app.state.talking
    rules = "\n\n".join(_line(each).text for each in wanted.messages if each.role in ("system", "developer"))
    lines = tuple(_line(each) for each in wanted.messages if each.role not in ("system", "developer"))
    session = named or (wanted.metadata or {}).get("session")
    stops = [each for each in wanted.stop or () if each]
    said = await exchange(desk, talking, caller, Asked(wanted.model, lines, rules, session))
    spoken = Spoken(stops, wanted.max_completion_tokens or wanted.max_tokens)
    if wanted.stream:
        await begun(said.answering)
        usage = bool(wanted.stream_options and wanted.stream_options.include_usage)
        return streamed(_chunks(said, spoken, usage=usage), said.session_id)
    await whole(said.answering)
    answer = said.answering.message
    assert answer is not None
    spoken.hear(Step(0, "done"), said.answering)
    await _noted(said, spoken)
    told = Completion(
        id=f"chatcmpl-{answer.id}",
        created=int(answer.at.timestamp()),
        model=said.answering.persona,
        choices=[Choice(message=AnswerSaid(content=spoken.text), finish_reason=_finish(answer, spoken))],
        usage=_usage(answer.usage),
    )
    return JSONResponse(told.model_dump(), headers={"X-Troupe-Session": said.session_id})


@router.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
async def nothing(path: str, request: Request, _caller: Reader) -> None:
    """What else OpenAI's API has."""
    if (takes := _takes(path)) is not None:
        raise HTTPException(405, f"/v1/{path[:80]} takes {takes}, not {request.method}", {"Allow": takes})
    raise Refusal(f"There is no /v1/{path[:80]} here.", code="unknown_url", status=404)


def _takes(path: str) -> str | None:
    """The method of what is there; None where nothing is."""
    of_many, _, one = path.partition("/")
    if path in ("chat/completions", "responses"):
        return "POST"
    return "GET" if path == "models" or (of_many in ("models", "responses") and one and "/" not in one) else None


def refuse(wanted: BaseModel, names: Iterable[str]) -> None:
    """Raises `Refusal` where something is wanted that would change what an answer is."""
    for name in names:
        if getattr(wanted, name):
            raise Refusal(f"'{name}' is not supported here: leave it out.", name, "unsupported_parameter")


def obliged_to_nothing(wanted: BaseModel, names: Iterable[str]) -> None:
    """Raises `Refusal` where a tool has to be called: offered ones are left aside."""
    for name in names:
        if getattr(wanted, name) not in (None, "auto", "none"):
            raise Refusal("Personas call no tools: they answer in words.", name, "unsupported_value")


def _line(said: MessageSaid) -> Line:
    if said.role in ("tool", "function"):
        raise Refusal("Tools are not supported here: leave their messages out.", "messages", "unsupported_value")
    role: Literal["user", "assistant"] = "assistant" if said.role == "assistant" else "user"
    if said.content is None or isinstance(said.content, str):
        return Line(role, said.content or "")
    words, pictures = [], []
    for part in said.content:
        if part.type == "image_url" and part.image_url is not None:
            pictures.append(part.image_url.url)
        elif part.type in ("text", "refusal"):
            words.append(part.text or part.refusal or "")
        else:
            raise Refusal(f"Content of type '{part.type}' is not taken here.", "messages", "unsupported_value")
    return Line(role, "\n".join(words), tuple(pictures))


async def _noted(said: Exchange, spoken: Spoken) -> None:
    """A client that has heard only a part goes on in a session that holds only that."""
    if not spoken.cut:
        await said.told(spoken.text)


def _finish(answer: Message, spoken: Spoken) -> Literal["stop", "length"]:
    return "length" if spoken.short or (answer.outcome == "cut" and not spoken.cut) else "stop"


def _usage(usage: Usage | None) -> CompletionUsage:
    read, written = (usage.tokens_in, usage.tokens_out) if usage else (0, 0)
    return CompletionUsage(
        prompt_tokens=read,
        completion_tokens=written,
        total_tokens=read + written,
        prompt_tokens_details=PromptDetails(cached_tokens=usage.cache_read if usage else 0),
    )


async def _chunks(said: Exchange, spoken: Spoken, *, usage: bool) -> AsyncGenerator[bytes, None]:
    answering = said.answering
    common = {
        "id": f"chatcmpl-{answering.id}",
        "object": "chat.completion.chunk",
        "created": int(said.desk.now().timestamp()),
        "model": answering.persona,
    }

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event({**common, "choices": [choice], **({"usage": None} if usage else {})})

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    async for step in answering.events():
        if step.kind == "silence":
            yield STILL_HERE
        elif more := spoken.hear(step, answering):
            yield chunk({"content": more})
    try:
        there_is_one(answering)
    except Refusal as error:
        yield event(error_told(error))
        return
    assert answering.message is not None
    await _noted(said, spoken)
    yield chunk({}, _finish(answering.message, spoken))
    if usage:
        yield event({**common, "choices": [], "usage": _usage(answering.message.usage).model_dump()})
    yield b"data: [DONE]\n\n"
