"""Work in a short-lived process of its own: bounded in memory and time, and gone when whoever asked is gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from weakref import WeakKeyDictionary

from ..durable import in_thread
from ..errors import StorageError

_MEMORY = 3 << 30
"""Bytes of address space, of which fonts take half a gigabyte without being read."""
_LARGEST = 1 << 30
"""Bytes of a file that it may write."""
_GRACE = 5
"""Seconds of processor time between the signal that names the limit and the one that ends everything."""
_TOLD = "told.json"
_TURNS: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
"""One at a time: several at once would take several times the memory."""
_LESS = "take fewer sessions, leave the images out, or take html instead."
_SURROUNDINGS = {"RAYON_NUM_THREADS": "2", "MALLOC_ARENA_MAX": "2", "LC_ALL": "C.UTF-8"}
"""A machine of many cores would reserve memory for a thread on each."""


async def apart(module: str, folder: Path, *, seconds: int) -> list[str]:
    """Has the `main` of a module of this package do its work in a folder, and gives back what it noted.

    One such work is done at a time, the others wait for their turn. It sees nothing of this process: no environment, no
    open files. Raises `StorageError` with what went wrong, or when it took too long or too much; it is killed when this
    is given up."""
    async with _TURNS.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(1)):
        return await _apart(module, folder, seconds)


async def _apart(module: str, folder: Path, seconds: int) -> list[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-c",
        f"from {__package__}.{module} import main; main()",
        str(folder),
        str(seconds),
        stdin=asyncio.subprocess.PIPE,  # which it sees closing when this process is gone
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=folder,
        env=_SURROUNDINGS | {"PYTHONPATH": os.pathsep.join(_importable()), "HOME": os.path.expanduser("~")},
    )
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        raise StorageError(f"The document was not made within {seconds} seconds: {_LESS}") from None
    finally:
        await _ended(process)
    told = await in_thread(_told, folder)
    if told is None:
        raise StorageError(_ended_by(process.returncode or 0, seconds))
    if error := told.get("error"):
        raise StorageError(error[0])
    return told.get("notes", [])


def _ended_by(code: int, seconds: int) -> str:
    """What is to be said of work that left no word."""
    if code == -signal.SIGXCPU:
        return f"The document needs more than the {2 * seconds} seconds of processor time that it may take: {_LESS}"
    if code == -signal.SIGKILL:
        return (
            "The process that made the document was killed from outside, as happens where the machine runs out of "
            f"memory: try again, or {_LESS}"
        )
    return f"The document needs more than the {_MEMORY >> 30} GiB of memory that it may take: {_LESS}"


def working(work: Callable[[Path], Iterable[str]]) -> None:
    """What such a `main` does: works in the folder within the limits, and leaves what it noted, or what went wrong."""
    folder, seconds = Path(sys.argv[1]), int(sys.argv[2])
    threading.Thread(target=_leave_with_the_asker, args=(folder,), daemon=True).start()
    limits = (
        (resource.RLIMIT_AS, _MEMORY, 0),
        (resource.RLIMIT_CPU, 2 * seconds, _GRACE),
        (resource.RLIMIT_FSIZE, _LARGEST, 0),
    )
    for kind, most, grace in limits:
        with contextlib.suppress(OSError, ValueError):  # not every system has every limit, or lets it be lowered
            resource.setrlimit(kind, (most, most + grace))
    try:
        told = {"notes": list(work(folder))}
    except MemoryError:
        return
    except StorageError as error:
        told = {"error": [str(error)]}
    except Exception as error:
        told = {"error": [f"The document could not be made ({type(error).__name__}: {str(error)[:300]})."]}
    (folder / _TOLD).write_text(json.dumps(told), encoding="utf-8")


def _importable() -> list[str]:
    """Where this package is, and everything that it needs."""
    return [str(Path(__file__).parents[2]), *(path for path in sys.path if path)]


async def _ended(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        if process.returncode is None:
            process.kill()
    ending = asyncio.ensure_future(process.wait())
    while not ending.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([ending])
    if process.stdin is not None:
        process.stdin.close()


def _told(folder: Path) -> dict[str, list[str]] | None:
    with contextlib.suppress(OSError, ValueError):
        told: dict[str, list[str]] = json.loads((folder / _TOLD).read_text(encoding="utf-8"))
        return told
    return None


def _leave_with_the_asker(folder: Path) -> None:
    sys.stdin.buffer.read()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)
