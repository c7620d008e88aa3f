"""Commands in a message's own menu: ask about it, branch off after it, remember it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import discord
from discord import app_commands

from storage.model import Message

from ..errors import TroupeError
from .commands_sessions import branch_from
from .commands_talk import ASKS, ask
from .interactions import Tree, announce, answer, inert, quoted, where
from .reading import past
from .text import safe_name
from .translate import attachment, origin, who

if TYPE_CHECKING:
    from .client import Front

_SHOWN = 300
"""Characters of a message that are shown again when somebody asks about it."""


def add(tree: Tree) -> None:
    """Adds the commands of this file."""
    # discord.py looks at the type of the second argument to know whose menu it is.
    tree.add_command(app_commands.ContextMenu(name="Ask about this", callback=ask_about, extras=ASKS))
    tree.add_command(app_commands.ContextMenu(name="Branch from here", callback=branch_here))
    tree.add_command(app_commands.ContextMenu(name="Remember this", callback=remember))


async def ask_about(interaction: discord.Interaction[Front], message: discord.Message) -> None:
    words = message.content.strip()
    if not words and not message.attachments:
        raise TroupeError("There is nothing in that message that I could read.")
    author, asker = safe_name(message.author.display_name), inert(who(interaction.user).name)
    short = words if len(words) <= _SHOWN else words[: _SHOWN - 1] + "…"
    head = f"**{asker}** asks about this by **{inert(author)}**: {message.jump_url}"
    text = f"What do you say to this message by {author}?\n{quoted(words)}"
    place = origin(int(where(interaction).id), message.id)
    await ask(interaction, head, short, text, about=place, files=tuple(map(attachment, message.attachments)))


async def branch_here(interaction: discord.Interaction[Front], message: discord.Message) -> None:
    known = await _known(interaction, message)
    source = await interaction.client.bot.conversations.show(known.session_id, {past(interaction).key})
    in_channel = isinstance(interaction.channel, discord.TextChannel)
    both = (interaction.app_permissions, interaction.permissions)
    may = all(each.create_public_threads and each.send_messages_in_threads for each in both)
    await branch_from(interaction, source, known, "thread" if in_channel and may else "here")


async def remember(interaction: discord.Interaction[Front], message: discord.Message) -> None:
    known = await _known(interaction, message)
    await interaction.client.bot.remembering.remember(known.id, who(interaction.user))
    await answer(interaction, "From now on I have that in mind here.")
    asker = inert(who(interaction.user).name)
    author = inert(known.sender.name)
    await announce(interaction, f"-# {asker} asked me to remember a message", f" by {author}: {message.jump_url}")


async def _known(interaction: discord.Interaction[Front], message: discord.Message) -> Message:
    """The kept message that was chosen. Raises `TroupeError` when the bot never kept it."""
    found = await interaction.client.bot.store.find(origin(int(where(interaction).id), message.id))
    if found is None or found.deleted_at is not None:
        raise TroupeError(
            "I have not kept that message: it was not said to me, or is deleted. Ask me about it instead."
        )
    return found
