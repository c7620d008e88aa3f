"""How OpenAI's API says things: its errors, its events, and an answer that was told cannot be taken back."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import AsyncGenerator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from storage.errors import StorageError
from storage.model import storable

from ..errors import TroupeError
from ..prompt import tokens
from .answering import Answering, Step
from .problems import AGAIN, WebError

_KINDS = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


class ErrorTold(BaseModel):
    """What went wrong, in OpenAI's words."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorShown(BaseModel):
    """A refusal as OpenAI's clients read it."""

    error: ErrorTold


SESSION_TOLD = {"X-Troupe-Session": {"description": "The session in which it was said.", "schema": {"type": "string"}}}
"""The header of an answer, as OpenAPI tells of it."""
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorShown} for status in (400, 401, 403, 404, 409, 413, 422, 429, 503)
}


class Refusal(WebError):
    """Something that is not done here, or not like this."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.param, self.code, self.status = param, code, status


class OpenAIRoute(APIRoute):
    """A route whose refusals come in OpenAI's form."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["starlette.exception_handlers"] = (_TOLD, {})
        await super().handle(scope, receive, send)


async def _said(_request: Request, error: Exception) -> Response:
    match error:
        case RequestValidationError():
            first = error.errors()[0]
            where = ".".join(str(each) for each in first["loc"][1:])
            return refusal(400, f"{where}: {first['msg']}.".removeprefix(": "), param=where or None)
        case HTTPException():
            return refusal(error.status_code, f"{error.detail}.", error.headers)
    return refused(error)


_TOLD = dict.fromkeys((TroupeError, StorageError, RequestValidationError, HTTPException), _said)


def refused(error: Exception) -> JSONResponse:
    """The answer to a request that is refused."""
    if isinstance(error, StorageError):
        return refusal(503, str(error), code="storage")
    # The SDKs ask again after a 409, which changes nothing here.
    status = error.status if isinstance(error, WebError) and error.status != 409 else 400
    param, code = (error.param, error.code) if isinstance(error, Refusal) else (None, None)
    return refusal(status, str(error), param=param, code=code)


def error_told(error: Exception) -> dict[str, Any]:
    """The same in the middle of a stream."""
    told: dict[str, Any] = json.loads(bytes(refused(error).body))
    return told


def refusal(
    status: int,
    message: str,
    headers: Mapping[str, str] | None = None,
    *,
    param: str | None = None,
    code: str | None = None,
) -> JSONResponse:
    """A refusal in OpenAI's form."""
    kind = _KINDS.get(status, "server_error" if status >= 500 else "invalid_request_error")
    told = ErrorShown(error=ErrorTold(message=storable(message), type=kind, param=param and storable(param), code=code))
    return JSONResponse(told.model_dump(), status, {**(AGAIN if status == 503 else {}), **(headers or {})})


class Spoken:
    """The words of an answer as somebody hears them who cannot unhear any."""

    def __init__(self, stops: Sequence[str] = (), most: int | None = None) -> None:
        """`stops` are words before which it ends; `most` is the tokens after which it does."""
        self.text = ""
        """All that was told."""
        self.cut = False
        """Whether it ended before its end: at one of the stops, or as it was long enough."""
        self.short = False
        """Whether it was long enough."""
        self._stops, self._most = stops, most
        self._before = ""
        """What was told and is not meant any more."""
        self._now = ""

    def hear(self, step: Step, answering: Answering) -> str:
        """What is to be told now. An answer that starts anew goes on where the new one differs from the one before."""
        if step.kind == "reset":
            self._now = ""
        elif step.kind == "delta":
            self._now += step.text
        elif step.kind == "done" and answering.message is not None:
            self._now = answering.message.text
        last = step.kind == "done"
        meant = self._fit(self._before + self._now, last=last)
        if self.text.startswith(meant):
            return ""
        if not meant.startswith(self.text):
            self._before = f"{self.text}\n\n"
            meant = self._fit(self._before + self._now, last=last)
        more, self.text = meant[len(self.text) :], meant
        return more

    def _fit(self, words: str, *, last: bool) -> str:
        """What of words can be told: all before a stop; unless they are the last, not what may be the head of one."""
        found = [at for stop in self._stops if (at := words.find(stop)) >= 0]
        room = len(words) if self._most is None else _fitting(words, self._most)
        self.short = room < min((*found, len(words)))
        self.cut = bool(found) or self.short
        if self.short:
            return words[:room]
        if found:
            return words[: min(found)]
        heads = (len(head) for stop in self._stops for head in accumulate(stop[:-1]) if words.endswith(head))
        return words if last else words[: len(words) - max(heads, default=0)]


def _fitting(words: str, most: int) -> int:
    """How many characters of words have at most so many tokens."""
    if tokens(words) <= most:
        return len(words)
    return bisect_right(range(len(words)), most, key=lambda end: tokens(words[:end])) - 1


async def whole(answering: Answering) -> None:
    """Waits for the end of an answer. Raises `Refusal` where there is none."""
    await answering.over()
    there_is_one(answering)


async def begun(answering: Answering) -> None:
    """Waits until an answer begins. Raises `Refusal` where none does."""
    await answering.begun()
    if answering.done:
        there_is_one(answering)


def there_is_one(answering: Answering) -> None:
    """Raises `Refusal` where an answer did not come."""
    if answering.left:
        raise Refusal("I am going away for a moment just now: what you said is kept; ask again.", status=503)
    if answering.message is None:
        raise Refusal(answering.refused or "That wants no answer.", code="no_answer")


def streamed(events: AsyncGenerator[bytes, None], session_id: str) -> StreamingResponse:
    """Events as they come; the answer is given to its end whether or not anybody waits."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Troupe-Session": session_id}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


def event(told: dict[str, Any], name: str = "") -> bytes:
    """One server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(told, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()
