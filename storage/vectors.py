"""Nearest neighbours: vectors in memory, compared all at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from .records import Vector

if TYPE_CHECKING:
    import numpy as np

_FIRST = 256


class Neighbours:
    """Vectors of one model by number, each for one audience; their lengths count for nothing."""

    def __init__(self, dimensions: int) -> None:
        import numpy as np  # 10 MB, for those who have vectors

        self._rows = np.empty((_FIRST, dimensions), np.float32)
        self._numbers = np.empty(_FIRST, np.int64)
        self._audiences = np.empty(_FIRST, np.int32)
        self._codes: dict[str, int] = {}
        self._count = 0

    def add(self, entries: Sequence[tuple[int, str, bytes]]) -> None:
        """Takes in vectors as (number, audience, 32-bit floats); one of another length, or that points nowhere, is
        left out."""
        import numpy as np

        fitting = [entry for entry in entries if len(entry[2]) == self._rows.shape[1] * 4 and any(entry[2])]
        if not fitting:
            return
        self._make_room(self._count + len(fitting))
        new = np.frombuffer(b"".join(data for _, _, data in fitting), "<f4").reshape(len(fitting), -1)
        where = slice(self._count, self._count + len(fitting))
        self._rows[where] = new / np.linalg.norm(new, axis=1, keepdims=True)
        self._numbers[where] = [number for number, _, _ in fitting]
        self._audiences[where] = [self._codes.setdefault(audience, len(self._codes)) for _, audience, _ in fitting]
        self._count += len(fitting)

    def nearest(self, vector: Vector, audiences: Collection[str]) -> Iterator[list[tuple[int, float]]]:
        """The numbers of these audiences' vectors with the cosine of the angle to `vector`, nearest first, in
        stretches of growing length. The audience is asked for first."""
        import numpy as np

        asked = np.asarray(vector.values, np.float32)
        length = float(np.linalg.norm(asked))
        codes = [self._codes[audience] for audience in audiences if audience in self._codes]
        if len(asked) != self._rows.shape[1] or not codes or not length:
            return
        mine = np.flatnonzero(np.isin(self._audiences[: self._count], codes))
        if len(mine) * 4 < self._count:
            likeness = self._rows[mine] @ (asked / length)
        else:  # copying most of the rows would cost more than the products
            likeness = (self._rows[: self._count] @ (asked / length))[mine]
        yield from self._best_first(likeness, mine)

    def forget(self, number: int) -> None:
        """Leaves a vector out from now on."""
        import numpy as np

        self._audiences[np.flatnonzero(self._numbers[: self._count] == number)] = -1

    def _best_first(self, likeness: np.ndarray, rows: np.ndarray) -> Iterator[list[tuple[int, float]]]:
        import numpy as np

        seen, wanted = 0, 32
        while seen < len(rows):
            wanted = min(wanted, len(rows))
            least = np.partition(likeness, len(rows) - wanted)[len(rows) - wanted]
            top = np.flatnonzero(likeness >= least)  # and all its equals: the next stretch begins behind them
            top = top[np.lexsort((self._numbers[rows[top]], -likeness[top]))]
            yield [(int(self._numbers[rows[place]]), float(likeness[place])) for place in top[seen:]]
            seen, wanted = len(top), wanted * 8

    def _make_room(self, count: int) -> None:
        import numpy as np

        if count <= len(self._rows):
            return
        size = max(count, len(self._rows) * 3 // 2)
        for name in ("_rows", "_numbers", "_audiences"):
            old = getattr(self, name)
            new = np.empty((size, *old.shape[1:]), old.dtype)
            new[: self._count] = old[: self._count]
            setattr(self, name, new)
