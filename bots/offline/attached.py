"""The texts of files that stand beside lines, as a prompt shows them, and what they hold on a question."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ..providers import Line
from .quoting import excerpt, quoted
from .transcript import fitting

_LONGEST = 450
"""Letters of one quoted passage."""
_PASSAGES = 2_000
"""Passages of files that are looked through."""
_FILE = re.compile(r"^    (?P<name>[^\n]{1,80}):\n    (?P<fence>`{3,})\n(?P<text>.*?)\n    (?P=fence)$", re.M | re.S)
_PARAGRAPH = re.compile(r"\n\s*\n")


def from_files(lines: Sequence[Line], asked: str) -> str | None:
    """What the files beside some lines hold on a question, quoted under their names; None where they hold nothing."""
    passages = [each for line in reversed(lines) if line.role == "user" for each in _passages(line.text)][:_PASSAGES]
    found = fitting([text for _, text in passages], asked)[:2]
    blocks = [_quote(*passages[number], asked) for number in found]
    return "\n\n".join(dict.fromkeys(blocks)) or None


def names(line: Line) -> list[str]:
    """The names of the files beside a line whose texts can be read."""
    return [name for name, _ in _files(line.text)]


def _quote(name: str, text: str, asked: str) -> str:
    return f"From the file {name}:\n{quoted(excerpt(text, _LONGEST, asked))}"


def _passages(text: str) -> Iterator[tuple[str, str]]:
    """The paragraphs of each file, a long one line by line."""
    for name, held in _files(text):
        for paragraph in _PARAGRAPH.split(held):
            parts = [paragraph] if len(paragraph) <= _LONGEST else paragraph.splitlines()
            yield from ((name, part.strip()) for part in parts if part.strip())


def _files(text: str) -> Iterator[tuple[str, str]]:
    """Each file's name and text. Only what is named as a file beside the line counts as one."""
    for match in _FILE.finditer(text):
        if f"[file: {match['name']}" in text[: match.start()]:
            yield match["name"], match["text"].removeprefix("    ").replace("\n    ", "\n")
