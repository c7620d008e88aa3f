"""The personas that people have chosen for single places: kept with the place, over sessions and restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from storage.backend import Store
from storage.model import Channel, Sender, message_id
from storage.records import AuditEntry, Setting

_VALUE = "persona"
"""In the setting of a channel: the persona's name in the config."""


class PlacePersonas:
    """Who was chosen to speak where, in one bot. `settings` is held by whoever changes the setting of a channel."""

    def __init__(
        self, store: Store, settings: asyncio.Lock, *, now: Callable[[], datetime], chance: Callable[[], int]
    ) -> None:
        self._store = store
        self._settings = settings
        self._now = now
        self._chance = chance
        self._chosen: dict[str, str] = {}
        """By channel key."""

    def adopt(self, channel_key: str, setting: Setting) -> None:
        """Takes in what the setting of a channel says."""
        name = setting.values.get(_VALUE)
        if isinstance(name, str):
            self._chosen[channel_key] = name
        else:
            self._chosen.pop(channel_key, None)

    def of(self, channel: Channel) -> str | None:
        """The name of the persona that was chosen for a place, if any. The bot may no longer have it."""
        return self._chosen.get(channel.key)

    async def choose(self, channel: Channel, persona: str | None, by: Sender) -> None:
        """Lets a persona speak in a place from now on; None leaves it to whoever fits. Raises `StorageError`: then
        it is as it was."""
        id, at = f"channel:{channel.key}", self._now()
        async with self._settings:
            known = await self._store.record(Setting, id)
            before = known.values if known else {}
            if before.get(_VALUE) == persona:
                return
            values = {key: value for key, value in before.items() if key != _VALUE}
            if persona is not None:
                values[_VALUE] = persona
            setting = Setting(id=id, at=at, values=values, before=before, by=by)
            entry = AuditEntry(
                id=message_id(at, self._chance()),
                at=at,
                actor=by,
                action="persona chosen",
                target=id,
                details={"persona": persona, "before": before.get(_VALUE)},
            )
            await self._store.keep(setting, entry)
            self.adopt(channel.key, setting)

    async def told(self, channel: Channel) -> str:
        """Who chose it and when, as a person would say it; empty where nobody has."""
        if self.of(channel) is None:
            return ""
        page = await self._store.records(AuditEntry, about=f"channel:{channel.key}")
        last = next((entry for entry in page.items if entry.action == "persona chosen"), None)
        return f"chosen by {last.actor.name} on {last.at:%Y-%m-%d %H:%M} UTC" if last else "chosen with `/persona`"
