"""A bot whose talk goes to another type of storage: by command, at rest and while it talks, and back again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import storage
from bots import moved
from bots.cli_transfer import transfer
from bots.errors import ConfigError
from bots.loading import load
from bots.moving import Moving, at_home
from bots.settings import BotSettings
from bots.status import left_behind, of
from bots.terminal import SOCKET, reachable
from storage.backend import Store
from storage.copying import Contents, contents
from storage.errors import Unavailable
from storage.model import Message
from storage.rootlock import RootLock
from tests.generating import NOON
from tests.postgres import fresh_name, postgres_url
from tests.stage import eventually, running, stage
from tests.test_catchup_killed import prepared
from tests.test_transfer import message, say


class Home:
    """A configuration with one bot, and what it keeps."""

    def __init__(self, folder: Path, name: str = "sage") -> None:
        self.folder = folder
        self.name = name
        self.root = folder / "data" / name
        for part in ("bots", "personas"):
            (folder / "config" / part).mkdir(parents=True)
        (folder / "config" / "personas" / "sage.yaml").write_text(
            "{display: Sage, description: wise, prompt: You are Sage.}"
        )
        self.write("sqlite")

    def write(self, type: str) -> None:
        url = "${TROUPE_DATABASE_URL:-}"
        kept = f"{{type: {type}, url: {url!r}, path: {self.root}, backup: {{enabled: false}}}}"
        (self.folder / "config" / "bots" / f"{self.name}.yaml").write_text(
            f"personas: [sage]\nsessions: {{burst: 0}}\nstorage: {kept}\n"
        )

    @property
    def bot(self) -> BotSettings:
        found = load(self.folder / "config", {}).bot(self.name)
        assert found is not None
        return found

    def run(self, *args: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(transfer, [self.name, *args, "--config", str(self.folder / "config")], input=answer)

    @asynccontextmanager
    async def store(self, type: str = "") -> AsyncIterator[Store]:
        """What one type of storage holds; where the talk lives, unless one is named."""
        bot = self.bot
        kept: Any = type or bot.storage.type
        opened = await storage.connect(self.name, self.root, type=kept, url=bot.storage.address)
        yield opened
        await opened.close()

    def say(self, *messages: Message) -> None:
        async def keep() -> None:
            async with self.store() as store:
                await say(store, *messages)

        asyncio.run(keep())

    def held(self, type: str = "") -> Contents:
        async def read() -> Contents:
            async with self.store(type) as store:
                return await contents(store)

        return asyncio.run(read())


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_bot_at_rest_moves_and_its_settings_follow(home: Home) -> None:
    home.say(*(message(number) for number in range(10)))
    before = home.held()
    done = home.run("--to", "file", "--yes")
    assert done.exit_code == 0
    assert "10 messages in 1 sessions" in done.output
    assert "nothing is there yet" in done.output
    assert "sage's talk lives in file now (10 messages, compared with where they were)" in done.output
    assert "write `storage: {type: file}` in config/bots/sage.yaml" in done.output
    assert home.bot.storage.type == "file"
    assert "sage's talk lives in file since" in left_behind(home.bot)
    assert home.held() == before == home.held("sqlite")
    home.write("file")
    assert home.bot.storage.type == "file"
    left = left_behind(home.bot)
    assert "still holds the talk as sqlite kept it" in left
    assert "in conversations.db: `troupe transfer sage --back`" in left
    assert "move these away, and nothing else: the attachments" in left


def test_going_back_brings_along_what_was_said_since(home: Home) -> None:
    home.say(*(message(number) for number in range(10)))
    home.run("--to", "file", "--yes")
    home.say(message(10), message(11))
    assert home.held("sqlite").counts.messages == 10
    done = home.run("--back", "--yes", "--json")
    told = json.loads(done.output)
    assert (told["from"], told["to"], told["found"], told["there"], told["done"]) == (
        "file",
        "sqlite",
        "copy",
        10,
        True,
    )
    assert home.bot.storage.type == "sqlite"
    left = left_behind(home.bot)
    assert left.startswith(f"{home.root} still holds the talk as file kept it")
    assert " in channels/, channels.json, " in left
    assert {"lock", "moved.json", "conversations.db", "attachments/"}.isdisjoint(left.replace(",", "").split())
    assert home.held().counts.messages == 12


def test_a_dry_run_makes_nothing(home: Home) -> None:
    home.say(message(1))
    RootLock.take(home.root).release()
    before = sorted(path.name for path in home.root.iterdir())
    done = home.run("--to", "file", "--dry-run")
    assert done.exit_code == 0
    assert done.output.startswith("sage: 1 messages in 1 sessions (6 bytes of words) would go from sqlite to file")
    assert f"Attachments stay in {home.root / 'attachments'}." in done.output
    assert sorted(path.name for path in home.root.iterdir()) == before


def test_what_would_be_removed_is_asked_for(home: Home) -> None:
    home.say(message(1))
    home.run("--to", "file", "--yes")
    (home.root / moved.FILE).unlink()
    home.write("file")
    home.say(message(2))
    home.write("sqlite")
    refused = home.run("--to", "file", answer="n\n")
    assert refused.exit_code == 1
    assert "which holds things that this one does not have: they would be removed" in refused.output
    assert home.held("file").counts.messages == 2
    assert home.run("--to", "file", answer="y\n").exit_code == 0
    assert home.held("file").counts.messages == 1


def test_sentences_say_what_is_in_the_way(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TROUPE_DATABASE_URL", raising=False)
    home.say(message(1))
    assert "talk lives in sqlite already" in home.run("--to", "sqlite").output
    assert "has not been moved" in home.run("--back").output
    assert "There is no storage 'mysql'" in home.run("--to", "mysql").output
    assert "TROUPE_DATABASE_URL=postgresql://user:password@host/database" in home.run("--to", "postgres").output
    asked = home.run("--to", "postgresql://me:hush@elsewhere/db")
    assert "is not the one that sage has in its settings" in asked.output
    assert "hush" not in asked.output
    held = RootLock.take(home.root)
    assert "does not answer at its door yet" in home.run("--to", "file").output
    held.release()


def test_a_third_place_is_refused(home: Home) -> None:
    home.say(message(1))
    home.run("--to", "file", "--yes")
    home.write("postgres")
    (home.folder / ".env").write_text("TROUPE_DATABASE_URL=postgresql://somewhere/db\n")
    with pytest.raises(ConfigError, match=r"storage\.type: found postgres, but sage's talk was moved to file"):
        home.bot  # noqa: B018


def test_to_postgres_and_on_without_a_word_of_its_address(tmp_path: Path) -> None:
    home = Home(tmp_path, fresh_name())
    (tmp_path / ".env").write_text(f"TROUPE_DATABASE_URL={postgres_url()}\n")
    home.say(*(message(number) for number in range(10)))
    assert "nothing is there yet" in home.run("--to", "postgres", "--dry-run").output
    done = home.run("--to", postgres_url(), "--yes")
    assert done.exit_code == 0
    assert home.bot.storage.type == "postgres"
    assert home.held() == home.held("sqlite")
    marker = (home.root / moved.FILE).read_text()
    assert json.loads(marker)["url_from"] == "TROUPE_DATABASE_URL"
    assert "hush" not in marker + done.output
    (tmp_path / ".env").unlink()
    with pytest.raises(ConfigError, match="the variable TROUPE_DATABASE_URL, which holds its address, is not set"):
        home.bot  # noqa: B018


async def test_a_copy_that_came_out_wrong_is_not_gone_over_to(home: Home) -> None:
    reported: dict[str, object] = {}
    told: list[dict[str, Any]] = []

    async def hear(line: str) -> None:
        told.append(json.loads(line))

    bot = home.bot
    source = await storage.connect("sage", home.root, type="file")
    await say(source, *(message(number) for number in range(5)))
    here = bot.model_copy(update={"storage": bot.storage.living("file", None)})
    moving = Moving(lambda: here, source, reported.update, now=lambda: NOON, folder=None, hide=lambda changed: None)
    await moving.order({"do": "transfer", "to": "sqlite", "dry": "no"}, hear)
    assert told[-1] == {"ready": True}
    await moving.due()
    other = await storage.connect("sage", home.root)
    await other.remove_messages(["m00001"])
    await other.close()
    await moving.finish()
    assert "the move to sqlite failed" in str(reported["transfer_trouble"])
    assert "in another order than its source" in str(reported["transfer_trouble"])
    assert moving.settings() is here
    assert moved.read(home.root) is None
    await say(source, message(5))
    moving = Moving(lambda: here, source, reported.update, now=lambda: NOON, folder=None, hide=lambda changed: None)
    await moving.order({"do": "transfer", "to": "sqlite", "dry": "no"}, hear)
    await moving.finish()
    assert reported["transfer_trouble"] == ""
    assert moving.settings().storage.type == "sqlite"
    with pytest.raises(Unavailable):
        await say(source, message(6))
    await source.close()


def test_a_start_by_settings_from_before_the_move_goes_where_the_talk_is(home: Home) -> None:
    """As a supervisor starts a bot again that has crashed."""
    before = home.bot
    home.say(message(1))
    home.run("--to", "file", "--yes")
    for folder in (None, home.folder / "config"):
        assert at_home(before, folder).storage.type == "file"
        assert at_home(before, folder).storage.written == "sqlite"


class Visitor:
    """Somebody at the door of a running bot, who comes back when it was closed."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self.answered: list[str] = []
        """What was said and answered."""

    async def say(self, text: str) -> None:
        await eventually((self._home.root / SOCKET).exists)
        with reachable(self._home.root / SOCKET) as path:
            reader, writer = await asyncio.open_unix_connection(path)
        writer.write(json.dumps({"say": text}).encode() + b"\n")
        while line := await reader.readline():
            if json.loads(line)["is"] == "done":
                self.answered.append(text)
            if json.loads(line)["is"] == "end":
                break
        writer.close()

    async def talk(self, name: str, stop: asyncio.Event) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with suppress(OSError):  # it was closed in the middle of a line
                await self.say(f"{name} says {number}")


