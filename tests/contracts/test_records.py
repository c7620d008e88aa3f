"""Records beside the talk, and which memories are nearest, asked of every backend."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.backend import Store
from storage.errors import StorageError
from storage.records import AuditEntry, Memory, Profile, Record, Run, Setting, Spent, Tombstone, Vector
from tests.contracts.conftest import Door
from tests.contracts.samples import ANN, GENERAL, NAIVE, NOON, PRIVATE, later, memory, tell, usage
from tests.contracts.samples import message as said

MEMORY = memory(
    "one",
    0.25,
    -1.5,
    type="procedural",
    text="How to brew 茶",
    importance=0.75,
    touched_at=later(5),
    access_count=3,
    source="m1",
    links=("two", "three"),
    metadata={"why": "asked"},
)
DATA: dict[str, Any] = {"steps": [1, {"a": None}], "on": True, "part": 0.1, "big": 2**53 + 1, "": "", "'": "猫 👍"}
RUN = Run(id="one", at=later(1), type="panel", session_id="s1", state="asking", data=DATA)
PROFILE = Profile(id="7", at=later(2), name="Ann", past_names=("An", "Anna"), preferences=DATA)
ENTRY = AuditEntry(id="one", at=later(3), actor=ANN, action="remove", target="session:s1", details=DATA)
SPENT = Spent(id="m1", at=later(4), usage=usage(None), user_id="7", channel_key=GENERAL.key, persona="sage")
SETTING = Setting(id="guild:1", at=later(5), values=DATA, before={"gap": 300}, by=ANN)
TOMBSTONE = Tombstone(id="7", at=later(6))
ALL: tuple[Record, ...] = (MEMORY, RUN, PROFILE, ENTRY, SPENT, SETTING, TOMBSTONE)


async def ids(store: Store, kind: type[Record] = Memory, **options: Any) -> list[str]:
    return [record.id for record in (await store.records(kind, **options)).items]


@pytest.mark.parametrize("record", ALL, ids=lambda record: record.kind)
async def test_a_record_comes_back_as_it_was(store: Store, record: Record) -> None:
    kind = type(record)
    assert await store.record(kind, record.id) is None
    await store.keep(record)
    assert await store.record(kind, record.id) == record
    assert (await store.records(kind)).items == (record,)
    assert (await store.counts()).records == {record.kind: 1}
    bare = kind.model_validate({**{name: getattr(record, name) for name in kind.model_fields}, "id": "bare"})
    await store.keep(bare)
    assert await store.record(kind, "bare") == bare


async def test_records_survive_reopening(door: Door) -> None:
    first = await door()
    await first.keep(*ALL, memory("gone", 1.0, 1.0))
    await first.remove_records(Memory, ["gone"])
    await first.keep(RUN.model_copy(update={"state": "done"}))
    await first.close()
    second = await door()
    lasting = [each for each in ALL if each is not RUN]
    assert [await second.record(type(each), each.id) for each in lasting] == lasting
    assert await second.record(Run, "one") == RUN.model_copy(update={"state": "done"})
    near = await second.nearest(Vector(model="small", values=(0.25, -1.5)), [GENERAL.key])
    assert [each for each, _ in near] == [MEMORY]


async def test_a_record_takes_the_place_of_one_with_its_kind_and_id(store: Store) -> None:
    await store.keep(*ALL)
    changed = Run(id="one", at=later(9), type="workflow", state="done")
    await store.keep(changed)
    assert await store.record(Run, "one") == changed
    assert (await store.records(Run)).items == (changed,)
    assert await ids(store, Run, about="s1") == []
    assert await store.record(Memory, "one") == MEMORY
    assert await store.record(AuditEntry, "one") == ENTRY


async def test_of_the_same_record_twice_the_last_one_counts(store: Store) -> None:
    await store.keep(memory("one", text="first"), memory("two"), memory("one", text="second"))
    kept = await store.record(Memory, "one")
    assert kept
    assert kept.text == "second"
    assert (await store.counts()).records == {"memory": 2}


async def test_records_the_newest_first(store: Store) -> None:
    for number in (3, 1, 2):
        await store.keep(memory(f"x{number}", at=later(number)))
    await store.keep(RUN)
    assert await ids(store) == ["x3", "x2", "x1"]
    await store.keep(memory("x1", at=later(9)))
    assert await ids(store, limit=2) == ["x1", "x3"]
    assert await ids(store, Profile) == []


async def test_records_about_one_thing(store: Store) -> None:
    await store.keep(memory("a", subject="user:7"), memory("b", subject="user:8"), memory("c", subject=""))
    await store.keep(RUN, ENTRY, PROFILE, SPENT, Run(id="two", at=NOON, type="panel", state="on"))
    assert await ids(store, about="user:7") == ["a"]
    assert await ids(store, about="") == ["c"]
    assert await ids(store, about="user:9") == []
    assert await ids(store, Run, about="s1") == ["one"]
    assert await ids(store, AuditEntry, about="session:s1") == ["one"]
    assert await ids(store, Spent, about="7") == ["m1"]
    assert await ids(store, Profile, about="7") == []
    await store.keep(memory("a", subject="user:8"))
    assert (await ids(store, about="user:7"), set(await ids(store, about="user:8"))) == ([], {"a", "b"})


async def test_records_are_kept_all_or_none(store: Store) -> None:
    unkeepable: Any = object()
    bad = Run.model_construct(id="bad", at=NOON, type="panel", state="on", data={"x": unkeepable})
    with pytest.raises((StorageError, ValueError)):
        await store.keep(memory("one"), bad, PROFILE)
    await store.keep()
    assert (await store.counts()).records == {}
    assert await ids(store) == []


@pytest.mark.parametrize("change", [{"at": NAIVE}, {"touched_at": NAIVE}], ids=str)
async def test_a_record_needs_times_that_say_where_they_are(store: Store, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="timezone"):
        await store.keep(PROFILE, memory("one", **change))
    assert (await store.counts()).records == {}


async def test_records_are_removed_by_kind_and_id(store: Store) -> None:
    await store.keep(*ALL, memory("two", 1.0))
    assert await store.remove_records(Memory, ["one", "one", "unknown", "7"]) == 1
    assert await store.remove_records(Memory, ["one"]) == 0
    assert await store.remove_records(Profile, []) == 0
    assert await store.record(Memory, "one") is None
    assert await ids(store) == ["two"]
    assert (await store.record(Run, "one"), await store.record(AuditEntry, "one")) == (RUN, ENTRY)
    assert (await store.counts()).records == {record.kind: 1 for record in ALL}


async def test_records_are_counted_beside_the_talk(store: Store) -> None:
    assert (await store.counts()).records == {}
    await tell(store, said(1))
    await store.keep(PROFILE, memory("a"), memory("b"))
    counts = await store.counts()
    assert (counts.messages, counts.sessions, counts.records) == (1, 1, {"memory": 2, "profile": 1})
    await store.remove_records(Profile, ["7"])
    assert (await store.counts()).records == {"memory": 2}


async def test_a_hundred_callers_keep_records_at_once(store: Store) -> None:
    await asyncio.gather(*(store.keep(memory(f"x{number}", at=later(number))) for number in range(100)))
    assert await ids(store, limit=200) == [f"x{number}" for number in reversed(range(100))]


async def test_what_no_database_takes_is_replaced_in_records_too(store: Store) -> None:
    await store.keep(Profile(id="a\0", at=NOON, name="\ud800", preferences={"k\0": ["v\udfff"]}))
    kept = Profile(id="a\ufffd", at=NOON, name="\ufffd", preferences={"k\ufffd": ["v\ufffd"]})
    assert [await store.record(Profile, id) for id in ("a\0", "a\ufffd")] == [kept, kept]
    await store.keep(memory("m\0", 1.0, subject="s\0", audience="a\0"))
    assert await ids(store, about="s\0") == ["m\ufffd"]
    near = await store.nearest(Vector(model="small", values=(1.0,)), ["a\0"])
    assert [each.id for each, _ in near] == ["m\ufffd"]
    assert await store.remove_records(Memory, ["m\0"]) == 1
    assert await store.remove_records(Profile, ["a\0"]) == 1


# Nearest


async def near(store: Store, *values: float, of: Any = (GENERAL.key,), **options: Any) -> list[str]:
    model = options.pop("model", "small")
    found = await store.nearest(Vector(model=model, values=values), of, **options)
    return [each.id for each, _ in found]


async def test_the_nearest_memories_best_first_with_the_cosine(store: Store) -> None:
    told = [memory("north", 0, 2), memory("east", 5, 0), memory("between", 1, 1), memory("south", 0, -1)]
    await store.keep(*told)
    found = await store.nearest(Vector(model="small", values=(0, 3)), [GENERAL.key])
    assert [each for each, _ in found] == [told[0], told[2], told[1], told[3]]
    assert [cosine for _, cosine in found] == pytest.approx([1, math.sqrt(0.5), 0, -1], abs=1e-6)
    assert await near(store, 1, 0.1, limit=2) == ["east", "between"]
    assert await near(store, 1, 0, limit=0) == []


async def test_the_audience_is_asked_for_before_any_likeness(store: Store) -> None:
    await store.keep(*(memory(f"secret{number}", 1, 0, audience=PRIVATE.key) for number in range(50)))
    await store.keep(memory("open", -1, 0), memory("guild", 0, 1, audience="guild:1"))
    assert await near(store, 1, 0, limit=1) == ["open"]
    assert await near(store, 1, 0, of={GENERAL.key, "guild:1"}) == ["guild", "open"]
    assert len(await near(store, 1, 0, of=[PRIVATE.key], limit=100)) == 50
    for nobody in ([], ["user:9"], [""], ["discord:1"], ["discord:%"], [GENERAL.key.upper()]):
        assert await near(store, 1, 0, of=nobody) == []


async def test_vectors_of_two_models_never_meet(store: Store) -> None:
    await store.keep(memory("small", 1, 0), memory("large", vector=Vector(model="large", values=(1, 0))))
    await store.keep(memory("long", 1, 0, 0), memory("short", 1), memory("none"))
    assert await near(store, 1, 0) == ["small"]
    assert await near(store, 1, 0, model="large") == ["large"]
    assert await near(store, 1, 0, 0) == ["long"]
    assert await near(store, 1, 0, 0, 0) == []
    assert await near(store, 1, 0, model="unknown") == []


async def test_a_vector_without_direction_is_no_error(store: Store) -> None:
    await store.keep(
        memory("nowhere", 0, 0), memory("north", 0, 1), memory("empty", vector=Vector(model="small", values=()))
    )
    assert (await near(store, 0, 1))[0] == "north"
    assert set(await near(store, 0, 0)) <= {"nowhere", "north"}
    assert set(await near(store)) <= {"empty"}


async def test_no_memories_are_near_in_an_empty_store(store: Store) -> None:
    assert await near(store, 1, 0) == []


async def test_nearness_follows_what_becomes_of_a_memory(store: Store) -> None:
    await store.keep(memory("a", 1, 0), memory("b", 0.9, 0.1), memory("c", 0, 1))
    assert await near(store, 1, 0) == ["a", "b", "c"]
    await store.keep(memory("a", -1, 0))
    assert await near(store, 1, 0, limit=2) == ["b", "c"]
    await store.keep(memory("b", 0.9, 0.1, audience=PRIVATE.key))
    assert await near(store, 1, 0, limit=2) == ["c", "a"]
    assert await near(store, 1, 0, of=[PRIVATE.key]) == ["b"]
    await store.keep(memory("c"))
    assert await near(store, 1, 0) == ["a"]
    await store.remove_records(Memory, ["a"])
    assert await near(store, 1, 0) == []
    await store.keep(memory("a", 1, 0), memory("c", 0, 1))
    assert await near(store, 1, 0) == ["a", "c"]


async def test_a_memory_found_is_as_it_is_now(store: Store) -> None:
    await store.keep(memory("a", 1, 0))
    assert await near(store, 1, 0) == ["a"]
    touched = memory("a", 1, 0, access_count=1, touched_at=later(9), text="anew")
    await store.keep(touched)
    ((found, _),) = await store.nearest(Vector(model="small", values=(1, 0)), [GENERAL.key])
    assert found == touched


async def test_removed_ones_take_no_room_among_the_nearest(store: Store) -> None:
    await store.keep(*(memory(f"x{number}", 1, number / 1000) for number in range(300)))
    assert len(await near(store, 1, 0, limit=300)) == 300
    await store.remove_records(Memory, [f"x{number}" for number in range(299)])
    assert await near(store, 1, 0, limit=5) == ["x299"]


coordinates = st.lists(st.integers(-3, 3), min_size=2, max_size=2).filter(any)


@settings(derandomize=True, deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(vectors=st.lists(coordinates, max_size=8), asked=coordinates)
async def test_nearness_is_the_cosine(store: Store, vectors: list[list[int]], asked: list[int]) -> None:
    await store.remove_records(Memory, [f"x{number}" for number in range(8)])
    await store.keep(*(memory(f"x{number}", *values) for number, values in enumerate(vectors)))

    def cosine(values: list[int]) -> float:
        return sum(a * b for a, b in zip(values, asked, strict=True)) / math.hypot(*values) / math.hypot(*asked)

    found = await store.nearest(Vector(model="small", values=tuple(asked)), [GENERAL.key], limit=20)
    assert [likeness for _, likeness in found] == pytest.approx(sorted(map(cosine, vectors), reverse=True), abs=1e-5)
    assert {each.id: likeness for each, likeness in found} == pytest.approx(
        {f"x{number}": cosine(values) for number, values in enumerate(vectors)}, abs=1e-5
    )
