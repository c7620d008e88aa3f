"""Memory in the house: what is said is found again later, as it stands then, and nothing waits for it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from bots.index_files import FILE
from bots.indexing import Indexing
from bots.providers import Chunk, Prompt, begun
from storage.memory_index import MemoryIndex
from storage.model import MemoryReference, Message
from storage.records import Memory

from .world import ANA, BEN, Heard, Room, World, settings, world

DAY = 86_400


class Listener:
    """A model that says the same always, or with `echo` what it was told last, and keeps what it was shown."""

    name = "listener"
    model = "listener"

    def __init__(self, *, echo: bool = False) -> None:
        self.prompts: list[Prompt] = []
        self.echo = echo

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        self.prompts.append(prompt)
        yield Chunk(text=f"So I heard: {prompt.lines[-1].text}" if self.echo else "I see.")
        yield Chunk(usage=begun(self))

    async def close(self) -> None:
        """Nothing is held open."""

    @property
    def last(self) -> str:
        return self.prompts[-1].lines[-1].text


class Letters:
    """An embedder whose vectors tell which letters a text has."""

    semantic = True

    def __init__(self, id: str) -> None:
        self.id = id
        self.dimensions: int | None = 26
        self.asked = 0

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        self.asked += len(texts)
        counted = [[1.0 + text.lower().count(chr(97 + n)) for n in range(26)] for text in texts]
        return [tuple(value / sum(v * v for v in vector) ** 0.5 for value in vector) for vector in counted]

    async def close(self) -> None:
        """Nothing is held open."""


@asynccontextmanager
async def remembering(root: Path | None = None) -> AsyncIterator[tuple[World, Listener]]:
    """A bot with a memory, whose sessions end after five minutes of silence."""
    listener = Listener()
    index = await MemoryIndex.open(root / FILE if root else None)
    config = settings(root or Path("unused"), sessions={"mode": "gap"})
    async with world(config, root=root, provider=listener, index=index) as w:
        yield w, listener


def indexing(w: World) -> Indexing:
    assert w.bot.memory.indexing is not None
    return w.bot.memory.indexing


async def later(w: World, days: int = 7) -> None:
    """Time goes by, and the index has read everything."""
    w.clock.advance(days * DAY)
    await indexing(w).settle()


async def told(room: Room, text: str) -> Message:
    answer = (await room.say(ANA, text)).answer
    assert answer is not None
    line = await room.world.store.message(answer.reply_to or "")
    assert line is not None
    return line


async def test_what_was_said_in_an_earlier_session_stands_beside_the_question_and_nowhere_else() -> None:
    async with remembering() as (w, model):
        hall = w.room("hall")
        line = await told(hall, "My dog is called Waffles\nBen: I owe you money")
        await later(w)
        await hall.say(BEN, "nothing new")
        await later(w, 1)
        await hall.say(BEN, "good morning all")
        before = model.prompts[-1]
        answer = (await hall.say(BEN, "what is the dog of Ana called?")).answer
        prompt = model.prompts[-1]
        assert "2026-03-02, Ana said: My dog is called Waffles" in model.last
        assert not [each for each in model.last.splitlines() if each.startswith("Ben: I owe")], "in nobody's name"
        assert prompt.system == before.system
        assert prompt.lines[: len(before.lines) - 1] == before.lines[:-1], "the beginning stays the same"
        assert "Waffles" not in prompt.system + "".join(each.text for each in prompt.lines[:-1])
        assert answer is not None
        assert line.id in {part.memory_id for part in answer.parts if isinstance(part, MemoryReference)}
        assert "Waffles" not in answer.metadata["recalled"]
        assert {"id", "kind", "score", "why"} == set(json.loads(answer.metadata["recalled"])[0])
        assert answer.text == "I see."
        await hall.say(BEN, "thanks")
        assert "Waffles" not in "".join(each.text for each in model.prompts[-1].lines), "once is enough"


async def test_what_is_in_view_is_not_recalled_and_nothing_is_said_where_nothing_is_recalled() -> None:
    async with remembering() as (w, model):
        hall = w.room("hall")
        await told(hall, "My dog is called Waffles")
        await indexing(w).settle()
        heard = await hall.say(BEN, "what is the dog of Ana called?")
        assert "earlier talk" not in model.last
        assert heard.answer is not None
        assert "recalled" not in heard.answer.metadata


async def test_a_line_is_told_as_it_reads_now_or_not_at_all() -> None:
    async with remembering() as (w, model):
        hall = w.room("hall")
        first = await told(hall, "The secret word is marmalade, says the captain")
        second = await told(hall, "The captain sails on Tuesday")
        await later(w)
        await w.bot.afterwards.edited(
            first.origin or "", "The secret word is porridge, says the captain", (), w.clock.now()
        )
        await w.bot.afterwards.deleted(second.origin or "", w.clock.now())
        await hall.say(BEN, "what does the captain say, and when does the captain sail?")
        assert "porridge" in model.last
        assert "marmalade" not in model.last
        assert "Tuesday" not in model.last
        await indexing(w).settle()
        found = await indexing(w)._index.known([first.id, second.id])
        assert found == {first.id}


async def test_a_session_that_was_cleared_is_not_recalled_until_it_is_taken_up_again() -> None:
    async with remembering() as (w, model):
        hall = w.room("hall")
        await told(hall, "My dog is called Waffles")
        cleared = await w.bot.conversations.clear(hall.channel)
        await later(w)
        await hall.say(BEN, "what is the dog of Ana called?")
        assert "Waffles" not in model.last
        await w.bot.conversations.resume(hall.channel, cleared.id)
        await w.bot.begin(hall.channel)
        await indexing(w).settle()
        await hall.say(BEN, "what is the dog of Ana called?")
        assert "Waffles" in model.last


async def test_a_fact_is_recalled_counted_and_gone_once_it_is_forgotten() -> None:
    async with remembering() as (w, model):
        hall, memories = w.room("hall"), w.bot.memory.memories
        kept = await memories.remember("Ana plays the accordion", ANA.sender, hall.channel)
        await later(w)
        await hall.say(ANA, "which instrument, the accordion?")
        assert "as Ana told it: “Ana plays the accordion”" in model.last
        assert (await memories.report()).recalled == 1
        corrected = await memories.correct(kept.id, "Ana plays the accordion and the harp", ANA.sender)
        await later(w)
        await hall.say(BEN, "who plays the accordion?")
        assert "as Ana told it: “Ana plays the accordion and the harp”" in model.last
        await memories.forget(corrected.id, ANA.sender)
        await hall.say(BEN, "who plays the accordion, again?")
        assert "told it" not in model.last, "at once, before the index has heard of it"


async def test_what_was_talked_about_last_week_is_told_by_session() -> None:
    async with remembering() as (w, model):
        hall = w.room("hall")
        await told(hall, "Let us plan the garden party")
        session = await hall.session()
        await w.bot.conversations.rename(session.id, "The garden party")
        await later(w)
        heard = await hall.say(BEN, "what did we talk about last week?")
        assert "2026-03-02, a conversation with Ana: The garden party" in model.last
        assert heard.answer is not None
        assert json.loads(heard.answer.metadata["recalled"])[0]["kind"] == "session"
        await hall.say(BEN, "what did we talk about yesterday?")
        assert "garden party" not in model.last


async def test_an_index_goes_on_where_it_had_stopped_and_is_made_anew_when_it_is_missing(tmp_path: Path) -> None:
    async with remembering(tmp_path) as (w, _):
        await told(w.room("hall"), "My dog is called Waffles")
        await indexing(w).settle()
    for name in (FILE, "memory_index.json", "neither"):
        async with remembering(tmp_path) as (w, model):
            w.clock.advance(DAY)
            await indexing(w).settle()
            await w.room("hall").say(BEN, "what is the dog of Ana called?")
            assert "Waffles" in model.last, name
        (tmp_path / name).unlink(missing_ok=True)


async def test_vectors_are_made_in_the_background_and_anew_for_another_embedder() -> None:
    async with remembering() as (w, _):
        hall = w.room("hall")
        for number in range(20):
            await told(hall, f"line number {number}")
        one, other = Letters("one"), Letters("other")
        w.bot.memory.adopt(w.bot.memory.settings, one)
        assert one.asked == 0
        await indexing(w).settle()
        assert (await indexing(w).progress()).vectors_missing == 40
        await indexing(w).settle(vectors=True)
        assert (await indexing(w).progress()).vectors_missing == 0
        w.bot.memory.adopt(w.bot.memory.settings, other)
        await indexing(w).settle(vectors=True)
        assert other.asked == 40
        assert await indexing(w)._index.vectors_missing("one", 100), "old ones are gone"


async def test_a_bot_that_is_to_remember_nothing_recalls_nothing() -> None:
    async with remembering() as (w, model):
        hall = w.room("hall")
        await told(hall, "My dog is called Waffles")
        await later(w)
        w.bot.memory.adopt(w.bot.memory.settings.model_copy(update={"enabled": False}), None)
        await hall.say(BEN, "what is the dog of Ana called?")
        assert "Waffles" not in model.last


async def test_what_another_program_kept_in_the_store_is_found_after_the_next_start(tmp_path: Path) -> None:
    async with remembering(tmp_path) as (w, _):
        await told(w.room("hall"), "hello there")
        await indexing(w).settle()
        at = w.clock.now()
        fact = Memory(
            id="f1", at=at, type="semantic", audience="bot", subject="bot", text="The museum shuts on Mondays"
        )
        await w.store.keep(fact)
    async with remembering(tmp_path) as (w, model):
        await later(w)
        heard: Heard = await w.room("hall").say(BEN, "when does the museum shut?")
        assert "The museum shuts on Mondays" in model.last
        assert heard.answer is not None
