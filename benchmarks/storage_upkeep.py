"""What a store costs beside its work: the memory it adds, a backup while it is written to, an upgrade."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from storage.backup import Subject, back_up
from storage.manifest import Destination

from .storage_peers import Ours
from .storage_ruler import Bench, middle, tail
from .storage_talk import START, Line, Talk, big_store
from .storage_writing import Paced, paced

HOUSE = Path(__file__).resolve().parent.parent
FILE = "conversations.db"
RATE = 200
BOT = """
import asyncio, json, resource, sqlite3, sys
from pathlib import Path
import pydantic
class Value(pydantic.BaseModel):
    at: int
def rss():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
"""
"""What the process of any bot has anyway."""
STORING = """
from storage import connect
async def main():
    store = await connect("sage", Path(sys.argv[1]))
    opened = rss()
    await store.sessions()
    await store.counts()
    print(opened, rss())
    await store.close()
asyncio.run(main())
"""
UPGRADING = """
import time
from storage.backends.sqlite import SqliteStore
async def main():
    for root in sys.argv[1:]:
        before, started = rss(), time.perf_counter()
        store = await SqliteStore.open(Path(root), "sage")
        print(time.perf_counter() - started, before, peak(), (await store.counts()).messages)
        await store.close()
asyncio.run(main())
"""


async def memory(bench: Bench) -> None:
    """Resident memory of a process that opens a store, and of one that imports what a bot's process has anyway."""
    bare, opened, used = [], [], []
    for _ in range(bench.scaled(7, 3)):
        with bench.folder() as folder:
            bare.append(float(await _told(BOT + "print(rss())")))
            first, then = (await _told(BOT + STORING, str(folder / "root"))).split()
            opened.append(float(first))
            used.append(float(then))
    for what, taken in (("a store that was opened", opened), ("and asked for its sessions", used)):
        bench.report.figure(f"{what} adds", (middle(taken) - middle(bare)) / 1e6, unit="MB", most=15)
    bench.report.say(f"the process without it {middle(bare) / 1e6:.1f} MB, with it {middle(used) / 1e6:.1f} MB")


async def backup(bench: Bench) -> None:
    """Copies of a big store while 200 lines a second are said, beside a bare `VACUUM INTO` and fsync of the same file
    while nothing is said and while as much is."""
    source = await big_store(bench.root, bench.million)
    idle, copying, packing = Paced(), Paced(), Paced()
    alone, beside, copied, packed = (list[float]() for _ in range(4))
    with bench.folder() as work:
        shutil.copytree(source, work / "store")
        keeper = await Ours.open(work / "store")

        async def bare() -> None:
            await asyncio.to_thread(_vacuum, work / "store" / FILE, work / "bare.db")
            (work / "bare.db").unlink()

        for number in range(bench.scaled(3, 2)):
            lines = _fresh(number)
            alone.append(await _timed(bare))
            beside.append(await _meanwhile(keeper, lines, Paced(), bare))
            idle.extend(await paced(keeper, itertools.islice(lines, RATE * bench.scaled(6, 2)), RATE))
            copied.append(await _meanwhile(keeper, lines, copying, lambda: keeper.store.snapshot(work / "copy.db")))  # type: ignore[attr-defined]
            (work / "copy.db").unlink()
            packed.append(await _meanwhile(keeper, lines, packing, lambda: _back_up(keeper, work)))
            shutil.rmtree(work / "backups")
        await keeper.close()
    for what, taken, heard in (("snapshot", copied, copying), ("whole backup", packed, packing)):
        waits = tail(heard.waits) * 1e3, tail(idle.waits) * 1e3
        bench.report.figure(f"acknowledged, p99, in a {what} : idle", *waits, unit="ms", most=3)
        for when, theirs in (("nobody", alone), ("as many", beside)):
            named = f"{what} : VACUUM INTO, {when} writing"
            bench.report.figure(named, middle(taken), middle(theirs), unit="s", most=1.5)
        bench.report.say(f"loop late in a {what}: p99 {tail(heard.late) * 1e3:.2f} ms ({len(heard.waits)} lines)")


async def upgrade(bench: Bench) -> None:
    """A database of the first release, opened by today's program."""
    first = bench.root / f"first-{bench.million}.db"
    if not first.exists():
        await asyncio.to_thread(_make_first, first, bench.million)
    with bench.folder() as work:
        for name in ("warm", "root"):
            (work / name).mkdir()
        _make_first(work / "warm" / FILE, 1000)
        shutil.copyfile(first, work / "root" / FILE)
        bare = await _timed(lambda: asyncio.to_thread(_vacuum, work / "root" / FILE, work / "bare.db"))
        (work / "bare.db").unlink()
        told = await _told(BOT + UPGRADING, str(work / "warm"), str(work / "root"))
        seconds, before, peak, many = map(float, told.splitlines()[1].split())
        assert many == bench.million + 2, many
        sizes = [path.stat().st_size / many for path in (first, work / "root" / FILE)]
    bench.report.figure("upgrade : VACUUM INTO and fsync", seconds, bare, unit="s")
    bench.report.figure("peak memory beyond what an open store takes", (peak - before) / 1e6, unit="MB")
    bench.report.say(f"{many:,.0f} messages; {sizes[0]:.0f} bytes each before, {sizes[1]:.0f} after, not yet indexed")


