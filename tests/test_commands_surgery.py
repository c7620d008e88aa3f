"""Commands that tag, copy, compare and keep sessions, and searches by more than words, in SimCord."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import discord

from storage.model import Sender
from storage.records import Template

from .test_commands_sessions import later
from .test_commands_talk import account, spoken, told


async def test_a_session_is_tagged_and_found_by_its_tag(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana = guild.add_member(env.create_user("ana"))
        await ana.send(channel, "how do plums grow?")
        assert told(await ana.slash(channel, "session tag", add="fruit, *to do*")) == "Its tags: fruit, \\*to do\\*."
        await ana.slash(channel, "new")
        await ana.send(channel, "how do I bake plum bread?")
        day = w.clock.at.date().isoformat()
        for narrowed in ({"person": ana, "since": day, "until": day}, {"persona": "Sage"}, {"starred": False}):
            assert "plums" in told(await ana.slash(channel, "session list", **narrowed))
        for narrowed in ({"starred": True}, {"files": True}, {"until": "2020-01-01"}):
            assert told(await ana.slash(channel, "session list", **narrowed)) == "There are no sessions here."
        listed = told(await ana.slash(channel, "session list", tag="Fruit"))
        assert listed.startswith("**how do plums grow?** `fruit` `*to do*` <t:")
        assert "bread" not in listed
        found = told(await ana.slash(channel, "search", words="plum*", tag="fruit"))
        assert "bread" not in found
        assert "**plum**s" in found
        assert [each["value"] for each in await ana.autocomplete(channel, "search", "tag", "FRU")] == ["fruit"]
        (first,) = [each for each in await w.store.sessions() if each.tags]
        assert "fruit" not in told(await ana.slash(channel, "session tag", remove="Fruit", which=first.id))
        assert "between 1 and 40 letters" in told(await ana.slash(channel, "session tag", add="x" * 41))


async def test_a_search_is_narrowed_down_by_person_day_and_file(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel, other = guild.create_text_channel("advice-life"), guild.create_text_channel("advice-food")
        ana, ben = guild.add_member(env.create_user("ana")), guild.add_member(env.create_user("ben"))
        await ana.send(channel, "plums are blue")
        await ben.send(other, "plums are sweet")
        first = w.clock.at.date().isoformat()
        await later(w, env, 200_000)
        await ben.send(channel, "plums are round")
        ask = {"words": "plums", "everywhere": True}
        assert "blue" not in told(await ana.slash(channel, "search", **ask, person=ben))
        by_ben = told(await ana.slash(channel, "search", person=ben))
        assert "round" in by_ben
        assert "sweet" not in by_ben, "it was said elsewhere"
        early = told(await ana.slash(channel, "search", **ask, until=first))
        assert ("blue" in early, "sweet" in early, "round" in early) == (True, True, False)
        assert "sweet" in told(await ana.slash(channel, "search", words="plums", channel=other))
        assert told(await ana.slash(channel, "search", words="plums", files=True)).startswith(
            "Nothing said here holds plums and is like that."
        )
        assert "is no day" in told(await ana.slash(channel, "search", words="plums", since="soon"))
        assert "Say which words" in told(await ana.slash(channel, "search"))


async def test_a_place_that_one_may_not_read_is_not_searched_for_them(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        ana, ben = guild.add_member(env.create_user("ana")), guild.add_member(env.create_user("ben"))
        closed: dict[Any, discord.PermissionOverwrite] = {ana: discord.PermissionOverwrite(view_channel=False)}
        here = guild.create_text_channel("advice-life")
        secret = guild.create_text_channel("advice-staff", overwrites=closed)
        await ben.send(secret, "the code is plum")
        (session,) = await w.store.sessions()
        await ben.slash(secret, "session tag", add="staff")
        await ana.send(here, "hello")
        for narrowed in ({"person": ben}, {"tag": "staff"}, {"since": "2020-01-01"}, {"persona": "sage"}):
            assert "plum" not in told(await ana.slash(here, "search", everywhere=True, **narrowed))
        assert "**plum**" in told(await ben.slash(here, "search", words="plum", channel=secret))
        assert await ana.autocomplete(here, "search", "tag", "") == []
        for command, more in (("session duplicate", {}), ("session template", {"name": "x"}), ("session compare", {})):
            answer = told(await ana.slash(here, command, which=session.id, **more))
            assert "no session" in answer
            assert "plum" not in answer


async def test_a_copy_is_made_and_taken_up_by_its_name(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana = guild.add_member(env.create_user("ana"))
        await ana.send(channel, "how do plums grow?")
        (source,) = await w.store.sessions()
        answer = told(await ana.slash(channel, "session duplicate"))
        assert answer == "Duplicated as Copy of how do plums grow?: `/session resume` takes it up."
        again = told(await ana.slash(channel, "session duplicate"))
        assert again == "Duplicated as Copy 2 of how do plums grow?: `/session resume` takes it up."
        assert (await w.store.sessions())[0].id == source.id
        await ana.slash(channel, "session resume", which="Copy of how do plums grow?")
        assert (await w.store.sessions())[0].parent_id == source.id


async def test_two_sessions_are_compared_in_words_and_as_a_page(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana = guild.add_member(env.create_user("ana"))
        await ana.send(channel, "how do plums grow?")
        (source,) = await w.store.sessions()
        await ana.slash(channel, "branch")
        await ana.send(channel, "and **pears**?\n> quoted")
        result = await ana.slash(channel, "session compare", which=source.id)
        assert result.ephemeral
        shown = told(result)
        assert "2 lines in common, 0 only in the first, 2 only in the second." in shown
        assert "\n> ▶ ana: and \\*\\*pears\\*\\*? \\> quoted" in shown
        assert result.response is not None
        (page,) = result.response.attachments
        assert page.filename == "comparison.html"
        assert "pears" in (await page.read()).decode()
        (branch,) = [each for each in await w.store.sessions() if each.parent_id]
        assert "same session twice" in told(await ana.slash(channel, "session compare", which=branch.id))
        merged = told(await ana.slash(channel, "merge", which=source.id))
        assert "are archived, as they were: `/session resume` takes either up again." in merged


async def test_a_new_session_begins_with_a_template_that_was_saved_here(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel, other = guild.create_text_channel("advice-life"), guild.create_text_channel("advice-food")
        mods = guild.create_role("mods", permissions=discord.Permissions(manage_messages=True))
        ana, ben = guild.add_member(env.create_user("ana")), guild.add_member(env.create_user("ben"))
        mia = guild.add_member(env.create_user("mia"), roles=[mods])
        await ana.send(channel, "how do plums grow?")
        await ana.slash(channel, "session rename", title="Garden")
        saved = told(await ana.slash(channel, "session template", name="Plums", lines=2))
        assert saved == "Saved: `/new template:` offers Plums here."
        assert [each["value"] for each in await ben.autocomplete(channel, "new", "template", "plu")] == ["Plums"]
        assert await ben.autocomplete(other, "new", "template", "plu") == []
        await ben.slash(channel, "new", template="plums")
        assert spoken(channel)[-2].content.endswith("-# It begins with the template Plums.")
        session = (await w.store.sessions())[0]
        assert session.title == "Garden"
        lines = await w.store.messages(session.id)
        assert [line.role for line in lines] == ["user", "assistant", "system"]
        assert lines[1].receipts[0].origin == f"discord:{channel.id}:{spoken(channel)[-1].id}", "people see it as well"
        await ben.slash(other, "new", template="plums")
        assert not await w.store.sessions(f"discord:{other.id}"), "what was said here stays here"
        assert "somebody else's" in told(await ben.slash(channel, "session template", name="plums", remove=True))
        await mia.slash(channel, "session template", name="plums", remove=True)
        assert not (await w.store.records(Template)).items


async def test_what_a_template_begins_with_is_shown_once_by_whom_it_names(tmp_path: Path) -> None:
    opening = [{"role": "assistant", "text": "Who are you?"}]
    async with account(tmp_path, templates=[{"name": "Interview", "persona": "marcus", "opening": opening}]) as (
        w,
        env,
    ):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana = guild.add_member(env.create_user("ana"))
        await ana.slash(channel, "new", template="interview")
        (begun, shown) = spoken(channel)
        assert begun.content.endswith("-# It begins with the template Interview.")
        assert shown.content == "**Marcus**\nWho are you?"
        (session,) = await w.store.sessions()
        said = [line for line in await w.store.messages(session.id) if line.role == "assistant"]
        assert [(line.words, line.persona) for line in said] == [("Who are you?", "marcus")]
        assert said[0].receipts[0].origin == f"discord:{channel.id}:{shown.id}"


async def test_a_template_that_is_offered_elsewhere_too_is_no_business_of_a_moderator(tmp_path: Path) -> None:
    async with account(tmp_path, templates=[{"name": "Written"}]) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        mods = guild.create_role("mods", permissions=discord.Permissions(manage_messages=True))
        mia = guild.add_member(env.create_user("mia"), roles=[mods])
        await mia.send(channel, "how do plums grow?")
        (session,) = await w.store.sessions()
        operator = Sender(type="system", id="operator", name="whoever runs the bot")
        await w.bot.conversations.templates.save(w.bot.settings, session, "Mine", operator, everywhere=True)
        await mia.send_dm("hello")
        for name, sentence in (
            ("mine", "That template is somebody else's: ask whoever made it, or who runs this bot."),
            ("written", "stands in the configuration: whoever runs this bot can take it out there"),
        ):
            for asked in (
                await mia.slash(channel, "session template", name=name, remove=True),
                await mia.user.slash("session template", name=name, remove=True),
            ):
                assert sentence in told(asked)
        assert len((await w.store.records(Template)).items) == 1


async def test_what_a_session_is_is_decided_by_who_took_part_in_it_or_moderates(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        mods = guild.create_role("mods", permissions=discord.Permissions(manage_messages=True))
        ana, ben = guild.add_member(env.create_user("ana")), guild.add_member(env.create_user("ben"))
        mia = guild.add_member(env.create_user("mia"), roles=[mods])
        await ana.send(channel, "how do plums grow?")
        (session,) = await w.store.sessions()
        await ana.slash(channel, "session star")
        acts: list[tuple[str, dict[str, Any]]] = [("duplicate", {}), ("archive", {}), ("tag", {"add": "fruit"})]
        for act, more in acts:
            assert "You took no part in that session" in told(
                await ben.slash(channel, f"session {act}", which=session.id, **more)
            )
        assert await w.store.sessions() == [await w.store.session(session.id)]
        assert "no tags" in told(await ben.slash(channel, "session tag", which=session.id)), "to look is free"
        for act, more in acts:
            assert "You took no part" not in told(await mia.slash(channel, f"session {act}", which=session.id, **more))
        copy, original = sorted(await w.store.sessions(), key=lambda each: each.starred)
        assert (copy.starred, original.starred, original.archived, original.tags) == (False, True, True, ("fruit",))
