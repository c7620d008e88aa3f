"""What becomes of what was said in a place that is gone: it leaves sight, and retention removes it in its time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

from storage.backend import Store
from storage.model import Channel, Sender, Session
from storage.records import AuditEntry

from .bot import Bot

_PAGE = 100


async def vanished(bot: Bot, key: str, at: datetime) -> int:
    """Takes the sessions of a channel that was deleted, and of its threads, out of sight, and answers under way there
    with them. Returns how many there were. Raises `StorageError`."""
    gone = 0
    async for channel in _there(bot.store, key):
        await bot.stop(channel, everybody=True)
        async with bot.doors.of(channel.key):
            gone += await _taken(bot, channel, at)
    if gone:
        actor = Sender(type="system", id=bot.settings.name, name=bot.settings.display)
        details = {"sessions": gone}
        entry = AuditEntry(
            id=f"{bot.new_id()} {key}", at=at, actor=actor, action="channel.deleted", target=key, details={**details}
        )
        await bot.store.keep(entry)
    return gone


async def _taken(bot: Bot, channel: Channel, at: datetime) -> int:
    def out_of_sight(session: Session) -> Session:
        return session.model_copy(update={"deleted_at": at, "closed_at": session.closed_at or at})

    taken, cursor = 0, None
    while True:
        page = await bot.store.browse(channel.key, cursor=cursor, limit=_PAGE)
        for session in page.items:
            taken += await bot.sessions.change(session.id, out_of_sight) is not None
        cursor = page.older
        if cursor is None:
            return taken


async def _there(store: Store, key: str) -> AsyncIterator[Channel]:
    """The channel and the threads that hang on it, as far as somebody was heard there."""
    front, _, id = key.partition(":")
    after = ""
    while channels := await store.channels(after, _PAGE):
        for channel in channels:
            hangs_on_it = channel.kind == "thread" and (channel.front, channel.parent_id) == (front, id)
            if channel.key == key or hangs_on_it:
                yield channel
        after = channels[-1].key
