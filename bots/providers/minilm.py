"""The small local embedder: all-MiniLM-L6-v2 from its two files, with numpy and nothing else."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..embedding import VOCABULARY, WEIGHTS
from ..errors import ProviderError
from .wordpiece import WordPiece

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_LAYERS, _WIDTH, _HEADS = 6, 384, 12
_LEAST = 1e-12
_MOST_TOKENS = 256
"""Of one text: the model was trained on no longer ones."""
_MOST_TEXTS, _MOST_TOGETHER = 16, 160
"""Texts and tokens of one hop, about 40 ms: so long a question waits behind texts embedded in the background."""


class MiniLM:
    """all-MiniLM-L6-v2 on this machine: English above all, some meaning in other languages.

    The weights are looked at where they lie: processes that use the same file share one copy in memory."""

    id = "minilm-l6-v2"
    dimensions: int | None = _WIDTH
    semantic = True

    def __init__(self, folder: Path) -> None:
        """`folder` holds `model.safetensors` and `vocab.txt`, which are opened with the first texts."""
        self._folder = folder
        self._model: _Model | None = None
        self._closed = False
        self._one_at_a_time = asyncio.Lock()

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        vectors: list[tuple[float, ...]] = [()] * len(texts)
        rest = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        while rest:
            # Those who wait are served in turn: a single question comes between two hops of many texts.
            async with self._one_at_a_time:
                done = await asyncio.to_thread(self._hop, [texts[number] for number in rest[:_MOST_TEXTS]])
            for number, vector in zip(rest, done, strict=False):
                vectors[number] = vector
            rest = rest[len(done) :]
        return vectors

    async def close(self) -> None:
        self._closed = True
        self._model = None

    def _hop(self, texts: list[str]) -> list[tuple[float, ...]]:
        """The vectors of as many of the first texts as one hop may take, at least one."""
        model = self._loaded()
        ids: list[list[int]] = []
        size = 0
        for text in texts:
            tokens = model.words.ids(text, _MOST_TOKENS)
            size += len(tokens)
            if ids and size > _MOST_TOGETHER:
                break
            ids.append(tokens)
        return [tuple(row) for row in model.vectors(ids).tolist()]

    def _loaded(self) -> _Model:
        if self._closed:
            raise ProviderError("unavailable", "the embedder is closed")
        if self._model is None:
            try:
                self._model = _Model(self._folder)
            except (OSError, ValueError, KeyError, ImportError) as error:
                raise ProviderError("unavailable", f"{self._folder}: {type(error).__name__}: {error}") from None
        return self._model


class _Model:
    """BERT's encoder, its weights views of the mapped file."""

    def __init__(self, folder: Path) -> None:
        import numpy as np

        self._np = np
        self.words = WordPiece((folder / VOCABULARY).read_text(encoding="utf-8").splitlines())
        weights = _tensors(folder / WEIGHTS)
        self._word = weights["embeddings.word_embeddings.weight"]
        if self._word.shape != (self.words.size, _WIDTH):
            raise ValueError(f"{WEIGHTS} and {VOCABULARY} are not of one model of {_WIDTH} numbers")
        kind = weights["embeddings.token_type_embeddings.weight"][0]
        self._place = weights["embeddings.position_embeddings.weight"][:_MOST_TOKENS] + kind
        self._norm = _Norm(weights, "embeddings.LayerNorm")
        self._layers = [_Layer(weights, f"encoder.layer.{number}.") for number in range(_LAYERS)]

    def vectors(self, texts: Sequence[Sequence[int]]) -> Floats:
        """A row of length 1 for each text. Inside, tokens are columns, the texts' one after the other: none is padded,
        and the weights are read in the order in which they lie."""
        np = self._np
        ends = np.cumsum([len(ids) for ids in texts]).tolist()
        spans = list(zip([0, *ends[:-1]], ends, strict=True))
        flat = np.concatenate([np.asarray(ids) for ids in texts])
        places = np.concatenate([np.arange(len(ids)) for ids in texts])
        hidden = self._norm(np.ascontiguousarray((self._word[flat] + self._place[places]).T))
        for layer in self._layers:
            hidden = layer(hidden, spans)
        means: Floats = np.stack([hidden[:, start:end].mean(axis=1) for start, end in spans])
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), _LEAST)
        return means


