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
from .classifier import Classifier, Verdict
from .segments import TopicSegment, segments
from .settings import BindingSettings, BotSettings, PersonaSettings

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
"""Who is less likely than that, and speaks already, is let go for somebody who surely is meant."""
_CLOSE = 0.15
"""The two likeliest are a tie if they are no further apart,"""
_LIKELY = 0.35
"""and each is as likely as that."""


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
        self._calls = {p.name: called((p.display, p.name, *p.aliases)) for p in settings.personas}
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
    ) -> Decision:
        """The persona for a line. `session_persona` is who spoke in the session so far, `replied_persona` whose
        message the line replies to, `roles` the ids and names of its sender's roles, `chosen` who was chosen to speak
        in the place, `asked` who was asked for by a command, `default` who answers where no rule finds one; `among`
        are those who may answer at all; `vector` is what an embedder has made of the text."""
        decision = (
            self._by_request(asked)
            or self._by_address(text)
            or self._by_reply(replied_persona)
            or self._by_binding(channel, roles)
            or self._by_place(chosen)
            or self._by_words(text, vector, session_persona, default)
        )
        if len(self._personas) > 1 and (decision.weighed or decision.rule == "address"):
            decision = self._in_parts(decision, text, among)
        if among is None:
            return decision
        if not {name for name, _ in decision.between} <= among:
            decision = replace(decision, between=())
        if decision.persona in among:
            return decision
        allowed = next((persona for persona in self._personas if persona.name in among), None)
        if allowed is None:
            return decision
        why = f"{decision.persona} may not answer here, although {decision.detail}"
        return Decision(allowed.name, "access", why, runner_up=decision.persona)

    def calibrate(self, found: Mapping[str, JsonValue]) -> None:
        """Goes by the `threshold` that `troupe route calibrate` has found, unless the settings name one or it was found
        with another `embedder`."""
        threshold, embedder = found.get("threshold"), found.get("embedder") or None
        classifier = self.classifier  # made now, before anybody waits for it
        if embedder == self._embedder_id and self._threshold is None and isinstance(threshold, int | float):
            classifier.threshold = float(threshold)

    def addressed(self, text: str) -> bool:
        """Whether a line begins or ends by calling the bot or one of its personas by name."""
        return self._by_address(text) is not None or self._bot_call.search(text) is not None

    def _by_request(self, asked: str | None) -> Decision | None:
        persona = self._named(asked)
        return Decision(persona.name, "request", f"{persona.display} was asked for") if persona else None

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

    def _by_words(self, text: str, vector: Sequence[float] | None, spoken: str | None, wanted: str | None) -> Decision:
        """Whoever speaks in the session already, unless the talk has plainly moved on; else whoever is likely enough
        meant; else the default."""
        speaks, default = self._named(spoken), self._named(wanted) or self._personas[0]
        if len(self._personas) == 1 or not text.strip():
            if speaks is not None:
                return Decision(speaks.name, "session", f"{speaks.display} speaks in this session already")
            return Decision(default.name, "default", "it is the default and no persona's words fit better")
        return self._weighed(self.classifier.scores(text, vector), speaks, default)

    def _in_parts(self, decision: Decision, text: str, among: frozenset[str] | None) -> Decision:
        """The decision with the topics of the message. Where messages are split and all who are meant may answer, each
        answers its part; what is addressed to one is for nobody else who is not called by name as well."""
        found = segments(text, self.classifier)
        if len(found) < 2:
            return decision
        decision = replace(decision, segments=found)
        shares = _shares(found, decision.persona)
        kept_whole = decision.rule == "address" and any(each.confidence < 1 for each in found)
        barred = among is not None and not {each.persona for each in shares} <= among
        if not self._split or kept_whole or barred or len(shares) < 2:
            return decision
        told = "the message has several topics, and each is answered by whom it fits"
        return replace(decision, persona=shares[0].persona, rule="split", detail=told, shares=shares, between=())

    def _weighed(self, verdict: Verdict, speaks: PersonaSettings | None, default: PersonaSettings) -> Decision:
        likely = dict(verdict.ranked)
        best = verdict.ranked[0][0]
        moved = ""
        if speaks is not None:
            now, left = likely[best], likely[speaks.name]
            if not verdict.sure or now - left < _CLEARLY or left > _HARDLY:
                told = f"{speaks.display} speaks in this session already"
                return self._scored(Decision(speaks.name, "session", told), verdict)
            moved = f", and the talk has moved on from {speaks.display}"
        if verdict.sure:
            return self._scored(Decision(best, "classifier", f"its words fit the message best{moved}"), verdict)
        told = "it is the default and no persona's words fit better"
        (_, first), (_, second) = two = verdict.ranked[:2]
        close = second >= _LIKELY and first - second <= _CLOSE
        return self._scored(Decision(default.name, "default", told, between=two if close else ()), verdict)

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
