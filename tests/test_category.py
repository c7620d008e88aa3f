"""A category of channels bound to a persona, in SimCord: its channels and their threads."""

from __future__ import annotations

from pathlib import Path

import discord

from .account import account
from .world import persona, settings

PERSONAS = [persona("sage"), persona("ada")]


async def test_a_categorys_persona_answers_in_its_channels_and_threads(tmp_path: Path) -> None:
    config = settings(tmp_path, personas=PERSONAS, bindings=[{"persona": "ada", "category": "Dev *"}])
    async with account(tmp_path, config) as (w, env):
        guild = env.create_guild()
        category = guild.create_category("Dev corner")
        inside, outside = guild.create_text_channel("bugs", category=category), guild.create_text_channel("tea")
        ana = guild.add_member(env.create_user("ana"))
        assert env.bot.user is not None

        async def answered_by(channel: object) -> str | None:
            await ana.send(channel, f"<@{env.bot.user.id}> what is 6 * 7?")  # type: ignore[arg-type, union-attr]
            (session,) = await w.store.sessions(f"discord:{channel.id}")  # type: ignore[attr-defined]
            return (await w.store.messages(session.id))[-1].persona

        assert await answered_by(inside) == "ada"
        assert await answered_by(outside) == "sage"
        place = env.bot.get_channel(inside.id)
        assert isinstance(place, discord.TextChannel)
        await place.create_thread(name="a crash", type=discord.ChannelType.public_thread)
        (thread,) = inside.threads
        assert await answered_by(thread) == "ada"
        found = w.bot.places.find(f"discord:{inside.id}")
        assert found is not None
        assert w.bot.places.category(found) == (str(category.id), "Dev corner")
