"""Names of people and channels, asked of Discord over REST for those who have only ids."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import discord
from discord import http

from storage.model import ChannelKind
from storage.naming import Naming, Person, Room

from ..settings import DiscordSettings
from .text import safe_name

MOST = 500
"""Questions of one migration."""
_AT_ONCE = 4
_PATIENCE = 30.0
"""Seconds for one answer, waits for rate limits included."""
_KINDS: dict[int, ChannelKind] = {1: "dm", 3: "dm", 10: "thread", 11: "thread", 12: "thread"}
"""Discord's types of channels; all others are channels of a guild."""
_FAILURES = (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError)


class Names:
    """Asks a bounded number of questions; what is not answered keeps its id."""

    def __init__(self, client: discord.Client) -> None:
        self._http = client.http
        self._guilds: dict[str, str] = {}
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self.asked = self.found = self.unasked = 0
        """Names that were asked for, those that were found, and those for which no question was left."""

    async def look_up(self, people: Collection[str], channels: Collection[str]) -> Naming:
        """What Discord knows of them. Never raises for what Discord refuses."""
        rooms = await asyncio.gather(*(self._ask(self._http.get_channel, id) for id in channels))
        users = await asyncio.gather(*(self._ask(self._http.get_user, id) for id in people))
        for guild in {str(room["guild_id"]) for room in rooms if room and room.get("guild_id")} - self._guilds.keys():
            told = await self._ask(self._http.get_guild, guild)
            self._guilds[guild] = str(told["name"]) if told else ""
        named = {id: self._room(room) for id, room in zip(channels, rooms, strict=True) if room}
        persons = {id: Person(id, _called(user)) for id, user in zip(people, users, strict=True) if user}
        return Naming(persons, named)

    def _room(self, room: Any) -> Room:
        kind = _KINDS.get(room["type"], "channel")
        owner = next(iter(room.get("recipients") or ()), None)
        guild = str(room.get("guild_id") or "")
        return Room(
            name=str(room.get("name") or (owner["username"] if owner else "")),
            kind=kind,
            guild_id=guild,
            guild_name=self._guilds.get(guild, ""),
            parent_id=str((owner["id"] if owner else room.get("parent_id") if kind == "thread" else "") or ""),
        )

    async def _ask(self, question: Callable[[int], Awaitable[Any]], id: str) -> Any | None:
        if not (id.isascii() and id.isdigit() and 17 <= len(id) <= 20):
            return None
        if self.asked >= MOST:
            self.unasked += 1
            return None
        self.asked += 1
        try:
            async with self._turn, asyncio.timeout(_PATIENCE):
                answer = await question(int(id))
        except _FAILURES:
            return None
        self.found += 1
        return answer


@asynccontextmanager
async def names(settings: DiscordSettings) -> AsyncIterator[Names | None]:
    """Somebody who asks with the bot's token; nobody where Discord does not take it or is out of reach."""
    if settings.api_url:
        http.Route.BASE = settings.api_url
    async with discord.Client(intents=discord.Intents.none()) as client:
        try:
            async with asyncio.timeout(_PATIENCE):
                await client.login(settings.token.value if settings.token else "")
        except _FAILURES:
            yield None
            return
        yield Names(client)


def _called(user: Any) -> str:
    return safe_name(str(user.get("global_name") or user["username"]))
