"""What every bot process needs, imported once in the parent that bots are forked from.

multiprocessing's forkserver imports this module before its first fork. Memory that nobody writes to stays shared,
so five bots with both SDKs cost a third of five plain processes. That only works if nothing here starts a loop, a
thread or a client, and if the collector never walks these objects again: hence the freeze at the end.

The forkserver swallows import errors, so what happened is kept in `LOADED` and told by `tell` to whoever asks.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import threading
from dataclasses import asdict, dataclass

VARIABLE = "TROUPE_PRELOAD"
"""Names the parts a fleet uses (`discord,openai`); unset means this is not a forkserver and nothing is done."""
PARTS = {
    "discord": ("discord", "bots.discord.client"),
    "openai": ("openai", "bots.providers.openai"),
    "anthropic": ("anthropic", "bots.providers.anthropic"),
    "sqlite": ("storage.backends.sqlite",),
    "file": ("storage.backends.files",),
    "postgres": ("storage.backends.postgres",),
    "web": ("fastapi", "uvicorn", "bots.web.server"),
}
ALWAYS = ("bots.process", "bots.wiring")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a preload brought about; `pid` tells a forkserver's own preload from a repeat in its child."""

    pid: int
    modules: tuple[str, ...]
    problems: tuple[str, ...]
    frozen: int


def load(parts: str) -> Loaded:
    """Imports everything for these parts; a module that fails is a problem to report, never an end."""
    _deafen()
    modules, problems = [], []
    for name in _wanted(parts):
        try:
            importlib.import_module(name)
            modules.append(name)
        except Exception as error:
            problems.append(f"{name}: {type(error).__name__}: {error}")
    if threading.active_count() > 1:
        problems.append(f"an import started a thread: {', '.join(thread.name for thread in threading.enumerate())}")
    gc.collect()
    gc.freeze()
    return Loaded(os.getpid(), tuple(modules), tuple(problems), gc.get_freeze_count())


def _deafen() -> None:
    """Signals meant for the supervisor reach its whole process group; the forkserver outlives them all and ends
    when the supervisor and the last bot have closed its pipe."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _wanted(parts: str) -> list[str]:
    named = [name for part in parts.split(",") for name in PARTS.get(part, ())]
    return [*named, *ALWAYS]


def tell(pipe: socket.socket) -> None:
    """Runs in a first forked process: says over the pipe how the preload went."""
    shared = LOADED is not None and LOADED.pid == os.getppid()
    unshared = Loaded(os.getpid(), (), ("bots.preload itself could not be imported there",), 0)
    with pipe:
        pipe.sendall(json.dumps(asdict(LOADED if shared and LOADED else unshared)).encode() + b"\n")


LOADED = load(os.environ[VARIABLE]) if VARIABLE in os.environ else None
