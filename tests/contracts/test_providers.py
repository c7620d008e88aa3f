"""What every provider promises, and what those behind an HTTP wire promise when the wire fails them."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import pytest

from bots.errors import ProviderError, ProviderFailure
from bots.providers import Chunk, Image, Line, Prompt, Provider
from bots.providers.anthropic import Anthropic
from bots.providers.openai import OpenAI
from storage.model import Usage
from tests.wire.provider_server import WRONG_KEY, ProviderServer

Make = Callable[[ProviderServer, str], Provider]

WIRED: dict[str, Make] = {
    "openai": lambda server, key: OpenAI("gpt-4o", key, server.openai_url),
    "anthropic": lambda server, key: Anthropic("claude-sonnet-5-5", key, server.anthropic_url),
}
BLIND: dict[str, Make] = {
    "openai": lambda server, key: OpenAI("gpt-4o", key, server.openai_url, vision=False),
    "anthropic": lambda server, key: Anthropic("claude-sonnet-5-5", key, server.anthropic_url, vision=False),
}
EVERY: dict[str, Make] = {**WIRED}

KEY = "sk-a-key-that-nobody-may-see"


def ask(text: str = "How are you?", *before: Line, temperature: float | None = None) -> Prompt:
    return Prompt("You are Ada.", (*before, Line("user", text)), text, max_tokens=99, temperature=temperature)


async def heard(provider: Provider, prompt: Prompt | None = None) -> list[Chunk]:
    return [chunk async for chunk in provider.stream(prompt or ask())]


async def failure(provider: Provider) -> tuple[str, ProviderError]:
    """The words that came before a failure, and the failure."""
    said = ""
    try:
        async for chunk in provider.stream(ask()):
            said += chunk.text
    except ProviderError as error:
        return said, error
    raise AssertionError(f"no failure, but {said!r}")


@pytest.fixture(params=EVERY)
async def provider(request: pytest.FixtureRequest, server: ProviderServer) -> AsyncIterator[Provider]:
    provider = EVERY[request.param](server, KEY)
    yield provider
    await provider.close()


@pytest.fixture(params=WIRED)
async def wired(request: pytest.FixtureRequest, server: ProviderServer) -> AsyncIterator[Provider]:
    provider = WIRED[request.param](server, KEY)
    yield provider
    await provider.close()


async def test_words_come_in_pieces_and_the_usage_comes_last(provider: Provider) -> None:
    chunks = await heard(provider)
    assert "".join(chunk.text for chunk in chunks).strip()
    assert all(chunk.usage is None for chunk in chunks[:-1])
    usage = chunks[-1].usage
    assert usage is not None
    assert (usage.provider, usage.model) == (provider.name, provider.model)


async def test_a_reader_who_leaves_early_closes_quietly(provider: Provider) -> None:
    async with aclosing(provider.stream(ask())) as chunks:  # type: ignore[type-var]
        async for _ in chunks:
            break
    assert await heard(provider)


async def test_the_pieces_joined_are_the_text(wired: Provider, server: ProviderServer) -> None:
    text = "Grüße, 世界! 👩‍🚀\n\n```py\nprint('x')\n```\nEnd."
    server.answer(text, piece_size=3)
    chunks = await heard(wired)
    assert "".join(chunk.text for chunk in chunks) == text
    assert len(chunks) > 5


async def test_a_piece_is_passed_on_before_the_next_is_written(wired: Provider, server: ProviderServer) -> None:
    gate = server.hold(after_pieces=1, text="first second")
    stream = wired.stream(ask())
    assert await anext(stream) == Chunk("first ")
    gate.open()
    assert [chunk.text async for chunk in stream] == ["second", ""]


async def test_the_server_sees_who_speaks_and_within_which_limits(wired: Provider, server: ProviderServer) -> None:
    lines = (Line("user", "Bo: hi"), Line("assistant", "Hi Bo."))
    await heard(wired, ask("Bo: and now?", *lines, temperature=0.3))
    seen = server.asks[0]
    assert (seen.model, seen.system, seen.streaming) == (wired.model, "You are Ada.", True)
    assert seen.lines == (*lines, Line("user", "Bo: and now?"))
    assert (seen.body["max_tokens"], seen.body["temperature"]) == (99, 0.3)


async def test_pictures_reach_a_model_that_sees_beside_the_line_they_belong_to(
    wired: Provider, server: ProviderServer
) -> None:
    cat, dog = Image("image/png", b"\x89PNG cat"), Image("image/jpeg", b"\xff\xd8 dog")
    lines = (Line("user", "Bo: hi"), Line("assistant", "Hi Bo.", (dog,)), Line("user", "Bo: look", (cat, dog)))
    await heard(wired, Prompt("You are Ada.", lines, "look"))
    assert server.asks[0].lines == (lines[0], Line("assistant", "Hi Bo."), lines[2])


@pytest.mark.parametrize("name", BLIND)
async def test_a_model_that_cannot_see_gets_the_words_alone(server: ProviderServer, name: str) -> None:
    provider = BLIND[name](server, KEY)
    await heard(provider, Prompt("You are Ada.", (Line("user", "Bo: look", (Image("image/png", b"cat"),)),), "look"))
    await provider.close()
    assert server.asks[0].lines == (Line("user", "Bo: look"),)


async def test_a_picture_leaves_the_beginning_as_it_is(wired: Provider, server: ProviderServer) -> None:
    before = tuple(Line(role, f"{role} {n}") for n in range(4) for role in ("user", "assistant"))
    for images in ((), (Image("image/png", b"cat"),)):
        await heard(wired, Prompt("You are Ada.", (*before, Line("user", "Bo: look", images)), "look"))
    first, second = (server.asks[n].body for n in range(2))
    assert first["messages"][:-1] == second["messages"][:-1]
    assert first.get("system") == second.get("system")


async def test_no_temperature_is_sent_unless_one_is_set(wired: Provider, server: ProviderServer) -> None:
    await heard(wired)
    assert "temperature" not in server.asks[0].body


async def test_a_model_that_takes_no_temperature_answers_without(wired: Provider, server: ProviderServer) -> None:
    server.fail(400, body='{"error": {"message": "\'temperature\' is not supported with this model."}}')
    await heard(wired, ask(temperature=0.3))
    await heard(wired, ask(temperature=0.3))
    assert ["temperature" in seen.body for seen in server.asks] == [True, False, False]


async def test_tokens_are_the_whole_prompt_with_the_cached_part_told(wired: Provider, server: ProviderServer) -> None:
    server.answer("three words here", cache_read=500)
    usage = (await heard(wired))[-1].usage
    assert usage is not None
    assert (usage.tokens_in, usage.tokens_out, usage.cache_read) == (506, 3, 500)


@pytest.mark.parametrize("room", [False, True])
async def test_an_answer_that_had_no_more_room_says_so(wired: Provider, server: ProviderServer, room: bool) -> None:
    full = {"openai": "length", "anthropic": "max_tokens"}[wired.name]
    server.answer("so many words", finish=None if room else full)
    assert [chunk.full for chunk in await heard(wired)][-1] is not room


async def test_a_server_that_tells_no_usage_leaves_it_at_nothing(wired: Provider, server: ProviderServer) -> None:
    server.answer("plain words", usage=False)
    chunks = await heard(wired)
    assert "".join(chunk.text for chunk in chunks) == "plain words"
    assert chunks[-1] == Chunk(usage=Usage(provider=wired.name, model=wired.model))


async def test_closing_the_iterator_ends_the_request(wired: Provider, server: ProviderServer) -> None:
    server.hold(after_pieces=2, text="one two three four")
    async with aclosing(wired.stream(ask())) as chunks:  # type: ignore[type-var]
        assert await anext(chunks) == Chunk("one ")
    await server.until(lambda server: server.asks[0].disconnected)


@pytest.mark.parametrize("after_pieces", [0, 2])
async def test_cancelling_the_task_ends_the_request(wired: Provider, server: ProviderServer, after_pieces: int) -> None:
    server.hold(after_pieces=after_pieces, text="one two three four")
    task = asyncio.create_task(heard(wired))
    await server.until(lambda server: bool(server.asks and (not after_pieces or server.asks[0].first_byte_at)))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await server.until(lambda server: server.asks[0].disconnected)


REFUSALS: list[tuple[int, str, ProviderFailure]] = [
    (401, "bad key", "auth"),
    (402, "pay first", "auth"),
    (403, "not for you", "auth"),
    (404, "no such model", "unavailable"),
    (408, "slow", "timeout"),
    (413, "huge", "too_long"),
    (422, "odd", "rejected"),
    (429, "busy", "rate_limit"),
    (429, "insufficient_quota", "auth"),
    (400, "tools must be a list", "rejected"),
    (400, "This model's maximum context length is 8192 tokens.", "too_long"),
    (400, "prompt is too long: 210000 tokens > 200000 maximum", "too_long"),
    (400, "The response was filtered: content_filter", "filtered"),
    (500, "oh", "unavailable"),
    (503, "later", "unavailable"),
    (529, "overloaded", "unavailable"),
]


@pytest.mark.parametrize(("status", "words", "kind"), REFUSALS)
async def test_a_refusal_has_a_kind(
    wired: Provider, server: ProviderServer, status: int, words: str, kind: ProviderFailure
) -> None:
    server.fail(status, body=f'{{"error": {{"message": "{words}", "type": "x_error"}}}}')
    said, error = await failure(wired)
    assert (said, error.kind) == ("", kind)
    assert f"{status} type=x_error" in error.detail
    assert words not in error.detail, "what people said may stand in it"
    assert len(server.asks) == 1, "retries are Patient's business"


async def test_a_refusal_that_is_no_json_has_a_kind_too(wired: Provider, server: ProviderServer) -> None:
    server.fail(502, body="<html>Bad gateway</html>" * 100)
    _, error = await failure(wired)
    assert error.kind == "unavailable"
    assert "502" in error.detail
    assert "gateway" not in error.detail


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "Sat, 21 Nov 2026 12:00:09 GMT", "date": "Sat, 21 Nov 2026 12:00:00 GMT"}, 9.0),
        ({"retry-after": "Sat, 21 Nov 2020 12:00:09 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
async def test_a_busy_provider_says_when_to_come_back(
    wired: Provider, server: ProviderServer, headers: dict[str, str], seconds: float | None
) -> None:
    server.fail(429, headers=headers)
    _, error = await failure(wired)
    assert error.retry_after == seconds


async def test_a_connection_that_drops_in_mid_answer(wired: Provider, server: ProviderServer) -> None:
    server.break_off(after_pieces=2, text="one two three four")
    said, error = await failure(wired)
    assert (said, error.kind) == ("one two ", "unavailable")


async def test_an_error_event_in_mid_answer(wired: Provider, server: ProviderServer) -> None:
    server.error_event(after_pieces=2, text="one two three four")
    said, error = await failure(wired)
    assert (said, error.kind) == ("one two ", "unavailable")


async def test_torn_json_in_mid_answer(wired: Provider, server: ProviderServer) -> None:
    server.garble(after_pieces=2, text="one two three four")
    said, error = await failure(wired)
    assert (said, error.kind) == ("one two ", "unavailable")


async def test_an_answer_that_ends_without_a_reason_was_cut(wired: Provider, server: ProviderServer) -> None:
    server.quiet_end(after_pieces=2, text="one two three four")
    said, error = await failure(wired)
    assert (said, error.kind) == ("one two ", "unavailable")


async def test_a_provider_that_is_not_there(wired: Provider, server: ProviderServer) -> None:
    await server.__aexit__(None, None, None)
    _, error = await failure(wired)
    assert error.kind == "unavailable"
    assert "ConnectError: " in error.detail


async def test_an_answer_the_filter_stopped(wired: Provider, server: ProviderServer) -> None:
    server.answer("", finish={"openai": "content_filter", "anthropic": "refusal"}[wired.name])
    _, error = await failure(wired)
    assert error.kind == "filtered"


@pytest.mark.parametrize("name", WIRED)
async def test_the_key_never_shows(server: ProviderServer, name: str) -> None:
    provider = WIRED[name](server, WRONG_KEY)
    _, error = await failure(provider)
    await provider.close()
    assert error.kind == "auth"
    assert "401" in error.detail
    shown = "".join(traceback.format_exception(error))
    assert WRONG_KEY not in f"{error} {error.detail} {error!r} {provider!r} {shown}"
    assert "authorization" not in server.asks[0].headers


@pytest.mark.parametrize("name", WIRED)
async def test_a_server_without_keys_gets_none_of_ours(
    server: ProviderServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.setenv(variable, WRONG_KEY)
    for variable in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    provider = WIRED[name](server, "")
    assert await heard(provider)
    await provider.close()
