"""When something is due: a cron line or a span, checked when the config is read."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

_EVERY = re.compile(r"every (\d+)\s*([mhd])")
_SECONDS = {"m": 60, "h": 3600, "d": 86_400}
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_NAMES: tuple[dict[str, int], ...] = (
    {},
    {},
    {},
    {name: number for number, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)},
    {name: number for number, name in enumerate("sun mon tue wed thu fri sat".split())},
)
_FIELD = re.compile(r"(?:\*|(\w+)(?:-(\w+))?)(?:/(\d+))?")


def span(schedule: str) -> int | None:
    """The seconds between two times of `every 6h`; None for a cron line."""
    parts = _EVERY.fullmatch(schedule)
    return int(parts[1]) * _SECONDS[parts[2]] if parts and int(parts[1]) else None


def fields(schedule: str) -> list[str] | None:
    """A cron line's five fields with days of the week by name, since programs disagree about their numbers (0 and 7
    are Sunday, as in cron(5)); None where it is none."""
    written = schedule.lower().split()
    if len(written) != len(_RANGES):
        return None
    if written[2] != "*" and written[4] != "*":
        return None  # either, says cron(5); both, say others
    spelt = [_spelt(field, place) for place, field in enumerate(written)]
    return [field for field in spelt if field is not None] if None not in spelt else None


def _spelt(field: str, place: int) -> str | None:
    low, high = _RANGES[place]
    items: list[str] = []
    for item in field.split(","):
        parts = _FIELD.fullmatch(item)
        if parts is None or parts[3] == "0":
            return None
        first, last, step = parts.groups()
        if first is None:
            items.append(item)
            continue
        bounds = [_NAMES[place].get(end, int(end) if end.isdecimal() else -1) for end in (first, last) if end]
        if any(not low <= bound <= high for bound in bounds) or bounds != sorted(bounds):
            return None
        items.append(_days(bounds, step) if place == 4 else "-".join(map(str, bounds)) + (f"/{step}" if step else ""))
    return ",".join(items)


def _days(bounds: list[int], step: str | None) -> str:
    """Days one by one: a range such as `fri-sun` would run backwards where the week begins on Monday."""
    names = list(_NAMES[4])
    return ",".join(names[day % 7] for day in range(bounds[0], bounds[-1] + 1, int(step or 1)))


def _checked(schedule: str) -> str:
    if span(schedule) is None and fields(schedule) is None:
        raise PydanticCustomError("schedule", "a schedule is a cron line or a span")
    return schedule


_WHAT = "a cron line in UTC (minute, hour, day or else weekday, such as 0 4 * * *) or a span such as every 6h"
Schedule = Annotated[str, AfterValidator(_checked), WithJsonSchema({"type": "string", "x-what": _WHAT})]
"""A cron line with five fields, in UTC, or `every` and a number of minutes, hours or days (`30m`, `6h`, `1d`)."""
