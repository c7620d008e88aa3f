"""What `storage.backend.Store` promises, asked of every backend."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from storage.backend import Store
from storage.errors import StorageError, Unavailable
from storage.model import (
    Attachment,
    Channel,
    Counts,
    Message,
    Note,
    Receipt,
    Sender,
    SessionContext,
    Text,
    Usage,
)
from tests.contracts.samples import ANN, GENERAL, NAIVE, NOON, PRIVATE, SAGE, ids, message, session


async def test_a_message_comes_back_as_it_was(store: Store) -> None:
    picture = Attachment(
        type="image", name="cat.png", url="https://example.org/cat.png", media_type="image/png", size=9
    )
    usage = Usage(provider="openai", model="m", tokens_in=1, tokens_out=2, cache_read=3, cost_micros=4, seconds=0.25)
    told = message(
        1,
        role="assistant",
        sender=SAGE,
        persona="sage",
        parts=(Text(text="Look: "), picture, Note(text="(from memory)")),
        reply_to="m0",
        outcome="stopped",
        usage=usage,
        receipts=(Receipt(origin="discord:100:51", page=0),),
        metadata={"rule": "keyword", "score": "0.9"},
    )
    assert await store.append(session(), told) is True
    assert await store.messages("s1") == [told]


async def test_a_person_can_be_silent_and_a_sender_nameless(store: Store) -> None:
    told = message(1, origin=None, parts=(), sender=Sender(type="system", id="", name=""), role="system")
    assert await store.append(session(), told)
    assert await store.messages("s1") == [told]


async def test_a_redelivered_message_changes_nothing(store: Store) -> None:
    await store.append(session(), message(1))
    again = message(2, origin="discord:100:1")
    assert await store.append(session(title="changed", last_at=NOON + timedelta(hours=1)), again) is False
    assert await store.messages("s1") == [message(1)]
    assert await store.session("s1") == session(message_count=1)


async def test_a_redelivered_message_does_not_create_its_session(store: Store) -> None:
    await store.append(session(), message(1))
    assert await store.append(session("s2", channel=PRIVATE), message(2, "s2", origin="discord:100:1")) is False
    assert await store.session("s2") is None
    assert await store.channel(PRIVATE.key) is None


async def test_a_message_is_also_known_by_its_id(store: Store) -> None:
    assert await store.append(session(), message(1, origin=None))
    assert await store.append(session(), message(1, origin=None)) is False
    assert await ids(store) == ["m1"]


async def test_of_fifty_deliveries_at_once_one_is_kept(store: Store) -> None:
    same = [message(number, origin="discord:100:1") for number in range(50)]
    kept = await asyncio.gather(*(store.append(session(), each) for each in same))
    assert kept.count(True) == 1
    assert await ids(store) == [same[kept.index(True)].id]
    assert (await store.counts()).messages == 1


async def test_redelivered_among_new_ones_at_once(store: Store) -> None:
    await asyncio.gather(*(store.append(session(), message(number)) for number in range(0, 60, 2)))
    kept = await asyncio.gather(*(store.append(session(), message(number)) for number in range(60)))
    assert kept == [number % 2 == 1 for number in range(60)]
    assert (await store.counts()).messages == 60


async def test_a_thousand_at_once_are_all_kept_in_each_callers_order(store: Store) -> None:
    async def caller(name: int) -> None:
        for number in range(name * 100, name * 100 + 100):
            assert await store.append(session(f"s{name}"), message(number, f"s{name}"))

    await asyncio.gather(*(caller(name) for name in range(10)))
    for name in range(10):
        assert await ids(store, f"s{name}") == [f"m{number}" for number in range(name * 100, name * 100 + 100)]
    at_once = [message(number, "burst") for number in range(1000, 2000)]
    assert all(await asyncio.gather(*(store.append(session("burst"), each) for each in at_once)))
    assert await store.messages("burst", 1000) == at_once


async def test_one_bad_message_does_not_hurt_its_neighbours(store: Store) -> None:
    bad = Message.model_construct(**{**dict(message(5)), "origin": "discord:100:5", "sender": None})
    told = [*map(message, range(5)), bad, *map(message, range(6, 10))]
    kept = await asyncio.gather(*(store.append(session(), each) for each in told), return_exceptions=True)
    assert isinstance(kept.pop(5), StorageError)
    assert kept == [True] * 9
    assert await ids(store) == [f"m{number}" for number in range(10) if number != 5]


async def test_a_caller_who_gives_up_does_not_break_the_others(store: Store) -> None:
    told = [asyncio.ensure_future(store.append(session(), message(number))) for number in range(20)]
    await asyncio.sleep(0)
    for impatient in told[::3]:
        impatient.cancel()
    kept = await asyncio.gather(*told, return_exceptions=True)
    assert [outcome for outcome in kept if outcome is True] == [True] * 13
    assert await store.append(session(), message(20))
    assert {f"m{number}" for number in range(21) if number % 3} <= set(await ids(store))


async def test_a_message_goes_into_its_own_session_only(store: Store) -> None:
    with pytest.raises(ValueError, match="belongs to session s1"):
        await store.append(session("s2"), message(1, "s1"))
    assert await store.counts() == Counts(channels=0, sessions=0, open_sessions=0, messages=0)


async def test_the_newest_messages_oldest_first_in_the_order_kept(store: Store) -> None:
    for number in (3, 1, 2, 5, 4):
        await store.append(session(), message(number))
    await store.append(session("s2"), message(6, "s2"))
    assert await ids(store) == ["m3", "m1", "m2", "m5", "m4"]
    assert await ids(store, limit=2) == ["m5", "m4"]
    assert await ids(store, limit=0) == []
    assert await ids(store, "nowhere") == []


# Receipts


async def test_a_message_is_found_by_origin_and_by_where_its_pages_stand(store: Store) -> None:
    await store.append(session(), message(1))
    answer = message(2, role="assistant", sender=SAGE, origin=None)
    await store.append(session(), answer)
    pages = (Receipt(origin="discord:100:91", page=0), Receipt(origin="discord:100:92", page=1))
    await store.keep_receipts("m2", pages[1:])
    await store.keep_receipts("m2", pages[:1])
    whole = answer.model_copy(update={"receipts": pages})
    assert await store.find("discord:100:1") == message(1)
    assert await store.find("discord:100:91") == whole
    assert await store.find("discord:100:92") == whole
    assert await store.find("discord:100:93") is None
    asked = [f"discord:100:{number}" for number in (92, 1, 93, 91)]
    assert await store.found(asked) == {asked[0]: "m2", asked[1]: "m1", asked[3]: "m2"}
    assert await store.messages("s1") == [message(1), whole]


async def test_a_receipt_known_already_changes_nothing(store: Store) -> None:
    for number in (1, 2):
        await store.append(session(), message(number))
    first, other = Receipt(origin="discord:100:91", page=0), Receipt(origin="discord:100:91", page=5)
    await asyncio.gather(store.keep_receipts("m1", (first, other)), store.keep_receipts("m2", (other,)))
    await store.keep_receipts("m2", (other,))
    assert [kept.receipts for kept in await store.messages("s1")] == [(first,), ()]


async def test_a_receipt_for_nothing_is_not_kept(store: Store) -> None:
    await store.keep_receipts("nowhere", (Receipt(origin="discord:100:91", page=0),))
    await store.keep_receipts("nowhere", ())
    assert await store.find("discord:100:91") is None
    assert (await store.counts()).messages == 0


# Sessions


async def test_a_session_comes_back_as_it_was_but_for_its_count(store: Store) -> None:
    told = session(
        channel=PRIVATE,
        type="interview",
        title="On tea",
        persona="sage",
        participants=(ANN, SAGE),
        context=SessionContext(summary="tea", goals=("brew",), constraints=("no milk",), active_tools=("kettle",)),
        last_at=NOON + timedelta(minutes=5),
        closed_at=NOON + timedelta(minutes=9),
        message_count=99,
        follows="s0",
        parent_id="s7",
        branched_at="m3",
        tags=("tea", "東京", "tea time"),
        starred=True,
        archived=True,
        deleted_at=NOON + timedelta(days=1),
        metadata={"note": "x"},
    )
    await store.save_session(told)
    assert await store.session("s1") == told.model_copy(update={"message_count": 0})
    assert await store.session("s2") is None


async def test_each_append_brings_the_session_up_to_date(store: Store) -> None:
    await store.append(session(), message(1))
    later = session(title="Tea", last_at=NOON + timedelta(minutes=1), participants=(ANN,), message_count=7)
    await store.append(later, message(2))
    assert await store.session("s1") == later.model_copy(update={"message_count": 2})
    closed = later.model_copy(update={"closed_at": NOON + timedelta(hours=1)})
    await store.save_session(closed)
    assert await store.session("s1") == closed.model_copy(update={"message_count": 2})
    await store.append(later, message(3))
    assert await store.session("s1") == later.model_copy(update={"message_count": 3})


async def test_sessions_the_last_spoken_in_first(store: Store) -> None:
    for number, channel in enumerate((GENERAL, PRIVATE, GENERAL, PRIVATE, GENERAL)):
        spoken = NOON - timedelta(minutes=number)
        closed = spoken if number in (0, 3) else None
        await store.save_session(session(f"s{number}", channel=channel, last_at=spoken, closed_at=closed))

    async def names(*args: Any, **options: Any) -> list[str]:
        return [found.id for found in await store.sessions(*args, **options)]

    assert await names() == ["s0", "s1", "s2", "s3", "s4"]
    assert await names(limit=2) == ["s0", "s1"]
    assert await names(limit=0) == []
    assert await names(GENERAL.key) == ["s0", "s2", "s4"]
    assert await names("web:none") == []


async def test_idle_sessions_are_open_ones_the_longest_silent_first(store: Store) -> None:
    for minutes in (5, 30, 10, 20):
        await store.save_session(session(f"s{minutes}", last_at=NOON - timedelta(minutes=minutes)))
    await store.save_session(session("gone", last_at=NOON - timedelta(hours=9), closed_at=NOON))

    async def names(minutes: int, **options: int) -> list[str]:
        return [found.id for found in await store.idle_sessions(NOON - timedelta(minutes=minutes), **options)]

    assert await names(5) == ["s30", "s20", "s10"]
    assert await names(0, limit=2) == ["s30", "s20"]
    assert await names(30) == []


async def test_an_answer_does_not_move_the_clock(store: Store) -> None:
    await store.append(session(), message(1, role="assistant", sender=SAGE, at=NOON + timedelta(days=1)))
    assert [found.last_at for found in await store.idle_sessions(NOON + timedelta(seconds=1))] == [NOON]


# Channels


async def test_a_channel_remembers_its_names(store: Store) -> None:
    assert await store.channel(GENERAL.key) is None
    assert await store.keep_channel(GENERAL) == GENERAL
    assert await store.keep_channel(GENERAL) == GENERAL
    await store.save_session(session())
    for name in ("lobby", "café"):
        await store.keep_channel(GENERAL.model_copy(update={"name": name}))
    kept = await store.keep_channel(GENERAL.model_copy(update={"name": "café", "guild_name": "Players"}))
    names = {
        "name": "café",
        "guild_name": "Players",
        "past_names": ("general", "lobby"),
        "past_guild_names": ("Troupers",),
    }
    assert kept == GENERAL.model_copy(update=names)
    assert await store.channel(GENERAL.key) == kept
    assert await store.session("s1") == session(channel=kept)


async def test_a_session_brings_a_channel_nobody_kept(store: Store) -> None:
    await store.append(session(), message(1))
    assert await store.channel(GENERAL.key) == GENERAL


async def test_a_session_with_an_older_name_does_not_rename_the_channel(store: Store) -> None:
    renamed = await store.keep_channel(GENERAL.model_copy(update={"name": "lobby"}))
    await store.append(session(channel=GENERAL), message(1))
    assert await store.channel(GENERAL.key) == renamed


async def test_the_same_id_behind_two_doors_is_two_channels(store: Store) -> None:
    web = Channel(front="web", id=GENERAL.id, kind="web", name="room")
    await asyncio.gather(store.keep_channel(GENERAL), store.keep_channel(web))
    assert (await store.channel("discord:100"), await store.channel("web:100")) == (GENERAL, web)


async def test_channels_in_the_order_of_their_keys(store: Store) -> None:
    told = [Channel(front="discord", id=id, kind="channel", name=id) for id in ("9", "10", "B", "a", "é", "Z", "猫")]
    told.append(Channel(front="web", id="1", kind="web", name="room"))
    for channel in told:
        await store.keep_channel(channel)
    ordered = sorted(told, key=lambda channel: channel.key)
    assert await store.channels() == ordered
    assert await store.channels(limit=3) == ordered[:3]
    assert await store.channels(ordered[2].key, limit=2) == ordered[3:5]
    assert await store.channels("discord:0") == ordered
    assert (await store.channels("web:1"), await store.channels(limit=0)) == ([], [])


async def test_no_channels(store: Store) -> None:
    assert await store.channels() == []


# Everything


async def test_counts(store: Store) -> None:
    assert await store.counts() == Counts(channels=0, sessions=0, open_sessions=0, messages=0)
    await store.append(session(), message(1))
    await store.append(session(), message(2))
    await store.save_session(session("s2", channel=PRIVATE, closed_at=NOON))
    assert await store.counts() == Counts(channels=2, sessions=2, open_sessions=1, messages=2)


WORDS = """👩‍👩‍👧‍👦 🏳️‍🌈|שלום, עולם|‮drawkcab|'; DROP TABLE sessions; --|{"a": "\\u0000"}|\r\n\ttab| """


