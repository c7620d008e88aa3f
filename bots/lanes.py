"""One turn at a time per session, many sessions at once; one person's burst of lines is one turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from storage.errors import StorageError
from storage.model import Message, Receipt, Sender, Session

if TYPE_CHECKING:
    from .fetching import Replied
    from .pieces import Piece

_EDITS = 3
"""How often edits of its lines make a running answer start anew; each time is paid for."""
_LONGEST = 4
"""Bursts: how long one person's lines may go on making a running answer start anew."""


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms an answer is given."""

    asker: Sender | None = None
    """Whose it counts as, while it is counted."""
    persona: str | None = None
    """The persona asked for by name."""
    default: str | None = None
    """The persona that answers where no rule finds one; None is the bot's first."""
    personas: frozenset[str] | None = None
    """Those that may answer; None is all."""
    models: frozenset[str] | None = None
    """Those that may be asked; None is all."""
    roles: tuple[str, ...] = ()
    """The ids and names of the asker's roles."""
    faces: bool = False
    """Whether the front shows the persona's own name, so that it need not stand in the answer."""
    declined: str = ""
    """Why nobody is asked: this is then the answer."""
    notice: str = ""
    """What the asker should know, below the answer."""


@dataclass(eq=False)
class Turn:
    """One answer on its way: the lines it answers, and the wishes of people about it."""

    id: str
    session: Session
    lines: list[Message]
    heard: float
    """When its last line arrived, on the monotonic clock, in seconds."""
    kept: asyncio.Future[bool]
    """Whether its first line is in storage; False when it was there before, and is nobody's business any more."""
    replied: list[Replied] = field(default_factory=list)
    """The messages that its lines reply to."""
    terms: Terms = field(default_factory=Terms)
    replaces: Message | None = None
    """The earlier answer to the same lines that this one stands in for."""
    wish: Literal["go", "again", "stop", "cut", "leave"] = "go"
    """`again`: another line joined, ask anew; `stop`: a person wants silence; `cut`: the bot is going away; `leave`: it
    goes elsewhere, and answers there."""
    settled: bool = False
    """Whether the words of the answer are final: from then on nothing can join or stop it."""
    asking: asyncio.Task[None] | None = None
    """Getting ready to ask, and asking."""
    pieces: asyncio.Queue[Piece | None] = field(default_factory=asyncio.Queue)
    receipts: tuple[Receipt, ...] = ()
    shown: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the front has shown the final words, or has left."""
    refused: StorageError | None = None
    """Why its line could not be kept."""
    keeping: bool = False
    """Whether the answer is on its way into storage: receipts that come later go after it."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    edits: int = 0
    """How often its lines were edited while it ran."""
    overheard: Callable[[Turn, Piece | None], None] | None = None
    """Who hears its pieces beside the front, at once."""
    began: float = field(init=False)
    _floor: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.began = self.heard

    @property
    def asker(self) -> str:
        return self.lines[0].sender.id

    def say(self, piece: Piece | None) -> None:
        """Sends a piece on its way; None once nothing more comes."""
        self.pieces.put_nowait(piece)
        if self.overheard is not None:
            self.overheard(self, piece)

    @property
    def running(self) -> bool:
        """Whether it is this turn's turn."""
        return self._floor.is_set()

    @property
    def undisturbed(self) -> bool:
        return self.wish == "go"

    @property
    def overtaken(self) -> bool:
        return self.wish == "again"

    def interrupt(self, wish: Literal["again", "stop", "cut", "leave"]) -> None:
        """Ends the asking under way, if any; `Turn.wish` tells the runner what is wanted instead."""
        if self.wish in ("go", "again"):
            self.wish = wish
        if self.asking is not None:
            self.asking.cancel()


