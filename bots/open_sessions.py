"""What is being said in each channel just now, and in which of its sessions: read once, then told line by line."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from storage.backend import ManyWriters, Store
from storage.model import Message, Session

from .disentangling import Choice, Disentangler, Heard
from .session_marks import PLACED, begun

Known = TypeVar("Known")

_SESSIONS, _LINES = 12, 30
"""How much of a channel is read: its newest sessions, and the newest lines of each."""
_REMEMBERED = 400
"""Lines of a channel of which it is known where they went, and people of whom it is known where they spoke last."""
_HELD = 20_000
"""Lines that are held over all channels; those of the channel longest silent go first."""
_TRIES = 3
"""How often a channel is read anew because something was removed meanwhile."""
_COMPARED = 600
"""Characters of a line that are compared with others."""


@dataclass(frozen=True, slots=True)
class _Person:
    """Where somebody spoke last."""

    name: str
    session: str
    at: float


class Talking:
    """One channel: which sessions go on, who spoke where last, and where the latest lines went."""

    def __init__(self, gap: float | None) -> None:
        self.gap = gap
        """The base gap, in seconds."""
        self.counts: OrderedDict[str, int] = OrderedDict()
        """The sessions of which something is held, and how many messages each had when it was read."""
        self.newest: datetime | None = None
        """When a person last spoke here, as far as was read."""
        self.latest = 0.0
        """When the newest line was said, in Unix seconds."""
        self._tangle = Disentangler(gap)
        self._open: OrderedDict[str, None] = OrderedDict()
        self._begun = 0.0
        self._people: OrderedDict[str, _Person] = OrderedDict()
        self._authors: OrderedDict[str, str] = OrderedDict()
        self._places: OrderedDict[str, tuple[str, str | None]] = OrderedDict()

    @property
    def size(self) -> int:
        """How many lines it holds."""
        return len(self._authors)

    def choose(self, line: Message) -> Choice:
        """The session for a person's or program's line; changes nothing."""
        return self._tangle.choose(self._unhurried(self._heard(line)))

    def silent(self, person_id: str, at: datetime) -> bool:
        """Whether a line of somebody who says nothing telling would begin a session now."""
        return self._tangle.choose(self._unhurried(Heard("", at.timestamp(), person_id, (), ""))).session is None

    def own(self, person_id: str) -> str | None:
        """The session in which somebody spoke last."""
        person = self._people.get(person_id)
        return person.session if person else None

    def place_of(self, origin: str | None) -> tuple[str, str | None] | None:
        """Where a line went that has come before: its session, and what `PLACED` said."""
        return self._places.get(origin or "")

    def heard(self, line: Message) -> None:
        """Told where a line went. Programs' lines move nothing."""
        session_id = line.session_id
        _put(self._authors, line.id, line.sender.id)
        if line.origin is not None:
            _put(self._places, line.origin, (session_id, line.metadata.get(PLACED)))
        if line.sender.type != "user":
            return
        heard = self._heard(line)
        self._tangle.joined(heard, session_id)
        _put(self.counts, session_id, self.counts.get(session_id, 0))
        self.latest = max(self.latest, heard.at)
        if heard.at >= self._begun:
            _put(self._open, session_id, None)
        before = self._people.get(line.sender.id)
        if before is None or heard.at >= before.at:
            _put(self._people, line.sender.id, _Person(line.sender.name, session_id, heard.at))

    def answered(self, answer: Message) -> None:
        """Told what the bot has said. An answer takes no session up again that was ended meanwhile."""
        _put(self._authors, answer.id, answer.sender.id)
        if answer.session_id in self._open:
            said = Heard(
                answer.id,
                self.latest,  # people alone move the clock
                answer.sender.id,
                (),
                answer.words[:_COMPARED],
                voice=True,
                answers=self._authors.get(answer.reply_to or ""),
            )
            self._tangle.joined(said, answer.session_id)

    def begin(self, session_id: str, at: float) -> None:
        """Told that people want one session to go on alone."""
        self._tangle.begin(session_id)
        self._open = OrderedDict({session_id: None})
        self._begun = at
        for person_id, person in self._people.items():
            self._people[person_id] = _Person(person.name, session_id, at)

    def close(self, session_id: str) -> None:
        """Told that nothing goes on with a session but replies."""
        self._open.pop(session_id, None)
        self._tangle.close(session_id)

    def knows(self, session_id: str) -> bool:
        """Whether anything of a session may be held."""
        return session_id in self.counts

    def take_in(self, sessions: Sequence[Session], lines: Iterable[Message]) -> None:
        """What was read: sessions, and lines of theirs, those that are known already among them."""
        marked = {session.id: at for session in sessions if (at := begun(session)) > self._begun}
        # Of what happened at one moment, what was said in the session that was begun then comes last.
        happened: list[tuple[float, int, str, Message | None]] = [
            (line.at.timestamp(), 2 if line.session_id in marked else 0, line.session_id, line)
            for line in lines
            if line.id not in self._authors and line.role in ("user", "assistant")
        ]
        happened += [(at, 1, session_id, None) for session_id, at in marked.items()]
        for session in sessions:
            _put(self.counts, session.id, session.message_count)
            if session.message_count:  # of one that was opened this moment nobody can know what it is about
                self.newest = max(self.newest or session.last_at, session.last_at)
        for at, _, session_id, line in sorted(happened, key=lambda each: (*each[:2], each[3].id if each[3] else "")):
            if line is None:
                self.begin(session_id, at)
            elif line.role == "assistant":
                self.answered(line)
            else:
                self.heard(line)
        for session in sessions:
            # Lines that it was made with, from a template or another session, are not what goes on with it.
            if session.id in marked and session.last_at.timestamp() <= marked[session.id] == self._begun:
                self.begin(session.id, self._begun)

    def _unhurried(self, line: Heard) -> Heard:
        """The line, where no silence ends a session as though there had been none."""
        return replace(line, at=min(line.at, self.latest)) if self.gap is None and self.latest else line

    def _heard(self, line: Message) -> Heard:
        text = line.words
        pinged = [id for id, person in self._people.items() if f"@{person.name}" in text] if "@" in text else ()
        who = line.sender
        return Heard(line.id, line.at.timestamp(), who.id, (who.name,), text[:_COMPARED], mentions=tuple(pinged))


