"""Exports over HTTP: streamed files of one session or of many, of what the caller may see and no more."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest
from fastapi import Request

from bots.web.exporting import _first
from bots.web.problems import Conflict
from tests.test_web_messages import in_a_guild
from tests.test_web_sessions import SESSIONS, begun, said
from tests.webfront import Web, web_front


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Web]:
    async with web_front(tmp_path) as front:
        yield front


@pytest.mark.parametrize(
    ("form", "kind", "begins"),
    [
        ("md", "text/markdown; charset=utf-8", b"# "),
        ("txt", "text/plain; charset=utf-8", b""),
        ("html", "text/html; charset=utf-8", b"<!"),
        ("json", "application/json", b"{"),
        ("pdf", "application/pdf", b"%PDF"),
        ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", b"PK"),
        ("v3", "application/zip", b"PK"),
    ],
)
async def test_a_session_is_taken_along_in_any_form(web: Web, form: str, kind: str, begins: bytes) -> None:
    session = await begun(web, title="Heights")
    await said(web, session["id"], "The tower is 300 metres tall.")
    answer = await web.client.post(f"{SESSIONS}/{session['id']}/export", json={"form": form})
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.content.startswith(begins)
    assert answer.headers["content-disposition"].startswith("attachment; filename*=UTF-8''")
    if form in ("md", "txt", "html", "json"):
        assert "The tower is 300 metres tall." in answer.text


async def test_an_export_for_which_nobody_waits_is_given_up() -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncGenerator[bytes, None]:
        try:
            await asyncio.Event().wait()
            yield b""
        finally:
            closed.set()

    async def left() -> dict[str, str]:
        return {"type": "http.disconnect"}

    with pytest.raises(Conflict, match="Nobody waits"):
        await _first(Request({"type": "http"}, left), endless())
    assert closed.is_set()


async def test_many_sessions_are_one_file(web: Web) -> None:
    for name in ("One", "Two"):
        session = await begun(web, title=name, tags=[name.lower()])
        await said(web, session["id"], f"Said in {name}")
    await in_a_guild(web, "Said in a guild")
    bulk = "/api/chat/export/bulk"
    everything = json.loads((await web.client.post(bulk, json={"form": "json"})).content)
    assert len(everything["sessions"]) == 3
    zipped = await web.client.post(bulk, json={"zipped": True, "tags": ["one"]})
    names = zipfile.ZipFile(io.BytesIO(zipped.content)).namelist()
    assert sum(name.endswith(".md") for name in names) == 1
    count = (await web.client.post("/api/chat/export/count", json={"channels": ["general"]})).json()
    assert count == {"sessions": 1, "messages": 1}
    (guild,) = json.loads((await web.client.post(bulk, json={"form": "json", "user": "Ann"})).content)["sessions"]
    assert guild["channel"]["name"] == "general"


async def test_an_operator_takes_along_what_was_deleted_as_well(web: Web) -> None:
    session = await begun(web)
    line = await said(web, session["id"], "Forget this.")
    await said(web, session["id"], "Keep this.")
    await web.client.delete(f"/api/chat/messages/{line['id']}")
    url = f"{SESSIONS}/{session['id']}/export"
    for complete in (False, True):
        told = await web.client.post(url, json={"form": "json", "complete": complete})
        assert ("Forget this." in told.text) is complete


async def test_what_cannot_be_made_is_told_before_anything_is_sent(web: Web) -> None:
    bulk = "/api/chat/export/bulk"
    for given, told in (
        ({}, "keeps no sessions yet"),
        ({"zone": "Moon/Base"}, "There is no time zone"),
        ({"channels": ["nowhere"]}, "There is no channel"),
    ):
        answer = await web.client.post(bulk, json=given)
        assert (answer.status_code, told in answer.json()["detail"]) == (400, True), answer.text
    assert (await web.client.post(bulk, json={"form": "exe"})).status_code == 422
    assert (await web.client.post(bulk, json={"sessions": ["nothing"]})).status_code == 404
    session = await begun(web)
    await said(web, session["id"], "Now there is something.")
    assert (await web.client.post(bulk, json={})).status_code == 200
