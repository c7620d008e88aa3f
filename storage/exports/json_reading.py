"""JSON exports as they are read: files from strangers, trusted in nothing, that fit into no memory."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any, Literal

import ijson
from pydantic import BaseModel, ValidationError

from ..archive import MANIFEST
from ..errors import StorageError
from ..model import Channel, Message, Session
from ..records import RECORDS
from ..unpacking import first_of, said, wrong_time, wrong_with
from .model_json import VERSION
from .zip import FILES, Manifest

Kind = Literal["channels", "sessions", "messages", "records"]
ORDER: tuple[Kind, ...] = ("channels", "sessions", "messages", "records")
BROKEN = (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error)
"""What a damaged file may raise."""
PIECE = 1 << 16
_ITEM = 1 << 26
"""The most bytes that one item may take."""
_DEEP = 100
_MODELS: dict[Kind, type[BaseModel]] = {"channels": Channel, "sessions": Session, "messages": Message}
_RECORDS = {each.kind: each for each in RECORDS}
Event = tuple[str, Any]


class BadExport(StorageError):
    """A file is no JSON export that can be read back."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"{name} cannot be read back: {what}. Nothing was taken from it.")


class Opened:
    """A JSON export, or a zip with several. One thread at a time. Opening one that is none raises `BadExport`, by the
    first bytes of each file in it."""

    def __init__(self, path: Path) -> None:
        self.name = said(path.name)
        self.bot = ""
        """Whose talk it was."""
        self._path = path
        self._zip: zipfile.ZipFile | None = None
        self._manifest: Manifest | None = None
        try:
            if zipfile.is_zipfile(path):
                self._zip = zipfile.ZipFile(path)
                self._manifest = self._understood(self._zip)
        except BROKEN as error:
            raise BadExport(self.name, "it is not a zip, or not a whole one") from error
        for member in self._documents():
            with closing(self._document(member)) as document:
                self.bot = document.bot

    def items(self) -> Generator[tuple[Kind, str, BaseModel], None, None]:
        """Everything in every JSON file, with its place. Raises `BadExport`."""
        for member in self._documents():
            with closing(self._document(member)) as document:
                yield from document.items()

    def files(self) -> Iterator[tuple[str, str, int]]:
        """Name, SHA-256 and size of each attachment."""
        for name, member in self._manifest.members.items() if self._manifest is not None else ():
            if name.startswith(FILES):
                yield name, member.sha256, member.size

    def check_files(self) -> int:
        """Reads every attachment; returns how many there are. Raises `BadExport`."""
        many = 0
        for name, _, _ in self.files():
            many += 1
            with closing(self.open(name)) as opened:
                while opened.read(PIECE):
                    pass
        return many

    def open(self, member: str) -> Counted:
        """A file in the zip, or the one there is."""
        told = f"{said(member)} in it " if member else "it "

        def bad(what: str) -> BadExport:
            return BadExport(self.name, told + what)

        try:
            if self._zip is None or self._manifest is None:
                return Counted(self._path.open("rb"), bad, None)
            expected = self._manifest.members[member]
            return Counted(self._zip.open(member), bad, (expected.size, expected.sha256))
        except BROKEN as error:
            raise bad("cannot be opened") from error

    def close(self) -> None:
        """Lets go of the file."""
        if self._zip is not None:
            self._zip.close()

    def _document(self, member: str) -> _Document:
        return _Document(self.open(member))

    def _documents(self) -> list[str]:
        if self._manifest is None:
            return [""]
        return [name for name in self._manifest.members if not name.startswith(FILES)]

    def _understood(self, opened: zipfile.ZipFile) -> Manifest:
        if wrong := wrong_with(opened):
            raise BadExport(self.name, wrong)
        try:
            manifest = Manifest.model_validate_json(opened.read(MANIFEST))
        except ValidationError as error:
            raise BadExport(self.name, f"its {MANIFEST} is not that of an export ({first_of(error)})") from error
        if manifest.form != "json":
            raise BadExport(self.name, f"it is an export as {manifest.form}, and only json can be read back")
        for name in sorted({*opened.namelist()} ^ {MANIFEST, *manifest.members}):
            raise BadExport(self.name, f"{said(name)} is only in it, or only in its {MANIFEST}")
        return manifest


