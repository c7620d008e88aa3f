"""What is remembered lasts, through edits, long sessions and a full memory; whoever it is of sees and removes it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from bots.consolidating import packed
from bots.errors import TroupeError
from bots.facts import fact
from bots.memory_orders import MemoryOrders
from bots.providers import Chunk, Prompt
from storage.amendments import Deleted, Edited
from storage.model import Text
from storage.records import Memory

from .remembered import ANA, BEN, CAI, OTHER, ROOM, START, Mind, Noting, dm, line, mind

HENS = json.dumps(
    {"facts": [{"line": 1, "about": 1, "text": "Ana keeps seven brown hens.", "attribute": "has", "value": "hens"}]}
)


async def worded(m: Mind, id: str, text: str) -> None:
    edited = await m.store.amend(id, Edited(parts=(Text(text=text),), at=m.at))
    assert edited
    await m.memories.follow(edited)


async def nothing() -> None:
    """The index is not looked at here."""


async def test_an_edit_keeps_what_the_line_still_says_and_what_was_forgotten_stays_so() -> None:
    async with mind() as m:
        await m.said((ANA, "I live in Rome. I love saling boats."))
        await m.memories.due()
        [rome] = [each for each in await m.all() if "Rome" in each.text]
        m.memories.touched([rome.id], m.at)
        await m.memories.flush()
        await worded(m, "m2", "I live in Rome. I love sailing boats.")
        assert await m.texts() == {"Ana lives in Rome.", "Ana likes sailing boats."}
        assert {each.text for each in await m.memories.in_sight(await m.all())} == await m.texts()
        kept = await m.store.record(Memory, rome.id)
        assert kept
        assert kept.access_count == 1, "that it was of use is still known"
        await m.memories.forget(rome.id, ANA)
        await worded(m, "m2", "I live in Rome. I love sailing boats!!")
        assert await m.texts() == {"Ana likes sailing boats."}


async def test_an_edit_that_takes_back_the_newer_of_two_facts_lets_the_older_hold_again() -> None:
    async with mind() as m:
        await m.said((ANA, "I live in Rome."), (ANA, "I live in Oslo. I love opera."))
        await m.memories.due()
        await worded(m, "m3", "I love opera.")
        assert await m.texts() == {"Ana lives in Rome.", "Ana likes opera."}
        await worded(m, "m3", "I love opera. I live in Bonn.")
        assert await m.texts() == {"Ana lives in Bonn.", "Ana likes opera."}


async def test_what_a_model_found_outlives_an_edit_that_leaves_its_words() -> None:
    async with mind(Noting(HENS), extract="model") as m:
        await m.said((ANA, "at home I have seven brown hens, I keps them well, ana keeps hens"))
        await m.memories.due()
        before = await m.texts()
        assert before
        await worded(m, "m2", "at home I have seven brown hens, I keep them well, ana keeps hens")
        assert await m.texts() == before
        await worded(m, "m2", "at home I have two brown hens, ana keeps hens")
        assert await m.texts() == set()


async def test_where_memory_is_off_an_edit_teaches_nothing() -> None:
    async with mind() as m:
        await m.said((ANA, "I live in Rome. I love opera."))
        await m.memories.due()
        m.settings = m.settings.model_copy(update={"enabled": False})
        await worded(m, "m2", "I live in Rome. I love ballet.")
        assert await m.texts() == {"Ana lives in Rome."}


async def test_those_of_whom_something_is_remembered_see_it_and_have_it_forgotten() -> None:
    async with mind() as m:
        await m.said(
            (ANA, "Could you help me plan the garden party?"),
            (BEN, "sure, the roses need pruning"),
            (ANA, "the roses and tulips look great"),
            (BEN, "tulips are planted in autumn"),
            (ANA, "We decided to hold the garden party in May."),
        )
        await m.memories.due()
        note, decided = await m.memories.list(BEN.id, ROOM), await m.memories.list(ANA.id, ROOM)
        assert [each.subject for each in note] == ["session:s1"]
        assert {each.subject for each in decided} == {"session:s1", "topic:decided"}
        assert await m.memories.list(BEN.id, OTHER) == await m.memories.list(CAI.id, ROOM) == []
        with pytest.raises(TroupeError, match="not of you alone"):
            await m.memories.correct(note[0].id, "we talked of nothing", BEN, ROOM)
        for who, place in ((CAI, ROOM), (BEN, OTHER)):
            with pytest.raises(TroupeError, match="no such memory"):
                await m.memories.forget(note[0].id, who, place)
        await m.memories.forget(note[0].id, BEN, ROOM)
        [left] = await m.memories.list(ANA.id, dm(ANA))
        assert left.text.startswith("Decided on"), "one's own words are told in private, wherever they were said"
        await m.memories.forget(left.id, ANA, dm(ANA))
        assert await m.all() == []


async def test_what_was_decided_in_private_can_be_forgotten_by_whoever_runs_the_bot() -> None:
    async with mind() as m:
        await m.said((ANA, "We decided to use Postgres for the ledger."), where=dm(ANA))
        await m.memories.due()
        [decided] = await m.memories.list(ANA.id, dm(ANA))
        await MemoryOrders(m.store, m.memories, None, nothing).do("forget", {"memory": decided.id})
        assert await m.all() == []


async def test_that_something_was_of_use_is_told_to_whoever_keeps_the_index() -> None:
    async with mind() as m:
        kept = await m.memories.remember("Ana plays the accordion", ANA, ROOM)
        m.kept.clear()
        m.memories.touched([kept.id], m.at)
        await m.memories.flush()
        assert m.kept == [kept.id]


async def test_of_a_long_session_every_line_is_read_whoever_reads_it() -> None:
    hobbies = [(ANA, f"I love hobby{number}ing") for number in range(450)]
    async with mind() as m:
        session = await m.said(*hobbies, close=False)
        await m.memories.due()
        assert len(await m.texts()) == 450
        await m.more(session, (ANA, "I love tea"))
        await m.memories.due()
        assert len(await m.texts()) == 451
    async with mind(Noting('{"facts": []}'), extract="model") as m:
        await m.said(*hobbies)
        asked = []
        for _ in range(6):
            m.at += timedelta(days=1)
            await m.memories.due()
            asked.append(len(m.model.prompts))
        assert asked[0] == 2
        assert asked[-1] == asked[-2], "then it is read"
        shown = "".join(prompt.lines[0].text for prompt in m.model.prompts)
        assert all(shown.count(f"hobby{number}ing") == 1 for number in range(450))


class Pausing(Noting):
    """While it is asked somebody begins a pause."""

    mind: Mind

    async def stream(self, prompt: Prompt) -> AsyncIterator[Chunk]:
        await self.mind.memories.pause(ANA.id, ANA)
        async for chunk in super().stream(prompt):
            yield chunk


async def test_a_pause_that_begins_while_a_model_reads_is_one() -> None:
    model = Pausing(HENS)
    async with mind(model, extract="model") as m:
        model.mind = m
        await m.said((ANA, "ana keeps seven brown hens"))
        await m.memories.due()
        assert len(model.prompts) == 1
        assert await m.all() == []


async def test_a_clock_that_goes_back_gives_no_call_back_and_one_that_ran_far_ahead_takes_none() -> None:
    async with mind(Noting('{"facts": []}'), extract="model", calls=2) as m:
        for days, asked in ((0, 2), (-1, 2), (1, 2), (1, 4), (3_000, 6), (-2_999, 8)):
            m.at += timedelta(days=days)
            for _ in range(3):
                await m.memories.learn(await m.said((ANA, "I keep hens")))
            assert len(m.model.prompts) == asked


def test_a_full_memory_loses_no_fact_that_a_summary_has_room_for() -> None:
    told = [
        fact(line("x", id=f"l{n}"), "here", f"Fact{n} {'word ' * 54}end.", subject="user:id-Ana") for n in range(20)
    ]
    kept = packed(told, 5, START, timedelta(days=30))
    summaries = [each for each in kept if each.superseded_by is None]
    assert len(summaries) == 5
    again = packed([*summaries, *told[:2]], 4, START, timedelta(days=30))
    for texts in (summaries, [each for each in (*summaries, *again) if each.superseded_by is None]):
        assert all(any(f"Fact{n} " in each.text for each in texts) for n in range(20))


async def test_a_summary_loses_what_was_drawn_from_a_line_that_is_gone_and_nothing_else() -> None:
    async with mind(capacity=10) as m:
        session = await m.said(*((ANA, f"I love dish{number}") for number in range(25)), where=dm(ANA))
        for _ in range(2):
            await m.memories.due()
        lines = {each.words.split()[-1]: each for each in await m.store.messages(session.id)}
        before = " ".join(await m.texts())
        summary = next(each for each in await m.all() if each.id.startswith("packed ") and each.source)
        gone = summary.text.split()[2].rstrip(".")
        deleted = await m.store.amend(lines[gone].id, Deleted(at=m.at))
        assert deleted
        await m.memories.follow(deleted)
        after = " ".join(await m.texts())
        assert after != before
        assert all((f"{dish}." in after) == (f"{dish}." in before and dish != gone) for dish in lines)
        assert {each.text for each in await m.memories.in_sight(await m.all())} >= await m.texts()
