"""How much one caller may ask of the web front: requests a minute, bytes of a request, time to send them."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from ..settings import BotSettings

_KNOWN = 10_000
"""Callers that are counted at once; who has not come longest is forgotten."""
_WORDS = 2 * 1024 * 1024
"""Bytes that a request without files may have."""
_SLOWEST = 4_096
"""Bytes a second below which a body counts as held back."""
_WITH_FILES = ("/api/chat/attachments", "/v1/")


class Rates:
    """Requests of each caller over the last minute or so: a bucket that holds a minute's worth, and fills again."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, caller: str, per_minute: int) -> int:
        """Counts a request; seconds until one is taken again, where this one is not: 0 where it is."""
        now = self._clock()
        left, at = self._left.pop(caller, (float(per_minute), now))
        left = min(float(per_minute), left + (now - at) * per_minute / 60)
        taken = left >= 1
        self._left[caller] = (left - 1 if taken else left, now)
        if len(self._left) > _KNOWN:
            self._left.popitem(last=False)
        return 0 if taken else max(1, math.ceil((1 - left) * 60 / per_minute))


def room_for(path: str, settings: BotSettings) -> int:
    """Bytes that the body of a request may have."""
    if path.startswith(_WITH_FILES):
        return settings.web.upload_limit * 4 // 3 + _WORDS  # base64, and what stands around a file
    return _WORDS


class Body:
    """Reads the body of one request for the app, and gives up where it is too long or comes too slowly."""

    def __init__(self, receive: Receive, room: int, patience: float) -> None:
        """`patience` is how many seconds of silence are borne."""
        self._receive = receive
        self._room = room
        self._patience = patience
        self._read = 0
        self._whole = False
        self._waited = 0.0

    async def __call__(self) -> Message:
        if self._whole:
            return await self._receive()
        began = asyncio.get_running_loop().time()
        left = self._patience + self._read / _SLOWEST - self._waited
        try:
            async with asyncio.timeout(min(self._patience, left)):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, "The request came too slowly", {"Connection": "close"}) from None
        self._waited += asyncio.get_running_loop().time() - began
        self._read += len(message.get("body", b""))
        self._whole = message["type"] != "http.request" or not message.get("more_body", False)
        if self._read > self._room:
            raise too_large(self._room)
        return message


def too_large(room: int) -> HTTPException:
    """The refusal of a request that is longer than `room` bytes."""
    return HTTPException(413, f"A request here may have {room:,} bytes", {"Connection": "close"})
