"""Vectors from OpenAI's embeddings, and from every server that speaks them: Ollama, vLLM, LM Studio."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from ..errors import ProviderError
from .failures import provider_error
from .openai import client

_MOST_TEXTS, _MOST_CHARACTERS = 128, 100_000
"""Of one request; OpenAI takes 2,048 texts and 300,000 tokens, other servers less."""
_LONGEST = 8_000
"""Bytes of one text: OpenAI refuses more than 8,191 tokens, each of which is at least a byte."""
_RETRIES = 3
_WITHIN = 30.0
"""Seconds for one request."""


class OpenAIEmbeddings:
    """One embedding model behind OpenAI's wire. What passes is tried again by the SDK, with growing pauses."""

    semantic = True

    def __init__(self, model: str, api_key: str = "", base_url: str | None = None, *, retries: int = _RETRIES) -> None:
        """`base_url` names any compatible server; one that wants no key gets none of ours.

        Imports the SDK, which takes about half a second: to be called before a bot is open to people."""
        self.id = f"openai:{model}"
        self.dimensions: int | None = None
        self._model = model
        self._key = api_key
        self._client = client(api_key, base_url, retries=retries)
        self._embeddings = self._client.embeddings  # looked up now, so that what it imports is loaded

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        asked = [_cut(text) if text.strip() else "." for text in texts]  # an empty text is refused
        vectors: list[tuple[float, ...]] = []
        for start, end in pairwise(_cuts(asked)):
            vectors += await self._embedded(asked[start:end])
        return vectors

    async def close(self) -> None:
        await self._client.close()

    async def _embedded(self, texts: list[str]) -> list[tuple[float, ...]]:
        try:
            # As numbers: the SDK's own choice, base64, is not understood everywhere.
            answer = await self._embeddings.create(
                model=self._model, input=texts, encoding_format="float", timeout=_WITHIN
            )
            rows = sorted(answer.data, key=lambda each: each.index)
            vectors = [_unit(each.embedding) for each in rows]
        except Exception as error:
            raise provider_error(error, self._key) from None
        if len(vectors) != len(texts) or len(lengths := {len(vector) for vector in vectors}) != 1:
            raise ProviderError("unavailable", f"{len(texts)} texts were asked for, {len(vectors)} vectors came")
        if self.dimensions not in (None, *lengths):
            raise ProviderError("unavailable", f"vectors of {lengths.pop()} numbers came, {self.dimensions} before")
        self.dimensions = lengths.pop()
        return vectors


def _cut(text: str) -> str:
    return text[:_LONGEST].encode(errors="replace")[:_LONGEST].decode(errors="ignore")


def _cuts(texts: Sequence[str]) -> list[int]:
    """Where one request ends and the next begins."""
    cuts, size = [0], 0
    for number, text in enumerate(texts):
        size += len(text)
        if number > cuts[-1] and (number - cuts[-1] >= _MOST_TEXTS or size > _MOST_CHARACTERS):
            cuts.append(number)
            size = len(text)
    return [*cuts, len(texts)] if texts else [0]


def _unit(numbers: Sequence[float]) -> tuple[float, ...]:
    length = math.hypot(*numbers)
    if not math.isfinite(length) or not length:
        raise ProviderError("unavailable", "a vector came that points nowhere")
    return tuple(number / length for number in numbers)
