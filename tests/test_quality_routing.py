"""The benchmark of routing on files as people bring them: what it can use is measured, the rest is a sentence."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import quality_routing

CARD = "display: Cook, description: Cooks with you., keywords: [recipe, oven, soup]"
BARD = "display: Bard, description: Writes verse., keywords: [poem, sonnet, rhyme]"
CARDS = f"- {{name: cook, {CARD}}}\n- {{name: bard, {BARD}}}\n"
LINES: list[Any] = [
    {"text": "a recipe for soup", "persona": "cook"},
    {"text": "a sonnet please", "persona": "bard"},
    {"text": "what time is it", "persona": None},
]


def tried(folder: Path, lines: list[Any], cards: str = CARDS, *more: str) -> int:
    data = folder / "data.jsonl"
    data.write_text("\n".join(each if isinstance(each, str) else json.dumps(each) for each in lines))
    (folder / "cards.yaml").write_text(cards)
    parser = argparse.ArgumentParser()
    quality_routing.add(parser)
    given = [str(data), "--cards", str(folder / "cards.yaml"), "--embedder", "none", *more]
    return quality_routing.run(parser.parse_args(given))


def row(printed: str) -> list[str]:
    return printed.splitlines()[-1].split()[2:6]


@pytest.mark.parametrize("split", ["test", "val", "dev", ""])
def test_lines_are_tried_whatever_their_split_is_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], split: str
) -> None:
    assert tried(tmp_path, ["", *({**line, "split": split} for line in LINES)]) == 0
    assert row(capsys.readouterr().out) == ["100.0", "100.0", "100.0", "100.0"]


def test_examples_are_drawn_by_persona_where_no_intent_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = [{"text": f"bread number {n}", "persona": "cook", "split": "train"} for n in range(4)]
    asked = {"text": "some bread number", "persona": "cook", "split": "test"}
    assert tried(tmp_path, [*train, asked], CARDS, "--examples", "0,4") == 0
    none, four = (line.split() for line in capsys.readouterr().out.splitlines()[2:])
    assert (none[2], four[2]) == ("0.0", "100.0")


def test_where_nothing_is_out_of_scope_nothing_is_told_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tried(tmp_path, LINES[:2]) == 0
    assert row(capsys.readouterr().out) == ["100.0", "nan", "nan", "nan"]


@pytest.mark.parametrize(
    "cards",
    [
        f"personas:\n{CARDS}",
        f"cook: {{{CARD}, prompt: x}}\nbard: {{{BARD}}}\n",
        f"personas: {{cook: {{{CARD}}}, bard: {{{BARD}}}}}",
    ],
)
def test_cards_may_stand_as_a_list_or_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str], cards: str) -> None:
    assert tried(tmp_path, LINES, cards) == 0
    assert row(capsys.readouterr().out)[0] == "100.0"


def test_cards_may_be_the_folder_of_personas(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "personas"
    folder.mkdir()
    for name, card in (("cook", CARD), ("bard", BARD)):
        (folder / f"{name}.yaml").write_text(f"{{{card}, prompt: x}}")
    assert tried(tmp_path, LINES, CARDS, "--cards", str(folder)) == 0
    assert row(capsys.readouterr().out)[0] == "100.0"


@pytest.mark.parametrize(
    ("lines", "cards", "told"),
    [
        ([], CARDS, "data.jsonl: there is no line in it."),
        (["{"], CARDS, "data.jsonl, line 1: this is no JSON object."),
        ([{"persona": "cook"}], CARDS, "data.jsonl, line 1: `text` is missing"),
        ([{"text": "x"}], CARDS, "line 1: `persona` is missing; there are cards for cook, bard, and null."),
        ([LINES[0], {"text": "x", "persona": "gardener"}], CARDS, 'line 2: `persona` is "gardener"; there are cards'),
        ([{**LINES[0], "split": "train"}], CARDS, "every line is of the split `train`"),
        (LINES, "- [", "cards.yaml is no YAML"),
        (LINES, "3", "cards.yaml holds no cards"),
        (LINES, "- {name: cook, display: Cook}", "The card of 'cook' is wrong at `description`: Field required."),
    ],
)
def test_what_cannot_be_used_is_told_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: list[Any], cards: str, told: str
) -> None:
    assert tried(tmp_path, lines, cards) == 1
    assert told in capsys.readouterr().err


def test_a_file_that_is_not_there_is_told_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tried(tmp_path, LINES, CARDS, "--chat", str(tmp_path / "none.jsonl")) == 1
    assert "none.jsonl cannot be read: No such file or directory." in capsys.readouterr().err
