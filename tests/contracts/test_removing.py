"""What is gone when it is removed, what stays counted, and what retention asks first, of every backend."""

from __future__ import annotations

import asyncio

import pytest

from storage.amendments import Deleted, Edited, Pinned, Restored
from storage.backend import Store
from storage.model import Counts, Edit, Receipt
from tests.contracts.conftest import Door
from tests.contracts.samples import (
    GENERAL,
    NAIVE,
    PRIVATE,
    annotation,
    answer,
    ids,
    later,
    message,
    picture,
    reaction,
    said,
    session,
    tell,
    words,
)

FULL = answer(
    1,
    0,
    parts=(*words("tea"), picture("b1")),
    receipts=(Receipt(origin="discord:100:91", page=0), Receipt(origin="discord:100:92", page=1)),
    edits=(Edit(parts=(*words("coffee"), picture("b2")), at=later(2)),),
    reactions=(reaction(),),
    annotations=(annotation(),),
    usage=None,
)
NOTHING = Counts(channels=1, sessions=1, open_sessions=1, messages=0)


async def all_traces(store: Store) -> list[object]:
    """Whatever can still be found of `FULL`."""
    found: list[object] = [await store.message("m1")]
    found += [await store.find(f"discord:100:{number}") for number in (1, 91, 92)]
    found += [*await store.messages("s1"), *(await store.read("s1", deleted=True)).items]
    found += (await store.read(deleted=True)).items
    found += [*await store.search("tea"), *await store.search("coffee")]
    found += [*await store.references(["b1", "b2"]), *await store.pinned(["s1"])]
    found += await store.deleted_messages(later(9999))
    return [each for each in found if each is not None]


@pytest.mark.parametrize("sight", [{}, {"deleted_at": later(5)}, {"pinned": True}], ids=str)
async def test_a_removed_message_is_gone_from_everywhere(store: Store, sight: dict[str, object]) -> None:
    await tell(store, FULL.model_copy(update=sight))
    assert await all_traces(store)
    assert await store.remove_messages(["m1"]) == 1
    assert await all_traces(store) == []
    assert await store.session("s1") == session(message_count=0)
    assert await store.counts() == NOTHING


async def test_a_removed_session_takes_its_messages_with_it(store: Store) -> None:
    await tell(store, FULL, message(2, "s2"))
    assert await store.remove_sessions(["s1"]) == 1
    assert await all_traces(store) == [message(2, "s2")]
    assert await store.session("s1") is None
    assert [each.id for each in (await store.browse(deleted=True)).items] == ["s2"]
    assert [each.id for each in await store.sessions(GENERAL.key)] == ["s2"]
    assert [each.id for each in await store.idle_sessions(later(1))] == ["s2"]
    assert await store.counts() == Counts(channels=1, sessions=1, open_sessions=1, messages=1)
    assert await store.channel(GENERAL.key) == GENERAL


async def test_removal_survives_reopening(door: Door) -> None:
    first = await door()
    await tell(first, FULL, message(2), message(3, "s3"))
    await first.remove_messages(["m1"])
    await first.remove_sessions(["s3"])
    await first.close()
    second = await door()
    assert await all_traces(second) == [message(2)] * 3
    assert await second.session("s3") is None
    assert await second.session("s1") == session(message_count=1)


async def test_removing_tells_how_many_there_were(store: Store) -> None:
    await tell(store, *map(message, range(5)), message(9, "s9"))
    assert await store.remove_messages(["m1", "m3", "unknown", "m3", "s1", "", "\0"]) == 2
    assert await store.remove_messages(["m1", "m3"]) == 0
    assert await store.remove_messages([]) == 0
    assert await ids(store) == ["m0", "m2", "m4"]
    assert await store.remove_sessions(["s9", "s9", "unknown", "m0"]) == 1
    assert await store.remove_sessions(["s9"]) == 0
    assert await store.remove_sessions([]) == 0
    assert [each.message_count for each in await store.sessions()] == [3]


async def test_many_are_removed_at_once(store: Store) -> None:
    told = [message(number, f"s{number % 3}") for number in range(1500)]
    await asyncio.gather(*(store.append(session(each.session_id), each) for each in told))
    assert await store.remove_messages([f"m{number}" for number in range(1200)]) == 1200
    assert await store.remove_sessions(["s0", "s1", "s2"]) == 3
    assert await store.counts() == Counts(channels=1, sessions=0, open_sessions=0, messages=0)


async def test_what_is_gone_may_be_kept_anew(store: Store) -> None:
    await tell(store, FULL, message(2))
    await store.remove_messages(["m1"])
    anew = said(7, "cocoa", origin="discord:100:1", receipts=FULL.receipts)
    await tell(store, anew)
    assert [await store.find(f"discord:100:{number}") for number in (1, 91, 92)] == [anew] * 3
    await tell(store, message(1, origin=None))
    assert await ids(store) == ["m2", "m7", "m1"]
    await store.remove_sessions(["s1"])
    await tell(store, message(2))
    assert (await ids(store), await store.session("s1")) == (["m2"], session(message_count=1))


