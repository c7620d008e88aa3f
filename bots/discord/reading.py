"""Who may read a place of a guild: what was said there is shown to nobody else."""

from __future__ import annotations

from typing import Any

import discord

from storage.model import Channel

from ..errors import TroupeError
from .interactions import where

Spot = discord.abc.GuildChannel | discord.Thread


def past(interaction: discord.Interaction[Any]) -> Channel:
    """The place of an interaction, for showing what was said there. Raises `TroupeError` where the asker may not read
    that, or where there is none to talk in."""
    channel = where(interaction)
    if not reads_past(interaction):
        raise TroupeError("You may not read the past of this channel yourself, so I do not show it to you.")
    return channel


def reads_past(interaction: discord.Interaction[Any]) -> bool:
    """Whether the asker may read what was said in the place before."""
    has = interaction.permissions
    return interaction.guild_id is None or (has.view_channel and has.read_message_history)


def moderates(interaction: discord.Interaction[Any]) -> bool:
    """Whether the asker may decide about what others said in the place; privately, everybody may."""
    return interaction.guild_id is None or interaction.permissions.manage_messages


async def reads(user: discord.abc.User, guild: discord.Guild | None, channel: Channel) -> bool:
    """Whether a member may read a place of the guild. Of what Discord does not tell the bot about, such as a deleted
    channel or a thread archived long ago, only those may read who can read everything."""
    ours = guild is not None and channel.front == "discord" and channel.guild_id == str(guild.id)
    if guild is None or not ours or not isinstance(user, discord.Member):
        return False
    there = guild.get_channel_or_thread(int(channel.id))
    if there is None:
        return user.guild_permissions.administrator
    known = _at_a_glance(user, there)
    if known is not None or not isinstance(there, discord.Thread):
        return bool(known)
    try:
        await there.fetch_member(user.id)
    except discord.HTTPException:
        return False
    return True


def within_reach(user: discord.Member, guild: discord.Guild) -> dict[str, bool]:
    """The places of a guild that a member may read, by key, those talked in last first, without asking Discord: False
    says that it is a private thread, and so takes being in it, which `reads` knows."""
    spots = [*guild.channels, *guild.threads]
    spots.sort(key=lambda spot: getattr(spot, "last_message_id", None) or 0, reverse=True)
    seen = ((spot, _at_a_glance(user, spot)) for spot in spots)
    return {f"discord:{spot.id}": bool(known) for spot, known in seen if known is not False}


def _at_a_glance(user: discord.Member, there: Spot) -> bool | None:
    """Whether a member may read there; None where it takes being in a private thread."""
    may = there.permissions_for(user)
    if not (may.view_channel and may.read_message_history):
        return False
    private = isinstance(there, discord.Thread) and there.is_private() and not may.manage_threads
    return None if private else True
