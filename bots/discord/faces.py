"""The faces of a bot's personas: one webhook per channel that speaks in their names, or the account's own look.

The first persona is the account itself. Every other one speaks through the channel's webhook with its own name and
picture; a bot with a single persona wears that one's name and picture in each guild instead."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import aiohttp
import discord
import structlog

from ..bot import Bot

log = structlog.get_logger()

NOBODY = discord.AllowedMentions.none()

_REST = 600.0
"""Seconds for which a channel that would take no webhook is not asked again."""
_HOOK_GONE = {10015, 50027}
"""What Discord says when a webhook, or its token, is no longer there."""
_NICKNAME = 32
_REFUSED_IN_NAMES = ("discord", "clyde")
_LARGEST_PICTURE = 8 << 20
_PICTURE_WITHIN = 20.0
_PAGES = 1_000
_REASON = "Gives this bot's personas their own names and pictures"

Home = discord.TextChannel | discord.VoiceChannel | discord.StageChannel | discord.ForumChannel
"""Where webhooks live; threads and forum posts use their parent's."""


@dataclass(frozen=True, slots=True)
class Face:
    """How a persona looks: its name, and the address of its picture."""

    name: str
    picture: str | None = None

    @property
    def bold(self) -> str:
        """What stands before an answer instead, where there can be no face."""
        return f"**{self.name}**\n"


