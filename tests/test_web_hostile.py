"""What strangers, foreign pages and broken clients try at the web front: each is refused, and harms nobody else."""

from __future__ import annotations

import asyncio
import io
import logging
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import httpx2
import pytest
from starlette import types
from starlette.exceptions import HTTPException
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from bots import logs
from bots.status import BotStatus, write
from bots.web.limits import Body, Rates
from bots.web.tokens import FILE, Scope, Tokens, new_token
from storage.model import Sender
from storage.records import AuditEntry
from storage.rootlock import RootLock
from tests.webfront import Web, web_front

EVIL = "http://evil.example"


def token_for(web: Web, name: str, scope: Scope = "admin") -> str:
    token = new_token()
    person = Sender(type="user", id=name, name=name)
    Tokens(web.house.bot.settings.root).keep(token, name, scope, person, datetime.now(UTC))
    return token


async def raw(web: Web, data: bytes, *, within: float = 10) -> bytes:
    """What comes back for exactly these bytes, until the other side ends it or an answer is whole."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(web.url.rpartition(":")[2]))
    try:
        writer.write(data)
        async with asyncio.timeout(within):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
            return head + await reader.readexactly(int(length.partition(b":")[2]))
    finally:
        writer.close()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


STRANGE = (
    "evil.example",
    "127.0.0.1.evil.example",
    "localhost.evil.example:80",
    "127.0.0.1@evil.example",
    "evil.example#localhost",
    "localhost:1:2",
    "[::1",
    "",
    "local host",
    "x" * 5000,
)


async def test_a_name_that_was_pointed_at_this_machine_gets_nothing(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        for host, path in product(STRANGE, ("/api/me", "/", "/api/openapi.json")):
            answer = await raw(web, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert status(answer) in (400, 403), host
            assert b"Sage" not in answer
        assert (await web.client.get("/api/me")).status_code == 200


async def test_the_names_of_this_machine_are_good_at_any_port(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        for host in ("localhost:9000", "127.0.0.1:9000", "[::1]:9000", "LOCALHOST"):
            own = {"host": host, "origin": f"http://{host.lower()}"}
            assert (await web.client.post("/api/logout", headers=own)).status_code == 204, host


FOREIGN: list[dict[str, str]] = [
    {"origin": EVIL},
    {"origin": "null"},
    {"origin": "http://localhost:3000"},
    {"origin": "http://127.0.0.1.evil.example"},
    {"origin": "https://127.0.0.1"},
    {"origin": ""},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
]


ASKED = (("POST", "/api/chat/sessions"), ("PUT", "/api/chat/sessions/x"), ("GET", "/api/me"))


async def test_a_foreign_page_changes_and_sees_nothing_of_an_open_console(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        for sent, (method, path) in product(FOREIGN, ASKED):
            refused = await web.client.request(method, path, headers=sent, content=b"{}" if method != "GET" else b"")
            assert refused.status_code == 403, sent
            assert "access-control-allow-origin" not in refused.headers
        for sent in FOREIGN:
            asked = {**sent, "access-control-request-method": "PUT", "access-control-request-headers": "authorization"}
            preflight = await web.client.options("/api/chat/sessions/x", headers=asked)
            assert preflight.status_code == 403, sent
            assert "access-control-allow-origin" not in preflight.headers
        assert await web.house.store.sessions() == []
        assert (await web.house.store.records(AuditEntry)).items == ()


async def test_a_form_of_a_foreign_page_is_refused_even_as_plain_text(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        form = {
            "origin": EVIL,
            "content-type": "text/plain",
            "sec-fetch-mode": "navigate",
            "sec-fetch-dest": "document",
        }
        assert (await web.client.post("/api/chat/sessions", content=b'{"title": "x"}', headers=form)).status_code == 403


async def test_a_link_to_the_console_may_be_followed_from_anywhere(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
        assert (await web.client.get("/", headers=link)).status_code == 200


async def test_a_foreign_page_gets_no_socket(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        url = web.url.replace("http", "ws") + "/api/live"
        for origin in (EVIL, "null", "http://localhost:3000"):
            async with connect(url, additional_headers={"origin": origin}) as socket:
                with pytest.raises(ConnectionClosed) as closed:
                    await socket.recv()
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 4003
        async with connect(url, additional_headers={"origin": web.url}) as socket:
            assert "hello" in str(await socket.recv())


async def test_only_consoles_of_the_fleet_may_ask_from_another_origin(tmp_path: Path) -> None:
    url, root = "http://127.0.0.1:8701", tmp_path / "spark"
    spark = {"name": "spark", "display": "Spark", "url": url, "root": str(root)}
    async with web_front(tmp_path, neighbours=[spark]) as web:
        not_running = await web.client.get("/api/me", headers={"origin": url, "sec-fetch-site": "same-site"})
        assert not_running.status_code == 403
        lock = RootLock.take(root)
        write(root, BotStatus(bot="spark", state="ready", pid=os.getpid(), web=url))
        for origin in ("http://127.0.0.1:8701", "http://localhost:8701"):
            asked = {"origin": origin, "access-control-request-method": "PUT"}
            assert (await web.client.options("/api/chat/sessions", headers=asked)).status_code == 204
            answer = await web.client.get("/api/me", headers={"origin": origin, "sec-fetch-site": "same-site"})
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, origin)
            assert "Origin" in answer.headers["vary"]
        other = await web.client.get("/api/me", headers={"origin": "http://127.0.0.1:8702"})
        assert other.status_code == 403
        lock.release()


CROOKED = (
    "//api/openapi.json",
    "/%2e%2e/api/me",
    f"/static/..%2f..%2f{FILE}",
    "/static/../../etc/passwd",
    "/api/%00",
    f"/api/chat/sessions/..%2f..%2f{FILE}",
    "/API/openapi.json",
    "/api\\openapi.json",
    "/api/chat/attachments/..%2fx",
)


async def test_crooked_paths_lead_nowhere(tmp_path: Path) -> None:
    async with web_front(tmp_path, web={"open": "never"}) as web:
        known = f"Authorization: Bearer {token_for(web, 'anna')}\r\n"
        for path, more in product(CROOKED, ("", known)):
            answer = await raw(web, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode())
            assert status(answer) in ((400, 404, 422) if more else (400, 401, 404)), path
            assert b"hash" not in answer
            assert b"root:" not in answer


SIGN_IN = b"POST /api/login HTTP/1.1\r\nHost: localhost\r\n"
ME = b"GET /api/me HTTP/1.1\r\nHost: localhost\r\n"
CLOUDY = (
    ME + b"Host: evil.example\r\n\r\n",
    ME + b"Origin: http://localhost\r\nOrigin: http://evil.example\r\n\r\n",
    ME + b"X: a\rb\r\n\r\n",
    SIGN_IN + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    SIGN_IN + b"Content-Length: -5\r\n\r\n",
    SIGN_IN + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
)


async def test_heads_that_could_be_read_two_ways_are_refused(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        for head in CLOUDY:
            assert status(await raw(web, head)) in (400, 403, 413, 422), head[:200]
        assert (await web.client.get("/api/me")).status_code == 200


async def test_cookies_cannot_be_slipped_in_from_another_port(tmp_path: Path) -> None:
    async with web_front(tmp_path, web={"open": "never"}) as web:
        anna = dict((await web.client.post("/api/login", json={"token": token_for(web, "anna")})).cookies)[
            "troupe_sage"
        ]
        web.client.cookies.clear()
        mallory = dict((await web.client.post("/api/login", json={"token": token_for(web, "mallory")})).cookies)
        web.client.cookies.clear()
        both = {"cookie": f"troupe_sage={mallory['troupe_sage']}; troupe_sage={anna}; broken=\x01; ="}
        assert (await web.client.get("/api/me", headers=both)).json()["person"] is None


async def test_what_is_too_long_is_refused_before_it_is_read(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        head = b"POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        said = await raw(web, head + b"Content-Length: 99999999999\r\n\r\n{")
        assert (status(said), b"connection: close" in said.lower()) == (413, True)

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(200):
                yield b" " * 65_536

        with suppress(httpx2.WriteError, httpx2.ReadError):  # it may be closed while we still send
            refused = await web.client.post("/api/login", content=endless())
            assert (refused.status_code, refused.json()["title"]) == (413, "Too large")
        assert (await web.client.get("/api/me")).status_code == 200


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async def drips() -> types.Message:
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def silent() -> types.Message:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    with pytest.raises(HTTPException) as slow:
        await Body(silent, 1000, 0.01)()
    assert slow.value.status_code == 408
    body = Body(drips, 1000, 10)
    for _ in range(1000):
        await body()
    with pytest.raises(HTTPException) as long:
        await body()
    assert long.value.status_code == 413


async def test_who_asks_too_often_is_told_when_to_come_back(tmp_path: Path) -> None:
    async with web_front(tmp_path, web={"requests": 10, "open": "never"}) as web:
        anna = {"authorization": f"Bearer {token_for(web, 'anna')}"}
        answers = [await web.client.get("/api/me", headers=anna) for _ in range(12)]
        assert [each.status_code for each in answers].count(429) >= 1
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
        assert answers[-1].json()["title"] == "Too many requests"
        ben = {"authorization": f"Bearer {token_for(web, 'ben')}"}
        assert (await web.client.get("/api/me", headers=ben)).status_code == 200


async def test_nobody_holds_so_many_sockets_that_none_are_left(tmp_path: Path) -> None:
    async with web_front(tmp_path, web={"open": "never"}) as web, AsyncExitStack() as held:
        url = web.url.replace("http", "ws") + "/api/live"
        anna = {"authorization": f"Bearer {token_for(web, 'anna', 'read')}"}
        for _ in range(64):
            await held.enter_async_context(connect(url, additional_headers=anna))
        one_more = await held.enter_async_context(connect(url, additional_headers=anna))
        with pytest.raises(ConnectionClosed) as closed:
            await one_more.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4029
        ben = {"authorization": f"Bearer {token_for(web, 'ben', 'read')}"}
        async with connect(url, additional_headers=ben) as socket:
            assert "hello" in str(await socket.recv())


async def test_nobody_guesses_for_long_whatever_they_say_their_address_is(tmp_path: Path) -> None:
    async with web_front(tmp_path, web={"requests": 10, "open": "never"}) as web:
        tried = [
            await web.client.post(
                "/api/login", json={"token": f"troupe_{number}"}, headers={"x-forwarded-for": f"203.0.113.{number}"}
            )
            for number in range(14)
        ]
        assert [each.status_code for each in tried[:10]] == [401] * 10
        assert 429 in [each.status_code for each in tried[10:]]


def test_who_is_counted_is_bounded_and_fills_again_with_time() -> None:
    now = 0.0
    rates = Rates(lambda: now)
    assert [rates.wait("anna", 60) for _ in range(61)] == [0] * 60 + [1]
    now = 1.0
    assert (rates.wait("anna", 60), rates.wait("anna", 60)) == (0, 1)
    for number in range(20_000):
        rates.wait(str(number), 60)
    assert len(rates._left) == 10_000


async def test_a_token_is_in_no_log_no_answer_and_no_audit(tmp_path: Path) -> None:
    said = io.StringIO()
    before = logging.getLogger().handlers[:], logging.getLogger().level
    logs.configure("sage", "debug", stream=said, tty=False)
    try:
        async with web_front(tmp_path, web={"open": "never"}) as web:
            token = token_for(web, "anna")
            bearer = {"authorization": f"Bearer {token}"}
            told = [
                await web.client.get("/api/me", headers=bearer),
                await web.client.get(f"/api/no-such?token={token}", headers=bearer),
                await web.client.post("/api/login", json={"token": token}),
                await web.client.post("/api/login", json={"token": [token]}),
                await web.client.post("/api/login", content=token.encode()),
                await web.client.get("/metrics", headers=bearer),
            ]
            kept = [each.model_dump_json() for each in (await web.house.store.records(AuditEntry)).items]
    finally:
        logging.getLogger().handlers[:], level = before
        logging.getLogger().setLevel(level)
    assert token not in said.getvalue()
    assert not any(token in text for text in (*(each.text for each in told), *kept))


async def test_every_answer_tells_browsers_to_be_careful(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        for path in ("/", "/api/me", "/api/no-such", "/api/chat/sessions"):
            headers = (await web.client.get(path)).headers
            assert "script-src 'self'" in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cross-origin-opener-policy"] == "same-origin"
            assert (headers.get("cache-control") == "no-store") == path.startswith("/api")
            assert "server" not in headers


BROKEN = (b"", b"[]", b"null", b"{", b"\xff\xfe", b'{"token": "\\u0000\\ud800"}', b"[" * 100_000)


async def test_a_broken_sign_in_is_refused_with_a_sentence(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        for body in BROKEN:
            answer = await web.client.post("/api/login", content=body, headers={"content-type": "application/json"})
            assert answer.status_code in (400, 401, 422), body[:40]
            assert answer.headers["content-type"] == "application/problem+json"
