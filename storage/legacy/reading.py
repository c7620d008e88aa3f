"""How old files are read: lines and documents of JSON that may be torn, in pieces that fit into memory."""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, TypeVar
from zipfile import BadZipFile

import ijson

from ..model import message_id, storable
from . import Refused, Spot
from .decoding import Decoded, stray
from .locating import starts
from .source import BadSource, Source

Made = TypeVar("Made")
LINE, DOCUMENT = 1 << 26, 1 << 26
"""The most bytes of one line, and of a document or a member of one that is read as a whole."""
TIMELESS = datetime(1980, 1, 1, tzinfo=UTC)
"""What ids are made from where no time is known, so that they are the same whenever they are read."""
_PIECE = 1 << 20
_SMALL = 1 << 22
"""A document up to so many bytes is parsed at once, which is faster."""
_LISTED = 100
"""The most members of a short array."""
_BROKEN = (OSError, BadZipFile, zlib.error, EOFError, BadSource)
_ODD = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What values of a kind that nobody expects may raise."""
_FIRST, _LAST = TIMELESS, datetime(2200, 1, 1, tzinfo=UTC)
_MILLISECONDS = 1e11
"""A larger number of seconds would lie after the year 5138: it counts milliseconds."""
_NO_TEXT = "It is not UTF-8: save the file as UTF-8 first."


def lines(source: Source, name: str) -> Iterator[tuple[Spot, Any] | Refused]:
    """The JSON value of every line that is not empty. A line that is none, is torn or is not UTF-8 is refused."""
    number = 0
    try:
        with source.open(name) as opened:
            file = Decoded(opened)
            for number, line in enumerate(_lines(file), 1):
                found = _line(Spot(name, number), line, file)
                if found is not None:
                    yield found
    except _BROKEN as error:
        yield Refused(Spot(name, number + 1), f"The file cannot be read on ({_shown(str(error))}).")


def document(source: Source, name: str) -> Any | Refused:
    """A whole JSON document of a bounded size."""
    try:
        with source.open(name) as opened:
            file = Decoded(opened)
            data = file.read(DOCUMENT + 1)
            data += file.read(1) if len(data) <= DOCUMENT else b""
    except _BROKEN as error:
        return Refused(Spot(name), f"The file cannot be read ({_shown(str(error))}).")
    if len(data) > DOCUMENT:
        return Refused(Spot(name), f"The file has more than {DOCUMENT >> 20} MiB.")
    value = _parsed(Spot(name), data)
    return Refused(Spot(name), _NO_TEXT) if file.hurt and not isinstance(value, Refused) and stray(value) else value


def outline(source: Source, name: str) -> list[Any] | dict[str, Any] | None:
    """What kind of document a file holds, without what is large in it: an array is empty, an object has its plain
    values and short arrays of such, while `{}` and `[]` stand for all else. None where it is neither, or nothing can
    be read. Of a torn document it has what stands before that place."""
    try:
        with source.open(name) as opened:
            return _outlined(Decoded(opened))
    except _BROKEN:
        return None


def items(source: Source, name: str, path: str = "item") -> Iterator[tuple[Spot, Any] | Refused]:
    """The members of one array of a document, one after the other, however large it is: of the document itself
    (`item`), or of an array in it (`messages.item`). What stands behind a place
    where the document is torn or is not JSON cannot be read: that is refused once, and what came before it is given;
    so is a member that is not UTF-8."""
    what, places = path.removesuffix("item").removesuffix("."), Places(source, name, path)
    for number, value in _members(source, name, path):
        spot = Spot(name, item=f"{what}[{number}]")
        if isinstance(value, _Unread):
            yield Refused(places.found(spot), value.reason)
        else:
            yield spot, value


def entries(source: Source, name: str) -> Iterator[tuple[Spot, str, Any] | Refused]:
    """The members of a document that is one object, with their keys, one after the other; refused as in `items`."""
    places = Places(source, name, "item")
    for number, found in _members(source, name, ""):
        key, value = ("", found) if isinstance(found, _Unread) else found
        spot = Spot(name, item=f"[{number}]")
        if isinstance(value, _Unread):
            yield Refused(places.found(spot), value.reason)
        else:
            yield Spot(name, item=_shown(key)), key, value


class Places:
    """Where the members of an array of a document begin; the file is gone through again when that is first asked."""

    def __init__(self, source: Source, name: str, path: str = "item") -> None:
        self._source, self._name, self._path = source, name, path
        self._starts: array[int] | None = None

    def found(self, spot: Spot) -> Spot:
        """The spot of a member (`messages[12]`) with its line, where that can be had."""
        if self._starts is None:
            try:
                with self._source.open(self._name) as opened:
                    self._starts = starts(Decoded(opened), self._path)
            except _BROKEN:
                self._starts = array("L")
        number = int(spot.item.rpartition("[")[2].rstrip("]"))
        known = self._starts[number] if number < len(self._starts) else self._starts[-1] if self._starts else None
        return Spot(spot.file, known, spot.item)


def when(value: object, zone: tzinfo, after: datetime | None = None) -> datetime | None:
    """A time as programs write it: ISO 8601 with or without an offset, or seconds or milliseconds since 1970; None for
    what is no time, or one outside 1980 to 2200. Of the hour that clocks show twice in autumn it is the second where
    the first would lie before `after`: what was said before it."""
    found: datetime | None = None
    try:
        if isinstance(value, str) and not _is_number(value):
            found = datetime.fromisoformat(value.strip())
        elif not isinstance(value, bool) and isinstance(value, str | int | float):
            seconds = float(value)
            found = datetime.fromtimestamp(seconds / 1000 if abs(seconds) > _MILLISECONDS else seconds, UTC)
        if found is not None:
            first = (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)
            again = found.replace(tzinfo=zone, fold=1).astimezone(UTC) if found.tzinfo is None else first
            found = again if after is not None and first < after <= again else first
    except (ValueError, OverflowError, OSError):
        return None
    return found if found is not None and _FIRST <= found < _LAST else None


def chance(*parts: object) -> int:
    """The same large number for the same parts, so that an item has the same id whenever it is read."""
    text = "\0".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")


def known_id(at: datetime, *parts: object) -> str:
    """The id of a message that was said at a time and is told from others by these parts. A time that names no zone is
    to be read as UTC for it, so that the id is the same in whatever zone it is read otherwise."""
    return message_id(at, chance(*parts))


def told(value: object) -> str:
    """Any JSON value as a text that a `metadata` can hold."""
    try:
        return storable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True))
    except RecursionError:
        return "(nested too deeply to be kept)"


def is_snowflake(text: str) -> bool:
    """Whether it is an id as Discord writes it."""
    return text.isascii() and text.isdecimal()


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


def surely(spot: Spot, found: Iterator[Made | Refused]) -> Iterator[Made | Refused]:
    """What a part of a source gives. Where it is of a shape that nobody expects, that is refused instead of raised, and
    so is what would have come behind it."""
    try:
        yield from found
    except _ODD as error:
        yield Refused(spot, f"From here on it is not shaped as the program writes it ({_shown(repr(error))}).")


def attempted(spot: Spot, make: Callable[[], Made | Refused]) -> Made | Refused:
    """What is made of one item; refused where that is of a shape that nobody expects."""
    try:
        return make()
    except _ODD as error:
        return Refused(spot, f"It is not shaped as the program writes it ({_shown(repr(error))}).")


class _TooLong(Exception):
    """A member of a document is longer than what is read as a whole."""


class _Bounded:
    """A file, of which a member may take no more than `DOCUMENT` bytes."""

    def __init__(self, file: Decoded) -> None:
        self._file = file
        self.since = 0
        """Bytes read since a member was whole."""

    def read(self, size: int = _PIECE) -> bytes:
        piece = self._file.read(size)
        self.since += len(piece)
        if self.since > DOCUMENT + _PIECE:
            raise _TooLong(f"it holds something of more than {DOCUMENT >> 20} MiB")
        return piece


class _Unread:
    """Stands for what could not be read."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


