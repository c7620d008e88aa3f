"""What the API says of itself, as OpenAPI."""

from __future__ import annotations

import asyncio
import json

from fastapi import APIRouter, FastAPI, Request, Response

from storage.durable import in_thread

router = APIRouter()


class Description:
    """The description of one app: made when somebody first asks, which takes seconds, and beside the loop."""

    def __init__(self) -> None:
        self._one = asyncio.Lock()
        self._made = b""

    async def of(self, app: FastAPI) -> bytes:
        """It, as JSON."""
        async with self._one:
            if not self._made:
                self._made = await in_thread(_made, app)
        return self._made


@router.get("/api/openapi.json", include_in_schema=False)
async def description(request: Request) -> Response:
    """What can be asked of this bot."""
    app: FastAPI = request.app
    found: Description = app.state.description
    return Response(await found.of(app), media_type="application/json")


def _made(app: FastAPI) -> bytes:
    return json.dumps(app.openapi(), ensure_ascii=False).encode()
