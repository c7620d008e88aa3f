"""People, rooms and a clock around a real bot: a test says who said what, and when."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import storage
from bots.bot import Bot
from bots.incoming import Incoming
from bots.long_memory import Means
from bots.pieces import Delta, Done, Opened, Piece, Reset
from bots.providers import Provider
from bots.providers.offline import Offline
from bots.settings import BotSettings
from storage.backend import Store
from storage.blobs import Blobs
from storage.memory_index import MemoryIndex
from storage.model import Attachment, Channel, ChannelKind, Message, Receipt, Sender, Session
from storage.place import Folder

_NUMBERS = itertools.count(1)
"""Ids and chances: none comes twice in a run."""


@dataclass
class Clock:
    """Wall time and monotonic time that move only when a test says so."""

    at: datetime = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def ticks(self) -> float:
        return self.at.timestamp()

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass(frozen=True)
class Person:
    name: str

    @property
    def sender(self) -> Sender:
        return Sender(type="user", id=f"id-{self.name}", name=self.name)


ANA, BEN, CAI = Person("Ana"), Person("Ben"), Person("Cai")
TESTER = Sender(type="bot", id="id-other-bot", name="OtherBot")


@dataclass
class Heard:
    """What a front saw of one line's answer."""

    pieces: list[Piece] = field(default_factory=list)

    @property
    def answer(self) -> Message | None:
        return next((piece.message for piece in self.pieces if isinstance(piece, Done)), None)

    @property
    def shown(self) -> str:
        """The words as a front that only adds up deltas shows them in the end."""
        text = ""
        for piece in self.pieces:
            if isinstance(piece, Delta):
                text += piece.text
            elif isinstance(piece, Reset):
                text = ""
        return text

    @property
    def opened(self) -> Opened:
        return next(piece for piece in self.pieces if isinstance(piece, Opened))


@dataclass
class Room:
    """A channel in which people talk with the bot."""

    world: World
    channel: Channel

    def line(
        self,
        who: Person | Sender,
        text: str,
        *,
        reply_to: str | None = None,
        answer: bool = True,
        attachments: tuple[Attachment, ...] = (),
        origin: str | None = None,
    ) -> Incoming:
        return Incoming(
            origin=origin or f"{self.channel.key}:{next(_NUMBERS)}",
            channel=self.channel,
            sender=who.sender if isinstance(who, Person) else who,
            text=text,
            at=self.world.clock.now(),
            attachments=attachments,
            reply_to=reply_to,
            answer=answer,
        )

    async def say(self, who: Person | Sender, text: str, **more: Any) -> Heard:
        """Says a line and waits for all that comes back; the answer gets a receipt, as a front would give it."""
        heard = Heard()
        async for piece in self.world.bot.receive(self.line(who, text, **more)):
            heard.pieces.append(piece)
            if isinstance(piece, Done):
                receipt = Receipt(origin=f"{self.channel.key}:{next(_NUMBERS)}", page=0)
                await self.world.bot.delivered(piece.message.id, (receipt,))
        return heard

    async def session(self) -> Session:
        """The session a person last spoke in, as stored."""
        return (await self.sessions())[0]

    async def sessions(self) -> list[Session]:
        return await self.world.store.sessions(self.channel.key)

    async def transcript(self) -> list[str]:
        """The stored lines of the current session, in order."""
        messages = await self.world.store.messages((await self.session()).id)
        return [f"{message.sender.name}: {message.text}" for message in messages]


@dataclass
class World:
    bot: Bot
    store: Store
    clock: Clock

    def room(self, name: str = "general", kind: ChannelKind = "channel", guild: str | None = "g1") -> Room:
        guild_id = guild if kind in ("channel", "thread") else None
        return Room(self, Channel(front="discord", id=f"id-{name}", kind=kind, name=name, guild_id=guild_id))


def persona(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "display": name.capitalize(),
        "description": f"{name} for tests",
        "prompt": f"You are {name.capitalize()}, a persona for tests.",
        **more,
    }


def settings(root: Path = Path("unused"), **more: Any) -> BotSettings:
    """A bot's settings as its files would give them."""
    fields = {"name": "sage", "personas": [persona("sage")], "storage": {"path": str(root)}, **more}
    return BotSettings.model_validate(fields)


def by_clock(**more: Any) -> BotSettings:
    """The settings of a bot whose sessions silence alone cuts."""
    return settings(sessions={"mode": "gap"}, **more)


@asynccontextmanager
async def world(
    config: BotSettings | None = None,
    *,
    root: Path | None = None,
    provider: Provider | None = None,
    blobs: Blobs | None = None,
    index: MemoryIndex | None = None,
) -> AsyncIterator[World]:
    """A bot with its own store (in memory unless a root is given), answered by the offline provider unless another
    is given. Its files go into `blobs`, or are nowhere afterwards. With an `index` it recalls."""
    config = config or settings(root or Path("unused"))
    clock = Clock()
    kept = config.storage
    store = await storage.connect(config.name, root or Path("unused"), type=kept.type, enabled=root is not None)
    asked = provider or Offline(None, now=clock.now)
    with TemporaryDirectory() as folder:
        if root is None:
            nowhere = config.storage.model_copy(update={"path": folder})
            config = config.model_copy(update={"storage": nowhere})
        bot = Bot(
            config,
            store,
            asked,
            now=clock.now,
            ticks=clock.ticks,
            chance=lambda: next(_NUMBERS),
            blobs=blobs or Blobs(Folder(Path(folder)), Path(folder)),
            means=Means(index),
        )
        try:
            await bot.start()
            yield World(bot, store, clock)
        finally:
            await bot.close()
            await bot.memory.end()
            await asked.close()
            await store.close()
