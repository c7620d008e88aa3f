"""From a Discord event to a line in the bot's own terms: what to hear, what to keep, what to answer."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal

import discord

from storage.model import Attachment, Channel, ChannelKind, Sender

from ..bot import Incoming, is_stop
from ..router import ContextRouter, called
from ..settings import BotSettings
from .text import safe_name, strip_mention

Mode = Literal["always", "mention", "listen"]


class Ears:
    """Decides about every event that one account sees. `siblings` are the names of the fleet's other bots."""

    def __init__(self, settings: BotSettings, router: ContextRouter) -> None:
        self._settings = settings
        self._router = router
        self._siblings = called(settings.siblings)
        self._bot_lines: dict[int, int] = {}

    def translate(self, event: discord.Message, me: discord.ClientUser, busy_for_author: bool) -> Incoming | None:
        """The line, or None when it is none of this bot's business. `busy_for_author`: an answer to the author is
        on its way here, so that a bare "stop" needs no mention."""
        if not self._heard(event, me):
            return None
        text = _words(event, me, self._settings.display)
        direct = self._direct(event, me, text)
        if event.author.bot and not (direct and self._bot_may(event)):
            return None
        attachments = tuple(_attachment(file) for file in event.attachments)
        if not direct and not text and not attachments:
            return None
        answer = direct or (busy_for_author and is_stop(text))
        if not answer:
            mode = self._mode(event.channel)
            if mode == "mention" or self._siblings.search(text):
                return None
            answer = mode == "always" and not _aimed_at_others(event)
        return Incoming(
            origin=origin(event.channel.id, event.id),
            channel=place(event.channel, event.author),
            sender=Sender(
                type="bot" if event.author.bot else "user",
                id=str(event.author.id),
                name=safe_name(event.author.display_name),
            ),
            text=text,
            at=event.created_at,
            attachments=attachments,
            reply_to=_replied(event),
            answer=answer,
        )

    def _heard(self, event: discord.Message, me: discord.ClientUser) -> bool:
        spoken = event.type in (discord.MessageType.default, discord.MessageType.reply)
        if not spoken or event.author.id == me.id or event.webhook_id is not None:
            return False
        if not event.author.bot:
            self._bot_lines.pop(event.channel.id, None)
        if event.guild is not None:
            return True
        dms = self._settings.discord.dms
        return dms.policy == "everyone" or (dms.policy == "allowlist" and str(event.author.id) in dms.allow)

    def _direct(self, event: discord.Message, me: discord.ClientUser, text: str) -> bool:
        """Whether the line is meant for this bot: a DM, a mention, a reply to it, or a call by name."""
        if event.guild is None or any(user.id == me.id for user in event.mentions):
            return True
        if any(role.is_bot_managed() and role in event.guild.me.roles for role in event.role_mentions):
            return True
        replied = event.reference.resolved if event.reference else None
        if isinstance(replied, discord.Message) and replied.author.id == me.id:
            return True
        return not event.author.bot and self._router.addressed(text)

    def _bot_may(self, event: discord.Message) -> bool:
        """Whether another program's line may still be answered: a few in a row, then a person has to speak."""
        answered = self._bot_lines.get(event.channel.id, 0)
        self._bot_lines[event.channel.id] = answered + 1
        return answered < self._settings.discord.bot_turns

    def _mode(self, channel: discord.abc.MessageableChannel) -> Mode:
        if isinstance(channel, discord.Thread) and channel.me is not None:
            return "always"
        parent = channel.parent if isinstance(channel, discord.Thread) else channel
        name = str(getattr(parent, "name", "")).casefold()
        patterns = self._settings.discord.channels
        lists: tuple[tuple[Mode, tuple[str, ...]], ...] = (
            ("always", patterns.always),
            ("mention", patterns.mention),
            ("listen", patterns.listen),
        )
        for mode, wanted in lists:
            if any(fnmatchcase(name, pattern.casefold()) for pattern in wanted):
                return mode
        return "mention"


def origin(channel_id: int, message_id: int) -> str:
    """Where a Discord message stands, in storage's terms."""
    return f"discord:{channel_id}:{message_id}"


def place(channel: discord.abc.MessageableChannel, author: discord.abc.User | None = None) -> Channel:
    """A Discord channel in storage's terms; a DM is named after the person."""
    kind: ChannelKind = "channel"
    name, parent = str(getattr(channel, "name", "")), None
    if isinstance(channel, discord.Thread):
        kind, parent = "thread", str(channel.parent_id)
    elif isinstance(channel, discord.DMChannel):
        person = channel.recipient or author
        kind, name, parent = "dm", person.name if person else "", str(person.id) if person else None
    guild = getattr(channel, "guild", None)
    return Channel(
        front="discord",
        id=str(channel.id),
        kind=kind,
        name=name or str(channel.id),
        guild_id=str(guild.id) if guild else None,
        guild_name=guild.name if guild else None,
        parent_id=parent,
    )


def _words(event: discord.Message, me: discord.ClientUser, name: str) -> str:
    text = strip_mention(event.content, str(me.id), name)
    for user in event.mentions:
        text = text.replace(f"<@{user.id}>", f"@{safe_name(user.display_name)}")
        text = text.replace(f"<@!{user.id}>", f"@{safe_name(user.display_name)}")
    return text.strip()


def _aimed_at_others(event: discord.Message) -> bool:
    replied = event.reference.resolved if event.reference else None
    return bool(event.mentions) or isinstance(replied, discord.Message)


def _replied(event: discord.Message) -> str | None:
    reference = event.reference
    if reference is None or reference.message_id is None or event.type != discord.MessageType.reply:
        return None
    return origin(reference.channel_id, reference.message_id)


def _attachment(file: discord.Attachment) -> Attachment:
    media = (file.content_type or "").partition(";")[0]
    kinds: dict[str, Literal["image", "audio", "video"]] = {"image": "image", "audio": "audio", "video": "video"}
    return Attachment(
        type=kinds.get(media.partition("/")[0], "file"),
        name=file.filename,
        url=file.url,
        media_type=media or None,
        size=file.size,
    )
