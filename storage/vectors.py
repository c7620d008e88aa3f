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


def half(values: Sequence[float]) -> bytes:
    """A vector of length 1 as 16-bit floats: half the room, and the same neighbours."""
    import numpy as np

    vector = np.asarray(values, np.float32)
    return bytes((vector / (float(np.linalg.norm(vector)) or 1.0)).astype("<f2").tobytes())


def whole(vectors: Sequence[bytes]) -> np.ndarray:
    """Vectors of one length, as `half` writes them, as the rows of a matrix."""
    import numpy as np

    return np.frombuffer(b"".join(vectors), "<f2").reshape(len(vectors), -1).astype(np.float32)


class Sketches:
    """One bit a dimension of many vectors of one embedder, by number: those that may be near are found among them
    quickly; how near they are, the vectors themselves say. Each audience's lie by themselves."""

    def __init__(self, embedder: str, dimensions: int) -> None:
        self.embedder = embedder
        self.dimensions = dimensions
        self._of: dict[int, _Sketched] = {}
        self._audience: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._audience)

    def add(self, vectors: Sequence[tuple[int, int, bytes]]) -> None:
        """Takes in vectors as (number, audience, what `half` writes); those of another length are left out."""
        import numpy as np

        fitting = [vector for vector in vectors if len(vector[2]) == 2 * self.dimensions]
        if not fitting:
            return
        new = np.frombuffer(b"".join(data for _, _, data in fitting), "<f2").reshape(len(fitting), -1)
        bits = _bits(new)
        rows: dict[int, dict[int, int]] = {}
        for row, (number, audience, _) in enumerate(fitting):
            self.forget(number)
            rows.setdefault(audience, {})[number] = row
        for audience, some in rows.items():
            self._of.setdefault(audience, _Sketched(bits.shape[1])).add([*some], bits[[*some.values()]])
            self._audience.update(dict.fromkeys(some, audience))

    def forget(self, number: int) -> None:
        """Leaves a vector out from now on."""
        if (audience := self._audience.pop(number, None)) is not None:
            self._of[audience].remove(number)
            if not self._of[audience].rows:
                del self._of[audience]

    def near(self, vector: Sequence[float], audiences: Collection[int], limit: int) -> list[int]:
        """The numbers of those of these audiences that may be nearest, in no order."""
        import numpy as np

        mine = [self._of[audience] for audience in audiences if audience in self._of]
        if len(vector) != self.dimensions or not mine:
            return []
        (asked,) = _bits(np.asarray([vector], np.float32))
        apart = [each.apart(asked) for each in mine]
        # Counting how many are how far apart is quicker than sorting them.
        counts = np.cumsum(np.bincount(apart[0] if len(apart) == 1 else np.concatenate(apart)))
        far = int(np.searchsorted(counts, limit))
        near = [each.numbers[distance < far] for each, distance in zip(mine, apart, strict=True)]
        near += [each.numbers[distance == far] for each, distance in zip(mine, apart, strict=True)]
        found: list[int] = np.concatenate(near)[:limit].tolist()
        return found


class _Sketched:
    """The sketches of one audience, side by side without a gap: what goes makes room for the last one."""

    def __init__(self, columns: int) -> None:
        import numpy as np

        self._bits = np.zeros((columns, 8), np.uint64)
        """Column by column, 64 dimensions in a number."""
        self._numbers = np.zeros(8, np.int64)
        self.rows: dict[int, int] = {}

    @property
    def numbers(self) -> np.ndarray:
        return self._numbers[: len(self.rows)]

    def add(self, numbers: Sequence[int], bits: np.ndarray) -> None:
        first, end = len(self.rows), len(self.rows) + len(numbers)
        if end > len(self._numbers):
            self._resize(end * 3 // 2)
        self._bits[:, first:end], self._numbers[first:end] = bits.T, numbers
        self.rows.update(zip(numbers, range(first, end), strict=True))

    def remove(self, number: int) -> None:
        row, last = self.rows.pop(number), len(self.rows)
        if row != last:
            self._bits[:, row], self._numbers[row] = self._bits[:, last], self._numbers[last]
            self.rows[int(self._numbers[row])] = row
        if 8 <= last < len(self._numbers) // 4:
            self._resize(2 * last)

    def apart(self, asked: np.ndarray) -> np.ndarray:
        """In how many dimensions each differs from what is asked."""
        import numpy as np

        apart = np.zeros(len(self.rows), np.uint16)
        for column, bits in zip(self._bits, asked, strict=True):
            apart += np.bitwise_count(column[: len(apart)] ^ bits)
        return apart

    def _resize(self, size: int) -> None:
        import numpy as np

        there = len(self.rows)
        bits, numbers = np.zeros((len(self._bits), size), np.uint64), np.zeros(size, np.int64)
        bits[:, :there], numbers[:there] = self._bits[:, :there], self._numbers[:there]
        self._bits, self._numbers = bits, numbers


def _bits(vectors: np.ndarray) -> np.ndarray:
    """A row for each vector, 64 dimensions in a number."""
    import numpy as np

    bits = np.packbits(vectors > 0, axis=1)
    padded = np.zeros((len(vectors), (bits.shape[1] + 7) // 8 * 8), np.uint8)
    padded[:, : bits.shape[1]] = bits
    return padded.view(np.uint64)
