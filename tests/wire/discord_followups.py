"""The routes of Discord's REST API by which a bot answers an interaction: the callback, and what follows on it."""

from __future__ import annotations

import time

from tests.wire.discord_accounts import Json
from tests.wire.discord_calls import Act, Call, RouteGroup
from tests.wire.discord_interactions import AUTOCOMPLETE, COMMAND, MODAL, Interaction
from tests.wire.discord_limits import Refusal, invalid
from tests.wire.discord_model import EPHEMERAL, LOADING, Message

MESSAGE, THINK, DEFER_UPDATE, UPDATE, CHOICES, SHOW_MODAL = 4, 5, 6, 7, 8, 9
TOKEN_SECONDS = 15 * 60.0
CHAT_COMMAND, MENU_COMMAND = 20, 23


class FollowupRoutes(RouteGroup):
    """The callback's route, and what the routes of a webhook mean for an interaction's token."""

    def table(self) -> list[tuple[str, str, Act]]:
        """Method, path and act of every route."""
        return [("POST", "/interactions/{interaction}/{token}/callback", self.answer)]

    def answer(self, call: Call) -> Json | None:
        interaction = self.world.interactions.get(call.params["token"])
        if interaction is None or str(interaction.id) != call.params["interaction"]:
            raise Refusal(404, 10062, "Unknown interaction")
        if interaction.callback is not None:
            raise Refusal(400, 40060, "Interaction has already been acknowledged.")
        if time.monotonic() - interaction.at > self.world.patience or interaction.expired:
            raise Refusal(404, 10062, "Unknown interaction")
        self.bodies.check(call.bot, call.line, "InteractionCallback", call.body)
        kind, data = call.body["type"], call.body.get("data") or {}
        if not _fits(kind, interaction):
            raise invalid("type", "INTERACTION_TYPE_INVALID", f"callback type {kind} does not answer this interaction")
        if kind in (MESSAGE, THINK):
            interaction.original = self._post(call, interaction, data, thinking=kind == THINK)
        elif interaction.source is not None and kind in (DEFER_UPDATE, UPDATE):
            interaction.original = interaction.source
            if kind == UPDATE:
                self.rewrite(call, interaction.source, data)
        elif kind == CHOICES:
            interaction.choices = data.get("choices") or []
        else:
            interaction.modal = data
        interaction.callback = kind
        self.world.note("interaction", interaction=interaction)
        if call.query.get("with_response", "0") in ("0", "false"):
            return None
        return _told(interaction, kind)

    def follow(self, call: Call, interaction: Interaction) -> Json:
        """A further message; after a deferral the first one takes the place of "thinking"."""
        self._check_token(interaction)
        body = call.body or {}
        self.bodies.check(call.bot, call.line, "IncomingWebhookRequestPartial", body)
        original = interaction.original
        if original is not None and original.flags & LOADING and not original.deleted:
            self.rewrite(call, original, body, clear_flags=LOADING)
            return original.as_json()
        return self._post(call, interaction, body).as_json()

    def show(self, call: Call, interaction: Interaction) -> Json:
        return self._found(call, interaction).as_json()

    def edit(self, call: Call, interaction: Interaction) -> Json:
        message = self._found(call, interaction)
        self.bodies.check(call.bot, call.line, "IncomingWebhookUpdateRequestPartial", call.body or {})
        self.rewrite(call, message, call.body or {}, clear_flags=LOADING)
        return message.as_json()

    def delete(self, call: Call, interaction: Interaction) -> None:
        self.world.erase(self._found(call, interaction))

    def _found(self, call: Call, interaction: Interaction) -> Message:
        self._check_token(interaction)
        wanted = call.params["message"]
        known = [one for one in (interaction.original, *interaction.posted) if one is not None and not one.deleted]
        is_original = wanted == "@original"
        found = [one for one in known if (one is interaction.original if is_original else str(one.id) == wanted)]
        if not found:
            raise Refusal(404, 10008, "Unknown Message")
        return found[0]

    def _check_token(self, interaction: Interaction) -> None:
        if interaction.callback is None:
            raise Refusal(404, 10015, "Unknown Webhook")
        if interaction.expired or time.monotonic() - interaction.at > TOKEN_SECONDS:
            raise Refusal(401, 50027, "Invalid Webhook Token")

    def _post(self, call: Call, interaction: Interaction, body: Json, *, thinking: bool = False) -> Message:
        first = interaction.original is None
        flags = (body.get("flags") or 0) & EPHEMERAL | LOADING
        fields: Json = {"flags": flags} if thinking else self.written(call, interaction.channel, body)
        message = self.world.post(
            interaction.channel,
            interaction.bot,
            body.get("content") or "",
            webhook_id=interaction.bot.id,
            application=interaction.bot,
            private_to=interaction.person if fields["flags"] & EPHEMERAL else None,
            kind=_message_kind(interaction) if first else 0,
            interaction=_metadata(interaction),
            **fields,
        )
        interaction.posted.append(message)
        self.world.note("interaction", interaction=interaction)
        return message


def _fits(kind: int, interaction: Interaction) -> bool:
    if interaction.type == AUTOCOMPLETE:
        return kind == CHOICES
    if kind == SHOW_MODAL:
        return interaction.type != MODAL
    if kind in (DEFER_UPDATE, UPDATE):
        return interaction.source is not None
    return kind in (MESSAGE, THINK)


def _message_kind(interaction: Interaction) -> int:
    if interaction.type != COMMAND:
        return 0
    return CHAT_COMMAND if interaction.data["type"] == 1 else MENU_COMMAND


def _metadata(interaction: Interaction) -> Json:
    guild = interaction.channel.guild
    found: Json = {
        "id": str(interaction.id),
        "type": interaction.type,
        "user": interaction.person.as_json(),
        "authorizing_integration_owners": {"0": str(guild.id) if guild else "0"},
    }
    if interaction.type == COMMAND:
        found |= {"name": interaction.data["name"], "command_type": interaction.data["type"]}
    if interaction.source is not None:
        found["interacted_message_id"] = str(interaction.source.id)
    return found


def _told(interaction: Interaction, kind: int) -> Json:
    about: Json = {"id": str(interaction.id), "type": interaction.type}
    original = interaction.original
    if original is None:
        return {"interaction": about, "resource": {"type": kind}}
    about |= {
        "response_message_id": str(original.id),
        "response_message_loading": bool(original.flags & LOADING),
        "response_message_ephemeral": bool(original.flags & EPHEMERAL),
    }
    return {"interaction": about, "resource": {"type": kind, "message": original.as_json()}}
