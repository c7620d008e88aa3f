"""What `troupe token` does, in a bot's audit: kept by the bot itself while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from storage.backend import Store
from storage.model import message_id
from storage.records import AuditEntry

from .here import whoever_is_here
from .orders import answered

if TYPE_CHECKING:
    from .terminal import Answer, Order, Say

ORDER = "token"


async def note(store: Store, verb: str, given: Mapping[str, Any], now: datetime, chance: Callable[[], int]) -> None:
    """Keeps what was done with one token: `given` is its id, its label, its scope and whose it is. Raises
    `StorageError`."""
    details: dict[str, JsonValue] = {key: str(given.get(key, ""))[:200] for key in ("label", "scope", "person")}
    id, target = message_id(now, chance()), f"token:{str(given.get('id', ''))[:40]}"
    action = f"token {verb[:20]}"
    await store.keep(AuditEntry(id=id, at=now, actor=whoever_is_here(), action=action, target=target, details=details))


def order(store: Store, now: Callable[[], datetime], chance: Callable[[], int]) -> Order:
    """The order at the bot's own door."""

    async def do(verb: str, given: Mapping[str, Any]) -> dict[str, JsonValue]:
        await note(store, verb, given, now(), chance)
        return {}

    async def noted(asked: Answer, say: Say) -> None:
        await answered("a token", do, asked, say)

    return noted
