"""What PostgreSQL adds to the promises of every store: many writers, and a server that comes and goes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest

from storage.backend import OLDEST, Freezes, ManyWriters
from storage.backends.changes import Append
from storage.backends.postgres import PostgresStore
from storage.backends.postgres_rows import WRITE, arguments, rows_of
from storage.backends.postgres_schema import STEPS, Schema
from storage.errors import NewerSchema, StorageError, Unavailable
from storage.model import Channel, Message, Sender, Session, Text
from tests.postgres import AnswerLost, cue, fresh_name, own_server, postgres_url, program

NOON = datetime(2024, 1, 8, 12, 0, tzinfo=UTC)
ROOM = Channel(front="discord", id="100", kind="channel", name="room")
Opener = Callable[..., Awaitable[PostgresStore]]


def session(name: str = "s1", **fields: Any) -> Session:
    return Session(**{"id": name, "channel": ROOM, "opened_at": NOON, "last_at": NOON, **fields})


def message(number: int, within: str = "s1", **fields: Any) -> Message:
    given = {
        "id": f"m{number}",
        "origin": f"discord:100:{number}",
        "session_id": within,
        "role": "user",
        "sender": Sender(type="user", id="7", name="Ann"),
        "parts": (Text(text=f"line {number}"),),
        "at": NOON + timedelta(seconds=number),
    }
    return Message(**{**given, **fields})


async def everything(store: PostgresStore) -> list[Message]:
    page = await store.read(cursor=OLDEST, limit=500)
    told = list(page.items)
    while page.newer:
        page = await store.read(cursor=page.newer, limit=500)
        told += page.items
    return told


async def sql(statement: str, *values: Any, url: str = "") -> Any:
    connection = await asyncpg.connect(url or postgres_url())
    try:
        return await connection.fetchval(statement, *values)
    finally:
        await connection.close()


@pytest.fixture
def bot() -> str:
    return fresh_name()


@pytest.fixture
async def opened(bot: str) -> AsyncIterator[Opener]:
    stores = []

    async def open_one(url: str = "", **options: Any) -> PostgresStore:
        stores.append(await PostgresStore.open(url or postgres_url(), bot, **options))
        return stores[-1]

    yield open_one
    for store in stores:
        await store.close()


async def test_processes_that_start_at_once_share_a_session_and_keep_each_message_once(
    bot: str, opened: Opener
) -> None:
    programs = [
        await program(bot, session(name), message(1), start) for name, start in (("a", 0), ("b", 100), ("c", 200))
    ]
    await cue(programs)
    assert len(set(await cue(programs))) == 1
    told = [out.decode().split() for out, _ in await asyncio.gather(*(each.communicate() for each in programs))]
    acknowledged = [name for words in told for name in words]
    store = await opened()
    kept = await everything(store)
    assert sorted(one.id for one in kept) == sorted(acknowledged)
    assert Counter(one.origin for one in kept) == Counter(f"o{number}" for number in range(300))
    (only,) = await store.sessions()
    assert only.message_count == 300
    assert len({one.id[0] for one in kept}) > 1


async def test_a_killed_process_loses_nothing_that_it_was_told_is_kept(bot: str, opened: Opener) -> None:
    killed = await program(bot, session("a"), message(1), many=100_000)
    await cue([killed])
    await cue([killed])
    assert killed.stdout
    lines = [await killed.stdout.readline() for _ in range(400)]
    killed.send_signal(signal.SIGKILL)
    lines += (await killed.communicate())[0].splitlines(keepends=True)
    acknowledged = [line.decode().strip() for line in lines if line.endswith(b"\n")]
    store = await opened()
    assert await store.append(session("b"), message(1, "b"))
    kept = Counter(one.id for one in await everything(store))
    assert set(acknowledged) <= set(kept)
    assert set(kept.values()) == {1}
    assert [each.message_count for each in await store.sessions()] == [1, kept.total() - 1]


async def test_a_restart_of_the_server_loses_and_doubles_nothing(opened: Opener) -> None:
    store = await opened(own_server().url)
    halfway = asyncio.Event()
    told = 0

    async def person(name: int) -> None:
        nonlocal told
        for number in range(name * 100, name * 100 + 30):
            assert await store.append(session(f"s{name}"), message(number, f"s{name}"))
            told += 1
            if told in (100, 300):
                halfway.set()

    async def trouble() -> None:
        for mode in ("immediate", "fast"):
            await halfway.wait()
            halfway.clear()
            await asyncio.to_thread(own_server().stop, mode)
            await asyncio.to_thread(own_server().start)

    await asyncio.gather(trouble(), *(person(name) for name in range(20)))
    for name in range(20):
        kept = [one.id for one in await store.messages(f"s{name}")]
        assert kept == [f"m{number}" for number in range(name * 100, name * 100 + 30)]
    assert {each.message_count for each in await store.sessions()} == {30}


async def test_broken_connections_are_nobodys_concern(bot: str, opened: Opener) -> None:
    store = await opened()
    kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1"

    async def person(name: int) -> None:
        for number in range(name * 100, name * 100 + 20):
            assert await store.append(session(f"s{name}"), message(number, f"s{name}"))
            assert (await store.messages(f"s{name}"))[-1].id == f"m{number}"

    people = [asyncio.ensure_future(person(name)) for name in range(10)]
    broken = 0
    for _ in range(8):
        broken += await sql(kill, f"troupe {bot}")
    await asyncio.gather(*people)
    assert broken
    assert (await store.counts()).messages == 200


async def test_an_answer_that_gets_lost_is_asked_for_again(opened: Opener) -> None:
    async with AnswerLost(own_server()) as wire:
        store = await opened(wire.url)
        await store.append(session(), message(1))
        await store.append(session(), message(2))
        wire.lose_next()
        assert await store.append(session(), message(3)) is True
        assert wire.lost == 1
        wire.lose_next()
        assert await store.append(session(), message(4, origin="discord:100:3")) is False
        wire.lose_next()
        assert await store.append(session(), message(3)) is False
        assert wire.lost == 3
        assert [kept.id for kept in await everything(store)] == ["m1", "m2", "m3"]
        assert (await store.counts()).messages == 3
        await store.close()


async def test_of_two_stores_that_open_a_session_one_does(opened: Opener) -> None:
    stores = [await opened() for _ in range(4)]
    assert isinstance(stores[0], ManyWriters)
    fresh = NOON - timedelta(minutes=5)
    used = await asyncio.gather(*(store.open_session(session(f"s{n}"), fresh) for n, store in enumerate(stores * 3)))
    assert len({each.id for each in used}) == 1
    assert await stores[0].sessions() == [used[0]]
    later = session("later", last_at=NOON + timedelta(hours=1))
    assert await stores[1].open_session(later, later.last_at - timedelta(minutes=5)) == later
    assert await stores[1].open_session(session("branch"), None) == session("branch")
    closed = later.model_copy(update={"closed_at": later.last_at})
    await stores[0].save_session(closed)
    again = later.model_copy(update={"id": "again"})
    assert await stores[1].open_session(again, NOON + timedelta(minutes=55)) == again


async def test_an_older_copy_of_a_session_does_not_turn_its_clock_back(opened: Opener) -> None:
    ahead, behind = await opened(), await opened()
    spoken = session(last_at=NOON + timedelta(minutes=9))
    await ahead.append(spoken, message(1))
    await behind.append(session(), message(2))
    assert await ahead.session("s1") == spoken.model_copy(update={"message_count": 2})
    told = (session(last_at=NOON + timedelta(minutes=late)) for late in (10, 12, 11))
    await asyncio.gather(*(behind.append(each, message(number)) for number, each in enumerate(told, 3)))
    assert [each.last_at for each in await ahead.sessions()] == [NOON + timedelta(minutes=12)]
    await behind.save_session(session())
    assert await ahead.session("s1") == session(message_count=5)


async def test_whoever_follows_what_two_write_misses_nothing(opened: Opener) -> None:
    stores = [await opened(), await opened()]

    async def person(name: int) -> None:
        for number in range(name * 100, name * 100 + 20):
            assert await stores[name % 2].append(session(f"s{name}"), message(number, f"s{name}"))

    people = asyncio.gather(*(person(name) for name in range(10)))
    seen: list[str] = []
    cursor = OLDEST
    while not people.done() or cursor:
        page = await stores[0].read(cursor=cursor, limit=7)
        if page.newer:
            seen += [kept.id for kept in page.items]
            cursor = page.newer
        elif people.done():
            page = await stores[0].read(cursor=cursor, limit=1000)
            seen += [kept.id for kept in page.items]
            break
    assert seen == [kept.id for kept in await everything(stores[0])]
    assert len(seen) == 200


async def test_many_first_starts_at_once_make_one_schema(bot: str) -> None:
    stores = await asyncio.gather(*(PostgresStore.open(postgres_url(), bot) for _ in range(6)))
    assert all(await asyncio.gather(*(store.append(session(), message(n)) for n, store in enumerate(stores))))
    assert (await stores[0].counts()).messages == 6
    await asyncio.gather(*(store.close() for store in stores))


async def test_bots_in_one_database_do_not_see_each_other(opened: Opener) -> None:
    mine = await opened()
    other = await PostgresStore.open(postgres_url(), fresh_name())
    assert await mine.append(session(), message(1))
    assert await other.append(session(), message(1))
    assert await other.remove_messages(["m1"]) == 1
    assert [kept.id for kept in await mine.messages("s1")] == ["m1"]
    await other.close()


async def test_a_request_that_takes_too_long_is_stopped_and_nothing_of_it_is_kept(bot: str, opened: Opener) -> None:
    store = await opened(statement_timeout=0.2)
    await store.append(session(), message(1))
    holder = await asyncpg.connect(postgres_url())
    async with holder.transaction():
        await holder.execute(f'LOCK TABLE "troupe_{bot}".conversations')
        with pytest.raises(Unavailable, match=r"0\.2 seconds"):
            await store.messages("s1")
        with pytest.raises(Unavailable, match=r"0\.2 seconds"):
            await store.append(session(), message(2))
    await holder.close()
    assert [kept.id for kept in await store.messages("s1")] == ["m1"]
    assert await store.append(session(), message(2)) is True


async def test_a_newer_schema_is_refused_and_left_alone(bot: str, opened: Opener) -> None:
    await (await opened()).append(session(), message(1))
    steps = f'"troupe_{bot}".schema_steps'
    await sql(f"INSERT INTO {steps} (number, name, checksum) VALUES (99, 'later', 'x')")
    with pytest.raises(NewerSchema, match="start the newer Troupe"):
        await PostgresStore.open(postgres_url(), bot)
    await sql(f"DELETE FROM {steps} WHERE number = 99")
    await sql(f"UPDATE {steps} SET checksum = 'x' WHERE number = 1")
    with pytest.raises(Unavailable, match="another step 0001_first"):
        await PostgresStore.open(postgres_url(), bot)


async def test_a_schema_from_before_answers_told_who_asked_is_brought_up_to_date(bot: str, opened: Opener) -> None:
    connection, schema = await asyncpg.connect(postgres_url()), Schema(f"troupe_{bot}", None)
    await connection.execute(f'CREATE SCHEMA "{schema.name}"')
    await connection.execute(f'CREATE TABLE "{schema.name}".schema_steps (number integer, name text, checksum text)')
    for number, step in enumerate(sorted(STEPS.glob("*.sql"))[:2], 1):
        script = step.read_text("utf-8")
        await connection.execute(schema.spelt(script))
        told = (number, step.stem, hashlib.sha256(script.encode()).hexdigest())
        await connection.execute(f'INSERT INTO "{schema.name}".schema_steps VALUES ($1, $2, $3)', *told)
    before = arguments([rows_of(Append(session(), message(1)), 1)])
    assert await connection.fetchval(schema.spelt(WRITE), bot, *before) == [1]
    await connection.close()
    store = await opened()
    assert await store.append(session(), message(2, role="assistant", reply_to="m0", asker="8"))
    assert await everything(store) == [message(1), message(2, role="assistant", reply_to="m0", asker="8")]
    assert [each.id for each in (await store.talk_of("8")).items] == ["m2"]


async def test_words_spelt_by_older_rules_are_spelt_anew(bot: str, opened: Opener) -> None:
    store = await opened()
    await asyncio.gather(*(store.append(session(), message(number)) for number in range(600)))
    await sql(f"""UPDATE "troupe_{bot}".conversations SET words = ''""")
    assert await store.search("line 599") == []
    await sql(f"""UPDATE "troupe_{bot}".facts SET value = 0 WHERE name = 'lexer'""")
    heard: list[tuple[str, int, int]] = []
    again = await opened(tell=lambda *how_far: heard.append(how_far))
    assert heard[0] == ("spelling the words anew", 0, 0)
    assert [found.message.id for found in await again.search("line 599")] == ["m599"]
    assert len(await again.search("line", limit=1000)) == 600


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://ann:hush@127.0.0.1:1/db", "database db at 127.0.0.1:1 cannot be used right now"),
        ("postgresql://ann:hush@[::1/db", "percent-encoded"),
        ("postgresql://ann:12/hush@127.0.0.1/db", "percent-encoded"),
        ("postgresql://ann:ab/hush@127.0.0.1/db", "percent-encoded"),
        ("mysql://ann:hush@127.0.0.1/db", "percent-encoded"),
        ("ann:hush", "percent-encoded"),
        ("postgresql://ann:hush@127.0.0.1/db?sslmode=perhaps", "storage URL"),
        ("own?no-such-role:hush", "check the user"),
        ("own?no-such-database", "create the database"),
    ],
)
async def test_no_error_tells_the_password(url: str, said: str, bot: str) -> None:
    own = own_server().url
    url = {
        "own?no-such-role:hush": own.replace("postgres:hush", "nobody:hush"),
        "own?no-such-database": own.replace("/postgres?", "/none?"),
    }.get(url, url)
    with pytest.raises(Unavailable, match=said) as caught:
        await PostgresStore.open(url, bot, patience=0)
    assert "hush" not in "".join(traceback.format_exception(caught.value))


async def test_people_can_be_told_when_the_server_stays_away(opened: Opener) -> None:
    store = await opened(own_server().url, patience=0)
    await asyncio.to_thread(own_server().stop)
    try:
        for asked in (store.append(session(), message(1)), store.messages("s1"), store.counts()):
            with pytest.raises(Unavailable, match="cannot be used right now") as caught:
                await asked
            assert "hush" not in str(caught.value)
    finally:
        await asyncio.to_thread(own_server().start)
    assert await store.append(session(), message(1)) is True


async def test_a_frozen_store_sees_one_moment_and_does_not_write(opened: Opener) -> None:
    store = await opened()
    assert isinstance(store, Freezes)
    await store.append(session(), message(1))
    async with store.frozen() as frozen:
        await store.append(session(title="later"), message(2))
        await store.remove_messages(["m1"])
        assert [kept.id for kept in (await frozen.read()).items] == ["m1"]
        assert await asyncio.gather(*(frozen.session("s1") for _ in range(5))) == [session(message_count=1)] * 5
        for refused in (frozen.append(session(), message(3)), frozen.remove_sessions(["s1"])):
            with pytest.raises(StorageError, match="one moment"):
                await refused
    assert [kept.id for kept in await store.messages("s1")] == ["m2"]


async def test_people_who_write_sql_find_the_columns_they_know(bot: str, opened: Opener) -> None:
    await (await opened()).append(session(), message(1, metadata={"rule": "keyword"}))
    seen = await sql(
        f"""SELECT to_jsonb(found) FROM (
            SELECT said.*, started_at = last_at AS fresh, message_count, is_active, last_activity = timestamp AS known
            FROM "troupe_{bot}".sessions JOIN (
                SELECT bot_name, channel_id, channel_name, channel_type, user_id, username, session_id, message_id,
                    role, content, timestamp, metadata FROM "troupe_{bot}".conversations
            ) AS said USING (bot_name, channel_id, session_id)
        ) AS found"""
    )
    shown = json.loads(seen)
    assert datetime.fromisoformat(shown.pop("timestamp")) == message(1).at
    assert shown == {
        "bot_name": bot,
        "channel_id": "100",
        "channel_name": "room",
        "channel_type": "channel",
        "user_id": "7",
        "username": "Ann",
        "session_id": "s1",
        "message_id": "m1",
        "role": "user",
        "content": "line 1",
        "metadata": {"rule": "keyword"},
        "fresh": True,
        "known": True,
        "message_count": 1,
        "is_active": True,
    }
