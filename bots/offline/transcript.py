"""Questions about what was said in a session, answered by exact quotes from it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..providers import Line
from ..terms import Hit, Ranking, folded, telling
from .phrases import plain
from .quoting import excerpt, quoted

_MOST_LINES = 3
_MOST_LINES_IN_SUMMARY = 6
_LONGEST_QUOTE = 320
"""Letters; of a longer line the fitting part is quoted."""
_LEAST_COVERAGE = 0.3


@dataclass(frozen=True, slots=True)
class Said:
    """One line of the session by one person, or by the bot itself (`speaker` None)."""

    speaker: str | None
    text: str


class Transcript:
    """A session as its lines tell it. Whoever asks is `asker`, who gets a "you"; `me` is the bot's name here."""

    def __init__(self, lines: Sequence[Line], question: str, me: str = "") -> None:
        self.asker = _asker(lines[-1].text, question) if lines else None
        carried = _CARRIED.match(lines[0].text) if lines[:-1] else None
        told = carried is not None and carried[0] != ""
        self.said = [_said(line) for line in lines[1 if told else 0 : -1]]
        self.missing = ""
        """What to say if nobody here bears the name that was asked for, and nothing else knows it either."""
        self.silent = False
        """Whether what was asked for was not said here."""
        self._question = question
        self._me = folded(me)
        self._before = _worth_telling(carried[1]) if carried and carried[1] else ""

    def recall(self, question: str) -> str | None:
        """The answer to a question about the session itself; None for any other question."""
        text = plain(question)
        if len(text) > 300:
            return None
        if _MY_NAME.fullmatch(text):
            return self._name()
        if _SUMMARY.fullmatch(text):
            return self._summary()
        for pattern in _WHAT_WAS_SAID:
            if match := pattern.fullmatch(text):
                return self._quotes(**match.groupdict())
        return None

    def about(self, question: str) -> str | None:
        """Lines of people that hold most of what `question` asks about; None if there is none. For a question
        that may or may not be about this session."""
        mine = re.search(r"\bmy\b|\bi\b", plain(question)) is not None
        lines = [
            said
            for said in self._statements()
            if (not mine or said.speaker == self.asker) and not said.text.rstrip().endswith("?")
        ]
        found = fitting([said.text for said in lines], question)[:2]
        return self._shown(lines[number] for number in found) if found else None

    def everything(self, topic: str) -> list[Said]:
        """Every line of people that mentions `topic`, in order."""
        people = self._statements()
        found = {id(said) for hit, said in _ranked(people, topic) if hit.coverage >= _LEAST_COVERAGE}
        return [said for said in people if id(said) in found]

    def question_before(self, skip: re.Pattern[str] | None = None) -> str:
        """What the asker last said before this question, leaving out lines that match `skip`; empty if nothing."""
        mine = (said.text for said in reversed(self.said) if said.speaker == self.asker)
        return next((text for text in mine if not (skip and skip.fullmatch(plain(text)))), "")

    def quotes(self, passage: str) -> bool:
        """Whether the bot has quoted the beginning of `passage` in this session."""
        start = quoted(passage).split("\n", 1)[0][:80]
        return any(start in said.text for said in self.said if said.speaker is None)

    def shown(self, lines: Iterable[Said], longest: int = _LONGEST_QUOTE, topic: str = "") -> str:
        """The lines as quotes, each under its speaker's name."""
        return self._shown(lines, longest, topic)

    def _quotes(
        self, who: str | None = None, topic: str | None = None, present: str | None = None, first: str | None = None
    ) -> str | None:
        if topic and _ABOUT_NOTHING.fullmatch(topic):
            topic = None
        if who == "my" or first:
            mine = [said for said in self.said if said.speaker == self.asker]
            return self._shown(mine[:1] if first else mine[-1:]) if mine else self._silence("You", "")
        if who in ("you", "u") or (who and who == self._me):
            lines, speaker = [said for said in self.said if said.speaker is None and not _is_hollow(said)], "I"
            if topic is None and self.said and not lines:
                return "I have said nothing yet in this session that is worth quoting."
        elif who in ("i", "me"):
            lines, speaker = [said for said in self._statements() if said.speaker == self.asker], "You"
        elif who in (None, "we", "anyone", "anybody", "someone", "somebody", "everyone", "people", "they", "who"):
            lines, speaker = self._statements(), "Nobody"
        else:
            names = self._named(who)
            if not names:
                known = re.fullmatch(r"@?\w{2,30}", who) and who not in _NOBODY and not present
                self.missing = f"I can see nobody called {who.title()} in this session." if known else ""
                return None
            lines, speaker = [said for said in self._statements() if said.speaker in names], names[0]
        if topic is None:
            return self._shown(lines[-_MOST_LINES:]) if lines else self._silence(speaker, "")
        lines = list(dict.fromkeys(lines))
        found = [said for hit, said in _ranked(lines, topic) if hit.coverage >= _LEAST_COVERAGE][:_MOST_LINES]
        found.sort(key=lines.index)
        return self._shown(found, topic=topic) if found else self._silence(speaker, f" about {topic}")

    def _silence(self, speaker: str, about: str) -> str:
        self.silent = True
        if speaker == "Nobody" and not about:
            return "We have only just started: there is nothing to sum up in this session yet." + self._earlier()
        if not self.said:
            return "We have only just started: nothing was said in this session before your question." + self._earlier()
        count = f"{len(self.said)} line{'' if len(self.said) == 1 else 's'}"
        said = "has said anything" if speaker == "Nobody" else "said nothing"
        return f"{speaker} {said}{about} in the {count} of this session that I can see." + self._earlier()

    def _name(self) -> str:
        mine = [said.text for said in self.said if said.speaker == self.asker]
        for text in (self._question, *reversed(mine)):
            if given := _given(text):
                name, line = given
                return f"You are {name}. You told me:\n{quoted(excerpt(line.strip(), _LONGEST_QUOTE, name))}"
        if self.asker:
            return f"You go by {self.asker} here; you haven't told me another name in this session."
        return "You haven't told me your name in this session."

    def _summary(self) -> str:
        people = self._statements()
        if not people:
            return self._silence("Nobody", "")
        names = list(dict.fromkeys(self._called(said) for said in people))
        chosen = _telling(people)
        count = f"{len(people)} line{'' if len(people) == 1 else 's'} from {_listed(names)}"
        these = "Word for word" if len(chosen) == len(people) else "The ones that say most, word for word"
        return f"So far {count}. {these}:\n{self._shown(chosen, 200)}"

    def _earlier(self) -> str:
        return f"\n\nBefore this session there was another one:\n{quoted(self._before)}" if self._before else ""

    def _statements(self) -> list[Said]:
        """People's lines that say something: questions about the session would only find themselves."""
        return [
            said for said in self.said if said.speaker is not None and not _asks(said.text) and not _is_hollow(said)
        ]

    def _named(self, who: str) -> list[str]:
        """The names of people here that `who` may mean: the exact one, else those that start with it."""
        names = list(dict.fromkeys(said.speaker for said in self.said if said.speaker))
        wanted = folded(who).lstrip("@")
        exact = [name for name in names if folded(name) == wanted]
        return (
            exact
            or [name for name in names if wanted in re.split(r"[\s._-]+", folded(name))]
            or [name for name in names if len(wanted) > 2 and folded(name).startswith(wanted)]
            or self._who_go_by(wanted)
        )

    def _who_go_by(self, wanted: str) -> list[str]:
        """The people here who have given themselves that name."""
        gave = [(said.speaker, given[0]) for said in self.said if said.speaker and (given := _given(said.text))]
        return list(dict.fromkeys(who for who, name in gave if wanted in (folded(name), *folded(name).split())))

    def _called(self, said: Said) -> str:
        if said.speaker is None:
            return "me"
        return "you" if said.speaker == self.asker else said.speaker or "somebody"

    def _shown(self, lines: Iterable[Said], longest: int = _LONGEST_QUOTE, topic: str = "") -> str:
        shown: list[str] = []
        last = ""
        for said in lines:
            name = f"“{said.speaker}”" if said.speaker in ("I", "You") else self._called(said)
            if shown:
                shown.append("")  # without it a line after a quote is read as part of the quote
            if name != last:
                shown.append(f"{_SPOKEN.get(name, name)} said:")
            last = name
            shown.append(quoted(excerpt(said.text.strip(), longest, topic)))
        return "\n".join(shown)