async def _meanwhile(keeper: Ours, lines: Iterable[Line], heard: Paced, work: Callable[[], Awaitable[object]]) -> float:
    """Seconds that the work took while lines were said; what was heard is added."""
    done = asyncio.ensure_future(_timed(work))
    heard.extend(await paced(keeper, lines, RATE, lambda: not done.done()))
    return await done


async def _back_up(keeper: Ours, work: Path) -> None:
    subject = Subject("sage", "sqlite", keeper.store, None)  # type: ignore[arg-type]
    (work / "aside").mkdir(exist_ok=True)
    to = Destination.at(str(work / "backups"), spool=work)
    await back_up(subject, to, work / "aside", now=lambda: datetime.now(UTC), program="benchmark")


def _fresh(number: int) -> Iterator[Line]:
    """Lines that are not in the big store, in ten sessions, more of them than any copy takes time for."""
    talk = Talk(100 + number, START + timedelta(days=1000 + number))
    turns = [talk.lines(talk.session(each), 100_000) for each in range(10)]
    return itertools.chain.from_iterable(zip(*turns, strict=True))


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await work()
    return time.perf_counter() - started


def _vacuum(source: Path, target: Path) -> None:
    with contextlib.closing(sqlite3.connect(source)) as raw:
        raw.execute("VACUUM INTO ?", (str(target),))
    with target.open("rb") as written:
        os.fsync(written.fileno())


def _make_first(path: Path, many: int) -> None:
    """A database as the first release made it, its rows put in by SQL."""
    talk = Talk(5)
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    raw = sqlite3.connect(partial, isolation_level=None)
    raw.executescript("PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY;")
    raw.executescript((HOUSE / "tests" / "golden" / "schema_v1.sql").read_text("utf-8"))
    raw.execute("CREATE TEMP TABLE sample (id INTEGER PRIMARY KEY, content TEXT)")
    raw.executemany("INSERT INTO sample VALUES (?, ?)", ((n, talk.text()) for n in range(5000)))
    for statement in FIRST.split(";\n"):
        raw.execute(statement.replace(":many", str(many)))
    raw.close()
    partial.rename(path)


async def _told(program: str, *arguments: str) -> str:
    """What a program says in a process of its own."""
    command = (sys.executable, "-c", program, *arguments)
    child = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, cwd=HOUSE)
    said, _ = await child.communicate()
    assert child.returncode == 0
    return said.decode()


FIRST = """
BEGIN;
INSERT INTO sessions (bot_name, channel_id, session_id, started_at, last_activity, channel_key, type, title,
    participants, context, last_at, metadata)
WITH RECURSIVE n(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM n WHERE x < :many / 200)
SELECT 'sage', '100', 's' || x, '2024-01-08T12:00:00.000000Z', '2024-01-08T12:00:00.000000Z', 'discord:100', 'chat', '',
    '[]', '{"summary":"","goals":[],"constraints":[],"shared_knowledge":[],"active_tools":[]}',
    '2024-01-08T12:00:00.000000Z', '{}' FROM n;
INSERT INTO conversations (bot_name, channel_id, channel_name, channel_type, user_id, username, session_id, message_id,
    role, content, timestamp, metadata, origin, sender_type, persona, parts, reply_to, outcome, usage)
WITH RECURSIVE n(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM n WHERE x < :many - 1),
    said AS (
        SELECT x, x % 2 AS answer, content,
            strftime('%Y-%m-%dT%H:%M:%S', 1704715200 + x, 'unixepoch') || '.000000Z' AS at
        FROM n JOIN sample ON sample.id = x * 7919 % 5000
    )
SELECT 'sage', '100', 'general', 'channel', iif(answer, 'sage', 1000 + x % 300),
    iif(answer, 'Sage', 'person ' || (x % 300)), 's' || (x / 200), printf('01hkm0%014d', x),
    iif(answer, 'assistant', 'user'), content, at, '{}', iif(answer, NULL, 'discord:100:' || (1000000000 + x)),
    iif(answer, 'persona', 'user'), iif(answer, 'sage', NULL),
    json_array(json_object('type', 'text', 'text', content)), iif(answer, printf('01hkm0%014d', x - 1), NULL), 'whole',
    iif(answer, '{"provider":"openai","model":"gpt-5-mini","tokens_in":812,"tokens_out":41,"cache_read":0,'
        || '"cache_write":0,"cost_micros":285,"seconds":1.25}', NULL)
FROM said;
COMMIT;
PRAGMA journal_mode = WAL
"""
