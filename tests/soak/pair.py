"""Two processes at full speed on one store, with messages of their own and messages that both are told of."""

from __future__ import annotations

import asyncio
from collections import Counter

from storage.model import Message, Session, Text

from . import talk
from .checker import check_file, everything
from .children import Child
from .talk import AT_ONCE, Place, Tell

WRITERS = ("ann", "ben")
SHARED = "shared"
SESSION = Session(id="pair", channel=talk.ROOM, opened_at=talk.NOON, last_at=talk.NOON)


class Pair:
    """Rounds of two writers on one root that nobody has locked."""

    def __init__(self, place: Place, each: int = 200) -> None:
        self._place = place
        self._each = each
        self._expected: Counter[str] = Counter()
        self.acknowledged = 0
        self.findings: list[str] = []

    def round(self, number: int) -> None:
        """Both write as much as they may, and end."""
        start, end = number * self._each, (number + 1) * self._each
        place = self._place
        writers = [Child(lambda tell, me=me: asyncio.run(_write(place, me, start, end, tell))) for me in WRITERS]  # type: ignore[misc]
        said = [line for writer in writers for line in writer.end()]
        told = {f"discord:100:{who}-{one}": 1 for who in (*WRITERS, SHARED) for one in range(start, end)}
        self._expected.update(told)
        kept = Counter(line.removeprefix("kept ") for line in said if line.startswith("kept "))
        self.acknowledged += kept.total()
        self.findings += [f"round {number}: {line}" for line in said if not line.startswith("kept ")]
        for origin in set(told) | set(kept):
            if kept[origin] != 1:
                self.findings.append(f"round {number}: {origin} was said to be new {kept[origin]} times")

    def read_everything(self) -> None:
        """Each message is there once, counted and found, and the file is sound."""
        checked = Child(lambda tell: asyncio.run(_check(self._place, self._expected, tell)))
        self.findings += [f"in the end: {line}" for line in checked.end()]


def _message(who: str, number: int, me: str) -> Message:
    return Message(
        id=f"{me}-{who}-{number}",
        origin=f"discord:100:{who}-{number}",
        session_id=SESSION.id,
        role="user",
        sender=talk.ANN,
        parts=(Text(text=f"word{who}{number} of many"),),
        at=talk.NOON,
    )


async def _write(place: Place, me: str, start: int, end: int, tell: Tell) -> None:
    store = await place.open()

    async def say(who: str, number: int) -> None:
        message = _message(who, number, me)
        if await store.append(SESSION, message):
            tell("kept", message.origin)

    for first in range(start, end, AT_ONCE):
        numbers = range(first, min(end, first + AT_ONCE))
        await asyncio.gather(*(say(who, number) for number in numbers for who in (me, SHARED)))
    await store.close()


async def _check(place: Place, expected: Counter[str], tell: Tell) -> None:
    store = await place.open()
    kept = Counter([str(one.origin) async for one in everything(store)])
    for origin in set(kept) | set(expected):
        if kept[origin] != expected[origin]:
            tell(f"{origin} is there {kept[origin]} times")
    session = await store.session(SESSION.id)
    counted = ((await store.counts()).messages, session and session.message_count)
    if counted != (kept.total(), kept.total()):
        tell(f"the store and the session count {counted} messages, and {kept.total()} were read")
    for origin in list(expected)[-3 * AT_ONCE :]:
        who, number = origin.rpartition(":")[2].split("-")
        found = [each.message.origin for each in await store.search(f"word{who}{number}")]
        if found != [origin]:
            tell(f"the search for {origin} finds {found}")
    await store.close()
    check_file(place.root / "conversations.db", kept.total(), tell)
