"""Programs that speak OpenAI's API talk to the personas of a bot, with the official SDK."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio.to_thread
import httpx2
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageParam
from openai.types.responses import Response

from storage.model import Session
from tests.test_media import picture
from tests.webfront import Web, web_front
from tests.wire.provider_server import ProviderServer

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello there."}]


@pytest.fixture
async def web(tmp_path: Path, server: ProviderServer) -> AsyncIterator[Web]:
    model = {"provider": "openai", "model": "gpt-4o", "base_url": server.openai_url}
    async with web_front(tmp_path, models=[model]) as web:
        yield web


@asynccontextmanager
async def sdk(web: Web) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(api_key="none", base_url=f"{web.url}/v1", max_retries=0) as client:
        yield client


async def sessions(web: Web) -> list[Session]:
    return list((await web.house.bot.store.browse()).items)


async def test_personas_are_the_models(web: Web) -> None:
    async with sdk(web) as client:
        assert [each.id async for each in client.models.list()] == ["sage", "compass", "gadfly", "auto"]
        assert (await client.models.retrieve("compass")).owned_by == "sage"
        with pytest.raises(openai.NotFoundError, match="There is no model 'gpt-5' here"):
            await client.chat.completions.create(model="gpt-5", messages=HELLO)


async def test_a_persona_answers_with_what_it_took(web: Web, server: ProviderServer) -> None:
    server.answer("Good day to you.", cache_read=3)
    async with sdk(web) as client:
        told = await client.chat.completions.create(model="Compass", messages=HELLO, temperature=0.2, max_tokens=9)
    assert (told.model, told.choices[0].finish_reason) == ("compass", "stop")
    assert told.choices[0].message.content == "Good day to you."
    assert told.usage is not None
    assert told.usage.prompt_tokens_details is not None
    assert told.usage.prompt_tokens_details.cached_tokens == 3
    assert told.usage.completion_tokens == 4
    assert told.usage.total_tokens == told.usage.prompt_tokens + 4
    kept = (await sessions(web))[0]
    assert (kept.persona, kept.channel.kind) == ("compass", "web")


async def test_an_answer_ends_where_the_client_has_no_more_room(web: Web, server: ProviderServer) -> None:
    async with sdk(web) as client:
        server.answer("One two three four five.")
        told = await client.chat.completions.create(model="Compass", messages=HELLO, max_tokens=2)
        assert (told.choices[0].message.content, told.choices[0].finish_reason) == ("One two", "length")
        server.answer("One two three four five.")
        response = await client.responses.create(model="Compass", input="Hello?", max_output_tokens=2)
        assert (response.output_text, response.status) == ("One two", "incomplete")


async def test_an_answer_comes_as_it_is_said(web: Web, server: ProviderServer) -> None:
    gate = server.hold(after_pieces=2, text="One two three four.")
    async with sdk(web) as client:
        stream = await client.chat.completions.create(
            model="sage", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        words, chunks = "", []
        async for chunk in stream:
            chunks.append(chunk)
            if chunk.choices:
                words += chunk.choices[0].delta.content or ""
            if words == "One two ":
                gate.open()
    assert words == "One two three four."
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 4


async def test_every_byte_of_it_is_what_the_sdk_has_types_for(web: Web) -> None:
    asked = {"model": "sage", "messages": HELLO}
    whole = await web.client.post("/v1/chat/completions", json=asked)
    ChatCompletion.model_validate(whole.json(), strict=True)
    streamed = await web.client.post("/v1/chat/completions", json={**asked, "stream": True})
    assert streamed.headers["content-type"].startswith("text/event-stream")
    *events, last = [line.removeprefix("data: ") for line in streamed.text.split("\n\n") if line]
    assert last == "[DONE]"
    for each in events:
        ChatCompletionChunk.model_validate_json(each, strict=True)
    answered = await web.client.post("/v1/responses", json={"model": "sage", "input": "Hello"})
    Response.model_validate(answered.json())


async def test_a_client_that_repeats_all_that_was_said_stays_in_one_session(web: Web, server: ProviderServer) -> None:
    messages = [{"role": "system", "content": "Be brief."}, *HELLO]
    async with sdk(web) as client:
        for words in ("And you?", "Why?", "Good."):
            stream = words == "Why?"
            told: Any = await client.chat.completions.create(model="sage", messages=messages, stream=stream)  # type: ignore[arg-type]
            if stream:
                said = "".join([each.choices[0].delta.content or "" async for each in told])
            else:
                said = told.choices[0].message.content
            messages += [{"role": "assistant", "content": f"{said}\n"}, {"role": "user", "content": words}]
    (session,) = await sessions(web)
    assert session.message_count == 6
    assert session.context.constraints == ("Be brief.",)
    assert "Be brief." in server.asks[-1].raw.decode()
    assert server.asks[-1].lines[-1].text.endswith("Why?")


async def test_talk_that_no_session_knows_begins_one_that_holds_it(web: Web, server: ProviderServer) -> None:
    told: list[ChatCompletionMessageParam] = [
        {"role": "user", "content": "My cat is called Moss."},
        {"role": "assistant", "content": "A good name."},
        {"role": "user", "content": "What is my cat called?"},
    ]
    async with sdk(web) as client:
        await client.chat.completions.create(model="sage", messages=told)
        await client.chat.completions.create(model="sage", messages=HELLO)
    assert [line.role for line in server.asks[0].lines] == ["user", "assistant", "user"]
    assert "Moss" in server.asks[0].lines[0].text
    assert "Moss" not in server.asks[1].raw.decode()
    assert sorted(each.message_count for each in await sessions(web)) == [2, 4]


async def test_a_session_is_named_by_header_or_metadata(web: Web) -> None:
    async with sdk(web) as client:
        first = await client.chat.completions.with_raw_response.create(model="sage", messages=HELLO)
        id = first.headers["X-Troupe-Session"]
        for named in ({"extra_headers": {"X-Troupe-Session": id}}, {"metadata": {"session": id}}):
            again = await client.chat.completions.with_raw_response.create(model="sage", messages=HELLO, **named)  # type: ignore[call-overload]
            assert again.headers["X-Troupe-Session"] == id
        with pytest.raises(openai.NotFoundError, match="no session 'else' that you may see"):
            await client.chat.completions.create(model="sage", messages=HELLO, metadata={"session": "else"})
    assert [each.message_count for each in await sessions(web)] == [6]


TOOL: Any = {"type": "function", "function": {"name": "look"}}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tools": [TOOL], "tool_choice": "required"}, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "look"}}}, "tool_choice"),
    ({"n": 2}, "n"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"stop": ["x"] * 30}, "stop"),
    ({"modalities": ["text", "audio"]}, "modalities"),
    ({"messages": [{"role": "assistant", "content": "Hm."}]}, "messages"),
    ({"messages": [{"role": "user", "content": " "}]}, "messages"),
    ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]}, "messages"),
    ({"messages": [{"role": "nobody", "content": "x"}]}, "messages.0.role"),
    ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages"),
    ({"messages": []}, "messages"),
]


async def test_what_is_not_done_is_refused_as_openai_would(web: Web) -> None:
    async with sdk(web) as client:
        for more, param in REFUSED:
            with pytest.raises(openai.BadRequestError) as refused:
                await client.chat.completions.create(**{"model": "sage", "messages": HELLO, **more})
            assert (refused.value.param, refused.value.type) == (param, "invalid_request_error")
        with pytest.raises(openai.NotFoundError, match="There is no /v1/embeddings here"):
            await client.embeddings.create(model="sage", input="x")
    assert await sessions(web) == []


async def test_a_picture_comes_with_the_question(web: Web, server: ProviderServer) -> None:
    address = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"
    async with sdk(web) as client:
        for url in (address, "https://example.org/cat.png", "data:image/png;base64,PHN2Zz4="):
            part: Any = {"type": "image_url", "image_url": {"url": url}}
            asked: Any = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, part]}]
            if url == address:
                await client.chat.completions.create(model="sage", messages=asked)
            else:
                with pytest.raises(openai.BadRequestError, match="A picture has to"):
                    await client.chat.completions.create(model="sage", messages=asked)
    assert [image.media_type for line in server.asks[0].lines for image in line.images] == ["image/png"]


async def test_an_answer_that_starts_anew_is_not_told_twice(web: Web, server: ProviderServer) -> None:
    server.break_off(after_pieces=2, text="One two three four.")
    server.answer("One two five.")
    async with sdk(web) as client:
        stream = await client.chat.completions.create(model="sage", messages=HELLO, stream=True)
        said = "".join([each.choices[0].delta.content or "" async for each in stream])
    assert said.count("One two") <= 2
    kept = (await web.house.bot.store.messages((await sessions(web))[0].id))[-1]
    assert said.endswith(kept.text) or said == kept.text


async def test_a_client_that_does_not_wait_in_a_loop(web: Web) -> None:
    def ask() -> tuple[str | None, str]:
        with OpenAI(api_key="none", base_url=f"{web.url}/v1", max_retries=0) as client:
            told = client.chat.completions.create(model="sage", messages=HELLO).choices[0].message.content
            return told, client.responses.create(model="sage", input="Hello there.").output_text

    first, second = await anyio.to_thread.run_sync(ask)
    assert first == second
    assert first


async def test_responses_go_on_with_an_earlier_one(web: Web, server: ProviderServer) -> None:
    async with sdk(web) as client:
        first = await client.responses.create(model="sage", input="I am Ann.", instructions="Be brief.")
        second = await client.responses.create(model="sage", input="And I?", previous_response_id=first.id)
        assert second.conversation == first.conversation
        assert first.usage is not None
        assert first.usage.output_tokens > 0
        assert (await client.responses.retrieve(first.id)).output_text == first.output_text
        branch = await client.responses.create(model="sage", input="Or I?", previous_response_id=first.id)
        assert branch.conversation != first.conversation
        assert "And I?" not in server.asks[-1].raw.decode()
        assert "I am Ann." in server.asks[-1].raw.decode()
        assert first.conversation is not None
        third = await client.responses.create(model="sage", input="So?", conversation=first.conversation.id)
        assert third.conversation == first.conversation
        with pytest.raises(openai.NotFoundError, match="no response 'resp_gone'"):
            await client.responses.create(model="sage", input="x", previous_response_id="resp_gone")


async def test_a_response_comes_as_it_is_said(web: Web, server: ProviderServer) -> None:
    server.answer("One two three.")
    async with sdk(web) as client, client.responses.stream(model="sage", input="Count.") as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert kinds.count("response.output_text.delta") >= 1
    assert final.output_text == "One two three."


async def test_what_a_response_cannot_be_is_refused(web: Web) -> None:
    async with sdk(web) as client:
        for more, words in (
            ({"tools": [{"type": "web_search"}], "tool_choice": "required"}, "call no tools"),
            ({"text": {"format": {"type": "json_object"}}}, "in no other format"),
            (
                {"conversation": "one", "previous_response_id": "other"},
                "Name a conversation or an earlier response",
            ),
            ({"instructions": "x" * 20_001}, "The instructions have 20001 characters"),
        ):
            with pytest.raises(openai.BadRequestError, match=words):
                await client.responses.create(model="sage", input="x", **more)
        call: Any = {"type": "function_call", "call_id": "1", "name": "look", "arguments": "{}"}
        with pytest.raises(openai.BadRequestError, match="Items of type 'function_call'"):
            await client.responses.create(model="sage", input=[call])


async def test_a_body_that_is_no_json_is_refused_in_the_same_form(web: Web) -> None:
    for body in (b"{", b"[]", b"\xff", b'{"model": "sage"}', json.dumps({"model": 1, "messages": HELLO}).encode()):
        refused: httpx2.Response = await web.client.post("/v1/chat/completions", content=body)
        assert (refused.status_code, refused.json()["error"]["type"]) == (400, "invalid_request_error")


async def test_halves_of_characters_and_nul_break_nothing(web: Web) -> None:
    odd = "a\ud83d\0"
    for path, asked in (
        ("chat/completions", {"model": odd, "messages": HELLO}),
        ("chat/completions", {"model": "sage", "messages": [{"role": "user", "content": odd}, {"role": odd}]}),
        ("chat/completions", {"model": "sage", "messages": [{"role": "user", "content": odd}]}),
        ("responses", {"model": "sage", "input": odd, "instructions": odd, "metadata": {odd: odd}}),
        ("responses", {"model": "sage", "input": odd, "stream": True, "metadata": {"odd": odd}}),
        ("responses", {"model": "sage", "input": odd, "previous_response_id": odd}),
        ("responses", {"model": "sage", "input": odd, "conversation": odd}),
    ):
        told = await web.client.post(f"/v1/{path}", content=json.dumps(asked))
        assert told.status_code in (200, 400, 404), told.text
    assert (await web.client.get("/v1/responses/a%00%ff")).status_code == 404
