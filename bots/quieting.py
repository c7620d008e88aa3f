"""Channels in which a bot keeps quiet for a while, since a person speaks there in its place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from storage.backend import Store
from storage.model import Channel, Sender, message_id
from storage.records import AuditEntry, Setting

from .access import home
from .events import Event, Quieted

_VALUE = "quiet_until"
"""In the setting of a channel: until when nobody is answered there."""


class Quiet:
    """Where one bot listens and answers nobody, over restarts. `settings` is held by whoever changes the setting of a
    channel; `tell` hears of every change."""

    def __init__(
        self,
        store: Store,
        settings: asyncio.Lock,
        *,
        now: Callable[[], datetime],
        chance: Callable[[], int],
        tell: Callable[[Event], None],
    ) -> None:
        self._store, self._settings, self._now, self._chance = store, settings, now, chance
        self._tell = tell
        self._until: dict[str, datetime] = {}
        """By channel key."""

    def adopt(self, channel_key: str, setting: Setting) -> None:
        """Takes in what the setting of a channel says."""
        written = setting.values.get(_VALUE)
        self._until.pop(channel_key, None)
        if isinstance(written, str):
            self._until[channel_key] = datetime.fromisoformat(written)

    def until(self, channel: Channel) -> datetime | None:
        """When the bot answers again in a place, a thread with the channel it hangs on; None if it does now."""
        ends = [self._until[key] for key in (channel.key, home(channel)) if key in self._until]
        last = max(ends, default=None)
        return last if last is not None and last > self._now() else None

    async def keep(self, channel: Channel, until: datetime | None, by: Sender) -> None:
        """Answers nobody in a channel until then; None lets the bot speak again. Raises `StorageError`: then it is as
        it was."""
        id, at = f"channel:{channel.key}", self._now()
        written = until.isoformat() if until is not None else None
        async with self._settings:
            known = await self._store.record(Setting, id)
            before = known.values if known else {}
            if before.get(_VALUE) == written:
                return
            values = {key: value for key, value in before.items() if key != _VALUE}
            if written is not None:
                values[_VALUE] = written
            setting = Setting(id=id, at=at, values=values, before=before, by=known.by if known else by)
            entry = AuditEntry(
                id=message_id(at, self._chance()),
                at=at,
                actor=by,
                action="quiet" if written else "quiet ended",
                target=id,
                details={"until": written, "before": before.get(_VALUE)},
            )
            await self._store.keep(setting, entry)
            self.adopt(channel.key, setting)
        self._tell(Quieted(channel.key, until, by))
