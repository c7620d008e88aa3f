"""Patience and fallback over real providers, and what is particular to each of the two wires."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from itertools import pairwise

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bots.costs import Metered
from bots.errors import ProviderError
from bots.providers import Chunk, Line, Prompt, Provider
from bots.providers.anthropic import Anthropic
from bots.providers.chain import Chain
from bots.providers.openai import OpenAI
from bots.providers.patience import Patient
from bots.settings import Retries
from storage.model import Usage
from tests.wire.provider_server import ProviderServer

PROMPT = Prompt("You are Ada.", (Line("user", "How are you?"),), "How are you?")


class Clock:
    """Time that stands still unless told, and waits that take none but are remembered."""

    def __init__(self) -> None:
        self.at = 1000.0
        self.waits: list[float] = []

    def now(self) -> float:
        return self.at

    async def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.at += seconds


async def heard(provider: Provider, prompt: Prompt = PROMPT) -> list[Chunk]:
    return [chunk async for chunk in provider.stream(prompt)]


async def words(provider: Provider) -> str:
    return "".join(chunk.text for chunk in await heard(provider))


async def failure(provider: Provider) -> tuple[str, ProviderError]:
    """The words that came before a failure, and the failure."""
    said = ""
    try:
        async for chunk in provider.stream(PROMPT):
            said += chunk.text
    except ProviderError as error:
        return said, error
    raise AssertionError(f"no failure, but {said!r}")


@pytest.fixture
async def second() -> AsyncIterator[ProviderServer]:
    async with ProviderServer() as server:
        yield server


@pytest.fixture
async def claude(second: ProviderServer) -> AsyncIterator[Anthropic]:
    provider = Anthropic("claude-sonnet-5-5", "key", second.anthropic_url)
    yield provider
    await provider.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def patient(gpt: OpenAI, clock: Clock) -> Callable[..., Patient]:
    def make(**retries: float) -> Patient:
        settings = Retries.model_validate(retries)
        return Patient(gpt, settings, now=clock.now, wait=clock.wait, chance=lambda: 0.5)

    return make


# Patience


async def test_a_passing_failure_is_tried_again(
    patient: Callable[..., Patient], server: ProviderServer, clock: Clock
) -> None:
    server.fail(500, times=2)
    assert await words(patient()) == "You said: How are you?"
    assert clock.waits == [0.25, 0.5]


async def test_a_wait_the_provider_asks_for_is_kept(
    patient: Callable[..., Patient], server: ProviderServer, clock: Clock
) -> None:
    server.fail(429, headers={"retry-after": "7"})
    assert await words(patient()) == "You said: How are you?"
    assert clock.waits == [7.25]


@pytest.mark.parametrize(
    ("status", "retry_after"), [(429, "31"), (401, "0"), (400, "0")], ids=["long wait", "key", "question"]
)
async def test_what_a_short_wait_cannot_cure_is_given_up_at_once(
    patient: Callable[..., Patient], server: ProviderServer, clock: Clock, status: int, retry_after: str
) -> None:
    server.fail(status, headers={"retry-after": retry_after})
    await failure(patient())
    assert (clock.waits, len(server.asks)) == ([], 1)


async def test_attempts_are_counted_and_the_last_failure_is_raised(
    patient: Callable[..., Patient], server: ProviderServer
) -> None:
    server.fail(500)
    server.fail(429)
    _, error = await failure(patient(attempts=2))
    assert (error.kind, len(server.asks)) == ("rate_limit", 2)


async def test_nothing_is_tried_again_after_the_first_word(
    patient: Callable[..., Patient], server: ProviderServer
) -> None:
    server.break_off(after_pieces=1, text="one two")
    said, error = await failure(patient())
    assert (said, error.kind, len(server.asks)) == ("one ", "unavailable", 1)


async def test_silence_before_the_first_word_ends_the_request(
    patient: Callable[..., Patient], server: ProviderServer
) -> None:
    asked = patient(attempts=1, first_word=0.2)
    await words(asked)
    server.hold()
    _, error = await failure(asked)
    assert error.kind == "timeout"
    await server.until(lambda server: server.asks[-1].disconnected)


async def test_silence_between_words_ends_the_request(patient: Callable[..., Patient], server: ProviderServer) -> None:
    server.hold(after_pieces=1, text="one two")
    said, error = await failure(patient(between_words=0.05))
    assert (said, error.kind) == ("one ", "timeout")
    await server.until(lambda server: server.asks[0].disconnected)


async def test_a_broken_provider_is_left_alone_and_then_tried_by_one_question(
    patient: Callable[..., Patient], server: ProviderServer, clock: Clock
) -> None:
    asked = patient(attempts=1, breaker_failures=2, breaker_rest=30)
    server.fail(500, times=3)
    await failure(asked)
    assert not asked.resting
    await failure(asked)
    assert asked.resting
    _, error = await failure(asked)
    assert (error.kind, len(server.asks)) == ("unavailable", 2)

    clock.at += 30
    assert not asked.resting
    await failure(asked)
    assert asked.resting, "the trial failed"
    assert len(server.asks) == 3

    clock.at += 30
    gate = server.hold(after_pieces=1, text="one two")
    trial = asked.stream(PROMPT)
    assert (await anext(trial)).text == "one "
    assert not asked.resting, "a first word closes the breaker"
    gate.open()
    assert "".join([chunk.text async for chunk in trial]) == "two"


async def test_only_one_question_tries_a_broken_provider(
    patient: Callable[..., Patient], server: ProviderServer, clock: Clock
) -> None:
    asked = patient(attempts=1, breaker_failures=1)
    server.fail(500)
    await failure(asked)
    clock.at += 30
    server.hold()
    trial = asked.stream(PROMPT)
    waiting = asyncio.ensure_future(anext(trial))
    await server.until(lambda server: len(server.asks) == 2)
    assert asked.resting
    await failure(asked)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not asked.resting, "a trial given up half-way lets the next question try"
    assert await words(asked)


async def test_a_breaker_that_opens_ends_the_attempts(
    patient: Callable[..., Patient], server: ProviderServer, clock: Clock
) -> None:
    server.fail(500, times=5)
    _, error = await failure(patient(attempts=5, breaker_failures=2))
    assert (len(server.asks), len(clock.waits)) == (2, 1)
    assert "500" in error.detail


async def test_a_question_that_is_refused_says_nothing_against_the_provider(
    patient: Callable[..., Patient], server: ProviderServer
) -> None:
    asked = patient(attempts=1, breaker_failures=2)
    for status in (500, 400, 500):
        server.fail(status)
        await failure(asked)
    assert not asked.resting


# Chain


async def test_the_first_provider_answers_without_a_notice(gpt: OpenAI, claude: Anthropic) -> None:
    chunks = await heard(Chain([claude, gpt]))
    assert not any(chunk.notice for chunk in chunks)
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.provider == "anthropic"


@pytest.mark.parametrize(
    ("status", "why"), [(429, "busy"), (401, "not set up"), (500, "out of reach"), (408, "too slow")]
)
async def test_the_next_provider_answers_and_says_so(
    gpt: OpenAI, claude: Anthropic, second: ProviderServer, status: int, why: str
) -> None:
    second.fail(status)
    chunks = await heard(Chain([claude, gpt]))
    assert chunks[0] == Chunk(notice=f"claude-sonnet-5-5 is not answering ({why}); gpt-4o answers instead.")
    assert "".join(chunk.text for chunk in chunks) == "You said: How are you?"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.provider == "openai"


@pytest.mark.parametrize(
    ("words", "kind"),
    [("odd", "rejected"), ("prompt is too long", "too_long"), ("content_filter", "filtered")],
)
async def test_a_question_that_is_the_problem_goes_to_nobody_else(
    gpt: OpenAI, claude: Anthropic, server: ProviderServer, second: ProviderServer, words: str, kind: str
) -> None:
    second.fail(400, body=json.dumps({"error": {"message": words}}))
    _, error = await failure(Chain([claude, gpt]))
    assert (error.kind, server.asks) == (kind, [])


async def test_nobody_takes_over_after_the_first_word(
    gpt: OpenAI, claude: Anthropic, server: ProviderServer, second: ProviderServer
) -> None:
    second.break_off(after_pieces=2, text="one two three")
    said, error = await failure(Chain([claude, gpt]))
    assert (said, error.kind, server.asks) == ("one two ", "unavailable", [])


async def test_when_all_fail_the_first_failure_is_told_with_the_details_of_all(
    gpt: OpenAI, claude: Anthropic, server: ProviderServer, second: ProviderServer
) -> None:
    second.fail(429, headers={"retry-after": "3"})
    server.fail(401)
    _, error = await failure(Chain([claude, gpt]))
    assert (error.kind, error.retry_after) == ("rate_limit", 3.0)
    assert "claude-sonnet-5-5: " in error.detail
    assert "gpt-4o: " in error.detail


async def test_closing_a_whole_stack_ends_the_request(gpt: OpenAI, server: ProviderServer) -> None:
    server.hold(after_pieces=1, text="one two")
    stream = Chain([Patient(Metered(gpt), Retries())]).stream(PROMPT)
    assert (await anext(stream)).text == "one "
    await stream.aclose()
    await server.until(lambda server: server.asks[0].disconnected)


# The wires


async def test_compatible_servers_are_asked_in_words_they_know(gpt: OpenAI, server: ProviderServer) -> None:
    await heard(gpt)
    body = server.asks[0].body
    assert body["stream_options"] == {"include_usage": True}
    assert body["max_tokens"] == PROMPT.max_tokens
    assert "max_completion_tokens" not in body


async def test_openai_itself_is_asked_in_its_newer_words(
    server: ProviderServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bots.providers.openai._HOME", server.openai_url)
    home = OpenAI("gpt-5-mini", "key")
    await heard(home)
    await home.close()
    assert server.asks[0].body["max_completion_tokens"] == PROMPT.max_tokens
    assert "max_tokens" not in server.asks[0].body


async def test_an_odd_openai_server_is_understood(gpt: OpenAI, server: ProviderServer) -> None:
    server.answer("plain words", odd=True, usage=False)
    chunks = await heard(gpt)
    assert "".join(chunk.text for chunk in chunks) == "plain words"
    assert chunks[-1] == Chunk(usage=Usage(provider="openai", model="gpt-4o"))


@pytest.mark.parametrize("usage", ["many", ["many"], {"prompt_tokens": "many", "prompt_tokens_details": 7}])
async def test_words_among_other_parts_and_a_usage_of_any_kind(usage: object) -> None:
    thought = [{"type": "thinking", "thinking": [{"type": "text", "text": "hmm"}]}]
    said: list[object] = [thought, [{"type": "text", "text": "so "}, {"type": "text"}, "odd"], 7, "be it"]
    events: list[object] = [{"choices": [{"delta": {"content": content}}]} for content in said]
    events.append({"choices": [{"finish_reason": "stop"}], "usage": usage})

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="".join(f"data: {json.dumps(event)}\n\n" for event in events))

    app = web.Application()
    app.router.add_post("/chat/completions", answer)
    async with TestServer(app) as odd:
        provider = OpenAI("gpt-4o", "key", str(odd.make_url("/")))
        chunks = await heard(provider)
        await provider.close()
    assert [chunk.text for chunk in chunks] == ["so ", "be it", ""]
    assert chunks[-1] == Chunk(usage=Usage(provider="openai", model="gpt-4o"))


async def test_anthropic_hears_a_user_first_and_then_by_turns(claude: Anthropic, second: ProviderServer) -> None:
    lines = (Line("assistant", "a"), Line("user", "b"), Line("user", "c"), Line("assistant", "d"), Line("user", "e"))
    await heard(claude, Prompt("", lines, "e"))
    assert [(line.role, line.text) for line in second.asks[0].lines] == [
        ("user", "(The conversation is already under way.)"),
        ("assistant", "a"),
        ("user", "b\nc"),
        ("assistant", "d"),
        ("user", "e"),
    ]
    assert "system" not in second.asks[0].body


async def test_anthropic_counts_cache_writes(claude: Anthropic, second: ProviderServer) -> None:
    second.answer("one two", cache_read=100, cache_write=20)
    last = (await heard(claude))[-1].usage
    assert last is not None
    assert (last.tokens_in, last.tokens_out, last.cache_read, last.cache_write) == (126, 2, 100, 20)


async def test_the_prefix_is_marked_and_the_same_bytes_turn_after_turn(
    claude: Anthropic, second: ProviderServer
) -> None:
    history: list[Line] = []
    for turn in range(8):
        await heard(claude, Prompt("You are Ada.", (*history, Line("user", f"(It is {turn}.) hi {turn}")), ""))
        history += [Line("user", f"hi {turn}"), Line("assistant", f"ho {turn}")]
    bodies = [seen.body for seen in second.asks]
    assert all(b["system"] == bodies[0]["system"] for b in bodies)
    assert bodies[0]["system"][0]["cache_control"] == {"type": "ephemeral"}
    assert [_marked(body) for body in bodies] == [[], [], [], [5], [7], [9], [11], [13]]
    for earlier, later in pairwise(bodies):
        stable = _unmarked(earlier["messages"][:-1])
        assert _unmarked(later["messages"])[: len(stable)] == stable


def _marked(body: dict[str, list[dict[str, list[dict[str, object]]]]]) -> list[int]:
    return [place for place, message in enumerate(body["messages"]) if "cache_control" in message["content"][0]]


def _unmarked(messages: list[dict[str, list[dict[str, object]]]]) -> list[str]:
    return [json.dumps([block["text"] for block in message["content"]]) for message in messages]


def test_importing_the_providers_imports_neither_sdk() -> None:
    code = (
        "import sys, bots.costs, bots.providers.openai, bots.providers.anthropic, bots.providers.chain,"
        " bots.providers.patience; print([m for m in ('openai', 'anthropic', 'httpx2', 'genai_prices')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
