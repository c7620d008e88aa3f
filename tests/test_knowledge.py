"""Notes cut into passages and found again: what fits is quoted word for word, what does not fit is not."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bots.knowledge import Knowledge

SAGE = Path(__file__).resolve().parent.parent / "config" / "knowledge" / "sage"
COFFEE = """\
# Coffee guide

A short guide to coffee at home for the members of the kitchen club.

## Grinding

Grind the beans right before brewing. A coarse grind suits the French press and a fine grind suits espresso.

Clean the burrs once a month with a dry brush; never use water on them.

## Water

Water should be between 92 and 96 degrees Celsius.

## Café au lait

Mix equal parts of strong coffee and hot milk.
"""
RETURNS = """\
---
title: "Returns and refunds"
---
You can return an item within 30 days of delivery, unused and in its box.

## How to send it back

1. Open your order.
2. Print the label.
3. Drop the parcel at any post office.

Refunds
-------

Refunds are paid within 5 working days.

```sh
curl https://example.test/refunds

# not a heading
```
"""
CHINESE = """\
# 退款政策

## 期限

商品可在三十天内退货。请保留原包装和收据。

## 运费

退货运费由买家承担，质量问题除外。
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "notes"
    (home / "shop").mkdir(parents=True)
    (home / "coffee.md").write_text(COFFEE, "utf-8")
    (home / "shop" / "returns.md").write_text(RETURNS, "utf-8")
    (home / "shop" / "政策.md").write_text(CHINESE, "utf-8")
    (home / "hours.txt").write_text("Opening hours\n\nWe are open on Saturdays from 10 to 14.\n", "utf-8")
    return home


@pytest.fixture
def notes(folder: Path) -> Knowledge:
    return Knowledge.read(folder)


def best(notes: Knowledge, question: str) -> str:
    found = notes.search(question, 1)
    return found[0].source if found else ""


@pytest.mark.parametrize(
    ("question", "source"),
    [
        ("how fine should I grind for espresso?", "Coffee guide › Grinding"),
        ("how do I clean the burrs", "Coffee guide › Grinding"),
        ("what temperature should the water have", "Coffee guide › Water"),
        ("how long do i have to return somthing?", "Returns and refunds"),
        ("I want to send back a parcel, how do I do that?", "Returns and refunds › How to send it back"),
        ("REFUNDS", "Returns and refunds › Refunds"),
        ("refnuds", "Returns and refunds › Refunds"),
        ("tell me about curl", "Returns and refunds › Refunds"),
        ("when are you open on saturday", "Opening hours"),
        ("cafe au lait", "Coffee guide › Café au lait"),
        ("CAFÉ AU LAIT", "Coffee guide › Café au lait"),
        ("退货期限是多少？", "退款政策 › 期限"),
        ("运费谁付", "退款政策 › 运费"),
    ],
)
def test_the_passage_that_answers_comes_first(notes: Knowledge, question: str, source: str) -> None:
    assert best(notes, question) == source


@pytest.mark.parametrize(
    "question",
    [
        "what's the capital of France",
        "who won the world cup in 2022",
        "how do I fix my bike tyre",
        "tell me a joke",
        "what is love",
        "wake me at six, please",
        "can you write python code to sort a list",
        "is it going to rain tomorrow",
        "what does he mean by that",
        "今天天气怎么样",
        "what is the",
        "?",
        "",
    ],
)
def test_a_question_the_notes_do_not_cover_finds_nothing(notes: Knowledge, question: str) -> None:
    assert notes.search(question) == []


@pytest.mark.parametrize(
    ("question", "source", "start"),
    [
        ("what is stoicism?", "Stoicism in practice › What Stoicism is", "Stoicism is a school"),
        ("How should I deal with an awkward conversation with my boss?", "Difficult conversations › Before you", "Ask"),
        ("how do I say no to a friend?", "Difficult conversations › Saying no", "A no can be short"),
        ("how do I make a decision?", "Making decisions › First ask", "Two questions"),
    ],
)
def test_what_a_heading_names_comes_first_and_from_its_beginning(question: str, source: str, start: str) -> None:
    found = Knowledge.read(SAGE).search(question, 1)[0]
    assert found.source.startswith(source)
    assert found.passage.startswith(start)


@pytest.mark.parametrize("question", ["how do I count characters in python", "what should I cook tonight"])
def test_shipped_notes_keep_to_their_subject(question: str) -> None:
    assert Knowledge.read(SAGE).search(question) == []


def test_a_passage_is_quoted_as_it_stands(notes: Knowledge) -> None:
    found = notes.search("refunds", 1)[0]
    assert found.passage == (
        "Refunds are paid within 5 working days.\n\n```sh\ncurl https://example.test/refunds\n\n# not a heading\n```"
    )
    assert found.score > 0