def _said(line: Line) -> Said:
    """Only the name a line starts with counts: a name further down is part of what was typed."""
    if line.role == "assistant":
        return Said(None, _SMALL_PRINT.sub("", line.text).strip())
    speaker, colon, text = line.text.partition(": ")
    if not colon or "\n" in speaker or len(speaker) > 100:
        return Said("", line.text)
    return Said(speaker, text.replace("\n    ", "\n"))  # a prompt indents what follows a person's first line


def _given(text: str) -> tuple[str, str] | None:
    """The name a person gives themselves, and the line it stands in."""
    for line in reversed(text.splitlines()):
        if (match := _NAMED.search(line)) and not _MY_NAME.fullmatch(plain(line)):
            return (match["name"] or match["being"]).strip(), line
    return None


def _is_hollow(said: Said) -> bool:
    """Whether it is an answer that says nothing by itself; other personas' answers stand under their names."""
    if said.speaker is None:
        return _HOLLOW.match(said.text) is not None
    return _SURELY_OURS.match(said.text) is not None or _OUR_CLOSING.search(said.text) is not None


def _worth_telling(before: str) -> str:
    """The note on the session before, without answers that say nothing."""
    lines = [re.sub(r"\s-# .*", "", line) for line in before.strip().removesuffix(")").splitlines()]
    return "\n".join(line for line in lines if not _HOLLOW.match(line.partition(" last answered: ")[2] or "-"))


