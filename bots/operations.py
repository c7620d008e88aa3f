"""What admins may have a running bot do, and what it tells them of itself: filled in by the wiring."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from storage.manifest import Manifest
from storage.progress import Tell, silent

from .jobs import Jobs
from .providers import Provider, Trouble
from .reloading import Reloaded
from .settings import BotSettings, ModelSettings
from .status import BotStatus

if TYPE_CHECKING:
    from .checkup import Check

Say = Callable[[str], Awaitable[None]]


class BackUp(Protocol):
    """Makes a backup and proves it; `tell` hears how far it is. Raises `StorageError` and `TroupeError`."""

    def __call__(self, tell: Tell = silent) -> Awaitable[Manifest]: ...


@dataclass(frozen=True, slots=True)
class ModelState:
    """One model of a bot, as it stands."""

    name: str
    state: Literal["ready", "failing", "resting", "off"]
    """`failing` since its last question, `resting` after failures in a row; `off` without a key."""
    variable: str = ""
    """What to set where it is off."""
    why: str = ""
    """How it fails, and since when."""


@dataclass(frozen=True, slots=True)
class Operations:
    """The upkeep of one running bot, as its front may ask for it."""

    status: Callable[[], BotStatus]
    """How the bot is, alarms included. May read files: called in a thread."""
    models: Callable[[], Sequence[ModelState]]
    back_up: BackUp
    clean_up: Callable[[Say, bool], Awaitable[None]]
    """Cleans up, or with True only says what would go; tells a line of JSON each, as `Cleaner.tell`. Raises
    `StorageError`."""
    reload: Callable[[], Awaitable[Reloaded]] | None = None
    """Reads the configuration again; None where the bot does not know its folder. Raises `ConfigError`."""
    jobs: Jobs | None = None
    """The bot's own scheduled upkeep."""
    check_up: Callable[[Tell], Awaitable[Sequence[Check]]] | None = None
    """Everything that `troupe doctor` looks at; takes as long as Discord, the providers and the disk do."""


def model_states(settings: BotSettings, asked: Sequence[Provider]) -> tuple[ModelState, ...]:
    """Every model of a bot's settings, by the providers that are asked for them."""
    resting = {(each.name, each.model) for each in asked if getattr(each, "resting", False)}
    troubles: dict[tuple[str, str], Trouble | None]
    troubles = {(each.name, each.model): getattr(each, "trouble", None) for each in asked}
    found = []
    for model in settings.models:
        name, key = f"{model.provider} {model.model}".strip(), (model.provider, model.model)
        if not model.ready:
            found.append(ModelState(name, "off", model.api_key.variable if model.api_key is not None else ""))
        elif trouble := troubles.get(key):
            found.append(ModelState(name, "failing", why=_why(model, trouble)))
        else:
            found.append(ModelState(name, "resting" if key in resting else "ready"))
    return tuple(found)


def model_trouble(states: Sequence[ModelState]) -> str:
    """What is wrong with the models that are asked, for whoever runs the bot; nothing where all is well."""
    return "; ".join(f"{each.name}: {each.why}" for each in states if each.state == "failing")


def _why(model: ModelSettings, trouble: Trouble) -> str:
    key = f"the key in {model.api_key.variable}" if model.api_key else "a question without a key"
    how = {
        "auth": f"the provider does not accept {key}, or its credit is used up",
        "rate_limit": "the provider takes no more questions for now",
        "timeout": "it takes too long to answer",
    }.get(trouble.kind, "it cannot be reached, or there is no such model")
    return f"{how}, since {trouble.since:%Y-%m-%d %H:%M} UTC"
