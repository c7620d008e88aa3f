"""Records in SQLite, and which memories are nearest to a vector."""

from __future__ import annotations

import json
import sqlite3
from array import array
from collections.abc import Collection, Mapping
from typing import Any, cast

from ..backend import Kept, Page
from ..model import storable
from ..records import Memory, Vector
from ..vectors import Neighbours
from .cursors import Direction, Key, nothing, written

_RECORD = "SELECT r.at, r.id, r.body, v.model, v.data FROM records AS r LEFT JOIN vectors AS v ON v.memory_id = r.id"
_ONE_VECTOR = " AND r.kind = 'memory'"


def record_page(
    connection: sqlite3.Connection,
    kind: type[Kept],
    given: Mapping[str, Any],
    cursor: tuple[Direction, Key | None],
    limit: int,
) -> Page[Kept]:
    """A page of the records with the given columns, newest first."""
    direction, key = cursor
    where = " AND ".join(f"r.{name} = :{name}" for name in given)

    def select(side: Direction, row: Key | None, what: str, most: int) -> list[Any]:
        sign, order = ("<", "DESC") if side == "older" else (">", "ASC")
        part = f"AND (r.at, r.id) {sign} (:at, :beyond)" if row else ""
        query = f"{what}{_ONE_VECTOR} WHERE {where} {part} ORDER BY r.at {order}, r.id {order} LIMIT :most"
        bounds = dict(zip(("at", "beyond"), row or (), strict=False))
        return connection.execute(query, {**given, **bounds, "most": most}).fetchall()

    rows = select(direction, key, _RECORD, limit)
    if direction == "newer":
        rows.reverse()
    if not rows:
        return nothing(direction, len(select("older", None, _RECORD, 1)))

    def cursor_of(side: Direction, row: Key) -> str | None:
        return written(side, row) if select(side, row, _RECORD, 1) else None

    items = tuple(_record(kind, *row[2:]) for row in rows)
    return Page(items, cursor_of("older", rows[-1][:2]), cursor_of("newer", rows[0][:2]))


def _record(kind: type[Kept], body: str, model: str | None, data: bytes | None) -> Kept:
    told = json.loads(body)
    if data is not None:
        told["vector"] = {"model": model, "values": array("f", data).tolist()}
    return kind.model_validate_json(json.dumps(told))


class Memories:
    """The vectors of all memories, read once and then only what is new; what is gone is noticed when it is found."""

    def __init__(self) -> None:
        self._models: dict[tuple[str, int], Neighbours] = {}
        self._reached = 0

    def nearest(
        self, connection: sqlite3.Connection, vector: Vector, audiences: Collection[str], limit: int
    ) -> list[tuple[Memory, float]]:
        self._catch_up(connection)
        neighbours = self._models.get((storable(vector.model), len(vector.values)))
        allowed = {storable(audience) for audience in audiences}
        found: list[tuple[Memory, float]] = []
        for stretch in neighbours.nearest(vector, allowed) if neighbours else ():
            for number, likeness in stretch:
                if len(found) >= limit:
                    return found
                row = connection.execute(f"{_RECORD} WHERE r.kind = 'memory' AND v.number = ?", (number,)).fetchone()
                if row is None:
                    cast(Neighbours, neighbours).forget(number)
                else:
                    found.append((_record(Memory, *row[2:]), likeness))
        return found

    def _catch_up(self, connection: sqlite3.Connection) -> None:
        query = "SELECT number, model, audience, data FROM vectors WHERE number > ? ORDER BY number LIMIT 5000"
        while rows := connection.execute(query, (self._reached,)).fetchall():
            for model, size in {(row[1], len(row[3])) for row in rows}:
                neighbours = self._models.setdefault((model, size // 4), Neighbours(size // 4))
                neighbours.add([(row[0], row[2], row[3]) for row in rows if (row[1], len(row[3])) == (model, size)])
            self._reached = rows[-1][0]
