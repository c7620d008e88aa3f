"""What retention finds due, why, and what it never touches."""

from __future__ import annotations

import tracemalloc
from asyncio import gather
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import storage
from storage.amendments import Deleted, Pinned
from storage.backend import Store
from storage.model import Channel, Message, Sender, Session, Text
from storage.records import AuditEntry, Memory, Profile, Run
from storage.retention import TAKEN, Due, Limit, Rules, stretches

NOW = datetime(2024, 6, 1, 12, 0, tzinfo=UTC)
GENERAL = Channel(front="discord", id="100", kind="channel", name="general", guild_id="1")
PRIVATE = Channel(front="discord", id="200", kind="dm", name="ann", parent_id="7")
ANN = Sender(type="user", id="7", name="Ann")
MONTH = Rules(channel=Limit(age=timedelta(days=30)))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await storage.connect("sage", tmp_path / "sage")
    yield opened
    await opened.close()


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


async def talk(store: Store, name: str, days: float, lines: int = 1, text: str = "x", **fields: Any) -> Session:
    """A closed session in which somebody last spoke so many days ago."""
    at = ago(days)
    given = {"id": name, "channel": GENERAL, "opened_at": at, "last_at": at, "closed_at": at, **fields}
    session = Session(**given)
    await gather(*(store.append(session, line(f"{name}-{number}", name, at, text)) for number in range(lines)))
    kept = await store.session(name)
    assert kept is not None
    return kept


def line(id: str, within: str, at: datetime, text: str = "x", **fields: Any) -> Message:
    return Message(id=id, session_id=within, role="user", sender=ANN, parts=(Text(text=text),), at=at, **fields)


async def due(store: Store, rules: Rules, now: datetime) -> AsyncGenerator[Due, None]:
    async for stretch in stretches(store, rules, now, removing=False):
        for each in stretch:
            yield each


async def found(store: Store, rules: Rules) -> list[Due]:
    return [each async for each in due(store, rules, NOW)]


async def ids(store: Store, rules: Rules) -> list[str]:
    return [each.id for each in await found(store, rules)]


async def test_without_rules_talk_is_kept_for_ever(store: Store) -> None:
    await talk(store, "old", 5000)
    assert await found(store, Rules()) == []


async def test_by_age_the_oldest_first_with_reason_and_amount(store: Store) -> None:
    for name, days in (("b", 60), ("c", 29.9), ("a", 90)):
        await talk(store, name, days, lines=2, text="äh")
    first, second = await found(store, MONTH)
    assert (first.id, second.id) == ("a", "b")
    assert first.why == "nobody has spoken in it since 2024-03-03, and 30 days is the limit"
    assert (first.kind, first.messages, first.bytes, first.channel) == ("session", 2, 6, GENERAL.safe_name)


async def test_each_kind_of_channel_has_its_own_limit(store: Store) -> None:
    await talk(store, "public", 60)
    await talk(store, "private", 60, channel=PRIVATE)
    assert await ids(store, MONTH) == ["public"]
    assert await ids(store, Rules(dm=Limit(age=timedelta(days=1)))) == ["private"]


async def test_by_count_the_newest_stay_as_far_as_they_fit(store: Store) -> None:
    for days in range(1, 6):
        await talk(store, f"s{days}", days, lines=10)
    await talk(store, "elsewhere", 9, lines=100, channel=PRIVATE)
    over = await found(store, Rules(channel=Limit(messages=25)))
    assert [each.id for each in over] == ["s5", "s4", "s3"]
    assert over[0].why == "with all that is newer its channel has 50 messages, and 25 is the limit"
    assert await ids(store, Rules(channel=Limit(messages=50))) == []


async def test_by_size_of_words(store: Store) -> None:
    for days in range(1, 6):
        await talk(store, f"s{days}", days, text="ä" * 1024)
    over = await found(store, Rules(channel=Limit(size=5000)))
    assert [each.id for each in over] == ["s5", "s4", "s3"]
    assert over[0].why == "with all that is newer its channel has 10 KiB, and 4.883 KiB is the limit"


