"""What happened: a leaf that never imports the bots, reads config or asks what time it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .errors import Unavailable
from .progress import Tell, silent

if TYPE_CHECKING:
    from .backend import Store

_SQLITE = (3, 38)
"""The first with `->>`."""


async def connect(
    bot_name: str,
    root: Path,
    *,
    type: Literal["sqlite", "file", "postgres"] = "sqlite",
    url: str = "",
    enabled: bool = True,
    tell: Tell = silent,
) -> Store:
    """Opens a bot's store under `root`, for postgres at `url`; with `enabled=False` one that is gone when closed and
    touches no disk.

    `tell` hears how far the upgrade of an older database is. The caller holds the root's `RootLock` for as long as
    the store is open. Raises `Unavailable` or `NewerSchema`.
    """
    if type == "postgres" and enabled:
        from .backends.postgres import PostgresStore

        return await PostgresStore.open(url, bot_name, tell=tell)
    _refuse_old_sqlite()
    if type == "file" and enabled:
        from .backends.files import FilesStore

        return await FilesStore.open_files(root, bot_name, tell=tell)
    from .backends.sqlite import SqliteStore

    return await SqliteStore.open(root, bot_name, in_memory=not enabled, tell=tell)


def _refuse_old_sqlite() -> None:
    import sqlite3

    if sqlite3.sqlite_version_info < _SQLITE:
        wanted = ".".join(map(str, _SQLITE))
        raise Unavailable(
            f"This Python brings SQLite {sqlite3.sqlite_version}, and Troupe needs {wanted} or newer: "
            "use a Python that was built with one."
        )
