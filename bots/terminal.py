"""The terminal front: a door in the bot's own storage root through which people on the same machine talk to it.

A Unix socket, open to the owner of the root alone. One JSON object a line, either way. In: `{"say": text}` or
`{"do": "new" | "why" | "why memory" | "why session" | "memory list" | "stop" | "history"}`, or with words
`{"do": "memory remember" | "memory forget", "text": text}`, or an order of the one who runs the bot,
`{"do": "backup" | "cleanup" | "transfer" | "sessions" | "memory" | "route" | "export" | "end"}`.
Out: `{"is": "opened" | "delta" | "reset" | "done" | "note" | "line" | "end", …}`, and what an order tells under the
order's own name, `{"is": "cleanup", "json": text}`; every request ends with `end`. A request may carry `"id": text`:
all that is told because of it carries the same `id`, so that a client with several requests under way, such as an
answer and its `stop`, can tell them apart.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import structlog

from storage.errors import StorageError
from storage.model import Channel, Message, Sender

from .bot import Bot
from .errors import TroupeError
from .explaining_sessions import SessionsExplained
from .here import whoever_is_here
from .incoming import Incoming
from .memory_meant import meant
from .memory_settings import OFF
from .pieces import Delta, Done, Left, Opened, Piece, Reset

log = structlog.get_logger()

SOCKET = "terminal.sock"
Answer = dict[str, str]
Say = Callable[[str], Awaitable[None]]
Order = Callable[[Answer, Say], Awaitable[None]]
"""Does what a request asks, and says how it goes in lines of JSON. Raises `StorageError` or `TroupeError`."""
_FOR_WHO_READS = frozenset({"export", "transfer"})
"""Orders that wait for the one who reads what they tell, and are given up when that one has gone."""
_LINE_LIMIT = 1 << 20
_LISTED = 40
"""Memories that are told at once."""
_SOCKET_PATH_LIMIT = 100
"""Bytes; the kernel's own limit is 104 to 108."""


