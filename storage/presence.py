"""Whether a bot's store is there already: a look that makes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from .durable import in_thread


async def present(bot_name: str, root: Path, *, type: Literal["sqlite", "file", "postgres"], url: str = "") -> bool:
    """Whether a store of that type is there to be opened. Raises `Unavailable` where that cannot be asked."""
    if type == "postgres":
        return await _has_schema(bot_name, url)
    names = ("conversations.db",) if type == "sqlite" else ("index.db", "channels", "dms")
    return await in_thread(lambda: any((root / name).exists() for name in names))


async def _has_schema(bot_name: str, url: str) -> bool:
    from .backends.postgres_link import Link
    from .backends.postgres_schema import schema_name

    asked = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)"
    link = Link(url, bot_name, statement_timeout=30.0, patience=5.0)
    try:
        await link.start()
        return bool(await link.read(lambda connection: connection.fetchval(asked, schema_name(bot_name))))
    finally:
        await link.close()
