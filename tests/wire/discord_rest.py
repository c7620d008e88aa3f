"""Discord's REST API over real HTTP: who asks, what is refused, how it is answered, and a log of every request."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiohttp import BodyPartReader, web

from tests.wire.discord_accounts import BotAccount
from tests.wire.discord_calls import Act, Call
from tests.wire.discord_limits import Bodies, Faults, RateLimits, Refusal
from tests.wire.discord_routes import Routes
from tests.wire.discord_webhooks import bearer
from tests.wire.discord_world import World

PREFIX = "/api/v10"


@dataclass(eq=False)
class Request:
    """One REST request and how it was answered."""

    at: float
    """Monotonic seconds at its arrival."""
    method: str
    path: str
    bot: BotAccount | None = None
    body: Any = None
    files: list[tuple[str, int]] = field(default_factory=list)
    """Uploaded names and sizes."""
    status: int = 500
    """Stays so if the route itself broke; aiohttp then logs why."""
    seconds: float = 0.0

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"

    def __str__(self) -> str:
        return f"{self.bot.name if self.bot else '?'} {self.method} {self.path} -> {self.status}"


class Rest:
    """What every request goes through, whatever its route."""

    def __init__(self, world: World, *, limits: RateLimits, validate: bool) -> None:
        self.world = world
        self.limits = limits
        self.faults = Faults()
        self.bodies = Bodies(validate=validate)
        self.routes = Routes(world, self.bodies)
        self.requests: list[Request] = []
        self.unknown_routes: list[str] = []
        self.invalid_requests: Counter[BotAccount | None] = Counter()

    def mount(self, app: web.Application) -> None:
        for method, path, act in self.routes.table():
            app.router.add_route(method, PREFIX + path, partial(self._answer, act))
        app.router.add_get("/attachments/{channel}/{file}/{name}", self._download)
        app.router.add_route("*", "/{tail:.*}", partial(self._answer, self._unknown))

    # -- every request

    async def _answer(self, act: Act, http: web.Request) -> web.Response:
        path = http.path.removeprefix(PREFIX)
        request = Request(time.monotonic(), http.method, path)
        self.requests.append(request)
        headers: dict[str, str] = {}
        try:
            call = await self._read(http, request)
            place = self._limited_by(call, http.method)
            self.faults.strike(call.line, is_message=place is not None)
            if place is not None:
                headers = self.limits.take(call.bot, http.method, place)
            found = act(call)
            request.status = 204 if found is None else 200
        except Refusal as refusal:
            found, headers = refusal.body, {**headers, **refusal.headers}
            request.status = refusal.status
        if request.status in (401, 403, 429) and headers.get("X-RateLimit-Scope") != "shared":
            self.invalid_requests[request.bot] += 1
        request.seconds = time.monotonic() - request.at
        self.world.note("request", request=request)
        if found is None:
            return web.Response(status=204, headers=headers)
        # Spelled out because discord.py reads JSON only under this exact type, without a charset.
        headers["Content-Type"] = "application/json"
        return web.Response(status=request.status, body=json.dumps(found).encode(), headers=headers)

    def _limited_by(self, call: Call, method: str) -> str | None:
        """What the rate limit of a message's post or edit is counted for; interactions' answers are exempt."""
        if method not in ("POST", "PATCH") or call.params.get("token") in self.world.interactions:
            return None
        if "/messages" in call.line and "channel" in call.params:
            return call.params["channel"]
        is_webhook = "token" in call.params and (method == "POST" or "/messages/" in call.line)
        return call.params["webhook"] if is_webhook and "webhook" in call.params else None

    async def _read(self, http: web.Request, request: Request) -> Call:
        body, uploads = await self._read_body(http)
        request.body = body
        request.files = [(name, len(content)) for name, content, _ in uploads]
        request.bot = self.world.bots.get(http.headers.get("Authorization", "").removeprefix("Bot "))
        token = http.match_info.get("token")
        if token is not None:
            request.bot = bearer(self.world, http.match_info.get("webhook", ""), token)
        elif request.bot is None and request.path != "/gateway":
            raise Refusal(401, 0, "401: Unauthorized")
        bot = request.bot or BotAccount(0, "nobody")
        line = f"{request.method} {request.path}"
        return Call(bot, line, dict(http.match_info), dict(http.query), body, uploads)

    @staticmethod
    async def _read_body(http: web.Request) -> tuple[Any, list[tuple[str, bytes, str]]]:
        if not http.can_read_body:
            return None, []
        if not http.content_type.startswith("multipart/"):
            text = await http.text()
            return (json.loads(text) if text else None), []
        body: Any = None
        uploads: list[tuple[str, bytes, str]] = []
        async for part in await http.multipart():
            assert isinstance(part, BodyPartReader)
            content = bytes(await part.read())
            if part.name == "payload_json":
                body = json.loads(content)
            else:
                uploads.append((part.filename or "unknown", content, part.headers.get("Content-Type", "")))
        return body, uploads

    def _unknown(self, call: Call) -> None:
        self.unknown_routes.append(call.line)
        raise Refusal(404, 0, "404: Not Found")

    async def _download(self, http: web.Request) -> web.Response:
        found = self.world.files.get(http.path)
        age = self.world.link_ages.get(http.path, 0)
        if found is None or int(http.query.get("hm", "0"), 16) < age:
            return web.Response(status=404, text="This content is no longer available.")
        return web.Response(body=found[0], content_type=found[1])
