"""The Discord front of one bot: hears events, has them answered, and tells how the connection stands."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import discord
import structlog
from discord import gateway, http
from discord.utils import MISSING
from yarl import URL

from storage.errors import StorageError
from storage.model import Receipt

from ..bot import Bot
from ..errors import Fatal
from ..pieces import Done
from ..settings import DiscordSettings
from ..status import Report
from .delivery import Delivery
from .limits import Identifies, Pace, Refusals, trace
from .translate import Ears, place

log = structlog.get_logger()

discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False  # nobody speaks here

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
"""Seconds before Discord is tried again at the start; every further pause is twice as long."""
_OUT_OF_REACH = (OSError, TimeoutError, aiohttp.ClientError, discord.HTTPException, discord.GatewayNotFound)
_CANNOT_KEEP = (
    "-# I cannot keep this conversation right now, so I am not answering. An admin has to look at my storage."
)


class Front(discord.Client):
    """discord.py's client around one bot; everything that thinks is elsewhere."""

    def __init__(
        self,
        bot: Bot,
        *,
        refusals_file: Path,
        clock: Callable[[], float],
        ticks: Callable[[], float],
        report: Report,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        settings = bot.settings.discord
        self._pace = Pace(ticks)
        self._refusals = Refusals(refusals_file, clock)
        super().__init__(
            intents=_intents(settings),
            max_messages=None,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            allowed_mentions=discord.AllowedMentions.none(),
            http_trace=trace(self._pace, self._refusals, lambda count: report({"invalid_requests": count})),
        )
        parsers = self._connection.parsers
        parsers.update({name: _survived(name, parse) for name, parse in parsers.items()})
        self._bot = bot
        self._identifies = Identifies(bot.settings.root / "identifies", clock)
        self._ears = Ears(bot.settings, bot.router)
        self._report = report
        self._wait = wait
        self._chance = chance
        self._talks: set[asyncio.Task[Any]] = set()
        self._asked_by: dict[int, list[int]] = {}

    async def serve(self) -> None:
        """Connects and stays connected until cancelled. Raises `Fatal` when only a person can mend it."""
        settings = self._bot.settings.discord
        _aim(settings)
        token = settings.token
        if token is None or not token:
            raise Fatal(f"{self._bot.settings.name} has no Discord token.")
        if not token.value.isascii() or not token.value.isprintable():
            raise Fatal(f"The token in {token.variable} holds a line break or another character that no token has.")
        try:
            await self._stay(token.value)
        except discord.LoginFailure:
            raise Fatal(f"Discord does not accept the token in {token.variable}. {_RENEW}") from None
        except discord.PrivilegedIntentsRequired:
            raise Fatal(_INTENTS) from None
        except discord.ConnectionClosed as closed:
            if closed.code == 4004:
                raise Fatal(f"Discord does not accept the token in {token.variable}. {_RENEW}") from None
            if closed.code in (4010, 4011, 4012, 4013):
                raise Fatal(f"Discord refuses the connection with code {closed.code}: {closed.reason}.") from None
            raise
        finally:
            await self._leave()

    async def _stay(self, token: str) -> None:
        """Connects, however long Discord is out of reach; discord.py itself tries again only once it has been in."""
        pause = _FIRST_PAUSE
        while True:
            try:
                return await self.start(token)
            except _OUT_OF_REACH as error:
                trouble: BaseException = error
            except AttributeError as error:
                # What discord.py stumbles over when the very first connection to the gateway fails.
                if self.ws is not None or not isinstance(error.__context__, _OUT_OF_REACH):
                    raise
                trouble = error.__context__
            # Half a login leaves a session behind, and a new one wants a connector of its own.
            await self.http.close()
            self.http.connector = MISSING
            self._report({"discord": "unreachable"})
            seconds = pause * (0.5 + self._chance() / 2)
            reason = f"{type(trouble).__name__}: {trouble}"
            log.warning(f"Discord cannot be reached ({reason}); trying again in {seconds:.0f} s")
            await self._wait(seconds)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Paces every identify of this account, whoever restarted it."""
        await asyncio.sleep(self._identifies.book())

    async def on_connect(self) -> None:
        self._report({"discord": "connected"})

    async def on_ready(self) -> None:
        log.info("discord.ready", account=str(self.user), guilds=len(self.guilds))
        self._report({"discord": "ready", "guilds": len(self.guilds)})

    async def on_resumed(self) -> None:
        log.info("discord.resumed")
        self._report({"discord": "ready"})

    async def on_disconnect(self) -> None:
        self._report({"discord": "reconnecting"})

    async def on_message(self, event: discord.Message) -> None:
        """Hears one message and, when an answer is due, delivers it."""
        if self.user is None:
            return
        asked = self._asked_by.get(event.channel.id, [])
        incoming = self._ears.translate(event, self.user, event.author.id in asked)
        if incoming is None:
            return
        task = asyncio.current_task()
        if task is not None:
            self._talks.add(task)
            task.add_done_callback(self._talks.discard)
        delivery: Delivery | None = None
        try:
            async for piece in self._bot.receive(incoming):
                if delivery is None:
                    delivery = self._delivery(event)
                    self._asked_by.setdefault(event.channel.id, []).append(event.author.id)
                delivery.hear(piece)
                if isinstance(piece, Done):
                    # While the lane is still held: nobody's next answer may start between this one's pages.
                    whole, delivery = delivery, None
                    await self._bot.delivered(piece.message.id, await self._brought(whole, event))
        except StorageError as error:
            log.error("storage.refused", error=str(error))
            self._report({"last_error": str(error)})
            if incoming.answer and not self._refusals.exhausted:
                with suppress(*_OUT_OF_REACH):
                    await event.channel.send(_CANNOT_KEEP)
        finally:
            if delivery is not None:
                await self._brought(delivery, event)

    async def on_guild_channel_update(self, _before: discord.abc.GuildChannel, after: discord.abc.GuildChannel) -> None:
        await self._renamed(after)

    async def on_thread_update(self, _before: discord.Thread, after: discord.Thread) -> None:
        await self._renamed(after)

    async def on_guild_update(self, _before: discord.Guild, after: discord.Guild) -> None:
        for channel in (*after.text_channels, *after.threads):
            await self._renamed(channel)

    async def on_error(self, event_method: str, /, *_args: object, **_kwargs: object) -> None:
        log.exception("discord.event_failed", event_method=event_method)

    def _delivery(self, event: discord.Message) -> Delivery:
        interval = self._bot.settings.discord.edit_interval
        return Delivery(event, interval=interval, pace=self._pace, refusals=self._refusals)

    async def _brought(self, delivery: Delivery, event: discord.Message) -> tuple[Receipt, ...]:
        """Finishes a delivery; whatever comes of it, its asker waits no longer."""
        try:
            return await delivery.finish()
        finally:
            asked = self._asked_by[event.channel.id]
            asked.remove(event.author.id)
            if not asked:
                del self._asked_by[event.channel.id]

    async def _renamed(self, channel: Any) -> None:
        now = place(channel)
        if self._bot.knows(now.key) is not None:
            await self._bot.know(now)

    async def _leave(self) -> None:
        """Lets answers under way reach their channels, then goes offline."""
        await self._bot.close()
        if self._talks:
            await asyncio.wait(self._talks, timeout=5)
        await self.close()


_RENEW = "Make a new one in the Developer Portal (your application, Bot, Reset Token), set it and start the bot again."
_INTENTS = (
    "Discord refuses the Message Content intent. Turn it on in the Developer Portal (your application, Bot, "
    "Privileged Gateway Intents), or set `discord.message_content: false` to hear only what addresses the bot."
)


def _survived(name: str, parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """discord.py ends the connection on an event it cannot read; one odd event must not end a bot."""

    def parsed(data: Any) -> None:
        try:
            parse(data)
        except Exception:
            log.exception("discord.event_unreadable", event_name=name)

    return parsed


def _intents(settings: DiscordSettings) -> discord.Intents:
    intents = discord.Intents.none()
    intents.guilds = intents.guild_messages = intents.dm_messages = True
    intents.message_content = settings.message_content
    return intents


def _aim(settings: DiscordSettings) -> None:
    """Points discord.py at a proxy or a compatible server; it keeps both addresses on its classes."""
    if settings.api_url:
        http.Route.BASE = settings.api_url
    if settings.gateway_url:
        gateway.DiscordWebSocket.DEFAULT_GATEWAY = URL(settings.gateway_url)
