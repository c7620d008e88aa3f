"""Which backups stay: what is made on one day, around the clock and with a clock that is set back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.tiers import Tiers, kept

NOON = datetime(2024, 1, 8, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MINUTES = st.lists(st.integers(-3 * 1440, 3 * 1440), min_size=1, max_size=40)
TIERS = st.builds(Tiers, daily=st.integers(1, 3), weekly=st.integers(0, 2), monthly=st.integers(0, 2))


@pytest.mark.parametrize(("before", "stays"), [(timedelta(hours=23, minutes=59), True), (DAY, False)])
@pytest.mark.parametrize("set_back", [False, True])
def test_what_was_made_within_a_day_of_the_newest_stays(before: timedelta, stays: bool, set_back: bool) -> None:
    newest = NOON + before if set_back else NOON - before
    taken = [newest, newest, NOON]  # the second is its day's last one, and has the day's place in the tier
    assert kept(taken, Tiers(daily=2, weekly=0, monthly=0)) == ({0, 1, 2} if stays else {1, 2})


@given(minutes=MINUTES, tiers=TIERS)
def test_at_whatever_time_of_day_they_are_made(minutes: list[int], tiers: Tiers) -> None:
    made = [NOON + timedelta(minutes=minute) for minute in minutes]
    stay = kept(made, tiers)
    fresh = {place for place, at in enumerate(made) if abs(made[-1] - at) < DAY}
    assert fresh <= stay
    assert len(stay - fresh) <= tiers.daily + tiers.weekly + tiers.monthly
    assert kept([made[place] for place in sorted(stay)], tiers) == set(range(len(stay))), "a second look removes more"


def test_a_clock_that_was_set_back_a_year_costs_no_backup_of_today() -> None:
    ahead = [NOON + timedelta(days=365, hours=hour) for hour in range(3)]
    today = [NOON + timedelta(hours=hour) for hour in range(3)]
    assert kept([*ahead, *today], Tiers(daily=1, weekly=0, monthly=0)) == {3, 4, 5}
