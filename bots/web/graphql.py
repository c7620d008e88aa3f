"""GraphQL over a bot. It is loaded when somebody first asks: most bots never need it, and it takes some 10 MB."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Request, Response, WebSocket
from pydantic import BaseModel, Field, JsonValue

from storage.durable import in_thread

from .auditing import changes_nothing
from .callers import Caller, Reader
from .desk import At
from .problems import problem

if TYPE_CHECKING:
    from .graphql_schema import View

router = APIRouter(prefix="/api", tags=["graphql"])

_NOT_SIGNED_IN = 4001


class Asked(BaseModel):
    """A GraphQL request."""

    query: Annotated[str, Field(min_length=1, max_length=50_000)]
    variables: dict[str, JsonValue] | None = None
    operationName: Annotated[str, Field(max_length=200)] | None = None


class Answered(BaseModel):
    """A GraphQL answer."""

    data: dict[str, JsonValue] | None = None
    errors: list[dict[str, JsonValue]] | None = None
    extensions: dict[str, JsonValue] | None = None


@router.post("/graphql", response_model=Answered)
async def graphql(asked: Asked, desk: At, caller: Reader, request: Request) -> Response:
    """Queries and mutations; the schema tells itself. Subscriptions are at the same address, as a WebSocket that speaks
    `graphql-transport-ws`."""
    from cross_web import HTTPException  # what strawberry raises

    from .graphql_types import Asking

    asking = Asking(desk, caller, request.app.state.talking)
    try:
        response: Response = await (await _view()).run(request, asking)
    except HTTPException as error:
        return problem(error.status_code, f"{error.reason.rstrip('.')}.")
    if not asking.changed:
        changes_nothing(request)
    return response


@router.websocket("/graphql")
async def subscribe(socket: WebSocket) -> None:
    """Subscriptions and queries."""
    caller: Caller | None = socket.scope.get("caller")
    if caller is None:
        await socket.close(_NOT_SIGNED_IN, "Sign in first.")
        return
    view = await _view()
    from .graphql_types import Asking

    await view.run(socket, Asking(socket.app.state.desk, caller, socket.app.state.talking, by_socket=True))


async def _view() -> View:
    return await in_thread(_built)


@cache
def _built() -> View:
    from .graphql_schema import View

    return View()
