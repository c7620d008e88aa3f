"""What commands show and do only for those who may, and what is found out before everybody sees a question."""

from __future__ import annotations

from pathlib import Path

import discord
import pytest

from .test_commands_talk import account, spoken, told

NO_PAST = discord.PermissionOverwrite(read_message_history=False)


@pytest.mark.parametrize(
    ("command", "more"),
    [
        ("search", {"words": "zanzibar"}),
        ("export", {}),
        ("session list", {}),
        ("session show", {}),
        ("summary", {}),
        ("context", {}),
    ],
)
async def test_whoever_may_not_read_the_past_of_a_channel_is_not_shown_it(
    tmp_path: Path, command: str, more: dict[str, str]
) -> None:
    async with account(tmp_path) as (_, env):
        guild = env.create_guild()
        ana, ben = guild.add_member(env.create_user("ana")), guild.add_member(env.create_user("ben"))
        channel = guild.create_text_channel("advice-life", overwrites={ben: NO_PAST})
        await ana.send(channel, "zanzibar is far")
        assert told(await ben.slash(channel, command, **more)).startswith("You may not read the past of this channel")
        assert "may not read" not in told(await ana.slash(channel, command, **more))
        assert await ben.autocomplete(channel, "session resume", "which", "") == []
        assert len(await ana.autocomplete(channel, "session resume", "which", "")) == 1


