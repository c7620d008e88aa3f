"""`/memory`: what the bot knows of the asker, and their say in it; with Manage Server, what it knows of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import discord
from discord import app_commands

from storage.errors import StorageError
from storage.model import Channel
from storage.records import Memory

from ..audiences import BOT, asker, audience, guild, private
from ..errors import TroupeError
from ..memories import Scope
from ..sessions import short
from .choosing import Choices
from .interactions import Tree, answer, inert, runs_the_bot, where
from .reading import past, reads_past
from .translate import who

if TYPE_CHECKING:
    from .client import Front

_LISTED = 40
_CHOICES, _LONGEST_CHOICE = 25, 100
"""What Discord offers at most, and the letters of one choice and of what it stands for."""
_SCOPES: dict[str, Scope] = {"here": "here", "me": "me", "server": "guild", "everywhere": "bot"}
_NOTHING = "I remember nothing of you that I may tell here."

memory = app_commands.Group(
    name="memory", description="What I remember of you: see it, add to it, correct it, remove it"
)


def add(tree: Tree) -> None:
    """Adds the commands of this file."""
    tree.add_command(memory)


async def memories(interaction: discord.Interaction[Front], typed: str) -> Choices:
    """What the asker may see and change in the place, the newest first, as far as it holds what is typed."""
    try:
        found = await _listed(interaction)
    except (TroupeError, StorageError):
        return []
    wanted = typed.strip().casefold()
    fit = [each for each in found if wanted in each.text.casefold() and len(each.id) <= _LONGEST_CHOICE]
    return [
        app_commands.Choice(
            name=short(f"{each.at:%Y-%m-%d} {' '.join(each.text.split())}", _LONGEST_CHOICE - 1), value=each.id
        )
        for each in fit[:_CHOICES]
    ]


@memory.command(name="list", description="See what I remember of you and may tell you here")
async def list_(interaction: discord.Interaction[Front]) -> None:
    bot, user_id = interaction.client.bot, str(interaction.user.id)
    found = await _listed(interaction)
    lines = [await _line(interaction, each) for each in found[:_LISTED]]
    if len(found) > _LISTED:
        lines.append(f"-# … and {len(found) - _LISTED:,} more: `/privacy export` has all that is yours.")
    if interaction.guild_id is not None:
        lines.append("-# Here is what is for this place; in private I show you all that I remember of you.")
    if await bot.memory.memories.paused(user_id):
        lines.append("-# Learning about you is paused: `/memory pause` with `off` resumes it.")
    await answer(interaction, "\n".join(lines if found else [_NOTHING, *lines]))


@memory.command(description="Have me remember something")
@app_commands.describe(
    text="What to remember",
    scope="Who may be told: this place, you wherever you ask me, everybody on this server, or everybody",
)
async def remember(
    interaction: discord.Interaction[Front],
    text: app_commands.Range[str, 1, 1000],
    scope: Literal["here", "me", "server", "everywhere"] = "here",
) -> None:
    _may(interaction, scope)
    kept = await interaction.client.bot.memory.memories.remember(
        text, who(interaction.user), where(interaction), _SCOPES[scope], may_manage=_manages(interaction)
    )
    told = {
        "here": "I may tell it in this place.",
        "me": "I may tell it wherever I answer you, also where others read along.",
        "server": "I may tell it everywhere on this server.",
        "everywhere": "I may tell it to everybody.",
    }[scope]
    await answer(interaction, f"I remember it. {told}", quote=kept.text)


@memory.command(description="Have me forget one thing that I remember, for good")
@app_commands.describe(which="What to forget")
@app_commands.autocomplete(which=memories)
async def forget(interaction: discord.Interaction[Front], which: str) -> None:
    found = await _chosen(interaction, which)
    gone = await interaction.client.bot.memory.memories.forget(
        found.id, who(interaction.user), where(interaction), may_manage=_manages(interaction)
    )
    told = "I have forgotten it for good, and what it had replaced. The line it came from, if there was one, stays "
    told += "until it is deleted; `/privacy forget` removes all of yours."
    await answer(interaction, told, quote=gone.text)


@memory.command(description="Put something right that I remember")
@app_commands.describe(which="What is wrong", text="What is true")
@app_commands.autocomplete(which=memories)
async def correct(interaction: discord.Interaction[Front], which: str, text: app_commands.Range[str, 1, 1000]) -> None:
    found = await _chosen(interaction, which)
    kept = await interaction.client.bot.memory.memories.correct(
        found.id, text, who(interaction.user), where(interaction), may_manage=_manages(interaction)
    )
    await answer(interaction, "From now on I go by this; `/memory undo` takes it back:", quote=kept.text)


@memory.command(description="Take back the last change of something that I remember")
@app_commands.describe(which="What it reads like now")
@app_commands.autocomplete(which=memories)
async def undo(interaction: discord.Interaction[Front], which: str) -> None:
    found = await _chosen(interaction, which)
    holding = await interaction.client.bot.memory.memories.undo(
        found.id, who(interaction.user), where(interaction), may_manage=_manages(interaction)
    )
    await answer(interaction, "This holds again:", quote="\n".join(each.text for each in holding))


@memory.command(description="Have me learn nothing about you, until you say otherwise")
@app_commands.describe(state="On: I learn nothing about you; off: I may learn again")
async def pause(interaction: discord.Interaction[Front], state: Literal["on", "off"] = "on") -> None:
    kept, sender = interaction.client.bot.memory.memories, who(interaction.user)
    if state == "on":
        await kept.pause(sender.id, sender)
        told = (
            "From now on I learn nothing from what you say, nor recall it in a later conversation, and I learn nothing "
            "about you. What I know stays: `/memory list`."
        )
    else:
        await kept.resume(sender.id, sender)
        told = "I may learn about you again. What you said meanwhile I neither learn from nor recall."
    await answer(interaction, told)


async def _listed(interaction: discord.Interaction[Front]) -> list[Memory]:
    if not reads_past(interaction):
        past(interaction)  # says why
    return await interaction.client.bot.memory.memories.list(
        str(interaction.user.id), where(interaction), may_manage=_manages(interaction)
    )


async def _chosen(interaction: discord.Interaction[Front], which: str) -> Memory:
    """What is meant, which the asker was shown in the place: by its id, or by its words."""
    wanted = " ".join(which.split()).casefold()
    found = [each for each in await _listed(interaction) if which.strip() == each.id or wanted in each.text.casefold()]
    exact = [each for each in found if which.strip() == each.id] or found
    if len(exact) != 1:
        told = "No memory of yours reads like that" if not exact else f"{len(exact)} memories read like that"
        raise TroupeError(f"{told}: choose one from the list.")
    if exact[0].audience == BOT and not runs_the_bot(interaction):
        raise TroupeError("That is for everybody who talks with me: only whoever runs me may change it.")
    return exact[0]


def _manages(interaction: discord.Interaction[Front]) -> bool:
    on_server = interaction.guild_id is not None and interaction.permissions.manage_guild
    return on_server or runs_the_bot(interaction)


def _may(interaction: discord.Interaction[Front], scope: str) -> None:
    if scope == "everywhere" and not runs_the_bot(interaction):
        raise TroupeError("What everybody may be told, whoever they are, is for whoever runs me to say.")
    if scope == "server" and interaction.guild_id is None:
        raise TroupeError("There is no server here: say `here` or `me`.")
    if scope == "server" and not interaction.permissions.manage_guild:
        raise TroupeError("What everybody on this server may be told is for those with the permission Manage Server.")


async def _line(interaction: discord.Interaction[Front], found: Memory) -> str:
    place, user_id = where(interaction), str(interaction.user.id)
    known = {
        audience(place): "here",
        private(user_id): "privately",
        asker(user_id): "wherever you ask",
        BOT: "everywhere",
        guild(place.guild_id or ""): "this server",
    }
    told = known.get(found.audience) or await _elsewhere(interaction, found.audience)
    return f"- {inert(found.text)} · {told}, <t:{int(found.at.timestamp())}:d>"


async def _elsewhere(interaction: discord.Interaction[Front], heard_by: str) -> str:
    channel: Channel | None = await interaction.client.bot.store.channel(heard_by)
    if channel is None:
        return "on a server"
    return f"in {inert(channel.name)}" + (f" of {inert(channel.guild_name)}" if channel.guild_name else "")
