"""What is being said in each channel just now, and in which of its sessions: read once, then told line by line."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from storage.backend import ManyWriters, Store
from storage.model import Message, Session

from .carrying import is_copy
from .disentangling import Choice, Disentangler, Heard
from .session_marks import BEGUN, MERGED, PLACED, begun, begun_for

Known = TypeVar("Known")

_PING, _WORD = re.compile("@"), re.compile(r"\w+")

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
        """The sessions of which something is held, and how many messages each has as far as is known."""
        self.seen: dict[str, Session] = {}
        """Where other processes write too: the sessions as they were just read."""
        self.newest: datetime | None = None
        """When a person last spoke here, as far as was read."""
        self.latest = 0.0
        """When the newest line was said, in Unix seconds."""
        self._earliest = float("inf")
        self._tangle = Disentangler(gap)
        self._open: OrderedDict[str, None] = OrderedDict()
        self._begun = 0.0
        """Since when one session goes on alone for everybody."""
        self._marks: OrderedDict[str, float] = OrderedDict()
        """By session: since when it goes on alone, as far as was told."""
        self._people: OrderedDict[str, _Person] = OrderedDict()
        self._called: dict[str, dict[str, list[str]]] | None = None
        """By the first word of a name: by name, the longest first, who bears it; None if that has changed."""
        self._authors: OrderedDict[str, str] = OrderedDict()
        self._places: OrderedDict[str, tuple[str, str | None, str]] = OrderedDict()

    @property
    def size(self) -> int:
        """How many lines it holds."""
        return len(self._authors)

    def choose(self, line: Message) -> Choice:
        """The session for a person's or program's line that replies to nothing; changes nothing."""
        heard = self._unhurried(replace(self._heard(line), replied=None))
        own = self.own(line.sender.id)
        # Where nothing said before it is known, it is the clock that was set back.
        if heard.at < self._earliest and own in self._open:
            return Choice(own, "own")
        return self._tangle.choose(heard)

    def silent(self, person_id: str, at: datetime) -> bool:
        """Whether a line of somebody who says nothing telling would begin a session now."""
        return self._tangle.choose(self._unhurried(Heard("", at.timestamp(), person_id, (), ""))).session is None

    def own(self, person_id: str) -> str | None:
        """The session in which somebody spoke last."""
        person = self._people.get(person_id)
        return person.session if person else None

    def place_of(self, origin: str | None) -> tuple[str, str | None] | None:
        """Where a line went that has come before: its session, and what `PLACED` said."""
        known = self._places.get(origin or "")
        return known[:2] if known is not None else None

    def heard(self, line: Message) -> None:
        """Told where a line went. Programs' lines move nothing."""
        session_id = line.session_id
        _put(self._authors, line.id, line.sender.id)
        if line.origin is not None:
            _put(self._places, line.origin, (session_id, line.metadata.get(PLACED), line.id))
        self._count(session_id)
        if line.sender.type != "user":
            return
        heard = self._heard(line)
        self._tangle.joined(heard, session_id)
        self.latest, self._earliest = max(self.latest, heard.at), min(self._earliest, heard.at)
        if heard.at >= self._begun:
            _put(self._open, session_id, None)
        before = self._people.get(line.sender.id)
        if before is None or before.name != line.sender.name:
            self._called = None
        if before is None or heard.at >= before.at:
            _put(self._people, line.sender.id, _Person(line.sender.name, session_id, heard.at))

    def answered(self, answer: Message) -> None:
        """Told what the bot has said. An answer takes no session up again that was ended meanwhile."""
        _put(self._authors, answer.id, answer.sender.id)
        self._count(answer.session_id)
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

    def begin(self, session_id: str, at: float, by: str | None = None) -> None:
        """Told that people want one session to go on alone; `by` says for whom, and for whoever was in one session with
        them: the others' go on."""
        _put(self._marks, session_id, at)
        own = self.own(by) if by is not None else None
        over = own if own != session_id else None
        along = [id for id, person in self._people.items() if by is None or id == by or person.session == own]
        if by is None:
            self._tangle.begin(session_id, at)
            self._open, self._begun = OrderedDict(), at
        else:
            self._tangle.begin(session_id, at, tuple(dict.fromkeys((*along, by))), over)
            self._open.pop(over or "", None)
            if by and by not in self._people:
                _put(self._people, by, _Person("", session_id, at))
        _put(self._open, session_id, None)
        for person_id in along:
            self._people[person_id] = _Person(self._people[person_id].name, session_id, at)

    def close(self, session_id: str, at: datetime) -> None:
        """Told that nothing goes on with a session from then on but replies."""
        self._open.pop(session_id, None)
        self._tangle.close(session_id, at.timestamp())

    def knows(self, session_id: str) -> bool:
        """Whether anything of a session may be held."""
        return session_id in self.counts

    def take_in(self, sessions: Sequence[Session], lines: Iterable[Message]) -> None:
        """What was read: sessions, and lines of theirs, those that are known already among them."""
        marked = {session.id: at for session in sessions if (at := begun(session)) > self._marks.get(session.id, 0.0)}
        whose = {session.id: begun_for(session) for session in sessions}
        lines = [line for line in lines if line.id not in self._authors and line.role in ("user", "assistant")]
        # Copies in what nobody goes on with, such as a duplicate, are no talk.
        going_on = {session.id for session in sessions if session.closed_at is None or BEGUN in session.metadata}
        going_on |= {line.session_id for line in lines if line.role == "user" and not is_copy(line)}
        # Of what happened at one moment, what was said in the session that was begun then comes last.
        happened: list[tuple[float, int, str, Message | None]] = [
            (line.at.timestamp(), 2 if line.session_id in marked else 0, line.session_id, line)
            for line in lines
            if line.session_id in going_on or not is_copy(line)
        ]
        happened += [(at, 1, session_id, None) for session_id, at in marked.items()]
        for session in sessions:
            if session.message_count:  # of one that was opened this moment nobody can know what it is about
                self.newest = max(self.newest or session.last_at, session.last_at)
        for at, _, session_id, line in sorted(happened, key=lambda each: (*each[:2], each[3].id if each[3] else "")):
            if line is None:
                self.begin(session_id, at, whose[session_id])
            elif line.role == "assistant":
                self.answered(line)
            else:
                self.heard(line)
        for session in sessions:
            _put(self.counts, session.id, session.message_count)
            # Lines that it was made with, from a template or another session, are not what goes on with it.
            at, by = marked.get(session.id, 0.0), whose[session.id]
            if session.last_at.timestamp() <= at and (at == self._begun if by is None else self.own(by) == session.id):
                self.begin(session.id, at, by)

    def _unhurried(self, line: Heard) -> Heard:
        """The line, where no silence ends a session as though there had been none."""
        return replace(line, at=min(line.at, self.latest)) if self.gap is None and self.latest else line

    def _heard(self, line: Message) -> Heard:
        text, who = line.words, line.sender
        replied = self._places.get(line.reply_to or "")
        return Heard(
            line.id,
            line.at.timestamp(),
            who.id,
            (who.name,),
            text[:_COMPARED],
            mentions=self._pinged(text) if "@" in text else (),
            replied=replied[2] if replied is not None else None,
        )

    def _pinged(self, text: str) -> tuple[str, ...]:
        """Whom a text pings by name, as fronts have it: of names that begin alike the longest."""
        if self._called is None:
            self._called = {}
            for id, person in sorted(self._people.items(), key=lambda known: -len(known[1].name)):
                self._called.setdefault(_first_word(person.name), {}).setdefault(person.name, []).append(id)
        pinged: list[str] = []
        for ping in _PING.finditer(text):
            at = ping.end()
            word = _first_word(text, at)
            known = [name for name in self._called.get(word, ()) if text.startswith(name, at)]
            named = next((name for name in known if not _first_word(text, at + len(name))), None)
            if named is None and not word.isascii():  # scripts that set no space behind a name
                named = next((name for name in self._called if name and word.startswith(name)), None)
            if named is not None:
                pinged += self._called[_first_word(named)].get(named, ())
        return tuple(pinged)

    def _count(self, session_id: str) -> None:
        _put(self.counts, session_id, self.counts.get(session_id, 0) + 1)


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

    def began(self, session: Session, by: str | None) -> None:
        """Told of a session with the mark `BEGUN`, and for whom it is; None: for everybody."""
        self._changes += 1
        if (talking := self._known.get(session.channel.key)) is not None:
            talking.begin(session.id, begun(session), by)

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
        found = await self._store.sessions(channel_key, limit=_SESSIONS)
        sessions = [session for session in found if not session.archived and MERGED not in session.metadata]
        talking.seen = {session.id: session for session in found} if self._shared else {}
        fresh = [session for session in sessions if talking.counts.get(session.id) != session.message_count]
        lines: list[Message] = []
        for session in fresh:
            lines += await self._store.messages(session.id, limit=_LINES)
        talking.take_in(sessions, lines)

    def _let_go_of_some(self) -> None:
        while len(self._known) > 1 and sum(talking.size for talking in self._known.values()) > _HELD:
            self._known.popitem(last=False)


def _first_word(text: str, at: int = 0) -> str:
    word = _WORD.match(text, at)
    return word[0] if word is not None else ""


def _put(known: OrderedDict[str, Known], key: str, value: Known) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > _REMEMBERED:
        known.popitem(last=False)
