"""Rows of numbers as numpy saves them (`.npy`), read one at a time, without numpy and without pickle."""

from __future__ import annotations

import ast
import os
import struct
import sys
import tempfile
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from .source import Source

_TYPES = {"f4": "f", "f8": "d"}
_MAGIC = b"\x93NUMPY"
_HEADER, _WIDEST = 1 << 16, 1 << 16
"""The most bytes of a header, and the most numbers of a row."""
_LARGEST, _PIECE = 1 << 32, 1 << 20
"""The most bytes of all rows: a million of a thousand numbers."""


class BadNumbers(ValueError):
    """A file is not what numpy saves, or not rows of floats; its text says why."""


@contextmanager
def opened(source: Source, name: str, scratch: Path) -> Iterator[Rows]:
    """The rows of a file. Raises `BadNumbers`, and what reading a source raises."""
    with tempfile.TemporaryFile(dir=scratch) as file:  # a file in a zip cannot be read from its middle
        with source.open(name) as packed:
            _copy(packed, file)
        yield Rows(file)


class Rows:
    """The rows of a two-dimensional array, in any order."""

    def __init__(self, file: IO[bytes]) -> None:
        """Raises `BadNumbers`."""
        self._file = file
        size = file.seek(0, os.SEEK_END)
        self._code, self._swapped, self.count, self.width = _shape(file)
        self._start = file.tell()
        self._bytes = self.width * array(self._code).itemsize
        if size - self._start < self.count * self._bytes:
            raise BadNumbers(f"it ends before its {self.count} rows of {self.width} numbers do")

    def row(self, number: int) -> tuple[float, ...] | None:
        """The numbers of a row, counted from zero; None where there is no such row."""
        if not 0 <= number < self.count:
            return None
        self._file.seek(self._start + number * self._bytes)
        values = array(self._code, self._file.read(self._bytes))
        if self._swapped:
            values.byteswap()
        return tuple(values)


def _copy(packed: IO[bytes], file: IO[bytes]) -> None:
    """So much of a file as its header speaks of."""
    file.write(packed.read(_HEADER))
    code, _, count, width = _shape(file)
    size = count * width * array(code).itemsize
    if size > _LARGEST:
        raise BadNumbers(f"its rows have {size:,} bytes, and at most {_LARGEST:,} are read")
    left = file.tell() + size - file.seek(0, os.SEEK_END)
    while left > 0 and (piece := packed.read(min(left, _PIECE))):
        file.write(piece)
        left -= len(piece)


def _shape(file: IO[bytes]) -> tuple[str, bool, int, int]:
    file.seek(0)
    if file.read(6) != _MAGIC:
        raise BadNumbers("it does not begin as numpy files do")
    version = file.read(2)
    length = file.read(2 if version[:1] == b"\1" else 4)
    if version[:1] not in (b"\1", b"\2", b"\3") or len(length) not in (2, 4):
        raise BadNumbers("its version is not known")
    (size,) = struct.unpack("<H" if len(length) == 2 else "<I", length)
    told = _header(file.read(min(size, _HEADER)))
    order, code, shape = told["descr"][:1], _TYPES.get(told["descr"][1:]), told["shape"]
    if code is None or order not in "<>=":
        raise BadNumbers(f"it holds {told['descr'][:20]!r}; 32-bit and 64-bit floats are read")
    if told["fortran_order"] and len(shape) > 1:
        raise BadNumbers("it is stored by columns: save it by rows, with numpy.ascontiguousarray")
    count, width = shape if len(shape) == 2 else (1, *shape)
    if not 0 < width <= _WIDEST or count < 0:
        raise BadNumbers(f"it has rows of {width} numbers")
    return code, order == ("<" if sys.byteorder == "big" else ">"), count, width


def _header(text: bytes) -> dict[str, Any]:
    try:
        told = ast.literal_eval(text.decode("utf-8").strip())
        shape = told["shape"]
        if (
            isinstance(told["descr"], str)
            and isinstance(shape, tuple)
            and len(shape) in (1, 2)
            and all(type(size) is int for size in shape)
        ):
            return {"descr": told["descr"], "shape": shape, "fortran_order": bool(told["fortran_order"])}
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise BadNumbers("its header cannot be read") from error
    raise BadNumbers("it is not rows of numbers")
