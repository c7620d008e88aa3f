"""What people do on a wire-level Discord: talk, change their minds, and decide what a bot may do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.wire.discord_accounts import Account, BotAccount, Intents, Json
from tests.wire.discord_model import Channel, Guild, Message, Webhook, emoji_json
from tests.wire.discord_roles import EVERYTHING, Overwrite, Role, bits
from tests.wire.discord_world import Event, World

Upload = tuple[str, bytes] | tuple[str, bytes, str]


class People(World):
    """A world with hands. Nothing people do is checked for permissions; what bots do is."""

    # -- talking

    async def say(
        self,
        person: Account,
        channel: Channel,
        text: str,
        *,
        reply_to: Message | None = None,
        ping: bool = True,
        mentions: Iterable[Account] = (),
        attachments: Sequence[Upload] = (),
        nonce: str | None = None,
        message_id: int | None = None,
    ) -> Message:
        """Posts as a person; `attachments` are (name, bytes[, media type]), `ping` is whether a reply mentions."""
        text = " ".join([*(one.mention for one in mentions), text])
        files = [
            self.store_file(channel, one[0], one[1], one[2] if len(one) == 3 else "application/octet-stream")
            for one in attachments
        ]
        allowed = None if ping else {"parse": ["users", "everyone"], "replied_user": False}
        return self.post(
            channel,
            person,
            text,
            reference=reply_to,
            attachments=files,
            allowed_mentions=allowed,
            nonce=nonce,
            message_id=message_id,
        )

    async def open_post(
        self, person: Account, forum: Channel, name: str, text: str, *, attachments: Sequence[Upload] = ()
    ) -> Channel:
        """Opens a post in a forum: a thread with its first message, which has the thread's id."""
        thread = self.add_thread(forum, name, owner=person)
        await self.say(person, thread, text, attachments=attachments, message_id=thread.id)
        return thread

    async def edit(self, message: Message, text: str) -> None:
        """Edits a message as its author."""
        self.change(message, text)

    async def delete(self, message: Message) -> None:
        """Deletes a message as its author."""
        self.erase(message)

    async def delete_many(self, messages: Sequence[Message]) -> None:
        """Deletes messages of one channel at one stroke, as a moderator's tool does."""
        self.erase_many(messages[0].channel, messages)

    async def add_reaction(self, person: Account, message: Message, emoji: str) -> None:
        """Reacts to a message."""
        self.react(person, message, emoji)

    async def remove_reaction(self, person: Account, message: Message, emoji: str) -> None:
        """Takes a reaction back."""
        self.react(person, message, emoji, on=False)

    async def clear_reactions(self, message: Message, emoji: str | None = None) -> None:
        """Takes everybody's reactions off a message, as a moderator does: those with one emoji, or all."""
        message.reactions = {each: who for each, who in message.reactions.items() if emoji not in (None, each)}
        data: Json = {"message_id": str(message.id), "channel_id": str(message.channel.id)}
        data |= {"emoji": emoji_json(emoji)} if emoji else {}
        name = "MESSAGE_REACTION_REMOVE_EMOJI" if emoji else "MESSAGE_REACTION_REMOVE_ALL"
        self._announce(name, message.channel, data, Intents.GUILD_MESSAGE_REACTIONS)

    # -- places and who is in them

    async def rename(self, place: Guild | Channel, name: str) -> None:
        """Renames a guild, a channel or a thread."""
        place.name = name
        self.refresh(place)

    async def remove(self, channel: Channel) -> None:
        """Removes a channel or a thread."""
        self.close_channel(channel)

    async def archive(self, thread: Channel, *, locked: bool = False) -> None:
        """Puts a thread away."""
        thread.archived, thread.locked = True, locked
        self.refresh(thread)

    async def outage(self, guild: Guild) -> None:
        """Tells the bots that a guild is out of reach for now; `recover` ends it."""
        for bot in guild.bots:
            data = {"id": str(guild.id), "unavailable": True}
            self.tell(bot, Event("GUILD_DELETE", data, Intents.GUILDS, guild.id))

    async def recover(self, guild: Guild) -> None:
        """Gives the bots a guild back after an outage."""
        for bot in guild.bots:
            data = guild.create_json(bot, bot.intents_allowed)
            self.tell(bot, Event("GUILD_CREATE", data, Intents.GUILDS, guild.id))

    # -- what is allowed

    async def add_role(self, guild: Guild, name: str, *permissions: str) -> Role:
        """A new role with permissions by discord.py's names."""
        role = Role(self.new_id(), name, bits(*permissions), position=2 + len(guild.roles))
        guild.roles[role.id] = role
        self.tell_role("GUILD_ROLE_CREATE", guild, role)
        return role

    async def give(self, account: Account, guild: Guild, role: Role) -> None:
        """Gives a member a role."""
        guild.member_roles.setdefault(account.id, []).append(role)
        self.tell_member(account, guild)

    async def withdraw(self, account: Account, guild: Guild, role: Role) -> None:
        """Takes a role from a member."""
        guild.member_roles[account.id].remove(role)
        self.tell_member(account, guild)

    async def deny(self, bot: BotAccount, place: Guild | Channel, *permissions: str) -> None:
        """Takes permissions (discord.py's names) from a bot, in a channel with its threads or in a whole guild, where
        they are then no longer everybody's either."""
        lost = bits(*permissions)
        if isinstance(place, Guild):
            role = self._own_role(bot, place)
            role.permissions &= ~lost
            place.everyone &= ~lost
            self.tell_role("GUILD_ROLE_UPDATE", place, Role(place.id, "@everyone", place.everyone, position=0))
            self.tell_role("GUILD_ROLE_UPDATE", place, role)
            self.note("permissions", place=place)
            return
        assert place.guild is not None, "in a DM there are no permissions"
        self._own_role(bot, place.guild)
        rule = place.overwrites.setdefault(bot.id, Overwrite(member=True))
        rule.deny, rule.allow = rule.deny | lost, rule.allow & ~lost
        self.refresh(place)

    async def allow(self, bot: BotAccount, place: Guild | Channel, *permissions: str) -> None:
        """Gives permissions back that `deny` took at the same place."""
        found = bits(*permissions)
        if isinstance(place, Guild):
            role = self._own_role(bot, place)
            role.permissions |= found
            self.tell_role("GUILD_ROLE_UPDATE", place, role)
            self.note("permissions", place=place)
            return
        place.overwrites[bot.id].deny &= ~found
        self.refresh(place)

    def _own_role(self, bot: BotAccount, guild: Guild) -> Role:
        """The bot's role; a bot that was an admin until now is none any more, but may still do everything else."""
        if bot.id not in guild.bot_roles:
            role = Role(self.new_id(), bot.name, EVERYTHING & ~bits("administrator"), managed=True)
            guild.bot_roles[bot.id] = role
            self.tell_role("GUILD_ROLE_CREATE", guild, role)
            self.tell_member(bot, guild)
        return guild.bot_roles[bot.id]

    # -- webhooks

    async def remove_webhook(self, webhook: Webhook) -> None:
        """Deletes a webhook, as an admin does in the channel's settings."""
        self.drop_webhook(webhook)
