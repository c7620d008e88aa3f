"""What every embedder promises, whoever computes its vectors."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator

import pytest

from bots.embedding import chosen
from bots.memory_settings import EmbedderSettings
from bots.providers import Embedder
from bots.providers.hashed import Hashed
from bots.providers.minilm import MiniLM
from bots.providers.openai_embeddings import OpenAIEmbeddings
from tests.wire.embedding_server import EmbeddingServer

LINES = (
    "has anyone tried the new coffee place?",
    "",
    "   \n",
    "Straße, naïve, 日本語, हिन्दी, 👩‍👩‍👧 and \x00\ufffd",
    "word " * 2_000,
    "x" * 30_000,
    "[CLS] [SEP] [MASK] ##ing",
    "\u0301\u200b",
    "\ud800 half a character",
)


@pytest.fixture(params=("minilm", "hashed", "openai"))
async def embedder(request: pytest.FixtureRequest) -> AsyncIterator[Embedder]:
    async with EmbeddingServer() as server:
        made: dict[str, Embedder] = {
            "minilm": minilm(),
            "hashed": Hashed(),
            "openai": OpenAIEmbeddings("small", "key", server.url),
        }
        yield made[request.param]
        for each in made.values():
            await each.close()


def minilm() -> MiniLM:
    folder = chosen(EmbedderSettings(provider="minilm")).folder
    assert folder, "the local model is not installed: `make embed` installs it"
    return MiniLM(folder)


def likeness(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_every_text_gets_a_vector_of_length_one_whatever_it_holds(embedder: Embedder) -> None:
    vectors = await embedder.embed(LINES)
    assert [math.hypot(*vector) for vector in vectors] == pytest.approx([1.0] * len(LINES), abs=1e-5)
    assert {len(vector) for vector in vectors} == {embedder.dimensions}


async def test_no_texts_are_no_vectors(embedder: Embedder) -> None:
    assert await embedder.embed(()) == []


async def test_vectors_come_in_the_order_of_the_texts_however_many_there_are(embedder: Embedder) -> None:
    texts = [f"{number} {'and one more word ' * (number % 7)}" for number in range(60)]
    together = await embedder.embed(texts)
    for number in (0, 1, 13, 42, 59):
        [alone] = await embedder.embed([texts[number]])
        assert likeness(alone, together[number]) == pytest.approx(1.0, abs=1e-5)


async def test_the_same_text_always_has_the_same_vector(embedder: Embedder) -> None:
    first, again = await embedder.embed(["the cat sat on the mat"] * 2)
    assert likeness(first, again) == pytest.approx(1.0, abs=1e-6)


async def test_a_text_that_is_spelt_almost_alike_is_nearer_than_another(embedder: Embedder) -> None:
    asked, alike, other = await embedder.embed(["walking the dogs", "walking the dog", "ein Zug fuhr nach Ulm"])
    assert likeness(asked, alike) > likeness(asked, other)


async def test_two_who_ask_at_the_same_time_both_get_theirs(embedder: Embedder) -> None:
    many, one = await asyncio.gather(embedder.embed([f"line {n}" for n in range(50)]), embedder.embed(["line 7"]))
    assert likeness(many[7], one[0]) == pytest.approx(1.0, abs=1e-5)


async def test_an_id_says_which_vectors_may_be_compared(embedder: Embedder) -> None:
    assert embedder.id in ("minilm-l6-v2", "hashed-256", "openai:small")
    assert embedder.semantic == (embedder.id != "hashed-256")
