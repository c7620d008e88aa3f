"""What a crash left open is found without changing anything, and answers that were given anew leave sight after it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from bots.afterwards import REPLACES, Unfinished
from storage.amendments import Deleted
from storage.model import Channel, Message, Receipt, Session, Text
from tests.contracts.samples import answer, message
from tests.world import World, world

_DAY = timedelta(days=1)


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with world() as made:
        yield made


async def talk(w: World, *answers: Message, front: str = "web") -> None:
    """A question and what was answered, one after the other, each a minute later."""
    now = w.clock.now() - timedelta(hours=1)
    channel = Channel(front=front, id="ann", kind="web" if front == "web" else "dm", name="ann")
    session = Session(id=f"in {front}", channel=channel, persona="sage", opened_at=now, last_at=now)
    said = message(0, session.id, id=f"{front} 0", origin=f"{front}:ann:0")
    for number, each in enumerate((said, *answers)):
        at = now + timedelta(minutes=number)
        assert await w.store.append(session, each.model_copy(update={"at": at, "session_id": session.id}))


def given(id: str, words: str, replaces: str = "", **more: object) -> Message:
    metadata = {REPLACES: replaces} if replaces else {}
    parts = (Text(text=words),) if words else ()
    origin = f"web:answer:{id}"
    return answer(0, 0, id=id, origin=None, reply_to="web 0", parts=parts, metadata=metadata).model_copy(
        update={"receipts": (Receipt(origin=origin, page=0),), **more}
    )


async def left(w: World, front: str = "web", since: timedelta = _DAY) -> Unfinished:
    return await w.bot.afterwards.unfinished(w.clock.now() - since, front=front)


async def seen(w: World, front: str = "web") -> list[str]:
    return [each.id for each in (await w.store.read(f"in {front}")).items if each.role == "assistant"]


async def test_looking_for_what_is_open_changes_nothing_and_finishing_does(w: World) -> None:
    await talk(w, given("a", "One."), given("b", "Two.", "a"))
    found = await left(w)
    assert await seen(w) == ["a", "b"]
    await w.bot.afterwards.finish_replacing(found)
    assert await seen(w) == ["b"]
    assert (await left(w)).replaced == {}, "nothing is left to do"


async def test_an_answer_is_not_brought_that_was_replaced_by_way_of_an_empty_one(w: World) -> None:
    await talk(w, given("a", "One.", receipts=()), given("b", "", "a"), given("c", "Three.", "b"))
    found = await left(w)
    assert [each.id for each in found.answers] == []
    await w.bot.afterwards.finish_replacing(found)
    assert await seen(w) == ["c"]


async def test_an_empty_answer_replaces_nothing(w: World) -> None:
    await talk(w, given("a", "One.", receipts=()), given("b", "", "a"))
    found = await left(w)
    assert ([each.id for each in found.answers], found.replaced) == (["a"], {})


async def test_a_crash_between_two_that_are_replaced_leaves_the_first_for_the_next_start(w: World) -> None:
    await talk(w, given("a", "One."), given("b", "", "a"), given("c", "Three.", "b"))
    await w.store.amend("b", Deleted(at=w.clock.now()))
    await w.bot.afterwards.finish_replacing(await left(w))
    assert await seen(w) == ["c"]


async def test_a_better_answer_that_was_taken_away_replaces_nothing_any_more(w: World) -> None:
    await talk(w, given("a", "One."), given("b", "Two.", "a"))
    await w.store.amend("b", Deleted(at=w.clock.now()))
    assert (await left(w)).replaced == {}


async def test_each_front_finishes_its_own(w: World) -> None:
    await talk(w, given("a", "One."), given("b", "Two.", "a"))
    await talk(w, given("d", "One."), given("e", "Two.", "d"), front="discord")
    await w.bot.afterwards.finish_replacing(await left(w, "discord"))
    assert (await seen(w), await seen(w, "discord")) == (["a", "b"], ["e"])
