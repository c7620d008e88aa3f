"""What every command and button shares: deferred at once, answered in pages or a file, wrong turns told plainly."""

from __future__ import annotations

import io
from typing import Any

import discord
import structlog
from discord import app_commands

from storage.errors import StorageError
from storage.model import Channel, Sender

from ..errors import TroupeError
from .text import LIMIT, pages, safe_name
from .translate import place

log = structlog.get_logger()

PUBLIC = {"public": True}
"""`extras` of a command whose answer everybody sees; without it only the asker does."""
_LONGEST = 3
"""Pages beyond which an answer goes out as a file."""


class Tree(app_commands.CommandTree[Any]):
    """The bot's commands. Each is deferred before its handler runs, so that no handler can be too late."""

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        if interaction.type is discord.InteractionType.application_command and interaction.command is not None:
            private = not interaction.command.extras.get("public", False)
            await interaction.response.defer(ephemeral=private, thinking=True)
        return True

    async def on_error(self, interaction: discord.Interaction[Any], error: app_commands.AppCommandError, /) -> None:
        cause = error.original if isinstance(error, app_commands.CommandInvokeError) else error
        await told_wrong(interaction, cause)


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
) -> discord.Message:
    """Answers an interaction that was deferred, or one that was not, for its asker alone; long texts become pages or a
    file. `file` is a name and its bytes. Returns the first message."""
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
        sent.append(await interaction.followup.send(page, wait=True, allowed_mentions=_NOBODY, **more))
    return sent[0]


def where(interaction: discord.Interaction[Any]) -> Channel:
    """The place of an interaction, in storage's terms. Raises `TroupeError` where there is none to talk in."""
    channel = interaction.channel
    if channel is None or isinstance(channel, discord.ForumChannel | discord.CategoryChannel):
        raise TroupeError("There is no conversation in this place: use this in a text channel, a thread or a DM.")
    return place(channel, interaction.user)


def who(user: discord.abc.User) -> Sender:
    """A person or program, in storage's terms."""
    return Sender(type="bot" if user.bot else "user", id=str(user.id), name=safe_name(user.display_name))


def roles(user: discord.abc.User) -> tuple[str, ...]:
    """The ids and names of a member's roles; nothing outside guilds."""
    found = getattr(user, "roles", ())
    return tuple(text for role in found if not role.is_default() for text in (str(role.id), role.name))


_NOBODY = discord.AllowedMentions.none()
