"""The real discord.py client, pointed at a loopback Discord and listening with a queue."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import discord
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

from tests.wire.discord_accounts import BotAccount, Person
from tests.wire.discord_model import Channel, Guild
from tests.wire.discord_server import DiscordServer


@contextlib.contextmanager
def pointed_at(server: DiscordServer) -> Iterator[None]:
    """Within it, discord.py in this process takes this server for Discord."""
    before = Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY
    Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = server.api_url, yarl.URL(server.gateway_url)
    try:
        yield
    finally:
        Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = before


class Room:
    """A Discord with one guild, one channel, one person and one bot."""

    def __init__(self, server: DiscordServer, bot: BotAccount, guild: Guild) -> None:
        self.server, self.bot, self.guild = server, bot, guild
        self.channel: Channel = guild.add_channel("general")
        self.ann: Person = server.add_person("ann")

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls) -> AsyncIterator[Room]:
        """A room without rate limits, in which no unknown route may have been asked for at the end."""
        async with DiscordServer(rate_limits=False) as server:
            with pointed_at(server):
                bot = server.add_bot("token-1", "echo")
                yield cls(server, bot, server.add_guild("Home"))
            assert server.unknown_routes == []


class Client(discord.Client):
    """discord.py with a queue of what it heard."""

    def __init__(self, intents: discord.Intents | None = None) -> None:
        super().__init__(intents=intents or discord.Intents.all(), guild_ready_timeout=0.02)
        self.heard: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """The library would pause for five seconds before it identifies anew."""

    async def on_message(self, message: discord.Message) -> None:
        self.heard.put_nowait(("message", message))

    async def on_raw_message_edit(self, event: discord.RawMessageUpdateEvent) -> None:
        self.heard.put_nowait(("edit", event))

    async def on_raw_message_delete(self, event: discord.RawMessageDeleteEvent) -> None:
        self.heard.put_nowait(("delete", event))

    async def on_guild_channel_update(self, before: Any, after: Any) -> None:
        self.heard.put_nowait(("rename", after))

    async def on_guild_update(self, before: discord.Guild, after: discord.Guild) -> None:
        self.heard.put_nowait(("guild rename", after))

    async def on_thread_create(self, thread: discord.Thread) -> None:
        self.heard.put_nowait(("thread", thread))

    async def on_raw_reaction_add(self, event: discord.RawReactionActionEvent) -> None:
        self.heard.put_nowait(("reaction", event))

    async def on_raw_bulk_message_delete(self, event: discord.RawBulkMessageDeleteEvent) -> None:
        self.heard.put_nowait(("bulk delete", event))

    async def on_raw_reaction_remove(self, event: discord.RawReactionActionEvent) -> None:
        self.heard.put_nowait(("reaction gone", event))

    async def on_member_update(self, before: discord.Member, after: discord.Member) -> None:
        self.heard.put_nowait(("member", after))

    async def on_guild_channel_create(self, channel: Any) -> None:
        self.heard.put_nowait(("channel", channel))

    async def on_guild_channel_delete(self, channel: Any) -> None:
        self.heard.put_nowait(("channel gone", channel))

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        self.heard.put_nowait(("guild gone", guild))

    async def on_guild_join(self, guild: discord.Guild) -> None:
        self.heard.put_nowait(("guild", guild))

    async def on_interaction(self, interaction: discord.Interaction[Any]) -> None:
        self.heard.put_nowait(("interaction", interaction))

    async def next(self, kind: str) -> Any:
        """The next thing heard of this kind, whatever came before it."""
        async with asyncio.timeout(30):
            while True:
                found, what = await self.heard.get()
                if found == kind:
                    return what


@contextlib.asynccontextmanager
async def running(room: Room, intents: discord.Intents | None = None) -> AsyncIterator[Client]:
    client = Client(intents)
    task = asyncio.create_task(client.start(room.bot.token))
    try:
        await room.server.until_ready(room.bot)
        await client.wait_until_ready()
        yield client
    finally:
        await client.close()
        await asyncio.gather(task, return_exceptions=True)


def place(client: discord.Client, channel: Channel) -> discord.TextChannel:
    """The text channel as the client knows it."""
    found = client.get_channel(channel.id)
    assert isinstance(found, discord.TextChannel)
    return found
