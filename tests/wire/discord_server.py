"""A loopback Discord for tests and benchmarks: the real gateway and REST wire on 127.0.0.1, and a script to play."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from aiohttp import web

from tests.wire.discord_accounts import BotAccount
from tests.wire.discord_gateway import Gateway
from tests.wire.discord_invoking import Invoking
from tests.wire.discord_limits import Failure, RateLimits, Violation
from tests.wire.discord_model import Channel, Message
from tests.wire.discord_rest import PREFIX, Request, Rest

T = TypeVar("T")

MAX_BODY = 110 * 1024 * 1024


class DiscordServer(Invoking):
    """Discord on a free port, for as long as the `async with` lasts.

    `rate_limits` is how many messages, and how many edits, a bot may send per channel in `rate_window` seconds;
    0 or False turns limits off. `validate=False` skips the check of bodies against Discord's description.
    `heartbeat_interval` is in seconds; `buffer_size` is how many events a session keeps for a RESUME.
    """

    def __init__(
        self,
        *,
        validate: bool = True,
        rate_limits: int | bool = 5,
        rate_window: float = 5.0,
        heartbeat_interval: float = 41.25,
        buffer_size: int = 1000,
    ) -> None:
        super().__init__()
        # True is a number too, and means the default.
        limits = RateLimits(5 if rate_limits is True else int(rate_limits), rate_window)
        self.gateway = Gateway(self, heartbeat_interval=heartbeat_interval, buffer_size=buffer_size)
        self.rest = Rest(self, limits=limits, validate=validate)
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_get("/gateway", self.gateway.serve)
        app.router.add_get("/gateway/", self.gateway.serve)
        app.router.add_get("/gateway/resume", self.gateway.serve)
        self.rest.mount(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.origin = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.gateway.stop()
        await self._runner.cleanup()

    @property
    def api_url(self) -> str:
        """For `discord.http.Route.BASE`."""
        return self.origin + PREFIX

    @property
    def gateway_url(self) -> str:
        """For `discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY`, as a yarl.URL."""
        return self.origin.replace("http", "ws", 1) + "/gateway"

    # -- what goes wrong

    async def drop(self, bot: BotAccount) -> None:
        """Cuts the bot's socket without a close frame; its session stays resumable and collects what happens."""
        self.gateway.drop(bot)

    async def reconnect(self, bot: BotAccount) -> None:
        """Sends op 7: connect anew and resume."""
        self.gateway.reconnect(bot)

    async def invalidate(self, bot: BotAccount, *, resumable: bool = False) -> None:
        """Sends op 9; unless `resumable`, the session and what it missed are gone."""
        self.gateway.invalidate(bot, resumable=resumable)

    async def close(self, bot: BotAccount, code: int) -> None:
        """Closes the bot's socket with a close code."""
        self.gateway.close(bot, code)

    async def revoke(self, bot: BotAccount) -> None:
        """Makes the bot's token worthless: 401 from now on, and 4004 at the gateway."""
        del self.bots[bot.token]
        self.gateway.close(bot, 4004)

    def storm(self, count: int, *, retry_after: float = 0.05, scope: str = "user") -> None:
        """The next `count` message requests are answered 429; scope is user, shared or global."""
        faults = self.rest.faults
        faults.storm_left, faults.storm_retry_after, faults.storm_scope = count, retry_after, scope

    def fail(self, pattern: str, status: int, times: int = 1, *, code: int = 0, message: str = "made to fail") -> None:
        """The next `times` requests of which `METHOD /path` matches the pattern are answered with this status."""
        self.rest.faults.failures.append(Failure(pattern, status, times, code, message))

    # -- what is to be seen

    def messages(self, channel: Channel) -> list[Message]:
        """What stands in a channel now, oldest first."""
        return list(channel.messages.values())

    def connected(self, bot: BotAccount) -> bool:
        """Whether the bot has a socket on which it has identified or resumed."""
        return bool(self.gateway.live(bot))

    @property
    def identifies(self) -> Counter[BotAccount]:
        return self.gateway.identifies

    @property
    def resumes(self) -> Counter[BotAccount]:
        return self.gateway.resumes

    @property
    def requests(self) -> list[Request]:
        return self.rest.requests

    @property
    def violations(self) -> list[Violation]:
        return self.rest.bodies.violations

    @property
    def unknown_routes(self) -> list[str]:
        return self.rest.unknown_routes

    @property
    def invalid_requests(self) -> Counter[BotAccount | None]:
        """Answers of 401, 403 and 429 by bot; None stands for callers without a good token."""
        return self.rest.invalid_requests

    def count(self, pattern: str) -> int:
        """How many requests that were granted match a pattern as `METHOD /path`."""
        return sum(one.status < 300 and bool(re.search(pattern, one.line)) for one in self.requests)

    async def until(self, predicate: Callable[[], T | None], timeout: float = 30.0) -> T:
        """What `predicate` gives as soon as that is true; asked again at every change of anything here."""
        try:
            async with asyncio.timeout(timeout):
                while not (found := predicate()):
                    await self.changed()
        except TimeoutError:
            raise AssertionError(f"not so within {timeout} s; at the end:\n{self.describe()}") from None
        return found

    async def until_ready(self, bot: BotAccount, timeout: float = 30.0) -> None:
        """Returns when the bot has been sent READY and its guilds, or has resumed."""
        await self.until(lambda: self.connected(bot), timeout)

    async def answer_to(self, message: Message, timeout: float = 30.0, *, by: BotAccount | None = None) -> Message:
        """The first bot's message that replies to this one; it may still be edited later."""

        def found() -> Message | None:
            replies = (one for one in message.channel.messages.values() if one.reference_id == message.id)
            return next((one for one in replies if one.author.bot and by in (None, one.author)), None)

        return await self.until(found, timeout)

    async def said_after(self, message: Message, timeout: float = 30.0, *, by: BotAccount | None = None) -> Message:
        """The first message after this one in its channel that a bot wrote, as itself or through its webhook."""

        def found() -> Message | None:
            later = (one for one in message.channel.messages.values() if one.id > message.id and one.author.bot)
            return next((one for one in later if by in (None, one.author, one.application)), None)

        return await self.until(found, timeout)

    def describe(self) -> str:
        """The state of everything, for a failure's message."""
        bots = [
            f"{bot.name}: {'up' if self.connected(bot) else 'down'}, "
            f"{self.identifies[bot]} identifies, {self.resumes[bot]} resumes"
            for bot in self.bots.values()
        ]
        places = [
            f"#{channel.name or 'dm'}: {one.author.name}: {one.content[:100]!r} ({len(one.edits)} edits)"
            for channel in self.channels.values()
            for one in list(channel.messages.values())[-10:]
        ]
        requests = [str(request) for request in self.requests[-20:]]
        problems = [f"violation: {one.where}: {one.problem}" for one in self.violations]
        problems += [f"unknown route: {one}" for one in self.unknown_routes]
        return "\n".join(bots + places + requests + problems)
