"""Who may do what where: the access rules of a bot, read for one person in one place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
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


HomeName = Callable[[Channel], str]
"""The name of a place, of a thread that of the channel it hangs on: `Places.home_name`."""


class Access:
    """A bot's access rules. Of those that match, the last one that speaks of a thing (answering at all, personas,
    models) decides it; what no rule speaks of is allowed."""

    def __init__(self, rules: Sequence[AccessRule], home_name: HomeName) -> None:
        self._rules = tuple(rules)
        self._home_name = home_name

    def grant(self, channel: Channel, sender: Sender | None, roles: Collection[str]) -> Grant:
        """What a person with these roles (ids and names) may do in a channel; without a person, what the rules say that
        concern everybody there."""
        grant = Grant()
        why: dict[str, str] = {}
        for number, rule in enumerate(self._rules, 1):
            if not (covers_place(rule, channel, self._home_name) and covers_person(rule, sender, roles)):
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


def covers_place(rule: AccessRule | Budget, channel: Channel, home_name: HomeName) -> bool:
    """Whether a channel is in the place a rule speaks of. A thread is known by its channel's name and id, and by its
    own id; its own name says nothing, since whoever opens it chooses that."""
    if rule.guild is not None and (channel.guild_id is None or not _is(rule.guild, channel.guild_id, _guild(channel))):
        return False
    return rule.channel is None or means(rule.channel, home_name(channel), channel.id, _parent(channel))


def means(written: str, name: str, *ids: str | None) -> bool:
    """Whether what people wrote for a channel, an id or a pattern for names, means the one of this name and these
    ids."""
    return written in ids or fnmatchcase(name.casefold(), written.casefold())


def covers_person(rule: AccessRule | Budget, sender: Sender | None, roles: Collection[str]) -> bool:
    """Whether a person with these roles (ids and names) is one a rule speaks of; of nobody in particular, only a rule
    for everybody speaks."""
    if rule.user is not None and (sender is None or rule.user != sender.id):
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
