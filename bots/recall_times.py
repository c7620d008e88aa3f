"""The time that a question speaks of: `in May 2023`, `on 8 June`, `last week`."""

from __future__ import annotations

import calendar
import re
from datetime import UTC, date, datetime, timedelta

_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_name) if name}
_MONTHS |= {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name and name != "May"}
_MONTH = r"(?P<month>" + "|".join(sorted(_MONTHS, key=len, reverse=True)) + r")\b\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?:,?\s+(?:of\s+)?(?P<year>(?:19|20)\d\d))"
_DATES = (
    re.compile(r"\b(?P<year>(?:19|20)\d\d)-(?P<number>\d\d)(?:-(?P<day>\d\d))?\b"),
    re.compile(rf"(?i)\b{_DAY}\s+(?:of\s+)?{_MONTH}{_YEAR}?"),
    re.compile(rf"(?i)\b{_MONTH}\s+{_DAY}\b{_YEAR}?"),
    re.compile(rf"(?i)\b{_MONTH}{_YEAR}"),
    re.compile(rf"(?i)\b(?:in|during|of|since|last|this|early|late|mid)[\s-]+{_MONTH}"),
    re.compile(r"(?i)\b(?:in|during|of|since|year)\s+(?P<year>(?:19|20)\d\d)\b"),
)
_AGO = re.compile(
    r"(?i)\b(?P<count>\d{1,3}|an?|one|two|three|four|five|six|a few|a couple of)\s+(?P<unit>day|week|month)s?\s+ago\b"
)
_COUNTS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "a few": 3,
           "a couple of": 2}  # fmt: skip
_UNITS = {"day": 1, "week": 7, "month": 30}
_RELATIVE = (("yesterday", 1, 1), ("last night", 1, 1), ("today", 0, 1), ("this week", 6, 7), ("last week", 13, 13),
             ("this month", 30, 31), ("last month", 60, 60), ("lately", 30, 31), ("recently", 30, 31))  # fmt: skip
"""How many days ago it begins, and how long it lasts."""
_BEFORE, _BEHIND = timedelta(days=1), timedelta(days=7)
"""What happens is told ahead of it and, more often, some days later."""


def spoken_of(question: str, now: datetime) -> tuple[datetime, datetime] | None:
    """When what a question asks about may have been told; None where it names no time, or one that cannot be."""
    for pattern in _DATES:
        if match := pattern.search(question):
            stretch = _stretch(match.groupdict(), now)
            return None if stretch is None else _widened(*stretch)
    today = now.astimezone(UTC).date()
    if match := _AGO.search(question):
        count, unit = match["count"].lower(), _UNITS[match["unit"].lower()]
        middle = today - timedelta(days=unit * (_COUNTS.get(count) or int(count)))
        return _widened(middle - timedelta(days=unit // 2), middle + timedelta(days=1 + unit // 2))
    said = question.lower()
    for words, ago, days in _RELATIVE:
        if re.search(rf"\b{words}\b", said):
            start = today - timedelta(days=ago)
            return _widened(start, start + timedelta(days=days))
    return None


def _stretch(found: dict[str, str | None], now: datetime) -> tuple[date, date] | None:
    """From a day up to, and without, another; a date without a year is the last one."""
    named = _MONTHS.get((found.get("month") or "").lower().rstrip(".")) or int(found.get("number") or 0)
    year = int(found.get("year") or 0)
    day = int(found.get("day") or 0)
    try:
        if not named:
            return date(year, 1, 1), date(year + 1, 1, 1)
        if not year:
            today = now.astimezone(UTC).date()
            year = today.year if (named, day or 1) <= (today.month, today.day) else today.year - 1
        if day:
            return date(year, named, day), date(year, named, day) + timedelta(days=1)
        return date(year, named, 1), date(year + named // 12, named % 12 + 1, 1)
    except ValueError:  # 31 June
        return None


def _widened(start: date, end: date) -> tuple[datetime, datetime]:
    begins, ends = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (start, end))
    return begins - _BEFORE, ends + _BEHIND
