"""The bots that run together, as each is now: what their status files say, and whether their consoles answer."""

from __future__ import annotations

import asyncio
import os
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

    def known(self) -> dict[str, tuple[BotSettings | None, BotStatus]]:
        """What every bot of the fleet says of itself, by name, with its settings; None where its files cannot be read.
        Reads files: call in a thread."""
        good = self._read_again()
        said = read(self._known[1]) if self._known else read_without_config(self._folder)
        return {each.bot: (self._known[1].bot(each.bot) if self._known and good else None, each) for each in said}

    async def owner(self, root: Path) -> str | None:
        """The bot that keeps what it keeps in a folder, or in one inside it, or is to; as far as files that can be read
        have ever said."""
        await asyncio.to_thread(self._read_again)
        bots = self._known[1].bots if self._known else ()
        return next((bot.name for bot in bots if root in (bot.root.absolute(), *bot.root.absolute().parents)), None)

    async def settings(self, name: str) -> BotSettings | None:
        """Those of the bot of that name; None where there is none, or the files cannot be read."""
        good = await asyncio.to_thread(self._read_again)
        return self._known[1].bot(name) if self._known and good else None

    def _read_again(self) -> bool:
        """Whether what is known is what the files say now; what they said before stays where they cannot be read."""
        found = stamp(self._folder)
        if self._known is None or self._known[0] != found:
            try:
                self._known = found, load(self._folder, os.environ)
            except TroupeError:
                return False
        return True


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