async def test_open_starred_and_pinned_count_and_stay(store: Store) -> None:
    await talk(store, "open", 90, lines=10, closed_at=None)
    await talk(store, "starred", 80, lines=10, starred=True)
    await talk(store, "pinned", 70, lines=10)
    await store.amend("pinned-3", Pinned())
    await talk(store, "plain", 60, lines=10)
    await talk(store, "new", 1, lines=10)
    assert await ids(store, MONTH) == ["plain"]
    assert await ids(store, Rules(channel=Limit(messages=15))) == ["plain"]
    assert await ids(store, Rules(channel=Limit(messages=1))) == ["plain", "new"]


async def test_what_people_deleted_goes_when_its_time_is_over_even_pinned_or_starred(store: Store) -> None:
    rules = Rules(deleted=timedelta(days=30))
    await talk(store, "s", 90, lines=3)
    await talk(store, "gone", 90, starred=True, deleted_at=ago(40))
    await talk(store, "going", 90, deleted_at=ago(10))
    await store.amend("s-0", Pinned())
    await store.amend("s-0", Deleted(at=ago(31)))
    await store.amend("s-1", Deleted(at=ago(29)))
    words, session = await found(store, rules)
    assert (words.kind, words.id, words.messages, words.bytes) == ("message", "s-0", 1, 1)
    assert words.why == "it was deleted on 2024-05-01, and 30 days is the limit"
    assert (session.kind, session.id) == ("session", "gone")
    assert await found(store, Rules()) == []


async def test_a_session_whose_removal_was_cut_off_is_due_at_once_whatever_the_rules_say(store: Store) -> None:
    await talk(store, "half", 90, deleted_at=TAKEN)
    await talk(store, "gone", 90, deleted_at=ago(40))
    for rules, names in ((Rules(), ["half"]), (Rules(deleted=timedelta(days=30)), ["half", "gone"])):
        over = await found(store, rules)
        assert [each.id for each in over] == names
        assert over[0].why == "its removal was cut off, and this is what is left of it"


async def test_records_by_age_and_never_what_a_person_asked_to_keep(store: Store) -> None:
    kinds: list[Any] = [
        lambda id, at: Memory(id=id, at=at, type="semantic", audience="bot", subject="user:7", text="tea"),
        lambda id, at: Run(id=id, at=at, type="panel", state="done"),
        lambda id, at: AuditEntry(id=id, at=at, actor=ANN, action="looked"),
        lambda id, at: Profile(id=id, at=at, name="Ann"),
    ]
    for make in kinds:
        await store.keep(make("old", ago(40)), make("older", ago(50)), make("new", ago(1)))
    month = timedelta(days=30)
    over = await found(store, Rules(memories=month, runs=month, audit=month))
    assert [(each.kind, each.id) for each in over] == [
        (kind, id) for kind in ("memory", "run", "audit") for id in ("older", "old")
    ]
    assert over[0].why == "it is from 2024-04-12, and 30 days is the limit"


async def test_more_than_a_page_of_everything(store: Store) -> None:
    then = ago(100)
    await store.keep(
        *(
            Run(id=f"r{number}", at=then + timedelta(minutes=number), type="panel", state="done")
            for number in range(450)
        )
    )
    sessions = await gather(*(talk(store, f"s{number:03}", 100 - number / 1000) for number in range(450)))
    over = await ids(store, Rules(channel=Limit(age=timedelta(days=30)), runs=timedelta(days=30)))
    assert over == [*(each.id for each in sessions), *(f"r{number}" for number in range(450))]


async def test_ten_thousand_sessions_take_no_more_memory_than_a_page(store: Store) -> None:
    at = ago(400)

    def session(number: int) -> Session:
        then = at + timedelta(minutes=number)
        return Session(id=f"s{number}", channel=GENERAL, opened_at=then, last_at=then, closed_at=then)

    for start in range(0, 10_000, 1000):
        batch = map(session, range(start, start + 1000))
        await gather(*(store.append(each, line(f"m-{each.id}", each.id, each.last_at)) for each in batch))
    count = 0
    tracemalloc.start()
    try:
        async for _ in due(store, MONTH, NOW):
            count += 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 10_000
    assert peak < 8 << 20
