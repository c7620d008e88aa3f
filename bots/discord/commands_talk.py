"""Commands in the middle of a talk: ask, begin anew, who speaks and why, what is in view, stop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import discord
from discord import app_commands

from storage.model import Attachment, Channel

from ..errors import TroupeError
from ..incoming import Incoming
from ..router import Decision
from ..settings import PersonaSettings
from .interactions import PUBLIC, Tree, announce, answer, inert, quoted, roles, told_wrong, where, who
from .translate import origin

if TYPE_CHECKING:
    from .client import Front

DEFAULT = "default"
_CHOICES = 25
_CONFIRM_SECONDS = 300.0
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


async def _personas_or_default(interaction: discord.Interaction[Front], typed: str) -> list[app_commands.Choice[str]]:
    reset = app_commands.Choice(name="Default: whoever fits", value=DEFAULT)
    found = await personas(interaction, typed)
    return ([reset, *found] if typed.casefold() in DEFAULT else found)[:_CHOICES]


@app_commands.command(description="Ask me something; everybody here sees the question and the answer", extras=PUBLIC)
@app_commands.describe(text="What you want to say", persona="Who should answer; left out, whoever fits")
@app_commands.autocomplete(persona=personas)
async def chat(
    interaction: discord.Interaction[Front], text: app_commands.Range[str, 1, 4000], persona: str | None = None
) -> None:
    name = _named(interaction, persona).name if persona else None
    shown = f"**{inert(who(interaction.user).name)}:**\n{quoted(text)}"
    await ask(interaction, shown, text, persona=name)


async def ask(
    interaction: discord.Interaction[Front],
    shown: str,
    text: str,
    *,
    persona: str | None = None,
    files: tuple[Attachment, ...] = (),
) -> None:
    """Shows a question to everybody and has it answered as if its asker had written it here; the shown words are where
    it stands. `files` are those beside the message it is about."""
    front = interaction.client
    channel = where(interaction)
    await answer(interaction, shown)
    question = await interaction.original_response()
    incoming = Incoming(
        origin=origin(int(channel.id), question.id),
        channel=channel,
        sender=who(interaction.user),
        text=text,
        at=interaction.created_at,
        roles=roles(interaction.user),
        faces=front.faces.can(question.channel),
        shown=files,
        persona=persona,
    )
    await front.deliver(front.bot.receive(incoming), question, interaction.user.id)


@app_commands.command(description="Begin a new session here; what was said before is kept", extras=PUBLIC)
async def new(interaction: discord.Interaction[Front]) -> None:
    channel = where(interaction)
    await interaction.client.bot.begin(channel)
    told = "-# A new session begins; what was said before is kept, and `/session resume` brings it back."
    sent = await answer(interaction, told, silent=True)
    await interaction.client.bot.said(channel, told, origin=origin(int(channel.id), sent.id))


@app_commands.command(description="See who speaks here and why, or choose who does")
@app_commands.describe(name="Who should speak in this session; 'default' leaves it to whoever fits")
@app_commands.autocomplete(name=_personas_or_default)
async def persona(interaction: discord.Interaction[Front], name: str | None = None) -> None:
    bot, channel = interaction.client.bot, where(interaction)
    if name is None:
        await answer(interaction, await _speakers(interaction, channel))
        return
    chosen = None if name == DEFAULT else _named(interaction, name)
    if chosen is not None:
        decision = _decided(interaction, channel, chosen.name)
        if decision.persona != chosen.name:
            other = bot.settings.persona(decision.persona)
            always = f"{other.display if other else decision.persona} always speaks here: {decision.detail}."
            raise TroupeError(f"{always} Call {chosen.display} by name for a single answer.")
    async with bot.doors.of(channel.key):
        await bot.conversations.speak_as(channel, chosen.name if chosen else None)
    asker = inert(who(interaction.user).name)
    if chosen is None:
        await answer(interaction, "From now on whoever fits speaks here.")
        await announce(interaction, f"-# {asker} has left it open who speaks here.")
    else:
        await answer(interaction, f"From now on {chosen.display} speaks here. `/persona default` takes that back.")
        await announce(interaction, f"-# {asker} has asked {inert(chosen.display)} to speak here.")


@app_commands.command(description="Take what was said so far out of my view here; you are asked first")
async def clear(interaction: discord.Interaction[Front]) -> None:
    sure = "I will no longer see what was said in this session, and neither will searches. Until it is removed for "
    sure += "good, `/session resume` brings it back."
    await answer(interaction, sure, view=Confirm(interaction, "Clear", _cleared))


async def _cleared(interaction: discord.Interaction[Any]) -> None:
    bot, channel = interaction.client.bot, where(interaction)
    async with bot.doors.of(channel.key):
        await bot.conversations.clear(channel)
    await announce(interaction, f"-# {inert(who(interaction.user).name)} has cleared what was said here.")


class Confirm(discord.ui.View):
    """One button that has to be pressed before something is done; only its asker sees it."""

    def __init__(
        self,
        asked: discord.Interaction[Any],
        label: str,
        act: Callable[[discord.Interaction[Any]], Awaitable[None]],
    ) -> None:
        super().__init__(timeout=_CONFIRM_SECONDS)
        self._asked = asked
        self._act = act
        button: discord.ui.Button[Confirm] = discord.ui.Button(label=label, style=discord.ButtonStyle.danger)
        button.callback = self._pressed  # type: ignore[method-assign]
        self.add_item(button)

    async def _pressed(self, interaction: discord.Interaction[Any]) -> None:
        self.stop()
        await interaction.response.defer()
        await self._asked.edit_original_response(content="Done.", view=None)
        await self._act(interaction)

    async def on_timeout(self) -> None:
        with suppress(discord.HTTPException):  # the asker may have dismissed it
            await self._asked.edit_original_response(content="Nothing was changed.", view=None)

    async def on_error(
        self, interaction: discord.Interaction[Any], error: Exception, _item: discord.ui.Item[Any], /
    ) -> None:
        await told_wrong(interaction, error)


@app_commands.command(description="See what I have in view here when I answer")
async def context(interaction: discord.Interaction[Front]) -> None:
    outlook = await interaction.client.bot.conversations.context(where(interaction))
    await answer(interaction, outlook.told(inert))


@app_commands.command(description="Read in a few lines what this session is about")
async def summary(interaction: discord.Interaction[Front]) -> None:
    bot, channel = interaction.client.bot, where(interaction)
    session = await bot.sessions.current(channel)
    if session is None:
        raise TroupeError("Nothing has been said to me here yet.")
    told = await bot.conversations.summary(session.id)
    await answer(interaction, quoted(told) if told else "Nothing has been said here yet.")


@app_commands.command(description="Learn why the last answer here came from whom it did")
async def why(interaction: discord.Interaction[Front]) -> None:
    told = await interaction.client.bot.why(where(interaction))
    await answer(interaction, told or "I have not answered anything in this session yet.")


@app_commands.command(description="Stop what I am saying here")
async def stop(interaction: discord.Interaction[Front]) -> None:
    stopped = await interaction.client.bot.stop(where(interaction), str(interaction.user.id))
    await answer(interaction, "Stopped." if stopped else "I am not saying anything here.")


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
    session = await bot.sessions.current(channel)
    spoken = session.persona if session else None
    lines = [f"Speaking here: {_decided(interaction, channel, spoken)}.", ""]
    lines += [f"**{inert(each.display)}** {inert(each.description)}" for each in _callable(interaction)]
    return "\n".join(lines)


def _decided(interaction: discord.Interaction[Front], channel: Channel, spoken: str | None) -> Decision:
    """Who would answer a line without a telling word, where a persona speaks in the session already."""
    bot = interaction.client.bot
    among = bot.admission.access.grant(channel, who(interaction.user), roles(interaction.user)).personas
    default = bot.guilds.of(channel.guild_id).persona
    return bot.router.decide("", channel, session_persona=spoken, replied_persona=None, default=default, among=among)
