"""A loopback model provider: OpenAI's chat-completions wire and Anthropic's messages wire, scripted by tests."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal

from aiohttp import web

from bots.providers import Line
from tests.wire import provider_forms

Wire = Literal["openai", "anthropic"]
WRONG_KEY = "wrong-key"
"""The key that nobody accepts."""


@dataclass
class Ask:
    """One request as it arrived. Times are `time.monotonic()`, comparable between processes of one machine."""

    at: float
    wire: Wire
    model: str
    system: str
    lines: tuple[Line, ...]
    headers: dict[str, str]
    """Without the key."""
    body: dict[str, Any]
    raw: bytes
    first_byte_at: float | None = None
    last_byte_at: float | None = None
    disconnected: bool = False
    """Whether the client hung up before the answer was whole."""

    @property
    def question(self) -> str:
        return self.lines[-1].text if self.lines else ""

    @property
    def streaming(self) -> bool:
        return bool(self.body.get("stream"))


@dataclass
class Gate:
    """Holds an answer back until a test opens it."""

    _event: asyncio.Event = field(default_factory=asyncio.Event)

    def open(self) -> None:
        self._event.set()

    async def passed(self) -> None:
        await self._event.wait()


@dataclass
class Answer:
    """How one request is answered. Counts of pieces say after how many of them something happens."""

    text: str | None = None
    """None takes the server's default."""
    pieces: Sequence[str] | None = None
    piece_size: int | None = None
    """Characters per piece; the server's own where None, and a word per piece where that is None too."""
    pace: float | None = None
    """Seconds between pieces."""
    finish: str | None = None
    """The wire's finish or stop reason; None is the ordinary one."""
    usage: bool = True
    cache_read: int = 0
    cache_write: int = 0
    odd: bool = False
    """Adds comments, events without choices and empty deltas, as some compatible servers do."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    break_off_after: int | None = None
    garbled_after: int | None = None
    error_after: int | None = None
    quiet_end_after: int | None = None
    gate: Gate | None = None
    gate_after: int = 0

    def cut(self, text: str, piece_size: int | None) -> list[str]:
        """The pieces of `text`."""
        if self.pieces is not None:
            return list(self.pieces)
        size = self.piece_size or piece_size
        if size:
            return [text[start : start + size] for start in range(0, len(text), size)]
        words = text.split(" ")
        return [word + " " for word in words[:-1]] + words[-1:]


class ProviderServer:
    """`async with ProviderServer() as server:` serves both wires on one ephemeral port of 127.0.0.1.

    Scripted answers are used once each, in the order of their scripting; then `default` answers."""

    def __init__(self, *, piece_size: int | None = None) -> None:
        self.default: Callable[[Ask], str] = lambda ask: f"You said: {ask.question}"
        self.on_ask: Callable[[Ask], None] = lambda ask: None
        """Told of every request as soon as it is read."""
        self.on_last_byte: Callable[[Ask], None] = lambda ask: None
        """Told once the last byte of an answer is handed to the socket; `ask.last_byte_at` says when."""
        self.asks: list[Ask] = []
        self._piece_size = piece_size
        self._script: deque[Answer] = deque()
        self._waiters: list[tuple[Callable[[ProviderServer], bool], asyncio.Future[None]]] = []
        self._closing = False
        self._runner: web.AppRunner | None = None
        self._origin = ""

    async def __aenter__(self) -> ProviderServer:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/v1/chat/completions", self._openai)
        app.router.add_post("/v1/messages", self._anthropic)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self._origin = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def openai_url(self) -> str:
        return f"{self._origin}/v1"

    @property
    def anthropic_url(self) -> str:
        return self._origin

    def answer(
        self,
        text: str | None = None,
        *,
        pieces: Sequence[str] | None = None,
        piece_size: int | None = None,
        pace: float | None = None,
        finish: str | None = None,
        usage: bool = True,
        cache_read: int = 0,
        cache_write: int = 0,
        odd: bool = False,
    ) -> None:
        """Scripts one whole answer."""
        said = "".join(pieces) if pieces is not None else text
        self.script(
            Answer(
                said,
                pieces=pieces,
                piece_size=piece_size,
                pace=pace,
                finish=finish,
                usage=usage,
                cache_read=cache_read,
                cache_write=cache_write,
                odd=odd,
            )
        )

    def fail(
        self, status: int, *, headers: Mapping[str, str] | None = None, body: str | None = None, times: int = 1
    ) -> None:
        """Scripts refusals; without a body they come in the wire's own JSON form."""
        for _ in range(times):
            self.script(Answer(status=status, headers=headers or {}, body=body))

    def break_off(self, after_pieces: int = 1, text: str | None = None) -> None:
        """Scripts an answer whose connection drops; after 0 pieces only its head has arrived."""
        self.script(Answer(text, break_off_after=after_pieces))

    def garble(self, after_pieces: int = 1, text: str | None = None) -> None:
        """Scripts an answer that turns into a torn piece of JSON."""
        self.script(Answer(text, garbled_after=after_pieces))

    def error_event(self, after_pieces: int = 1, text: str | None = None) -> None:
        """Scripts an answer that turns into the wire's error event."""
        self.script(Answer(text, error_after=after_pieces))

    def quiet_end(self, after_pieces: int = 1, text: str | None = None) -> None:
        """Scripts an answer that just ends, with neither a reason nor a usage: a proxy cut it."""
        self.script(Answer(text, quiet_end_after=after_pieces))

    def hold(self, after_pieces: int = 0, text: str | None = None) -> Gate:
        """Scripts an answer that stops after so many pieces until the gate opens; 0 holds back even its head."""
        gate = Gate()
        self.script(Answer(text, gate=gate, gate_after=after_pieces))
        return gate

    def script(self, answer: Answer) -> None:
        """Scripts any mixture of the above."""
        self._script.append(answer)

    async def until(self, predicate: Callable[[ProviderServer], bool], timeout: float = 30.0) -> None:
        """Waits until something this server saw makes `predicate` true."""
        if predicate(self):
            return
        waiter = (predicate, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout):
                await waiter[1]
        finally:
            self._waiters.remove(waiter)

    async def _openai(self, request: web.Request) -> web.StreamResponse:
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return await self._serve(request, "openai", key)

    async def _anthropic(self, request: web.Request) -> web.StreamResponse:
        key = request.headers.get("x-api-key") or request.headers.get("Authorization", "").removeprefix("Bearer ")
        return await self._serve(request, "anthropic", key)

    async def _serve(self, request: web.Request, wire: Wire, key: str) -> web.StreamResponse:
        ask = await self._read(request, wire)
        if not key or key == WRONG_KEY:
            return _refusal(wire, 401, f"Incorrect API key provided: {key}.")
        answer = self._script.popleft() if self._script else Answer()
        try:
            if answer.gate is not None and answer.gate_after == 0:
                await answer.gate.passed()
            if answer.status != 200:
                return _refusal(wire, answer.status, "Scripted refusal.", answer.headers, answer.body)
            return await self._reply(request, ask, answer)
        except (asyncio.CancelledError, ConnectionError):
            ask.disconnected = not self._closing
            raise
        finally:
            self._noted()

    async def _read(self, request: web.Request, wire: Wire) -> Ask:
        at = time.monotonic()
        raw = await request.read()
        body = json.loads(raw)
        system, lines = provider_forms.heard(wire, body)
        secret = ("authorization", "x-api-key")
        headers = {name.lower(): value for name, value in request.headers.items() if name.lower() not in secret}
        ask = Ask(at, wire, body["model"], system, lines, headers, body, raw)
        self.asks.append(ask)
        self.on_ask(ask)
        self._noted()
        return ask

    async def _reply(self, request: web.Request, ask: Ask, answer: Answer) -> web.StreamResponse:
        text = answer.text if answer.text is not None else self.default(ask)
        form = provider_forms.FORMS[ask.wire](ask.model, text, ask.system, ask.lines, answer)
        if not ask.streaming:
            self._said(ask)
            return web.json_response(form.whole())
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        await self._stream(response, ask, _steps(form, answer, answer.cut(text, self._piece_size)))
        if answer.break_off_after is not None and request.transport is not None:
            request.transport.close()
            return response
        self._said(ask)
        await response.write_eof()
        return response

    async def _stream(self, response: web.StreamResponse, ask: Ask, steps: Iterator[bytes | float | Gate]) -> None:
        # What stands between two pauses goes out in one write: a benchmark measures its bot, not this server.
        waiting = b""
        for step in steps:
            if isinstance(step, bytes):
                waiting += step
                continue
            await self._write(response, ask, waiting)
            waiting = b""
            await (step.passed() if isinstance(step, Gate) else asyncio.sleep(step))
        await self._write(response, ask, waiting)

    async def _write(self, response: web.StreamResponse, ask: Ask, data: bytes) -> None:
        if data:
            ask.first_byte_at = ask.first_byte_at or time.monotonic()
            await response.write(data)
            self._noted()

    def _said(self, ask: Ask) -> None:
        ask.last_byte_at = time.monotonic()
        self.on_last_byte(ask)

    def _noted(self) -> None:
        for predicate, reached in self._waiters:
            if not reached.done() and predicate(self):
                reached.set_result(None)


def _steps(form: provider_forms.Form, answer: Answer, pieces: list[str]) -> Iterator[bytes | float | Gate]:
    """An answer as bytes to write, seconds to pause and gates to wait at."""
    yield form.head()
    for count in range(len(pieces) + 1):
        if answer.gate is not None and 0 < answer.gate_after == count:
            yield answer.gate
        if count in (answer.error_after, answer.garbled_after, answer.break_off_after, answer.quiet_end_after):
            yield form.error() if answer.error_after == count else b""
            yield form.garbled() if answer.garbled_after == count else b""
            return
        if count < len(pieces):
            yield answer.pace if answer.pace is not None else b""
            yield form.piece(pieces[count])
    yield form.tail()


def _refusal(
    wire: Wire, status: int, message: str, headers: Mapping[str, str] | None = None, body: str | None = None
) -> web.Response:
    text = body if body is not None else json.dumps(provider_forms.refusal(wire, status, message))
    return web.Response(status=status, text=text, headers=headers, content_type="application/json")
