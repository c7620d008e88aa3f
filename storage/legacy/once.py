"""Messages that stand in a source more than once are taken once, and it is told where they stand again."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator

from ..model import Message
from . import Refused, Spot, Taken

_LATELY = 10_000
"""How many messages back one may be to be known again; messages come in the order of time."""


class Once:
    """Told the messages of a channel or session, it lets each through once, by its id and its origin."""

    def __init__(self, copies: Iterable[str] = ()) -> None:
        """`copies` are files in which a program keeps a second copy of what stands elsewhere: what comes again there is
        told of in one sentence for each file."""
        self._copies = frozenset(copies)
        self._lately: OrderedDict[str, Spot] = OrderedDict()
        self._again: list[Refused] = []
        self._copied: Counter[str] = Counter()

    def lines(self, lines: Iterable[Taken]) -> Iterator[Taken]:
        """Those that come for the first time."""
        for line in lines:
            if isinstance(line.item, Message) and not self._met(line.item, line.spot):
                yield line

    def refused(self) -> Iterator[Refused]:
        """Those that came again since this was last asked."""
        again, self._again = self._again, []
        yield from again

    def copied(self) -> Iterator[Refused]:
        """What came again in copies, once everything was read."""
        for file, many in self._copied.items():
            yield Refused(Spot(file), f"{many} of its messages were taken already, from the session's other files.")

    def _met(self, message: Message, spot: Spot) -> bool:
        names = [name for name in (message.id, message.origin) if name]
        first = next((self._lately[name] for name in names if name in self._lately), None)
        for name in names:
            self._lately[name] = first or spot
            self._lately.move_to_end(name)
        while len(self._lately) > 2 * _LATELY:
            self._lately.popitem(last=False)
        if first is not None and spot.file in self._copies and first.file != spot.file:
            self._copied[spot.file] += 1
        elif first is not None:
            self._again.append(Refused(spot, f"The message was taken already, from {_place(first)}."))
        return first is not None


def _place(spot: Spot) -> str:
    place = f", line {spot.line}" if spot.line is not None else f", {spot.item}" if spot.item else ""
    return "".join(c if c.isprintable() else "?" for c in spot.file)[:120] + place
