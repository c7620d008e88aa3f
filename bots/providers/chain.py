"""Providers in order: the next answers when the one before cannot."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import cast

from ..errors import ProviderError, ProviderFailure
from . import Chunk, Prompt, Provider

_WHY: dict[ProviderFailure, str] = {
    "auth": "not set up",
    "rate_limit": "busy",
    "timeout": "too slow",
    "unavailable": "out of reach",
}
"""The failures that another model can make good. The rest is about the question: it would fail there too, or get
an answer that the first model refused to give."""

Failed = tuple[Provider, ProviderError]


class Chain:
    """Asks its providers in order until one says a first word.

    When it is not the first of them, a notice comes ahead of its words. A failure after the first word is raised:
    what was said stands. When all have failed, the first one's failure is raised, with the details of all."""

    def __init__(self, providers: Sequence[Provider]) -> None:
        self.providers = tuple(providers)
        self.name = self.providers[0].name
        self.model = self.providers[0].model

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        failed: list[Failed] = []
        for provider in self.providers:
            said = False
            try:
                async with aclosing(cast("AsyncGenerator[Chunk, None]", provider.stream(prompt))) as chunks:
                    async for chunk in chunks:
                        if not said and failed:
                            yield Chunk(notice=notice(failed, provider))
                        said = True
                        yield chunk
                return
            except ProviderError as error:
                if said or error.kind not in _WHY:
                    raise
                failed.append((provider, error))
        raise _summed_up(failed)

    async def close(self) -> None:
        for provider in self.providers:
            await provider.close()


def notice(failed: Sequence[Failed], answering: Provider) -> str:
    """The sentence that tells people who answers, and why not the one they expect."""
    if answering.name == "offline":
        return "No model can be reached right now; this is the offline answer."
    names = [f"{provider.model} ({_WHY[error.kind]})" for provider, error in failed]
    if len(names) == 1:
        return f"{failed[0][0].model} is not answering ({_WHY[failed[0][1].kind]}); {answering.model} answers instead."
    return f"{', '.join(names[:-1])} and {names[-1]} are not answering; {answering.model} answers instead."


def _summed_up(failed: Sequence[Failed]) -> ProviderError:
    detail = "; ".join(f"{provider.model}: {error.detail}" for provider, error in failed)
    first = failed[0][1]
    return ProviderError(first.kind, detail, retry_after=first.retry_after)
