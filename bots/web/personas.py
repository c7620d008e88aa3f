"""The bot's personas, and which of them would answer a line."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from storage.model import storable

from .callers import Reader
from .desk import At

router = APIRouter(prefix="/api", tags=["personas"])


class PersonaShown(BaseModel):
    """A voice the bot can take."""

    name: str
    display: str
    description: str
    default: bool
    """Whether it answers where no other is found."""
    avatar: str | None
    aliases: list[str]
    domains: list[str]
    keywords: list[str]
    examples: list[str]
    """Lines that people might say to it."""
    temperature: float | None
    prompt: str | None
    """Who it is and how it speaks; for whoever runs the bot alone."""


class PersonasShown(BaseModel):
    """The bot's personas."""

    items: list[PersonaShown]


@router.get("/personas")
async def personas(desk: At, caller: Reader) -> PersonasShown:
    """Whom one can talk with."""
    fields = set(PersonaShown.model_fields) - {"default", "prompt"}
    return PersonasShown(
        items=[
            PersonaShown(
                **each.model_dump(include=fields),
                default=place == 0,
                prompt=each.prompt if caller.may("admin") else None,
            )
            for place, each in enumerate(desk.settings.personas)
        ]
    )


class WeighedShown(BaseModel):
    """What speaks for one persona."""

    persona: str
    likely: float
    signals: dict[str, float]


class ShareShown(BaseModel):
    """What one persona answers of a message on several topics."""

    persona: str
    spans: list[tuple[int, int]]
    """From, to, in characters."""


class SegmentShown(BaseModel):
    """One topic of a message."""

    start: int
    end: int
    persona: str | None
    score: float


class RouteShown(BaseModel):
    """Who would answer a line, and why."""

    persona: str
    display: str
    rule: str
    detail: str
    sentence: str
    score: float
    runner_up: str | None
    runner_up_score: float
    threshold: float
    """How likely a persona must be to answer for its words."""
    sure: bool
    weighed: list[WeighedShown]
    """Every persona, the likeliest first."""
    shares: list[ShareShown]
    segments: list[SegmentShown]


@router.get("/route")
async def route(desk: At, caller: Reader, text: Annotated[str, Query(min_length=1, max_length=4_000)]) -> RouteShown:
    """Who would answer, were that said in a place without rules of its own; nothing is kept."""
    casting = desk.bot.casting
    decision, verdict = await casting.tried(storable(text))
    persona = desk.settings.persona(decision.persona)
    return RouteShown(
        persona=decision.persona,
        display=persona.display if persona else decision.persona,
        rule=decision.rule,
        detail=decision.detail,
        sentence=str(decision),
        score=decision.score,
        runner_up=decision.runner_up,
        runner_up_score=decision.runner_up_score,
        threshold=casting.router.classifier.threshold,
        sure=verdict.sure,
        weighed=[
            WeighedShown(persona=name, likely=likely, signals=dict(verdict.signals.get(name, {})))
            for name, likely in verdict.ranked
        ],
        shares=[ShareShown(persona=each.persona, spans=list(each.spans)) for each in decision.shares],
        segments=[
            SegmentShown(start=each.start_pos, end=each.end_pos, persona=each.topic or None, score=each.confidence)
            for each in decision.segments
        ],
    )
