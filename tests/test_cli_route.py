"""`troupe route` as an admin uses it: explaining a line, trying a file of lines, and finding the threshold."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import storage
from bots.afterwards import answering
from bots.cli_route import route
from bots.routing_orders import RoutingOrders
from bots.terminal import SOCKET, Door
from storage.backend import Store
from storage.model import Channel, Message, Sender, Session, Text
from storage.records import Setting
from storage.rootlock import RootLock

from .stage import eventually
from .wire.embedding_server import EmbeddingServer
from .world import settings, world

ROOT = Path(__file__).resolve().parent.parent
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
GENERAL = Channel(front="discord", id="100", kind="channel", name="general", guild_id="1")
PRIVATE = Channel(front="discord", id="200", kind="dm", name="ann", parent_id="7")
ANN = Sender(type="user", id="7", name="Ann")
COOK = "{display: Cook, description: Cooks with you., keywords: [recipe, oven, soup], prompt: x%s}"
BARD = "{display: Bard, description: Writes verse., keywords: [poem, sonnet, rhyme], prompt: x%s}"
LINES = [
    ("a recipe for soup", "cook"),
    ("how hot is the oven", "cook"),
    ("a sonnet please", "bard"),
    ("what rhymes with love, a poem", "bard"),
    ("lol", None),
    ("see you\x1b[31m later", None),
]


class House:
    """A configuration with one bot of two personas."""

    def __init__(self, folder: Path, more: str = "", examples: str = "") -> None:
        self.folder, self.root = folder, folder / "data" / "sage"
        for name in ("bots", "personas"):
            (folder / "config" / name).mkdir(parents=True)
        for name, card in (("cook", COOK), ("bard", BARD)):
            (folder / "config" / "personas" / f"{name}.yaml").write_text(card % (examples if name == "cook" else ""))
        sage = f"personas: [cook, bard]\nembedder: {{provider: none}}\nstorage: {{path: {self.root}}}\n{more}\n"
        (folder / "config" / "bots" / "sage.yaml").write_text(sage)
        self.lines = self.write("lines.jsonl", *(json.dumps({"text": t, "persona": p}) for t, p in LINES))

    def write(self, name: str, *lines: str) -> str:
        (self.folder / name).write_text("\n".join(lines), encoding="utf-8")
        return str(self.folder / name)

    def with_store(self, work: Callable[[Store], Awaitable[None]]) -> None:
        async def run() -> None:
            store = await storage.connect("sage", self.root)
            await work(store)
            await store.close()

        asyncio.run(run())

    def run(self, *args: str) -> Result:
        return CliRunner().invoke(route, [*args, "--config", str(self.folder / "config")])

    def json(self, *args: str) -> Any:
        done = self.run(*args, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def fill(store: Store) -> None:
    """Talk of a channel, some of it to the bot, and a DM."""
    chat = [f"talk number {number} of nobody" for number in range(30)]
    await said(
        store, "s1", GENERAL, [*chat, "Bard, come here", "<@5> hello", "@Cleo hello", "is there soup in the oven today"]
    )
    await said(store, "s2", PRIVATE, ["a secret"])
    await said(store, "s3", GENERAL, ["who are you"], answered=True)


async def said(store: Store, name: str, channel: Channel, texts: list[str], *, answered: bool = False) -> None:
    session = Session(id=name, channel=channel, opened_at=NOON, last_at=NOON, participants=(ANN,))
    for number, text in enumerate(texts):
        at = NOON + timedelta(seconds=number)
        line = Message(id=f"{name}-{number}", session_id=name, role="user", sender=ANN, parts=(Text(text=text),), at=at)
        await store.append(session, line)
        if answered:
            voice = Sender(type="persona", id="cook", name="Cook")
            answer = line.model_copy(
                update={"id": f"{name}-a", "role": "assistant", "sender": voice, "persona": "cook", "reply_to": line.id}
            )
            await store.append(session, answer)


def test_a_line_is_explained_in_plain_words_and_nothing_is_made_for_it(house: House) -> None:
    told = house.run("a recipe for soup in Rome")
    assert told.exit_code == 0, told.output
    assert told.output.startswith("cook answers: its words fit the message best.")
    assert "persona  likely  keywords  words  letters\ncook" in told.output
    assert "the threshold is 50%." in told.output
    assert "Words alone were weighed" in told.output
    assert "I took it for a " in told.output
    assert "Rome" in told.output
    assert not house.root.exists()


def test_a_line_for_nobody_and_one_that_calls_somebody_are_explained_too(house: House) -> None:
    assert "cook answers: it is the default" in house.run("explain", "lol").output
    assert "not likely enough" in house.run("lol").output
    told = house.json("Bard, a recipe for soup")
    assert (told["persona"], told["rule"]) == ("bard", "address")
    assert told["weighed"][0]["persona"] == "cook"
    assert set(told["weighed"][0]["signals"]) == {"keywords", "words", "letters"}


def test_a_line_may_stand_without_quotation_marks_and_after_the_options(house: House) -> None:
    quoted = house.run("a recipe for soup").output
    for args in (
        ("a", "recipe", "for", "soup"),
        ("--bot", "sage", "a recipe for soup"),
        ("explain", "a recipe", "for soup"),
    ):
        assert house.run(*args).output == quoted
    for empty in ("", "  "):
        told = house.run(empty)
        assert told.exit_code == 2
        assert "TEXT is empty: it is what somebody says" in told.output


def test_two_topics_are_told_each_with_whom_it_is_for(house: House) -> None:
    told = house.run("Is there a recipe for soup? And write me a sonnet.")
    assert "A topic of its own, for cook" in told.output
    assert "A topic of its own, for bard" in told.output


def test_which_bot_has_to_be_said_where_there_are_several(house: House) -> None:
    (house.folder / "config" / "bots" / "other.yaml").write_text("personas: [bard]\n")
    told = house.run("hello")
    assert told.exit_code == 2
    assert "say which bot with --bot; there are: other, sage" in told.output
    assert house.run("hello", "--bot", "sage").exit_code == 0
    assert "no bot is called 'x'" in house.run("hello", "--bot", "x").output


def test_a_file_of_lines_is_tried_and_counted(house: House) -> None:
    told = house.json("eval", house.lines)
    assert (told["meant"], told["nobody"], told["grabbed"]) == (1.0, 1.0, None)
    assert told["confusion"] == {"cook": {"cook": 2}, "bard": {"bard": 2}, "": {"": 2}}
    assert told["unanswered"] == pytest.approx(1 / 3)
    wrong = house.write("wrong.jsonl", '{"text": "a \\u001b[31mrecipe for soup", "persona": null}')
    shown = house.run("eval", wrong).output
    assert "\nmeant for  cook\n(nobody)      1\n" in shown
    assert "Still wrong (1):" in shown
    assert "line 1: a" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("nonsense", "line 1: this is no JSON"),
        ('{"text": "x", "persona": "bob"}', 'line 1: `persona` is "bob", and this bot has none of that name'),
        ("", "there is no line in it"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_its_line(house: House, line: str, told: str) -> None:
    path = house.write("bad.jsonl", line)
    for command in (("eval", path), ("calibrate", "sage", "--examples", path)):
        done = house.run(*command)
        assert done.exit_code == 1
        assert told in done.output
        assert "bad.jsonl" in done.output


def test_files_that_cannot_be_read_are_refused_in_a_sentence(house: House) -> None:
    (house.folder / "latin.jsonl").write_bytes(b'{"text": "\xe9"}')
    for path, told in (("none.jsonl", "No such file"), ("latin.jsonl", "no text in UTF-8"), ("config", "directory")):
        done = house.run("eval", str(house.folder / path))
        assert done.exit_code == 1
        assert told in done.output


def test_what_is_no_file_of_lines_is_refused_at_once(house: House) -> None:
    pipe = house.folder / "pipe"
    os.mkfifo(pipe)
    for path in (str(pipe), "/dev/zero"):
        done = house.run("eval", path)
        assert done.exit_code == 1
        assert "is no file of lines, but a device or pipe." in done.output


async def test_where_the_embedder_is_down_words_alone_are_weighed_and_that_is_said(tmp_path: Path) -> None:
    house = House(tmp_path)
    sage = house.folder / "config" / "bots" / "sage.yaml"
    async with EmbeddingServer() as server:
        server.refusals.extend([503] * 100)
        down = f"embedder: {{provider: openai, model: m, base_url: '{server.url}'}}"
        sage.write_text(sage.read_text().replace("embedder: {provider: none}", down))
        for args in (("a recipe for soup",), ("eval", house.lines)):
            done = await asyncio.to_thread(house.run, *args)
            assert done.exit_code == 0, done.output
            assert done.stderr.count("The embedder cannot be asked, so that words alone are weighed: ") == 1
        kept = await asyncio.to_thread(house.run, "calibrate", "sage", "--examples", house.lines)
        assert kept.exit_code == 1, "it would be kept for meaning"


def test_calibrating_keeps_a_threshold_that_then_counts(house: House) -> None:
    house.with_store(fill)
    dry = house.json("calibrate", "sage", "--examples", house.lines, "--dry-run")
    assert (dry["lines"], dry["talk"], dry["kept"]) == (6, 31, False)
    assert [each["text"] for each in dry["grabbed"]] == ["is there soup in the oven today"]
    assert house.json("lol")["threshold"] == 0.5
    done = house.json("calibrate", "sage", "--examples", house.lines)
    assert done["kept"]
    assert done["then"]["meant"] == 1.0
    assert house.json("lol")["threshold"] == done["after"]
    again = house.run("calibrate", "sage", "--examples", house.lines).output
    assert "Tried 6 lines, and 31 lines of ordinary talk." in again
    assert "Ordinary talk that would be answered (1):\n  is there soup in the oven today" in again
    assert "goes by" in again


def test_there_is_a_way_back_to_the_built_in_threshold(house: House) -> None:
    async def found(store: Store) -> None:
        await store.keep(Setting(id="routing", at=NOON, values={"threshold": 0.8, "embedder": None}, by=ANN))

    house.with_store(found)
    assert house.json("lol")["threshold"] == 0.8
    assert house.run("calibrate", "sage", "--reset", "--dry-run").exit_code == 2
    told = house.run("calibrate", "sage", "--reset")
    assert "sage goes by the threshold 0.5 from now on, the built-in one." in told.output
    assert house.json("lol")["threshold"] == 0.5
    assert house.json("calibrate", "sage", "--reset") == {"before": None, "after": 0.5}


def test_lines_that_the_bot_answered_are_no_talk_however_many_it_answered_at_once(house: House) -> None:
    async def answer_several(store: Store) -> None:
        await said(store, "s4", GENERAL, ["and also this", "who are you, then"], answered=True)
        answer = await store.message("s4-1")
        assert answer is not None
        voice = Sender(type="persona", id="cook", name="Cook")
        session = await store.session("s4")
        assert session is not None
        more = {"role": "assistant", "sender": voice, "persona": "cook", "reply_to": answer.id, "id": "s4-b"}
        await store.append(
            session, answer.model_copy(update=more | {"metadata": answering(await store.messages("s4"))})
        )

    house.with_store(answer_several)
    assert house.json("calibrate", "sage", "--examples", house.lines, "--dry-run")["talk"] == 0


def test_calibrating_goes_by_the_cards_own_examples_where_none_are_given(tmp_path: Path) -> None:
    house = House(tmp_path, examples=", examples: [bread dough, how long to boil eggs, boil the eggs hard]")
    house.with_store(fill)
    assert house.json("calibrate", "sage")["lines"] == 3


def test_the_shipped_personas_can_be_calibrated_as_they_are(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    with (tmp_path / "config" / "bots" / "logic.yaml").open("a") as file:
        file.write("embedder: {provider: none}\n")
    config = str(tmp_path / "config")
    done = CliRunner().invoke(route, ["calibrate", "logic", "--dry-run", "--json", "--config", config])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["lines"] >= 3 * 12
    assert told["then"]["meant"] > 0.6


def test_calibrating_without_anything_to_go_by_is_refused(house: House) -> None:
    done = house.run("calibrate", "sage")
    assert done.exit_code == 1
    assert "no line for a persona to go by" in done.output


def test_a_threshold_of_the_config_outranks_and_that_is_said(tmp_path: Path) -> None:
    house = House(tmp_path, more="routing: {threshold: 0.7}")
    assert "goes by `routing.threshold: 0.7`" in house.run("calibrate", "sage", "--examples", house.lines).output
    assert house.json("lol")["threshold"] == 0.7


def test_each_command_explains_itself_with_an_example() -> None:
    for name in (None, "explain", "eval", "calibrate"):
        told = CliRunner().invoke(route, [name, "--help"] if name else ["--help"])
        assert told.exit_code == 0
        assert "troupe route" in told.output


async def test_a_running_bot_is_asked_at_its_door_and_goes_by_what_was_found(tmp_path: Path) -> None:
    house = House(tmp_path)
    config = settings(house.root)
    async with world(config, root=house.root) as w:
        await fill(w.store)
        applied: list[Any] = []
        lock = RootLock.take(house.root)
        orders = RoutingOrders(lambda: w.bot.settings, w.store, now=w.clock.now, applied=applied.append)
        door = asyncio.ensure_future(Door(w.bot, {"route": orders.order}).serve())
        await eventually(lambda: (house.root / SOCKET).exists())
        try:
            done = await asyncio.to_thread(house.json, "calibrate", "sage", "--examples", house.lines)
            kept = await w.store.record(Setting, "routing")
            assert kept is not None
            assert kept.values == {"threshold": done["after"], "embedder": None}
            assert applied == [kept.values]
            assert (await asyncio.to_thread(house.json, "lol"))["threshold"] == done["after"]
        finally:
            door.cancel()
            await asyncio.wait((door,))
            lock.release()
