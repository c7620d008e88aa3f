"""What no longer holds of a line: what was learned from it and was replaced, corrected or forgotten since."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from storage.backend import Store
from storage.forgetting import pages
from storage.records import Memory, Setting

from .consolidating import PACKED
from .facts import key, sources
from .learning_state import ids_of

_READ, _IN_ALL = 1_000, 2_000
"""Memories of one person, and of all, that are looked through, the newest: somebody waits for it."""
_STEPS = 20
"""Changes of one memory that are followed."""
_STATE = "memory"
_LEARNED = "learned "


async def forgotten(store: Store) -> frozenset[str]:
    """The ids of the lines, and of the sessions, of which somebody had something forgotten that was learned from them.
    Raises `StorageError`."""
    state = await store.record(Setting, _STATE)
    ids = ids_of(dict(state.values), "never") if state is not None else []
    return frozenset((*_lines(ids), *(id.removeprefix("session ") for id in ids if id.startswith("session "))))


async def replaced(store: Store, ids: Collection[str], people: Iterable[str], since: datetime) -> dict[str, Memory]:
    """By the ids of lines, said `since` a time, of which something no longer holds: what was learned from them and was
    replaced, the latest of each. `people` are the ids of those whom it may be about. Raises `StorageError`."""
    found: dict[str, Memory] = {}
    in_all = 0
    for person in dict.fromkeys(people):
        read = 0
        async for page in pages(lambda cursor, of=f"user:{person}": store.records(Memory, about=of, cursor=cursor)):  # type: ignore[misc]
            for old in page:
                # What was put together with others still holds.
                if old.superseded_by is None or old.superseded_by.startswith(PACKED):
                    continue
                for id in {*sources(old), *_lines(old.links)} & {*ids} - {*found}:
                    found[id] = old
            read += len(page)
            in_all += len(page)
            if read >= _READ or in_all >= _IN_ALL or page[-1].at < since:
                break
    return found


async def holding(store: Store, old: Memory) -> Memory | None:
    """What holds in the place of a memory that was replaced; the memory itself where it says the same as that. None
    where nobody can say any more. Raises `StorageError`."""
    now: Memory | None = old
    for _ in range(_STEPS):
        if now is None or now.superseded_by is None:
            break
        now = await store.record(Memory, now.superseded_by)
    return old if now is not None and _value(now) == _value(old) else now


def _lines(ids: Iterable[str]) -> list[str]:
    """The ids of the lines from which memories were learned, by the memories' ids."""
    return [id.removeprefix(_LEARNED).rpartition(" ")[0] for id in ids if id.startswith(_LEARNED)]


def _value(memory: Memory) -> tuple[str, str, bool]:
    told = memory.metadata
    return told.get("attribute", ""), key(told.get("value", "") or memory.text), "ended" in told
