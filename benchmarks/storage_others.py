"""Other backends beside bare appends and INSERTs, and the likeness of vectors beside numpy."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from storage import connect
from storage.backends.sqlite import SqliteStore
from storage.model import Message, Session
from storage.records import Memory, Vector

from .storage_peers import Keeper, Ours, naive_row
from .storage_ruler import Bench, Cost, Lap, middle
from .storage_talk import START, Line, Talk
from .storage_writing import APPENDERS

DIMENSIONS = 384
MODEL = "bench"


async def files(bench: Bench) -> None:
    """Appending to a long session and to an empty one; and beside bare lines, each written and synced."""
    if not importlib.util.find_spec("storage.backends.files"):
        bench.report.say("Files are skipped: there is no storage/backends/files.py.")
        return
    talk, each = Talk(1), bench.scaled(400, 50)
    empty, long, bare, fifty = Cost(), Cost(), Cost(), Cost()
    with bench.folder() as folder:
        keeper = Ours(await connect("sage", folder / "store", type="file"))
        full = talk.session(0)
        await asyncio.gather(*(keeper.add(*line) for line in talk.lines(full, bench.scaled(10_000, 2_000))))
        for number in range(bench.scaled(7, 3)):
            await _say(keeper, [list(talk.lines(talk.session(1 + number), each))], empty)
            await _say(keeper, [list(talk.lines(full, each))], long)
            _write_bare(folder / "bare.jsonl", list(talk.lines(full, each)), bare)
            await _say(keeper, talk.turns(APPENDERS, max(1, each // 10)), fifty)
        await keeper.close()
    bench.report.figure("alone, µs: a session of 10,000 : an empty one", _micros(long), _micros(empty), most=1.3)
    bench.report.figure("alone, messages/s : bare append and fsync", empty.rate, bare.rate, least=0.8)
    bench.report.figure("fifty at once, messages/s : bare", fifty.rate, bare.rate, least=0.8)
    bench.report.figure("alone, CPU µs : bare", empty.cpu_each, bare.cpu_each)


async def postgres(bench: Bench) -> None:
    """Fifty appenders on PostgreSQL, beside asyncpg with one INSERT per commit."""
    try:
        import asyncpg  # type: ignore[import-untyped,unused-ignore]

        from tests.postgres import fresh_name, postgres_url

        url = postgres_url()
    except ImportError as error:
        bench.report.say(f"PostgreSQL is skipped: {error}.")
        return
    raw = await asyncpg.connect(url)
    settings = [
        f"{name} {await raw.fetchval(f'SHOW {name}')}" for name in ("server_version", "fsync", "synchronous_commit")
    ]
    bench.report.say(", ".join(settings) + "; CPU is that of the client alone")
    await raw.execute("DROP TABLE IF EXISTS inserts")
    await raw.execute(INSERTS)
    mine, one, ten = Cost(), Cost(), Cost()
    keeper = Ours(await connect(fresh_name(), bench.root, type="postgres", url=url))
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as single, asyncpg.create_pool(url) as pool:
        for number in range(bench.scaled(5, 2)):
            for peer, taken, each in ((keeper, mine, 200), (Inserts(single), one, 40), (Inserts(pool), ten, 80)):
                talk = Talk(number + 1, START + timedelta(days=number, hours=each))
                await _say(peer, talk.turns(APPENDERS, bench.scaled(each, 20)), taken)
    await keeper.close()
    await raw.execute("DROP TABLE inserts")
    await raw.close()
    for what, theirs in (("one connection", one), ("a pool of ten", ten)):
        bench.report.figure(f"messages/s : an INSERT a commit, {what}", mine.rate, theirs.rate, least=5)
        bench.report.figure(f"CPU µs : an INSERT a commit, {what}", mine.cpu_each, theirs.cpu_each)


class Inserts:
    """asyncpg's own pool, one INSERT per commit, the index kept by the server."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def prepare(self, sessions: list[Session]) -> None:
        """Nothing."""

    async def add(self, session: Session, message: Message) -> None:
        await self._pool.execute(INSERT, *naive_row(message))

    async def settle(self) -> None:
        """Nothing."""

    async def close(self) -> None:
        """Nothing: the pool belongs to whoever made it."""


