"""Recall beside embedders that are of no use to it: letters alone, and servers that fail or take their time."""

from __future__ import annotations

from bots.embedding import Remembering
from bots.providers.hashed import Hashed
from bots.providers.openai_embeddings import OpenAIEmbeddings
from tests.test_memory_house import indexing, later, remembering, told
from tests.wire.embedding_server import EmbeddingServer
from tests.world import BEN


async def test_likeness_of_letters_is_left_to_others() -> None:
    async with remembering() as (w, _):
        await told(w.room("hall"), "My dog is called Waffles")
        w.bot.memory.adopt(w.bot.memory.settings, Hashed())
        await indexing(w).settle(vectors=True)
        assert (await indexing(w).progress()).vectors_missing == 0, "they are not wanted"


async def test_what_was_said_is_found_by_its_words_while_a_server_takes_its_time() -> None:
    async with EmbeddingServer() as server, remembering() as (w, model):
        hall = w.room("hall")
        await told(hall, "My dog is called Waffles")
        w.bot.memory.adopt(w.bot.memory.settings, Remembering(OpenAIEmbeddings("small", "", server.url, retries=0)))
        await indexing(w).settle(vectors=True)
        for trouble in ("slow", "broken"):
            await later(w)
            if trouble == "slow":
                server.free.clear()
            else:
                server.free.set()
                server.refusals.extend([500] * 9)
            await hall.say(BEN, f"what is the dog of Ana called, {trouble} one?")
            assert "Ana said: My dog is called Waffles" in model.last
