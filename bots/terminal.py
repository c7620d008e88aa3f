"""The terminal front: a door in the bot's own storage root through which people on the same machine talk to it.

A Unix socket, open to the owner of the root alone. One JSON object a line, either way. In: `{"say": text}` or
`{"do": "new" | "why" | "stop" | "history"}`. Out: `{"is": "opened" | "delta" | "reset" | "done" | "note" | "line" |
"end", …}`; every request ends with `end`.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import structlog

from storage.errors import StorageError
from storage.model import Channel, Message, Sender

from .bot import Bot, Incoming
from .pieces import Delta, Done, Opened, Piece, Reset

log = structlog.get_logger()

SOCKET = "terminal.sock"
Answer = dict[str, str]
_LINE_LIMIT = 1 << 20
_SOCKET_PATH_LIMIT = 100
"""Bytes; the kernel's own limit is 104 to 108."""


class Door:
    """Serves one bot's terminal front."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot
        self._said = 0
        self._visits: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Answers whoever comes, until cancelled."""
        root = self._bot.settings.root
        root.mkdir(parents=True, exist_ok=True)
        with reachable(root / SOCKET) as path:
            Path(path).unlink(missing_ok=True)
            server = await asyncio.start_unix_server(self._visit, path, limit=_LINE_LIMIT)
            os.chmod(path, 0o600)
        try:
            await server.serve_forever()
        finally:
            server.close()
            await self._bot.close()
            if self._visits:
                await asyncio.wait(self._visits, timeout=5)
            with reachable(root / SOCKET) as path:
                Path(path).unlink(missing_ok=True)

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One person at one terminal; several requests may be under way, as when an answer is stopped."""
        under_way: set[asyncio.Task[None]] = set()
        channel = _here()
        try:
            while line := await reader.readline():
                task = asyncio.ensure_future(self._answer(channel, _asked(line), writer))
                for tasks in (under_way, self._visits):
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
        try:
            if "say" in asked:
                async for piece in self._bot.receive(self._incoming(channel, asked["say"])):
                    _write(writer, _told(piece))
            else:
                for told in await self._do(channel, asked.get("do", "")):
                    _write(writer, told)
        except StorageError as error:
            _write(writer, {"is": "note", "text": str(error)})
        except Exception:
            log.exception("terminal.failed")
            _write(writer, {"is": "note", "text": "Something went wrong on my side; my log says what."})
        _write(writer, {"is": "end"})

    async def _do(self, channel: Channel, wanted: str) -> list[Answer]:
        match wanted:
            case "new":
                session = await self._bot.begin(channel)
                return [{"is": "note", "text": f"A new session: {session.id}. What was said before is kept."}]
            case "why":
                why = await self._bot.why(channel)
                return [{"is": "note", "text": why or "Nobody has answered in this session yet."}]
            case "stop":
                stopped = await self._bot.stop(channel)
                return [] if stopped else [{"is": "note", "text": "There is no answer under way."}]
            case "history":
                current = await self._bot.sessions.current(channel)
                messages = await self._bot.store.messages(current.id, limit=20) if current else []
                return [_line(message) for message in messages]
        return [{"is": "note", "text": f"There is no command {wanted!r}."}]

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
    except ValueError:
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
    return {"is": "line", "who": message.sender.name, "text": message.text, "at": message.at.isoformat()}


def _write(writer: asyncio.StreamWriter, told: Answer) -> None:
    if not writer.is_closing():
        writer.write(json.dumps(told).encode() + b"\n")
