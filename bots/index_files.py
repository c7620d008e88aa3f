"""Where a bot's index of memories lies, what it notes beside it, and what is taken out of it while the bot rests."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from storage.durable import in_thread
from storage.errors import StorageError, Unavailable
from storage.memory_index import MemoryIndex

FILE = "memory_index.db"
ANEW = "anew"
"""In the note: the ids of sessions that are to be read again."""
PENDING = "pending"
"""In the note: the ids of messages and of facts that are to be looked at again, each on a line."""
_NOTE = "memory_index.json"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the index is."""

    entries: int
    vectors_missing: int
    """0 where there is no embedder, and at most as many as are counted."""
    behind: bool
    """Whether there is talk that it has not read yet."""


def noted(folder: Path) -> dict[str, str]:
    """What was noted last; nothing where that cannot be read: the talk is then read through once more."""
    try:
        told = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return {name: value for name, value in told.items() if isinstance(value, str)} if isinstance(told, dict) else {}


def note(folder: Path, told: dict[str, str]) -> None:
    """Notes how far the index is, in one step."""
    draft = folder / f".{_NOTE}"
    with contextlib.suppress(OSError):  # the next start reads a little more then
        draft.write_text(json.dumps(told), encoding="utf-8")
        draft.replace(folder / _NOTE)


def discard(folder: Path) -> None:
    """Removes the index of a bot that is to have none, or a new one. Raises `Unavailable`."""
    try:
        for path in (*folder.glob(f"{FILE}*"), folder / _NOTE):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise Unavailable(f"The memory index in {folder} cannot be removed: {error.strerror}.") from error


async def take_out(folder: Path, session_ids: Collection[str], memory_ids: Collection[str]) -> None:
    """Takes out of the index of a bot at rest what was removed from its store; what is left of those sessions is read
    again at its next start. Raises `StorageError`."""
    if not (session_ids or memory_ids) or not (folder / FILE).exists():
        return
    told = await in_thread(noted, folder)
    told[ANEW] = " ".join({*told.get(ANEW, "").split(), *session_ids})
    await in_thread(note, folder, told)
    index = await MemoryIndex.open(folder / FILE)
    damaged = index.made_anew
    try:
        for session_id in session_ids:
            await index.remove_session(session_id)
        await index.remove(memory_ids)
        await index.scrub()
    except StorageError:
        if not (damaged := index.damaged):
            raise
    finally:
        await index.close()
        if damaged:  # the next start reads everything again, and does not go on from what was noted
            await in_thread(discard, folder)
