"""Words made into HTML beside everything else: in threads of their own, and some of each person's texts at a time."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from html import escape
from weakref import WeakValueDictionary

LONGEST = 30_000
"""Characters of a text that is read as Markdown: the worst of that length take most of a second. Shorter ones are read
together, up to as many."""
WAITING = 400_000
"""Characters of one person's texts that wait at a time, at most."""
_AT_HAND = 1_000_000
"""Characters of texts, and of the HTML made of them, that are kept for the next who looks at them."""
_THREADS = ThreadPoolExecutor(2, "rendering")


class _Queue:
    """What is to be rendered for one person."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.waiting = 0


class _AtHand:
    """What was rendered lately."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._html: OrderedDict[str, str] = OrderedDict()
        self._size = 0

    def get(self, text: str) -> str | None:
        html = self._html.get(text)
        if html is not None:
            self._html.move_to_end(text)
        return html

    def keep(self, text: str, html: str) -> None:
        if text not in self._html:
            self._html[text] = html
            self._size += len(text) + len(html)
        while self._size > self._most:
            self._size -= sum(map(len, self._html.popitem(last=False)))


class Rendering:
    """Words made into HTML, for many people."""

    def __init__(self, render: Callable[[list[str]], list[str]], at_hand: int = _AT_HAND) -> None:
        """`render` is called in a thread. The HTML of texts is kept, and the texts, up to `at_hand` characters."""
        self._render = render
        self._at_hand = _AtHand(at_hand)
        self._queues: WeakValueDictionary[str, _Queue] = WeakValueDictionary()

    async def each(self, person_id: str, texts: Sequence[str]) -> list[str | None]:
        """As `html_of_each` says."""
        told: dict[str, str | None] = {}
        missing = list[str]()
        queue = self._queues.setdefault(person_id, _Queue())
        for text in dict.fromkeys(texts):
            if len(text) > LONGEST:
                told[text] = '<p dir="auto">' + escape(text).replace("\n", "<br>\n") + "</p>"
                continue
            told[text] = self._at_hand.get(text)
            if told[text] is None and queue.waiting + len(text) <= WAITING:
                queue.waiting += len(text)
                missing.append(text)
        waiting = deque(_together(missing))
        try:
            while waiting:
                async with queue.turn:
                    for text, html in zip(waiting[0], await self._in_its_thread(waiting[0]), strict=True):
                        told[text] = html
                        self._at_hand.keep(text, html)
                queue.waiting -= sum(map(len, waiting.popleft()))
        finally:
            queue.waiting -= sum(len(text) for some in waiting for text in some)
        return [told[text] for text in texts]

    async def _in_its_thread(self, texts: list[str]) -> list[str]:
        """Whoever gives up waits for what has begun, so that nobody has two under way."""
        running = asyncio.get_running_loop().run_in_executor(_THREADS, self._render, texts)
        try:
            return await asyncio.shield(running)
        finally:
            while not running.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([running])


async def html_of(person_id: str, text: str) -> str | None:
    """Words as HTML that can do nothing, a very long text as it was written. None where so much waits for that person
    already that this one is not rendered."""
    return (await html_of_each(person_id, (text,)))[0]


async def html_of_each(person_id: str, texts: Sequence[str]) -> list[str | None]:
    """The same for several, in order; those that are short are rendered together."""
    return await _rendering.each(person_id, texts)


def _together(texts: list[str]) -> Iterator[list[str]]:
    some, size = list[str](), 0
    for text in texts:
        if some and size + len(text) > LONGEST:
            yield some
            some, size = [], 0
        some.append(text)
        size += len(text)
    if some:
        yield some


def _rendered(texts: list[str]) -> list[str]:
    from .rendered import rendered  # what colours code takes a moment to load, and is seldom asked for

    return [rendered(text) for text in texts]


_rendering = Rendering(_rendered)
