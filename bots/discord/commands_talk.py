"""Commands in the middle of a talk: ask, begin anew, who speaks and why, what is in view, stop."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

import discord
from discord import app_commands

from storage.model import Attachment, Channel, Message

from ..errors import TroupeError
from ..explaining import because
from ..explaining_sessions import SessionsExplained
from ..incoming import Incoming
from ..router import Decision
from ..settings import PersonaSettings
from .confirming import Confirm
from .interactions import PUBLIC, Tree, announce, answer, inert, where
from .reading import moderates, past, reads_past
from .translate import origin, roles, who

if TYPE_CHECKING:
    from .client import Front

DEFAULT = "default"
_CHOICES = 25
AnyCommand = app_commands.Command[Any, ..., None]


def add(tree: Tree) -> None:
    """Adds the commands of this file."""
    commands: tuple[AnyCommand, ...] = (chat, new, persona, clear, context, summary, why, stop)
    for command in commands:
        tree.add_command(command)


async def personas(interaction: discord.Interaction[Front], typed: str) -> list[app_commands.Choice[str]]:
    """The personas that the asker may call, by name."""
    wanted = typed.casefold()
    found = [each for each in _callable(interaction) if wanted in each.display.casefold() or wanted in each.name]
    named = [app_commands.Choice(name=each.display[:100], value=each.name) for each in found]
    return named[:_CHOICES]


async def templates(interaction: discord.Interaction[Front], typed: str) -> list[app_commands.Choice[str]]:
    """The templates of this place, for those who may read its past: they may quote it."""
    if not reads_past(interaction):
        return []
    bot, wanted = interaction.client.bot, typed.strip().casefold()
    offered = await bot.conversations.templates.offered(bot.settings, where(interaction))
    names = dict.fromkeys(each.name for each in offered if wanted in each.name.casefold())
    return [app_commands.Choice(name=name, value=name) for name in list(names)[:_CHOICES]]


async def _personas_or_default(interaction: discord.Interaction[Front], typed: str) -> list[app_commands.Choice[str]]:
    reset = app_commands.Choice(name="Default: whoever fits", value=DEFAULT)
    found = await personas(interaction, typed)
    return ([reset, *found] if typed.casefold() in DEFAULT else found)[:_CHOICES]


def askable(interaction: discord.Interaction[Any]) -> None:
    """Looks, before anybody sees a question, whether it can be answered there. Raises `TroupeError` with the reason."""
    bot, channel = interaction.client.bot, where(interaction)
    has = interaction.app_permissions
    in_thread = isinstance(interaction.channel, discord.Thread)
    writes = has.send_messages_in_threads if in_thread else has.send_messages
    if interaction.guild_id is not None and not (has.view_channel and writes):
        lacking = "Send Messages in Threads" if in_thread else "Send Messages"
        told = "I may not write here myself. Somebody who runs this server can give me View Channel and"
        raise TroupeError(f"{told} {lacking}; `/admin diagnose` tells more.")
    if persona := interaction.namespace.persona:
        _named(interaction, persona)
    if used_up := bot.admission.used_up(channel, who(interaction.user), roles(interaction.user)):
        raise TroupeError(used_up)


ASKS = {**PUBLIC, "check": askable}


@app_commands.command(description="Ask me something; everybody here sees the question and the answer", extras=ASKS)
@app_commands.describe(text="What you want to say", persona="Who should answer; left out, whoever fits")
@app_commands.autocomplete(persona=personas)
async def chat(
    interaction: discord.Interaction[Front], text: app_commands.Range[str, 1, 4000], persona: str | None = None
) -> None:
    name = _named(interaction, persona).name if persona else None
    await ask(interaction, f"**{inert(who(interaction.user).name)}:**", text, text, persona=name)


async def ask(
    interaction: discord.Interaction[Front],
    head: str,
    quote: str,
    text: str,
    *,
    persona: str | None = None,
    about: str | None = None,
    files: tuple[Attachment, ...] = (),
) -> None:
    """Shows a question to everybody, as a head and quoted words, and has `text` answered as if its asker had written it
    here; what is shown is where it stands. `about` is where a message stands that it is about, and `files` are those
    beside that."""
    front = interaction.client
    channel = where(interaction)
    await answer(interaction, head, quote=quote)
    question = await interaction.original_response()
    incoming = Incoming(
        origin=origin(int(channel.id), question.id),
        channel=channel,
        sender=who(interaction.user),
        text=text,
        at=interaction.created_at,
        roles=roles(interaction.user),
        faces=front.faces.can(question.channel),
        reply_to=about,
        shown=files,
        persona=persona,
        reads_past=reads_past(interaction),
    )
    await front.deliver(front.bot.receive(incoming), question, interaction.user.id)


@app_commands.command(
    description="Begin a new session for you and whoever is in yours; what was said is kept", extras=PUBLIC
)
@app_commands.describe(template="What it begins with; left out, nothing but what was said last")
@app_commands.autocomplete(template=templates)
async def new(interaction: discord.Interaction[Front], template: str = "") -> None:
    bot, channel = interaction.client.bot, where(interaction)
    about, opening = "", list[Message]()
    if template:
        kept = bot.conversations.templates
        meant = await kept.named(bot.settings, past(interaction), template)
        async with bot.doors.of(channel.key):
            begun = await kept.begin(bot.settings, await bot.places.know(channel), meant, str(interaction.user.id))
            opening = [each for each in await bot.store.messages(begun.id) if each.role == "assistant"]
        about = f"\n-# It begins with the template {inert(meant.name)}."
    else:
        await bot.begin(channel, str(interaction.user.id))
    several = bot.sessions.structural(channel)
    whose = " for whoever asked and those in one with them; other talk goes on" if several else ""
    told = f"-# A new session begins{whose}; what was said before is kept, and `/session resume` brings it back."
    sent = await answer(interaction, told + about, silent=True)
    await bot.said(channel, told, origin=origin(int(channel.id), sent.id))
    here: Any = interaction.channel
    for line in opening:
        await interaction.client.talks.show(line, here.get_partial_message(sent.id))


@app_commands.command(description="See who speaks here and why, or choose who does")
@app_commands.describe(name="Who should speak here from now on; 'default' leaves it to whoever fits")
@app_commands.autocomplete(name=_personas_or_default)
async def persona(interaction: discord.Interaction[Front], name: str | None = None) -> None:
    bot, channel = interaction.client.bot, where(interaction)
    if name is None:
        await answer(interaction, await _speakers(interaction, channel))
        return
    chosen = None if name == DEFAULT else _named(interaction, name)
    if chosen is not None:
        decision = _decided(interaction, channel, chosen=chosen.name)
        if decision.persona != chosen.name:
            other = bot.settings.persona(decision.persona)
            always = f"{other.display if other else decision.persona} always speaks here: {decision.detail}."
            raise TroupeError(f"{always} Call {chosen.display} by name for a single answer.")
    async with bot.doors.of(channel.key):
        await bot.conversations.speak_as(channel, chosen.name if chosen else None, who(interaction.user))
    asker = inert(who(interaction.user).name)
    if chosen is None:
        await answer(interaction, "From now on whoever fits speaks here.")
        await announce(interaction, f"-# {asker} has left it open who speaks here.")
    else:
        told = f"From now on {chosen.display} speaks here, in new sessions too. `/persona default` takes that back."
        await answer(interaction, told)
        await announce(interaction, f"-# {asker} has asked {inert(chosen.display)} to speak here.")


@app_commands.command(description="Take what was said so far out of my view here; you are asked first")
async def clear(interaction: discord.Interaction[Front]) -> None:
    await _may_clear(interaction)
    sure = "I will no longer see what was said in this session, and neither will searches. Until it is removed for "
    sure += "good, `/session resume` brings it back."
    await answer(interaction, sure, view=Confirm(interaction, "Clear", _cleared))


async def _cleared(interaction: discord.Interaction[Any]) -> str:
    bot, channel = interaction.client.bot, where(interaction)
    async with bot.doors.of(channel.key):
        await _may_clear(interaction)  # others may have spoken meanwhile
        await bot.conversations.clear(channel, str(interaction.user.id))
    asker = inert(who(interaction.user).name)
    await announce(interaction, f"-# {asker} has cleared what was said here; `/session resume` brings it back.")
    return "I no longer see what was said here. `/session resume` brings it back, until it is removed for good."


async def _may_clear(interaction: discord.Interaction[Any]) -> None:
    """Raises `TroupeError` where others took part in the session, and the asker does not moderate the place."""
    session = await interaction.client.bot.sessions.current(where(interaction), str(interaction.user.id))
    people = session.participants if session else ()
    if any(each.type == "user" and each.id != str(interaction.user.id) for each in people) and not moderates(
        interaction
    ):
        told = "Others took part in this session, so clearing it is for those with the permission Manage Messages"
        raise TroupeError(f"{told}. `/new` begins anew for you and them, and takes nothing away.")


@app_commands.command(description="See what I have in view here when I answer")
async def context(interaction: discord.Interaction[Front]) -> None:
    outlook = await interaction.client.bot.conversations.context(past(interaction), str(interaction.user.id))
    await answer(interaction, outlook.told(inert))


@app_commands.command(description="Read in a few lines what this session is about")
async def summary(interaction: discord.Interaction[Front]) -> None:
    bot, channel = interaction.client.bot, past(interaction)
    session = await bot.sessions.current(channel, str(interaction.user.id))
    if session is None:
        raise TroupeError("Nothing has been said to me here yet.")
    told = await bot.conversations.summary(session.id)
    await answer(interaction, "" if told else "Nothing has been said here yet.", quote=told)


@app_commands.command(description="Learn why the last answer here came from whom it did")
@app_commands.describe(about="The answer and who gave it, the session your last line is in, or what was recalled")
async def why(
    interaction: discord.Interaction[Front], about: Literal["answer", "session", "memory"] = "answer"
) -> None:
    bot, channel, asker = interaction.client.bot, where(interaction), str(interaction.user.id)
    if about == "session":
        explained = SessionsExplained(bot.store, bot.conversations, bot.sessions)
        told = await explained.of_last_line(channel, asker, inert)
    elif about == "memory":
        told = await bot.explaining.recalled(channel, asker, past=reads_past(interaction), inert=inert)
    else:
        told = await bot.explaining.told(channel, bot.settings, asker, inert=inert)
    await answer(interaction, told or "I have not answered anything in this session yet.")


@app_commands.command(description="Stop what I am saying to you here; moderators stop all of it")
async def stop(interaction: discord.Interaction[Front]) -> None:
    moderates = interaction.guild_id is not None and interaction.permissions.manage_messages
    stopped = await interaction.client.bot.stop(where(interaction), str(interaction.user.id), everybody=moderates)
    idle = "I am not saying anything here." if moderates else "I am not saying anything to you here."
    await answer(interaction, "Stopped." if stopped else idle)


def _callable(interaction: discord.Interaction[Front]) -> list[PersonaSettings]:
    """The personas that the asker may call there."""
    bot = interaction.client.bot
    allowed = bot.admission.access.grant(where(interaction), who(interaction.user), roles(interaction.user)).personas
    return [each for each in bot.settings.personas if allowed is None or each.name in allowed]


def _named(interaction: discord.Interaction[Front], name: str) -> PersonaSettings:
    """The persona meant: choices are suggestions, and people type what they like."""
    wanted = name.strip().casefold()
    allowed = _callable(interaction)
    for each in allowed:
        if wanted in (each.name, each.display.casefold(), *(alias.casefold() for alias in each.aliases)):
            return each
    known = ", ".join(each.display for each in allowed) or "nobody"
    raise TroupeError(f"Nobody here is called {inert(name[:80])}. You can ask for {known}.")


async def _speakers(interaction: discord.Interaction[Front], channel: Channel) -> str:
    """Who would answer a plain line there, why, and who else could."""
    bot = interaction.client.bot
    session = await bot.sessions.current(channel, str(interaction.user.id))
    chosen = bot.conversations.personas
    decision = _decided(
        interaction,
        channel,
        chosen=chosen.of(channel),
        spoken=session.persona if session else None,
        asked_with=roles(interaction.user),
    )
    about = f" It was {inert(await chosen.told(channel))}." if decision.rule == "place" else ""
    lines = [f"Speaking here: {because(str(decision), bot.settings, inert)}.{about}", ""]
    lines += [f"**{inert(each.display)}** {inert(each.description)}" for each in _callable(interaction)]
    return "\n".join(lines)


def _decided(
    interaction: discord.Interaction[Front],
    channel: Channel,
    *,
    chosen: str | None,
    spoken: str | None = None,
    asked_with: Collection[str] = (),
) -> Decision:
    """Who would answer a line without a telling word of somebody with these roles, where a persona was chosen to speak,
    and one speaks in the session already."""
    bot = interaction.client.bot
    among = bot.admission.access.grant(channel, who(interaction.user), roles(interaction.user)).personas
    return bot.router.decide(
        "",
        channel,
        session_persona=spoken,
        replied_persona=None,
        roles=asked_with,
        chosen=chosen,
        default=bot.guilds.of(channel.guild_id).persona,
        among=among,
    )
