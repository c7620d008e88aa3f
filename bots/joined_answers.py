"""One reply of several personas: each is asked for its part, and their words stand below one another."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from storage.model import Message, Note, Part, Text, Usage

from .providers import Prompt
from .settings import PersonaSettings

_HEADING = re.compile(r"\s*\*\*(.+)\*\*\n")


class Passage(NamedTuple):
    """Somebody's words, and what stands above them."""

    heading: str
    remark: str
    """What the program says beside."""
    words: str


def heading(persona: PersonaSettings, after: Sequence[Passage] = ()) -> str:
    """What stands above a persona's words, where these come after others' passages or the front shows no name."""
    gap = "\n\n" if after else ""
    return f"{gap}**{persona.display}**\n"


def alone(prompt: Prompt, text: str) -> Prompt:
    """The prompt for one persona's part of a message: `text` are the words of it that this persona is to answer."""
    *before, last = prompt.lines
    quoted = "\n    ".join(text.splitlines())
    told = f"(Answer only this part of it; others answer the rest:\n    {quoted})"
    if text.strip() == prompt.question.strip():
        told = "(Others are asked this as well and answer for themselves: speak for yourself alone.)"
    return replace(prompt, lines=(*before, replace(last, text=f"{last.text}\n{told}")), question=text)


def together(passages: Sequence[Passage]) -> list[Part]:
    """The passages as parts of one message. The first words are its sender's; whose the others are belongs to what was
    said, so that it is known wherever it is read later."""
    parts: list[Part] = []
    for passage in passages:
        above = Text(text=passage.heading) if parts else Note(text=passage.heading)
        parts += [part for part in (above, Note(text=passage.remark), Text(text=passage.words)) if part.text]
    return parts


def summed(before: Usage | None, last: Usage | None) -> Usage | None:
    """What two askings took together, under the name of the model asked last. A cost that nobody knows adds nothing."""
    if before is None or last is None:
        return before or last
    costs = [each.cost_micros for each in (before, last) if each.cost_micros is not None]
    return last.model_copy(
        update={
            "tokens_in": before.tokens_in + last.tokens_in,
            "tokens_out": before.tokens_out + last.tokens_out,
            "cache_read": before.cache_read + last.cache_read,
            "cache_write": before.cache_write + last.cache_write,
            "cost_micros": sum(costs) if costs else None,
            "seconds": round(before.seconds + last.seconds, 3),
        }
    )


def is_joined(answer: Message) -> bool:
    """Whether several personas have given an answer together."""
    return answer.metadata.get("rule") == "split"


def said_by(answer: Message) -> list[tuple[str, str]]:
    """Who said what in an answer of several, in order: each persona as people know it, with its words."""
    said: list[tuple[str, str]] = []
    name = answer.sender.name
    for part in answer.parts:
        if not isinstance(part, Text | Note):
            continue
        if above := _HEADING.fullmatch(part.text):
            name = above[1]
        elif isinstance(part, Text):
            said.append((name, part.text))
    return said
