"""`troupe cleanup` and `troupe import` as an admin at night uses them."""

from __future__ import annotations

import asyncio
import json
import os
import re
from asyncio import gather
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import storage
from bots.backing import attachments
from bots.cleaning import Cleaner
from bots.cli_cleanup import cleanup, import_
from bots.terminal import SOCKET, reachable
from storage.rootlock import RootLock
from tests.test_cleanup import everything
from tests.test_retention import NOW, talk
from tests.world import settings


class House:
    """A configuration with one bot whose storage the command cleans up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "data" / "sage"
        for name in ("bots", "personas"):
            (folder / "config" / name).mkdir(parents=True)
        persona = "{display: Sage, description: wise, prompt: You are Sage.}"
        (folder / "config" / "personas" / "sage.yaml").write_text(persona)
        retention = "{channel: {age: 30d}, deleted: 30d}"
        sage = f"personas: [sage]\nstorage: {{path: {self.root}, retention: {retention}}}\n"
        (folder / "config" / "bots" / "sage.yaml").write_text(sage)

    def fill(self) -> list[str]:
        """Thirty sessions of long ago and one of tomorrow; returns all that is kept."""

        async def fill() -> list[str]:
            store = await storage.connect("sage", self.root)
            await gather(*(talk(store, f"s{number:02}", 100 - number, lines=2) for number in range(30)))
            await talk(store, "new", -100_000)
            kept = await everything(store)
            await store.close()
            return kept

        return asyncio.run(fill())

    def kept(self) -> list[str]:
        async def read() -> list[str]:
            store = await storage.connect("sage", self.root)
            kept = await everything(store)
            await store.close()
            return kept

        return asyncio.run(read())

    def run(self, command: click.Command, *args: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(command, [*args, "--config", str(self.folder / "config")], input=answer)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_a_dry_run_lists_what_would_go_and_why(house: House) -> None:
    before = house.fill()
    done = house.run(cleanup, "sage", "--dry-run")
    lines = done.stdout.splitlines()
    assert (done.exit_code, len(lines)) == (0, 31)
    assert lines[0] == (
        "sage: session s00 in general_100: nobody has spoken in it since 2024-02-22, and 30 days is the limit"
    )
    assert lines[-1] == "sage: 30 sessions (60 messages, 60 bytes) to go"
    assert house.kept() == before
    assert not (house.root / "archives").exists()


def test_cleaning_up_asks_first_and_import_brings_it_all_back(house: House) -> None:
    before = house.fill()
    refused = house.run(cleanup, answer="n\n")
    assert refused.exit_code == 1
    assert "Remove this from sage?" in refused.stderr
    assert house.kept() == before
    done = house.run(cleanup, answer="y\n")
    assert done.exit_code == 0
    (path,) = (house.root / "archives").glob("*.zip")
    assert done.stdout.splitlines()[-2:] == [
        "sage: 30 sessions (60 messages, 60 bytes) gone",
        f"sage: archived in {path}",
    ]
    assert len(house.kept()) == 2
    assert house.run(cleanup).stdout == "sage: nothing is due\n"
    back, due = house.run(import_, str(path), "--to", "sage").stdout.splitlines()
    assert back == "sage: 30 sessions read, 60 messages and 0 files brought back, 0 messages were there already"
    assert re.fullmatch(
        r"sage: star what shall stay, or raise storage\.retention, before the next cleanup at \S+ 04:30 UTC", due
    )
    assert house.kept() == before


def test_json_is_one_object_a_line(house: House) -> None:
    house.fill()
    done = house.run(cleanup, "--all", "--yes", "--json")
    *dues, total = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(dues) == 30
    assert dues[0]["id"] == "s00"
    assert set(dues[0]) == {"bot", "kind", "id", "why", "messages", "bytes", "channel"}
    assert total["total"] == {"session": {"items": 30, "messages": 60, "bytes": 60}}
    assert (total["dry_run"], total["kept"], len(total["archives"])) == (False, 0, 1)


def test_a_bot_that_never_ran_has_nothing_due_and_is_not_made(house: House) -> None:
    assert house.run(cleanup, "--yes").stdout == "sage: nothing is due\n"
    assert not house.root.exists()


def test_a_running_bot_without_an_open_door_is_left_alone(house: House) -> None:
    before = house.fill()
    lock = RootLock.take(house.root)
    done = house.run(cleanup, "--yes")
    imported = house.run(import_, str(house.folder / "config" / "bots" / "sage.yaml"), "--to", "sage")
    lock.release()
    assert done.exit_code == imported.exit_code == 1
    assert f"sage is running (process {os.getpid()}) and does not answer at its door yet" in done.stderr
    assert "One process owns a bot's storage" in imported.stderr
    assert house.kept() == before


async def test_a_running_bot_is_asked_at_its_door(house: House) -> None:
    """The bot's side is its door; this plays the lines that it promises."""
    asked: list[str] = []

    async def door(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readline()).decode())
        store = await storage.connect("sage", house.root)
        config = settings(house.root, storage={"path": str(house.root), "retention": {"channel": {"age": "30d"}}})

        async def say(line: str) -> None:
            writer.write(json.dumps({"is": "cleanup", "json": line}).encode() + b"\n")

        await talk(store, "old", 90)
        cleaner = Cleaner(config, store, now=lambda: NOW, program="1", blobs=attachments(config), breath=0)
        await cleaner.tell(say, dry_run=json.loads(asked[0])["dry"] == "yes")
        await store.close()
        writer.write(b'{"is": "end"}\n')
        writer.close()

    lock = RootLock.take(house.root)
    with reachable(house.root / SOCKET) as path:
        server = await asyncio.start_unix_server(door, path)
    done = await asyncio.to_thread(house.run, cleanup, "--dry-run")
    server.close()
    lock.release()
    assert json.loads(asked[0]) == {"do": "cleanup", "dry": "yes"}
    assert done.stdout.splitlines()[-1] == "sage: 1 session (1 messages, 1 bytes) to go"


def test_what_is_no_archive_is_said(house: House) -> None:
    path = house.folder / "notes.zip"
    path.write_text("shopping")
    done = house.run(import_, str(path), "--to", "sage")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: notes.zip cannot be read back: it is not a zip, or not a whole one.")
