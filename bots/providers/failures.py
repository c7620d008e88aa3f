"""What a provider's refusal means, whichever SDK reports it."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from ..errors import ProviderError, ProviderFailure
from . import Prompt

Opened = TypeVar("Opened")

_TOO_LONG = (
    "context_length_exceeded",
    "context length",
    "context window",
    "maximum context",
    "prompt is too long",
    "input is too long",
    "too many tokens",
    "exceeds the maximum number of tokens",
)
_FILTERED = (
    "content_filter",
    "content filter",
    "content_policy",
    "content management policy",
    "flagged by",
    "was flagged",
    "responsible ai",
)
_SPENT = ("insufficient_quota", "credit balance", "billing_hard_limit")
_DETAIL = 500
_WORD = re.compile(r"[\w.:/-]{1,64}", re.ASCII)


def provider_error(error: Exception, key: str) -> ProviderError:
    """What an SDK raised, as this program's error; `key` never appears in it, nor what the server wrote in words:
    many repeat the question there, and nothing that people say may reach the log.

    Must be told apart by shape, since neither SDK may be imported for a bot that uses the other."""
    if isinstance(error, ProviderError):
        return error
    status = getattr(error, "status_code", None)
    if not isinstance(status, int):
        kind: ProviderFailure = "timeout" if _timed_out(error) else "unavailable"
        return ProviderError(kind, scrubbed(f"{type(error).__name__}{_cause(error)}", key))
    detail = scrubbed(f"{type(error).__name__} {status}{told(getattr(error, 'body', None))}", key)
    headers = getattr(getattr(error, "response", None), "headers", {})
    return ProviderError(_kind(status, str(error).lower()), detail, retry_after=retry_after(headers))


class Temper:
    """Whether a model takes a temperature: taken for granted until it refuses one, and then remembered."""

    def __init__(self) -> None:
        self._taken = True

    def wanted(self, prompt: Prompt) -> bool:
        """Whether to send the prompt's temperature along."""
        return self._taken and prompt.temperature is not None

    async def asked(self, ask: Callable[[Prompt], Awaitable[Opened]], prompt: Prompt) -> Opened:
        """Asks, and once more without a temperature where that alone was refused."""
        try:
            return await ask(prompt)
        except Exception as error:
            refused = getattr(error, "status_code", None) == 400 and "temperature" in str(error).lower()
            if not (refused and self.wanted(prompt)):
                raise
        self._taken = False
        return await ask(prompt)


def scrubbed(text: str, key: str) -> str:
    """`text` fit for the log: without the key, and short."""
    if key.strip():
        text = text.replace(key, "***").replace(key.strip(), "***")
    return re.sub(r"(?i)bearer\s+[^\s'\"]+", "Bearer ***", text)[:_DETAIL]


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the provider asks to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    asked = headers.get("retry-after")
    seconds = _number(asked)
    if seconds is not None or not asked:
        return seconds
    until = _date(asked)
    # Measured from the provider's own clock where it tells it: ours may be off.
    since = _date(headers.get("date")) or datetime.now(UTC)
    return max(0.0, (until - since).total_seconds()) if until else None


def told(body: object) -> str:
    """What an error's body says in code words: never its sentences."""
    inner = body.get("error", body) if isinstance(body, dict) else None
    if not isinstance(inner, dict):
        return ""
    words = ((name, inner.get(name)) for name in ("type", "code", "param"))
    return "".join(f" {name}={word}" for name, word in words if word is not None and _WORD.fullmatch(str(word)))


def _cause(error: Exception) -> str:
    """Why there was no answer at all; only what the network says is told in its own words."""
    import httpx2

    cause = error.__cause__ or error
    words = f": {cause}" if isinstance(cause, httpx2.ConnectError) else ""
    return f" ({type(cause).__name__}{words})" if cause is not error or words else ""


def _timed_out(error: Exception) -> bool:
    import httpx2  # both SDKs run on it, so that it is loaded by now

    return isinstance(error, httpx2.TimeoutException) or isinstance(error.__cause__, httpx2.TimeoutException)


def _kind(status: int, said: str) -> ProviderFailure:
    if status in (400, 403, 422) and any(words in said for words in _FILTERED):
        return "filtered"
    if status == 413 or (status in (400, 422) and any(words in said for words in _TOO_LONG)):
        return "too_long"
    if status in (401, 402, 403) or (status in (400, 429) and any(words in said for words in _SPENT)):
        return "auth"
    if status == 429:
        return "rate_limit"
    if status == 408:
        return "timeout"
    # A missing model is the model's trouble, not the question's: the next in line may well answer.
    if status < 400 or status >= 500 or status in (404, 409, 425):
        return "unavailable"
    return "rejected"


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return max(0.0, number) if math.isfinite(number) else None


def _date(text: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
