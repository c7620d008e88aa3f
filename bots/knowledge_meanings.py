"""What passages mean: their vectors, learned in the background, and how near a question must come to them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from importlib.util import find_spec
from typing import TYPE_CHECKING

import structlog

from .classifier_background import background
from .errors import ProviderError, ProviderFailure
from .knowledge import Contents
from .providers import Embedder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_MOST = 5_000
"""Passages of one persona that are learned: 8 MB with the local model."""
_AT_ONCE = 32
_NOISE = 48
"""Lines of everyday talk that the passages are held against."""
_NEAR, _FAR = 4.25, 2.0
"""Standard deviations of everyday talk's likeness above its mean: so near, a passage is meant though no word of it was
said; below the other, it is not, whatever words it shares."""
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

    def __init__(self, embedder: Embedder, ticks: Callable[[], float] = time.monotonic) -> None:
        self._embedder = embedder
        self._ticks = ticks
        self._known: dict[bytes, tuple[float, ...]] = {}
        self._learned: dict[str, _Learned] = {}
        self._noise: NDArray[np.float32] | None = None
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
            [vector] = await self._embedder.embed([question])
        except ProviderError:
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
            while self._wanted:
                whose, contents = self._wanted.popitem()
                self._learned[whose] = await self._made(contents)
                used = {key for each in self._learned.values() for key in each.keys}
                self._known = {key: vector for key, vector in self._known.items() if key in used}
        except ProviderError as error:
            self._wanted.clear()
            self._rests_until = self._ticks() + _AGAIN_AFTER
            if error.kind not in self._logged:
                self._logged.add(error.kind)
                log.warning("knowledge.not_learned", embedder=self._embedder.id, kind=error.kind, detail=error.detail)

    async def _made(self, contents: Contents) -> _Learned:
        import numpy as np

        if self._noise is None:
            lines = background()
            spread = lines[:: max(1, len(lines) // _NOISE)]
            self._noise = np.asarray(await self._embedder.embed(spread), np.float32)
        texts = [f"{passage.source}\n{passage.text}" for _, passage in contents.passages[:_MOST]]
        keys = [blake2b(text.encode(), digest_size=16).digest() for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        left = list(new.items())
        for start in range(0, len(left), _AT_ONCE):
            some = left[start : start + _AT_ONCE]
            vectors = await self._embedder.embed([text for _, text in some])
            self._known.update(zip((key for key, _ in some), vectors, strict=True))
        rows = np.asarray([self._known[key] for key in keys], np.float32)
        return _Learned(contents, keys, rows, self._noise)


class _Learned:
    def __init__(
        self, contents: Contents, keys: list[bytes], rows: NDArray[np.float32], noise: NDArray[np.float32]
    ) -> None:
        self.contents = contents
        self.keys = keys
        self._rows = rows
        # Models differ in what they call near, but not in that everyday talk is far from most notes.
        common = noise @ rows.T
        self._near = float(common.mean() + _NEAR * common.std())
        self._far = float(common.mean() + _FAR * common.std())

    def likeness(self, vector: tuple[float, ...]) -> Likeness:
        import numpy as np

        return Likeness((self._rows @ np.asarray(vector, np.float32)).tolist(), self._near, self._far)
