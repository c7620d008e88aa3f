"""What the web front works with: one bot, and everything people may ask of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

from fastapi import Depends
from fastapi.requests import HTTPConnection

from storage.backend import Store
from storage.blobs import Blobs

from ..bot import Bot
from ..cleaning import Cleaner
from ..events import Events
from ..memory_orders import MemoryOrders
from ..operations import Operations
from ..routing_orders import RoutingOrders
from ..session_orders import SessionOrders
from ..settings import BotSettings


@dataclass(frozen=True)
class Desk:
    """One running bot, as its web front knows it."""

    bot: Bot
    store: Store
    blobs: Blobs
    cleaner: Cleaner
    operations: Operations
    sessions: SessionOrders
    memory: MemoryOrders
    route: RoutingOrders
    now: Callable[[], datetime]
    chance: Callable[[], int]
    """50 random bits."""
    folder: Path | None = None
    """Where the configuration is; None where the bot does not know it."""

    @property
    def events(self) -> Events:
        """What happens in the bot."""
        return self.bot.events

    @property
    def settings(self) -> BotSettings:
        """As they are now."""
        return self.bot.settings


async def _desk(connection: HTTPConnection) -> Desk:
    found: Desk = connection.app.state.desk
    return found


At = Annotated[Desk, Depends(_desk)]
"""The desk, as an argument of a route."""
