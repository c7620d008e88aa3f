"""A million messages as JSON, Markdown and a web page: how fast, in how much memory, beside reading them alone.

python -m benchmarks.export [--messages 1000000]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import multiprocessing
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from storage.backends.sqlite import SqliteStore
from storage.exports import Export, Form
from storage.exports.exported import exported
from storage.exports.transcript import Wanted, transcript
from storage.sought import EVERYTHING

from .storage_talk import Talk

FORMS: tuple[Form, ...] = ("json", "md", "html")


def main() -> None:
    """Prints one line for reading alone and for each form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    many = parser.parse_args().messages
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        asyncio.run(_fill(folder, many))
        alone = 0.0
        for what in ("reading", *FORMS):
            with multiprocessing.get_context("spawn").Pool(1) as apart:
                seconds, peak, size = apart.apply(measured, (folder, what))
            alone = alone or seconds
            took = f"{many / seconds:>9,.0f} messages/s  {seconds / alone:5.1f} x reading  {peak:4.0f} MiB at most"
            print(f"{what:8} {took}  {size / 2**20:,.0f} MiB written", flush=True)


async def _fill(folder: Path, many: int) -> None:
    store = await SqliteStore.open(folder, "sage")
    lines = Talk(1).big(many)
    while some := list(itertools.islice(lines, 1000)):
        await asyncio.gather(*(store.append(*line) for line in some))
    await store.close()


def measured(folder: Path, what: str) -> tuple[float, float, int]:
    """Seconds, the process's peak of memory in MiB, and bytes made."""
    seconds, size = asyncio.run(_timed(folder, what))
    status = Path("/proc/self/status").read_text()  # what getrusage says begins with the parent's peak
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return seconds, peak / 1024, size


async def _timed(folder: Path, what: str) -> tuple[float, int]:
    store = await SqliteStore.open(folder, "sage")
    size, began = 0, time.perf_counter()
    if what == "reading":
        async for _, pages in transcript(store, Wanted(EVERYTHING)):
            async for _ in pages:
                pass
    for form in (form for form in get_args(Form) if form == what):
        at = datetime(2026, 1, 1, tzinfo=UTC)
        async for piece in exported(Export(store, None, form, "sage", at)):
            size += len(piece)
    seconds = time.perf_counter() - began
    await store.close()
    return seconds, size


if __name__ == "__main__":
    main()
