"""Who answers a turn: what is known of it is put before the router, with what its words mean where that is known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

import structlog

from storage.backend import Store
from storage.errors import StorageError
from storage.model import Channel, Session, Usage
from storage.records import Setting

from .classifier import Verdict
from .errors import ProviderError
from .lanes import Turn
from .places import Places
from .providers import Embedder, Provider
from .router import ContextRouter, Decision
from .settings import BotSettings
from .tie_breaks import TieBreaks

log = structlog.get_logger()

CALIBRATION = "routing"
"""The id of the setting that holds what `troupe route calibrate` has found."""
_NOWHERE = Channel(front="web", id="route", kind="channel", name="")
_WITHIN = 0.3
"""Seconds that a message's meaning may take; then its words alone count."""
_AGAIN = 60.0
"""Seconds after which learning what the personas mean is tried again, should it have failed."""


@dataclass(frozen=True, slots=True)
class Cast:
    """Who answers by the rules and the words alone, and how to find out more."""

    decision: Decision
    text: str
    models: frozenset[str] | None
    """Those that may be asked; None is all."""
    decide: Callable[..., Decision]
    """The router, with all that is known of the turn; it takes the vector of the text beside."""
    usage: Usage | None = None
    """What a model took that was asked who was meant."""


class Casting:
    """Finds the personas for one bot's turns. `chosen` tells who was chosen to speak in a place; without `embedder`
    words alone count. `provider` is asked in a tie, where the settings allow it."""

    def __init__(
        self,
        settings: BotSettings,
        places: Places,
        store: Store,
        provider: Provider,
        *,
        chosen: Callable[[Channel], str | None],
        now: Callable[[], datetime],
        embedder: Embedder | None = None,
    ) -> None:
        self._settings = settings
        self._chosen = chosen
        useful = embedder is not None and embedder.semantic and len(settings.personas) > 1
        self._embedder = embedder if useful else None
        self.router = ContextRouter(
            settings,
            places.home_name,
            category=places.category,
            embedder_id=self._embedder.id if self._embedder else None,
        )
        most = settings.routing.tie_breaks
        self._tie_breaks = TieBreaks(store, provider, most, now=now) if most else None
        self._store = store
        self._starting: asyncio.Task[None] | None = None
        self._learning: asyncio.Task[None] | None = None

    async def start(self, before: Casting | None = None) -> None:
        """Goes by what calibrating has found, and begins to learn what the personas' cards mean, as far as the one
        `before` has not: until that is done words alone count. Raises `StorageError`."""
        if len(self._settings.personas) == 1:
            return
        found = await self._store.record(Setting, CALIBRATION)
        self.router.calibrate(found.values if found else {})
        if self._embedder is not None:
            self._learning = asyncio.ensure_future(self._learn(self._embedder, before))

    def begin(self, before: Casting) -> None:
        """Starts beside everything else, in place of the one `before`."""
        before.close()
        self._starting = asyncio.ensure_future(self._started(before))

    def close(self) -> None:
        """Leaves off learning."""
        for task in (self._starting, self._learning):
            if task is not None:
                task.cancel()

    def cast(self, turn: Turn, session: Session) -> Cast:
        """Who answers, as far as nothing has to be waited for."""
        text = "\n".join(message.words for message in turn.lines)
        decide = partial(
            self.router.decide,
            text,
            session.channel,
            session_persona=session.persona,
            replied_persona=next((each.persona for each in reversed(turn.replied) if each.persona), None),
            roles=turn.terms.roles,
            chosen=self._chosen(session.channel),
            asked=turn.terms.persona,
            default=turn.terms.default,
            among=turn.terms.personas,
        )
        return Cast(decide(), text, turn.terms.models, decide)

    def open(self, cast: Cast) -> bool:
        """Whether more could be found out about it, for which somebody has to wait."""
        return cast.decision.weighed and (
            (self._embedder is not None and bool(cast.text.strip()))
            or (self._tie_breaks is not None and bool(cast.decision.between))
        )

    async def tried(self, text: str) -> tuple[Decision, Verdict]:
        """What would be decided about a line, were it said in a place without rules, and how it was weighed."""
        vector = await self._vector(text)
        decision = self.router.decide(text, _NOWHERE, session_persona=None, replied_persona=None, vector=vector)
        return decision, self.router.classifier.scores(text, vector)

    async def considered(self, cast: Cast) -> Cast:
        """Who answers once the meaning of the message and, in a tie, a model have been asked. It takes no longer than
        2.3 seconds and never raises: what goes wrong is for the log, and who was found before answers."""
        try:
            return await self._considered(cast)
        except Exception:
            log.exception("routing.broke")
            return cast

    async def _considered(self, cast: Cast) -> Cast:
        if (vector := await self._vector(cast.text)) is not None:
            cast = replace(cast, decision=cast.decide(vector=vector, topics=cast.decision.segments))
        names = dict(cast.decision.between)
        if self._tie_breaks is None or not names:
            return cast
        between = [persona for persona in self._settings.personas if persona.name in names]
        name, usage = await self._tie_breaks.broken(cast.text, between, cast.models)
        cast = replace(cast, usage=usage)
        return replace(cast, decision=_told(cast.decision, name)) if name is not None else cast

    async def _started(self, before: Casting) -> None:
        try:
            await self.start(before)
        except StorageError as error:
            log.warning("routing.uncalibrated", error=str(error))

    async def _learn(self, embedder: Embedder, before: Casting | None) -> None:
        while True:
            try:
                await self.router.classifier.ready(embedder, before.router.classifier if before else None)
                return
            except Exception as error:
                log.warning("routing.no_meaning", error=str(error), exc_info=not isinstance(error, ProviderError))
                await asyncio.sleep(_AGAIN)

    async def _vector(self, text: str) -> Sequence[float] | None:
        """What an embedder makes of a text; None where there is none, it fails, or it takes too long."""
        if self._embedder is None or self._learning is None or not self._learning.done():
            return None
        try:
            async with asyncio.timeout(_WITHIN):
                return (await self._embedder.embed([text]))[0]
        except (TimeoutError, ProviderError):  # the embedder tells the log itself
            return None


def _told(decision: Decision, name: str) -> Decision:
    """The decision after a model has said which of the two was meant."""
    score = dict(decision.between)[name]
    ((other, other_score),) = (pair for pair in decision.between if pair[0] != name)
    told = f"its words fit {name} and {other} alike, and a model took {name} for the one meant"
    return replace(
        decision, persona=name, rule="tie", detail=told, score=score, runner_up=other, runner_up_score=other_score
    )
