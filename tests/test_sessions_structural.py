"""Several sessions in one channel at once: who talks with whom, what people decide over that, and what survives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from bots.providers import Chunk, Prompt
from bots.session_marks import PLACED
from storage.model import ChannelKind, Message

from .world import ANA, BEN, CAI, TESTER, Person, Room, World, by_clock, world

CODE = "why does my borrow checker complain about this closure?"
Said = tuple[tuple[Person, str], ...]
PASTA = "how long should tomatoes simmer for pasta sauce?"
MORE = {ANA: "the compiler says the closure outlives its borrow", BEN: "the sauce is thin, the tomatoes are watery"}


class Listens:
    """A model that remembers what it was asked."""

    name, model = "loopback", "loopback"

    def __init__(self) -> None:
        self.asked: list[Prompt] = []
        self._asked = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    async def was_asked(self, times: int) -> None:
        """Waits until it was asked so often."""
        while len(self.asked) < times:
            self._asked.clear()
            await self._asked.wait()

    async def stream(self, prompt: Prompt) -> AsyncIterator[Chunk]:
        self.asked.append(prompt)
        self._asked.set()
        await self.go.wait()
        yield Chunk("I see.")

    async def close(self) -> None:
        pass


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with world() as w:
        yield w


async def line(room: Room, origin: str) -> Message:
    found = await room.world.store.find(f"{room.channel.key}:{origin}")
    assert found is not None
    return found


async def two_talks(room: Room, rounds: int = 3) -> tuple[str, str]:
    """Ana and Ben each talk with the bot, a line of one after a line of the other: Ben begins hours after Ana, who then
    replies to what she had said. The ids of the two sessions."""
    clock, first = room.world.clock, f"{room.channel.key}:Ana0"
    for number in range(rounds):
        for who, text in ((ANA, CODE), (BEN, PASTA)):
            origin, reply = f"{room.channel.key}:{who.name}{number}", first if (who, number) == (ANA, 1) else None
            await room.say(who, f"{MORE[who]} {number}" if number else text, origin=origin, reply_to=reply)
            clock.advance(8 if number or who is BEN else 20_000)
    return (await line(room, "Ana0")).session_id, (await line(room, "Ben0")).session_id


async def said(room: Room, session_id: str) -> set[str]:
    """Who said something in a session."""
    return {each.sender.name for each in await room.world.store.messages(session_id) if each.role == "user"}


async def test_two_who_talk_across_each_other_have_a_session_each_and_a_prompt_holds_ones_own_talk_alone() -> None:
    model = Listens()
    async with world(provider=model) as w:
        room = w.room()
        anas, bens = await two_talks(room, 4)
        assert anas != bens
        assert (await said(room, anas), await said(room, bens)) == ({"Ana"}, {"Ben"})
        assert len(await room.sessions()) == 2
        code, pasta = (str([shown.text for shown in prompt.lines]) for prompt in model.asked[-2:])
        assert ("borrow checker" in code, "tomatoes" in code) == (True, False)
        assert ("borrow checker" in pasta, "tomatoes" in pasta) == (False, True)


async def test_two_are_answered_at_the_same_time_and_each_stops_their_own_answer_alone() -> None:
    model = Listens()
    async with world(provider=model) as w:
        room = w.room()
        await two_talks(room, 2)
        model.go.clear()
        answers = [asyncio.ensure_future(room.say(who, MORE[who])) for who in (ANA, BEN)]
        await model.was_asked(6)
        assert await w.bot.stop(room.channel, ANA.sender.id)
        model.go.set()
        heard = [await each for each in answers]
        assert heard[0].answer is None, "she stopped it before a word was said"
        assert heard[1].answer is not None
        assert heard[1].answer.text == "I see."


async def test_lines_of_one_person_in_a_burst_are_one_turn_beside_another_talk() -> None:
    model = Listens()
    async with world(provider=model) as w:
        room = w.room()
        await two_talks(room, 2)
        model.go.clear()
        first = asyncio.ensure_future(room.say(ANA, MORE[ANA]))
        await model.was_asked(5)
        second = asyncio.ensure_future(room.say(ANA, "I mean the closure"))
        await model.was_asked(6)
        model.go.set()
        heard = [await each for each in (first, second)]
        assert [each.answer is not None for each in heard] == [True, False]
        assert "outlives its borrow" in model.asked[-1].lines[-1].text
        assert "I mean the closure" in model.asked[-1].lines[-1].text


async def test_a_reply_goes_where_its_message_is_whatever_else_speaks_against_it(w: World) -> None:
    room = w.room()
    anas, bens = await two_talks(room)
    await room.say(ANA, "tomatoes, that is my question", reply_to=f"{room.channel.key}:Ben0", origin="x:y:reply")
    reply = await w.store.find("x:y:reply")
    assert reply is not None
    assert (reply.session_id, reply.metadata[PLACED]) == (bens, "reply")
    w.clock.advance(90_000)
    await w.bot.upkeep()
    await room.say(CAI, "and a day later?", reply_to=f"{room.channel.key}:Ana0", origin="x:y:later")
    later = await w.store.find("x:y:later")
    assert later is not None
    assert later.session_id == anas
    assert (await w.store.session(anas) or await room.session()).closed_at is None


async def test_a_line_that_comes_late_goes_where_it_would_have_gone_in_time(w: World) -> None:
    room = w.room()
    anas, _ = await two_talks(room)
    then = w.clock.at
    w.clock.advance(3)
    missed = room.line(ANA, "and that closure again?", origin=f"{room.channel.key}:missed", answer=False)
    w.clock.advance(4000)
    await w.bot.upkeep()
    await room.say(CAI, "does anybody know a good bicycle shop?", origin=f"{room.channel.key}:cai")
    w.clock.advance(5)
    async for _ in w.bot.receive(missed):
        pass
    assert (await line(room, "missed")).session_id == anas
    session = await w.store.session(anas)
    assert session is not None
    assert session.last_at == then + timedelta(seconds=3)
    assert (await room.session()).id == (await line(room, "cai")).session_id, "the current one is still Cai's"


async def test_an_edited_line_stays_where_it_is(w: World) -> None:
    room = w.room()
    anas, _ = await two_talks(room)
    await w.bot.afterwards.edited(f"{room.channel.key}:Ana1", "Ben: tomatoes, sauce, pasta", (), w.clock.now())
    edited = await line(room, "Ana1")
    assert (edited.words, edited.session_id) == ("Ben: tomatoes, sauce, pasta", anas)


async def test_a_line_that_comes_twice_moves_nothing(w: World) -> None:
    room = w.room()
    await two_talks(room)
    before = await room.sessions()
    again = room.line(ANA, CODE, origin=f"{room.channel.key}:Ana0", answer=False)
    placed = await w.bot.sessions.place(room.channel, again.line("again", ""), None)
    assert placed.session.id == (await line(room, "Ana0")).session_id
    assert await room.sessions() == before


@pytest.mark.parametrize("answered", [True, False])
async def test_after_a_restart_in_the_middle_of_two_talks_lines_go_where_they_would_have(
    tmp_path: Path, answered: bool
) -> None:
    asked: Said = (
        (ANA, "still the same complaint"),
        (BEN, "is it done then?"),
        (CAI, "Ben: add some basil"),
        (ANA, "hm"),
    )
    found: list[list[str]] = []
    for restart in (False, True):
        root = tmp_path / str(restart)
        async with world(root=root) as w:
            talks = await two_talks(w.room())
            places = {talks[0]: "Ana's", talks[1]: "Ben's"}
            at = w.clock.at
            if not restart:
                found.append(await _placed(w, asked, places, answered))
        if restart:
            async with world(root=root) as w:
                w.clock.at = at
                found.append(await _placed(w, asked, places, answered))
    assert found[0] == found[1]
    assert found[0][:2] == ["Ana's", "Ben's"]


async def _placed(w: World, asked: Said, places: dict[str, str], answered: bool) -> list[str]:
    room, went = w.room(), []
    for number, (who, text) in enumerate(asked):
        await room.say(who, text, origin=f"{room.channel.key}:after{number}", answer=answered)
        w.clock.advance(7)
        went.append(places.get((await line(room, f"after{number}")).session_id, "new"))
    return went


async def test_an_answer_that_ends_after_new_takes_the_old_session_not_up_again() -> None:
    model = Listens()
    async with world(provider=model) as w:
        room = w.room()
        model.go.clear()
        asked = asyncio.ensure_future(room.say(ANA, CODE))
        await model.was_asked(1)
        begun = await w.bot.begin(room.channel, ANA.sender.id)
        model.go.set()
        heard = await asked
        assert heard.answer is not None
        assert heard.answer.session_id != begun.id
        w.clock.advance(2)
        again = await room.say(ANA, "thanks, and the closure?")
        assert again.answer is not None
        assert again.answer.session_id == begun.id


async def test_a_session_taken_up_again_is_where_the_next_line_goes(w: World) -> None:
    room = w.room()
    anas, bens = await two_talks(room)
    await w.bot.conversations.resume(room.channel, bens)
    w.clock.advance(50_000)
    await w.bot.upkeep()
    await room.say(ANA, CODE, origin=f"{room.channel.key}:resumed")
    assert (await line(room, "resumed")).session_id == bens
    assert anas != bens


async def test_a_kept_session_is_continued_after_any_silence_once(w: World) -> None:
    room = w.room()
    anas, bens = await two_talks(room)
    assert (await w.bot.conversations.keep(room.channel, ANA.sender.id)).id == anas
    w.clock.advance(90_000)
    await w.bot.upkeep()
    await room.say(ANA, "good morning, what were we at?", origin=f"{room.channel.key}:kept")
    assert (await line(room, "kept")).session_id == anas
    w.clock.advance(90_000)
    await w.bot.upkeep()
    await room.say(ANA, "good morning, what were we at?", origin=f"{room.channel.key}:new")
    assert (await line(room, "new")).session_id not in (anas, bens)


async def test_a_long_silence_opens_a_session_that_follows_the_one_its_author_was_in(w: World) -> None:
    room = w.room()
    anas, bens = await two_talks(room)
    w.clock.advance(20_000)
    await w.bot.upkeep()
    await room.say(ANA, "good morning, what were we at?")
    session = await room.session()
    assert session.follows == anas
    assert {(await w.store.session(id) or session).closed_at is not None for id in (anas, bens)} == {True}


async def test_who_joins_a_channel_gets_nothing_of_what_others_are_just_saying() -> None:
    model = Listens()
    async with world(provider=model) as w:
        room = w.room()
        for number in range(12):
            who, other = (ANA, CAI) if number % 2 else (CAI, ANA)
            await room.say(who, f"{other.name}: the closure outlives its borrow, {number}", answer=False)
            w.clock.advance(4)
        await room.say(BEN, PASTA, origin=f"{room.channel.key}:Ben")
        bens = await w.store.session((await line(room, "Ben")).session_id)
        assert bens is not None
        assert bens.follows is None
        assert "closure" not in str(model.asked[-1])


async def test_with_the_gap_off_silence_alone_ends_nothing(w: World) -> None:
    room = w.room()
    await w.bot.conversations.policy(room.channel, "off", ANA.sender)
    await room.say(ANA, CODE)
    w.clock.advance(500_000)
    await w.bot.upkeep()
    await room.say(ANA, "so, that closure")
    assert len(await room.sessions()) == 1


async def test_where_the_gap_decides_two_who_talk_at_once_share_a_session() -> None:
    async with world(by_clock()) as w:
        await _in_one_session(w.room())


@pytest.mark.parametrize("kind", ["dm", "thread", "web", "terminal"])
async def test_in_every_other_place_there_is_one_talk_at_a_time(w: World, kind: ChannelKind) -> None:
    await _in_one_session(w.room("plans", kind))


async def _in_one_session(room: Room) -> None:
    for who, text in ((ANA, CODE), (BEN, PASTA), (CAI, f"{ANA.name}: I do not know"), (ANA, MORE[ANA])):
        await room.say(who, text)
        room.world.clock.advance(8)
    (session,) = await room.sessions()
    assert all(PLACED not in each.metadata for each in await room.world.store.messages(session.id))


async def test_a_line_of_another_bot_joins_what_is_open_and_moves_nothing(w: World) -> None:
    room = w.room()
    await two_talks(room)
    before = {each.id: each.last_at for each in await room.sessions()}
    for _ in range(5):
        w.clock.advance(1500)
        await room.say(TESTER, "build 31 has failed", answer=False)
    assert {each.id: each.last_at for each in await room.sessions()} == before
    await w.bot.upkeep()
    w.clock.advance(10_000)
    await room.say(ANA, "good morning, what were we at?")
    assert len(await room.sessions()) == 3


async def test_a_session_that_was_cleared_or_archived_is_gone_on_with_no_more(w: World) -> None:
    room = w.room()
    anas, bens = await two_talks(room)
    assert (await w.bot.conversations.clear(room.channel, ANA.sender.id)).id == anas
    w.clock.advance(3)
    await room.say(ANA, "and that closure?", origin=f"{room.channel.key}:cleared")
    fresh = (await line(room, "cleared")).session_id
    assert fresh not in (anas, bens)
    await w.bot.conversations.archive(fresh, True)
    w.clock.advance(3)
    await room.say(ANA, "and that closure?", origin=f"{room.channel.key}:archived")
    assert (await line(room, "archived")).session_id not in (anas, fresh)


async def test_two_sessions_become_one_in_which_both_go_on(w: World) -> None:
    room = w.room()
    anas, bens = await two_talks(room)
    merged = (await w.bot.conversations.merge(room.channel, bens, ANA.sender.id)).session
    w.clock.advance(3)
    for who in (ANA, BEN):
        await room.say(who, "so, what now?", origin=f"{room.channel.key}:{who.name}-merged")
    assert {(await line(room, f"{who.name}-merged")).session_id for who in (ANA, BEN)} == {merged.id}
    assert merged.id not in (anas, bens)


async def test_what_is_shown_to_somebody_is_the_session_they_are_in(w: World) -> None:
    room = w.room()
    anas, bens = await two_talks(room)
    sessions = w.bot.sessions
    for who, session in ((ANA, anas), (BEN, bens), (CAI, bens)):
        current = await sessions.current(room.channel, who.sender.id)
        assert current is not None
        assert current.id == session, "who has said nothing sees what was spoken in last"
    outlook = await w.bot.conversations.context(room.channel, ANA.sender.id)
    assert (outlook.session.id, outlook.over) == (anas, False)


async def test_once_a_channel_is_known_a_line_costs_no_reading_at_all(tmp_path: Path) -> None:
    async with world(root=tmp_path) as w:
        room = w.room()
        await two_talks(room, 1)
        read: list[str] = []
        for name in ("sessions", "session", "messages", "message", "find", "read", "browse"):
            setattr(w.store, name, _counted(read, name, getattr(w.store, name)))
        await room.say(ANA, "go on", answer=False)
        await room.say(BEN, "go on", answer=False)
        await room.say(ANA, "and on")
        assert read == []


def _counted(read: list[str], name: str, method: object) -> object:
    async def counted(*given: object, **named: object) -> object:
        read.append(name)
        return await method(*given, **named)  # type: ignore[operator]

    return counted
