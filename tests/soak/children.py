"""Child processes that are forked, listened to and killed: a fork costs milliseconds, an interpreter does not."""

from __future__ import annotations

import os
import select
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from typing import NoReturn

from .talk import Tell

PATIENCE = 60.0
"""Seconds after which a silent child is taken for stuck."""


class Child:
    """A process that runs `work`. What it tells, and what it writes to stderr, comes line by line.

    The parent must have no threads and no event loop: a fork copies only the thread that forks."""

    def __init__(self, work: Callable[[Tell], None]) -> None:
        self._pipe, there = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._pipe)
            _run(work, there)
        os.close(there)
        self._heard: deque[str] = deque()
        """Lines that came together with one at which nobody listened any longer."""
        self._torn = b""
        self._ended = False

    def lines(self, seconds: float) -> Iterator[str]:
        """What it tells from now on, for so long at most, or until it ends."""
        until = time.monotonic() + seconds
        while True:
            while self._heard:
                yield self._heard.popleft()
            if self._ended:
                return
            ready, _, _ = select.select([self._pipe], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                return
            said = os.read(self._pipe, 1 << 16)
            self._ended = not said
            *whole, self._torn = (self._torn + said).split(b"\n")
            self._heard.extend(line.decode() for line in whole)

    def kill(self) -> list[str]:
        """Kills it at once; what it had told, and nobody had heard yet."""
        os.kill(self.pid, signal.SIGKILL)
        return self.end()

    def end(self) -> list[str]:
        """Waits for its end; what it tells until then."""
        left = list(self.lines(PATIENCE))
        if not self._ended:
            os.kill(self.pid, signal.SIGKILL)
            left.append(f"it was silent for {PATIENCE:.0f} seconds")
        os.close(self._pipe)
        os.waitpid(self.pid, 0)
        return left


def _run(work: Callable[[Tell], None], pipe: int) -> NoReturn:
    os.dup2(pipe, 2)

    def tell(*words: object) -> None:
        os.write(pipe, f"{' '.join(map(str, words))}\n".encode())  # one write: a line is there or it is not

    try:
        work(tell)
    except BaseException:
        os.write(pipe, traceback.format_exc().encode())
    finally:
        os._exit(0)
