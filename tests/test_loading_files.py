"""Files and folders that settings name: made whole, and told about where they are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from bots.embedding import VOCABULARY, WEIGHTS
from tests.test_loading import PERSONA, Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_personas_notes_count_from_the_project(desk: Desk) -> None:
    desk.write("notes/a.md", "# A\n")
    desk.write(
        "config/personas/sage.yaml", PERSONA.format(display="Sage") + "knowledge:\n  - ./notes\n  - notes/a.md\n"
    )
    (bot,) = desk.load().bots
    assert bot.personas[0].knowledge == (str(desk.project / "notes"), str(desk.project / "notes" / "a.md"))


def test_a_bot_may_quote_from_a_single_file(desk: Desk) -> None:
    desk.write("notes/a.md", "# A\n")
    desk.bot("knowledge: notes/a.md")
    assert desk.load().bots[0].knowledge == str(desk.project / "notes" / "a.md")


def test_notes_that_are_not_there_are_told_once_with_file_and_line(desk: Desk) -> None:
    desk.write("notes/a.pdf", "%PDF")
    desk.write(
        "config/personas/sage.yaml", PERSONA.format(display="Sage") + "knowledge:\n  - notes/a.pdf\n  - nowhere\n"
    )
    desk.write("config/bots/second.yaml", "personas: [sage]\n")
    kind, nowhere = desk.findings()
    assert "personas/sage.yaml:5: knowledge[0]: found 'notes/a.pdf' (text); allowed: a folder, or a file that" in kind
    assert "personas/sage.yaml:6: knowledge[1]: found 'nowhere' (text), where there is no folder; make it" in nowhere


def test_a_local_models_folder_counts_from_the_project_and_is_looked_into(desk: Desk) -> None:
    desk.bot("embedder:\n  path: ./models/{bot_name}")
    assert ":3: embedder.path: found './models/{bot_name}' (text), which is not a folder; allowed: a" in desk.finding()
    desk.write(f"models/sage/{WEIGHTS}", b"")
    assert f"which has no {VOCABULARY}; allowed: a folder with {WEIGHTS} and {VOCABULARY}" in desk.finding()
    desk.write(f"models/sage/{VOCABULARY}", b"")
    assert desk.load().bots[0].embedder.path == str(desk.project / "models" / "sage")


def test_a_persona_may_name_a_single_place_to_quote_from_as_plain_text(desk: Desk) -> None:
    desk.write("notes/a.md", "# A\n\nNotes.\n")
    desk.write("config/personas/sage.yaml", PERSONA.format(display="Sage") + "knowledge: ./notes\n")
    desk.bot("")
    assert desk.load().bots[0].personas[0].knowledge == (str(desk.project / "notes"),)
    desk.write("config/personas/sage.yaml", PERSONA.format(display="Sage") + "knowledge: ./nowhere\n")
    (finding,) = desk.findings()
    assert "knowledge: found './nowhere' (text), where there is no folder; make it" in finding
    desk.write("config/personas/sage.yaml", PERSONA.format(display="Sage") + 'knowledge: ""\n')
    assert desk.load().bots[0].personas[0].knowledge == ()


def test_an_embedder_without_a_models_name_is_refused(desk: Desk) -> None:
    desk.bot('embedder: {provider: openai, model: ""}')
    (finding,) = desk.findings()
    assert "embedder.model: found ''" in finding


def test_large_bounds_are_told_in_digits(desk: Desk) -> None:
    desk.bot("memory: {capacity: 1}")
    assert "allowed: a whole number from 10 to 1000000" in desk.finding()
