"""One reply of several personas: each is asked for its part, and their words stand below one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from storage.model import Message, Note, Part, Text, Usage

from .providers import Prompt
from .settings import PersonaSettings

Passage = tuple[str, str]
"""What stands above somebody's words, and the words."""


def heading(persona: PersonaSettings, after: Sequence[Passage] = ()) -> str:
    """What stands above a persona's words, where these come after others' passages or the front shows no name."""
    gap = "\n\n" if after else ""
    return f"{gap}**{persona.display}**\n"


def alone(prompt: Prompt, text: str) -> Prompt:
    """The prompt for one persona's part of a message: `text` are the words of it that this persona is to answer."""
    *before, last = prompt.lines
    quoted = "\n    ".join(text.splitlines())
    told = f"(Answer only this part of it; others answer the rest:\n    {quoted})"
    return replace(prompt, lines=(*before, replace(last, text=f"{last.text}\n{told}")), question=text)


def together(passages: Sequence[Passage]) -> list[Part]:
    """The passages as parts of one message."""
    parts: list[Part] = []
    for note, words in passages:
        parts += [Note(text=note), Text(text=words)] if note else [Text(text=words)]
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
