"""The terminal: `troupe chat` at a real terminal and in a pipe, with the bot running and without."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from bots.providers.openai import OpenAI
from bots.terminal import SOCKET, Answer, Door, reachable

from .stage import Stage, eventually, stage
from .wire.provider_server import ProviderServer
from .world import World, persona, settings, world


class Visitor:
    """Somebody at the door, speaking its lines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, raw: bytes) -> None:
        self._writer.write(raw + b"\n")

    async def ask(self, **asked: str) -> list[Answer]:
        self.send(json.dumps(asked).encode())
        return await self.told()

    async def told(self, until: str = "end") -> list[Answer]:
        told: list[Answer] = []
        while not told or told[-1]["is"] != until:
            told.append(json.loads(await self._reader.readline()))
        return told


@asynccontextmanager
async def at_the_door(w: World) -> AsyncIterator[Visitor]:
    """A visitor of an open door."""
    door = asyncio.ensure_future(Door(w.bot).serve())
    root = w.bot.settings.root
    await eventually(lambda: (root / SOCKET).exists())
    with reachable(root / SOCKET) as path:
        reader, writer = await asyncio.open_unix_connection(path)
    try:
        yield Visitor(reader, writer)
    finally:
        writer.close()
        door.cancel()
        await asyncio.wait((door,))


async def test_a_line_is_answered_piece_by_piece_and_kept(tmp_path: Path) -> None:
    async with world(root=tmp_path) as w, at_the_door(w) as ana:
        told = await ana.ask(say="what is 6 * 7?")
        assert told[0]["is"] == "opened"
        assert told[-1] == {"is": "end"}
        words = "".join(answer["text"] for answer in told if answer["is"] == "delta")
        done = next(answer for answer in told if answer["is"] == "done")
        assert done["text"] == words
        assert "42" in words
        (session,) = await w.store.sessions()
        assert session.channel.kind == "terminal"
        assert session.message_count == 2


async def test_commands_of_a_session(tmp_path: Path) -> None:
    config = settings(tmp_path, personas=[persona("sage"), persona("ada", keywords=["python", "code"])])
    async with world(config, root=tmp_path) as w, at_the_door(w) as ana:
        assert "Nobody has answered" in (await ana.ask(do="why"))[0]["text"]
        await ana.ask(say="python code, please")
        assert (await ana.ask(do="why"))[0]["text"].startswith("ada, because its words fit")
        lines = [answer["text"] for answer in await ana.ask(do="history") if answer["is"] == "line"]
        assert lines[0] == "python code, please"
        assert len(lines) == 2
        assert (await ana.ask(do="new"))[0]["text"].startswith("A new session: ")
        assert await ana.ask(do="history") == [{"is": "end"}]
        assert "no answer under way" in (await ana.ask(do="stop"))[0]["text"]
        assert "no command 'dance'" in (await ana.ask(do="dance"))[0]["text"]


async def test_stop_ends_an_answer_under_way(tmp_path: Path) -> None:
    async with ProviderServer() as server, world(root=tmp_path, provider=OpenAI("m", "k", server.openai_url)) as w:
        server.hold(after_pieces=1, text="one two three")
        async with at_the_door(w) as ana:
            ana.send(json.dumps({"say": "count"}).encode())
            await ana.told(until="delta")
            ana.send(json.dumps({"do": "stop"}).encode())
            told = await ana.told() + await ana.told()
            done = next(answer for answer in told if answer["is"] == "done")
            assert done["outcome"] == "stopped"
            assert "three" not in done["text"]


async def test_nonsense_at_the_door_harms_nobody(tmp_path: Path) -> None:
    async with world(root=tmp_path) as w, at_the_door(w) as ana:
        for raw in (b"", b"[]", b"{", b"\xff\xfe", b'{"say": 7}', b'"say"', b"{}"):
            ana.send(raw)
            assert "no command" in (await ana.told())[0]["text"]
        assert "42" in str(await ana.ask(say="what is 6 * 7?"))


