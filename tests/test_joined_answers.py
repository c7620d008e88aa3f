"""A message on two topics: each persona answers its part, in one reply that is streamed, stopped and kept as one."""

from __future__ import annotations

import json
from typing import Any

from bots.pieces import Delta, Done
from bots.settings import BotSettings
from storage.model import Usage

from .test_turn import asked, first_words
from .world import ANA, Heard, persona, settings

PERSONAS = [
    persona("sage", keywords=["meaning", "virtue"], domains=["philosophy"]),
    persona("ada", keywords=["python", "bug", "code"], domains=["programming"]),
]
BOTH = "There is a bug in my python code for programming. And what does virtue mean in philosophy?"
BUG, VIRTUE = BOTH.split(". ")[0] + ".", "And what does virtue mean in philosophy?"


def splitting(**more: Any) -> BotSettings:
    return settings(personas=PERSONAS, routing={"split": True}, **more)


async def test_each_persona_answers_its_part_in_one_reply() -> None:
    async with asked(splitting()) as (w, server):
        server.answer("Use a dict.")
        server.answer("Virtue is a habit.")
        room = w.room()
        heard = await room.say(ANA, BOTH)
        assert [ask.system.split(",")[0] for ask in server.asks] == ["You are Ada", "You are Sage"]
        parts = [
            ask.question.split("(Answer only this part of it; others answer the rest:\n    ")[1] for ask in server.asks
        ]
        assert parts == [f"{BUG})", f"{VIRTUE})"]
        answer = heard.answer
        assert answer is not None
        assert answer.text == heard.shown == "**Ada**\nUse a dict.\n\n**Sage**\nVirtue is a habit."
        said = "Use a dict.\n\n**Sage**\nVirtue is a habit."
        assert (answer.words, answer.persona, answer.outcome) == (said, "ada", "whole")
        assert sum(isinstance(piece, Done) for piece in heard.pieces) == 1
        assert [line.role for line in await w.store.messages(answer.session_id)] == ["user", "assistant"]


async def test_nobody_takes_anothers_part_for_its_own_later() -> None:
    async with asked(splitting()) as (w, server):
        server.answer("Use a dict.")
        server.answer("Virtue is a habit.\nOr two.")
        room = w.room()
        await room.say(ANA, BOTH)
        for name in ("Ada", "Sage"):
            await room.say(ANA, f"{name}, go on")
            assert "Ada: Use a dict.\nSage: Virtue is a habit.\n    Or two." in str(
                server.asks[-1].body["messages"]
            ).replace("\\n", "\n")
            said = [line for line in server.asks[-1].body["messages"] if line["role"] == "assistant"]
            assert "Use a dict" not in str(said)


async def test_two_who_are_called_together_both_answer_all_of_it() -> None:
    async with asked(splitting()) as (w, server):
        server.answer("A habit.")
        server.answer("A bug.")
        heard = await w.room().say(ANA, "Sage and Ada, what is virtue?")
        assert heard.answer is not None
        assert heard.answer.text == "**Sage**\nA habit.\n\n**Ada**\nA bug."
        assert all("speak for yourself alone" in ask.question for ask in server.asks)


async def test_what_both_took_is_summed_and_who_answered_what_is_told() -> None:
    async with asked(splitting()) as (w, server):
        server.answer("Use a dict.")
        alone = (await w.room("alone").say(ANA, "python code?")).answer
        room = w.room()
        answer = (await room.say(ANA, BOTH)).answer
        assert alone is not None
        assert alone.usage is not None
        assert answer is not None
        assert isinstance(answer.usage, Usage)
        assert answer.usage.tokens_in > 1.5 * alone.usage.tokens_in
        told = json.loads(answer.metadata["decision"])
        said = {each["persona"]: [BOTH[start:end].strip() for start, end in each["spans"]] for each in told["shares"]}
        assert said == {"ada": [BUG], "sage": [VIRTUE]}
        why = await w.bot.explaining.told(room.channel, w.bot.settings)
        assert why.startswith("Ada, because the message has several topics, and each is answered by whom it fits.\n")
        assert f'"{VIRTUE}"' in why
        facts = await w.bot.explaining.facts(answer)
        assert [each["text"] for each in facts["decision"]["segments"]] == [BUG, VIRTUE]


async def test_stopped_in_the_second_part_the_first_and_what_was_said_are_kept() -> None:
    async with asked(splitting()) as (w, server):
        server.answer("Use a dict.")
        server.hold(after_pieces=2, text="one two three four")
        room, heard = w.room(), Heard()
        answering = await first_words(room, heard, BOTH)
        await server.until(lambda s: len(s.asks) == 2)
        while "two" not in "".join(piece.text for piece in heard.pieces if isinstance(piece, Delta)):
            await w.store.counts()
        w.clock.advance(5)
        await w.bot.stop(room.channel, "id-Ana")
        await answering
        assert heard.answer is not None
        assert heard.answer.text == "**Ada**\nUse a dict.\n\n**Sage**\none two \n\n-# Stopped."
        assert heard.answer.outcome == "stopped"


async def test_where_the_first_part_breaks_off_the_second_is_not_asked_for() -> None:
    async with asked(splitting()) as (w, server):
        server.break_off(after_pieces=2, text="one two three four")
        heard = await w.room().say(ANA, BOTH)
        assert heard.answer is not None
        assert heard.answer.outcome == "cut"
        assert heard.answer.text.startswith("**Ada**\none two")
        assert "Sage" not in heard.answer.text
        assert len(server.asks) == 1


async def test_a_persona_that_says_nothing_leaves_no_heading() -> None:
    async with asked(splitting()) as (w, server):
        server.answer("")
        server.answer("Virtue is a habit.")
        heard = await w.room().say(ANA, BOTH)
        assert heard.answer is not None
        assert heard.answer.text == heard.shown == "**Sage**\nVirtue is a habit."


async def test_an_answer_of_several_is_given_anew_by_all_of_them() -> None:
    async with asked(splitting()) as (w, server):
        first = (await w.room().say(ANA, BOTH)).answer
        assert first is not None
        before = len(server.asks)
        async for _ in w.bot.redo(first.id, ANA.sender):
            pass
        assert len(server.asks) == before + 2


async def test_without_split_one_persona_answers_and_why_still_shows_the_topics() -> None:
    async with asked(settings(personas=PERSONAS)) as (w, server):
        room = w.room()
        await room.say(ANA, BOTH)
        assert len(server.asks) == 1
        assert "others answer the rest" not in server.asks[0].question
        assert "The message has 2 topics, nearest to:" in await w.bot.explaining.told(room.channel, w.bot.settings)


async def test_where_one_of_them_may_not_answer_nobody_is_left_out_half_answered() -> None:
    async with asked(splitting(access=[{"personas": ["sage"]}])) as (w, server):
        heard = await w.room().say(ANA, BOTH)
        assert heard.answer is not None
        assert (heard.answer.persona, len(server.asks)) == ("sage", 1)
