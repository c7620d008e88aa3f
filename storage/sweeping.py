"""The removal of what is due, archived first where that is wanted, in batches that hold nobody up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from .archive import Archive
from .backend import OLDEST, Store
from .leftovers import Leftovers
from .model import Session
from .records import Setting, Template
from .retention import AGED, LISTED, MESSAGES_AT_ONCE, TAKEN, Due, Rules, Total, spell, stretches

SESSIONS_AT_ONCE = 20


@dataclass(slots=True)
class Swept:
    """What a sweep removed, or in a dry run would remove."""

    totals: dict[str, Total] = field(default_factory=dict)
    """By kind; one of which there was none is absent."""
    archives: list[Path] = field(default_factory=list)
    kept: int = 0
    """Sessions that were due, and that somebody came back to before they were gone. What was removed of one by then is
    in the totals as messages."""
    more: bool = False
    """Whether a dry run has stopped listing what people deleted before its end."""

    def add(self, due: Due) -> None:
        total = self.totals.setdefault(due.kind, Total())
        total.items += 1
        total.messages += due.messages
        total.bytes += due.bytes


async def sweep(
    store: Store,
    rules: Rules,
    now: datetime,
    *,
    leftovers: Leftovers | None = None,
    archive: Archive | None = None,
    dry_run: bool = False,
    tell: Callable[[Due], Awaitable[None]],
    pause: Callable[[], Awaitable[None]],
    latest: Callable[[Session], Session] = lambda session: session,
    gone: Callable[[str], None] = lambda session_id: None,
) -> Swept:
    """Removes what is due, small batch by small batch, with a `pause` after each; `tell` hears of each thing that is
    gone, in a dry run of each that would go.

    With an `archive` a session goes only once the zip that holds it is on the disk; what people deleted is never put
    into one. A session that is not as it was found when its turn comes stays; `latest` says how the caller knows it.
    One that goes is out of sight (`TAKEN`) before anything of it is removed. `gone` hears the id of each session that
    is out of sight, or of which something was removed. A sweep that was cut off anywhere is finished by the next one.
    Raises `Unavailable` when storage or the archives' folder takes no more."""
    sweeping = _Sweep(store, archive, dry_run, tell, pause, latest, gone)
    try:
        async with aclosing(stretches(store, rules, now, removing=not dry_run)) as found:
            async for stretch in found:
                await sweeping.take(stretch)
        await sweeping.finish_archive()
    finally:
        if archive is not None:
            await archive.drop()
    if leftovers is not None and rules.attachments is not None:
        limit = f"and {spell(rules.attachments)} is the limit"
        async with aclosing(leftovers.look(store, now, rules.attachments, dry_run=dry_run)) as pages:
            async for page in pages:
                for hash, size, since in page:
                    why = f"no message has referred to it since {since:%Y-%m-%d} at the latest, {limit}"
                    await sweeping.count(Due("file", hash, why, bytes=size))
                await pause()
    return sweeping.swept


