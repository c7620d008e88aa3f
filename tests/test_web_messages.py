"""Messages over HTTP: read both ways, worded anew, taken away, reacted to, noted on, explained and found."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from storage.model import Channel, Message, Sender, Session, Text
from tests.test_web_sessions import SESSIONS, begun, said
from tests.webfront import Web, web_front

MESSAGES = "/api/chat/messages"
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ANN = Sender(type="user", id="7", name="Ann")
ROOM = Channel(front="discord", id="100", kind="channel", name="general", guild_id="1", guild_name="Troupers")


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Web]:
    async with web_front(tmp_path) as front:
        yield front


async def in_a_guild(web: Web, *texts: str) -> Session:
    """A session on Discord in which Ann said something."""
    session = Session(id="2026-03-02_12-00-00_aaaa", channel=ROOM, participants=(ANN,), opened_at=NOON, last_at=NOON)
    for number, text in enumerate(texts):
        line = Message(
            id=f"line{number}",
            origin=f"discord:100:{number}",
            session_id=session.id,
            role="user",
            sender=ANN,
            parts=(Text(text=text),),
            at=NOON + timedelta(seconds=number),
            reply_to=f"discord:100:{number - 1}" if number else None,
        )
        await web.house.store.append(session, line)
    return session


async def page(web: Web, session: str, **asked: Any) -> dict[str, Any]:
    answer = await web.client.get(f"{SESSIONS}/{session}/messages", params=asked)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def words(told: dict[str, Any]) -> list[str]:
    return [each["text"] for each in told["items"]]


async def test_a_talk_is_read_both_ways_from_any_message(web: Web) -> None:
    session = await in_a_guild(web, *(f"line {number}" for number in range(10)))
    newest = await page(web, session.id, limit=3)
    assert (words(newest), newest["newer"]) == (["line 7", "line 8", "line 9"], None)
    assert words(await page(web, session.id, limit=2, cursor=newest["older"])) == ["line 5", "line 6"]
    middle = await page(web, session.id, limit=4, around="line4")
    assert words(middle) == ["line 3", "line 4", "line 5", "line 6"]
    assert words(await page(web, session.id, limit=2, cursor=middle["newer"])) == ["line 7", "line 8"]
    assert words(await page(web, session.id, limit=2, cursor="oldest")) == ["line 0", "line 1"]
    last = await page(web, session.id, limit=4, around="line9")
    assert (words(last), last["newer"]) == (["line 6", "line 7", "line 8", "line 9"], None)
    for message, older, newer in (("line4", "line 3", ["line 5"]), ("line9", "line 8", None)):
        alone = await page(web, session.id, limit=1, around=message)
        assert [each["id"] for each in alone["items"]] == [message]
        assert words(await page(web, session.id, limit=1, cursor=alone["older"])) == [older]
        after = await page(web, session.id, limit=1, cursor=alone["newer"]) if alone["newer"] else None
        assert (words(after) if after else None) == newer
    elsewhere = await web.client.get(f"{SESSIONS}/{session.id}/messages", params={"around": "nothing"})
    assert elsewhere.status_code == 400


async def test_a_reply_names_the_message_it_replies_to(web: Web) -> None:
    session = await in_a_guild(web, "Who is there?", "I am.")
    assert [each["reply_to"] for each in (await page(web, session.id))["items"]] == [None, "line0"]
    (alone,) = (await page(web, session.id, limit=1))["items"]
    assert alone["reply_to"] == "line0"


async def test_words_are_told_as_html_that_does_nothing(web: Web) -> None:
    session = await begun(web)
    await said(web, session["id"], "**Bold** <script>alert(1)</script>")
    (line,) = (await page(web, session["id"], html=True))["items"]
    assert "<strong>Bold</strong>" in line["html"]
    assert "<script" not in line["html"]
    (plain,) = (await page(web, session["id"]))["items"]
    assert plain["html"] is None


async def test_ones_own_line_can_be_worded_anew_and_taken_away(web: Web) -> None:
    session = await begun(web)
    line = await said(web, session["id"], "Hello wrold")
    url = f"{SESSIONS}/{session['id']}"
    branch = (await web.client.post(f"{url}/branch", json={})).json()
    changed = (await web.client.put(f"{MESSAGES}/{line['id']}", json={"text": "Hello world"})).json()
    assert (changed["text"], [edit["text"] for edit in changed["edits"]]) == ("Hello world", ["Hello wrold"])
    assert words(await page(web, branch["id"])) == ["Hello world"]
    assert (await web.client.delete(f"{MESSAGES}/{line['id']}")).status_code == 204
    assert words(await page(web, session["id"])) == words(await page(web, branch["id"])) == []
    assert (await web.client.delete(f"{MESSAGES}/{line['id']}")).status_code == 404


async def test_nobody_puts_words_into_somebody_elses_mouth(web: Web) -> None:
    await in_a_guild(web, "I like tea.")
    refused = await web.client.put(f"{MESSAGES}/line0", json={"text": "I like coffee."})
    assert (refused.status_code, "Only who said that" in refused.json()["detail"]) == (403, True)
    assert (await web.client.delete(f"{MESSAGES}/line0")).status_code == 204  # whoever runs the bot may


async def test_an_emoji_counts_once_and_can_be_taken_back(web: Web) -> None:
    session = await begun(web)
    line = await said(web, session["id"], "Good news")
    for _ in range(2):
        told = (await web.client.put(f"{MESSAGES}/{line['id']}/reactions/🎉")).json()
    (reaction,) = told["reactions"]
    assert (reaction["emoji"], reaction["count"], reaction["mine"]) == ("🎉", 1, True)
    told = (await web.client.delete(f"{MESSAGES}/{line['id']}/reactions/🎉")).json()
    assert told["reactions"] == []
    assert (await web.client.put(f"{MESSAGES}/{line['id']}/reactions/%00")).status_code == 400


async def test_notes_are_put_on_a_message_and_taken_back(web: Web) -> None:
    session = await begun(web)
    line = await said(web, session["id"], "Good news")
    url = f"{MESSAGES}/{line['id']}/annotations"
    for thumb in ("up", "down"):
        told = (await web.client.post(url, json={"kind": "thumb", "text": thumb})).json()
    assert [(note["kind"], note["text"], note["mine"]) for note in told["annotations"]] == [("thumb", "down", True)]
    told = (await web.client.post(url, json={"kind": "remark", "text": "Check this"})).json()
    told = (await web.client.delete(f"{url}/{told['annotations'][1]['id']}")).json()
    assert [note["kind"] for note in told["annotations"]] == ["thumb"]
    assert (await web.client.delete(f"{url}/nothing")).status_code == 404
    assert (await web.client.post(url, json={"kind": "thumb", "text": "sideways"})).status_code == 400


async def test_why_an_answer_and_a_line_are_what_they_are_is_told(web: Web) -> None:
    session = await begun(web)
    heard = await web.client.post(f"{SESSIONS}/{session['id']}/messages", json={"text": "What is 6 times 7?"})
    answer, line = heard.json()["answer"], heard.json()["line"]
    told = (await web.client.get(f"{MESSAGES}/{answer['id']}/why")).json()
    assert "because" in told["lines"][0]
    assert told["facts"]["persona"] == answer["persona"]
    placed = (await web.client.get(f"{MESSAGES}/{line['id']}/why")).json()
    assert session["id"] in placed["lines"][0]
    assert answer["metadata"]["decision"]["persona"] == answer["persona"]


async def test_what_was_said_is_found_with_where_and_by_whom(web: Web) -> None:
    session = await begun(web, title="Heights")
    await said(web, session["id"], "The tower is 300 metres tall.")
    await in_a_guild(web, "The tower of babel", "A tower of cards")
    found = (await web.client.get("/api/chat/search", params={"q": "tower", "limit": 2})).json()
    assert (len(found["items"]), found["more"]) == (2, 2)
    rest = (await web.client.get("/api/chat/search", params={"q": "tower", "limit": 2, "skip": 2})).json()
    assert (len(rest["items"]), rest["more"]) == (1, None)
    (mine,) = (await web.client.get("/api/chat/search", params={"q": "tower", "mine": True})).json()["items"]
    (begins, ends), snippet = mine["hits"][0], mine["snippet"]
    assert (mine["session"]["title"], snippet[begins:ends]) == ("Heights", "tower")
    (babel,) = (await web.client.get("/api/chat/search", params={"q": "babel", "person": "Ann"})).json()["items"]
    assert babel["session"]["channel"]["name"] == "general"
    assert (await web.client.get("/api/chat/search")).status_code == 400
    assert (await web.client.get("/api/chat/search", params={"q": "tower", "person": "Zoe"})).status_code == 400


async def test_a_hundred_kinds_of_nothing_are_refused_in_a_sentence(web: Web) -> None:
    for path in (f"{SESSIONS}/%00", f"{SESSIONS}/..%2f..%2fetc", f"{MESSAGES}/%F0%9F", f"{SESSIONS}/x/messages"):
        answer = await web.client.get(path)
        assert answer.status_code == 404, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"].endswith(".")
