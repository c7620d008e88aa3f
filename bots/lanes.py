"""One turn at a time per session, many sessions at once; one person's burst of lines is one turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from storage.errors import StorageError
from storage.model import Message, Receipt, Sender, Session

if TYPE_CHECKING:
    from .pieces import Piece

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
    replied_persona: str | None = None
    """Whose message its last line replies to, if a persona's."""
    terms: Terms = field(default_factory=Terms)
    replaces: Message | None = None
    """The earlier answer to the same lines that this one stands in for."""
    beside: Message | None = None
    """The message that its last line replies to, if there are files beside it."""
    wish: Literal["go", "again", "stop", "cut"] = "go"
    """`again`: another line joined, ask anew; `stop`: a person wants silence; `cut`: the bot is going away."""
    settled: bool = False
    """Whether the words of the answer are final: from then on nothing can join or stop it."""
    asking: asyncio.Task[None] | None = None
    pieces: asyncio.Queue[Piece | None] = field(default_factory=asyncio.Queue)
    receipts: tuple[Receipt, ...] = ()
    shown: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the front has shown the final words, or has left."""
    refused: StorageError | None = None
    """Why its line could not be kept."""
    keeping: bool = False
    """Whether the answer is on its way into storage: receipts that come later go after it."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    began: float = field(init=False)
    _floor: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.began = self.heard

    @property
    def asker(self) -> str:
        return self.lines[0].sender.id

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

    def interrupt(self, wish: Literal["again", "stop", "cut"]) -> None:
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

    def busy_with(self, session: Session, sender: Sender) -> bool:
        """Whether somebody has a turn in the session's lane already."""
        return any(turn.asker == sender.id for turn in self._lanes.get(session.id, ()))

    def join(self, session: Session, line: Message, heard: float) -> bool:
        """Adds a line to its sender's own turn, if that can still change: one that waits takes all, a running one
        what comes within the burst of the line before and not too long after its first."""
        for turn in reversed(self._lanes.get(session.id, ())):
            if turn.asker == line.sender.id:
                if turn.settled or turn.wish in ("stop", "cut"):
                    return False
                close = heard - turn.heard <= self.burst and heard - turn.began <= self.burst * _LONGEST
                if turn.running and not close:
                    return False
                turn.lines.append(line)
                turn.heard = heard
                turn.interrupt("again")
                return True
        return False

    def add(self, turn: Turn) -> None:
        """Puts a turn at the end of its session's lane."""
        self._lanes.setdefault(turn.session.id, deque()).append(turn)
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

    def stop(self, channel_key: str, asker: str | None = None) -> list[Turn]:
        """Ends answers in a channel at once: the asker's own, running or waiting, or else whatever is running.
        Returns those that were at work there."""
        here = [turn for lane in self._lanes.values() for turn in lane if turn.session.channel.key == channel_key]
        own = [turn for turn in here if turn.asker == asker]
        for turn in own or [turn for turn in here if turn.running]:
            if not turn.settled:
                turn.interrupt("stop")
        return here

    def find(self, turn_id: str) -> Turn | None:
        """The turn of that id, running or waiting."""
        return next((turn for lane in self._lanes.values() for turn in lane if turn.id == turn_id), None)

    def at_work(self, message_id: str) -> bool:
        """Whether that answer, or an answer to that line, is on its way."""
        turns = (turn for lane in self._lanes.values() for turn in lane)
        return any(turn.id == message_id or any(line.id == message_id for line in turn.lines) for turn in turns)

    def changed(self, line: Message) -> None:
        """Told when a line was edited or deleted whose answer may be under way: it is asked anew, or not at all."""
        for turn in self._lanes.get(line.session_id, ()):
            at = next((number for number, known in enumerate(turn.lines) if known.id == line.id), None)
            if at is None or turn.settled:
                continue
            if line.deleted_at is None:
                turn.lines[at] = line
                turn.interrupt("again")
            elif len(turn.lines) > 1:
                del turn.lines[at]
                turn.interrupt("again")
            else:
                turn.interrupt("stop")

    def cut_all(self) -> None:
        """Ends every answer because the bot is going away."""
        for lane in self._lanes.values():
            for turn in lane:
                turn.interrupt("cut")

    def _admit(self, session_id: str) -> None:
        self._lanes[session_id][0]._floor.set()
