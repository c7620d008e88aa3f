"""New memories beside what is known: no junk, nothing twice, contradictions with their dates, and a way back."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pytest

from bots.consolidating import consolidated, is_junk, packed
from bots.facts import fact, people, sources
from bots.memory_rules import facts
from storage.model import Sender
from storage.records import Memory

from .remembered import ANA, BEN, START, line

HERE, PRIVATE = "discord:10", "user:id-Ana"
DAY = timedelta(days=1)
_NUMBERS = iter(range(10_000))


def said(text: str, at: datetime = START, audience: str = HERE) -> list[Memory]:
    return facts(line(text, at=at, id=f"line{next(_NUMBERS)}"), "Ana", audience)


def told(*batches: list[Memory]) -> dict[str, Memory]:
    """All memories, by their text, after these were taken in one batch after the other."""
    known: dict[str, Memory] = {}
    for batch in batches:
        known |= {each.id: each for each in consolidated(batch, known.values())}
    return {each.text: each for each in known.values()}


def test_a_newer_fact_supersedes_the_one_it_contradicts_and_history_keeps_the_dates() -> None:
    memories = told(
        said("I live in Rome"), said("I live in Oslo", START + DAY), said("I moved to Kyiv", START + 2 * DAY)
    )
    rome, oslo, kyiv = memories.values()
    assert (rome.superseded_by, rome.superseded_at) == (oslo.id, START + DAY)
    assert (oslo.superseded_by, oslo.superseded_at) == (kyiv.id, START + 2 * DAY)
    assert kyiv.superseded_by is None


def test_what_is_learned_late_never_supersedes_what_is_true_since() -> None:
    memories = told(said("I live in Oslo", START + DAY), said("I live in Rome", START))
    oslo, rome = memories["Ana lives in Oslo."], memories["Ana lives in Rome."]
    assert oslo.superseded_by is None
    assert (rome.superseded_by, rome.superseded_at) == (oslo.id, START + DAY)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("I like olives", "I no longer like olives"),
        ("I hate olives", "I love olives"),
        ("I live in Rome", "I no longer live in Rome"),
        ("I work at Siemens", "I quit my job"),
        ("I quit my job", "I work at Siemens"),
        ("I work at Siemens", "I work at Bosch"),
        ("My favourite colour is green", "My favourite colour is red"),
        ("Call me Ishmael", "Call me Ahab"),
    ],
)
def test_what_cannot_both_be_true(before: str, after: str) -> None:
    old, new = told(said(before), said(after, START + DAY)).values()
    assert old.superseded_by == new.id
    assert new.superseded_by is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I like olives", "I like cheese"),
        ("I like olives", "I hate cheese"),
        ("I have a dog", "I have two cats"),
        ("My favourite colour is green", "My favourite food is rice"),
        ("I live in Rome", "My sister lives in Oslo"),
        ("I live in Rome", "I no longer live in Oslo"),
    ],
)
def test_what_can_both_be_true(one: str, other: str) -> None:
    assert [each.superseded_by for each in told(said(one), said(other, START + DAY)).values()] == [None, None]


def test_the_same_again_is_not_kept_twice_but_counts_more_once_for_each_line() -> None:
    again = said("I love olives!", START + DAY)
    [memory] = told(said("I like olives"), again, again, again).values()
    assert memory.importance == pytest.approx(0.55)
    many = [said("I love olives", START + DAY * number) for number in range(40)]
    [memory] = told(*many).values()
    assert memory.importance <= 0.95
    assert len(memory.links) <= 8


def test_the_same_batch_a_second_time_changes_nothing() -> None:
    batch = [*said("I live in Rome"), *said("I like tea"), *said("I live in Oslo", START + DAY)]
    known = {each.id: each for each in consolidated(batch, ())}
    assert consolidated(batch, known.values()) == []


def test_a_yes_and_a_no_in_the_same_words_are_two_things() -> None:
    def way(text: str) -> Memory:
        return fact(line(text, id=text), HERE, text, subject="topic:ways", type="procedural")

    both = consolidated([way("We deploy the server on Friday"), way("We do not deploy the server on Friday")], ())
    assert len(both) == 2
    numbers = consolidated([way("The meetup is in room 12 upstairs"), way("The meetup is in room 21 upstairs")], ())
    assert len(numbers) == 2


@pytest.mark.parametrize(
    "text", ["lol", "ok", "?!", "https://example.com/a https://example.com/b", "so what do you think"]
)
def test_chatter_is_junk(text: str) -> None:
    assert is_junk(fact(line(text), HERE, text, subject="user:id-Ana"))


def test_nothing_ever_meets_something_of_another_audience_or_person() -> None:
    chance = random.Random(6)
    lines = ["I live in Rome", "I live in Oslo", "I like tea", "I hate tea", "I quit my job", "I work at Bosch"]
    for _ in range(60):
        known: dict[str, Memory] = {}
        for step in range(12):
            who, told_to = chance.choice((ANA, BEN)), chance.choice((HERE, PRIVATE, "guild:1", "asker:id-Ana"))
            heard = line(chance.choice(lines), who, START + DAY * chance.randrange(30), id=f"{_}-{step}")
            new = consolidated(facts(heard, who.name, told_to), known.values())
            for each in new:
                before = known.get(each.id)
                assert (each.audience, each.subject) == (told_to, f"user:{who.id}")
                assert before is None or before.text == each.text
            known |= {each.id: each for each in new}
        for each in known.values():
            if each.superseded_by is not None:
                newer = known[each.superseded_by]
                assert (newer.audience, newer.subject) == (each.audience, each.subject)
                assert newer.at >= each.at


def test_where_there_are_too_many_the_least_useful_are_put_together_and_nobody_is_lost_from_them() -> None:
    half_life = timedelta(days=30)
    trivia = [
        fact(line(f"x{n}", who, id=f"t{n}"), HERE, f"Trivium {n}.", subject=f"user:{who.id}", importance=0.2)
        for n, who in enumerate((ANA, BEN) * 15)
    ]
    useful = [
        fact(line(f"y{n}", id=f"u{n}"), HERE, f"Use {n}.", subject="user:id-Ana", importance=0.9) for n in range(10)
    ]
    kept = packed([*trivia, *useful], 20, START + DAY, half_life)
    summaries = [each for each in kept if each.superseded_by is None]
    gone = [each for each in kept if each.superseded_by is not None]
    holding = len(trivia) + len(useful) - len(gone) + len(summaries)
    assert holding <= 20
    assert not {each.id for each in useful} & {each.id for each in kept}, "what is useful stays as it is"
    for each in gone:
        summary = next(s for s in summaries if s.id == each.superseded_by)
        assert each.text in summary.text
        assert set(sources(each)) <= set(sources(summary))
        assert set(people([each])) <= set(people([summary]))
        assert (summary.audience, summary.subject) == (each.audience, each.subject)
    assert packed([*trivia, *useful], 20, START + DAY, half_life) == kept, "a second run puts together the same"
    assert packed(useful, 20, START, half_life) == []


def test_what_people_had_the_bot_remember_is_put_together_last() -> None:
    told_by_people = [
        Memory(id=f"told {n}", at=START, type="semantic", audience=HERE, subject="user:id-Ana", text=f"Wish {n}.",
               importance=0.1, metadata={"by": "person"})
        for n in range(5)
    ]  # fmt: skip
    learned = [
        fact(line("x", id=f"l{n}"), HERE, f"Fact {n}.", subject="user:id-Ana", importance=0.9) for n in range(20)
    ]
    kept = packed([*told_by_people, *learned], 15, START, DAY)
    assert not {each.id for each in kept} & {each.id for each in told_by_people}


def test_what_is_about_a_person_stays_theirs_and_what_is_alone_of_its_kind_makes_room() -> None:
    people_ = [Sender(type="user", id=f"id-{n}", name=f"P{n}") for n in range(30)]
    alone = [fact(line("x", who, id=who.id), HERE, f"{who.name} sails.", subject=f"user:{who.id}") for who in people_]
    ways = [
        fact(line("y", who, id=f"y{who.id}"), HERE, f"We mend net {who.name}.", subject=f"topic:{who.id}")
        for who in people_[:2]
    ]
    kept = packed([*alone, *ways], 20, START + timedelta(days=1), timedelta(days=30))
    assert all(each.superseded_by is not None for each in kept), "nothing of one stands beside what is another's"
    assert len(kept) == 12
    told_by_people = [
        Memory(id=f"told {n}", at=START, type="semantic", audience=HERE, subject="user:id-Ana", text=f"Wish {n}.",
               importance=0.1, metadata={"by": "person"})
        for n in range(30)
    ]  # fmt: skip
    assert packed(told_by_people, 20, START, DAY) == [], "what somebody asked for stays"
    gone = [each for each in packed([*told_by_people, *alone], 20, START, DAY) if each.superseded_by is not None]
    assert len(gone) == 20, "and leaves half of the room"
