"""`troupe memory` as an admin uses it, on a bot that rests and on one that runs."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import storage
from bots.cli_memory import memory
from bots.index_files import FILE
from bots.memory_orders import MemoryOrders
from storage.memory_index import Entry, MemoryIndex
from storage.model import Channel
from storage.records import Memory

from .test_cli_sessions import House
from .world import ANA, world

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HALL = Channel(front="discord", id="100", kind="channel", name="hall", guild_id="1")


def run(house: House, *args: str) -> Result:
    return CliRunner().invoke(memory, [args[0], *args[1:], "--config", str(house.folder / "config")])


def told(house: House, *args: str) -> Any:
    done = run(house, *args, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A bot at rest that knows where Ann lives."""
    house = House(tmp_path)

    async def live() -> None:
        store = await storage.connect("sage", house.root)
        await store.keep_channel(HALL)
        given = {"at": NOON, "type": "semantic", "audience": HALL.key, "subject": "user:7"}
        await store.keep(Memory(id="lives", text="Ann lives in Rome", **given))
        await store.close()
        index = await MemoryIndex.open(house.root / FILE)
        entry = Entry("lives", HALL.key, "fact", None, "", "user:7", NOON, "Ann lives in Rome")
        await index.put([entry])
        await index.close()

    asyncio.run(live())
    return house


def test_a_memory_is_listed_corrected_undone_and_forgotten(house: House) -> None:
    (lives,) = told(house, "list", "sage", "rome")["memories"]
    assert (lives["id"], lives["subject"], lives["recalled"]) == ("lives", "user:7", 0)
    assert told(house, "list", "sage", "--person", "8")["memories"] == []
    corrected = told(house, "correct", "sage", "lives", "Ann lives in Oslo")
    assert [each["text"] for each in told(house, "list", "sage")["memories"]] == ["Ann lives in Oslo"]
    assert len(told(house, "list", "sage", "--history")["memories"]) == 2
    assert [each["id"] for each in told(house, "undo", "sage", corrected["id"])["memories"]] == ["lives"]
    assert told(house, "forget", "sage", "lives")["text"] == "Ann lives in Rome"
    assert "Rome" not in run(house, "list", "sage", "--history").output
    files = [path for path in house.root.rglob("*") if path.is_file()]
    assert [path.name for path in files if b"lives in Rome" in path.read_bytes()] == []


def test_something_is_remembered_for_everybody_or_for_one_place_and_counted(house: House) -> None:
    assert told(house, "remember", "sage", "The museum shuts on Mondays")["audience"] == "bot"
    assert told(house, "remember", "sage", "Tea is at five", "--channel", "hall")["audience"] == HALL.key
    assert told(house, "remember", "sage", "No shouting", "--channel", "hall", "--guild")["audience"] == "guild:1"
    counted = told(house, "report", "sage")
    assert (counted["memories"], counted["share"]) == (4, 0.0)
    assert "4 memories for 3 audiences, 0 replaced." in run(house, "report", "sage").output
    shown = run(house, "remember", "sage", "Tea is hot", "--channel", "hall", "--guild").output
    assert "Everybody on the server of hall may be told it." in shown
    assert "Everybody who talks with it" in run(house, "remember", "sage", "Coffee is hot").output
    wide = run(house, "remember", "sage", "No shouting anywhere", "--guild")
    assert wide.exit_code == 1
    assert "`--guild` goes with `--channel`" in wide.output


def test_what_is_listed_can_be_given_to_the_other_commands(house: House) -> None:
    assert "1 memory for 1 audience, 0 replaced." in run(house, "report", "sage").output
    new = told(house, "correct", "sage", "lives", "Ann lives in Oslo")["id"]
    assert " " in new
    listed = run(house, "list", "sage", "--history").output
    typed = new.split()[-1]
    assert f"  {typed}  [in {HALL.key}]  Ann lives in Oslo" in listed
    assert f'Ann lives in Rome (replaced by "{new}")' in listed
    assert told(house, "undo", "sage", typed[:8])["memories"][0]["text"] == "Ann lives in Rome"


def test_a_memory_is_meant_by_the_beginning_of_its_id_or_by_words_that_it_alone_has(house: House) -> None:
    tea, coffee = (told(house, "remember", "sage", f"{what} is at five")["id"] for what in ("Tea", "Coffee"))
    doubtful = run(house, "forget", "sage", "is at FIVE").output
    assert "may mean several memories" in doubtful
    assert f'"{tea}" (Tea is at five)' in doubtful
    assert "[for everybody]" in run(house, "list", "sage", "tea").output
    assert "Coffee is at six" in run(house, "correct", "sage", "coffee is", "Coffee is at six").output
    assert told(house, "forget", "sage", tea.split()[-1][:9])["text"] == "Tea is at five"
    assert told(house, "forget", "sage", "is at six")["text"] == "Coffee is at six"
    assert run(house, "forget", "sage", coffee).exit_code == 1
    assert run(house, "forget", "sage", " ").exit_code == 1


def test_a_bot_without_a_memory_says_so(house: House) -> None:
    bot = house.folder / "config" / "bots" / "sage.yaml"
    bot.write_text(bot.read_text() + "memory: {enabled: false}\n")
    for command in (("list", "sage"), ("remember", "sage", "Tea is at five"), ("report", "sage")):
        assert "The memory of sage is off, for `memory.enabled` is false" in run(house, *command).output


def test_learning_about_somebody_is_paused_and_the_index_made_anew(house: House) -> None:
    assert told(house, "pause", "sage", "7") == {"person": "7", "paused": True, "known": False}
    assert told(house, "report", "sage")["paused"] == ["7"]
    assert "Learning is paused about: 7." in run(house, "report", "sage").output
    assert told(house, "pause", "sage", "7", "--off") == {"person": "7", "paused": False, "known": False}
    assert told(house, "report", "sage")["paused"] == []
    shown = run(house, "pause", "sage", "not a person").output
    assert "sage learns nothing any more about the user not a person." in shown
    assert "Nobody with the id not a person has spoken to sage yet" in shown
    assert told(house, "rebuild", "sage") == {"rebuilding": True}
    assert "sage makes its index anew at its next start." in run(house, "rebuild", "sage").output
    assert not (house.root / FILE).exists()


def test_a_mistake_is_told_in_a_sentence(house: House) -> None:
    done = run(house, "forget", "sage", "nothing")
    assert done.exit_code == 1
    assert "There is no memory 'nothing': `troupe memory list` shows their ids." in done.output


async def test_a_running_bot_does_it_at_its_door_and_says_how_far_its_index_is() -> None:
    async with world(index=await MemoryIndex.open(None)) as w:
        await w.room("hall").say(ANA, "hello there")
        bot, pieces = w.bot, list[str]()
        assert bot.memory.indexing is not None
        await bot.memory.indexing.settle()
        orders = MemoryOrders(w.store, bot.memory.memories, bot.memory.indexing, bot.memory.rebuild)

        async def say(piece: str) -> None:
            pieces.append(json.loads(piece))

        await orders.order({"verb": "report"}, say)
        report = json.loads("".join(pieces))
        assert report["index"] == {"entries": 2, "vectors_missing": 0, "behind": False}
        await orders.do("rebuild", {})
        await bot.memory.indexing.settle()
        assert (await bot.memory.indexing.progress()).entries == 2
        assert "2 entries in the index, found by words alone, 0 memories" in await bot.memory.told()