def _asker(last: str, question: str) -> str | None:
    """The name in front of the question in the last line, which may have notes before and after it; what is indented
    there was said at other times."""
    first = question.strip().split("\n", 1)[0].strip()
    found = re.search(rf"^(\S.{{0,99}}?): {re.escape(first)}", last, re.MULTILINE) if first else None
    return found[1] if found else None


def _ranked(lines: list[Said], topic: str) -> list[tuple[Hit, Said]]:
    return [(hit, lines[hit.number]) for hit in Ranking([(said.text, 1.0)] for said in lines).search(topic)]


def fitting(texts: Sequence[str], question: str) -> list[int]:
    """The numbers of the texts that hold most of what is asked, best first."""
    hits = Ranking([(text, 1.0)] for text in texts).search(question)
    return [hit.number for hit in hits if _fits(hit)]


def _fits(hit: Hit) -> bool:
    return hit.coverage >= 0.6 and (hit.matched > 1 or hit.asked == 1)


def _telling(lines: list[Said]) -> list[Said]:
    """The few lines, in order, that share most words with the others; of two alike the later one."""
    distinct = list({folded(said.text): said for said in lines if telling(said.text)}.values()) or lines
    common = Counter(term for said in distinct for term in telling(said.text))
    weights = [sum(common[term] - 0.5 for term in telling(said.text)) for said in distinct]
    weights = [
        weight / 2 if said.text.rstrip().endswith("?") else weight
        for weight, said in zip(weights, distinct, strict=True)
    ]
    best = sorted(range(len(distinct)), key=lambda at: (-weights[at], -at))[:_MOST_LINES_IN_SUMMARY]
    return [distinct[at] for at in sorted(best)]


