"""What can go wrong around a bot: a class for the program, a sentence for the person.

TroupeError
├── ConfigError          what people wrote is wrong: every finding of a run in one error
├── Fatal                this bot cannot run until a person changes something (bad token, disallowed intents)
├── MediaError           a file beside a message cannot be had
├── NoDoor               a running bot does not answer at its own door
├── NotYours             there is no such memory, or not one of whoever asks
└── ProviderError        a model provider did not answer; `kind` says how
"""

from __future__ import annotations

from typing import Literal

ProviderFailure = Literal["auth", "rate_limit", "timeout", "unavailable", "rejected", "too_long", "filtered"]

_SENTENCES: dict[ProviderFailure, str] = {
    "auth": "The model provider does not accept this bot's key.",
    "rate_limit": "The model provider is busy; please try again in a minute.",
    "timeout": "The model took too long to answer; please try again.",
    "unavailable": "The model cannot be reached right now; please try again in a minute.",
    "rejected": "The model could not take this question as it stands.",
    "too_long": "This conversation has grown too long for the model; after a pause a new one begins.",
    "filtered": "The model provider's content filter stopped this answer.",
}


class TroupeError(Exception):
    """Anything this program refuses; its text is a whole sentence for a person."""


class ConfigError(TroupeError):
    """One or more findings in what people wrote, each a line that names file, line, key, what was found
    and what is allowed."""

    def __init__(self, findings: list[str]) -> None:
        self.findings = findings
        super().__init__("\n".join(findings))


class Fatal(TroupeError):
    """This bot must stop and wait for a person; restarting cannot help."""


class NoDoor(TroupeError):
    """A running bot does not answer at its own door."""


class NotYours(TroupeError):
    """There is no such thing, or it is somebody else's: which of the two is not said."""


class ProviderError(TroupeError):
    """A provider failed. The text is for people and neutral; `detail` is for the log only."""

    def __init__(self, kind: ProviderFailure, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(_SENTENCES[kind])
        self.kind = kind
        self.detail = detail
        self.retry_after = retry_after
        """Seconds the provider asked to wait, where it did."""

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed later."""
        return self.kind in ("rate_limit", "timeout", "unavailable")
