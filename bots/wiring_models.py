"""The models of a bot, made of its settings: each SDK is paid for only by the bots that use it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from .costs import Metered
from .library import Library
from .providers import Provider
from .providers.chain import Chain
from .providers.offline import Offline
from .providers.patience import Patient
from .settings import BotSettings, ModelSettings


def patient(settings: BotSettings) -> list[Patient]:
    """The models of a bot, in order; those without a key are left out."""
    ready = [model for model in settings.models if model.ready and model.provider != "offline"]
    return [Patient(Metered(_sdk(m), m.price, base_url=m.base_url), m.retries) for m in ready]


def answering(
    settings: BotSettings, asked: Sequence[Provider], now: Callable[[], datetime], library: Library | None = None
) -> Provider:
    """Those models, one after the other; the offline one stands last."""
    return Chain([*asked, Offline(library or Library.of_bot(settings), now=now)])


def _sdk(model: ModelSettings) -> Provider:
    key = model.api_key.value if model.api_key else ""
    if model.provider == "anthropic":
        from .providers.anthropic import Anthropic

        return Anthropic(model.model, key, base_url=model.base_url, vision=model.vision)
    from .providers.openai import OpenAI

    return OpenAI(model.model, key, base_url=model.base_url, vision=model.vision)
