"""What stands beside a question of earlier talk: what holds, once, in order of time; and `/why` that tells it again."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

from bots.library import Library
from bots.providers import Chunk, Prompt
from bots.recalling import recalled
from storage.memory_index import MemoryIndex
from storage.records import Memory

from .test_memory_house import DAY, Listener, later, remembering
from .test_recalling import HERE, MONTH, NOON, turn
from .world import ANA, BEN, CAI, Room, World, settings, world


async def learned(w: World, days: int = 1) -> list[Memory]:
    """A day goes by, sessions are read, and the index follows."""
    w.clock.advance(days * DAY)
    await w.bot.memory.learn()
    await later(w, 1)
    return [*(await w.store.records(Memory, limit=200)).items]


async def beside(room: Room, model: Listener, question: str) -> list[str]:
    """What stands beside a question of Ben's, a line each."""
    await room.say(BEN, question)
    lines = model.last.splitlines()
    return [line.strip() for line in lines[1:] if line.startswith("    ")]


async def test_a_fact_that_changed_is_told_as_it_is_now_and_the_old_line_as_what_was() -> None:
    async with remembering() as (w, model):
        hall = w.room("hall")
        await hall.say(ANA, "I live in Rome")
        await learned(w)
        await hall.say(ANA, "I live in Berlin")
        await learned(w)
        told = await beside(hall, model, "in which city does Ana live?")
        assert any("Ana said, which in part holds no more since 2026-03-04: I live in Rome" in line for line in told)
        assert any(line.endswith(("Ana said: I live in Berlin", "Ana lives in Berlin.)")) for line in told)
        await learned(w)
        await hall.say(ANA, "I live in Rome")
        await learned(w)
        told = await beside(hall, model, "in which city does Ana live?")
        assert not any("no more" in line and "Rome" in line for line in told), "she moved back"
        assert any("no more" in line and "Berlin" in line for line in told)


async def test_what_somebody_corrected_is_told_in_the_place_of_what_was_said() -> None:
    async with remembering() as (w, model):
        hall, memories = w.room("hall"), w.bot.memory.memories
        await hall.say(ANA, "I live in Rome")
        (fact,) = await learned(w)
        await memories.correct(fact.id, "Ana lives in Berlin", ANA.sender, hall.channel)
        await later(w, 1)
        told = await beside(hall, model, "in which city does Ana live?")
        assert any("as Ana told it: “Ana lives in Berlin”" in line for line in told)
        assert not any("Ana said: I live in Rome" in line for line in told)
        assert [each.words for each in model.prompts[-1].earlier] == ["“Ana lives in Berlin”"], (
            "who quotes is told that"
        )
        await memories.undo(fact.id, ANA.sender, hall.channel)
        await later(w, 1)
        assert any("Ana said: I live in Rome" in line for line in await beside(hall, model, "where does Ana live?"))


async def test_the_line_of_a_fact_that_was_forgotten_is_not_told_any_more() -> None:
    async with remembering() as (w, model):
        hall, memories = w.room("hall"), w.bot.memory.memories
        for text in ("I live in Rome", "the boat leaks", "the sails are torn", "who sails the boat tomorrow?"):
            await hall.say(ANA, text)
        await learned(w)
        await hall.say(ANA, "yes, I live in Rome")
        facts = await learned(w)
        answer = (await hall.say(BEN, "where does Ana live, and what leaks?")).answer
        assert "I live in Rome" in model.last
        await later(w, 1)
        await memories.forget(next(each.id for each in facts if "Rome" in each.text), ANA.sender, hall.channel)
        assert answer is not None
        assert "Rome" not in await w.bot.explaining.recalled(hall.channel, BEN.sender.id, past=True)
        told = await beside(hall, model, "where does Ana live, and what leaks?")
        assert any("the boat leaks" in line for line in told)
        assert not any("Rome" in line for line in told)


async def test_nothing_empty_stands_beside_a_question_and_what_does_is_in_order_of_time() -> None:
    async with remembering() as (w, model):
        hall = w.room("hall")
        await hall.say(ANA, "the boiler was made in Leeds")
        await later(w, 3)
        await hall.say(ANA, "the boiler hums at night")
        w.clock.advance(3_600)
        await hall.say(CAI, "the boiler is green")
        await later(w, 3)
        await hall.say(CAI, "what about the boiler of ours?")
        await later(w, 3)
        told = await beside(hall, model, "what about the boiler of ours?")
        assert told == [
            "2026-03-02, Ana said: the boiler was made in Leeds",
            "2026-03-05 09:00, Ana said: the boiler hums at night",
            "2026-03-05 10:00, Cai said: the boiler is green)",
        ]


class Unsure(Listener):
    """A model that knows nothing."""

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        self.prompts.append(prompt)
        yield Chunk(text="Sorry, I don't know anything about the boiler.")


