"""Moving in what is of people: who asked to be forgotten stays so, and two accounts of one person become one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from storage.copying import contents
from storage.forgetting import forget
from storage.legacy import Spot, Taken
from storage.model import Channel, Session, message_id
from storage.naming import Naming, Person
from storage.records import Memory, Profile, Run, Setting, Template, Tombstone
from tests.test_migration import BEN, NOON, SAGE, House, Item, house_of, line, talk

OWN = Channel(front="web", kind="web", id="claude-1", name="Claude of Ann", parent_id="1")
PANELS = Channel(front="web", kind="web", id="panels", name="panels")
LATER = NOON + timedelta(days=1)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with house_of("sqlite in memory", tmp_path) as house:
        yield house


def room_of_ann() -> list[Item]:
    """Her room with a talk, an empty one, and what is remembered, set and done there."""
    empty = Session(id="empty", channel=OWN, title="Divorce", opened_at=NOON, last_at=NOON)
    given: dict[str, Any] = {"at": NOON, "type": "semantic", "subject": "project:1", "text": "papers"}
    records = (
        Memory(id="project", audience=OWN.key, **given),
        Run(id="r1", at=NOON, type="panel", session_id="empty", state="done"),
        Run(id="r2", at=NOON, type="workflow", state="done", data={"user": "1"}),
        Setting(id=f"channel:{OWN.key}", at=NOON, by=BEN),
        Template(id="t", at=NOON, name="Mine", audience="bot", by=BEN, people=("1",)),
    )
    return [
        Taken(OWN, Spot("users.json")),
        *talk([line(0, channel=OWN), line(1, SAGE, channel=OWN)], OWN),
        *[Taken(empty, Spot("s"))] * 2,
        *[Taken(record, Spot("r")) for record in records],
    ]


async def test_a_room_of_somebody_who_was_forgotten_is_not_taken_in_again(house: House) -> None:
    report = await house.take(*room_of_ann())
    assert (report.sessions.taken, report.records.taken, report.channels.taken) == (2, 5, 1)
    await forget(house.store, "1", LATER)
    before = await contents(house.store)
    report = await house.take(*room_of_ann())
    assert await contents(house.store) == before
    assert (report.channels.left_out, report.sessions.left_out, report.records.left_out) == (1, 2, 5)
    assert (report.channels.found, report.messages.left_out, report.refused) == (1, 2, 0)


async def test_who_came_back_has_a_room_again(house: House) -> None:
    await house.store.keep(Tombstone(id="1", at=NOON - timedelta(days=1)))
    report = await house.take(*room_of_ann())
    assert (report.channels.found, report.channels.taken, report.channels.left_out) == (1, 1, 0)
    assert (report.messages.taken, report.records.taken) == (2, 5)


async def test_an_answer_after_since_goes_with_the_forgotten_question_before_it(house: House) -> None:
    await house.store.keep(Tombstone(id="1", at=LATER))
    asked = [line(0), line(60, SAGE, "you said you like tea", reply_to=message_id(NOON, 0)), line(61, BEN)]
    report = await house.take(*talk(asked), since=NOON + timedelta(minutes=30))
    assert await house.said() == ["line 61"]
    assert (report.forgotten, report.messages.left_out) == (2, 2)


async def test_two_accounts_of_one_person_become_one_profile(house: House) -> None:
    naming = Naming({"1": Person("99"), "2": Person("99")})
    first = Profile(id="1", at=NOON, name="Ann", preferences={"tea": "green", "units": "metric"})
    second = Profile(id="2", at=NOON, name="Annie", past_names=("An",), preferences={"tea": "black", "tone": "dry"})
    apart: list[Item] = [Taken(first, Spot("a")), *[Taken(SAGE_PLAYS, Spot("x"))] * 600, Taken(second, Spot("b"))]
    for items in ([Taken(first, Spot("a")), Taken(second, Spot("b"))], apart):
        report = await house.take(*items, naming=naming)
        kept = await house.store.record(Profile, "99")
        assert kept
        assert (kept.name, kept.past_names) == ("Ann", ("An", "Annie"))
        assert kept.preferences == {"tea": "green", "units": "metric", "tone": "dry"}
        assert report.notes == ("b: the profile of 99 says something else already, which stays: tea",)
    assert (report.records.taken, report.records.found) == (0, 2)
    await house.store.remove_records(Profile, ["99"])
    await house.take(*apart, naming=naming)
    assert await house.store.record(Profile, "99") == kept


SAGE_PLAYS = Session(id="empty", channel=PANELS, opened_at=NOON, last_at=NOON)
