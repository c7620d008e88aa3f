"""`/usage`: what a person used of the bot, and what is left here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import discord
from discord import app_commands

from ..quotas import SPANS
from ..usage_report import bars, took, unknown
from .interactions import Tree, answer, where
from .translate import roles, who

if TYPE_CHECKING:
    from .client import Front


def add(tree: Tree, _front: Front) -> None:
    """Adds the command to a bot's tree."""
    tree.add_command(usage)


@app_commands.command(name="usage", description="See what you used of me, and what is left for you here")
async def usage(interaction: discord.Interaction[Front]) -> None:
    sender = who(interaction.user)
    quotas = interaction.client.bot.quotas
    used = quotas.used(sender.id)
    lines = [f"{SPANS[window].capitalize()}: {took(each)}" for window, each in used.items()]
    lines += filter(None, [unknown(used["month"])])
    text = ["\n".join(["**What you used of me**", *lines])]
    meters = quotas.meters(where(interaction), sender, roles(interaction.user))
    text += ["**What is left here**"] if meters else ["No budget limits you here."]
    text += [bars(meter, f"<t:{int(meter.until.timestamp())}:R>") for meter in meters]
    await answer(interaction, "\n\n".join(text))
