"""What a reader gives, some of it at a time, and the next while that is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from itertools import islice

from .durable import in_thread
from .errors import StorageError
from .legacy import Refused, Spot, Taken
from .migration_report import shown
from .progress import Tell

PAGE = 500
"""Items that are given at a time."""


class BrokenOff(StorageError):
    """A reader did not come to the end of a source."""


class Reading:
    """The items of one source on their way; read once."""

    def __init__(self, items: Iterator[Taken | Refused], tell: Tell) -> None:
        self._items, self._tell = items, tell
        self._given = 0
        self.last: Spot | None = None
        """Where the last item that was given stands."""
        self.failure: Exception | None = None
        """What the reader broke off with."""

    async def pages(self) -> AsyncGenerator[list[Taken | Refused], None]:
        """Everything up to the end, or up to where the reader breaks off."""
        coming = asyncio.ensure_future(in_thread(self._read))
        try:
            while True:
                self._tell("reading, items so far", self._given, 0)
                page, self.failure = await coming
                if page:
                    self._given, self.last = self._given + len(page), page[-1].spot
                if not page or self.failure is not None:
                    yield page
                    return
                coming = asyncio.ensure_future(in_thread(self._read))
                yield page
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
            if close := getattr(self._items, "close", None):
                await in_thread(close)

    def _read(self) -> tuple[list[Taken | Refused], Exception | None]:
        page: list[Taken | Refused] = []
        try:
            page.extend(islice(self._items, PAGE))
        except Exception as error:  # whatever is in a source, and whatever is wrong with a reader
            return page, error
        return page, None


def broken_off(reading: Reading, format: str, taken: int | None) -> StorageError | None:
    """What to say where a reader did not come to its end; `taken` is how many messages were, and stay; None where it
    was only tried."""
    failure = reading.failure
    if failure is None or isinstance(failure, StorageError):
        return failure
    after = f"than {shown(reading.last)}" if reading.last else "than its beginning"
    why = "".join(c if c.isprintable() else "?" for c in f"{type(failure).__name__}: {failure}")[:200]
    kept = "Nothing was written" if taken is None else f"{taken:,} new messages were taken until there and stay"
    return BrokenOff(
        f"The source cannot be read as {format} further {after} ({why}). {kept}. What comes next is damaged, or of "
        "a kind that nobody has thought of: mend it or put it elsewhere, or report this sentence, and then do the same "
        "again: it goes on from there."
    )
