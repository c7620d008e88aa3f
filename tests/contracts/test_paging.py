"""Turning pages both ways through everything that comes in pages, asked of every backend."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.backend import OLDEST, Page, Store
from storage.records import Memory, Profile, Run
from tests.contracts.samples import GENERAL, PRIVATE, later, memory, message, session, tell


@dataclass(frozen=True)
class Shelf:
    """Something that can be paged through."""

    name: str
    put: Callable[[Store, int], Awaitable[Any]]
    """Adds the item of that number, which is newer than all with a lower one, and something that is not asked for."""
    take: Callable[[Store, list[str]], Awaitable[int]]
    page: Callable[..., Awaitable[Page[Any]]]
    newest_first: bool

    def names(self, page: Page[Any]) -> list[str]:
        """What is on a page, oldest first."""
        found = [item.id for item in page.items]
        return found[::-1] if self.newest_first else found

    async def fill(self, store: Store, count: int) -> list[str]:
        for number in range(count):
            await self.put(store, number)
        return [self.id(number) for number in range(count)]

    def id(self, number: int) -> str:
        return f"{'x' if self.newest_first else 'm'}{number}"


async def put_message(store: Store, number: int) -> None:
    await store.append(session(), message(number))
    await store.append(session("s2"), message(1000 + number, "s2"))
    await store.append(session(), message(2000 + number, deleted_at=later(9)))


async def put_anywhere(store: Store, number: int) -> None:
    name = f"s{number % 3}"
    await store.append(session("gone", deleted_at=later(9)), message(1000 + number, "gone"))
    await store.append(session(name), message(number, name))


async def put_any(store: Store, number: int) -> None:
    name = f"s{number % 3}"
    gone = later(9) if number % 2 else None
    await store.append(session(name, deleted_at=later(9)), message(number, name, deleted_at=gone))


async def put_session(store: Store, number: int) -> None:
    await store.save_session(session(f"x{number}", last_at=later(number)))
    await store.save_session(session(f"gone{number}", last_at=later(number), deleted_at=later(9)))


async def put_private(store: Store, number: int) -> None:
    await store.save_session(session(f"x{number}", last_at=later(number), channel=PRIVATE))
    await store.save_session(session(f"other{number}", last_at=later(number), channel=GENERAL))


async def put_memory(store: Store, number: int) -> None:
    run = Run(id=f"x{number}", at=later(number), type="panel", session_id="user:7", state="on")
    await store.keep(memory(f"x{number}", 1.0, at=later(number)), run)


async def put_about(store: Store, number: int) -> None:
    about = memory(f"x{number}", at=later(number), subject="user:7")
    await store.keep(about, memory(f"other{number}", at=later(number), subject="user:8"))


SHELVES = [
    Shelf("of a session", put_message, lambda s, ids: s.remove_messages(ids), lambda s, **o: s.read("s1", **o), False),
    Shelf("of everybody", put_anywhere, lambda s, ids: s.remove_messages(ids), lambda s, **o: s.read(**o), False),
    Shelf(
        "deleted or not",
        put_any,
        lambda s, ids: s.remove_messages(ids),
        lambda s, **o: s.read(deleted=True, **o),
        False,
    ),
    Shelf("sessions", put_session, lambda s, ids: s.remove_sessions(ids), lambda s, **o: s.browse(**o), True),
    Shelf(
        "of a channel",
        put_private,
        lambda s, ids: s.remove_sessions(ids),
        lambda s, **o: s.browse(PRIVATE.key, deleted=True, **o),
        True,
    ),
    Shelf(
        "records",
        put_memory,
        lambda s, ids: s.remove_records(Memory, ids),
        lambda s, **o: s.records(Memory, **o),
        True,
    ),
    Shelf(
        "about one thing",
        put_about,
        lambda s, ids: s.remove_records(Memory, ids),
        lambda s, **o: s.records(Memory, about="user:7", **o),
        True,
    ),
]
each_shelf = pytest.mark.parametrize("shelf", SHELVES, ids=lambda shelf: shelf.name)


async def back(store: Store, shelf: Shelf, limit: int, cursor: str | None = None) -> list[str]:
    """Everything that is seen by turning pages from the newest to the oldest, in the order of time."""
    seen: list[str] = []
    while True:
        page = await shelf.page(store, cursor=cursor, limit=limit)
        seen = shelf.names(page) + seen
        if page.older is None:
            return seen
        cursor = page.older


async def forth(store: Store, shelf: Shelf, limit: int, cursor: str = OLDEST) -> list[str]:
    """Everything that is seen by turning pages from the oldest to the newest."""
    seen: list[str] = []
    while True:
        page = await shelf.page(store, cursor=cursor, limit=limit)
        seen += shelf.names(page)
        if page.newer is None:
            return seen
        cursor = page.newer


@each_shelf
async def test_every_item_is_seen_once_in_order_both_ways(store: Store, shelf: Shelf) -> None:
    everything = await shelf.fill(store, 9)
    for limit in (1, 2, 3, 4, 9, 10):
        assert await back(store, shelf, limit) == everything
        assert await forth(store, shelf, limit) == everything


@each_shelf
async def test_each_page_is_full_and_knows_its_ends(store: Store, shelf: Shelf) -> None:
    everything = await shelf.fill(store, 6)
    newest = await shelf.page(store, limit=3)
    oldest = await shelf.page(store, cursor=OLDEST, limit=3)
    assert (shelf.names(oldest), shelf.names(newest)) == (everything[:3], everything[3:])
    assert (oldest.older, newest.newer) == (None, None)
    assert await shelf.page(store, cursor=newest.older, limit=3) == oldest
    assert await shelf.page(store, cursor=oldest.newer, limit=3) == newest
    whole = await shelf.page(store, limit=6)
    assert (whole.older, whole.newer) == (None, None)


@each_shelf
async def test_an_empty_list_is_one_empty_page(store: Store, shelf: Shelf) -> None:
    for cursor in (None, OLDEST):
        assert await shelf.page(store, cursor=cursor, limit=3) == Page((), None, None)


@each_shelf
async def test_no_items_are_asked_for(store: Store, shelf: Shelf) -> None:
    await shelf.fill(store, 2)
    for cursor in (None, OLDEST):
        assert (await shelf.page(store, cursor=cursor, limit=0)).items == ()


@each_shelf
async def test_a_cursor_outlives_the_row_it_came_from(store: Store, shelf: Shelf) -> None:
    everything = await shelf.fill(store, 9)
    newest = await shelf.page(store, limit=3)
    oldest = await shelf.page(store, cursor=OLDEST, limit=3)
    assert await shelf.take(store, [everything[number] for number in (6, 4, 2)]) == 3
    assert await back(store, shelf, 2, newest.older) == [everything[number] for number in (0, 1, 3, 5)]
    assert oldest.newer
    assert await forth(store, shelf, 2, oldest.newer) == [everything[number] for number in (3, 5, 7, 8)]


@each_shelf
async def test_what_is_added_meanwhile_is_seen_on_the_way_to_it_only(store: Store, shelf: Shelf) -> None:
    everything = await shelf.fill(store, 5)
    newest = await shelf.page(store, limit=2)
    oldest = await shelf.page(store, cursor=OLDEST, limit=2)
    await shelf.put(store, 5)
    assert await back(store, shelf, 2, newest.older) == everything[:3]
    assert oldest.newer
    assert await forth(store, shelf, 2, oldest.newer) == [*everything[2:], shelf.id(5)]


@each_shelf
async def test_the_newest_page_goes_on_once_there_is_more(store: Store, shelf: Shelf) -> None:
    everything = await shelf.fill(store, 4)
    before = await shelf.page(store, cursor=OLDEST, limit=2)
    tip = await shelf.page(store, cursor=before.newer, limit=2)
    assert tip.newer is None
    await shelf.put(store, 4)
    again = await shelf.page(store, cursor=before.newer, limit=2)
    assert shelf.names(again) == everything[2:]
    assert again.newer
    assert shelf.names(await shelf.page(store, cursor=again.newer, limit=2)) == [shelf.id(4)]


@each_shelf
async def test_from_an_emptied_page_the_way_leads_back_to_the_rest(store: Store, shelf: Shelf) -> None:
    everything = await shelf.fill(store, 6)
    newest = await shelf.page(store, limit=2)
    oldest = await shelf.page(store, cursor=OLDEST, limit=2)
    await shelf.take(store, everything[:2] + everything[2:4])
    nothing = await shelf.page(store, cursor=newest.older, limit=2)
    assert (nothing.items, nothing.older) == ((), None)
    assert nothing.newer
    assert await forth(store, shelf, 2, nothing.newer) == everything[4:]
    await shelf.put(store, 6)
    await shelf.take(store, [*everything[4:], shelf.id(6)])
    assert await shelf.page(store, cursor=oldest.newer, limit=2) == Page((), None, None)


@each_shelf
async def test_the_way_back_from_an_emptied_tip_misses_nothing(store: Store, shelf: Shelf) -> None:
    everything = await shelf.fill(store, 4)
    oldest = await shelf.page(store, cursor=OLDEST, limit=2)
    await shelf.take(store, everything[2:])
    nothing = await shelf.page(store, cursor=oldest.newer, limit=2)
    assert (nothing.items, nothing.newer) == ((), None)
    assert nothing.older
    assert await back(store, shelf, 2, nothing.older) == everything[:2]


async def test_sessions_and_records_of_one_moment_are_each_seen_once(store: Store) -> None:
    for number in range(7):
        await store.save_session(session(f"x{number}"))
        await store.keep(memory(f"x{number}"))
    for shelf in (SHELVES[3], SHELVES[5]):
        for limit in (1, 3):
            order = await back(store, shelf, limit)
            assert sorted(order) == [f"x{number}" for number in range(7)]
            assert await forth(store, shelf, limit) == order


async def test_an_amended_message_keeps_its_place_and_a_session_moves_to_the_front(store: Store) -> None:
    await SHELVES[3].fill(store, 4)
    await store.save_session(session("x1", last_at=later(60)))
    assert await back(store, SHELVES[3], 2) == ["x0", "x2", "x3", "x1"]
    await store.keep(Profile(id="7", at=later(1)), Profile(id="8", at=later(2)))
    await store.keep(Profile(id="7", at=later(3)))
    assert [each.id for each in (await store.records(Profile)).items] == ["7", "8"]


def forged(*fields: object) -> str:
    return urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")


FOREIGN: Iterable[str] = (
    "",
    " ",
    "newest",
    "OLDEST",
    "oldest ",
    "1",
    "-1",
    "m1",
    "0" * 5000,
    "\0",
    "\ud800",
    "猫",
    "'; DROP TABLE messages; --",
    forged(),
    forged("older"),
    forged("sideways", 1),
    forged("older", None),
    forged("older", True),
    forged("older", 10**30),
    forged("older", 10**30, "x"),
    forged("older", "x" * 99, 10**30),
    forged("older", 1, 2, 3, 4),
    urlsafe_b64encode(b"[" * 30_000).decode(),
)


@each_shelf
async def test_a_foreign_cursor_is_refused(store: Store, shelf: Shelf) -> None:
    await shelf.fill(store, 3)
    for cursor in FOREIGN:
        with pytest.raises(ValueError, match="cursor"):
            await shelf.page(store, cursor=cursor, limit=2)


turns = st.lists(st.tuples(st.sampled_from(["older", "newer"]), st.integers(1, 12)), max_size=25)


@each_shelf
@settings(derandomize=True, deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(oldest=st.booleans(), limit=st.integers(1, 30), turns=turns)
async def test_wherever_one_turns_the_pages_join(
    store: Store, shelf: Shelf, oldest: bool, limit: int, turns: list[tuple[str, int]]
) -> None:
    page = await shelf.page(store, cursor=OLDEST if oldest else None, limit=limit)
    if not page.items:
        await shelf.fill(store, 23)
        page = await shelf.page(store, cursor=OLDEST if oldest else None, limit=limit)
    everything = [shelf.id(number) for number in range(23)]
    first, end = (0, min(23, limit)) if oldest else (max(0, 23 - limit), 23)
    assert shelf.names(page) == everything[first:end]
    for direction, most in turns:
        assert (page.older is None, page.newer is None) == (first == 0, end == 23)
        cursor = page.older if direction == "older" else page.newer
        if cursor is None:
            continue
        page = await shelf.page(store, cursor=cursor, limit=most)
        first, end = (max(0, first - most), first) if direction == "older" else (end, min(23, end + most))
        assert shelf.names(page) == everything[first:end]


async def test_what_comes_after_a_removal_lies_behind_the_cursor(store: Store) -> None:
    await tell(store, *map(message, range(10)))
    page = await store.read("s1", cursor=OLDEST, limit=5)
    await store.remove_messages([f"m{number}" for number in range(3, 10)])
    await tell(store, message(10))
    assert page.newer
    assert [each.id for each in (await store.read("s1", cursor=page.newer)).items] == ["m10"]
