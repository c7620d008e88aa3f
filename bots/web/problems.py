"""What goes wrong at the web front, as a status and a sentence (RFC 9457)."""

from __future__ import annotations

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from storage.backend import NotACursor
from storage.errors import StorageError

from ..errors import TroupeError

log = structlog.get_logger()


class Problem(BaseModel):
    """What went wrong."""

    title: str
    status: int
    detail: str
    """A whole sentence for a person."""


class WebError(TroupeError):
    """A refusal with a status of its own."""

    status = 400


class Unknown(WebError):
    """Nobody knows who asks."""

    status = 401


class Forbidden(WebError):
    """Who asks may not."""

    status = 403


class NotThere(WebError):
    """There is no such thing, or not for whoever asks."""

    status = 404


class Conflict(WebError):
    """It cannot be done as things stand."""

    status = 409


class TooLarge(WebError):
    """More was sent than is taken."""

    status = 413


class TooMany(WebError):
    """Too many requests."""

    status = 429


AGAIN = {"Retry-After": "5"}
"""The header that says when, in seconds, storage may take again what it did not."""


class NoRoom(WebError):
    """The disk is almost full."""

    status = 507


PROBLEM = "application/problem+json"
"""The media type of a refusal."""
TITLES = {
    400: "Cannot be done",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not there",
    405: "No such method",
    408: "Too slow",
    409: "Not now",
    413: "Too large",
    422: "Not understood",
    429: "Too many requests",
    500: "Something went wrong",
    503: "Storage does not take it",
    507: "No room",
}


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """The answer to a request that is refused."""
    told = Problem(title=TITLES.get(status, "Refused"), status=status, detail=detail)
    return JSONResponse(told.model_dump(), status, headers, media_type=PROBLEM)


def _fields(request: Request) -> str:
    """The names of what a body may hold, as a clause."""
    body = getattr(request.scope.get("route"), "body_field", None)
    names = getattr(body and body.field_info.annotation, "model_fields", {})
    told = ", ".join(f"`{field.alias or name}`" for name, field in names.items())
    return told and f"{'these' if len(names) > 1 else 'this'}: {told}"


def tell_problems(app: FastAPI) -> None:
    """Has the app answer with a sentence whatever goes wrong."""

    @app.exception_handler(TroupeError)
    async def refused(_request: Request, error: TroupeError) -> JSONResponse:
        return problem(error.status if isinstance(error, WebError) else 400, str(error))

    @app.exception_handler(StorageError)
    async def unkept(_request: Request, error: StorageError) -> JSONResponse:
        return problem(503, str(error), AGAIN)

    @app.exception_handler(NotACursor)
    async def no_cursor(_request: Request, error: NotACursor) -> JSONResponse:
        return problem(400, "That is no cursor of this list: take one from a page of it, or leave it out.")

    @app.exception_handler(RequestValidationError)
    async def not_understood(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(each) for each in first["loc"])
        known = _fields(request) if first["type"] == "extra_forbidden" and len(first["loc"]) == 2 else ""
        return problem(422, f"{where}: {f'there is no such field, but {known}' if known else first['msg']}.")

    @app.exception_handler(HTTPException)
    async def turned_away(_request: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, f"{error.detail}.", dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        log.error("web.failed", path=request.url.path, exc_info=error)
        return problem(500, "Something went wrong on my side; my log says what.")
