"""From a Discord event to a line in the bot's own terms: what to hear, what to keep, what to answer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Literal, TypeAlias

import discord

from storage.model import Attachment, Channel, ChannelKind, Sender

from ..access import means
from ..bot import Bot
from ..incoming import Incoming, is_stop
from ..manners import Choice, Heard, Mode, choose
from ..router import called, named
from .text import safe_name, strip_mention

Place: TypeAlias = "discord.abc.MessageableChannel"

_CHANNELS = 2_000
"""Channels of which it is known whether a person or a bot spoke last; the one longest silent goes first."""


class Ears:
    """Decides about every event that one account sees."""

    def __init__(self, bot: Bot, faces: Callable[[Place], bool], own: Callable[[discord.Message], bool]) -> None:
        """`faces`: whether a persona can speak with a face of its own in a channel; `own`: whether a message came from
        such a face."""
        self._bot = bot
        self._faces = faces
        self._own = own
        self._bot_lines: OrderedDict[int, int] = OrderedDict()
        """How many lines of other bots were answered in a row, in the channels where a person has spoken."""

    def translate(
        self, event: discord.Message, me: discord.ClientUser, busy_for_author: bool, *, late: bool = False
    ) -> tuple[Choice, Incoming] | None:
        """What to do with a line, and the line; None when it is none of this bot's business. `busy_for_author`: an
        answer to the author is on its way here, so that a bare "stop" needs no mention. `late`: it was said a while
        ago, so that another bot does not wait for an answer."""
        if not self._heard(event, me):
            return None
        settings = self._bot.settings
        text = words(event, me, settings.display)
        attachments = tuple(attachment(file) for file in event.attachments)
        direct = self._direct(event, me, text)
        if not direct and not text and not attachments:
            return None
        choice = choose(
            Heard(
                text=named(settings.names).sub("", text),
                direct=direct,
                mode=self.mode(event.channel)[0],
                by_bot=event.author.bot,
                bot_lines_left=0 if late else self._bot_lines_left(event.channel.id),
                for_sibling=called(settings.siblings).search(text) is not None,
                sibling_speaks=_among(event.channel, settings.ahead),
                for_others=_aimed_at_others(event),
                stops=busy_for_author and is_stop(text),
            ),
            reactions=settings.discord.reactions,
        )
        if choice.act == "ignore":
            return None
        if event.author.bot and choice.act == "speak":
            self._count(event.channel.id, 1 + self._bot_lines.get(event.channel.id, settings.discord.bot_turns))
        line = Incoming(
            origin=origin(event.channel.id, event.id),
            channel=place(event.channel, event.author),
            sender=who(event.author),
            text=text,
            at=event.created_at,
            attachments=attachments,
            reply_to=_replied(event),
            answer=choice.act == "speak",
            roles=roles(event.author),
            faces=self._faces(event.channel),
            shown=_beside_the_replied(event),
            reads_past=_reads_past(event),
        )
        return choice, line

    def mode(self, channel: Place) -> tuple[Mode, str]:
        """How the bot takes part in a channel, and what says so."""
        if isinstance(channel, discord.Thread) and channel.me is not None:
            return "always", "it has joined the thread"
        home = channel.parent if isinstance(channel, discord.Thread) else channel
        guild = getattr(channel, "guild", None)
        if home is None or guild is None:
            return "mention", "no list of channels names it"
        ruling = self._bot.guilds.ruling(str(guild.id), str(getattr(home, "name", "")), str(home.id))
        return ruling.mode, ruling.why

    def _heard(self, event: discord.Message, me: discord.ClientUser) -> bool:
        spoken = event.type in (discord.MessageType.default, discord.MessageType.reply)
        if not spoken or event.author.id == me.id or self._own(event):
            return False
        if not event.author.bot:
            self._count(event.channel.id, 0)
        return event.guild is not None or self._bot.settings.discord.dms.lets_in(str(event.author.id))

    def _direct(self, event: discord.Message, me: discord.ClientUser, text: str) -> bool:
        """Whether the line is meant for this bot: a DM, a mention, a reply to it, or a call by name."""
        if event.guild is None or any(user.id == me.id for user in event.mentions):
            return True
        if any(role.is_bot_managed() and role in event.guild.me.roles for role in event.role_mentions):
            return True
        replied = event.reference.resolved if event.reference else None
        if isinstance(replied, discord.Message) and (replied.author.id == me.id or self._own(replied)):
            return True
        return not event.author.bot and self._bot.router.addressed(text)

    def _bot_lines_left(self, channel_id: int) -> int:
        """How many more lines of other bots may be answered: a few in a row after a person has spoken."""
        limit = self._bot.settings.discord.bot_turns
        return limit - self._bot_lines.get(channel_id, limit)

    def _count(self, channel_id: int, lines: int) -> None:
        self._bot_lines[channel_id] = lines
        self._bot_lines.move_to_end(channel_id)
        if len(self._bot_lines) > _CHANNELS:
            self._bot_lines.popitem(last=False)


def origin(channel_id: int, message_id: int) -> str:
    """Where a Discord message stands, in storage's terms."""
    return f"discord:{channel_id}:{message_id}"


