"""Patience with one provider: tries again what passes, bounds every silence, and leaves a broken one alone."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import cast

import structlog

from ..errors import ProviderError, ProviderFailure
from ..settings import Retries
from . import Chunk, Prompt, Provider, Trouble

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_BASE = 0.5
"""Seconds: the first wait is random below this, and every further one below twice the bound before."""
_LONGEST = 8.0
_MOST = 30.0
"""The longest wait a provider may ask for. One that asks for more is given up, so that the next can answer."""

_OF_THE_QUESTION = ("rejected", "too_long", "filtered")


class Patient:
    """A provider asked up to `attempts` times, as long as nothing has been said and the failure may pass.

    A failure that no further attempt made good is its `trouble` until it answers again. The log has each kind once.

    After `breaker_failures` failures in a row it is left alone for `breaker_rest` seconds and refuses at once;
    then one question tries it. Failures that only concern a question (rejected, too long, filtered) don't count."""

    def __init__(
        self,
        provider: Provider,
        retries: Retries,
        *,
        now: Callable[[], float] = time.monotonic,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        date: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.name = provider.name
        self.model = provider.model
        self.trouble: Trouble | None = None
        """How it failed last; None while it answers, or was never asked."""
        self._provider = provider
        self._retries = retries
        self._wait = wait
        self._chance = chance
        self._date = date
        self._logged: set[ProviderFailure] = set()
        self._breaker = Breaker(retries.breaker_failures, retries.breaker_rest, now)

    @property
    def resting(self) -> bool:
        """Whether it would refuse a question right now."""
        return self._breaker.refuses

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        for attempt in range(1, self._retries.attempts + 1):
            probing = self._breaker.enter()
            limit = self._retries.first_word
            said = False
            try:
                async with aclosing(cast("AsyncGenerator[Chunk, None]", self._provider.stream(prompt))) as chunks:
                    while (chunk := await self._next(chunks, limit)) is not None:
                        if not said:
                            self._breaker.answered()
                            said, limit = True, self._retries.between_words
                        yield chunk
                self._breaker.finished()
                self._well()
                return
            except ProviderError as error:
                self._breaker.failed(error)
                if said or attempt == self._retries.attempts or not self._worth_waiting(error):
                    self._note(error)
                    raise
                delay = self._delay(attempt, error)
            finally:
                if probing:
                    self._breaker.probed()
            await self._wait(delay)

    async def close(self) -> None:
        await self._provider.close()

    async def _next(self, chunks: AsyncGenerator[Chunk, None], limit: float) -> Chunk | None:
        """The next chunk, None at the end. Only the provider is timed, never the one who reads."""
        try:
            async with asyncio.timeout(limit):
                return await anext(chunks, None)
        except TimeoutError:
            raise ProviderError("timeout", f"{self.model} was silent for {limit:g} s") from None

    def _note(self, error: ProviderError) -> None:
        if error.kind in _OF_THE_QUESTION:
            self._well()
            return
        if self.trouble is None or self.trouble.kind != error.kind:
            self.trouble = Trouble(error.kind, self._date())
        if error.kind not in self._logged:
            self._logged.add(error.kind)
            log.warning("model.failing", provider=self.name, model=self.model, kind=error.kind, detail=error.detail)

    def _well(self) -> None:
        if self.trouble is not None:
            log.info("model.answers_again", provider=self.name, model=self.model, after=self.trouble.kind)
        self.trouble = None
        self._logged.clear()

    def _worth_waiting(self, error: ProviderError) -> bool:
        return error.passing and (error.retry_after or 0) <= _MOST and not self._breaker.refuses

    def _delay(self, attempt: int, error: ProviderError) -> float:
        # Full jitter: bots that failed together do not come back together.
        bound: float = _BASE * 2 ** (attempt - 1)
        return self._chance() * min(_LONGEST, bound) + (error.retry_after or 0.0)


class Breaker:
    """Closed while all is well; open, and refusing, after failures in a row; half open while one question tries."""

    def __init__(self, failures: int, rest: float, now: Callable[[], float]) -> None:
        self._allowed = failures
        self._rest = rest
        self._now = now
        self._failures = 0
        self._open_until: float | None = None
        self._probing = False

    @property
    def refuses(self) -> bool:
        return self._open_until is not None and (self._probing or self._now() < self._open_until)

    def enter(self) -> bool:
        """Lets a question through, or raises; true for the one question that tries an open breaker, whose
        asker calls `probed` in the end."""
        if self._open_until is None:
            return False
        if self.refuses:
            left = max(0.0, self._open_until - self._now())
            raise ProviderError("unavailable", f"left alone after {self._failures} failures, for {left:.0f} s more")
        self._probing = True
        return True

    def answered(self) -> None:
        """A first word came: the provider is back."""
        self._open_until = None

    def finished(self) -> None:
        """An answer was whole: failures before it are forgotten."""
        self._failures = 0

    def failed(self, error: ProviderError) -> None:
        if error.kind in _OF_THE_QUESTION:
            self.answered()
            self.finished()
            return
        self._failures += 1
        if self._failures >= self._allowed:
            self._open_until = self._now() + self._rest

    def probed(self) -> None:
        """The trial is over, whatever came of it; one given up half-way lets the next question try."""
        self._probing = False
