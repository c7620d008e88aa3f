"""The Discord front's behaviour, in SimCord: when the bot speaks, when it is silent, and what it shows and keeps."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import discord
import pytest
import simcord

from bots.discord.client import Front
from bots.settings import BotSettings

from .world import World, persona, settings, world

PATTERNS = {"always": ["advice-*"], "listen": ["news"], "mention": ["quiet"]}


@asynccontextmanager
async def account(
    tmp_path: Path, config: BotSettings | None = None, **discord_settings: Any
) -> AsyncIterator[tuple[World, simcord.Env]]:
    """A bot logged in to a simulated Discord."""
    config = config or settings(siblings=["Logic", "logic"], discord={"channels": PATTERNS, **discord_settings})
    async with world(config) as w:
        front = Front(w.bot, refusals_file=tmp_path / "refusals", clock=time.time, ticks=time.monotonic, report=_ignore)
        async with simcord.run(front) as env:
            yield w, env


def _ignore(_facts: dict[str, object]) -> None:
    """Status is not what these tests are about."""


def me(env: simcord.Env) -> discord.ClientUser:
    assert env.bot.user is not None
    return env.bot.user


def answers(channel: Any) -> list[discord.Message]:
    return [message for message in channel.history() if message.author.bot]


@pytest.mark.parametrize(
    ("channel_name", "text", "answered", "kept"),
    [
        ("general", "what is 6 * 7?", False, False),
        ("general", "{me} what is 6 * 7?", True, True),
        ("general", "hey sage, what is 6 * 7?", True, True),
        ("advice-life", "what is 6 * 7?", True, True),
        ("advice-life", "{ben} what is 6 * 7?", False, True),
        ("advice-life", "Logic, what is 6 * 7?", False, False),
        ("news", "the meeting is at noon", False, True),
        ("news", "{me} what is 6 * 7?", True, True),
        ("quiet", "what is 6 * 7?", False, False),
    ],
)
async def test_who_is_answered_where(tmp_path: Path, channel_name: str, text: str, answered: bool, kept: bool) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel(channel_name)
        ana, ben = guild.add_member(env.create_user("ana")), guild.add_member(env.create_user("ben"))
        await ana.send(channel, text.format(me=me(env).mention, ben=ben.mention))
        assert bool(answers(channel)) is answered
        assert ((await w.store.counts()).messages > 0) is kept


async def test_an_answer_replies_to_its_question_pings_nobody_and_equals_what_is_kept(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana = guild.add_member(env.create_user("ana"))
        question = await ana.send(channel, "what is 6 * 7? @everyone")
        (answer,) = answers(channel)
        assert answer.reference is not None
        assert answer.reference.message_id == question.id
        assert not answer.mention_everyone
        assert not answer.mentions
        (session,) = await w.store.sessions()
        kept = (await w.store.messages(session.id))[-1]
        assert answer.content == kept.text
        assert [receipt.origin for receipt in kept.receipts] == [f"discord:{channel.id}:{answer.id}"]


async def test_a_reply_to_the_bot_needs_no_mention(tmp_path: Path) -> None:
    async with account(tmp_path) as (_, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("general")
        ana = guild.add_member(env.create_user("ana"))
        await ana.send(channel, f"{me(env).mention} what is 2 + 2?")
        await ana.send(channel, "and what is 3 + 4?", reply_to=answers(channel)[0])
        assert "7" in answers(channel)[-1].content


@pytest.mark.parametrize(
    ("dms", "answered"),
    [
        ({"policy": "everyone"}, True),
        ({"policy": "off"}, False),
        ({"policy": "allowlist", "allow": ["1"]}, False),
    ],
)
async def test_the_policy_says_who_may_write_privately(tmp_path: Path, dms: dict[str, Any], answered: bool) -> None:
    async with account(tmp_path, dms=dms) as (w, env):
        ana = env.create_user("ana")
        await ana.send_dm("what is 6 * 7?")
        assert ((await w.store.counts()).messages > 0) is answered
        if answered:
            (session,) = await w.store.sessions()
            assert session.channel.kind == "dm"
            assert session.channel.safe_name == f"ana_{ana.id}"


async def test_people_with_unusual_names_in_unusual_channels_lose_nothing(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("🎭🎉")
        for name in ("\u200b\u200b", "\u202eevil", "שלום", "🦊"):
            await guild.add_member(env.create_user(name)).send(channel, f"{me(env).mention} what is 1 + 1?")
        assert len(answers(channel)) == 4
        session = (await w.store.sessions())[0]
        assert session.channel.name == "🎭🎉"
        assert session.channel.safe_name.endswith(str(channel.id))
        assert all(p.name.isprintable() and p.name.strip() for p in session.participants)


async def test_a_bare_mention_and_a_line_of_four_thousand_characters_are_answered(tmp_path: Path) -> None:
    async with account(tmp_path) as (_, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("general")
        ana = guild.add_member(env.create_user("ana"))
        await ana.send(channel, me(env).mention)
        assert len(answers(channel)) == 1


async def test_other_bots_are_answered_when_they_ask_and_only_a_few_times_in_a_row(tmp_path: Path) -> None:
    async with account(tmp_path, bot_turns=2) as (_, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana = guild.add_member(env.create_user("ana"))
        other = guild.add_member(env.create_user("other", bot=True))
        await other.send(channel, "unasked chatter")
        assert answers(channel)[0].content == "unasked chatter"
        for _ in range(4):
            await other.send(channel, f"{me(env).mention} what is 1 + 1?")
        mine = [m for m in answers(channel) if m.author.id == me(env).id]
        assert len(mine) == 2
        await ana.send(channel, "what is 2 + 2?")
        await other.send(channel, f"{me(env).mention} what is 1 + 1?")
        mine = [m for m in answers(channel) if m.author.id == me(env).id]
        assert len(mine) == 4


async def test_webhooks_and_system_messages_are_not_people(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        await guild.create_webhook(channel).send("what is 6 * 7?")
        assert (await w.store.counts()).messages == 0


async def test_a_missing_permission_is_survived(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana = guild.add_member(env.create_user("ana"))
        env.inject_error("POST", f"/channels/{channel.id}/messages", status=403, code=50013)
        await ana.send(channel, "what is 6 * 7?")
        await ana.send(channel, "what is 6 * 8?")
        assert "48" in answers(channel)[-1].content
        (session,) = await w.store.sessions()
        assert session.message_count == 4, "what could not be shown is still kept"


async def test_attachments_are_kept_as_references(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana = guild.add_member(env.create_user("ana"))
        files = [(f"cat{n}.png", b"\x89PNG") for n in range(10)]
        await ana.send(channel, "", attachments=files)
        (session,) = await w.store.sessions()
        line = (await w.store.messages(session.id))[0]
        assert [part.name for part in line.attachments] == [name for name, _ in files]


async def test_personas_are_called_by_name(tmp_path: Path) -> None:
    config = settings(personas=[persona("sage"), persona("marcus")])
    async with account(tmp_path, config) as (_, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("general")
        ana = guild.add_member(env.create_user("ana"))
        await ana.send(channel, "Marcus, what is 6 * 7?")
        assert answers(channel)[0].content.startswith("**Marcus**\n")