async def test_a_running_bot_goes_over_while_people_talk_and_back(home: Home) -> None:
    await asyncio.to_thread(home.say, *(message(number) for number in range(50)))
    log = home.folder / "troupe.log"
    with running(["-m", "bots", "bot", "sage", "--config", str(home.folder / "config")], log, {}):
        await eventually(lambda: of(home.bot).state == "ready")
        pid, visitor, stop = of(home.bot).pid, Visitor(home), asyncio.Event()
        await visitor.say("before")
        talks = [asyncio.ensure_future(visitor.talk(name, stop)) for name in ("ann", "ben")]
        there = await asyncio.to_thread(home.run, "--to", "file", "--yes")
        assert (there.exit_code, "sage's talk lives in file now" in there.output) == (0, True), there.output
        assert (of(home.bot).pid, of(home.bot).storage) == (pid, "file")
        stop.set()
        await asyncio.gather(*talks)
        await visitor.say("between")
        back = await asyncio.to_thread(home.run, "--back", "--yes", "--json")
        assert (back.exit_code, json.loads(back.output)["to"]) == (0, "sqlite"), back.output
        await visitor.say("after")
    async with home.store() as store:
        found = [each.text for each in (await store.read(limit=100_000)).items if each.role == "user"]
    assert home.bot.storage.type == "sqlite"
    assert {"before", "between", "after"} <= set(visitor.answered) <= set(found)
    assert len(found) == len(set(found))
    assert "hush" not in log.read_text()


