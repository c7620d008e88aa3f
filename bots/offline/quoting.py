"""Words of others in an answer: quoted exactly, in a block they cannot break out of, cut to a length."""

from __future__ import annotations

import re

from ..terms import terms

_FENCE = re.compile(r"^\s{0,3}(`{3,}|~{3,})", re.MULTILINE)


def quoted(text: str) -> str:
    """The text as a Markdown quote, every line of it; a listing left open is closed inside the quote."""
    return "\n".join(f"> {line}".rstrip() for line in closed(text).splitlines())


def closed(text: str) -> str:
    """The text with its last code fence closed."""
    fence = ""
    for match in _FENCE.finditer(text):
        if not fence:
            fence = match[1]
        elif match[1].startswith(fence):
            fence = ""
    if fence:
        return f"{text.rstrip()}\n{fence}"
    return text if text.count("```") % 2 == 0 else f"{text}```"


def excerpt(text: str, longest: int, topic: str = "") -> str:
    """The text, or of a longer one the part that holds most words of `topic`, cut between words and marked `…`."""
    if len(text) <= longest:
        return text
    start = _richest(text, longest, set(terms(topic))) if topic else 0
    part = text[start : start + longest]
    if start + longest < len(text):
        part = re.sub(r"\s+\S{0,40}$", "", part)
    return f"{'…' if start else ''}{part.strip()}{'…' if start + len(part) < len(text) else ''}"


def _richest(text: str, longest: int, wanted: set[str]) -> int:
    """Where the stretch of sentences starts that holds most of the wanted words; the first of equals."""
    starts = [0, *(match.end() for match in re.finditer(r"(?<=[.!?。！？])\s*|\n+", text) if match.end() < len(text))]
    starts = starts[:500]
    return max(starts, key=lambda start: (len(wanted & set(terms(text[start : start + longest]))), -start))
