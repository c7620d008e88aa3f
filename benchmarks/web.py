"""What a bot's web front costs, beside a bare FastAPI app that answers the same JSON in the same run.

    python -m benchmarks.web [--requests 3000] [--idle 1000] [--streams 100] [--messages 100000]

Requests go over 16 kept connections, to one and then to the other, round by round. Then somebody asks the bot while
nobody, many idle live clients, and many who are streamed to, are there; and pages of a long session are turned.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import psutil
from websockets.asyncio.client import ClientConnection, connect

import storage
from bots.here import whoever_is_here
from storage.model import Channel, Message, Sender, Session, Text, message_id, session_id
from tests.stage import Stage, eventually, running, stage
from tests.wire.provider_server import Answer

from .fleet import memory

CONNECTIONS = 16
ROUNDS = 5
PIECES, LONG_PIECES, PACE = 24, 400, 0.05
"""Of an ordinary answer, which takes 1.2 seconds, and of one that takes 20."""
LONGER = "tell me all of it"
LONG = "2026-01-01_00-00-00_long"


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=3_000, help="to each path (default 3000)")
    parser.add_argument("--idle", type=int, default=1_000, help="live clients who only listen (default 1000)")
    parser.add_argument("--streams", type=int, default=100, help="clients who are streamed an answer (default 100)")
    parser.add_argument("--messages", type=int, default=100_000, help="of the long session (default 100000)")
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8_192)), hard))
    with tempfile.TemporaryDirectory(prefix="troupe-web-") as folder:
        async with stage(Path(folder), strict=False) as here:
            await _fill(here.folder / "data" / "sage", options.messages)
            async with _bot(here) as (url, process):
                await _requests(here, url, process, options.requests)
                await _turns(url, options.idle, options.streams)
                await _pages(url, options.messages)


async def _fill(root: Path, count: int) -> None:
    """A session of so many messages, in the place of whoever is here."""
    ana = whoever_is_here()
    channel = Channel(front="web", id=ana.id, kind="web", name=ana.name, parent_id=ana.id)
    began = datetime(2026, 1, 1, tzinfo=UTC)
    session = Session(id=LONG, channel=channel, title="long", opened_at=began, last_at=began)
    store = await storage.connect("sage", root)
    sage = Sender(type="persona", id="sage", name="Sage")
    pending = []
    for n in range(count):
        at = began + timedelta(seconds=n)
        who, role = (ana, "user") if n % 2 == 0 else (sage, "assistant")
        line = Message(
            id=message_id(at, n), session_id=LONG, role=role, sender=who, at=at,
            parts=(Text(text=f"Line {n}: what is said here is about as long as people's lines are."),),
        )  # fmt: skip
        pending.append(store.append(session.model_copy(update={"last_at": at}), line))
        if len(pending) == 1_000 or n + 1 == count:
            await asyncio.gather(*pending)
            pending.clear()
    for n in range(50):
        at = began + timedelta(days=1, seconds=n)
        short = Session(id=session_id(at, n), channel=channel, title=f"short {n}", opened_at=at, last_at=at)
        await store.append(short, Message(id=message_id(at, n), session_id=short.id, role="user", sender=ana, at=at,
                                          parts=(Text(text="hello"),)))  # fmt: skip
    await store.close()


@asynccontextmanager
async def _bot(here: Stage) -> AsyncIterator[tuple[str, psutil.Process]]:
    account = here.discord.add_bot("token-sage", "sage")
    here.discord.add_guild("Home").add_channel("general")
    here.provider.default = lambda ask: " ".join(
        f"This-is-part-{n}-of-what-there-is." for n in range(LONG_PIECES if LONGER in ask.question else PIECES)
    )
    for _ in range(10_000):
        here.provider.script(Answer(None, pace=PACE))
    environment = here.write({"sage": {"web": {"enabled": True, "port": 8790, "requests": 10_000_000}}})
    with here.troupe("bot", "sage", environment=environment) as process:
        await here.discord.until_ready(account, timeout=30)
        await eventually(lambda: bool(here.status("sage")["web"]))
        yield here.status("sage")["web"], psutil.Process(process.pid)


async def _requests(here: Stage, url: str, process: psutil.Process, count: int) -> None:
    paths = ["/api/health", "/api/chat/sessions?limit=25", f"/api/chat/sessions/{LONG}/messages?limit=50"]
    async with httpx2.AsyncClient(base_url=url) as client:
        answers = {path.partition("?")[0]: (await client.get(path)).json() for path in paths}
    file = here.folder / "answers.json"
    file.write_text(json.dumps(answers))
    log = here.folder / "bare-web.log"
    with running(["-m", "benchmarks.web_bare", str(file)], log, {}) as bare:
        await eventually(lambda: log.read_text().strip().isdigit())
        urls = {"troupe": url, "bare": f"http://127.0.0.1:{log.read_text().strip()}"}
        print(f"{'':>46} {'requests/s':>12} {'p99, ms':>9}   ratio of rates, of p99")
        for path in paths:
            rates: dict[str, list[float]] = {"troupe": [], "bare": []}
            late: dict[str, list[float]] = {"troupe": [], "bare": []}
            for _ in range(ROUNDS):
                for name, at in urls.items():
                    rate, taken = await _load(at, path, count // ROUNDS)
                    rates[name].append(rate)
                    late[name].append(_tail(taken))
            for name in urls:
                ratio = ""
                if name == "bare":
                    mine, theirs = statistics.median(rates["troupe"]), statistics.median(rates["bare"])
                    later = statistics.median(late["troupe"]) / statistics.median(late["bare"])
                    ratio = f"{mine / theirs:8.2f} {later:8.2f}"
                told = f"{statistics.median(rates[name]):12.0f} {statistics.median(late[name]) * 1e3:9.1f}"
                print(f"{path[:38]:>38} {name:>7} {told}   {ratio}", flush=True)
        ours, theirs = memory(process.pid)[0], memory(bare.pid)[0]
        print(f"memory, MiB (PSS): the whole bot {ours:.1f}, the bare app {theirs:.1f}: {ours / theirs:.2f}")


async def _load(url: str, path: str, count: int) -> tuple[float, list[float]]:
    """Requests a second over kept connections, and the seconds that each took."""
    host, port = url.removeprefix("http://").split(":")
    asked = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
    left, taken = [count], list[float]()

    async def one() -> None:
        reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 20)
        while left[0] > 0:
            left[0] -= 1
            began = time.perf_counter()
            writer.write(asked)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"{path}: {head.splitlines()[0].decode()}")
            size = next(line for line in head.lower().splitlines() if line.startswith(b"content-length:"))
            await reader.readexactly(int(size.partition(b":")[2]))
            taken.append(time.perf_counter() - began)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return count / (time.perf_counter() - began), taken


async def _turns(url: str, idle: int, streams: int) -> None:
    """An answer is asked for again and again while others are there."""
    async with httpx2.AsyncClient(base_url=url, timeout=60, limits=httpx2.Limits(max_connections=400)) as client:
        alone = await _asked(client, 15)
        _tell("nobody else there", alone, alone)
        async with AsyncExitStack() as there:
            lines = [await there.enter_async_context(_listening(url)) for _ in range(idle)]
            drains = [asyncio.create_task(_drained(each)) for each in lines]
            _tell(f"{idle} live clients, who hear it all", alone, await _asked(client, 15))
            talks = [asyncio.create_task(_talk(client)) for _ in range(streams)]
            await asyncio.sleep(3)
            _tell(f"and {streams} answers streamed at once", alone, await _asked(client, 15))
            for task in (*drains, *talks):
                task.cancel()
            await asyncio.gather(*drains, *talks, return_exceptions=True)


@asynccontextmanager
async def _listening(url: str) -> AsyncIterator[ClientConnection]:
    """A live client that listens to a session in which nothing happens."""
    async with connect(f"{url.replace('http', 'ws')}/api/live", max_queue=None) as line:
        await line.send(json.dumps({"do": "watch", "sessions": [LONG], "channels": []}))
        yield line


async def _drained(line: ClientConnection) -> None:
    async for _ in line:
        pass


async def _talk(client: httpx2.AsyncClient) -> None:
    while True:
        await _answered(client, LONGER)


async def _asked(client: httpx2.AsyncClient, times: int) -> tuple[list[float], list[float]]:
    firsts, wholes = [], []
    for _ in range(times):
        first, whole = await _answered(client)
        firsts.append(first)
        wholes.append(whole)
    return firsts, wholes


async def _answered(client: httpx2.AsyncClient, text: str = "go on") -> tuple[float, float]:
    """Seconds to the first words, and to the whole answer, in a session of its own."""
    session = (await client.post("/api/chat/sessions", json={})).json()["id"]
    began, first = time.perf_counter(), 0.0
    accept = {"Accept": "text/event-stream"}
    async with client.stream(
        "POST", f"/api/chat/sessions/{session}/messages", json={"text": text}, headers=accept
    ) as told:
        async for line in told.aiter_lines():
            if line == "event: delta" and not first:
                first = time.perf_counter() - began
            if line == "event: done":
                break
    return first, time.perf_counter() - began


def _tell(name: str, alone: tuple[list[float], list[float]], now: tuple[list[float], list[float]]) -> None:
    cells = []
    for what, before, after in (("first words", alone[0], now[0]), ("whole answer", alone[1], now[1])):
        ratio = statistics.median(after) / statistics.median(before)
        cells.append(
            f"{what} p50 {statistics.median(after) * 1e3:7.1f} ms, p99 {_tail(after) * 1e3:7.1f} ({ratio:5.2f})"
        )
    print(f"{name:>38}: {'; '.join(cells)}", flush=True)


async def _pages(url: str, messages: int) -> None:
    """The newest page of a long session, and the way back through a part of it."""
    async with httpx2.AsyncClient(base_url=url, timeout=60) as client:
        taken, cursor = list[float](), None
        for _ in range(100):
            began = time.perf_counter()
            more: dict[str, Any] = {"cursor": cursor} if cursor else {}
            page = (
                await client.get(f"/api/chat/sessions/{LONG}/messages", params={"limit": 100, "html": "true", **more})
            ).json()
            taken.append(time.perf_counter() - began)
            cursor = page["older"]
            if cursor is None:
                break
    first, middle, late = (f"{each * 1e3:.1f}" for each in (taken[0], statistics.median(taken), _tail(taken)))
    print(f"pages of 100 with html, of {messages} messages: first {first} ms, p50 {middle}, p99 {late}")


def _tail(taken: Sequence[float]) -> float:
    ordered = sorted(taken)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


if __name__ == "__main__":
    asyncio.run(main())