def _asks(text: str) -> bool:
    asked = plain(text)
    patterns = (_MY_NAME, _SUMMARY, *_WHAT_WAS_SAID)
    return len(asked) <= 300 and any(pattern.fullmatch(asked) for pattern in patterns)


def _listed(names: list[str]) -> str:
    shown = names if len(names) <= 6 else [*names[:5], f"{len(names) - 5} others"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


_SPOKEN = {"me": "I", "you": "You"}
_SMALL_PRINT = re.compile(r"^\s*-# .*$", re.MULTILINE)
_OUR_CLOSING = re.compile(r"^\s*-# Offline: ", re.MULTILINE)
_NOBODY = frozenset("it this that these those he she one life god science history".split())
_CARRIED = re.compile(
    r"(?:\(For this conversation[^\n]*:(?:\n    [^\n]*)+\n?)?(?:\(Before this conversation[^\n]*:\n(.+))?", re.DOTALL
)
_HOLLOW = re.compile(
    r"Hello! |I found nothing|I need a few more words|Noted: |That is all my notes|Nobody has said|We have only just"
    r"|You're welcome|All right\.|Goodbye|I'm sorry|Nothing is under way|I can see nobody|\S+ said nothing about"
    r"|So far \d+ line|[^\n]{1,80} said:\n>|From this chat:|From earlier talk:|That takes a command"
    r"|I can't read anything|I'm [^\n]{1,40}\. No language"
    r"|No language model|You are [^\n]*\. You told me|You go by [^\n]* here;|I have said nothing"
    r"|Yes, I'm here|All is well here"
)
"""How answers begin that say nothing by themselves: not to be quoted."""
_SURELY_OURS = re.compile(
    r"(?:Hello! )?I'm [^\n]{1,40}\. (?:I'm working offline|No language model)|I found nothing about that in"
    r"|From (?:earlier talk|this chat):\n"
)
"""The same where a person might have typed it."""
_MY_NAME = re.compile(
    r"(?:so )?(?:(?:do|did|can) you (?:know|remember|recall|guess) )?(?:what|wat) ?(?:is|s|was) my (?:name|nick"
    r"|nickname)"
    r"|(?:do|can) you (?:still )?(?:know|remember|recall) (?:my name|who i am|me)|(?:and )?who am i|(?:say )?my name"
    r"|whats my name"
    r"|tell me my name|what am i called"
)
_NAMED = re.compile(
    r"(?:\bmy name(?: is|['’]s)|\b(?:you can |please |just )?call me|\bthey call me|\bi go by)\s+"
    r"(?!not\b|later\b|back\b|when\b|if\b|at\b|on\b|the\b|a\b|an\b|maybe\b|tomorrow\b|now\b|crazy\b|what|\W)"
    r"(?P<name>[^\s,.;:!?()\"]{1,40}(?:\s(?-i:(?!I\b)[A-ZÀ-Þ])[^\s,.;:!?()\"]{0,40}){0,2})"
    r"|\bi(?: am|['’]?m)\s+(?!(?:German|French|Greek|Dutch|Swiss|Czech|British|English|Spanish|American|OK|Ok|Not|In"
    r"|At|On"
    r"|From|Here|Back|Sure|Sorry|New|The|A|An|Just|So|Very|Fine|Good|Well|Done|Ready|Also)\b)"
    r"(?P<being>(?-i:[A-ZÀ-Þ])[^\s,.;:!?()\"]{1,40}(?:\s(?-i:[A-ZÀ-Þ])[^\s,.;:!?()\"]{1,40}){0,2})"
    r"(?=\s*(?:$|[,.;:!]|\band\b|\bfrom\b|\bby\b))",
    re.IGNORECASE,
)
_CHAT = r"(?:this|the|our|my) (?:chat|conversation|discussion|session|thread|talk|channel)"
_SUMMARY = re.compile(
    r"(?:summari[sz]e|sum up|recap|tl;?dr)(?: (?:it|this|that|everything|so far|us|me|for me|all|what we said|today"
    rf"|{_CHAT}|what (?:we|was|has been|we've) .+))*"
    r"|(?:give (?:me|us) )?an? (?:quick |short )?(?:summary|recap)(?: of .+)?|summary|catch me up|where were we"
    r"|what (?:did|have|were|are) we (?:just )?(?:been )?(?:talk|discuss|chatt?|speak|spoken?)(?:ed|ing)?"
    r"(?: about| on)?(?: so far| here| today| just now| before| earlier)*"
    rf"|what is {_CHAT} about|what (?:happened|was said)(?: so far| here| before)?|what did (?:i|we) miss"
)
_VERB = (
    r"(?:say|said|saying|tell(?: (?:you|me|us|him|her|them))?|told(?: (?:you|me|us|him|her|them))?|mention(?:ed)?"
    r"|write|wrote|written|think|ask(?:ed)?(?: you| me| us)?|suggest(?:ed)?|decide[d]?|agree[d]?(?: on)?|propose[d]?"
    r"|talk(?:ed)?|want(?:ed)?|answer(?:ed)?|want|explain(?:ed)?)"
)
_LEAD = r"(?:(?:do|can) you (?:remember|recall|know) |remind me |quote |repeat )?"
_TOPIC = r"(?: (?:about|of|on|regarding|concerning|re|for|with|to do with) (?P<topic>.+?))?"
_WHEN = r"(?: (?:before|earlier|just now|today|so far|here|again|last|first|in this (?:chat|session|channel)))*"
_WHAT_WAS_SAID = tuple(
    re.compile(pattern)
    for pattern in (
        r"what (?:was|is) the (?P<first>first) (?:thing|question|message|line) (?:that )?(?P<who>i)"
        r" (?:asked|said|wrote|sent)(?: you| here)*",
        r"what did (?P<who>i) (?:say|ask|write)(?: you)? (?P<first>first)",
        rf"{_LEAD}(?:what|wat|waht|wht) (?:all |else |exactly )?(?:did|has|have|had|was|were) (?P<who>.+?)"
        rf" (?:just |ever |really )?{_VERB}{_WHEN}{_TOPIC}{_WHEN}",
        rf"{_LEAD}what (?P<present>do|does) (?P<who>(?!you\b|i\b|we\b|people\b"
        rf"|they\b).+?) {_VERB}{_WHEN}{_TOPIC}{_WHEN}",
        rf"{_LEAD}(?:what|everything|anything) "
        rf"(?P<who>(?!(?:did|do|does|is|are|was|were|to|should|can|could|would|will)\b).+?)"
        rf" (?:just )?{_VERB}{_WHEN}{_TOPIC}{_WHEN}",
        r"(?:did|has|have) (?P<who>.+?) (?:ever |just )?(?:say|said|mention(?:ed)?|tell (?:you|me|us)|told (?:you|me"
        r"|us)"
        rf"|talk(?:ed)?|speak|spoken)(?: (?:anything|something|a word))?(?:(?: (?:about|of|on"
        rf"|regarding))? (?P<topic>.+?))?{_WHEN}",
        r"who (?:said|mentioned|talked|spoke|asked|wrote|was talking|suggested|told)(?: (?:anything|something))?"
        rf"(?: (?:about|of|that|on))? (?P<topic>.+?){_WHEN}",
        rf"(?:what|which) (?:was|were) (?:said|mentioned|decided|agreed)(?: here)?(?: (?:about|on|regarding"
        rf"|for))? (?P<topic>.+?){_WHEN}",
        r"(?:do|can) you (?:remember|recall) (?:what|when|where|how|that|if|who) (?P<who>i|we) (?P<topic>.+)",
        r"what (?:was|is) (?P<who>my) (?:(?P<first>first)|last|previous|earlier) (?:message|line|question)",
    )
)
_ABOUT_NOTHING = re.compile(r"it|that|this|anything|something|me|you|us")
