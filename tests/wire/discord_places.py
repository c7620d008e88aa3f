"""The routes of Discord's REST API for places and who is in them: channels, threads, DMs, guilds, members."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from tests.wire.discord_accounts import Json
from tests.wire.discord_calls import Act, Call, RouteGroup
from tests.wire.discord_limits import Bodies, Refusal
from tests.wire.discord_model import PRIVATE_THREAD, Message
from tests.wire.discord_world import World


class PlaceRoutes(RouteGroup):
    """`write` posts the message that a forum's new thread starts with."""

    def __init__(self, world: World, bodies: Bodies, write: Callable[..., Message]) -> None:
        super().__init__(world, bodies)
        self._write = write

    def table(self) -> list[tuple[str, str, Act]]:
        """Method, path and act of every route."""
        guild = "/guilds/{guild}"
        return [
            ("POST", "/channels/{channel}/messages/{message}/threads", self.thread_from_message),
            ("POST", "/channels/{channel}/threads", self.start_thread),
            ("GET", "/channels/{channel}/threads/archived/public", self.archived_threads),
            ("PUT", "/channels/{channel}/thread-members/@me", lambda call: self.channel(call) and None),
            ("GET", "/channels/{channel}", lambda call: self.channel(call).as_json(call.bot)),
            ("PATCH", "/channels/{channel}", self.edit_channel),
            ("POST", "/users/@me/channels", self.open_dm),
            ("GET", "/users/@me", lambda call: call.bot.own_json()),
            ("DELETE", "/users/@me/guilds/{guild}", lambda call: self.world.leave(call.bot, self.guild(call))),
            ("GET", "/users/{user}", lambda call: self.account(call.params["user"]).as_json()),
            ("GET", "/gateway", lambda call: {"url": self.gateway_url()}),
            ("GET", "/gateway/bot", self.gateway_for_bot),
            ("GET", "/oauth2/applications/@me", lambda call: call.bot.application_json(self.world.admin)),
            ("GET", "/applications/@me", lambda call: call.bot.application_json(self.world.admin)),
            ("GET", guild, lambda call: self.guild(call).as_json()),
            ("GET", guild + "/channels", self.guild_channels),
            ("GET", guild + "/roles", lambda call: self.guild(call).roles_json()),
            ("GET", guild + "/threads/active", self.active_threads),
            ("PATCH", guild + "/members/@me", self.change_self),
            ("GET", guild + "/members/{user}", self.member),
        ]

    def thread_from_message(self, call: Call) -> Json:
        message = self.message(call)
        self.need(call, message.channel, "create_public_threads")
        if message.thread is not None:
            raise Refusal(400, 160004, "A thread has already been created for this message")
        return self.world.add_thread(message.channel, call.body["name"], owner=call.bot, message=message).as_json()

    def start_thread(self, call: Call) -> Json:
        channel = self.channel(call)
        self.need(call, channel, "create_public_threads")
        starter: Json | None = call.body.get("message")
        if starter is None:
            kind = call.body.get("type") or PRIVATE_THREAD
            return self.world.add_thread(channel, call.body["name"], owner=call.bot, thread_type=kind).as_json()
        self.bodies.check(call.bot, call.line, "MessageCreateRequest", starter)
        thread = self.world.add_thread(channel, call.body["name"], owner=call.bot)
        message = self._write(call, thread, starter, None, message_id=thread.id)
        return {**thread.as_json(), "message": message.as_json()}

    def edit_channel(self, call: Call) -> Json:
        channel = self.channel(call)
        self.need(call, channel, "manage_threads" if channel.is_thread else "manage_channels")
        channel.name = call.body.get("name", channel.name)
        channel.archived = call.body.get("archived", channel.archived)
        channel.locked = call.body.get("locked", channel.locked)
        self.world.refresh(channel)
        return channel.as_json(call.bot)

    def open_dm(self, call: Call) -> Json:
        return self.world.dm(self.account(call.body["recipient_id"]), call.bot).as_json(call.bot)

    def guild_channels(self, call: Call) -> list[Json]:
        return [channel.as_json() for channel in self.guild(call).channels.values()]

    def active_threads(self, call: Call) -> Json:
        threads = [one.as_json() for one in self.guild(call).threads.values() if not one.archived]
        return {"threads": threads, "members": [], "has_more": False}

    def archived_threads(self, call: Call) -> Json:
        parent = self.channel(call)
        threads = parent.guild.threads.values() if parent.guild else ()
        found = [one.as_json() for one in threads if one.archived and one.parent is parent]
        return {"threads": found, "members": [], "has_more": False}

    def change_self(self, call: Call) -> Json:
        guild, body = self.guild(call), call.body or {}
        self.bodies.check(call.bot, call.line, "OwnMemberPatch", body)
        if "nick" in body:
            self.need(call, guild, "change_nickname")
        face = guild.faces.setdefault(call.bot.id, {})
        face |= {"nick": body["nick"] or None} if "nick" in body else {}
        if "avatar" in body:
            face["avatar"] = hashlib.md5(body["avatar"].encode()).hexdigest() if body["avatar"] else None
        self.world.tell_member(call.bot, guild)
        return guild.member_json(call.bot)

    def member(self, call: Call) -> Json:
        guild, account = self.guild(call), self.account(call.params["user"])
        if account.id not in guild.members:
            raise Refusal(404, 10007, "Unknown Member")
        return guild.member_json(account)

    def gateway_for_bot(self, call: Call) -> Json:
        limit = {"total": 1000, "remaining": 1000, "reset_after": 0, "max_concurrency": 1}
        return {"url": self.gateway_url(), "shards": 1, "session_start_limit": limit}
