"""Moving a million messages in, beside bare `executemany` into the same schema; killed half-way and resumed.

.venv/bin/python -m benchmarks.migrate [--messages 1000000] [--root DIR] [--kill]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.storage_ruler import Bench, Report
from benchmarks.storage_talk import Talk
from storage import connect
from storage.blobs import Blobs
from storage.copying import contents
from storage.legacy import Terms
from storage.legacy.source import Source
from storage.migration import migrate, recognised
from storage.place import open_place

HOUSE = Path(__file__).parent.parent
FILES, BURST = 400, 40
"""Files of the source, one for each person in a channel; lines between two silences."""
FILE = "conversations.db"
AT = datetime(2026, 1, 1, tzinfo=UTC)


def write_source(folder: Path, many: int) -> None:
    """`multi_bot_conversations/sage/<channel>_<user>.json`, four people to a channel."""
    talk = Talk(5)
    (folder / "sage").mkdir(parents=True)
    each = many // FILES
    for number in range(FILES):
        channel, user = 10**17 + number // 4, 2 * 10**17 + number
        with (folder / "sage" / f"{channel}_{user}.json").open("w", encoding="utf-8") as file:
            head = {"channel_id": str(channel), "user_id": str(user)}
            file.write(json.dumps(head)[:-1] + ', "messages": [\n')
            for line in range(each):
                at = datetime(2024, 1, 8) + timedelta(seconds=20 * line + number % 4 * 5, hours=line // BURST)
                said = {
                    "role": "assistant" if line % 2 else "user",
                    "content": talk.text(),
                    "timestamp": at.isoformat(),
                }
                said |= {"bot_name": "sage"} if line % 2 else {}
                file.write((",\n" if line else "") + json.dumps(said))
            file.write('\n], "last_updated": "2024-06-01T00:00:00", "topic": null, "participants": []}\n')


async def move_in(source: Path, root: Path) -> None:
    """What `troupe migrate` does; prints what it took."""
    scratch = root.with_name(f"{root.name}-scratch")
    scratch.mkdir(exist_ok=True)
    store = await connect("sage", root)
    started, cpu = time.perf_counter(), time.process_time()
    with Source(source) as opened:
        _, reader = recognised(opened)
        blobs = Blobs(open_place(str(root / "attachments")), root)
        terms = Terms("sage", UTC, timedelta(minutes=5), AT, scratch)
        done = await migrate(opened, reader, store, blobs, terms)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await store.close()
    print(seconds, cpu, peak, done.messages.taken, done.messages.known, done.refused, done.verified, flush=True)


def child(source: Path, root: Path) -> subprocess.Popen[str]:
    command = (sys.executable, "-m", "benchmarks.migrate", "--source", str(source), "--root", str(root))
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HOUSE)


def bare(store: Path, folder: Path) -> float:
    """Seconds for the messages of a store, put into the same schema by `executemany`, 500 a commit."""
    made = folder / "bare"

    async def empty() -> None:
        await (await connect("sage", made)).close()

    asyncio.run(empty())
    with (
        contextlib.closing(sqlite3.connect(store / FILE, isolation_level=None)) as full,
        contextlib.closing(sqlite3.connect(made / FILE, isolation_level=None)) as copy,
    ):
        copy.execute("PRAGMA synchronous = FULL")
        for table in ("senders", "places", "channels", "sessions"):
            _copy(full, copy, table)
        started = time.perf_counter()
        _copy(full, copy, "messages")
        return time.perf_counter() - started


def _copy(full: sqlite3.Connection, copy: sqlite3.Connection, table: str) -> None:
    columns = ", ".join(f'"{row[1]}"' for row in full.execute(f"PRAGMA table_info({table})"))
    rows = full.execute(f"SELECT {columns} FROM {table} ORDER BY rowid")
    insert = f"INSERT INTO {table} ({columns}) VALUES ({','.join('?' * len(rows.description))})"
    while page := rows.fetchmany(500):
        copy.execute("BEGIN")
        copy.executemany(insert, page)
        copy.execute("COMMIT")


def digest(root: Path) -> str:
    async def read() -> str:
        store = await connect("sage", root)
        found = await contents(store)
        await store.close()
        return found.digest

    return asyncio.run(read())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--root", type=Path, default=Path("/var/tmp/troupe-benchmarks"))
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--kill", action="store_true", help="Also kill it half-way, and go on.")
    asked = parser.parse_args()
    if asked.source:
        asyncio.run(move_in(asked.source, asked.root))
        return
    asked.root.mkdir(parents=True, exist_ok=True)
    with Bench(asked.root, Report(), quick=False).folder() as folder:
        measure(folder, asked.messages, asked.kill)


def measure(folder: Path, many: int, kill: bool) -> None:
    report, source = Report(), folder / "multi_bot_conversations"
    write_source(source, many)
    report.head(f"{many:,} messages of {FILES} files into SQLite")
    seconds, cpu, peak, taken, _, refused, verified = _told(child(source, folder / "whole"))
    assert (taken, refused, verified) == (many, 0, many), (taken, refused, verified)
    theirs = bare(folder / "whole", folder)
    report.figure("messages a second : bare executemany", many / seconds, many / theirs, unit="per s")
    report.figure("messages a second", many / seconds, unit="per s", least=8000)
    report.figure("CPU a message", cpu / many * 1e6, unit="µs")
    report.figure("peak memory", peak / 1024, unit="MB", most=200)
    again, *_, known, _, _ = _told(child(source, folder / "whole"))
    report.figure("a second run, which adds nothing", known / again, unit="per s")
    if kill:
        wanted = digest(folder / "whole")
        for share in (0.25, 0.5, 0.75):
            root = folder / f"killed-{share}"
            broken = child(source, root)
            with contextlib.suppress(subprocess.TimeoutExpired):
                broken.wait(seconds * share)
            broken.send_signal(signal.SIGKILL)
            broken.wait()
            _, _, _, taken, known, _, _ = _told(child(source, root))
            same = digest(root) == wanted
            report.say(
                f"killed after {seconds * share:.0f} s: {known:,.0f} were there, {taken:,.0f} came; same: {same}"
            )
            assert same
            shutil.rmtree(root)
    report.sum_up()


def _told(running: subprocess.Popen[str]) -> Iterator[float]:
    said, _ = running.communicate()
    assert running.returncode == 0, said
    return map(float, said.split())


if __name__ == "__main__":
    main()
