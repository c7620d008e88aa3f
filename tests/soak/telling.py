"""How a simulated day is lived from the command line: in a folder of its own, which stays where something is wrong."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol


class Figures(Protocol):
    """What a day was like, in a line."""

    findings: list[str]


def tell(name: str, length: str, day: Callable[[Path], Coroutine[Any, Any, Figures]]) -> None:
    """Lives a day and prints what it was like. Exits with 1 when there are findings; the folder stays then."""
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # it tells of every bot that hung up
    folder = Path(tempfile.mkdtemp(prefix=f"troupe-{name}-"))
    figures = asyncio.run(day(folder))
    for finding in figures.findings:
        print(finding)
    print(f"{length}: {figures}" + (f", in {folder}" if figures.findings else ""))
    if figures.findings:
        sys.exit(1)
    shutil.rmtree(folder)
