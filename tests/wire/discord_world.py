"""The world a wire-level Discord keeps: who and what exists, how it changes, and which bots are told."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from tests.wire.discord_accounts import ALL_INTENTS, Account, BotAccount, Intents, Json, Person
from tests.wire.discord_interactions import Interaction
from tests.wire.discord_model import KINDS, PUBLIC_THREAD, Channel, Guild, Message, Version, Webhook, emoji_json, iso
from tests.wire.discord_roles import Role

Observer = Callable[[str, Json], None]

DISCORD_EPOCH_MS = 1420070400000
MENTION = re.compile(r"<@!?(\d+)>")


class World:
    """Accounts, guilds and channels, with every change told to the bots entitled to it.

    All changes are synchronous: when a method returns, the events are on their way in order.
    """

    def __init__(self) -> None:
        self.observers: list[Observer] = []
        self.accounts: dict[int, Account] = {}
        self.bots: dict[str, BotAccount] = {}
        """Bots by the token that is theirs now."""
        self.guilds: dict[int, Guild] = {}
        self.channels: dict[int, Channel] = {}
        self.files: dict[str, tuple[bytes, str]] = {}
        """Attachments by path: their bytes and media type."""
        self.webhooks: dict[int, Webhook] = {}
        self.interactions: dict[str, Interaction] = {}
        """By token."""
        self.patience = 3.0
        """Seconds within which a bot must answer an interaction first."""
        self.origin = ""
        """Scheme, host and port under which this world is served."""
        self.tell: Callable[[BotAccount, Event], None] = _nobody_listens
        self.link_ages: dict[str, int] = {}
        """How often the links to a file have expired, by its path."""
        self._dms: dict[frozenset[int], Channel] = {}
        self._last_id = 0
        self._change = asyncio.Event()
        self.admin = self.add_person("discord_admin", guilds=())

    # -- what exists

    def add_bot(
        self,
        token: str,
        name: str,
        *,
        intents_allowed: int = ALL_INTENTS,
        guilds: Iterable[Guild] | None = None,
    ) -> BotAccount:
        """A bot account, member of every guild there is unless `guilds` lists them."""
        if token in self.bots:
            raise ValueError(f"another bot already has the token {token!r}")
        self.bots[token] = bot = BotAccount(self.new_id(), name, token=token, intents_allowed=int(intents_allowed))
        self._enrol(bot, guilds)
        return bot

    def add_person(self, name: str, *, guilds: Iterable[Guild] | None = None, admin: bool = False) -> Person:
        """A human being, member of every guild there is unless `guilds` lists them."""
        person = Person(self.new_id(), name)
        self._enrol(person, guilds)
        for guild in self.guilds.values():
            if admin and person.id in guild.members:
                guild.admins.add(person.id)
        return person

    def add_guild(self, name: str, *, owner: Person | None = None, members: Iterable[Account] | None = None) -> Guild:
        """A guild whose members are all accounts there are unless `members` lists them."""
        owner = owner or self.admin
        guild = Guild(self.new_id(), name, owner, self.new_id(), iso(datetime.now(UTC)), self._open_channel)
        self.guilds[guild.id] = guild
        for account in (owner, *(self.accounts.values() if members is None else members)):
            if account.id not in guild.members:
                self.join(account, guild)
        return guild

    def add_thread(
        self,
        channel: Channel,
        name: str,
        *,
        owner: Account | None = None,
        message: Message | None = None,
        thread_type: int = PUBLIC_THREAD,
        thread_id: int | None = None,
    ) -> Channel:
        """A thread under `channel`; one started from a message has that message's id, as on Discord."""
        guild = channel.guild
        if guild is None or channel.is_thread:
            raise ValueError("a thread needs a guild channel above it")
        thread = Channel(thread_id or (message.id if message else self.new_id()), thread_type, name, guild, channel)
        thread.owner = owner or (message.author if message else self.admin)
        thread.created_at = iso(datetime.now(UTC))
        self.channels[thread.id] = guild.threads[thread.id] = thread
        if message is not None:
            message.thread = thread
        self._announce("THREAD_CREATE", thread, {**thread.as_json(), "newly_created": True}, Intents.GUILDS)
        return thread

    def dm(self, person: Account, bot: Account) -> Channel:
        """The DM channel between these two, opened if they have none yet."""
        pair = frozenset((person.id, bot.id))
        if pair not in self._dms:
            channel = Channel(self.new_id(), KINDS["dm"], "", recipients=(person, bot))
            self._dms[pair] = self.channels[channel.id] = channel
        return self._dms[pair]

    def store_file(self, channel: Channel, name: str, content: bytes, media_type: str) -> Json:
        """Keeps an uploaded file and gives the attachment object that points at it."""
        number = self.new_id()
        path = f"/attachments/{channel.id}/{number}/{name}"
        self.files[path] = (content, media_type)
        found: Json = {"id": str(number), "filename": name, "size": len(content), "content_type": media_type}
        return found | self._link(path, 0)

    def expire_links(self, messages: Iterable[Message] | None = None) -> None:
        """Makes the links given out for these messages' attachments (or for all there are) worthless: 404. Whoever
        fetches the message gets fresh ones."""
        for message in messages or [one for channel in self.channels.values() for one in channel.messages.values()]:
            for number, attachment in enumerate(message.attachments):
                path = "/" + attachment["url"].split("?")[0].split("/", 3)[3]
                self.link_ages[path] = self.link_ages.get(path, 0) + 1
                message.attachments[number] = attachment | self._link(path, self.link_ages[path])

    def _link(self, path: str, age: int) -> Json:
        url = f"{self.origin}{path}?ex=ffffffff&is=0&hm={age:x}"
        return {"url": url, "proxy_url": url}

    # -- what happens

    def post(
        self, channel: Channel, author: Account, content: str, *, message_id: int | None = None, **fields: Any
    ) -> Message:
        """Puts a message where everyone entitled sees it; `fields` are those of `Message`."""
        reply_to: Message | None = fields.get("reference")
        now = datetime.now(UTC)
        message = Message(
            message_id or self.new_id(), channel, author, [Version(time.monotonic(), content)], now, **fields
        )
        message.reference_id = reply_to.id if reply_to else None
        self._read_mentions(message)
        if message.private_to is None:
            channel.messages[message.id] = message
            channel.last_message_id = message.id
            channel.archived = False
        self._tell_message("MESSAGE_CREATE", message)
        self.note("message", message=message)
        return message

    def change(self, message: Message, content: str | None = None, **fields: Any) -> None:
        """Edits a message; mentions are worked out anew, as Discord does."""
        for name, value in fields.items():
            setattr(message, name, value)
        if content is not None:
            message.versions.append(Version(time.monotonic(), content))
        message.edited_at = datetime.now(UTC)
        self._read_mentions(message)
        self._tell_message("MESSAGE_UPDATE", message)
        self.note("edit", message=message)

    def erase(self, message: Message) -> None:
        """Deletes a message."""
        message.deleted = True
        message.channel.messages.pop(message.id, None)
        if message.private_to is None:
            data: Json = {"id": str(message.id), "channel_id": str(message.channel.id)}
            self._announce("MESSAGE_DELETE", message.channel, data, _message_intent(message.channel))
        self.note("delete", message=message)

    def erase_many(self, channel: Channel, messages: Iterable[Message]) -> None:
        """Deletes several messages of one channel at one stroke."""
        gone = list(messages)
        for message in gone:
            message.deleted = True
            channel.messages.pop(message.id, None)
        data: Json = {"ids": [str(one.id) for one in gone], "channel_id": str(channel.id)}
        self._announce("MESSAGE_DELETE_BULK", channel, data, _message_intent(channel))
        self.note("delete", messages=gone)

    def react(self, account: Account, message: Message, emoji: str, *, on: bool = True) -> None:
        """Adds a reaction, or takes it back."""
        who = message.reactions.setdefault(emoji, [])
        if (account in who) == on:
            return
        who.append(account) if on else who.remove(account)
        guild = message.channel.guild
        data: Json = {"user_id": str(account.id), "message_id": str(message.id), "emoji": emoji_json(emoji)}
        data |= {"channel_id": str(message.channel.id), "burst": False, "type": 0}
        if guild is not None and on and account.id in guild.members:
            data["member"] = guild.member_json(account)
        if on:
            data["message_author_id"] = str(message.author.id)
        needed = Intents.DIRECT_MESSAGE_REACTIONS if guild is None else Intents.GUILD_MESSAGE_REACTIONS
        self._announce(f"MESSAGE_REACTION_{'ADD' if on else 'REMOVE'}", message.channel, data, needed)
        self.note("reaction", message=message)

    def refresh(self, place: Guild | Channel) -> None:
        """Tells the bots that a guild, channel or thread is not what it was (its name, say)."""
        if isinstance(place, Guild):
            for bot in place.bots:
                self.tell(bot, Event("GUILD_UPDATE", place.as_json(), Intents.GUILDS, place.id))
        else:
            name = "THREAD_UPDATE" if place.is_thread else "CHANNEL_UPDATE"
            self._announce(name, place, place.as_json(), Intents.GUILDS)
        self.note("update", place=place)

    def close_channel(self, channel: Channel) -> None:
        """Removes a channel, with its threads, or one thread."""
        guild = channel.guild
        if guild is None:
            raise ValueError("a DM channel cannot be removed")
        for thread in [one for one in guild.threads.values() if one.parent is channel]:
            self.close_channel(thread)
        self.channels.pop(channel.id)
        (guild.threads if channel.is_thread else guild.channels).pop(channel.id)
        for webhook in [one for one in self.webhooks.values() if one.channel is channel]:
            del self.webhooks[webhook.id]
        name = "THREAD_DELETE" if channel.is_thread else "CHANNEL_DELETE"
        self._announce(name, channel, channel.as_json(), Intents.GUILDS)

    def join(self, account: Account, guild: Guild) -> None:
        """Makes an account a member; a bot that joins is told of the guild, the others of the member."""
        others = guild.bots
        guild.members[account.id] = account
        if isinstance(account, BotAccount):
            # Without `unavailable`, which is how a client tells joining from coming back.
            data = guild.create_json(account, account.intents_allowed)
            data.pop("unavailable")
            self.tell(account, Event("GUILD_CREATE", data, Intents.GUILDS, guild.id))
        data = {**guild.member_json(account), "guild_id": str(guild.id)}
        for bot in others:
            self.tell(bot, Event("GUILD_MEMBER_ADD", data, Intents.GUILD_MEMBERS, guild.id))

    def tell_member(self, account: Account, guild: Guild) -> None:
        """Tells the bots that a member's roles, nickname or avatar changed; every bot hears of itself."""
        data = {**guild.member_json(account), "guild_id": str(guild.id)}
        for bot in guild.bots:
            intent = 0 if bot is account else Intents.GUILD_MEMBERS
            self.tell(bot, Event("GUILD_MEMBER_UPDATE", data, intent, guild.id))
        self.note("member", member=account)

    def add_webhook(self, channel: Channel, name: str, creator: Account | None = None) -> Webhook:
        """A webhook, owned by a bot's application if a bot creates it."""
        creator = creator or self.admin
        owner = creator if isinstance(creator, BotAccount) else None
        webhook = Webhook(self.new_id(), secrets.token_urlsafe(32), channel, name, creator, owner)
        self.webhooks[webhook.id] = webhook
        self.tell_webhooks(channel)
        return webhook

    def drop_webhook(self, webhook: Webhook) -> None:
        """Deletes a webhook; what it posted stays."""
        del self.webhooks[webhook.id]
        self.tell_webhooks(webhook.channel)

    def tell_webhooks(self, channel: Channel) -> None:
        """Tells the bots that a channel's webhooks changed."""
        self._announce("WEBHOOKS_UPDATE", channel, {"channel_id": str(channel.id)}, Intents.GUILD_WEBHOOKS)

    def tell_role(self, name: str, guild: Guild, role: Role) -> None:
        """Sends GUILD_ROLE_CREATE or GUILD_ROLE_UPDATE."""
        data = {"guild_id": str(guild.id), "role": role.as_json()}
        for bot in guild.bots:
            self.tell(bot, Event(name, data, Intents.GUILDS, guild.id))

    def leave(self, account: Account, guild: Guild) -> None:
        """Takes an account out of a guild."""
        del guild.members[account.id]
        guild.member_roles.pop(account.id, None)
        guild.bot_roles.pop(account.id, None)
        if isinstance(account, BotAccount):
            self.tell(account, Event("GUILD_DELETE", {"id": str(guild.id)}, Intents.GUILDS, guild.id))
        data = {"user": account.as_json(), "guild_id": str(guild.id)}
        for bot in guild.bots:
            self.tell(bot, Event("GUILD_MEMBER_REMOVE", data, Intents.GUILD_MEMBERS, guild.id))

    # -- who knows

    def new_id(self) -> int:
        """A snowflake: the millisecond in its upper bits, and always more than the one before."""
        now = (int(time.time() * 1000) - DISCORD_EPOCH_MS) << 22
        self._last_id = max(now, self._last_id + 1)
        return self._last_id

    def note(self, what: str, **facts: Any) -> None:
        """Wakes whoever waits for a change, and lets the observers see it with its monotonic time."""
        for observer in self.observers:
            observer(what, {"at": time.monotonic(), **facts})
        self._change.set()
        self._change = asyncio.Event()

    async def changed(self) -> None:
        """Returns at the next change of anything."""
        await self._change.wait()

    def _enrol(self, account: Account, guilds: Iterable[Guild] | None) -> None:
        self.accounts[account.id] = account
        for guild in list(self.guilds.values()) if guilds is None else guilds:
            self.join(account, guild)

    def _open_channel(self, guild: Guild, name: str, kind: str, category: Channel | None) -> Channel:
        channel = Channel(self.new_id(), KINDS[kind], name, guild, category)
        self.channels[channel.id] = guild.channels[channel.id] = channel
        self._announce("CHANNEL_CREATE", channel, channel.as_json(), Intents.GUILDS)
        return channel

    def _read_mentions(self, message: Message) -> None:
        allowed = message.allowed_mentions
        parse = ("users", "everyone") if allowed is None else allowed.get("parse") or ()
        listed = {int(one) for one in (allowed or {}).get("users") or ()}
        named = [int(number) for number in MENTION.findall(message.content)]
        found = [self.accounts[one] for one in dict.fromkeys(named) if one in self.accounts]
        message.mentions = [one for one in found if "users" in parse or one.id in listed]
        pinged = allowed is None or bool(allowed.get("replied_user"))
        if message.reference is not None and pinged and message.reference.author not in message.mentions:
            message.mentions.append(message.reference.author)
        message.mention_everyone = "everyone" in parse and (
            "@everyone" in message.content or "@here" in message.content
        )

    def _tell_message(self, name: str, message: Message) -> None:
        if message.private_to is not None:
            return
        guild_id = message.channel.guild.id if message.channel.guild else None
        event = Event(name, {}, _message_intent(message.channel), guild_id, message)
        for bot in message.channel.bots:
            self.tell(bot, event)

    def _announce(self, name: str, channel: Channel, data: Json, intent: int) -> None:
        guild_id = channel.guild.id if channel.guild else None
        if guild_id is not None:
            data = {**data, "guild_id": str(guild_id)}
        event = Event(name, data, intent, guild_id)
        for bot in channel.bots:
            self.tell(bot, event)


@dataclass(eq=False)
class Event:
    """Something to dispatch, encoded at most once for all who may read it whole."""

    name: str
    data: Json
    intent: int
    """What a session must have asked for to be sent this."""
    guild_id: int | None
    message: Message | None = None
    """The message it carries instead of `data`: its content depends on who reads it."""

    def text_for(self, bot: BotAccount, intents: int) -> str:
        """The event's data in JSON, as this bot may see it."""
        if self.message is None or intents & Intents.MESSAGE_CONTENT:
            return self._whole
        return self._message_text(self.message, bot)

    @cached_property
    def _whole(self) -> str:
        return json.dumps(self.data) if self.message is None else self._message_text(self.message, None)

    def _message_text(self, message: Message, unread_by: BotAccount | None) -> str:
        found = message.as_json(unread_by=unread_by, event=True)
        if self.name == "MESSAGE_CREATE" and message.nonce is not None:
            found["nonce"] = message.nonce
        return json.dumps(found)


def _message_intent(channel: Channel) -> int:
    return Intents.DIRECT_MESSAGES if channel.is_dm else Intents.GUILD_MESSAGES


def _nobody_listens(bot: BotAccount, event: Event) -> None:
    return None
