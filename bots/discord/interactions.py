"""What every command and button shares: deferred at once, answered in pages or a file, wrong turns told plainly."""

from __future__ import annotations

import io
import re
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

PUBLIC = {"public": True}
"""`extras` of a command whose answer everybody sees; without it only the asker does. With a `check` beside it, what
that raises as a `TroupeError` is told to the asker alone, and the command does not run."""
UNREACHABLE = "I cannot reach my storage right now; an admin's `troupe status` knows more."
NOT_PRIVATELY = "I do not talk privately here; use me in a channel of a server."
_LONGEST = 3
"""Pages beyond which an answer goes out as a file."""
_ALWAYS = {"help", "privacy", "Show what you know", "usage", "admin"}
"""Commands for those, too, whom the bot does not answer: what they are, what is kept of them, or rules of their own."""


class Tree(app_commands.CommandTree[Any]):
    """The bot's commands. Each is deferred before its handler runs, so that no handler can be too late."""

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        command = interaction.command
        if interaction.type is not discord.InteractionType.application_command or command is None:
            return True
        root = command.root_parent if isinstance(command, app_commands.Command) else None
        public = command.extras.get("public", False)
        refusal = "" if (root or command).name in _ALWAYS else refused(interaction)
        if public and not refusal and not may_write(interaction):
            refusal = "You may not write here yourself, so I do not speak up for you here."
        check = command.extras.get("check")
        if check is not None and not refusal:
            try:
                check(interaction)
            except TroupeError as error:
                refusal = str(error)
        private = bool(refusal) or not public
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
    if interaction.guild_id is None and not bot.settings.discord.dms.lets_in(str(interaction.user.id)):
        return NOT_PRIVATELY
    channel = interaction.channel
    if channel is None or isinstance(channel, discord.ForumChannel | discord.CategoryChannel):
        return ""
    asker = (place(channel, interaction.user), who(interaction.user), roles(interaction.user))
    if bot.admission.welcome(*asker):
        return ""
    return "I may not answer you here. If you think that I should, ask an admin of this server."


def may_write(interaction: discord.Interaction[Any]) -> bool:
    """Whether the asker may write in the place: the bot says nothing for people that they could not say."""
    has = interaction.permissions
    in_thread = isinstance(interaction.channel, discord.Thread)
    return interaction.guild_id is None or (has.send_messages_in_threads if in_thread else has.send_messages)


def runs_the_bot(interaction: discord.Interaction[Any]) -> bool:
    """Whether the asker owns the bot's application, alone or with a team."""
    application = interaction.client.application
    if application is None:
        return False
    if application.team is None:
        return bool(interaction.user.id == application.owner.id)
    admins = {each.id for each in application.team.members if each.role is discord.TeamMemberRole.admin}
    return interaction.user.id in {application.team.owner_id, *admins}


async def told_wrong(interaction: discord.Interaction[Any], error: BaseException) -> None:
    """Tells the asker why it did not work; what only the log understands goes there."""
    if isinstance(error, TroupeError):
        await answer(interaction, str(error))
        return
    if isinstance(error, StorageError):
        log.error("interaction.storage_failed", interaction=interaction.id, error=str(error))
        # The whole sentence may name paths of the bot's host.
        whole = interaction.extras.get("private", True) and runs_the_bot(interaction)
        await answer(interaction, str(error) if whole else UNREACHABLE)
        return
    log.error("interaction.failed", interaction=interaction.id, exc_info=error)
    await answer(interaction, f"Something went wrong on my side; my log has it under {interaction.id}.")


async def answer(
    interaction: discord.Interaction[Any],
    text: str,
    *,
    quote: str = "",
    file: tuple[str, bytes] | None = None,
    view: discord.ui.View | None = None,
    silent: bool = False,
) -> discord.Message:
    """Answers an interaction that was deferred, or one that was not, for its asker alone; long texts become pages or a
    file. `quote` are somebody's words to stand below the text as a quotation, on every page of it; `file` is a name
    and its bytes; a `silent` answer notifies nobody. Returns the first message."""
    if not interaction.response.is_done():
        await interaction.response.defer(ephemeral=True, thinking=True)
    shown = _quoting(text, quote) if quote else [page.shown for page in pages(text)] or ["-"]
    files = [discord.File(io.BytesIO(file[1]), file[0])] if file else []
    if len(shown) > _LONGEST:
        whole = f"{text}\n{quoted(quote)}" if quote else text
        files.append(discord.File(io.BytesIO(whole.encode()), "answer.md"))
        shown = [shown[0][: LIMIT - 100].rsplit("\n", 1)[0] + "\n-# The whole text is in the file."]
    last = len(shown) - 1
    sent: list[discord.Message] = []
    for number, page in enumerate(shown):
        more: dict[str, Any] = {"files": files, **({"view": view} if view else {})} if number == last else {}
        # Only the first page is as private as its deferral by itself.
        more["ephemeral"] = interaction.extras.get("private", True)
        send = interaction.followup.send(page, wait=True, allowed_mentions=_NOBODY, silent=silent, **more)
        sent.append(await send)
    return sent[0]


async def announce(interaction: discord.Interaction[Any], text: str, about: str = "") -> None:
    """Tells everybody in the place what somebody has changed by a command, without notifying anybody, and keeps the
    words as theirs, since they name them. `about` is shown behind them and not kept: a name or title that tells of
    somebody else, who may ask to be forgotten."""
    here = where(interaction)
    shown = text + about
    sent = await interaction.followup.send(shown, wait=True, silent=True, ephemeral=False, allowed_mentions=_NOBODY)
    await interaction.client.bot.said(here, text, origin=origin(int(here.id), sent.id), by=who(interaction.user))


def where(interaction: discord.Interaction[Any]) -> Channel:
    """The place of an interaction, in storage's terms. Raises `TroupeError` where there is none to talk in."""
    channel = interaction.channel
    if channel is None or isinstance(channel, discord.ForumChannel | discord.CategoryChannel):
        raise TroupeError("There is no conversation in this place: use this in a text channel, a thread or a DM.")
    return place(channel, interaction.user)


def inert(text: str) -> str:
    """Somebody's words in one line of ours: shown as they are, doing nothing."""
    return escaped(" ".join(text.split()))


def escaped(text: str) -> str:
    """The same for a stretch of a line, whose spaces stay."""
    return _SIGNS.sub(r"\\\1", text)


def quoted(text: str) -> str:
    """Somebody's words as a quotation, line by line, so that none of them can pass for ours or another's."""
    return "\n".join(f"> {line}" for line in text.splitlines() or [""])


def _quoting(text: str, words: str) -> list[str]:
    """Pages of a text with somebody's words below it, each line of which is marked as a quotation wherever a page
    ends."""
    found, page = [], text
    lines = (line[at : at + _STRETCH] for line in words.splitlines() for at in range(0, len(line) or 1, _STRETCH))
    for line in lines:
        longer = f"{page}\n> {line}" if page else f"> {line}"
        if len(longer) > LIMIT:
            found.append(page)
            longer = f"> {line}"
        page = longer
    return [*found, page]


_NOBODY = discord.AllowedMentions.none()
_SIGNS = re.compile(r"([\\`*_~|<>\[\]()#@])")
_STRETCH = 1_500
"""Characters beyond which a line of somebody's is torn."""
