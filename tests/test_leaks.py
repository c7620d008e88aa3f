"""Who may be told what: secrets are planted in every kind of place, and every way out is tried from every other."""

from __future__ import annotations

import io
import random
import sqlite3
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from bots.index_files import FILE
from storage.forgotten_list import LIST
from storage.memory_index import MemoryIndex
from storage.model import Channel
from storage.records import Memory

from .test_memory_house import Letters, Listener
from .world import ANA, BEN, CAI, Person, Room, World, persona, settings, world

EVERYBODY = (ANA, BEN, CAI)
TOPICS = ("launch code", "garden gate", "night train", "old bridge")
MARK = "xyzzyplugh"


@dataclass
class Place:
    """Somewhere people talk, and the names of those whose words may be told there: places, and `guild:`, `asker:`."""

    room: Room
    people: tuple[Person, ...]
    hears: frozenset[str]


@dataclass
class Town:
    """A bot with many places and many secrets."""

    w: World
    model: Listener
    places: dict[str, Place]
    secrets: dict[str, str] = field(default_factory=dict)
    """By the secret word: the name of whom it is for."""
    said: dict[str, Person] = field(default_factory=dict)
    """Who planted it."""

    def secret(self, chance: random.Random, heard_by: str, who: Person) -> str:
        word = "".join(chance.choices("bcdfghjklmnpqrstvwxz", k=12))
        self.secrets[word], self.said[word] = heard_by, who
        return f"the {chance.choice(TOPICS)} of {who.name} is {word}"

    def leaks(self, text: str, place: Place, asker: Person) -> list[str]:
        """What was told that is for others, each with whom it is for."""
        allowed = {*place.hears, f"asker:{asker.name}", "everybody"}
        return [f"{word} of {whose}" for word, whose in self.secrets.items() if word in text and whose not in allowed]


def _places(w: World) -> dict[str, Place]:
    def place(
        front: Literal["discord", "web", "terminal"],
        id: str,
        kind: str,
        people: tuple[Person, ...],
        hears: str,
        **more: str | None,
    ) -> Place:
        channel = Channel.model_validate({"front": front, "id": id, "kind": kind, "name": id, **more})
        return Place(Room(w, channel), people, frozenset(hears.split()))

    found = {
        name: place("discord", name, "channel", EVERYBODY, f"{name} guild:{guild}", guild_id=guild)
        for guild in ("g1", "g2")
        for name in (f"{guild}-hall", f"{guild}-den")
    }
    found["g1-thread"] = place(
        "discord", "g1-thread", "thread", EVERYBODY, "g1-thread g1-hall guild:g1", guild_id="g1", parent_id="g1-hall"
    )
    for who in EVERYBODY:
        name = who.name
        own = f"alone:{name}"
        found[f"dm-{name}"] = place("discord", f"dm-{name}", "dm", (who,), own, parent_id=who.sender.id)
        found[f"web-{name}"] = place("web", f"web-{name}", "web", (who,), own, parent_id=who.sender.id)
    found["terminal"] = place("terminal", "local", "terminal", (CAI,), "terminal")
    return found


def _heard_by(name: str) -> str:
    """For whom something is that was said in a place."""
    kind, _, who = name.partition("-")
    return f"alone:{who}" if kind in ("dm", "web") else name


@asynccontextmanager
async def town(seed: int, *, echo: bool = False) -> AsyncIterator[Town]:
    """Secrets are said, noted and learned in random places, by random people, over some weeks; with `echo` the bot says
    what it was told."""
    chance, model = random.Random(seed), Listener(echo=echo)
    sessions = {"mode": "gap", "thread_gap": 300}
    config = settings(sessions=sessions, personas=[persona("sage"), persona("marcus")])
    async with world(config, provider=model, index=await MemoryIndex.open(None)) as w:
        w.bot.memory.adopt(w.bot.memory.settings, Letters("letters"))
        t = Town(w, model, _places(w))
        memories = w.bot.memory.memories
        for _ in range(2):
            for name in chance.sample(sorted(t.places), len(t.places)):
                place = t.places[name]
                who = chance.choice(place.people)
                ask = chance.choice(("", "sage, ", "marcus, "))
                await place.room.say(who, ask + t.secret(chance, _heard_by(name), who))
                w.clock.advance(chance.choice((30, 4_000, 86_400)))
                await memories.remember(t.secret(chance, _heard_by(name), who), who.sender, place.room.channel)
                await memories.remember(
                    t.secret(chance, f"asker:{who.name}", who), who.sender, place.room.channel, "me"
                )
                if guild := place.room.channel.guild_id:
                    told = t.secret(chance, f"guild:{guild}", who)
                    await memories.remember(told, who.sender, place.room.channel, "guild", may_manage=True)
        everybody = t.secret(chance, "everybody", CAI)
        await memories.remember(everybody, CAI.sender, t.places["terminal"].room.channel, "bot", may_manage=True)
        w.clock.advance(7 * 86_400)
        await w.bot.upkeep()
        await w.bot.memory.learn()
        assert w.bot.memory.indexing is not None
        await w.bot.memory.indexing.settle(vectors=True)
        yield t


