"""Who is let in: finds out who asks, before anything else is done."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storage.durable import in_thread

from ..errors import TroupeError
from ..here import whoever_is_here
from ..settings import BotSettings
from . import auditing
from .callers import Caller, scope_of
from .counts import Counts
from .desk import Desk
from .headers import dressed, guarded, preflight
from .limits import Body, Rates, room_for
from .openai_wire import refusal
from .origins import READS, Origin, foreign, origin_of
from .problems import Forbidden, TooLarge, TooMany, Unknown, WebError, problem
from .sockets import REFUSED, Socket
from .tokens import MARK, Tokens

log = structlog.get_logger()

OPEN = frozenset(
    (
        "/api/me",
        "/api/login",
        "/api/logout",
        "/api/login/discord",
        "/api/login/discord/return",
        "/api/health",
        "/api/ready",
    )
)
"""What of the API a stranger may ask for: how to sign in, and whether the bot is there."""
_WEBSOCKET = "WEBSOCKET"
_AT_ONCE = 64
"""Requests and sockets that one person, or one address without a token, may have open; admins as many as they like."""
_LOOKS_EVERY = 5.0
"""Seconds after which it is looked again whether who has a socket open, or a long answer, is still let in."""
_CLOSE = {"connection": "close"}
_LAST: Message = {"type": "http.response.body", "body": b"", "more_body": False}


class Guard:
    """Lets nobody in whom it does not know, nothing that a foreign page sends, and not too much of anything. What
    comes through has its caller in the scope, None for a stranger who may only sign in."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        patience: float = 30.0,
        looks_every: float = _LOOKS_EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`patience` is how many seconds of silence are borne within a request; `clock` counts seconds."""
        self._app = app
        self._looks_every = looks_every
        self._patience = patience
        self._clock = clock
        self._rates = Rates(clock)
        self._counts = Counts()
        self._under_way: Counter[str] = Counter()
        self._tokens: Tokens | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        desk: Desk = scope["app"].state.desk
        settings, headers = desk.settings, Headers(scope=scope)
        scope["tokens"] = self._tokens = self._tokens or Tokens(settings.root)
        scope["counts"] = self._counts
        sending = dressed(send, None, scope["path"], settings)
        try:
            scope["origin"] = origin = origin_of(scope, headers, settings)
            sending = dressed(send, origin, scope["path"], settings)
            scope["caller"] = await self._let_in(scope, headers, origin, desk)
            if scope["type"] == "http":
                _short_enough(headers, room_for(scope["path"], settings))
        except TroupeError as error:
            self._counts.refused(type(error).__name__)
            await _refuse(error, scope, receive, sending)
            return
        whose = _whose(scope["caller"], origin)
        self._under_way[whose] += 1
        try:
            if _asks_for_leave(scope, headers):
                await _wordless(scope, receive, sending, preflight(headers))
            elif scope["type"] == "websocket":
                socket = Socket(receive, send, lambda said: self._look(scope, desk, said=said))
                await socket.run(self._app, scope, self._looks_every)
            else:
                await self._answer(scope, receive, sending, desk)
        finally:
            self._under_way[whose] -= 1
            if not self._under_way[whose]:
                del self._under_way[whose]

    async def _let_in(self, scope: Scope, headers: Headers, origin: Origin, desk: Desk) -> Caller | None:
        """Who asks. Raises `WebError` where it goes no further."""
        settings, per_minute = desk.settings, desk.settings.web.requests
        method = _WEBSOCKET if scope["type"] == "websocket" else scope["method"]
        try:
            caller = await _known(headers, origin, desk, scope["tokens"])
        except Unknown:
            self._count(_whose(None, origin), per_minute)
            raise
        if foreign(origin, headers, method, settings) and (caller is None or caller.by != "token"):
            raise Forbidden("This was sent by a page of somebody else, and pages may only ask their own bot.")
        if caller is None or guarded(scope["path"]):  # the console's own files cost those who are let in nothing
            self._count(_whose(caller, origin), per_minute)
        if self._under_way[_whose(caller, origin)] >= _AT_ONCE and (caller is None or not caller.may("admin")):
            raise _Busy(f"You have {_AT_ONCE} requests and sockets open: close one first.", 1)
        if caller is None and method != "OPTIONS":
            _for_strangers(scope["path"], method)
        return caller

    def _count(self, caller: str, per_minute: int) -> None:
        if wait := self._rates.wait(caller, per_minute):
            raise _Busy(f"You have asked {per_minute:,} times within a minute: ask again in {wait} s.", wait)

    def _look(self, scope: Scope, desk: Desk, *, said: bool) -> None:
        """Raises `WebError` where whoever was let in is not any more, or may do otherwise by now, or says too much."""
        caller: Caller = scope["caller"]
        if caller.by == "here":
            still = not desk.settings.web.guarded
        else:
            token = scope["tokens"].good(caller.token, desk.now())
            still = token is not None and scope_of(token, desk.settings) == caller.scope
        if not still:
            raise Unknown("You are not signed in any more, or not as you were.")
        if said:
            self._count(_whose(caller, scope["origin"]), desk.settings.web.requests)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, desk: Desk) -> None:
        began = looked = self._clock()
        status, endless = 0, False

        async def sending(message: Message) -> None:
            nonlocal status, endless, looked
            if message["type"] == "http.response.start":
                status = message["status"]
                endless = scope["caller"] is not None and "content-length" not in Headers(raw=message["headers"])
                await auditing.audit(desk, scope, status)
            elif endless and message.get("more_body") and self._clock() - looked > self._looks_every:
                looked = self._clock()
                try:
                    self._look(scope, desk, said=False)
                except WebError:
                    await send(_LAST)
                    raise ClientDisconnect from None
            await send(message)

        try:
            await self._app(scope, Body(receive, room_for(scope["path"], desk.settings), self._patience), sending)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:  # the server goes, and waits no longer: nobody else waits for this task
            if not status:
                leaving = _refusal(scope["path"], 503, "I am being stopped: ask again in a moment.", _CLOSE)
                await leaving(scope, receive, send)
            elif endless:
                await send(_LAST)
        except Exception as error:
            if status:
                raise
            log.error("web.failed", route=auditing.template(scope), exc_info=error)
            failed = _refusal(scope["path"], 500, "Something went wrong on my side; my log says what.")
            await failed(scope, receive, sending)
        finally:
            self._counts.answered(scope["method"], auditing.template(scope) or "", status, self._clock() - began)


def _whose(caller: Caller | None, origin: Origin) -> str:
    """Under what a request is counted."""
    return f"person {caller.person.id}" if caller else f"address {origin.address}"


class _Busy(TooMany):
    def __init__(self, sentence: str, wait: int) -> None:
        super().__init__(sentence)
        self.wait = wait


async def _known(headers: Headers, origin: Origin, desk: Desk, tokens: Tokens) -> Caller | None:
    """Whoever asks. Raises `Unknown` where somebody says who they are, and is not."""
    sent = headers.get("authorization", "").partition(" ")
    # On an open console a program may send whatever it has for a key: clients of OpenAI's cannot do without one.
    if sent[0].casefold() == "bearer" and (not origin.open or sent[2].strip().startswith(MARK)):
        found = await _of(sent[2].strip(), "token", desk, tokens)
        if found is None:
            raise Unknown("This token is not known here, or is not good any more: `troupe token create` makes one.")
        return found
    kept = cookie(headers, cookie_name(desk.settings, origin))
    found = await _of(kept, "cookie", desk, tokens) if kept else None
    return Caller(whoever_is_here(), "admin", "here") if found is None and origin.open else found


async def _of(token: str, by: Literal["token", "cookie"], desk: Desk, tokens: Tokens) -> Caller | None:
    """Whose it is: what is in a cookie is good there alone, and the other way round."""
    now = desk.now()
    found = tokens.find(token, now)
    scope = scope_of(found, desk.settings) if found else None
    if found is None or scope is None or bool(found.sign_in) != (by == "cookie"):
        return None
    if found.used != now.date():
        with suppress(TroupeError):  # a disk that is full locks nobody out
            await in_thread(tokens.used, found, now.date())
    return Caller(found.person, scope, by, found.id)


def cookie_name(settings: BotSettings, origin: Origin) -> str:
    """Of the cookie that keeps somebody signed in: each bot's own, since browsers send cookies to every port."""
    return f"{'__Host-' if origin.secure else ''}troupe_{settings.name}"


