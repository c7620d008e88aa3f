"""One channel's gap: what Discord has that the store has not, and what the store has that Discord has no more."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from dataclasses import replace as changed
from datetime import datetime
from typing import TYPE_CHECKING, Any

import discord

from storage.model import Message
from storage.records import Tombstone

from ..incoming import UNSEEN
from .begun import Begun
from .faces import may
from .translate import origin, place

if TYPE_CHECKING:
    from .client import Front

_SESSIONS, _LINES = 5, 500
"""How much of what is stored of a channel is compared with what Discord has."""


@dataclass
class Gap:
    """What was found in one channel."""

    channel: Any
    begun: Begun
    kept: list[Message] = field(default_factory=list)
    """Lines that were not in storage, oldest first."""


async def read(front: Front, channel: Any, edge: datetime, since: datetime, limit: int, open: Collection[int]) -> Gap:
    """Reads a channel back to `edge`, the newest `limit` messages of it: lines after `since` that are not in storage
    are kept, edits and deletions of those that are follow Discord, and pages of
    answers that were taken away go. `open` are the messages whose answers are awaited. Raises what discord.py and the
    store raise."""
    gap = Gap(channel, Begun(front, channel, open))
    me = front.user
    readable = isinstance(channel, discord.DMChannel) or may(channel, "read_message_history")
    if me is None or not readable:  # an empty history would look like one that was deleted
        return gap
    oldest = discord.utils.time_snowflake(edge)
    # Pages that are being written right now are nobody's leavings.
    busy = front.talks.busy(channel.id)
    stored = await _stored(front, channel, oldest)
    events: list[discord.Message] = []
    async for event in channel.history(limit=limit, oldest_first=False):
        if event.id <= oldest:
            break
        events.append(event)
    for event in reversed(events):
        known = await front.bot.store.find(origin(channel.id, event.id))
        if event.author.id == me.id or front.faces.own(event):
            if known is not None and known.deleted_at is not None and not busy:
                await front.faces.take_away(channel, [event.id], masked=event.webhook_id is not None)
            else:
                _own(gap, event, known, busy)
            continue
        gap.begun.heard(event.id, event.author.id)
        if known is None:
            if event.created_at >= since and (line := await _kept(front, event)) is not None:
                gap.kept.append(line)
        elif event.edited_at is not None and not (known.edits and known.edits[-1].at >= event.edited_at):
            await front.talks.edited(event)
    present = {event.id for event in events}
    reached = events[-1].id if len(events) == limit else oldest  # what was not read has not been deleted for that
    await front.talks.deleted(channel.id, sorted(id for id in stored - present if id > reached))
    return gap


async def _stored(front: Front, channel: Any, oldest: int) -> set[int]:
    """The messages of a channel that are in storage, newer than one. Asked for before Discord is: what is said
    meanwhile is in neither."""
    store, here = front.bot.store, origin(channel.id, 0)[:-1]
    found: set[int] = set()
    for session in await store.sessions(place(channel).key, limit=_SESSIONS):
        for message in await store.messages(session.id, limit=_LINES):
            where = message.origin or next((receipt.origin for receipt in message.receipts if not receipt.page), "")
            if where.startswith(here) and not message.metadata.keys() >= UNSEEN.keys():
                found.add(int(where.removeprefix(here)))
    return {id for id in found if id > oldest}


def _own(gap: Gap, event: discord.Message, known: Message | None, busy: bool) -> None:
    """Takes in what the bot said; a question that somebody asked by a command stands there as its words, too."""
    if known is not None and known.role == "user":
        gap.begun.heard(event.id, int(known.sender.id))
    elif known is not None:
        gap.begun.known()
    elif event.interaction_metadata is None and not busy:
        gap.begun.page(event)


async def _kept(front: Front, event: discord.Message) -> Message | None:
    heard = front.ears.translate(event, front.user, False, late=True) if front.user else None
    if heard is None:
        return None
    _, line = heard
    forgotten = await front.bot.store.record(Tombstone, line.sender.id)
    if forgotten is not None and forgotten.at >= event.created_at:
        return None
    async for _piece in front.bot.receive(changed(line, answer=False, later=line.answer)):
        pass
    return await front.bot.store.find(line.origin)
