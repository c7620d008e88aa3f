"""The places of a wire-level Discord and what is said there (guilds, channels, messages), with their JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.wire.discord_accounts import Account, BotAccount, Intents, Json

PUBLIC_THREAD, PRIVATE_THREAD = 11, 12
KINDS = {
    "text": 0,
    "dm": 1,
    "voice": 2,
    "category": 4,
    "news": 5,
    "thread": PUBLIC_THREAD,
    "private_thread": PRIVATE_THREAD,
    "stage": 13,
    "forum": 15,
    "media": 16,
}
# Kinds of channel without messages of their own.
SILENT_TYPES = frozenset({4, 15, 16})
THREAD_TYPES = frozenset({10, PUBLIC_THREAD, PRIVATE_THREAD})
ADMINISTRATOR = 1 << 3
# What Discord gives @everyone in a new guild.
EVERYDAY_PERMISSIONS = 2248473465835073


@dataclass(eq=False)
class Guild:
    """A server, in Discord's word a guild, with its members and channels."""

    id: int
    name: str
    owner: Account
    admin_role: int
    joined_at: str
    opened: Callable[[Guild, str, str, Channel | None], Channel]
    """How the world opens a channel here."""
    members: dict[int, Account] = field(default_factory=dict)
    admins: set[int] = field(default_factory=set)
    channels: dict[int, Channel] = field(default_factory=dict)
    threads: dict[int, Channel] = field(default_factory=dict)

    def add_channel(self, name: str, kind: str = "text", *, category: Channel | None = None) -> Channel:
        """Opens a channel of a kind named in `KINDS`; connected bots hear of it."""
        return self.opened(self, name, kind, category)

    @property
    def bots(self) -> list[BotAccount]:
        return [member for member in self.members.values() if isinstance(member, BotAccount)]

    def member_json(self, account: Account, *, user: bool = True) -> Json:
        roles = [str(self.admin_role)] if account.bot or account.id in self.admins else []
        found: Json = {
            "roles": roles,
            "joined_at": self.joined_at,
            "nick": None,
            "avatar": None,
            "premium_since": None,
            "pending": False,
            "deaf": False,
            "mute": False,
            "flags": 0,
        }
        return {**found, "user": account.as_json()} if user else found

    def as_json(self) -> Json:
        everyone = _role_json(self.id, "@everyone", 0, EVERYDAY_PERMISSIONS)
        return {
            "id": str(self.id),
            "name": self.name,
            "owner_id": str(self.owner.id),
            "icon": None,
            "roles": [everyone, _role_json(self.admin_role, "admin", 1, ADMINISTRATOR)],
            "emojis": [],
            "stickers": [],
            "features": [],
            "description": None,
            "afk_timeout": 300,
            "verification_level": 0,
            "default_message_notifications": 0,
            "explicit_content_filter": 0,
            "mfa_level": 0,
            "nsfw_level": 0,
            "premium_tier": 0,
            "preferred_locale": "en-US",
            "system_channel_id": None,
            "system_channel_flags": 0,
        }

    def create_json(self, bot: BotAccount, intents: int) -> Json:
        """The body of GUILD_CREATE; without the presence intent Discord names no member but the bot itself."""
        named: Iterable[Account] = self.members.values() if intents & Intents.GUILD_PRESENCES else (bot,)
        return {
            **self.as_json(),
            "joined_at": self.joined_at,
            "large": False,
            "unavailable": False,
            "member_count": len(self.members),
            "members": [self.member_json(member) for member in named],
            "channels": [channel.as_json() for channel in self.channels.values()],
            "threads": [thread.as_json() for thread in self.threads.values() if not thread.archived],
            "presences": [],
            "voice_states": [],
            "stage_instances": [],
            "guild_scheduled_events": [],
            "soundboard_sounds": [],
        }


def _role_json(role_id: int, name: str, position: int, permissions: int) -> Json:
    return {
        "id": str(role_id),
        "name": name,
        "position": position,
        "permissions": str(permissions),
        "color": 0,
        "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "managed": False,
        "mentionable": False,
        "flags": 0,
    }


@dataclass(eq=False)
class Channel:
    """Anywhere messages can be: a guild channel, a thread, or a DM between a person and a bot."""

    id: int
    type: int
    name: str
    guild: Guild | None = None
    parent: Channel | None = None
    owner: Account | None = None
    recipients: tuple[Account, ...] = ()
    archived: bool = False
    locked: bool = False
    created_at: str = ""
    last_message_id: int | None = None
    messages: dict[int, Message] = field(default_factory=dict)

    @property
    def is_thread(self) -> bool:
        return self.type in THREAD_TYPES

    @property
    def is_dm(self) -> bool:
        return self.guild is None

    @property
    def bots(self) -> list[BotAccount]:
        """The bots entitled to see what happens here."""
        if self.guild is not None:
            return self.guild.bots
        return [account for account in self.recipients if isinstance(account, BotAccount)]

    def as_json(self, viewer: BotAccount | None = None) -> Json:
        found: Json = {
            "id": str(self.id),
            "type": self.type,
            "last_message_id": str(self.last_message_id) if self.last_message_id else None,
            "flags": 0,
        }
        if self.guild is None:
            return {**found, "recipients": [one.as_json() for one in self.recipients if one is not viewer]}
        found |= {
            "name": self.name,
            "guild_id": str(self.guild.id),
            "parent_id": str(self.parent.id) if self.parent else None,
            "rate_limit_per_user": 0,
        }
        return found | (self._thread_json() if self.is_thread else self._place_json())

    def _place_json(self) -> Json:
        found: Json = {"position": 0, "permission_overwrites": [], "nsfw": False, "topic": None}
        if self.type in (2, 13):
            found |= {"bitrate": 64000, "user_limit": 0, "rtc_region": None}
        if self.type in (15, 16):
            found |= {"available_tags": [], "default_reaction_emoji": None, "default_sort_order": None}
        return found

    def _thread_json(self) -> Json:
        return {
            "owner_id": str(self.owner.id) if self.owner else "0",
            "message_count": len(self.messages),
            "total_message_sent": len(self.messages),
            "member_count": 1,
            "applied_tags": [],
            "thread_metadata": {
                "archived": self.archived,
                "locked": self.locked,
                "auto_archive_duration": 1440,
                "archive_timestamp": self.created_at,
                "create_timestamp": self.created_at,
            },
        }


