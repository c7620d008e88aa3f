"""What the bot told others of somebody: it goes when that is to go, and is nowhere found again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from bots.index_files import FILE
from bots.providers import Chunk, Prompt, begun
from storage.forgetting import forget
from storage.memory_index import MemoryIndex
from storage.model import Message
from storage.records import Memory, Tombstone

from .remembered import BEN as BENS
from .remembered import ROOM, mind
from .test_memory_house import Listener, indexing, later
from .world import ANA, BEN, CAI, World, settings, world

MARK = "zanzifloop"


@asynccontextmanager
async def retelling(root: Path | None = None, model: Listener | None = None) -> AsyncIterator[tuple[World, Listener]]:
    """A bot with a memory, whose model says what it was told."""
    model = model or Listener(echo=True)
    index = await MemoryIndex.open(root / FILE if root else None)
    async with world(
        settings(root or Path("unused"), sessions={"mode": "gap"}), root=root, provider=model, index=index
    ) as w:
        yield w, model


def holding(root: Path) -> list[str]:
    """The files under a root that hold the mark."""
    return [path.name for path in sorted(root.rglob("*")) if path.is_file() and MARK.encode() in path.read_bytes()]


def shown(model: Listener) -> str:
    prompt = model.prompts[-1]
    return prompt.system + "\n".join(line.text for line in prompt.lines)


async def test_what_others_were_told_of_somebody_is_forgotten_with_them(tmp_path: Path) -> None:
    async with retelling(tmp_path) as (w, model):
        hall = w.room("hall")
        await hall.say(BEN, f"my boat is called {MARK}")
        await later(w)
        answer = (await hall.say(ANA, "what is the boat of Ben called?")).answer
        assert answer is not None
        assert MARK in answer.text
        drawn = Memory(
            id="drawn", at=w.clock.now(), type="semantic", audience="bot", subject="bot", text=MARK, source=answer.id
        )
        await w.store.keep(drawn)
        w.clock.advance(9_000)
        await w.bot.privacy.forget(BEN.sender.id)
        await later(w)
        await hall.say(ANA, "what is the boat called?")
        assert MARK not in shown(model)
        assert await w.store.message(answer.id) is None
        assert await w.store.record(Memory, "drawn") is None
    assert holding(tmp_path) == []


async def test_an_answer_that_drew_on_somebody_who_was_forgotten_meanwhile_is_kept_without_its_words(
    tmp_path: Path,
) -> None:
    class Slow(Listener):
        def __init__(self) -> None:
            super().__init__()
            self.go, self.asked = asyncio.Event(), asyncio.Event()

        async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
            self.asked.set()
            await self.go.wait()
            yield Chunk(text=f"It is called {MARK}.")
            yield Chunk(usage=begun(self))

    model = Slow()
    model.go.set()
    async with retelling(tmp_path, model) as (w, _):
        hall = w.room("hall")
        await hall.say(BEN, f"my boat is called {MARK}")
        await later(w)
        model.go.clear()
        model.asked.clear()
        under_way = asyncio.create_task(hall.say(ANA, "what is the boat of Ben called?"))
        await model.asked.wait()
        await w.bot.privacy.forget(BEN.sender.id)
        model.go.set()
        answer = (await under_way).answer
        assert answer is not None
        kept = await w.store.message(answer.id)
        assert kept is not None
        assert (kept.words, kept.usage) == ("", answer.usage), "it was paid for all the same"
    assert holding(tmp_path) == []


async def test_what_was_recalled_for_one_person_is_told_to_nobody_else_by_the_answer() -> None:
    async with retelling() as (w, model):
        hall, memories = w.room("hall"), w.bot.memory.memories
        kept = await memories.remember(f"My clinic is called {MARK}", BEN.sender, hall.channel, "me")
        await later(w, 1)
        answer = (await hall.say(BEN, "what is my clinic called?")).answer
        assert answer is not None
        assert MARK in answer.text
        await later(w, 1)
        await hall.say(ANA, "what is the clinic of Ben called?")
        assert MARK not in shown(model)
        await memories.forget(kept.id, BEN.sender)
        await later(w, 1)
        await hall.say(BEN, "what is my clinic called?")
        assert MARK not in shown(model), "it was to be forgotten"
        assert MARK not in await w.bot.conversations.summary((await hall.session()).id)


async def test_an_answer_to_a_line_that_was_deleted_is_not_recalled() -> None:
    async with retelling() as (w, model):
        hall = w.room("hall")
        answer = (await hall.say(BEN, f"my boat is called {MARK}")).answer
        assert answer is not None
        line = await w.store.message(answer.reply_to or "")
        assert line is not None
        await later(w, 1)
        await w.bot.afterwards.deleted(line.origin or "", w.clock.now())
        await later(w, 1)
        await hall.say(ANA, "what about the boat, what is it called?")
        assert MARK not in shown(model)


async def test_words_that_were_edited_right_before_somebody_was_forgotten_do_not_come_back(tmp_path: Path) -> None:
    async with retelling(tmp_path, Listener()) as (w, _):
        await w.room("hall").say(ANA, "hello all of you")
        line = await _said(w, "my boat is called Plain")
        await indexing(w).settle()
        await w.bot.afterwards.edited(line.origin or "", f"my boat is called {MARK}", (), w.clock.now())
        await w.bot.privacy.forget(BEN.sender.id)
        await indexing(w).settle(vectors=True)
    assert holding(tmp_path) == []


@pytest.mark.parametrize("how", ["memory", "line", "clear", "session"])
async def test_the_index_is_rid_of_what_was_removed_right_before_the_bot_stops(tmp_path: Path, how: str) -> None:
    async with retelling(tmp_path, Listener()) as (w, _):
        hall, memories = w.room("hall"), w.bot.memory.memories
        fact = await memories.remember("the museum shuts on Mondays", ANA.sender, hall.channel)
        line = await _said(w, "the museum shuts on Mondays")
        await indexing(w).settle()
        if how == "memory":
            await memories.forget(fact.id, ANA.sender)
        elif how == "line":
            await w.bot.afterwards.deleted(line.origin or "", w.clock.now())
        elif how == "clear":
            await w.bot.conversations.clear(hall.channel)
        else:
            await w.store.remove_sessions([line.session_id])
            w.bot.forget(line.session_id)
    index = await MemoryIndex.open(tmp_path / FILE)
    assert len(await index.known([fact.id, line.id])) == 1
    await index.close()


async def test_what_was_removed_when_the_bot_died_leaves_the_index_at_the_next_start(tmp_path: Path) -> None:
    async with retelling(tmp_path, Listener()) as (w, _):
        hall, memories = w.room("hall"), w.bot.memory.memories
        facts = [
            await memories.remember(f"the museum shuts {day}", ANA.sender, hall.channel) for day in ("now", "soon")
        ]
        line = await _said(w, "the museum shuts on Mondays")
        await indexing(w).settle()
        await w.store.remove_records(Memory, [facts[0].id])  # and nobody has told the index
        await w.store.remove_sessions([line.session_id])
    async with retelling(tmp_path, Listener()) as (w, _):
        await indexing(w).settle()
        assert await indexing(w)._index.known([line.id, *(each.id for each in facts)]) == {facts[1].id}


async def test_a_tombstone_dated_ahead_hides_nobody_who_is_forgotten_after_it(tmp_path: Path) -> None:
    async with retelling(tmp_path, Listener()) as (w, _):
        await _said(w, f"my boat is called {MARK}")
        await w.store.keep(Tombstone(id=CAI.sender.id, at=w.clock.now() + timedelta(hours=3)))
        await indexing(w).scrub()
        await forget(w.store, BEN.sender.id, w.clock.now())  # and the bot dies before it tells the index
    async with retelling(tmp_path, Listener()) as (w, _):
        await indexing(w).settle()
    assert holding(tmp_path) == []


async def test_what_was_learned_while_somebody_was_forgotten_goes_although_another_tombstone_is_younger() -> None:
    async with mind() as m:
        await m.store.keep(Tombstone(id="id-Cai", at=m.at + timedelta(hours=3)))
        await m.memories.due()
        late = {"type": "semantic", "audience": ROOM.key, "subject": f"user:{BENS.id}", "people": (BENS.id,)}
        await m.store.keep(
            Tombstone(id=BENS.id, at=m.at),
            Memory.model_validate({"id": "late", "at": m.at, "text": "Ben has a boat", **late}),
        )
        await m.memories.due()
        assert await m.all() == []


class Meanwhile:
    """A store in which somebody is forgotten once all memories were read for the second time."""

    def __init__(self, m: object) -> None:
        self._store, self._reads = m, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def records(self, kind: type, **more: object) -> object:
        page = await self._store.records(kind, **more)  # type: ignore[attr-defined]
        if kind is Memory and page.items:
            self._reads += 1
            if self._reads == 2:
                await forget(self._store, BENS.id, page.items[0].at)  # type: ignore[arg-type]
        return page


async def test_memory_that_is_put_together_while_somebody_is_forgotten_brings_nothing_back() -> None:
    async with mind(capacity=10) as m:
        for number in range(14):
            common = {"at": m.at, "type": "semantic", "audience": ROOM.key, "subject": f"user:{BENS.id}"}
            told = {**common, "id": f"f{number}", "text": f"Ben keeps {MARK}{number}", "people": (BENS.id,)}
            await m.store.keep(Memory.model_validate(told))
        m.store = Meanwhile(m.store)  # type: ignore[assignment]
        await m.again().due()
        assert await m.all() == []


async def _said(w: World, text: str) -> Message:
    answer = (await w.room("hall").say(BEN, text)).answer
    assert answer is not None
    line = await w.store.message(answer.reply_to or "")
    assert line is not None
    return line
