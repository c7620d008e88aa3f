"""What a channel has just been talking about: its last lines, who said them to whom, and in which session."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from typing import Final

HORIZON: Final = 150
"""How many lines back a line is compared with."""
_WORD = re.compile(r"\w+")
_CALLS = re.compile(r"\s*@|\W*\w+[^\w\s]*[:,>，：、]")
_CALLED = 3
"""The letters of a first name that stands for the whole of it, with a mark behind, at the beginning of a line."""
_WANTED = 64
"""The most people whose next line is known to go on with a session that they began."""
_BEARERS = 8
"""The most people whose names begin alike that are told apart in one line."""
_WORDS = 40
"""The most words of a line that are compared: a long paste says no more about where it belongs."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One line of a channel, as far as it matters to which session it belongs."""

    id: str
    at: float
    """Unix seconds."""
    author: str
    names: tuple[str, ...]
    """What the author is called."""
    text: str
    mentions: tuple[str, ...] = ()
    """The ids of people it pings."""
    replied: str | None = None
    """The id of the line it explicitly replies to."""
    voice: bool = False
    """Whether it is the bot's own answer."""
    answers: str | None = None
    """The author whom the bot answers."""


@dataclass(frozen=True, slots=True)
class Said:
    """A line with its place: what later lines are compared with."""

    n: int
    """Its number in the window, counted from when the window began."""
    line: Heard
    session: str
    to: tuple[str, ...]
    """Whom it speaks to, foremost first."""
    words: tuple[str, ...]
    """Those that may tell what it is about, each once."""


@dataclass(slots=True)
class Talk:
    """One session as the window knows it."""

    id: str
    last: Said
    size: int = 0
    members: dict[str, Said] = field(default_factory=dict)
    """The last line of everybody who speaks in it."""
    voice: Said | None = None
    """What the bot last said in it."""


@dataclass(slots=True)
class Speaker:
    """One person as the window knows them."""

    last: Said
    keys: tuple[tuple[str, ...], ...]
    addressed: Said | None = None
    """The last line that spoke to them."""


