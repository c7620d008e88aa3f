"""Of two people at one bot neither sees, finds, changes or takes along what is the other's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bots.web.tokens import Scope, Tokens, new_token
from storage.model import Sender
from tests.test_web_messages import MESSAGES, in_a_guild
from tests.test_web_sessions import SESSIONS
from tests.webfront import Web, web_front


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Web]:
    async with web_front(tmp_path) as front:
        yield front


def signed_in(web: Web, id: str, name: str, scope: Scope = "chat") -> httpx2.AsyncClient:
    """A client that is somebody with a token."""
    token, person = new_token(), Sender(type="user", id=id, name=name)
    Tokens(web.house.bot.settings.root).keep(token, name, scope, person, datetime.now(UTC))
    return httpx2.AsyncClient(base_url=web.url, timeout=20, headers={"Authorization": f"Bearer {token}"})


async def talk_of(client: httpx2.AsyncClient, text: str) -> tuple[str, str]:
    """The ids of a session of somebody and of a line in it."""
    session = (await client.post(SESSIONS, json={"title": text})).json()["id"]
    heard = await client.post(f"{SESSIONS}/{session}/messages", json={"text": text, "answer": False})
    return session, heard.json()["line"]["id"]


async def test_what_is_somebody_elses_is_not_there(web: Web) -> None:
    async with signed_in(web, "7", "Ann") as ann, signed_in(web, "8", "Ben") as ben:
        session, line = await talk_of(ann, "My diary")
        own, _ = await talk_of(ben, "Shopping")
        asked: list[tuple[str, str, Any]] = [
            ("GET", f"{SESSIONS}/{session}", None),
            ("PUT", f"{SESSIONS}/{session}", {"title": "Mine"}),
            ("DELETE", f"{SESSIONS}/{session}", None),
            ("DELETE", f"{SESSIONS}/{session}?hard=true", None),
            ("POST", f"{SESSIONS}/{session}/restore", None),
            ("POST", f"{SESSIONS}/{session}/branch", {}),
            ("POST", f"{SESSIONS}/{session}/duplicate", None),
            ("POST", f"{SESSIONS}/{own}/merge", {"other": session}),
            ("GET", f"{SESSIONS}/{own}/compare?other={session}", None),
            ("GET", f"{SESSIONS}/{session}/tree", None),
            ("POST", f"{SESSIONS}/{session}/summary", None),
            ("GET", f"{SESSIONS}/{session}/messages", None),
            ("POST", f"{SESSIONS}/{session}/export", {}),
            ("POST", "/api/chat/export/bulk", {"sessions": [session]}),
            ("POST", "/api/chat/templates", {"session": session, "name": "Hers"}),
            ("GET", f"{MESSAGES}/{line}", None),
            ("PUT", f"{MESSAGES}/{line}", {"text": "No"}),
            ("DELETE", f"{MESSAGES}/{line}", None),
            ("PUT", f"{MESSAGES}/{line}/reactions/👍", None),
            ("DELETE", f"{MESSAGES}/{line}/reactions/👍", None),
            ("POST", f"{MESSAGES}/{line}/annotations", {"kind": "remark", "text": "Ha"}),
            ("DELETE", f"{MESSAGES}/{line}/annotations/x", None),
            ("GET", f"{MESSAGES}/{line}/why", None),
        ]
        for method, url, given in asked:
            answer = await ben.request(method, url, json=given)
            assert answer.status_code == 404, (method, url, answer.text)
        around = await ben.get(f"{SESSIONS}/{own}/messages", params={"around": line})
        assert around.status_code == 400
        found = (await ann.get(f"{SESSIONS}/{session}")).json()
        assert (found["title"], found["message_count"]) == ("My diary", 1)


async def test_lists_searches_and_exports_hold_ones_own_talk_alone(web: Web) -> None:
    await in_a_guild(web, "The guild's diary")
    async with signed_in(web, "7", "Ann") as ann, signed_in(web, "8", "web:7") as ben:
        await talk_of(ann, "My diary")
        for asked in ({}, {"channel": "web:7"}, {"channel": "general"}, {"person": "Ann"}, {"mine": True}):
            assert (await ben.get(SESSIONS, params=asked)).json()["items"] == [], asked
            search = await ben.get("/api/chat/search", params={"q": "diary", **asked})
            assert search.json()["items"] == [], asked
        await talk_of(ben, "Shopping")
        for channels in ([], ["web:7"]):  # his name is the key of her place
            told = await ben.post("/api/chat/export/bulk", json={"form": "json", "channels": channels})
            assert [each["title"] for each in json.loads(told.content)["sessions"]] == ["Shopping"]
        for wider in ({"channels": ["general"]}, {"user": "Ann"}, {"complete": True}):
            assert (await ben.post("/api/chat/export/bulk", json=wider)).status_code == 403
        own = (await ben.get(SESSIONS)).json()["items"][0]["id"]
        assert (await ben.post(f"{SESSIONS}/{own}/export", json={"form": "json", "complete": True})).status_code == 403
        everything = await web.client.post("/api/chat/export/bulk", json={"form": "json"})
        assert len(json.loads(everything.content)["sessions"]) == 3


async def test_who_may_only_read_changes_nothing(web: Web) -> None:
    async with signed_in(web, "7", "Ann") as ann, signed_in(web, "7", "Ann", "read") as reader:
        session, line = await talk_of(ann, "My diary")
        assert (await reader.get(f"{SESSIONS}/{session}/messages")).json()["items"][0]["text"] == "My diary"
        assert (await reader.post(f"{SESSIONS}/{session}/export", json={})).status_code == 200
        for method, url in (("POST", SESSIONS), ("DELETE", f"{SESSIONS}/{session}"), ("DELETE", f"{MESSAGES}/{line}")):
            assert (await reader.request(method, url, json={})).status_code == 403