class Door:
    """Serves one bot's terminal front."""

    def __init__(self, bot: Bot, orders: Mapping[str, Order], *, patience: float = 10.0) -> None:
        """`patience` is how many seconds an order waits for somebody who does not read what it tells."""
        self._bot = bot
        self._orders = orders
        self._patience = patience
        self._said = 0
        self._server: asyncio.Server | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._visits: set[asyncio.Task[None]] = set()
        self._requests: set[asyncio.Task[None]] = set()
        self._answers: set[asyncio.Task[None]] = set()
        """The requests that are with the bot, rather than at the door."""
        self._nobody = asyncio.Event()
        """Set while there are none."""
        self._nobody.set()

    async def serve(self) -> None:
        """Answers whoever comes, until cancelled. Where it was told to `hold`, visitors then stay and wait until it
        serves the next bot, or is closed."""
        if self._server is None:
            await self._listen()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            if self._open.is_set() and self._server is not None:
                self._server.close()
            await self._bot.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await self._nobody.wait()
            if self._open.is_set():
                await self.close()
            elif self._answers:
                for task in self._answers:
                    task.cancel()
                await asyncio.wait(self._answers, timeout=5)

    def hold(self) -> None:
        """From now on what people ask waits at the door, but for what is to end an answer under way."""
        self._open.clear()

    def admit(self, bot: Bot, orders: Mapping[str, Order]) -> None:
        """Lets those in who wait, to a bot that was built anew in the same root."""
        self._bot, self._orders = bot, orders
        self._open.set()

    async def close(self) -> None:
        """Sees everybody off; harmless when done twice."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        await self._see_off()
        with reachable(self._bot.settings.root / SOCKET) as path:
            Path(path).unlink(missing_ok=True)

    async def _listen(self) -> None:
        root = self._bot.settings.root
        root.mkdir(parents=True, exist_ok=True)
        with reachable(root / SOCKET) as path:
            Path(path).unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._welcome, path, limit=_LINE_LIMIT)
            os.chmod(path, 0o600)

    def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # asyncio's own task for a visit reports its cancelling as an error (Python 3.11), and nobody awaits it.
        visit = asyncio.ensure_future(self._visit(reader, writer))
        self._visits.add(visit)
        visit.add_done_callback(self._visits.discard)

    async def _see_off(self) -> None:
        """Ends the visits, idle ones too. A visitor who does not read does not hold this up."""
        for task in (*self._requests, *self._visits):
            task.cancel()
        if self._visits:
            await asyncio.wait(self._visits, timeout=1)

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One person at one terminal; several requests may be under way, as when an answer is stopped."""
        under_way: set[asyncio.Task[None]] = set()
        channel = _here()
        try:
            while line := await reader.readline():
                task = asyncio.ensure_future(self._answer(channel, _asked(line), writer))
                for tasks in (under_way, self._requests):
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
        except (ConnectionError, ValueError) as error:
            log.warning("terminal.broke", error=type(error).__name__)
        finally:
            if under_way:
                await asyncio.wait(under_way)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, channel: Channel, asked: Answer, writer: asyncio.StreamWriter) -> None:
        mark = {"id": asked["id"]} if "id" in asked else {}
        try:
            if asked.get("do") != "stop":
                await self._let_in()
            if "say" in asked:
                await self._speak(channel, asked["say"], writer, mark)
            elif asked.get("do") in self._orders:
                await self._obey(asked, writer, mark)
            else:
                for told in await self._do(channel, asked.get("do", ""), asked.get("text", "")):
                    _write(writer, told | mark)
        except (StorageError, TroupeError) as error:
            _write(writer, {"is": "note", "text": str(error)} | mark)
        except Exception:
            log.exception("terminal.failed")
            _write(writer, {"is": "note", "text": "Something went wrong on my side; my log says what."} | mark)
        except asyncio.CancelledError:
            if self._server is not None:  # who asked stays, and would wait for ever
                _write(writer, {"is": "note", "text": "I had to leave off in the middle of it: try again."} | mark)
                _write(writer, {"is": "end"} | mark)
            raise
        finally:
            self._go_out()
        _write(writer, {"is": "end"} | mark)

    async def _let_in(self) -> None:
        """Waits at the door, as long as there is no bot behind it."""
        self._go_out()
        await self._open.wait()
        self._answers.add(_myself())
        self._nobody.clear()

    def _go_out(self) -> None:
        self._answers.discard(_myself())
        if not self._answers:
            self._nobody.set()

    async def _speak(self, channel: Channel, text: str, writer: asyncio.StreamWriter, mark: Answer) -> None:
        pieces = self._bot.receive(self._incoming(channel, text))
        while True:
            left: Left | None = None
            async for piece in pieces:
                left = piece if isinstance(piece, Left) else None
                _write(writer, _told(piece) | mark)
            if left is None:
                return
            await self._let_in()
            pieces = self._bot.again(left.lines, left.lines[-1].sender)

    async def _obey(self, asked: Answer, writer: asyncio.StreamWriter, mark: Answer) -> None:
        reading = True

        async def say(line: str) -> None:
            nonlocal reading
            if not reading:
                return
            _write(writer, {"is": asked["do"], "json": line} | mark)
            waits = asked["do"] in _FOR_WHO_READS
            try:
                async with asyncio.timeout(None if waits else self._patience):
                    await writer.drain()
            except TimeoutError:
                reading = False
            except ConnectionError:
                if waits:
                    raise TroupeError("Whoever asked for it has gone.") from None
                # else whoever asked may leave; what was begun is finished

        await self._orders[asked["do"]](asked, say)
        if not reading:
            raise TroupeError("It was done to its end, but nobody read how it went, so that the rest was left out.")

    async def _do(self, channel: Channel, wanted: str, text: str) -> list[Answer]:
        match wanted:
            case "new":
                session = await self._bot.begin(channel)
                return [{"is": "note", "text": f"A new session: {session.id}. What was said before is kept."}]
            case "why":
                why = await self._bot.explaining.told(channel, self._bot.settings)
                return [{"is": "note", "text": why or "Nobody has answered in this session yet."}]
            case "why memory":
                told = await self._bot.explaining.recalled(channel, channel.id, past=True)
                return [{"is": "note", "text": told or "Nobody has answered in this session yet."}]
            case "why session":
                explained = SessionsExplained(self._bot.store, self._bot.conversations, self._bot.sessions)
                told = await explained.of_last_line(channel, channel.id)
                return [{"is": "note", "text": told.replace("**", '"')}]
            case "memory list":
                return [{"is": "note", "text": await self._remembered(channel)}]
            case "memory remember":
                memory = await self._bot.memory.memories.remember(text, _person(channel), channel, "me")
                told = f"I remember it, and may tell it wherever I answer you: {memory.text}"
                return [{"is": "note", "text": told}]
            case "memory forget":
                return [{"is": "note", "text": await self._forgotten(channel, text)}]
            case "stop":
                stopped = await self._bot.stop(channel, everybody=True)
                return [] if stopped else [{"is": "note", "text": "There is no answer under way."}]
            case "history":
                messages = await self._bot.explaining.history(channel, limit=20)
                nothing = {"is": "note", "text": "Nothing has been said in this session yet."}
                return [_line(message) for message in messages] or [nothing]
        return [{"is": "note", "text": f"There is no command {wanted!r}; `/help` lists them."}]

    async def _remembered(self, channel: Channel) -> str:
        """What may be told at the terminal of what is remembered."""
        settings = self._bot.settings
        found = await self._bot.memory.memories.list(channel.id, channel, may_manage=True)
        lines = [f"{each.at:%Y-%m-%d}  {' '.join(each.text.split())}" for each in found[:_LISTED]]
        lines = lines or ["I remember nothing yet that I may tell here."]
        if not settings.memory.enabled:
            lines.append(f"Memory is {OFF}.")
        return "\n".join([*lines, f"All of it, in another terminal: troupe memory list {settings.name}"])

    async def _forgotten(self, channel: Channel, which: str) -> str:
        """Forgets what is meant, by its words."""
        kept = self._bot.memory.memories
        listed = await kept.list(channel.id, channel, may_manage=True)
        found = meant(listed, which, "No memory that I may tell here reads like that")
        gone = await kept.forget(found.id, _person(channel), channel, may_manage=True)
        return f"I have forgotten it for good: {gone.text}"

    def _incoming(self, channel: Channel, text: str) -> Incoming:
        self._said += 1
        at = datetime.now(UTC)
        return Incoming(
            origin=f"{channel.key}:{at.timestamp():.6f}-{self._said}",
            channel=channel,
            sender=_person(channel),
            text=text,
            at=at,
        )