@pytest.mark.parametrize("words", ["", *WORDS.split("|"), "x" * 4000, "𝔘" * 4000])
async def test_unusual_text_comes_back_as_it_was(store: Store, words: str) -> None:
    told = message(1, parts=(Text(text=words), Text(text="")), sender=Sender(type="user", id="7", name=words))
    await store.append(session(title=words), told)
    assert await store.messages("s1") == [told]
    assert await store.session("s1") == session(title=words, message_count=1)


async def test_what_no_database_takes_becomes_a_replacement_character(store: Store) -> None:
    told = message(1, origin="o\0", parts=(Text(text="a\0b\ud800c"),), metadata={"k": "v\udfff"})
    assert await store.append(session(), told)
    assert await store.append(session(), message(2, origin="o\ufffd")) is False
    assert await store.append(session(), message(3, origin="o\0")) is False
    replaced = {"origin": "o\ufffd", "parts": (Text(text="a\ufffdb\ufffdc"),), "metadata": {"k": "v\ufffd"}}
    kept = told.model_copy(update=replaced)
    assert await store.messages("s1") == [kept]
    assert [await store.find(origin) for origin in ("o\0", "o\ufffd")] == [kept, kept]
    assert await store.find("\ud800") is None
    assert await store.found(("o\0", "o\ufffd", "\ud800")) == {"o\0": "m1", "o\ufffd": "m1"}


