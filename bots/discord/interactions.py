"""What every command and button shares: deferred at once, answered in pages or a file, wrong turns told plainly."""

from __future__ import annotations

import io
from typing import Any

import discord
import structlog
from discord import app_commands

from storage.errors import StorageError
from storage.model import Channel

from ..errors import TroupeError
from .text import LIMIT, pages
from .translate import origin, place, roles, who

log = structlog.get_logger()

__all__ = ["PUBLIC", "Tree", "announce", "answer", "inert", "quoted", "roles", "told_wrong", "where", "who"]
PUBLIC = {"public": True}
"""`extras` of a command whose answer everybody sees; without it only the asker does."""
_LONGEST = 3
"""Pages beyond which an answer goes out as a file."""
_ALWAYS = {"Show", "help", "privacy", "Show what you know", "usage", "admin"}
"""Commands for those, too, whom the bot does not answer: what they are, what is kept of them, or rules of their own."""


class Tree(app_commands.CommandTree[Any]):
    """The bot's commands. Each is deferred before its handler runs, so that no handler can be too late."""

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        command = interaction.command
        if interaction.type is not discord.InteractionType.application_command or command is None:
            return True
        root = command.root_parent if isinstance(command, app_commands.Command) else None
        refusal = "" if (root or command).name in _ALWAYS else refused(interaction)
        private = bool(refusal) or not command.extras.get("public", False)
        interaction.extras["private"] = private
        await interaction.response.defer(ephemeral=private, thinking=True)
        if refusal:
            await answer(interaction, refusal)
        return not refusal

    async def on_error(self, interaction: discord.Interaction[Any], error: app_commands.AppCommandError, /) -> None:
        cause = error.original if isinstance(error, app_commands.CommandInvokeError) else error
        await told_wrong(interaction, cause)


def refused(interaction: discord.Interaction[Any]) -> str:
    """Why the bot does not talk with the asker there; empty where it does."""
    bot = interaction.client.bot
    dms = bot.settings.discord.dms
    let_in = dms.policy == "everyone" or (dms.policy == "allowlist" and str(interaction.user.id) in dms.allow)
    if interaction.guild_id is None and not let_in:
        return "I do not talk privately here; use me in a channel of a server."
    channel = interaction.channel
    if channel is None or isinstance(channel, discord.ForumChannel | discord.CategoryChannel):
        return ""
    grant = bot.admission.access.grant(place(channel, interaction.user), who(interaction.user), roles(interaction.user))
    return "" if grant.allowed else f"I may not answer you here: {grant.why}."


async def told_wrong(interaction: discord.Interaction[Any], error: BaseException) -> None:
    """Tells the asker why it did not work; what only the log understands goes there."""
    if isinstance(error, TroupeError | StorageError):
        await answer(interaction, str(error))
        return
    log.error("interaction.failed", interaction=interaction.id, exc_info=error)
    await answer(interaction, f"Something went wrong on my side; my log has it under {interaction.id}.")


async def answer(
    interaction: discord.Interaction[Any],
    text: str,
    *,
    file: tuple[str, bytes] | None = None,
    view: discord.ui.View | None = None,
    silent: bool = False,
) -> discord.Message:
    """Answers an interaction that was deferred, or one that was not, for its asker alone; long texts become pages or a
    file. `file` is a name and its bytes; a `silent` answer notifies nobody. Returns the first message."""
    if not interaction.response.is_done():
        await interaction.response.defer(ephemeral=True, thinking=True)
    shown = [page.shown for page in pages(text)] or ["-"]
    files = [discord.File(io.BytesIO(file[1]), file[0])] if file else []
    if len(shown) > _LONGEST:
        files.append(discord.File(io.BytesIO(text.encode()), "answer.md"))
        shown = [text[: LIMIT - 100].rsplit("\n", 1)[0] + "\n-# The whole text is in the file."]
    last = len(shown) - 1
    sent: list[discord.Message] = []
    for number, page in enumerate(shown):
        more: dict[str, Any] = {"files": files, **({"view": view} if view else {})} if number == last else {}
        # Only the first page is as private as its deferral by itself.
        more["ephemeral"] = interaction.extras.get("private", True)
        send = interaction.followup.send(page, wait=True, allowed_mentions=_NOBODY, silent=silent, **more)
        sent.append(await send)
    return sent[0]


async def announce(interaction: discord.Interaction[Any], text: str) -> None:
    """Tells everybody in the place what a command has changed, without notifying anybody, and keeps the words."""
    here = where(interaction)
    sent = await interaction.followup.send(text, wait=True, silent=True, ephemeral=False, allowed_mentions=_NOBODY)
    await interaction.client.bot.said(here, text, origin=origin(int(here.id), sent.id))


def where(interaction: discord.Interaction[Any]) -> Channel:
    """The place of an interaction, in storage's terms. Raises `TroupeError` where there is none to talk in."""
    channel = interaction.channel
    if channel is None or isinstance(channel, discord.ForumChannel | discord.CategoryChannel):
        raise TroupeError("There is no conversation in this place: use this in a text channel, a thread or a DM.")
    return place(channel, interaction.user)


def inert(text: str) -> str:
    """Somebody's words in one line of ours: shown as they are, doing nothing."""
    return discord.utils.escape_markdown(" ".join(text.split()))


def quoted(text: str) -> str:
    """Somebody's words as a quotation, line by line, so that none of them can pass for ours or another's."""
    return "\n".join(f"> {line}" for line in text.splitlines() or [""])


_NOBODY = discord.AllowedMentions.none()
