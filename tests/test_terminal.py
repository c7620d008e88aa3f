"""The terminal: `troupe chat` at a real terminal and in a pipe, with the bot running and without."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from bots.providers.openai import OpenAI
from bots.terminal import SOCKET, Answer, Door, Say, reachable
from storage.rootlock import holder

from .stage import Stage, eventually, gone, stage
from .wire.provider_server import ProviderServer
from .world import World, persona, settings, world


class Visitor:
    """Somebody at the door, speaking its lines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, raw: bytes) -> None:
        self._writer.write(raw + b"\n")

    def leave(self) -> None:
        self._writer.close()

    async def ask(self, **asked: str) -> list[Answer]:
        self.send(json.dumps(asked).encode())
        return await self.told()

    async def told(self, until: str = "end") -> list[Answer]:
        told: list[Answer] = []
        while not told or told[-1]["is"] != until:
            told.append(json.loads(await self._reader.readline()))
        return told


@asynccontextmanager
async def at_the_door(w: World, opened: Door | None = None) -> AsyncIterator[Visitor]:
    """A visitor of an open door."""
    door = asyncio.ensure_future((opened or Door(w.bot, {})).serve())
    root = w.bot.settings.root
    await eventually(lambda: (root / SOCKET).exists())
    with reachable(root / SOCKET) as path:
        reader, writer = await asyncio.open_unix_connection(path, limit=1 << 21)
    try:
        yield Visitor(reader, writer)
    finally:
        door.cancel()
        await asyncio.wait((door,))
        writer.close()


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
        assert (await ana.ask(do="why"))[0]["text"].startswith("Ada, because its words fit")
        lines = [answer["text"] for answer in await ana.ask(do="history") if answer["is"] == "line"]
        assert lines[0] == "python code, please"
        assert len(lines) == 2
        assert (await ana.ask(do="new"))[0]["text"].startswith("A new session: ")
        assert "Nothing has been said" in (await ana.ask(do="history"))[0]["text"]
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


async def test_what_is_told_bears_the_id_of_what_was_asked(tmp_path: Path) -> None:
    async with world(root=tmp_path) as w, at_the_door(w) as ana:
        assert {told["id"] for told in await ana.ask(say="what is 6 * 7?", id="a")} == {"a"}
        assert {told["id"] for told in await ana.ask(do="dance", id="b")} == {"b"}


async def test_history_is_what_was_said_without_the_programs_notes(tmp_path: Path) -> None:
    config = settings(tmp_path, personas=[persona("sage"), persona("ada", keywords=["python", "code"])])
    async with world(config, root=tmp_path) as w, at_the_door(w) as ana:
        told = await ana.ask(say="python code, please")
        assert told[-2]["text"].startswith("**Ada**\n")
        answer = (await ana.ask(do="history"))[1]["text"]
        assert answer
        assert "**Ada**" not in answer
        assert "-# " not in answer


async def test_a_door_that_closes_on_an_idle_visitor_says_nothing(tmp_path: Path) -> None:
    troubles: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: troubles.append(context))
    async with world(root=tmp_path) as w, at_the_door(w) as ana:
        await ana.ask(do="why")
    assert not troubles


async def test_nonsense_at_the_door_harms_nobody(tmp_path: Path) -> None:
    async with world(root=tmp_path) as w, at_the_door(w) as ana:
        for raw in (b"", b"[]", b"{", b"\xff\xfe", b'{"say": 7}', b'"say"', b"{}"):
            ana.send(raw)
            assert "no command" in (await ana.told())[0]["text"]
        assert "42" in str(await ana.ask(say="what is 6 * 7?"))


async def test_an_order_is_finished_though_whoever_gave_it_does_not_read(tmp_path: Path) -> None:
    finished = asyncio.Event()

    async def talkative(asked: Answer, say: Say) -> None:
        for _ in range(20):
            await say("x" * (1 << 20))
        finished.set()

    async with world(root=tmp_path) as w:
        door = Door(w.bot, {"tell": talkative}, patience=0.01)
        async with at_the_door(w, door) as ana:
            ana.send(b'{"do": "tell"}')
            await asyncio.wait_for(finished.wait(), 30)
            assert 1 <= len(told := await ana.told()) < 20
            assert told[-2]["text"].startswith("It was done to its end, but nobody read")


async def test_an_export_waits_for_its_reader_and_ends_when_there_is_none(tmp_path: Path) -> None:
    given = list[int]()
    ended = asyncio.Event()

    async def exporting(asked: Answer, say: Say) -> None:
        try:
            for number in range(200):
                await say("x" * (1 << 18))
                given.append(number)
        finally:
            ended.set()

    async with world(root=tmp_path) as w:
        door = Door(w.bot, {"export": exporting}, patience=0.01)
        async with at_the_door(w, door) as ana:
            ana.send(b'{"do": "export"}')
            assert len((await ana.told())[:-1]) == 200
            given.clear()
            ended.clear()
            ana.send(b'{"do": "export"}')
            await eventually(lambda: bool(given))
            ana.leave()
            await asyncio.wait_for(ended.wait(), 30)
            assert len(given) < 200


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
        assert holder(folder / "data" / "sage") is None, "no bot is left behind"


@asynccontextmanager
async def modelled_fleet(folder: Path) -> AsyncIterator[Stage]:
    """The bot asks the loopback model."""
    async with stage(folder) as here:
        here.write({"sage": {"discord": {"token": None}}})
        yield here
        assert holder(folder / "data" / "sage") is None, "no bot is left behind"


