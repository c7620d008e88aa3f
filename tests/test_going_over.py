"""People in the middle of a talk when a bot goes over to another store: nobody is cut off, nobody asks twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

import storage
from bots.cli_transfer import transfer
from bots.pieces import Left
from bots.providers.openai import OpenAI
from bots.terminal import SOCKET, Door, reachable
from tests.stage import Stage, eventually, stage
from tests.wire.discord_model import Channel
from tests.wire.provider_server import ProviderServer
from tests.world import ANA, BEN, World, settings, world

FIRST = "one two three four five"


async def test_lines_of_a_pipe_are_answered_once_each_while_the_talk_moves(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        environment = here.write({"sage": {"discord": {"token": None}, "sessions": {"burst": 0}}})
        here.provider.default = lambda ask: f"heard {ask.question.rsplit(': ', 1)[-1]}"
        gate = here.provider.hold(2, FIRST)
        with here.troupe("bot", "sage", environment=environment):
            await eventually(lambda: here.status("sage")["state"] == "ready")
            chat = asyncio.create_task(asyncio.to_thread(_chat, here, "line 0\nline 1\nline 2\nline 3\n"))
            await here.provider.until(lambda provider: len(provider.asks) == 1)
            command = ["sage", "--to", "file", "--yes", "--config", str(tmp_path / "config")]
            going = asyncio.create_task(asyncio.to_thread(CliRunner(env=environment).invoke, transfer, command))
            await eventually(lambda: "transfer.pausing" in here.log)
            visitor = asyncio.create_task(_asked(here, "a visitor"))
            gate.open()
            moved = await going
            assert moved.exit_code == 0, moved.output
            said, answered = await chat, await visitor
        assert said.splitlines() == [FIRST, "heard line 1", "heard line 2", "heard line 3"]
        assert answered == ["heard a visitor"]
    store = await storage.connect("sage", tmp_path / "data" / "sage", type="file")
    kept = (await store.read(limit=100)).items
    await store.close()
    lines = {each.id: each.text for each in kept if each.role == "user"}
    assert sorted(lines.values()) == ["a visitor", "line 0", "line 1", "line 2", "line 3"]
    assert sorted(each.reply_to or "" for each in kept if each.role == "assistant") == sorted(lines)


async def test_an_answer_that_takes_too_long_is_given_anew_at_the_other_side(tmp_path: Path) -> None:
    async with ProviderServer() as server, _modelled(tmp_path, server) as w:
        server.hold(2, FIRST)
        door = Door(w.bot, {})
        serving = asyncio.create_task(door.serve())
        asked = asyncio.create_task(_visit(tmp_path, "take your time"))
        await server.until(lambda server: len(server.asks) == 1)
        door.hold()
        await w.bot.pause(0.0)
        serving.cancel()
        await asyncio.wait([serving])
        assert not asked.done()
        async with _modelled(tmp_path, server) as other:
            door.admit(other.bot, {})
            serving = asyncio.create_task(door.serve())
            told = await asked
            assert next(each["text"] for each in told if each["is"] == "done").endswith("take your time")
            assert [each["is"] for each in told].count("done") == 1
            kept = (await other.store.read(limit=10)).items
            assert [each.role for each in kept] == ["user", "assistant"]
            serving.cancel()
            await asyncio.wait([serving])
        assert not (tmp_path / SOCKET).exists()


async def test_a_line_that_comes_in_the_pause_is_kept_and_left_open(tmp_path: Path) -> None:
    async with world(root=tmp_path) as w:
        room = w.room()
        await room.say(BEN, "hello")
        await w.bot.pause(0.0)
        heard = await room.say(ANA, "and me?")
        assert [type(piece) for piece in heard.pieces] == [Left]
        assert (await room.transcript())[-1] == "Ana: and me?"
        line = (await w.store.messages((await room.session()).id))[-1]
        assert await w.bot.afterwards.still_open(line) == line


async def test_on_discord_an_answer_under_way_is_given_to_its_end(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        server, sage = here.discord, here.discord.add_bot("token-sage", "sage")
        ana, guild = server.add_person("ana"), server.add_guild("Home")
        one, two = guild.add_channel("one"), guild.add_channel("two")
        environment = here.write({"sage": {"discord": {"channels": {"always": ["*"]}}}})
        gate = here.provider.hold(2, FIRST)
        with here.troupe("up", environment=environment):
            await server.until_ready(sage)
            await server.say(ana, one, "count")
            await here.provider.until(lambda provider: len(provider.asks) == 1)
            command = ["sage", "--to", "file", "--yes", "--config", str(tmp_path / "config")]
            going = asyncio.create_task(asyncio.to_thread(CliRunner(env=environment).invoke, transfer, command))
            await eventually(lambda: "transfer.pausing" in here.log)
            second = await server.say(ana, two, "in the pause")
            gate.open()
            assert (await going).exit_code == 0
            assert _answers(here, one) == [FIRST]
            await server.answer_to(second)
        for room in (one, two):
            assert len(_answers(here, room)) == 1
            assert "restarted" not in _answers(here, room)[0]


def _answers(here: Stage, room: Channel) -> list[str]:
    return [each.content for each in here.discord.messages(room) if each.author.bot]


def _chat(here: Stage, given: str) -> str:
    command = [sys.executable, "-m", "bots", "chat", "sage", "--config", str(here.folder / "config")]
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=True).stdout


async def _asked(here: Stage, text: str) -> list[str]:
    told = await _visit(here.folder / "data" / "sage", text)
    return [each["text"] for each in told if each["is"] == "done"]


async def _visit(root: Path, text: str) -> list[dict[str, str]]:
    """All that somebody at the door is told."""
    await eventually((root / SOCKET).exists)
    with reachable(root / SOCKET) as path:
        reader, writer = await asyncio.open_unix_connection(path)
    with contextlib.closing(writer):
        writer.write(json.dumps({"say": text}).encode() + b"\n")
        told: list[dict[str, str]] = []
        while not told or told[-1]["is"] != "end":
            told.append(json.loads(await reader.readline()))
    return told


def _modelled(root: Path, server: ProviderServer) -> contextlib.AbstractAsyncContextManager[World]:
    return world(settings(root), root=root, provider=OpenAI("loopback", "key", base_url=server.openai_url))
