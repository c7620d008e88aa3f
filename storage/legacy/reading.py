"""How old files are read: lines and documents of JSON that may be torn, in pieces that fit into memory."""

from __future__ import annotations

import hashlib
import io
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any
from zipfile import BadZipFile

import ijson

from ..model import message_id, storable
from . import Refused, Spot
from .source import BadSource, Source

LINE, DOCUMENT = 1 << 26, 1 << 26
"""The most bytes of one line, and of a document that is read as a whole."""
_BROKEN = (OSError, BadZipFile, zlib.error, EOFError, BadSource)
_FIRST, _LAST = datetime(1980, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_MILLISECONDS = 1e11
"""A larger number of seconds would lie after the year 5138: it counts milliseconds."""


def lines(source: Source, name: str) -> Iterator[tuple[Spot, Any] | Refused]:
    """The JSON value of every line that is not empty. A line that is none, is torn or is not UTF-8 is refused."""
    number = 0
    try:
        with source.open(name) as file:
            while line := file.readline(LINE):
                number += 1
                spot = Spot(name, number)
                if len(line) == LINE:
                    yield Refused(spot, f"The line has more than {LINE >> 20} MiB.")
                    while line and not line.endswith(b"\n"):
                        line = file.readline(LINE)
                elif text := line.removeprefix(b"\xef\xbb\xbf" if number == 1 else b"").strip():
                    found = _parsed(spot, text)
                    yield found if isinstance(found, Refused) else (spot, found)
    except _BROKEN as error:
        yield Refused(Spot(name, number + 1), f"The file cannot be read on ({error}).")


def document(source: Source, name: str) -> Any | Refused:
    """A whole JSON document of a bounded size."""
    spot = Spot(name)
    try:
        with source.open(name) as file:
            data = file.read(DOCUMENT + 1)
    except _BROKEN as error:
        return Refused(spot, f"The file cannot be read ({error}).")
    if len(data) > DOCUMENT:
        return Refused(spot, f"The file has more than {DOCUMENT >> 20} MiB.")
    return _parsed(spot, _as_utf8(data))


def items(source: Source, name: str, path: str = "item") -> Iterator[tuple[Spot, Any] | Refused]:
    """The members of one array of a document, one after the other, however large it is: of the document itself
    (`item`), or of an array in it (`messages.item`). What stands behind a place
    where the document is torn or is not JSON cannot be read: that is refused once, and what came before it is given."""
    what, number = path.removesuffix("item").removesuffix("."), 0
    try:
        with source.open(name) as file:
            for number, value in enumerate(ijson.items(_utf8(file), path, use_float=True), 1):
                yield Spot(name, item=f"{what}[{number - 1}]"), value
    except (ijson.JSONError, UnicodeError, *_BROKEN) as error:
        told = _shown(str(error).split("\n")[0]) or "it ends too early"
        yield Refused(Spot(name, item=f"{what}[{number}]"), f"From here on the file cannot be read as JSON ({told}).")


def when(value: object, zone: tzinfo) -> datetime | None:
    """A time as programs write it: ISO 8601 with or without an offset, or seconds or milliseconds since 1970; None for
    what is no time, or one outside 1980 to 2200."""
    found: datetime | None = None
    try:
        if isinstance(value, str) and not _is_number(value):
            found = datetime.fromisoformat(value.strip())
        elif not isinstance(value, bool) and isinstance(value, str | int | float):
            seconds = float(value)
            found = datetime.fromtimestamp(seconds / 1000 if abs(seconds) > _MILLISECONDS else seconds, UTC)
        if found is not None:
            found = (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return found if found is not None and _FIRST <= found < _LAST else None


def chance(*parts: object) -> int:
    """The same large number for the same parts, so that an item has the same id whenever it is read."""
    text = "\0".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")


def known_id(at: datetime, *parts: object) -> str:
    """The id of a message that was said at a time and is told from others by these parts."""
    return message_id(at, chance(*parts))


def told(value: object) -> str:
    """Any JSON value as a text that a `metadata` can hold."""
    return storable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True))


def flat(values: object, *leave_out: str) -> dict[str, str]:
    """A foreign mapping as `metadata`, without empty values and the keys that have a place of their own."""
    if not isinstance(values, Mapping):
        return {}
    return {
        told(str(key)): told(value)
        for key, value in values.items()
        if key not in leave_out and value not in (None, "", [], {})
    }


def words(value: object) -> str | None:
    """A text as it can be kept; None for what is no text."""
    return storable(value) if isinstance(value, str) else None


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:120]


def _parsed(spot: Spot, text: bytes) -> Any | Refused:
    try:
        return json.loads(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        return Refused(spot, f"It is not UTF-8 (byte {error.start}): save it as UTF-8 first.")
    except (ValueError, RecursionError) as error:
        return Refused(spot, f"It is not JSON, or torn ({_shown(str(error))}).")


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


_MARKS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))


def _as_utf8(data: bytes) -> bytes:
    """Bytes that begin with a mark of another encoding, as UTF-8."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, "surrogateescape").encode("utf-8", "surrogateescape")
    return data


def _utf8(file: Any) -> Any:
    head = file.read(3)
    encoding = next((encoding for mark, encoding in _MARKS if head.startswith(mark)), None)
    whole = _Rest(head, file)
    if encoding is None:
        return whole
    return _Recoded(io.TextIOWrapper(io.BufferedReader(whole), encoding=encoding))


class _Rest(io.RawIOBase):
    """A file whose first bytes were read already."""

    def __init__(self, head: bytes, file: Any) -> None:
        self._head, self._file = head, file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def read(self, size: int = -1) -> bytes:
        if self._head:
            taken, self._head = self._head[:size], self._head[size:] if size >= 0 else b""
            return taken
        piece: bytes = self._file.read(size)
        return piece


class _Recoded:
    """A text as the UTF-8 that the JSON parser wants."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text

    def read(self, size: int = -1) -> bytes:
        return self._text.read(size).encode("utf-8", "surrogatepass")
