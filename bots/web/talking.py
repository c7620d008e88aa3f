"""What people say on the web and what is answered: each answer runs on its own, whoever listens or leaves."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from datetime import timedelta
from weakref import WeakValueDictionary

import structlog

from storage.errors import StorageError
from storage.model import Attachment, Channel, Message, Receipt, Sender, Session, storable

from ..afterwards import asked_by
from ..carrying import lines_of, said
from ..errors import NotYours, TroupeError
from ..events import Event, Said
from ..incoming import GO_ON, Incoming, is_stop
from ..lanes import Turn
from ..pieces import Delta, Done, Left, Opened, Piece, Reset
from .answering import Answering
from .callers import Caller
from .desk import Desk
from .given import persona_named
from .problems import Conflict, NotThere

log = structlog.get_logger()

_REMEMBERED = 300.0
"""Seconds for which an answer can be listened to once it is over,"""
_MOST = 500
"""and how many such answers."""
_FRESH = 20.0
"""Seconds for which all of its steps are kept."""
_BREATH = 0.002
"""Seconds by which each answer under way has all of them told less often, in more words at a time: so a hundred at once
leave time for whoever asks next."""
_LONGEST_BREATH = 0.25
_SEEN_OFF = 5.0
"""Seconds that answers have to be kept when the bot goes."""
_OWED = timedelta(minutes=15)
"""How old a line may be that is answered after a restart."""
_UNANSWERED = "I may not answer you here right now. Whoever runs me can tell why."
_STOPPED = "Stopped before a word was said."
_BROKEN = "Something went wrong on my side; my log says what."


class Talking:
    """What people say to one bot on the web, and its answers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._bot = desk.bot
        self._answers: OrderedDict[str, Answering] = OrderedDict()
        """By the origins of the lines, or what stands for one."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._once: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """By the origins of lines that are being said."""

    async def say(
        self,
        caller: Caller,
        session_id: str | None,
        text: str,
        files: Sequence[Attachment] = (),
        reply_to: str | None = None,
        persona: str | None = None,
        *,
        answer: bool = True,
        seen: bool = True,
        key: str | None = None,
    ) -> Answering:
        """Says a line in a session of the caller's own, or in a new one, and has it answered. Returns once the line is
        kept, with the answer under way, or over where there is none. A line with a `key` that the caller has used is
        the line of then. Raises `StorageError` when it cannot be kept, and `NotThere` where the session is removed
        meanwhile."""
        channel, session = await self._place(caller, session_id)
        origin = f"{channel.key}:key:{key}" if key else f"{channel.key}:{self._bot.new_id()}"
        if persona is not None:
            persona = persona_named(self._desk, caller, persona).name
        stops = is_stop(text)
        incoming = Incoming(
            origin=origin,
            channel=channel,
            sender=caller.person,
            text=storable(text),
            at=self._desk.now(),
            attachments=tuple(files),
            reply_to=await self._origin_of(caller, reply_to) if reply_to else None,
            answer=answer and not stops,
            faces=True,
            seen=seen,
            persona=persona,
            session=session.id,
            said_again=True,
        )
        answering = Answering(session, origin, caller.person)
        async with self._once.setdefault(origin, asyncio.Lock()):
            if key and (known := await self._repeated(answering, wanted=incoming.answer)) is not None:
                return known
            await self._heard(answering, incoming)
        if answering.failure is not None:
            raise answering.failure
        if stops:
            await self.stop(session.id, caller.person.id)
        return await self._joined(answering)

    async def redo(self, caller: Caller, message_id: str) -> Answering:
        """Gives an answer anew; or answers a line that has no answer. Raises `TroupeError`."""
        message, _ = await caller.message(self._desk, message_id)
        session = await self.own(caller, message.session_id)
        if message.role == "user":
            if self._bot.at_work(message.id):
                raise Conflict("I am answering that already: wait for its end, or stop it.")
            message = await self._bot.afterwards.answer_to(message) or message
        if message.role == "user":
            pieces = self._bot.again([message], caller.person, faces=True)
            lines = [message.id]
        else:
            pieces = self._anew(message, caller.person)
            lines = list(asked_by(message))
        line = await self._desk.store.message(lines[-1]) if lines else None
        origin = (line.origin if line and message.role == "user" else None) or f"again {self._bot.new_id()}"
        answering = Answering(session, origin, caller.person, line=line, admitted=True)
        self._start(answering, pieces)
        await answering.begun()
        if answering.refused and not answering.id:
            raise Conflict(answering.refused)
        return answering

    async def go_on(self, caller: Caller, message_id: str) -> Answering:
        """Has the persona of an answer say more."""
        message, _ = await caller.message(self._desk, message_id)
        if message.role != "assistant" or not message.words.strip():
            raise Conflict("Only an answer with words can be gone on with.")
        return await self.say(
            caller, message.session_id, GO_ON, reply_to=message.id, persona=message.persona, seen=False
        )

    async def reword(self, caller: Caller, message_id: str, text: str, persona: str | None = None) -> Answering:
        """Says a line in other words in a new session that knows what was said before it. Raises `TroupeError`."""
        message, _ = await caller.message(self._desk, message_id)
        session = await self.own(caller, message.session_id)
        if message.role != "user":
            raise Conflict("Only what people said can be said in other words.")
        if persona is not None:
            persona_named(self._desk, caller, persona)  # before anything is made
        before = await self._before(message)
        branched = await self._branched(session, before)
        files = [file for file in message.attachments if file.blob]
        return await self.say(caller, branched.id, text, files, persona=persona)

    async def _before(self, message: Message) -> str | None:
        """The id of what stands before a message in its session."""
        before = None
        async for each in lines_of(self._desk.store, message.session_id, message.id):
            if each.id != message.id:
                before = each.id
        return before

    async def _branched(self, session: Session, before: str | None) -> Session:
        bot = self._bot
        async with bot.doors.of(session.channel.key):
            if before is not None:
                return await bot.conversations.branch(session.id, before, session.channel)
            begun = await bot.sessions.begin(session.channel, self._desk.now(), carry_over=False)
            marked = await bot.sessions.change(
                begun.id, lambda now: now.model_copy(update={"parent_id": session.id, "title": session.title})
            )
            return marked or begun

    def under_way(self, session_id: str) -> Answering | None:
        """The answer that is being given in a session now, or waits for its turn."""
        there = [each for each in self._answers.values() if each.session.id == session_id and not each.done]
        return there[0] if there else None

    def find(self, answer_id: str) -> Answering | None:
        """An answer by its id, under way or over some minutes ago at most."""
        self._forget_old()
        return next((each for each in self._answers.values() if each.id == answer_id), None)

    async def stop(self, session_id: str, asker: str | None = None) -> bool:
        """Ends what is being said in a session at once, to one person or to all; what was said is kept. Whether there
        was anything to end."""
        there = [each for each in self._bot.turns_in(session_id) if asker in (None, each.asker)]
        meant = [turn for turn in there if not turn.settled]
        for turn in meant:
            turn.interrupt("stop")
        with suppress(TimeoutError):
            async with asyncio.timeout(_SEEN_OFF):
                for turn in there:
                    if turn.running:
                        await turn.over.wait()
        return bool(meant)

    async def answer_owed(self) -> None:
        """Answers what was said shortly before the bot went, and has no answer yet."""
        try:
            started = self._desk.now()
            owed = await self._bot.afterwards.unfinished(started - _OWED, front="web")
            await self._bot.afterwards.finish_replacing(owed)
            for line in owed.lines:
                session = await self._desk.store.session(line.session_id)
                # Whoever has said it may be here already, and say it again.
                if line.at > started or line.origin in self._answers or self._bot.at_work(line.id):
                    continue
                if session is None or session.deleted_at is not None or session.channel.front != "web":
                    continue
                answering = Answering(session, line.origin or line.id, line.sender, line=line, admitted=True)
                self._start(answering, self._bot.again([line], line.sender, faces=True))
        except StorageError as error:
            log.warning("web.owed", error=str(error))

    async def close(self) -> None:
        """Cuts what is being said short, and sees that it is kept; whoever listens is told no more."""
        await self._bot.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_SEEN_OFF)
        for each in tuple(self._answers.values()):
            each.done = True
            each.wake()

    async def _place(self, caller: Caller, session_id: str | None) -> tuple[Channel, Session]:
        """Where the caller speaks. Raises `TroupeError`."""
        if session_id is not None:
            session = await self.own(caller, session_id)
            return session.channel, session
        return caller.channel, await self._bot.begin(caller.channel, caller.person.id)

    async def own(self, caller: Caller, session_id: str) -> Session:
        """A session in which the caller may speak. Raises `NotThere`, and `Conflict` where that is not their own."""
        session = await caller.session(self._desk, session_id)
        if session.channel.key != caller.channel.key:
            raise Conflict(
                f"That session is in {session.channel.name or session.channel.key}, not in your own place on the web: "
                "take that channel over to speak there, or begin a session of your own."
            )
        return session

    async def _origin_of(self, caller: Caller, message_id: str) -> str | None:
        """Where a message stands that a line replies to; of a copy where that stands which it was copied from."""
        message, _ = await caller.message(self._desk, message_id)
        first = await self._desk.store.message(said(message)) or message
        receipts = first.receipts[-1:]
        return first.origin or (receipts[0].origin if receipts else None)

    def _why_not(self, answering: Answering) -> str:
        line = answering.line
        return self._bot.admission.used_up(answering.session.channel, line.sender, ()) if line else ""

    def _start(self, answering: Answering, pieces: AsyncIterator[Piece], *, wanted: bool = True) -> None:
        self._forget_old()
        self._answers[answering.origin] = answering
        answering.breath = self._breath
        task = asyncio.ensure_future(self._run(answering, pieces, wanted=wanted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _breath(self) -> float:
        return min(_BREATH * (len(self._tasks) - 1), _LONGEST_BREATH)

    async def _run(self, answering: Answering, pieces: AsyncIterator[Piece], *, wanted: bool) -> None:
        """Takes an answer down as it comes. Whoever listens, or leaves, makes no difference."""
        try:
            async for piece in pieces:
                await self._take(answering, piece)
            if answering.message is not None:
                answering.message = await self._desk.store.message(answering.id) or answering.message
                answering.tell("done")
            elif answering.admitted and not answering.left:
                answering.refused = _STOPPED
            elif wanted and not answering.left and self._turn_of(answering) is None:
                answering.left = self._bot.leaving
                answering.refused = "" if answering.left else self._why_not(answering) or _UNANSWERED
        except StorageError as error:
            answering.failure = error if answering.line is None else None
            answering.refused = str(error)
        except NotYours as error:
            answering.failure, answering.refused = NotThere(str(error)), str(error)
        except TroupeError as error:
            answering.refused = str(error)
        except Exception:
            log.exception("web.turn_failed")
            answering.refused = _BROKEN
        finally:
            if answering.refused:
                answering.tell("refused", answering.refused)
            answering.done = True
            answering.ended_at = asyncio.get_running_loop().time()
            answering.wake()

    async def _take(self, answering: Answering, piece: Piece) -> None:
        match piece:
            case Opened():
                answering.admitted = True
                if not answering.id:
                    answering.id, answering.persona, answering.speaker = piece.message_id, piece.persona, piece.speaker
                    answering.tell("began")
            case Delta():
                answering.tell("delta", piece.text)
            case Reset():
                answering.tell("reset")
            case Left():
                answering.tell("reset")
                answering.left = True
            case Done():
                message = answering.message = piece.message
                if not answering.id:  # nobody was asked
                    answering.id, answering.persona = message.id, message.persona or ""
                    answering.speaker = message.sender.name
                    answering.tell("began")
                receipt = Receipt(origin=f"{answering.session.channel.key}:{message.id}", page=0)
                await self._bot.delivered(message.id, (receipt,))

    async def _heard(self, answering: Answering, incoming: Incoming) -> None:
        """Has a line answered, and returns once it is kept, or cannot be."""

        def is_it(event: Event) -> bool:
            return isinstance(event, Said) and event.message.origin == incoming.origin

        with self._desk.events.listen(is_it, at=(incoming.channel.key,)) as kept:
            self._start(answering, self._bot.receive(incoming), wanted=incoming.answer)
            hearing, over = asyncio.ensure_future(kept.some()), asyncio.ensure_future(answering.over())
            try:
                await asyncio.wait((hearing, over), return_when=asyncio.FIRST_COMPLETED)
                told = hearing.result() if hearing.done() else []
            finally:
                hearing.cancel()
                over.cancel()
        answering.line = next((each.message for each in told if isinstance(each, Said)), None)
        answering.line = answering.line or await self._desk.store.find(incoming.origin)

    async def _repeated(self, answering: Answering, *, wanted: bool) -> Answering | None:
        """What became of a line that was said before; None where it is new. Raises `Conflict` where it was said in
        another session, and `StorageError`."""
        async with self._bot.doors.of(answering.session.channel.key):
            await self._bot.doors.kept(answering.origin)  # whoever said it first may have hung up at once
            line = answering.line = await self._desk.store.find(answering.origin)
        if line is None:
            return None
        if line.session_id != answering.session.id:
            raise Conflict("A line with this `key` was said in another session: give each line one of its own.")
        answer = await self._bot.afterwards.answer_to(line)
        async with self._bot.doors.of(answering.session.channel.key):
            turn = self._turn_of(answering)
        # From here to where an answer is begun nothing may wait: others may begin one as well.
        known = self._answers.get((turn.lines[0].origin if turn is not None else None) or answering.origin)
        if known is not None and known.failure is None:
            known.line = line
            return known
        if answer is None and wanted and line.at > self._desk.now() - _OWED:
            answering.admitted = True
            self._start(answering, self._bot.again([line], line.sender, faces=True))
            return answering
        if answer is not None:
            answering.id, answering.persona, answering.message = answer.id, answer.persona or "", answer
            answering.speaker = answer.sender.name
            answering.tell("began")
            answering.tell("delta", answer.text)
            answering.tell("done")
        answering.done = True
        return answering

    async def _joined(self, answering: Answering) -> Answering:
        """The answer that a line has become part of, be it its own; once that is decided."""
        async with self._bot.doors.of(answering.session.channel.key):
            turn = self._turn_of(answering)
        answering.admitted |= turn is not None and turn.lines[0].origin == answering.origin
        if turn is None:
            await answering.begun()
        other = self._answers.get(turn.lines[0].origin or "") if turn is not None else None
        if other is None or other is answering:
            return answering
        self._answers.pop(answering.origin, None)
        other.line = answering.line
        return other

    def _turn_of(self, answering: Answering) -> Turn | None:
        """The turn under way that answers a line."""
        turns = self._bot.turns_in(answering.session.id)
        return next((each for each in turns if any(line.origin == answering.origin for line in each.lines)), None)

    async def _anew(self, answer: Message, asker: Sender) -> AsyncGenerator[Piece, None]:
        async with aclosing(self._bot.redo(answer.id, asker, faces=True)) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                yield piece

    def _forget_old(self) -> None:
        """Lets go of answers that were over long ago, or of the oldest of too many."""
        until = asyncio.get_running_loop().time() - _REMEMBERED
        over = [key for key, each in self._answers.items() if each.done]
        for number, key in enumerate(over):
            ended_at = self._answers[key].ended_at
            if ended_at < until or len(over) - number > _MOST:
                del self._answers[key]
            elif ended_at < until + _REMEMBERED - _FRESH:
                self._answers[key].shrink()
