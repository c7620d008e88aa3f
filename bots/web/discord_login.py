"""Signing in to the console with a Discord account (OAuth2 with state and PKCE)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import secrets
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

import structlog
from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from storage.durable import in_thread
from storage.model import Sender, storable

from ..errors import TroupeError
from ..web_settings import LoginSettings
from .auditing import Act, acted
from .callers import Caller
from .desk import At, Desk
from .guard import cookie
from .login import STAYS, From, Kept, stay
from .origins import Origin
from .problems import NotThere
from .tokens import Scope, new_token

if TYPE_CHECKING:
    import httpx2

log = structlog.get_logger()
router = APIRouter(prefix="/api/login/discord", tags=["you"])

_API = "https://discord.com/api/v10"
_PAGE = "https://discord.com/oauth2/authorize"
_BACK = "/api/login/discord/return"
_MINUTES = 10
"""How long somebody may take at Discord."""
_PATIENCE = 10.0
"""Seconds that Discord may take to answer."""
Word = Annotated[str, Query(max_length=500)]


class _Declined(TroupeError):
    """They cannot be let in; the sentence is for them."""


@router.get("", status_code=303, response_class=RedirectResponse)
async def go_to_discord(desk: At, origin: From) -> Response:
    """Sends a browser to Discord, to come back with a word of who it is."""
    login = _login(desk)
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code",
        "client_id": login.client_id,
        "scope": "identify guilds.members.read" if login.guild else "identify",
        "redirect_uri": origin.own + _BACK,
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "prompt": "none",
    }
    page = f"{login.api_url.rstrip('/')}/oauth2/authorize" if login.api_url else _PAGE
    away = RedirectResponse(f"{page}?{urlencode(asked)}", 303)
    # Lax, since the way back begins on a page of Discord's.
    away.set_cookie(
        _waiting(desk, origin),
        f"{state}.{verifier}",
        max_age=_MINUTES * 60,
        path="/",
        secure=origin.secure,
        httponly=True,
        samesite="lax",
    )
    return away


@router.get(
    "/return", status_code=303, response_class=RedirectResponse, responses={403: {"content": {"text/html": {}}}}
)
async def come_back(
    request: Request, desk: At, origin: From, kept: Kept, code: Word = "", state: Word = "", error: Word = ""
) -> Response:
    """Lets somebody in who comes back from Discord, if it is the browser that went there."""
    login = _login(desk)
    began, _, verifier = cookie(request.headers, _waiting(desk, origin)).partition(".")
    try:
        if not began or not hmac.compare_digest(began.encode(), state.encode(errors="replace")):
            raise _Declined("You were not on your way to sign in, or took too long.")
        if error or not code:
            raise _Declined("Discord was not allowed to say who you are.")
        person, guild = await _asked(login, code, verifier, origin.own + _BACK)
        now = desk.now()
        scope: Scope = "admin" if person.id in login.admins else "chat"
        token = new_token()
        keep = partial(kept.keep, expires=now + STAYS, sign_in="discord", of=guild)
        made = await in_thread(keep, token, "Discord", scope, person, now)
        request.scope["caller"] = Caller(person, scope, "cookie", made.id)  # who the audit says it was
        acted(request, Act(303, "", "web"))
        done: Response = RedirectResponse("/", 303)
        stay(done, desk, origin, token, STAYS)
    except _Declined as declined:
        done = _page(str(declined))
    done.delete_cookie(_waiting(desk, origin), path="/", secure=origin.secure, httponly=True, samesite="lax")
    return done


async def _asked(login: LoginSettings, code: str, verifier: str, back: str) -> tuple[Sender, str]:
    """Whom Discord says this is, and the guild they had to be in. Raises `_Declined`."""
    import httpx2  # nobody pays for it before somebody signs in

    api = login.api_url.rstrip("/") if login.api_url else _API
    given = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": back,
        "code_verifier": verifier,
        "client_id": login.client_id,
        "client_secret": login.client_secret.value,
    }
    try:
        async with httpx2.AsyncClient(timeout=_PATIENCE, follow_redirects=False) as client:
            token = str(_told(await client.post(f"{api}/oauth2/token", data=given))["access_token"])
            headers = {"Authorization": f"Bearer {token}"}
            user = _told(await client.get(f"{api}/users/@me", headers=headers))
            if login.guild:
                member = await client.get(f"{api}/users/@me/guilds/{login.guild}/member", headers=headers)
                if member.status_code in (403, 404):
                    raise _Declined("Only members of its server may sign in to this bot.")
                _told(member)
        name = storable(str(user.get("global_name") or user["username"])[:100])
        return Sender(type="user", id=str(int(user["id"])), name=name), login.guild or ""
    except (httpx2.HTTPError, KeyError, ValueError, TypeError) as error:
        log.warning("web.discord_login", error=type(error).__name__)
        raise _Declined("Discord did not say who you are: try again in a moment.") from None


def _told(answer: httpx2.Response) -> dict[str, Any]:
    found = answer.raise_for_status().json()
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def _login(desk: Desk) -> LoginSettings:
    login = desk.settings.web.login
    if login is None or not login.client_secret:
        raise NotThere("Signing in with Discord is not set up here: web.login in the bot's file does.")
    return login


def _waiting(desk: Desk, origin: Origin) -> str:
    """The name of the cookie of a browser that is on its way."""
    return f"{'__Host-' if origin.secure else ''}troupe_{desk.settings.name}_signing"


def _page(sentence: str) -> HTMLResponse:
    return HTMLResponse(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Not signed in</title>'
        f'<h1>Not signed in</h1><p>{html.escape(sentence)}</p><p><a href="/">Back to the console</a></p></html>',
        403,
    )