async def test_that_the_bot_did_not_know_is_not_recalled() -> None:
    model, index = Unsure(), await MemoryIndex.open(None)
    async with world(settings(sessions={"mode": "gap"}), provider=model, index=index) as w:
        hall = w.room("hall")
        await hall.say(ANA, "the boiler hums at night, who made the boiler?")
        await later(w, 3)
        assert await beside(hall, model, "does the boiler hum?") == [
            "2026-03-02, Ana said: the boiler hums at night, who made the boiler?)"
        ]


async def test_the_same_words_of_one_person_count_once_unless_a_time_is_asked_for() -> None:
    index = await MemoryIndex.open(None)
    talk = [turn(f"m{n}", "Ann", "We paint the blue canoe.", days=30 * n) for n in range(3)]
    talk += [turn("b", "Ben", "We paint the blue canoe."), turn("n", "Ann", "We don't paint the blue canoe.")]
    await index.put(talk)

    async def ids(question: str) -> list[str]:
        found = await recalled(index, question, {HERE}, now=NOON, half_life=MONTH)
        return sorted(each.entry.id for each in found)

    assert len(await ids("who paints the canoe red?")) == 3
    assert await ids("when did we paint the canoe?") == ["b", "m0", "m1", "m2", "n"]
    await index.close()


async def test_a_fact_whose_line_was_told_counts_as_recalled() -> None:
    async with remembering() as (w, model):
        hall = w.room("hall")
        await hall.say(ANA, "I live in Rome")
        await learned(w)
        await hall.say(BEN, "in which city does Ana live, Rome?")
        assert "I live in Rome" in model.last
        report = await w.bot.memory.memories.report()
        assert (report.memories, report.recalled) == (1, 1)


async def test_what_is_open_in_a_long_session_is_told_once_its_lines_are_out_of_view() -> None:
    model, index = Listener(), await MemoryIndex.open(None)
    config = settings(sessions={"mode": "gap"}, storage={"max_history": 60})
    async with world(config, provider=model, index=index) as w:
        hall = w.room("hall")
        await hall.say(ANA, "My goal is to paint the old boat before the summer")
        for n in range(21):
            await hall.say(ANA, f"brush number {n} is ready")
        await w.bot.memory.learn()
        await later(w, 0)
        await hall.say(BEN, "good evening")
        assert "On the table" not in model.last, "it is in view"
        for n in range(21, 60):
            await hall.say(ANA, f"brush number {n} is ready")
        answer = (await hall.say(BEN, "good evening to you")).answer
        assert "    Ana said: My goal is to paint the old boat before the summer)\nBen: good evening" in model.last
        assert answer is not None
        assert "recalled" not in answer.metadata, "it is of this talk"


async def test_why_names_the_files_that_stood_beside_a_question_and_the_places_in_them(tmp_path: Path) -> None:
    (tmp_path / "coffee.md").write_text(
        "# Coffee\n\nAll about it.\n\n## Grinding\n\nGrind espresso as fine as table salt.\n"
    )
    async with remembering() as (w, _):
        hall, memory = w.room("hall"), w.bot.memory
        memory._means = replace(memory._means, library=Library([tmp_path], {}))
        await hall.say(ANA, "how fine do I grind espresso?")
        told = await w.bot.explaining.recalled(hall.channel, ANA.sender.id, past=True)
        assert told == "It had these passages of files beside it:\n- coffee.md › Grinding, line 7"


async def test_why_tells_what_was_recalled_to_whoever_may_read_it_as_it_reads_now() -> None:
    async with remembering() as (w, _):
        hall, memories, explaining = w.room("hall"), w.bot.memory.memories, w.bot.explaining
        line = (await hall.say(ANA, "the *boat* is called Waffles")).answer
        assert line is not None
        kept = await memories.remember("my boat key is under the mat", BEN.sender, hall.channel, "me")
        await later(w, 3)
        await hall.say(BEN, "what is the boat called, and where is my boat key?")
        told = await explaining.recalled(
            hall.channel, BEN.sender.id, past=True, inert=lambda text: text.replace("*", "")
        )
        assert "2 things were recalled for it:" in told
        assert "- 2026-03-02, Ana said: “the boat is called Waffles” (" in told
        assert "my boat key is under the mat" in told
        assert "key" not in await explaining.recalled(hall.channel, ANA.sender.id, past=True), "only Ben's answers"
        assert "Waffles" not in await explaining.recalled(hall.channel, BEN.sender.id, past=False)
        question = await w.store.message(line.reply_to or "")
        assert question is not None
        await w.bot.afterwards.edited(question.origin or "", "the boat is called Biscuit", (), w.clock.now())
        assert "Biscuit" in await explaining.recalled(hall.channel, BEN.sender.id, past=True)
        await w.bot.afterwards.deleted(question.origin or "", w.clock.now())
        await memories.forget(kept.id, BEN.sender, hall.channel)
        told = await explaining.recalled(hall.channel, BEN.sender.id, past=True)
        assert "Biscuit" not in told
        assert "mat" not in told
