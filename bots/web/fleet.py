"""The bots that run together, as each is now: what their status files say, and whether their consoles answer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import TroupeError
from ..loading import load
from ..reloading import Stamp, stamp
from ..settings import BotSettings, Troupe
from ..status import BotStatus, read, read_without_config

_WITHIN = 1.5
"""Seconds that a console has for an answer."""


class Fleet:
    """The fleet that a folder describes; its files are read again only when they have changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: tuple[Stamp, Troupe] | None = None

    async def statuses(self) -> dict[str, BotStatus]:
        """What every bot of the fleet says of itself, by name."""
        return {each.bot: each for each in await asyncio.to_thread(self._statuses)}

    async def owner(self, root: Path) -> str | None:
        """The bot that keeps what it keeps in a folder, or in one inside it, or is to."""
        await asyncio.to_thread(self._statuses)
        bots = self._known[1].bots if self._known else ()
        return next((bot.name for bot in bots if root in (bot.root.absolute(), *bot.root.absolute().parents)), None)

    async def settings(self, name: str) -> BotSettings | None:
        """Those of the bot of that name; None where there is none, or the files cannot be read."""
        await asyncio.to_thread(self._statuses)
        return self._known[1].bot(name) if self._known else None

    def _statuses(self) -> Sequence[BotStatus]:
        found = stamp(self._folder)
        if self._known is None or self._known[0] != found:
            try:
                self._known = found, load(self._folder, os.environ)
            except TroupeError:
                return read(self._known[1]) if self._known else read_without_config(self._folder)
        return read(self._known[1])


async def answers(url: str) -> bool:
    """Whether a console is there and says that it is well."""
    with suppress(OSError, ValueError, TimeoutError, EOFError):
        async with asyncio.timeout(_WITHIN):
            return await _well(url)
    return False


async def _well(url: str) -> bool:
    at = urlsplit(url)
    secure = at.scheme == "https"
    reader, writer = await asyncio.open_connection(at.hostname, at.port or (443 if secure else 80), ssl=secure or None)
    try:
        writer.write(f"GET {at.path}/api/health HTTP/1.1\r\nHost: {at.netloc}\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        line = await reader.readline()
        return line.split(b" ")[1:2] == [b"200"]
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
