"""The bot's commands on Discord, all of them in one tree, and the help that tells of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import discord
from discord import app_commands

from . import commands_admin, commands_menus, commands_privacy, commands_sessions, commands_talk, commands_usage
from .interactions import Tree, answer

if TYPE_CHECKING:
    from .client import Front

_GROUPS = {
    "Talk": ("chat", "persona", "stop", "why"),
    "Sessions": ("new", "session", "branch", "merge", "clear", "context", "summary"),
    "Finding": ("search", "export"),
    "You": ("usage", "privacy", "help"),
    "Server": ("admin",),
}
"""The help's headings; a command that stands under none of them comes last."""
_MENUS = "On a message"


def build(front: Front) -> Tree:
    """Every command of a bot, ready to be told to Discord; a client has one such tree."""
    tree = Tree(
        front,
        allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=False),
        allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
    )
    commands_talk.add(tree)
    commands_sessions.add(tree)
    commands_menus.add(tree)
    tree.add_command(help_)
    for others in (commands_usage, commands_privacy, commands_admin):
        others.add(tree, front)
    return tree


@app_commands.command(name="help", description="See what you can do with me")
async def help_(interaction: discord.Interaction[Front]) -> None:
    usable = [each for each in interaction.client.tree.get_commands(type=None) if _may_use(interaction, each)]
    lines = [_greeting(interaction)]
    for heading, commands in _grouped(usable):
        lines += ["", f"**{heading}**", *(_line(each) for each in commands)]
    await answer(interaction, "\n".join(lines))


AnyCommand = app_commands.Command[Any, ..., Any] | app_commands.Group | app_commands.ContextMenu


def _greeting(interaction: discord.Interaction[Front]) -> str:
    me = interaction.client.user
    call = (
        "Write to me here." if interaction.guild_id is None or me is None else f"Mention {me.mention}, or reply to me."
    )
    return f"{call} Silence ends a session, never what is kept."


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
        return f"{command.name} (right-click or hold, then Apps)"
    if isinstance(command, app_commands.Group):
        return f"`/{command.name}` {', '.join(each.name for each in command.commands)}"
    return f"`/{command.name}` {command.description}"
