"""GraphQL over a bot. It is loaded when somebody first asks: most bots never need it, and it takes some 10 MB."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response, WebSocket

from storage.durable import in_thread

from .auditing import acted
from .callers import Reader
from .desk import At
from .graphql_asked import Answered, Asked
from .problems import problem

if TYPE_CHECKING:
    from .graphql_view import View

router = APIRouter(prefix="/api", tags=["graphql"])


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
    acted(request, *asking.acts.values())
    return response


@router.websocket("/graphql")
async def subscribe(socket: WebSocket) -> None:
    """Subscriptions and queries."""
    view, state = await _view(), socket.app.state
    from .graphql_types import Asking

    await view.run(socket, Asking(state.desk, socket.scope["caller"], state.talking, by_socket=True))


async def _view() -> View:
    return await in_thread(_built)


@cache
def _built() -> View:
    from .graphql_view import View

    return View()