async def test_what_is_gone_takes_nothing_on(store: Store) -> None:
    await tell(store, FULL)
    await store.remove_messages(["m1"])
    await store.keep_receipts("m1", FULL.receipts)
    assert await store.amend("m1", Restored()) is None
    assert await all_traces(store) == []
    await tell(store, FULL.model_copy(update={"receipts": ()}))
    assert await store.find("discord:100:91") is None


async def test_writing_and_removing_at_once_leave_the_right_ones(store: Store) -> None:
    await tell(store, *map(message, range(50)))
    await asyncio.gather(
        *(store.remove_messages([f"m{number}"]) for number in range(0, 50, 2)),
        *(store.amend(f"m{number}", Pinned()) for number in range(1, 50, 2)),
        *(store.append(session(), message(number)) for number in range(50, 100)),
    )
    assert await ids(store) == [f"m{number}" for number in range(100) if number > 49 or number % 2]
    assert await store.session("s1") == session(message_count=75)
    assert len(await store.search("line", limit=100)) == 75


# Blobs


async def test_references_count_messages_as_they_stand_or_stood(store: Store) -> None:
    await tell(
        store,
        message(1, parts=(picture("a"), picture("a"), picture("b"))),
        message(2, parts=(picture("a"), picture(None))),
        message(3, parts=words('{"blob":"a"}', "b")),
        message(4, edits=(Edit(parts=(picture("c"),), at=later(9)),)),
    )
    assert await store.references(["a", "b", "c", "d", "a", ""]) == {"a": 2, "b": 1, "c": 1}
    assert await store.references([]) == {}


async def test_references_follow_what_becomes_of_messages(store: Store) -> None:
    await tell(store, message(1, parts=(picture("a"),)), message(2, "s2", parts=(picture("a"),)))
    await store.amend("m1", Edited(parts=(picture("b"), *words("new")), at=later(5)))
    assert await store.references(["a", "b"]) == {"a": 2, "b": 1}
    await store.amend("m1", Edited(parts=(picture("a"),), at=later(6)))
    assert await store.references(["a", "b"]) == {"a": 2, "b": 1}
    await store.amend("m1", Deleted(at=later(7)))
    await store.save_session(session("s2", deleted_at=later(7)))
    assert await store.references(["a", "b"]) == {"a": 2, "b": 1}
    await store.remove_messages(["m1"])
    assert await store.references(["a", "b"]) == {"a": 1}
    await store.remove_sessions(["s2"])
    assert await store.references(["a", "b"]) == {}


async def test_a_file_that_is_fetched_later_is_referred_to(store: Store) -> None:
    await tell(store, message(1, parts=(*words("look"), picture(None))))
    assert await store.references(["a"]) == {}
    await store.amend("m1", Edited(parts=(*words("look"), picture("a")), at=later(5)))
    assert await store.references(["a"]) == {"a": 1}


# What retention asks


async def test_sessions_that_hold_something_pinned(store: Store) -> None:
    await tell(store, message(1), message(2, pinned=True), message(3, "s3"), message(4, "s4"))
    assert await store.pinned(["s1", "s3", "unknown", "s1"]) == {"s1"}
    await store.amend("m3", Pinned())
    await store.amend("m2", Pinned(pinned=False))
    assert await store.pinned(["s1", "s3", "s4"]) == {"s3"}
    assert await store.pinned(["s4"]) == set()
    assert await store.pinned([]) == set()


async def test_sizes_are_bytes_of_words(store: Store) -> None:
    await tell(store, said(1, "tea"), said(2, "é猫👍", ""), said(3, "x" * 1000, session_id="s3"), said(4, "a", "b"))
    await store.save_session(session("empty"))
    assert await store.sizes(["s1", "s3", "unknown", "empty"]) == {"s1": 14, "s3": 1000, "empty": 0}
    await store.amend("m1", Edited(parts=words("coffee"), at=later(5)))
    await store.amend("m2", Deleted(at=later(5)))
    assert await store.sizes(["s1"]) == {"s1": 17}
    await store.remove_messages(["m2"])
    assert await store.sizes(["s1", "s1"]) == {"s1": 8}
    assert await store.sizes([]) == {}


async def test_messages_deleted_before_a_time_the_longest_gone_first(store: Store) -> None:
    await tell(store, *map(message, range(5)))
    for number, gone in ((3, 10), (1, 30), (0, 20)):
        await store.amend(f"m{number}", Deleted(at=later(gone)))

    async def names(before: float, **options: int) -> list[str]:
        return [each.id for each in await store.deleted_messages(later(before), **options)]

    assert await names(100) == ["m3", "m0", "m1"]
    assert await names(30) == ["m3", "m0"]
    assert await names(30.000001) == ["m3", "m0", "m1"]
    assert await names(100, limit=1) == ["m3"]
    assert await names(100, limit=0) == []
    await store.amend("m3", Restored())
    await store.remove_messages(["m0"])
    assert await names(100) == ["m1"]
    assert await store.deleted_messages(later(100)) == [message(1, deleted_at=later(30))]
    with pytest.raises(ValueError, match="timezone"):
        await store.deleted_messages(NAIVE)


async def test_a_message_deleted_in_another_place_is_told_of_too(store: Store) -> None:
    await store.append(session("s2", channel=PRIVATE, deleted_at=later(1)), message(1, "s2", deleted_at=later(1)))
    assert [each.id for each in await store.deleted_messages(later(2))] == ["m1"]
