"""Interactions of a wire-level Discord: what a person did with a command or a button, and what they were shown."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.wire.discord_accounts import Account, BotAccount, Json
from tests.wire.discord_model import EPHEMERAL, LOADING, Channel, Message
from tests.wire.discord_roles import EVERYTHING

COMMAND, COMPONENT, AUTOCOMPLETE, MODAL = 2, 3, 4, 5


@dataclass(eq=False)
class Interaction:
    """One thing a person did that a bot has to answer, and all that the person was shown for it."""

    id: int
    token: str
    type: int
    bot: BotAccount
    person: Account
    channel: Channel
    data: Json
    source: Message | None = None
    """The message whose button, menu or modal it was."""
    answered: Interaction | None = None
    """For a submitted modal, the interaction that showed it."""
    at: float = field(default_factory=time.monotonic)
    callback: int | None = None
    """How the bot answered first: 4 message, 5 thinking, 6 and 7 about the source, 8 choices, 9 modal."""
    original: Message | None = None
    posted: list[Message] = field(default_factory=list)
    """Every message the bot posted in answer, deleted ones too."""
    modal: Json | None = None
    choices: list[Json] = field(default_factory=list)
    expired: bool = False
    """Whether its token is no longer good, as after 15 minutes; set by a test that cannot wait."""

    @property
    def messages(self) -> list[Message]:
        """What the bot said in answer and is still to be seen, without what is only "thinking"."""
        return [one for one in self.posted if not one.deleted and not one.flags & LOADING]

    @property
    def text(self) -> str:
        """The contents of `messages`, one below the other."""
        return "\n".join(one.content for one in self.messages)

    @property
    def thinking(self) -> bool:
        """Whether the person looks at "… is thinking"."""
        return any(one.flags & LOADING and not one.deleted for one in self.posted)

    @property
    def private(self) -> bool:
        """Whether only the person sees the answer."""
        return bool(self.posted) and all(one.flags & EPHEMERAL for one in self.posted)

    @property
    def finished(self) -> bool:
        """Whether the person sees an answer: a message, choices, a modal, or that a click was heard."""
        if self.callback in (4, 5):
            return bool(self.messages) and not self.thinking
        return self.callback is not None

    def as_json(self) -> Json:
        """The body of INTERACTION_CREATE."""
        guild = self.channel.guild
        owners = {"0": str(guild.id) if guild else "0"}
        found: Json = {
            "id": str(self.id),
            "application_id": str(self.bot.id),
            "type": self.type,
            "token": self.token,
            "version": 1,
            "data": self.data,
            "channel": {**self.channel.as_json(self.bot), "permissions": str(self._may(self.person))},
            "channel_id": str(self.channel.id),
            "app_permissions": str(self._may(self.bot)),
            "attachment_size_limit": guild.upload_limit if guild else 10 * 1024 * 1024,
            "authorizing_integration_owners": owners,
            "context": 0 if guild else 1,
            "entitlements": [],
            "locale": "en-US",
        }
        if self.source is not None:
            found["message"] = self.source.as_json()
        if guild is None:
            return found | {"user": self.person.as_json()}
        member = {**guild.member_json(self.person), "permissions": str(self._may(self.person))}
        found |= {"guild_id": str(guild.id), "guild_locale": "en-US", "member": member}
        return found | {"guild": {"id": str(guild.id), "locale": "en-US", "features": []}}

    def _may(self, account: Account) -> int:
        guild = self.channel.guild
        return guild.permissions_of(account, self.channel) if guild else EVERYTHING


def offered(bot: BotAccount, channel: Channel, name: str, kind: int) -> tuple[Json, list[Json], Json]:
    """The command a name means in a channel, the options it takes, and how its invocation begins: `options` is where
    the given ones go. Raises `LookupError` if there is none."""
    words = name.split(" ") if kind == 1 else [name]
    own = bot.commands.get(None, []) + bot.commands.get(channel.guild.id if channel.guild else None, [])
    of_kind = [one for one in own if one["type"] == kind]
    command = next((one for one in of_kind if one["name"] == words[0]), None)
    if command is None:
        raise LookupError(f"{bot.name} has no {name!r}, only {sorted(one['name'] for one in of_kind)}")
    contexts = command.get("contexts") or [0, 1, 2]
    if (0 if channel.guild else 1) not in contexts:
        raise LookupError(f"{bot.name} does not offer {name!r} in this kind of place")
    data: Json = {"id": command["id"], "name": command["name"], "type": kind, "options": []}
    if "guild_id" in command:
        data["guild_id"] = command["guild_id"]
    inner, takes = data, command
    for word in words[1:]:
        below = [one for one in takes.get("options") or () if one["type"] in (1, 2)]
        found = next((one for one in below if one["name"] == word), None)
        if found is None:
            raise LookupError(f"{bot.name} has no {name!r}, only {sorted(one['name'] for one in below)} there")
        takes = found
        inner["options"] = [{"name": word, "type": takes["type"], "options": []}]
        inner = inner["options"][0]
    if any(one["type"] in (1, 2) for one in takes.get("options") or ()):
        raise LookupError(f"{name!r} needs one of {sorted(one['name'] for one in takes['options'])} after it")
    return command, takes.get("options") or [], {"data": data, "inner": inner}


def components(found: list[Json]) -> Iterator[Json]:
    """Every component of a message or a modal, whatever it stands in."""
    for one in found:
        yield one
        below = [*(one.get("components") or ()), *filter(None, (one.get("accessory"), one.get("component")))]
        yield from components(below)
