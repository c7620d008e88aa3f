"""What people do on the web while something else is under way: an answer, a file, a deletion, trouble of storage."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request

from bots.here import whoever_is_here
from bots.incoming import Incoming
from bots.web.callers import Caller
from bots.web.exporting import streamed
from bots.web.problems import Conflict
from bots.web.talking import Talking
from storage.backends.sqlite import SqliteStore
from storage.errors import StorageError
from tests.stage import eventually
from tests.test_web_talking import STREAM, begun, desk_of, events, here, lines, say, speaking, until
from tests.webfront import Web, web_front


@asynccontextmanager
async def refusing(web: Web) -> AsyncIterator[None]:
    """Nothing can be written meanwhile."""
    store = web.house.store
    assert isinstance(store, SqliteStore)
    await store._writing.run(lambda connection: connection.execute("PRAGMA query_only = ON").fetchall())
    try:
        yield
    finally:
        await store._writing.run(lambda connection: connection.execute("PRAGMA query_only = OFF").fetchall())


async def test_a_line_that_was_refused_and_is_said_again_is_kept_once(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session = await begun(web)
        asked: dict[str, Any] = {"text": "What is 2 + 2?"}
        openai = {"model": "sage", "messages": [{"role": "user", "content": "What is 2 + 2?"}]}
        async with refusing(web):
            for _ in range(2):
                refused = await web.client.post(f"/api/chat/sessions/{session}/messages", json=asked)
                assert (refused.status_code, "Retry-After" in refused.headers) == (503, True)
            for _ in range(2):
                refused = await web.client.post(
                    "/v1/chat/completions", json=openai, headers={"X-Troupe-Session": session}
                )
                assert (refused.status_code, "Retry-After" in refused.headers) == (503, True)
        await say(web, session, "What is 2 + 2?")
        await web.house.bot.upkeep()
        assert [each.text for each in await lines(web, session)] == ["What is 2 + 2?", "2 + 2 = 4"]


async def test_a_line_is_answered_once_however_often_somebody_asks_for_it(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session, model = await begun(web), speaking(web)
        line = (await say(web, session, "Tell me", answer=False))["line"]["id"]

        async def again() -> int:
            return (await web.client.post(f"/api/chat/messages/{line}/regenerate")).status_code

        asking = [asyncio.ensure_future(again()) for _ in range(4)]
        ended = asyncio.as_completed(asking)
        assert [await next(ended) for _ in range(3)] == [409, 409, 409]
        for word in ("Once.", None):
            model.words.put_nowait(word)
        assert await next(ended) == 200
        assert [each.text for each in await lines(web, session)] == ["Tell me", "Once."]


async def test_an_answer_that_is_still_given_can_be_stopped_and_nothing_else(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session, model = await begun(web), speaking(web)
        path = f"/api/chat/sessions/{session}/messages"
        async with web.client.stream("POST", path, json={"text": "Hello"}, headers=STREAM) as response:
            told = events(response)
            answer = f"/api/chat/messages/{(await until(told, 'began')).told['answer_id']}"
            for method, url, body in (
                ("GET", answer, None),
                ("PUT", answer, {"text": "Other words"}),
                ("DELETE", answer, None),
                ("PUT", f"{answer}/reactions/👍", None),
                ("POST", f"{answer}/regenerate", None),
                ("POST", f"{answer}/continue", None),
            ):
                refused = await web.client.request(method, url, json=body)
                assert refused.status_code == 409, (method, url, refused.text)
                assert "still being given" in refused.json()["detail"]
            for word in ("Good morning", None):
                model.words.put_nowait(word)
            await until(told, "done")
        assert (await web.client.get(answer)).json()["text"] == "Good morning"


async def test_of_one_person_one_file_is_made_at_a_time_and_trouble_is_told_before_it_begins() -> None:
    app = FastAPI()
    app.state.exporting = set()
    at = Request({"type": "http", "app": app})
    me = Caller(whoever_is_here(), "admin", "here")

    async def pieces(*given: bytes) -> AsyncGenerator[bytes, None]:
        if not given:
            raise StorageError("Not now.")
        for each in given:
            yield each

    for _ in range(2):
        with pytest.raises(StorageError, match="Not now"):
            await streamed(me, at, pieces(), "text/plain", "a")
    first = await streamed(me, at, pieces(b"a", b"b"), "text/plain", "a")
    with pytest.raises(Conflict, match="another export"):
        await streamed(me, at, pieces(b"c"), "text/plain", "a")
    assert [each async for each in first.body_iterator] == [b"a", b"b"]
    assert (await streamed(me, at, pieces(b"c"), "text/plain", "a")).status_code == 200


async def test_what_is_done_to_a_session_that_is_being_deleted_finds_it_or_not(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        for change in ({"archived": True}, {"title": "New"}, {"starred": True}, {"tags": ["a"]}, {"persona": "gadfly"}):
            path = f"/api/chat/sessions/{await begun(web)}"
            changing = web.client.put(path, json=change)
            _, done = await asyncio.gather(web.client.delete(path, params={"hard": True}), changing)
            assert done.status_code in (200, 404), (change, done.text)
            assert (await web.client.put(path, json=change)).status_code == 404


async def test_a_line_sent_twice_is_kept_and_answered_once(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session = await begun(web)
        first, second = await asyncio.gather(*(say(web, session, "What is 2 + 2?", key="one") for _ in range(2)))
        third = await say(web, session, "What is 2 + 2?", key="one")
        assert first["line"]["id"] == second["line"]["id"] == third["line"]["id"]
        assert first["answer"]["id"] == second["answer"]["id"] == third["answer"]["id"]
        assert (await say(web, session, "What is 3 + 3?", key="two"))["answer"]["text"] == "3 + 3 = 6"
        assert len(await lines(web, session)) == 4
        elsewhere = await web.client.post(
            f"/api/chat/sessions/{await begun(web)}/messages", json={"text": "Hello", "key": "one"}
        )
        assert elsewhere.status_code == 409
    async with web_front(tmp_path) as web:
        late = await say(web, session, "What is 2 + 2?", key="one")
        assert (late["line"]["id"], late["answer"]["id"]) == (first["line"]["id"], first["answer"]["id"])
        assert len(await lines(web, session)) == 4


@pytest.mark.parametrize("owed_first", [False, True])
async def test_a_line_that_a_crash_left_open_and_that_is_said_again_is_answered_once(
    tmp_path: Path, owed_first: bool
) -> None:
    async with web_front(tmp_path) as web:
        session, me, at = await begun(web), whoever_is_here(), web.house.now()
        left = Incoming(
            f"{here().key}:key:k1", here(), me, "What is 2 + 2?", at, answer=False, later=True, session=session
        )
        async for _ in web.house.bot.receive(left):
            pass
        talk = Talking(desk_of(web))
        again = talk.say(Caller(me, "chat", "here"), session, "What is 2 + 2?", key="k1")
        owed = asyncio.create_task(talk.answer_owed()) if owed_first else None
        saying = asyncio.create_task(again)
        await (owed or talk.answer_owed())
        answering = await saying
        await answering.over()
        await talk.close()
        assert answering.refused == ""
        assert [each.text for each in await lines(web, session)] == ["What is 2 + 2?", "2 + 2 = 4"]


async def test_a_line_that_comes_while_the_bot_goes_is_answered_once_it_is_back(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session = await begun(web)
        await web.house.bot.close()
        told = await web.client.post(f"/api/chat/sessions/{session}/messages", json={"text": "What is 2 + 2?"})
        assert (told.status_code, told.json()["answer"], told.json()["refused"]) == (202, None, None)
    async with web_front(tmp_path) as web:
        with closing(sqlite3.connect(tmp_path / "data" / "sage" / "conversations.db")) as kept:
            await eventually(lambda: kept.execute("SELECT count(*) FROM conversations").fetchone() == (2,))
        assert [each.text for each in await lines(web, session)] == ["What is 2 + 2?", "2 + 2 = 4"]


async def test_a_line_that_is_said_again_before_it_was_kept_is_kept_once_and_answered(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session, me = await begun(web), Caller(whoever_is_here(), "chat", "here")
        talk = Talking(desk_of(web))
        first = asyncio.create_task(talk.say(me, session, "What is 2 + 2?", key="k1"))
        for _ in range(1000):
            if talk.under_way(session) is not None:
                break
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        answering = await talk.say(me, session, "What is 2 + 2?", key="k1")
        await answering.over()
        assert answering.line is not None
        assert answering.message is not None
        assert answering.message.text == "2 + 2 = 4"
        assert [each.text for each in await lines(web, session)] == ["What is 2 + 2?", "2 + 2 = 4"]


async def test_an_answer_given_anew_at_the_second_try_is_the_only_one(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session, model = await begun(web), speaking(web, "One.")
        line = (await say(web, session, "Hello"))["line"]["id"]
        path = f"/api/chat/messages/{line}/regenerate"
        model.always = ("",)
        assert "empty answer" in (await web.client.post(path)).json()["answer"]["text"]
        model.always = ("Two.",)
        assert (await web.client.post(path)).json()["answer"]["text"] == "Two."
        assert [each.text for each in await lines(web, session)] == ["Hello", "Two."]