class OpenSessions:
    """The channels in which something is being said, each as it stands; what is not at hand is read from the store.

    Where other processes write too, what they have kept meanwhile is read before every line."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._shared = isinstance(store, ManyWriters)
        self._known: OrderedDict[str, Talking] = OrderedDict()
        self._changes = 0
        """How often something changed of which a reading under way may know nothing."""

    async def of(self, channel_key: str, gap: float | None) -> Talking:
        """What is being said in a channel whose base gap is that many seconds. Raises `StorageError`."""
        talking = Talking(gap)
        for _ in range(_TRIES):
            known = self._known.get(channel_key)
            if known is not None and known.gap == gap:
                if self._shared:
                    await self._read(channel_key, known)
                self._known[channel_key] = known
                self._known.move_to_end(channel_key)
                return known
            changes, talking = self._changes, Talking(gap)
            await self._read(channel_key, talking)
            if changes == self._changes and self._known.get(channel_key) is known:
                self._known[channel_key] = talking
                self._let_go_of_some()
                break
        return talking  # where much is being removed it is read again for the next line

    def known(self, channel_key: str) -> Talking | None:
        """The same, if it is at hand."""
        return self._known.get(channel_key)

    def began(self, session: Session) -> None:
        """Told of a session with the mark `BEGUN`."""
        self._changes += 1
        if (talking := self._known.get(session.channel.key)) is not None:
            talking.begin(session.id, begun(session))

    def forget_all(self) -> None:
        """Told that lines may come of which nothing is told here."""
        self._changes += 1
        self._known.clear()

    def reread(self, session_id: str) -> None:
        """Told that a session, or something in it, is gone for good: nothing of it stays in mind."""
        self._changes += 1
        for key in [key for key, talking in self._known.items() if talking.knows(session_id)]:
            del self._known[key]

    async def _read(self, channel_key: str, talking: Talking) -> None:
        sessions = await self._store.sessions(channel_key, limit=_SESSIONS)
        fresh = [session for session in sessions if talking.counts.get(session.id) != session.message_count]
        lines: list[Message] = []
        for session in fresh:
            lines += await self._store.messages(session.id, limit=_LINES)
        talking.take_in(sessions, lines)

    def _let_go_of_some(self) -> None:
        while len(self._known) > 1 and sum(talking.size for talking in self._known.values()) > _HELD:
            self._known.popitem(last=False)


def _put(known: OrderedDict[str, Known], key: str, value: Known) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > _REMEMBERED:
        known.popitem(last=False)
