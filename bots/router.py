"""Which persona answers, and why: the most specific rule wins, and every decision can explain itself."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Literal

from pydantic import JsonValue

from storage.model import Channel

from .access import HomeName, means
from .called_together import CalledTogether
from .classifier import THRESHOLD, Classifier, Verdict
from .segments import TopicSegment, segments
from .settings import BindingSettings, BotSettings, PersonaSettings
from .understanding import understood

Rule = Literal[
    "request", "access", "address", "reply", "thread", "channel", "category", "role", "guild", "place", "session",
    "split", "classifier", "tie", "default",
]  # fmt: skip
_PLACES: tuple[Literal["thread", "channel", "category", "role", "guild"], ...] = (
    "thread",
    "channel",
    "category",
    "role",
    "guild",
)
_CLEARLY = 0.25
"""By how much another persona must be likelier than the one that speaks, before the talk has moved on to it."""
_HARDLY = 0.4
"""Who is less likely than that, and speaks already, is let go for somebody who surely is meant; and whoever it is for
somebody likelier by as much."""
_FEW, _PLAINLY = 5, 0.45
"""A line of fewer words tells little: another must be likelier by so much."""
_SAID = 0.35
"""What the words of a line must tell for another persona, where it has none of its keywords and nothing knows what it
means: letters alone are no reason to leave off talking."""
_CLOSE = 0.15
"""The two likeliest are a tie if they are no further apart,"""
_LIKELY = 0.35
"""and each is as likely as that."""
_DEFAULT = "it is the default and no persona's words fit better"
_IN_ITS_PLACE = "the default may not answer here and no persona's words fit better"
_IDLE = 60
"""Characters that a greeting or thanks has at most."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one persona answers of a message on several topics."""

    persona: str
    text: str
    spans: tuple[tuple[int, int], ...]
    """Where its words stand in the message: from, to, in characters."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The persona that answers, the rule that picked it, and how likely it was meant where a message was weighed."""

    persona: str
    rule: Rule
    detail: str
    score: float = 1.0
    runner_up: str | None = None
    runner_up_score: float = 0.0
    segments: tuple[TopicSegment, ...] = ()
    """The topics of the message, where it has several."""
    shares: tuple[Share, ...] = ()
    """Who answers what, where several personas do."""
    between: tuple[tuple[str, float], ...] = ()
    """The two personas, with how likely they are, between which the words cannot tell, if it is so."""
    signals: Mapping[str, Mapping[str, float]] = field(default_factory=dict, hash=False)
    """What spoke for each persona, where the message was weighed."""

    def __str__(self) -> str:
        told = f"{self.persona}, because {self.detail}"
        other, likely = self.runner_up, self.runner_up_score
        if other is None or self.rule not in ("classifier", "tie", "default"):
            return told
        if self.rule == "default" and likely > self.score:
            return f"{told} (the likeliest is {other} with {likely:.0%})"
        return f"{told} (likelihood {self.score:.0%}; next is {other} with {likely:.0%})"

    @property
    def weighed(self) -> bool:
        """Whether the words of the message had a say in it."""
        return self.rule in ("session", "split", "classifier", "tie", "default")

    @property
    def as_json(self) -> str:
        """All of it but people's words: of these it has the places alone."""
        told = {
            "persona": self.persona,
            "rule": self.rule,
            "detail": self.detail,
            "score": round(self.score, 3),
            "runner_up": self.runner_up,
            "runner_up_score": round(self.runner_up_score, 3),
            "segments": [
                {"from": each.start_pos, "to": each.end_pos, "topic": each.topic, "score": round(each.confidence, 3)}
                for each in self.segments
            ],
            "shares": [{"persona": each.persona, "spans": each.spans} for each in self.shares],
            "signals": {
                name: {kind: round(weight, 3) for kind, weight in of.items()} for name, of in self.signals.items()
            },
        }
        return json.dumps({key: value for key, value in told.items() if value not in (None, [], {})})


