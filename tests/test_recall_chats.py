"""Chats for the recall benchmark: what may be left out, and what is told of files that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.quality_recall import scored
from benchmarks.recall_chats import read


def talk(**other: Any) -> dict[str, Any]:
    """A chat in the widespread form."""
    return {
        "sample_id": "c1",
        "conversation": {
            "session_1_date_time": "1:56 pm on 8 May, 2023",
            "session_1": [
                {"speaker": "Ann", "dia_id": "D1:1", "text": "I adopted a puppy called Rex."},
                {"speaker": "Ben", "dia_id": "D1:2", "blip_caption": "a photo of a lighthouse"},
                {"speaker": "Ann", "dia_id": "D1:3", "text": "I paint watercolours of harbours."},
            ],
            "session_2": [{"speaker": "Ben", "text": "I moved to Lisbon."}],
        },
        "observation": {"session_1_observation": {"Ann": [["Ann has a puppy.", "D1:1"], ["She paints.", ["D1:3"]]]}},
        "qa": [{"question": "What does Ann paint?", "evidence": ["D1:3"]}],
    } | other


def written(tmp_path: Path, told: Any) -> Path:
    path = tmp_path / "chats.json"
    path.write_text(told if isinstance(told, str) else json.dumps(told), "utf-8")
    return path


def test_what_is_left_out_is_made_up(tmp_path: Path) -> None:
    (chat,) = read(written(tmp_path, {"data": [talk()]}))
    assert [turn.id for turn in chat.turns] == ["c1 D1:1", "c1 D1:2", "c1 D1:3", "c1 D2:1"]
    assert chat.turns[1].text == "[shows a photo of a lighthouse]"
    assert [f"{turn.at:%Y-%m-%d %H:%M}" for turn in chat.turns[2:]] == ["2023-05-08 13:56", "2023-05-09 13:56"]
    assert [(fact.text, fact.source) for fact in chat.facts] == [
        ("Ann has a puppy.", "c1 D1:1"),
        ("She paints.", "c1 D1:3"),
    ]
    (plain,) = read(written(tmp_path, {"turns": [{"text": "I love kayaks."}], "questions": [{"question": "Who?"}]}))
    assert (plain.turns[0].id, plain.questions, plain.asked) == ("1 0", [], 1)
    assert read(written(tmp_path, [talk(qa=None, observation=["Ann paints."])]))[0].facts == []
    assert len({chat.id for chat in read(written(tmp_path, [talk(), talk()]))}) == 2


@pytest.mark.parametrize(
    ("evidence", "ids"),
    [
        ("D1:3", ["D1:3"]),
        (["D1:1; D1:03"], ["D1:1", "D1:3"]),
        (["D1:3", ["D1:3", "D:2:1"]], ["D1:3", "D2:1"]),
        (["D9:9", "nowhere"], ["D9:9", "nowhere"]),
        (None, []),
        ([], []),
    ],
)
def test_evidence_is_taken_however_it_is_written(tmp_path: Path, evidence: object, ids: list[str]) -> None:
    (chat,) = read(written(tmp_path, talk(qa=[{"question": "What?", "evidence": evidence}])))
    assert [sorted(found) for _, found, _ in chat.questions] == [[f"c1 {id}" for id in ids]] * bool(ids)
    assert chat.asked == 1


async def test_evidence_that_is_not_there_counts_as_not_found(tmp_path: Path) -> None:
    questions = [{"question": "What does Ann paint?", "evidence": each} for each in (["D1:3"], ["D1:3", "D9:9"], "x")]
    assert (await scored(read(written(tmp_path, talk(qa=questions))))).found == [1.0, 0.5, 0.0]


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ("", "empty"),
        ('{"turns": []}\n{not json', "line 2 is no JSON"),
        ("[1]", "chat 1: it should be an object, and is 1"),
        ({"id": "a"}, "neither `turns` nor `conversation`"),
        ({"id": "a", "turns": "hello"}, "chat a: `turns` should be a list"),
        (talk(conversation=[]), "`conversation` should be an object"),
        ({"turns": [{"text": "x", "at": "soon"}]}, "'soon' is no time"),
        (talk(qa=["x"]), "a question should be an object"),
        (talk(qa=[{"question": "x", "evidence": {"a": 1}}]), "should be a list of the ids"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_in_a_sentence(tmp_path: Path, told: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        read(written(tmp_path, told))
