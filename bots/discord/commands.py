"""The bot's commands on Discord, all of them in one tree, and the help that tells of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import discord
from discord import app_commands

from . import (
    commands_admin,
    commands_memory,
    commands_menus,
    commands_privacy,
    commands_search,
    commands_sessions,
    commands_surgery,
    commands_talk,
    commands_usage,
)
from .interactions import NOT_PRIVATELY, Tree, answer, inert

if TYPE_CHECKING:
    from .client import Front

_GROUPS = {
    "Talk": ("chat", "persona", "stop", "why"),
    "Sessions": ("new", "session", "branch", "merge", "clear", "context", "summary"),
    "Finding": ("search", "export"),
    "You": ("memory", "usage", "privacy", "help"),
    "Server": ("admin",),
}
"""The help's headings; a command that stands under none of them comes last."""
_MENUS = "In menus (right-click or hold a message or a person, then Apps)"
_WHAT = {
    "Ask about this": "I say what I think of it, for everybody to see",
    "Branch from here": "go on from there in a conversation of its own",
    "Remember this": "I keep it in mind in this place",
    "Show what you know": "what is kept about you",
}


def build(front: Front) -> Tree:
    """Every command of a bot, ready to be told to Discord; a client has one such tree."""
    tree = Tree(
        front,
        allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=False),
        allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
    )
    commands_talk.add(tree)
    for those in (commands_sessions, commands_surgery, commands_search, commands_menus, commands_memory):
        those.add(tree)
    tree.add_command(help_)
    for others in (commands_usage, commands_privacy, commands_admin):
        others.add(tree, front)
    return tree


@app_commands.command(name="help", description="See what you can do with me")
async def help_(interaction: discord.Interaction[Front]) -> None:
    usable = [each for each in interaction.client.tree.get_commands(type=None) if _may_use(interaction, each)]
    lines = _greeting(interaction)
    for heading, commands in _grouped(usable):
        lines += ["", f"**{heading}**", *(_line(each) for each in commands)]
    await answer(interaction, "\n".join(lines))


AnyCommand = app_commands.Command[Any, ..., Any] | app_commands.Group | app_commands.ContextMenu


def _greeting(interaction: discord.Interaction[Front]) -> list[str]:
    """How to talk to the bot there, and an example."""
    settings, me = interaction.client.bot.settings, interaction.client.user
    kept = "Silence ends a session, never what is kept."
    if interaction.guild_id is None:
        told = "Write to me here." if settings.discord.dms.lets_in(str(interaction.user.id)) else NOT_PRIVATELY
        return [f"{told} {kept}"]
    name = inert(settings.display)
    mention = me.mention if me else f"@{name}"
    call = f"Mention {mention}, reply to me, or begin with my name."
    return [f"{call} {kept}", f"> {name}, what does a heat pump do?"]


def _may_use(interaction: discord.Interaction[Front], command: AnyCommand) -> bool:
    """Whether the asker would find a command there, as far as the command itself decides it."""
    contexts = command.allowed_contexts
    if interaction.guild_id is None:
        return not command.guild_only and (contexts is None or contexts.dm_channel is not False)
    needed, has = command.default_permissions, interaction.permissions
    return needed is None or has.administrator or has.is_superset(needed)


def _grouped(commands: list[AnyCommand]) -> Iterator[tuple[str, list[AnyCommand]]]:
    menus = [each for each in commands if isinstance(each, app_commands.ContextMenu)]
    rest = {each.name: each for each in commands if not isinstance(each, app_commands.ContextMenu)}
    for heading, names in _GROUPS.items():
        if found := [rest.pop(name) for name in names if name in rest]:
            yield heading, list(found)
    if rest:
        yield "More", list(rest.values())
    if menus:
        yield _MENUS, list(menus)


def _line(command: AnyCommand) -> str:
    if isinstance(command, app_commands.ContextMenu):
        return f"*{command.name}*: {_WHAT[command.name]}" if command.name in _WHAT else f"*{command.name}*"
    if isinstance(command, app_commands.Group):
        return f"`/{command.name}` {', '.join(each.name for each in command.commands)}"
    return f"`/{command.name}` {command.description}"