def place(channel: Place, author: discord.abc.User | None = None) -> Channel:
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


def words(event: discord.Message, me: discord.ClientUser, name: str) -> str:
    """What a message says, with mentions as names: the bot's own is taken out."""
    text = strip_mention(event.content, str(me.id), name)
    for user in event.mentions:
        text = text.replace(f"<@{user.id}>", f"@{safe_name(user.display_name)}")
        text = text.replace(f"<@!{user.id}>", f"@{safe_name(user.display_name)}")
    return text.strip()


def _aimed_at_others(event: discord.Message) -> bool:
    replied = event.reference.resolved if event.reference else None
    return bool(event.mentions) or isinstance(replied, discord.Message)


def who(user: discord.abc.User) -> Sender:
    """A person or program, in storage's terms."""
    return Sender(type="bot" if user.bot else "user", id=str(user.id), name=safe_name(user.display_name))


def roles(user: discord.abc.User) -> tuple[str, ...]:
    """The ids and names of a member's roles; nothing outside guilds."""
    found = getattr(user, "roles", ())
    return tuple(text for role in found if not role.is_default() for text in (str(role.id), role.name))


def _reads_past(event: discord.Message) -> bool:
    """Whether the author may read what was said in the channel before; it is not asked of programs."""
    if not isinstance(event.author, discord.Member) or event.author.bot:
        return True
    try:
        return event.channel.permissions_for(event.author).read_message_history
    except discord.ClientException:  # a thread whose channel is not known
        return False


def _beside_the_replied(event: discord.Message) -> tuple[Attachment, ...]:
    replied = event.reference.resolved if event.reference else None
    return tuple(map(attachment, replied.attachments)) if isinstance(replied, discord.Message) else ()


def _among(channel: Place, patterns: tuple[str, ...]) -> bool:
    """Whether one of the patterns means a channel; a thread goes by its channel."""
    home = channel.parent if isinstance(channel, discord.Thread) else channel
    return any(means(pattern, str(getattr(home, "name", "")), str(home.id)) for pattern in patterns) if home else False


def _replied(event: discord.Message) -> str | None:
    reference = event.reference
    if reference is None or reference.message_id is None or event.type != discord.MessageType.reply:
        return None
    return origin(reference.channel_id, reference.message_id)


def attachment(file: discord.Attachment) -> Attachment:
    """A file beside a message, in storage's terms."""
    media = (file.content_type or "").partition(";")[0]
    kinds: dict[str, Literal["image", "audio", "video"]] = {"image": "image", "audio": "audio", "video": "video"}
    return Attachment(
        type=kinds.get(media.partition("/")[0], "file"),
        name=file.filename,
        url=file.url,
        media_type=media or None,
        size=file.size,
        description=file.description or "",
    )
