"""`/usage` in a simulated Discord: what a person used, what is left there, and that nobody else sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import discord
import simcord

from bots.community_settings import Budget
from bots.discord import commands_usage
from bots.discord.interactions import Tree
from bots.quotas import Quotas
from storage.model import Channel, Sender, Usage

from .world import World, world

if TYPE_CHECKING:
    from bots.discord.client import Front

USAGE = Usage(provider="openai", model="gpt", tokens_in=1_000, tokens_out=234, cost_micros=30_000)


class Account(discord.Client):
    """A logged-in account with the one command."""

    def __init__(self, w: World, quotas: Quotas) -> None:
        super().__init__(intents=discord.Intents.default())
        self.bot = w.bot
        w.bot.quotas = quotas
        self.tree = Tree(self)
        commands_usage.add(self.tree, cast("Front", self))

    async def setup_hook(self) -> None:
        await self.tree.sync()


@asynccontextmanager
async def account(*budgets: dict[str, Any]) -> AsyncIterator[tuple[Quotas, simcord.Env]]:
    async with world() as w:
        quotas = Quotas(
            lambda _: [Budget(**budget) for budget in budgets], w.store, w.bot.places.home_name, now=w.clock.now
        )
        await quotas.start()
        async with simcord.run(Account(w, quotas)) as env:
            yield quotas, env


def spend(quotas: Quotas, user: Any, channel: Any, guild: Any) -> None:
    sender = Sender(type="user", id=str(user.id), name="Ana")
    where = Channel(front="discord", id=str(channel.id), kind="channel", name="hall", guild_id=str(guild.id))
    quotas.ask(where, sender, ())
    quotas.spent(where, sender, USAGE)


async def test_usage_shows_what_was_used_and_what_is_left_to_the_asker_alone() -> None:
    budgets: tuple[dict[str, Any], ...] = (
        {"per": "user", "messages": 4, "usd": 0.5},
        {"per": "channel", "window": "hour", "tokens": 2_468},
        {"per": "user", "role": "Guests", "messages": 2, "window": "month"},
        {"per": "user", "guild": "elsewhere", "messages": 1},
    )
    async with account(*budgets) as (quotas, env):
        guild = env.create_guild()
        hall = guild.create_text_channel("hall")
        guests = guild.create_role("Guests")
        ana = guild.add_member(env.create_user("ana"), roles=[guests])
        ben = guild.add_member(env.create_user("ben"))
        spend(quotas, ana, hall, guild)
        shown = await ana.slash(hall, "usage")
        answer = shown.response
        assert answer is not None
        assert answer.ephemeral
        assert answer.content == (
            "**What you used of me**\n"
            "This hour: 1 answer, 1,234 tokens, $0.03\n"
            "Today: 1 answer, 1,234 tokens, $0.03\n"
            "This month: 1 answer, 1,234 tokens, $0.03\n\n"
            "**What is left here**\n\n"
            "Yours, for today; it begins anew <t:1772496000:R>.\n"
            "`██░░░░░░░░` 1 of 4 answers\n"
            "`█░░░░░░░░░` $0.03 of $0.50\n\n"
            "This channel's, for this hour; it begins anew <t:1772445600:R>.\n"
            "`█████░░░░░` 1,234 of 2,468 tokens\n\n"
            "Yours, for this month; it begins anew <t:1775001600:R>.\n"
            "`█████░░░░░` 1 of 2 answers"
        )
        other = (await ben.slash(hall, "usage")).response
        assert other is not None
        assert "This hour: 0 answers, 0 tokens, $0.00" in other.content
        assert "`░░░░░░░░░░` 0 of 4 answers" in other.content
        assert "of 2 answers" not in other.content


async def test_usage_without_budgets_says_that_nothing_limits_you() -> None:
    async with account() as (_, env):
        guild = env.create_guild()
        hall = guild.create_text_channel("hall")
        ana = guild.add_member(env.create_user("ana"))
        answer = (await ana.slash(hall, "usage")).response
        assert answer is not None
        assert answer.content.endswith("No budget limits you here.")
