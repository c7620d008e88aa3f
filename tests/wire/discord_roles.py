"""What members of a wire-level guild may do: permissions by name, roles, and a channel's exceptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import discord

from tests.wire.discord_accounts import Json

EVERYTHING = discord.Permissions.all().value
# What Discord gives @everyone in a new guild.
EVERYDAY = 2248473465835073


def bits(*names: str) -> int:
    """Permissions by the names discord.py gives them, as a number."""
    return discord.Permissions(**dict.fromkeys(names, True)).value


@dataclass(eq=False)
class Role:
    """A role with its permissions."""

    id: int
    name: str
    permissions: int = 0
    position: int = 1
    managed: bool = False

    def as_json(self) -> Json:
        return {
            "id": str(self.id),
            "name": self.name,
            "position": self.position,
            "permissions": str(self.permissions),
            "color": 0,
            "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
            "hoist": False,
            "managed": self.managed,
            "mentionable": False,
            "flags": 0,
        }


@dataclass
class Overwrite:
    """What a channel allows and denies one role or member."""

    member: bool
    allow: int = 0
    deny: int = 0

    def applied(self, permissions: int) -> int:
        return (permissions & ~self.deny) | self.allow

    def as_json(self, whose: int) -> Json:
        return {"id": str(whose), "type": int(self.member), "allow": str(self.allow), "deny": str(self.deny)}


def permitted(roles: Sequence[Role], rules: Mapping[int, Overwrite], member: int) -> int:
    """What a member with these roles (@everyone first) may do where these exceptions hold."""
    found = 0
    for role in roles:
        found |= role.permissions
    if found & bits("administrator"):
        return EVERYTHING
    of_roles = [rules[role.id] for role in roles[1:] if role.id in rules]
    together = Overwrite(member=False)
    for rule in of_roles:
        together = Overwrite(member=False, allow=together.allow | rule.allow, deny=together.deny | rule.deny)
    for step in (rules.get(roles[0].id), together, rules.get(member)):
        found = step.applied(found) if step is not None else found
    return found
