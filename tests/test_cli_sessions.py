"""`troupe sessions` as an admin uses it, on a bot that rests and on one that runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import storage
from bots.cli_sessions import sessions
from bots.errors import TroupeError
from bots.session_orders import SessionOrders, at_rest
from bots.terminal import SOCKET, Door
from storage.backend import Store
from storage.model import Attachment, Channel, Message, Sender, Session, Text
from storage.rootlock import RootLock

from .stage import eventually
from .world import settings, world

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
GENERAL = Channel(front="discord", id="100", kind="channel", name="general", guild_id="1")
PRIVATE = Channel(front="discord", id="200", kind="dm", name="ann", parent_id="7")
ANN = Sender(type="user", id="7", name="Ann")
BEN = Sender(type="user", id="8", name="Ben")


class House:
    """A configuration with one bot."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "data" / "sage"
        for name in ("bots", "personas"):
            (folder / "config" / name).mkdir(parents=True)
        persona = "{display: Sage, description: wise, prompt: You are Sage.}"
        (folder / "config" / "personas" / "sage.yaml").write_text(persona)
        template = "[{name: Interview, title: A talk, opening: [{role: assistant, text: Who are you?}]}]"
        sage = f"personas: [sage]\nstorage: {{path: {self.root}}}\ntemplates: {template}\n"
        (folder / "config" / "bots" / "sage.yaml").write_text(sage)

    def with_store(self, work: Callable[[Store], Awaitable[None]]) -> None:
        async def run() -> None:
            store = await storage.connect("sage", self.root)
            await work(store)
            await store.close()

        asyncio.run(run())

    def run(self, *args: str) -> Result:
        group, *rest = args
        nested = 2 if group == "templates" else 1
        options = ["--config", str(self.folder / "config")]
        return CliRunner().invoke(sessions, [*args[:nested], *options, *args[nested:]] if rest else list(args))

    def json(self, *args: str) -> Any:
        done = self.run(*args, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = House(tmp_path)
    house.with_store(fill)
    return house


async def fill(store: Store) -> None:
    """Two sessions of one channel and one of a DM."""
    await said(store, "s1", GENERAL, 0, ("my tea is Lapsang", ANN), ("my cake is plum", BEN))
    await said(store, "s2", GENERAL, 3600, ("black tea, then", BEN))
    await said(store, "s3", PRIVATE, 90_000, ("a secret tea\x1b[31m", ANN), file=True)


async def said(
    store: Store, name: str, channel: Channel, start: int, *lines: tuple[str, Sender], file: bool = False
) -> None:
    at = NOON + timedelta(seconds=start)
    session = Session(id=name, channel=channel, opened_at=at, last_at=at, participants=(ANN, BEN))
    for number, (text, who) in enumerate(lines):
        parts = (Text(text=text), *([Attachment(type="file", name="a.txt", url="https://e.example/a")] if file else []))
        message = Message(
            id=f"{name}-{number}",
            session_id=name,
            role="user",
            sender=who,
            parts=parts,
            at=at + timedelta(seconds=number),
        )
        await store.append(session, message)


def ids(told: Any) -> list[str]:
    return [each["id"] for each in told["sessions"]]


def hits(told: Any) -> list[str]:
    return [each["id"] for each in told["found"]]


def test_sessions_are_listed_and_narrowed_down(house: House) -> None:
    lines = house.run("list", "sage").stdout.splitlines()
    assert lines[1] == "2026-03-02 13:00  black tea, then  in general, 1 message  s2"
    assert "\x1b" not in lines[0]
    assert ids(house.json("list", "sage")) == ["s3", "s2", "s1"]
    assert ids(house.json("list", "sage", "lapsang")) == ["s1"]
    assert ids(house.json("list", "sage", "--channel", "#general")) == ["s2", "s1"]
    assert ids(house.json("list", "sage", "--person", "ann")) == ["s3", "s1"]
    assert ids(house.json("list", "sage", "--until", "2026-03-02")) == ["s2", "s1"]
    assert ids(house.json("list", "sage", "--since", "2026-03-02T12:30")) == ["s3", "s2"]
    assert ids(house.json("list", "sage", "--has-files")) == ["s3"]
    assert house.run("list", "sage", "--tag", "none").stdout == "There are no such sessions.\n"


def test_a_list_is_as_long_as_asked_for_and_goes_on_where_it_was_cut(house: House) -> None:
    first = house.json("list", "sage", "--limit", "2")
    assert ids(first) == ["s3", "s2"]
    assert ids(house.json("list", "sage", "--limit", "2", "--cursor", first["older"])) == ["s1"]
    tea = house.json("list", "sage", "a", "--limit", "1")
    assert ids(tea) == ["s3"]
    assert ids(house.json("list", "sage", "a", "--limit", "5", "--cursor", tea["older"])) == ["s2", "s1"]
    assert house.run("list", "sage", "--limit", "2").stderr == "There are older ones: raise --limit.\n"


def test_archived_sessions_are_counted_where_they_are_not_listed_and_can_be_taken_up_again(house: House) -> None:
    for name in ("s1", "s2"):
        house.run("archive", "sage", name)
    listed = house.run("list", "sage")
    assert listed.stderr == "2 archived not shown: --archived lists what is archived.\n"
    assert ids(house.json("list", "sage")) == ["s3"]
    assert house.json("list", "sage", "--channel", "ann")["archived_not_shown"] == 0
    assert house.run("resume", "sage", "s1").stdout.endswith("my tea is Lapsang  in general, 2 messages  s1\n")
    assert house.json("show", "sage", "s1")["closed_at"] is None


def test_people_personas_channels_and_tags_are_named_as_people_name_them(house: House) -> None:
    async def more(store: Store) -> None:
        line = Message(
            id="x", session_id="s4", role="assistant", sender=ANN, persona="sage", parts=(Text(text="hm"),), at=NOON
        )
        other = GENERAL.model_copy(update={"id": "300"})
        await store.append(Session(id="s4", channel=other, opened_at=NOON, last_at=NOON), line)

    house.with_store(more)
    assert ids(house.json("list", "sage", "--persona", "SAGE")) == ["s4"]
    house.run("tag", "sage", "s1", "News")
    assert ids(house.json("list", "sage", "--tag", "nEWS")) == ["s1"]
    assert ids(house.json("list", "sage", "--person", "@BEN")) == ["s2", "s1"]
    several = house.run("templates", "new", "sage", "general", "interview").stderr
    assert "Several channels are called 'general': give the key of one: discord:100, discord:300." in several


def test_what_was_said_is_searched_by_words_and_by_all_else(house: House) -> None:
    assert set(hits(house.json("search", "sage", "tea"))) == {"s1-0", "s2-0", "s3-0"}
    assert hits(house.json("search", "sage", "tea", "--person", "8")) == ["s2-0"]
    assert hits(house.json("search", "sage", "--person", "Ben")) == ["s2-0", "s1-1"]
    assert hits(house.json("search", "sage", "--has-files", "--channel", "200")) == ["s3-0"]
    assert house.run("search", "sage", "cocoa").stdout == "Nothing that was said is like that.\n"
    (line,) = house.run("search", "sage", "secret").stdout.splitlines()
    assert line == "2026-03-03 13:00  Ann: a secret tea [31m [file: a.txt]  s3"


def test_a_session_is_changed_by_each_verb_and_found_by_it(house: House) -> None:
    assert house.run("rename", "sage", "s1", "The plan").stdout.startswith("Renamed: ")
    assert house.json("tag", "sage", "s1", "news", "to read")["tags"] == ["news", "to read"]
    assert house.json("untag", "sage", "s1", "to read")["tags"] == ["news"]
    assert ids(house.json("list", "sage", "--tag", "news")) == ["s1"]
    assert hits(house.json("search", "sage", "tea", "--tag", "news")) == ["s1-0"]
    assert house.json("star", "sage", "s1")["starred"]
    assert ids(house.json("list", "sage", "--starred")) == ["s1"]
    assert not house.json("unstar", "sage", "s1")["starred"]
    assert house.json("archive", "sage", "s1")["archived"]
    assert ids(house.json("list", "sage", "--archived")) == ["s1"]
    assert ids(house.json("list", "sage")) == ["s3", "s2"]
    assert not house.json("unarchive", "sage", "s1")["archived"]
    shown = house.run("show", "sage", "s1").stdout
    assert "The plan [news]" in shown
    assert "s1-1  2026-03-02 12:00  Ben: my cake is plum" in shown


def test_sessions_are_branched_duplicated_and_merged(house: House) -> None:
    branch = house.json("branch", "sage", "s1", "--after", "s1-0")
    assert (branch["parent"], branch["messages"]) == ("s1", 1)
    assert house.json("duplicate", "sage", "s1")["title"] == "Copy of my tea is Lapsang"
    dry = house.run("merge", "sage", "s1", "s2", "--dry-run")
    assert dry.stdout.splitlines() == [
        "A session of 3 lines would be made, 1 of them only in the second.",
        "Both would be archived. Nothing was changed.",
    ]
    assert not house.json("list", "sage", "--archived")["sessions"]
    told = house.run("merge", "sage", "s2", "s1", "--dry-run").stdout
    assert told.startswith("A session of 3 lines would be made, 2 of them")
    merged = house.json("merge", "sage", "s1", "s2")
    assert (merged["lines"], merged["came"]) == (3, 1)
    archived = house.json("list", "sage", "--archived")["sessions"]
    assert {(each["id"], each["merged_into"]) for each in archived} == {
        ("s1", merged["session"]["id"]),
        ("s2", merged["session"]["id"]),
    }


def test_two_sessions_are_shown_side_by_side_and_as_a_page(house: House, tmp_path: Path) -> None:
    shown = house.run("compare", "sage", "s1", "s2").stdout
    assert "0 lines in common, 2 only in the first, 1 only in the second." in shown
    _, row = [line for line in shown.splitlines() if "Lapsang" in line and "black tea" in line]
    assert row.index("Lapsang") < row.index("black tea")
    page = tmp_path / "both.html"
    assert house.run("compare", "sage", "s1", "s2", "--html", str(page)).exit_code == 0
    assert "my cake is plum" in page.read_text("utf-8")
    page.write_text("mine")
    again = house.run("compare", "sage", "s1", "s2", "--html", str(page))
    assert (again.exit_code, page.read_text()) == (1, "mine")
    assert "is there already: choose another name, or write over it with --force." in again.stderr
    assert house.run("compare", "sage", "s1", "s2", "--html", str(page), "--force").exit_code == 0
    assert "my cake is plum" in page.read_text("utf-8")
    assert house.json("compare", "sage", "s1", "s1")["shared"] == 2


def test_templates_are_listed_saved_used_and_removed(house: House) -> None:
    saved = house.json("templates", "save", "sage", "s1", "Tea", "--lines", "1")
    assert (saved["name"], saved["opening"]) == ("Tea", [{"role": "user", "text": "", "line": "s1-0"}])
    lines = house.run("templates", "list", "sage").stdout.splitlines()
    assert lines == [
        "Interview  offered everywhere, by the configuration, 1 line",
        "Tea  offered in general (discord:100), by whoever runs the bot, 1 line",
    ]
    begun = house.json("templates", "new", "sage", "general", "interview")
    assert (begun["title"], begun["messages"]) == ("A talk", 1)
    begun = house.json("templates", "new", "sage", "general", "tea")
    assert [each["text"] for each in house.json("show", "sage", begun["id"])["lines"]] == ["my tea is Lapsang"]
    assert house.run("templates", "remove", "sage", "tea").stdout.startswith("Removed: Tea")
    assert len(house.json("templates", "list", "sage")["templates"]) == 1


WRONG = [
    (("show", "sage", "none"), "There is no session 'none' here"),
    (("list", "sage", "--channel", "nowhere"), "There is no channel 'nowhere'"),
    (("list", "sage", "--channel", "nowhere"), "there are: general, ann."),
    (("list", "sage", "--person", "Nobody"), "Nobody called 'Nobody' is known here"),
    (
        ("search", "sage", "--persona", "none"),
        "There is no persona 'none', and none of that name has spoken; there are: sage",
    ),
    (("list", "sage", "--since", "soon"), "'soon' is no day: write it as 2026-03-02"),
    (("search", "sage"), "Say which words to look for"),
    (("merge", "sage", "s1", "s3"), "Only sessions of one place"),
    (("merge", "sage", "s1", "s1"), "the same session twice"),
    (("branch", "sage", "s1", "--after", "s2-0"), "not part of the session"),
    (("tag", "sage", "s1", "a,b"), "no comma"),
    (("templates", "new", "sage", "general", "none"), "There is no template 'none' here. There are: 'Interview'"),
    (("templates", "remove", "sage", "interview"), "stands in the configuration"),
    (("list", "nobody"), "no bot is called 'nobody'"),
]


@pytest.mark.parametrize(("args", "sentence"), WRONG, ids=[" ".join(args) for args, _ in WRONG])
def test_what_cannot_be_is_said_in_a_sentence_and_changes_nothing(
    house: House, args: tuple[str, ...], sentence: str
) -> None:
    done = house.run(*args)
    assert (done.exit_code, done.stdout) == (1, "")
    assert sentence in done.stderr
    assert ids(house.json("list", "sage")) == ["s3", "s2", "s1"]


def test_every_command_helps_with_an_example() -> None:
    for name in sessions.commands:
        told = CliRunner().invoke(sessions, [name, "--help"])
        assert told.exit_code == 0
        assert "troupe sessions" in told.output, name


async def test_a_running_bot_is_asked_at_its_door(tmp_path: Path) -> None:
    house = House(tmp_path)
    config = settings(house.root, templates=[{"name": "Interview"}])
    async with world(config, root=house.root) as w:
        await fill(w.store)
        await said(w.store, "long", GENERAL, 7200, *[('猫\\"\u2028' * 400, ANN)] * 300)
        lock = RootLock.take(house.root)
        orders = SessionOrders(lambda: w.bot.settings, w.store, w.bot.conversations, w.bot.doors, busy=w.bot.at_work)
        door = asyncio.ensure_future(Door(w.bot, {"sessions": orders.order}).serve())
        await eventually(lambda: (house.root / SOCKET).exists())
        try:
            assert (await asyncio.to_thread(house.json, "tag", "sage", "s1", "news"))["tags"] == ["news"]
            kept = await w.store.session("s1")
            assert kept is not None
            assert kept.tags == ("news",)
            done = await asyncio.to_thread(house.run, "show", "sage", "none")
            assert (done.exit_code, done.stderr) == (
                1,
                "Error: sage: There is no session 'none' here: choose one from the list of sessions.\n",
            )
            shown = await asyncio.to_thread(house.json, "show", "sage", "long", "--limit", "1000")
            assert [each["text"] for each in shown["lines"]] == ['猫\\"\u2028' * 400] * 300
        finally:
            door.cancel()
            await asyncio.wait((door,))
            lock.release()


async def test_an_order_that_nobody_knows_is_refused_in_a_sentence() -> None:
    async with world() as w:
        orders = at_rest(w.bot.settings, w.store, w.clock.now)
        for verb, given, sentence in (
            ("dance", {}, "no order 'dance'"),
            ("list", {"colour": "red"}, "colour: Extra inputs are not permitted"),
            ("list", {"limit": 0}, "limit: Input should be greater"),
        ):
            with pytest.raises(TroupeError, match=sentence):
                await orders.do(verb, given)
