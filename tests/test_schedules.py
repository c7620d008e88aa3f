"""Cron lines and spans, as people write them."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from bots.schedules import Schedule, fields, span

SCHEDULE: TypeAdapter[str] = TypeAdapter(Schedule)


@pytest.mark.parametrize(
    ("line", "spelt"),
    [
        ("0 4 * * *", ["0", "4", "*", "*", "*"]),
        ("*/15 8-18/2 1,15 * *", ["*/15", "8-18/2", "1,15", "*", "*"]),
        ("0 9 * * 1", ["0", "9", "*", "*", "mon"]),
        ("0 9 * * 0", ["0", "9", "*", "*", "sun"]),
        ("0 9 * * 7", ["0", "9", "*", "*", "sun"]),
        ("0 9 * jan-mar Mon-Fri", ["0", "9", "*", "1-3", "mon,tue,wed,thu,fri"]),
        ("0 9 * * 5-7", ["0", "9", "*", "*", "fri,sat,sun"]),
    ],
)
def test_a_cron_line_means_what_cron_says(line: str, spelt: list[str]) -> None:
    assert fields(line) == spelt
    assert SCHEDULE.validate_python(line) == line


def test_a_span_is_a_number_and_a_unit() -> None:
    assert [span(text) for text in ("every 30m", "every 6h", "every 1d")] == [1800, 21_600, 86_400]


@pytest.mark.parametrize(
    "text",
    [
        *("", "daily", "0 4 * *", "0 4 * * * *", "60 4 * * *", "0 24 * * *", "0 4 0 * *", "0 4 * 13 *", "0 4 * * 8"),
        *("0 4 1 * 1", "5-3 * * * *", "*/0 * * * *", "every 0h", "every 6 weeks", "every -1h", "0 4 * * monday"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        SCHEDULE.validate_python(text)
