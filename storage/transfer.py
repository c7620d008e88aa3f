"""Brings a bot's talk from one store into another while the bot goes on: compared, caught up with, and compared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from . import connect
from .backend import OLDEST, Freezes, Snapshots, Store, Watched
from .backends.changes import (
    Amend,
    Append,
    Change,
    KeepChannel,
    KeepReceipts,
    KeepRecords,
    RemoveChannels,
    RemoveMessages,
    RemoveRecords,
    RemoveSessions,
    SaveSession,
    unwatched,
)
from .backup import workspace
from .copying import (
    PAGE,
    Contents,
    CopyDiffers,
    contents,
    every_message,
    every_record,
    every_session,
    pages,
)
from .errors import StorageError, Unavailable
from .matching import append_all, match, match_channel, match_message, match_record, match_session, same
from .model import Counts, Message, Session
from .progress import Tell, silent
from .records import Record, Spent

NOTED = 50_000
"""The most ids that are remembered of what was written meanwhile; past it everything is compared again."""
LITTLE = 50
"""So few ids left that a bot may pause for them."""
ROUNDS = 20
"""How often catching up is tried before the rest is left to the pause."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a store that talk is to be brought into holds already."""

    counts: Counts
    known: bool
    """Whether it is empty, or holds some of this talk: an earlier copy."""
    ahead: bool
    """Whether it holds something that the source does not know: said in it since, or removed from the source."""


async def survey(source: Store, target: Store) -> Survey:
    """Looks at what a target holds: at all of it where it is an earlier copy."""
    counts, newest = await target.counts(), await target.read(limit=PAGE, deleted=True)
    oldest = await target.read(cursor=OLDEST, limit=PAGE, deleted=True)
    known = [await source.message(message.id) is not None for message in (*newest.items, *oldest.items)]
    return Survey(counts, any(known) or not known, not all(known) or await _holds_more(source, target))


async def _holds_more(source: Store, target: Store) -> bool:
    """Whether a target holds a message, a session or a record that the source does not, or a later state of a
    record. What was copied stands in the same order in both, so few messages are looked up one by one."""
    passed: set[str] = set()
    async with aclosing(every_message(source)) as mine:
        async for page in every_message(target):
            passed.update(message.id for message in await anext(mine, []))
            others = [message.id for message in page if message.id not in passed]
            if None in await asyncio.gather(*map(source.message, others)):
                return True
            passed.difference_update(message.id for message in page)
            if len(passed) > 20 * PAGE:  # the target lacks these: they are looked up, should they come after all
                passed.clear()
    async for sessions in every_session(target):
        if None in await asyncio.gather(*(source.session(session.id) for session in sessions)):
            return True
    async for records in every_record(target):
        there = await asyncio.gather(*(source.record(type(record), record.id) for record in records))
        if any(mine is None or mine.at < theirs.at for mine, theirs in zip(there, records, strict=True)):
            return True
    return False


async def copied(source: Store, target: Store, *, tell: Tell = silent) -> Contents:
    """Makes the target hold what the source does, to which nobody writes meanwhile, reads both, and compares. Raises
    `CopyDiffers`."""
    await match(source, target, tell=tell)
    held, there = await contents(source, tell=tell), await contents(target, tell=tell)
    if held != there:
        raise CopyDiffers(
            f"The copy does not hold what its source does ({_shown(there.counts)} instead of {_shown(held.counts)}): "
            "something else wrote to one of the two, or a disk is failing."
        )
    return held


