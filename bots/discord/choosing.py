"""Which session a command is about: offered as people type, taken by id or title, shown on a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import discord
from discord import app_commands

from storage.model import Session

from ..errors import TroupeError
from ..session_marks import MERGED
from .interactions import inert, where
from .reading import past, reads, reads_past
from .translate import who

if TYPE_CHECKING:
    from .client import Front

_CHOICES = 25
Choices = list[app_commands.Choice[str]]


async def sessions(interaction: discord.Interaction[Front], typed: str) -> Choices:
    """The sessions of this place whose title or first words hold what is typed, the latest first, for those who may
    read its past."""
    if not reads_past(interaction):
        return []
    conversations = interaction.client.bot.conversations
    page = await conversations.listing(where(interaction).key, text=typed, archived=True)
    return [_choice(each) for each in page.items[:_CHOICES]]


async def others(interaction: discord.Interaction[Front], typed: str) -> Choices:
    """Those of them that can be brought into the one under way."""
    if not reads_past(interaction):
        return []
    bot, channel = interaction.client.bot, where(interaction)
    current = await bot.sessions.current(channel, str(interaction.user.id))
    here = current.id if current else ""
    page = await bot.conversations.listing(channel.key, text=typed, archived=True)
    fit = [each for each in page.items if each.deleted_at is None and here not in (each.id, each.metadata.get(MERGED))]
    return [_choice(each) for each in fit[:_CHOICES]]


async def tags(interaction: discord.Interaction[Front], typed: str) -> Choices:
    """The tags of the latest sessions of this place, for those who may read its past."""
    if not reads_past(interaction):
        return []
    page = await interaction.client.bot.conversations.listing(where(interaction).key, archived=True)
    known = dict.fromkeys(tag for each in page.items for tag in each.tags if typed.strip().casefold() in tag.casefold())
    return [app_commands.Choice(name=tag, value=tag) for tag in list(known)[:_CHOICES]]


async def chosen(interaction: discord.Interaction[Front], which: str | None, *, here: bool = False) -> Session:
    """The session meant, with a title, which the asker may see; with `here` only one of this place. Ids are typed by
    people."""
    bot, channel = interaction.client.bot, past(interaction)
    keys = {channel.key}
    if which is None:
        current = await bot.sessions.current(channel, str(interaction.user.id))
        if current is None:
            raise TroupeError("Nothing has been said to me here yet.")
        return await bot.conversations.show(current.id, keys)
    guild, user = interaction.guild, interaction.user
    if not here:
        found = await bot.store.session(which.strip())
        if found is not None and await reads(user, guild, found.channel):
            keys.add(found.channel.key)
    return await bot.conversations.show(await _titled(interaction, which) or which, keys)


async def _titled(interaction: discord.Interaction[Front], which: str) -> str:
    """The id of the one session of this place with such a title; empty where there is none. Raises `TroupeError` where
    there are several."""
    wanted = " ".join(which.casefold().split())
    page = await interaction.client.bot.conversations.listing(where(interaction).key, text=wanted, archived=True)
    found = [each for each in page.items if wanted and " ".join(each.title.casefold().split()) == wanted]
    if len(found) > 1:
        raise TroupeError(f"{len(found)} sessions here are called that: choose one from the list, by its date.")
    return found[0].id if found else ""


def line(shown: Session) -> str:
    """A session on one line of ours."""
    last, tagged = int(shown.last_at.timestamp()), "".join(f" `{_code(tag)}`" for tag in shown.tags)
    return f"{_marks(shown)}**{inert(shown.title)}**{tagged} <t:{last}:R>, {counted(shown)}, `{shown.id}`"


def counted(shown: Session) -> str:
    """How many messages it has."""
    return "1 message" if shown.message_count == 1 else f"{shown.message_count:,} messages"


def asker(interaction: discord.Interaction[Front]) -> str:
    """Who asks, for a line of ours."""
    return inert(who(interaction.user).name)


def _choice(shown: Session) -> app_commands.Choice[str]:
    return app_commands.Choice(
        name=f"{_marks(shown)}{shown.last_at:%Y-%m-%d %H:%M} {shown.title}"[:100], value=shown.id
    )


def _marks(shown: Session) -> str:
    return ("⭐ " if shown.starred else "") + ("🗄️ " if shown.archived else "") + ("🧹 " if shown.deleted_at else "")


def _code(text: str) -> str:
    return text.replace("`", "'")
