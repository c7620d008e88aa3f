"""Which of a channel's open sessions a line belongs to, told from what was said before it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from operator import itemgetter
from typing import Final, Literal

from .belonging import WEIGHTS, Belonging
from .talk_window import HORIZON, Heard, TalkWindow

__all__ = ["Choice", "Disentangler", "Heard", "Rule"]

Rule = Literal["reply", "mention", "addressed", "own", "answer", "topic", "pace", "only", "new"]
_KEPT: Final = 2 * HORIZON
"""Lines remembered, so that a late one finds as much said before it as it would have found in time."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Where a line goes, and why."""

    session: str | None
    """None: a new one opens."""
    reason: str
    """In words for people, e.g. "it replies to a message of that session"."""
    rule: Rule
    runner_up: str | None = None
    """The session it would have gone to otherwise; None if that is a new one, or there is no other."""


@dataclass(frozen=True, slots=True)
class _Event:
    """A line joined to a session, or people beginning or closing one, in its place in time."""

    at: float
    session: str
    what: Literal["line", "begin", "close"]
    line: Heard | None = None


class Disentangler:
    """The open sessions of one channel. Keeps a bounded number of lines; asks neither clock nor chance."""

    def __init__(self, base_gap: float | None) -> None:
        """`base_gap`: the seconds of silence that are long in a channel of middling pace. In a calm one up to three
        times that are, in a busy one fewer; three times that ends any session. None: no silence ends one."""
        self._base_gap = base_gap
        self._events: list[_Event] = []
        self._window = TalkWindow()

    def choose(self, line: Heard) -> Choice:
        """The session for a line, from what was said before it; changes nothing. A reply to a line that is no longer
        remembered is for the caller to look up."""
        return _chosen(line, self._window_for(line.at), self._base_gap)

    def joined(self, line: Heard, session_id: str) -> None:
        """Records where a line went; a late one in its place in time."""
        self._record(_Event(line.at, session_id, "line", line))

    def close(self, session_id: str) -> None:
        """Nothing goes on with a session from now on but replies to its lines."""
        self._record(_Event(self._latest, session_id, "close"))

    def begin(self, session_id: str) -> None:
        """Makes a session the only candidate, as people do with `/new` or by resuming an old one: the next line goes
        there, however long the silence."""
        self._record(_Event(self._latest, session_id, "begin"))

    @property
    def _latest(self) -> float:
        return self._events[-1].at if self._events else 0.0

    def _record(self, event: _Event) -> None:
        late = bool(self._events) and event.at < self._latest
        if late:
            place = bisect_right(self._events, event.at, key=lambda known: known.at)
            self._events.insert(place, event)
        else:
            self._events.append(event)
        if len(self._events) > _KEPT:
            del self._events[0]
        if late:
            self._window = self._replayed(len(self._events))
        else:
            _apply(event, self._window)

    def _window_for(self, at: float) -> TalkWindow:
        """The window as it was at a time."""
        if not self._events or at >= self._latest:
            return self._window
        return self._replayed(bisect_right(self._events, at, key=lambda known: known.at))

    def _replayed(self, until: int) -> TalkWindow:
        window = TalkWindow()
        for event in self._events[:until]:
            _apply(event, window)
        return window


def _apply(event: _Event, window: TalkWindow) -> None:
    if event.line is not None:
        window.add(event.line, event.session)
    elif event.what == "begin":
        window.begin(event.session)
    else:
        window.close(event.session)


def _chosen(line: Heard, window: TalkWindow, base_gap: float | None) -> Choice:
    answered = window.by_id.get(line.replied) if line.replied is not None else None
    if answered is not None:
        return Choice(answered.session, _REASONS["reply"], "reply")
    asker = window.people.get(line.answers) if line.voice and line.answers is not None else None
    if asker is not None:
        return Choice(asker.last.session, "it answers somebody who speaks there", "answer")
    if window.only is not None:
        return Choice(window.only, "people have just begun that session", "only")
    if not window.talks:
        return Choice(None, "nothing is going on here", "new")
    signals = Belonging(window, line, base_gap).signals()
    if len(signals) == 1:
        return Choice(None, "it has been silent here for too long", "new")
    scores = [(sum([WEIGHTS[name] * much for name, much in found.items()]), key) for key, found in signals.items()]
    scores.sort(key=itemgetter(0), reverse=True)  # of equals the session that spoke last
    (_, best), (_, second) = scores[:2]
    rule = "new" if best is None else _loudest(signals[best], alone=len(signals) == 2)
    return Choice(best, _REASONS[rule], rule, second)


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
_REASONS: Final[dict[Rule, str]] = {
    "reply": "it replies to a message of that session",
    "mention": "it names somebody who speaks there",
    "addressed": "its author was just spoken to there",
    "answer": "the last thing said there was said to its author",
    "own": "its author was speaking there",
    "topic": "it is about what that session is about",
    "pace": "the talk there was going on just now",
    "only": "it was the only talk going on",
    "new": "it goes on with none of the talk that was going on",
}
