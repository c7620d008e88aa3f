"""Who may do what where: the access rules of a bot, read for one person in one place."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from storage.model import Channel, Sender

from .community_settings import AccessRule, Budget


@dataclass(frozen=True, slots=True)
class Grant:
    """What one person may do in one place."""

    allowed: bool = True
    """Whether the bot answers at all."""
    personas: frozenset[str] | None = None
    """The personas that may answer; None is all."""
    models: frozenset[str] | None = None
    """The models that may be asked; None is all."""
    why: str = ""
    """Which rules said so; empty where none did."""


class Access:
    """A bot's access rules. Of those that match, the last one that speaks of a thing (answering at all, personas,
    models) decides it; what no rule speaks of is allowed."""

    def __init__(self, rules: Sequence[AccessRule]) -> None:
        self._rules = tuple(rules)

    def grant(self, channel: Channel, sender: Sender, roles: Collection[str]) -> Grant:
        """What a person with these roles (ids and names) may do in a channel."""
        grant = Grant()
        why: dict[str, str] = {}
        for number, rule in enumerate(self._rules, 1):
            if not (covers_place(rule, channel) and covers_person(rule, sender, roles)):
                continue
            told = f"access rule {number} ({_narrowed(rule)})"
            if rule.allow is not None:
                grant = replace(grant, allowed=rule.allow)
                why["allow"] = f"{told} {'allows' if rule.allow else 'denies'} answers"
            if rule.personas is not None:
                grant = replace(grant, personas=frozenset(rule.personas))
                why["personas"] = f"{told} allows {_named('persona', rule.personas)}"
            if rule.models is not None:
                grant = replace(grant, models=frozenset(rule.models))
                why["models"] = f"{told} allows {_named('model', rule.models)}"
        return replace(grant, why="; ".join(why.values()))


def covers_place(rule: AccessRule | Budget, channel: Channel) -> bool:
    """Whether a channel is in the place a rule speaks of. A thread is known by its channel's id, and by its own id
    and name."""
    if rule.guild is not None and (channel.guild_id is None or not _is(rule.guild, channel.guild_id, _guild(channel))):
        return False
    if rule.channel is None:
        return True
    return rule.channel in (channel.id, _parent(channel)) or fnmatchcase(
        channel.name.casefold(), rule.channel.casefold()
    )


def covers_person(rule: AccessRule | Budget, sender: Sender, roles: Collection[str]) -> bool:
    """Whether a person with these roles (ids and names) is one a rule speaks of."""
    if rule.user is not None and rule.user != sender.id:
        return False
    return rule.role is None or _is(rule.role, *roles)


def home(channel: Channel) -> str:
    """The key of the channel that a place counts as: a thread's is the one it hangs on."""
    return f"{channel.front}:{_parent(channel) or channel.id}"


def _is(written: str, *known: str) -> bool:
    return written.casefold() in (name.casefold() for name in known)


def _guild(channel: Channel) -> str:
    return channel.guild_name or ""


def _parent(channel: Channel) -> str | None:
    # A DM has a parent as well: the other person, whose id is no channel's.
    return channel.parent_id if channel.kind == "thread" else None


def _narrowed(rule: AccessRule) -> str:
    places = ((kind, getattr(rule, kind)) for kind in ("guild", "channel", "role", "user"))
    return ", ".join(f"{kind} {name}" for kind, name in places if name is not None) or "everybody, everywhere"


def _named(kind: str, names: Sequence[str]) -> str:
    if not names:
        return f"no {kind}"
    return f"{kind if len(names) == 1 else kind + 's'} {', '.join(names)}"
