"""What was said and done on Discord while a bot was away: kept, answered once, or told of as missed."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bots.discord.catchup import LastHeard
from bots.incoming import Incoming

from .away import home
from .stage import eventually

MISSED = "-# I was away and missed"


async def test_a_line_said_while_the_bot_was_away_is_kept_and_answered_once(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        async with here.awake():
            await here.server.answer_to(await here.say("before"))
        question = await here.say("meanwhile")
        async with here.awake() as sage:
            (answer,) = [one for one in here.server.messages(here.channel) if one.reference_id == question.id]
            assert answer.content == "heard Ana: meanwhile"
            assert await sage.lines() == ["before", "meanwhile"]
        async with here.awake() as sage:
            assert sage.model.asked == []
        assert len(here.said()) == 2


async def test_at_the_first_start_no_history_is_read(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        await here.say("long before the bot")
        async with here.awake() as sage:
            assert await sage.lines() == []
            assert here.asked("/messages") == 0


async def test_a_bot_that_is_killed_before_it_was_ever_ready_has_heard_what_is_said(
    tmp_path: Path,
) -> None:
    async with home(tmp_path) as here:
        async with here.awake(wait=False) as sage:
            await eventually(lambda: here.server.identifies[here.account] == 1)
            assert not sage.front.catchup.hears
        await here.say("hello")
        async with here.awake() as sage:
            assert await sage.lines() == ["hello"]
            assert here.said() == ["heard Ana: hello"]


async def test_where_nothing_was_said_nothing_is_asked_for(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        for number in range(20):
            here.guild.add_channel(f"advice-{number}")
        async with here.awake():
            await here.server.answer_to(await here.say("before"))
        async with here.awake():
            pass
        assert here.asked("/messages") == 1, "the one channel in which there was talk within the hour before"
        async with here.awake(later=7200):
            pass
        async with here.awake(later=7200):
            pass
        assert here.asked("/messages") == 0


async def test_several_lines_of_one_person_get_one_answer_and_others_get_their_own(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        async with here.awake():
            pass
        for who, text in ((here.ana, "one"), (here.ben, "other"), (here.ana, "two"), (here.ana, "three")):
            await here.say(text, who)
        async with here.awake() as sage:
            assert sorted(sage.model.asked) == ["Ana: one\nAna: two\nAna: three", "Ben: other"]
            assert len(here.said()) == 2
        async with here.awake() as sage:
            assert sage.model.asked == []


async def test_a_line_for_somebody_else_is_kept_where_the_bot_listens_and_never_answered(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        quiet, news = here.guild.add_channel("quiet"), here.guild.add_channel("news")
        async with here.awake():
            pass
        await here.say("look at this", mentions=[here.ben])
        await here.say("not for you", channel=quiet)
        await here.say("for you", channel=quiet, mentions=[here.account])
        await here.say("the meeting is at noon", channel=news)
        async with here.awake() as sage:
            assert sage.model.asked == ["Ana: for you"]
            assert len(await sage.lines()) == 3
            assert here.said() == here.said(news) == []


async def test_a_line_too_old_is_told_of_once_in_one_line(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        async with here.awake():
            pass
        await here.say("one")
        await here.say("two", here.ben)
        async with here.awake(later=1000) as sage:
            assert here.said() == [f"{MISSED} 2 messages to me here. Reply to one of them if it still matters."]
            assert sage.model.asked == []
            assert (await sage.kept())[-1].role == "system"
        async with here.awake(later=1060):
            pass
        assert len(here.said()) == 1


async def test_a_longer_gap_than_is_read_loses_its_oldest_lines(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        async with here.awake():
            pass
        for number in range(7):
            await here.say(str(number))
        async with here.awake(catchup={"messages": 3}) as sage:
            assert await sage.lines() == ["4", "5", "6"]


async def test_private_conversations_and_forum_posts_are_caught_up_with(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        dm = here.server.dm(here.ana, here.account)
        forum = here.guild.add_channel("advice-forum", "forum")
        thread = here.server.add_thread(here.channel, "aside")
        async with here.awake():
            await here.server.answer_to(await here.say("before", channel=dm))
            await here.server.answer_to(await here.say("before", channel=thread))
        await here.say("privately", channel=dm)
        await here.say("aside", channel=thread)
        await here.server.archive(thread)
        post = await here.server.open_post(here.ana, forum, "a question", "in a post")
        async with here.awake():
            assert here.said(dm)[-1] == "heard Ana: privately"
            assert here.said(thread)[-1] == "heard Ana: aside"
            assert here.said(post) == ["heard Ana: in a post"]


async def test_edits_and_deletions_meanwhile_are_followed(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        async with here.awake():
            edited, gone = await here.say("the old words"), await here.say("better not", here.ben)
            answer = await here.server.answer_to(edited)
            withdrawn = await here.server.answer_to(gone)
            await eventually(lambda: len(here.said()) == 2)
        await here.server.edit(edited, "the new words")
        await here.server.delete(gone)
        here.server.erase(withdrawn)
        async with here.awake() as sage:
            kept = await sage.kept()
            assert [message.text for message in kept] == ["the new words", "heard Ana: the old words"]
            assert sage.model.asked == []
            assert here.server.messages(here.channel)[-1] is answer
            assert answer.components[0]["components"][0]["label"] == "Answer the edit"
        async with here.awake():
            pass
        assert here.asked("PATCH") == 0, "what is known is not done again"


async def test_a_line_edited_or_deleted_before_it_was_ever_heard_counts_as_it_is(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        async with here.awake():
            pass
        edited, gone = await here.say("the old words"), await here.say("never mind", here.ben)
        await here.server.edit(edited, "the new words")
        await here.server.delete(gone)
        async with here.awake() as sage:
            assert sage.model.asked == ["Ana: the new words"]


async def test_who_asked_the_bot_to_stop_meanwhile_gets_no_answer(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        async with here.awake():
            pass
        await here.say("tell me all")
        await here.say("stop")
        for _ in range(2):
            async with here.awake() as sage:
                assert sage.model.asked == []
        assert here.said() == []


async def test_stop_where_there_is_nothing_to_stop_leaves_nothing_there_whenever_it_is_said(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        async with here.awake() as sage:
            await here.say("stop", mentions=[here.account])
            await here.server.answer_to(await here.say("hello"))
            assert sage.model.asked == ["Ana: hello"]
        await here.say("Stop!", here.ben)
        async with here.awake() as sage:
            assert sage.model.asked == []
            assert await sage.lines() == ["stop", "hello", "Stop!"]
        assert here.said() == ["heard Ana: hello"]


async def test_lines_of_other_bots_are_kept_late_only_where_the_bot_listens_and_never_answered(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        quiet, ticker = here.guild.add_channel("quiet"), here.server.add_bot("token-2", "ticker")
        async with here.awake() as sage:
            await here.say("nobody has spoken yet", ticker, quiet, mentions=[here.account])
            await here.say("is anybody here?", channel=quiet)
            await here.server.answer_to(await here.say("hello"))
            await here.server.invalidate(here.account, resumable=False)
            await eventually(lambda: not sage.front.catchup.hears)
            await eventually(lambda: sage.front.catchup.hears)
            assert await sage.lines() == ["hello"]
        await here.say("hello again", channel=quiet)
        await here.say("meanwhile", ticker, quiet, mentions=[here.account])
        await here.say("meanwhile, too", ticker, mentions=[here.account])
        async with here.awake() as sage:
            assert await sage.lines() == ["hello", "meanwhile, too"]
            assert sage.model.asked == []


async def test_a_channel_that_is_gone_or_closed_holds_up_no_other(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        closed, gone = here.guild.add_channel("advice-closed"), here.guild.add_channel("advice-gone")
        async with here.awake():
            for channel in (closed, gone):
                await here.server.answer_to(await here.say("before", channel=channel))
        for channel in (closed, gone, here.channel):
            await here.say("meanwhile", channel=channel)
        await here.server.deny(here.account, closed, "read_message_history", "send_messages")
        await here.server.remove(gone)
        async with here.awake() as sage:
            assert sage.model.asked == ["Ana: meanwhile"]
            assert "before" in await sage.lines(), "what cannot be read was not deleted for that"
        assert here.server.invalid_requests[here.account] == 0


async def test_an_invalid_session_loses_nothing_that_was_said_meanwhile(tmp_path: Path) -> None:
    async with home(tmp_path) as here, here.awake() as sage:
        await here.server.answer_to(await here.say("before"))
        await here.server.drop(here.account)
        question = await here.say("meanwhile")
        await here.server.invalidate(here.account)
        await here.server.answer_to(question, 20)
        await eventually(lambda: sage.front.catchup.hears)
        assert sage.model.asked == ["Ana: before", "Ana: meanwhile"]
        assert here.server.identifies[here.account] == 2


async def test_a_resume_brings_each_line_once(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        async with here.awake() as sage:
            await here.server.answer_to(await here.say("before"))
            await here.server.drop(here.account)
            await here.server.answer_to(await here.say("meanwhile"), 20)
            assert sage.model.asked == ["Ana: before", "Ana: meanwhile"]
            assert here.server.resumes[here.account] == 1
            assert here.asked("GET /channels") == 0
        async with here.awake() as sage:
            assert sage.model.asked == []


async def test_thirty_channels_at_once_are_all_answered_within_discords_limits(tmp_path: Path) -> None:
    async with home(tmp_path, rate_limits=5) as here:
        rooms = [here.guild.add_channel(f"advice-{number}") for number in range(30)]
        async with here.awake():
            pass
        for room in rooms:
            await here.say("meanwhile", channel=room)
        async with here.awake():
            assert all(here.said(room) == ["heard Ana: meanwhile"] for room in rooms)
        assert here.server.invalid_requests[here.account] == 0
        assert here.asked("GET /channels") == 30


async def test_what_is_said_while_the_gap_is_read_comes_after_it(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        async with here.awake():
            pass
        await here.say("meanwhile")
        here.server.fail("GET .*/messages", 500, times=1)
        async with here.awake(wait=False) as sage:
            await here.server.until(lambda: here.asked("GET /channels"))
            await here.server.answer_to(await here.say("now", here.ben))
            assert sage.model.asked == ["Ana: meanwhile", "Ben: now"]
            assert await sage.lines() == ["meanwhile", "now"]


async def test_who_was_forgotten_is_not_remembered_from_history(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        async with here.awake() as sage:
            await here.server.answer_to(await here.say("forget me"))
            sage.world.clock.advance(1)
            await sage.world.bot.privacy.forget(str(here.ana.id))
        async with here.awake() as sage:
            assert await sage.kept() == []


async def test_an_answer_under_way_when_the_session_is_lost_is_finished_and_not_given_again(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        async with here.awake() as sage:
            sage.model.held = asyncio.Event()
            await here.say("marcus, before")
            await here.server.until(lambda: here.said())
            await here.server.invalidate(here.account)
            await here.server.until(lambda: here.server.identifies[here.account] == 2, 20)
            await eventually(lambda: sage.front.catchup.hears)
            sage.model.held.set()
            await here.server.until(lambda: here.said() == ["heard Ana: marcus, before"])
            assert len(sage.model.asked) == 1
        async with here.awake() as sage:
            assert sage.model.asked == []


async def test_a_gap_that_cannot_be_read_now_is_read_later(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        async with here.awake():
            pass
        await here.say("meanwhile")
        here.server.fail("GET .*/messages", 503, times=2)
        async with here.awake() as sage:
            assert sage.model.asked == ["Ana: meanwhile"]
            assert here.waits == [15.0, 60.0]


async def test_the_moment_up_to_which_all_was_heard_stands_still_while_the_bot_is_cut_off(tmp_path: Path) -> None:
    async with home(tmp_path) as here, here.awake() as sage:
        heard = LastHeard(tmp_path / "heard")
        first = heard.read()
        sage.front.catchup.note()
        assert first is not None
        assert (second := heard.read()) is not None
        assert second > first
        sage.front.catchup.lost()
        sage.front.catchup.note()
        assert heard.read() == second


async def test_a_private_conversation_in_which_nothing_was_said_costs_one_request(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        dm = here.server.dm(here.ana, here.account)
        async with here.awake():
            await here.server.answer_to(await here.say("before", channel=dm))
        for _ in range(2):
            async with here.awake(later=7200):
                pass
        assert here.asked(f"GET /channels/{dm.id}") == 1


async def test_what_was_asked_by_commands_and_buttons_is_still_there_after_a_restart(tmp_path: Path) -> None:
    async with home(tmp_path) as here:
        async with here.awake(says="half an answer"):
            await here.server.until(lambda: here.account.commands.get(None))
            await here.server.invoke(here.ana, here.channel, here.account, "chat", {"text": "hello"})
            await here.server.until(lambda: "half an answer" in here.said())
        async with here.awake(says="the other half") as sage:
            asked = Incoming(
                origin=f"discord:{here.channel.id}:{here.server.new_id()}",
                channel=(await sage.world.store.sessions())[0].channel,
                sender=(await sage.kept())[0].sender,
                text="Go on where you stopped.",
                at=sage.world.clock.now(),
                seen=False,
            )
            async for _ in sage.world.bot.receive(asked):
                pass
        async with here.awake() as sage:
            assert await sage.lines() == ["hello", "Go on where you stopped."]
            assert sage.model.asked == []
