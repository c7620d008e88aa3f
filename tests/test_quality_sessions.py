"""The benchmark of sessions reads what people have, and says plainly what it cannot read."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import quality_sessions


def talk(**more: Any) -> dict[str, Any]:
    said = [("m1", "2026-03-02T09:00:00+00:00", "ana", "how do plums grow?"), ("m2", 1772442010, "ben", None)]
    messages = [{"n": n, "ts": at, "author": who, "text": text} for n, at, who, text in said]
    return {"messages": messages, **more}


def run(*given: str | Path) -> int:
    parser = argparse.ArgumentParser()
    quality_sessions.add(parser)
    return quality_sessions.run(parser.parse_args([str(each) for each in given]))


@pytest.mark.parametrize("kind", [[], ["--as", "calm"], ["--as", "quiet"]])
def test_ids_may_be_words_times_iso_and_links_lines_and_marks_missing(
    tmp_path: Path, kind: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "talk.jsonl"
    file.write_text(json.dumps(talk(gold={"m1": "a", "m2": "a"})) + "\n\n", encoding="utf-8")
    assert run(file, *kind) == 0
    assert "structural" in capsys.readouterr().out


def test_where_nothing_is_annotated_there_is_no_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "talk.jsonl"
    file.write_text(json.dumps(talk()), encoding="utf-8")
    assert run(file) == 0
    told = capsys.readouterr().out
    assert "nan" in told
    assert "100.0" not in told


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is empty"),
        ("\nno json", "line 2: this is not JSON"),
        ("[1]", "line 1: this is not a stretch of talk"),
        ("{}", "line 1: 'messages' is missing"),
        ('{"messages": [{"n": 1, "author": "ana"}]}', "line 1: 'ts' is missing"),
        ('{"messages": [{"n": 1, "ts": "noon", "author": "ana"}]}', "line 1: this is not a stretch of talk"),
        (None, "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_sentence(
    tmp_path: Path, content: str | None, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "talk.jsonl"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    assert run(file) == 1
    error = capsys.readouterr().err
    assert str(file) in error
    assert told in error
    assert error.count("\n") == 1
