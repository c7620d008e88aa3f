"""Signing in to the console and out of it, and who one is there."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from importlib import metadata
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.requests import HTTPConnection
from pydantic import BaseModel, ConfigDict, Field

from storage.durable import in_thread
from storage.model import Sender

from .callers import Caller
from .desk import At, Desk
from .guard import cookie_name
from .origins import Origin
from .problems import Unknown
from .tokens import Scope, Tokens, new_token

router = APIRouter(prefix="/api", tags=["you"])

STAYS = timedelta(days=30)
"""How long a browser stays signed in."""


class PersonaNamed(BaseModel):
    """A voice that the bot can take."""

    name: str
    display: str
    description: str


class NeighbourNamed(BaseModel):
    """Another bot of the fleet, and where its console is."""

    name: str
    display: str
    url: str


class Bounds(BaseModel):
    """How much is taken."""

    upload: int
    """Bytes of a file."""
    requests: int
    """Requests a minute."""


class SignIn(BaseModel):
    """How one signs in here."""

    token: Literal[True] = True
    """With a token, at POST /api/login."""
    discord: str | None = None
    """Where to go to sign in with Discord; null where that is not set up."""


class BotNamed(BaseModel):
    """The bot of this console."""

    name: str
    display: str
    description: str
    version: str


class Me(BaseModel):
    """Who asks, and what they find here. Of a stranger it only says how to sign in, and where they are."""

    person: Sender | None
    """Null where nobody knows who asks."""
    scope: Scope | None
    by: Literal["here", "token", "cookie"] | None
    """How they are known; only who came by a cookie can sign out."""
    channel: str | None
    """The key of the channel that their own talk is in."""
    bot: BotNamed
    personas: list[PersonaNamed]
    neighbours: list[NeighbourNamed]
    limits: Bounds
    sign_in: SignIn


class Credentials(BaseModel):
    """What one signs in with."""

    model_config = ConfigDict(extra="forbid")
    token: Annotated[str, Field(min_length=1, max_length=200)]
    """As `troupe token create` has shown it."""


def _tokens(connection: HTTPConnection) -> Tokens:
    found: Tokens = connection.scope["tokens"]
    return found


def _origin(connection: HTTPConnection) -> Origin:
    found: Origin = connection.scope["origin"]
    return found


def _somebody(connection: HTTPConnection) -> Caller | None:
    found: Caller | None = connection.scope["caller"]
    return found


Kept = Annotated[Tokens, Depends(_tokens)]
From = Annotated[Origin, Depends(_origin)]
Somebody = Annotated[Caller | None, Depends(_somebody)]


@router.get("/me")
async def me(desk: At, caller: Somebody) -> Me:
    """Who asks, and what they find here; answers strangers, too."""
    return _me(desk, caller)


@router.post("/login")
async def log_in(given: Credentials, request: Request, desk: At, kept: Kept, origin: From, response: Response) -> Me:
    """Signs a browser in with a token: from then on a cookie says who asks."""
    now = desk.now()
    found = kept.find(given.token.strip(), now)
    if found is None or found.sign_in:
        raise Unknown("This token is not known here, or is not good any more: `troupe token create` makes one.")
    until = min(now + STAYS, found.expires or now + STAYS)
    token = new_token()
    keep = partial(kept.keep, expires=until, sign_in="token", of=found.id)
    made = await in_thread(keep, token, found.label, found.scope, found.person, now)
    stay(response, desk, origin, token, until - now)
    request.scope["caller"] = caller = Caller(made.person, made.scope, "cookie", made.id)  # who the audit says it was
    return _me(desk, caller)


@router.post("/logout", status_code=204)
async def log_out(desk: At, caller: Somebody, kept: Kept, origin: From, response: Response) -> None:
    """Signs a browser out, for good: its cookie is worth nothing from then on."""
    if caller is not None and caller.by == "cookie":
        await in_thread(kept.revoke, caller.token)
    name = cookie_name(desk.settings, origin)
    response.delete_cookie(name, path="/", secure=origin.secure, httponly=True, samesite="strict")


def stay(response: Response, desk: Desk, origin: Origin, token: str, span: timedelta) -> None:
    """Has a browser say who asks from now on, to nobody but this console, and no script."""
    response.set_cookie(
        cookie_name(desk.settings, origin),
        token,
        max_age=int(span.total_seconds()),
        path="/",
        secure=origin.secure,
        httponly=True,
        samesite="strict",
    )


def _me(desk: Desk, caller: Caller | None) -> Me:
    settings, login = desk.settings, desk.settings.web.login
    known = caller is not None
    return Me(
        person=caller.person if caller else None,
        scope=caller.scope if caller else None,
        by=caller.by if caller else None,
        channel=caller.channel.key if caller else None,
        bot=BotNamed(
            name=settings.name,
            display=settings.display,
            description=settings.description if known else "",
            version=metadata.version("troupe") if known else "",
        ),
        personas=[
            PersonaNamed(name=each.name, display=each.display, description=each.description)
            for each in settings.personas
            if known
        ],
        neighbours=[
            NeighbourNamed(name=each.name, display=each.display, url=each.url) for each in settings.neighbours if known
        ],
        limits=Bounds(upload=settings.web.upload_limit, requests=settings.web.requests),
        sign_in=SignIn(discord="/api/login/discord" if login and login.client_secret else None),
    )
