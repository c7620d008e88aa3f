"""Several sessions in one channel at once, on Discord and where several processes hear one channel."""

from __future__ import annotations

import itertools
from asyncio import gather
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import storage
from bots.sessions import Sessions
from storage.backend import Store
from storage.model import Channel, Message, Sender, Text
from tests.postgres import fresh_name, postgres_url

from .test_commands_sessions import later
from .test_commands_talk import account, spoken, told
from .test_sessions_structural import _counted
from .world import ANA, BEN, CAI, Person, settings

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
GENERAL = Channel(front="discord", id="1", kind="channel", name="general", guild_id="g")
CODE = ("why does my borrow checker complain about this closure?", "the closure outlives its borrow, says the compiler")
PASTA = ("how long should tomatoes simmer for pasta sauce?", "the sauce is thin and the tomatoes are watery")
SAGE = Sender(type="persona", id="sage", name="Sage")
_NUMBERS = itertools.count(1)


class Process:
    """One process of the bot, as far as sessions go."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.sessions = Sessions(store, settings(), chance=lambda: next(_NUMBERS))

    async def hear(self, who: Person, text: str, seconds: float, reply: Message | None = None) -> str:
        """Keeps a line that somebody says so long after noon, and an answer; returns its session's id."""
        number = next(_NUMBERS)
        line = Message(
            id=f"m{number:06}",
            origin=f"{GENERAL.key}:{number}",
            session_id="",
            role="user",
            sender=who.sender,
            parts=(Text(text=text),),
            at=NOON + timedelta(seconds=seconds),
        )
        placed = await self.sessions.place(GENERAL, line, reply)
        await self.store.append(placed.session, placed.line)
        said = {"id": f"{line.id}a", "origin": None, "role": "assistant", "sender": SAGE, "reply_to": line.id}
        answer = placed.line.model_copy(update={**said, "parts": (Text(text="I see."),)})
        self.sessions.answered(placed.session, answer)
        await self.store.append(self.sessions.latest(placed.session), answer)
        return placed.session.id


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[tuple[Process, Process]]:
    name = fresh_name()
    stores = [await storage.connect(name, tmp_path, type="postgres", url=postgres_url()) for _ in range(2)]
    yield Process(stores[0]), Process(stores[1])
    for store in stores:
        await store.close()


async def test_two_talks_stay_apart_whichever_process_hears_a_line(two: tuple[Process, Process]) -> None:
    went: dict[Person, list[str]] = {ANA: [], BEN: []}
    went[ANA].append(await two[0].hear(ANA, CODE[0], -20_000))
    (said,) = [m for m in await two[0].store.messages(went[ANA][0]) if m.words == CODE[0]]
    for number in range(8):
        for who, texts in ((BEN, PASTA), (ANA, CODE)):
            process = two[(number + (who is BEN)) % 2]
            reply = said if who is ANA and not number else None
            went[who].append(await process.hear(who, texts[1], 20 * number + 8 * (who is ANA), reply))
    assert {len(set(sessions)) for sessions in went.values()} == {1}
    assert went[ANA][0] != went[BEN][0]
    assert await two[1].hear(CAI, "tomatoes", 400, reply=said) == went[ANA][0]


async def test_first_lines_heard_by_both_processes_at_once_open_one_session(two: tuple[Process, Process]) -> None:
    first, second = await gather(two[0].hear(ANA, CODE[0], 0), two[1].hear(ANA, CODE[0], 0))
    assert first == second


async def test_what_one_process_begins_is_where_the_other_goes_on(two: tuple[Process, Process]) -> None:
    one, other = two
    before = await one.hear(ANA, CODE[0], 0)
    await other.hear(ANA, CODE[1], 5)
    begun = await one.sessions.begin(GENERAL, NOON + timedelta(seconds=9), person_id=ANA.sender.id)
    assert begun.follows == before
    assert await other.hear(ANA, CODE[1], 12) == begun.id
    assert await one.hear(ANA, CODE[1], 15) == begun.id


async def test_on_discord_two_talk_across_each_other_and_each_sees_their_own_session(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana, ben = guild.add_member(env.create_user("ana")), guild.add_member(env.create_user("ben"))
        question = await ana.send(channel, CODE[0])
        await later(w, env, 20_000)
        await ben.send(channel, PASTA[0])
        for number in range(3):
            for who, texts in ((ana, CODE), (ben, PASTA)):
                await later(w, env, 6)
                reply = question if who is ana and not number else None
                await who.send(channel, texts[1], reply_to=reply)
        sessions = sorted(await w.store.sessions(), key=lambda each: each.opened_at)
        assert [{each.name for each in session.participants} for session in sessions] == [{"ana"}, {"ben"}]
        assert CODE[0] in told(await ana.slash(channel, "session show"))
        assert PASTA[0] in told(await ben.slash(channel, "session show"))
        reply = await ben.send(channel, "that closure needs a move", reply_to=question)
        kept = await w.store.find(f"discord:{channel.id}:{reply.id}")
        assert kept is not None
        assert kept.session_id == sessions[0].id


async def test_on_discord_new_and_taking_up_again_hold_for_who_asked(tmp_path: Path) -> None:
    async with account(tmp_path) as (w, env):
        guild = env.create_guild()
        channel = guild.create_text_channel("advice-life")
        ana, ben = guild.add_member(env.create_user("ana")), guild.add_member(env.create_user("ben"))

        async def hears(who: Any, text: str, after: float = 6) -> str:
            await later(w, env, after)
            line = await who.send(channel, text)
            kept = await w.store.find(f"discord:{channel.id}:{line.id}")
            assert kept is not None
            return kept.session_id

        anas = await hears(ana, CODE[0])
        bens = await hears(ben, PASTA[0], 20_000)
        await ana.slash(channel, "new")
        assert "for whoever asked and those in one with them; other talk goes on" in spoken(channel)[-1].content
        assert await hears(ben, PASTA[1]) == bens
        assert await hears(ana, "and now?") not in (anas, bens)
        await ana.slash(channel, "session resume", which=anas)
        assert await hears(ben, "thanks") == bens
        assert await hears(ana, "and now?") == anas


async def test_a_process_reads_no_line_again_that_it_has_kept_itself(two: tuple[Process, Process]) -> None:
    process, other = two
    await process.hear(ANA, CODE[0], 0)
    read: list[str] = []
    for name in ("sessions", "session", "messages", "message", "find", "read"):
        setattr(process.store, name, _counted(read, name, getattr(process.store, name)))
    await process.hear(ANA, CODE[1], 10)
    await process.hear(ANA, "still the same", 20)
    assert read == ["sessions", "sessions"], "which tell of what others have kept"
    await other.hear(ANA, "and now?", 30)
    read.clear()
    await process.hear(ANA, "well", 40)
    assert "messages" in read
