"""The memory index: who is told what, what stays in step, what leaves no trace, and what happens to a broken file."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.memory_index import Entry, Hit, MemoryIndex
from storage.vectors import Sketches, half

NOON = datetime(2024, 6, 12, 12, tzinfo=UTC)
MONTH = timedelta(days=30)
STRANGE = [
    'a" OR "b',
    "x' OR 1=1 --",
    "two words",
    "",
    "*",
    "NEAR(a b)",
    "Zoë 東京",
    "a\x00b",
    "\ud800",
    "user:1",
    "user:11",
    "USER:1",
]


def said(id: str, text: str, *, audience: str = "here", session: str = "s1", minute: int = 0, speaker: str = "Ann",
         kind: str = "turn", source: str | None = None) -> Entry:  # fmt: skip
    return Entry(id, audience, kind, session, speaker, "", NOON + timedelta(minutes=minute), text, source=source)


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[MemoryIndex]:
    index = await MemoryIndex.open(tmp_path / "memory_index.db")
    yield index
    await index.close()


async def found(index: MemoryIndex, question: str, *audiences: str, **wishes: object) -> list[Hit]:
    told = set(audiences or ("here",))
    return await index.found(question, told, now=NOON, half_life=MONTH, **wishes)  # type: ignore[arg-type]


async def ids(index: MemoryIndex, question: str, *audiences: str, **wishes: object) -> list[str]:
    return [hit.entry.id for hit in await found(index, question, *audiences, **wishes)]


@pytest.mark.parametrize("vectors", [False, True])
async def test_nobody_is_told_what_was_said_to_others(index: MemoryIndex, vectors: bool) -> None:
    await index.put(said(f"m{n}", "The canoe is blue.", audience=name) for n, name in enumerate(STRANGE))
    by: dict[str, object] = {}
    if vectors:
        missing = await index.vectors_missing("e", 100)
        await index.put_vectors("e", [(id, text, (1.0, 0.5)) for id, text in missing])
        by = {"vector": (1.0, 0.5), "embedder_id": "e"}
    for n, name in enumerate(STRANGE):
        assert await ids(index, "blue canoe?", name, **by) == [f"m{n}"]
    assert await ids(index, "blue canoe?", "nobody", '" OR *', **by) == []
    assert await ids(index, "blue canoe?", "user:1", "*", **by) == ["m4", "m9"]


async def test_neighbours_facts_and_sources_of_others_stay_out_of_sight(index: MemoryIndex) -> None:
    await index.put(
        [
            said("m1", "The canoe is in the shed.", audience="private", minute=1),
            said("m2", "Shall we?", minute=2),
            said("f1", "Ann has a canoe.", kind="fact", source="m1"),
            said("f2", "Ann hides her canoe.", kind="fact", source="m2", audience="private"),
        ]
    )
    (hit,) = await found(index, "Where is the canoe?")
    assert (hit.entry.id, hit.drawn) == ("f1", ())
    assert await ids(index, "canoe?", "private") == ["m1", "f2"]


async def test_a_line_changes_and_goes_and_its_words_with_it(index: MemoryIndex) -> None:
    await index.put([said("m1", "The canoe is blue."), said("m2", "Nice!", minute=1)])
    assert await ids(index, "canoe?") == ["m1", "m2"]
    await index.put([said("m1", "The kayak is blue.")])
    assert await ids(index, "canoe?") == []
    assert await ids(index, "kayak?") == ["m1", "m2"]
    await index.remove(["m1", "never there"])
    assert await ids(index, "kayak?") == []
    assert await index.known(["m1", "m2"]) == {"m2"}
    await index.remove_session("s1")
    assert await index.count() == 0


async def test_a_late_line_stands_where_it_was_said(index: MemoryIndex) -> None:
    lines = [said(f"m{n}", f"Word{n} alone.", minute=n) for n in range(6)]
    await index.put(line for line in lines if line.id != "m3")
    await index.put([lines[3]])
    assert [hit.entry.id for hit in await found(index, "word3?")][:3] == ["m3", "m4", "m2"]
    await index.remove(["m3"])
    assert [hit.entry.id for hit in await found(index, "word2?")][:3] == ["m2", "m4", "m1"]


async def test_it_is_the_same_after_a_restart(tmp_path: Path) -> None:
    lines = [said(f"m{n}", f"Word{n} and word{n % 3}.", minute=n, session=f"s{n % 2}") for n in range(30)]
    facts = [said(f"f{n}", f"Ann knows word{n}.", kind="fact", source=f"m{n}") for n in range(0, 30, 3)]
    index = await MemoryIndex.open(tmp_path / "i.db")
    assert index.made_anew
    await index.put([*facts, *lines])  # what was drawn may come first
    await index.remove(["m4", "f9"])
    before = [await found(index, f"word{n} Ann?") for n in range(5)]
    await index.close()
    index = await MemoryIndex.open(tmp_path / "i.db")
    assert not index.made_anew
    assert [await found(index, f"word{n} Ann?") for n in range(5)] == before
    await index.close()


async def test_vectors_are_asked_for_once_and_only_for_what_reads_so(index: MemoryIndex) -> None:
    await index.put([said("m1", "The canoe."), said("m2", "A boat.", minute=1)])
    missing = await index.vectors_missing("e", 10)
    assert missing == [("m2", "Ann: A boat."), ("m1", "Ann: The canoe.")]
    await index.put([said("m2", "A car.", minute=1)])
    await index.put_vectors("e", [(id, text, (1.0, 2.0)) for id, text in missing])
    assert await index.vectors_missing("e", 10) == [("m2", "Ann: A car.")]
    assert len(await index.vectors_missing("another", 10)) == 2


async def test_a_vector_that_is_missing_is_found_at_once_however_many_there_are(index: MemoryIndex) -> None:
    await index.put(said(f"m{n}", f"Thing {n}.", session=f"s{n}") for n in range(3_000))
    await index.put_vectors("e", [(id, text, (1.0, 2.0)) for id, text in await index.vectors_missing("e", 9_999)])
    await index.put([said("m1", "Thing 1, otherwise."), said("new", "Another.")])
    assert [id for id, _ in await index.vectors_missing("e", 9)] == ["new", "m1"]
    await index.remove(["new"])
    started = time.process_time()
    for _ in range(200):
        assert [id for id, _ in await index.vectors_missing("e", 9)] == ["m1"]
    assert time.process_time() - started < 0.2
    await index.put_vectors("other", [("m5", "Ann: Thing 5.", (1.0,))])
    assert [id for id, _ in await index.vectors_missing("e", 9)] == ["m1", "m5"]


async def test_where_an_embedder_gives_other_lengths_its_old_vectors_are_missing(index: MemoryIndex) -> None:
    await index.put([said("m1", "The canoe."), said("m2", "A boat.", minute=1)])
    await index.put_vectors("e", [("m1", "Ann: The canoe.", (1.0, 0.0)), ("m2", "Ann: A boat.", (1.0, 0.0))])
    await index.put([said("m3", "A car.", minute=2)])
    await index.put_vectors("e", [("m3", "Ann: A car.", (1.0, 0.0, 0.0))])
    missing = await index.vectors_missing("e", 10)
    assert [id for id, _ in missing] == ["m2", "m1"]
    await index.put_vectors("e", [(id, text, (0.0, 1.0, 0.0)) for id, text in missing])
    assert await index.vectors_missing("e", 10) == []
    wishes = {"vector": (0.0, 1.0, 0.0), "embedder_id": "e"}
    assert set(await ids(index, "vessels", "here", **wishes)) >= {"m1", "m2"}


def test_sketches_take_no_more_room_however_often_they_are_put() -> None:
    chance = random.Random(1)
    vectors = {n: [chance.gauss(0, 1) for _ in range(70)] for n in range(1, 400)}
    sketches = Sketches("e", 70)
    for again in range(5):
        sketches.add([(n, n % 2, half(vector)) for n, vector in vectors.items() if again or n % 3])
    assert len(sketches) == 399
    for n in range(1, 400, 5):
        sketches.forget(n)
        sketches.forget(n)
    assert sorted(sketches.near(vectors[1], [0, 1], 999)) == [n for n in vectors if n % 5 != 1]
    for n in (2, 3, 399):
        found = sketches.near(vectors[n], [n % 2], 20)
        assert n in found
        assert len(found) == 20
        assert {each % 2 for each in found} == {n % 2}
        assert sketches.near(vectors[n], [1 - n % 2], 1) != [n]
    assert sketches.near(vectors[2], [7], 9) == sketches.near(vectors[2][:69], [0], 9) == []


async def test_meaning_finds_what_no_word_does(index: MemoryIndex) -> None:
    await index.put(said(f"m{n}", f"Thing {n}.", session=f"s{n}") for n in range(300))
    vectors = [
        (id, text, (float(id == "m7"), 1.0, float(id != "m7"))) for id, text in await index.vectors_missing("e", 999)
    ]
    await index.put_vectors("e", vectors)
    hits = await found(index, "canoe?", vector=(1.0, 0.1, -1.0), embedder_id="e")
    assert hits[0].entry.id == "m7"
    assert hits[0].meaning == pytest.approx(0.547, abs=0.01)
    assert await ids(index, "canoe?", vector=(1.0, 0.1, -1.0), embedder_id="another") == []
    await index.remove(["m7"])
    assert "m7" not in await ids(index, "canoe?", vector=(1.0, 0.1, -1.0), embedder_id="e")


async def test_vectors_of_another_length_under_the_same_name_are_made_anew(index: MemoryIndex) -> None:
    await index.put([said("m1", "The canoe."), said("m2", "The harbour.", session="s2")])
    await index.put_vectors("e", [(id, text, (1.0, 0.5)) for id, text in await index.vectors_missing("e", 9)])
    assert await index.vectors_missing("e", 9) == []
    assert await ids(index, "boat?", vector=(1.0, 0.1, 0.0), embedder_id="e") == []
    missing = await index.vectors_missing("e", 9)
    assert [id for id, _ in missing] == ["m2", "m1"]
    await index.put_vectors("e", [(*missing[1], (1.0, 0.1, 0.0))])
    assert await ids(index, "boat?", vector=(1.0, 0.1, 0.0), embedder_id="e") == ["m1"]
    assert [id for id, _ in await index.vectors_missing("e", 9)] == ["m2"]


async def test_of_what_was_removed_no_byte_is_left(tmp_path: Path) -> None:
    index = await MemoryIndex.open(tmp_path / "i.db")
    await index.put(said(f"m{n}", f"Plain words {n}, and a mark{n}secret.", minute=n) for n in range(400))
    await index.put_vectors("e", [(id, text, (3.0, 1.5)) for id, text in await index.vectors_missing("e", 999)])
    await index.remove([f"m{n}" for n in range(0, 400, 2)])
    await index.put([said("m1", "Now it reads otherwise.", minute=1)])
    await index.scrub()
    raw = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    gone = [1, *range(0, 400, 2)]
    assert not [n for n in gone if f"mark{n}secret".encode() in raw]
    assert all(f"mark{n}secret".encode() in raw for n in range(3, 400, 2))
    await index.clear()
    assert await index.count() == 0
    await index.put([said("m1", "Begun anew.")])
    assert b"secret" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    await index.close()


@pytest.mark.parametrize("broken", ["no database", "half", "another version", "another program", "a table less"])
async def test_a_file_that_cannot_be_used_is_made_anew(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "i.db"
    index = await MemoryIndex.open(path)
    await index.put(said(f"m{n}", f"The canoe number {n}.") for n in range(500))
    await index.close()
    if broken == "no database":
        path.write_bytes(b"something else entirely" * 1000)
    elif broken == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        marks = {"another version": "PRAGMA user_version = 99", "another program": "PRAGMA application_id = 7"}
        with sqlite3.connect(path) as connection:
            connection.execute(marks.get(broken, "DROP TABLE postings"))
        connection.close()
    index = await MemoryIndex.open(path)
    assert index.made_anew
    assert await index.count() == 0
    await index.put([said("m1", "The canoe.")])
    assert await ids(index, "canoe?") == ["m1"]
    await index.close()


async def test_endings_and_other_forms_do_not_matter(index: MemoryIndex) -> None:
    await index.put(
        [said("m1", "We ran along the cities' oldest bridges."), said("m2", "My mum's photos!", session="s2")]
    )
    assert await ids(index, "Who is running in which city?") == ["m1"]
    assert await ids(index, "pictures of her mother") == ["m2"]


async def test_a_frequent_word_finds_and_a_rare_one_decides(index: MemoryIndex) -> None:
    lines = [said(f"m{n}", "The harbour at noon.", session=f"s{n}") for n in range(1500)]
    await index.put([*lines, said("rare", "The harbour of Valparaíso.", session="x")])
    assert len(await ids(index, "harbour?", limit=5)) == 5
    assert await ids(index, "Which harbour is Valparaiso's?", limit=1) == ["rare"]