class _Sweep:
    """One sweep under way."""

    def __init__(
        self,
        store: Store,
        archive: Archive | None,
        dry_run: bool,
        tell: Callable[[Due], Awaitable[None]],
        pause: Callable[[], Awaitable[None]],
        latest: Callable[[Session], Session],
        gone: Callable[[str], None],
    ) -> None:
        self._store, self._archive, self._dry_run = store, archive, dry_run
        self._tell, self._pause, self._latest, self._gone = tell, pause, latest, gone
        self._aside: list[Due] = []
        """Sessions in the zip that is being written."""
        self.swept = Swept()

    async def count(self, due: Due) -> None:
        self.swept.add(due)
        await self._tell(due)

    async def take(self, stretch: Sequence[Due]) -> None:
        """Things of one kind: told of in a dry run, else removed, sessions by way of the archive if there is one."""
        if self._dry_run:
            for each in stretch:
                await self.count(each)
            self.swept.more |= len(stretch) >= LISTED
            await self._pause()
            return
        first = stretch[0].session
        if first is None:
            await self._remove(stretch)
        elif self._archive is None or stretch[0].final or first.deleted_at is not None:
            await self._remove_sessions(stretch)
        else:
            await self._put_aside(stretch, self._archive)

    async def _put_aside(self, stretch: Sequence[Due], archive: Archive) -> None:
        for batch in _batches(stretch):
            for each in batch:
                if each.session is not None:
                    await archive.add(self._store, each.session)
                    self._aside.append(each)
                if archive.full:
                    await self.finish_archive()
            await self._pause()

    async def finish_archive(self) -> None:
        """Puts the zip on the disk, and only then removes what is in it."""
        path = await self._archive.finish() if self._archive is not None else None
        if path is not None:
            self.swept.archives.append(path)
            aside, self._aside = self._aside, []
            await self._remove_sessions(aside)

    async def _remove(self, stretch: Sequence[Due]) -> None:
        ids = [each.id for each in stretch]
        kind = stretch[0].kind
        if kind == "message":
            await self._store.remove_messages(ids)
        elif kind == "channel":
            await self._store.remove_channels(ids)
        elif kind == "setting":
            await self._store.remove_records(Setting, ids)
        elif kind == "template":
            await self._store.remove_records(Template, ids)
        elif kind in AGED:
            await self._store.remove_records(AGED[kind], ids)
        for session_id in {each.within for each in stretch if each.within}:
            self._gone(session_id)
        for each in stretch:
            await self.count(each)
        await self._pause()

    async def _remove_sessions(self, dues: Sequence[Due]) -> None:
        for batch in _batches(dues):
            await self._remove_together(batch)

    async def _remove_together(self, batch: Sequence[Due]) -> None:
        """Takes sessions out of sight, each in one step, and only then removes anything of them."""
        taken: list[tuple[Due, Session, Total]] = []
        for each in batch:
            session = each.session and await self._taken(each.session, each.final)
            if session is not None:
                taken.append((each, session, await self._shortened(session)))
        found = [(*each, await self._store.session(each[1].id)) for each in taken]
        # Nothing is waited for between this look and the removal: whoever speaks after it finds the session gone.
        going = [each for each, session, _, kept in found if self._still_gone(session, kept)]
        await self._store.remove_sessions([each.id for each in going])
        self.swept.kept += len(batch) - len(going)
        for each in going:
            self._gone(each.id)
            await self.count(each)
        for each, _, removed, _ in found:
            if removed.items and each not in going:
                total = self.swept.totals.setdefault("message", Total())
                total.items += removed.items
                total.messages += removed.messages
                total.bytes += removed.bytes
        await self._pause()

    async def _taken(self, session: Session, final: bool) -> Session | None:
        """The session as it is once it is out of sight; None if it is not as it was found, and stays."""
        if session.deleted_at is not None:
            return session
        if not await self._unchanged(session, final):
            return None
        taken = session.model_copy(update={"deleted_at": TAKEN})
        await self._store.save_session(taken)
        # What another task or process had on its way when the session was looked at is there now.
        if await self._unchanged(taken, final):
            self._gone(session.id)
            return taken
        await self._give_back(session.id)
        return None

    async def _unchanged(self, session: Session, final: bool) -> bool:
        pinned = not final and await self._store.pinned([session.id])
        return not pinned and await self._store.session(session.id) == session and self._free(session)

    async def _give_back(self, session_id: str) -> None:
        kept = await self._store.session(session_id)
        if kept is not None and kept.deleted_at == TAKEN:
            newest = (await self._store.read(session_id, limit=1, deleted=True)).items
            last_at = max([kept.last_at, *(message.at for message in newest if message.role == "user")])
            await self._store.save_session(kept.model_copy(update={"deleted_at": None, "last_at": last_at}))

    async def _shortened(self, session: Session) -> Total:
        """Removes all but the last messages of a long session for as long as nobody comes back to it."""
        removed = Total()
        while (left := session.message_count - removed.messages) > MESSAGES_AT_ONCE:
            first = min(MESSAGES_AT_ONCE, left - MESSAGES_AT_ONCE)
            page = await self._store.read(session.id, cursor=OLDEST, limit=first, deleted=True)
            kept = await self._store.session(session.id)
            if not page.items or not self._still_gone(session, kept):
                break
            await self._store.remove_messages([message.id for message in page.items])
            self._gone(session.id)
            removed.items += len(page.items)
            removed.messages += len(page.items)
            removed.bytes += sum(len(message.text.encode()) for message in page.items)
            await self._pause()
        return removed

    def _still_gone(self, session: Session, kept: Session | None) -> bool:
        return kept is not None and kept.deleted_at == session.deleted_at and self._free(session)

    def _free(self, session: Session) -> bool:
        latest = self._latest(session)
        return (latest.closed_at, latest.last_at) == (session.closed_at, session.last_at)


def _batches(dues: Sequence[Due]) -> Iterator[list[Due]]:
    """So many sessions that one batch holds nobody up."""
    batch: list[Due] = []
    held = 0
    for each in dues:
        if batch and (len(batch) == SESSIONS_AT_ONCE or held + each.messages > MESSAGES_AT_ONCE):
            yield batch
            batch, held = [], 0
        batch.append(each)
        held += each.messages
    if batch:
        yield batch
