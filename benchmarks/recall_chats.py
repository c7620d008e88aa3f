"""Chats with questions, read from files of several forms: what a form leaves out is made up, what is wrong is told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from storage.memory_index import Entry

_SESSION = re.compile(r"session_(\d+)")
_TURN = re.compile(r"D:?(\d+):0*(\d+)")
_START = datetime(2023, 1, 1, tzinfo=UTC)
_WRITTEN = ("%I:%M %p on %d %B, %Y", "%Y/%m/%d (%a) %H:%M", "%Y/%m/%d %H:%M", "%d %B, %Y", "%d %B %Y")


@dataclass(frozen=True)
class Chat:
    """A chat of two people, or more, with questions."""

    id: str
    turns: list[Entry]
    facts: list[Entry]
    questions: list[tuple[str, frozenset[str], datetime]]
    """Those with evidence: its ids, some of which no turn may have, and when it is asked."""
    asked: int
    """How many questions there are, evidence or not."""


def read(file: Path) -> list[Chat]:
    """The chats in a file. Raises `ValueError` with a sentence about what is wrong, and `OSError`."""
    chats: list[Chat] = []
    for number, sample in enumerate(_samples(file.read_text("utf-8-sig")), 1):
        where = f"chat {number}"
        try:
            sample = _object(sample, "it")
            name = str(sample.get("id") or sample.get("sample_id") or number)
            where = f"chat {name}"
            known = {chat.id for chat in chats}
            chats.append(_chat(f"{name} ({number})" if name in known else name, sample))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    return chats


def _samples(text: str) -> list[Any]:
    if not text.strip():
        raise ValueError("it is empty; it should have chats, as JSON or as JSON lines")
    try:
        told = json.loads(text)
    except ValueError:
        return [_line(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if isinstance(told, dict) and not _is_chat(told):
        lists = [value for value in told.values() if isinstance(value, list) and all(map(_is_chat, value)) and value]
        return lists[0] if lists else [*told.values()] if all(map(_is_chat, told.values())) else [told]
    return told if isinstance(told, list) else [told]


def _line(number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise ValueError(f"line {number} is no JSON ({error})") from None


def _is_chat(told: object) -> bool:
    return isinstance(told, dict) and ("turns" in told or "conversation" in told)


def _chat(name: str, sample: dict[str, Any]) -> Chat:
    if not _is_chat(sample):
        raise ValueError("it has neither `turns` nor `conversation`")
    turns = [*_turns(name, _list(sample, "turns") if "turns" in sample else _talked(sample["conversation"]))]
    when = {turn.id: turn.at for turn in turns}
    facts: list[Entry] = []
    for text, told in (*_noted(sample.get("facts")), *_noted(sample.get("observation"))):
        for source in sorted(_named(name, told, when) & when.keys()):
            id = f"{name} fact {len(facts)}"
            facts.append(Entry(id, name, "fact", None, "", "", when[source], text, source=source))
    end = (turns[-1].at if turns else _START) + timedelta(days=1)
    asked = [_object(each, "a question") for part in ("questions", "qa") for each in _list(sample, part)]
    questions = []
    for each in asked:
        if each.get("question") and (evidence := _named(name, each.get("evidence"), when)):
            at = _time(each["at"]) if each.get("at") else end
            questions.append((str(each["question"]), evidence, at))
    return Chat(name, turns, facts, questions, len(asked))


def _turns(name: str, told: Iterable[Any]) -> Iterator[Entry]:
    """The turns in the order given, however coarse their times are."""
    at = _START
    for place, each in enumerate(told):
        turn = _object(each, "a turn")
        at = _time(turn["at"]) if turn.get("at") else at
        yield Entry(
            id=f"{name} {turn.get('id', place)}",
            audience=name,
            kind="turn",
            session_id=f"{name} {turn.get('session', 1)}",
            speaker=str(turn.get("speaker") or ""),
            subject="",
            at=at + timedelta(milliseconds=place),
            text=str(turn.get("text") or ""),
        )


def _talked(talk: Any) -> Iterator[dict[str, Any]]:
    """The turns of the widespread form, as those of the plain one."""
    talk, at = _object(talk, "`conversation`"), _START
    for number in sorted(int(found[1]) for name in talk if (found := _SESSION.fullmatch(name))):
        written = talk.get(f"session_{number}_date_time")
        at = _time(written) if written else at + timedelta(days=1)
        for place, each in enumerate(_list(talk, f"session_{number}"), 1):
            turn = _object(each, "a turn")
            seen = f"[shows {turn['blip_caption']}]" if turn.get("blip_caption") else ""
            yield {
                "id": turn.get("dia_id", f"D{number}:{place}"),
                "at": at.isoformat(),
                "session": number,
                "speaker": turn.get("speaker"),
                "text": " ".join(filter(None, (turn.get("text"), seen))),
            }


def _noted(told: Any) -> Iterator[tuple[str, Any]]:
    """What was drawn from turns, with what names them: in any nesting, by people or by sessions."""
    if isinstance(told, dict) and isinstance(text := told.get("text"), str):
        yield text, next((told[name] for name in ("source", "evidence", "dia_id") if name in told), None)
    elif isinstance(told, list) and len(told) == 2 and isinstance(told[0], str) and _TURN.search(str(told[1])):
        yield told[0], told[1]
    elif isinstance(told, dict | list):
        for each in told.values() if isinstance(told, dict) else told:
            yield from _noted(each)


def _named(name: str, told: Any, known: Iterable[str]) -> frozenset[str]:
    """The turns that evidence names: one id or several, in one string or in a list."""
    if told is None:
        return frozenset()
    if isinstance(told, list):
        return frozenset[str]().union(*(_named(name, each, known) for each in told))
    if isinstance(told, dict):
        raise ValueError("`evidence` is an object; it should be a list of the ids of turns")
    whole = f"{name} {str(told).strip()}"
    if whole in known:
        return frozenset((whole,))
    ids = [f"D{session}:{turn}" for session, turn in _TURN.findall(str(told))] or re.split(r"[\s,;]+", str(told))
    return frozenset(f"{name} {id}" for id in ids if id)


def _time(told: Any) -> datetime:
    if isinstance(told, int | float):
        return datetime.fromtimestamp(told, UTC)
    for read in (datetime.fromisoformat, *(lambda text, form=form: datetime.strptime(text, form) for form in _WRITTEN)):
        try:
            at: datetime = read(str(told).strip())
        except ValueError:
            continue
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    raise ValueError(f"{told!r} is no time; write it as 2023-05-08T13:56 or as 1:56 pm on 8 May, 2023")


def _list(told: dict[str, Any], name: str) -> list[Any]:
    found = told.get(name)
    if not isinstance(found, list | None):
        raise ValueError(f"`{name}` should be a list, and is {json.dumps(found)[:40]}")
    return found or []


def _object(told: Any, name: str) -> dict[str, Any]:
    if not isinstance(told, dict):
        raise ValueError(f"{name} should be an object, and is {json.dumps(told)[:40]}")
    return told
