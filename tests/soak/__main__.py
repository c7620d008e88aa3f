"""The command: `python -m tests.soak --backend sqlite --rounds 1000 --seed 7`."""

from __future__ import annotations

import argparse
import gc
import importlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .damage import Damage
from .kills import Kills
from .pair import Pair
from .talk import Backend, Place

if TYPE_CHECKING:
    from tests.postgres import Server

_FAULTS = "kill -9 under load; two processes on one SQLite file; files that are flipped, cut and deleted"
_WHERE = {"kill": ("sqlite", "file", "postgres"), "pair": ("sqlite",), "damage": ("sqlite", "file")}
REPORT = 50
"""Rounds between two lines of progress."""


def main() -> None:
    """Exits with 1 when there are findings; the root they were made in stays then."""
    asked = _asked()
    root = asked.root or Path(tempfile.mkdtemp(prefix="troupe-soak-"))
    with _place(asked.backend, root) as (place, server):
        soak = _soak(asked.fault, place, asked.seed, server)
        start, round = time.monotonic(), 0
        while round < asked.rounds and not soak.findings:
            round += 1
            soak.round(round)
            if round % REPORT == 0:
                print(f"{round} rounds, {soak.acknowledged} messages acknowledged", flush=True)
        soak.read_everything()
    for finding in soak.findings:
        print(finding)
    print(
        f"{asked.backend}, seed {asked.seed}: {round} rounds, {soak.acknowledged} messages acknowledged, "
        f"{len(soak.findings)} findings, {time.monotonic() - start:.0f} s" + (f", in {root}" if soak.findings else "")
    )
    if soak.findings:
        sys.exit(1)
    if asked.root is None:
        shutil.rmtree(root)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Breaks a store and looks what is left.")
    parser.add_argument("--backend", choices=("sqlite", "file", "postgres"), default="sqlite")
    parser.add_argument("--fault", choices=("kill", "pair", "damage"), default="kill", help=_FAULTS)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7, help="the same seed, the same moments, as far as can be")
    parser.add_argument("--root", type=Path, help="an empty folder (default: a temporary one)")
    asked = parser.parse_args()
    if asked.backend not in _WHERE[asked.fault]:
        parser.error(f"the fault {asked.fault} is played on {' and '.join(_WHERE[asked.fault])} only")
    return asked


def _soak(fault: str, place: Place, seed: int, server: Server | None) -> Kills | Pair | Damage:
    if fault == "pair":
        return Pair(place)
    return Damage(place, seed) if fault == "damage" else Kills(place, seed, server)


@contextmanager
def _place(backend: Backend, root: Path) -> Iterator[tuple[Place, Server | None]]:
    """Where the store is, and the server under it, which is ours to kill."""
    if backend != "postgres":
        importlib.import_module(f"storage.backends.{'files' if backend == 'file' else backend}")  # before the forks
        gc.freeze()
        yield Place(backend, root), None
        return
    from tests.postgres import Server

    importlib.import_module("storage.backends.postgres")
    gc.freeze()
    server = Server()
    try:
        yield Place(backend, root, server.url), server
    finally:
        server.remove()


if __name__ == "__main__":
    main()
