"""Why the bot is silent in a place: what stands in the way, what is meant to be so, and what to do about each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import discord

from storage.model import Channel

from ..guilds import Ruling
from ..operations import ModelState
from ..quotas import span
from . import sync
from .limits import Refusals
from .translate import place, roles, who

if TYPE_CHECKING:
    from .client import Front

Weight = Literal["blocks", "limits", "hampers", "fine"]
Kind = Literal["text", "thread", "forum", "voice", "category"]
Place = discord.abc.GuildChannel | discord.Thread

_MARKS: dict[Weight, str] = {"blocks": "⛔", "limits": "🔇", "hampers": "⚠️", "fine": "✅"}
_ORDER: tuple[Weight, ...] = ("blocks", "limits", "hampers", "fine")
_WEBHOOKS = 15
"""The most a channel may have."""
_MANY_REFUSALS = 1_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason, or one thing that is well."""

    weight: Weight
    """`blocks` keeps the bot silent by mistake, `limits` on purpose; `hampers` costs something else."""
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{_MARKS[self.weight]} {self.what}{f' → {self.remedy}' if self.remedy else ''}"


@dataclass(frozen=True, slots=True)
class Need:
    """A permission the bot uses, and what becomes of its answers without it."""

    flag: str
    name: str
    """As Discord's settings call it."""
    weight: Weight
    without: str