async def vectors(bench: Bench) -> None:
    """The nearest ten of a hundred thousand, beside one product and one partition of the same rows."""
    if not importlib.util.find_spec("numpy"):
        bench.report.say("Vectors are skipped: `pip install numpy` brings what they are compared with.")
        return
    import numpy as np

    many = bench.scaled(100_000, 5_000)
    chance = np.random.default_rng(11)
    rows = chance.standard_normal((many, DIMENSIONS), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    store = await SqliteStore.open(await _filled(bench, rows), "sage")
    asked = chance.standard_normal((bench.scaled(100, 20) + 5, DIMENSIONS), dtype=np.float32)
    mine, bare = list[float](), list[float]()
    for number, one in enumerate(asked):
        vector = Vector(model=MODEL, values=tuple(one.tolist()))
        started = time.perf_counter()
        found = await store.nearest(vector, ["bot"], 10)
        mine.append(time.perf_counter() - started)
        started = time.perf_counter()
        likeness = rows @ (one / np.linalg.norm(one))
        best = np.argpartition(-likeness, 10)[:10]
        best = best[np.argsort(-likeness[best])]
        bare.append(time.perf_counter() - started)
        assert [memory.id for memory, _ in found] == [f"m{place}" for place in best], number
    await store.close()
    bench.report.say(f"the first one, which reads them all: {mine[0]:.2f} s")
    bench.report.figure(
        f"nearest 10 of {many:,} : numpy", middle(mine[5:]) * 1e3, middle(bare[5:]) * 1e3, unit="ms", most=1.5
    )


async def _filled(bench: Bench, rows: Any) -> Path:
    """A store of these vectors, kept in batches by `keep`; from an earlier run, or made now."""
    folder = bench.root / f"vectors-{len(rows)}"
    if folder.exists():
        return folder
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    started = time.perf_counter()
    store = await SqliteStore.open(partial, "sage")
    for first in range(0, len(rows), 1000):
        places = range(first, min(first + 1000, len(rows)))
        await store.keep(*(_memory(place, rows[place].tolist()) for place in places))
    await store.close()
    partial.rename(folder)
    bench.report.say(f"filled by `keep`, a thousand at a time, in {time.perf_counter() - started:.0f} s")
    return folder


def _memory(place: int, values: list[float]) -> Memory:
    vector = Vector(model=MODEL, values=tuple(values))
    told = {"type": "semantic", "audience": "bot", "subject": f"user:{place % 300}", "text": f"fact {place}"}
    return Memory(id=f"m{place}", at=START + timedelta(seconds=place), vector=vector, **told)


async def _say(keeper: Keeper, turns: list[list[Line]], cost: Cost) -> None:
    async def say(lines: list[Line]) -> None:
        for session, message in lines:
            await keeper.add(session, message)

    lap = Lap(sum(map(len, turns)))
    await asyncio.gather(*map(say, turns))
    lap.into(cost)
    lap.end()


def _write_bare(path: Path, lines: list[Line], cost: Cost) -> None:
    told = [message.model_dump_json(exclude_defaults=True).encode() + b"\n" for _, message in lines]
    lap = Lap(len(told))
    with path.open("ab", buffering=0) as file:
        for line in told:
            file.write(line)
            os.fsync(file.fileno())
    lap.into(cost)
    lap.end()


def _micros(cost: Cost) -> float:
    return middle(cost.seconds) * 1e6


INSERTS = """
CREATE TABLE inserts (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, message_id text NOT NULL UNIQUE,
    origin text UNIQUE, session_id text NOT NULL, role text NOT NULL, sender_type text NOT NULL,
    sender_id text NOT NULL, sender_name text NOT NULL, content text NOT NULL, at text NOT NULL, persona text,
    reply_to text, usage text, metadata text NOT NULL,
    words tsvector GENERATED ALWAYS AS (to_tsvector('simple', content)) STORED);
CREATE INDEX inserts_session ON inserts (session_id);
CREATE INDEX inserts_words ON inserts USING gin (words);
"""
INSERT = """
INSERT INTO inserts (message_id, origin, session_id, role, sender_type, sender_id, sender_name, content, at, persona,
    reply_to, usage, metadata) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
"""
