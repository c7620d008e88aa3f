"""Forgetting somebody while others talk, and what there is beside the talk: nothing comes back, nothing is left."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

from bots.providers import Chunk, Prompt
from storage.forgetting import forget
from storage.model import Annotation, Reaction, SessionContext
from storage.records import Tombstone

from .world import ANA, BEN, CAI, world


class Held:
    """A model that answers only once it may."""

    name = model = "held"

    def __init__(self) -> None:
        self.go, self.asked = asyncio.Event(), asyncio.Event()
        self.go.set()

    async def stream(self, prompt: Prompt) -> AsyncIterator[Chunk]:
        yield Chunk("I ")
        if not self.go.is_set():
            self.asked.set()
        await self.go.wait()
        yield Chunk("see.")

    async def close(self) -> None:
        """There is nothing to let go of."""


async def test_a_turn_of_somebody_else_brings_back_nothing_of_who_was_forgotten() -> None:
    model = Held()
    async with world(provider=model) as w:
        room = w.room()
        await room.say(ANA, "I am Ana and this is mine")
        session = await room.session()
        await w.bot.conversations.rename(session.id, "Ana talks about mine")
        await w.bot.conversations.summary(session.id)
        model.go.clear()
        under_way = asyncio.create_task(room.say(BEN, "hello"))
        waiting = asyncio.create_task(room.say(CAI, "hello too"))
        await model.asked.wait()
        await w.bot.privacy.forget(ANA.sender.id)
        model.go.set()
        for heard in (await under_way, await waiting):
            assert heard.answer is not None
            assert heard.answer.outcome == "whole"
        after = await room.session()
        assert [each.name for each in after.participants] == ["Ben", "Cai"]
        assert (after.title, after.context, after.message_count) == ("", SessionContext(), 4)


async def test_whose_only_trace_is_a_setting_is_told_and_can_be_forgotten() -> None:
    async with world() as w:
        await w.bot.guilds.set("g1", "session_gap", "5m", CAI.sender)
        about = await w.bot.privacy.about(CAI.sender.id)
        assert (about.nothing, about.records) == (False, 2)
        assert (await w.bot.privacy.forget(CAI.sender.id)).records == 2
        assert (await w.bot.privacy.about(CAI.sender.id)).nothing


async def test_a_note_that_the_bot_made_on_behalf_of_somebody_goes_with_them() -> None:
    async with world() as w:
        room = w.room()
        await room.say(BEN, "hi")
        await w.bot.said(room.channel, "-# Ana has cleared what was said here.", origin="discord:1:5", by=ANA.sender)
        await w.bot.privacy.forget(ANA.sender.id)
        page = await w.store.read((await room.session()).id, deleted=True)
        assert not [each.text for each in page.items if "Ana" in each.text]


async def test_the_answer_that_is_being_given_to_who_is_forgotten_is_cut_short_and_goes_too() -> None:
    model = Held()
    async with world(provider=model) as w:
        room = w.room()
        await room.say(BEN, "I stay")
        model.go.clear()
        under_way = asyncio.create_task(room.say(ANA, "this is mine"))
        await model.asked.wait()
        w.clock.advance(5)
        await w.bot.privacy.forget(ANA.sender.id)
        answer = (await under_way).answer
        assert answer is not None
        assert answer.outcome == "stopped"
        assert await w.store.message(answer.id) is None
        assert [each.text for each in await w.store.messages((await room.session()).id)] == ["I stay", "I see."]
        assert (await w.bot.privacy.about(ANA.sender.id)).nothing


async def test_an_answer_goes_with_its_question_and_stays_with_it_whenever_it_was_given() -> None:
    async with world() as w:
        room = w.room()
        await room.say(ANA, "forget this")
        session, asked_at = await room.session(), w.clock.now()
        answer = (await w.store.messages(session.id))[-1]
        late = {"id": "late", "at": asked_at + timedelta(seconds=60), "receipts": ()}
        await w.store.append(session, answer.model_copy(update=late))
        await forget(w.store, ANA.sender.id, asked_at)
        assert not (await w.store.read(session.id, deleted=True)).items
        w.bot.forget(session.id)
        stays = replace(room.line(ANA, "keep this"), at=w.clock.now() + timedelta(seconds=9))
        async for _ in w.bot.receive(stays):
            pass
        await forget(w.store, ANA.sender.id, w.clock.now())
        assert len(await w.store.messages((await room.session()).id)) == 2


async def test_a_clock_that_is_behind_that_of_discord_spares_nothing() -> None:
    async with world() as w:
        room = w.room()
        ahead = w.clock.now() + timedelta(seconds=40)
        async for _ in w.bot.receive(replace(room.line(ANA, "said in the future"), at=ahead)):
            pass
        await w.bot.privacy.forget(ANA.sender.id)
        assert (await w.bot.privacy.about(ANA.sender.id)).nothing
        assert await w.store.record(Tombstone, ANA.sender.id) == Tombstone(id=ANA.sender.id, at=ahead)


async def test_marks_on_ones_own_lines_are_told_with_the_lines_alone() -> None:
    async with world() as w:
        room = w.room()
        for who, origin in ((ANA, "discord:id-general:own"), (BEN, "discord:id-general:other")):
            await room.say(who, "hello", origin=origin)
            await w.bot.afterwards.reacted(origin, Reaction(emoji="👍", sender=ANA.sender, at=w.clock.now()))
        own = await w.store.find("discord:id-general:own")
        assert own is not None
        note = Annotation(id="n", kind="dropped", sender=ANA.sender, at=w.clock.now())
        await w.bot.afterwards.annotate(own.id, note)
        assert (await w.bot.privacy.about(ANA.sender.id)).marks == 1
        chunks = [chunk async for chunk in w.bot.privacy.export(ANA.sender.id)]
        with zipfile.ZipFile(io.BytesIO(b"".join(chunks))) as taken:
            assert len(json.loads(taken.read("marks.json"))) == 1
