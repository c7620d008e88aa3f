"""One connection to the web front: what is not said in time is not waited for, and not too many are held."""

from __future__ import annotations

import asyncio
import resource
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

_HEAD_WITHIN = 15.0
"""Seconds in which the head of a request must have come, from its first byte or from the first of the connection."""
_READ_WITHIN = 60.0
"""Seconds for which nothing of an answer may be read."""
_MOST = 8_192
"""Files and connections that a bot may have open, where the system lets it."""


class _Reading(asyncio.Protocol):
    """Breaks off where nothing of what was sent is read for a while."""

    read_within = _READ_WITHIN
    _unread: asyncio.TimerHandle | None = None
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._read()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self.read_within, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._read()

    def _read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


class Connection(_Reading, H11Protocol):
    """uvicorn's, which by itself waits for the head of a request, and for an answer to be read, as long as somebody
    likes."""

    head_within = _HEAD_WITHIN
    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._hurry(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._hurry(None)
        super().handle_websocket_upgrade(event)

    def _look(self) -> None:
        """Waits for a head while a part of one is there; between requests uvicorn's own patience counts."""
        if self.conn.their_state is not h11.IDLE:
            self._hurry(None)
        elif self._due is None and self.conn.trailing_data[0]:
            self._wait()

    def _wait(self) -> None:
        self._hurry(self.loop.call_later(self.head_within, self._give_up))

    def _hurry(self, due: asyncio.TimerHandle | None) -> None:
        if self._due is not None:
            self._due.cancel()
        self._due = due

    def _give_up(self) -> None:
        self._due = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.abort()


class SocketConnection(_Reading, WebSocketsSansIOProtocol):
    """uvicorn's, which by itself waits for what was sent, even for its goodbye, to be read as long as somebody
    likes."""

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()  # who does not answer does not read what is left either


def most_at_once() -> int:
    """How many connections may be open at once: half of what the system lets this process open, which is raised as far
    as it may be, so that storage and Discord never go without."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return _MOST // 2 if soft == resource.RLIM_INFINITY else soft // 2


def options() -> dict[str, Any]:
    """How uvicorn is to hold connections."""
    return {
        "http": Connection,
        "ws": SocketConnection,
        "limit_concurrency": most_at_once(),
        # The guard itself finds out whom a proxy speaks for, and believes only one that the settings know of.
        "proxy_headers": False,
        "h11_max_incomplete_event_size": 32 * 1024,
        "ws_max_size": 1024 * 1024,
    }