@dataclass(frozen=True)
class Version:
    """What a message said from one moment on."""

    at: float
    """Monotonic seconds, as `time.monotonic()` gives them: comparable between processes of one machine."""
    content: str


@dataclass(eq=False)
class Message:
    """A message, with every wording it has had."""

    id: int
    channel: Channel
    author: Account
    versions: list[Version]
    sent_at: datetime
    nonce: str | int | None = None
    reference_id: int | None = None
    reference: Message | None = None
    mentions: list[Account] = field(default_factory=list)
    mention_everyone: bool = False
    attachments: list[Json] = field(default_factory=list)
    embeds: list[Json] = field(default_factory=list)
    components: list[Json] = field(default_factory=list)
    poll: Json | None = None
    flags: int = 0
    tts: bool = False
    allowed_mentions: Json | None = None
    """As the bot last gave it; None if it left Discord's defaults in force."""
    reactions: dict[str, list[Account]] = field(default_factory=dict)
    thread: Channel | None = None
    edited_at: datetime | None = None
    deleted: bool = False

    @property
    def content(self) -> str:
        return self.versions[-1].content

    @property
    def at(self) -> float:
        """When it was posted, in monotonic seconds."""
        return self.versions[0].at

    @property
    def edits(self) -> list[Version]:
        return self.versions[1:]

    def readable_by(self, bot: BotAccount) -> bool:
        """Whether Discord shows the content to this bot even without the Message Content intent."""
        return self.author is bot or self.channel.is_dm or bot in self.mentions

    def as_json(self, *, unread_by: BotAccount | None = None, event: bool = False, nested: bool = True) -> Json:
        """The message object; `unread_by` names a bot without Message Content, `event` adds what only events carry."""
        guild = self.channel.guild
        blank = unread_by is not None and not self.readable_by(unread_by)
        found: Json = {
            "id": str(self.id),
            "channel_id": str(self.channel.id),
            "type": 19 if self.reference_id else 0,
            "author": self.author.as_json(),
            "content": "" if blank else self.content,
            "timestamp": iso(self.sent_at),
            "edited_timestamp": iso(self.edited_at) if self.edited_at else None,
            "tts": self.tts,
            "mention_everyone": self.mention_everyone,
            "mentions": [self._mention_json(one, guild if event else None) for one in self.mentions],
            "mention_roles": [],
            "attachments": [] if blank else self.attachments,
            "embeds": [] if blank else self.embeds,
            "components": [] if blank else self.components,
            "reactions": [_reaction_json(emoji, who) for emoji, who in self.reactions.items() if who],
            "pinned": False,
            "flags": self.flags,
        }
        if event and guild is not None:
            found["guild_id"] = str(guild.id)
            found["member"] = guild.member_json(self.author, user=False)
        if self.poll and not blank:
            found["poll"] = self.poll
        if self.thread is not None:
            found["thread"] = self.thread.as_json()
        if self.reference_id and nested:
            found |= self._reference_json(unread_by)
        return found

    def _reference_json(self, unread_by: BotAccount | None) -> Json:
        pointer: Json = {"type": 0, "message_id": str(self.reference_id), "channel_id": str(self.channel.id)}
        if self.channel.guild is not None:
            pointer["guild_id"] = str(self.channel.guild.id)
        alive = self.reference is not None and not self.reference.deleted
        answered = self.reference.as_json(unread_by=unread_by, nested=False) if self.reference and alive else None
        return {"message_reference": pointer, "referenced_message": answered}

    @staticmethod
    def _mention_json(account: Account, guild: Guild | None) -> Json:
        if guild is None or account.id not in guild.members:
            return account.as_json()
        return {**account.as_json(), "member": guild.member_json(account, user=False)}


def emoji_json(emoji: str) -> Json:
    name, _, number = emoji.partition(":")
    return {"id": number or None, "name": name, "animated": False}


def _reaction_json(emoji: str, who: list[Account]) -> Json:
    count = {"burst": 0, "normal": len(who)}
    return {
        "count": len(who),
        "count_details": count,
        "me": False,
        "me_burst": False,
        "burst_colors": [],
        "emoji": emoji_json(emoji),
    }


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
