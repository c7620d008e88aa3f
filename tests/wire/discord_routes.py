"""The routes of Discord's REST API for messages, and the table of all routes there are."""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from functools import partial

from tests.wire.discord_accounts import Json
from tests.wire.discord_calls import Act, Call, RouteGroup
from tests.wire.discord_commands import CommandRoutes
from tests.wire.discord_limits import Bodies, Refusal, invalid
from tests.wire.discord_model import SILENT_TYPES, Channel, Message
from tests.wire.discord_places import PlaceRoutes
from tests.wire.discord_webhooks import WebhookRoutes
from tests.wire.discord_world import World

NONCE_SECONDS = 180.0


class Routes(RouteGroup):
    """Messages and reactions, and with them all the other groups."""

    def __init__(self, world: World, bodies: Bodies) -> None:
        super().__init__(world, bodies)
        self._nonces: dict[tuple[int, str], Message] = {}
        self._groups = (
            PlaceRoutes(world, bodies, self._write),
            CommandRoutes(world, bodies),
            WebhookRoutes(world, bodies),
        )

    def table(self) -> list[tuple[str, str, Act]]:
        """Method, path and act of every route."""
        message = "/channels/{channel}/messages/{message}"
        emoji = message + "/reactions/{emoji}"
        own: list[tuple[str, str, Act]] = [
            ("POST", "/channels/{channel}/messages", self.post_message),
            ("PATCH", message, self.edit_message),
            ("POST", "/channels/{channel}/typing", self.show_typing),
            ("GET", "/channels/{channel}/messages", self.history),
            ("GET", message, lambda call: self.shown(call, self.message(call))),
            ("DELETE", message, self.delete_message),
            ("POST", "/channels/{channel}/messages/bulk-delete", self.delete_messages),
            ("PUT", emoji + "/@me", partial(self.react, on=True)),
            ("DELETE", emoji + "/@me", partial(self.react, on=False)),
            ("DELETE", emoji + "/{user}", self.remove_reaction),
            ("GET", emoji, self.reacted),
        ]
        return own + [route for group in self._groups for route in group.table()]

    # -- messages

    def post_message(self, call: Call) -> Json:
        channel = self.channel(call)
        if channel.type in SILENT_TYPES:
            raise Refusal(400, 50008, "Cannot send messages in a non-text channel")
        body: Json = call.body or {}
        self.need(call, channel, "send_messages_in_threads" if channel.is_thread else "send_messages")
        if call.uploads:
            self.need(call, channel, "attach_files")
        self.bodies.check(call.bot, call.line, "MessageCreateRequest", body)
        nonce = body.get("nonce")
        earlier = self._nonces.get((call.bot.id, str(nonce))) if nonce is not None else None
        if body.get("enforce_nonce") and earlier is not None and time.monotonic() - earlier.at < NONCE_SECONDS:
            return {**earlier.as_json(), "nonce": nonce}
        reference = self._reference(call, channel, body.get("message_reference"))
        message = self._write(call, channel, body, reference)
        if nonce is not None:
            self._nonces[call.bot.id, str(nonce)] = message
        return {**message.as_json(), "nonce": nonce} if nonce is not None else message.as_json()

    def _write(
        self, call: Call, channel: Channel, body: Json, reference: Message | None, *, message_id: int | None = None
    ) -> Message:
        fields = self.written(call, channel, body)
        content, nonce = body.get("content") or "", body.get("nonce")
        return self.world.post(
            channel, call.bot, content, message_id=message_id, nonce=nonce, reference=reference, **fields
        )

    def _reference(self, call: Call, channel: Channel, pointer: Json | None) -> Message | None:
        if not pointer:
            return None
        if not channel.allows(call.bot, "read_message_history"):
            raise Refusal(400, 160002, "Cannot reply without permission to read message history")
        found = channel.messages.get(int(pointer["message_id"]))
        if found is None and pointer.get("fail_if_not_exists", True):
            raise invalid("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
        return found

    def edit_message(self, call: Call) -> Json:
        message = self.message(call)
        body: Json = call.body or {}
        self.bodies.check(call.bot, call.line, "MessageEditRequestPartial", body)
        if message.author is not call.bot:
            raise Refusal(403, 50005, "Cannot edit a message authored by another user")
        self.rewrite(call, message, body)
        return message.as_json()

    def delete_message(self, call: Call) -> None:
        message = self.message(call)
        if message.author is not call.bot:
            if message.channel.is_dm:
                raise Refusal(403, 50003, "Cannot execute action on a DM channel")
            self.need(call, message.channel, "manage_messages")
        self.world.erase(message)

    def delete_messages(self, call: Call) -> None:
        channel = self.channel(call)
        self.need(call, channel, "manage_messages")
        self.bodies.check(call.bot, call.line, "BulkDelete", call.body)
        numbers = [int(one) for one in call.body["messages"]]
        self.world.erase_many(channel, [channel.messages[one] for one in numbers if one in channel.messages])

    def history(self, call: Call) -> list[Json]:
        channel = self.channel(call)
        if not channel.allows(call.bot, "read_message_history"):
            return []
        limit = int(call.query.get("limit", 50))
        if not 1 <= limit <= 100:
            raise invalid("limit", "NUMBER_TYPE_MAX", "int value should be between 1 and 100.")
        numbers = list(channel.messages)
        if "after" in call.query:
            start = bisect_right(numbers, int(call.query["after"]))
            found = numbers[start : start + limit]
        elif "around" in call.query:
            middle = bisect_left(numbers, int(call.query["around"]))
            found = numbers[max(0, middle - limit // 2) :][:limit]
        else:
            end = bisect_left(numbers, int(call.query.get("before", 1 << 63)))
            found = numbers[max(0, end - limit) : end]
        return [self.shown(call, channel.messages[one]) for one in reversed(found)]

    def react(self, call: Call, *, on: bool) -> None:
        message = self.message(call)
        if on and call.params["emoji"] not in message.reactions:
            self.need(call, message.channel, "add_reactions", "read_message_history")
        self.world.react(call.bot, message, call.params["emoji"], on=on)

    def remove_reaction(self, call: Call) -> None:
        message = self.message(call)
        self.need(call, message.channel, "manage_messages")
        self.world.react(self.account(call.params["user"]), message, call.params["emoji"], on=False)

    def reacted(self, call: Call) -> list[Json]:
        return [one.as_json() for one in self.message(call).reactions.get(call.params["emoji"], ())]

    def show_typing(self, call: Call) -> None:
        channel = self.channel(call)
        self.need(call, channel, "send_messages")
        self.world.note("typing", bot=call.bot, channel=channel)
