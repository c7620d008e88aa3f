"""Where a bot's console and API are, who may come in from elsewhere, and how much."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from .values import Id, Secret, Section, Size, Url

LOOPBACK = ("127.0.0.1", "::1", "localhost")
"""Hosts that only this machine reaches."""


class LoginSettings(Section):
    """Signing in to the console with a Discord account (OAuth2)."""

    client_id: Id
    """The application's id in Discord's developer portal."""
    client_secret: Secret
    """Its OAuth2 secret."""
    guild: Id | None = None
    """Only members of this guild may sign in; left out, everybody with an account may."""
    admins: Annotated[tuple[Id, ...], Field(examples=[["123456789012345678"]])] = ()
    """Discord user ids of those who may do everything."""
    api_url: Url = None
    """Where Discord's REST API is, for tests and proxies."""


class WebSettings(Section):
    """A bot's console and API in the browser."""

    enabled: bool = True
    """Whether there is one."""
    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """The address it listens on. On any other than this machine's own (127.0.0.1, ::1) everybody needs a token."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Its port; left out, `fleet.web_port` for the first bot of the fleet, one more for each after it."""
    public_url: Url = None
    """Under which address people reach it, where a proxy stands in front: `https://sage.example.org`."""
    open: Literal["loopback", "never"] = "loopback"
    """Whether whoever is at this machine needs no token; `never` where strangers use it, too."""
    login: LoginSettings | None = None
    """Signing in with a Discord account."""
    upload_limit: Size = 26_214_400
    """The largest file that is taken."""
    requests: Annotated[int, Field(ge=10)] = 600
    """Requests a minute that one person, or one address without a token, may make."""

    @property
    def local(self) -> bool:
        """Whether only this machine reaches it."""
        return self.host in LOOPBACK

    @property
    def guarded(self) -> bool:
        """Whether everybody needs a token, also who is at this machine."""
        return self.open == "never" or self.public_url is not None or not self.local

    @property
    def address(self) -> str:
        """The link that people open."""
        if self.public_url:
            return self.public_url.rstrip("/")
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}.get(self.host, self.host)  # noqa: S104
        return f"http://{host}:{self.port}"


class Neighbour(Section):
    """Another bot of the fleet, and where its console is."""

    name: str
    display: str
    url: str
    root: Path | None = None
    """Where it keeps what it keeps, and says how it is."""
