"""Answers joined, stopped and given anew: whose they are to change, and what belongs to each of their lines."""

from __future__ import annotations

import asyncio

import pytest

from bots.errors import TroupeError
from storage.model import Receipt, Text

from .test_turn import asked, first_words
from .world import ANA, BEN, Heard, Room, by_clock, persona, settings

VOICES = settings(personas=[persona("sage"), persona("marcus")])


async def anew(room: Room, answer_id: str) -> Heard:
    """What comes of asking for an answer once more."""
    heard = Heard()
    async for piece in room.world.bot.redo(answer_id, ANA.sender):
        heard.pieces.append(piece)
    return heard


async def test_nobody_stops_anothers_answer_but_who_may_stop_everybodys() -> None:
    async with asked() as (w, server):
        gate = server.hold(after_pieces=1, text="one two three")
        room, heard = w.room(), Heard()
        answering = await first_words(room, heard, "count")
        w.clock.advance(5)
        await room.say(BEN, "stop")
        assert not await w.bot.stop(room.channel, "id-Ben")
        gate.open()
        await answering
        assert heard.shown == "one two three"
        server.hold(after_pieces=1, text="one two three")
        answering = await first_words(room, heard, "and again")
        assert await w.bot.stop(room.channel, "id-Ben", everybody=True)
        await answering
        assert "Stopped." in (await room.transcript())[-1]
        assert not await w.bot.stop(room.channel, everybody=True)


async def test_an_answer_is_given_anew_once_however_often_somebody_asks_for_that() -> None:
    async with asked() as (w, server):
        room = w.room()
        first = await room.say(ANA, "well?")
        assert first.answer is not None
        gate = server.hold(text="better")
        clicks = [asyncio.ensure_future(anew(room, first.answer.id)) for _ in range(2)]
        await server.until(lambda s: len(s.asks) == 2)
        gate.open()
        done = await asyncio.gather(*clicks, return_exceptions=True)
        assert [each.shown if isinstance(each, Heard) else type(each) for each in done] == ["better", TroupeError]
        with pytest.raises(TroupeError):
            await anew(room, first.answer.id)
        assert await room.transcript() == ["Ana: well?", "Sage: better"]
        assert w.bot.quotas.used("id-Ana")["day"].answers == 2


async def test_a_new_line_is_no_part_of_an_answer_given_anew() -> None:
    async with asked() as (w, server):
        room = w.room()
        first = await room.say(ANA, "well?")
        assert first.answer is not None
        gate = server.hold(text="better")
        again = asyncio.ensure_future(anew(room, first.answer.id))
        await server.until(lambda s: len(s.asks) == 2)
        server.answer("a new answer")
        new = asyncio.ensure_future(room.say(ANA, "something else"))
        gate.open()
        assert (await again).shown == "better"
        assert (await new).shown == "a new answer"


async def test_a_line_that_joins_brings_whom_it_replies_to() -> None:
    async with asked(by_clock(personas=VOICES.personas)) as (w, server):
        room = w.room()
        server.answer("I am Marcus.")
        where = f"{room.channel.key}:page"
        async for piece in w.bot.receive(room.line(BEN, "Marcus, who are you?")):
            answer = piece
        await w.bot.delivered(answer.message.id, (Receipt(origin=where, page=0),))  # type: ignore[union-attr]
        await w.bot.conversations.speak_as(room.channel, "sage", ANA.sender)
        heard = Heard()
        server.hold(after_pieces=1, text="one two three")
        answering = await first_words(room, heard, "so")
        assert server.asks[-1].system.startswith("You are Sage")
        server.answer("as I said")
        await room.say(ANA, "and why?", reply_to=where)
        await answering
        assert server.asks[-1].system.startswith("You are Marcus")
        assert heard.answer is not None
        assert heard.answer.persona == "marcus"


async def test_who_edits_a_question_is_offered_the_answer_with_where_it_stands() -> None:
    async with asked() as (w, _):
        room = w.room()
        heard = Heard()
        async for piece in w.bot.receive(room.line(ANA, "what is the hight?", origin="discord:1:2")):
            heard.pieces.append(piece)
        assert heard.answer is not None
        # The answer was kept by now without them.
        await w.bot.delivered(heard.answer.id, (Receipt(origin="discord:1:3", page=0),))
        found = await w.bot.afterwards.edited("discord:1:2", "what is the height?", (), w.clock.now())
        assert found is not None
        assert [receipt.origin for receipt in found.receipts] == ["discord:1:3"]
        line = await w.store.find("discord:1:2")
        assert line is not None
        assert [edit.parts for edit in line.edits] == [(Text(text="what is the hight?"),)]


async def test_whoever_gives_up_while_an_answer_begins_is_not_charged_for_it() -> None:
    async with asked() as (w, server):
        room = w.room()
        await room.say(ANA, "well?", origin="discord:1:2")
        await room.say(ANA, "and why?", reply_to="discord:1:2", origin="discord:1:3")
        line = await w.store.find("discord:1:3")
        assert line is not None
        for steps in range(40):
            pieces = w.bot.again([line], ANA.sender)
            beginning = asyncio.ensure_future(anext(pieces))
            for _ in range(steps):
                await asyncio.sleep(0)
            beginning.cancel()
            await asyncio.wait((beginning,))
            await pieces.aclose()
            answers = sum(line.startswith("Sage: ") for line in await room.transcript())
            assert w.bot.quotas.used("id-Ana")["day"].answers == answers
        assert server.asks


async def test_a_line_that_is_edited_again_and_again_costs_a_few_askings_at_most() -> None:
    async with asked() as (w, server):
        gates = [server.hold(after_pieces=1, text=f"answer {number}") for number in range(10)]
        room, heard = w.room(), Heard()
        answering = await first_words(room, heard, "count")
        (line,) = await w.store.messages((await room.session()).id)
        assert line.origin is not None
        for number in range(9):
            await w.bot.afterwards.edited(line.origin, f"count to {number}", (), w.clock.now())
            await asyncio.sleep(0)
        for gate in gates:
            gate.open()
        await answering
        assert len(server.asks) <= 4
        assert heard.answer is not None