async def test_only_the_roots_owner_may_come_in_however_deep_the_root_lies(tmp_path: Path) -> None:
    deep = tmp_path / ("a long name for a folder " * 5) / "and a 名前 too"
    async with world(settings(deep), root=deep) as w, at_the_door(w) as ana:
        assert (deep / SOCKET).stat().st_mode & 0o777 == 0o600
        assert "42" in str(await ana.ask(say="what is 6 * 7?"))


# --- `troupe chat` itself --------------------------------------------------------------------------------------


@asynccontextmanager
async def offline_fleet(folder: Path) -> AsyncIterator[Stage]:
    async with stage(folder) as here:
        here.write({"sage": {"models": [{"provider": "offline"}], "discord": {"token": None}}})
        yield here


def chat(here: Stage, *, given: str) -> str:
    """What a pipe gets from `troupe chat sage`."""
    command = [sys.executable, "-m", "bots", "chat", "sage", "--config", str(here.folder / "config")]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=40, check=True)
    return done.stdout


async def test_a_pipe_gets_plain_answers_in_order_and_the_bot_is_started_for_it(tmp_path: Path) -> None:
    async with offline_fleet(tmp_path) as here:
        said = await asyncio.to_thread(chat, here, given="what is 6 * 7?\n\nand what is 2 + 3?\n/why\n")
        assert said.index("42") < said.index("5") < said.index("because")
        assert "\x1b" not in said
        assert here.rows("sage", "SELECT count(*) FROM conversations") == [(4,)]


async def test_a_running_bot_is_visited_rather_than_started_twice(tmp_path: Path) -> None:
    async with offline_fleet(tmp_path) as here:
        with here.troupe("bot", "sage", environment={}):
            await eventually(lambda: here.status("sage")["state"] == "ready")
            pid = here.status("sage")["pid"]
            assert "42" in await asyncio.to_thread(chat, here, given="what is 6 * 7?\n")
            assert here.status("sage")["pid"] == pid


async def test_a_bot_that_cannot_start_says_why(tmp_path: Path) -> None:
    async with offline_fleet(tmp_path) as here:
        (tmp_path / "data" / "sage" / "conversations.db").mkdir(parents=True)
        with pytest.raises(subprocess.CalledProcessError) as failed:
            await asyncio.to_thread(chat, here, given="hello\n")
        assert "Sage did not start" in failed.value.stderr
        assert "conversations.db" in failed.value.stderr
        assert "Traceback" not in failed.value.stderr


async def test_a_person_at_a_terminal(tmp_path: Path) -> None:
    async with offline_fleet(tmp_path) as here:
        await asyncio.to_thread(_talk, here)


def _talk(here: Stage) -> None:
    with terminal(here) as screen:
        assert "Sage is here" in screen.until("you: ")
        screen.type("what is 6 * 7?")
        assert "42" in screen.until("you: ")
        screen.type("/help")
        assert "/why" in screen.until("you: ")
        screen.type("/quit")
        screen.until_closed()


class Screen:
    def __init__(self, handle: int) -> None:
        self._handle = handle

    def type(self, line: str) -> None:
        os.write(self._handle, line.encode() + b"\n")

    def until(self, words: str) -> str:
        """What has come since the last time, up to these words."""
        raw, bound = b"", time.monotonic() + 30
        while True:
            seen = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", raw.decode(errors="replace"))
            if seen.endswith(words):
                return seen
            assert time.monotonic() < bound, f"waited for {words!r}, saw {seen!r}"
            if select.select([self._handle], [], [], 1)[0]:
                raw += os.read(self._handle, 4096)

    def until_closed(self) -> None:
        try:
            while os.read(self._handle, 4096):
                pass
        except OSError:
            return


@contextmanager
def terminal(here: Stage) -> Iterator[Screen]:
    """`troupe chat sage` in a pseudo-terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "bots", "chat", "sage", "--config", str(here.folder / "config")]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        try:
            yield Screen(ours)
            assert process.wait(20) == 0
        finally:
            process.kill()
            os.close(ours)
