"""Reading from a store of a million messages: the last hundred, opening it, searching it, and the room it takes."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from storage.backend import OLDEST
from storage.backends.sqlite import SqliteStore

from .storage_ruler import Bench, middle
from .storage_talk import CJK, CODE, EACH, EMOJI, RARE, Talk, big_store

SMALL = 1000
FILE = "conversations.db"


async def reading(bench: Bench) -> None:
    """The last hundred messages of a session, and opening, in a big store and in one of a thousand messages, in
    turn."""
    folders = {many: await big_store(bench.root, many) for many in (bench.million, SMALL)}
    stores = {many: await SqliteStore.open(folder, "sage") for many, folder in folders.items()}
    chance = random.Random(3)
    newest = {many: [session.id for session in await store.sessions(limit=5)] for many, store in stores.items()}
    old = await _sessions(stores[bench.million])
    taken: dict[tuple[int, str], list[float]] = {}
    for _ in range(bench.scaled(300, 60)):
        for many, store in stores.items():
            await _hundred(store, chance.choice(newest[many]), taken.setdefault((many, "newest"), []))
        await _hundred(stores[bench.million], chance.choice(old), taken.setdefault((bench.million, "any"), []))
    for store in stores.values():
        await store.close()
    small = middle(taken[SMALL, "newest"]) * 1e3
    for which in ("newest", "any"):
        big = middle(taken[bench.million, which]) * 1e3
        bench.report.figure(f"last 100, {which} session : {SMALL:,}", big, small, unit="ms", most=1.3)
    opened: dict[int, list[float]] = {many: [] for many in folders}
    for _ in range(bench.scaled(21, 7)):
        for many, folder in folders.items():
            started = time.perf_counter()
            store = await SqliteStore.open(folder, "sage")
            opened[many].append(time.perf_counter() - started)
            await store.close()
    big, small = (middle(opened[many]) * 1e3 for many in (bench.million, SMALL))
    bench.report.figure(f"opening : {SMALL:,}", big, small, unit="ms", most=1.3)


async def search(bench: Bench) -> None:
    """Rare and common words, and what has no spaces or letters."""
    folder = await big_store(bench.root, bench.million)
    store = await SqliteStore.open(folder, "sage")
    common = Talk(1).vocabulary
    rare = await _repeated(lambda: store.search(RARE), bench.scaled(100, 20))
    scans = []
    with contextlib.closing(sqlite3.connect(folder / FILE)) as raw:
        for _ in range(3):
            started = time.perf_counter()
            scanned = raw.execute("SELECT id FROM messages WHERE content LIKE ?", (f"%{RARE}%",)).fetchall()
            scans.append(time.perf_counter() - started)
    found = {asked: await store.search(asked) for asked in (RARE, EMOJI, CJK, CODE, "京都へ", "parse http url")}
    assert len(found[RARE]) == len(scanned) == 2
    bench.report.figure("scans by LIKE / searches for a rare word", middle(scans) / rare, least=500)
    bench.report.figure("rare word : LIKE scan", rare * 1e3, middle(scans) * 1e3, unit="ms")
    for what, asked in (("most common word, ranked", common[0]), ("two common words", f"{common[0]} {common[9]}")):
        taken = await _repeated(lambda asked=asked: store.search(asked), bench.scaled(15, 5))  # type: ignore[misc]
        bench.report.figure(f"{what}", taken * 1e3, unit="ms")
    told = ", ".join(f"{asked} {'found' if hits else 'NOT FOUND'}" for asked, hits in found.items())
    bench.report.say(told)
    await store.close()


async def size(bench: Bench) -> None:
    """Bytes on the disk for each message, the index included, after a checkpoint."""
    folder = await big_store(bench.root, bench.million)
    with bench.folder() as work:
        copied = work / "copy"
        shutil.copytree(folder, copied)
        await (await SqliteStore.open(copied, "sage")).close()  # which brings the log into the database
        total = sum(path.stat().st_size for path in copied.iterdir())
        bench.report.figure("bytes a message", total / bench.million, unit="B", most=450)
        _tell_tables(bench, copied)


def _tell_tables(bench: Bench, folder: Path) -> None:
    with contextlib.closing(sqlite3.connect(folder / FILE)) as raw:
        (usage,) = raw.execute("SELECT ifnull(sum(length(usage)), 0) FROM messages").fetchone()
        bench.report.say(f"half are answers: the JSON of what they took is {usage / bench.million:.0f} B a message")
        with contextlib.suppress(sqlite3.OperationalError):  # a SQLite without dbstat
            query = "SELECT name, sum(pgsize) AS bytes FROM dbstat GROUP BY name ORDER BY bytes DESC LIMIT 8"
            told = [f"{name} {count / bench.million:.0f}" for name, count in raw.execute(query)]
            bench.report.say(f"of which {', '.join(told)}")


async def _sessions(store: SqliteStore) -> list[str]:
    """Sessions of every age that have all their messages, a hundred of each stretch."""
    found: list[str] = []
    cursor: str | None = OLDEST
    while cursor is not None:
        page = await store.browse(cursor=cursor, limit=1000)
        found += [session.id for session in page.items if session.message_count == EACH][:100]
        cursor = page.newer
    return found


async def _hundred(store: SqliteStore, session: str, taken: list[float]) -> None:
    started = time.perf_counter()
    got = await store.messages(session, 100)
    taken.append(time.perf_counter() - started)
    assert len(got) == 100


async def _repeated(work: Callable[[], Awaitable[object]], times: int) -> float:
    """The middle of the seconds it takes, warm."""
    await work()
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        await work()
        taken.append(time.perf_counter() - started)
    return middle(taken)