async def test_on_discord_nobody_has_to_say_anything_twice(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        server, sage = here.discord, here.discord.add_bot("token-sage", "sage")
        ana, guild = server.add_person("ana"), server.add_guild("Home")
        rooms = [guild.add_channel(name) for name in ("one", "two", "three")]
        environment = prepared(here)
        command = ["sage", "--to", "file", "--yes", "--config", str(tmp_path / "config")]
        with here.troupe("up", environment=environment):
            await server.until_ready(sage)
            await server.answer_to(await server.say(ana, rooms[0], "hello"))
            work = asyncio.to_thread(CliRunner(env=environment).invoke, transfer, command)
            going = asyncio.ensure_future(work)
            said = ["hello"]
            while not going.done():
                said.append(f"line {len(said)}")
                await server.say(ana, rooms[len(said) % 3], said[-1])
                await asyncio.wait([going], timeout=0.2)
            assert going.result().exit_code == 0, going.result().output
            last = [await server.say(ana, room, f"the end in {room.name}") for room in rooms]
            for line in last:
                await server.answer_to(line)
    store = await storage.connect("sage", tmp_path / "data" / "sage", type="file")
    kept = (await store.read(limit=10_000)).items
    await store.close()
    lines = [each.text for each in kept if each.role == "user"]
    assert sorted(lines) == sorted([*said, *(line.content for line in last)])
    answered = [each.reply_to for each in kept if each.role == "assistant"]
    assert len(answered) == len(set(answered))