class _Layer:
    """Attention among a text's tokens, then a step for each token by itself."""

    def __init__(self, weights: dict[str, Floats], name: str) -> None:
        self._query, self._key, self._value = (
            _Dense(weights, f"{name}attention.self.{part}") for part in ("query", "key", "value")
        )
        self._told = _Dense(weights, f"{name}attention.output.dense")
        self._told_norm = _Norm(weights, f"{name}attention.output.LayerNorm")
        self._wide = _Dense(weights, f"{name}intermediate.dense")
        self._narrow = _Dense(weights, f"{name}output.dense")
        self._norm = _Norm(weights, f"{name}output.LayerNorm")

    def __call__(self, hidden: Floats, spans: Sequence[tuple[int, int]]) -> Floats:
        query, key, value = self._query(hidden), self._key(hidden), self._value(hidden)
        query *= 1 / math.sqrt(_WIDTH // _HEADS)
        heard = query  # each text's columns are taken before they are written
        for start, end in spans:
            heard[:, start:end] = _attended(query[:, start:end], key[:, start:end], value[:, start:end])
        hidden = self._told_norm(hidden + self._told(heard))
        return self._norm(hidden + self._narrow(_gelu(self._wide(hidden))))


def _attended(query: Floats, key: Floats, value: Floats) -> Floats:
    """What each token of one text hears of the others, head by head."""
    import numpy as np

    heads = (_HEADS, _WIDTH // _HEADS, query.shape[1])
    # Copies that lie together: numpy hands nothing else to BLAS.
    queries = np.ascontiguousarray(query.reshape(heads).transpose(0, 2, 1))
    shares = queries @ np.ascontiguousarray(key.reshape(heads))
    shares -= shares.max(axis=-1, keepdims=True)
    np.exp(shares, out=shares)
    shares /= shares.sum(axis=-1, keepdims=True)
    values = np.ascontiguousarray(value.reshape(heads))
    return (values @ shares.transpose(0, 2, 1)).reshape(query.shape)


class _Dense:
    def __init__(self, weights: dict[str, Floats], name: str) -> None:
        self._weight, self._bias = weights[f"{name}.weight"], weights[f"{name}.bias"][:, None]

    def __call__(self, tokens: Floats) -> Floats:
        told = self._weight @ tokens
        told += self._bias
        return told


class _Norm:
    def __init__(self, weights: dict[str, Floats], name: str) -> None:
        self._weight, self._bias = weights[f"{name}.weight"][:, None], weights[f"{name}.bias"][:, None]

    def __call__(self, tokens: Floats) -> Floats:
        import numpy as np

        tokens = tokens - tokens.mean(axis=0)
        tokens /= np.sqrt((tokens * tokens).mean(axis=0) + np.float32(_LEAST))
        tokens *= self._weight
        tokens += self._bias
        return tokens


def _gelu(tokens: Floats) -> Floats:
    """x · Φ(x), by tanh: numpy has no erf, and the vectors' cosines differ by less than a thousandth."""
    import numpy as np

    grown = tokens * tokens
    grown *= np.float32(0.044715 * _STEEP)
    grown += np.float32(_STEEP)
    grown *= tokens
    np.tanh(grown, out=grown)
    grown += 1
    grown *= tokens
    grown *= np.float32(0.5)
    return grown


_STEEP = math.sqrt(2 / math.pi)


def _tensors(path: Path) -> dict[str, Floats]:
    """The float32 tensors of a safetensors file by name, not read but mapped. Raises `ValueError` for another file."""
    import numpy as np

    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header: Any = json.loads(file.read(size)) if 0 < size <= _LONGEST_HEADER else None
    if not isinstance(header, dict):
        raise ValueError(f"{path.name} is not a safetensors file")
    mapped = np.memmap(path, dtype=np.uint8, mode="r", offset=8 + size)
    found: dict[str, Floats] = {}
    for name, tensor in header.items():
        if tensor.get("dtype") == "F32":
            start, end = tensor["data_offsets"]
            found[name] = np.asarray(mapped[start:end]).view(np.float32).reshape(tensor["shape"])
    return found


_LONGEST_HEADER = 1 << 20
