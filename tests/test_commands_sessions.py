"""Commands about sessions, in SimCord: what people find, change and take along, and whose sessions they never see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import discord
import pytest
import simcord

from storage.model import Text

from .test_commands_talk import account, spoken, told
from .world import World


async def later(w: World, env: simcord.Env, seconds: float) -> None:
    """Lets time pass, for Discord and for the bot."""
    await env.advance_time(seconds)
    w.clock.at = env.now()


async def test_sessions_are_listed_by_their_first_words_and_found_as_one_types(tmp_path: Path) -> None:
    async with account(tmp_path) as (_, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana = guild.add_member(env.create_user("ana"))
        await ana.send(channel, "how do plums grow?")
        await ana.slash(channel, "new")
        await ana.send(channel, "how do I bake bread?")
        listed = told(await ana.slash(channel, "session list"))
        assert listed.index("**how do I bake bread?**") < listed.index("**how do plums grow?**")
        assert "bread" not in told(await ana.slash(channel, "session list", text="PLUMS"))
        (found,) = await ana.autocomplete(channel, "session resume", "which", "plums")
        assert found["name"].endswith("how do plums grow?")
        assert len(spoken(channel)) == 3, "a list is nobody else's business"


async def test_an_earlier_session_is_taken_up_again(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana = guild.add_member(env.create_user("ana"))
        await ana.send(channel, "how do plums grow?")
        (first,) = await w.store.sessions()
        await ana.slash(channel, "new")
        await ana.send(channel, "how do I bake bread?")
        await ana.slash(channel, "session resume", which=first.id)
        assert spoken(channel)[-1].content == "-# ana has taken up an earlier session again: how do plums grow?"
        await later(w, env, 7200)
        line = await ana.send(channel, "and pears?")
        kept = await w.store.find(f"discord:{channel.id}:{line.id}")
        assert kept is not None
        assert kept.session_id == first.id


async def test_a_session_is_named_starred_archived_and_shown(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana = guild.add_member(env.create_user("ana"))
        await ana.send(channel, "how do plums grow?")
        assert (
            told(await ana.slash(channel, "session rename", title="**Plums**")) == "It is called \\*\\*Plums\\*\\* now."
        )
        await ana.slash(channel, "session star")
        await ana.slash(channel, "session archive")
        (session,) = await w.store.sessions()
        assert (session.title, session.starred, session.archived) == ("**Plums**", True, True)
        shown = told(await ana.slash(channel, "session show", which=session.id))
        assert shown.startswith("⭐ 🗄️ **\\*\\*Plums\\*\\***")
        assert "With ana." in shown
        assert "There are no sessions here." in told(await ana.slash(channel, "session list"))
        assert "Plums" in told(await ana.slash(channel, "session list", archived=True))


async def test_other_places_sessions_are_out_of_reach_for_those_who_may_not_read_them(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        ana, ben = guild.add_member(env.create_user("ana")), guild.add_member(env.create_user("ben"))
        closed: dict[Any, discord.PermissionOverwrite] = {ana: discord.PermissionOverwrite(view_channel=False)}
        here = guild.create_text_channel("advice-life")
        secret = guild.create_text_channel("advice-staff", overwrites=closed)
        await ben.send(secret, "the code is plum")
        (session,) = await w.store.sessions()
        for command in ("session show", "session resume", "session rename", "merge", "export"):
            await ana.send(here, "hello")
            more = {"title": "mine"} if command == "session rename" else {}
            answer = told(await ana.slash(here, command, which=session.id, **more))
            assert "plum" not in answer
            assert "no session" in answer
        assert (await w.store.session(session.id)) == session
        assert "plum" not in told(await ana.slash(here, "search", words="plum", everywhere=True)).replace(
            "holds plum", ""
        )
        assert "**plum**" in told(await ben.slash(here, "search", words="plum", everywhere=True))


async def test_what_is_said_privately_is_never_found_in_a_guild(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        user = env.create_user("ana")
        ana = guild.add_member(user)
        await ana.send_dm("my secret is plum")
        (session,) = await w.store.sessions()
        assert (
            told(await ana.slash(channel, "search", words="plum", everywhere=True)) == "Nothing said here holds plum."
        )
        assert "no session" in told(await ana.slash(channel, "session show", which=session.id))


async def test_a_search_shows_who_when_and_where_with_the_hits_in_bold(tmp_path: Path) -> None:
    async with account(tmp_path) as (_, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana, ben = guild.add_member(env.create_user("ana")), guild.add_member(env.create_user("b_e_n"))
        line = await ben.send(channel, "I like [plum](https://evil.example) *cake*")
        found = told(await ana.slash(channel, "search", words="plum"))
        assert f"**b\\_e\\_n** <t:{int(line.created_at.timestamp())}:f> {line.jump_url}" in found
        assert "I like \\[**plum**\\]\\(https" in found
        assert "\\*cake\\*" in found


async def test_private_threads_are_searched_only_for_those_who_are_in_them(tmp_path: Path) -> None:
    async with account(tmp_path) as (_, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("general")
        ana, ben = guild.add_member(env.create_user("ana")), guild.add_member(env.create_user("ben"))
        place = env.bot.get_channel(channel.id)
        assert isinstance(place, discord.TextChannel)
        thread = await place.create_thread(name="secret", type=discord.ChannelType.private_thread)
        await thread.add_user(discord.Object(ben.id))
        (handle,) = channel.threads
        assert env.bot.user is not None
        await ben.send(handle, f"{env.bot.user.mention} the code is plum")
        assert "**plum**" in told(await ben.slash(channel, "search", words="plum", everywhere=True))
        assert "**plum**" not in told(await ana.slash(channel, "search", words="plum", everywhere=True))
        await ana.send(channel, f"{env.bot.user.mention} the tree is a plum")
        found = told(await ana.slash(channel, "search", words="plum", everywhere=True))
        assert "the tree is a **plum**" in found
        assert "code" not in found


@pytest.mark.parametrize(
    ("gap", "answer", "seconds"),
    [
        ("5 minutes", "a silence of 5 minutes begins a new session here", 300.0),
        ("1 hour", "a silence of 1 hour begins a new session here", 3600.0),
        ("90 SECONDS", "a silence of 90 seconds begins a new session here", 90.0),
        ("30m", "a silence of 30 minutes begins a new session here", 1800.0),
        ("off", "no silence begins a new session here", None),
    ],
)
async def test_a_place_gets_a_silence_of_its_own(tmp_path: Path, gap: str, answer: str, seconds: float | None) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        mods = guild.create_role("mods", permissions=discord.Permissions(manage_channels=True))
        ana, ben = guild.add_member(env.create_user("ana"), roles=[mods]), guild.add_member(env.create_user("ben"))
        await ana.send(channel, "hello")
        assert "with the permission Manage Channels" in told(await ben.slash(channel, "session policy", gap=gap))
        assert w.bot.sessions.gap((await w.store.sessions())[0].channel) == (300, "settings")
        assert answer in told(await ana.slash(channel, "session policy", gap=gap))
        assert spoken(channel)[-1].content == f"-# ana has set that {answer}."
        (session,) = await w.store.sessions()
        assert w.bot.sessions.gap(session.channel) == (seconds, "channel")
        await ana.slash(channel, "session policy", gap="default")
        assert w.bot.sessions.gap(session.channel) == (300, "settings")


async def test_a_silence_that_is_none_is_explained(tmp_path: Path) -> None:
    async with account(tmp_path) as (_, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana = guild.add_member(env.create_user("ana"))
        for gap in ("soon", "-5 minutes", "nan hours", "1e300 days", "5", "99999999 weeks", "2 s s"):
            assert "write it as '5 minutes'" in told(await ana.slash(channel, "session policy", gap=gap))
        found = await ana.autocomplete(channel, "session policy", "gap", "hour")
        assert [each["value"] for each in found] == ["1 hour", "6 hours"]


async def test_the_next_line_continues_a_session_that_is_kept(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana = guild.add_member(env.create_user("ana"))
        await ana.send(channel, "hello")
        await ana.slash(channel, "session keep")
        await later(w, env, 7200)
        await ana.send(channel, "hello again")
        assert len(await w.store.sessions()) == 1


async def test_a_branch_goes_on_in_a_thread_that_knows_what_was_said(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana = guild.add_member(env.create_user("ana"))
        await ana.send(channel, "how do plums grow?")
        (source,) = await w.store.sessions()
        answer = told(await ana.slash(channel, "branch", into="thread"))
        (thread,) = channel.threads
        assert thread.mention in answer
        (branch,) = await w.store.sessions(f"discord:{thread.id}")
        assert branch.parent_id == source.id
        assert (await w.store.messages(branch.id))[0].text == "how do plums grow?"


async def test_a_branch_from_a_message_leaves_out_what_came_after_it(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana = guild.add_member(env.create_user("ana"))
        line = await ana.send(channel, "how do plums grow?")
        await ana.send(channel, "and pears?")
        await ana.context_menu(channel, "Branch from here", line)
        branch = next(each for each in await w.store.sessions() if each.parent_id)
        assert [m.text for m in await w.store.messages(branch.id)] == ["how do plums grow?"]


async def test_without_the_right_to_make_threads_a_branch_says_what_to_do(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana = guild.add_member(env.create_user("ana"))
        await ana.send(channel, "how do plums grow?")
        env.inject_error("POST", f"/channels/{channel.id}/threads", status=403, code=50013)
        assert "I may not make threads here." in told(await ana.slash(channel, "branch", into="thread"))
        assert len(await w.store.sessions()) == 1
        await ana.slash(channel, "branch")
        assert spoken(channel)[-1].content == "-# ana has branched off here: how do plums grow?"


async def test_whoever_may_not_open_threads_gets_none_opened_by_the_bot(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        mute = discord.PermissionOverwrite(create_public_threads=False)
        ana = guild.add_member(env.create_user("ana"))
        channel = guild.create_text_channel("advice-life", overwrites={ana: mute})
        line = await ana.send(channel, "how do plums grow?")
        assert "You may not open threads here yourself" in told(await ana.slash(channel, "branch", into="thread"))
        assert len(await w.store.sessions()) == 1
        await ana.context_menu(channel, "Branch from here", line)
        assert channel.threads == []
        assert len(await w.store.sessions("discord:" + str(channel.id))) == 2


async def test_another_session_is_brought_into_the_one_under_way(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana = guild.add_member(env.create_user("ana"))
        await ana.send(channel, "how do plums grow?")
        (first,) = await w.store.sessions()
        await ana.slash(channel, "new")
        await ana.send(channel, "how do I bake bread?")
        answer = told(await ana.slash(channel, "merge", which=first.id))
        assert answer.startswith("2 lines of how do plums grow? and what was said here are one session now")
        now = next(each for each in await w.store.sessions() if not each.archived)
        said = [m.text for m in await w.store.messages(now.id) if m.role == "user"]
        assert said == ["how do plums grow?", "how do I bake bread?"]
        assert [each.archived for each in await w.store.sessions()] == [False, True, True]


async def test_a_session_is_taken_along_as_a_file_for_the_asker_alone(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana = guild.add_member(env.create_user("ana"))
        await ana.send(channel, "how do plums grow?")
        result = await ana.slash(channel, "export", format="json")
        assert result.ephemeral
        assert result.response is not None
        (file,) = result.response.attachments
        assert file.filename.endswith(".json")
        told_session = json.loads(await file.read())
        (session,) = await w.store.sessions()
        assert told_session["sessions"][0]["id"] == session.id
        assert [each["role"] for each in told_session["messages"]] == ["user", "assistant"]


async def test_a_session_too_large_for_a_file_here_says_so(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana = guild.add_member(env.create_user("ana"))
        await ana.send(channel, "how do plums grow?")
        (session,) = await w.store.sessions()
        line = (await w.store.messages(session.id))[0]
        long = line.model_copy(update={"id": "long", "origin": None, "parts": (Text(text="p" * 27_500_000),)})
        await w.store.append(session, long)
        assert "This session takes 26.2 MiB as txt, and files here may have 25 MiB." in told(
            await ana.slash(channel, "export", format="txt")
        )


async def test_commands_work_in_private_conversations_too(tmp_path: Path) -> None:
    async with account(tmp_path) as (_, env):
        ana = env.create_user("ana")
        await ana.send_dm("how do plums grow?")
        assert "**how do plums grow?**" in told(await ana.slash("session list"))
        assert "**plums**" in told(await ana.slash("search", words="plums", everywhere=True))
        assert "A thread can only be made in a text channel" in told(await ana.slash("branch", into="thread"))
