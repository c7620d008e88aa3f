"""What answers cost: by a written price, by the table, and not known at all."""

from __future__ import annotations

import pytest

from bots.costs import Metered, listed_cost, written_cost
from bots.providers import Line, Prompt, Provider
from bots.providers.chain import Chain
from bots.providers.openai import OpenAI
from bots.settings import Price
from storage.model import Usage
from tests.test_turn import first_words
from tests.wire.provider_server import ProviderServer
from tests.world import ANA, Heard, world


async def last_usage(provider: Provider) -> Usage:
    prompt = Prompt("You are Ada.", (Line("user", "How are you?"),), "How are you?")
    usage = [chunk async for chunk in provider.stream(prompt)][-1].usage
    assert usage is not None
    return usage


def usage(provider: str = "openai", model: str = "gpt-4o", **tokens: int) -> Usage:
    return Usage(provider=provider, model=model, **tokens)


async def test_an_answer_is_timed_and_priced_as_people_wrote(gpt: OpenAI, server: ProviderServer) -> None:
    ticks = iter([10.0, 12.5])
    server.answer("four words of answer", cache_read=1000)
    metered = Metered(gpt, Price(input=2, output=8, cache_read=0.5), now=lambda: next(ticks))
    last = await last_usage(metered)
    assert last.seconds == 2.5
    assert last.cost_micros == 6 * 2 + 1000 * 0.5 + 4 * 8


async def test_an_answer_is_priced_by_the_table(gpt: OpenAI, server: ProviderServer) -> None:
    server.answer("one two", cache_read=1_000_000)
    metered = Metered(gpt)
    for _ in range(2):
        last = await last_usage(metered)
        assert last.cost_micros is not None
        assert last.cost_micros > 0


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:1/v1", "https://api.openai.com/v1"])
async def test_whose_price_list_counts_is_said_by_the_address(gpt: OpenAI, base_url: str) -> None:
    last = await last_usage(Metered(gpt, base_url=base_url))
    assert (last.cost_micros is None) == ("127.0.0.1" in base_url)


async def test_an_answer_without_token_counts_has_no_known_cost(gpt: OpenAI, server: ProviderServer) -> None:
    server.answer("words", usage=False)
    last = await last_usage(Metered(gpt, Price(input=1, output=1)))
    assert last.cost_micros is None


async def test_whoever_stops_an_answer_has_used_what_was_asked_and_said(gpt: OpenAI, server: ProviderServer) -> None:
    async with world(provider=Chain([Metered(gpt, Price(input=1_000, output=1_000))])) as w:
        server.hold(after_pieces=2, text="one two three four")
        room, heard = w.room(), Heard()
        answering = await first_words(room, heard, "count")
        w.clock.advance(5)
        await room.say(ANA, "stop")
        await answering
        assert heard.answer is not None
        stopped = (await w.store.messages(heard.answer.session_id))[-1]
        assert stopped.usage is not None
        assert stopped.metadata["usage"] == "estimated"
        assert (stopped.usage.model, stopped.usage.tokens_in > 50) == ("gpt-4o", True)
        assert stopped.usage.tokens_out > 0
        assert stopped.usage.seconds > 0
        assert stopped.usage.cost_micros == 1_000 * (stopped.usage.tokens_in + stopped.usage.tokens_out)
        server.answer("one two three")
        whole = (await room.say(ANA, "again")).answer
        assert whole is not None
        assert "usage" not in whole.metadata


def test_cached_tokens_have_prices_of_their_own() -> None:
    taken = usage(tokens_in=1000, tokens_out=10, cache_read=600, cache_write=100)
    assert written_cost(Price(input=10, output=50), taken) == 10_500
    assert written_cost(Price(input=10, output=50, cache_read=1, cache_write=12.5), taken) == 5_350
    claude = usage("anthropic", "claude-sonnet-5-5", tokens_in=1000, tokens_out=10, cache_read=600, cache_write=100)
    assert listed_cost(claude) == 300 * 2 + 600 * 0.1 + 100 * 2.5 + 10 * 10


@pytest.mark.parametrize("taken", [usage(model="no-such", tokens_in=5), usage(tokens_in=1, cache_read=5)])
def test_what_the_table_cannot_price_is_unpriced(taken: Usage) -> None:
    assert listed_cost(taken) is None
