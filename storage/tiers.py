"""Which backups stay: the newest of each of so many days, weeks and months."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_FRESH = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Tiers:
    """How many days, weeks and months keep their newest backup. Only those count in which one was made."""

    daily: int
    weekly: int
    monthly: int


def kept(made: Sequence[datetime], tiers: Tiers) -> set[int]:
    """The places in `made` of the backups that stay. `made` is in the order in which they were made, the first one
    first: what the clock said then only tells days, weeks and months apart, so that a clock set back costs nothing.

    The last one always stays, and so do those made within a day of it: one made by hand, maybe after something went
    wrong, takes nobody's place at once. Of no tier more than its number."""
    stay = {place for place, at in enumerate(made) if abs(made[-1] - at) < _FRESH}
    for count, period in ((tiers.daily, _day), (tiers.weekly, _week), (tiers.monthly, _month)):
        stay |= set(_newest_of_each(made, period)[:count])
    return stay


def _newest_of_each(made: Sequence[datetime], period: Callable[[datetime], tuple[int, ...]]) -> list[int]:
    """The place of each period's last backup, the last period first."""
    places: dict[tuple[int, ...], int] = {}
    for place in reversed(range(len(made))):
        places.setdefault(period(made[place].astimezone(UTC)), place)
    return list(places.values())


def _day(at: datetime) -> tuple[int, ...]:
    return (at.year, at.month, at.day)


def _week(at: datetime) -> tuple[int, ...]:
    return tuple(at.isocalendar()[:2])


def _month(at: datetime) -> tuple[int, ...]:
    return (at.year, at.month)