def _members(source: Source, name: str, path: str) -> Iterator[tuple[int, Any]]:
    """The members of an array, or with an empty path of the object that is the document, with their numbers."""
    number = -1
    try:
        whole, hurt = _whole(source, name)
        if whole is not None:
            for number, value in enumerate(_under(whole, path)):
                yield number, _Unread(_NO_TEXT) if hurt and stray(value) else value
            return
        with source.open(name) as opened:
            file = Decoded(opened)
            bounded, how = _Bounded(file), {"use_float": True, "buf_size": _PIECE}
            found = ijson.items(bounded, path, **how) if path else ijson.kvitems(bounded, "", **how)
            for number, value in enumerate(found):
                bounded.since = 0
                yield number, _Unread(_NO_TEXT) if file.hurt and stray(value) else value
    except RecursionError:  # as deep as that the parser of large files is slow beyond all measure
        yield 0, _Unread("It is nested too deeply.")
    except (ijson.JSONError, UnicodeError, _TooLong, *_BROKEN) as error:
        told = _shown(str(error).split("\n")[0].strip()) or "it ends too early"
        yield number + 1, _Unread(f"From here on the file cannot be read as JSON ({told}).")


def _whole(source: Source, name: str) -> tuple[Any, bool]:
    """A small document, and whether there is in it what is no text; None for a large one, or one that is torn."""
    if source.size(name) > _SMALL:
        return None, False
    with source.open(name) as opened:
        file = Decoded(opened)
        try:
            return json.loads(file.read()), file.hurt
        except ValueError:
            return None, False