@contextlib.contextmanager
def reachable(path: Path) -> Iterator[str]:
    """The socket's path in a form the kernel takes, however deep the root lies."""
    if len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _myself() -> asyncio.Task[None]:
    task = asyncio.current_task()
    assert task is not None
    return task


def _here() -> Channel:
    person = whoever_is_here()
    return Channel(front="terminal", id=person.id, kind="terminal", name=person.name)


def _person(channel: Channel) -> Sender:
    return Sender(type="user", id=channel.id, name=channel.name)


def _asked(line: bytes) -> Answer:
    """A request, or nothing where a line is none."""
    try:
        asked = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    texts = isinstance(asked, dict) and all(isinstance(value, str) for value in asked.values())
    return asked if texts else {}


def _told(piece: Piece) -> Answer:
    match piece:
        case Opened():
            return {"is": "opened", "speaker": piece.speaker}
        case Delta():
            return {"is": "delta", "text": piece.text}
        case Reset() | Left():
            return {"is": "reset"}
        case Done():
            return {"is": "done", "text": piece.message.text, "outcome": piece.message.outcome}


def _line(message: Message) -> Answer:
    words = "\n".join(line for line in message.words.splitlines() if not line.startswith("-# ")).strip()
    text = words or message.text.replace("-# ", "").strip()  # some answers are a notice alone
    return {"is": "line", "who": message.sender.name, "text": text, "at": message.at.isoformat()}


def _write(writer: asyncio.StreamWriter, told: Answer) -> None:
    if not writer.is_closing():
        writer.write(json.dumps(told).encode() + b"\n")
