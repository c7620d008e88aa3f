"""`/memory` in SimCord: people see, add, correct and remove what is theirs, and nothing that is anothers'."""

from __future__ import annotations

from pathlib import Path

import discord

from storage.records import Memory

from .test_commands_talk import account, spoken, told


async def test_somebody_sees_corrects_and_removes_what_is_remembered_of_them(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("general")
        ana, ben = guild.add_member(env.create_user("ana")), guild.add_member(env.create_user("ben"))
        assert "I remember nothing of you" in told(await ana.slash(channel, "memory list"))
        kept = told(await ana.slash(channel, "memory remember", text="I live in **Rome** @everyone"))
        assert kept.startswith("I remember it. I may tell it in this place.")
        listed = told(await ana.slash(channel, "memory list"))
        assert "- I live in \\*\\*Rome\\*\\* \\@everyone · here" in listed
        assert "Rome" not in told(await ben.slash(channel, "memory list"))
        (offered,) = await ana.autocomplete(channel, "memory forget", "which", "rome")
        assert await ben.autocomplete(channel, "memory forget", "which", "rome") == []
        refused = told(await ben.slash(channel, "memory correct", which=offered["value"], text="I live in Bonn"))
        assert "No memory of yours reads like that" in refused
        await ana.slash(channel, "memory correct", which=offered["value"], text="I live in Oslo")
        assert "Oslo" in (listed := told(await ana.slash(channel, "memory list")))
        assert "Rome" not in listed
        assert "Rome" in told(await ana.slash(channel, "memory undo", which="I live in Oslo"))
        assert "for good" in told(await ana.slash(channel, "memory forget", which="rome"))
        assert "I remember nothing of you" in told(await ana.slash(channel, "memory list"))
        assert (await w.store.records(Memory)).items == (), "history is gone, too"
        assert spoken(channel) == [], "it is nobody else's business"


async def test_what_is_for_a_server_is_for_those_who_manage_it_and_what_is_for_all_for_the_owner(
    tmp_path: Path,
) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("general")
        role = guild.create_role("keepers", permissions=discord.Permissions(manage_guild=True))
        ana = guild.add_member(env.create_user("ana"))
        mia = guild.add_member(env.create_user("mia"), roles=[role])
        wish = {"text": "No spoilers", "scope": "server"}
        assert "Manage Server" in told(await ana.slash(channel, "memory remember", **wish))
        assert "everywhere on this server" in told(await mia.slash(channel, "memory remember", **wish))
        assert "whoever runs me" in told(await mia.slash(channel, "memory remember", text="x y z", scope="everywhere"))
        (rule,) = (await w.store.records(Memory)).items
        assert rule.audience == f"guild:{guild.id}"
        assert "No spoilers" in told(await mia.slash(channel, "memory list"))
        assert "No memory of yours" in told(await ana.slash(channel, "memory forget", which="No spoilers"))
        common = rule.model_copy(update={"id": "common", "audience": "bot", "subject": "bot", "text": "Tea is warm"})
        await w.store.keep(common)
        assert "only whoever runs me" in told(await mia.slash(channel, "memory forget", which="Tea is warm"))


async def test_learning_is_paused_and_resumed_by_each_for_themselves(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("general")
        ana = guild.add_member(env.create_user("ana"))
        assert "I learn nothing" in told(await ana.slash(channel, "memory pause"))
        assert await w.bot.memory.memories.paused(str(ana.id))
        assert "paused" in told(await ana.slash(channel, "memory list"))
        assert "I may learn" in told(await ana.slash(channel, "memory pause", state="off"))
        assert not await w.bot.memory.memories.paused(str(ana.id))
