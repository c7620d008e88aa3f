"""Single sessions taken out of sight, brought back, and removed for good."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

from storage.backend import Store
from storage.forgetting import pages
from storage.model import Message, Session
from storage.records import Memory, Run
from storage.retention import TAKEN

from .bot import Bot
from .events import SessionChanged
from .facts import sources
from .session_marks import CLEARED, KEPT, without

_PAGE = 200


async def taken_away(bot: Bot, session: Session, at: datetime) -> Session | None:
    """Takes a session out of sight, and ends what is being said there; retention removes it in its time. None when it
    is not kept. Raises `StorageError`."""

    def cleared(now: Session) -> Session:
        if now.deleted_at is not None:
            return now
        kept = without(now, KEPT)
        changes = {"deleted_at": at, "closed_at": now.closed_at or at, "metadata": {**kept.metadata, CLEARED: "yes"}}
        return kept.model_copy(update=changes)

    await bot.afterwards.silence(session.id)
    async with bot.doors.of(session.channel.key):
        gone = await bot.sessions.change(session.id, cleared)
    bot.forget(session.id)
    return gone


async def brought_back(bot: Bot, session: Session) -> Session | None:
    """Brings a session that people took away back into sight, as it was. None when there is none such. Raises
    `StorageError`."""

    def back(now: Session) -> Session:
        return without(now, CLEARED).model_copy(update={"deleted_at": None}) if CLEARED in now.metadata else now

    async with bot.doors.of(session.channel.key):
        changed = await bot.sessions.change(session.id, back)
    return changed if changed is not None and changed.deleted_at is None else None


async def removed(bot: Bot, session: Session, at: datetime) -> int:
    """Removes a session for good: its messages, and what was learned from them. Files that nobody else refers to go
    with the cleanups, which spare those that are about to be said. What was carried into other sessions before stays
    there. Returns how many messages there were. Cut off, the next cleanup finishes it. Raises `StorageError`."""
    await bot.afterwards.silence(session.id)
    async with bot.doors.of(session.channel.key):
        await bot.sessions.change(session.id, lambda now: now.model_copy(update={"deleted_at": TAKEN, "closed_at": at}))
    drawn, count = await _drawn_from(bot.store, session), 0
    async for lines in _lines(bot.store, session):
        for line in lines:
            if line.id in drawn:
                await bot.memory.memories.follow(line.model_copy(update={"deleted_at": at}))
        count += await bot.store.remove_messages([line.id for line in lines])
    async for runs in pages(lambda cursor: bot.store.records(Run, about=session.id, cursor=cursor, limit=_PAGE)):
        await bot.store.remove_records(Run, [run.id for run in runs])
    await bot.store.remove_sessions([session.id])
    bot.forget(session.id)
    await bot.store.scrub()
    bot.events.tell(SessionChanged(session, gone=True))
    return count


async def _drawn_from(store: Store, session: Session) -> set[str]:
    """The ids of the messages that something was learned from, of this session at least."""
    found, oldest = set[str](), session.opened_at
    async for lines in _lines(store, session):
        oldest = min(oldest, *(line.at for line in lines))
    async for memories in pages(lambda cursor: store.records(Memory, cursor=cursor, limit=_PAGE)):
        found.update(source for memory in memories for source in sources(memory))
        if memories[-1].at < oldest:  # no memory is older than what it was drawn from
            break
    return found


def _lines(store: Store, session: Session) -> AsyncIterator[tuple[Message, ...]]:
    return pages(lambda cursor: store.read(session.id, cursor=cursor, limit=_PAGE, deleted=True))
