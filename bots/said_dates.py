"""The day that somebody means by `tomorrow`, `next Friday` or `5 May`, as of when they said it."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

_DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_MONTHS = "january february march april may june july august september october november december".split()
_NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7}
_MONTH = "|".join(_MONTHS)
_DATE = re.compile(
    r"\b(?:on |by |until )?(?:"
    r"(?P<iso>\d{4}-\d{2}-\d{2})"
    r"|(?P<near>today|tonight|tomorrow|(?:the )?day after tomorrow|yesterday)(?: (?:morning|afternoon|evening|night))?"
    rf"|(?P<next>next |coming |this )?(?P<day>{'|'.join(_DAYS)})(?: (?:morning|afternoon|evening|night))?"
    r"|in (?P<many>\d{1,3}|a|an|one|two|three|four|five|six|seven) (?P<span>day|week|month)s?"
    rf"|(?:the )?(?P<dom>\d{{1,2}})(?:st|nd|rd|th)?\.? (?:of )?(?P<month>{_MONTH})(?:,? (?P<year>\d{{4}}))?"
    rf"|(?P<month2>{_MONTH}) (?P<dom2>\d{{1,2}})(?:st|nd|rd|th)?(?:,? (?P<year2>\d{{4}}))?"
    r")\b",
    re.IGNORECASE,
)


def said_date(text: str, at: datetime) -> tuple[date, tuple[int, int]] | None:
    """The first day that a text names, as of a time, and where in it that stands; None where it names none. A day
    without a year is the next one that comes."""
    for match in _DATE.finditer(text):
        found = _day(match, at.date())
        if found is not None:
            return found, match.span()
    return None


def _day(match: re.Match[str], today: date) -> date | None:
    told = {name: value.casefold() for name, value in match.groupdict().items() if value}
    try:
        if "iso" in told:
            return date.fromisoformat(told["iso"])
        if "near" in told:
            words = told["near"]
            away = 2 if "after" in words else {"tomorrow": 1, "yesterday": -1}.get(words, 0)
            return today + timedelta(days=away)
        if "day" in told:
            return today + timedelta(days=(_DAYS.index(told["day"]) - today.weekday() - 1) % 7 + 1)
        if "span" in told:
            many = _NUMBERS.get(told["many"]) or int(told["many"])
            if told["span"] == "month":
                months = today.month - 1 + many
                return date(today.year + months // 12, months % 12 + 1, min(today.day, 28))
            return today + timedelta(days=many * (7 if told["span"] == "week" else 1))
        day, month = int(told.get("dom") or told["dom2"]), _MONTHS.index(told.get("month") or told["month2"]) + 1
        if year := told.get("year") or told.get("year2"):
            return date(int(year), month, day)
        this_year = date(today.year, month, day)
        return this_year if this_year >= today else date(today.year + 1, month, day)
    except (ValueError, OverflowError):
        return None
