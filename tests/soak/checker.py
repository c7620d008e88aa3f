"""Opens a store after a fault, with no help, and compares everything in it with what was acknowledged."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from pathlib import Path

from storage.backend import OLDEST, Store
from storage.model import Message
from storage.records import Run

from . import talk
from .ledger import Ledger
from .talk import CROWD, LANES, Name, Place, Tell

PAGE = 500
LAST = 5
"""Of each session's last messages so many are looked up in every way there is."""


async def check_round(place: Place, round: int, ledger: Ledger, before: int, tell: Tell) -> None:
    """Looks at what one round left. Tells `total` messages there are then, and each finding."""
    store = await place.open()
    told: list[Message] = []
    for session in (*(Name(round, lane, 0).within for lane in LANES), CROWD):
        mine = [one async for one in _newest_of(store, session, round)][::-1]
        told += mine
        if session != CROWD:
            await _check_session(store, session, mine, ledger, tell)
    _compare(told, {round: ledger}, tell)
    await _look_up(store, round, ledger, tell)
    total = before + len(told) + await _deliver_again(store, round, ledger, tell)
    counted = (await store.counts()).messages
    if counted != total:
        tell(f"the store counts {counted} messages, and {total} were read")
    tell("total", counted)
    await store.close()


async def check_all(place: Place, ledgers: Mapping[int, Ledger], tell: Tell) -> None:
    """Reads everything that all rounds left. Tells each finding."""
    store = await place.open()
    told = [one async for one in everything(store)]
    _compare(told, ledgers, tell)
    counts = await store.counts()
    if counts.messages != len(told):
        tell(f"the store counts {counts.messages} messages, and {len(told)} were read")
    crowd = await store.session(CROWD)
    there = sum(one.session_id == CROWD for one in told)
    if crowd and crowd.message_count != there:
        tell(f"the session {CROWD} counts {crowd.message_count} messages, and {there} were read")
    await store.search("line", limit=1)  # whoever searches has the index brought up to date
    await store.close()
    if place.backend == "sqlite":
        check_file(place.root / "conversations.db", len(told), tell)


def check_file(database: Path, messages: int, tell: Tell) -> None:
    """Asks SQLite itself whether a file is sound, and whether it has indexed every message."""
    with closing(sqlite3.connect(database)) as connection:
        sound = connection.execute("PRAGMA integrity_check").fetchall()
        (indexed,) = connection.execute("SELECT count(*) FROM search_docsize").fetchone()
    if sound != [("ok",)]:
        tell(f"the file is damaged: {sound}")
    if indexed != messages:
        tell(f"{indexed} messages are indexed, and {messages} are there")


def _compare(told: list[Message], ledgers: Mapping[int, Ledger], tell: Tell) -> None:
    """Each acknowledged message once, as it was said and amended, in the order of its session; nothing else."""
    for origin, times in Counter(one.origin for one in told).items():
        if times > 1:
            tell(f"{origin} is there {times} times")
    last: dict[tuple[str, int], int] = {}
    kept: set[Name] = set()
    gone = {talk.passing(name).id for ledger in ledgers.values() for name in ledger.removed}
    for one in told:
        if one.id in gone:
            tell(f"{one.id} was removed and is there")
        if one.id.startswith("passing-"):
            continue
        name = Name.of(one)
        kept.add(name)
        place = (name.within, name.round)
        if name.number <= last.get(place, 0):
            tell(f"{name} comes after number {last[place]}")
        last[place] = name.number
        allowed = [talk.changed(name)]
        if name not in ledgers[name.round].changed:
            allowed += [talk.message(name), talk.message(name, one.id)]
        if one not in allowed:
            tell(f"{name} is not what was told: {one!r}")
    for ledger in ledgers.values():
        for name in ledger.kept:
            if name not in kept:
                tell(f"{name} was acknowledged and is not there")


async def _check_session(store: Store, id: str, told: list[Message], ledger: Ledger, tell: Tell) -> None:
    session = await store.session(id)
    if session is None:
        if told or any(name.within == id for name in ledger.kept):
            tell(f"the session {id} is not there")
        return
    if session.message_count != len(told):
        tell(f"the session {id} counts {session.message_count} messages, and {len(told)} were read")
    if int(session.title or 0) < ledger.titled.get(id, 0):
        tell(f"the session {id} has the title {session.title!r}, and {ledger.titled[id]} was acknowledged")
    in_sight = [one for one in told if one.deleted_at is None]
    if await store.messages(id, len(told) + 1) != in_sight:
        tell(f"the session {id} shows other messages than are there")
    if session not in await store.sessions(talk.ROOM.key, limit=len(LANES) + 1):
        tell(f"the session {id} is not among the newest")


async def _look_up(store: Store, round: int, ledger: Ledger, tell: Tell) -> None:
    """The last ones are found by origin, by where their pages stand, and by their words."""
    for lane in (*LANES, CROWD):
        for name in [name for name in ledger.kept if name.lane == lane][-LAST:]:
            found = await store.find(f"discord:100:{name}")
            if found is None or found.id != str(name):
                tell(f"{name} is not found by its origin, but {found!r}")
                continue
            if found.receipts and await store.find(talk.page(name).origin) != found:
                tell(f"{name} is not found by its page")
            sought = [each.message for each in await store.search(name.mark)]
            if sought != ([found] if found.deleted_at is None else []):
                tell(f"the search for {name} finds {[one.id for one in sought]}")
        run = await store.record(Run, f"{round}-{lane}")
        if lane in ledger.runs and (run is None or int(run.state) < ledger.runs[lane]):
            tell(f"the run of {lane} is {run!r}, and {ledger.runs[lane]} was acknowledged")


async def _deliver_again(store: Store, round: int, ledger: Ledger, tell: Tell) -> int:
    """The front delivers what it has no answer to once more, and the last that it has. Returns how many are new."""
    last = max((name.number for name in ledger.kept if name.lane == LANES[0]), default=0)
    new = 0
    for number in (last, last + 1) if last else (1,):
        name = Name(round, LANES[0], number)
        known = await store.find(f"discord:100:{name}")
        kept = await store.append(talk.session(name), talk.message(name, f"again-{name}"))
        if kept != (known is None):
            tell(f"{name} was delivered again, and whether it was new was said to be {kept}")
        new += kept
    return new


async def _newest_of(store: Store, session: str, round: int) -> AsyncIterator[Message]:
    """A session's messages of one round, the newest first."""
    page = await store.read(session, limit=PAGE, deleted=True)
    while True:
        for one in reversed(page.items):
            if int(str(one.origin).rpartition(":")[2].removeprefix("passing-").partition("-")[0]) != round:
                return
            yield one
        if page.older is None:
            return
        page = await store.read(session, cursor=page.older, limit=PAGE, deleted=True)


async def everything(store: Store) -> AsyncIterator[Message]:
    """All messages in the order in which they were kept, soft-deleted ones as well."""
    cursor: str | None = OLDEST
    while cursor is not None:
        page = await store.read(cursor=cursor, limit=PAGE, deleted=True)
        for one in page.items:
            yield one
        cursor = page.newer
