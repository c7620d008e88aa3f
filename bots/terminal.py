"""The terminal front: a door in the bot's own storage root through which people on the same machine talk to it.

A Unix socket, open to the owner of the root alone. One JSON object a line, either way. In: `{"say": text}` or
`{"do": "new" | "why" | "stop" | "history"}`, or an order of the one who runs the bot, `{"do": "backup" | "cleanup" |
"transfer" | "sessions" | "export"}`.
Out: `{"is": "opened" | "delta" | "reset" | "done" | "note" | "line" | "end", …}`, and what an order tells under the
order's own name, `{"is": "cleanup", "json": text}`; every request ends with `end`. A request may carry `"id": text`:
all that is told because of it carries the same `id`, so that a client with several requests under way, such as an
answer and its `stop`, can tell them apart.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
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
from .incoming import Incoming
from .pieces import Delta, Done, Opened, Piece, Reset

log = structlog.get_logger()

SOCKET = "terminal.sock"
Answer = dict[str, str]
Say = Callable[[str], Awaitable[None]]
Order = Callable[[Answer, Say], Awaitable[None]]
"""Does what a request asks, and says how it goes in lines of JSON. Raises `StorageError` or `TroupeError`."""
_FOR_WHO_READS = frozenset({"export"})
"""Orders that are of no use to anybody but the one who reads what they tell, and wait for that."""
_LINE_LIMIT = 1 << 20
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
        self._visits: set[asyncio.Task[None]] = set()
        self._answers: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Answers whoever comes, until cancelled."""
        root = self._bot.settings.root
        root.mkdir(parents=True, exist_ok=True)
        with reachable(root / SOCKET) as path:
            Path(path).unlink(missing_ok=True)
            server = await asyncio.start_unix_server(self._welcome, path, limit=_LINE_LIMIT)
            os.chmod(path, 0o600)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            server.close()
            await self._bot.close()
            if self._answers:
                await asyncio.wait(self._answers, timeout=5)
            await self._see_off()
            with reachable(root / SOCKET) as path:
                Path(path).unlink(missing_ok=True)

    def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # asyncio's own task for a visit reports its cancelling as an error (Python 3.11), and nobody awaits it.
        visit = asyncio.ensure_future(self._visit(reader, writer))
        self._visits.add(visit)
        visit.add_done_callback(self._visits.discard)

    async def _see_off(self) -> None:
        """Ends the visits, idle ones too. A visitor who does not read does not hold this up."""
        for task in (*self._answers, *self._visits):
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
                for tasks in (under_way, self._answers):
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
            if "say" in asked:
                async for piece in self._bot.receive(self._incoming(channel, asked["say"])):
                    _write(writer, _told(piece) | mark)
            elif asked.get("do") in self._orders:
                await self._obey(asked, writer, mark)
            else:
                for told in await self._do(channel, asked.get("do", "")):
                    _write(writer, told | mark)
        except (StorageError, TroupeError) as error:
            _write(writer, {"is": "note", "text": str(error)} | mark)
        except Exception:
            log.exception("terminal.failed")
            _write(writer, {"is": "note", "text": "Something went wrong on my side; my log says what."} | mark)
        _write(writer, {"is": "end"} | mark)

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

    async def _do(self, channel: Channel, wanted: str) -> list[Answer]:
        match wanted:
            case "new":
                session = await self._bot.begin(channel)
                return [{"is": "note", "text": f"A new session: {session.id}. What was said before is kept."}]
            case "why":
                why = await self._bot.why(channel)
                return [{"is": "note", "text": why or "Nobody has answered in this session yet."}]
            case "stop":
                stopped = await self._bot.stop(channel, everybody=True)
                return [] if stopped else [{"is": "note", "text": "There is no answer under way."}]
            case "history":
                messages = await self._bot.history(channel, limit=20)
                nothing = {"is": "note", "text": "Nothing has been said in this session yet."}
                return [_line(message) for message in messages] or [nothing]
        return [{"is": "note", "text": f"There is no command {wanted!r}; `/help` lists them."}]

    def _incoming(self, channel: Channel, text: str) -> Incoming:
        self._said += 1
        at = datetime.now(UTC)
        return Incoming(
            origin=f"{channel.key}:{at.timestamp():.6f}-{self._said}",
            channel=channel,
            sender=Sender(type="user", id=channel.id, name=channel.name),
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


def _here() -> Channel:
    try:
        person = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        person = f"user-{os.getuid()}"
    return Channel(front="terminal", id=person, kind="terminal", name=person)


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
        case Reset():
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
