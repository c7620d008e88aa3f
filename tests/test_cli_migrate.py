"""`troupe migrate` as an admin uses it: with data of another program, a map of users, and a bot that may be running."""

from __future__ import annotations

import asyncio
import json
import resource
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import ZipFile

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
        return self.taking("multi_bot_conversations", "--report", str(self.report), *args)

    def taking(self, source: str, *args: str) -> Result:
        where = ["--config", str(self.folder / "config")]
        return CliRunner().invoke(migrate, [str(self.folder / source), "--to", "sage", *where, *args])

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
    assert "others               1             0           0           0           1" in lines
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


def test_a_run_that_finds_nothing_of_the_bot_says_whose_talk_there_is_and_fails(house: House) -> None:
    spark = f"personas: [sage]\nstorage: {{path: {house.folder / 'data' / 'spark'}}}\n"
    (house.folder / "config" / "bots" / "spark.yaml").write_text(spark)
    done = house.run("--to", "spark")
    assert done.exit_code == 1
    assert "Nothing in it is spark's; it holds talk of: sage" in done.stderr
    assert house.run("--to", "spark", "--json").exit_code == 1


def test_other_formats_in_the_folder_are_named(house: House) -> None:
    talks = [{"id": "t", "mapping": {"a": {"id": "a", "children": []}}}]
    with ZipFile(house.folder / "multi_bot_conversations" / "chatgpt-export.zip", "w") as export:
        export.writestr("conversations.json", json.dumps(talks))
    told = "chatgpt-export.zip looks like chatgpt, and was not read: migrate it by itself."
    assert f"not read: {told}" in house.run().stdout.splitlines()
    assert json.loads(house.report.read_text("utf-8"))["beside"] == [told]


def test_each_run_leaves_a_report_of_its_own_in_the_data_of_the_bot(house: House) -> None:
    done = [house.taking("multi_bot_conversations"), house.taking("multi_bot_conversations", "--dry-run")]
    first, second = sorted((house.root / "migration-reports").iterdir())
    for report, run in ((first, done[0]), (second, done[1])):
        assert f"What became of everything is told in {report}" in run.stdout.splitlines()
        assert report.stat().st_mode & 0o777 == 0o600
    assert json.loads(first.read_text("utf-8"))["messages"]["taken"] == 3
    assert json.loads(second.read_text("utf-8"))["messages"]["known"] == 3


def test_dry_runs_of_a_bot_that_never_ran_leave_only_their_reports(house: House) -> None:
    for _ in range(2):
        assert house.taking("multi_bot_conversations", "--dry-run").exit_code == 0
    assert [path.name for path in house.root.iterdir()] == ["migration-reports"]
    assert len([*(house.root / "migration-reports").iterdir()]) == 2


def test_a_report_that_cannot_be_written_is_said_before_anything_is_taken(house: House) -> None:
    (house.folder / "holiday.txt").write_text("sun")
    done = house.run("--report", str(house.folder / "holiday.txt" / "r.json"))
    assert done.exit_code == 1
    assert "holiday.txt/r.json (File exists): name a file for it with --report. Nothing was taken." in done.stderr
    assert not house.root.exists()


@contextmanager
def small_files(most: int) -> Iterator[None]:
    """No file may grow further, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_on_a_full_disk_it_is_said_which_folder_needs_room_and_there_is_a_report(house: House) -> None:
    said = [{"role": "user", "content": "x" * 500, "timestamp": f"2024-01-08T12:00:00.{n:06}"} for n in range(4000)]
    told = {"channel_id": "7", "user_id": ANN, "messages": said}
    (house.folder / "multi_bot_conversations" / "sage" / f"7_{ANN}.json").write_text(json.dumps(told))
    with small_files(1 << 20):
        done = house.run()
    assert done.exit_code == 1
    assert f"What is read waits in {house.root / '.migration'} to be put in order" in done.stderr
    assert f"What became of everything until then is told in {house.report}" in done.stderr
    told = json.loads(house.report.read_text("utf-8"))
    assert "make room there" in told["failed"]
    assert json.loads(house.run("--json").stdout)["messages"]["taken"] == 4003


def test_a_dry_run_ends_with_the_command_that_does_it(house: House) -> None:
    done = house.run("--dry-run", "--since", "2024-01-08 14:00", "--timezone", "Europe/Berlin")
    wanted = ["--to", "sage", "--since", "2024-01-08 14:00", "--timezone", "Europe/Berlin", "--report"]
    command = shlex.split(done.stdout.splitlines()[-1])
    assert command[:9] == ["troupe", "migrate", str(house.folder / "multi_bot_conversations"), *wanted[:6]]
    assert "--dry-run" not in command
    assert CliRunner().invoke(migrate, command[2:]).exit_code == 0
    assert [message.text for message in house.kept()] == ["More tea?"]


def test_a_day_that_is_none_is_told_as_everywhere(house: House) -> None:
    done = house.run("--since", "yesterday")
    assert done.exit_code == 2
    assert "--since: 'yesterday' is no day: write it as 2026-03-02, or with a time as 2026-03-02T18:30." in done.stderr


def test_a_channel_that_gets_its_name_later_is_told(house: House) -> None:
    house.run()
    path = house.folder / "users.yaml"
    path.write_text(f"channels: {{{CHANNEL}: {{name: tea}}}}\n")
    lines = house.run("--map", str(path)).stdout.splitlines()
    assert "1 channel now has a name, where only the id was known" in lines
    assert "Everything was there already: nothing was added" not in lines


def test_talk_in_which_discord_knows_nobody_says_nothing_of_a_token(house: House) -> None:
    said = {"uuid": "m", "sender": "human", "text": "Tea?", "created_at": "2024-01-08T12:00:00Z"}
    talk = {"uuid": "t", "name": "Tea", "created_at": said["created_at"], "chat_messages": [said]}
    (house.folder / "claude").mkdir()
    (house.folder / "claude" / "conversations.json").write_text(json.dumps([talk]))
    done = house.taking("claude")
    assert (done.exit_code, "token" in done.stdout) == (0, False)
    assert "1 message was read back and is what the source says" in done.stdout.splitlines()


def test_the_personas_to_write_down_are_the_same_on_every_run(house: House) -> None:
    shutil.rmtree(house.folder / "multi_bot_conversations")
    old = house.folder / "characters"
    old.mkdir()
    wit = {"name": "Wit", "description": "Makes jokes.", "first_mes": "Hi!", "mes_example": "", "personality": "quick"}
    (old / "Wit.json").write_text(json.dumps({"spec": "chara_card_v2", "spec_version": "2.0", "data": wit}))
    first, again = (house.taking("characters", "--report", str(house.report)) for _ in range(2))
    file = house.folder / "config" / "bots" / "sage.yaml"
    told = [f"For sage to speak with it, write into {file}:", "  personas: [sage, wit]"]
    assert "1 persona is new" in first.stdout.splitlines()
    assert "The persona wit is there already and stays as it is" in again.stdout.splitlines()
    for done in (first, again):
        assert [line for line in done.stdout.splitlines() if line in told] == told
