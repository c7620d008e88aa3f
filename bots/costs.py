"""What an answer costs: seconds and US dollars on every usage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import cast

from storage.model import Usage

from .providers import Chunk, Prompt, Provider
from .settings import Price


class Metered:
    """A provider whose usage tells the time and the money it took.

    `cost_micros` follows the price people wrote, else the table of genai-prices as installed (never fetched). It
    stays None for a model nobody knows the price of, and where a server told no token counts; the offline provider
    costs nothing. `base_url` says whose price list counts; None is the provider's own service."""

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
        self._looked_up = False

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        start = self._now()
        async with aclosing(cast("AsyncGenerator[Chunk, None]", self._provider.stream(prompt))) as chunks:
            async for chunk in chunks:
                if chunk.usage is None:
                    yield chunk
                else:
                    seconds = round(self._now() - start, 3)
                    yield replace(chunk, usage=await self._metered(chunk.usage, seconds))

    async def close(self) -> None:
        await self._provider.close()

    async def _metered(self, usage: Usage, seconds: float) -> Usage:
        return usage.model_copy(update={"seconds": seconds, "cost_micros": await self._cost(usage)})

    async def _cost(self, usage: Usage) -> int | None:
        if usage.provider == "offline":
            return 0
        if not usage.tokens_in and not usage.tokens_out:
            return None
        if self._price is not None:
            return written_cost(self._price, usage)
        if self._looked_up:
            return listed_cost(usage, self._base_url)
        # The first look loads the table, a fifth of a second: too long for a loop that other turns share.
        self._looked_up = True
        return await asyncio.to_thread(listed_cost, usage, self._base_url)


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
