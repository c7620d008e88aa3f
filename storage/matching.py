"""Makes one store hold exactly what another does, in the same order, by writing only what differs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from .amendments import (
    Amendment,
    Deleted,
    Edited,
    Fetched,
    Noted,
    Pinned,
    Reacted,
    Restored,
    Unannotated,
    Unreacted,
    amended,
)
from .backend import OLDEST, Store
from .copying import PAGE, CopyDiffers, every_channel, every_message, every_record, every_session, sessions_of, spelt
from .model import Attachment, Channel, Message, Session
from .progress import Tell, silent
from .records import RECORDS, Record


async def match(source: Store, target: Store, *, tell: Tell = silent) -> None:
    """Makes `target` hold what `source` does: messages in the same order, soft-deleted things, records. Into an empty
    store everything is copied; in one that holds a part of it, or an earlier state, only what differs is added,
    amended and removed. Nobody else writes to the target. Stopped at any moment, the same call finishes it. Memory
    stays the same however much there is. Raises `StorageError`."""
    async for channels in every_channel(source):
        for channel in channels:
            await match_channel(channel, target)
    await _match_sessions(source, target, tell)
    if (await target.counts()).channels > (await source.counts()).channels:
        async for channels in every_channel(target):
            await target.remove_channels([c.key for c in channels if await source.channel(c.key) is None])
    await _match_messages(source, target, tell)
    await _match_records(source, target, tell)


async def match_channel(mine: Channel, target: Store) -> bool:
    """Brings one channel up to date, its past names too. False where these are others: then the channel was put in
    anew, and what was said there is gone from the target."""
    theirs = await target.channel(mine.key)
    if theirs == mine:
        return True
    if theirs is not None:
        for step in _renamings(theirs, mine):
            await target.keep_channel(step)
    if await target.keep_channel(mine) == mine:
        return True
    while sessions := (await target.browse(mine.key, deleted=True, limit=PAGE)).items:
        await target.remove_sessions([session.id for session in sessions])
    await target.remove_channels([mine.key])
    await target.keep_channel(mine)
    return False


async def match_session(mine: Session, target: Store) -> bool:
    """Brings one session's own fields up to date. False where it stood in another channel: then it was put in anew,
    and what was said in it is gone from the target."""
    theirs = await target.session(mine.id)
    moved = theirs is not None and theirs.channel.key != mine.channel.key
    if moved:
        await target.remove_sessions([mine.id])
    if moved or theirs is None or not same(mine, theirs.model_copy(update={"message_count": mine.message_count})):
        await target.save_session(mine)
    return not moved


async def match_message(mine: Message, theirs: Message, target: Store) -> bool:
    """Brings a message that the target holds up to date by amending it; False where that cannot be done."""
    if same(mine, theirs):
        return True
    for change in amendments(theirs, mine) or ():
        await target.amend(mine.id, change)
    known = {receipt.origin for receipt in theirs.receipts}
    await target.keep_receipts(mine.id, tuple(each for each in mine.receipts if each.origin not in known))
    now = await target.message(mine.id)
    return now is not None and same(mine, now)


async def match_record(mine: Record, target: Store) -> None:
    """Brings one record up to date."""
    theirs = await target.record(type(mine), mine.id)
    if theirs is None or not same(mine, theirs):
        await target.keep(mine)


async def append_all(source: Store, target: Store, messages: list[Message], known: dict[str, Session]) -> bool:
    """Puts messages behind all others, in this order; False where one of them is there already, or another from the
    same event. `known` are sessions that were looked up before, and those looked up now."""
    if not messages:
        return True
    sessions = await sessions_of(source, messages, known)
    known.clear()
    known.update(sessions)
    return all(await asyncio.gather(*(target.append(sessions[each.session_id], each) for each in messages)))


async def _match_messages(source: Store, target: Store, tell: Tell) -> None:
    """Once more where something was cut off: an answer that stands before its question took on who had asked, and
    the question has come back."""
    before: int | None = None
    while (cut := await _Messages(source, target, tell).match()) is not None and (before is None or cut < before):
        before = cut


class _Messages:
    """Goes through the messages of two stores side by side, page by page."""

    def __init__(self, source: Store, target: Store, tell: Tell) -> None:
        self._source = source
        self._target = target
        self._tell = tell
        self._there: str | None = OLDEST
        """Where the target's next page begins; None where nothing is left in it."""
        self._sessions: dict[str, Session] = {}
        self._passed = 0
        self._cut_at: int | None = None

    async def match(self) -> int | None:
        """How many messages stayed where others were cut off to be put in anew; None where none were."""
        of = (await self._source.counts()).messages
        async for page in every_message(self._source):
            if self._there is None:
                await self._append(page)
            else:
                self._there = await self._beside(page, self._there)
            self._passed += len(page)
            self._tell("messages", self._passed, of)
        if self._there is not None:
            await self._cut(self._there, 0)
        return self._cut_at

    async def _beside(self, mine: list[Message], there: str) -> str | None:
        """Makes the page at `there` this one; returns where the next begins."""
        page = await self._target.read(cursor=there, limit=PAGE, deleted=True)
        wanted = {message.id for message in mine}
        while gone := [m.id for m in page.items if m.id not in wanted and await self._source.message(m.id) is None]:
            await self._target.remove_messages(gone)
            page = await self._target.read(cursor=there, limit=PAGE, deleted=True)
        alike = 0
        for message, theirs in zip(mine, page.items, strict=False):
            if message.id != theirs.id or not await match_message(message, theirs, self._target):
                break
            alike += 1
        if alike == len(mine) == len(page.items):
            return page.newer
        if page.items[alike:]:
            self._cut_at = self._passed + alike
            await self._cut(there, alike)
        await self._append(mine[alike:])
        return None

    async def _cut(self, there: str, after: int) -> None:
        """Removes all messages but for so many of the page at `there`, and those before it."""
        while True:
            page = await self._target.read(cursor=there, limit=PAGE, deleted=True)
            if not page.items[after:]:
                return
            await self._target.remove_messages([each.id for each in page.items[after:]])

    async def _append(self, messages: list[Message]) -> None:
        if not await append_all(self._source, self._target, messages, self._sessions):
            raise CopyDiffers(
                "The target holds a message twice that there is once, or took one from somebody else meanwhile: see "
                "that nobody else writes to it, then try again."
            )


