"""Talks under way on Discord: a line is heard, its answer delivered, and both follow what people do to them later."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import discord
import structlog

from storage.errors import StorageError
from storage.model import Message, Reaction, Receipt, Sender

from ..bot import Bot
from ..incoming import Incoming
from ..manners import THANKED, Choice
from ..pieces import Done, Piece
from ..status import Report
from ..vanishing import vanished
from .delivery import Delivery
from .faces import Faces
from .limits import Pace, Refusals
from .translate import origin, place, who, words
from .views import Rows

log = structlog.get_logger()
Changed = TypeVar("Changed")
Question = discord.Message | discord.PartialMessage
"""What an answer stands below."""

_CANNOT_KEEP = (
    "-# I cannot keep this conversation right now, so I am not answering. An admin has to look at my storage."
)
_LEAVE_WITHIN = 5.0
"""Seconds that answers under way have to reach their channels when the bot goes."""


class Talks:
    """What one account is talking about, and with whom."""

    def __init__(
        self,
        bot: Bot,
        client: discord.Client,
        pace: Pace,
        refusals: Refusals,
        report: Report,
        now: Callable[[], datetime],
        faces: Faces,
        undelivered: Callable[[], None],
    ) -> None:
        """`undelivered` is told when an answer reached nobody."""
        self._bot = bot
        self._client = client
        self._pace = pace
        self._refusals = refusals
        self._report = report
        self._now = now
        self._faces = faces
        self._undelivered = undelivered
        self._rows = Rows(bot.settings) if bot.settings.discord.buttons else None
        self._under_way: set[asyncio.Task[object]] = set()
        self._asked_by: dict[int, list[int]] = {}
        self._busy: Counter[int] = Counter()
        """How many answers are on their way into a channel, or may be."""
        self._meanwhile: dict[int, list[Callable[[], Awaitable[object]]]] = {}
        """What people did to messages there: which of them are an answer's is known once that is kept."""

    def busy(self, channel_id: int) -> bool:
        """Whether an answer is on its way into a channel."""
        return channel_id in self._asked_by

    def asked(self, channel_id: int, user_id: int) -> bool:
        """Whether an answer to somebody is on its way into a channel."""
        return user_id in self._asked_by.get(channel_id, ())

    async def hear(self, event: discord.Message, choice: Choice, incoming: Incoming) -> None:
        """Has a line kept and, when an answer is due, delivers it."""
        try:
            await self.deliver(self._bot.receive(incoming), event, event.author.id)
            welcome = self._bot.admission.welcome(incoming.channel, incoming.sender, incoming.roles)
            if choice.act == "react" and welcome and not self._refusals.exhausted:
                with suppress(discord.HTTPException, OSError):
                    await event.add_reaction(THANKED)
        except StorageError as error:
            self._tell_storage(error)
            if incoming.answer and not self._refusals.exhausted:
                with suppress(discord.HTTPException, OSError):
                    await event.channel.send(_CANNOT_KEEP)

    async def deliver(self, pieces: AsyncIterator[Piece], question: Question, asker_id: int) -> Message | None:
        """Shows an answer below its question and keeps the receipts; None when there was nothing to say.

        Raises what the pieces raise."""
        task = asyncio.current_task()
        if task is not None:
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        channel_id = question.channel.id
        self._busy[channel_id] += 1
        try:
            return await self._shown(pieces, question, asker_id)
        finally:
            self._busy[channel_id] -= 1
            if not self._busy[channel_id]:
                del self._busy[channel_id]
                for change in self._meanwhile.pop(channel_id, ()):
                    await self._safely(change)

    async def show(self, answer: Message, question: discord.PartialMessage) -> bool:
        """Shows an answer that was kept and reached nobody; False when Discord would not take it."""
        receipts = await self._delivery(question, None).show(answer, nonce=self._bot.new_id())
        await self._bot.delivered(answer.id, receipts)
        return bool(receipts)

    async def edited(self, event: discord.Message) -> None:
        """A message has other words than before."""
        me = self._client.user
        if me is None or me.id in (event.author.id, event.application_id):
            return
        text = words(event, me, self._bot.settings.display)
        where, at = origin(event.channel.id, event.id), event.edited_at or self._now()
        answer = await self._safely(lambda: self._bot.afterwards.edited(where, text, at))
        if answer is not None:
            await self._offer(answer)

    async def deleted(self, channel_id: int, message_ids: Iterable[int]) -> None:
        """Messages were taken away."""
        now = self._now()
        for message_id in message_ids:
            change = partial(self._bot.afterwards.deleted, origin(channel_id, message_id), now)
            if await self._safely(change) is None and channel_id in self._busy:
                self._meanwhile.setdefault(channel_id, []).append(change)

    async def reacted(self, event: discord.RawReactionActionEvent, *, on: bool) -> None:
        """Somebody put an emoji on a message, or took it back."""
        where, emoji = origin(event.channel_id, event.message_id), str(event.emoji)
        if not on:
            user_id = str(event.user_id)
            await self._once_kept(event.channel_id, lambda: self._bot.afterwards.unreacted(where, emoji, user_id))
            return
        user = event.member or self._client.get_user(event.user_id) or discord.Object(event.user_id)
        sender = who(user) if isinstance(user, discord.abc.User) else _unnamed(event.user_id)
        reaction = Reaction(emoji=emoji, sender=sender, at=self._now())
        await self._once_kept(event.channel_id, lambda: self._bot.afterwards.reacted(where, reaction))

    async def renamed(self, channel: Any) -> None:
        """A channel has another name."""
        now = place(channel)
        if self._bot.places.find(now.key) is not None:
            await self._bot.places.know(now)

    async def vanished(self, channel_id: int) -> None:
        """A channel or thread was deleted."""
        await self._safely(lambda: vanished(self._bot, f"discord:{channel_id}", self._now()))

    async def leave(self) -> None:
        """Lets answers under way reach their channels."""
        await self._bot.close()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=_LEAVE_WITHIN)

    def row(self, answer: Message) -> discord.ui.View | None:
        """The buttons below an answer."""
        return self._rows.answered(answer) if self._rows else None

    async def _offer(self, answer: Message) -> None:
        """Offers to answer anew, now that the question is another one."""
        last = max(answer.receipts, key=lambda receipt: receipt.page, default=None)
        if last is None or self._rows is None or self._refusals.exhausted:
            return
        _, channel_id, message_id = last.origin.split(":")
        channel = self._client.get_channel(int(channel_id)) or self._client.get_partial_messageable(int(channel_id))
        try:
            await self._faces.change_row(channel, int(message_id), self._rows.edited(answer))
        except (discord.HTTPException, OSError) as error:
            log.warning("discord.row_unchanged", channel=channel_id, error=str(error))

    async def _once_kept(self, channel_id: int, change: Callable[[], Awaitable[object]]) -> None:
        if channel_id in self._busy:
            self._meanwhile.setdefault(channel_id, []).append(change)
        else:
            await self._safely(change)

    async def _shown(self, pieces: AsyncIterator[Piece], question: Question, asker_id: int) -> Message | None:
        delivery: Delivery | None = None
        answer: Message | None = None
        try:
            async for piece in pieces:
                if delivery is None:
                    delivery = self._delivery(question, asker_id)
                    self._asked_by.setdefault(question.channel.id, []).append(asker_id)
                delivery.hear(piece)
                if isinstance(piece, Done):
                    # While the lane is still held: nobody's next answer may start between this one's pages.
                    whole, delivery, answer = delivery, None, piece.message
                    receipts = await self._brought(whole, question, asker_id)
                    await self._bot.delivered(answer.id, receipts)
                    if not receipts:
                        self._undelivered()
        finally:
            if delivery is not None:
                await self._brought(delivery, question, asker_id)
        return answer

    def _delivery(self, question: Question, asker: int | None) -> Delivery:
        return Delivery(
            question,
            interval=self._bot.settings.discord.edit_interval,
            pace=self._pace,
            refusals=self._refusals,
            faces=self._faces,
            rows=self._rows,
            asker=asker,
        )

    async def _brought(self, delivery: Delivery, question: Question, asker_id: int) -> tuple[Receipt, ...]:
        """Finishes a delivery; whatever comes of it, its asker waits no longer."""
        try:
            return await delivery.finish()
        finally:
            asked = self._asked_by[question.channel.id]
            asked.remove(asker_id)
            if not asked:
                del self._asked_by[question.channel.id]

    async def _safely(self, change: Callable[[], Awaitable[Changed]]) -> Changed | None:
        """What people do to messages has nobody who waits for an answer: trouble is for the status and the log."""
        try:
            return await change()
        except StorageError as error:
            self._tell_storage(error)
            return None

    def _tell_storage(self, error: StorageError) -> None:
        log.error("storage.refused", error=str(error))
        self._report({"last_error": str(error)})


def _unnamed(user_id: int) -> Sender:
    """Somebody of whom only the id is known."""
    return Sender(type="user", id=str(user_id), name=str(user_id))
