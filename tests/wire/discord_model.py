"""The places of a wire-level Discord and what is said there (guilds, channels, messages), with their JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.wire.discord_accounts import Account, BotAccount, Face, Intents, Json
from tests.wire.discord_roles import EVERYDAY, EVERYTHING, Overwrite, Role, bits, permitted

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
EPHEMERAL, LOADING = 1 << 6, 1 << 7


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
    everyone: int = EVERYDAY
    """What all members may do."""
    roles: dict[int, Role] = field(default_factory=dict)
    """The roles beside @everyone and admin."""
    bot_roles: dict[int, Role] = field(default_factory=dict)
    """The role of each bot that is no longer an admin."""
    member_roles: dict[int, list[Role]] = field(default_factory=dict)
    faces: dict[int, Json] = field(default_factory=dict)
    """What members changed about themselves here: `nick` and `avatar`."""
    upload_limit: int = 10 * 1024 * 1024

    def add_channel(self, name: str, kind: str = "text", *, category: Channel | None = None) -> Channel:
        """Opens a channel of a kind named in `KINDS`; connected bots hear of it."""
        return self.opened(self, name, kind, category)

    @property
    def bots(self) -> list[BotAccount]:
        return [member for member in self.members.values() if isinstance(member, BotAccount)]

    def roles_of(self, account: Account) -> list[Role]:
        own = list(self.member_roles.get(account.id, ()))
        if account.id in self.bot_roles:
            return [*own, self.bot_roles[account.id]]
        admin = Role(self.admin_role, "admin", EVERYTHING)
        return [*own, admin] if account.bot or account.id in self.admins else own

    def permissions_of(self, account: Account, channel: Channel | None = None) -> int:
        """What a member may do in the guild, or in one channel of it."""
        if account is self.owner:
            return EVERYTHING
        place = channel.parent if channel is not None and channel.is_thread else channel
        roles = [Role(self.id, "@everyone", self.everyone), *self.roles_of(account)]
        return permitted(roles, place.overwrites if place is not None else {}, account.id)

    def member_json(self, account: Account, *, user: bool = True) -> Json:
        roles = [str(role.id) for role in self.roles_of(account)]
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
            **self.faces.get(account.id, {}),
        }
        return {**found, "user": account.as_json()} if user else found

    def as_json(self) -> Json:
        return {
            "id": str(self.id),
            "name": self.name,
            "owner_id": str(self.owner.id),
            "icon": None,
            "roles": self.roles_json(),
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

    def roles_json(self) -> list[Json]:
        everyone = Role(self.id, "@everyone", self.everyone, position=0)
        admin = Role(self.admin_role, "admin", bits("administrator"))
        return [role.as_json() for role in (everyone, admin, *self.roles.values(), *self.bot_roles.values())]

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
    overwrites: dict[int, Overwrite] = field(default_factory=dict)
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
            return [bot for bot in self.guild.bots if self.allows(bot, "view_channel")]
        return [account for account in self.recipients if isinstance(account, BotAccount)]

    def allows(self, account: Account, *names: str) -> bool:
        """Whether an account has all these permissions here; in a DM everything that exists there is allowed."""
        wanted = bits(*names)
        return self.guild is None or self.guild.permissions_of(account, self) & wanted == wanted

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
        rules = [rule.as_json(whose) for whose, rule in self.overwrites.items()]
        found: Json = {"position": 0, "permission_overwrites": rules, "nsfw": False, "topic": None}
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
    webhook_id: int | None = None
    application: BotAccount | None = None
    """The bot whose webhook or interaction it came by."""
    private_to: Account | None = None
    """The only person who sees it; such a message is in no channel's history."""
    kind: int = 0
    interaction: Json | None = None
    """What it answers, as `interaction_metadata` tells it."""

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
            "type": 19 if self.reference_id else self.kind,
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
            if not isinstance(self.author, Face):
                found["member"] = guild.member_json(self.author, user=False)
        if self.webhook_id is not None:
            found["webhook_id"] = str(self.webhook_id)
        if self.application is not None:
            found["application_id"] = str(self.application.id)
        if self.interaction is not None:
            found["interaction_metadata"] = self.interaction
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


@dataclass(eq=False)
class Webhook:
    """A way into a channel for whoever has its token."""

    id: int
    token: str
    channel: Channel
    name: str
    creator: Account
    application: BotAccount | None = None
    """The bot that made it and so owns it."""
    avatar: str | None = None

    def as_json(self, *, token: bool = True) -> Json:
        guild = self.channel.guild
        found: Json = {
            "id": str(self.id),
            "type": 1,
            "guild_id": str(guild.id) if guild else None,
            "channel_id": str(self.channel.id),
            "name": self.name,
            "avatar": self.avatar,
            "application_id": str(self.application.id) if self.application else None,
            "user": self.creator.as_json(),
        }
        return {**found, "token": self.token} if token else found


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
