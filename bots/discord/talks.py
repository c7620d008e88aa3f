"""Talks under way on Discord: a line is heard, its answer delivered, and both follow what people do to them later."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import discord
import structlog

from storage.errors import StorageError
from storage.model import Channel, Message, Reaction, Receipt, Sender

from ..afterwards import DROPPED
from ..bot import Bot
from ..errors import TroupeError
from ..incoming import Incoming
from ..manners import THANKED, Choice
from ..pieces import Done, Piece
from ..status import Report
from ..vanishing import vanished
from .delivery import Delivery
from .faces import Faces
from .limits import Pace, Refusals
from .posting import Question as Place
from .translate import attachment, origin, place, who, words
from .views import Rows

log = structlog.get_logger()
Changed = TypeVar("Changed")
Change = Callable[[], Awaitable[object]]
_Reactions = discord.RawReactionActionEvent | discord.RawReactionClearEvent | discord.RawReactionClearEmojiEvent
Question = discord.Message | discord.PartialMessage
"""What an answer stands below."""

_CANNOT_KEEP = (
    "-# I cannot keep this conversation right now, so I am not answering. An admin has to look at my storage."
)
_NOT_THERE = "Discord did not take that: I may not write in that channel, or cannot reach it. Nobody saw it."
_IN_PART = "Discord did not take all of that: its beginning may stand in the channel. I have not kept it."
_OFFLINE = "I am not on Discord right now, so nobody would see that: try again once I am."
_HELD_BACK = "⏳"
"""Below a line that gets no answer, of a person who was told a moment ago when there will be some again."""
_CHANNELS = 10_000
"""Channels of which it is remembered whether anything is kept."""
_LEAVE_WITHIN = 5.0
"""Seconds that answers under way have to reach their channels when the bot goes."""


@dataclass(eq=False)
class _Showing:
    """An answer on its way into a channel, and then into storage."""

    asker_id: int
    delivery: Delivery
    shown: bool = False
    """Whether the channel has it as far as it will, so that its asker waits no longer."""
    changes: list[Change] = field(default_factory=list)
    """What people did to its pages meanwhile."""

    async def finish(self) -> tuple[Receipt, ...]:
        """Brings it to its end, once."""
        if self.shown:
            return ()
        try:
            return await self.delivery.finish()
        finally:
            self.shown = True


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
        self._every_row = Rows(bot)
        self._told_unkept: set[int] = set()
        """Channels that were told that nothing can be kept, since something was kept there last."""
        self._joined: OrderedDict[int, None] = OrderedDict()
        """Threads that the bot joined, or tried to."""
        self._under_way: set[asyncio.Task[object]] = set()
        self._showing: dict[int, list[_Showing]] = {}
        """By channel."""
        self._talked_in: OrderedDict[int, bool] = OrderedDict()
        """Whether anything is kept of a channel, as far as that was asked."""

    @property
    def _rows(self) -> Rows | None:
        return self._every_row if self._bot.settings.discord.buttons else None

    def busy(self, channel_id: int) -> bool:
        """Whether an answer is on its way into a channel, or into storage from there."""
        return channel_id in self._showing

    def asked(self, channel_id: int, user_id: int) -> bool:
        """Whether an answer to somebody is on its way into a channel."""
        return any(each.asker_id == user_id and not each.shown for each in self._showing.get(channel_id, ()))

    async def hear(self, event: discord.Message, choice: Choice, incoming: Incoming) -> None:
        """Has a line kept and, when an answer is due, delivers it."""
        try:
            answer = await self.deliver(self._bot.receive(incoming), event, event.author.id)
            self._told_unkept.discard(event.channel.id)
            welcome = self._bot.admission.welcome(incoming.channel, incoming.sender, incoming.roles)
            sign = THANKED if choice.act == "react" and welcome else ""
            if answer is None and incoming.answer and await self._held_back(incoming):
                sign = _HELD_BACK
            if sign and not self._refusals.exhausted:
                with suppress(discord.HTTPException, OSError):
                    await event.add_reaction(sign)
        except StorageError as error:
            self.tell_storage(error)
            if incoming.answer and not self._refusals.exhausted and event.channel.id not in self._told_unkept:
                self._told_unkept.add(event.channel.id)
                with suppress(discord.HTTPException, OSError):
                    await event.channel.send(_CANNOT_KEEP)

    async def _held_back(self, incoming: Incoming) -> bool:
        """Whether a line got no word, since its asker was told a moment ago that a budget is used up."""
        asked = (incoming.channel, incoming.sender, incoming.roles)
        if not (self._bot.settings.discord.reactions and incoming.sender.type == "user"):
            return False
        if not self._bot.admission.used_up(*asked):
            return False
        with suppress(StorageError):
            line = await self._bot.store.find(incoming.origin)
            return line is not None and any(each.kind == DROPPED for each in line.annotations)
        return False

    async def deliver(self, pieces: AsyncIterator[Piece], question: Question, asker_id: int) -> Message | None:
        """Shows an answer below its question and keeps the receipts; None when there was nothing to say.

        Raises what the pieces raise."""
        task = asyncio.current_task()
        if task is not None:
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        self._talked_in[question.channel.id] = True
        showing: _Showing | None = None
        answer: Message | None = None
        try:
            async for piece in pieces:
                if showing is None:
                    showing = _Showing(asker_id, self._delivery(question, asker_id))
                    self._showing.setdefault(question.channel.id, []).append(showing)
                showing.delivery.hear(piece)
                if isinstance(piece, Done):
                    # While the lane is still held: nobody's next answer may start between this one's pages.
                    answer = piece.message
                    receipts = await showing.finish()
                    await self._bot.delivered(answer.id, receipts)
                    if not receipts:
                        self._undelivered()
                    await self._join(question.channel)
        finally:
            if showing is not None:
                await self._over(question.channel.id, showing)
        return answer

    async def _join(self, channel: object) -> None:
        """Joins a thread in which the bot has answered, so that it hears what is said there from now on."""
        if not isinstance(channel, discord.Thread) or channel.me is not None or channel.id in self._joined:
            return
        self._joined[channel.id] = None
        if len(self._joined) > _CHANNELS:
            self._joined.popitem(last=False)
        with suppress(discord.HTTPException, OSError):
            await channel.join()

    async def show(self, answer: Message, question: discord.PartialMessage) -> bool:
        """Shows an answer that was kept and reached nobody; False when Discord would not take it."""
        receipts = await self._delivery(question, None).show(answer, nonce=self._bot.new_id())
        await self._bot.delivered(answer.id, receipts)
        return bool(receipts)

    async def post(self, channel: Channel, message: Message) -> tuple[Receipt, ...]:
        """Shows what an operator says through the bot, by its account. Raises `TroupeError` when Discord would not take
        it."""
        try:
            if not self._client.is_ready():
                raise TroupeError(_OFFLINE)
            known = self._client.get_channel(int(channel.id)) or await self._client.fetch_channel(int(channel.id))
            if not isinstance(known, discord.abc.Messageable):
                raise TroupeError("That is not a channel in which anybody could write.")
            delivery = self._delivery(known, None, buttons=False)
            receipts = await delivery.show(message)
        except (discord.HTTPException, OSError) as error:
            log.warning("discord.unposted", channel=channel.id, error=str(error))
            raise TroupeError(_NOT_THERE) from None
        if not receipts:
            raise TroupeError(_IN_PART if delivery.standing else _NOT_THERE)
        return receipts

    async def edited(self, event: discord.Message) -> None:
        """A message has other words than before."""
        me = self._client.user
        if me is None or me.id in (event.author.id, event.application_id):
            return
        text, files = words(event, me, self._bot.settings.display), tuple(map(attachment, event.attachments))
        where, at = origin(event.channel.id, event.id), event.edited_at or self._now()
        change = partial(self._bot.afterwards.edited, where, text, files, at)
        answer = await self._safely(event.channel.id, change)
        if answer is not None:
            await self._offer(answer)

    async def deleted(self, channel_id: int, message_ids: Iterable[int]) -> None:
        """Messages were taken away."""
        now = self._now()
        for message_id in message_ids:
            change = partial(self._bot.afterwards.deleted, origin(channel_id, message_id), now)
            if await self._safely(channel_id, change) is None and (showing := self._page_of(channel_id, message_id)):
                showing.changes.append(change)

    async def reacted(self, event: discord.RawReactionActionEvent, *, on: bool) -> None:
        """Somebody put an emoji on a message, or took it back."""
        where, emoji = origin(event.channel_id, event.message_id), str(event.emoji)
        afterwards = self._bot.afterwards
        if not on:
            await self._once_kept(event, partial(afterwards.unreacted, where, emoji, str(event.user_id)))
            return
        user = event.member or self._client.get_user(event.user_id) or discord.Object(event.user_id)
        sender = who(user) if isinstance(user, discord.abc.User) else _unnamed(event.user_id)
        reaction = Reaction(emoji=emoji, sender=sender, at=self._now())
        await self._once_kept(event, partial(afterwards.reacted, where, reaction))

    async def cleared(self, event: discord.RawReactionClearEvent | discord.RawReactionClearEmojiEvent) -> None:
        """Every emoji was taken off a message, or one of them by whomever it was put there."""
        emoji = str(event.emoji) if isinstance(event, discord.RawReactionClearEmojiEvent) else None
        where = origin(event.channel_id, event.message_id)
        await self._once_kept(event, partial(self._bot.afterwards.cleared, where, emoji))

    async def renamed(self, channel: Any) -> None:
        """A channel has another name."""
        now = place(channel)
        if self._bot.places.find(now.key) is not None:
            await self._bot.places.know(now)

    async def vanished(self, channel_id: int) -> None:
        """A channel or thread was deleted."""
        await self._safely(channel_id, partial(vanished, self._bot, f"discord:{channel_id}", self._now()))

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

    async def _once_kept(self, event: _Reactions, change: Change) -> None:
        """Does what an event says; what concerns a page of an answer once that is kept."""
        if showing := self._page_of(event.channel_id, event.message_id):
            showing.changes.append(change)
            return

        async def if_kept() -> None:
            if await self._keeps_some_of(event.channel_id):
                await change()

        await self._safely(event.channel_id, if_kept)

    def _page_of(self, channel_id: int, message_id: int) -> _Showing | None:
        """The answer on its way of which a message is a page."""
        return next((each for each in self._showing.get(channel_id, ()) if each.delivery.has(message_id)), None)

    async def _keeps_some_of(self, channel_id: int) -> bool:
        """Whether anything may be kept of what is said in a channel: most emoji are for messages that nobody keeps."""
        key = f"discord:{channel_id}"
        if self._bot.places.find(key) is not None:
            return True
        if channel_id not in self._talked_in:
            known = bool(await self._bot.store.sessions(key, limit=1))
            while len(self._talked_in) >= _CHANNELS:
                self._talked_in.popitem(last=False)
            self._talked_in.setdefault(channel_id, known)  # somebody may have spoken there meanwhile
        return self._talked_in[channel_id]

    async def _over(self, channel_id: int, showing: _Showing) -> None:
        """An answer has come to its end, one way or another."""
        try:
            await showing.finish()
        finally:
            here = self._showing[channel_id]
            here.remove(showing)
            if not here:
                del self._showing[channel_id]
        for change in showing.changes:
            await self._safely(channel_id, change)

    def _delivery(self, question: Place, asker: int | None, *, buttons: bool = True) -> Delivery:
        return Delivery(
            question,
            interval=self._bot.settings.discord.edit_interval,
            pace=self._pace,
            refusals=self._refusals,
            faces=self._faces,
            rows=self._rows if buttons else None,
            asker=asker,
        )

    async def _safely(self, channel_id: int, change: Callable[[], Awaitable[Changed]]) -> Changed | None:
        """What people do to messages has nobody who waits for an answer: trouble is for the status and the log, and
        the change is made once storage is back."""
        try:
            return await self._bot.keeping.in_order(f"discord:{channel_id}", f"change in {channel_id}", change)
        except StorageError as error:
            self.tell_storage(error)
            return None

    def tell_storage(self, error: StorageError) -> None:
        """Says in the log and in the status that storage does not do what it should."""
        log.error("storage.refused", error=str(error))
        self._report({"last_error": str(error)})


def _unnamed(user_id: int) -> Sender:
    """Somebody of whom only the id is known."""
    return Sender(type="user", id=str(user_id), name=str(user_id))
