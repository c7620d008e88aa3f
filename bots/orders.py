"""Orders at a bot's own door whose question and answer are JSON: `verb` and `given` in, the answer out in pieces."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pydantic import JsonValue

from .errors import TroupeError

_PIECE = 200_000
"""Characters of an answer that go through a bot's door at once."""


async def answered(
    about: str,
    do: Callable[[str, Mapping[str, Any]], Awaitable[dict[str, JsonValue]]],
    asked: Mapping[str, str],
    say: Callable[[str], Awaitable[None]],
) -> None:
    """Has `do` answer an order `about` something, `verb` and `given` as JSON. Tells the JSON of the answer in pieces,
    each a JSON string. Raises `TroupeError` where `given` is no JSON object, and what `do` raises."""
    try:
        given = json.loads(asked.get("given", "{}"))
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise TroupeError(f"What an order about {about} is given is a JSON object.")
    told = json.dumps(await do(asked.get("verb", ""), given))
    for start in range(0, len(told), _PIECE):
        await say(json.dumps(told[start : start + _PIECE]))
