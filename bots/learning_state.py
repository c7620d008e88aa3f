"""What a bot's setting says of its learning: how far sessions were read, how often a model was asked, what never again.

What is written there and cannot be read is as if it were not there.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

State = dict[str, object]
Mark = tuple[str, int, bool]
"""Of a session: the last message that was read, how many messages there were, and whether it was closed. Where there is
more to read, it is as if there had been none."""

_AHEAD = timedelta(days=2)
"""How far a clock that was set back may have been ahead of the day."""


def marks_of(state: State) -> dict[str, Mark]:
    """How far sessions were read, by their ids."""
    written = state.get("marks")
    found = {}
    for id, mark in written.items() if isinstance(written, dict) else ():
        if isinstance(mark, list) and len(mark) == 3:
            found[str(id)] = (str(mark[0]), int(mark[1]), bool(mark[2]))
    return found


def ids_of(state: State, of: str) -> list[str]:
    """A list of ids."""
    written = state.get(of)
    return [each for each in written if isinstance(each, str)] if isinstance(written, list) else []


def calls_on(state: State, now: datetime) -> int:
    """How often a model was asked on the day of `now`; a clock that goes back gives no call back."""
    made = state.get("calls")
    return made if _day(state, now) is not None and isinstance(made, int) else 0


def called(state: State, now: datetime) -> State:
    """The same with one call more."""
    day = _day(state, now) or now.date()
    return {**state, "day": day.isoformat(), "calls": calls_on(state, now) + 1}


def _day(state: State, now: datetime) -> date | None:
    """The day that calls were counted on, unless it is over, or so far ahead that the clock was wrong then."""
    written = state.get("day")
    day = date.fromisoformat(written) if isinstance(written, str) else None
    return day if day is not None and now.date() <= day <= now.date() + _AHEAD else None


def time_of(written: object) -> datetime | None:
    """A time as it is written there."""
    return datetime.fromisoformat(written) if isinstance(written, str) else None
