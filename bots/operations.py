"""What admins may have a running bot do, and what it tells them of itself: filled in by the wiring."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from storage.manifest import Manifest

from .providers import Provider
from .reloading import Reloaded
from .settings import BotSettings
from .status import BotStatus

Say = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ModelState:
    """One model of a bot, as it stands."""

    name: str
    state: Literal["ready", "resting", "off"]
    """`resting` after failures in a row; `off` without a key."""
    variable: str = ""
    """What to set where it is off."""


@dataclass(frozen=True, slots=True)
class Operations:
    """The upkeep of one running bot, as its front may ask for it."""

    status: Callable[[], BotStatus]
    """How the bot is, alarms included. May read files: called in a thread."""
    models: Callable[[], Sequence[ModelState]]
    back_up: Callable[[], Awaitable[Manifest]]
    """Makes a backup and proves it. Raises `StorageError` and `TroupeError`."""
    clean_up: Callable[[Say, bool], Awaitable[None]]
    """Cleans up, or with True only says what would go; tells a line of JSON each, as `Cleaner.tell`. Raises
    `StorageError`."""
    reload: Callable[[], Awaitable[Reloaded]] | None = None
    """Reads the configuration again; None where the bot does not know its folder. Raises `ConfigError`."""


def model_states(settings: BotSettings, asked: Sequence[Provider]) -> tuple[ModelState, ...]:
    """Every model of a bot's settings, by the providers that are asked for them."""
    resting = {(each.name, each.model) for each in asked if getattr(each, "resting", False)}
    found = []
    for model in settings.models:
        name = f"{model.provider} {model.model}".strip()
        if not model.ready:
            found.append(ModelState(name, "off", model.api_key.variable if model.api_key is not None else ""))
        else:
            found.append(ModelState(name, "resting" if (model.provider, model.model) in resting else "ready"))
    return tuple(found)
