"""Whether what people at consoles were told is what a bot keeps at the end of a day: all of it, and once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import storage
from bots.afterwards import asked_by
from storage.backend import OLDEST
from storage.model import Message

from .web_ledger import Ledger, Line


async def checked(ledger: Ledger, root: Path) -> list[str]:
    """What is wrong. The bot has stopped."""
    store = await storage.connect("sage", root)
    kept: list[Message] = []
    try:
        cursor: str | None = OLDEST
        while cursor is not None:
            page = await store.read(cursor=cursor, limit=500, deleted=True)
            kept += page.items
            cursor = page.newer
    finally:
        await store.close()
    return [*ledger.findings, *_lines(ledger, kept), *_answers(ledger, kept)]


def _lines(ledger: Ledger, kept: list[Message]) -> Iterator[str]:
    rows: dict[str, list[Message]] = defaultdict(list)
    answers: dict[str, list[Message]] = defaultdict(list)
    for one in kept:
        rows[(one.origin or "").rpartition(":")[2]].append(one)
        for id in asked_by(one) if one.role == "assistant" and one.deleted_at is None else ():
            answers[id].append(one)
    for line in ledger.lines:
        for problem in _line(line, rows[line.key], answers):
            yield f"{line.key} in {line.session} {problem}"


def _line(line: Line, rows: list[Message], answers: dict[str, list[Message]]) -> Iterator[str]:
    if len(rows) > 1 or (line.id and not rows):
        yield f"is kept {len(rows)} times"
    for row in rows[:1]:
        given = [one for one in answers[row.id] if one.words.strip()] or answers[row.id][:1]
        if line.id not in ("", row.id):
            yield f"was told of as {line.id}, and is {row.id}"
        if row.text not in line.texts:
            yield f"is kept as {row.text!r}, and was said as {line.texts}"
        if (row.deleted_at is not None) < line.gone or (row.deleted_at is not None) > line.taken:
            yield f"was taken away: {line.taken}, {line.gone}; in the store at {row.deleted_at}"
        if len(given) > 1:
            yield f"was answered {len(given)} times: {[one.id for one in given]}"
        if not given and not line.stopped and not line.taken:
            yield f"was never answered: {line.refused!r}"
        if line.refused and not line.stopped and not line.taken:
            yield f"was refused: {line.refused!r}"
        for one in given:
            if one.words and one.outcome == "whole" and f"q{line.number} " not in one.text:
                yield f"has the answer {one.text!r}"


def _answers(ledger: Ledger, kept: list[Message]) -> Iterator[str]:
    by_id = {one.id: one for one in kept}
    for id, text in ledger.answers.items():
        if id not in by_id:
            yield f"the answer {id} was told to its end, and is not kept: {text!r}"
        elif by_id[id].text != text:
            yield f"the answer {id} was told as {text!r}, and is kept as {by_id[id].text!r}"
