"""A bot at work: the real front on a loopback Discord, asking a loopback model through the real SDK."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bots.discord.client import Front
from bots.settings import BotSettings
from bots.values import Secret
from bots.wiring_models import answering, patient
from storage.blobs import Blobs
from storage.model import Message as Kept
from storage.place import Folder

from .account import front_of
from .wire.discord_accounts import Account, BotAccount, Person
from .wire.discord_client import pointed_at
from .wire.discord_model import Channel, Guild, Message
from .wire.discord_people import Upload
from .wire.discord_server import DiscordServer
from .wire.provider_server import Ask, ProviderServer
from .world import Clock, World, settings, world


@dataclass
class House:
    """A guild with a channel in which every line is answered, two people, and a bot."""

    server: DiscordServer
    model: ProviderServer
    account: BotAccount
    guild: Guild
    channel: Channel
    ana: Person
    ben: Person
    world: World
    front: Front
    blobs: Blobs

    async def asked(
        self, text: str, *, by: Account | None = None, channel: Channel | None = None, **more: Any
    ) -> tuple[Message, Message]:
        """Says a line and waits for its answer; everything said before it in the channel was heard by then."""
        question = await self.server.say(by or self.ana, channel or self.channel, text, **more)
        return question, await self.server.answer_to(question, by=self.account)

    async def shown(self, attachments: Sequence[Upload], text: str = "look", **more: Any) -> Ask:
        """Says a line with files beside it; returns what the model was asked."""
        await self.asked(text, attachments=attachments, **more)
        return self.ask

    @property
    def ask(self) -> Ask:
        """What the model was asked last."""
        return self.model.asks[-1]

    @property
    def questions(self) -> int:
        """How often the model was asked."""
        return len(self.model.asks)

    async def kept(self, message: Message) -> Kept:
        """What is kept of a message."""
        found = await self.world.store.find(f"discord:{message.channel.id}:{message.id}")
        assert found is not None
        return found

    def said(self, channel: Channel | None = None) -> list[str]:
        """What the bot has said in a channel, as it stands there."""
        return [m.content for m in self.server.messages(channel or self.channel) if m.author is self.account]

    def reactions(self, message: Message) -> list[str]:
        """The emoji that the bot put on a message."""
        return [emoji for emoji, accounts in message.reactions.items() if self.account in accounts]


def config_of(
    model: ProviderServer, root: Path, *, models: Sequence[dict[str, Any]] = ({},), **more: Any
) -> BotSettings:
    """A bot that asks models on the loopback server, each of which costs a dollar for a million tokens."""
    price = {"input": 1, "output": 1}
    common = {"provider": "openai", "model": "gpt-test", "base_url": model.openai_url, "price": price}
    retries = {"attempts": 1}
    return settings(root, models=[{**common, "retries": retries, **each} for each in models], **more)


def blobs_of(config: BotSettings) -> Blobs:
    """Where a bot's files are."""
    return Blobs(Folder(config.root / "files"), config.root / "spool")


@asynccontextmanager
async def living(
    server: DiscordServer,
    account: BotAccount,
    config: BotSettings,
    clock: Clock | None = None,
    *,
    wall: Callable[[], float] = time.time,
) -> AsyncIterator[tuple[World, Front]]:
    """A bot logged in with an account; it keeps what is said in its root. `wall` paces its logins."""
    given: dict[str, Any] = {
        "token": Secret(variable="TOKEN", value=account.token),
        "api_url": server.api_url,
        "channels": {"always": ["general"]},
        **config.discord.model_dump(exclude_unset=True),
    }
    config = config.model_copy(update={"discord": type(config.discord).model_validate(given)})
    clock = clock or Clock()
    provider = answering(config, patient(config), clock.now)
    async with world(config, root=config.root, provider=provider, blobs=blobs_of(config)) as w:
        w.clock.at = clock.at
        front = front_of(w, config.root, now=w.clock.now, clock=wall)
        serving = asyncio.ensure_future(front.serve())
        try:
            await server.until_ready(account)
            yield w, front
        finally:
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving


@asynccontextmanager
async def house(root: Path, **more: Any) -> AsyncIterator[House]:
    """A bot with these settings, ready."""
    async with DiscordServer(rate_limits=False) as server, ProviderServer() as model:
        account, guild = server.add_bot("token-1", "sage"), server.add_guild("Home")
        channel, ana, ben = guild.add_channel("general"), server.add_person("ana"), server.add_person("ben")
        with pointed_at(server):
            async with living(server, account, config_of(model, root, **more)) as (w, front):
                yield House(server, model, account, guild, channel, ana, ben, w, front, blobs_of(w.bot.settings))
        assert server.violations == []
        assert server.unknown_routes == []
