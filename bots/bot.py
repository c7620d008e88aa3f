"""A bot: everything said to it comes in by one door, is kept, and is answered when it should be."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import datetime
from typing import cast
from weakref import WeakValueDictionary

import structlog

from storage.amendments import Deleted
from storage.backend import Store
from storage.errors import StorageError, Unavailable
from storage.model import Channel, Message, Note, Part, Receipt, Sender, Session, Text, message_id, storable

from .afterwards import ASKED, Afterwards, asked_by
from .errors import TroupeError
from .incoming import Incoming, is_stop
from .lanes import Lanes, Terms, Turn
from .pieces import Done, Piece
from .prompt import Prompts
from .providers import Provider
from .recall import Recent
from .refused import Refused
from .router import ContextRouter
from .sessions import Sessions
from .settings import BotSettings
from .turn import Turns

log = structlog.get_logger()

_ORIGINS = 10_000


class Bot:
    """One bot over its store and its provider. `now` tells the time, `ticks` the monotonic seconds, `chance` gives
    50 random bits."""

    def __init__(
        self,
        settings: BotSettings,
        store: Store,
        provider: Provider,
        *,
        now: Callable[[], datetime],
        ticks: Callable[[], float],
        chance: Callable[[], int],
    ) -> None:
        self.settings = settings
        self.store = store
        self.router = ContextRouter(settings)
        self.sessions = Sessions(store, settings, chance=chance)
        ready = [model for model in settings.models if model.ready] or settings.models
        prompts = Prompts(ready, settings.storage.max_history)
        self._lanes = Lanes(settings.sessions.burst)
        self._recent = Recent(store, settings.storage.max_history)
        self.afterwards = Afterwards(store, self._recent, self._lanes)
        self._turns = Turns(
            settings,
            self.sessions,
            self.router,
            prompts,
            provider,
            self._recent,
            keep=self._keep,
            replaced=self._replaced,
            now=now,
        )
        self._now = now
        self._ticks = ticks
        self._chance = chance
        self._channels: dict[str, Channel] = {}
        self._doors: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._showing: dict[str, Turn] = {}
        self._refused = Refused()
        self._heard: OrderedDict[str, None] = OrderedDict()
        """The latest origins: an event that comes twice is dropped before it moves anything."""
        self._leaving = False

    async def receive(self, incoming: Incoming) -> AsyncIterator[Piece]:
        """Keeps a line and, when an answer is due, yields it piece by piece; the last piece is `Done`.

        A line redelivered, only listened to, joined to a turn under way, or that stops one, yields nothing.
        Raises `StorageError` when the line could not be kept: then nobody has thought about it yet, and it is
        kept as soon as storage is back."""
        if incoming.origin in self._heard:
            return
        self._remember(incoming.origin)
        try:
            with suppress(StorageError):
                await self._refused.try_again()
            turn = await self._accept(incoming)
            if turn is not None:
                async with aclosing(self._answered(turn)) as pieces:
                    async for piece in pieces:
                        yield piece
        except StorageError:
            late = replace(incoming, answer=False)
            self._refused.add(late.channel.key, late.origin, lambda: self._accept(late))
            raise

    async def again(
        self, lines: Sequence[Message], terms: Terms, replaces: Message | None = None
    ) -> AsyncIterator[Piece]:
        """Answers lines that are kept already, and yields the answer as `receive` does: what a crash left open, or
        anew, in place of an earlier answer. Raises `TroupeError` when their session is gone."""
        session = await self.store.session(lines[-1].session_id)
        if session is None or session.deleted_at is not None or self._leaving:
            raise TroupeError("The conversation that this belongs to is no longer there: ask again.")
        turn = Turn(
            message_id(self._now(), self._chance()),
            self.sessions.latest(session),
            list(lines),
            self._ticks(),
            asyncio.ensure_future(_already()),
            terms=terms,
            replaces=replaces,
        )
        self._lanes.add(turn)
        async with aclosing(self._answered(turn)) as pieces:
            async for piece in pieces:
                yield piece

    async def redo(self, answer_id: str, terms: Terms) -> AsyncIterator[Piece]:
        """Gives an answer anew; the earlier one leaves sight once the new one is there. Raises `TroupeError` when
        there is nothing to answer any more."""
        answer = await self.store.message(answer_id)
        if answer is None or answer.role != "assistant":
            raise TroupeError("That answer is no longer kept: ask again.")
        found = [await self.store.message(id) for id in asked_by(answer)]
        lines = [line for line in found if line is not None and line.deleted_at is None]
        if not lines:
            raise TroupeError("The question to that answer was deleted: ask again.")
        async with aclosing(cast("AsyncGenerator[Piece, None]", self.again(lines, terms, answer))) as pieces:
            async for piece in pieces:
                yield piece

    async def _answered(self, turn: Turn) -> AsyncGenerator[Piece, None]:
        structlog.contextvars.bind_contextvars(turn=turn.id, session=turn.session.id)
        async with self._lanes.floor(turn):
            running = asyncio.ensure_future(self._turns.run(turn))
            self._showing[turn.id] = turn
            try:
                while (piece := await turn.pieces.get()) is not None:
                    yield piece
                    if isinstance(piece, Done):
                        turn.shown.set()
            finally:
                turn.shown.set()
                await running
                del self._showing[turn.id]
        if turn.refused is not None:
            raise turn.refused

    async def delivered(self, message_id: str, receipts: tuple[Receipt, ...]) -> None:
        """Records where an answer's pages stand, so that replies to any of them are understood."""
        turn = self._showing.get(message_id)
        if turn is not None and not turn.keeping:
            turn.receipts = receipts
            turn.shown.set()
            return
        if turn is not None:
            await turn.over.wait()
        try:
            await self.store.keep_receipts(message_id, receipts)
        except StorageError as error:
            log.error("receipts.unkept", message=message_id, error=str(error))

    async def stop(self, channel: Channel, asker: str | None = None) -> bool:
        """Ends answers under way in a channel at once, keeping what was said: the asker's own, or else whatever is
        running. False if there are none."""
        return self._lanes.stop(channel.key, asker)

    async def stop_turn(self, turn_id: str) -> bool:
        """Ends one answer that is under way; False if it is not."""
        turn = self._lanes.find(turn_id)
        if turn is not None and not turn.settled:
            turn.interrupt("stop")
        return turn is not None

    async def edited(self, origin: str, text: str, at: datetime) -> Message | None:
        """A line got other words: see `Afterwards.edited`."""
        async with self._door_of(origin):
            return await self.afterwards.edited(origin, text, at)

    async def deleted(self, origin: str, at: datetime) -> Message | None:
        """A line or an answer was taken away: see `Afterwards.deleted`."""
        async with self._door_of(origin):
            return await self.afterwards.deleted(origin, at)

    async def said(self, channel: Channel, text: str, *, origin: str, by: Sender | None = None) -> Message:
        """Keeps what the bot said outside its answers: a notice, the public words of a command. Models never see it."""
        async with self._door(channel):
            now = self._now()
            channel = await self._known(channel)
            session = await self.sessions.current(channel) or await self.sessions.begin(channel, now)
            message = Message(
                id=message_id(now, self._chance()),
                session_id=session.id,
                role="system",
                sender=by or Sender(type="system", id=self.settings.name, name=self.settings.display),
                parts=(Note(text=storable(text)),),
                at=now,
                receipts=(Receipt(origin=origin, page=0),),
            )
            await self._keep(session, message)
            return message

    def changed(self, message: Message) -> None:
        """Told when a kept message is not what it was."""
        self._recent.changed(message)

    async def begin(self, channel: Channel) -> Session:
        """Starts a new session in a channel: `/new`."""
        async with self._door(channel):
            return await self.sessions.begin(await self.know(channel), self._now())

    async def history(self, channel: Channel, limit: int = 100) -> list[Message]:
        """The newest lines of a channel's session, oldest first: `/history`."""
        session = await self.sessions.current(channel)
        return await self.store.messages(session.id, limit=limit) if session else []

    async def why(self, channel: Channel) -> str:
        """Why the last answer in a channel came from whom it did: `/why`."""
        last = next((m for m in reversed(await self.history(channel)) if m.role == "assistant"), None)
        return last.metadata.get("why", "") if last else ""

    async def know(self, channel: Channel) -> Channel:
        """Keeps a channel's names up to date; renames are recorded."""
        known = self._channels.get(channel.key)
        if known is None or _names(known) != _names(channel):
            known = self._channels[channel.key] = await self.store.keep_channel(channel)
        return known

    def knows(self, key: str) -> Channel | None:
        """The channel, if anything was heard there since the start."""
        return self._channels.get(key)

    def forget(self, session_id: str) -> None:
        """Told when a session, or something in it, was removed for good: it is in nobody's mind any more."""
        self._recent.forget(session_id)
        self.sessions.forget(session_id)

    async def upkeep(self) -> None:
        """What is due now: what storage refused is tried again, silent sessions are closed. Raises `StorageError`
        when storage still refuses; then nothing is forgotten."""
        await self._refused.try_again()
        await self.sessions.expire(self._now())

    async def close(self) -> None:
        """Cuts what is being said short, so that it is kept as far as it got. Lines that still come are kept and
        not answered."""
        self._leaving = True
        self._lanes.cut_all()

    async def settle(self) -> None:
        """A last try to keep what storage refused, once nobody is answered any more."""
        with suppress(StorageError):
            await self._refused.try_again()
        self._refused.give_up()

    async def _accept(self, incoming: Incoming) -> Turn | None:
        """The turn that a line opens, if any. One line of a channel after the other, so that the order of keeping
        is the order of hearing. The line may still be on its way into storage: the turn waits for it before it
        asks anybody, and gets ready meanwhile."""
        heard = self._ticks()
        async with self._door(incoming.channel):
            channel = await self._known(incoming.channel)
            replied = await self.store.find(incoming.reply_to) if incoming.reply_to else None
            session, closed = await self.sessions.place(channel, incoming.sender, incoming.at, replied)
            line = self._line(incoming, session)
            kept = asyncio.ensure_future(self._keep(session, line))
            if closed is not None:
                await kept
                await self.store.save_session(closed)
            if not incoming.answer or self._lanes.busy_with(session, line.sender) or is_stop(incoming.text):
                if not await kept or not incoming.answer:
                    return None
                if is_stop(incoming.text) and self._lanes.stop(channel.key, line.sender.id):
                    return None
                if self._lanes.join(session, line, heard):
                    return None
            if self._leaving:
                await kept
                return None
            persona = replied.persona if replied else None
            turn = Turn(
                message_id(self._now(), self._chance()),
                session,
                [line],
                heard,
                kept,
                persona,
                Terms(persona=incoming.persona, faces=incoming.faces),
            )
            self._lanes.add(turn)
            return turn

    def _line(self, incoming: Incoming, session: Session) -> Message:
        parts: tuple[Part, ...] = (Text(text=storable(incoming.text)),) if incoming.text else ()
        return Message(
            id=message_id(incoming.at, self._chance()),
            origin=incoming.origin,
            session_id=session.id,
            role="user",
            sender=incoming.sender,
            parts=(*parts, *incoming.attachments),
            at=incoming.at,
            reply_to=incoming.reply_to,
            metadata=ASKED if incoming.answer else {},
        )

    async def _replaced(self, answer: Message) -> None:
        if answer.deleted_at is None:
            changed = await self.store.amend(answer.id, Deleted(at=self._now()))
            if changed is not None:
                self._recent.changed(changed)

    async def _keep(self, session: Session, message: Message) -> bool:
        """Keeps a message. An answer that storage refuses is tried again later; a line is its hearer's affair."""
        try:
            kept = await self.store.append(session, message)
        except StorageError:
            if message.role == "assistant":
                self._refused.add(session.channel.key, message.id, lambda: self._keep_again(session, message))
            raise
        if kept:
            self._recent.heard(message)
        return kept

    async def _keep_again(self, session: Session, message: Message) -> None:
        if await self.store.append(self.sessions.latest(session), message):
            self._recent.heard(message)

    async def _known(self, channel: Channel) -> Channel:
        """A channel's names, brought up to date if storage can; the line brings its channel along in any case."""
        try:
            return await self.know(channel)
        except Unavailable:
            return self._channels.get(channel.key, channel)

    def _door(self, channel: Channel) -> asyncio.Lock:
        return self._doors.setdefault(channel.key, asyncio.Lock())

    def _door_of(self, origin: str) -> asyncio.Lock:
        return self._doors.setdefault(origin.rpartition(":")[0], asyncio.Lock())

    def _remember(self, origin: str) -> None:
        self._heard[origin] = None
        if len(self._heard) > _ORIGINS:
            self._heard.popitem(last=False)


async def _already() -> bool:
    """Lines that are kept need not be waited for."""
    return True


def _names(channel: Channel) -> tuple[str, str | None]:
    return channel.name, channel.guild_name