class ContextRouter:
    """Picks among one bot's personas. A binding of a channel or category holds in its threads."""

    def __init__(
        self,
        settings: BotSettings,
        home_name: HomeName,
        *,
        category: Callable[[Channel], Sequence[str]] = lambda channel: (),
        embedder_id: str | None = None,
    ) -> None:
        """`home_name` tells a channel's name and `category` the id and name of the category it is in; `embedder_id`
        names what makes the vectors that are given."""
        self._home_name = home_name
        self._category = category
        self._personas = settings.personas
        self._bindings = settings.bindings
        self._split = settings.routing.split
        names = {p.name: (p.display, p.name, *p.aliases) for p in settings.personas}
        self._calls = {name: called(those) for name, those in names.items()}
        self._together = CalledTogether(names)
        self._bot_call = called((settings.display or settings.name, settings.name))
        self._threshold = settings.routing.threshold
        self._embedder_id = embedder_id

    @cached_property
    def classifier(self) -> Classifier:
        """What weighs words. Making it takes some 30 ms, and a bot with one persona never needs it."""
        return Classifier(self._personas, threshold=self._threshold, embedder_id=self._embedder_id)

    def decide(
        self,
        text: str,
        channel: Channel,
        *,
        session_persona: str | None,
        replied_persona: str | None,
        roles: Collection[str] = (),
        chosen: str | None = None,
        asked: str | None = None,
        default: str | None = None,
        among: frozenset[str] | None = None,
        vector: Sequence[float] | None = None,
        topics: tuple[TopicSegment, ...] | None = None,
    ) -> Decision:
        """The persona for a line. `session_persona` is who spoke in the session so far, `replied_persona` whose
        message the line replies to, `roles` the ids and names of its sender's roles, `chosen` who was chosen to speak
        in the place, `asked` who was asked for by a command, `default` who answers where no rule finds one; `among`
        are those who may answer at all; `vector` is what an embedder has made of the text, `topics` what an earlier
        decision about it has cut it into."""
        may = [each for each in self._personas if among is None or each.name in among] or self._personas
        decision = (
            self._by_request(asked)
            or self._by_addresses(text, may)
            or self._by_address(text)
            or self._by_reply(replied_persona)
            or self._by_binding(channel, roles)
            or self._by_place(chosen)
            or self._by_words(text, vector, session_persona, default, may)
        )
        if decision.persona not in {each.name for each in may}:
            instead = next((each for each in may if each.name == session_persona), None) or self._default(default, may)
            why = f"{decision.persona} may not answer here, although {decision.detail}"
            return Decision(instead.name, "access", why, runner_up=decision.persona)
        if len(may) > 1 and not decision.shares and (decision.weighed or decision.rule == "address"):
            return self._in_parts(decision, text, may, topics)
        return decision

    def calibrate(self, found: Mapping[str, JsonValue]) -> None:
        """Goes by the `threshold` that `troupe route calibrate` has found, unless the settings name one. Where there is
        none, or it was found with another `embedder`, it is the built-in one."""
        threshold, embedder = found.get("threshold"), found.get("embedder") or None
        classifier = self.classifier  # made now, before anybody waits for it
        if self._threshold is None:
            usable = threshold if embedder == self._embedder_id else None
            classifier.threshold = float(usable) if isinstance(usable, int | float) else THRESHOLD

    def addressed(self, text: str) -> bool:
        """Whether a line begins or ends by calling the bot or one of its personas by name."""
        by_name = self._together.by(text) or self._by_address(text)
        return bool(by_name) or self._bot_call.search(text) is not None

    def _by_request(self, asked: str | None) -> Decision | None:
        persona = self._named(asked)
        return Decision(persona.name, "request", f"{persona.display} was asked for") if persona else None

    def _by_addresses(self, text: str, may: Sequence[PersonaSettings]) -> Decision | None:
        """Where several are called in one breath all of them, if messages are split; else the first who may answer."""
        names = self._together.by(text)
        if not names:
            return None
        shown = {each.name: each.display for each in self._personas}
        told = f"the message calls {' and '.join(shown[name] for name in names)} by name"
        able = [name for name in names if name in {each.name for each in may}] or names
        if self._split and len(able) > 1:
            shares = tuple(Share(name, text.strip(), ((0, len(text)),)) for name in able)
            return Decision(able[0], "split", told, shares=shares)
        first = f"{shown[able[0]]} first" if able[0] == names[0] else f"and {shown[names[0]]} may not answer here"
        return Decision(able[0], "address", f"{told}, {first}")

    def _by_address(self, text: str) -> Decision | None:
        for persona in self._personas:
            if self._calls[persona.name].search(text):
                return Decision(persona.name, "address", f"the message calls {persona.display} by name")
        return None

    def _by_reply(self, replied: str | None) -> Decision | None:
        persona = self._named(replied)
        return Decision(persona.name, "reply", f"the message replies to {persona.display}") if persona else None

    def _by_binding(self, channel: Channel, roles: Collection[str]) -> Decision | None:
        for rule in _PLACES:
            for binding in self._bindings:
                bound = getattr(binding, rule)
                if bound is not None and self._holds(binding, channel, roles):
                    return Decision(binding.persona, rule, f"the {rule} {bound!r} is bound to it")
        return None

    def _holds(self, binding: BindingSettings, channel: Channel, roles: Collection[str]) -> bool:
        if binding.thread is not None:
            return channel.kind == "thread" and binding.thread in (channel.id, channel.name)
        if binding.channel is not None:
            return means(binding.channel, self._home_name(channel), channel.id, channel.parent_id)
        if binding.category is not None:
            id, name = (*self._category(channel), "", "")[:2]
            return bool(id) and means(binding.category, name, id)
        if binding.role is not None:
            return binding.role.casefold() in (role.casefold() for role in roles)
        return channel.guild_id is not None and binding.guild in (channel.guild_id, channel.guild_name)

    def _by_place(self, chosen: str | None) -> Decision | None:
        persona = self._named(chosen)
        return Decision(persona.name, "place", f"{persona.display} was chosen to speak here") if persona else None

    def _by_words(
        self,
        text: str,
        vector: Sequence[float] | None,
        spoken: str | None,
        wanted: str | None,
        may: Sequence[PersonaSettings],
    ) -> Decision:
        """Of those who may answer whoever speaks in the session already, unless the talk has plainly moved on; else
        whoever is likely enough meant; else the default."""
        speaks, default = next((each for each in may if each.name == spoken), None), self._default(wanted, may)
        if speaks is not None and (len(may) == 1 or not text.strip() or _idle(text)):
            return Decision(speaks.name, "session", f"{speaks.display} speaks in this session already")
        if len(may) == 1 < len(self._personas):
            return Decision(default.name, "access", "nobody else may answer here")
        told = _DEFAULT if default == (self._named(wanted) or self._personas[0]) else _IN_ITS_PLACE
        if len(may) == 1 or not text.strip():
            return Decision(default.name, "default", told)
        verdict = self.classifier.scores(text, vector)
        few = len(text.split()) < _FEW
        if len(may) == len(self._personas):
            return self._weighed(verdict, speaks, default, few=few)
        ranked = tuple(pair for pair in verdict.ranked if pair[0] in {each.name for each in may})
        sure = ranked[0][1] > self.classifier.threshold
        decision = self._weighed(replace(verdict, ranked=ranked, sure=sure), speaks, default, few=few)
        if decision.rule == "default":
            decision = replace(decision, detail=told)
        best = verdict.ranked[0][0]
        if not verdict.sure or best == ranked[0][0]:
            return decision
        return replace(decision, detail=f"{decision.detail}; {best} is likelier and may not answer here")

    def _default(self, wanted: str | None, may: Sequence[PersonaSettings]) -> PersonaSettings:
        """Who answers where no rule finds anybody."""
        default = self._named(wanted) or self._personas[0]
        return default if default in may else may[0]

    def _in_parts(
        self,
        decision: Decision,
        text: str,
        may: Sequence[PersonaSettings],
        found: tuple[TopicSegment, ...] | None,
    ) -> Decision:
        """The decision with the topics of the message. Where messages are split and all who are meant may answer, each
        answers its part; what is addressed to one is for nobody else who is not called by name as well."""
        found = segments(text, self.classifier) if found is None else found
        if len(found) < 2:
            return decision
        decision = replace(decision, segments=found)
        shares = _shares(found, decision.persona)
        kept_whole = decision.rule == "address" and any(each.confidence < 1 for each in found)
        barred = not {each.persona for each in shares} <= {each.name for each in may}
        if not self._split or kept_whole or barred or len(shares) < 2:
            return decision
        told = "the message has several topics, and each is answered by whom it fits"
        return replace(decision, persona=shares[0].persona, rule="split", detail=told, shares=shares, between=())

    def _weighed(
        self, verdict: Verdict, speaks: PersonaSettings | None, default: PersonaSettings, *, few: bool = False
    ) -> Decision:
        """Of what was weighed; `few` is whether it has few words."""
        likely = dict(verdict.ranked)
        best = verdict.ranked[0][0]
        moved = ""
        if speaks is not None:
            now, left = likely[best], likely[speaks.name]
            plainly = now - left >= (_PLAINLY if few else _CLEARLY if left <= _HARDLY else _HARDLY)
            if not verdict.sure or not plainly or not _evident(verdict.signals.get(best)):
                told = f"{speaks.display} speaks in this session already"
                return self._scored(Decision(speaks.name, "session", told), verdict)
            moved = f", and the talk has moved on from {speaks.display}"
        if verdict.sure:
            return self._scored(Decision(best, "classifier", f"its words fit the message best{moved}"), verdict)
        (_, first), (_, second) = two = verdict.ranked[:2]
        close = second >= _LIKELY and first - second <= _CLOSE
        return self._scored(Decision(default.name, "default", _DEFAULT, between=two if close else ()), verdict)

    def _scored(self, decision: Decision, verdict: Verdict) -> Decision:
        """The decision with how likely it was, and who else."""
        likely = dict(verdict.ranked)
        other, score = next(pair for pair in verdict.ranked if pair[0] != decision.persona)
        return replace(
            decision,
            score=likely[decision.persona],
            runner_up=other,
            runner_up_score=score,
            signals={name: verdict.signals.get(name, {}) for name in (decision.persona, other)},
        )

    def _named(self, name: str | None) -> PersonaSettings | None:
        return next((p for p in self._personas if p.name == name), None)


