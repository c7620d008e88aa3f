"""Providers in order: the next answers when the one before cannot."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import cast

from ..errors import ProviderError, ProviderFailure
from . import Chunk, Prompt, Provider, begun

_WHY: dict[ProviderFailure, str] = {
    "auth": "not set up",
    "rate_limit": "busy",
    "timeout": "too slow",
    "unavailable": "out of reach",
}
"""The failures that another model can make good. The rest is about the question: it would fail there too, or get
an answer that the first model refused to give."""
_NOT_ALLOWED = "The models that may be asked here are not available; this is the offline answer."

Failed = tuple[Provider, ProviderError]


class Chain:
    """Asks those of its providers that may be asked, in order, until one says a first word.

    When one that may be asked has failed before it, or only the offline one may be, a notice comes ahead of its words.
    The first chunk of words tells by its usage who answers. A failure after it is raised: what was said stands. When
    all have failed, the first one's failure is raised, with the details of all."""

    def __init__(self, providers: Sequence[Provider]) -> None:
        self.providers = tuple(providers)
        self.name = self.providers[0].name
        self.model = self.providers[0].model

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        asked = [provider for provider in self.providers if _may_be_asked(provider, prompt)]
        if not asked:
            raise ProviderError("unavailable", "none of the models that may be asked is in the chain")
        wanted = len(asked) == len(self.providers) or "offline" in (prompt.models or ())
        ahead = _NOT_ALLOWED if asked[0].name == "offline" and not wanted else ""
        failed: list[Failed] = []
        for provider in asked:
            said = False
            told = notice(failed, provider) if failed else ahead
            question = replace(prompt, announced=bool(told))
            try:
                async with aclosing(cast("AsyncGenerator[Chunk, None]", provider.stream(question))) as chunks:
                    async for chunk in chunks:
                        if said:
                            yield chunk
                            continue
                        said = True
                        if told:
                            yield Chunk(notice=told)
                        yield replace(chunk, usage=chunk.usage or begun(provider))
                return
            except ProviderError as error:
                if said or error.kind not in _WHY:
                    raise
                failed.append((provider, error))
        raise _summed_up(failed)

    async def close(self) -> None:
        for provider in self.providers:
            await provider.close()


def _may_be_asked(provider: Provider, prompt: Prompt) -> bool:
    return prompt.models is None or provider.name == "offline" or provider.model in prompt.models


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
