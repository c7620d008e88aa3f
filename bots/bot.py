"""A bot: everything said to it comes in by one door, is kept, and is answered when it should be."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from weakref import WeakValueDictionary

import structlog

from storage.backend import Store
from storage.errors import StorageError, Unavailable
from storage.model import Attachment, Channel, Message, Part, Receipt, Sender, Session, Text, message_id

from .lanes import Lanes, Turn
from .pieces import Done, Piece
from .prompt import Prompts
from .providers import Provider
from .recall import Recent
from .router import ContextRouter
from .sessions import Sessions
from .settings import BotSettings
from .turn import Turns

log = structlog.get_logger()

_STOP_WORDS = {"stop", "/stop"}
_UNKEPT_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class Incoming:
    """One line as a front heard it, in the bot's own terms."""

    origin: str
    """`front:channel:id`, unique for the event."""
    channel: Channel
    sender: Sender
    text: str
    at: datetime
    attachments: tuple[Attachment, ...] = ()
    reply_to: str | None = None
    """The origin of the message it replies to."""
    answer: bool = True
    """Whether an answer is wanted; otherwise the line is only kept."""


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
        prompts = Prompts(settings.models[0], settings.storage.max_history)
        self._lanes = Lanes(settings.sessions.burst)
        self._recent = Recent(store, settings.storage.max_history)
        self._turns = Turns(
            settings, self.sessions, self.router, prompts, provider, self._recent, keep=self._keep, now=now
        )
        self._now = now
        self._ticks = ticks
        self._chance = chance
        self._channels: dict[str, Channel] = {}
        self._doors: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._showing: dict[str, Turn] = {}
        self._unkept: deque[tuple[Session, Message]] = deque()

    async def receive(self, incoming: Incoming) -> AsyncIterator[Piece]:
        """Keeps a line and, when an answer is due, yields it piece by piece; the last piece is `Done`.

        A line redelivered, only listened to, joined to a turn under way, or that stops one, yields nothing.
        Raises `StorageError` when the line could not be kept: then nobody has thought about it yet, and it is
        kept as soon as storage is back."""
        turn = await self._accept(incoming)
        if turn is None:
            return
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
        """Ends the answer under way in a channel's session at once, keeping what was said; False if there is none."""
        session = await self.sessions.current(channel)
        return session is not None and self._lanes.stop(session.id, asker)

    async def begin(self, channel: Channel) -> Session:
        """Starts a new session in a channel: `/new`."""
        return await self.sessions.begin(await self.know(channel), self._now())

    async def why(self, channel: Channel) -> str:
        """Why the last answer in a channel came from whom it did: `/why`."""
        session = await self.sessions.current(channel)
        messages = await self.store.messages(session.id) if session else []
        last = next((m for m in reversed(messages) if m.role == "assistant"), None)
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

    async def upkeep(self) -> None:
        """What is due now: lines that storage refused are tried again, silent sessions are closed."""
        while self._unkept:
            session, message = self._unkept[0]
            try:
                if await self.store.append(session, message):
                    self._recent.heard(message)
            except Unavailable:
                return
            self._unkept.popleft()
        await self.sessions.expire(self._now())

    async def close(self) -> None:
        """Cuts what is being said short, so that it is kept as far as it got."""
        self._lanes.cut_all()

    @property
    def busy(self) -> int:
        """Sessions with an answer on its way."""
        return self._lanes.busy

    async def _accept(self, incoming: Incoming) -> Turn | None:
        """The turn that a line opens, if any. One line of a channel after the other, so that the order of keeping
        is the order of hearing. The line may still be on its way into storage: the turn waits for it before it
        asks anybody, and gets ready meanwhile."""
        heard = self._ticks()
        door = self._doors.setdefault(incoming.channel.key, asyncio.Lock())
        async with door:
            channel = await self.know(incoming.channel)
            replied = await self.store.find(incoming.reply_to) if incoming.reply_to else None
            session, closed = await self.sessions.place(channel, incoming.sender, incoming.at, replied)
            line = self._line(incoming, session)
            if closed is not None:
                await self.store.save_session(closed)
            kept = asyncio.ensure_future(self._keep(session, line))
            if not incoming.answer or self._lanes.busy_with(session, line.sender) or is_stop(incoming.text):
                if not await kept or not incoming.answer:
                    return None
                if is_stop(incoming.text) and self._lanes.stop(session.id, line.sender.id):
                    return None
                if self._lanes.join(session, line, heard):
                    return None
            persona = replied.persona if replied else None
            turn = Turn(message_id(self._now(), self._chance()), session, [line], heard, kept, persona)
            self._lanes.add(turn)
            return turn

    def _line(self, incoming: Incoming, session: Session) -> Message:
        parts: tuple[Part, ...] = (Text(text=incoming.text),) if incoming.text else ()
        return Message(
            id=message_id(incoming.at, self._chance()),
            origin=incoming.origin,
            session_id=session.id,
            role="user",
            sender=incoming.sender,
            parts=(*parts, *incoming.attachments),
            at=incoming.at,
            reply_to=incoming.reply_to,
        )

    async def _keep(self, session: Session, message: Message) -> bool:
        try:
            kept = await self.store.append(session, message)
            if kept:
                self._recent.heard(message)
            return kept
        except Unavailable:
            if len(self._unkept) < _UNKEPT_LIMIT:
                self._unkept.append((session, message))
            raise


def is_stop(text: str) -> bool:
    """Whether a line asks the bot to stop talking."""
    return text.strip().rstrip(".!").casefold() in _STOP_WORDS


def _names(channel: Channel) -> tuple[str, str | None]:
    return channel.name, channel.guild_name
