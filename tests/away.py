"""A bot that goes away from a loopback Discord and comes back: for what it finds and does then."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bots.discord.client import Front
from bots.providers import Chunk, Prompt
from bots.values import Secret
from storage.model import Message as Kept

from .account import front_of
from .stage import eventually
from .wire.discord_accounts import Account, BotAccount, Person
from .wire.discord_client import pointed_at
from .wire.discord_model import Channel, Guild, Message
from .wire.discord_server import DiscordServer
from .world import World, persona, settings, world

CHANNELS = {"always": ["advice*"], "listen": ["news"]}
_TICKS = itertools.count(1)


class Echo:
    """A model that repeats what it was asked."""

    name, model = "echo", "echo"

    def __init__(self, says: str | None = None) -> None:
        self.asked: list[str] = []
        self.says = says
        self.held: asyncio.Event | None = None
        """What the model waits for before its last word, if anything."""

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        question = prompt.lines[-1].text.rpartition(".)\n")[2]
        self.asked.append(question)
        words = self.says or f"heard {question}"
        if self.held is not None:
            yield Chunk(words[:-1])
            await self.held.wait()
            words = words[-1]
        yield Chunk(words)

    async def close(self) -> None:
        """Holds nothing open."""


@dataclass
class Awake:
    """The bot while it is there."""

    world: World
    front: Front
    model: Echo

    async def kept(self) -> list[Kept]:
        """Everything in sight, oldest first."""
        return list((await self.world.store.read()).items)

    async def lines(self) -> list[str]:
        return [message.text for message in await self.kept() if message.role == "user"]


@dataclass
class Home:
    """A guild with people in it, and the root of a bot that comes and goes."""

    server: DiscordServer
    account: BotAccount
    guild: Guild
    channel: Channel
    ana: Person
    ben: Person
    root: Path
    seen: int = 0
    """Requests before the bot came back last."""
    waits: list[float] = field(default_factory=list)
    patience: asyncio.Event = field(default_factory=asyncio.Event)
    more: dict[str, Any] = field(default_factory=dict)
    """Settings of every stay."""

    async def wait(self, seconds: float) -> None:
        """Waits until patience is allowed for, and remembers how long it should have been."""
        self.waits.append(seconds)
        await self.patience.wait()

    @asynccontextmanager
    async def awake(
        self, *, later: float = 0.0, wait: bool = True, says: str | None = None, **discord_settings: Any
    ) -> AsyncIterator[Awake]:
        """The bot, connected and with its gaps filled; `later` are the seconds that its clock is ahead."""
        self.seen = len(self.server.requests)
        token = Secret(variable="TOKEN", value=self.account.token)
        discord = {"token": token, "edit_interval": 0.5, "channels": CHANNELS, **discord_settings}
        personas = [persona("sage"), persona("marcus")]
        config = settings(self.root, personas=personas, **self.more, discord=discord)
        model = Echo(says)
        async with world(config, root=self.root, provider=model) as w:
            w.clock.at = datetime.now(UTC) + timedelta(seconds=later)
            now = lambda: datetime.now(UTC) + timedelta(seconds=later)  # noqa: E731
            front = front_of(w, self.root, clock=_clock, now=now, wait=self.wait)
            with pointed_at(self.server):
                serving = asyncio.ensure_future(front.serve())
                try:
                    if wait:
                        await eventually(lambda: front.catchup.hears)
                    yield Awake(w, front, model)
                finally:
                    while not serving.done():  # a library that is just connecting may not hear of it
                        serving.cancel()
                        await asyncio.wait((serving,), timeout=30)
                    with suppress(asyncio.CancelledError):
                        await serving

    async def say(self, text: str, who: Account | None = None, channel: Channel | None = None, **more: Any) -> Message:
        return await self.server.say(who or self.ana, channel or self.channel, text, **more)

    def said(self, channel: Channel | None = None) -> list[str]:
        """What the bot's messages in a channel show, oldest first."""
        return [one.content for one in self.server.messages(channel or self.channel) if one.author.bot]

    def asked(self, part: str) -> int:
        """How many requests of a method and path there were since the bot came back last."""
        return sum(part in request.line for request in self.server.requests[self.seen :])


@asynccontextmanager
async def home(root: Path, **more: Any) -> AsyncIterator[Home]:
    """A home that checks in the end that Discord was asked for nothing odd."""
    limits = more.pop("rate_limits", False)
    async with DiscordServer(rate_limits=limits) as server:
        account = server.add_bot("token-1", "sage")
        guild = server.add_guild("Home")
        channel = guild.add_channel("advice")
        ana, ben = server.add_person("ana"), server.add_person("ben")
        here = Home(server, account, guild, channel, ana, ben, root, more=more)
        here.patience.set()
        yield here
        assert server.violations == []
        assert server.unknown_routes == []


def _clock() -> float:
    """Ten seconds pass between any two looks: nobody waits to identify anew."""
    return time.time() + 10 * next(_TICKS)
