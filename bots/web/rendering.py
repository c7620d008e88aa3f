"""Words made into HTML beside everything else: in threads of their own, and one text of each person at a time."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from html import escape
from weakref import WeakValueDictionary

LONGEST = 30_000
"""Characters of a text that is read as Markdown: the worst of that length take most of a second."""
WAITING = 400_000
"""Characters of one person's texts that wait at a time, at most."""
_THREADS = ThreadPoolExecutor(2, "rendering")


class _Queue:
    """What is to be rendered for one person."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.waiting = 0


_queues: WeakValueDictionary[str, _Queue] = WeakValueDictionary()


async def html_of(person_id: str, text: str) -> str | None:
    """Words as HTML that can do nothing, a very long text as it was written. None where so much waits for that person
    already that this one is not rendered."""
    if len(text) > LONGEST:
        return '<p dir="auto">' + escape(text).replace("\n", "<br>\n") + "</p>"
    queue = _queues.get(person_id) or _queues.setdefault(person_id, _Queue())
    if queue.waiting + len(text) > WAITING:
        return None
    queue.waiting += len(text)
    try:
        async with queue.turn:
            return await _in_its_thread(text)
    finally:
        queue.waiting -= len(text)


async def _in_its_thread(text: str) -> str:
    """Whoever gives up waits for what has begun, so that nobody has two texts under way."""
    running = asyncio.get_running_loop().run_in_executor(_THREADS, _rendered, text)
    try:
        return await asyncio.shield(running)
    finally:
        while not running.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([running])


def _rendered(text: str) -> str:
    from .rendered import rendered  # what colours code takes a moment to load, and is seldom asked for

    return rendered(text)