class TalkWindow:
    """The last lines of a channel and what follows from them; a pure function of the lines added to it."""

    def __init__(self) -> None:
        self.lines: deque[Said] = deque()
        self.by_id: dict[str, Said] = {}
        self.talks: dict[str, Talk] = {}
        """Open sessions, the one that spoke last at the end."""
        self.people: dict[str, Speaker] = {}
        self.only: str | None = None
        """The session that people have just begun or resumed, until somebody speaks."""
        self.wanted: dict[str, str] = {}
        """By author: the one that somebody has begun or resumed for them, until they speak."""
        self._callable: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        """By the first word of a name: all its words, and who bears it."""
        self.used: dict[str, dict[str, int]] = {}
        """By word: in which sessions it was used, and in how many lines."""
        self._n = 0

    def add(self, line: Heard, session: str) -> None:
        """Takes in a line, and lets go of the oldest."""
        words = words_of(line.text)
        foremost, others = self.named(line, words)
        answered = self.by_id.get(line.replied) if line.replied is not None else None
        to = (line.answers,) if line.answers is not None else foremost or others[:1]
        if answered is not None and answered.line.author not in (*to, line.author):
            to = (answered.line.author, *to)
        said = Said(self._n, line, session, to, rare(words))
        self._n += 1
        self.lines.append(said)
        self.by_id[line.id] = said
        self.only = None
        self.wanted.pop(line.author, None)
        talk = self.talks.pop(session, None) or Talk(session, said)
        talk.last = said
        talk.size += 1
        talk.members[line.author] = said
        if line.voice:
            talk.voice = said
        self.talks[session] = talk
        self._heard(line, said)
        for other in to:
            if other != line.author and (person := self.people.get(other)) is not None:
                person.addressed = said
        for word in said.words:
            by_session = self.used.setdefault(word, {})
            by_session[session] = by_session.get(session, 0) + 1
        if len(self.lines) > HORIZON:
            self._drop(self.lines.popleft())

    def close(self, session: str) -> None:
        """Nothing but a reply goes on with a session."""
        self.talks.pop(session, None)
        if self.only == session:
            self.only = None
        self.wanted = {author: wanted for author, wanted in self.wanted.items() if wanted != session}

    def begin(self, session: str, authors: tuple[str, ...] | None, over: str | None) -> None:
        """The next line goes on with a session, and the others are over; or the next line of each of these authors, and
        one other is over."""
        if authors is None:
            kept = self.talks.get(session)
            self.talks = {session: kept} if kept is not None else {}
            self.only, self.wanted = session, {}
            return
        if over is not None:
            self.close(over)
        for author in authors:
            self.wanted.pop(author, None)
            self.wanted[author] = session
        while len(self.wanted) > _WANTED:
            del self.wanted[next(iter(self.wanted))]

    def named(self, line: Heard, words: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Whom a line pings or calls at its beginning, and whom it mentions in passing; never its author."""
        foremost = [other for other in line.mentions if other != line.author]
        others: list[str] = []
        for at, word in enumerate(words):
            bearers = self._callable.get(word)
            if bearers is None:
                continue
            for key, author in bearers[:_BEARERS]:
                if author == line.author:
                    continue
                if len(key) > 1 and tuple(words[at : at + len(key)]) != key:
                    # Called by the first of several names.
                    if at == 0 and len(word) >= _CALLED and len(bearers) == 1 and _CALLS.match(line.text):
                        foremost.append(author)
                    continue
                # A short name may be a word like any other ("will", "max") unless a mark stands behind it.
                if len(key) > 1 or len(word) > 4 or not word.isalpha() or (at == 0 and _CALLS.match(line.text)):
                    (others if at else foremost).append(author)
        if not line.text.isascii():
            self._named_without_spaces(line, foremost)
        first = tuple(dict.fromkeys(foremost))
        return first, tuple(other for other in dict.fromkeys(others) if other not in first)

    def _named_without_spaces(self, line: Heard, foremost: list[str]) -> None:
        """Scripts that set no spaces: a name stands at the beginning, whatever follows it."""
        text = line.text.lstrip("@＠ ").casefold()
        for bearers in self._callable.values():
            for key, author in bearers:
                if author != line.author and len(key) == 1 and not key[0].isascii() and text.startswith(key[0]):
                    foremost.append(author)

    def _heard(self, line: Heard, said: Said) -> None:
        person = self.people.get(line.author)
        keys = tuple(dict.fromkeys(key for name in line.names if (key := tuple(words_of(name)))))
        if person is None:
            person = self.people[line.author] = Speaker(said, ())
        person.last = said
        if person.keys != keys:
            self._uncall(line.author, person.keys)
            person.keys = keys
            for key in keys:
                self._callable.setdefault(key[0], []).append((key, line.author))

    def _uncall(self, author: str, keys: tuple[tuple[str, ...], ...]) -> None:
        for key in keys:
            left = [bearer for bearer in self._callable.get(key[0], ()) if bearer[1] != author]
            if left:
                self._callable[key[0]] = left
            else:
                self._callable.pop(key[0], None)

    def _drop(self, said: Said) -> None:
        if self.by_id.get(said.line.id) is said:
            del self.by_id[said.line.id]
        author = said.line.author
        person = self.people.get(author)
        if person is not None and person.last is said:
            del self.people[author]
            self._uncall(author, person.keys)
        for other in said.to:
            spoken_to = self.people.get(other)
            if spoken_to is not None and spoken_to.addressed is said:
                spoken_to.addressed = None
        talk = self.talks.get(said.session)
        if talk is not None:
            talk.size = max(1, talk.size - 1)  # one that was closed and taken up again counts from then
            if talk.members.get(author) is said:
                del talk.members[author]
            if talk.voice is said:
                talk.voice = None
            if talk.last is said:
                del self.talks[said.session]
        for word in said.words:
            by_session = self.used[word]
            by_session[said.session] -= 1
            if not by_session[said.session]:
                del by_session[said.session]
                if not by_session:
                    del self.used[word]


def words_of(text: str) -> list[str]:
    """The words of a text as they are compared."""
    return _WORD.findall(text[:600].casefold())[:_WORDS]


def rare(words: list[str]) -> tuple[str, ...]:
    """The words that may tell what a line is about: not the shortest ones, which every line has."""
    return tuple(dict.fromkeys(word for word in words if len(word) > 3 or not word.isascii()))