@pytest.mark.parametrize("seed", range(3))
async def test_no_prompt_holds_what_was_meant_for_others(seed: int) -> None:
    async with town(seed, echo=seed == 1) as t:
        recalled = 0
        for name, place in t.places.items():
            for asker in place.people:
                asked = [f"what is the {topic} of {who.name}?" for topic in TOPICS for who in EVERYBODY]
                asked += [f"what is my {TOPICS[0]}?", "what did we talk about last week?", "marcus, the garden gate?"]
                for question in random.Random(f"{seed} {name}").sample(asked, 6):
                    await place.room.say(asker, question)
                    prompt = t.model.prompts[-1]
                    text = prompt.system + "\n".join(line.text for line in prompt.lines)
                    assert t.leaks(text, place, asker) == [], f"{asker.name} asks in {name}: {question}"
                    recalled += "From earlier talk" in text
                t.w.clock.advance(100_000)  # what the bot has told the one is not in view of the next
        assert recalled > 30, "it is no merit to keep silent"


async def test_no_command_tells_what_was_meant_for_others() -> None:
    async with town(11) as t:
        bot, told = t.w.bot, 0
        for place in t.places.values():
            channel = place.room.channel
            session = await place.room.session()
            for asker in place.people:
                ways = {
                    "context": (await bot.conversations.context(channel)).told(),
                    "summary": await bot.conversations.summary(session.id),
                    "why": await bot.explaining.told(channel, bot.settings),
                    "session": (await bot.conversations.show(session.id, {channel.key})).title,
                    "search": "".join(
                        [
                            found.message.text
                            for topic in TOPICS
                            for found in await bot.conversations.search(topic, {channel.key})
                        ]
                    ),
                    "export": str((await bot.conversations.export(session.id, "json", bot="sage", asker="x")).data),
                }
                for way, text in ways.items():
                    assert t.leaks(text, place, asker) == [], way
                for manages in (False, True):
                    listed = await bot.memory.memories.list(asker.sender.id, channel, may_manage=manages)
                    text = "\n".join(each.text for each in listed)
                    told += len(listed)
                    if channel.kind in ("dm", "web"):  # alone with the bot people see all that is theirs
                        own = {word for word, who in t.said.items() if who is asker}
                        text = " ".join(word for word in text.split() if word not in own)
                    assert t.leaks(text, place, asker) == [], f"memory list, {manages}"
        assert told > 20


async def test_nobody_changes_or_is_handed_what_is_anothers() -> None:
    async with town(23) as t:
        for who in EVERYBODY:
            zipped = b"".join([chunk async for chunk in t.w.bot.privacy.export(who.sender.id)])
            with zipfile.ZipFile(io.BytesIO(zipped)) as taken:
                text = "\n".join(taken.read(name).decode() for name in taken.namelist())
            others = [word for word, said in t.said.items() if said is not who and t.secrets[word] != "everybody"]
            assert [word for word in others if word in text] == []
            assert any(word in text for word, said in t.said.items() if said is who)
        theirs = await t.w.bot.memory.memories.list(ANA.sender.id, t.places["dm-Ana"].room.channel)
        for place in t.places.values():
            for each in theirs:
                with pytest.raises(Exception, match="no such memory"):
                    await t.w.bot.memory.memories.forget(each.id, BEN.sender, place.room.channel, may_manage=True)


