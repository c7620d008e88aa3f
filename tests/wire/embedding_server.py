"""A loopback server of OpenAI's embeddings wire: letters counted, or whatever a test scripts."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer


class EmbeddingServer:
    """`async with EmbeddingServer() as server:` answers at `server.url` on an ephemeral port of 127.0.0.1."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        """The bodies of all requests."""
        self.keys: list[str | None] = []
        self.refusals: deque[int] = deque()
        """Statuses of the next answers; then texts are embedded."""
        self.free = asyncio.Event()
        """Unset, no answer comes."""
        self.free.set()
        self.vector: Callable[[str], list[Any]] = counted
        app = web.Application()
        app.router.add_post("/v1/embeddings", self._answer)
        self._server = TestServer(app)

    async def __aenter__(self) -> EmbeddingServer:
        await self._server.start_server()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.free.set()
        await self._server.close()

    @property
    def url(self) -> str:
        return str(self._server.make_url("/v1"))

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append(body)
        self.keys.append(request.headers.get("Authorization"))
        await self.free.wait()
        if self.refusals:
            told = {"error": {"message": f"Refused: {body['input'][0]}", "code": "scripted"}}
            return web.json_response(told, status=self.refusals.popleft(), headers={"retry-after-ms": "1"})
        rows = [{"object": "embedding", "index": n, "embedding": self.vector(t)} for n, t in enumerate(body["input"])]
        # Nothing promises that rows come in the order of the texts.
        data = {"object": "list", "data": rows[::-1], "model": body["model"]}
        return web.json_response(data | {"usage": {"prompt_tokens": 3, "total_tokens": 3}})


def counted(text: str) -> list[float]:
    """How often each letter occurs, with a number that is never 0."""
    return [float(text.lower().count(chr(ord("a") + n))) for n in range(26)] + [0.5]
