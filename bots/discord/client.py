"""The Discord front of one bot: hears events, has them answered, and tells how the connection stands."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import discord
import structlog
from discord import gateway, http
from discord.utils import MISSING
from yarl import URL

from storage.errors import StorageError
from storage.model import Message

from ..bot import Bot
from ..errors import Fatal
from ..operations import Operations
from ..pieces import Piece
from ..settings import DiscordSettings
from ..status import Report
from .catchup import Catchup, LastHeard
from .commands import build
from .faces import Faces
from .files import Files
from .limits import Identifies, Pace, Refusals, trace
from .sync import sync
from .talks import Question, Talks
from .translate import Ears
from .views import BUTTONS

log = structlog.get_logger()

discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False  # nobody speaks here

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
"""Seconds before Discord is tried again at the start; every further pause is twice as long."""
_OUT_OF_REACH = (OSError, TimeoutError, aiohttp.ClientError, discord.HTTPException, discord.GatewayNotFound)


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
        operations: Operations,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
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
        self.bot = bot
        self._identifies = Identifies(bot.settings.root / "identifies", clock)
        self.faces = Faces(self, bot, worn=bot.settings.root / "worn.json", ticks=ticks)
        self.ears = Ears(bot, self.faces.can, self.faces.own)
        self.operations = operations
        self.tree = build(self)
        self.add_dynamic_items(*BUTTONS)
        self._files = Files(bot.settings.discord, self)
        bot.media.source("discord", self._files.fetch)
        self.catchup = Catchup(self, LastHeard(bot.settings.root / "heard"), now, wait)
        self._aside: dict[str, asyncio.Task[None]] = {}
        """What is under way beside the events, by what it is."""
        self._connected = False
        self._report = report
        self._wait = wait
        self._chance = chance
        self.talks = Talks(bot, self, self._pace, self._refusals, report, now, self.faces, self.catchup.soon)
        bot.saying.front("discord", self.talks.post)

    async def serve(self) -> None:
        """Connects and stays connected until cancelled. Raises `Fatal` when only a person can mend it."""
        settings = self.bot.settings.discord
        _aim(settings)
        token = settings.token
        if token is None or not token:
            raise Fatal(f"{self.bot.settings.name} has no Discord token.")
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
            self.catchup.note()
            await self.talks.leave()
            await self.catchup.close()
            for task in self._aside.values():
                task.cancel()
            await self._files.close()
            await self.close()

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
        self.catchup.asks()

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        await self.bot.privacy.leaving(str(guild.id))

    async def on_guild_join(self, guild: discord.Guild) -> None:
        self._name(guild.channels)
        await self.bot.privacy.came_back(str(guild.id))
        await self.faces.dress(guild)

    async def on_guild_available(self, guild: discord.Guild) -> None:
        self._name(guild.channels)

    async def setup_hook(self) -> None:
        self._aside["sync"] = asyncio.create_task(self._sync())

    async def _sync(self) -> None:
        """Tells Discord about commands that have changed; people are answered meanwhile."""
        assert self.application_id is not None
        await sync(self.tree, self.bot.settings.root, self.application_id, self.http, self._wait)

    async def on_connect(self) -> None:
        self._connected = True
        self.catchup.shut()
        self._report({"discord": "connected"})

    async def on_ready(self) -> None:
        log.info("discord.ready", account=str(self.user), guilds=len(self.guilds))
        self._report({"guilds": len(self.guilds)})
        if self._connected:  # the library tells of this with a delay, and the connection may be gone by then
            self._report({"discord": "ready"})
        for guild in self.guilds:
            self._name(guild.channels)
        try:
            await self.bot.privacy.present({str(guild.id) for guild in self.guilds})
            await self.bot.fetching.left("discord")
        except StorageError as error:
            self.talks.tell_storage(error)
        await self.catchup.run()
        self.dress()

    def dress(self) -> None:
        """Makes the account look as the settings have it, beside everything else."""
        if (before := self._aside.get("dress")) is not None:
            before.cancel()
        self._aside["dress"] = asyncio.create_task(self._dress())

    async def _dress(self) -> None:
        for guild in self.guilds:
            await self.faces.dress(guild)

    def _name(self, channels: Iterable[discord.abc.GuildChannel]) -> None:
        for channel in channels:
            category = channel.category_id
            self.bot.places.named(str(channel.id), channel.name, str(category) if category else None)

    async def on_resumed(self) -> None:
        log.info("discord.resumed")
        self._connected = True
        self.catchup.resumed()
        self._report({"discord": "ready"})

    async def on_disconnect(self) -> None:
        self._connected = False
        self.catchup.lost()
        self._report({"discord": "reconnecting"})

    async def on_message(self, event: discord.Message) -> None:
        await self.catchup.passed(event.channel.id)
        if self.user is None:
            return
        heard = self.ears.translate(event, self.user, self.talks.asked(event.channel.id, event.author.id))
        if heard is not None:
            await self.talks.hear(event, *heard)

    async def deliver(self, pieces: AsyncIterator[Piece], question: Question, asker_id: int) -> Message | None:
        """Shows an answer: see `Talks.deliver`."""
        return await self.talks.deliver(pieces, question, asker_id)

    async def on_raw_message_edit(self, event: discord.RawMessageUpdateEvent) -> None:
        if event.data.keys() & {"content", "attachments"}:
            await self.catchup.passed(event.channel_id)  # where the message itself may still wait
            await self.talks.edited(event.message)

    async def on_raw_message_delete(self, event: discord.RawMessageDeleteEvent) -> None:
        await self.catchup.passed(event.channel_id)
        await self.talks.deleted(event.channel_id, (event.message_id,))

    async def on_raw_bulk_message_delete(self, event: discord.RawBulkMessageDeleteEvent) -> None:
        await self.catchup.passed(event.channel_id)
        await self.talks.deleted(event.channel_id, event.message_ids)

    async def on_raw_reaction_add(self, event: discord.RawReactionActionEvent) -> None:
        await self.catchup.passed(event.channel_id)
        await self.talks.reacted(event, on=True)

    async def on_raw_reaction_remove(self, event: discord.RawReactionActionEvent) -> None:
        await self.catchup.passed(event.channel_id)
        await self.talks.reacted(event, on=False)

    async def on_raw_reaction_clear(self, event: discord.RawReactionClearEvent) -> None:
        await self.catchup.passed(event.channel_id)
        await self.talks.cleared(event)

    async def on_raw_reaction_clear_emoji(self, event: discord.RawReactionClearEmojiEvent) -> None:
        await self.catchup.passed(event.channel_id)
        await self.talks.cleared(event)

    async def on_guild_channel_create(self, channel: discord.abc.GuildChannel) -> None:
        self._name([channel])

    async def on_guild_channel_update(self, _before: discord.abc.GuildChannel, after: discord.abc.GuildChannel) -> None:
        self._name([after])
        await self.talks.renamed(after)

    async def on_guild_channel_delete(self, channel: discord.abc.GuildChannel) -> None:
        self.bot.places.unnamed(str(channel.id))
        await self.talks.vanished(channel.id)

    async def on_raw_thread_delete(self, event: discord.RawThreadDeleteEvent) -> None:
        await self.talks.vanished(event.thread_id)

    async def on_thread_update(self, _before: discord.Thread, after: discord.Thread) -> None:
        await self.talks.renamed(after)

    async def on_guild_update(self, _before: discord.Guild, after: discord.Guild) -> None:
        for channel in (*after.text_channels, *after.threads):
            await self.talks.renamed(channel)

    async def on_error(self, event_method: str, /, *_args: object, **_kwargs: object) -> None:
        log.exception("discord.event_failed", event_method=event_method)


_RENEW = (
    "Make a new one in the Developer Portal (your application, Bot, Reset Token) and put it into .env: a running "
    "`troupe up` then starts the bot again."
)
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
    intents.guild_reactions = intents.dm_reactions = True
    intents.message_content = settings.message_content
    return intents


def _aim(settings: DiscordSettings) -> None:
    """Points discord.py at a proxy or a compatible server; it keeps both addresses on its classes."""
    if settings.api_url:
        http.Route.BASE = settings.api_url
    if settings.gateway_url:
        gateway.DiscordWebSocket.DEFAULT_GATEWAY = URL(settings.gateway_url)