def telling(root: Path) -> list[str]:
    """The files under a root that hold the mark."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and path.name != LIST)
    return [str(path.relative_to(root)) for path in files if MARK.encode() in path.read_bytes()]


async def _much_said(w: World, hall: Room, dm: Room) -> None:
    """So much that memories are put together, some of it in a pause, and some carried on into another place."""
    await w.bot.memory.memories.pause(BEN.sender.id, BEN.sender)
    await hall.say(BEN, f"I keep {MARK} for the pause")
    await w.bot.memory.memories.resume(BEN.sender.id, BEN.sender)
    w.clock.advance(600)
    for number in range(14):
        await dm.say(BEN, f"I like {MARK}{number}")
    w.clock.advance(600)
    await hall.say(BEN, f"how do we repair the {MARK}?")
    den = w.room("den")
    await w.bot.conversations.branch((await hall.session()).id, None, den.channel)
    await den.say(ANA, "and what is to be repaired?")
    w.clock.advance(6_000)
    await w.bot.upkeep()
    await w.bot.memory.learn()


@pytest.mark.parametrize("type", ["sqlite", "file"])
async def test_nothing_in_a_root_tells_of_somebody_who_was_forgotten(
    tmp_path: Path, type: Literal["sqlite", "file"], capsys: pytest.CaptureFixture[str]
) -> None:
    kept = {"path": str(tmp_path), "type": type}
    config = settings(tmp_path, sessions={"mode": "gap"}, storage=kept, memory={"capacity": 10, "extract": "rules"})
    index, model = await MemoryIndex.open(tmp_path / FILE), Listener(echo=True)
    async with world(config, root=tmp_path, provider=model, index=index) as w:
        w.bot.memory.adopt(w.bot.memory.settings, Letters("letters"))
        hall, memories = w.room("hall"), w.bot.memory.memories
        dm = Room(w, Channel(front="discord", id="9", kind="dm", name="Ben", parent_id=BEN.sender.id))
        for number in range(5):
            await hall.say(ANA, f"ordinary words {number}")
            await hall.say(BEN, f"my {MARK} number {number} is {MARK}{number}")
            await dm.say(BEN, f"privately, {MARK}{number}")
            w.clock.advance(600)
        await _much_said(w, hall, dm)
        for scope in ("here", "me"):
            await memories.remember(f"Ben has a {MARK} {scope}", BEN.sender, hall.channel, scope)
        at = w.clock.now()
        common = {"at": at, "type": "semantic", "subject": "tea", "text": f"{MARK} likes tea", "audience": "bot"}
        await w.store.keep(
            Memory(id="old", superseded_by="new", superseded_at=at, people=(BEN.sender.id,), **common),
            Memory(id="new", people=(ANA.sender.id, BEN.sender.id), **common),
            Memory(id="hers", people=(ANA.sender.id,), **{**common, "text": "tea is warm"}),
        )
        w.clock.advance(86_400)
        await w.bot.upkeep()
        await w.bot.memory.learn()
        assert w.bot.memory.indexing is not None
        await w.bot.memory.indexing.start()
        await w.bot.memory.indexing.settle(vectors=True)
        assert [each for each in (await w.store.records(Memory)).items if each.id.startswith("packed ")]
        answer = (await hall.say(ANA, "what about the number of Ben?")).answer
        assert answer is not None
        assert MARK in answer.text, "others are told of it"
        line = next(each for each in (await w.store.talk_of(BEN.sender.id)).items if each.origin)
        await w.bot.afterwards.edited(line.origin or "", f"rather {MARK}, you know", (), w.clock.now())
        await w.bot.privacy.forget(BEN.sender.id)
        about = await w.bot.privacy.about(BEN.sender.id)
        assert about.nothing
        left = [each.id for each in (await w.store.records(Memory)).items]
        assert left == ["hers"]
        await w.bot.memory.indexing.settle(vectors=True)
        await hall.say(ANA, "what number was it?")
        assert MARK not in model.prompts[-1].system + "".join(line.text for line in model.prompts[-1].lines)
    assert telling(tmp_path) == []
    assert MARK not in "".join(capsys.readouterr())
    with sqlite3.connect(tmp_path / FILE) as database:
        subjects = {row[0] for row in database.execute("SELECT subject FROM entries")}
        lost = database.execute("SELECT count(*) FROM vectors WHERE entry NOT IN (SELECT number FROM entries)")
        assert f"user:{BEN.sender.id}" not in subjects
        assert lost.fetchone() == (0,)
    database.close()
