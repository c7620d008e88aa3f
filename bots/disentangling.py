"""Which of a channel's open sessions a line belongs to, told from what was said before it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from operator import itemgetter
from typing import Final, Literal

from .belonging import WEIGHTS, Belonging
from .talk_window import HORIZON, Heard, TalkWindow, words_of

__all__ = ["Choice", "Disentangler", "Heard", "Rule"]

Rule = Literal["reply", "mention", "addressed", "own", "answer", "topic", "pace", "only", "begun", "new"]
_KEPT: Final = 2 * HORIZON
"""Lines remembered, so that a late one finds as much said before it as it would have found in time."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Where a line goes, and why."""

    session: str | None
    """None: a new one opens."""
    rule: Rule
    runner_up: str | None = None
    """The session it would have gone to otherwise; None if that is a new one, or there is no other."""
    follows: str | None = None
    """What a new one has for its past: what the few people here are unhurriedly talking about with the bot."""


@dataclass(frozen=True, slots=True)
class _Event:
    """A line joined to a session, or people beginning or closing one, in its place in time."""

    at: float
    session: str
    what: Literal["line", "begin", "close"]
    line: Heard | None = None
    authors: tuple[str, ...] | None = None
    """For whom one is begun; None: for everybody."""
    over: str | None = None
    """The session that it takes the place of for them."""


class Disentangler:
    """The open sessions of one channel. Keeps a bounded number of lines; asks neither clock nor chance."""

    def __init__(self, base_gap: float | None) -> None:
        """`base_gap`: the seconds of silence that are long in a channel of middling pace. In a calm one up to three
        times that are, in a busy one fewer; three times that ends any session. None: no silence ends one."""
        self._base_gap = base_gap
        self._events: list[_Event] = []
        self._window: TalkWindow | None = TalkWindow()
        """As it is now; None if late lines have come since."""
        self._past: tuple[int, TalkWindow] | None = None
        """As it was at the latest late line, after so many events: late lines come one after the other."""

    def choose(self, line: Heard) -> Choice:
        """The session for a line, from what was said before it; changes nothing. A reply to a line that is no longer
        remembered is for the caller to look up."""
        return _chosen(line, self._window_for(line.at), self._base_gap)

    def joined(self, line: Heard, session_id: str) -> None:
        """Records where a line went; a late one in its place in time."""
        self._record(_Event(line.at, session_id, "line", line))

    def close(self, session_id: str, at: float) -> None:
        """Nothing goes on with a session from then on but replies to its lines."""
        self._record(_Event(at, session_id, "close"))

    def begin(
        self, session_id: str, at: float, authors: tuple[str, ...] | None = None, over: str | None = None
    ) -> None:
        """Makes a session the only candidate from then on, as people do with `/new` or by resuming an old one: the next
        line goes there, however long the silence. With `authors` it does so for theirs alone, and for lines that call
        one of them or find no talk going on; `over` is closed. It comes after all that was heard: clocks may differ."""
        self._record(_Event(max(at, self._latest), session_id, "begin", None, authors, over))

    @property
    def _latest(self) -> float:
        return self._events[-1].at if self._events else 0.0

    def _place(self, at: float) -> int:
        return bisect_right(self._events, at, key=lambda known: known.at)

    def _record(self, event: _Event) -> None:
        if not self._events or event.at >= self._latest:
            _apply(event, self._present())
            self._events.append(event)
        else:
            place = self._place(event.at)
            past = self._window_for(event.at)
            self._events.insert(place, event)
            _apply(event, past)
            self._past, self._window = (place + 1, past), None
        if len(self._events) > _KEPT:
            del self._events[0]
            if self._past is not None:
                self._past = (self._past[0] - 1, self._past[1]) if self._past[0] else None

    def _present(self) -> TalkWindow:
        if self._window is None:
            self._window = self._replayed(len(self._events), 0, TalkWindow())
        return self._window

    def _window_for(self, at: float) -> TalkWindow:
        """The window as it was at a time."""
        if not self._events or at >= self._latest:
            return self._present()
        until = self._place(at)
        known, window = self._past if self._past is not None and self._past[0] <= until else (0, TalkWindow())
        self._past = (until, self._replayed(until, known, window))
        return self._past[1]

    def _replayed(self, until: int, known: int, window: TalkWindow) -> TalkWindow:
        """A window that knows some of the events, after some more."""
        for event in self._events[known:until]:
            _apply(event, window)
        return window


def _apply(event: _Event, window: TalkWindow) -> None:
    if event.line is not None:
        window.add(event.line, event.session)
    elif event.what == "begin":
        window.begin(event.session, event.authors, event.over)
    else:
        window.close(event.session)


def _chosen(line: Heard, window: TalkWindow, base_gap: float | None) -> Choice:
    answered = window.by_id.get(line.replied) if line.replied is not None else None
    if answered is not None:
        return Choice(answered.session, "reply")
    asker = window.people.get(line.answers) if line.voice and line.answers is not None else None
    if asker is not None:
        return Choice(asker.last.session, "answer")
    if window.only is not None:
        return Choice(window.only, "begun")
    if window.wanted and (wanted := _wanted(line, window, base_gap)) is not None:
        return Choice(wanted, "begun")
    belonging = Belonging(window, line, base_gap) if window.talks else None
    signals = belonging.signals() if belonging is not None else {}
    if belonging is None or len(signals) == 1:
        waiting = [session for session in window.wanted.values() if session not in window.talks]
        return Choice(waiting[-1], "begun") if waiting else Choice(None, "new")
    scores = [(sum([WEIGHTS[name] * much for name, much in found.items()]), key) for key, found in signals.items()]
    scores.sort(key=itemgetter(0), reverse=True)  # of equals the session that spoke last
    (_, best), (_, second) = scores[:2]
    rule = "new" if best is None else _loudest(signals[best], alone=len(signals) == 2)
    return Choice(best, rule, second, second if best is None and belonging.together else None)


def _wanted(line: Heard, window: TalkWindow, base_gap: float | None) -> str | None:
    """The session that was begun for the author, or for whoever is called, unless talk there has ended since."""
    called, _ = window.named(line, words_of(line.text))
    session = next((window.wanted[one] for one in (line.author, *called) if one in window.wanted), None)
    talk = window.talks.get(session or "")
    if talk is None or base_gap is None or line.at - talk.last.line.at <= base_gap:
        return session
    return None


def _loudest(found: dict[str, float], *, alone: bool) -> Rule:
    """What speaks most for the session that was chosen."""
    rule: Rule
    spoken = [(WEIGHTS[name] * much, rule) for name, much in found.items() if (rule := _RULES.get(name, "pace"))]
    height, loudest = max(spoken, key=itemgetter(0))
    return "only" if alone and (loudest == "pace" or height <= 0) else loudest


_RULES: Final[dict[str, Rule]] = {
    "named": "mention",
    "named_member": "mention",
    "passing": "mention",
    "spoken": "addressed",
    "spoken_before": "addressed",
    "last_to_me": "answer",
    "own": "own",
    "member": "own",
    "words": "topic",
}
"""Of what rule a signal is; the others are of the pace of the talk."""