async def _match_sessions(source: Store, target: Store, tell: Tell) -> None:
    passed, of = 0, (await source.counts()).sessions
    async for sessions in every_session(source):
        await asyncio.gather(*(match_session(session, target) for session in sessions))
        passed += len(sessions)
        tell("sessions", passed, of)
    if (await target.counts()).sessions > of:
        async for sessions in every_session(target):
            await target.remove_sessions([s.id for s in sessions if await source.session(s.id) is None])


async def _match_records(source: Store, target: Store, tell: Tell) -> None:
    passed, of = 0, sum((await source.counts()).records.values())
    async for records in every_record(source):
        there = await asyncio.gather(*(target.record(type(record), record.id) for record in records))
        differing = [m for m, t in zip(records, there, strict=True) if t is None or not same(m, t)]
        await target.keep(*differing)
        passed += len(records)
        tell("records", passed, of)
    if sum((await target.counts()).records.values()) > of:
        async for records in every_record(target):
            for kind in RECORDS:
                mine = [record.id for record in records if type(record) is kind]
                await target.remove_records(kind, [id for id in mine if await source.record(kind, id) is None])


def amendments(before: Message, after: Message) -> list[Amendment] | None:
    """What, one after the other, makes a message of an earlier state of it, but for its receipts; None where that is
    not to be had by amending it."""
    now, steps = before, list[Amendment]()

    def do(changes: Iterable[Amendment]) -> None:
        nonlocal now
        for change in changes:
            now = amended(now, change)
            steps.append(change)

    later = after.edits[len(before.edits) :]
    do(_fetched(now, (later[0].parts if later else after.parts)))
    for edit, wording in zip(later, [*(each.parts for each in later[1:]), after.parts], strict=False):
        do([Edited(parts=wording, at=edit.at)])
        do(_fetched(now, wording))
    alike = _alike_from_the_start(now.reactions, after.reactions)
    do(Unreacted(emoji=each.emoji, sender_id=each.sender.id) for each in now.reactions[alike:])
    do(Reacted(reaction=each) for each in after.reactions[alike:])
    alike = _alike_from_the_start(now.annotations, after.annotations)
    do(Unannotated(id=each.id) for each in now.annotations[alike:])
    do(Noted(annotation=each) for each in after.annotations[alike:])
    if now.pinned != after.pinned:
        do([Pinned(pinned=after.pinned)])
    if now.deleted_at != after.deleted_at:
        do([Restored()])
        do([Deleted(at=after.deleted_at)] if after.deleted_at else [])
    return steps if now == after.model_copy(update={"receipts": now.receipts}) else None


def _fetched(now: Message, wording: tuple[Any, ...]) -> list[Amendment]:
    """The files that were fetched since, for a message to have this wording."""
    missing = {file.url for file in now.attachments if not file.blob}
    return [
        Fetched(url=file.url, blob=file.blob, media_type=file.media_type, size=file.size)
        for file in wording
        if isinstance(file, Attachment) and file.blob and file.media_type and file.url in missing
    ]


def _alike_from_the_start(one: tuple[Any, ...], other: tuple[Any, ...]) -> int:
    """How many items stand the same at the beginning of both."""
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(map(len, (one, other)))
    )


def _renamings(before: Channel, after: Channel) -> list[Channel]:
    """The names that a channel and its guild have had since, one after the other."""
    names = (*after.past_names, after.name)[len(before.past_names) + 1 :]
    guilds = (*after.past_guild_names, after.guild_name)[len(before.past_guild_names) + 1 :]
    steps = [before.model_copy(update={"name": name}) for name in names]
    last = steps[-1] if steps else before
    return [*steps, *(last.model_copy(update={"guild_name": name}) for name in guilds)]


def same(one: Any, other: Any) -> bool:
    return spelt(one) == spelt(other)
