"""A thread for heavy work that lets whoever is talking go first."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from .durable import in_thread

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")

LESS = 10
"""How nice the thread is. Nicer ones can wait long for a processor just while they hold Python's lock."""


class Aside:
    """One thread for heavy work, which the system lets run when nobody else wants to."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="backup", initializer=_modest)

    async def __aenter__(self) -> Aside:
        return self

    async def __aexit__(self, *error: object) -> None:
        await in_thread(self._thread.shutdown)

    async def run(self, work: Callable[Arguments, Result], *args: Arguments.args, **named: Arguments.kwargs) -> Result:
        """Runs work on the thread; whoever gives up still waits for it."""
        running = asyncio.get_running_loop().run_in_executor(self._thread, partial(work, *args, **named))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise


def _modest() -> None:
    """On Linux this is about the calling thread and those it starts; elsewhere it would slow down the whole bot."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LESS)
