"""What an answer costs: seconds and US dollars on every usage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import cast

from storage.model import Usage

from .prompt import tokens, weighed
from .providers import Chunk, Prompt, Provider, begun
from .settings import Price


class Metered:
    """A provider whose usage tells the time and the money it took.

    `cost_micros` follows the price people wrote, else the table of genai-prices as installed (never fetched). It
    stays None for a model nobody knows the price of, and where a server told no token counts; the offline provider
    costs nothing. What an answer takes that is broken off is guessed, see `Chunk.so_far`. `base_url` says whose price
    list counts; None is the provider's own service."""

    def __init__(
        self,
        provider: Provider,
        price: Price | None = None,
        *,
        base_url: str | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = provider.name
        self.model = provider.model
        self._provider = provider
        self._price = price
        self._base_url = base_url
        self._now = now
        self._table: asyncio.Future[int | None] | None = None

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        start, begins = self._now(), True
        self._load()
        async with aclosing(cast("AsyncGenerator[Chunk, None]", self._provider.stream(prompt))) as chunks:
            async for chunk in chunks:
                if chunk.usage is not None:
                    chunk = replace(chunk, usage=await self._metered(chunk.usage, self._since(start)))
                elif begins:
                    chunk = replace(
                        chunk, usage=begun(self._provider), so_far=lambda words: self._guessed(prompt, words, start)
                    )
                begins = False
                yield chunk

    async def close(self) -> None:
        await self._provider.close()

    def _load(self) -> None:
        """Has the table loaded, a fifth of a second, while the model thinks: too long for a loop that turns share."""
        if self._table is None and self._price is None and self.name != "offline":
            probe = Usage(provider=self.name, model=self.model, tokens_in=1)
            self._table = asyncio.get_running_loop().run_in_executor(None, listed_cost, probe, self._base_url)

    def _since(self, start: float) -> float:
        return round(self._now() - start, 3)

    def _guessed(self, prompt: Prompt, words: str, start: float) -> Usage:
        """What an answer took that ended before the server told; as if nothing had come from its cache."""
        usage = begun(self._provider).model_copy(
            update={"tokens_in": weighed(prompt), "tokens_out": tokens(words), "seconds": self._since(start)}
        )
        return usage.model_copy(update={"cost_micros": self._cost(usage)})

    async def _metered(self, usage: Usage, seconds: float) -> Usage:
        if self._table is not None:
            await asyncio.wait((self._table,))
        return usage.model_copy(update={"seconds": seconds, "cost_micros": self._cost(usage)})

    def _cost(self, usage: Usage) -> int | None:
        if usage.provider == "offline":
            return 0
        if not usage.tokens_in and not usage.tokens_out:
            return None
        if self._price is not None:
            return written_cost(self._price, usage)
        ready = self._table is not None and self._table.done()
        return listed_cost(usage, self._base_url) if ready else None


def written_cost(price: Price, usage: Usage) -> int:
    """Millionths of a US dollar by a price people wrote; cached tokens cost like others unless it says more."""
    read = price.input if price.cache_read is None else price.cache_read
    write = price.input if price.cache_write is None else price.cache_write
    fresh = max(0, usage.tokens_in - usage.cache_read - usage.cache_write)
    # Dollars for a million tokens are millionths of a dollar for one.
    cost = fresh * price.input + usage.cache_read * read + usage.cache_write * write + usage.tokens_out * price.output
    return round(cost)


def listed_cost(usage: Usage, base_url: str | None = None) -> int | None:
    """Millionths of a US dollar by the table, None for what it does not know."""
    import genai_prices

    tokens = genai_prices.Usage(
        input_tokens=usage.tokens_in,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write,
        output_tokens=usage.tokens_out,
    )
    try:
        if base_url is None:
            found = genai_prices.calc_price(tokens, usage.model, provider_id=usage.provider)
        else:
            found = genai_prices.calc_price(tokens, usage.model, provider_api_url=base_url)
    except (LookupError, ValueError):
        return None
    return round(found.total_price * 1_000_000)
