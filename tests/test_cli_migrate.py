"""`troupe migrate` as an admin uses it: with data of another program, a map of users, and a bot that may be running."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import storage
from bots.cli_migrate import migrate
from bots.errors import ConfigError
from bots.loading import load
from bots.naming_file import read_naming
from bots.persona_files import PersonaFiles
from storage.legacy import Persona
from storage.model import Message
from storage.rootlock import RootLock

CHANNEL, ANN = "234567890123456789", "123456789012345678"


class House:
    """A configuration with one bot, and the files of an older program beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "data" / "sage"
        for name in ("bots", "personas"):
            (folder / "config" / name).mkdir(parents=True)
        persona = "{display: Sage, description: wise, prompt: You are Sage.}"
        (folder / "config" / "personas" / "sage.yaml").write_text(persona)
        self.written("")
        old = folder / "multi_bot_conversations" / "sage"
        old.mkdir(parents=True)
        said = [
            {"role": "user", "content": "Tea?", "timestamp": "2024-01-08T12:00:00"},
            {"role": "assistant", "content": "Yes.", "timestamp": "2024-01-08T12:00:05", "bot_name": "sage"},
            {"role": "wizard", "content": "Puff.", "timestamp": "2024-01-08T12:00:09"},
            {"role": "user", "content": "More tea?", "timestamp": "2024-01-08T18:00:00"},
        ]
        told = {"channel_id": CHANNEL, "user_id": ANN, "messages": said}
        (old / f"{CHANNEL}_{ANN}.json").write_text(json.dumps(told))
        self.report = folder / "migration-report.json"

    def written(self, more: str) -> None:
        """What the bot's file says."""
        sage = f"personas: [sage]\nstorage: {{path: {self.root}}}\n{more}"
        (self.folder / "config" / "bots" / "sage.yaml").write_text(sage)

    def run(self, *args: str) -> Result:
        where = ["--config", str(self.folder / "config"), "--report", str(self.report)]
        given = [str(self.folder / "multi_bot_conversations"), "--to", "sage"]
        return CliRunner().invoke(migrate, [*given, *where, *args])

    def kept(self) -> list[Message]:
        async def read() -> list[Message]:
            store = await storage.connect("sage", self.root)
            kept = [*(await store.read()).items]
            await store.close()
            return kept

        return asyncio.run(read())


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_talk_moves_in_and_the_screen_says_what_became_of_it(house: House) -> None:
    done = house.run("--timezone", "Europe/Berlin")
    assert done.exit_code == 0, done.output
    assert [(message.text, f"{message.at:%H:%M}") for message in house.kept()] == [
        ("Tea?", "11:00"),
        ("Yes.", "11:00"),
        ("More tea?", "17:00"),
    ]
    lines = done.stdout.splitlines()
    assert lines[0].endswith("(multi_bot_json, times without a zone are Europe/Berlin's)")
    assert "messages             3             3           0           0           0" in lines
    assert "3 messages were read back and are what the source says" in lines
    assert any(line.startswith(f"refused: sage/{CHANNEL}_{ANN}.json") and "wizard" in line for line in lines)
    assert lines[-1] == "`troupe up` starts sage with what it has now"
    told = json.loads(house.report.read_text("utf-8"))
    assert (told["zone"], told["messages"]["taken"], len(told["refused_items"])) == ("Europe/Berlin", 3, 1)
    assert any("no token to ask" in note for note in told["notes"])
    assert not (house.root / ".migration").exists()


def test_the_same_command_again_adds_nothing(house: House) -> None:
    house.run()
    before = house.kept()
    again = house.run()
    assert "Everything was there already: nothing was added" in again.stdout.splitlines()
    assert house.kept() == before


def test_a_dry_run_of_a_bot_that_never_ran_makes_nothing(house: House) -> None:
    done = house.run("--dry-run", "--json")
    told = json.loads(done.stdout)
    assert (told["dry_run"], told["messages"]["taken"]) == (True, 3)
    assert not house.root.exists()
    assert house.report.exists()


def test_a_dry_run_knows_what_is_there(house: House) -> None:
    house.run()
    told = json.loads(house.run("--dry-run", "--json", "--since", "2024-01-08T14:00:00").stdout)
    assert (told["messages"]["taken"], told["messages"]["known"], told["messages"]["left_out"]) == (0, 1, 2)