def _under(whole: Any, path: str) -> Iterable[Any]:
    for key in path.split(".")[:-1]:
        whole = whole.get(key) if isinstance(whole, dict) else None
    if path:
        return whole if isinstance(whole, list) else ()
    return whole.items() if isinstance(whole, dict) else ()


def _outlined(file: Decoded) -> list[Any] | dict[str, Any] | None:
    told: dict[str, Any] = {}
    depth, key = 0, ""
    try:
        bounded = _Bounded(file)
        for event, value in ijson.basic_parse(bounded, use_float=True, buf_size=_PIECE):
            bounded.since = 0
            if event in ("end_map", "end_array"):
                depth -= 1
            elif event == "map_key":
                key = value if depth == 1 else key
            elif depth == 0:
                if event != "start_map":
                    return [] if event == "start_array" else None
                depth = 1
            elif event in ("start_map", "start_array"):
                if depth == 1:
                    told[key] = {} if event == "start_map" else []
                depth += 1
            elif depth == 1:
                told[key] = value
            elif depth == 2 and isinstance(told[key], list) and len(told[key]) < _LISTED:
                told[key].append(value)
    except (ijson.JSONError, UnicodeError, _TooLong):
        pass
    return told if depth or told else None


def _lines(file: Decoded) -> Iterator[bytes]:
    """The lines of a file; of one that is too long only so much that this is seen."""
    rest = b""
    while piece := file.read(_PIECE):
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
        while len(rest) > LINE and (piece := file.read(_PIECE)):
            _, found, after = piece.partition(b"\n")
            if found:
                yield rest
                rest = after
    if rest:
        yield rest


def _line(spot: Spot, line: bytes, file: Decoded) -> tuple[Spot, Any] | Refused | None:
    if len(line) > LINE:
        return Refused(spot, f"The line has more than {LINE >> 20} MiB.")
    text = line.strip()
    if not text:
        return None
    value = _parsed(spot, text)
    if isinstance(value, Refused):
        return value
    return Refused(spot, _NO_TEXT) if file.hurt and stray(value) else (spot, value)


def _parsed(spot: Spot, text: bytes) -> Any | Refused:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        return Refused(spot, f"It is not JSON, or torn ({_shown(str(error))}).")


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:120]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
