"""What passages mean: their vectors, learned in the background, and how near a question must come to them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from storage.vectors import half, whole

from .classifier_background import background
from .errors import ProviderError, ProviderFailure
from .knowledge import Contents
from .knowledge_vectors import key, read, write
from .providers import Embedder

if TYPE_CHECKING:
    import numpy as np

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_MOST = 5_000
"""Passages of one persona that are learned, 12 MB with the local model; and vectors that are kept for none."""
_AT_ONCE = 32
_KEPT_EVERY = 512
"""Passages after which what was learned is kept, though there are more."""
_NOISE = 48
"""Lines of everyday talk that the passages are held against."""
_NEAR, _FAR = 4.25, 2.0
"""Standard deviations of everyday talk's likeness above its mean: so near, a passage is meant though no word of it was
said; below the other, it is not, whatever words it shares."""
_WITHIN = 0.5
"""Seconds after which a question goes by its words alone."""
_AGAIN_AFTER = 60.0
"""Seconds after which an embedder that failed is asked again."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """How near one question is to each passage, in the order of the contents; 1 is the same."""

    passages: Sequence[float]
    near: float
    """From here on a passage is meant."""
    far: float
    """Below this it is not."""


class Meanings:
    """The vectors of whatever contents were asked about last, kept by the text they stand for: what did not change
    is not embedded again."""

    def __init__(
        self, embedder: Embedder, ticks: Callable[[], float] = time.monotonic, *, kept: Path | None = None
    ) -> None:
        """`kept` is the file that saves the next start the embedding."""
        self._embedder = embedder
        self._ticks = ticks
        self._kept = kept
        self._known: dict[bytes, bytes] | None = None
        self._new = 0
        """How many of those known are not in the file."""
        self._learned: dict[str, _Learned] = {}
        self._noise: list[bytes] = []
        self._learning: asyncio.Task[None] | None = None
        self._wanted: dict[str, Contents] = {}
        self._rests_until = 0.0
        self._logged: set[ProviderFailure] = set()
        self._able = embedder.semantic and find_spec("numpy") is not None

    async def likeness(self, whose: str, contents: Contents, question: str) -> Likeness | None:
        """How near a question is to the passages, which `whose` names; None as long as they are not learned, which
        they are from then on, and where the embedder fails."""
        self.learn(whose, contents)
        learned = self._learned.get(whose)
        if learned is None or learned.contents is not contents:
            return None
        try:
            async with asyncio.timeout(_WITHIN):
                [vector] = await self._embedder.embed([question])
        except (ProviderError, TimeoutError):
            return None
        return learned.likeness(vector)

    def learn(self, whose: str, contents: Contents) -> None:
        """Begins to learn contents in the background, unless that is done."""
        learned = self._learned.get(whose)
        if not self._able or not contents.passages or (learned is not None and learned.contents is contents):
            return
        if self._ticks() >= self._rests_until:
            self._wanted[whose] = contents
            if self._learning is None or self._learning.done():
                self._learning = asyncio.create_task(self._learn())

    async def learned(self) -> None:
        """Waits until everything that was begun is learned."""
        if self._learning is not None:
            await asyncio.wait([self._learning])

    def stop(self) -> None:
        """Learns no more."""
        self._able = False
        if self._learning is not None:
            self._learning.cancel()

    async def close(self) -> None:
        """Stops, and waits until nothing goes on any more."""
        self.stop()
        await self.learned()

    async def _learn(self) -> None:
        try:
            if not self._noise:
                lines = background()
                self._noise = await self._embedded(lines[:: max(1, len(lines) // _NOISE)])
            if self._known is None:
                self._known = await asyncio.to_thread(read, self._kept, self._embedder.id) if self._kept else {}
            while self._wanted:
                whose, contents = self._wanted.popitem()
                self._learned[whose] = await self._made(contents, self._known)
            used = {key for each in self._learned.values() for key in each.keys}
            for old in [key for key in self._known if key not in used][:-_MOST]:
                del self._known[old]
            await self._keep(self._known)
        except ProviderError as error:
            self._wanted.clear()
            self._rests_until = self._ticks() + _AGAIN_AFTER
            if error.kind not in self._logged:
                self._logged.add(error.kind)
                log.warning("knowledge.not_learned", embedder=self._embedder.id, kind=error.kind, detail=error.detail)

    async def _made(self, contents: Contents, known: dict[bytes, bytes]) -> _Learned:
        texts = [f"{passage.source}\n{passage.text}" for _, passage in contents.passages[:_MOST]]
        keys = [key(text) for text in texts]
        size = len(self._noise[0])  # a server may answer otherwise than before the start
        new = {each: text for each, text in zip(keys, texts, strict=True) if len(known.get(each, b"")) != size}
        left = list(new.items())
        for start in range(0, len(left), _AT_ONCE):
            some = left[start : start + _AT_ONCE]
            known.update(zip([each for each, _ in some], await self._embedded([text for _, text in some]), strict=True))
            self._new += len(some)
            if self._new >= _KEPT_EVERY:
                await self._keep(known)
        return await asyncio.to_thread(_Learned, contents, keys, [known[each] for each in keys], self._noise)

    async def _embedded(self, texts: Sequence[str]) -> list[bytes]:
        vectors = await self._embedder.embed(texts)
        return await asyncio.to_thread(lambda: [half(vector) for vector in vectors])

    async def _keep(self, known: dict[bytes, bytes]) -> None:
        if self._kept and self._new:
            size = len(self._noise[0])
            fitting = {each: vector for each, vector in known.items() if len(vector) == size}
            await asyncio.to_thread(write, self._kept, self._embedder.id, fitting)
            self._new = 0


class _Learned:
    def __init__(self, contents: Contents, keys: list[bytes], vectors: list[bytes], noise: list[bytes]) -> None:
        self.contents = contents
        self.keys = keys
        self._rows: np.ndarray = whole(vectors)
        # Models differ in what they call near, but not in that everyday talk is far from most notes.
        common = whole(noise) @ self._rows.T
        self._near = float(common.mean() + _NEAR * common.std())
        self._far = float(common.mean() + _FAR * common.std())

    def likeness(self, vector: Sequence[float]) -> Likeness | None:
        """None where the vector is not of their length."""
        import numpy as np

        if len(vector) != self._rows.shape[1]:
            return None
        return Likeness((self._rows @ np.asarray(vector, np.float32)).tolist(), self._near, self._far)
