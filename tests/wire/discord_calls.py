"""What every route of a wire-level Discord's REST API shares: the request it reads, and whom and what that names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.wire.discord_accounts import Account, BotAccount, Json
from tests.wire.discord_limits import Bodies, Refusal, invalid
from tests.wire.discord_model import EPHEMERAL, Channel, Guild, Message
from tests.wire.discord_roles import bits
from tests.wire.discord_world import World

Act = Callable[["Call"], Any]

DM_UPLOAD_LIMIT = 10 * 1024 * 1024
MAX_FILES = 10


@dataclass(eq=False)
class Call:
    """A request as the routes below see it."""

    bot: BotAccount
    line: str
    params: dict[str, str]
    query: dict[str, str]
    body: Any
    uploads: list[tuple[str, bytes, str]]


class RouteGroup:
    """Some routes over one world. Each takes a Call and gives JSON, or None for 204."""

    def __init__(self, world: World, bodies: Bodies) -> None:
        self.world = world
        self.bodies = bodies

    def written(self, call: Call, channel: Channel, body: Json) -> Json:
        """The fields of a `Message` that a body asks for."""
        if is_blank(call, body):
            raise Refusal(400, 50006, "Cannot send an empty message")
        return {
            "allowed_mentions": body.get("allowed_mentions"),
            "attachments": self.attachments(call, channel, body),
            "embeds": [{"type": "rich", **embed} for embed in body.get("embeds") or ()],
            "components": body.get("components") or [],
            "poll": body.get("poll"),
            "flags": body.get("flags") or 0,
            "tts": bool(body.get("tts")),
        }

    def rewrite(self, call: Call, message: Message, body: Json, *, clear_flags: int = 0) -> None:
        """Edits a message: what a body does not mention stays."""
        fields: Json = {"allowed_mentions": body.get("allowed_mentions")}
        fields |= {name: body[name] or [] for name in ("embeds", "components") if name in body}
        # Who sees a message was settled when it was posted.
        flags = (body["flags"] or 0) & ~EPHEMERAL | message.flags & EPHEMERAL if "flags" in body else message.flags
        kept = message.attachments
        if "attachments" in body:
            listed = {str(one["id"]) for one in body["attachments"] or ()}
            kept = [one for one in kept if one["id"] in listed]
        fields["attachments"] = kept + self.attachments(call, message.channel, body)
        content = (body["content"] or "") if "content" in body else None
        wording = message.content if content is None else content
        rest = (
            fields["attachments"],
            fields.get("embeds", message.embeds),
            fields.get("components", message.components),
        )
        if not wording.strip() and not any(rest):
            raise Refusal(400, 50006, "Cannot send an empty message")
        self.world.change(message, content, **fields, flags=flags & ~clear_flags)

    def need(self, call: Call, place: Channel | Guild, *names: str) -> None:
        """Refuses a bot without these permissions (discord.py's names)."""
        if isinstance(place, Guild):
            wanted = bits(*names)
            allowed = place.permissions_of(call.bot) & wanted == wanted
        else:
            allowed = place.allows(call.bot, *names)
        if not allowed:
            raise Refusal(403, 50013, "Missing Permissions")

    def attachments(self, call: Call, channel: Channel, body: Json) -> list[Json]:
        listed = {str(one["id"]): one for one in body.get("attachments") or ()}
        limit = channel.guild.upload_limit if channel.guild else DM_UPLOAD_LIMIT
        if len(call.uploads) > MAX_FILES:
            raise invalid("files", "BASE_TYPE_MAX_LENGTH", f"Must be {MAX_FILES} or fewer in length.")
        found = []
        for number, (name, content, media_type) in enumerate(call.uploads):
            if len(content) > limit:
                raise Refusal(413, 40005, "Request entity too large")
            attachment = self.world.store_file(channel, name, content, media_type or "application/octet-stream")
            description = listed.get(str(number), {}).get("description")
            found.append({**attachment, "description": description} if description else attachment)
        return found

    def channel(self, call: Call) -> Channel:
        channel = self.world.channels.get(number_in(call.params["channel"]))
        if channel is None:
            raise Refusal(404, 10003, "Unknown Channel")
        if call.bot not in channel.bots:
            raise Refusal(403, 50001, "Missing Access")
        return channel

    def message(self, call: Call) -> Message:
        message = self.channel(call).messages.get(number_in(call.params["message"]))
        if message is None:
            raise Refusal(404, 10008, "Unknown Message")
        return message

    def guild(self, call: Call) -> Guild:
        guild = self.world.guilds.get(number_in(call.params["guild"]))
        if guild is None or call.bot.id not in guild.members:
            raise Refusal(404, 10004, "Unknown Guild")
        return guild

    def account(self, number: Any) -> Account:
        account = self.world.accounts.get(number_in(str(number)))
        if account is None:
            raise Refusal(404, 10013, "Unknown User")
        return account

    def gateway_url(self) -> str:
        return self.world.origin.replace("http", "ws", 1) + "/gateway"

    @staticmethod
    def shown(call: Call, message: Message) -> Json:
        return message.as_json(unread_by=None if call.bot.reads_content else call.bot)


def number_in(text: str) -> int:
    """An id; what is no number is refused as Discord refuses it."""
    if not text.isdecimal():
        raise invalid("", "NUMBER_TYPE_COERCE", f'Value "{text}" is not snowflake.')
    return int(text)


def is_blank(call: Call, body: Json) -> bool:
    """Whether all there is to say is white space, which Discord takes for nothing."""
    others = ("embeds", "components", "sticker_ids", "poll")
    return not call.uploads and not any(body.get(one) for one in others) and not (body.get("content") or "").strip()
