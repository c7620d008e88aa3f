"""How much speaks for a line belonging to each of the sessions that are open, and to a new one."""

from __future__ import annotations

import re
from itertools import islice
from math import log2
from typing import Final

from .talk_window import Heard, Said, Speaker, Talk, TalkWindow, rare, words_of

CANDIDATES: Final = 12
"""The most sessions a line is compared with, the latest first."""
Signals = dict[str, float]
"""What speaks for (or against) one session, by name: how strongly it is there."""
WEIGHTS: Final[dict[str, float]] = {
    "latest": -0.1,  # it spoke last
    "latest_few": -0.7,  # … over how many people are talking
    "lines": -0.6,  # lines since, log2
    "time": -0.2,  # half minutes since, log2
    "time_calm": -0.2,  # … over how calm the pace is
    "size": -0.2,  # its lines, log2
    "own": 2.3,  # the author spoke last there
    "still": 0.1,  # … and nobody has since
    "member": 1.6,  # the author spoke there before
    "mine_time": -0.3,  # half minutes since the author did, log2
    "named": 2.4,  # who is called spoke last there
    "named_member": 2.0,  # … spoke there before
    "passing": 3.0,  # who is mentioned speaks there
    "elsewhere": -2.8,  # nobody who is called speaks there
    "spoken": 1.3,  # the author was last spoken to there, and has not answered
    "spoken_before": 0.4,  # … and has spoken since
    "last_to_me": 0.7,  # its last line speaks to the author
    "between_others": -0.7,  # its last line speaks to somebody else
    "words": 1.1,  # shared words, rare ones
    "new": -1.5,  # a new session
    "new_few": -0.6,  # … over how many people are talking
    "new_alone": -1.1,  # … over how many sessions are live
    "new_calm": -1.0,  # … over how calm the pace is
    "new_asks": 0.6,  # it asks
    "new_wonders": 1.1,  # it begins as questions do
    "new_to_all": 1.2,  # it speaks to anybody
    "new_of_oneself": 1.0,  # it speaks of its author
    "new_goes_on": -1.7,  # it begins as answers, thanks and additions do
    "new_stranger": 1.6,  # its author was not heard before
    "new_known": -1.4,  # its author was
    "new_known_time": 0.2,  # … half minutes ago, log2
    "new_named": -1.6,  # it calls somebody who was
    "new_long": 0.9,  # it says much
    "new_brief": -0.8,  # it says too little to stand alone, over how many people are talking
    "new_together": -1.5,  # a few people talk unhurriedly of one thing
    "new_greets": 3.0,  # it greets
    "new_pause": 0.5,  # a third of what is long at this pace
}
"""What each signal counts, summed up for a session; the highest sum has the line. Found by logistic regression of the
session of the line that was truly answered among those open (Kummerfeld et al. 2019: 10 stretches of a busy help
channel, and eleven slower channels made of their conversations: of other paces, with long talks, long silences, nights,
few people, few names, lines said in pieces), on the states that the choices themselves lead to, rounded. With two
stretches in ten held out in turn: VI 85, 1-1 74, exact 27, context 79 in the busy channel, and above the best of three
fixed gaps in six of seven quiet ones. `new_together` and how greetings of a few count were set by hand, by calm talk of
three or four people with the bot among them."""
_ASKS = re.compile(r"[?？؟՞፧⁇](?!\w)")
_GREETINGS: Final = frozenset(
    "hi hello hey hallo hola salut bonjour ciao olá oi moin hej hei привет здравствуйте salam".split()
)
"""First words with which people mostly begin something new."""
_TO_ALL: Final = frozenset(
    "anyone anybody someone somebody everyone everybody folks guys jemand alguien quelqu qualcuno alguém iemand"
    " кто".split()
)
"""Words for people of whom none is meant."""
_WONDERS: Final = frozenset(
    "how what where why which who when is are can could does do did has have will would should wie was wo warum wer"
    " wann welche kann cómo qué dónde cuál comment pourquoi où como onde qual dove perché hoe wat waar waarom как что"
    " где почему".split()
)
"""First words of questions, which not everybody ends with a mark."""
_OF_ONESELF: Final = frozenset("i my ich mein meine mi mon meu minha mio mijn я мой меня".split())
_GOES_ON: Final = frozenset(
    "yes yeah yep yea no nope ok okay thanks thank thx ty right sure and but so because it that then oh ah lol haha"
    " me same also or ja nein danke und aber sí gracias pero oui non merci mais sim não obrigado sì grazie да нет"
    " спасибо".split()
)
"""First words of lines that answer, thank or add to what was said."""
_PACE_LINES: Final = 24
_MIDDLING: Final = 20.0
"""Seconds from line to line at which the base gap holds as it is."""
_BUSIEST, _CALMEST = 0.5, 3.0
"""How many base gaps of silence count as long at the busiest pace and at the calmest; the latter end any session."""
_RECENT: Final = 900.0
_FEW: Final = 4
"""People who are mostly one group."""
_UNHURRIED: Final = 40.0
"""Seconds from line to line at which people wait for each other rather than talk across."""
_BRIEF: Final = 5
"""Words with which a line mostly needs what was said before it: "and pears?", "can I come, too?"."""
_WHOLE: Final = 5
"""Words of its own with which a question stands alone: it need not be about what the bot has just told others."""
_HARDLY: Final = 2
"""Lines that make no talk of their own yet."""
_BARE: Final = 3
"""Words with which a greeting says nothing else; or greets back."""
_MANY: Final = 10
"""People among whom one who was not heard before begins something new, even without a question."""


