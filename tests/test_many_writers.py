"""Several processes of one bot over one PostgreSQL: what one has heard, no other undoes from memory."""

from __future__ import annotations

import itertools
from asyncio import gather
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import storage
from bots.community_settings import Budget
from bots.quotas import Quotas
from bots.sessions import Sessions
from storage.backend import Store
from storage.model import Channel, Message, Session, Text, Usage
from storage.retention import Limit, Rules
from storage.sweeping import sweep
from tests.postgres import fresh_name, postgres_url
from tests.world import ANA, BEN, CAI, Clock, Person, settings

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
GENERAL = Channel(front="discord", id="1", kind="channel", name="general")
PLANS = Channel(front="discord", id="2", kind="thread", name="plans", parent_id="1")
USAGE = Usage(provider="openai", model="gpt")
_NUMBERS = itertools.count(1)


class Process:
    """One process of the bot, as far as sessions go."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.sessions = Sessions(store, settings(sessions={"mode": "gap"}), chance=lambda: next(_NUMBERS))

    async def hear(self, who: Person, minutes: float, channel: Channel = GENERAL, reply: Message | None = None) -> str:
        """Keeps a line that somebody says so many minutes after noon; returns its session's id."""
        at = NOON + timedelta(minutes=minutes)
        placed = await self.sessions.place(channel, line(who, at), reply)
        await self.store.append(placed.session, placed.line)
        if placed.closed is not None:
            await self.store.save_session(placed.closed)
        return placed.session.id

    async def expire(self, minutes: float) -> int:
        return await self.sessions.expire(NOON + timedelta(minutes=minutes))


def line(who: Person, at: datetime, session: str = "") -> Message:
    parts = (Text(text=f"{who.name} at {at:%H:%M}"),)
    return Message(id=f"m{next(_NUMBERS)}", session_id=session, role="user", sender=who.sender, parts=parts, at=at)


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[tuple[Process, Process]]:
    name = fresh_name()
    stores = [await storage.connect(name, tmp_path, type="postgres", url=postgres_url()) for _ in range(2)]
    yield Process(stores[0]), Process(stores[1])
    for store in stores:
        await store.close()


async def test_first_lines_heard_by_both_at_once_open_one_session(two: tuple[Process, Process]) -> None:
    one, other = two
    first, second = await gather(one.hear(ANA, 0), other.hear(BEN, 0))
    assert first == second
    (session,) = await one.store.sessions(GENERAL.key)
    assert session.message_count == 2
    assert await one.hear(CAI, 10) != first
    assert len(await other.store.sessions(GENERAL.key)) == 2


async def test_what_one_closes_is_as_the_other_left_it(two: tuple[Process, Process]) -> None:
    one, other = two
    name = await one.hear(ANA, 0, PLANS)
    assert await other.hear(BEN, 50, PLANS) == name
    assert await one.expire(70) == 0
    assert await one.expire(111) == 1
    session = await other.store.session(name)
    assert session is not None
    assert session.closed_at == NOON + timedelta(minutes=111)
    assert session.last_at == NOON + timedelta(minutes=50)
    assert {person.name for person in session.participants} == {"Ana", "Ben"}
    assert "Ben last said: Ben at 12:50" in session.context.summary


async def test_a_reply_joins_the_session_as_the_other_left_it(two: tuple[Process, Process]) -> None:
    one, other = two
    name = await one.hear(ANA, 0)
    (said,) = await one.store.messages(name)
    await other.hear(BEN, 4)
    await other.hear(CAI, 20)
    assert await one.hear(ANA, 21, reply=said) == name
    session = await other.store.session(name)
    assert session is not None
    assert {person.name for person in session.participants} == {"Ana", "Ben"}


async def test_what_the_other_closed_is_free_to_be_removed(two: tuple[Process, Process]) -> None:
    one, other = two
    name = await one.hear(ANA, 0, PLANS)
    assert await other.expire(70) == 1

    async def nothing(*_: object) -> None:
        pass

    rules = Rules(thread=Limit(age=timedelta(days=1)))
    now = NOON + timedelta(days=2)
    done = await sweep(one.store, rules, now, tell=nothing, pause=nothing, latest=one.sessions.latest)
    assert (done.kept, done.totals["session"].items) == (0, 1)
    assert await other.store.session(name) is None


async def test_what_is_heard_here_and_not_kept_yet_keeps_a_session(two: tuple[Process, Process]) -> None:
    one, other = two
    name = await one.hear(ANA, 0, PLANS)
    assert await other.expire(70) == 1
    closed = await one.store.session(name)
    assert closed is not None
    placed = await one.sessions.place(PLANS, line(BEN, NOON + timedelta(minutes=90)), None)
    assert one.sessions.latest(closed) == placed.session


async def test_a_budget_counts_what_another_process_answered_and_warns_once(two: tuple[Process, Process]) -> None:
    one, other = two
    clock = Clock()
    budget = Budget(per="user", messages=4)
    quotas = Quotas(lambda _: (budget,), one.store, lambda channel: channel.name, now=clock.now)
    await quotas.start()

    async def answered(process: Process) -> None:
        session = Session(id="s", channel=GENERAL, opened_at=clock.now(), last_at=clock.now())
        asked = line(ANA, clock.now(), session.id)
        more = {"id": f"m{next(_NUMBERS)}", "role": "assistant", "reply_to": asked.id, "usage": USAGE}
        for message in (asked, asked.model_copy(update=more)):
            assert await process.store.append(session, message)

    for process in (one, other):
        await answered(process)
        quotas.ask(GENERAL, ANA.sender, ())
        quotas.spent(GENERAL, ANA.sender, USAGE)
    await answered(other)
    await quotas.refresh()
    assert quotas.used(ANA.sender.id)["day"].answers == 2, "a moment ago it was counted"
    clock.advance(60)
    await quotas.refresh()
    assert quotas.used(ANA.sender.id)["day"].answers == 3
    assert "100 %" in quotas.ask(GENERAL, ANA.sender, ()).notice
    quotas.undone(GENERAL, ANA.sender)
    clock.advance(60)
    await quotas.refresh()
    assert not quotas.ask(GENERAL, ANA.sender, ()).notice
    assert quotas.ask(GENERAL, ANA.sender, ()).declined
