"""A reader can be taken to any message of a long session, and leaf from there both ways."""

from __future__ import annotations

from storage.backend import Store
from tests.contracts.samples import message, session

ROOM = session("room")


async def test_what_stands_around_a_message_is_found(store: Store) -> None:
    for number in range(10):
        await store.append(ROOM, message(number, ROOM.id))
    lines = await store.messages(ROOM.id)
    after = await store.read(ROOM.id, cursor=await store.after(lines[5].id), limit=2)
    assert list(after.items) == lines[6:8]
    upto = await store.read(ROOM.id, cursor=after.older, limit=3)
    assert list(upto.items) == lines[3:6]
    behind = await store.read(ROOM.id, cursor=await store.after(lines[9].id), limit=2)
    assert behind.items == ()
    assert list((await store.read(ROOM.id, cursor=behind.older, limit=2)).items) == lines[8:]


async def test_a_message_that_is_not_kept_has_no_place(store: Store) -> None:
    assert await store.after("nobody said it") is None
