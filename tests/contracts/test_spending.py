"""What answers took, by whom and where, also once they are gone, asked of every backend."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal, get_args

import pytest

from storage.amendments import Deleted, Edited
from storage.backend import Store
from storage.model import Message, Spending
from storage.records import Spent
from tests.contracts.conftest import Door
from tests.contracts.samples import BEN, GENERAL, NAIVE, NOON, PRIVATE, answer, later, message, session, usage, words

By = Literal["day", "user", "channel", "persona", "model", "seat"]
EVER = (NOON - timedelta(days=400), NOON + timedelta(days=400))
DAY = timedelta(days=1)

TALK = (
    message(1),
    answer(2, 1, usage=usage(100)),
    message(3, "dm", sender=BEN),
    answer(4, 3, session_id="dm", usage=usage(None, model="local", tokens_in=7), persona="muse"),
    message(5, sender=BEN, at=NOON + DAY),
    answer(6, 5, usage=usage(20), at=NOON + DAY),
    answer(7, 5, usage=None, at=NOON + DAY),
)


async def talk(store: Store, *told: Message) -> None:
    for each in told:
        channel = PRIVATE if each.session_id == "dm" else GENERAL
        assert await store.append(session(each.session_id, channel=channel), each)


def spending(key: str, cost: int, answers: int = 1, unpriced: int = 0, tokens_in: int | None = None) -> Spending:
    return Spending(
        key=key,
        answers=answers,
        tokens_in=10 * answers if tokens_in is None else tokens_in,
        tokens_out=5 * answers,
        cache_read=2 * answers,
        cache_write=1 * answers,
        cost_micros=cost,
        unpriced=unpriced,
    )


async def everything(store: Store) -> dict[str, list[Spending]]:
    return {by: await store.spending(by, *EVER) for by in get_args(By)}


EXPECTED: dict[By, list[Spending]] = {
    "day": [spending("2024-01-08", 100, 2, 1, 17), spending("2024-01-09", 20)],
    "user": [spending("7", 100), spending("8", 20, 2, 1, 17)],
    "channel": [spending("discord:100", 120, 2), spending("discord:200", 0, 1, 1, 7)],
    "persona": [spending("muse", 0, 1, 1, 7), spending("sage", 120, 2)],
    "model": [spending("gpt", 120, 2), spending("local", 0, 1, 1, 7)],
    "seat": [
        spending("7\ndiscord:100", 100),
        spending("8\ndiscord:100", 20),
        spending("8\ndiscord:200", 0, 1, 1, 7),
    ],
}


@pytest.mark.parametrize("by", get_args(By))
async def test_spending_by_each_key_in_the_order_of_keys(store: Store, by: By) -> None:
    assert await store.spending(by, *EVER) == []
    await talk(store, *reversed(TALK))
    assert await store.spending(by, *EVER) == EXPECTED[by]


async def test_spending_is_from_a_time_to_before_another(store: Store) -> None:
    await talk(store, *TALK)

    async def cost(since: datetime, until: datetime) -> int:
        return sum(each.cost_micros for each in await store.spending("day", since, until))

    tick = timedelta(microseconds=1)
    assert await cost(later(2), NOON + DAY) == 100
    assert await cost(later(2), NOON + DAY + tick) == 120
    assert await cost(later(2) + tick, NOON + DAY + tick) == 20
    assert await cost(NOON + DAY, NOON + DAY) == 0
    assert await cost(EVER[1], EVER[0]) == 0


async def test_days_are_those_of_utc(store: Store) -> None:
    midnight = NOON + timedelta(hours=12)
    times = (midnight - timedelta(microseconds=1), midnight)
    await talk(store, *(answer(number, 0, at=at, usage=usage(number)) for number, at in enumerate(times, 1)))
    days = await store.spending("day", *EVER)
    assert [(each.key, each.cost_micros) for each in days] == [("2024-01-08", 1), ("2024-01-09", 2)]


async def test_large_sums_are_exact(store: Store) -> None:
    await talk(store, *(answer(number, 0, usage=usage(2**53 + 1, tokens_in=2**40)) for number in range(3)))
    (only,) = await store.spending("model", *EVER)
    assert (only.cost_micros, only.tokens_in) == (3 * (2**53 + 1), 3 * 2**40)


async def test_what_is_out_of_sight_was_spent_all_the_same(store: Store) -> None:
    await talk(store, *TALK)
    await store.amend("m2", Deleted(at=later(99)))
    await store.amend("m4", Edited(parts=words("shorter"), at=later(99)))
    await store.save_session(session("dm", channel=PRIVATE, deleted_at=later(99)))
    assert await everything(store) == EXPECTED


GONE: list[dict[str, list[str]]] = [
    {"messages": ["m2"]},
    {"messages": [each.id for each in TALK]},
    {"messages": ["m1", "m3", "m5"]},
    {"sessions": ["s1"]},
    {"sessions": ["dm"]},
    {"sessions": ["s1", "dm"]},
    {"messages": ["m4", "m3"], "sessions": ["s1", "dm"]},
]


@pytest.mark.parametrize("gone", GONE, ids=str)
async def test_what_is_gone_stays_counted(store: Store, gone: dict[str, list[str]]) -> None:
    await talk(store, *TALK)
    for _ in range(2):
        await store.remove_messages(gone.get("messages", []))
        await store.remove_sessions(gone.get("sessions", []))
        assert await everything(store) == EXPECTED


async def test_who_was_answered_is_known_though_the_question_went_first(store: Store) -> None:
    await talk(store, *TALK)
    for number in range(1, 8):
        await store.remove_messages([f"m{number}"])
    assert await everything(store) == EXPECTED


async def test_what_is_gone_is_known_by_its_message_without_its_words(store: Store) -> None:
    await talk(store, *TALK)
    await store.remove_messages([each.id for each in TALK])
    expected: dict[str, Any] = {
        "m2": {"usage": usage(100), "user_id": "7", "channel_key": GENERAL.key, "persona": "sage", "at": later(2)},
        "m6": {"usage": usage(20), "user_id": "8", "channel_key": GENERAL.key, "persona": "sage", "at": NOON + DAY},
    }
    for id, fields in expected.items():
        assert await store.record(Spent, id) == Spent(id=id, **fields)
    assert [each.id for each in (await store.records(Spent)).items] == ["m6", "m4", "m2"]
    assert [each.id for each in (await store.records(Spent, about="8")).items] == ["m6", "m4"]
    assert (await store.counts()).records == {"spent": 3}


async def test_an_answer_that_is_kept_anew_is_not_counted_twice(store: Store) -> None:
    await talk(store, *TALK)
    await store.remove_messages(["m2"])
    await talk(store, TALK[1])
    assert await everything(store) == EXPECTED
    await store.remove_messages(["m2"])
    assert await everything(store) == EXPECTED


async def test_spending_survives_reopening(door: Door) -> None:
    first = await door()
    await talk(first, *TALK)
    await first.remove_messages(["m2", "m1"])
    await first.close()
    assert await everything(await door()) == EXPECTED


async def test_spending_needs_times_that_say_where_they_are(store: Store) -> None:
    for since, until in ((NAIVE, EVER[1]), (EVER[0], NAIVE)):
        with pytest.raises(ValueError, match="timezone"):
            await store.spending("day", since, until)
