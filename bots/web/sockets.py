"""One open socket: it lasts while its caller may be here, and takes no more than they may say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .problems import WebError

REFUSED = 3600
"""Added to a status it is the code that a socket is closed with: 4001, 4003, 4029."""


class Socket:
    """Stands between one socket and the app."""

    def __init__(self, receive: Receive, send: Send, look: Callable[[bool], None]) -> None:
        """`look` raises `WebError` where the socket is to be closed; with True it is asked for a message."""
        self._receive, self._send, self._look = receive, send, look
        self._closed = False

    async def run(self, app: ASGIApp, scope: Scope, every: float) -> None:
        """Has the app answer it, and looks at it every so many seconds even where nobody says anything."""
        watching = asyncio.ensure_future(self._watch(every))
        try:
            await app(scope, self._hear, self._tell)
        finally:
            watching.cancel()

    async def _hear(self) -> Message:
        message = await self._receive()
        if message["type"] != "websocket.receive":
            return message
        if refusal := self._refusal(said=True):
            await self._close(refusal)
            return {"type": "websocket.disconnect", "code": REFUSED + refusal.status}
        return message

    async def _tell(self, message: Message) -> None:
        if not self._closed:
            self._closed = message["type"] == "websocket.close"
            await self._send(message)

    async def _watch(self, every: float) -> None:
        while not self._closed:
            await asyncio.sleep(every)
            if refusal := self._refusal(said=False):
                with suppress(OSError, RuntimeError):  # it went by itself meanwhile
                    await self._close(refusal)

    async def _close(self, refusal: WebError) -> None:
        await self._tell({"type": "websocket.close", "code": REFUSED + refusal.status, "reason": str(refusal)[:100]})

    def _refusal(self, *, said: bool) -> WebError | None:
        try:
            self._look(said)
        except WebError as refusal:
            return refusal
        return None
