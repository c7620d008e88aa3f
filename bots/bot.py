"""A bot: everything said to it comes in by one door, is kept, and is answered when it should be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import structlog

from storage.backend import Store
from storage.blobs import Blobs
from storage.errors import StorageError
from storage.model import Channel, Message, Sender, Session, message_id
from storage.place import Place

from .access import Access
from .admission import Admission
from .afterwards import Afterwards, asked_by
from .casting import Casting
from .conversations import Conversations
from .doors import Doors
from .errors import TroupeError
from .events import Events
from .explaining import Explaining
from .fetching import Fetching, Replied
from .guilds import Guilds
from .incoming import Incoming, Origins, is_stop
from .joined_answers import is_joined
from .keeping import Keeping
from .lanes import Lanes, Turn
from .long_memory import LongMemory, Means
from .media import Media
from .pieces import Piece
from .places import Places
from .privacy import Privacy
from .prompt import Prompts
from .providers import Provider
from .quieting import Quiet
from .quotas import Quotas
from .recall import Recent
from .remembering import Remembering
from .saying import Saying
from .sessions import Sessions
from .settings import BotSettings
from .showing import ANEW, Showing
from .summing import asked
from .turn import Turns
from .under_way import UnderWay

log = structlog.get_logger()

_STOPPED_WITHIN = 2.0


class Bot:
    """One bot over its store and its provider. `now` tells the time, `ticks` the monotonic seconds, `chance` gives
    50 random bits; `blobs` is where files beside messages are kept, `backups` where its backups are."""

    def __init__(
        self,
        settings: BotSettings,
        store: Store,
        provider: Provider,
        *,
        now: Callable[[], datetime],
        ticks: Callable[[], float],
        chance: Callable[[], int],
        blobs: Blobs,
        backups: Place | None = None,
        means: Means | None = None,
    ) -> None:
        self.settings = settings
        self.store = store
        self._now = now
        self.guilds = Guilds(settings, store, now=now)
        self.places = Places(store)
        self.quotas = Quotas(self.guilds.budgets, store, self.places.home_name, now=now)
        self.events = Events()
        self.under_way = UnderWay(self.events)
        self.sessions = Sessions(store, settings, chance=chance, guild_gap=self.guilds.own_gap, events=self.events)
        self.doors = Doors()
        root = settings.root if settings.storage.enabled else None
        self.memory = self._remembering(means or Means(), root)
        self._recent = Recent(store, settings.storage.max_history, self.memory)
        self.remembering = Remembering(store, now=now, voices=lambda: self.sessions.voices)
        self.quiet = Quiet(store, self.remembering.settings, now=now, chance=chance, tell=self.events.tell)
        self.conversations = Conversations(
            store,
            self.sessions,
            now=now,
            chance=chance,
            changed=self._recent.forget,
            remembering=self.remembering,
            ask=lambda p: asked(self.provider, p),
            blobs=blobs,
            adopt=[self.quiet.adopt],
        )
        self.media = Media(blobs, settings.media)
        self.fetching = Fetching(self.media, store, self._recent, amended=self.sessions.amended)
        self.privacy = self._private(blobs, root, backups)
        sessions = self.sessions
        self.keeping = Keeping(store, self._recent, sessions.latest, sessions.answered, self.events.tell)
        kept = (sessions, self.places, self.doors, self.keeping)
        self.saying = Saying(lambda: self.settings, *kept, now=now, new_id=self.new_id)
        self.said = self.saying.said
        self._lanes = Lanes(settings.sessions.burst)
        self.at_work, self.turn = self._lanes.at_work, self._lanes.find
        self.turns_in = self._lanes.in_session
        self.explaining = Explaining(store, self.sessions)
        unlearn = self.memory.memories.follow
        shared = (store, self._recent, self._lanes, self.doors, self.sessions)
        self.afterwards = Afterwards(*shared, self.keeping.keep, unlearn)
        self._ticks = ticks
        self._chance = chance
        self._showing = Showing(
            store,
            self._lanes,
            self.afterwards.left_sight,
            run=lambda turn: self._turns.run(turn),
            unheard=self._unheard,
            overhear=self.under_way.overhear,
        )
        self.delivered = self._showing.delivered
        self._heard = Origins()
        self._leaving = False
        self._think(settings, provider)

    def _remembering(self, means: Means, folder: Path | None) -> LongMemory:
        given, provider = (self.store, self.settings.memory, means, folder), lambda: self.provider
        voices, busy = lambda: self.sessions.voices, lambda: bool(self._showing)
        return LongMemory(*given, provider=provider, now=self._now, voices=voices, busy=busy)

    def _private(self, blobs: Blobs, folder: Path | None, backups: Place | None) -> Privacy:
        return Privacy(
            self.store,
            blobs,
            folder,
            now=self._now,
            forgotten=self.memory.forgotten,
            forget_session=self.forget,
            changed=self._reread,
            change_session=self.sessions.change,
            stop=self.stop,
            backups=backups,
        )

    async def start(self) -> None:
        """Reads what it must know before it speaks. Raises `StorageError`."""
        await self.guilds.start()
        await self.quotas.start()
        await self.conversations.start()
        await self.casting.start()
        await self.privacy.start()
        await self.memory.start()

    def adopt(self, settings: BotSettings, provider: Provider) -> Provider:
        """Goes by other settings from now on; a turn under way ends as it began. Returns the provider before, which
        is to be closed once nobody asks it any more."""
        before, self.settings = self.provider, settings
        self.sessions.adopt(settings)
        self.guilds.adopt(settings)
        self.media.adopt(settings.media)
        self._recent.adopt(settings.storage.max_history)
        self._lanes.burst = settings.sessions.burst
        casting = self.casting
        self._think(settings, provider)
        self.casting.begin(casting)
        return before

    def _think(self, settings: BotSettings, provider: Provider) -> None:
        """What answers, made of settings."""
        self.provider = provider
        chosen = self.conversations.personas.of
        given = (settings, self.places, self.store, provider)
        self.casting = Casting(*given, chosen=chosen, now=self._now, embedder=self.memory.embedder)
        self.router = self.casting.router
        self.admission = Admission(Access(settings.access, self.places.home_name), self.quotas, self.guilds, self.quiet)
        ready = [model for model in settings.models if model.ready] or settings.models
        prompts = Prompts(ready, settings.storage.max_history, self.sessions.voices)
        self._turns = Turns(
            settings,
            self.sessions,
            self.casting,
            prompts,
            provider,
            self._recent,
            self.fetching,
            self.memory,
            known=self.remembering.known,
            keep=self.keeping.keep,
            after=self._after,
            now=self._now,
        )

    async def receive(self, incoming: Incoming) -> AsyncIterator[Piece]:
        """Keeps a line and, when an answer is due, yields it piece by piece; the last piece is `Done`.

        A line redelivered, only listened to, joined to a turn under way, or that asks for silence, yields nothing.
        Raises `StorageError` when the line could not be kept: then nobody has thought about it yet, and it is
        kept as soon as storage is back, unless its sender says it again."""
        if not self._heard.first(incoming.origin):
            return
        try:
            with suppress(StorageError):
                await self.keeping.try_again()
            turn = await self._accept(incoming)
            if turn is not None:
                async with aclosing(self._showing.pieces(turn)) as pieces:
                    async for piece in pieces:
                        yield piece
        except StorageError:
            if incoming.said_again:
                self._heard.forget(incoming.origin)
                raise
            late = replace(incoming, answer=False)
            self.keeping.later(late.channel.key, late.origin, lambda: self._accept(late))
            raise

    async def again(
        self,
        lines: Sequence[Message],
        asker: Sender,
        roles: Collection[str] = (),
        *,
        faces: bool = False,
        replaces: Message | None = None,
    ) -> AsyncGenerator[Piece, None]:
        """Answers lines that are kept already, and yields the answer as `receive` does: what a crash left open, or
        anew, in place of an earlier answer. Raises `TroupeError` when that cannot be."""
        session = await self.store.session(lines[-1].session_id)
        if session is None or session.deleted_at is not None or (self._leaving and not self._lanes.held):
            raise TroupeError("The conversation that this belongs to is no longer there: ask again.")
        session = self.sessions.latest(session)
        origins = [line.reply_to for line in lines if line.reply_to]
        replied = [Replied(origin, await self.store.find(origin)) for origin in origins]
        persona = replaces.persona if replaces and not is_joined(replaces) else None
        # From here to where the turn begins nothing may wait: what is counted has to be settled.
        if any(self._lanes.at_work(line.id) for line in lines):
            raise TroupeError("I am answering that already.")
        terms = self.admission.terms(session.channel, asker, roles, faces=faces, persona=persona)
        if terms is None:
            raise TroupeError("I may not answer you here right now; `/usage` and an admin know more.")
        kept = asyncio.get_running_loop().create_future()
        kept.set_result(True)
        turn = Turn(self.new_id(), session, list(lines), self._ticks(), kept, replied, terms, replaces)
        self._lanes.add(turn)
        async with aclosing(self._showing.pieces(turn)) as pieces:
            async for piece in pieces:
                yield piece

    async def redo(
        self, answer_id: str, asker: Sender, roles: Collection[str] = (), *, faces: bool = False
    ) -> AsyncIterator[Piece]:
        """Gives an answer anew; the earlier one leaves sight once the new one is there. Raises `TroupeError` when
        there is nothing to answer any more."""
        answer = await self.store.message(answer_id)
        if answer is None or answer.role != "assistant":
            raise TroupeError("That answer is no longer kept: ask again.")
        found = [await self.store.message(id) for id in asked_by(answer)]
        lines = [line for line in found if line is not None and line.deleted_at is None]
        if not lines:
            raise TroupeError("The question to that answer was deleted: ask again.")
        if answer.deleted_at is not None and await self.afterwards.answer_to(lines[-1]):
            raise TroupeError(ANEW)
        async with aclosing(self.again(lines, asker, roles, faces=faces, replaces=answer)) as answered:
            async for piece in answered:
                yield piece

    async def stop(self, channel: Channel, asker: str | None = None, *, everybody: bool = False) -> bool:
        """Ends the asker's own answers under way in a channel at once, keeping what was said; with `everybody`, those
        of all. Returns once what was said is kept: whether there was anything to end."""
        there = self._lanes.there(channel.key, asker, everybody=everybody)
        stopped = self._lanes.stop(channel.key, asker, everybody=everybody)
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOPPED_WITHIN):
                for turn in there:  # also one that was on its way into storage already
                    if turn.running:
                        await turn.over.wait()
        return bool(stopped)

    async def stop_turn(self, turn_id: str) -> bool:
        """Ends one answer that is under way; False if it is not."""
        turn = self._lanes.find(turn_id)
        if turn is not None and not turn.settled:
            turn.interrupt("stop")
        return turn is not None

    async def begin(self, channel: Channel, person_id: str | None = None) -> Session:
        """Starts a new session in a channel, after the one that a person is in: `/new`."""
        async with self.doors.of(channel.key):
            return await self.sessions.begin(await self.places.know(channel), self._now(), person_id=person_id)

    def forget(self, session_id: str) -> None:
        """Told when a session, or something in it, was removed for good: it is in nobody's mind any more."""
        self._recent.forget(session_id)
        self.sessions.forget(session_id)

    def _reread(self, session_id: str) -> None:
        self._recent.forget(session_id)
        self.sessions.reread(session_id)

    async def upkeep(self) -> None:
        """What is due now: what storage refused is tried again, silent sessions are closed, and what
        other processes used is counted. Raises `StorageError` when storage still refuses; then nothing is forgotten."""
        await self.keeping.try_again()
        await self.sessions.expire(self._now())
        await self.quotas.refresh()
        await self.memory.upkeep()

    async def pause(self, within: float) -> None:
        """Lets the answers under way come to their end, for so many seconds. Lines that still come, and what is cut off
        then, are kept without an answer and end with `Left`: the bot that is built next over the same talk answers."""
        await self._lanes.hold(within)

    @property
    def leaving(self) -> bool:
        """Whether it is going away, so that nobody is answered any more."""
        return self._leaving

    async def close(self) -> None:
        """Cuts what is being said short, and keeps it as far as it got. Lines that still come are only kept."""
        self._leaving = True
        self._lanes.cut_all()
        self.casting.close()
        await self.privacy.close()
        await self.memory.close()
        await self.fetching.close()

    async def settle(self) -> None:
        """A last try to keep what storage refused, once nobody is answered any more."""
        with suppress(StorageError):
            await self.keeping.try_again()
        self.keeping.give_up()

    async def _accept(self, incoming: Incoming) -> Turn | None:
        """The turn that a line opens, if any. One line of a channel after the other, so that the order of keeping
        is the order of hearing. The line may still be on its way into storage: the turn waits for it before it
        asks anybody, and gets ready meanwhile."""
        heard = self._ticks()
        async with self.doors.of(incoming.channel.key):
            channel = await self.places.known(incoming.channel)
            replied = await self.store.find(incoming.reply_to) if incoming.reply_to else None
            welcome = self.admission.welcome(channel, incoming.sender, incoming.roles)
            if not welcome or (self.quiet.until(channel) is not None and not is_stop(incoming.text)):
                incoming = replace(incoming, answer=False)
            heard_line = incoming.line(message_id(incoming.at, self._chance()), "", fetched=welcome)
            placed = await self.sessions.place(channel, heard_line, replied, incoming.session)
            session, line = placed.session, placed.line
            kept = asyncio.ensure_future(self.keeping.keep(session, line))
            self.doors.coming(incoming.origin, kept)
            if welcome:
                self.fetching.begin(line, kept)
            if placed.closed is not None:
                await kept
                await self.sessions.closed(placed.closed)
            reply = Replied(incoming.reply_to, replied, incoming.shown) if incoming.reply_to else None
            stops = is_stop(incoming.text)
            if not incoming.answer or stops or self._lanes.busy_with(session, line.sender):
                if not await kept or not incoming.answer:
                    return None
                if stops:
                    self._lanes.stop(channel.key, line.sender.id)
                    return None
                if self._lanes.join(session, line, heard, reply, persona=incoming.persona):
                    return None
            if self._leaving and not self._lanes.held:
                await kept
                return None
            terms = self.admission.terms(
                channel, incoming.sender, incoming.roles, faces=incoming.faces, persona=incoming.persona
            )
            if terms is None:
                if await kept:
                    await self.afterwards.drop(line, self._now())
                return None
            turn = Turn(self.new_id(), session, [line], heard, kept, [reply] if reply else [], terms)
            self._lanes.add(turn)
            return turn

    async def _after(self, turn: Turn, answer: Message | None) -> None:
        """What is left to do once a turn is over, however it went."""
        self.admission.settle(turn.session.channel, turn.terms, answer)
        if answer is None and turn.wish == "stop" and turn.refused is None:
            with suppress(StorageError):
                for line in turn.lines:
                    await self.afterwards.drop(line, self._now())
        if turn.replaces is not None and answer is not None and answer.words:
            with suppress(StorageError):  # two answers to one question then, which is not worse than none
                await self.afterwards.replaced(turn.replaces, self._now())

    def _unheard(self, turn: Turn) -> None:
        self.admission.settle(turn.session.channel, turn.terms, None)

    def new_id(self) -> str:
        """An id for a message that is said now."""
        return message_id(self._now(), self._chance())
