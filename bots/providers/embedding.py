"""The embedder of a bot, made as its settings say."""

from __future__ import annotations

import os

import structlog

from ..embedding import Choice, Remembering, chosen
from ..memory_settings import EmbedderSettings
from . import Embedder

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def embedder(settings: EmbedderSettings) -> Embedder | None:
    """What turns texts into vectors; None where a bot finds by words alone. What cannot be had is told to the log,
    never raised: a bot answers without."""
    choice = chosen(settings)
    if choice.wrong:
        log.warning("embedder.missing", why=choice.sentence, remedy=choice.remedy)
    found = made(choice, settings)
    return Remembering(found) if found else None


def made(choice: Choice, settings: EmbedderSettings) -> Embedder | None:
    """What was chosen, asked each time."""
    # One thread: a chat line is too short for several to help, and they would spin beside the bot's own. It counts for
    # the whole process once numpy is imported, whoever does that first.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if choice.kind == "minilm" and choice.folder:
        from .minilm import MiniLM

        return MiniLM(choice.folder)
    if choice.kind == "openai":
        from .openai_embeddings import OpenAIEmbeddings

        return OpenAIEmbeddings(settings.model, settings.api_key.value if settings.api_key else "", settings.base_url)
    if choice.kind == "hashed":
        from .hashed import Hashed

        return Hashed()
    return None