def chat_command(here: Stage) -> list[str]:
    return [sys.executable, "-m", "bots", "chat", "sage", "--config", str(here.folder / "config")]


def chat(here: Stage, *, given: str) -> str:
    """What a pipe gets from `troupe chat sage`."""
    done = subprocess.run(chat_command(here), input=given, capture_output=True, text=True, timeout=40, check=True)
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
        for asking in ("/Help", "/"):
            screen.type(asking)
            assert "/why" in screen.until("you: ")
        screen.type("a paste\nof three\nlines")
        screen.until("you: ")
        screen.type("/quit")
        screen.until_closed()
    assert here.rows("sage", "SELECT content FROM conversations WHERE role = 'user'")[1:] == [
        ("a paste\nof three\nlines",)
    ]


async def test_after_a_stop_the_next_answer_belongs_to_the_next_line(tmp_path: Path) -> None:
    async with modelled_fleet(tmp_path) as here:
        here.provider.default = lambda ask: f"You said {ask.question.split()[-1]}."
        for stop in ("/stop\n", "\x03"):
            here.provider.hold(after_pieces=1, text="one two three")
            asks = len(here.provider.asks)
            with contextlib.ExitStack() as stack:
                screen = await asyncio.to_thread(stack.enter_context, terminal(here))
                await asyncio.to_thread(screen.until, "you: ")
                screen.type("count")
                await here.provider.until(lambda server, asks=asks: len(server.asks) > asks)  # type: ignore[misc]
                await asyncio.to_thread(screen.until_seen, "one")
                screen.send(stop)
                assert "Stopped" in await asyncio.to_thread(screen.until, "you: ")
                for line in ("first", "second"):
                    screen.type(line)
                    assert f"You said {line}." in await asyncio.to_thread(screen.until, "you: ")
                screen.type("/quit")
                await asyncio.to_thread(screen.until_closed)
                await asyncio.to_thread(stack.close)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
async def test_a_bot_started_for_a_chat_ends_with_it_however_it_ends(tmp_path: Path, number: signal.Signals) -> None:
    async with offline_fleet(tmp_path) as here:
        with terminal(here, ends_with=None) as screen:
            await asyncio.to_thread(screen.until, "you: ")
            bot = holder(tmp_path / "data" / "sage")
            assert bot is not None
            ended = asyncio.ensure_future(gone(bot))
            os.kill(screen.pid, number)
            await ended


async def test_a_chat_outlives_a_restart_of_its_bot(tmp_path: Path) -> None:
    async with offline_fleet(tmp_path) as here:
        with contextlib.ExitStack() as stack:
            with here.troupe("bot", "sage", environment={}):
                await eventually(lambda: here.status("sage")["state"] == "ready")
                screen = await asyncio.to_thread(stack.enter_context, terminal(here))
                await asyncio.to_thread(screen.until, "you: ")
            screen.type("what is 6 * 7?")
            await asyncio.to_thread(screen.until_seen, "Sage has gone away")
            with here.troupe("bot", "sage", environment={}):
                said = await asyncio.to_thread(screen.until, "you: ")
                assert said.index("Sage is back") < said.index("42")
                screen.type("/quit")
                await asyncio.to_thread(screen.until_closed)
                await asyncio.to_thread(stack.close)


async def test_a_chat_waits_for_a_bot_that_is_just_starting(tmp_path: Path) -> None:
    async with offline_fleet(tmp_path) as here:
        with here.troupe("bot", "sage", environment={}):
            await eventually(lambda: holder(tmp_path / "data" / "sage") is not None)
            assert "42" in await asyncio.to_thread(chat, here, given="what is 6 * 7?\n")


async def test_a_pipe_may_ask_for_help_and_quit(tmp_path: Path) -> None:
    async with offline_fleet(tmp_path) as here:
        said = await asyncio.to_thread(chat, here, given="/HELP\n/dance\n/quit\nwhat is 6 * 7?\n")
        assert said.startswith("Type a line")
        assert "no command 'dance'" in said
        assert "42" not in said


class Screen:
    def __init__(self, handle: int, pid: int) -> None:
        self._handle = handle
        self.pid = pid

    def type(self, line: str) -> None:
        self.send(line + "\n")

    def send(self, keys: str) -> None:
        os.write(self._handle, keys.encode())

    def until_seen(self, words: str) -> str:
        """The same for words that others may follow."""
        return self.until(words, last=False)

    def until(self, words: str, *, last: bool = True) -> str:
        """What has come since the last time, up to these words."""
        raw, bound = b"", time.monotonic() + 30
        while True:
            seen = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", raw.decode(errors="replace"))
            if seen.endswith(words) or (not last and words in seen):
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
def terminal(here: Stage, ends_with: int | None = 0) -> Iterator[Screen]:
    """`troupe chat sage` in a pseudo-terminal."""
    ours, theirs = pty.openpty()

    def own_terminal() -> None:
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)  # so that Ctrl-C reaches it

    with subprocess.Popen(
        chat_command(here),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=own_terminal,
    ) as process:
        os.close(theirs)
        try:
            yield Screen(ours, process.pid)
            code = process.wait(20)
            assert ends_with in (None, code)
        finally:
            process.kill()
            os.close(ours)
