"""Who is let in to a bot's console and API, as whom, and how they sign in and out."""

from __future__ import annotations

import base64
import hashlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from aiohttp import web as aioweb
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from bots.here import whoever_is_here
from bots.web.tokens import Tokens, new_token
from storage.model import Sender
from storage.records import AuditEntry
from tests.webfront import Web, web_front

PUBLIC = "https://sage.example.org"
AT_PUBLIC = {"host": "sage.example.org"}


def token_for(web: Web, name: str, scope: Any = "chat", **more: Any) -> str:
    token = new_token()
    person = Sender(type="user", id=name, name=name.capitalize())
    Tokens(web.house.bot.settings.root).keep(token, name, scope, person, datetime.now(UTC), **more)
    return token


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def audit_of(web: Web) -> list[AuditEntry]:
    return list((await web.house.store.records(AuditEntry)).items)


async def test_whoever_is_at_this_machine_may_do_everything(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        me = (await web.client.get("/api/me")).json()
        assert me["person"] == whoever_is_here().model_dump(mode="json")
        assert (me["scope"], me["by"], me["bot"]["display"]) == ("admin", "here", "Sage")
        assert [each["name"] for each in me["personas"]] == ["sage", "compass", "gadfly"]
        asked = await web.client.get("/api/me", headers=bearer("sk-whatever-a-client-has"))
        assert asked.json()["by"] == "here"
        assert (await web.client.get("/api/me", headers=bearer("troupe_guessed"))).status_code == 401


async def test_a_console_that_is_never_open_lets_nobody_in_without_a_token(tmp_path: Path) -> None:
    async with web_front(tmp_path, web={"open": "never"}) as web:
        me = (await web.client.get("/api/me")).json()
        assert (me["person"], me["scope"], me["personas"], me["bot"]["version"]) == (None, None, [], "")
        for path in ("/api/openapi.json", "/metrics", "/api/live/channels", "/graphql", "/api/no-such"):
            refused = await web.client.get(path)
            assert (refused.status_code, refused.json()["title"]) == (401, "Not signed in")
            assert refused.headers["www-authenticate"] == "Bearer"
        assert (await web.client.get("/")).status_code == 200
        token = token_for(web, "anna")
        me = (await web.client.get("/api/me", headers=bearer(token))).json()
        assert (me["person"]["id"], me["scope"], me["by"], me["channel"]) == ("anna", "chat", "token", "web:anna")


@pytest.mark.parametrize(
    ("settings", "headers"),
    [
        ({"host": "0.0.0.0"}, {}),
        ({"public_url": PUBLIC}, {}),
        ({"public_url": PUBLIC}, AT_PUBLIC),
        ({}, {"x-forwarded-for": "203.0.113.9"}),
        ({}, {"forwarded": "for=203.0.113.9"}),
        ({}, {"via": "1.1 proxy"}),
    ],
)
async def test_nobody_who_may_come_from_elsewhere_is_taken_for_the_person_here(
    tmp_path: Path, settings: dict[str, Any], headers: dict[str, str]
) -> None:
    async with at_a_port(tmp_path, headers, **settings) as (_, client):
        assert (await client.get("/api/me")).json()["person"] is None
        assert (await client.get("/api/openapi.json")).status_code == 401


@asynccontextmanager
async def at_a_port(
    tmp_path: Path, headers: dict[str, str], **settings: Any
) -> AsyncIterator[tuple[Web, httpx2.AsyncClient]]:
    """A bot, and somebody who asks it with these headers, whatever it calls itself."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    async with (
        web_front(tmp_path, web={"port": port, **settings}) as web,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as client,
    ):
        yield web, client


async def test_a_token_is_good_until_it_is_taken_back_or_ends(tmp_path: Path) -> None:
    async with web_front(tmp_path, web={"open": "never"}) as web:
        short = token_for(web, "anna", expires=datetime.now(UTC) - timedelta(seconds=1))
        assert (await web.client.get("/api/openapi.json", headers=bearer(short))).status_code == 401
        token = token_for(web, "ben")
        assert (await web.client.get("/api/openapi.json", headers=bearer(token))).status_code == 200
        tokens = Tokens(web.house.bot.settings.root)
        tokens.revoke(*(each.id for each in tokens.all() if each.label == "ben"))
        assert (await web.client.get("/api/openapi.json", headers=bearer(token))).status_code == 401


async def test_each_scope_may_do_what_it_says_and_no_more(tmp_path: Path) -> None:
    async with web_front(tmp_path, web={"open": "never"}) as web:
        for scope, said in (("read", 403), ("chat", 403), ("admin", 200)):
            answer = await web.client.get("/api/live/channels", headers=bearer(token_for(web, scope, scope)))
            assert answer.status_code == said
        refused = await web.client.post("/api/chat/sessions", json={}, headers=bearer(token_for(web, "reader", "read")))
        assert (refused.status_code, refused.json()["detail"]) == (
            403,
            "This takes the scope 'chat', and yours is 'read'.",
        )


async def test_nobody_sees_the_talk_of_somebody_else(tmp_path: Path) -> None:
    async with web_front(tmp_path, web={"open": "never"}) as web:
        anna, ben, root = token_for(web, "anna"), token_for(web, "ben"), token_for(web, "operator", "admin")
        made = await web.client.post("/api/chat/sessions", json={"title": "diary"}, headers=bearer(anna))
        path = f"/api/chat/sessions/{made.json()['id']}"
        assert (await web.client.get(path, headers=bearer(anna))).status_code == 200
        assert (await web.client.get(path, headers=bearer(root))).status_code == 200
        assert (await web.client.get("/api/chat/sessions", headers=bearer(ben))).json()["items"] == []
        nothing = await web.client.get("/api/chat/sessions/no-such", headers=bearer(ben))
        for answer in (
            await web.client.get(path, headers=bearer(ben)),
            await web.client.get(f"{path}/messages", headers=bearer(ben)),
            await web.client.put(path, json={"title": "mine"}, headers=bearer(ben)),
            await web.client.delete(path, headers=bearer(ben)),
            await web.client.post(f"{path}/messages", json={"text": "hello"}, headers=bearer(ben)),
        ):
            assert answer.status_code == nothing.status_code == 404
        assert (await web.client.get(path, headers=bearer(anna))).json()["title"] == "diary"


async def test_a_browser_signs_in_with_a_token_and_out_again(tmp_path: Path) -> None:
    async with web_front(tmp_path, web={"open": "never"}) as web:
        token = token_for(web, "anna")
        assert (await web.client.post("/api/login", json={"token": "troupe_wrong"})).status_code == 401
        done = await web.client.post("/api/login", json={"token": token})
        assert (done.status_code, done.json()["person"]["id"]) == (200, "anna")
        cookie = done.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert token not in cookie
        kept = dict(web.client.cookies)
        assert (await web.client.get("/api/me")).json()["by"] == "cookie"
        stolen = kept["troupe_sage"]
        assert (await web.client.get("/api/openapi.json", headers=bearer(stolen))).status_code == 401
        assert (await web.client.post("/api/logout")).status_code == 204
        assert not web.client.cookies
        again = await web.client.get("/api/me", headers={"cookie": f"troupe_sage={stolen}"})
        assert again.json()["person"] is None
        noted = {(each.action, each.actor.id) for each in await audit_of(web)}
        assert noted == {("POST /api/login", "anna"), ("POST /api/logout", "anna")}


async def test_what_is_signed_in_with_a_token_goes_with_it(tmp_path: Path) -> None:
    async with web_front(tmp_path, web={"open": "never"}) as web:
        await web.client.post("/api/login", json={"token": token_for(web, "anna")})
        tokens = Tokens(web.house.bot.settings.root)
        tokens.revoke(next(each.id for each in tokens.all() if not each.sign_in))
        assert (await web.client.get("/api/me")).json()["person"] is None


async def test_behind_https_cookies_are_for_https_alone(tmp_path: Path) -> None:
    async with at_a_port(tmp_path, AT_PUBLIC, public_url=PUBLIC) as (web, client):
        done = await client.post("/api/login", json={"token": token_for(web, "anna")}, headers={"origin": PUBLIC})
        assert done.headers["set-cookie"].startswith("__Host-troupe_sage=troupe_")
        assert "Secure" in done.headers["set-cookie"]
        assert done.headers["strict-transport-security"] == "max-age=31536000"


async def test_every_change_is_in_the_audit_and_no_word_of_it(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        made = (await web.client.post("/api/chat/sessions", json={"title": "secret plans"})).json()
        await web.client.put(f"/api/chat/sessions/{made['id']}", json={"title": "hush"})
        await web.client.put("/api/chat/sessions/no-such", json={"title": "hush"})
        await web.client.get("/api/chat/sessions")
        found = await audit_of(web)
        told = [(each.action, each.target, each.details["status"]) for each in reversed(found)]
        one = "/api/chat/sessions/{id}"
        assert told == [
            ("POST /api/chat/sessions", "web", 201),
            (f"PUT {one}", f"session:{made['id']}", 200),
            (f"PUT {one}", "session:no-such", 404),
        ]
        assert {each.actor.id for each in found} == {whoever_is_here().id}
        assert not any(word in each.model_dump_json() for each in found for word in ("secret", "hush"))


async def test_it_says_whether_it_is_there_and_well(tmp_path: Path) -> None:
    async with web_front(tmp_path, web={"open": "never"}) as web:
        assert (await web.client.get("/api/health")).json() == {"status": "ok"}
        assert (await web.client.get("/api/ready")).json() == {"status": "ok"}
        told = await web.client.get("/metrics", headers=bearer(token_for(web, "prometheus", "read")))
        assert told.headers["content-type"].startswith("text/plain")
        assert 'troupe_bot_info{name="sage",version=' in told.text
        assert 'troupe_web_requests_total{method="GET",route="/api/health",status="200"} 1.0' in told.text
        assert "troupe_messages_kept 0.0" in told.text


async def test_who_asks_as_of_openai_is_refused_as_by_openai(tmp_path: Path) -> None:
    async with web_front(tmp_path, web={"open": "never", "requests": 10}) as web:
        told = [await web.client.get("/v1/models", headers=bearer("sk-wrong")) for _ in range(12)]
        assert told[0].json()["error"]["type"] == "authentication_error"
        assert told[0].headers["www-authenticate"] == "Bearer"
        assert "troupe token create" in told[0].json()["error"]["message"]
        assert (told[-1].status_code, told[-1].json()["error"]["type"]) == (429, "rate_limit_error")


async def test_nobody_gets_a_socket_without_a_token(tmp_path: Path) -> None:
    async with web_front(tmp_path, web={"open": "never"}) as web:
        url = web.url.replace("http", "ws") + "/api/live"
        async with connect(url) as stranger:
            with pytest.raises(ConnectionClosed) as closed:
                await stranger.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4001
        async with connect(url, additional_headers=bearer(token_for(web, "anna"))) as socket:
            assert '"is":"hello"' in str(await socket.recv()).replace(" ", "")


@dataclass
class Discord:
    """As much of Discord's OAuth2 as a sign-in needs, strict about each step."""

    url: str = ""
    challenge: str = ""
    back: str = ""
    members: set[str] = field(default_factory=set)
    user: dict[str, Any] = field(default_factory=lambda: {"id": "123456789012345678", "username": "anna"})

    async def token(self, request: aioweb.Request) -> aioweb.Response:
        given = await request.post()
        proof = base64.urlsafe_b64encode(hashlib.sha256(str(given["code_verifier"]).encode()).digest())
        right = (given["code"], given["redirect_uri"], given["client_secret"]) == ("the-code", self.back, "hush-hush")
        if not right or proof.rstrip(b"=").decode() != self.challenge:
            return aioweb.json_response({"error": "invalid_grant"}, status=400)
        return aioweb.json_response({"access_token": "theirs", "token_type": "Bearer"})

    async def me(self, request: aioweb.Request) -> aioweb.Response:
        known = request.headers["authorization"] == "Bearer theirs"
        return aioweb.json_response(self.user, status=200 if known else 401)

    async def member(self, request: aioweb.Request) -> aioweb.Response:
        return aioweb.json_response({}, status=200 if request.match_info["guild"] in self.members else 404)


@asynccontextmanager
async def discord() -> AsyncIterator[Discord]:
    played = Discord()
    app = aioweb.Application()
    app.router.add_post("/oauth2/token", played.token)
    app.router.add_get("/users/@me", played.me)
    app.router.add_get("/users/@me/guilds/{guild}/member", played.member)
    runner = aioweb.AppRunner(app)
    await runner.setup()
    site = aioweb.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    played.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield played
    finally:
        await runner.cleanup()


def by_discord(played: Discord, **more: Any) -> dict[str, Any]:
    secret = {"variable": "SAGE_CLIENT_SECRET", "value": "hush-hush"}
    login = {"client_id": "777", "client_secret": secret, "api_url": played.url, **more}
    return {"open": "never", "login": login}


async def go(web: Web, played: Discord) -> str:
    """Sends the browser off to Discord; the state it carries."""
    away = await web.client.get((await web.client.get("/api/me")).json()["sign_in"]["discord"])
    assert away.status_code == 303
    asked = {name: each[0] for name, each in parse_qs(urlsplit(away.headers["location"]).query).items()}
    assert away.headers["location"].startswith(f"{played.url}/oauth2/authorize?")
    assert "SameSite=lax" in away.headers["set-cookie"]
    assert asked["code_challenge_method"] == "S256"
    played.challenge, played.back = asked["code_challenge"], asked["redirect_uri"]
    assert played.back == f"{web.url}/api/login/discord/return"
    return asked["state"]


FROM_DISCORD = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


async def come(web: Web, **asked: str) -> httpx2.Response:
    return await web.client.get("/api/login/discord/return", params=asked, headers=FROM_DISCORD)


async def test_somebody_signs_in_with_discord_and_is_the_same_person_here(tmp_path: Path) -> None:
    async with discord() as played, web_front(tmp_path, web=by_discord(played)) as web:
        done = await come(web, code="the-code", state=await go(web, played))
        assert (done.status_code, done.headers["location"]) == (303, "/")
        me = (await web.client.get("/api/me")).json()
        assert (me["person"]["id"], me["person"]["name"], me["scope"]) == ("123456789012345678", "anna", "chat")
        again = await come(web, code="the-code", state="anything")
        assert again.status_code == 403
        (noted,) = await audit_of(web)
        assert (noted.action, noted.actor.id) == ("GET /api/login/discord/return", "123456789012345678")


async def test_those_the_settings_name_are_admins_for_as_long_as_they_do(tmp_path: Path) -> None:
    async with discord() as played, web_front(tmp_path, web=by_discord(played, admins=[played.user["id"]])) as web:
        await come(web, code="the-code", state=await go(web, played))
        assert (await web.client.get("/api/me")).json()["scope"] == "admin"
        settings = web.house.bot.settings
        assert settings.web.login is not None
        fewer = settings.web.model_copy(update={"login": settings.web.login.model_copy(update={"admins": ()})})
        web.house.bot.settings = settings.model_copy(update={"web": fewer})
        assert (await web.client.get("/api/me")).json()["scope"] == "chat"


async def test_only_members_of_its_guild_may_sign_in_where_one_is_named(tmp_path: Path) -> None:
    async with discord() as played, web_front(tmp_path, web=by_discord(played, guild="42")) as web:
        refused = await come(web, code="the-code", state=await go(web, played))
        assert (refused.status_code, "Only members of its server" in refused.text) == (403, True)
        played.members.add("42")
        assert (await come(web, code="the-code", state=await go(web, played))).status_code == 303


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"code": "the-code", "state": "forged"}, "were not on your way"),
        ({"code": "the-code"}, "were not on your way"),
        ({"error": "access_denied", "state": "right"}, "was not allowed to say"),
        ({"code": "<script>alert(1)</script>", "state": "right"}, "did not say who you are"),
    ],
)
async def test_a_sign_in_that_is_not_right_lets_nobody_in(tmp_path: Path, asked: dict[str, str], said: str) -> None:
    async with discord() as played, web_front(tmp_path, web=by_discord(played)) as web:
        state = await go(web, played)
        answer = await come(web, **{name: state if each == "right" else each for name, each in asked.items()})
        assert (answer.status_code, said in answer.text, "<script>" in answer.text) == (403, True, False)
        assert (await web.client.get("/api/me")).json()["person"] is None
        assert (await come(web, code="the-code", state=state)).status_code == 403
