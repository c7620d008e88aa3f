"""Budgets: how much is left, what people are told, and that neither clock nor restart can be tricked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import storage
from bots.community_settings import Budget
from bots.discord.interactions import inert
from bots.quotas import Quotas, Verdict
from bots.usage_report import usage_report
from storage.backend import Store
from storage.model import Channel, Message, Sender, Session, Text, Usage

from .world import ANA, BEN, Clock, Person

HALL = Channel(front="discord", id="100", kind="channel", name="hall", guild_id="1", guild_name="Troupers")
YARD = HALL.model_copy(update={"id": "101", "name": "yard"})
THREAD = HALL.model_copy(update={"id": "102", "kind": "thread", "name": "tea", "parent_id": "100"})
ABROAD = HALL.model_copy(update={"id": "200", "guild_id": "2", "guild_name": "Others"})
DM = Channel(front="discord", id="300", kind="dm", name="ana", parent_id="id-Ana")


def home_name(channel: Channel) -> str:
    return HALL.name if channel == THREAD else channel.name


@dataclass
class Desk:
    """A store, a clock, and the quotas over both."""

    store: Store
    clock: Clock
    budgets: list[Budget]
    quotas: Quotas
    number: int = 0

    async def restart(self) -> None:
        self.quotas = Quotas(lambda _: self.budgets, self.store, home_name, now=self.clock.now)
        await self.quotas.start()

    def ask(self, who: Person = ANA, where: Channel = HALL, roles: tuple[str, ...] = ()) -> Verdict:
        return self.quotas.ask(where, who.sender, roles)

    async def answer(self, who: Person = ANA, where: Channel = HALL, **took: Any) -> Verdict:
        """Asks, and keeps and counts the answer where there is one."""
        verdict = self.ask(who, where)
        if not verdict.declined:
            self.quotas.spent(where, who.sender, await self.kept(who.sender, where, **took))
        return verdict

    async def kept(
        self, sender: Sender, where: Channel, model: str = "gpt", cost: int | None = 0, **took: int
    ) -> Usage:
        """Keeps a question and its answer as a bot would."""
        self.number += 2
        now = self.clock.now()
        session = Session(id=f"s{where.id}", channel=where, opened_at=now, last_at=now)
        line = Message(
            id=f"m{self.number:06}",
            origin=f"{where.key}:{self.number}",
            session_id=session.id,
            role="user",
            sender=sender,
            parts=(Text(text="well?"),),
            at=now,
        )
        usage = Usage(provider="openai", model=model, cost_micros=cost, **took)
        persona = Sender(type="persona", id="sage", name="Sage")
        more = {"id": f"m{self.number + 1:06}", "origin": None, "role": "assistant", "sender": persona, "usage": usage}
        said = line.model_copy(update={**more, "persona": "sage", "reply_to": line.id})
        assert await self.store.append(session, line)
        assert await self.store.append(session, said)
        return usage


@asynccontextmanager
async def desk(root: Path, *budgets: dict[str, Any]) -> AsyncIterator[Desk]:
    clock = Clock()
    store = await storage.connect("sage", root)
    told = [Budget(**budget) for budget in budgets]
    made = Desk(store, clock, told, Quotas(lambda _: told, store, home_name, now=clock.now))
    try:
        await made.quotas.start()
        yield made
    finally:
        await store.close()


async def test_without_budgets_nobody_is_held_up(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        assert await d.answer() == Verdict()


async def test_a_budget_warns_twice_then_declines_and_begins_anew_by_the_clock(tmp_path: Path) -> None:
    async with desk(tmp_path, {"per": "user", "window": "hour", "messages": 10}) as d:
        d.clock.advance(35 * 60)
        told = [await d.answer() for _ in range(11)]
        notices = {number: verdict.notice for number, verdict in enumerate(told, 1) if verdict.notice}
        when = "it begins anew at 10:00 UTC, in 25 minutes."
        assert notices == {
            5: f"You have used 50 % of your 10 answers for this hour; {when}",
            8: f"You have used 80 % of your 10 answers for this hour; {when}",
        }
        declined = "You have used up your 10 answers for this hour; I can answer again at 10:00 UTC, in 25 minutes."
        assert [verdict.declined for verdict in told] == [""] * 10 + [declined]
        assert not d.ask(BEN).declined
        d.clock.advance(25 * 60)
        assert await d.answer() == Verdict()


@pytest.mark.parametrize(
    ("budget", "again"),
    [
        (
            {"per": "channel"},
            "This channel has used up its 1 answer for today; I can answer again at 00:00 UTC, in 15 hours.",
        ),
        (
            {"per": "guild", "window": "month"},
            "This server has used up its 1 answer for this month; "
            "I can answer again on 1 April at 00:00 UTC, in 30 days.",
        ),
        (
            {"per": "bot", "guild": "troupers"},
            "I have used up my 1 answer for today here; I can answer again at 00:00 UTC, in 15 hours.",
        ),
    ],
    ids=str,
)
async def test_a_decline_says_whose_budget_it_is_and_when_it_works_again(
    tmp_path: Path, budget: dict[str, Any], again: str
) -> None:
    async with desk(tmp_path, {**budget, "messages": 1}) as d:
        await d.answer()
        assert d.ask(BEN).declined == again


async def test_of_several_budgets_the_one_that_holds_longest_is_told(tmp_path: Path) -> None:
    async with desk(tmp_path, {"per": "user", "window": "hour", "messages": 1}, {"per": "user", "messages": 1}) as d:
        await d.answer()
        assert "today" in d.ask().declined


@pytest.mark.parametrize(
    ("limit", "took", "told"),
    [
        ({"tokens": 1000}, {"tokens_in": 300, "tokens_out": 100}, "1,000 tokens"),
        ({"usd": 0.5}, {"cost": 200_000}, "$0.50"),
        ({"messages": 99, "usd": 0.003}, {"cost": 1_100}, "$0.003"),
    ],
    ids=str,
)
async def test_tokens_and_money_are_limited_too(
    tmp_path: Path, limit: dict[str, Any], took: dict[str, Any], told: str
) -> None:
    async with desk(tmp_path, {"per": "user", **limit}) as d:
        said = [await d.answer(**took) for _ in range(4)]
        assert [bool(verdict.declined) for verdict in said] == [False, False, False, True]
        assert f"your {told} for today" in said[-1].declined


async def test_questions_at_one_moment_get_no_more_answers_than_there_are(tmp_path: Path) -> None:
    async with desk(tmp_path, {"per": "guild", "messages": 3}) as d:
        said = [d.ask(who, where) for who in (ANA, BEN) for where in (HALL, YARD, THREAD, ABROAD)]
        assert [bool(verdict.declined) for verdict in said] == [False, False, False, False, True, True, True, False]


async def test_an_answer_that_nobody_gave_is_given_back(tmp_path: Path) -> None:
    async with desk(tmp_path, {"per": "user", "messages": 1}) as d:
        for _ in range(3):
            assert not d.ask().declined
            d.quotas.undone(HALL, ANA.sender)
        await d.answer()
        assert d.ask().declined


async def test_the_same_decline_is_said_once_in_ten_minutes_and_place(tmp_path: Path) -> None:
    async with desk(tmp_path, {"per": "user", "messages": 1}) as d:
        await d.answer()
        assert [d.ask().quiet, d.ask().quiet, d.ask(ANA, YARD).quiet] == [False, True, False]
        d.clock.advance(600)
        assert [d.ask().quiet, d.ask().quiet] == [False, True]


async def test_from_80_percent_on_the_cheaper_model_answers(tmp_path: Path) -> None:
    async with desk(tmp_path, {"per": "user", "usd": 1.0, "cheaper": "small"}) as d:
        await d.answer(cost=790_000)
        assert (await d.answer(cost=10_000)).models is None
        verdict = await d.answer(cost=10_000)
        assert verdict.models == frozenset({"small"})
        assert verdict.notice == (
            "You have used 80 % of your $1.00 for today, so small answers from now on; "
            "it begins anew at 00:00 UTC, in 15 hours."
        )
        assert (await d.answer()).notice == ""


async def test_the_last_answer_there_is_comes_without_word_of_who_answers_next(tmp_path: Path) -> None:
    async with desk(tmp_path, {"per": "user", "messages": 1, "cheaper": "offline"}) as d:
        assert not d.quotas.used_up(HALL, ANA.sender, ())
        told = "You have used 100 % of your 1 answer for today; it begins anew at 00:00 UTC, in 15 hours."
        assert (await d.answer()).notice == told
        declined = d.quotas.used_up(HALL, ANA.sender, ())
        assert declined == d.ask().declined, "asking beforehand is no telling"


NARROWED = [
    ({"per": "user"}, [HALL, YARD, ABROAD, DM]),
    ({"per": "user", "guild": "1"}, [HALL, YARD]),
    ({"per": "user", "channel": "ha*"}, [HALL, ABROAD]),
    ({"per": "user", "guild": "Others", "channel": "hall"}, [ABROAD]),
    ({"per": "user", "channel": "100"}, [HALL, THREAD]),
    ({"per": "channel"}, [HALL, THREAD]),
    ({"per": "guild"}, [HALL, YARD, THREAD]),
    ({"per": "bot"}, [HALL, YARD, ABROAD, DM]),
    ({"per": "bot", "user": "id-Ana"}, [HALL, YARD, ABROAD, DM]),
]


@pytest.mark.parametrize(("budget", "places"), NARROWED, ids=str)
@pytest.mark.parametrize("restarted", [False, True])
async def test_what_was_used_counts_where_the_budget_holds_also_after_a_restart(
    tmp_path: Path, budget: dict[str, Any], places: list[Channel], restarted: bool
) -> None:
    async with desk(tmp_path, {**budget, "messages": len(places)}) as d:
        for place in places:
            assert not (await d.answer(ANA, place)).declined
        if restarted:
            await d.restart()
        assert d.ask(ANA, places[0]).declined


@pytest.mark.parametrize("restarted", [False, True])
async def test_what_was_used_elsewhere_or_by_others_does_not_count(tmp_path: Path, restarted: bool) -> None:
    budgets = [
        {**budget, "messages": 1}
        for budget in (
            {"per": "user", "guild": "1"},
            {"per": "user", "role": "guests"},
            {"per": "channel", "channel": "100"},
            {"per": "guild", "guild": "1"},
            {"per": "bot", "user": "id-Ana"},
        )
    ]
    async with desk(tmp_path, *budgets) as d:
        for who, where in ((ANA, DM), (BEN, ABROAD)):
            await d.kept(who.sender, where)
        await d.restart() if restarted else None
        assert not d.ask(BEN, HALL).declined


async def test_a_role_holds_those_who_have_it(tmp_path: Path) -> None:
    async with desk(tmp_path, {"per": "user", "role": "Guests", "messages": 1}) as d:
        await d.answer()
        assert d.ask(ANA, roles=("9", "guests")).declined
        assert not d.ask(ANA, roles=("9", "members")).declined
        assert not d.ask(BEN, roles=("guests",)).declined
    with pytest.raises(ValidationError, match="role with per 'user'"):
        Budget(per="guild", role="Guests", messages=1)


async def test_a_restart_resets_nothing_that_is_still_under_way(tmp_path: Path) -> None:
    budgets = [{"per": "user", "window": window, "messages": 100} for window in ("hour", "day", "month")]
    async with desk(tmp_path, *budgets) as d:
        for _ in range(3):
            await d.answer(tokens_in=10, tokens_out=5, cost=100)
            d.clock.advance(3600)
        await d.answer(cost=None)
        before = d.quotas.used(ANA.sender.id)
        assert [each.answers for each in before.values()] == [1, 4, 4]
        assert (before["day"].tokens, before["day"].cost_micros, before["day"].unpriced) == (45, 300, 1)
        await d.restart()
        assert d.quotas.used(ANA.sender.id) == before
        d.clock.advance(86_400)
        assert [each.answers for each in d.quotas.used(ANA.sender.id).values()] == [0, 0, 4]
        d.clock.advance(31 * 86_400)
        assert [each.answers for each in d.quotas.used(ANA.sender.id).values()] == [0, 0, 0]


async def test_a_minutes_budget_holds_a_rush_back_without_a_warning(tmp_path: Path) -> None:
    async with desk(tmp_path, {"per": "user", "window": "minute", "messages": 2}) as d:
        d.clock.advance(20)
        told = [await d.answer() for _ in range(3)]
        assert [verdict.notice for verdict in told] == ["", "", ""]
        declined = "You have used up your 2 answers for this minute; I can answer again at 09:01 UTC, in 1 minute."
        assert [verdict.declined for verdict in told] == ["", "", declined]
        await d.restart()
        assert d.ask().declined
        d.clock.advance(40)
        assert not d.ask().declined


async def test_a_channels_budget_by_name_holds_in_its_threads_whatever_they_are_called(tmp_path: Path) -> None:
    async with desk(tmp_path, {"per": "channel", "channel": "hal*", "messages": 1}) as d:
        await d.answer(ANA, THREAD)
        assert d.ask(BEN, HALL).declined
        assert not d.ask(BEN, YARD).declined


async def test_what_was_removed_was_used_all_the_same(tmp_path: Path) -> None:
    async with desk(tmp_path, {"per": "user", "guild": "1", "messages": 3}) as d:
        for _ in range(3):
            await d.answer()
        await d.store.remove_messages(["m000002", "m000003", "m000005"])
        await d.restart()
        assert d.ask().declined


async def test_an_answer_over_the_end_of_a_month_counts_in_the_new_one(tmp_path: Path) -> None:
    async with desk(tmp_path, {"per": "guild", "window": "month", "messages": 1}) as d:
        assert not d.ask().declined
        d.clock.advance(30 * 86_400)
        d.quotas.spent(HALL, ANA.sender, await d.kept(ANA.sender, HALL))
        assert d.ask(BEN, YARD).declined


async def test_a_change_of_budgets_holds_at_once(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        for _ in range(3):
            await d.answer()
        d.budgets.append(Budget(per="user", messages=3))
        assert d.ask().declined


async def test_the_report_tells_who_used_what_in_one_server(tmp_path: Path) -> None:
    async with desk(tmp_path, {"per": "guild", "usd": 1.0}, {"per": "user", "messages": 9}) as d:
        start = d.clock.now()
        await d.answer(ANA, HALL, tokens_in=1000, tokens_out=500, cost=20_000)
        await d.answer(ANA, YARD, model="own", cost=None)
        d.clock.advance(86_400)
        sly = Sender(type="user", id="9", name="[click](http://x)")
        d.quotas.spent(HALL, sly, await d.kept(sly, HALL, cost=500_000))
        await d.answer(BEN, ABROAD, cost=900_000)
        now = d.clock.now() + timedelta(seconds=1)
        assert await usage_report(d.store, d.quotas, HALL, start, now, inert) == REPORT
        everywhere = await usage_report(d.store, d.quotas, DM, start, now, str)
        assert "- Ben: 1 answer, 0 tokens, $0.90" in everywhere


REPORT = """\
**Used in this server** from 2026-03-02 09:00 UTC to 2026-03-03 09:00 UTC: \
3 answers, 1,500 tokens, $0.52.

-# 1 answer counted as $0.00: its price is unknown.

This server's, for today; it begins anew at 2026-03-04 00:00 UTC.
`█████░░░░░` $0.50 of $1.00

**By person**
- \\[click\\]\\(http://x\\): 1 answer, 0 tokens, $0.50
- Ana: 2 answers, 1,500 tokens, $0.02

**By channel**
- hall: 2 answers, 1,500 tokens, $0.52
- yard: 1 answer, 0 tokens, $0.00

**By model**
- gpt: 2 answers, 1,500 tokens, $0.52
- own: 1 answer, 0 tokens, $0.00

**By persona**
- sage: 3 answers, 1,500 tokens, $0.52

**By day**
- 2026-03-02: 2 answers, 1,500 tokens, $0.02
- 2026-03-03: 1 answer, 0 tokens, $0.50"""