def test_people_and_channels_are_named_by_a_map(house: House) -> None:
    path = house.folder / "users.yaml"
    path.write_text(f"users: {{{ANN}: {{id: 7, name: Ann}}}}\nchannels: {{{CHANNEL}: {{name: tea, kind: channel}}}}\n")
    done = house.run("--map", str(path))
    assert done.exit_code == 0, done.output
    assert {(each.sender.id, each.sender.name) for each in house.kept() if each.role == "user"} == {("7", "Ann")}


def test_a_map_that_is_wrong_is_told_by_line_and_key(tmp_path: Path) -> None:
    path = tmp_path / "users.yaml"
    path.write_text("people: {}\nusers:\n  a: {name: Ann, age: 7}\nchannels:\n  b: {kind: room}\n  c: tea\n")
    with pytest.raises(ConfigError) as caught:
        read_naming(path)
    first, second, third, fourth = caught.value.findings
    assert first == "users.yaml:1: people: found an unknown key; allowed: channels, users"
    assert second == "users.yaml:3: users.a.age: found an unknown key; allowed: id, name"
    assert third.startswith("users.yaml:5: channels.b.kind: found 'room' (text); allowed:")
    assert fourth.startswith("users.yaml:6: channels.c: found 'tea' (text); allowed:")


def test_a_running_bot_is_left_alone(house: House) -> None:
    house.run()
    lock = RootLock.take(house.root)
    done = house.run()
    lock.release()
    assert done.exit_code == 1
    assert "One process owns a bot's storage: stop that one first" in done.stderr


def test_what_cannot_be_done_is_said_plainly(house: House) -> None:
    assert "no such time zone is known; name one like Europe/Berlin or UTC" in house.run("--timezone", "Mars").stderr
    assert "There is no format 'abc'; known are multi_bot_json," in house.run("--format", "abc").stderr
    other = house.folder / "holiday.txt"
    other.write_text("sun")
    config = ["--config", str(house.folder / "config")]
    done = CliRunner().invoke(migrate, [str(other), "--to", "sage", *config])
    assert done.exit_code == 1
    assert "is of no format that is known here (found holiday.txt)" in done.stderr


def test_a_persona_becomes_a_file_that_loads_and_is_never_written_over(house: House) -> None:
    folder = house.folder / "config" / "personas"
    files = PersonaFiles(folder, dry_run=False)
    wit = Persona(
        id="Wit & Co",
        name="Discord Wit",
        description="Makes jokes.\nGood ones.",
        prompt="You are Wit.\r\n\tYou cost ${5}.  \nBe 👋 kind: always.",
        traits=("quick", "kind"),
        expertise=("jokes",),
        style={"tone": "warm"},
        greeting="Hi!",
        examples=("Knock, knock.",),
        tags=("fun",),
        picture="wit.png",
        metadata={"creator": "Ann\nBen"},
    )
    assert files.welcome(wit) == ""
    assert files.welcome(wit) is None
    assert files.welcome(Persona("sage", "Another sage", prompt="Hello")) is None
    assert files.welcome(Persona("wit co", "Somebody else", prompt="Hello")) == ""
    assert "prompt" in (files.welcome(Persona("long", "Long", prompt="x" * 20_001)) or "")
    assert (files.written, files.kept) == (["wit-co", "wit-co-2"], ["wit-co", "sage"])
    (house.folder / "config" / "bots" / "sage.yaml").write_text("personas: [sage, wit-co, wit-co-2]\n")
    _, loaded, _ = load(house.folder / "config", {}).bots[0].personas
    assert (loaded.display, loaded.description) == ("Disc-ord Wit", "Makes jokes. Good ones.")
    assert loaded.prompt.startswith("You are Wit.\n    You cost ${5}.\nBe 👋 kind: always.\n\nAbout you: Makes jokes.")
    assert "You are quick, kind." in loaded.prompt
    assert (folder / "wit-co.yaml").read_text("utf-8").startswith("# creator: Ann Ben\n# picture: wit.png\ndisplay: ")
    assert "prompt: |" in (folder / "wit-co.yaml").read_text("utf-8")
    assert sorted(path.name for path in folder.iterdir()) == ["sage.yaml", "wit-co-2.yaml", "wit-co.yaml"]


def test_a_dry_run_writes_no_persona(tmp_path: Path) -> None:
    files = PersonaFiles(tmp_path / "personas", dry_run=True)
    assert files.welcome(Persona("wit", "Wit", prompt="Hello")) == ""
    assert not (tmp_path / "personas").exists()
