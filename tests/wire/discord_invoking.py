"""What people do with a bot's commands, buttons, menus and modals on a wire-level Discord."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from tests.wire.discord_accounts import Account, BotAccount, Json
from tests.wire.discord_interactions import AUTOCOMPLETE, COMMAND, COMPONENT, MODAL, Interaction, components, offered
from tests.wire.discord_model import Channel, Message
from tests.wire.discord_people import People
from tests.wire.discord_roles import Role
from tests.wire.discord_world import Event

T = TypeVar("T")
SELECTS = {3: "string", 5: "user", 6: "role", 7: "mentionable", 8: "channel"}


class Invoking(People, ABC):
    """People who use what a bot offers. Each method returns when the person sees an answer, unless told not to wait."""

    async def invoke(
        self,
        person: Account,
        channel: Channel,
        bot: BotAccount,
        command: str,
        options: Mapping[str, Any] | None = None,
        *,
        target: Message | Account | None = None,
        overridden: bool = False,
        wait: bool = True,
    ) -> Interaction:
        """Uses a command: "session list" with options by name, or with a `target` an item of its context menu.

        Options may be accounts, channels, roles and (name, bytes[, media type]) for files. Raises `LookupError` if the
        person is not offered the command there, unless the guild's admins have `overridden` who is.
        """
        kind = 1 if target is None else 3 if isinstance(target, Message) else 2
        definition, takes, made = offered(bot, channel, command, kind)
        needed = int(definition.get("default_member_permissions") or 0)
        allowed = channel.guild.permissions_of(person, channel) if channel.guild else needed
        if needed & ~allowed and not overridden:
            raise LookupError(f"{person.name} is not offered {command!r}: permissions {needed} are needed")
        resolved: Json = {}
        made["inner"]["options"] = self._filled(channel, takes, options or {}, resolved)
        if target is not None:
            made["data"]["target_id"] = self._resolve(channel, target, resolved)
        interaction = self._interact(COMMAND, bot, person, channel, {**made["data"], "resolved": resolved})
        return await self._seen(interaction, wait)

    async def suggest(
        self,
        person: Account,
        channel: Channel,
        bot: BotAccount,
        command: str,
        option: str,
        typed: str = "",
        options: Mapping[str, Any] | None = None,
    ) -> list[tuple[str, Any]]:
        """What the bot suggests, as (name, value), while a person types into an option of a command."""
        _, takes, made = offered(bot, channel, command, 1)
        focus = next(one for one in takes if one["name"] == option)
        if not focus.get("autocomplete"):
            raise LookupError(f"{command!r} suggests nothing for {option!r}")
        given = self._filled(channel, takes, options or {}, {}, complete=False)
        typing = {"name": option, "type": focus["type"], "value": typed, "focused": True}
        made["inner"]["options"] = [*given, typing]
        interaction = await self._seen(self._interact(AUTOCOMPLETE, bot, person, channel, made["data"]), True)
        return [(one["name"], one["value"]) for one in interaction.choices]

    async def click(self, person: Account, message: Message, button: str, *, wait: bool = True) -> Interaction:
        """Clicks a button, named by its label, its emoji or its custom_id."""
        found = self._control(person, message, (2,), button)
        data = {"custom_id": found["custom_id"], "component_type": 2, "id": found.get("id", 0)}
        return await self._seen(self._of_message(person, message, data), wait)

    async def select(
        self, person: Account, message: Message, menu: str, values: Sequence[str | Account], *, wait: bool = True
    ) -> Interaction:
        """Selects from a menu, named by its placeholder or custom_id: options by label or value, or accounts."""
        found = self._control(person, message, tuple(SELECTS), menu)
        data: Json = {"custom_id": found["custom_id"], "component_type": found["type"], "id": found.get("id", 0)}
        if found["type"] == 3:
            known = {one[key]: one["value"] for key in ("value", "label") for one in found["options"]}
            data["values"] = [known[str(value)] for value in values]
        else:
            resolved: Json = {}
            data["values"] = [self._resolve(message.channel, value, resolved) for value in values]
            data["resolved"] = resolved
        return await self._seen(self._of_message(person, message, data), wait)

    async def submit(self, shown: Interaction, values: Mapping[str, str], *, wait: bool = True) -> Interaction:
        """Fills in the modal that an interaction was answered with, by label or custom_id, and submits it."""
        if shown.modal is None:
            raise LookupError("there is no modal to submit")
        rows, left = [], dict(values)
        for outer in shown.modal["components"]:
            for field in components([outer]):
                if field["type"] != 4:
                    continue
                names = [field["custom_id"], field.get("label"), outer.get("label")]
                name = next((one for one in names if one in left), None)
                value = left.pop(name) if name is not None else field.get("value") or ""
                if field.get("required", True) and not value:
                    raise LookupError(f"the modal needs {names}")
                filled = {"type": 4, "custom_id": field["custom_id"], "value": value}
                rows.append(
                    {"type": 18, "id": 1, "component": filled}
                    if outer["type"] == 18
                    else {"type": 1, "components": [filled]}
                )
        if left:
            raise LookupError(f"the modal has no {sorted(left)}")
        data = {"custom_id": shown.modal["custom_id"], "components": rows}
        interaction = self._interact(MODAL, shown.bot, shown.person, shown.channel, data, shown.source, shown)
        return await self._seen(interaction, wait)

    @abstractmethod
    async def until(self, predicate: Callable[[], T | None], timeout: float = 30.0) -> T:
        """What `predicate` gives as soon as that is true."""

    async def until_finished(self, interaction: Interaction, timeout: float = 30.0) -> Interaction:
        """Returns when the person sees an answer that is no longer "thinking"."""
        await self.until(lambda: interaction.finished, timeout)
        return interaction

    # -- how it reaches the bot

    def _interact(
        self,
        kind: int,
        bot: BotAccount,
        person: Account,
        channel: Channel,
        data: Json,
        source: Message | None = None,
        answered: Interaction | None = None,
    ) -> Interaction:
        token = secrets.token_urlsafe(48)
        interaction = Interaction(self.new_id(), token, kind, bot, person, channel, data, source, answered)
        self.interactions[interaction.token] = interaction
        guild_id = channel.guild.id if channel.guild else None
        self.tell(bot, Event("INTERACTION_CREATE", interaction.as_json(), 0, guild_id))
        self.note("interaction", interaction=interaction)
        return interaction

    async def _seen(self, interaction: Interaction, wait: bool) -> Interaction:
        return await self.until_finished(interaction) if wait else interaction

    def _of_message(self, person: Account, message: Message, data: Json) -> Interaction:
        bot = message.application or message.author
        assert isinstance(bot, BotAccount), "only a bot's message has something to click"
        return self._interact(COMPONENT, bot, person, message.channel, data, message)

    @staticmethod
    def _control(person: Account, message: Message, kinds: tuple[int, ...], name: str) -> Json:
        if message.private_to not in (None, person) or message.deleted:
            raise LookupError(f"{person.name} does not see this message")
        there = [one for one in components(message.components) if one["type"] in kinds and "custom_id" in one]
        for one in there:
            names = (one["custom_id"], one.get("label"), one.get("placeholder"), (one.get("emoji") or {}).get("name"))
            if name in names:
                if one.get("disabled"):
                    raise LookupError(f"{name!r} is disabled")
                return one
        labels = [one.get("label") or one.get("placeholder") or one["custom_id"] for one in there]
        raise LookupError(f"the message has no {name!r}, only {labels}")

    def _filled(
        self, channel: Channel, takes: list[Json], given: Mapping[str, Any], resolved: Json, *, complete: bool = True
    ) -> list[Json]:
        known = {one["name"]: one for one in takes}
        missing = [one["name"] for one in takes if complete and one.get("required") and one["name"] not in given]
        if missing or (set(given) - set(known)):
            raise LookupError(f"missing options {missing}, unknown options {sorted(set(given) - set(known))}")
        return [self._option(channel, known[name], value, resolved) for name, value in given.items()]

    def _option(self, channel: Channel, takes: Json, value: Any, resolved: Json) -> Json:
        if takes["type"] in (6, 7, 8, 9, 11):
            value = self._resolve(channel, value, resolved)
        elif takes.get("choices") and value not in [one["value"] for one in takes["choices"]]:
            value = next((one["value"] for one in takes["choices"] if one["name"] == value), None)
            if value is None:
                raise LookupError(f"{takes['name']!r} is one of {[one['name'] for one in takes['choices']]}")
        return {"name": takes["name"], "type": takes["type"], "value": value}

    def _resolve(self, channel: Channel, value: Any, resolved: Json) -> str:
        """The id that stands for what a person picked; what it is goes into `resolved`."""
        guild = channel.guild
        if isinstance(value, tuple):
            media_type = value[2] if len(value) == 3 else "application/octet-stream"
            found = self.store_file(channel, value[0], value[1], media_type)
            resolved.setdefault("attachments", {})[found["id"]] = {**found, "ephemeral": True}
            return str(found["id"])
        number = str(value.id)
        if isinstance(value, Account):
            resolved.setdefault("users", {})[number] = value.as_json()
            if guild is not None and value.id in guild.members:
                member = guild.member_json(value, user=False)
                may = str(guild.permissions_of(value, channel))
                resolved.setdefault("members", {})[number] = {**member, "permissions": may}
        elif isinstance(value, Channel):
            resolved.setdefault("channels", {})[number] = {**value.as_json(), "permissions": "0"}
        elif isinstance(value, Role):
            resolved.setdefault("roles", {})[number] = value.as_json()
        else:
            resolved.setdefault("messages", {})[number] = value.as_json()
        return number
