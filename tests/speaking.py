"""An account on a loopback Discord that has every line answered and shown: for what answers look like there."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import discord

from bots.bot import Bot
from bots.discord.delivery import Delivery
from bots.discord.faces import Faces
from bots.discord.limits import Pace, Refusals
from bots.discord.posting import Question
from bots.discord.translate import origin, place, who
from bots.discord.views import BUTTONS, Rows
from bots.incoming import Incoming
from bots.pieces import Done, Piece
from bots.providers import Chunk, Prompt
from bots.settings import BotSettings
from storage.model import Message

from .wire.discord_accounts import BotAccount, Person
from .wire.discord_client import pointed_at
from .wire.discord_model import Channel, Guild
from .wire.discord_model import Message as Shown
from .wire.discord_server import DiscordServer
from .world import persona, settings, world

PICTURE = "https://pictures.example/marcus.png"


class Says:
    """A model that says its words when they come, and ends when told to; or always the same."""

    name, model = "loopback", "loopback"

    def __init__(self, *always: str) -> None:
        self.words: asyncio.Queue[str | None] = asyncio.Queue()
        self.always = always
        self.full = False
        """Whether its answers end because they may not become longer."""

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        for word in self.always:
            yield Chunk(word)
        while not self.always and (more := await self.words.get()) is not None:
            yield Chunk(more)
        yield Chunk(full=self.full)

    async def close(self) -> None:
        """Holds nothing open."""


class Speaker(discord.Client):
    """A client that answers whatever people say."""

    def __init__(self, bot: Bot, root: Path, noted: Callable[[str], None]) -> None:
        super().__init__(intents=discord.Intents(33281 | 4096), guild_ready_timeout=0.02)
        self.bot = bot
        self.noted = noted
        """Told whenever something happened that a test may wait for."""
        self.faces = Faces(self, bot, worn=root / "worn", ticks=time.monotonic, fetch=_painted)
        self.receipts: list[tuple[str, ...]] = []
        self.heard: list[discord.Message] = []
        self.rows = Rows(bot)
        self._pace = Pace(time.monotonic)
        self._refusals = Refusals(root / "refusals", time.time)
        self.add_dynamic_items(*BUTTONS)

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """The library would pause for five seconds before it identifies anew."""

    async def on_ready(self) -> None:
        self.noted("ready")

    async def on_member_update(self, _before: discord.Member, _after: discord.Member) -> None:
        self.noted("member")

    async def on_message(self, event: discord.Message) -> None:
        self.heard.append(event)
        self.noted("heard")
        if event.author.bot:
            return
        incoming = Incoming(
            origin=origin(event.channel.id, event.id),
            channel=place(event.channel, event.author),
            sender=who(event.author),
            text=event.content,
            at=event.created_at,
            faces=self.faces.can(event.channel),
        )
        await self.deliver(self.bot.receive(incoming), event, event.author.id)

    def delivery(self, question: Question, asker: int | None = None) -> Delivery:
        return Delivery(
            question,
            interval=0.05,
            pace=self._pace,
            refusals=self._refusals,
            faces=self.faces,
            rows=self.rows if self.bot.settings.discord.buttons else None,
            asker=asker,
        )

    async def deliver(self, pieces: AsyncIterator[Piece], question: Question, asker_id: int) -> Message | None:
        delivery, answer = self.delivery(question, asker_id), None
        async for piece in pieces:
            delivery.hear(piece)
            if isinstance(piece, Done):
                answer = piece.message
                receipts = await delivery.finish()
                await self.bot.delivered(answer.id, receipts)
                self.receipts.append(tuple(receipt.origin for receipt in receipts))
        self.noted("delivered")
        return answer


async def _painted(_address: str) -> bytes:
    return b"\x89PNG\r\n\x1a\n"


@dataclass
class Place:
    """One guild with one channel and one person, and a bot that answers there."""

    server: DiscordServer
    account: BotAccount
    guild: Guild
    channel: Channel
    ana: Person
    speaker: Speaker

    async def answers(self, channel: Channel, text: str) -> list[Shown]:
        """Says a line and waits until its answer is delivered; returns its pages."""
        before = len(self.speaker.receipts)
        await self.server.say(self.ana, channel, text)
        await self.server.until(lambda: len(self.speaker.receipts) > before)
        return self.pages(channel)

    def pages(self, channel: Channel | None = None) -> list[Shown]:
        """Every message of the bot's that stands in a channel."""
        there = self.server.messages(channel or self.channel)
        return [message for message in there if message.author.bot and not message.deleted]

    def asked(self, pattern: str) -> int:
        """How many requests of a method and path there were."""
        return sum(bool(re.search(pattern, request.line)) for request in self.server.requests)


def two_faces(root: Path = Path("unused"), **discord_settings: Any) -> BotSettings:
    """A bot whose second persona is Marcus."""
    return settings(root, personas=[persona("sage"), persona("marcus", avatar=PICTURE)], discord=discord_settings)


@asynccontextmanager
async def speaking(root: Path, model: Says, config: BotSettings | None = None) -> AsyncIterator[Place]:
    """A bot at work on a loopback Discord that checks every body it is sent."""
    async with DiscordServer(rate_limits=False) as server, world(config or two_faces(), provider=model) as w:
        account = server.add_bot("token-1", "sage")
        guild = server.add_guild("Home")
        channel, ana = guild.add_channel("general"), server.add_person("ana")
        with pointed_at(server):
            async with awake(server, account, Speaker(w.bot, root, server.note)) as speaker:
                yield Place(server, account, guild, channel, ana, speaker)
        assert server.violations == []
        assert server.unknown_routes == []


@asynccontextmanager
async def awake(server: DiscordServer, account: BotAccount, speaker: Speaker) -> AsyncIterator[Speaker]:
    """The client, connected until the end."""
    running = asyncio.ensure_future(speaker.start(account.token))
    try:
        await server.until(speaker.is_ready)
        yield speaker
    finally:
        await speaker.close()
        await running
