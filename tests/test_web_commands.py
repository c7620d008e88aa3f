"""Slash commands in the console do what they do elsewhere, in the session in which they are said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.test_web_talking import begun, say
from tests.webfront import Web, web_front


async def order(web: Web, session: str, line: str) -> dict[str, Any]:
    response = await web.client.post(f"/api/chat/sessions/{session}/command", json={"line": line})
    assert response.status_code == 200, response.text
    told: dict[str, Any] = response.json()
    return told


async def test_the_console_knows_which_commands_there_are(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        known = {each["name"]: each for each in (await web.client.get("/api/chat/commands")).json()["items"]}
        assert known["persona"]["choices"] == ["default", "sage", "compass", "gadfly"]
        session = await begun(web)
        told = (await order(web, session, "/help"))["text"]
        assert all(f"/{name}" in told for name in known)
        unknown = await web.client.post(f"/api/chat/sessions/{session}/command", json={"line": "/dance"})
        assert (unknown.status_code, "no command 'dance'" in unknown.json()["detail"]) == (400, True)


async def test_commands_tell_of_the_session_in_which_they_are_said(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        first, second = await begun(web), await begun(web)
        await say(web, first, "What is 2 + 2?")
        await say(web, first, "And 3 + 3?")
        assert "I see 4 messages" in (await order(web, first, "/context"))["text"]
        assert "I see 0 messages" in (await order(web, second, "/context"))["text"]
        assert (await order(web, first, "/why"))["text"].startswith("Sage, because")
        assert (await order(web, second, "/why"))["text"] == "Nobody has answered in this session yet."
        assert "3 + 3" in (await order(web, first, "/summary"))["text"]
        titled = (await order(web, first, "/title Sums"))["session"]
        assert (titled["title"], titled["message_count"]) == ("Sums", 4)
        for _ in range(25):
            await say(web, first, "Nobody answers this", answer=False)
        assert (await order(web, first, "/why"))["text"].startswith("Sage, because")
        assert (await order(web, first, "/export html"))["export"] == "html"


async def test_a_session_that_is_cleared_leaves_sight_and_another_one_begins(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        first, other = await begun(web), await begun(web)
        told = await order(web, first, "/clear")
        assert told["session"]["id"] not in (first, other)
        assert (await web.client.get(f"/api/chat/sessions/{first}/stream")).status_code == 404
        assert (await web.client.get(f"/api/chat/sessions/{other}/stream")).status_code == 204
        again = await order(web, other, "/new")
        assert again["session"]["id"] not in (first, other)


async def test_a_branch_goes_on_in_a_session_of_its_own(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session = await begun(web)
        await say(web, session, "What is 2 + 2?")
        made = (await order(web, session, "/branch into here"))["session"]
        assert (made["parent_id"], made["message_count"]) == (session, 2)
        assert made["id"] != session
        elsewhere = await web.client.post(f"/api/chat/sessions/{session}/command", json={"line": "/branch thread"})
        assert "say /branch alone" in elsewhere.json()["detail"]


async def test_who_speaks_can_be_chosen(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session = await begun(web)
        assert "Gadfly" in (await order(web, session, "/persona gadfly"))["text"]
        assert (await say(web, session, "Hello there"))["answer"]["persona"] == "gadfly"
        await order(web, session, "/persona default")
        assert "Whoever fits" in (await order(web, session, "/persona"))["text"]
        unknown = await web.client.post(f"/api/chat/sessions/{session}/command", json={"line": "/persona Nobody"})
        assert "Nobody here is called" in unknown.json()["detail"]


async def test_people_say_what_is_remembered_of_them(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session = await begun(web)
        await order(web, session, "/memory remember I keep bees on the roof")
        assert "bees on the roof" in (await order(web, session, "/memory"))["text"]
        assert "forgotten" in (await order(web, session, "/memory forget bees"))["text"]
        assert "I remember nothing" in (await order(web, session, "/memory list"))["text"]
        await order(web, session, "/memory pause")
        assert "paused" in (await order(web, session, "/memory"))["text"]