def cookie(headers: Headers, name: str) -> str:
    """The value of a cookie; empty where there is none."""
    pieces = (piece.strip().partition("=") for line in headers.getlist("cookie") for piece in line.split(";"))
    found = {value for given, _, value in pieces if given == name}
    # Where there are two, somebody on another port of this host has set one of them: neither counts.
    return found.pop() if len(found) == 1 else ""


def _for_strangers(path: str, method: str) -> None:
    shown = method in READS and not guarded(path)
    if not shown and path not in OPEN:
        raise Unknown("Say who you are: send `Authorization: Bearer <token>`, or sign in at the console.")


def _short_enough(headers: Headers, room: int) -> None:
    length = headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or int(length[:20]) > room:
        raise TooLarge(f"A request here may have {room:,} bytes.")


def _asks_for_leave(scope: Scope, headers: Headers) -> bool:
    """Whether a browser asks whether a page of another bot may send what it wants to send."""
    return scope["type"] == "http" and scope["method"] == "OPTIONS" and "access-control-request-method" in headers


async def _wordless(scope: Scope, receive: Receive, send: Send, headers: dict[str, str]) -> None:
    """An answer without words."""
    await Response(status_code=204, headers=headers)(scope, receive, send)


async def _refuse(error: TroupeError, scope: Scope, receive: Receive, send: Send) -> None:
    status = error.status if isinstance(error, WebError) else 503
    if scope["type"] == "websocket":
        # Browsers tell a page why only after the handshake; nothing else is sent, and nothing read.
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": REFUSED + status, "reason": str(error)[:100]})
        return
    headers = {"www-authenticate": "Bearer"} if status == 401 else {}
    if isinstance(error, _Busy):
        headers["retry-after"] = str(error.wait)
    if scope["method"] not in READS:
        headers |= _CLOSE  # what is still being sent is not waited for
    await _refusal(scope["path"], status, str(error), headers)(scope, receive, send)


def _refusal(path: str, status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    """In the form that whoever asks there reads."""
    return (refusal if path.startswith("/v1/") else problem)(status, sentence, headers)
