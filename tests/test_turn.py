"""Turns: one at a time, bursts joined, stopped when told to, honest about failures; over the real SDK's wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bots.pieces import Delta, Done, Opened, Reset
from bots.providers import Provider
from bots.providers.chain import Chain
from bots.providers.offline import Offline
from bots.providers.openai import OpenAI
from bots.providers.patience import Patient
from bots.settings import BotSettings, Retries

from .wire.provider_server import ProviderServer
from .world import ANA, BEN, CAI, Clock, Heard, Room, World, by_clock, persona, settings, world

ONCE = Retries(attempts=1)


@asynccontextmanager
async def asked(
    config: BotSettings | None = None, *, fallback: bool = False
) -> AsyncIterator[tuple[World, ProviderServer]]:
    """A world whose bot asks a loopback provider through the real SDK."""
    async with ProviderServer() as server:
        provider: Provider = Patient(OpenAI("gpt-test", "key", base_url=server.openai_url), ONCE)
        if fallback:
            provider = Chain([provider, Offline(None, now=Clock().now)])
        async with world(config, provider=provider) as w:
            yield w, server


async def first_words(room: Room, heard: Heard, line: str) -> asyncio.Task[None]:
    """Starts Ana's line and returns once the answer's first words arrived; pieces go on into `heard`."""
    arrived = asyncio.Event()

    async def listen() -> None:
        async for piece in room.world.bot.receive(room.line(ANA, line)):
            heard.pieces.append(piece)
            if isinstance(piece, Delta):
                arrived.set()

    task = asyncio.ensure_future(listen())
    await arrived.wait()
    return task


async def test_the_shown_words_are_the_kept_words_and_carry_what_they_took() -> None:
    async with asked() as (w, server):
        server.answer("To live well is to **pay attention**.\n\n漢字 🎭")
        heard = await w.room().say(ANA, "how to live?")
        assert heard.answer is not None
        kept = (await w.store.messages(heard.answer.session_id))[-1]
        assert heard.shown == kept.text == "To live well is to **pay attention**.\n\n漢字 🎭"
        assert kept.usage is not None
        assert kept.usage.model == "gpt-test"
        assert kept.usage.tokens_out > 0
        assert kept.outcome == "whole"


async def test_a_line_is_kept_before_anyone_thinks() -> None:
    async with asked() as (w, server):
        gate = server.hold()
        room = w.room()
        saying = asyncio.ensure_future(room.say(ANA, "are you there?"))
        await server.until(lambda s: len(s.asks) == 1)
        assert await room.transcript() == ["Ana: are you there?"]
        gate.open()
        await saying


async def test_five_people_at_once_are_answered_one_after_the_other_in_one_session() -> None:
    async with asked() as (w, server):
        server.default = lambda ask: "answer to " + ask.question.rsplit(": ", 1)[-1]
        room = w.room()
        people = [ANA, BEN, CAI, type(ANA)("Dee"), type(ANA)("Eli")]
        order: list[str] = []

        async def speak(who: object, text: str) -> None:
            async for piece in w.bot.receive(room.line(who, text)):  # type: ignore[arg-type]
                order.append(f"{text} {type(piece).__name__}")  # noqa: PERF401  (the order between tasks matters)

        await asyncio.gather(*(speak(who, f"question-{n}") for n, who in enumerate(people)))
        turns = [entry.split()[0] for entry in order]
        assert turns == sorted(turns), "no piece of one answer stands between pieces of another"
        transcript = await room.transcript()
        assert [line for line in transcript if line.startswith("Sage")] == [
            f"Sage: answer to question-{n}" for n in range(5)
        ]
        assert len(await room.sessions()) == 1


async def test_two_channels_do_not_wait_for_each_other() -> None:
    async with asked() as (w, server):
        gate = server.hold()
        slow = asyncio.ensure_future(w.room("slow").say(ANA, "take your time"))
        await server.until(lambda s: len(s.asks) == 1)
        server.answer("quick")
        assert (await w.room("fast").say(BEN, "hello")).shown == "quick"
        gate.open()
        await slow


async def test_lines_within_a_second_are_answered_once_even_when_the_answer_has_begun() -> None:
    async with asked() as (w, server):
        server.hold(after_pieces=2, text="an answer to the first line only")
        room, heard = w.room(), Heard()
        answering = await first_words(room, heard, "so I was thinking")
        w.clock.advance(0.9)
        server.answer("an answer to both")
        second = await room.say(ANA, "should I move to Oslo?")
        await answering
        assert second.pieces == []
        assert heard.shown == "an answer to both"
        assert any(isinstance(piece, Reset) for piece in heard.pieces)
        assert sum(isinstance(piece, Done) for piece in heard.pieces) == 1
        assert server.asks[0].disconnected, "the overtaken request was given up"
        assert "so I was thinking" in server.asks[1].question
        assert "Oslo" in server.asks[1].question
        assert [line.split(":")[0] for line in await room.transcript()] == ["Ana", "Ana", "Sage"]


async def test_a_later_line_of_the_same_person_waits_its_turn() -> None:
    async with asked() as (w, server):
        gate = server.hold(after_pieces=1, text="first answer")
        room, heard = w.room(), Heard()
        answering = await first_words(room, heard, "one")
        w.clock.advance(1.1)
        server.answer("second answer")
        later = asyncio.ensure_future(room.say(ANA, "two"))
        gate.open()
        await answering
        assert (await later).shown == "second answer"
        assert heard.shown == "first answer"
        assert [line for line in await room.transcript() if line.startswith("Sage")] == [
            "Sage: first answer",
            "Sage: second answer",
        ]


async def test_two_people_within_a_second_are_not_taken_for_one() -> None:
    async with asked() as (w, server):
        gate = server.hold(text="for Ana")
        server.answer("for Ben")
        room = w.room()
        both = asyncio.gather(room.say(ANA, "one"), room.say(BEN, "two"))
        await server.until(lambda s: len(s.asks) == 1)
        gate.open()
        ana, ben = await both
        assert (ana.shown, ben.shown) == ("for Ana", "for Ben")


@pytest.mark.parametrize("word", ["stop", "Stop!", "/stop"])
async def test_stop_ends_an_answer_at_once_and_keeps_what_was_said(word: str) -> None:
    async with asked() as (w, server):
        server.hold(after_pieces=2, text="one two three four")
        room, heard = w.room(), Heard()
        answering = await first_words(room, heard, "count")
        w.clock.advance(5)
        assert (await room.say(ANA, word)).pieces == []
        await answering
        assert heard.answer is not None
        assert heard.answer.outcome == "stopped"
        assert heard.answer.words.startswith("one")
        assert "three" not in heard.answer.text
        assert (await w.store.messages(heard.answer.session_id))[-1].text == heard.answer.text
        assert server.asks[0].disconnected


async def test_stop_with_nothing_under_way_is_kept_and_met_with_silence() -> None:
    async with asked() as (w, server):
        room = w.room()
        assert (await room.say(ANA, "stop")).pieces == []
        assert server.asks == []
        (session,) = await room.sessions()
        assert [line.words for line in await w.store.messages(session.id)] == ["stop"]


async def test_a_failure_in_mid_stream_keeps_what_was_said_and_says_so_neutrally() -> None:
    async with asked() as (w, server):
        server.break_off(after_pieces=2, text="one two three four")
        heard = await w.room().say(ANA, "count")
        assert heard.answer is not None
        assert heard.answer.outcome == "cut"
        assert heard.answer.words.startswith("one two")
        assert "broke off" in heard.answer.text
        server.answer("one two three")
        again = await w.room().say(ANA, "again")
        assert again.shown == "one two three"
        prompt = "\n".join(line.text for line in server.asks[-1].lines)
        assert "broke off" not in prompt, "notes for people are not shown to models"


async def test_a_failing_provider_is_told_in_one_neutral_sentence_and_kept() -> None:
    async with asked() as (w, server):
        server.fail(500, body='{"error": {"message": "secret stack trace at 10.0.0.7"}}')
        heard = await w.room().say(ANA, "hello")
        assert heard.answer is not None
        assert "cannot be reached" in heard.answer.text
        assert "10.0.0.7" not in heard.answer.text
        assert heard.answer.text in (await w.room().transcript())[-1]


async def test_a_fallback_answers_with_an_honest_notice_ahead() -> None:
    async with asked(fallback=True) as (w, server):
        server.fail(503)
        heard = await w.room().say(ANA, "what is 6 * 7?")
        assert heard.answer is not None
        assert heard.answer.text.startswith("-# No model can be reached right now")
        assert "42" in heard.answer.words
        assert heard.shown == heard.answer.text


async def test_an_empty_answer_is_not_silence() -> None:
    async with asked() as (w, server):
        server.answer("")
        heard = await w.room().say(ANA, "hello?")
        assert heard.answer is not None
        assert "empty answer" in heard.answer.text


async def test_a_redelivered_event_is_answered_once() -> None:
    async with asked() as (w, server):
        room = w.room()
        await room.say(ANA, "hello", origin="discord:id-general:77")
        again = await room.say(ANA, "hello", origin="discord:id-general:77")
        assert again.pieces == []
        assert len(server.asks) == 1
        assert len(await room.transcript()) == 2


async def test_a_line_only_listened_to_is_kept_and_known_later() -> None:
    async with asked() as (w, server):
        room = w.room()
        assert (await room.say(BEN, "the meeting is at noon", answer=False)).pieces == []
        await room.say(ANA, "when is it?")
        assert any("Ben: the meeting is at noon" in line.text for line in server.asks[0].lines)


async def test_a_second_persona_shows_its_name_and_the_choice_is_kept() -> None:
    config = settings(personas=[persona("sage"), persona("ada", keywords=["python", "code"])])
    async with asked(config) as (w, server):
        server.answer("Use a dict.")
        room = w.room()
        heard = await room.say(ANA, "python code for counting?")
        assert heard.answer is not None
        assert heard.answer.persona == "ada"
        assert heard.answer.text == heard.shown == "**Ada**\nUse a dict."
        assert heard.opened.decision.rule == "classifier"
        told = await w.bot.explaining.told(room.channel, w.bot.settings)
        assert told.startswith("Ada, because its words fit the message best (likelihood ")
        assert heard.answer.metadata["why"] == str(heard.opened.decision)
        assert "Ada" in server.asks[0].system
        server.answer("Yes.")
        again = await room.say(ANA, "sure?")
        assert again.answer is not None
        assert again.answer.persona == "ada"


async def test_a_new_session_starts_with_a_note_on_the_one_before() -> None:
    async with asked(by_clock()) as (w, server):
        server.answer("Try the Sicilian.")
        room = w.room()
        await room.say(ANA, "which chess opening?")
        w.clock.advance(301)
        await room.say(ANA, "hello again")
        first = server.asks[-1].lines[0].text
        assert "which chess opening?" in first
        assert "Try the Sicilian." in first
        assert "Sicilian" not in server.asks[-1].system


async def test_one_person_cannot_put_off_an_answer_for_ever() -> None:
    async with asked() as (w, server):
        for _ in range(5):
            server.hold(after_pieces=1, text="word by word")
        room, heard = w.room(), Heard()
        answering = await first_words(room, heard, "line 0")
        for number in range(1, 5):
            w.clock.advance(0.9)
            await room.say(ANA, f"line {number}")
            await server.until(lambda s, asked=number + 1: len(s.asks) == asked)  # type: ignore[misc]
        w.clock.advance(0.9)
        later = asyncio.ensure_future(room.say(ANA, "line 5"))
        await asyncio.sleep(0)
        assert len(server.asks) == 5, "by now the running answer is left alone"
        await w.bot.stop(room.channel, "id-Ana")
        await answering
        await later


async def test_lines_of_somebody_who_waits_already_are_one_turn() -> None:
    async with asked() as (w, server):
        gate = server.hold(text="for Ben")
        room = w.room()
        ben = asyncio.ensure_future(room.say(BEN, "first"))
        await server.until(lambda s: len(s.asks) == 1)
        waiting = []
        for number in range(10):
            waiting.append(asyncio.ensure_future(room.say(ANA, f"thought {number}")))
            w.clock.advance(5)
            while len(await room.transcript()) < number + 2:
                pass
        await waiting[-1]
        gate.open()
        await ben
        await asyncio.gather(*waiting)
        assert len(server.asks) == 2
        assert all(f"thought {number}" in server.asks[1].question for number in range(10))


async def test_stop_finds_ones_own_answer_in_whatever_session_it_runs() -> None:
    async with asked() as (w, server):
        room = w.room()
        server.answer("a")
        await room.say(BEN, "old times", origin="discord:id-general:old")
        w.clock.advance(1000)
        server.hold(after_pieces=1, text="for Ana only")
        heard = Heard()
        answering = await first_words(room, heard, "mine")
        w.clock.advance(5)
        gate = server.hold(text="for Ben")
        ben = asyncio.ensure_future(room.say(BEN, "again", reply_to="discord:id-general:old"))
        await server.until(lambda s: len(s.asks) == 3)
        assert (await room.say(ANA, "stop")).pieces == []
        await answering
        assert heard.answer is not None
        assert heard.answer.outcome == "stopped"
        gate.open()
        assert (await ben).shown == "for Ben"
        kept = {session.id: session for session in await room.sessions()}
        assert kept[heard.answer.session_id].closed_at is not None or len(kept) == 2


async def test_lines_heard_while_leaving_are_kept_and_those_who_wait_are_told() -> None:
    async with asked() as (w, server):
        server.hold(text="never said")
        room = w.room()
        first = asyncio.ensure_future(room.say(ANA, "one"))
        await server.until(lambda s: len(s.asks) == 1)
        second = asyncio.ensure_future(room.say(BEN, "two"))
        await w.store.counts()
        await w.bot.close()
        for heard in (await first, await second):
            assert heard.answer is not None
            assert "restarted" in heard.answer.text
        assert (await room.say(CAI, "anyone?")).pieces == []
        assert "Cai: anyone?" in await room.transcript()


async def test_a_character_cut_in_two_by_the_server_is_whole_again() -> None:
    async with asked() as (w, server):
        server.answer(pieces=["so ", "\ud83d", "\ude00", " and \ud83d"])
        heard = await w.room().say(ANA, "half a pair \ud83d")
        assert heard.answer is not None
        assert heard.shown == heard.answer.text == "so 😀 and "
        server.answer("fine")
        assert (await w.room().say(ANA, "still there?")).shown == "fine"


async def test_a_front_that_leaves_does_not_stop_the_answer() -> None:
    async with asked() as (w, server):
        gate = server.hold(after_pieces=1, text="one two three")
        room = w.room()
        pieces = w.bot.receive(room.line(ANA, "count"))
        assert isinstance(await anext(pieces), Opened)
        await server.until(lambda s: len(s.asks) == 1)
        gate.open()
        await pieces.aclose()  # type: ignore[attr-defined]
        assert await room.transcript() == ["Ana: count", "Sage: one two three"]


async def test_a_bot_going_away_keeps_what_it_said() -> None:
    async with asked() as (w, server):
        server.hold(after_pieces=2, text="one two three four")
        room, heard = w.room(), Heard()
        answering = await first_words(room, heard, "count")
        await w.bot.close()
        await answering
        assert heard.answer is not None
        assert heard.answer.outcome == "cut"
        assert (await room.transcript())[-1].startswith("Sage: one two")