class Touched:
    """What was written to a store, by its ids: enough to look at it again."""

    def __init__(self) -> None:
        self.channels: set[str] = set()
        self.sessions: set[str] = set()
        self.messages: set[str] = set()
        self.gone_sessions: set[str] = set()
        self.gone_messages: set[str] = set()
        self.records: set[tuple[type[Record], str]] = set()
        self.everything = False
        """Whether more was written than is remembered."""

    def __len__(self) -> int:
        talk = (self.channels, self.sessions, self.messages, self.gone_sessions, self.gone_messages)
        return sum(map(len, talk)) + len(self.records)

    def note(self, change: Change) -> None:
        """Remembers what a change touches, as long as not everything is to be looked at anyway."""
        if self.everything:
            return
        match change:
            case Append(session, message):
                self._said(session)
                self.messages.add(message.id)
            case SaveSession(session):
                self._said(session)
            case Amend(id) | KeepReceipts(id):
                self.messages.add(id)
            case KeepChannel(channel):
                self.channels.add(channel.key)
            case RemoveMessages(ids):
                self.gone_messages.update(ids)
                self.records.update((Spent, id) for id in ids)
            case RemoveSessions(ids):
                self.gone_sessions.update(ids)
            case RemoveChannels(keys):
                self.channels.update(keys)
            case KeepRecords(records):
                self.records.update((type(record), record.id) for record in records)
            case RemoveRecords(kind, ids):
                self.records.update((kind, id) for id in ids)
        self.everything = self.everything or len(self) > NOTED

    def add(self, other: Touched) -> None:
        """Notes what another has noted."""
        if self.everything:
            return
        for name in ("channels", "sessions", "messages", "gone_sessions", "gone_messages", "records"):
            getattr(self, name).update(getattr(other, name))
        self.everything = self.everything or other.everything or len(self) > NOTED

    def _said(self, session: Session) -> None:
        self.sessions.add(session.id)
        self.channels.add(session.channel.key)


class Transfer:
    """One store on its way into another. All that this process writes to the source is followed from the first."""

    def __init__(self, bot_name: str, root: Path, source: Store, target: Store, tell: Tell = silent) -> None:
        if not isinstance(source, Watched):
            raise StorageError(
                f"The store of {bot_name} cannot be followed while it is written to: stop the bot first."
            )
        self._bot_name = bot_name
        self._root = root
        self._source: Store = source
        self._writing = source.writing
        self._target = target
        self._tell = tell
        self._fresh = Touched()
        """What was written since the target was last caught up."""
        self._seen = Touched()
        """What was written since everything was compared."""
        self._over = False
        self._writing.watch = self._watch

    async def begin(self) -> Contents:
        """Copies everything as it stood at one moment, and compares both stores as wholes; writing goes on
        meanwhile. Raises `StorageError`."""
        self._fresh, self._seen = Touched(), Touched()
        await self._writing.settled()
        async with _moment(self._source, self._bot_name, self._root) as still:
            return await copied(still, self._target, tell=self._tell)

    async def catch_up(self) -> None:
        """Brings over what was written meanwhile, until little is left."""
        for _ in range(ROUNDS):
            before = len(self._fresh)
            if not await self._follow():
                await self.begin()
            self._tell("catching up", before, 0)
            if len(self._fresh) <= LITTLE or len(self._fresh) >= before > 0:  # then it will not become less
                return

    async def finish(self) -> Counts:
        """Refuses all further writing to the source, brings the rest over, and compares what was written since
        everything was compared; everything, where that was too much. Raises `StorageError`: then the source takes
        changes as before."""
        self._over = True
        try:
            await self._writing.settled()
            if await self._follow() and not self._seen.everything:
                await self._compare()
            else:
                await copied(self._source, self._target, tell=self._tell)
            return await self._target.counts()
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """Follows the source no more; it takes changes as before."""
        self._over = False
        self._writing.watch = unwatched

    @contextmanager
    def _watch(self, change: Change) -> Iterator[None]:
        if self._over:
            raise Unavailable(f"The talk of {self._bot_name} moves to another store right now: try again in a moment.")
        # Twice: what is noted when it is asked for may be looked at before it is kept.
        self._fresh.note(change)
        try:
            yield
        finally:
            self._fresh.note(change)

    async def _follow(self) -> bool:
        """Brings over what was noted so far; False where only comparing everything helps."""
        touched, self._fresh = self._fresh, Touched()
        self._seen.add(touched)
        await self._writing.settled()
        return await follow(self._source, self._target, touched)

    async def _compare(self) -> None:
        source, target, seen = self._source, self._target, self._seen
        for key in seen.channels:
            _refuse_other("channel", await source.channel(key), await target.channel(key))
        for id in seen.sessions | seen.gone_sessions:
            _refuse_other("session", await source.session(id), await target.session(id))
        async for mine, theirs in _beside(source, target, list(seen.messages | seen.gone_messages)):
            _refuse_other("message", mine, theirs)
        for kind, id in seen.records:
            _refuse_other(kind.kind, await source.record(kind, id), await target.record(kind, id))
        here, there = await source.read(limit=PAGE, deleted=True), await target.read(limit=PAGE, deleted=True)
        held, counts = await source.counts(), await target.counts()
        if [each.id for each in here.items] != [each.id for each in there.items] or held != counts:
            raise CopyDiffers(f"The copy holds {_shown(counts)} in another order than its source ({_shown(held)}).")


