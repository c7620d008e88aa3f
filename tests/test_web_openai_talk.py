"""In which session it is said what programs with OpenAI's API say: what they do not tell does not reach a model."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest

from storage.model import Session
from tests.test_web_openai import HELLO, TOOL, sdk, sessions
from tests.test_web_openai import web as web
from tests.webfront import Web
from tests.wire.provider_server import ProviderServer

BRIEF = "Be brief."


def user(words: str) -> dict[str, str]:
    return {"role": "user", "content": words}


async def told(web: Web, *before: dict[str, str], words: str = "Hello there.") -> list[dict[str, str]]:
    """Says something, and returns all that was said then."""
    lines = [*before, user(words)]
    response = await web.client.post("/v1/chat/completions", json={"model": "sage", "messages": lines})
    return [*lines, {"role": "assistant", "content": response.json()["choices"][0]["message"]["content"]}]


async def test_two_who_tell_the_same_at_once_do_not_hear_of_each_other(web: Web, server: ProviderServer) -> None:
    before = await told(web)
    words = ("I am Ann.", "I am Ben.", "I am Cleo.")
    await asyncio.gather(*(told(web, *before, words=each) for each in words))
    for ask in server.asks[1:]:
        assert len([each for each in words if each in ask.raw.decode()]) == 1
    assert [each.message_count for each in await sessions(web)] == [4, 4, 4]


async def test_what_somebody_took_back_does_not_reach_a_model(web: Web, server: ProviderServer) -> None:
    before = await told(web)
    gate = server.hold(after_pieces=1, text="One two three.")
    asked: dict[str, Any] = {"model": "sage", "messages": [*before, user("A secret.")], "stream": True}
    async with web.client.stream("POST", "/v1/chat/completions", json=asked) as response:
        async for line in response.aiter_lines():
            if "One" in line:
                break
    gate.open()
    await told(web, *before, words="Something else.")
    assert "A secret." not in server.asks[-1].raw.decode()
    assert "Something else." in server.asks[-1].raw.decode()


async def test_who_changed_what_was_said_does_not_change_what_a_program_tells(web: Web, server: ProviderServer) -> None:
    before = await told(web)
    (session,) = await sessions(web)
    line = (await web.house.store.messages(session.id))[0]
    changed = await web.client.put(f"/api/chat/messages/{line.id}", json={"text": "I never said hello."})
    assert changed.status_code == 200
    await told(web, *before, words="And?")
    assert "never said" not in server.asks[-1].raw.decode()
    assert "Hello there." in server.asks[-1].raw.decode()


async def test_other_pictures_make_another_talk(web: Web) -> None:
    before = await told(web)
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    parts: Any = [{"type": "text", "text": "Hello there."}, picture]
    await told(web, {"role": "user", "content": parts}, before[1], words="And?")
    assert sorted(each.message_count for each in await sessions(web)) == [2, 4]


async def test_a_request_that_is_refused_leaves_no_branch(web: Web) -> None:
    async with sdk(web) as client:
        first = await client.responses.create(model="sage", input="I am Ann.")
        await client.responses.create(model="sage", input="And I?", previous_response_id=first.id)
        for model, words in (("nobody", "x"), ("sage", " ")):
            with pytest.raises(openai.APIStatusError):
                await client.responses.create(model=model, input=words, previous_response_id=first.id)
    assert len(await sessions(web)) == 1


async def test_two_who_go_on_with_one_response_do_not_hear_of_each_other(web: Web, server: ProviderServer) -> None:
    async with sdk(web) as client:
        first = await client.responses.create(model="sage", input="Hello.")
        words = ("I am Ann.", "I am Ben.")
        await asyncio.gather(
            *(client.responses.create(model="sage", input=each, previous_response_id=first.id) for each in words)
        )
    for ask in server.asks[1:]:
        assert len([each for each in words if each in ask.raw.decode()]) == 1


async def test_the_instructions_are_those_of_the_latest_request(web: Web, server: ProviderServer) -> None:
    async def constraints() -> list[tuple[str, ...]]:
        found: list[Session] = await sessions(web)
        return [each.context.constraints for each in found]

    async with sdk(web) as client:
        first = await client.responses.create(model="sage", input="I am Ann.", instructions=BRIEF)
        (session,) = await sessions(web)
        mine = {"context": {"constraints": ["Mine.", BRIEF]}}
        assert (await web.client.put(f"/api/chat/sessions/{session.id}", json=mine)).status_code == 200
        second = await client.responses.create(
            model="sage", input="And I?", previous_response_id=first.id, instructions="Rhyme."
        )
        assert "Rhyme." in server.asks[-1].raw.decode()
        assert (second.instructions, await constraints()) == ("Rhyme.", [("Mine.", "Rhyme.")])
        await client.responses.create(model="sage", input="So?", previous_response_id=second.id)
        assert await constraints() == [("Mine.",)]


async def test_tools_that_nobody_has_to_call_are_left_aside(web: Web) -> None:
    async with sdk(web) as client:
        for choice in ({}, {"tool_choice": "auto"}, {"tool_choice": "none"}):
            said = await client.chat.completions.create(model="sage", messages=HELLO, tools=[TOOL], **choice)  # type: ignore[call-overload]
            assert said.choices[0].message.content
        assert (await client.responses.create(model="sage", input="Hi", tools=[{"type": "web_search"}])).output_text


async def test_an_answer_ends_before_the_words_that_stop_it(web: Web, server: ProviderServer) -> None:
    server.default = lambda ask: "One two three STOP four."
    async with sdk(web) as client:
        for stop, words in ((["STOP"], "One two three "), ("two ", "One "), (["five", "four.5"], None), ("", None)):
            whole = await client.chat.completions.create(model="sage", messages=HELLO, stop=stop)
            stream = await client.chat.completions.create(model="sage", messages=HELLO, stop=stop, stream=True)
            said = "".join([each.choices[0].delta.content or "" async for each in stream if each.choices])
            assert whole.choices[0].message.content == said == (words or "One two three STOP four.")
            assert whole.choices[0].finish_reason == "stop"
