"""Files cut into passages: whole listings and tables, headings, and the lines each stands on."""

from __future__ import annotations

from bots.passages import Passage, passages

NOTES = """\
---
title: Kitchen
---

# Kitchen

<!-- for the
editors -->

## Ovens

The oven needs ten minutes.

### Cleaning

Use soda.

| part | how often |
|------|-----------|
| rack | weekly |
| door | monthly |

```sh
# not a heading
soda --hot
```
"""


def cut(text: str, *, plain: bool = False) -> list[Passage]:
    return passages(text, "a-file", plain=plain)[1]


def stands(text: str, passage: Passage) -> str:
    """What stands on a passage's lines in the file."""
    return "\n".join(text.split("\n")[passage.first - 1 : passage.last])


def test_each_passage_knows_its_headings_and_its_lines() -> None:
    ovens, cleaning = cut(NOTES)
    assert (ovens.title, ovens.section, ovens.first, ovens.last) == ("Kitchen", "Ovens", 12, 12)
    assert cleaning.section == "Ovens › Cleaning"
    assert cleaning.text == stands(NOTES, cleaning)
    assert NOTES.split("\n")[cleaning.last - 1] == "```"


def test_lines_are_those_of_the_file_in_plain_text_with_a_title_too() -> None:
    text = "\n\nOpening hours\n\nWe open at ten.\n\nWe close at two.\n"
    [passage] = cut(text, plain=True)
    assert (passage.title, stands(text, passage)) == ("Opening hours", "We open at ten.\n\nWe close at two.")


def test_long_paragraphs_and_lists_are_cut_where_their_lines_can_be_told() -> None:
    sentences = [f"Sentence {n} says a little more about the lighthouse\nthat stands there." for n in range(60)]
    items = [f"- item {n} of a long list of things to bring along" for n in range(60)]
    text = "# Long\n\n" + " ".join(sentences) + "\n\n" + "\n".join(items) + "\n"
    found = cut(text)
    assert len(found) > 8
    for passage in found:
        assert all(line in stands(text, passage) for line in passage.text.split("\n"))
        assert len(passage.text.split()) <= 140


def test_a_table_that_fits_is_never_cut_and_a_long_one_has_its_head_again() -> None:
    head = "| name | what it is |\n|---|:---:|"
    small = [f"| small {n} | one of a few |" for n in range(20)]
    long = [f"| row {n} | something to be looked up one day |" for n in range(100)]
    text = f"# Tables\n\nBefore.\n\n{head}\n" + "\n".join(small) + f"\n\n{head}\n" + "\n".join(long) + "\n"
    found = cut(text)
    assert sum(all(row in passage.text for row in small) for passage in found) == 1
    pieces = [passage for passage in found if "| row " in passage.text]
    assert len(pieces) > 3
    assert all(piece.text.split("\n\n")[-1].startswith(head) for piece in pieces)
    for number, row in enumerate(long):
        [home] = [piece for piece in pieces if row in piece.text]
        assert f"row {number} " in stands(text, home)


def test_a_listing_that_fits_is_never_cut_and_a_long_one_is_fenced_again() -> None:
    small = "```py\n" + "\n".join(f"step_{n} = run({n})" for n in range(40)) + "\n\nend()\n```"
    long = "~~~sh\n" + "\n".join(f"echo line {n} of a very long listing" for n in range(200)) + "\n~~~"
    found = cut(f"# Code\n\n{small}\n\n{long}\n")
    assert any(small in passage.text for passage in found)
    pieces = [passage.text for passage in found if "very long" in passage.text]
    assert len(pieces) > 5
    assert all(piece.startswith("~~~sh\n") and piece.endswith("\n~~~") for piece in pieces)


def test_odd_files_are_cut_all_the_same() -> None:
    for text in (
        "",
        "\n\n",
        "#",
        "```",
        "| a |\n|--|",
        "---\n",
        "a\x00b",
        "# T\n\n" + "x" * 50_000,
        "\u2028a\x0cb\n===\n",
    ):
        for plain in (False, True):
            title, found = passages(text, "a-file", plain=plain)
            assert title
            assert all(passage.text.strip() and 0 < passage.first <= passage.last for passage in found)
