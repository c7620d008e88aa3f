"""A word to a running bot through its own door."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from .settings import BotSettings

_LINE_LIMIT = 1 << 20


async def _nothing(line: str) -> None:
    """For an order that tells nothing as it goes."""


async def told_to(bot: BotSettings, order: dict[str, str], hear: Callable[[str], Awaitable[None]] = _nothing) -> None:
    """Has the running bot do something through its own door, and hears what it tells, a line of JSON each. Raises
    `TroupeError`; `NoDoor` when it does not answer at all."""
    from .errors import TroupeError

    reader, writer = await _door(bot)

    async def next_line() -> bytes:
        try:
            return await reader.readline()
        except (ConnectionError, ValueError) as error:
            raise TroupeError(f"{bot.name}: its door broke off ({error}): look at its log, then try again.") from error

    try:
        writer.write(json.dumps(order).encode() + b"\n")
        while line := await next_line():
            told = json.loads(line)
            if told.get("is") == "end":
                return
            if told.get("is") != order["do"]:
                raise TroupeError(f"{bot.name}: {told.get('text', 'it did not understand')}")
            await hear(told["json"])
    finally:
        writer.close()
    raise TroupeError(f"{bot.name} stopped before it was done: try again.")


async def _door(bot: BotSettings) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    import asyncio

    from storage.rootlock import holder

    from .errors import NoDoor
    from .terminal import SOCKET, reachable

    try:
        with reachable(bot.root / SOCKET) as path:
            return await asyncio.open_unix_connection(path, limit=_LINE_LIMIT)
    except OSError as error:
        raise NoDoor(
            f"{bot.name} is running (process {holder(bot.root)}) and does not answer at its door yet: try again in a "
            f"moment, or stop it first: `troupe stop {bot.name}`."
        ) from error
