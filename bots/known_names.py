"""What people and places are called, for whoever has only their ids."""

from __future__ import annotations

from collections.abc import Iterable

from storage.backend import Store
from storage.model import Channel, Sender
from storage.records import Memory

from .audiences import BOT

_SESSIONS, _PAGE = 1_000, 200
"""The newest sessions that are looked at for what people are called."""


async def people_named(store: Store, ids: Iterable[str]) -> dict[str, str]:
    """What people were called in the latest sessions they took part in, by id; somebody who was in none is absent.
    Raises `StorageError`."""
    wanted, found, looked, cursor = set(ids) - {""}, dict[str, str](), 0, None
    while wanted and looked < _SESSIONS:
        page = await store.browse(cursor=cursor, limit=_PAGE)
        for session in page.items:
            for each in session.participants:
                if each.id in wanted and each.type == "user":
                    found[each.id] = each.name
                    wanted.discard(each.id)
        looked, cursor = looked + len(page.items), page.older
        if cursor is None:
            break
    return found


async def places_named(store: Store, keys: Iterable[str]) -> dict[str, Channel]:
    """The channels kept under some keys; one that is not kept is absent. Raises `StorageError`."""
    found = {key: await store.channel(key) for key in set(keys) - {""}}
    return {key: channel for key, channel in found.items() if channel is not None}


class MemoryNames:
    """What the audiences and subjects of memories are called, looked up once."""

    def __init__(self, people: dict[str, str], places: dict[str, Channel], guilds: dict[str, str]) -> None:
        self._people, self._places, self._guilds = people, places, guilds

    @classmethod
    async def of(cls, store: Store, memories: Iterable[Memory], known: Sender) -> MemoryNames:
        """The names that some memories need, `known` being one of them. Raises `StorageError`."""
        told = {word for each in memories for word in (each.audience, each.subject)}
        ids = {word.partition(":")[2] for word in told if word.startswith(("user:", "asker:"))}
        keys = {word for word in told if word.partition(":")[0] in ("discord", "web", "terminal")}
        guilds: dict[str, str] = {}
        wanted, after = {word.partition(":")[2] for word in told if word.startswith("guild:")}, ""
        while wanted - guilds.keys() and (channels := await store.channels(after, _PAGE)):
            guilds |= {each.guild_id: each.guild_name or each.guild_id for each in channels if each.guild_id}
            after = channels[-1].key
        people = {known.id: known.name, **await people_named(store, ids - {known.id})}
        return cls(people, await places_named(store, keys), guilds)

    def audience(self, memory: Memory) -> str:
        """Who may be told it, for people."""
        kind, _, id = memory.audience.partition(":")
        if memory.audience == BOT:
            return "everybody"
        if kind == "user":
            return f"{self._person(id)} only, in private"
        if kind == "asker":
            return f"{self._person(id)}, wherever I answer them"
        if kind == "guild":
            return f"everybody in {self._guilds.get(id, id)}"
        return f"whoever is in {self._place(memory.audience)}"

    def subject(self, memory: Memory) -> str:
        """Whom or what it is about, for people."""
        kind, _, id = memory.subject.partition(":")
        if memory.subject == BOT:
            return "everybody"
        if kind in ("user", "asker"):
            return self._person(id)
        if kind == "guild":
            return self._guilds.get(id, id)
        return id if kind == "topic" else self._place(memory.subject)

    def _person(self, id: str) -> str:
        return self._people.get(id, id)

    def _place(self, key: str) -> str:
        channel = self._places.get(key)
        return channel.name or key if channel else key
