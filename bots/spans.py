"""Spans of time as people write them and as they are told: `10m`, `10 minutes`, `off`."""

from __future__ import annotations

import re
from typing import Literal

SPANS = {"year": 31_557_600, "week": 604_800, "day": 86_400, "hour": 3_600, "minute": 60, "second": 1}
"""The units in which people are told, and may say, how long something lasts; in seconds."""
SHORTEST, LONGEST = 10, 10 * SPANS["year"]
"""The silences that may begin a new session, in seconds."""
SPELLED = "90s, 30m, 12h, 7d, 4w or 2y, '10 minutes', between 10 seconds and 10 years, or 'off' for never"
_WRITTEN = re.compile(r"(\d{1,9}(?:\.\d{1,3})?) ?([a-z]*)")


def silence(text: str) -> float | Literal["off"] | None:
    """The seconds of silence that somebody typed, a bare number being seconds, or `off`; None where it is neither."""
    wanted = " ".join(text.lower().split())
    if wanted in ("off", "never"):
        return "off"
    written = _WRITTEN.fullmatch(wanted)
    if written is None:
        return None
    unit = written[2].removesuffix("s") or "s"
    size = next((size for name, size in SPANS.items() if name.startswith(unit)), 0)
    seconds = float(written[1]) * size
    return seconds if SHORTEST <= seconds <= LONGEST else None


def span(seconds: float) -> str:
    """So many seconds in the largest unit that holds them evenly: `5 minutes`."""
    unit, size = next((unit, size) for unit, size in SPANS.items() if seconds % size == 0 or size == 1)
    count = seconds / size
    return f"{count:g} {unit}{'' if count == 1 else 's'}"