async def test_what_somebody_says_is_kept_with_whether_they_may_read_the_past(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        ana, ben = guild.add_member(env.create_user("ana")), guild.add_member(env.create_user("ben"))
        channel = guild.create_text_channel("advice-life", overwrites={ben: NO_PAST})
        for who in (ana, ben):
            await who.send(channel, f"zanzibar is far, says {who.name}")
            await who.slash(channel, "chat", text=f"how far is it, {who.name} asks?")
        lines = [each for each in (await w.store.read()).items if each.role == "user"]
        shut = {each.words for each in lines if each.metadata.get("reads_past") == "no"}
        assert shut == {"zanzibar is far, says ben", "how far is it, ben asks?"}
        assert len(lines) == 4


async def test_a_question_that_no_budget_allows_is_declined_before_anybody_sees_it(tmp_path: Path) -> None:
    async with account(tmp_path, budgets=[{"per": "user", "messages": 1}]) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("general")
        ana = guild.add_member(env.create_user("ana"))
        await ana.slash(channel, "chat", text="one")
        before, kept = len(spoken(channel)), (await w.store.counts()).messages
        for _ in range(2):
            result = await ana.slash(channel, "chat", text="two")
            assert result.ephemeral
            assert told(result).startswith("You have used up your 1 answer for today; I can answer again ")
        line = await ana.send(channel, "look at this")
        result = await ana.context_menu(channel, "Ask about this", line)
        assert told(result).startswith("You have used up")
        assert (len(spoken(channel)), (await w.store.counts()).messages) == (before, kept)


async def test_a_question_where_the_bot_may_not_write_is_declined_before_anybody_sees_it(tmp_path: Path) -> None:
    async with account(tmp_path) as (_, env):
        guild = env.create_guild()
        assert env.bot.user is not None
        mute = discord.PermissionOverwrite(send_messages=False)
        channel = guild.create_text_channel("general", overwrites={env.bot.user: mute})
        ana = guild.add_member(env.create_user("ana"))
        result = await ana.slash(channel, "chat", text="hello")
        assert told(result).startswith("I may not write here myself.")
        assert spoken(channel) == []


async def test_a_persona_that_nobody_knows_is_told_to_the_asker_alone(tmp_path: Path) -> None:
    async with account(tmp_path) as (_, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("general")
        ana = guild.add_member(env.create_user("ana"))
        result = await ana.slash(channel, "chat", text="hello", persona="gadfly")
        assert told(result).startswith("Nobody here is called gadfly.")
        assert spoken(channel) == []


async def test_what_others_said_is_cleared_by_moderators_and_ones_own_by_oneself(tmp_path: Path) -> None:
    async with account(tmp_path) as (_, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        mods = guild.create_role("mods", permissions=discord.Permissions(manage_messages=True))
        ana, ben = guild.add_member(env.create_user("ana")), guild.add_member(env.create_user("ben"))
        mod = guild.add_member(env.create_user("mod"), roles=[mods])
        await ana.send(channel, "how do plums grow?")
        assert "for those with the permission Manage Messages" in told(await ben.slash(channel, "clear"))
        asked = await ana.slash(channel, "clear")
        await ben.send(channel, "and pears?")
        assert asked.response is not None
        await ana.click(asked.response, label="Clear")
        assert "has cleared" not in spoken(channel)[-1].content, "others have spoken meanwhile"
        asked = await mod.slash(channel, "clear")
        assert asked.response is not None
        await mod.click(asked.response, label="Clear")
        note = "-# mod has cleared what was said here; `/session resume` brings it back."
        assert spoken(channel)[-1].content == note


async def test_a_session_is_merged_by_who_took_part_in_it_or_moderates(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana, ben = guild.add_member(env.create_user("ana")), guild.add_member(env.create_user("ben"))
        await ana.send(channel, "how do plums grow?")
        (first,) = await w.store.sessions()
        await ana.slash(channel, "new")
        await ben.send(channel, "how do I bake bread?")
        assert "You took no part in that session" in told(await ben.slash(channel, "merge", which=first.id))
        (other,) = await ana.autocomplete(channel, "merge", "which", "")
        assert other["value"] == first.id, "the session under way is not among them"
        assert "are one session now" in told(await ana.slash(channel, "merge", which="How do plums  grow?"))
        assert await ana.autocomplete(channel, "merge", "which", "") == []


async def test_a_title_names_its_session_where_no_other_has_it(tmp_path: Path) -> None:
    async with account(tmp_path) as (_, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana = guild.add_member(env.create_user("ana"))
        await ana.send(channel, "plums")
        await ana.slash(channel, "session archive")
        await ana.send(channel, "pears")
        assert "**plums**" in told(await ana.slash(channel, "session show", which="Plums"))
        (found,) = await ana.autocomplete(channel, "session show", "which", "plums")
        assert found["name"].startswith("🗄️ ")
        assert "🗄️ archived, 🧹 cleared" in told(await ana.slash(channel, "session list", archived=True))
        await ana.slash(channel, "session rename", title="plums")
        assert "2 sessions here are called that" in told(await ana.slash(channel, "export", which="plums"))


async def test_a_search_finds_what_was_said_once_and_none_of_the_bots_notices(tmp_path: Path) -> None:
    async with account(tmp_path) as (_, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana = guild.add_member(env.create_user("ana"))
        await ana.send(channel, "how do plums grow?")
        await ana.slash(channel, "branch", into="thread")
        await ana.slash(channel, "branch", into="here")
        found = told(await ana.slash(channel, "search", words="plums", everywhere=True))
        assert found.count("how do **plums** grow?") == 1
        assert f"/{channel.id}/" in found
        assert "`everywhere:True` looks in all places" in told(await ana.slash(channel, "search", words="branched"))


async def test_help_begins_with_how_to_talk_to_the_bot(tmp_path: Path) -> None:
    async with account(tmp_path, discord={"dms": {"policy": "off"}}) as (_, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("general")
        user = env.create_user("ana")
        assert env.bot.user is not None
        shown = told(await guild.add_member(user).slash(channel, "help"))
        assert shown.startswith(f"Mention <@{env.bot.user.id}>, reply to me, or begin with my name.")
        assert "> Sage, what does" in shown.splitlines()[1]
        assert "*Remember this*: I keep it in mind" in shown
        assert "Write to me here" not in told(await user.slash("help"))


async def test_whoever_was_told_that_a_budget_is_used_up_gets_a_sign_from_then_on(tmp_path: Path) -> None:
    async with account(tmp_path, budgets=[{"per": "user", "messages": 1}]) as (_, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana = guild.add_member(env.create_user("ana"))
        lines = [(await ana.send(channel, text)).id for text in ("how do plums grow?", "and pears?", "and figs?")]
        assert "used up your 1 answer" in spoken(channel)[-1].content
        signs = {message.id: [str(each.emoji) for each in message.reactions] for message in channel.history()}
        assert [signs[id] for id in lines] == [[], [], ["⏳"]]
