"""The channels a bot has heard somebody in, with their names as they are now, and those that threads hang on."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TypeVar

from storage.backend import Store
from storage.errors import Unavailable
from storage.model import Channel

_MOST_CHANNELS = 10_000
_MOST_NAMES = 100_000
"""Two hundred guilds with as many channels as Discord allows."""
Known = TypeVar("Known")


class Places:
    """The channels of one bot; the longest unused are forgotten beyond some thousands."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.first_heard: Callable[[Channel], Awaitable[None]] | None = None
        """Told of a channel in which nothing was heard lately, before anything is kept of it."""
        self._known: OrderedDict[str, Channel] = OrderedDict()
        self._names: OrderedDict[str, str] = OrderedDict()
        """Of guilds' channels and categories, by id, whether anybody was heard there or not."""
        self._categories: OrderedDict[str, str] = OrderedDict()
        """The ids of the categories that guilds' channels are in, by the channels' ids."""

    async def know(self, channel: Channel) -> Channel:
        """Keeps a channel's names up to date; renames are recorded."""
        known = self._known.get(channel.key)
        if known is None and self.first_heard is not None:
            await self.first_heard(channel)
        if known is None or _names(known) != _names(channel):
            known = await self._store.keep_channel(channel)
        _put(self._known, channel.key, known, _MOST_CHANNELS)
        return known

    async def known(self, channel: Channel) -> Channel:
        """The same, if storage can; a line brings its channel along in any case."""
        try:
            return await self.know(channel)
        except Unavailable:
            return self._known.get(channel.key, channel)

    def find(self, key: str) -> Channel | None:
        """The channel under `front:id`, if anything was heard there lately."""
        return self._known.get(key)

    def named(self, channel_id: str, name: str, category_id: str | None = None) -> None:
        """Told what a guild's channel or category is called now, so that rules for it hold in what hangs on it, and
        which category a channel is in."""
        _put(self._names, channel_id, name, _MOST_NAMES)
        if category_id is not None:
            _put(self._categories, channel_id, category_id, _MOST_NAMES)
        else:
            self._categories.pop(channel_id, None)

    def unnamed(self, channel_id: str) -> None:
        """Told that a guild's channel or category is gone."""
        self._names.pop(channel_id, None)
        self._categories.pop(channel_id, None)

    def home_name(self, channel: Channel) -> str:
        """What a place is called, a thread by the channel it hangs on; empty where nobody has said that channel's
        name."""
        if channel.kind != "thread":
            return channel.name
        parent = channel.parent_id or ""
        if (name := self._names.get(parent)) is not None:
            self._names.move_to_end(parent)
            return name
        heard_in = self._known.get(f"{channel.front}:{parent}")
        return heard_in.name if heard_in else ""

    def category(self, channel: Channel) -> tuple[str, ...]:
        """The id and the name of the category a place is in, a thread by the channel it hangs on; empty where it is in
        none, or nobody has said so."""
        home = channel.parent_id if channel.kind == "thread" else channel.id
        category = self._categories.get(home or "")
        if category is None:
            return ()
        self._categories.move_to_end(home or "")
        return category, self._names.get(category, "")


def _put(known: OrderedDict[str, Known], key: str, value: Known, most: int) -> None:
    """Puts a value in as the one used last, and lets go of the one that was not used for longest if there are too
    many."""
    known[key] = value
    known.move_to_end(key)
    if len(known) > most:
        known.popitem(last=False)


def _names(channel: Channel) -> tuple[str, str | None]:
    return channel.name, channel.guild_name
