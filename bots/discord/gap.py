"""One channel's gap: what Discord has that the store has not, and what of the bot's own stands there unknown."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from dataclasses import replace as changed
from datetime import datetime
from typing import TYPE_CHECKING, Any

import discord
import structlog

from storage.model import Message, Note, Receipt, Sender, Text

from .faces import NOBODY, inside
from .text import pages
from .translate import origin, place

if TYPE_CHECKING:
    from .client import Front

log = structlog.get_logger()

_CUT = "\n\n-# I was interrupted here."
_SESSIONS, _LINES = 5, 500
"""How much of what is stored of a channel is compared with what Discord has."""


@dataclass
class Gap:
    """What was found in one channel."""

    channel: Any
    kept: int = 0
    """Lines that were not in storage."""
    orphans: dict[int, list[discord.Message]] = field(default_factory=lambda: defaultdict(list))
    """Pages of the bot's own that no answer knows of, by the id of the message they answer."""

    def standing(self, answer: Message, question: int) -> tuple[Receipt, ...]:
        """The receipts of an answer whose pages all stand there; nothing otherwise."""
        found = self.orphans.get(question, [])
        wanted = [page.shown for page in pages(answer.text)]
        if not wanted or [page.content for page in found[: len(wanted)]] != wanted:
            return ()
        del self.orphans[question]
        return tuple(Receipt(origin=origin(self.channel.id, page.id), page=number) for number, page in enumerate(found))

    async def clear(self, front: Front, question: int) -> None:
        """Removes what was begun of an answer that is now given whole."""
        for page in self.orphans.pop(question, []):
            await front.faces.take_away(self.channel, [page.id], masked=page.webhook_id is not None)

    async def mark_cut(self, front: Front, line: Message) -> None:
        """Leaves what was begun of an answer, marked as cut, and keeps it, so that it can be given anew."""
        question = int((line.origin or "").rpartition(":")[2])
        found = self.orphans.pop(question, [])
        if not found:
            return
        bot = front.bot
        answer = Message(
            id=bot.new_id(),
            session_id=line.session_id,
            role="assistant",
            sender=Sender(type="persona", id=bot.settings.name, name=found[0].author.display_name),
            parts=(Text(text="".join(page.content for page in found)), Note(text=_CUT)),
            at=found[0].created_at,
            reply_to=line.id,
            outcome="cut",
            receipts=tuple(Receipt(origin=origin(self.channel.id, page.id), page=n) for n, page in enumerate(found)),
        )
        await bot.afterwards.cut(line, answer)
        last = found[-1]
        view = front.talks.row(answer)
        text = last.content[: 2000 - len(_CUT)] + _CUT
        try:
            if last.webhook_id is None:
                await last.edit(content=text, view=view, allowed_mentions=NOBODY)
            else:
                hook = await front.faces.webhook(self.channel)
                await hook.edit_message(
                    last.id, content=text, view=view, allowed_mentions=NOBODY, **inside(self.channel)
                )
        except discord.HTTPException as error:
            log.warning("discord.page_unmarked", channel=self.channel.id, error=str(error))


async def fetched(front: Front, channel: Any, overlap: datetime, since: datetime, limit: int) -> Gap:
    """Reads a channel from `overlap` on, at most `limit` messages: lines after `since` that are not in storage are
    kept, edits and deletions of those that are follow Discord. Raises what discord.py and the store raise."""
    gap = Gap(channel)
    me = front.user
    if me is None:
        return gap
    present: set[str] = set()
    last_line = 0
    edge = discord.utils.time_snowflake(overlap)
    async for event in channel.history(limit=limit, after=discord.Object(edge), oldest_first=True):
        where = origin(channel.id, event.id)
        present.add(where)
        known = await front.bot.store.find(where)
        if event.author.id == me.id or event.application_id == me.id:
            if known is None and event.interaction_metadata is None:
                answered = event.reference.message_id if event.reference else None
                gap.orphans[answered or last_line].append(event)
            continue
        if not event.author.bot:
            last_line = event.id
        if known is not None:
            if event.edited_at is not None:
                await front.talks.edited(event)
            continue
        if event.created_at >= since and await _kept(front, event):
            gap.kept += 1
    if len(present) < limit:  # what was not read has not been deleted for that
        await _deleted(front, channel, present, edge)
    return gap


async def _kept(front: Front, event: discord.Message) -> bool:
    heard = front.ears.translate(event, front.user, False) if front.user else None
    if heard is None:
        return False
    _, line = heard
    async for _piece in front.bot.receive(changed(line, answer=False, later=line.answer)):
        pass
    return True


async def _deleted(front: Front, channel: Any, present: set[str], edge: int) -> None:
    """Takes out of sight what is in storage and no longer on Discord."""
    store = front.bot.store
    for session in await store.sessions(place(channel).key, limit=_SESSIONS):
        for message in await store.messages(session.id, limit=_LINES):
            where = message.origin or next((receipt.origin for receipt in message.receipts if not receipt.page), None)
            if where is None or where in present or not where.startswith(f"discord:{channel.id}:"):
                continue
            if int(where.rpartition(":")[2]) > edge:
                await front.talks.deleted(channel.id, (int(where.rpartition(":")[2]),))
