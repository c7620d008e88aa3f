"""Connections to the web front that say nothing, or read nothing, are not held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import uvicorn
from starlette import types
from uvicorn.server import ServerState
from websockets.asyncio.client import connect

from bots.web.connections import Connection, SocketConnection


class Hurried(Connection):
    head_within = 0.05
    read_within = 0.05


class HurriedSocket(SocketConnection):
    read_within = 0.05


@asynccontextmanager
async def listening(app: types.ASGIApp) -> AsyncIterator[int]:
    config = uvicorn.Config(app, log_config=None, lifespan="off", ws=HurriedSocket)
    config.load()
    state, loop = ServerState(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Hurried(config, state, {}), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: loc", b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HT"])
async def test_a_head_that_is_never_finished_does_not_hold_a_connection(begun: bytes) -> None:
    async def answer(scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with listening(answer) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(begun)
        async with asyncio.timeout(5):
            with suppress(ConnectionError):
                assert (await reader.read()).count(b"HTTP/1.1 204") == begun.count(b"\r\n\r\n")
        writer.close()


async def test_an_answer_that_nobody_reads_does_not_hold_one_either() -> None:
    done = asyncio.Event()

    async def answer(scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(200):
            await send({"type": "http.response.body", "body": b"x" * 1_000_000, "more_body": True})
        done.set()

    async with listening(answer) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(10):
            await done.wait()
        writer.close()


@pytest.mark.parametrize("closes", [False, True])
async def test_a_socket_that_nobody_reads_is_not_held(closes: bool) -> None:
    let_go = asyncio.Event()

    async def tell(scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        with suppress(OSError):
            for _ in range(5 if closes else 200):
                await send({"type": "websocket.send", "bytes": b"x" * 1_000_000})
            await send({"type": "websocket.close", "code": 1000})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        let_go.set()

    async with listening(tell) as port, connect(f"ws://127.0.0.1:{port}", max_size=None, compression=None) as socket:
        socket.transport.pause_reading()
        async with asyncio.timeout(10):
            await let_go.wait()
        socket.transport.abort()
