"""What keeping talk costs, beside what people use instead, in the same run: ratios, with targets and verdicts.

    python -m benchmarks.storage [part ...] [--quick] [--root FOLDER]

Parts: many alone steady reading search size memory files postgres backup vectors upgrade. The peers come with
`pip install openai-agents aiosqlite`, into the same environment; one that is missing is skipped. A million messages
are built once and kept in the root for the next run: remove the folder to have them built anew.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import platform
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from storage.errors import StorageError

from . import storage_others, storage_reading, storage_upkeep, storage_writing
from .storage_ruler import Bench, Report, middle

Part = Callable[[Bench], Awaitable[None]]
PARTS: dict[str, Part] = {
    "many": storage_writing.many,
    "alone": storage_writing.alone,
    "steady": storage_writing.steady,
    "reading": storage_reading.reading,
    "search": storage_reading.search,
    "size": storage_reading.size,
    "memory": storage_upkeep.memory,
    "files": storage_others.files,
    "postgres": storage_others.postgres,
    "backup": storage_upkeep.backup,
    "vectors": storage_others.vectors,
    "upgrade": storage_upkeep.upgrade,
}
IN_MEMORY = ("tmpfs", "ramfs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it works; judge nothing by it")
    parser.add_argument("--root", type=Path, default=Path(tempfile.gettempdir()) / "troupe-storage-benchmark")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    options.root.mkdir(parents=True, exist_ok=True)
    if (kind := _file_system(options.root)) in IN_MEMORY:
        parser.error(f"{options.root} is on {kind}, where a commit costs nothing: give --root a folder on a disk")
    sys.setswitchinterval(0.0002)  # as bots do
    bench = Bench(options.root, Report(), quick=options.quick)
    _print_conditions(bench, kind)
    for part in options.parts or PARTS:
        started = time.perf_counter()
        bench.report.head(part)
        gc.collect()
        try:
            asyncio.run(_run(PARTS[part], bench))
        except StorageError as error:
            bench.report.fail(str(error))
        print(f"  ({time.perf_counter() - started:.0f} s)", flush=True)
    bench.report.sum_up()


async def _run(part: Part, bench: Bench) -> None:
    await part(bench)


def _print_conditions(bench: Bench, kind: str) -> None:
    syncs = middle(_sync_times(bench.root / "sync.probe"))
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; CPython "
        f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}; {bench.root} on {kind}, "
        f"fdatasync {syncs * 1e3:.2f} ms"
    )
    print(
        "150 characters a message, full-text index on, synchronous=FULL; every append is awaited until it is committed."
    )
    if bench.quick:
        print("QUICK: small numbers, to see that it works; judge nothing by them.")


def _sync_times(probe: Path) -> list[float]:
    """Seconds of a hundred small writes that were made durable."""
    taken = []
    with probe.open("wb", buffering=0) as file:
        for _ in range(100):
            started = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - started)
    probe.unlink()
    return taken


def _file_system(folder: Path) -> str:
    """The kind of the file system a folder is on, `?` where the machine does not say."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "?"
    holding = [(len(point), kind) for point, kind in mounts if folder.resolve().is_relative_to(point)]
    return max(holding, default=(0, "?"))[1]


if __name__ == "__main__":
    main()
