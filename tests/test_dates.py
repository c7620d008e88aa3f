"""The calendar as people ask about it: weekdays, distances, offsets and leap years, in UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from bots.offline.dates import look_up

NOW = datetime(2026, 11, 21, 14, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("what day is it?", "Today is Saturday, 21 November 2026 (UTC)."),
        ("todays date", "Today is Saturday, 21 November 2026 (UTC)."),
        ("what time is it", "It is 14:05 UTC on Saturday, 21 November 2026."),
        ("what day was 2024-02-29", "29 February 2024 was a Thursday."),
        ("what day was July 4th, 1776?", "4 July 1776 was a Thursday."),
        ("what day was 2023-02-29", "February 2023 has no day 29."),
        ("when is easter", "Easter is on Sunday, 28 March 2027."),
        ("is it friday?", "No: today is Saturday, 21 November 2026."),
        ("how many days until Christmas?", "34 days until Friday, 25 December 2026, counting from today in UTC."),
        ("days until 25 December", "34 days until Friday, 25 December 2026, counting from today in UTC."),
        ("how many days until 2027-01-01", "41 days until Friday, 1 January 2027, counting from today in UTC."),
        ("how many days until 29 feb", "465 days until Tuesday, 29 February 2028, counting from today in UTC."),
        ("how long until tomorrow", "1 day until Sunday, 22 November 2026, counting from today in UTC."),
        (
            "days between 2024-01-01 and 2024-03-01",
            "60 days between Monday, 1 January 2024 and Friday, 1 March 2024.",
        ),
        (
            "how many days between 1 March and 1 April 2024?",
            "31 days between Friday, 1 March 2024 and Monday, 1 April 2024.",
        ),
        (
            "days between 1 March 2024 and 1 April",
            "31 days between Friday, 1 March 2024 and Monday, 1 April 2024.",
        ),
        ("how many days from 3 to 10 May?", "7 days between Sunday, 3 May 2026 and Sunday, 10 May 2026."),
        ("days from May 3 to 10", "7 days between Sunday, 3 May 2026 and Sunday, 10 May 2026."),
        (
            "how long from 20 December to 5 January",
            "16 days between Sunday, 20 December 2026 and Tuesday, 5 January 2027.",
        ),
        ("in 45 days", "In 45 days it will be Tuesday, 5 January 2027."),
        ("what was the date 3 weeks ago?", "3 weeks ago it was Saturday, 31 October 2026."),
        (
            "2 months before 2024-04-30",
            "2 months before 2024-04-30 it was Thursday, 29 February 2024.",
        ),
        ("is 2028 a leap year", "2028 is a leap year: it has 366 days."),
        ("is 1900 a leap year?", "1900 is not a leap year."),
        ("in 99999 years", "My calendar only knows the years 1 to 9999."),
        ("what day is 4/5/2026", "4/5/2026 can be read two ways: do you mean 2026-05-04 or 2026-04-05?"),
    ],
)
def test_dates(question: str, answer: str) -> None:
    assert look_up(question, NOW) == answer


@pytest.mark.parametrize("question", ["when is the meeting", "my exam is in 45 days", "what time do you open"])
def test_not_everything_about_time_is_a_date(question: str) -> None:
    assert look_up(question, NOW) is None


def test_other_time_zones_are_not_guessed() -> None:
    assert (look_up("what time is it in Tokyo?", NOW) or "").startswith("It is 14:05 UTC")
    assert "other time zones" in (look_up("what time is it in Tokyo?", NOW) or "")


def test_every_day_of_four_years_has_its_weekday() -> None:
    for offset in range(0, 1461, 3):
        day = date(2024, 1, 1) + timedelta(days=offset)
        assert look_up(f"what day was {day}?", NOW) == (
            f"{day.day} {day:%B} {day.year} {'was' if day < NOW.date() else 'is'} a {day:%A}."
        )
