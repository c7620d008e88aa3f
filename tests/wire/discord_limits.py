"""What Discord's REST API refuses and how it says so: rate limits, malformed bodies, and failures made to order."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from tests.wire.discord_accounts import BotAccount, Json

SCHEMA = Path(__file__).parent.parent / "golden" / "discord_messages.schema.json"
MAX_CONTENT = 2000
MAX_EMBED_TEXT = 6000
COMPONENTS_V2 = 1 << 15


class Refusal(Exception):
    """An answer other than success, in Discord's JSON form."""

    def __init__(
        self,
        status: int,
        code: int,
        message: str,
        *,
        errors: Json | None = None,
        headers: Mapping[str, str] | None = None,
        body: Json | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.headers = dict(headers or {})
        self.body = body or {"message": message, "code": code, **({"errors": errors} if errors else {})}


def invalid(path: str, code: str, message: str) -> Refusal:
    """The refusal of a form body, blaming the field at a dotted path."""
    blame: Json = {"_errors": [{"code": code, "message": message}]}
    for step in reversed([one for one in path.split(".") if one]):
        blame = {step: blame}
    return Refusal(400, 50035, "Invalid Form Body", errors=blame)


def limited(retry_after: float, scope: str, headers: Mapping[str, str] | None = None) -> Refusal:
    """A 429 as Discord words it."""
    body = {"message": "You are being rate limited.", "retry_after": retry_after, "global": scope == "global"}
    # Without Via a client takes the answer for Cloudflare's ban page.
    found = {
        "Via": "1.1 google",
        "Retry-After": str(math.ceil(retry_after)),
        "X-RateLimit-Scope": scope,
        **(headers or {}),
    }
    if scope == "global":
        found["X-RateLimit-Global"] = "true"
    return Refusal(429, 0, "You are being rate limited.", headers=found, body=body)


@dataclass
class RateLimits:
    """One bucket per bot, channel and kind of request: so many in each window, counted from its first request."""

    limit: int
    """Zero turns the limits and their headers off."""
    window: float = 5.0
    _buckets: dict[tuple[int, str, str], tuple[float, int]] = field(default_factory=dict)

    def take(self, bot: BotAccount, kind: str, channel_id: str) -> dict[str, str]:
        """Counts one request and gives the headers for its answer, or refuses it."""
        if not self.limit:
            return {}
        key, now = (bot.id, kind, channel_id), time.monotonic()
        started, used = self._buckets.get(key, (now, 0))
        if now >= started + self.window:
            started, used = now, 0
        left = started + self.window - now
        headers = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(0, self.limit - used - 1)),
            "X-RateLimit-Reset": f"{time.time() + left:.3f}",
            "X-RateLimit-Reset-After": f"{left:.3f}",
            "X-RateLimit-Bucket": f"{kind.lower()}-messages",
        }
        if used >= self.limit:
            raise limited(round(left, 3), "user", headers)
        self._buckets[key] = (started, used + 1)
        return headers


@dataclass
class Failure:
    """Requests that a test wants answered with an error."""

    pattern: str
    status: int
    times: int
    code: int
    message: str


@dataclass
class Faults:
    """Storms of 429 and failures, as ordered by a test and used up by requests."""

    failures: list[Failure] = field(default_factory=list)
    storm_left: int = 0
    storm_retry_after: float = 0.0
    storm_scope: str = "user"

    def strike(self, line: str, *, is_message: bool) -> None:
        """Refuses the request `METHOD /path` if a test ordered it."""
        for failure in self.failures:
            if failure.times > 0 and re.search(failure.pattern, line):
                failure.times -= 1
                raise Refusal(failure.status, failure.code, failure.message)
        if is_message and self.storm_left > 0:
            self.storm_left -= 1
            raise limited(self.storm_retry_after, self.storm_scope)


@dataclass(frozen=True)
class Violation:
    """A body that Discord would not have taken."""

    bot: BotAccount
    where: str
    problem: str
    body: Any


class Bodies:
    """Message bodies against Discord's own description, and against the rules that the description leaves out."""

    def __init__(self, *, validate: bool) -> None:
        self.violations: list[Violation] = []
        self._validators = _compiled() if validate else {}

    def check(self, bot: BotAccount, where: str, schema: str, body: Any) -> None:
        """Refuses a malformed body and records it."""
        try:
            self._check_schema(schema, body)
            for part in (body, body.get("data")) if isinstance(body, dict) else ():
                if isinstance(part, dict):
                    _check_lengths(part)
        except Refusal as refusal:
            problem = json.dumps(refusal.body.get("errors"))
            self.violations.append(Violation(bot, where, problem, body))
            raise

    def _check_schema(self, schema: str, body: Json) -> None:
        validator = self._validators.get(schema)
        if validator is None or validator.is_valid(body):
            return
        error = best_match(validator.iter_errors(body))
        path = ".".join(str(step) for step in error.absolute_path)
        raise invalid(path, "SCHEMA_" + str(error.validator).upper(), error.message)


def _check_lengths(body: Json) -> None:
    content = body.get("content") or ""
    # UTF-16 units are the strictest of the ways in which Discord is said to count.
    if len(content.encode("utf-16-le", "surrogatepass")) // 2 > MAX_CONTENT:
        raise invalid("content", "BASE_TYPE_MAX_LENGTH", f"Must be {MAX_CONTENT} or fewer in length.")
    if sum(map(_embed_length, body.get("embeds") or ())) > MAX_EMBED_TEXT:
        raise invalid("embeds", "MAX_EMBED_SIZE_EXCEEDED", f"Embed size exceeds maximum size of {MAX_EMBED_TEXT}")
    if len(str(body.get("nonce") or "")) > 25:
        raise invalid("nonce", "NONCE_TYPE_TOO_LONG", "Nonce must be less than or equal to 25 characters")
    if (body.get("flags") or 0) & COMPONENTS_V2 and (content or body.get("embeds") or body.get("poll")):
        raise invalid("content", "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2", "Not with components v2")


def _embed_length(embed: Json) -> int:
    texts = [embed.get("title"), embed.get("description")]
    texts += [(embed.get("footer") or {}).get("text"), (embed.get("author") or {}).get("name")]
    for one in embed.get("fields") or ():
        texts += [one.get("name"), one.get("value")]
    return sum(len(text or "") for text in texts)


def _compiled() -> dict[str, Draft202012Validator]:
    definitions: dict[str, Any] = json.loads(SCHEMA.read_text())["$defs"]
    # Discord describes ids as strings and takes numbers as well, which is how discord.py sends some.
    definitions["SnowflakeType"] = {"anyOf": [definitions["SnowflakeType"], {"type": "integer", "minimum": 0}]}
    return {name: Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": definitions}) for name in definitions}
