"""Who is let in: finds out who asks, before anything else is done."""

from __future__ import annotations

import getpass
import os

from starlette.types import ASGIApp, Receive, Scope, Send

from storage.model import Sender

from .callers import Caller


class Guard:
    """Puts the caller into the scope of every request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["caller"] = Caller(whoever_is_here(), "admin", "here")
        await self._app(scope, receive, send)


def whoever_is_here() -> Sender:
    """The person at this machine."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        name = f"user-{os.getuid()}"
    return Sender(type="user", id=name, name=name)
