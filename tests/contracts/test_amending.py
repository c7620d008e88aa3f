"""What becomes of a message after it was kept, asked of every backend."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from storage.amendments import (
    Amendment,
    Deleted,
    Edited,
    Noted,
    Pinned,
    Reacted,
    Restored,
    Unannotated,
    Unreacted,
    amended,
)
from storage.backend import Store
from storage.model import Edit, Note, Receipt, Sender
from tests.contracts.conftest import Door
from tests.contracts.samples import (
    ANN,
    BEN,
    NAIVE,
    NOON,
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

HEART = reaction("❤️", BEN)
BEFORE: tuple[Amendment, ...] = (
    Edited(parts=words("first"), at=later(50)),
    Reacted(reaction=HEART),
    Noted(annotation=annotation("a0")),
)
CHANGES: tuple[Amendment, ...] = (
    Edited(parts=(*words("better"), picture("b1"), Note(text="(shortened)")), at=later(90)),
    Edited(parts=(), at=later(90)),
    Deleted(at=later(90)),
    Restored(),
    Reacted(reaction=reaction()),
    Reacted(reaction=HEART),
    Unreacted(emoji="❤️", sender_id=BEN.id),
    Unreacted(emoji="❤️", sender_id=ANN.id),
    Noted(annotation=annotation()),
    Noted(annotation=annotation("a0", "on second thoughts")),
    Unannotated(id="a0"),
    Unannotated(id="unknown"),
    Pinned(),
    Pinned(pinned=False),
)
RICH: dict[str, Any] = {
    "parts": (*words("third"), picture("b1")),
    "edits": (Edit(parts=words("first"), at=later(50)), Edit(parts=(picture("b0"),), at=later(51))),
    "reactions": (reaction(), HEART, reaction("👍", BEN)),
    "annotations": (annotation(), annotation("a2", "", kind="thumb")),
    "pinned": True,
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.type)
async def test_an_amendment_does_what_it_says_and_once(store: Store, change: Amendment) -> None:
    await tell(store, message(1))
    expected = message(1)
    for earlier in BEFORE:
        expected = amended(expected, earlier)
        assert await store.amend("m1", earlier) == expected
    expected = amended(expected, change)
    for _ in range(2):
        assert await store.amend("m1", change) == expected
        assert await store.message("m1") == expected
    assert await store.find("discord:100:1") == expected
    assert (await store.read(deleted=True)).items == (expected,)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.type)
async def test_what_is_not_kept_cannot_be_amended(store: Store, change: Amendment) -> None:
    await tell(store, message(1))
    assert await store.amend("m2", change) is None
    assert (await store.read(deleted=True)).items == (message(1),)


@pytest.mark.parametrize("deleted_at", [None, later(99)])
async def test_a_message_kept_with_its_amendments_comes_back_as_given(
    store: Store, deleted_at: datetime | None
) -> None:
    told = answer(1, 0, **RICH, deleted_at=deleted_at, receipts=(Receipt(origin="discord:100:9", page=0),))
    assert await store.append(session(), told)
    assert await store.message("m1") == told
    assert (await store.read("s1", deleted=True)).items == (told,)
    assert await store.messages("s1") == ([] if deleted_at else [told])


async def test_amendments_survive_reopening(door: Door) -> None:
    first = await door()
    await tell(first, message(1), message(2, **RICH), message(3))
    expected = message(1)
    for change in (*BEFORE, *CHANGES[:1], Pinned()):
        expected = amended(expected, change)
        await first.amend("m1", change)
    await first.amend("m2", Unreacted(emoji="👍", sender_id=ANN.id))
    await first.amend("m3", Deleted(at=later(9)))
    await first.close()
    second = await door()
    assert await second.message("m1") == expected
    assert await second.message("m2") == message(2, **{**RICH, "reactions": RICH["reactions"][1:]})
    assert await second.message("m3") == message(3, deleted_at=later(9))
    assert await ids(second) == ["m1", "m2"]


async def test_an_edit_keeps_earlier_wordings_oldest_first(store: Store) -> None:
    await tell(store, said(1, "teh"))
    await store.amend("m1", Edited(parts=words("the"), at=later(10)))
    await store.amend("m1", Edited(parts=words("teh"), at=later(20)))
    told = await store.amend("m1", Edited(parts=words("tea"), at=later(30)))
    assert told
    assert told.text == "tea"
    earlier = ((words("teh"), later(10)), (words("the"), later(20)), (words("teh"), later(30)))
    assert told.edits == tuple(Edit(parts=parts, at=at) for parts, at in earlier)


async def test_an_edit_changes_neither_place_nor_time_nor_receipts(store: Store) -> None:
    receipts = (Receipt(origin="discord:100:91", page=0), Receipt(origin="discord:100:92", page=1))
    await tell(store, message(1), answer(2, 1, receipts=receipts), message(3))
    told = await store.amend("m2", Edited(parts=words("shorter"), at=later(500)))
    assert told == amended(answer(2, 1, receipts=receipts), Edited(parts=words("shorter"), at=later(500)))
    assert await ids(store) == ["m1", "m2", "m3"]
    assert await store.find("discord:100:92") == told


async def test_people_react_and_take_back_each_for_themselves(store: Store) -> None:
    await tell(store, message(1))
    await store.amend("m1", Reacted(reaction=reaction("👍", ANN)))
    await store.amend("m1", Reacted(reaction=reaction("👍", BEN)))
    await store.amend("m1", Reacted(reaction=reaction("👍🏽", ANN)))
    again = reaction("👍", ANN).model_copy(update={"at": later(999)})
    await store.amend("m1", Reacted(reaction=again))
    told = await store.amend("m1", Unreacted(emoji="👍", sender_id=BEN.id))
    assert told
    assert told.reactions == (reaction("👍", ANN), reaction("👍🏽", ANN))


async def test_fifty_people_react_at_once(store: Store) -> None:
    await tell(store, message(1), message(2))
    people = [Sender(type="user", id=str(number), name=f"P{number}") for number in range(50)]
    await asyncio.gather(*(store.amend("m1", Reacted(reaction=reaction("🎉", each))) for each in people))
    told = await store.message("m1")
    assert told
    assert [each.sender for each in told.reactions] == people
    assert await store.message("m2") == message(2)


async def test_a_deleted_message_is_out_of_sight_but_not_gone(store: Store) -> None:
    await tell(store, *(said(number, f"tea {number}") for number in (1, 2, 3)))
    gone = await store.amend("m2", Deleted(at=later(100)))
    assert gone == said(2, "tea 2", deleted_at=later(100))
    assert await ids(store) == ["m1", "m3"]
    assert await ids(store, limit=2) == ["m1", "m3"]
    for within in ("s1", None):
        assert [each.id for each in (await store.read(within)).items] == ["m1", "m3"]
        assert [each.id for each in (await store.read(within, deleted=True)).items] == ["m1", "m2", "m3"]
    assert [found.message.id for found in await store.search("tea")] == ["m3", "m1"]
    assert (await store.message("m2"), await store.find("discord:100:2")) == (gone, gone)
    assert (await store.counts()).messages == 3
    assert await store.append(session(), said(2, "tea 2")) is False


async def test_a_message_is_deleted_when_it_was_deleted_first(store: Store) -> None:
    await tell(store, message(1))
    await store.amend("m1", Deleted(at=later(100)))
    told = await store.amend("m1", Deleted(at=later(200)))
    assert told
    assert told.deleted_at == later(100)


async def test_a_restored_message_is_back_in_its_place(store: Store) -> None:
    await tell(store, *(said(number, f"tea {number}") for number in (1, 2, 3)))
    await store.amend("m2", Deleted(at=later(100)))
    await store.amend("m2", Edited(parts=words("tea for two"), at=later(110)))
    back = await store.amend("m2", Restored())
    assert back
    assert back.deleted_at is None
    assert [each.text for each in await store.messages("s1")] == ["tea 1", "tea for two", "tea 3"]
    assert [found.message.id for found in await store.search("two")] == ["m2"]


async def test_a_deleted_session_takes_its_messages_out_of_sight(store: Store) -> None:
    await tell(store, said(1, "tea"), said(2, "tea", session_id="s2"))
    gone = session(deleted_at=later(60))
    await store.save_session(gone)
    assert [each.id for each in await store.sessions()] == ["s2"]
    assert [each.id for each in await store.sessions(gone.channel.key)] == ["s2"]
    assert [each.id for each in (await store.browse()).items] == ["s2"]
    assert [each.id for each in await store.idle_sessions(later(1))] == ["s2"]
    assert await ids(store) == []
    assert (await store.read("s1")).items == ()
    assert [each.id for each in (await store.read()).items] == ["m2"]
    assert [found.message.id for found in await store.search("tea")] == ["m2"]


async def test_a_deleted_session_is_not_gone(store: Store) -> None:
    await tell(store, message(1), message(2, "s2"))
    gone = session(deleted_at=later(60), message_count=1)
    await store.save_session(gone)
    assert await store.session("s1") == gone
    assert {each.id for each in (await store.browse(deleted=True)).items} == {"s1", "s2"}
    assert [each.id for each in (await store.read("s1", deleted=True)).items] == ["m1"]
    assert [each.id for each in (await store.read(deleted=True)).items] == ["m1", "m2"]
    assert (await store.message("m1"), await store.find("discord:100:1")) == (message(1), message(1))
    assert (await store.counts()).sessions == 2
    await store.save_session(session())
    assert [each.id for each in await store.idle_sessions(later(1))] == ["s1", "s2"]
    assert await ids(store) == ["m1"]


async def test_an_archived_session_stays_in_sight(store: Store) -> None:
    await tell(store, said(1, "tea"))
    await store.save_session(session(archived=True, starred=True, tags=("tea",)))
    assert [(each.archived, each.starred, each.tags) for each in await store.sessions()] == [(True, True, ("tea",))]
    assert (await ids(store), len(await store.search("tea"))) == (["m1"], 1)


async def test_what_no_database_takes_is_replaced_in_amendments_too(store: Store) -> None:
    await tell(store, message(1))
    odd = Edited(parts=words("a\0b\ud800"), at=later(10))
    noted = Noted(annotation=annotation("a\0", "\udfff"))
    for change in (odd, odd, noted, noted, Reacted(reaction=reaction("\0", Sender(type="user", id="\0", name="")))):
        told = await store.amend("m1", change)
        assert told == await store.message("m1")
    assert told
    assert told.parts == words("a\ufffdb\ufffd")
    assert [edit.parts for edit in told.edits] == [message(1).parts]
    assert told.annotations == (annotation("a\ufffd", "\ufffd"),)
    assert await store.amend("m1", Unannotated(id="a\0")) == told.model_copy(update={"annotations": ()})
    told = await store.amend("m1", Unreacted(emoji="\0", sender_id="\0"))
    assert told
    assert told.reactions == ()


async def test_an_amendment_needs_a_time_that_says_where_it_is(store: Store) -> None:
    await tell(store, message(1))
    for change in (
        Edited(parts=words("x"), at=NAIVE),
        Deleted(at=NAIVE),
        Reacted(reaction=reaction().model_copy(update={"at": NAIVE})),
        Noted(annotation=annotation(at=NAIVE)),
    ):
        with pytest.raises(ValueError, match="timezone"):
            await store.amend("m1", change)
    for naive in (
        {"deleted_at": NAIVE},
        {"edits": (Edit(parts=(), at=NAIVE),)},
        {"reactions": (reaction().model_copy(update={"at": NAIVE}),)},
        {"annotations": (annotation(at=NAIVE),)},
    ):
        with pytest.raises(ValueError, match="timezone"):
            await store.append(session(), message(2, **naive))
    assert (await store.read(deleted=True)).items == (message(1),)


async def test_times_of_amendments_are_instants_wherever_they_were_read(store: Store) -> None:
    here = timezone(timedelta(hours=-3, minutes=-30))
    at = datetime(2024, 1, 8, 8, 30, 0, 1, tzinfo=here)
    await tell(store, message(1))
    await store.amend("m1", Deleted(at=at))
    told = await store.message("m1")
    assert told
    assert told.deleted_at == NOON + timedelta(microseconds=1)