class Belonging:
    """One line against the sessions of its channel, at least one of which is open."""

    def __init__(self, window: TalkWindow, line: Heard, base_gap: float | None) -> None:
        self.line, self.window = line, window
        self.every_word = words_of(line.text)
        self.named = window.named(line, self.every_word)
        self.words = rare(self.every_word)
        self.asks = _ASKS.search(line.text) is not None
        self.whole = self.asks and len(self.words) >= _WHOLE
        self.me: Speaker | None = window.people.get(line.author)
        self.latest = window.lines[-1]
        recent = list(islice((said for said in reversed(window.lines) if not said.line.voice), _PACE_LINES))
        self.gap = paced([said.line.at for said in recent], line.at, base_gap)
        self.limit = base_gap * _CALMEST if base_gap is not None else None
        since = line.at - (self.limit if self.limit is not None else _RECENT)
        self.crowd = len({said.line.author for said in recent if said.line.at >= since}) or 1
        self.candidates = [
            talk
            for talk in islice(reversed(window.talks.values()), CANDIDATES)
            if self.limit is None or line.at - talk.last.line.at <= self.limit
        ]
        self.live = sum(self.gap is None or line.at - talk.last.line.at <= self.gap for talk in self.candidates)
        self.calmness = log2(self.gap / base_gap) if self.gap and base_gap else 0.0
        self.few = self.crowd <= _FEW
        self.spoken = recent[: _FEW if self.few else 1]
        unhurried = bool(recent) and (line.at - recent[-1].line.at) / len(recent) >= _UNHURRIED
        with_bot = bool(self.candidates) and self.candidates[0].voice is not None
        self.together = self.few and unhurried and with_bot and self.live == 1

    def signals(self) -> dict[str | None, Signals]:
        """What speaks for each session, the latest first, and for a new one (None)."""
        shared = self._shared_words()
        found: dict[str | None, Signals] = {}
        for rank, talk in enumerate(self.candidates):
            found[talk.id] = self._of(talk, rank, shared.get(talk.id, 0.0))
        found[None] = self._of_new()
        return found

    def _of(self, talk: Talk, rank: int, shared: float) -> Signals:
        line, last = self.line, talk.last
        silence = max(0.0, line.at - last.line.at) if self.gap is not None else 0.0
        apart = log2(1 + self.latest.n - last.n)
        signals = {
            "lines": apart,
            "time": log2(1 + silence / 30),
            "size": log2(min(talk.size, 16)),
        }
        if rank == 0:
            signals["latest"] = 1.0
            signals["latest_few"] = 1 / self.crowd
        if self.calmness:
            signals["time_calm"] = signals["time"] * self.calmness
        me, mine = self.me, talk.members.get(line.author)
        if me is not None and mine is not None:
            signals["mine_time"] = self._since(mine)
            if me.last is mine:
                if not self._was_passed_over(talk, rank):
                    signals["own"] = 1.0
                    if last is mine:
                        signals["still"] = 1.0
            else:
                signals["member"] = 1.0
        if me is not None and me.addressed is not None and me.addressed.session == talk.id:
            signals["spoken" if me.addressed.n > me.last.n else "spoken_before"] = 1.0
        if last.line.author != line.author:
            if line.author in last.to:
                signals["last_to_me"] = 1.0
            elif mine is None and last.to and (self.whole or not last.line.voice):
                signals["between_others"] = 1.0
        self._of_the_named(talk, signals)
        if shared:
            signals["words"] = shared
        return signals

    def _was_passed_over(self, talk: Talk, rank: int) -> bool:
        """Whether hardly anything was said there, to no answer, while a few people talk on: it was said to them."""
        if not self.few or not rank or talk.size > _HARDLY or talk.voice is not None or len(talk.members) > 1:
            return False
        return any(sum(not said.line.voice for said in other.members.values()) > 1 for other in self.candidates[:rank])

    def _of_the_named(self, talk: Talk, signals: Signals) -> None:
        foremost, others = self.named
        for other in foremost:
            theirs = talk.members.get(other)
            if theirs is not None:
                signals["named" if self.window.people[other].last is theirs else "named_member"] = 1.0
                return
        if foremost:
            signals["elsewhere"] = 1.0
        for other in others:
            if other in talk.members:
                signals["passing"] = 1.0
                return

    def _of_new(self) -> Signals:
        line, window = self.line, self.window
        signals = {"new": 1.0, "new_few": 1 / self.crowd, "new_alone": 1 / (self.live or 1), "new_calm": self.calmness}
        self._of_how_it_is_said(signals)
        if self.me is not None:
            signals["new_known"] = 1.0
            signals["new_known_time"] = self._since(self.me.last)
        else:
            signals["new_stranger"] = 1.0 if self.asks and not self.together else min(1.0, len(window.people) / _MANY)
        if any(other in window.people for other in self.named[0]):
            signals["new_named"] = 1.0
        if self.together:
            signals["new_together"] = 1.0
        greets = _greets(self.every_word)
        brief = len(self.every_word) <= (_BRIEF if len(self.words) > 1 else 2 * _BRIEF)
        if brief and len(line.text) <= 8 * _BRIEF and self.few and not greets:
            signals["new_brief"] = 1.0
        bare = len(self.every_word) <= _BARE
        greeted_back = greets and bare and any(_greets(words_of(said.line.text)) for said in self.spoken)
        if greets and not greeted_back:
            signals["new_greets"] = 0.5 if self.together or (self.few and bare) else 1.0
        if self.gap is not None and line.at - self.latest.line.at > self.gap / 3:
            signals["new_pause"] = 1.0
        return signals

    def _of_how_it_is_said(self, signals: Signals) -> None:
        if self.asks:
            signals["new_asks"] = 1.0
        if self.every_word and self.every_word[0] in _WONDERS:
            signals["new_wonders"] = 1.0
        if self.every_word and self.every_word[0] in _GOES_ON:
            signals["new_goes_on"] = 1.0
        if not _TO_ALL.isdisjoint(self.every_word):
            signals["new_to_all"] = 1.0
        if not _OF_ONESELF.isdisjoint(self.every_word):
            signals["new_of_oneself"] = 1.0
        if len(self.words) >= 8:
            signals["new_long"] = 1.0

    def _since(self, said: Said) -> float:
        """Half minutes since a line, log2; 0 where no silence counts."""
        return log2(1 + max(0.0, self.line.at - said.line.at) / 30) if self.gap is not None else 0.0

    def _shared_words(self) -> dict[str, float]:
        """By session how many of the line's words were used there and hardly anywhere else."""
        shared: dict[str, float] = {}
        for word in self.words:
            by_session = self.window.used.get(word)
            if by_session is not None and len(by_session) <= 3:
                for session in by_session:
                    shared[session] = shared.get(session, 0.0) + 1 / len(by_session)
        return {session: min(many, 3.0) for session, many in shared.items()}


def paced(recent: list[float], at: float, base_gap: float | None) -> float | None:
    """The seconds of silence that are long at the pace of people's recent lines, the latest first; None if none are."""
    if base_gap is None:
        return None
    if len(recent) < 4:
        return base_gap * _CALMEST
    between = (at - recent[-1]) / len(recent)
    return base_gap * min(_CALMEST, max(_BUSIEST, between / _MIDDLING))


def _greets(words: list[str]) -> bool:
    return bool(words) and words[0] in _GREETINGS
