"""Messages that stand in a source more than once are taken once, and it is told where they stand again."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator

from ..model import Message
from . import Refused, Spot, Taken

_LATELY = 10_000
"""How many messages back one may be to be known again; messages come in the order of time."""


class Once:
    """Told the messages of a channel or session, it lets each through once, by its id and its origin.

    What comes again from another file, such as a second export or a copy that a program keeps, is told of in one
    sentence for each file; what comes again from the same one, or says something else, with its place."""

    def __init__(self) -> None:
        self._lately: OrderedDict[str, tuple[Spot, int]] = OrderedDict()
        self._again: list[Refused] = []
        self._copied: Counter[tuple[str, str]] = Counter()

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
        """How many came again from other files, once everything was read."""
        for (file, first), many in self._copied.items():
            they = "message of it stands" if many == 1 else "messages of it stand"
            yield Refused(Spot(file), f"{many:,} {they} in {_place(Spot(first))} already.", again=True)

    def _met(self, message: Message, spot: Spot) -> bool:
        names = [name for name in (message.id, message.origin) if name]
        met = next((self._lately[name] for name in names if name in self._lately), None)
        said = hash(message.words)
        for name in names:
            self._lately[name] = met or (spot, said)
            self._lately.move_to_end(name)
        while len(self._lately) > 2 * _LATELY:
            self._lately.popitem(last=False)
        if met is None:
            return False
        first, words = met
        if words != said:
            why = f"A message of the same id was taken already, from {_place(first)}, and this one says something else."
            self._again.append(Refused(spot, why))
        elif first.file != spot.file:
            self._copied[spot.file, first.file] += 1
        else:
            self._again.append(Refused(spot, f"The message was taken already, from {_place(first)}.", again=True))
        return True


def _place(spot: Spot) -> str:
    place = f", line {spot.line}" if spot.line is not None else f", {spot.item}" if spot.item else ""
    return "".join(c if c.isprintable() else "?" for c in spot.file)[:120] + place
