"""Who writes on a wire-level Discord (people, bots and their applications) and their JSON as Discord writes it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Any

Json = dict[str, Any]


class Intents(IntFlag):
    """The intents this server acts upon; every other valid bit is accepted and means nothing here."""

    GUILDS = 1 << 0
    GUILD_MEMBERS = 1 << 1
    GUILD_WEBHOOKS = 1 << 5
    GUILD_PRESENCES = 1 << 8
    GUILD_MESSAGES = 1 << 9
    GUILD_MESSAGE_REACTIONS = 1 << 10
    DIRECT_MESSAGES = 1 << 12
    DIRECT_MESSAGE_REACTIONS = 1 << 13
    MESSAGE_CONTENT = 1 << 15


ALL_INTENTS = 0x331FFFF


@dataclass(eq=False)
class Account:
    """Someone who can write: a person or a bot."""

    id: int
    name: str

    @property
    def bot(self) -> bool:
        return isinstance(self, BotAccount)

    @property
    def mention(self) -> str:
        return f"<@{self.id}>"

    def as_json(self) -> Json:
        return {
            "id": str(self.id),
            "username": self.name,
            "global_name": None if self.bot else self.name.title(),
            "discriminator": "0",
            "avatar": None,
            "bot": self.bot,
            "public_flags": 0,
        }


class Person(Account):
    """A human being."""


@dataclass(eq=False)
class Face(Account):
    """Who a webhook's message seems to be from; its id is the webhook's."""

    avatar_url: str | None = None

    @property
    def bot(self) -> bool:
        return True

    def as_json(self) -> Json:
        avatar = hashlib.md5(self.avatar_url.encode()).hexdigest() if self.avatar_url else None
        return {**super().as_json(), "discriminator": "0000", "avatar": avatar}


@dataclass(eq=False)
class BotAccount(Account):
    """A bot: its account and its application, which share one id."""

    token: str = ""
    intents_allowed: int = ALL_INTENTS
    commands: dict[int | None, list[Json]] = field(default_factory=dict)
    """Application commands by guild id; None holds the global ones."""
    creates_left: int = 200
    """How many new commands Discord takes from it today."""

    @property
    def reads_content(self) -> bool:
        return bool(self.intents_allowed & Intents.MESSAGE_CONTENT)

    def own_json(self) -> Json:
        return {**self.as_json(), "verified": True, "mfa_enabled": True, "email": None, "flags": 0, "locale": "en-US"}

    @property
    def application_flags(self) -> int:
        """The flags by which an application sees which privileged intents it was granted."""
        granted = (
            (1 << 12, Intents.GUILD_PRESENCES),
            (1 << 14, Intents.GUILD_MEMBERS),
            (1 << 18, Intents.MESSAGE_CONTENT),
        )
        return sum(flag for flag, intent in granted if self.intents_allowed & intent)

    def application_json(self, owner: Account) -> Json:
        return {
            "id": str(self.id),
            "name": self.name,
            "icon": None,
            "description": "",
            "bot_public": False,
            "bot_require_code_grant": False,
            "verify_key": "0" * 64,
            "owner": owner.as_json(),
            "team": None,
            "flags": self.application_flags,
            "bot": self.as_json(),
        }
