"""What people say they look for, as ids and times: a place or a person by name, a day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from storage.backend import Store
from storage.forgetting import pages

from .errors import TroupeError
from .sessions import short

_PAGE = 200


def moment(text: str, *, end: bool = False) -> datetime:
    """A time as people write it: `2026-03-02`, or `2026-03-02T18:30` with or without a zone; UTC where none is said. A
    day alone is its beginning, or with `end` the beginning of the next. Raises `TroupeError`."""
    written = text.strip()
    try:
        day = date.fromisoformat(written)
        return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=end)
    except (ValueError, OverflowError):
        pass
    try:
        at = datetime.fromisoformat(written)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        told = f"'{short(written, 40)}' is no day: write it as 2026-03-02, or with a time as 2026-03-02T18:30."
        raise TroupeError(told) from None


async def places(store: Store, name: str) -> set[str]:
    """The keys of the channels meant by a key, an id or a name. Raises `TroupeError` where there is none."""
    wanted, found, after = name.strip().removeprefix("#").casefold(), set[str](), ""
    while channels := await store.channels(after, _PAGE):
        found |= {each.key for each in channels if wanted in (each.key.casefold(), each.id, each.name.casefold())}
        after = channels[-1].key
    if not found:
        raise TroupeError(f"There is no channel '{short(name, 40)}': name it, or give its id or its key, front:id.")
    return found


async def people(store: Store, name: str) -> set[str]:
    """The ids of those who are called that in some session, or what was given, as an id."""
    wanted, found = name.strip().removeprefix("@"), set[str]()
    if not wanted.isdigit():
        async for sessions in pages(lambda cursor: store.browse(cursor=cursor, limit=_PAGE)):
            there = (person for session in sessions for person in session.participants)
            found |= {each.id for each in there if each.name.casefold() == wanted.casefold()}
    return found or {wanted}