async def follow(source: Store, target: Store, touched: Touched) -> bool:
    """Looks again at what was touched in the source, and brings the target, which was caught up before, up to date
    with it; False where only comparing everything helps."""
    if touched.everything:
        return False
    await target.remove_sessions(list(touched.gone_sessions))
    await target.remove_messages(list(touched.gone_messages))
    channels = {key: await source.channel(key) for key in touched.channels}
    whole = [await match_channel(channel, target) for channel in channels.values() if channel is not None]
    for id in touched.sessions | touched.gone_sessions:
        session = await source.session(id)
        if session is None:
            await target.remove_sessions([id])
        else:
            whole.append(await match_session(session, target))
    await target.remove_channels([key for key, channel in channels.items() if channel is None])
    async for mine, theirs in _beside(source, target, list(touched.messages)):
        if theirs is not None and mine is None:
            await target.remove_messages([theirs.id])
        elif theirs is not None and mine is not None:
            whole.append(await match_message(mine, theirs, target))
    if not all(whole) or not await _append_newer(source, target):
        return False
    for kind, id in touched.records:
        record = await source.record(kind, id)
        if record is None:
            await target.remove_records(kind, [id])
        else:
            await match_record(record, target)
    if touched.gone_sessions:  # what the answers in them took is noted under ids that nobody has told
        async for page in pages(lambda cursor: source.records(Spent, cursor=cursor, limit=PAGE)):
            for record in page:
                await match_record(record, target)
    return True


async def _beside(
    source: Store, target: Store, ids: Sequence[str]
) -> AsyncGenerator[tuple[Message | None, Message | None], None]:
    """Messages as they stand in both."""
    for start in range(0, len(ids), PAGE):
        asked = ids[start : start + PAGE]
        mine = await asyncio.gather(*map(source.message, asked))
        for pair in zip(mine, await asyncio.gather(*map(target.message, asked)), strict=True):
            yield pair


async def _append_newer(source: Store, target: Store) -> bool:
    """Appends what the source holds behind the last message that the target knows. False where one of these stands
    in the target already, in another place."""
    page = await source.read(limit=PAGE, deleted=True)
    while page.older is not None and await target.message(page.items[0].id) is None:
        page = await source.read(cursor=page.older, limit=PAGE, deleted=True)
    sessions: dict[str, Session] = {}
    while True:
        there = await asyncio.gather(*(target.message(message.id) for message in page.items))
        newer = [message for message, known in zip(page.items, there, strict=True) if known is None]
        if not await append_all(source, target, newer, sessions):
            return False
        if page.newer is None:
            return True
        page = await source.read(cursor=page.newer, limit=PAGE, deleted=True)


@asynccontextmanager
async def _moment(store: Store, bot_name: str, root: Path) -> AsyncIterator[Store]:
    """The store as it stands at one moment."""
    if isinstance(store, Freezes):
        async with store.frozen() as still:
            yield still
        return
    assert isinstance(store, Snapshots)
    async with workspace(root) as work:
        await store.snapshot(work / "conversations.db")
        still = await connect(bot_name, work)
        try:
            yield still
        finally:
            await still.close()


def _refuse_other(what: str, mine: BaseModel | None, theirs: BaseModel | None) -> None:
    if mine is None and theirs is None:
        return
    if mine is None or theirs is None or not same(mine, theirs):
        raise CopyDiffers(f"A {what} is another in the copy than in its source: {getattr(mine or theirs, 'id', '')}.")


def _shown(counts: Counts) -> str:
    return f"{counts.messages:,} messages, {counts.sessions:,} sessions, {counts.channels:,} channels"
