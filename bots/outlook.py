"""What a model is shown of a session beside its lines, and what people are told about that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from storage.model import Session

from .sessions import GapFrom
from .spans import span

_DECIDED: dict[GapFrom, str] = {
    "channel": "set for this place",
    "guild": "set for this server",
    "settings": "by the bot's configuration",
}


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the next line in a channel meets."""

    session: Session
    over: bool
    """Whether the next line begins a new session instead."""
    gap: float | None
    """The silence that ends a session, in seconds."""
    decided: GapFrom
    messages: int
    """How many a model would be shown."""
    tokens: int
    """What they weigh, roughly."""
    carry_over: str
    """What a model is told about the session before; words of people."""
    in_mind: tuple[str, ...]
    """What people asked the bot to remember in the place: who said what; words of people."""

    def told(self, inert: Callable[[str], str] = str) -> str:
        """The same for people; `inert` makes names and words of people harmless where they are shown."""
        people = ", ".join(inert(each.name) for each in self.session.participants if each.type == "user")
        silence = (
            "No silence ends a session" if self.gap is None else f"A session ends after {span(self.gap)} of silence"
        )
        lines = [
            "The next line begins a new session."
            if self.over
            else f"I see {self.messages} messages, about {self.tokens} tokens.",
            f"With {people or 'nobody yet'}.",
            f"Persona: {inert(self.session.persona)}." if self.session.persona else "",
            f"{silence} ({_DECIDED[self.decided]}).",
            f"From before: {inert(self.carry_over)}" if self.carry_over else "",
            f"Summary: {inert(self.session.context.summary)}" if self.session.context.summary else "",
            *(f"In mind: {inert(each)}" for each in self.in_mind),
            *([] if self.over else self._aims(inert)),
        ]
        return "\n".join(filter(None, lines))

    def _aims(self, inert: Callable[[str], str]) -> list[str]:
        context = self.session.context
        told = (("Goal", context.goals), ("Constraint", context.constraints), ("Known", context.shared_knowledge))
        return [f"{word}: {inert(each)}" for word, those in told for each in those]
