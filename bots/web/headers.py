"""What every answer of the web front tells browsers: what a page may load, and who may see it."""

from __future__ import annotations

from functools import lru_cache

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Send

from ..settings import BotSettings
from .origins import Origin, friend, friends

_POLICY = (
    "default-src 'self'; connect-src 'self'{friends}; img-src 'self' data: blob:; media-src 'self' blob:; "
    "object-src 'none'; frame-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; "
    "script-src 'self'; style-src 'self'"
)
_ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not `no-referrer`: with that browsers send `Origin: null` with forms of our own, too.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_HSTS = "max-age=31536000"
_ASKED_AGAIN = "600"


def dressed(send: Send, origin: Origin | None, path: str, settings: BotSettings) -> Send:
    """Sends every answer with the headers it needs; those that a route has set itself stay."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = list(message.get("headers", ()))
            if message["status"] == 204:  # of nothing there is no kind
                given = [pair for pair in given if pair[0].lower() != b"content-type"]
            present = {name.lower() for name, _ in given}
            told = _told(friends(settings), guarded(path), origin is not None and origin.secure)
            message = {**message, "headers": [*given, *(pair for pair in told if pair[0] not in present)]}
            headers = MutableHeaders(scope=message)
            headers.add_vary_header("Origin")
            if origin is not None and origin.page is not None and friend(origin.page, settings):
                headers["access-control-allow-origin"] = origin.page
                headers["access-control-allow-credentials"] = "true"
                headers["access-control-expose-headers"] = "content-disposition, retry-after"
        await send(message)

    return sending


@lru_cache(maxsize=16)
def _told(others: frozenset[str], private: bool, secure: bool) -> tuple[tuple[bytes, bytes], ...]:
    policy = _POLICY.format(friends="".join(f" {each}" for each in sorted(others)))
    told = {**_ALWAYS, "content-security-policy": policy}
    if private:
        told["cache-control"] = "no-store"
    if secure:
        told["strict-transport-security"] = _HSTS
    return tuple((name.encode(), value.encode()) for name, value in told.items())


def guarded(path: str) -> bool:
    """Whether a path is of the API rather than of the console's files."""
    return path.split("/")[1:2] in (["api"], ["v1"], ["graphql"], ["metrics"])


def preflight(headers: Headers) -> dict[str, str]:
    """What a page of another bot's console is told that it may send here."""
    asked = headers.get("access-control-request-headers", "")
    told = {
        "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
        "access-control-max-age": _ASKED_AGAIN,
    }
    return {**told, "access-control-allow-headers": asked[:500]} if asked else told