class Lanes:
    """A lane per session: a running turn and those waiting behind it. Empty lanes cost nothing."""

    def __init__(self, burst: float) -> None:
        self.burst = burst
        """Seconds within which one person's lines are answered together."""
        self._lanes: dict[str, deque[Turn]] = {}
        self.held = False
        """Whether nothing new is answered here any more."""
        self._idle = asyncio.Event()
        self._idle.set()

    def busy_with(self, session: Session, sender: Sender) -> bool:
        """Whether somebody has a turn in the session's lane already."""
        return any(turn.asker == sender.id for turn in self._lanes.get(session.id, ()))

    def join(
        self, session: Session, line: Message, heard: float, replied: Replied | None, *, persona: str | None
    ) -> bool:
        """Adds a line to its sender's own turn, if that can still change: one that waits takes all, a running one
        what comes within the burst of the line before and not too long after its first. `replied` is what the line
        replies to, `persona` whom it asks for. An answer given anew is about its own lines alone."""
        for turn in reversed(self._lanes.get(session.id, ())):
            if turn.asker == line.sender.id and turn.replaces is None:
                if turn.settled or turn.wish in ("stop", "cut", "leave"):
                    return False
                close = heard - turn.heard <= self.burst and heard - turn.began <= self.burst * _LONGEST
                if turn.running and not close:
                    return False
                turn.lines.append(line)
                turn.replied += [replied] if replied else []
                turn.terms = replace(turn.terms, persona=persona or turn.terms.persona)
                turn.heard = heard
                turn.interrupt("again")
                return True
        return False

    def add(self, turn: Turn) -> None:
        """Puts a turn at the end of its session's lane."""
        if self.held:
            turn.interrupt("leave")
        self._lanes.setdefault(turn.session.id, deque()).append(turn)
        self._idle.clear()
        self._admit(turn.session.id)

    @asynccontextmanager
    async def floor(self, turn: Turn) -> AsyncIterator[None]:
        """Waits until every turn before this one in the lane is over, then holds the lane."""
        try:
            await turn._floor.wait()
            yield
        finally:
            lane = self._lanes[turn.session.id]
            lane.remove(turn)
            if not lane:
                del self._lanes[turn.session.id]
            else:
                self._admit(turn.session.id)
            if not self._lanes:
                self._idle.set()

    def there(self, channel_key: str, asker: str | None = None, *, everybody: bool = False) -> list[Turn]:
        """The asker's own turns in a channel, running or waiting; with `everybody` those of all."""
        here = [turn for lane in self._lanes.values() for turn in lane if turn.session.channel.key == channel_key]
        return here if everybody else [turn for turn in here if turn.asker == asker]

    def in_session(self, session_id: str) -> tuple[Turn, ...]:
        """The turns of a session: the running one, and those that wait behind it."""
        return tuple(self._lanes.get(session_id, ()))

    def stop(self, channel_key: str, asker: str | None = None, *, everybody: bool = False) -> list[Turn]:
        """Ends at once what is `there` and not said to its end yet. Returns those turns."""
        meant = [turn for turn in self.there(channel_key, asker, everybody=everybody) if not turn.settled]
        for turn in meant:
            turn.interrupt("stop")
        return meant

    def find(self, turn_id: str) -> Turn | None:
        """The turn of that id, running or waiting."""
        return next((turn for lane in self._lanes.values() for turn in lane if turn.id == turn_id), None)

    def at_work(self, message_id: str) -> bool:
        """Whether that answer, or an answer to that line, is on its way."""
        turns = (turn for lane in self._lanes.values() for turn in lane)
        return any(turn.id == message_id or any(line.id == message_id for line in turn.lines) for turn in turns)

    def changed(self, line: Message) -> None:
        """Told when a line was edited or deleted whose answer may be under way: it is asked anew, or not at all. Of a
        line that is edited again and again the answer is to one of its wordings."""
        for turn in self._lanes.get(line.session_id, ()):
            at = next((number for number, known in enumerate(turn.lines) if known.id == line.id), None)
            if at is None or turn.settled:
                continue
            if line.deleted_at is None:
                turn.lines[at] = line
                if turn.running:
                    turn.edits += 1
                if turn.edits <= _EDITS:
                    turn.interrupt("again")
            elif len(turn.lines) > 1:
                del turn.lines[at]
                turn.interrupt("again")
            else:
                turn.interrupt("stop")

    async def hold(self, within: float) -> None:
        """From now on whatever is added ends without an answer, for the bot goes elsewhere. Returns once what was there
        before is over; what is not after so many seconds ends likewise."""
        self.held = True
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._idle.wait()
        self._end_all("leave")

    def cut_all(self) -> None:
        """Ends every answer because the bot is going away."""
        self._end_all("cut")

    def _end_all(self, wish: Literal["cut", "leave"]) -> None:
        for lane in self._lanes.values():
            for turn in lane:
                turn.interrupt(wish)

    def _admit(self, session_id: str) -> None:
        self._lanes[session_id][0]._floor.set()
