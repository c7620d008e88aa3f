"""The routes of Discord's REST API for webhooks, and for interactions' tokens, which use the same paths."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.wire.discord_accounts import BotAccount, Face, Json
from tests.wire.discord_calls import Act, Call, RouteGroup, number_in
from tests.wire.discord_followups import FollowupRoutes
from tests.wire.discord_interactions import Interaction, components
from tests.wire.discord_limits import Bodies, Refusal, invalid
from tests.wire.discord_model import KINDS, SILENT_TYPES, Channel, Message, Webhook
from tests.wire.discord_world import World

MOST = 15
FORBIDDEN = ("discord", "clyde")


class WebhookRoutes(RouteGroup):
    """What bots do with webhooks: by their account, or by a webhook's token alone."""

    def __init__(self, world: World, bodies: Bodies) -> None:
        super().__init__(world, bodies)
        self._followups = FollowupRoutes(world, bodies)

    def table(self) -> list[tuple[str, str, Act]]:
        """Method, path and act of every route."""
        by_id, by_token = "/webhooks/{webhook}", "/webhooks/{webhook}/{token}"
        message = by_token + "/messages/{message}"
        then = self._followups
        return [
            ("GET", "/channels/{channel}/webhooks", self.of_channel),
            ("POST", "/channels/{channel}/webhooks", self.create),
            ("GET", "/guilds/{guild}/webhooks", self.of_guild),
            ("GET", by_id, lambda call: self._mine(call).as_json()),
            ("PATCH", by_id, self.change),
            ("DELETE", by_id, self.remove),
            ("GET", by_token, lambda call: self._webhook(call).as_json()),
            ("PATCH", by_token, self.change_by_token),
            ("DELETE", by_token, self.remove_by_token),
            ("POST", by_token, partial(self._either, self.post, then.follow)),
            ("GET", message, partial(self._either, lambda call: self._message(call).as_json(), then.show)),
            ("PATCH", message, partial(self._either, self.edit, then.edit)),
            ("DELETE", message, partial(self._either, self.erase, then.delete)),
            *then.table(),
        ]

    # -- the webhooks themselves

    def of_channel(self, call: Call) -> list[Json]:
        channel = self.channel(call)
        self.need(call, channel, "manage_webhooks")
        return [self._listed(call, one) for one in self._in(channel)]

    def of_guild(self, call: Call) -> list[Json]:
        guild = self.guild(call)
        self.need(call, guild, "manage_webhooks")
        return [self._listed(call, one) for one in self.world.webhooks.values() if one.channel.guild is guild]

    def create(self, call: Call) -> Json:
        channel = self.channel(call)
        self.need(call, channel, "manage_webhooks")
        self.bodies.check(call.bot, call.line, "WebhookCreate", call.body)
        name = _checked(call.body["name"], "name")
        if channel.is_thread or channel.type == KINDS["category"]:
            raise Refusal(400, 50024, "Cannot execute action on this channel type")
        if len(self._in(channel)) >= MOST:
            raise Refusal(400, 30007, f"Maximum number of webhooks reached ({MOST})")
        webhook = self.world.add_webhook(channel, name, call.bot)
        webhook.avatar = _hash(call.body.get("avatar"))
        return webhook.as_json()

    def change(self, call: Call) -> Json:
        webhook = self._mine(call)
        self.bodies.check(call.bot, call.line, "WebhookPatch", call.body)
        return self._changed(webhook, call.body)

    def change_by_token(self, call: Call) -> Json:
        webhook = self._webhook(call)
        self.bodies.check(call.bot, call.line, "WebhookPatchByToken", call.body)
        return self._changed(webhook, call.body)

    def remove(self, call: Call) -> None:
        self.world.drop_webhook(self._mine(call))

    def remove_by_token(self, call: Call) -> None:
        self.world.drop_webhook(self._webhook(call))

    def _changed(self, webhook: Webhook, body: Json) -> Json:
        webhook.name = _checked(body.get("name") or webhook.name, "name")
        webhook.avatar = _hash(body["avatar"]) if "avatar" in body else webhook.avatar
        if body.get("channel_id"):
            webhook.channel = self.world.channels[int(body["channel_id"])]
        self.world.tell_webhooks(webhook.channel)
        return webhook.as_json()

    def _in(self, channel: Channel) -> list[Webhook]:
        return [one for one in self.world.webhooks.values() if one.channel is channel]

    @staticmethod
    def _listed(call: Call, webhook: Webhook) -> Json:
        # Other applications' tokens are nobody's business; those of people's webhooks are shown.
        return webhook.as_json(token=webhook.application in (None, call.bot))

    def _mine(self, call: Call) -> Webhook:
        webhook = self.world.webhooks.get(number_in(call.params["webhook"]))
        if webhook is None:
            raise Refusal(404, 10015, "Unknown Webhook")
        self.need(call, webhook.channel, "manage_webhooks")
        return webhook

    # -- messages

    def post(self, call: Call) -> Json | None:
        webhook, body = self._webhook(call), call.body or {}
        self.bodies.check(call.bot, call.line, "IncomingWebhookRequestPartial", body)
        name = _checked(body["username"], "username") if body.get("username") else webhook.name
        _check_components(webhook, body)
        face = Face(webhook.id, name, body.get("avatar_url"))
        channel, thread = self._place(call, webhook), None
        if channel.type in SILENT_TYPES:
            if not body.get("thread_name"):
                raise Refusal(400, 220001, "Webhooks posted to forum channels must have a thread_name or thread_id")
            thread = channel = self.world.add_thread(channel, body["thread_name"], owner=face)
        message = self.world.post(
            channel,
            face,
            body.get("content") or "",
            message_id=thread.id if thread else None,
            webhook_id=webhook.id,
            application=webhook.application,
            **self.written(call, channel, body),
        )
        return message.as_json() if call.query.get("wait", "0") in ("1", "true") else None

    def edit(self, call: Call) -> Json:
        message, body = self._message(call), call.body or {}
        self.bodies.check(call.bot, call.line, "IncomingWebhookUpdateRequestPartial", body)
        _check_components(self._webhook(call), body)
        self.rewrite(call, message, body)
        return message.as_json()

    def erase(self, call: Call) -> None:
        self.world.erase(self._message(call))

    def _either(self, act: Act, follow: Callable[[Call, Interaction], Any], call: Call) -> Any:
        """An interaction's token is used where a webhook's is, with the application's id before it."""
        interaction = self.world.interactions.get(call.params["token"])
        if interaction is not None and str(interaction.bot.id) == call.params["webhook"]:
            return follow(call, interaction)
        return act(call)

    def _webhook(self, call: Call) -> Webhook:
        webhook = self.world.webhooks.get(number_in(call.params["webhook"]))
        if webhook is None:
            raise Refusal(404, 10015, "Unknown Webhook")
        if webhook.token != call.params["token"]:
            raise Refusal(401, 50027, "Invalid Webhook Token")
        return webhook

    def _place(self, call: Call, webhook: Webhook) -> Channel:
        if "thread_id" not in call.query:
            return webhook.channel
        thread = self.world.channels.get(number_in(call.query["thread_id"]))
        if thread is None or thread.parent is not webhook.channel:
            raise Refusal(404, 10003, "Unknown Channel")
        return thread

    def _message(self, call: Call) -> Message:
        webhook = self._webhook(call)
        message = self._place(call, webhook).messages.get(number_in(call.params["message"]))
        if message is None or message.webhook_id != webhook.id:
            raise Refusal(404, 10008, "Unknown Message")
        return message


def bearer(world: World, webhook: str, token: str) -> BotAccount | None:
    """The bot that whoever has this token acts for."""
    interaction = world.interactions.get(token)
    if interaction is not None:
        return interaction.bot
    found = world.webhooks.get(int(webhook)) if webhook.isdecimal() else None
    return found.application if found is not None and found.token == token else None


def _checked(name: str, where: str) -> str:
    found = next((one for one in FORBIDDEN if one in name.lower()), None)
    if found is not None:
        raise invalid(where, "USERNAME_INVALID_CONTAINS", f'Username cannot contain "{found}"')
    return name


def _check_components(webhook: Webhook, body: Json) -> None:
    interactive = any("custom_id" in one for one in components(body.get("components") or []))
    if interactive and webhook.application is None:
        raise invalid("components", "APPLICATION_WEBHOOK_REQUIRED", "Only an application's webhook may have these")


def _hash(avatar: str | None) -> str | None:
    return hashlib.md5(avatar.encode()).hexdigest() if avatar else None