class Counted:
    """A file that is read only forwards, never more of it for one item than is sensible, and at its end found to be
    what its manifest says."""

    def __init__(self, file: IO[bytes], bad: Callable[[str], BadExport], expected: tuple[int, str] | None) -> None:
        self._file, self.bad, self._expected = file, bad, expected
        self._digest, self._size = hashlib.sha256(), 0
        self.since_item = 0
        """Bytes read since an item was whole."""

    def read(self, size: int = PIECE) -> bytes:
        """The next bytes, none at the end. Raises `BadExport`."""
        try:
            piece = self._file.read(size)
        except BROKEN as error:
            raise self.bad("is damaged") from error
        if not size:
            return piece
        self._size += len(piece)
        self.since_item += len(piece)
        self._digest.update(piece)
        if self.since_item > _ITEM:
            raise self.bad(f"holds something of more than {_ITEM >> 20} MiB, which no export of this program does")
        if self._expected is not None:
            most, sha256 = self._expected
            if self._size > most or (not piece and (self._size, self._digest.hexdigest()) != (most, sha256)):
                raise self.bad(f"is not what its {MANIFEST} says (another size or SHA-256)")
        return piece

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()


class _Document:
    """One JSON file: its head is read and understood at once, its items as they come."""

    def __init__(self, file: Counted) -> None:
        self._file, self._bad = file, file.bad
        self.close = file.close
        self._place = "its head"
        self._events: Iterator[Event] = iter(ijson.basic_parse(file, use_float=True, buf_size=PIECE))
        try:
            self.bot = self._head()
        except BaseException:
            self.close()
            raise

    def items(self) -> Generator[tuple[Kind, str, BaseModel], None, None]:
        """The items, in the order of the file, with their places. Raises `BadExport`."""
        for number, kind in enumerate(ORDER):
            if number:
                self._expect("map_key", kind)
            self._expect("start_array")
            count = 0
            self._place = f"{kind}[0]"
            while (event := self._next())[0] != "end_array":
                yield kind, self._place, self._item(kind, self._value(event))
                count += 1
                self._place = f"{kind}[{count}]"
                self._file.since_item = 0
        self._expect("end_map")
        if self._event() is not None:
            raise self._bad("goes on behind its end")

    def _head(self) -> str:
        """Reads as far as the channels; returns the bot's name."""
        foreign = 'does not begin as an export of this program does ({"troupe": 1, …})'
        if self._next() != ("start_map", None) or self._next() != ("map_key", "troupe"):
            raise self._bad(foreign)
        version = self._next()[1]
        if not isinstance(version, int):
            raise self._bad(foreign)
        if version != VERSION:
            told = f"is an export of version {version}, and this program knows version {VERSION}"
            raise self._bad(f"{told}: use a newer Troupe")
        bot = ""
        while (event := self._next()) != ("map_key", "channels"):
            if event[0] != "map_key":
                raise self._bad(foreign)
            value = self._value(self._next())
            bot = value if event[1] == "bot" and isinstance(value, str) else bot
        return bot

    def _item(self, kind: Kind, value: Any) -> BaseModel:
        try:
            model = _MODELS.get(kind)
            if model is None:
                named = value.pop("kind", "") if isinstance(value, dict) else ""
                model = _RECORDS.get(named) if isinstance(named, str) else None
                if model is None:
                    told = f"has at {self._place} a record of the kind {said(str(named))!r}"
                    raise self._bad(f"{told}; there are: {', '.join(_RECORDS)}")
            item = model.model_validate(value)
        except ValidationError as error:
            raise self._bad(f"has nothing that can be taken at {self._place} ({first_of(error)})") from error
        if wrong := wrong_time(item):
            raise self._bad(f"has at {self._place} {wrong}")
        return item

    def _value(self, event: Event) -> Any:
        builder, depth = ijson.ObjectBuilder(), 0
        while True:
            kind, value = event
            builder.event(kind, value)
            depth += kind in ("start_map", "start_array")
            depth -= kind in ("end_map", "end_array")
            if not depth:
                return builder.value
            if depth > _DEEP:
                raise self._bad(f"is nested too deeply at {self._place}")
            event = self._next()

    def _expect(self, kind: str, value: object = None) -> None:
        if self._next() != (kind, value):
            lists = ", ".join(ORDER)
            raise self._bad(f"has something else than the lists {lists}, in this order, behind {self._place}")

    def _next(self) -> Event:
        event = self._event()
        if event is None:
            raise self._bad(f"ends in the middle, at {self._place}")
        return event

    def _event(self) -> Event | None:
        try:
            return next(self._events, None)
        except ijson.IncompleteJSONError as error:
            raise self._bad(f"ends in the middle, or is no JSON, at {self._place}") from error
        except (ijson.JSONError, UnicodeDecodeError) as error:
            raise self._bad(f"is no JSON at {self._place}") from error
