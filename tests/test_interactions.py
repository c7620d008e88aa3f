"""What people are told by a command when storage fails them, in SimCord: never a path, never "done"."""

from __future__ import annotations

from pathlib import Path

import discord

from .account import account as logged_in
from .test_commands_talk import told
from .world import settings


async def test_what_storage_says_is_for_the_owner_and_others_hear_that_it_is_out_of_reach(tmp_path: Path) -> None:
    async with logged_in(tmp_path, settings(tmp_path)) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("general")
        ana = guild.add_member(env.create_user("ana"))
        await w.store.close()
        told_all = "I cannot reach my storage right now; an admin's `troupe status` knows more."
        assert told(await ana.slash(channel, "session list")) == told_all
        application = env.bot.application
        assert application is not None
        application.owner, application.team = env.bot.get_user(ana.id) or discord.Object(ana.id), None  # type: ignore[assignment]
        assert told(await ana.slash(channel, "session list")) == "The store of sage is closed: open it again."
        assert len(env.errors) == 2


async def test_a_clearing_that_fails_does_not_say_that_it_is_done(tmp_path: Path) -> None:
    async with logged_in(tmp_path, settings(tmp_path)) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("general")
        ana = guild.add_member(env.create_user("ana"))
        await ana.slash(channel, "chat", text="the secret is plum")
        result = await ana.slash(channel, "clear")
        assert result.response is not None
        await w.store.close()
        await ana.click(result.response.message, label="Clear")
        assert result.response.content == "It was not done, or not all of it."
        assert len(env.errors) == 1
