"""What is open stays open only while its caller is let in: sockets, and answers that go on and on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from bots.settings import BotSettings
from bots.web.guard import Guard
from bots.web.tokens import Tokens, new_token
from storage.model import Sender
from tests.webfront import bot_settings

ANNA = Sender(type="user", id="7", name="Anna")


class Held:
    """One request at the guard, of somebody who is signed in until `spoil` is called."""

    def __init__(self, folder: Path, **request: Any) -> None:
        self.time = 0.0
        self.sent: list[Message] = []
        self.told = asyncio.Event()
        self.tokens = Tokens(folder)
        token = new_token()
        self.kept = self.tokens.keep(token, "anna", "chat", ANNA, datetime.now(UTC))
        self.desk = SimpleNamespace(settings=at(folder), now=lambda: datetime.now(UTC))
        headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {token}".encode())]
        self.scope: dict[str, Any] = {"headers": headers, "client": ("127.0.0.1", 1), "path": "/api/live", **request}
        self.scope["app"] = SimpleNamespace(state=SimpleNamespace(desk=self.desk))

    async def answered_by(self, app: Callable[[Scope, Receive, Send], Any], looks_every: float) -> None:
        async def send(message: Message) -> None:
            self.sent.append(message)
            self.told.set()

        async def receive() -> Message:
            return {"type": "websocket.receive", "text": "more"}

        guard = Guard(app, looks_every=looks_every, clock=lambda: self.time)
        async with asyncio.timeout(10):
            await guard(self.scope, receive, send)


def at(folder: Path, **web: Any) -> BotSettings:
    return bot_settings(folder, web={"open": "never", **web}, storage={"path": str(folder)})


def taken_back(held: Held) -> None:
    held.tokens.revoke(held.kept.id)


def lowered(held: Held) -> None:
    """The same person, who may do less by now."""
    file = held.desk.settings.root / "web_tokens.json"
    file.write_text(file.read_text().replace('"chat"', '"read"'))


@pytest.mark.parametrize("spoil", [taken_back, lowered])
async def test_a_socket_on_which_nobody_says_anything_is_closed(tmp_path: Path, spoil: Callable[[Held], None]) -> None:
    held = Held(tmp_path, type="websocket")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        spoil(held)
        await held.told.wait()
        await send({"type": "websocket.send", "text": "too late"})

    await held.answered_by(app, 0.01)
    assert [each["code"] for each in held.sent] == [4001]


@pytest.mark.parametrize("spoil", [taken_back, lowered])
async def test_what_is_said_on_a_socket_that_is_not_good_any_more_is_not_heard(
    tmp_path: Path, spoil: Callable[[Held], None]
) -> None:
    held, heard = Held(tmp_path, type="websocket"), list[str]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        heard.append((await receive())["type"])
        spoil(held)
        heard.append((await receive())["type"])

    await held.answered_by(app, 60)
    assert heard == ["websocket.receive", "websocket.disconnect"]
    assert [each["code"] for each in held.sent] == [4001]


@pytest.mark.parametrize("spoil", [taken_back, lowered])
async def test_a_long_answer_ends_for_who_is_not_let_in_any_more(tmp_path: Path, spoil: Callable[[Held], None]) -> None:
    held = Held(tmp_path, type="http", method="GET")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(5):
            held.time += 10
            if number == 2:
                spoil(held)
            await send({"type": "http.response.body", "body": str(number).encode(), "more_body": True})

    await held.answered_by(app, 5)
    assert [each.get("body") for each in held.sent] == [None, b"0", b"1", b""]
    assert held.sent[-1]["more_body"] is False


async def test_an_open_console_that_is_not_open_any_more_closes_its_sockets(tmp_path: Path) -> None:
    held = Held(tmp_path, type="websocket")
    held.scope["headers"] = [(b"host", b"localhost")]
    held.desk.settings = at(tmp_path, open="loopback")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        held.desk.settings = at(tmp_path)
        assert (await receive())["type"] == "websocket.disconnect"

    await held.answered_by(app, 60)
    assert [each["code"] for each in held.sent] == [4001]


async def test_a_request_that_is_cut_when_the_server_goes_is_told_so_and_is_no_failure(tmp_path: Path) -> None:
    held = Held(tmp_path, type="http", method="POST", path="/v1/chat/completions")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    await held.answered_by(app, 60)
    assert held.sent[0]["status"] == 503
    assert b"being stopped" in held.sent[1]["body"]