def _evident(signals: Mapping[str, float] | None) -> bool:
    """Whether more than letters speaks for a persona."""
    if not signals or "meaning" in signals:
        return True
    return signals["keywords"] > 0 or signals["words"] >= _SAID


def _idle(text: str) -> bool:
    """Whether a line greets, thanks or chats and is about nothing: it moves no talk on."""
    if len(text) > _IDLE:
        return False
    known = understood(text)
    return known.intent in ("greeting", "thanks", "smalltalk") and not known.topics


def _shares(found: Sequence[TopicSegment], otherwise: str) -> tuple[Share, ...]:
    """Who answers what, each persona once, in the order in which their topics come; a stretch that is nobody's goes
    to whoever would answer the whole."""
    shares: dict[str, Share] = {}
    for each in found:
        name = each.topic or otherwise
        before = shares.get(name, Share(name, "", ()))
        text = f"{before.text}\n{each.text.strip()}".strip()
        shares[name] = Share(name, text, (*before.spans, (each.start_pos, each.end_pos)))
    return tuple(shares.values())


@lru_cache(maxsize=64)
def called(names: tuple[str, ...]) -> re.Pattern[str]:
    """Matches lines that call one of the names: `Ada, …`, `hey Ada …`, `@Ada …`, or `…, Ada?` at the end."""
    known = sorted({name.strip() for name in names if name.strip()}, key=len, reverse=True)
    if not known:
        return re.compile(r"(?!)")
    name = rf"(?:{'|'.join(map(re.escape, known))})(?!\w)"
    start = rf"^\s*(?:(?:hey|hi|hello|ok|okay|dear)[\s,]+@?{name}|@{name}|{name}\s*[,:;!?])"
    return re.compile(rf"{start}|,\s*@?{name}\s*[.!?]*\s*$", re.IGNORECASE)


@lru_cache(maxsize=64)
def named(names: tuple[str, ...]) -> re.Pattern[str]:
    """Matches one of the names where a line begins or ends with it."""
    known = sorted({name.strip() for name in names if name.strip()}, key=len, reverse=True)
    name = rf"@?(?:{'|'.join(map(re.escape, known))})(?!\w)"
    return re.compile(rf"^\s*{name}[\s,:;!]*|(?<!\w){name}(?=[\s.!?]*$)", re.IGNORECASE)