class Faces:
    """The webhooks of one account, and what it wears. `worn` is a file that remembers the pictures uploaded, `ticks`
    gives monotonic seconds, `fetch` the bytes behind a picture's address."""

    def __init__(
        self,
        client: discord.Client,
        bot: Bot,
        *,
        worn: Path,
        ticks: Callable[[], float],
        fetch: Callable[[str], Awaitable[bytes]] | None = None,
    ) -> None:
        self._client = client
        self._bot = bot
        self._worn = worn
        self._ticks = ticks
        self._fetch = fetch or picture
        self._hooks: dict[int, discord.Webhook] = {}
        """By the channel they belong to."""
        self._rests: dict[int, float] = {}
        self._doors: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._pages: OrderedDict[int, None] = OrderedDict()
        self._dressed: dict[int, tuple[str, str | None]] = {}
        """The name and picture that were given to the account, by guild."""

    def face(self, persona: str | None) -> Face | None:
        """The face of a persona; None for the first one, who is the account, and for one who is gone."""
        found = next((each for each in self._bot.settings.personas[1:] if each.name == persona), None)
        return Face(found.display, found.avatar) if found else None

    def can(self, channel: object) -> bool:
        """Whether personas can show their faces there: only in guilds, with Manage Webhooks, where there is room."""
        home = _home(channel)
        settings = self._bot.settings
        if not settings.discord.faces or len(settings.personas) < 2 or home is None:
            return False
        if self._rests.get(home.id, 0.0) > self._ticks():
            return False
        return home.permissions_for(home.guild.me).manage_webhooks

    async def webhook(self, channel: object) -> discord.Webhook:
        """The one webhook of this application in a channel: known, found again or made. Raises what discord.py
        raises when there can be none."""
        home = _home(channel)
        if home is None:
            raise ValueError("only channels of a guild have webhooks")
        async with self._doors.setdefault(home.id, asyncio.Lock()):
            known = self._hooks.get(home.id)
            if known is None:
                mine = (hook for hook in await home.webhooks() if hook.token and hook.user == self._client.user)
                known = next(mine, None) or await home.create_webhook(name=self._name(), reason=_REASON)
                self._hooks[home.id] = known
            return known

    def lost(self, channel: object) -> None:
        """Told that the channel's webhook is gone: it is never used again, the next one is found or made."""
        home = _home(channel)
        if home is not None:
            self._hooks.pop(home.id, None)

    def refused(self, channel: object) -> None:
        """Told that the channel takes no webhook; it is asked again after a while."""
        home = _home(channel)
        if home is not None:
            self._hooks.pop(home.id, None)
            self._rests[home.id] = self._ticks() + _REST

    def page(self, message_id: int) -> None:
        """Told of a page of an answer that came through a webhook."""
        self._pages[message_id] = None
        if len(self._pages) > _PAGES:
            self._pages.popitem(last=False)

    def is_page(self, message_id: int) -> bool:
        """Whether a message is a page of one of the newest answers."""
        return message_id in self._pages

    def own(self, message: discord.Message) -> bool:
        """Whether a message came through one of this application's webhooks."""
        application = self._client.application_id
        if message.webhook_id is None or message.webhook_id == application:
            return False
        known = any(hook.id == message.webhook_id for hook in self._hooks.values())
        return known or (application is not None and message.application_id == application)

    async def change_row(self, channel: Any, message_id: int, view: discord.ui.View | None) -> None:
        """Gives a page other buttons, whoever's face it wears. Raises what discord.py raises."""
        page = await channel.fetch_message(message_id)
        if page.author == self._client.user:
            await page.edit(view=view, allowed_mentions=NOBODY)
        elif self.own(page):
            hook = await self.webhook(channel)
            await hook.edit_message(message_id, view=view, allowed_mentions=NOBODY, **inside(channel))

    async def take_away(self, channel: Any, message_ids: Iterable[int], *, masked: bool) -> None:
        """Removes pages of an answer; `masked` when they wear a persona's face. What cannot be removed stays."""
        try:
            hook = await self.webhook(channel) if masked else None
            for message_id in message_ids:
                try:
                    if hook is not None:
                        await hook.delete_message(message_id, **inside(channel))
                        continue
                except discord.HTTPException as error:  # it came through a webhook that is gone
                    if not isinstance(error, discord.NotFound) and not hook_gone(error):
                        raise
                    if not may(channel, "manage_messages"):
                        continue
                with contextlib.suppress(discord.NotFound):
                    await channel.get_partial_message(message_id).delete()
        except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
            log.warning("discord.page_left", channel=channel.id, error=str(error))

    async def dress(self, guild: discord.Guild) -> None:
        """Gives a single persona's name and picture to the account in a guild: once, only what differs, and only
        where it may change its nickname."""
        settings = self._bot.settings
        persona = settings.personas[0]
        look = persona.display[:_NICKNAME].rstrip(), persona.avatar
        if len(settings.personas) != 1 or not settings.discord.faces or self._dressed.get(guild.id) == look:
            return
        if not guild.me.guild_permissions.change_nickname:
            return
        self._dressed[guild.id] = look
        await self._wear(guild, *look)

    async def _wear(self, guild: discord.Guild, name: str, address: str | None) -> None:
        worn = self._read_worn()
        try:
            changes: dict[str, Any] = {"nick": name} if guild.me.display_name != name else {}
            if address is not None and worn.get(str(guild.id)) != address:
                changes["avatar"] = await self._fetch(address)
            if changes:
                await guild.me.edit(**changes)
            if "avatar" in changes:
                self._worn.write_text(json.dumps({**self._read_worn(), str(guild.id): address}))
        except (discord.HTTPException, aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            log.warning("discord.undressed", guild=guild.id, error=str(error) or type(error).__name__)

    def _name(self) -> str:
        """What a webhook that is made is called."""
        display = self._bot.settings.display
        return "Personas" if any(word in display.lower() for word in _REFUSED_IN_NAMES) else display

    def _read_worn(self) -> dict[str, Any]:
        try:
            found = json.loads(self._worn.read_bytes())
        except (OSError, ValueError):  # none yet, or damaged: the pictures are uploaded once more
            return {}
        return found if isinstance(found, dict) else {}


async def picture(address: str) -> bytes:
    """The bytes behind an https address, 8 MiB at most. Raises `ValueError` when there are more, and what aiohttp
    raises."""
    limit = aiohttp.ClientTimeout(total=_PICTURE_WITHIN)
    async with aiohttp.ClientSession(timeout=limit) as session, session.get(address, raise_for_status=True) as found:
        data = bytearray()
        async for piece in found.content.iter_chunked(1 << 16):
            data += piece
            if len(data) > _LARGEST_PICTURE:
                raise ValueError(f"the picture at {address} is larger than {_LARGEST_PICTURE >> 20} MiB")
        return bytes(data)


def hook_gone(error: discord.HTTPException) -> bool:
    """Whether Discord says that the webhook that was used, or its token, is no longer there."""
    return error.status == 401 or error.code in _HOOK_GONE


def inside(channel: object) -> dict[str, Any]:
    """What a webhook has to be told to write in a thread of its channel."""
    return {"thread": channel} if isinstance(channel, discord.Thread) else {}


def may(channel: Any, permission: str) -> bool:
    """Whether the account has a permission in a guild's channel."""
    guild: discord.Guild | None = getattr(channel, "guild", None)
    try:
        return guild is not None and bool(getattr(channel.permissions_for(guild.me), permission))
    except discord.ClientException:  # a thread whose channel is not known
        return False


def _home(channel: object) -> Home | None:
    home = channel.parent if isinstance(channel, discord.Thread) else channel
    return home if isinstance(home, Home) else None
