"""Questions about the calendar: what day it is, how long until, how far apart; all in UTC."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Literal

from .phrases import plain

_Lean = Literal["next", "last", "this"]
"""Which year a date without one belongs to: the coming such day, the last one, or the one of this year."""


class NoSuchDay(Exception):
    """A date that is not in the calendar; its text is a sentence for the person."""


def look_up(question: str, now: datetime) -> str | None:
    """The answer to a question about dates or the time, or why there is none; None for any other question."""
    text = plain(question)
    if len(text) > 120:
        return None
    for pattern, reply in _QUESTIONS:
        if match := pattern.fullmatch(text):
            try:
                if answer := reply(match, now):
                    return answer
            except NoSuchDay as reason:
                return str(reason)
            except (OverflowError, ValueError):
                return "My calendar only knows the years 1 to 9999."
    return None


def _time(match: re.Match[str], now: datetime) -> str:
    elsewhere = " I only know that one clock, not other time zones." if match["elsewhere"] else ""
    return f"It is {now:%H:%M} UTC on {_day(now.date())}.{elsewhere}"


def _today(match: re.Match[str], now: datetime) -> str:
    return f"Today is {_day(now.date())} (UTC)."


def _is_it(match: re.Match[str], now: datetime) -> str | None:
    named = match["day"] or "today"
    asked, day = _date(match["asked"] or match["bare"], now.date(), "next"), _date(named, now.date(), "this")
    if asked is None or day is None:
        return None
    same = asked.weekday() == day.weekday()
    return f"{'Yes' if same else 'No'}: {named} is {_day(day)}."


def _year(match: re.Match[str], now: datetime) -> str:
    if match["what"].startswith("week"):
        return f"It is week {now.isocalendar().week} of {now.isocalendar().year} (ISO weeks, which start on Mondays)."
    return f"It is {now:%B} {now.year}." if match["what"] == "month" else f"It is {now.year}."


def _weekday(match: re.Match[str], now: datetime) -> str | None:
    today = now.date()
    lean: _Lean = "next" if re.search(r"\bwhen\b|\bnext\b", match[0]) else "this"
    day = _date(match["day"], today, lean)
    if day is None:
        return None
    if re.search(rf"\d{{1,2}}\b(?!\d)|\b{_MONTH}\b", re.sub(r"\b\d{4}$", "", match["day"])):
        return f"{day.day} {day:%B} {day.year} {'was' if day < today else 'is'} a {day:%A}."
    feast = " on" if re.sub(r"\W|\d|day$", "", match["day"]) in _FEAST_NAMES else ""
    return f"{_capitalised(match['day'])} {'was' if day < today else 'is'}{feast} {_day(day)}."


def _length(match: re.Match[str], now: datetime) -> str:
    month = _MONTHS.index(match["month"][:3]) + 1
    year = int(match["year"] or now.year)
    return f"{calendar.month_name[month]} {year} has {_days(calendar.monthrange(year, month)[1])}."


def _until(match: re.Match[str], now: datetime) -> str | None:
    today = now.date()
    day = _date(match["day"], today, "next")
    if day is None:
        return None
    apart = (day - today).days
    if apart == 0:
        return f"That is today, {_day(day)}."
    if apart < 0:
        return f"{_day(day)} was {_days(-apart)} ago."
    return f"{_days(apart)} until {_day(day)}{_in_weeks(match, apart)}, counting from today in UTC."


def _since(match: re.Match[str], now: datetime) -> str | None:
    day = _date(match["day"], now.date(), "last")
    if day is None:
        return None
    apart = (now.date() - day).days
    if apart < 0:
        return f"{_day(day)} is still {_days(-apart)} away."
    return f"{_days(apart)} since {_day(day)}{_in_weeks(match, apart)}." if apart else f"That is today, {_day(day)}."


def _between(match: re.Match[str], now: datetime) -> str | None:
    first, second = _one_year(match["one"], match["other"])
    one, other = (_date(text, now.date(), "this") for text in (first, second))
    if one is None or other is None:
        return None
    turns = not re.search(r"\d{4}", first + second) and re.search(r"\b(?:from|to|until|till)\b", match[0])
    if turns and other < one and (later := _date(f"{second} {one.year + 1}", now.date(), "this")):
        other = later
    apart = abs((other - one).days)
    return f"{_days(apart)} between {_day(one)} and {_day(other)}{_in_weeks(match, apart)}."


def _one_year(one: str, other: str) -> tuple[str, str]:
    """The two ends of a span, each with the month and year that only one of them names: `3 to 10 May 2024`."""
    ends = [one.strip(), other.strip()]
    for at in (0, 1):
        month = re.search(rf"\b{_MONTH}\b", ends[1 - at])
        if month and re.fullmatch(_BARE_DAY, ends[at]):
            ends[at] = f"{ends[at]} {month['month']}"
        year = re.search(r"[\s,](\d{4})$", ends[1 - at])
        if year and re.search(rf"\b{_MONTH}\b", ends[at]) and not re.search(r"\d{4}", ends[at]):
            ends[at] = f"{ends[at]} {year[1]}"
    return ends[0], ends[1]


def _shifted(match: re.Match[str], now: datetime) -> str | None:
    asked = match.groupdict()
    start = _date(asked["from"], now.date(), "this") if asked.get("from") else now.date()
    count = _COUNTS.get(match["count"]) or (int(match["count"]) if match["count"].isdigit() else None)
    if start is None or count is None:
        return None
    back = re.search(r"\b(ago|before|earlier)\b", match[0]) is not None
    day = _moved(start, -count if back else count, match["unit"])
    return f"{_capitalised(match['shift'])}{' it was' if day < now.date() else ' it will be'} {_day(day)}."


def _leap(match: re.Match[str], now: datetime) -> str:
    asked = match.groupdict().get("year")
    year = int(asked) if asked and asked.isdigit() else now.year + (asked == "next year" or "when" in match[0])
    if "when" in match[0]:
        year = next(later for later in range(year, year + 9) if calendar.isleap(later))
        return f"The next leap year is {year}."
    if not 1 <= year <= 9999:
        raise ValueError(year)
    return f"{year} is a leap year: it has 366 days." if calendar.isleap(year) else f"{year} is not a leap year."


def _date(text: str, today: date, lean: _Lean) -> date | None:
    """The day people mean by `text`; None if it is not a date at all."""
    text = re.sub(r"^(?:on |the )+|[,.]$", "", text.strip())
    near = {"today": 0, "now": 0, "tomorrow": 1, "yesterday": -1, "the day after tomorrow": 2}
    if text in near or text == "day after tomorrow":
        return today + timedelta(days=near.get(text, 2))
    if match := re.fullmatch(rf"(next |last |this |coming )?({_WEEKDAY})", text):
        return _coming_weekday(match[2], (match[1] or "").strip(), today)
    if match := re.fullmatch(r"(next |this |last )?([a-z'\s]+?)(?: day)?(?: (?:of )?(\d{4}))?", text):
        name = match[2].replace("'", "").removesuffix(" day")
        if name in _FEASTS:
            return _in_year(_FEASTS[name], int(match[3]) if match[3] else None, today, lean)
    for pattern in _WRITTEN:
        if match := pattern.fullmatch(text):
            parts = match.groupdict()
            month = _MONTHS.index(parts["month"][:3]) + 1 if parts["month"].isalpha() else int(parts["month"])
            year = int(parts["year"]) if parts.get("year") else None
            return _in_year(_fixed(month, int(parts["date"])), year, today, lean)
    if match := re.fullmatch(r"(\d{1,2})/(\d{1,2})/(\d{4})", text):
        return _slashed(int(match[1]), int(match[2]), int(match[3]))
    return None


def _in_year(day_in: Callable[[int], date], year: int | None, today: date, lean: _Lean) -> date:
    if year is not None:
        return day_in(year)
    for candidate in {"next": range(today.year, today.year + 9), "last": range(today.year, today.year - 9, -1)}.get(
        lean, range(today.year, today.year + 1)
    ):
        try:
            day = day_in(candidate)
        except NoSuchDay:
            if lean == "this":
                raise
            continue
        if lean == "this" or (day >= today if lean == "next" else day <= today):
            return day
    return day_in(today.year)


def _real(year: int, month: int, day: int) -> date:
    if not 1 <= month <= 12:
        raise NoSuchDay(f"There is no month {month}.")
    if not 1 <= year <= 9999:
        raise ValueError(year)
    if not 1 <= day <= calendar.monthrange(year, month)[1]:
        raise NoSuchDay(f"{calendar.month_name[month]} {year} has no day {day}.")
    return date(year, month, day)


def _slashed(first: int, second: int, year: int) -> date:
    """A date with slashes, where its order is certain."""
    if first > 12 or first == second:
        return _real(year, second, first)
    if second > 12:
        return _real(year, first, second)
    either = f"{_real(year, second, first):%Y-%m-%d} or {_real(year, first, second):%Y-%m-%d}"
    raise NoSuchDay(f"{first}/{second}/{year} can be read two ways: do you mean {either}?")


def _coming_weekday(name: str, which: str, today: date) -> date:
    number = [day.casefold()[:3] for day in calendar.day_name].index(name[:3])
    ahead = (number - today.weekday()) % 7
    if which == "last":
        return today - timedelta(days=(7 - ahead) % 7 or 7)
    return today + timedelta(days=ahead if ahead or which != "next" else 7)


def _easter(year: int) -> date:
    """Western Easter Sunday, by the anonymous Gregorian algorithm."""
    if not 1583 <= year <= 9999:
        raise ValueError(year)
    a, b, c = year % 19, year // 100, year % 100
    h = (19 * a + b - b // 4 - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    k = (32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7
    m = (a + 11 * h + 22 * k) // 451
    return date(year, (h + k - 7 * m + 114) // 31, (h + k - 7 * m + 114) % 31 + 1)


def _moved(start: date, count: int, unit: str) -> date:
    if unit.startswith("day"):
        return start + timedelta(days=count)
    if unit.startswith(("week", "fortnight")):
        return start + timedelta(weeks=count * (2 if unit.startswith("f") else 1))
    months = start.year * 12 + start.month - 1 + count * (12 if unit.startswith("year") else 1)
    year, month = divmod(months, 12)
    if not 1 <= year <= 9999:
        raise OverflowError
    return date(year, month + 1, min(start.day, calendar.monthrange(year, month + 1)[1]))


def _day(day: date) -> str:
    return f"{day:%A}, {day.day} {day:%B} {day.year}"


def _days(count: int) -> str:
    return f"{count} day{'' if count == 1 else 's'}"


def _in_weeks(match: re.Match[str], days: int) -> str:
    if not re.search(r"\bweeks?\b", match[0]) or days < 7:
        return ""
    weeks, rest = divmod(days, 7)
    return f" ({weeks} week{'' if weeks == 1 else 's'}{f' and {_days(rest)}' if rest else ''})"


def _capitalised(words: str) -> str:
    """A name of days as people write it: `New Year's Eve`, `3 weeks ago`."""
    known = {*(w for name in _FEASTS for w in name.split()), *(d.casefold() for d in calendar.day_name)}
    text = " ".join(w.capitalize() if w.replace("'", "") in known else w for w in words.split())
    return text[:1].upper() + text[1:]


def _fixed(month: int, day: int) -> Callable[[int], date]:
    return lambda year: _real(year, month, day)


_COUNTS = {w: n for n, w in enumerate("one two three four five six seven eight nine ten eleven twelve".split(), 1)} | {
    "a": 1,
    "an": 1,
}
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_BARE_DAY = r"(?:the )?\d{1,2}(?:st|nd|rd|th)?"
_WEEKDAY = r"mon(?:day)?|tue(?:s|sday)?|wed(?:nesday)?|thu(?:r|rs|rsday)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?"
_FEASTS: dict[str, Callable[[int], date]] = {
    "christmas": _fixed(12, 25),
    "xmas": _fixed(12, 25),
    "christmas eve": _fixed(12, 24),
    "boxing": _fixed(12, 26),
    "new year": _fixed(1, 1),
    "new years": _fixed(1, 1),
    "new years eve": _fixed(12, 31),
    "halloween": _fixed(10, 31),
    "valentines": _fixed(2, 14),
    "easter": _easter,
    "easter sunday": _easter,
}
_FEAST_NAMES = frozenset(name.replace(" ", "") for name in _FEASTS)
_WRITTEN = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<date>\d{1,2})",
        r"(?P<date>\d{1,2})\.\s?(?P<month>\d{1,2})\.\s?(?P<year>\d{4})",
        rf"(?P<date>\d{{1,2}})(?:st|nd|rd|th|\.)?(?: of)? {_MONTH}\.?,?(?: (?P<year>\d{{4}}))?",
        rf"{_MONTH}\.? (?:the )?(?P<date>\d{{1,2}})(?:st|nd|rd|th)?(?:,? (?P<year>\d{{4}}))?",
    )
)
_UNIT = r"(?P<count>\d{1,6}|[a-z]+) (?P<unit>days?|weeks?|fortnights?|months?|years?)"
_ASKED = r"(?:(?:what|which|wich) (?:is |was |will )?(?:the )?(?:(?:week)?day|date|day of the week)|what|when)"
_QUESTIONS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], datetime], str | None]], ...] = tuple(
    (re.compile(pattern), reply)
    for pattern, reply in (
        (
            r"(?:(?:what|wat) (?:is )?|(?:have you )?got )?(?:the )?(?:current )?time"
            r"(?: (?:is it|it is|do you have|is))?(?: (?:right )?now| today)?(?: (?:in |at )?(?P<place>utc|gmt)"
            r"| (?:in|at) (?P<elsewhere>[a-z ,]+))?",
            _time,
        ),
        (
            r"(?:(?:what|wat|which|wich) (?:is )?)?(?:the )?(?:today'?s? |current )?(?:date|day|weekday"
            r"|day of the week)"
            r"(?: (?:is (?:it|today)|it is|today|is|of today|today is|do we have))?(?: today| now)?"
            r"|(?:what is )?today|what is today'?s? (?:date|day)",
            _today,
        ),
        (r"(?:what|which) (?P<what>year|month|week(?: number)?) (?:is it|is this|are we in)(?: now)?", _year),
        (
            rf"is (?:it )?(?P<day>today|tomorrow) (?:a )?(?P<asked>{_WEEKDAY})|is it (?:a )?(?P<bare>{_WEEKDAY})",
            _is_it,
        ),
        (rf"how many days (?:are |does |has )?(?:there )?(?:in )?{_MONTH}(?: (?P<year>\d{{4}}))?(?: have)?", _length),
        (
            rf"(?:{_ASKED}(?: (?:is|will|was|would))?(?: it| that)?(?: be)? )?(?P<shift>in {_UNIT}(?: time)?)"
            r"(?: (?:be|is|it is|it will be))?",
            _shifted,
        ),
        (
            rf"(?:{_ASKED}(?: (?:is|will|was|would))?(?: it| that)?(?: be)? )?"
            rf"(?P<shift>{_UNIT} (?:ago|from (?:now|today)|(?:after|from|before) (?P<from>.+)))",
            _shifted,
        ),
        (
            rf"{_ASKED} (?:is|was|will|does|did)(?: it)?(?: be)?(?: on)? (?P<day>.+?)"
            r"(?:'s date| (?:be|fall(?: on)?|a|on))?(?: this year)?",
            _weekday,
        ),
        (r"(?P<day>.+?) (?:is|was|falls on|will be)(?: on)? (?:a )?(?:what|which) (?:week)?day", _weekday),
        (rf"(?P<day>(?:next|last|coming) (?:{_WEEKDAY})|(?:the )?day after tomorrow|tomorrow|yesterday)", _weekday),
        (r"(?P<day>\d{4}-\d\d?-\d\d?|\d\d?\.\d\d?\.\d{4}|\d\d?/\d\d?/\d{4})", _weekday),
        (
            r"(?:how (?:many|long|much time|far)|number of|countdown)?(?: ?(?:days|weeks|sleeps|nights|day))?"
            r"(?: (?:are there|is it|is there|are|is|left|remain|do we have|have we got|to go|away))*"
            r" ?(?:until|till|til|to|before) (?P<day>.+)",
            _until,
        ),
        (
            r"(?:how (?:many|long)(?: (?:days|weeks))?)?(?:days|weeks)?(?: (?:has it been|is it|have passed|it is))?"
            r" ?since (?P<day>.+)",
            _since,
        ),
        (
            r"(?:how (?:many|long)|number of|difference|time)?(?: ?(?:days|weeks))?(?: (?:are there|is it|are|is))?"
            r" ?(?:in )?(?:between|from) (?P<one>.+?) (?:and|to|until|till) (?P<other>.+)",
            _between,
        ),
        (r"(?:is|was|will) (?P<year>\d{1,5}|this year|next year|it)(?: be)? (?:a )?leap ?-?year", _leap),
        (r"when is (?:the )?next leap ?-?year", _leap),
        (r"(?P<year>\d{3,4}) (?:a )?leap ?-?year", _leap),
    )
)
