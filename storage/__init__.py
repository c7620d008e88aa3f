"""What happened: a leaf that never imports the bots, reads config or asks what time it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .backend import Store


async def connect(bot_name: str, root: Path, *, type: Literal["sqlite"] = "sqlite", enabled: bool = True) -> Store:
    """Opens a bot's store under `root`; with `enabled=False` one that is gone when closed and touches no disk.

    The caller holds the root's `RootLock` for as long as the store is open. Raises `Unavailable` or `NewerSchema`.
    """
    from .backends.sqlite import SqliteStore

    return await SqliteStore.open(root, bot_name, in_memory=not enabled)
