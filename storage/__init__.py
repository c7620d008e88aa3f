"""What happened: a leaf that never imports the bots, reads config or asks what time it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .errors import Unavailable

if TYPE_CHECKING:
    from .backend import Store

_SQLITE = (3, 38)
"""The first with `->>`."""


async def connect(bot_name: str, root: Path, *, type: Literal["sqlite"] = "sqlite", enabled: bool = True) -> Store:
    """Opens a bot's store under `root`; with `enabled=False` one that is gone when closed and touches no disk.

    The caller holds the root's `RootLock` for as long as the store is open. Raises `Unavailable` or `NewerSchema`.
    """
    import sqlite3

    from .backends.sqlite import SqliteStore

    if sqlite3.sqlite_version_info < _SQLITE:
        wanted = ".".join(map(str, _SQLITE))
        raise Unavailable(
            f"This Python brings SQLite {sqlite3.sqlite_version}, and Troupe needs {wanted} or newer: "
            "use a Python that was built with one."
        )
    return await SqliteStore.open(root, bot_name, in_memory=not enabled)
