"""Which persona answers, and why: the most specific rule wins, and every decision can explain itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from storage.model import Channel

from .access import HomeName, means
from .settings import BindingSettings, BotSettings, PersonaSettings

Rule = Literal["request", "access", "address", "reply", "thread", "channel", "guild", "session", "keywords", "default"]

KEYWORD_WEIGHT = 0.3
DOMAIN_WEIGHT = 0.5
THRESHOLD = 0.5
"""A persona must score above this to be picked by its words. All three from the seed's `ContextRouter`."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The persona that answers, the rule that picked it, and the scores where words were weighed."""

    persona: str
    rule: Rule
    detail: str
    score: float = 1.0
    runner_up: str | None = None
    runner_up_score: float = 0.0

    def __str__(self) -> str:
        told = f"{self.persona}, because {self.detail}"
        if self.runner_up is not None:
            told += f" (score {self.score:.1f}; next is {self.runner_up} with {self.runner_up_score:.1f})"
        return told


class ContextRouter:
    """Picks among one bot's personas. A binding of a channel holds in its threads; `home_name` tells its name."""

    def __init__(self, settings: BotSettings, home_name: HomeName) -> None:
        self._home_name = home_name
        self._personas = settings.personas
        self._bindings = settings.bindings
        self._calls = {p.name: called((p.display, p.name, *p.aliases)) for p in settings.personas}
        self._bot_call = called((settings.display or settings.name, settings.name))
        self._words = {
            p.name: ([_word_pattern(w) for w in p.keywords], [_word_pattern(w) for w in p.domains])
            for p in settings.personas
        }

    def decide(
        self,
        text: str,
        channel: Channel,
        *,
        session_persona: str | None,
        replied_persona: str | None,
        asked: str | None = None,
        default: str | None = None,
        among: frozenset[str] | None = None,
    ) -> Decision:
        """The persona for a line. `session_persona` is who spoke in the session so far, `replied_persona` whose
        message the line replies to, `asked` who was asked for by a command, `default` who answers where no rule finds
        one; `among` are those who may answer at all."""
        decision = (
            self._by_request(asked)
            or self._by_address(text)
            or self._by_reply(replied_persona)
            or self._by_binding(channel)
            or self._by_session(session_persona)
            or self._by_words(text, default)
        )
        if among is None or decision.persona in among:
            return decision
        allowed = next((persona for persona in self._personas if persona.name in among), None)
        if allowed is None:
            return decision
        why = f"{decision.persona} may not answer here, although {decision.detail}"
        return Decision(allowed.name, "access", why, runner_up=decision.persona)

    def addressed(self, text: str) -> bool:
        """Whether a line begins or ends by calling the bot or one of its personas by name."""
        return self._by_address(text) is not None or self._bot_call.search(text) is not None

    def scores(self, text: str) -> list[tuple[float, PersonaSettings]]:
        """Every persona with the weight of its words in the text, from 0 to 1, the heaviest first."""
        scored = []
        for persona in self._personas:
            keywords, domains = self._words[persona.name]
            score = sum(KEYWORD_WEIGHT for word in keywords if word.search(text))
            score += sum(DOMAIN_WEIGHT for word in domains if word.search(text))
            scored.append((min(score, 1.0), persona))
        return sorted(scored, key=lambda pair: -pair[0])

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

    def _by_binding(self, channel: Channel) -> Decision | None:
        rules: tuple[Literal["thread", "channel", "guild"], ...] = ("thread", "channel", "guild")
        for rule in rules:
            for binding in self._bindings:
                place = getattr(binding, rule)
                if place is not None and _stands_in(binding, channel, self._home_name):
                    return Decision(binding.persona, rule, f"the {rule} {place!r} is bound to it")
        return None

    def _by_session(self, spoken: str | None) -> Decision | None:
        persona = self._named(spoken)
        if persona is None:
            return None
        return Decision(persona.name, "session", f"{persona.display} speaks in this session already")

    def _by_words(self, text: str, wanted: str | None) -> Decision:
        (best, first), *others = self.scores(text)
        second, runner_up = others[0] if others else (0.0, None)
        next_name = runner_up.name if runner_up else None
        if best > THRESHOLD:
            return Decision(first.name, "keywords", "its words fit the message best", best, next_name, second)
        default = self._named(wanted) or self._personas[0]
        why = "it is the default and no persona's words fit better"
        if first is default:
            return Decision(default.name, "default", why, best, next_name, second)
        return Decision(default.name, "default", why, 0.0, first.name, best)

    def _named(self, name: str | None) -> PersonaSettings | None:
        return next((p for p in self._personas if p.name == name), None)


def _stands_in(binding: BindingSettings, channel: Channel, home_name: HomeName) -> bool:
    if binding.thread is not None:
        return channel.kind == "thread" and binding.thread in (channel.id, channel.name)
    if binding.channel is not None:
        return means(binding.channel, home_name(channel), channel.id, channel.parent_id)
    return channel.guild_id is not None and binding.guild in (channel.guild_id, channel.guild_name)


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


def _word_pattern(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)
