"""What people say they look for, as ids and times: places, people and personas by name, days."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, timedelta, tzinfo

from storage.backend import Store
from storage.forgetting import pages
from storage.model import Channel
from storage.sought import Sought

from .errors import TroupeError
from .sessions import short
from .settings import PersonaSettings

_PAGE = 200
_SHOWN = 20
"""Names that a mistake is told with."""


async def sought(
    store: Store,
    personas: Iterable[PersonaSettings],
    *,
    channels: Collection[str] = (),
    sessions: Collection[str] = (),
    person: str = "",
    persona: str = "",
    tags: Collection[str] = (),
    since: str = "",
    until: str = "",
    zone: tzinfo = UTC,
    starred: bool | None = None,
    archived: bool | None = None,
    files: bool | None = None,
) -> Sought:
    """What is meant, where channels, people and personas are named as people name them, and times written as they write
    them, in `zone` where they name none; what is empty or None matters not. Raises `TroupeError` for a name that nobody
    and nothing has, and for what is no time."""
    for id in sessions:
        if await store.session(id) is None:
            raise TroupeError(
                f"There is no session '{short(id, 40)}': `troupe sessions list` shows those that there are."
            )
    wanted = tuple(tag.strip() for tag in tags if tag.strip())
    return Sought(
        channel_keys=set().union(*[await places(store, name) for name in channels]) if channels else None,
        session_ids=sessions or None,
        tags=wanted,
        starred=starred,
        archived=archived,
        people=await people(store, person) if person.strip() else None,
        persona=await voice(store, personas, persona) if persona.strip() else None,
        since=moment(since, zone) if since.strip() else None,
        until=moment(until, zone, end=True) if until.strip() else None,
        files=files,
    )


def moment(text: str, zone: tzinfo = UTC, *, end: bool = False) -> datetime:
    """A time as people write it: `2026-03-02`, or `2026-03-02T18:30` with a zone or in `zone`. A day alone is its
    beginning, or with `end` the beginning of the next. Raises `TroupeError`."""
    written = text.strip()
    try:
        day = date.fromisoformat(written) + timedelta(days=end)
        return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    try:
        at = datetime.fromisoformat(written)
        return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        told = f"'{short(written, 40)}' is no day: write it as 2026-03-02, or with a time as 2026-03-02T18:30."
        raise TroupeError(told) from None


async def places(store: Store, name: str) -> set[str]:
    """The keys of the channels meant by a key, an id or a name. Raises `TroupeError` where there is none."""
    return {each.key for each in await _called(store, name)}


async def one_place(store: Store, name: str) -> Channel:
    """The channel meant by a key, an id or a name. Raises `TroupeError` where there is none, or several are."""
    channel, *more = await _called(store, name)
    if more:
        keys = ", ".join(each.key for each in (channel, *more)[:_SHOWN])
        raise TroupeError(f"Several channels are called '{short(name, 40)}': give the key of one: {keys}.")
    return channel


async def people(store: Store, name: str) -> set[str]:
    """The ids of those who are called that in some session, or have that id; a number is taken as one. Raises
    `TroupeError` where nobody is."""
    wanted, found = name.strip().removeprefix("@"), set[str]()
    if wanted.isdigit():
        return {wanted}
    async for sessions in pages(lambda cursor: store.browse(cursor=cursor, limit=_PAGE)):
        there = (person for session in sessions for person in session.participants)
        found |= {each.id for each in there if wanted == each.id or wanted.casefold() == each.name.casefold()}
    if not found:
        raise TroupeError(f"Nobody called '{short(wanted, 40)}' is known here: give a name as it is shown, or an id.")
    return found


async def voice(store: Store, personas: Iterable[PersonaSettings], name: str) -> str:
    """The name of the persona meant by it or by how it is shown; also of one that is no more and has said something.
    Raises `TroupeError` where there is none."""
    wanted, known = name.strip(), list(personas)
    for each in known:
        if wanted.casefold() in (each.name.casefold(), each.display.casefold()):
            return each.name
    if not await store.search("", sought=Sought(persona=wanted), limit=1):
        names = ", ".join(each.name for each in known[:_SHOWN])
        raise TroupeError(
            f"There is no persona '{short(wanted, 40)}', and none of that name has spoken; there are: {names}."
        )
    return wanted


async def _called(store: Store, name: str) -> list[Channel]:
    wanted, found, names, after = name.strip().removeprefix("#").casefold(), list[Channel](), dict[str, None](), ""
    while channels := await store.channels(after, _PAGE):
        found += [each for each in channels if wanted in (each.key.casefold(), each.id, each.name.casefold())]
        names |= dict.fromkeys(each.name for each in channels[:_SHOWN])
        after = channels[-1].key
    if not found:
        there = ", ".join(list(names)[:_SHOWN]) or "none yet"
        raise TroupeError(
            f"There is no channel '{short(name, 40)}': give its name, id or key (front:id); there are: {there}."
        )
    return found
