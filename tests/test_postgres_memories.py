"""What PostgreSQL does with the vectors of memories, with pgvector and without."""

from __future__ import annotations

import pytest

from storage.backends.postgres import PostgresStore
from storage.records import Memory, Vector
from tests.postgres import fresh_name, own_server
from tests.test_postgres import NOON, sql

INDEXES = "SELECT array_agg(indexdef) FROM pg_indexes WHERE schemaname = $1 AND indexdef LIKE '%hnsw%'"


@pytest.fixture
def bot() -> str:
    return fresh_name()


def memory(name: str, audience: str, *values: float, model: str = "small") -> Memory:
    vector = Vector(model=model, values=values)
    fields = {"id": name, "at": NOON, "type": "semantic", "audience": audience, "subject": "user:7", "text": name}
    return Memory(**fields, vector=vector)


async def own_database(bot: str) -> str:
    """A database of the bot's own, whose extensions can be meddled with."""
    await sql(f'CREATE DATABASE "{bot}"', url=own_server().url)
    return own_server().url.replace("/postgres?", f"/{bot}?")


@pytest.mark.parametrize("extension", [True, False])
async def test_the_nearest_memories_are_the_same_with_and_without_the_extension(extension: bool, bot: str) -> None:
    url = own_server().url
    if not extension:  # somebody who may not create it
        await sql(f'CREATE ROLE "{bot}" LOGIN', url=url)
        await sql(f'CREATE DATABASE "{bot}" OWNER "{bot}"', url=url)
        url = url.replace("postgres:hush@/postgres?", f"{bot}:hush@/{bot}?")
    store = await PostgresStore.open(url, bot)
    assert bool(await sql("SELECT count(*) FROM pg_extension WHERE extname = 'vector'", url=url)) is extension
    kept = [memory(f"n{number}", "guild:1", 1.0, number / 40, 0.1) for number in range(40)]
    others = [
        memory("elsewhere", "guild:2", 1, 0, 0.1),
        memory("zero", "guild:1", 0, 0, 0),
        memory("longer", "guild:1", 1, 0, 0.1, 0),
        memory("foreign", "guild:1", 1, 0, 0.1, model="large"),
    ]
    await store.keep(*reversed(kept), *others)
    found = await store.nearest(Vector(model="small", values=(2, 0, 0.2)), {"guild:1", "user:7"}, limit=5)
    assert [each for each, _ in found] == kept[:5]
    assert [round(likeness, 6) for _, likeness in found][:2] == [1.0, 0.999691]
    assert await store.remove_records(Memory, ["n0", "none"]) == 1
    assert await store.nearest(Vector(model="small", values=(2, 0, 0.2)), {"guild:2"}) == [(others[0], found[0][1])]
    await store.close()


async def test_an_older_extension_is_not_used(bot: str) -> None:
    url = await own_database(bot)
    await (await PostgresStore.open(url, bot)).close()
    await sql("UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'", url=url)
    store = await PostgresStore.open(url, bot)
    await store.keep(memory("k1", "guild:1", 1, 0))
    assert await store.nearest(Vector(model="small", values=(1, 0)), {"guild:1"}) == [
        (memory("k1", "guild:1", 1, 0), 1)
    ]
    await store.close()
    assert await sql(INDEXES, f"troupe_{bot}", url=url) is None


async def test_a_models_index_is_of_that_model_whatever_its_name(bot: str) -> None:
    url = own_server().url
    store = await PostgresStore.open(url, bot)
    for model in ("bot.small's", "vec.{0}\\", "plain"):
        await store.keep(memory(model, "guild:1", 1, 0, model=model))
        ((found, _),) = await store.nearest(Vector(model=model, values=(1, 0)), {"guild:1"})
        assert found.id == model
    await store.close()
    made = " ".join(await sql(INDEXES, f"troupe_{bot}", url=url))
    assert [name in made for name in ("'bot.small''s'", "vec.{0}", "'plain'")] == [True] * 3


async def test_an_index_that_cannot_be_made_is_nobodys_concern(bot: str) -> None:
    url = await own_database(bot)
    store = await PostgresStore.open(url, bot)
    await sql("ALTER EXTENSION vector DROP OPERATOR CLASS vector_cosine_ops USING hnsw", url=url)
    await sql("DROP OPERATOR CLASS vector_cosine_ops USING hnsw", url=url)
    await store.keep(memory("k1", "guild:1", 1, 0))
    await store.keep(memory("k2", "guild:1", 0, 1))
    assert (await store.counts()).records == {"memory": 2}
    assert len(await store.nearest(Vector(model="small", values=(1, 0)), {"guild:1"})) == 2
    await store.close()