NEEDS = (
    Need("view_channel", "View Channel", "blocks", "nothing there can be seen"),
    Need("send_messages", "Send Messages", "blocks", "no answer can be written there"),
    Need("send_messages_in_threads", "Send Messages in Threads", "blocks", "no answer can be written in threads"),
    Need(
        "read_message_history",
        "Read Message History",
        "blocks",
        "lines can neither be replied to nor fetched after an absence",
    ),
    Need("attach_files", "Attach Files", "hampers", "long answers and exports cannot go out as files"),
    Need("add_reactions", "Add Reactions", "hampers", "a word of thanks gets no reaction"),
    Need("manage_webhooks", "Manage Webhooks", "hampers", "personas have no name and face of their own"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who is not answered."""

    name: str
    bot: bool
    permissions: discord.Permissions
    """Theirs in the channel."""
    allowed: bool
    why: str = ""
    """What the rule that decided says."""
    dms: bool = True
    """Whether the bot answers them privately."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All there is to know about one place."""

    place: str
    kind: Kind
    permissions: discord.Permissions
    """The bot's own there."""
    ruling: Ruling
    calls: str
    """What people call the bot."""
    faces: bool
    """Whether personas may have faces, and there is more than one."""
    content_wanted: bool
    content_granted: bool | None
    """None where Discord has not said."""
    bot_turns: int
    dm_policy: str
    joined: bool = False
    """Whether the bot is a member of the thread."""
    archived: bool = False
    locked: bool = False
    slowmode: int = 0
    """Seconds."""
    webhooks: int | None = None
    """How many of other programs the channel has; None where nobody knows."""
    models: Sequence[ModelState] = ()
    storage_trouble: bool = False
    refusals: int = 0
    commands_synced: bool = True
    used_up: tuple[str, ...] = ()
    """Budgets of which nothing is left, each as a sentence."""
    latency: float = 0.0
    """Seconds to Discord and back."""
    denied: str = ""
    """The rule by which nobody in particular is answered there; of a person, their own rules tell."""
    person: Person | None = None


def findings(facts: Facts) -> list[Finding]:
    """Every reason for silence, the weightiest first, and what is well."""
    found = [*_seen(facts), *_heard(facts), *_place(facts), *_self(facts), *_person(facts)]
    return sorted(found, key=lambda each: _ORDER.index(each.weight))


def told(facts: Facts) -> str:
    """The findings on one screen."""
    found = findings(facts)
    lines = [f"**{facts.place}**{f' and {facts.person.name}' if facts.person else ''}", *map(str, found)]
    if not any(each.weight in ("blocks", "limits") for each in found):
        lines.append(f"-# Nothing is broken: `{facts.calls}, hello` should get an answer.")
    return "\n".join(lines)


def lacking(permissions: discord.Permissions, kind: Kind, *, faces: bool) -> list[Need]:
    """What the bot needs in such a place and does not have, by order of weight; without sight nothing else counts, and
    where nothing can be written, nothing that only makes answers better."""
    if not permissions.view_channel:
        return [NEEDS[0]]
    idle = {"send_messages"} if kind in ("thread", "forum") else {"send_messages_in_threads"}
    found = [need for need in NEEDS if not getattr(permissions, need.flag) and need.flag not in idle]
    mute = any(need.flag.startswith("send_messages") for need in found)
    return [
        need for need in found if not (mute and need.weight == "hampers") and (faces or need.flag != "manage_webhooks")
    ]


async def gather(front: Front, channel: Place, member: discord.Member | None) -> Facts:
    """What discord.py, the bot and its upkeep know about a place. Asks Discord for the channel's webhooks alone."""
    bot, settings = front.bot, front.bot.settings
    status = await asyncio.to_thread(front.operations.status)
    permissions = channel.permissions_for(channel.guild.me)
    base: Any = channel.parent or channel if isinstance(channel, discord.Thread) else channel
    flags = front.application.flags if front.application else None
    faces = settings.discord.faces and len(settings.personas) > 1
    thread = channel if isinstance(channel, discord.Thread) else None
    return Facts(
        place=f"#{channel.name}",
        kind=_kind(channel),
        permissions=permissions,
        ruling=bot.guilds.ruling(str(channel.guild.id), base.name, str(base.id)),
        calls=f"@{settings.display}",
        faces=faces,
        content_wanted=settings.discord.message_content,
        content_granted=(flags.gateway_message_content or flags.gateway_message_content_limited) if flags else None,
        bot_turns=settings.discord.bot_turns,
        dm_policy=settings.discord.dms.policy,
        joined=thread is not None and thread.me is not None,
        archived=thread is not None and thread.archived,
        locked=thread is not None and thread.locked,
        slowmode=int(getattr(channel, "slowmode_delay", 0)),
        webhooks=await _webhooks(front, base) if faces and permissions.manage_webhooks else None,
        models=front.operations.models(),
        storage_trouble=bool(status.last_error),
        refusals=status.invalid_requests,
        commands_synced=await asyncio.to_thread(_synced, front.tree, settings.root),
        used_up=_used_up(front, channel, member),
        latency=front.latency,
        denied=_denied(front, channel),
        person=None if member is None else _about(front, channel, member),
    )


def _seen(facts: Facts) -> list[Finding]:
    """What the bot may do there."""
    found = []
    for need in lacking(facts.permissions, facts.kind, faces=facts.faces):
        remedy = f"Give my role the permission {need.name} there (Edit Channel, Permissions)."
        found.append(Finding(need.weight, f"Without {need.name} {need.without}.", remedy))
    return found or [Finding("fine", "I have every permission I use there.")]


def _heard(facts: Facts) -> list[Finding]:
    """Which lines the bot takes part in."""
    found = []
    if facts.content_wanted and facts.content_granted is False:
        remedy = "Turn it on in the Developer Portal (your application, Bot, Privileged Gateway Intents)."
        found.append(Finding("blocks", "Discord does not grant me the Message Content intent.", remedy))
    if facts.joined:
        return [*found, Finding("fine", "I am a member of this thread and answer every line in it.")]
    mode, why = facts.ruling.mode, facts.ruling.why
    if mode != "mention" and not facts.content_wanted:
        what = f"I hear only lines that address me, though {why}: `discord.message_content` is off."
        return [*found, Finding("limits", what, "Turn the intent on, in the Developer Portal and in the bot's file.")]
    if mode == "always":
        return [*found, Finding("fine", f"I answer every line that is not meant for others: {why}.")]
    heard = "read along, and answer" if mode == "listen" else "hear and answer"
    remedy = f"Begin the line with `{facts.calls}`, or `/admin config set always` with this channel's name."
    return [*found, Finding("limits", f"I {heard} only lines that address me: {why}.", remedy)]


def _place(facts: Facts) -> list[Finding]:
    """What kind of place it is."""
    found = []
    if facts.kind == "forum":
        found.append(Finding("limits", "A forum has no talk of its own.", "Look at one of its posts: I answer there."))
    if facts.kind == "category":
        found.append(Finding("limits", "A category holds no talk.", "Name one of its channels."))
    if facts.locked and not facts.permissions.manage_threads:
        remedy = "Unlock it, or give my role Manage Threads."
        found.append(Finding("blocks", "The thread is locked: only moderators may write.", remedy))
    elif facts.archived:
        found.append(Finding("fine", "The thread is archived; the next line opens it again."))
    if facts.slowmode:
        what = f"Slow mode lets each person write once in {facts.slowmode} s. It does not bind me."
        found.append(Finding("fine", what))
    if facts.webhooks is not None and facts.webhooks >= _WEBHOOKS:
        what = f"All {_WEBHOOKS} webhooks of the channel are in use: personas have no face of their own."
        found.append(Finding("hampers", what, "Remove one that nobody needs (Edit Channel, Integrations)."))
    return found


def _self(facts: Facts) -> list[Finding]:
    """How the bot itself is."""
    found = []
    if facts.storage_trouble:
        what = "My last try to keep something failed, and I do not answer what I cannot keep."
        found.append(Finding("blocks", what, "Whoever runs me: `troupe status`, then `troupe doctor storage`."))
    if facts.refusals >= Refusals.LIMIT:
        what = f"Discord refused {facts.refusals:,} requests in ten minutes, so I keep quiet to spare this host a ban."
        found.append(Finding("blocks", what, "Mend the permissions above; it passes within ten minutes."))
    elif facts.refusals >= _MANY_REFUSALS:
        what = f"Discord refused {facts.refusals:,} requests in ten minutes; from {Refusals.LIMIT:,} on I keep quiet."
        found.append(Finding("hampers", what, "Mend what permissions are missing."))
    if facts.denied and facts.person is None:
        what = f"The rules in `access` of my file do not allow me to answer here ({facts.denied})."
        found.append(Finding("limits", what, "Whoever runs me can change the rule."))
    remedy = "`/admin budget` shows who used what; `/admin config set` changes the budgets that were set here."
    found += [Finding("limits", sentence, remedy) for sentence in facts.used_up]
    works = any(model.state == "ready" and model.name != "offline" for model in facts.models)
    for model in facts.models:
        if model.state == "failing":
            what = f"{model.name} does not answer: {model.why}; {'the next model' if works else 'offline'} answers."
            found.append(Finding("hampers", what, "Whoever runs me finds more in the log."))
        elif model.state == "resting":
            what = f"{model.name} has failed several times and is left alone for a moment; the next model answers."
            found.append(Finding("hampers", what, "Wait half a minute; whoever runs me finds the reason in the log."))
        elif model.state == "off" and not works:  # a second model is a matter of taste
            remedy = f"Whoever runs me: set {model.variable}." if model.variable else "Whoever runs me: set its key."
            found.append(Finding("hampers", f"{model.name} has no key.", remedy))
    if not facts.commands_synced:
        what = "My commands are not all known to Discord yet."
        found.append(Finding("hampers", what, "It is tried again at my next start; the log says why."))
    took = f" ({facts.latency * 1000:.0f} ms)" if isfinite(facts.latency) else ""  # unknown until the first heartbeat
    found.append(Finding("fine", f"I am connected to Discord{took}."))
    return found


def _person(facts: Facts) -> list[Finding]:
    """What concerns one person."""
    person, found = facts.person, []
    if person is None:
        return []
    if person.bot:
        what = f"{person.name} is a program: I answer it only when it addresses me, {facts.bot_turns} times in a row."
        found.append(Finding("limits", what, "A person has to speak in between; `discord.bot_turns` says how often."))
    if not person.allowed:
        why = f" ({person.why})" if person.why else ""
        what = f"The rules in `access` of my file do not allow me to answer {person.name} here{why}."
        found.append(Finding("limits", what, "Whoever runs me can change the rule."))
    for flag, name in (("view_channel", "View Channel"), ("use_application_commands", "Use Application Commands")):
        if not getattr(person.permissions, flag):
            found.append(Finding("limits", f"{person.name} lacks {name} there.", "Give one of their roles this."))
    if not person.dms:
        what = f"Privately I do not answer {person.name}: `discord.dms.policy` is {facts.dm_policy}."
        found.append(Finding("limits", what, "Whoever runs me can change the policy."))
    return found or [Finding("fine", f"Nothing keeps me from answering {person.name}.")]


def _used_up(front: Front, channel: Place, member: discord.Member | None) -> tuple[str, ...]:
    here = _talk(channel, member)
    if here is None:
        return ()
    asked = (who(member), roles(member)) if member else (None, ())
    full = (meter for meter in front.bot.quotas.meters(here, *asked) if meter.nearest.share >= 1)
    return tuple(
        f"Used up: {meter.nearest.used} of {meter.nearest.most} per {meter.budget.per} for {span(meter.budget)}; it "
        f"begins anew <t:{int(meter.until.timestamp())}:R>."
        for meter in full
    )


def _denied(front: Front, channel: Place) -> str:
    """The rule by which nobody is answered there, whoever asks; people may still be let in by name or role."""
    admission, here = front.bot.admission, _talk(channel, None)
    if here is None or admission.welcome(here, None, ()):
        return ""
    return admission.access.grant(here, None, ()).why


def _talk(channel: Place, member: discord.Member | None) -> Channel | None:
    """The place in storage's terms; None where nobody can talk."""
    return place(channel, member) if isinstance(channel, discord.Thread | discord.abc.Messageable) else None


def _about(front: Front, channel: Place, member: discord.Member) -> Person:
    here = _talk(channel, member)
    asked = (here, who(member), roles(member)) if here else None
    grant = front.bot.admission.access.grant(*asked) if asked else None
    return Person(
        name=who(member).name,
        bot=member.bot,
        permissions=channel.permissions_for(member),
        allowed=asked is None or front.bot.admission.welcome(*asked),
        why=grant.why if grant else "",
        dms=front.bot.settings.discord.dms.lets_in(str(member.id)),
    )


def _kind(channel: Place) -> Kind:
    if isinstance(channel, discord.Thread):
        return "thread"
    if isinstance(channel, discord.ForumChannel):
        return "forum"
    if isinstance(channel, discord.CategoryChannel):
        return "category"
    return "voice" if isinstance(channel, discord.VoiceChannel | discord.StageChannel) else "text"


async def _webhooks(front: Front, channel: Any) -> int | None:
    """How many webhooks of other programs the channel has."""
    try:
        found = await channel.webhooks()
    except (discord.HTTPException, AttributeError):
        return None
    return len([each for each in found if each.user != front.user])


def _synced(tree: Any, root: Path) -> bool:
    """Whether the last sync was of these very commands."""
    try:
        kept = json.loads((root / sync.FILE).read_text())["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(kept == sync.fingerprint(sync.payloads(tree)))
