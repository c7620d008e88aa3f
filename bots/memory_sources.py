"""What memories were drawn from: whether it stands as it was read, and which memories were drawn from a line."""

from __future__ import annotations

from storage.backend import Store
from storage.forgetting import pages
from storage.model import Message
from storage.records import Memory, Tombstone

from .facts import reads, sources, wording


async def stands(store: Store, memory: Memory) -> bool:
    """Whether everything that a memory was drawn from is there to be seen and reads as it did, and nobody whom it draws
    on was forgotten since. Raises `StorageError`."""
    for person in memory.people:
        tombstone = await store.record(Tombstone, person)
        if tombstone is not None and memory.at <= tombstone.at:
            return False
    read = reads(memory)
    for source in sources(memory):
        message = await store.message(source)
        session = await store.session(message.session_id if message is not None else source)
        if session is None or session.deleted_at is not None:
            return False
        if message is None:
            continue
        if message.deleted_at is not None or read.get(source, wording(message)) != wording(message):
            return False
    return True


async def drawn_from(store: Store, line: Message) -> list[Memory]:
    """The memories that were drawn from a line, or from the session it is in, those that were superseded as well.
    Raises `StorageError`."""
    found: list[Memory] = []
    async for page in pages(lambda cursor: store.records(Memory, cursor=cursor, limit=200)):
        found += [each for each in page if not {line.id, line.session_id}.isdisjoint(sources(each))]
        if page[-1].at < line.at:  # no memory is older than what it was drawn from
            break
    return found
