"""Lines tried on a bot's router from outside the bot: as it would decide, were they said in a place without rules."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from storage.model import Channel
from storage.progress import Tell, silent

from .calibrating import Example, Weighed
from .classifier import Verdict
from .cli_bots import answer_of, opened, utc_now
from .errors import ProviderError
from .providers import Embedder
from .providers.embedding import embedder
from .router import ContextRouter, Decision
from .routing_orders import RoutingOrders
from .settings import BotSettings

_NOWHERE = Channel(front="terminal", id="route", kind="channel", name="")
_TOGETHER = 64


class Trying:
    """A bot's router, and what makes vectors for it, if anything does."""

    def __init__(self, bot: BotSettings, found: Mapping[str, Any], made: Embedder | None) -> None:
        self.bot = bot
        self.without = ""
        """Why the embedder cannot be asked, as a sentence, so that words alone are weighed; empty where it can."""
        self._embedder = made
        self.router = ContextRouter(bot, lambda channel: channel.name, embedder_id=made.id if made else None)
        self.router.calibrate(found)

    async def ready(self) -> None:
        """Learns what the cards mean. Raises `ProviderError`."""
        if self._embedder is not None:
            await self.router.classifier.ready(self._embedder)

    async def explained(self, text: str) -> tuple[Decision, Verdict]:
        """What would be decided about a line, and how it was weighed. Raises `ProviderError`."""
        vector = await self._vector(text)
        decision = self.router.decide(text, _NOWHERE, session_persona=None, replied_persona=None, vector=vector)
        return decision, self.router.classifier.scores(text, vector)

    async def weighed(self, examples: Sequence[Example], tell: Tell = silent) -> list[Weighed]:
        """How likely each line is for whom; `tell` hears how far it is. Raises `ProviderError`."""
        found: list[Weighed] = []
        for start in range(0, len(examples), _TOGETHER):
            tell("lines", start, len(examples))
            part = examples[start : start + _TOGETHER]
            vectors: Sequence[Sequence[float] | None] = [None] * len(part)
            if self._embedder is not None:
                vectors = await self._embedder.embed([each.text for each in part])
            for each, vector in zip(part, vectors, strict=True):
                best, likely = self.router.classifier.scores(each.text, vector).ranked[0]
                found.append(Weighed(each.text, each.persona, best, likely, each.line))
        return found

    def go_without(self, why: str) -> None:
        """Goes by words alone from now on, as the bot itself does then."""
        self._embedder, self.without = None, why

    def own(self) -> list[Weighed]:
        """The personas' own examples, each as if it were new."""
        return [Weighed(text, name, *verdict.ranked[0]) for text, name, verdict in self.router.classifier.own()]

    async def _vector(self, text: str) -> Sequence[float] | None:
        return (await self._embedder.embed([text]))[0] if self._embedder is not None and text.strip() else None


@asynccontextmanager
async def trying(bot: BotSettings, found: Mapping[str, Any], *, by_words: bool = False) -> AsyncIterator[Trying]:
    """The bot's router, which has learned what the cards mean, and goes by what calibrating has found. Where its
    embedder cannot be asked words alone are weighed if `by_words`. Raises `ProviderError`."""
    made = embedder(bot.embedder)
    useful = made if made is not None and made.semantic and len(bot.personas) > 1 else None
    try:
        tried = Trying(bot, found, useful)
        try:
            await tried.ready()
        except ProviderError as error:
            if not by_words:
                raise
            tried.go_without(str(error))
        yield tried
    finally:
        if made is not None:
            await made.close()


async def ordered(bot: BotSettings, verb: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Has the running bot answer an order about routing, or answers it here. Raises `TroupeError` and
    `StorageError`."""
    if (told := await answer_of(bot, "route", verb, given)) is not None:
        return told
    async with opened(bot) as store:
        return dict(await RoutingOrders(lambda: bot, store, now=utc_now).do(verb, given))
