"""What the flat-file programs know by likeness: pieces of text with their vectors, as memories of a channel."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any
from zipfile import BadZipFile

from pydantic import ValidationError

from ..records import Memory, Vector
from . import Refused, Spot, Taken, Terms
from .flatfile_lines import provenance
from .npy import BadNumbers, Rows, opened
from .reading import TIMELESS, flat, known_id, lines, when, words
from .source import BadSource, Source

_TEXT, _ROW, _ID = ("chunk_text", "text", "content", "chunk"), ("vector_index", "index", "row"), ("chunk_id", "id")
_MODEL = ("model", "embedding_model", "model_name")


class Place:
    """Whom a memory is for, and where it comes from."""

    def __init__(self, audience: str, subject: str, source: str | None, at: datetime | None) -> None:
        self.audience, self.subject, self.source, self.at = audience, subject, source, at


def likenesses(
    source: Source, index: str, terms: Terms, program: str, place: Callable[[Mapping[str, Any]], Place]
) -> Iterator[Taken | Refused]:
    """A memory for each line of `vector_index.jsonl`, with its row of the `embeddings.npy` beside it, and without a
    vector where that has none. `place` tells of a line whose it is."""
    numbers = index.rpartition("/")[0] + "/embeddings.npy" if "/" in index else "embeddings.npy"
    with ExitStack() as held:
        rows: Rows | None = None
        if numbers in source:
            try:
                rows = held.enter_context(opened(source, numbers, terms.scratch))
            except (BadNumbers, BadSource, OSError, EOFError, BadZipFile, zlib.error) as error:
                yield Refused(Spot(numbers), f"Its vectors are left out: {error}.")
        used = bytearray(rows.count if rows else 0)
        number = -1
        for found in lines(source, index):
            if isinstance(found, Refused):
                yield found
                continue
            number += 1
            spot, value = found
            yield _memory(value, spot, number, rows, used, place, terms, program)
        if rows and (left := used.count(0)):
            yield Refused(Spot(numbers), f"{left} of its {rows.count} vectors belong to no text.")


def _memory(
    value: Any,
    spot: Spot,
    number: int,
    rows: Rows | None,
    used: bytearray,
    place: Callable[[Mapping[str, Any]], Place],
    terms: Terms,
    program: str,
) -> Taken | Refused:
    text = _first(value, _TEXT) if isinstance(value, Mapping) else None
    if not text:
        return Refused(spot, "A piece of text is an object with `chunk_text`; this has none.")
    of = value.get("embedding_metadata") if isinstance(value.get("embedding_metadata"), Mapping) else {}
    where = place(value)
    row = next((value[key] for key in _ROW if type(value.get(key)) is int), number)
    values = rows.row(row) if rows else None
    at, stands = (when(of.get("timestamp"), zone) or when(value.get("timestamp"), zone) for zone in (terms.zone, UTC))
    vector = None
    try:
        if rows and values is not None:
            used[row] = 1
            model = _first(of, _MODEL) or _first(value, _MODEL) or f"legacy:{rows.width}"
            vector = Vector(model=model, values=values)
    except ValidationError:
        return Refused(spot, f"Row {row} of its vectors has numbers that are none, or too large.")
    return Taken(
        Memory(
            id=known_id(stands or TIMELESS, program, spot.file, _first(value, _ID) or f"line {spot.line}", text),
            at=at or where.at or terms.at,
            type="semantic",
            audience=where.audience,
            subject=where.subject,
            text=text,
            vector=vector,
            source=where.source,
            metadata=provenance(
                program, _first(value, _ID), flat(value, _named(value, _TEXT), _named(value, _ID), *_ROW)
            ),
        ),
        spot,
    )


def _first(value: Mapping[str, Any], keys: tuple[str, ...]) -> str | None:
    return words(value.get(_named(value, keys)))


def _named(value: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    """The first of some keys that has words."""
    return next((key for key in keys if words(value.get(key))), keys[0])