async def test_times_are_instants_wherever_they_were_read(store: Store) -> None:
    here = timezone(timedelta(hours=5, minutes=45))
    at = datetime(2024, 1, 8, 17, 45, 0, 1, tzinfo=here)
    await store.append(session(last_at=at), message(1, at=at))
    assert [kept.at for kept in await store.messages("s1")] == [NOON + timedelta(microseconds=1)]
    assert await store.idle_sessions(NOON) == []
    assert len(await store.idle_sessions(at + timedelta(microseconds=1))) == 1


async def test_a_time_without_a_timezone_is_refused(store: Store) -> None:
    for refused in (
        store.append(session(), message(1, at=NAIVE)),
        store.append(session(last_at=NAIVE), message(1)),
        store.save_session(session(opened_at=NAIVE)),
        store.save_session(session(closed_at=NAIVE)),
        store.save_session(session(deleted_at=NAIVE)),
        store.idle_sessions(NAIVE),
    ):
        with pytest.raises(ValueError, match="timezone"):
            await refused
    assert (await store.counts()).sessions == 0


async def test_closing_waits_for_what_was_accepted_and_ends_it(store: Store) -> None:
    told = [asyncio.ensure_future(store.append(session(), message(number))) for number in range(50)]
    await asyncio.sleep(0)
    await asyncio.gather(store.close(), store.close())
    assert all([await each for each in told])
    await store.close()
    for late in (store.append(session(), message(51)), store.messages("s1"), store.counts()):
        with pytest.raises(Unavailable, match="closed"):
            await late
