"""The channels a bot has heard somebody in, with their names as they are now."""

from __future__ import annotations

from storage.backend import Store
from storage.errors import Unavailable
from storage.model import Channel


class Places:
    """The channels of one bot."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, Channel] = {}

    async def know(self, channel: Channel) -> Channel:
        """Keeps a channel's names up to date; renames are recorded."""
        known = self._known.get(channel.key)
        if known is None or _names(known) != _names(channel):
            known = self._known[channel.key] = await self._store.keep_channel(channel)
        return known

    async def known(self, channel: Channel) -> Channel:
        """The same, if storage can; a line brings its channel along in any case."""
        try:
            return await self.know(channel)
        except Unavailable:
            return self._known.get(channel.key, channel)

    def find(self, key: str) -> Channel | None:
        """The channel under `front:id`, if anything was heard there since the start."""
        return self._known.get(key)


def _names(channel: Channel) -> tuple[str, str | None]:
    return channel.name, channel.guild_name
