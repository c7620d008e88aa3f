"""What is said on the web is answered whoever waits for it: streamed, stopped, gone on with, and after a restart."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bots.here import whoever_is_here
from bots.incoming import Incoming
from bots.providers import Chunk, Prompt
from bots.web.answering import Answering
from bots.web.callers import Caller
from bots.web.desk import Desk
from bots.web.problems import NotThere
from bots.web.talking import Talking
from storage.model import Channel, Message, Session
from tests.speaking import Says
from tests.stage import eventually
from tests.webfront import Web, web_front

STREAM = {"Accept": "text/event-stream"}


@dataclass(frozen=True)
class Event:
    kind: str
    told: dict[str, Any]
    id: str


class SaysToEach(Says):
    """A model that says to each question what is meant for that."""

    def __init__(self) -> None:
        super().__init__()
        self.to: defaultdict[str, asyncio.Queue[str | None]] = defaultdict(asyncio.Queue)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        while (more := await self.to[prompt.question].get()) is not None:
            yield Chunk(more)


def here() -> Channel:
    me = whoever_is_here()
    return Channel(front="web", id=me.id, kind="web", name=me.name, parent_id=me.id)


async def begun(web: Web) -> str:
    return (await web.house.bot.begin(here())).id


def speaking(web: Web, *always: str) -> Says:
    """Has the bot say what the test wants, when it wants it."""
    model = Says(*always)
    web.house.bot.adopt(web.house.bot.settings, model)
    return model


async def events(response: httpx2.Response) -> AsyncIterator[Event]:
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield Event(fields.get("event", ""), json.loads(fields["data"]), fields.get("id", ""))
            fields = {}


async def until(told: AsyncIterator[Event], kind: str) -> Event:
    async for event in told:
        if event.kind == kind:
            return event
    raise AssertionError(f"there was no {kind}")


async def say(web: Web, session: str, text: str, **more: Any) -> dict[str, Any]:
    response = await web.client.post(f"/api/chat/sessions/{session}/messages", json={"text": text, **more})
    assert response.status_code in (200, 202), response.text
    told: dict[str, Any] = response.json()
    return told


async def lines(web: Web, session: str) -> list[Message]:
    return await web.house.store.messages(session)


async def kept(web: Web, session: str) -> Session:
    found = await web.house.store.session(session)
    assert found is not None
    return found


async def test_a_line_is_kept_and_answered(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session = await begun(web)
        told = await say(web, session, "What is 2 + 2?")
        assert (told["line"]["text"], told["answer"]["text"]) == ("What is 2 + 2?", "2 + 2 = 4")
        assert told["answer"]["reply_to"] == told["line"]["id"]
        assert [each.text for each in await lines(web, session)] == ["What is 2 + 2?", "2 + 2 = 4"]


async def test_an_answer_is_told_word_by_word(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session, model = await begun(web), speaking(web)
        path = f"/api/chat/sessions/{session}/messages"
        async with web.client.stream("POST", path, json={"text": "Hello"}, headers=STREAM) as response:
            told = events(response)
            assert (await until(told, "said")).told["message"]["text"] == "Hello"
            opened = await until(told, "began")
            assert (opened.told["persona"], opened.told["session_id"]) == ("sage", session)
            for word in ("Good ", "morning"):
                model.words.put_nowait(word)
                assert (await until(told, "delta")).told["text"] == word
            model.words.put_nowait(None)
            done = await until(told, "done")
            assert done.told["message"]["text"] == "Good morning"
            assert done.id.startswith(f"{opened.told['answer_id']}:")


async def test_who_leaves_in_the_middle_comes_back_to_the_rest(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session, model = await begun(web), speaking(web)
        path = f"/api/chat/sessions/{session}"
        async with web.client.stream("POST", f"{path}/messages", json={"text": "Hello"}, headers=STREAM) as response:
            model.words.put_nowait("One, ")
            heard = await until(events(response), "delta")
        model.words.put_nowait("two, ")
        async with web.client.stream("GET", f"{path}/stream", headers={"Last-Event-ID": heard.id}) as response:
            told = events(response)
            assert (await until(told, "delta")).told["text"] == "two, "
            async with web.client.stream("GET", f"{path}/stream") as other:  # a second window, from the beginning
                also = events(other)
                assert (await until(also, "began")).told["answer_id"] == heard.id.partition(":")[0]
                assert (await until(also, "delta")).told["text"] == "One, two, "
            model.words.put_nowait("three.")
            model.words.put_nowait(None)
            last = await until(told, "done")
            assert last.told["message"]["text"] == "One, two, three."
        again = await web.client.get(f"{path}/stream", headers={"Last-Event-ID": heard.id})
        assert '"text":"two, three."' in again.text  # what came since, at once
        assert "event: done" in again.text
        assert (await web.client.get(f"{path}/stream")).status_code == 204


async def test_nobody_has_to_wait_for_an_answer(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session, model = await begun(web), speaking(web)
        told = await say(web, session, "Hello", wait=False)
        assert (told["line"]["text"], told["answer"]) == ("Hello", None)
        async with web.client.stream("GET", f"/api/chat/sessions/{session}/stream") as response:
            model.words.put_nowait("Here.")
            model.words.put_nowait(None)
            assert (await until(events(response), "done")).told["message"]["text"] == "Here."


async def test_two_sessions_of_one_person_are_answered_at_once_and_stopped_one_by_one(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        first, second, model = await begun(web), await begun(web), SaysToEach()
        web.house.bot.adopt(web.house.bot.settings, model)
        paths = [f"/api/chat/sessions/{each}/messages" for each in (first, second)]
        async with (
            web.client.stream("POST", paths[0], json={"text": "first"}, headers=STREAM) as one,
            web.client.stream("POST", paths[1], json={"text": "second"}, headers=STREAM) as other,
        ):
            told, also = events(one), events(other)
            for each, name in ((told, "first"), (also, "second"), (told, "first")):
                model.to[name].put_nowait(f"To the {name}. ")
                assert (await until(each, "delta")).told["text"] == f"To the {name}. "
            stopped = await web.client.post(f"/api/chat/sessions/{first}/stop")
            assert stopped.json() == {"stopped": True}
            message = (await until(told, "done")).told["message"]
            assert message["outcome"] == "stopped"
            assert message["session_id"] == first
            model.to["second"].put_nowait(None)
            whole = (await until(also, "done")).told["message"]
            assert whole["outcome"] == "whole"
            assert whole["session_id"] == second
        assert (await web.client.post(f"/api/chat/sessions/{first}/stop")).json() == {"stopped": False}


async def test_who_stops_before_a_word_was_said_is_told_so(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session, _ = await begun(web), speaking(web)
        path = f"/api/chat/sessions/{session}"
        async with web.client.stream("POST", f"{path}/messages", json={"text": "Hello"}, headers=STREAM) as response:
            told = events(response)
            await until(told, "began")
            await web.client.post(f"{path}/stop")
            assert (await until(told, "refused")).told == {"detail": "Stopped before a word was said."}
        assert [each.text for each in await lines(web, session)] == ["Hello"]


async def test_the_word_stop_ends_the_answer_of_its_own_session_alone(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        first, second, model = await begun(web), await begun(web), speaking(web)
        await say(web, first, "Tell me a long story", wait=False)
        await say(web, second, "And you, another", wait=False)
        told = await say(web, first, "stop")
        assert told["answer"] is None
        assert told["refused"] is None
        talking = web.house.bot.turns_in
        assert not talking(first)
        assert len(talking(second)) == 1
        model.words.put_nowait(None)


async def test_a_closed_session_is_taken_up_again_where_its_window_is_open(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        old = await begun(web)
        await say(web, old, "What is 1 + 1?")
        await web.house.bot.conversations.archive(old, True)
        assert (await kept(web, old)).closed_at is not None
        told = await say(web, old, "And 2 + 2?")
        assert told["answer"]["session_id"] == old
        assert (await kept(web, old)).closed_at is None


async def test_lines_said_in_one_breath_have_one_answer(tmp_path: Path) -> None:
    async with web_front(tmp_path, sessions={"burst": 10}) as web:
        session, model = await begun(web), speaking(web)
        path = f"/api/chat/sessions/{session}/messages"
        async with web.client.stream("POST", path, json={"text": "First"}, headers=STREAM) as response:
            told = events(response)
            first = await until(told, "began")
            model.words.put_nowait("Half an ans")
            await until(told, "delta")
            joined = await say(web, session, "And second", wait=False)
            assert (joined["line"]["text"], joined["answer_id"]) == ("And second", first.told["answer_id"])
            await until(told, "reset")
            model.words.put_nowait("Both.")
            model.words.put_nowait(None)
            assert (await until(told, "done")).told["message"]["text"] == "Both."
        assert [each.text for each in await lines(web, session)] == ["First", "And second", "Both."]


async def test_an_answer_is_given_anew_in_place_of_the_one_before(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session, _ = await begun(web), speaking(web, "Once.")
        before = (await say(web, session, "Tell me"))["answer"]["id"]
        speaking(web, "Twice.")
        anew = (await web.client.post(f"/api/chat/messages/{before}/regenerate")).json()
        assert (anew["answer"]["text"], anew["line"]["text"]) == ("Twice.", "Tell me")
        assert [each.text for each in await lines(web, session)] == ["Tell me", "Twice."]
        gone = await web.client.post(f"/api/chat/messages/{before}/regenerate")
        assert gone.status_code == 404


async def test_a_line_that_was_only_kept_is_answered_when_somebody_asks_for_it(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session, _ = await begun(web), speaking(web, "Yes.")
        told = await say(web, session, "Only noting this", answer=False)
        assert told["answer"] is None
        answered = await web.client.post(f"/api/chat/messages/{told['line']['id']}/regenerate")
        assert answered.json()["answer"]["reply_to"] == told["line"]["id"]


async def test_an_answer_is_gone_on_with_by_who_gave_it(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session, _ = await begun(web), speaking(web, "Well")
        first = await say(web, session, "Tell me", persona="Gadfly")
        more = (await web.client.post(f"/api/chat/messages/{first['answer']['id']}/continue")).json()
        assert (more["answer"]["persona"], more["line"]["reply_to"]) == ("gadfly", first["answer"]["id"])


async def test_a_line_in_other_words_begins_a_branch_and_leaves_the_old_one_as_it_was(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session, _ = await begun(web), speaking(web, "Indeed.")
        await say(web, session, "One")
        second = await say(web, session, "Two")
        path = f"/api/chat/messages/{second['line']['id']}/edit-and-branch"
        told = (await web.client.post(path, json={"text": "Three"})).json()
        branch = told["session"]["id"]
        assert told["session"]["parent_id"] == session != branch
        assert [each.text for each in await lines(web, branch)] == ["One", "Indeed.", "Three", "Indeed."]
        assert [each.text for each in await lines(web, session)] == ["One", "Indeed.", "Two", "Indeed."]
        first = (await lines(web, session))[0].id
        anew = (await web.client.post(f"/api/chat/messages/{first}/edit-and-branch", json={"text": "Zero"})).json()
        assert anew["session"]["parent_id"] == session
        assert [each.text for each in await lines(web, anew["session"]["id"])] == ["Zero", "Indeed."]


async def test_what_a_crash_left_open_is_answered_after_the_start(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session = await begun(web)
        speaking(web)
        await say(web, session, "What is 3 + 4?", wait=False)
        (turn,) = web.house.bot.turns_in(session)
        turn.interrupt("leave")  # as if it had never got to an answer
        await turn.over.wait()
        assert [each.role for each in await lines(web, session)] == ["user"]
    async with web_front(tmp_path) as web:
        headers = {"Last-Event-ID": f"{turn.id}:3"}
        path = f"/api/chat/sessions/{session}/stream"
        while (response := await web.client.get(path, headers=headers)).status_code == 204:
            if len(await lines(web, session)) == 2:
                break
            await asyncio.sleep(0)
        assert [each.text for each in await lines(web, session)] == ["What is 3 + 4?", "3 + 4 = 7"], response.text


async def test_an_answer_heard_in_part_before_a_restart_is_told_whole_after_it(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session = await begun(web)
        answer = (await say(web, session, "What is 3 + 4?"))["answer"]["id"]
    async with web_front(tmp_path) as web:
        headers = {"Last-Event-ID": f"{answer}:2"}
        async with web.client.stream("GET", f"/api/chat/sessions/{session}/stream", headers=headers) as response:
            assert (await until(events(response), "done")).told["message"]["text"] == "3 + 4 = 7"


async def test_what_is_being_said_when_the_bot_goes_is_kept_as_far_as_it_got(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session, model = await begun(web), speaking(web)
        path = f"/api/chat/sessions/{session}/messages"
        async with web.client.stream("POST", path, json={"text": "Hello"}, headers=STREAM) as response:
            model.words.put_nowait("So far")
            told = events(response)
            await until(told, "delta")
            await web.house.bot.close()
            assert (await until(told, "done")).told["message"]["outcome"] == "cut"
    async with web_front(tmp_path) as web:
        assert (await lines(web, session))[-1].words == "So far"


async def test_a_line_that_comes_late_goes_where_it_was_meant_and_turns_no_clock_back(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        first, second = await begun(web), await begun(web)
        await say(web, first, "What is 1 + 1?")
        await say(web, second, "What is 2 + 2?")
        before = await kept(web, first)
        late = Incoming(
            origin=f"{here().key}:late",
            channel=here(),
            sender=whoever_is_here(),
            text="Said an hour ago",
            at=before.last_at - timedelta(hours=1),
            answer=False,
            session=first,
        )
        async for _ in web.house.bot.receive(late):
            pass
        assert [each.text for each in await lines(web, first) if each.origin == late.origin] == ["Said an hour ago"]
        assert (await kept(web, first)).last_at == before.last_at
        assert len(await lines(web, second)) == 2


def desk_of(web: Web) -> Desk:
    """As much of a desk as talking takes."""
    house = web.house
    others: dict[str, Any] = dict.fromkeys(("operations", "sessions", "memory", "route"))
    return Desk(house.bot, house.store, house.blobs, house.cleaner, now=house.now, chance=house.chance, **others)


async def saying_at_a_closed_door(web: Web, session: str) -> tuple[Talking, asyncio.Task[Answering]]:
    """Somebody who says something while nothing comes through to the bot."""
    talk = Talking(desk_of(web))
    saying = asyncio.create_task(talk.say(Caller(whoever_is_here(), "chat", "here"), session, "Hello"))
    await eventually(lambda: talk.under_way(session) is not None)
    return talk, saying


async def test_a_line_for_a_session_that_is_removed_meanwhile_goes_into_no_other(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        await begun(web)
        session, bot, at = await begun(web), web.house.bot, web.house.now()
        async with bot.doors.of(here().key):
            _, saying = await saying_at_a_closed_door(web, session)
            await bot.sessions.change(session, lambda now: now.model_copy(update={"deleted_at": at}))
        with pytest.raises(NotThere, match="no longer here"):
            await saying
        assert (await web.house.store.counts()).messages == 0


async def test_who_hangs_up_before_the_line_is_kept_leaves_nothing_behind(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session, before = await begun(web), asyncio.all_tasks()
        async with web.house.bot.doors.of(here().key):
            talk, saying = await saying_at_a_closed_door(web, session)
            saying.cancel()
            await asyncio.gather(saying, return_exceptions=True)
            await asyncio.sleep(0)
            left = [each.get_coro() for each in asyncio.all_tasks() - before]
            assert [getattr(each, "__qualname__", "") for each in left] == ["Talking._run"]
        await eventually(lambda: talk.under_way(session) is None)
        assert [each.role for each in await lines(web, session)] == ["user", "assistant"]