def test_topics_are_titles_in_the_order_of_paths(notes: Knowledge) -> None:
    assert notes.topics == ["Coffee guide", "Opening hours", "Returns and refunds", "退款政策"]


def test_a_long_section_becomes_passages_of_moderate_length(tmp_path: Path) -> None:
    sentences = " ".join(f"Sentence {n} says a little more about the old lighthouse." for n in range(60))
    (tmp_path / "a.md").write_text(f"# Lighthouse\n\n{sentences}\n\nShort one.\n\nShort two.\n", "utf-8")
    passages = [found.passage for found in Knowledge.read(tmp_path).search("lighthouse", 50)]
    assert len(passages) > 4
    assert max(len(passage.split()) for passage in passages) <= 130
    assert all(passage.startswith(("Sentence", "Short")) for passage in passages)


def test_an_open_listing_is_closed_and_its_hashes_are_no_headings(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Shell\n\n## Loops\n\n```sh\nfor x in a; do\n# count\n\necho $x\n", "utf-8")
    found = Knowledge.read(tmp_path).search("shell loops")[0]
    assert (found.source, found.passage.count("```")) == ("Shell › Loops", 2)


def test_files_that_cannot_be_taken_in_are_listed(folder: Path) -> None:
    (folder / "latin.txt").write_bytes(b"caf\xe9 au lait")
    (folder / "huge.md").write_bytes(b"word " * 300_000)
    (folder / "picture.png").write_bytes(b"\x89PNG")
    assert Knowledge.read(folder).skipped == ["huge.md: larger than 1 MiB", "latin.txt: not UTF-8 text"]


def test_at_most_two_hundred_files_are_read(tmp_path: Path) -> None:
    for n in range(203):
        (tmp_path / f"{n:03}.md").write_text(f"# Note {n}\n\nSomething about zebra{n}.\n", "utf-8")
    notes = Knowledge.read(tmp_path)
    assert len(notes.topics) == 200
    assert notes.skipped[0] == "200.md: beyond the first 200 files"
    assert notes.search("zebra201") == []


def test_links_that_lead_out_of_the_folder_are_not_followed(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "secret"
    outside.mkdir()
    (outside / "plan.md").write_text("# Plan\n\nThe treasure lies under the oak.\n", "utf-8")
    (folder / "plan.md").symlink_to(outside / "plan.md")
    (folder / "out").symlink_to(outside, target_is_directory=True)
    (folder / "loop.md").symlink_to(folder / "loop.md")
    (folder / "again.md").symlink_to(folder / "coffee.md")
    notes = Knowledge.read(folder)
    assert notes.search("treasure under the oak") == []
    assert "Plan" not in notes.topics


def test_the_folder_is_read_at_the_first_question_only(folder: Path) -> None:
    notes = Knowledge.read(folder)
    (folder / "late.md").write_text("# Umbrellas\n\nUmbrellas stand beside the door.\n", "utf-8")
    assert best(notes, "umbrellas") == "Umbrellas"
    (folder / "later.md").write_text("# Kayaks\n\nKayaks hang on the wall.\n", "utf-8")
    assert best(notes, "kayaks") == ""


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_text("x")])
def test_a_missing_or_empty_folder_holds_nothing(tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / "x")
    notes = Knowledge.read(tmp_path / "x")
    assert (notes.search("anything at all"), notes.topics, notes.skipped) == ([], [], [])


def test_the_same_question_finds_the_same_passages(folder: Path) -> None:
    once, again = (Knowledge.read(folder).search("coffee water", 9) for _ in range(2))
    assert once == again


def test_a_search_of_five_hundred_passages_takes_milliseconds(tmp_path: Path) -> None:
    words = [f"{a}{b}{c}" for a in ("bar", "cor", "dil", "fen") for b in "aeiou" for c in ("mat", "nor", "pel", "sid")]
    for file in range(5):
        sections = (
            f"## Part {n} {words[(n * 7 + file) % 80]}\n\n" + " ".join(words[(n * k + file) % 80] for k in range(70))
            for n in range(100)
        )
        (tmp_path / f"{file}.md").write_text(f"# File {file}\n\n" + "\n\n".join(sections), "utf-8")
    notes = Knowledge.read(tmp_path)
    notes.search("first question reads the files")
    start = time.process_time()
    for n in range(20):
        notes.search(f"where is the {words[n]} of {words[n + 9]} unknownword{n} coranot")
    assert (time.process_time() - start) / 20 < 0.02  # 5 ms is usual; the rest is for busy machines


def test_reading_survives_a_file_without_permission(folder: Path) -> None:
    locked = folder / "locked.md"
    locked.write_text("# Locked\n\nNobody may read this zeppelin.\n", "utf-8")
    locked.chmod(0)
    notes = Knowledge.read(folder)
    if os.geteuid() == 0:  # root reads everything
        assert "Locked" in notes.topics
    else:
        assert notes.skipped == ["locked.md: Permission denied"]
