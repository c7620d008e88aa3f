"""Values at the edge of what can be kept: kept and read again, or refused before anything is written."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from storage.amendments import Deleted, Pinned
from storage.backend import Store
from storage.model import Channel, Receipt, Usage
from storage.records import Profile, Vector
from tests.contracts.conftest import Door
from tests.contracts.samples import GENERAL, ids, message, session, tell


@pytest.mark.parametrize("year", [2, 1969, 9998])
async def test_a_time_long_ago_or_far_ahead_comes_back(store: Store, year: int) -> None:
    told = message(1, at=datetime(year, 12, 31, 23, 59, 59, 987_654, tzinfo=UTC))
    await tell(store, told)
    assert await store.messages("s1") == [told]


@pytest.mark.parametrize(
    "at",
    [
        datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=timezone(-timedelta(hours=5))),
    ],
)
async def test_a_time_that_is_none_is_refused(store: Store, at: datetime) -> None:
    with pytest.raises(ValueError, match="years 2 to 9998"):
        await store.append(session(), message(1, at=at))
    await tell(store, message(1))
    with pytest.raises(ValueError, match="years 2 to 9998"):
        await store.amend("m1", Deleted(at=at))


async def test_a_metadata_key_of_half_a_character_is_replaced(store: Store) -> None:
    await tell(store, message(1, metadata={"\ud800": "x"}))
    (kept,) = await store.messages("s1")
    assert kept.metadata == {"\ufffd": "x"}


async def test_a_limit_may_be_anything(store: Store) -> None:
    await tell(store, message(1))
    assert await ids(store, limit=2**63) == ["m1"]
    assert await ids(store, limit=-1) == []
    assert len(await store.search("line", limit=2**63)) == 1


async def test_a_long_query_is_no_error(store: Store) -> None:
    await tell(store, message(1))
    assert await store.search(" ".join(f"word{number}" for number in range(20_000))) == []


async def test_sessions_deleted_before_a_time_the_longest_gone_first(store: Store) -> None:
    gone = {name: datetime(2024, 1, day, tzinfo=UTC) for name, day in (("b", 2), ("a", 1), ("c", 3))}
    for name, at in gone.items():
        await store.save_session(session(name, deleted_at=at))
    await store.save_session(session("here"))
    found = await store.deleted_sessions(datetime(2024, 1, 3, tzinfo=UTC))
    assert [each.id for each in found] == ["a", "b"]
    assert [each.id for each in await store.deleted_sessions(datetime(2025, 1, 1, tzinfo=UTC), 1)] == ["a"]


async def test_what_is_asked_before_the_end_is_done(door: Door) -> None:
    store = await door()
    await tell(store, *map(message, range(20)))
    asked = [asyncio.ensure_future(store.amend(f"m{number}", Pinned())) for number in range(20)]
    await asyncio.sleep(0)
    await store.close()
    assert all(each and each.pinned for each in await asyncio.gather(*asked))


async def test_nothing_is_lost_between_channels_and_odd_names(door: Door) -> None:
    store = await door()
    other = Channel(front="discord", id="900", kind="channel", name="other")
    for channel in (GENERAL, other, GENERAL):
        await store.save_session(session(channel=channel))
    await store.keep(Profile(id="odd\0", at=datetime(2024, 1, 1, tzinfo=UTC), name="x"))
    await store.close()
    again = await door()
    assert [channel.id for channel in await again.channels()] == ["100", "900"]
    assert (await again.record(Profile, "odd\0")) is not None


def test_numbers_that_no_store_takes_are_no_values() -> None:
    for wrong in (
        lambda: Vector(model="m", values=(3e38,)),
        lambda: Vector(model="m", values=(float("nan"),)),
        lambda: Receipt(origin="o", page=2**31),
        lambda: Usage(provider="p", model="m", tokens_in=2**63),
    ):
        with pytest.raises(ValidationError):
            wrong()
    assert Vector.model_validate_json(Vector(model="m", values=(2.0**127, 0.1)).model_dump_json())
