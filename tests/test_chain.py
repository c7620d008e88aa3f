"""Which providers of a chain are asked when only some of the models may be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bots.errors import ProviderError
from bots.providers import Chunk, Line, Prompt, Provider
from bots.providers.chain import Chain
from bots.providers.offline import Offline
from bots.providers.openai import OpenAI
from tests.wire.provider_server import ProviderServer

PROMPT = Prompt("You are Ada.", (Line("user", "How are you?"),), "How are you?")
OFFLINE = Offline(None, now=lambda: datetime(2026, 3, 2, tzinfo=UTC))


@pytest.fixture
async def small(server: ProviderServer) -> AsyncIterator[OpenAI]:
    provider = OpenAI("small", "key", base_url=server.openai_url)
    yield provider
    await provider.close()


async def heard(*chain: Provider, models: set[str]) -> list[Chunk]:
    return [chunk async for chunk in Chain(chain).stream(replace(PROMPT, models=frozenset(models)))]


async def test_a_model_that_may_not_be_asked_is_passed_over_in_silence(
    gpt: OpenAI, small: OpenAI, server: ProviderServer
) -> None:
    chunks = await heard(gpt, small, OFFLINE, models={"small"})
    assert not any(chunk.notice for chunk in chunks)
    assert [ask.body["model"] for ask in server.asks] == ["small"]


async def test_the_offline_answer_says_when_none_of_the_models_may_be_asked(
    gpt: OpenAI, server: ProviderServer
) -> None:
    chunks = await heard(gpt, OFFLINE, models={"small"})
    assert chunks[0].notice == "The models that may be asked here are not available; this is the offline answer."
    assert server.asks == []
    assert not any(chunk.notice for chunk in await heard(OFFLINE, models={"small"})), "there never was another"


async def test_a_model_that_may_be_asked_and_fails_is_out_of_reach(
    gpt: OpenAI, small: OpenAI, server: ProviderServer
) -> None:
    server.fail(500)
    chunks = await heard(gpt, small, OFFLINE, models={"small"})
    assert chunks[0].notice == "No model can be reached right now; this is the offline answer."
    assert len(server.asks) == 1


async def test_why_an_answer_is_offline_is_said_once(gpt: OpenAI, server: ProviderServer) -> None:
    asked = replace(PROMPT, question="What's the capital of France?")
    server.fail(401)
    notice, *said = [chunk async for chunk in Chain((gpt, OFFLINE)).stream(asked)]
    assert "this is the offline answer" in notice.notice
    assert "Offline" not in "".join(chunk.text for chunk in said)
    alone = [chunk async for chunk in Chain((OFFLINE,)).stream(asked)]
    assert not any(chunk.notice for chunk in alone)
    closing = "".join(chunk.text for chunk in alone).rpartition("-# ")[2]
    assert closing.startswith("Offline: without a model I can")


async def test_a_chain_without_anybody_who_may_be_asked_cannot_answer(gpt: OpenAI, server: ProviderServer) -> None:
    with pytest.raises(ProviderError, match="cannot be reached"):
        await heard(gpt, models={"small"})
    assert server.asks == []
