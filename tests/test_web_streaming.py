"""What is heard of an answer on the web, and what is refused: by rules, budgets, and where it is not one's own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bots.incoming import Incoming
from bots.web.answering import Answering, Step
from storage.model import Channel, Sender
from storage.records import AuditEntry
from tests.test_web_auth import bearer, token_for
from tests.test_web_talking import STREAM, begun, events, kept, lines, say, speaking, until
from tests.webfront import Web, web_front


async def refused(web: Web, session: str, **line: Any) -> tuple[int, str]:
    response = await web.client.post(f"/api/chat/sessions/{session}/messages", json=line)
    return response.status_code, response.json()["detail"]


async def test_what_cannot_be_said_is_refused_with_a_sentence_and_keeps_nothing(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session = await begun(web)
        assert await refused(web, session, text="  ") == (400, "Say something, or send a file.")
        status, told = await refused(web, session, text="Hello", persona="Nobody")
        assert (status, "You can ask for Sage, Compass, Gadfly" in told) == (400, True)
        assert (await refused(web, session, text="Hello", reply_to="m0"))[0] == 404
        assert (await refused(web, session, text="Hello", attachments=["0" * 64]))[0] == 404
        assert (await refused(web, session, text="Hello", attachments=["../x"]))[0] == 422
        assert (await refused(web, "2020-01-01_00-00-00_none", text="Hello"))[0] == 404
        assert await lines(web, session) == []


async def test_nobody_speaks_in_a_session_of_somebody_else_or_in_discord_from_here(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        ann, ben = bearer(token_for(web, "ann")), bearer(token_for(web, "ben"))
        own = (await web.client.post("/api/chat/sessions", json={}, headers=ann)).json()["id"]
        path = f"/api/chat/sessions/{own}"
        said = await web.client.post(f"{path}/messages", json={"text": "What is 2 + 2?"}, headers=ann)
        answer = said.json()["answer"]["id"]
        asked = [
            ("POST", f"{path}/messages"),
            ("GET", f"{path}/stream"),
            ("POST", f"{path}/stop"),
            ("POST", f"{path}/command"),
            ("POST", f"/api/chat/messages/{answer}/regenerate"),
            ("POST", f"/api/chat/messages/{answer}/continue"),
            ("POST", f"/api/chat/messages/{answer}/edit-and-branch"),
        ]
        for method, url in asked:
            words = {"line": "/help"} if url.endswith("command") else {"text": "Hello"}
            body = words if method == "POST" else None
            assert (await web.client.request(method, url, headers=ben, json=body)).status_code == 404, url
        assert (await refused(web, own, text="Hello"))[0] == 409  # whoever runs the bot sees it, and speaks elsewhere
        general = Channel(front="discord", id="1", kind="channel", name="general", guild_id="7")
        sender = Sender(type="user", id="ann", name="Ann")
        at = web.house.now()
        async for _ in web.house.bot.receive(Incoming("discord:1:1", general, sender, "Hello", at, answer=False)):
            pass
        (there,) = await web.house.store.sessions(general.key)
        status, told = await refused(web, there.id, text="Hello")
        assert (status, "take that channel over" in told) == (409, True)


async def test_who_may_only_read_hears_what_is_said_and_says_nothing(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        chat, read = bearer(token_for(web, "ann")), bearer(token_for(web, "ann-reads", "read"))
        own = (await web.client.post("/api/chat/sessions", json={}, headers=chat)).json()["id"]
        path = f"/api/chat/sessions/{own}"
        assert (await web.client.post(f"{path}/messages", json={"text": "Hi"}, headers=read)).status_code == 403
        assert (await web.client.post(f"{path}/stop", headers=read)).status_code == 403


async def test_a_budget_that_is_used_up_is_told_once_and_holds(tmp_path: Path) -> None:
    async with web_front(tmp_path, budgets=[{"per": "user", "window": "day", "messages": 1}]) as web:
        session = await begun(web)
        assert (await say(web, session, "What is 2 + 2?"))["answer"]["text"].startswith("2 + 2 = 4")
        declined = await say(web, session, "And 3 + 3?")
        assert [each["type"] for each in declined["answer"]["parts"]] == ["system"]
        quiet = await say(web, session, "And 4 + 4?")
        assert (quiet["answer"], quiet["refused"][:16]) == (None, "You have used up")
        path = f"/api/chat/sessions/{session}/messages"
        async with web.client.stream("POST", path, json={"text": "And 5 + 5?"}, headers=STREAM) as response:
            assert "used up" in (await until(events(response), "refused")).told["detail"]


async def test_an_answer_that_was_deleted_is_not_heard_any_more(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session, _ = await begun(web), speaking(web, "The word is harbour.")
        answer = (await say(web, session, "What is the word?"))["answer"]["id"]
        path, heard = f"/api/chat/sessions/{session}/stream", {"Last-Event-ID": f"{answer}:0"}
        assert "harbour" in (await web.client.get(path, headers=heard)).text
        assert (await web.client.delete(f"/api/chat/messages/{answer}")).is_success
        assert (await web.client.get(path, headers=heard)).status_code == 204
    async with web_front(tmp_path) as web:  # which knows it from what is kept alone
        assert (await web.client.get(path, headers=heard)).status_code == 204


async def test_somebody_whom_a_rule_shuts_out_is_not_answered(tmp_path: Path) -> None:
    async with web_front(tmp_path, access=[{"allow": False}]) as web:
        told = await say(web, await begun(web), "Hello")
        assert (told["line"]["text"], told["answer"]) == ("Hello", None)
        assert "may not answer" in told["refused"]


async def test_a_reply_says_what_it_is_about(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session = await begun(web)
        first = await say(web, session, "What is 2 + 2?", persona="gadfly")
        reply = await say(web, session, "And why?", reply_to=first["answer"]["id"])
        assert (reply["line"]["reply_to"], reply["answer"]["persona"]) == (first["answer"]["id"], "gadfly")
        branch = (await web.client.post(f"/api/chat/sessions/{session}/branch", json={})).json()["id"]
        copy = (await lines(web, branch))[1]
        assert (await say(web, branch, "And here?", reply_to=copy.id))["answer"]["persona"] == "gadfly"


async def test_words_come_as_html_where_that_is_asked_for(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session, _ = await begun(web), speaking(web, "**Bold** <script>alert(1)</script>")
        path = f"/api/chat/sessions/{session}/messages?html=true"
        async with web.client.stream("POST", path, json={"text": "<b>Hi</b>"}, headers=STREAM) as response:
            html = (await until(events(response), "done")).told["message"]["html"]
        assert "<strong>Bold</strong>" in html
        assert "<script" not in html
        shown = await web.client.post("/api/chat/rendered", json={"text": "<img src=x onerror=alert(1)> `a`"})
        assert "<img" not in shown.json()["html"]
        assert "<code>a</code>" in shown.json()["html"]


async def test_the_audit_knows_that_something_was_said_and_not_what(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session = await begun(web)
        await say(web, session, "A secret: xyzzy")
        await web.client.post("/api/chat/rendered", json={"text": "A secret: xyzzy"})
        (entry,) = (await web.house.store.records(AuditEntry)).items
        assert entry.action == "POST /api/chat/sessions/{id}/messages"
        assert "xyzzy" not in entry.model_dump_json()


@pytest.mark.parametrize("last", ["", "x", ":", "nothing:9", "a" * 99, "é:1", "x:99999999999999999999", "x:-1"])
async def test_a_stream_is_never_broken_by_where_somebody_says_to_be(front: Web, last: str) -> None:
    session = await begun(front)
    path = f"/api/chat/sessions/{session}/stream"
    response = await front.client.get(path, headers=[(b"last-event-id", last.encode())])
    assert response.status_code == 204


async def test_a_line_that_comes_while_the_bot_goes_elsewhere_is_answered_there(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session, stream = await begun(web), await begun(web)
        await web.house.bot.pause(0.0)
        told = await web.client.post(f"/api/chat/sessions/{session}/messages", json={"text": "What is 2 + 2?"})
        assert (told.status_code, told.json()["answer"], told.json()["refused"]) == (202, None, None)
        path = f"/api/chat/sessions/{stream}/messages"
        response = await web.client.post(path, json={"text": "What is 3 + 3?"}, headers=STREAM)
        assert "event: said" in response.text
        assert "event: done" not in response.text
    async with web_front(tmp_path) as web:
        for each, answer in ((session, "2 + 2 = 4"), (stream, "3 + 3 = 6")):
            while (await web.client.get(f"/api/chat/sessions/{each}/stream")).status_code == 200:
                pass
            while len(said := await lines(web, each)) < 2:
                pass
            assert [line.text for line in said][1:] == [answer]


async def test_who_listens_slowly_hears_all_the_words_and_holds_nobody_up(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session = await kept(web, await begun(web))
        answering = Answering(session, "web:1:1", Sender(type="user", id="1", name="Ann"), id="a1")
        answering.tell("began")
        slow = answering.events()
        heard = [await anext(slow)]
        for number in range(9_000):
            answering.tell("delta", f"{number} ")
        answering.tell("done")
        answering.done = True
        heard += [step async for step in slow]
        assert len(heard) < 10
        assert _words(heard) == answering.text == "".join(f"{number} " for number in range(9_000))
        assert heard[-1].kind == "done"
        assert _words([step async for step in answering.events(3)]) == answering.text
        near = [step async for step in answering.events(answering.number - 3)]
        assert [(step.number, step.text) for step in near] == [(9_001, "8998 8999 "), (9_002, "")]
        answering.shrink()
        assert _words([step async for step in answering.events(8_000)]) == answering.text


async def test_words_wait_a_breath_to_be_told_together_and_an_end_does_not(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session = await kept(web, await begun(web))
        answering = Answering(session, "web:1:1", Sender(type="user", id="1", name="Ann"), id="a1")
        answering.breath = lambda: 0.05
        listener = answering.events(0)
        answering.tell("delta", "first ")
        assert (await anext(listener)).text == "first "
        hearing = asyncio.ensure_future(anext(listener))
        await asyncio.sleep(0)
        answering.tell("delta", "second ")
        answering.tell("delta", "third ")
        await asyncio.sleep(0)
        assert not hearing.done()
        assert (await hearing).text == "second third "
        hearing = asyncio.ensure_future(anext(listener))
        answering.breath = lambda: 3_600.0
        answering.tell("delta", "fourth")
        await hearing
        hearing = asyncio.ensure_future(anext(listener))
        answering.tell("delta", ", fifth")
        answering.done = True
        answering.tell("done")
        assert (await hearing).text == ", fifth"
        assert [step.kind async for step in listener] == ["done"]


def _words(steps: list[Step]) -> str:
    """What a front shows in the end."""
    text = ""
    for step in steps:
        text = "" if step.kind == "reset" else text + step.text
    return text


@pytest.fixture
async def front(tmp_path: Path) -> Any:
    async with web_front(tmp_path) as web:
        yield web


async def test_a_token_that_ends_is_no_way_in(front: Web) -> None:
    response: httpx2.Response = await front.client.get("/api/chat/commands", headers=bearer("troupe_nothing"))
    assert response.status_code == 401
