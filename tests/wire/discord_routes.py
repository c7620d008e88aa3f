"""The routes of Discord's REST API that a bot calls: what each reads, refuses, does to the world and answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.wire.discord_accounts import Account, BotAccount, Json
from tests.wire.discord_limits import Bodies, Refusal, invalid
from tests.wire.discord_model import PRIVATE_THREAD, SILENT_TYPES, Channel, Guild, Message
from tests.wire.discord_world import World

MAX_FILE = 10 * 1024 * 1024
NONCE_SECONDS = 180.0
Act = Callable[["Call"], Any]


@dataclass(eq=False)
class Call:
    """A request as the routes below see it."""

    bot: BotAccount
    line: str
    params: dict[str, str]
    query: dict[str, str]
    body: Any
    uploads: list[tuple[str, bytes, str]]


class Routes:
    """Each route takes a Call and gives JSON, or None for 204."""

    def __init__(self, world: World, bodies: Bodies) -> None:
        self.world = world
        self.bodies = bodies
        self._nonces: dict[tuple[int, str], Message] = {}

    def table(self) -> list[tuple[str, str, Act]]:
        """Method, path and act of every route."""
        message = "/channels/{channel}/messages/{message}"
        commands, guild_commands = "/applications/{app}/commands", "/applications/{app}/guilds/{guild}/commands"
        return [
            ("POST", "/channels/{channel}/messages", self.post_message),
            ("PATCH", message, self.edit_message),
            ("POST", "/channels/{channel}/typing", self.show_typing),
            ("GET", "/channels/{channel}/messages", self.history),
            ("GET", message, lambda call: self._shown(call, self._message(call))),
            ("DELETE", message, self.delete_message),
            ("PUT", message + "/reactions/{emoji}/@me", partial(self.react, on=True)),
            ("DELETE", message + "/reactions/{emoji}/@me", partial(self.react, on=False)),
            ("POST", message + "/threads", self.thread_from_message),
            ("POST", "/channels/{channel}/threads", self.start_thread),
            ("GET", "/channels/{channel}", lambda call: self._channel(call).as_json(call.bot)),
            ("PATCH", "/channels/{channel}", self.edit_channel),
            ("POST", "/users/@me/channels", self.open_dm),
            ("GET", "/users/@me", lambda call: call.bot.own_json()),
            ("GET", "/users/{user}", lambda call: self._account(call.params["user"]).as_json()),
            ("GET", "/gateway", lambda call: {"url": self._gateway_url()}),
            ("GET", "/gateway/bot", self.gateway_for_bot),
            ("GET", "/oauth2/applications/@me", lambda call: call.bot.application_json(self.world.admin)),
            ("GET", "/applications/@me", lambda call: call.bot.application_json(self.world.admin)),
            ("GET", "/guilds/{guild}", lambda call: self._guild(call).as_json()),
            ("GET", "/guilds/{guild}/channels", self.guild_channels),
            ("GET", "/guilds/{guild}/threads/active", self.active_threads),
            ("GET", "/guilds/{guild}/members/{user}", self.member),
            ("GET", commands, self.commands),
            ("PUT", commands, self.set_commands),
            ("GET", guild_commands, self.commands),
            ("PUT", guild_commands, self.set_commands),
        ]

    # -- messages

    def post_message(self, call: Call) -> Json:
        channel = self._channel(call)
        if channel.type in SILENT_TYPES:
            raise Refusal(400, 50008, "Cannot send messages in a non-text channel")
        body: Json = call.body or {}
        self.bodies.check(call.bot, call.line, "MessageCreateRequest", body)
        nonce = body.get("nonce")
        earlier = self._nonces.get((call.bot.id, str(nonce))) if nonce is not None else None
        if body.get("enforce_nonce") and earlier is not None and time.monotonic() - earlier.at < NONCE_SECONDS:
            return {**earlier.as_json(), "nonce": nonce}
        reference = self._reference(channel, body.get("message_reference"))
        message = self._write(call, channel, body, reference)
        if nonce is not None:
            self._nonces[call.bot.id, str(nonce)] = message
        return {**message.as_json(), "nonce": nonce} if nonce is not None else message.as_json()

    def _write(
        self, call: Call, channel: Channel, body: Json, reference: Message | None, *, message_id: int | None = None
    ) -> Message:
        if _is_blank(call, body):
            raise Refusal(400, 50006, "Cannot send an empty message")
        return self.world.post(
            channel,
            call.bot,
            body.get("content") or "",
            message_id=message_id,
            nonce=body.get("nonce"),
            reference=reference,
            allowed_mentions=body.get("allowed_mentions"),
            attachments=self._attachments(call, channel, body),
            embeds=[{"type": "rich", **embed} for embed in body.get("embeds") or ()],
            components=body.get("components") or [],
            poll=body.get("poll"),
            flags=body.get("flags") or 0,
            tts=bool(body.get("tts")),
        )

    def _reference(self, channel: Channel, pointer: Json | None) -> Message | None:
        if not pointer:
            return None
        found = channel.messages.get(int(pointer["message_id"]))
        if found is None and pointer.get("fail_if_not_exists", True):
            raise invalid("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
        return found

    def _attachments(self, call: Call, channel: Channel, body: Json) -> list[Json]:
        listed = {str(one["id"]): one for one in body.get("attachments") or ()}
        found = []
        for number, (name, content, media_type) in enumerate(call.uploads):
            if len(content) > MAX_FILE:
                raise Refusal(413, 40005, "Request entity too large")
            attachment = self.world.store_file(channel, name, content, media_type or "application/octet-stream")
            description = listed.get(str(number), {}).get("description")
            found.append({**attachment, "description": description} if description else attachment)
        return found

    def edit_message(self, call: Call) -> Json:
        message = self._message(call)
        body: Json = call.body or {}
        self.bodies.check(call.bot, call.line, "MessageEditRequestPartial", body)
        if message.author is not call.bot:
            raise Refusal(403, 50005, "Cannot edit a message authored by another user")
        fields: Json = {"allowed_mentions": body.get("allowed_mentions")}
        fields |= {name: body[name] or [] for name in ("embeds", "components") if name in body}
        fields |= {"flags": body["flags"] or 0} if "flags" in body else {}
        kept = message.attachments
        if "attachments" in body:
            listed = {str(one["id"]) for one in body["attachments"] or ()}
            kept = [one for one in kept if one["id"] in listed]
        fields["attachments"] = kept + self._attachments(call, message.channel, body)
        content = (body["content"] or "") if "content" in body else None
        wording = message.content if content is None else content
        rest = (
            fields["attachments"],
            fields.get("embeds", message.embeds),
            fields.get("components", message.components),
        )
        if not wording.strip() and not any(rest):
            raise Refusal(400, 50006, "Cannot send an empty message")
        self.world.change(message, content, **fields)
        return message.as_json()

    def delete_message(self, call: Call) -> None:
        message = self._message(call)
        if message.author is not call.bot and message.channel.is_dm:
            raise Refusal(403, 50003, "Cannot execute action on a DM channel")
        self.world.erase(message)

    def history(self, call: Call) -> list[Json]:
        channel = self._channel(call)
        limit = int(call.query.get("limit", 50))
        if not 1 <= limit <= 100:
            raise invalid("limit", "NUMBER_TYPE_MAX", "int value should be between 1 and 100.")
        found = list(channel.messages.values())
        if "after" in call.query:
            found = [one for one in found if one.id > int(call.query["after"])][:limit]
        elif "around" in call.query:
            middle = int(call.query["around"])
            before = [one for one in found if one.id < middle][-(limit // 2) :]
            found = (before + [one for one in found if one.id >= middle])[:limit]
        else:
            before_id = int(call.query.get("before", 1 << 63))
            found = [one for one in found if one.id < before_id][-limit:]
        return [self._shown(call, one) for one in reversed(found)]

    def react(self, call: Call, *, on: bool) -> None:
        self.world.react(call.bot, self._message(call), call.params["emoji"], on=on)

    def show_typing(self, call: Call) -> None:
        self.world.note("typing", bot=call.bot, channel=self._channel(call))

    # -- places

    def thread_from_message(self, call: Call) -> Json:
        message = self._message(call)
        if message.thread is not None:
            raise Refusal(400, 160004, "A thread has already been created for this message")
        return self.world.add_thread(message.channel, call.body["name"], owner=call.bot, message=message).as_json()

    def start_thread(self, call: Call) -> Json:
        channel = self._channel(call)
        starter: Json | None = call.body.get("message")
        if starter is None:
            kind = call.body.get("type") or PRIVATE_THREAD
            return self.world.add_thread(channel, call.body["name"], owner=call.bot, thread_type=kind).as_json()
        self.bodies.check(call.bot, call.line, "MessageCreateRequest", starter)
        thread = self.world.add_thread(channel, call.body["name"], owner=call.bot)
        message = self._write(call, thread, starter, None, message_id=thread.id)
        return {**thread.as_json(), "message": message.as_json()}

    def edit_channel(self, call: Call) -> Json:
        channel = self._channel(call)
        channel.name = call.body.get("name", channel.name)
        channel.archived = call.body.get("archived", channel.archived)
        channel.locked = call.body.get("locked", channel.locked)
        self.world.refresh(channel)
        return channel.as_json(call.bot)

    def open_dm(self, call: Call) -> Json:
        return self.world.dm(self._account(call.body["recipient_id"]), call.bot).as_json(call.bot)

    def guild_channels(self, call: Call) -> list[Json]:
        return [channel.as_json() for channel in self._guild(call).channels.values()]

    def active_threads(self, call: Call) -> Json:
        threads = [one.as_json() for one in self._guild(call).threads.values() if not one.archived]
        return {"threads": threads, "members": [], "has_more": False}

    def member(self, call: Call) -> Json:
        guild, account = self._guild(call), self._account(call.params["user"])
        if account.id not in guild.members:
            raise Refusal(404, 10007, "Unknown Member")
        return guild.member_json(account)

    # -- the application

    def gateway_for_bot(self, call: Call) -> Json:
        limit = {"total": 1000, "remaining": 1000, "reset_after": 0, "max_concurrency": 1}
        return {"url": self._gateway_url(), "shards": 1, "session_start_limit": limit}

    def commands(self, call: Call) -> list[Json]:
        return self._own_commands(call).get(self._command_place(call), [])

    def set_commands(self, call: Call) -> list[Json]:
        place, all_own = self._command_place(call), self._own_commands(call)
        known = {(one["type"], one["name"]): one["id"] for one in all_own.get(place, [])}
        found = []
        for given in call.body:
            kind = given.get("type", 1)
            command_id = known.get((kind, given["name"])) or str(self.world.new_id())
            fixed = {
                "id": command_id,
                "type": kind,
                "application_id": str(call.bot.id),
                "version": str(self.world.new_id()),
            }
            found.append(
                {"description": "", "options": [], **given, **fixed, **({"guild_id": str(place)} if place else {})}
            )
        all_own[place] = found
        self.world.note("commands", bot=call.bot)
        return found

    def _own_commands(self, call: Call) -> dict[int | None, list[Json]]:
        if call.params["app"] != str(call.bot.id):
            raise Refusal(403, 20012, "You are not authorized to perform this action on this application")
        return call.bot.commands

    def _command_place(self, call: Call) -> int | None:
        return self._guild(call).id if "guild" in call.params else None

    # -- what a path or a body names

    def _channel(self, call: Call) -> Channel:
        channel = self.world.channels.get(_number(call.params["channel"]))
        if channel is None:
            raise Refusal(404, 10003, "Unknown Channel")
        if call.bot not in channel.bots:
            raise Refusal(403, 50001, "Missing Access")
        return channel

    def _message(self, call: Call) -> Message:
        message = self._channel(call).messages.get(_number(call.params["message"]))
        if message is None:
            raise Refusal(404, 10008, "Unknown Message")
        return message

    def _guild(self, call: Call) -> Guild:
        guild = self.world.guilds.get(_number(call.params["guild"]))
        if guild is None or call.bot.id not in guild.members:
            raise Refusal(404, 10004, "Unknown Guild")
        return guild

    def _account(self, number: Any) -> Account:
        account = self.world.accounts.get(_number(str(number)))
        if account is None:
            raise Refusal(404, 10013, "Unknown User")
        return account

    def _gateway_url(self) -> str:
        return self.world.origin.replace("http", "ws", 1) + "/gateway"

    @staticmethod
    def _shown(call: Call, message: Message) -> Json:
        return message.as_json(unread_by=None if call.bot.reads_content else call.bot)


def _number(text: str) -> int:
    """An id; what is no number is refused as Discord refuses it."""
    if not text.isdecimal():
        raise invalid("", "NUMBER_TYPE_COERCE", f'Value "{text}" is not snowflake.')
    return int(text)


def _is_blank(call: Call, body: Json) -> bool:
    """Whether all there is to say is white space, which Discord takes for nothing."""
    others = ("embeds", "components", "sticker_ids", "poll")
    return not call.uploads and not any(body.get(one) for one in others) and not (body.get("content") or "").strip()
