"""What commands about routing ask of a bot: what calibrating has found, ordinary talk to try it on, and keeping it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from pydantic import JsonValue

from storage.backend import Store
from storage.model import Message, Sender
from storage.records import Setting

from .afterwards import asked_by
from .casting import CALIBRATION
from .errors import TroupeError
from .orders import answered
from .router import called
from .settings import BotSettings

_BY = Sender(type="system", id="operator", name="whoever runs the bot")
_PAGES, _PAGE = 40, 250
"""How far back talk is read."""
_LONGEST = 500
_PING = re.compile(r"<@|(?<!\w)@\w")


class RoutingOrders:
    """Does what is ordered by whoever may see everything. `applied` makes the running bot go by what was found."""

    def __init__(
        self,
        settings: Callable[[], BotSettings],
        store: Store,
        *,
        now: Callable[[], datetime],
        applied: Callable[[Mapping[str, JsonValue]], None] = lambda found: None,
    ) -> None:
        self._settings, self._store, self._now, self._applied = settings, store, now, applied

    async def do(self, verb: str, given: Mapping[str, Any]) -> dict[str, JsonValue]:
        """`known`: what calibrating has found; `talk`: that and at most `limit` newest lines of people which were for
        nobody, of channels; `keep`: holds `threshold` and `embedder` from now on, and without a threshold nothing any
        more. Raises `TroupeError` with a sentence, and `StorageError`."""
        if verb == "known":
            return {"found": await self._known()}
        if verb == "talk":
            limit = given.get("limit")
            most = min(limit, _PAGES * _PAGE) if isinstance(limit, int) else _PAGE
            return {"found": await self._known(), "talk": await self._talk(most)}
        if verb == "keep":
            return await self._keep(given)
        raise TroupeError(f"There is no order '{verb[:40]}' about routing; there are: known, talk, keep.")

    async def order(self, asked: Mapping[str, str], say: Callable[[str], Awaitable[None]]) -> None:
        """An order at the bot's own door: `verb`, and `given` as JSON. Tells the JSON of the answer in pieces, each a
        JSON string."""
        await answered("routing", self.do, asked, say)

    async def _known(self) -> dict[str, JsonValue]:
        found = await self._store.record(Setting, CALIBRATION)
        return dict(found.values) if found else {}

    async def _keep(self, given: Mapping[str, Any]) -> dict[str, JsonValue]:
        threshold, embedder = given.get("threshold"), given.get("embedder")
        before = await self._known()
        values: dict[str, JsonValue] = {}
        if threshold is not None:
            if not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
                raise TroupeError("A threshold is a number from 0 to 1.")
            values = {"threshold": float(threshold), "embedder": str(embedder) if embedder else None}
        await self._store.keep(Setting(id=CALIBRATION, at=self._now(), values=values, before=before, by=_BY))
        self._applied(values)
        return {"found": values, "before": before}

    async def _talk(self, limit: int) -> list[JsonValue]:
        settings = self._settings()
        names = {name for each in settings.personas for name in (each.display, each.name, *each.aliases)}
        call = called((settings.display or settings.name, settings.name, *sorted(names)))
        private: dict[str, bool] = {}
        lines: dict[str, None] = {}
        answered: set[str] = set()
        cursor = None
        for _ in range(_PAGES):
            page = await self._store.read(cursor=cursor, limit=_PAGE)
            for message in reversed(page.items):
                answered.update(asked_by(message) if message.role == "assistant" else ())
                if _is_talk(message) and message.id not in answered and not call.search(message.text):
                    if message.session_id not in private:
                        session = await self._store.session(message.session_id)
                        private[message.session_id] = session is None or session.channel.kind == "dm"
                    if not private[message.session_id]:
                        lines.setdefault(message.text[:_LONGEST])
            cursor = page.older
            if cursor is None or len(lines) >= limit:
                break
        told: list[JsonValue] = [*lines]
        return told[:limit]


def _is_talk(message: Message) -> bool:
    """Whether somebody said it with words and pinged nobody by it."""
    return (
        message.role == "user"
        and message.sender.type == "user"
        and bool(message.words.strip())
        and not _PING.search(message.text)
    )
