"""What a backup says of itself, and which backups a place holds.

A backup is `conversations_2024-01-08.db.zst` (an SQLite database), `conversations_2024-01-08.blobs` (the hashes of its
attachments, one a line, sorted) and, written last, `conversations_2024-01-08.json`: its manifest. A second one on the
same day is `conversations_2024-01-08_2`. The attachments themselves are in `blobs/`, shared by all backups there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, ValidationError

from .blobs import Blobs
from .errors import StorageError
from .model import Counts, Value
from .place import Missing, Place, open_place

DATABASE, BLOBS, MANIFEST = ".db.zst", ".blobs", ".json"
_START = "conversations_"
_NAME = r"conversations_(\d{4}-\d{2}-\d{2})(?:_(\d{1,6}))?"
_FILE = re.compile(rf"({_NAME})(\.db\.zst|\.blobs|\.json)")
_LONGEST = 1 << 20
"""Bytes of a manifest; the biggest real one is far from it."""

_HASH = re.compile(r"[0-9a-f]{64}")

Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Unsound(StorageError):
    """A backup is not what its manifest says, or could not be restored."""


class Manifest(Value):
    """One backup; its JSON is the manifest."""

    model_config = ConfigDict(extra="ignore")  # a newer program may have said more
    number: Annotated[int, Field(ge=1)]
    """Counts up in one place, so that a clock set back does not make the newest backup an old one."""
    name: Annotated[str, Field(pattern=rf"^{_NAME}$")]
    bot: str
    backend: str
    """What kept the talk: sqlite, file or postgres. The backup itself is SQLite in any case."""
    made_at: datetime
    seconds: Annotated[float, Field(ge=0)]
    """How long it took, the rehearsal not counted."""
    program: str
    """The version of Troupe that made it."""
    schema_version: int
    counts: Counts
    size: Annotated[int, Field(ge=0)]
    """Bytes of the database."""
    sha256: Hash
    packed_size: Annotated[int, Field(ge=0)]
    """Bytes of the compressed file."""
    packed_sha256: Hash
    blobs: Annotated[int, Field(ge=0)] = 0
    """How many attachments it has."""
    blobs_sha256: Hash | None = None
    """Of the list of their hashes; None where there is none."""
    blobs_lost: Annotated[int, Field(ge=0)] = 0
    """How many attachments could not be read any more when it was made, and so are not in it."""
    proven_at: datetime | None = None
    """When it was last restored into a scratch root and found whole."""
    trouble: str = ""
    """What was wrong with it when that was last tried."""

    @property
    def database(self) -> str:
        return self.name + DATABASE

    @property
    def blob_list(self) -> str:
        return self.name + BLOBS

    @property
    def files(self) -> tuple[str, ...]:
        """Its own files, the manifest first."""
        lists = (self.blob_list,) if self.blobs_sha256 else ()
        return (self.name + MANIFEST, self.database, *lists)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where one bot's backups are: their files in a place, their attachments in `blobs/` below it."""

    place: Place
    blobs: Blobs

    @classmethod
    def at(cls, where: str, options: Mapping[str, str] | None = None, *, spool: Path) -> Destination:
        """A folder or `s3://bucket/prefix`, as `open_place` takes it; attachments on their way there pass through
        the folder `spool`. Raises `ValueError`."""
        shared = open_place(f"{where.rstrip('/')}/blobs", options)
        return cls(open_place(where, options), Blobs(shared, spool))


@dataclass(frozen=True, slots=True)
class Shelf:
    """What a place holds."""

    backups: tuple[Manifest, ...]
    """In the order in which they were made, the first one first."""
    strays: tuple[str, ...]
    """Files named like a backup's that no readable manifest speaks of."""

    @property
    def next_number(self) -> int:
        return 1 + max((each.number for each in self.backups), default=0)

    @property
    def newest_proven(self) -> Manifest | None:
        return next((each for each in reversed(self.backups) if each.proven_at), None)

    def free_name(self, at: datetime) -> str:
        """The seed's name for a backup made at that time, numbered from the second one of a day on."""
        day = f"{_START}{at.astimezone(UTC):%Y-%m-%d}"
        taken = {each.name for each in self.backups} | {name.split(".")[0] for name in self.strays}
        numbers = [name.removeprefix(day).removeprefix("_") for name in taken if name.startswith(day)]
        # Above all that are there: the first of a day may be gone, and its name would make the newest look old.
        newest = max((int(number or 1) for number in numbers if not number or number.isdecimal()), default=0)
        return f"{day}_{newest + 1}" if newest else day


async def shelf(place: Place) -> Shelf:
    """Reads every manifest in a place. Raises `Unavailable`."""
    names = [name async for name in _own_names(place)]
    read = [await manifest(place, name.removesuffix(MANIFEST)) for name in names if name.endswith(MANIFEST)]
    backups = sorted((each for each in read if each), key=lambda each: (each.number, each.made_at, each.name))
    spoken_of = {file for each in backups for file in each.files}
    return Shelf(tuple(backups), tuple(name for name in names if name not in spoken_of))


async def manifest(place: Place, name: str) -> Manifest | None:
    """The manifest of that name; None where there is none that can be read."""
    said = bytearray()
    try:
        async with aclosing(place.get(name + MANIFEST)) as chunks:
            async for chunk in chunks:
                said += chunk
                if len(said) > _LONGEST:
                    return None
        found = Manifest.model_validate_json(said)
    except (Missing, ValidationError):
        return None
    return found if found.name == name else None


async def write(place: Place, said: Manifest) -> None:
    """Puts a manifest in its place: from then on there is a backup. Raises `Unavailable`."""
    text = said.model_dump_json(indent=2) + "\n"
    await place.put(said.name + MANIFEST, _once(text.encode()))


def backup_named(file: str) -> str | None:
    """The backup whose file this is, or whose name; None when it is named like no backup."""
    found = _FILE.fullmatch(file) or re.fullmatch(f"({_NAME})", file)
    return found[1] if found else None


async def blob_hashes(place: Place, file: str, sha256: str | None = None) -> AsyncGenerator[str, None]:
    """The hashes in a list of attachments, sorted. Raises `Missing`; or `Unsound` in the end where the list is not
    what its hash says."""
    digest, torn = hashlib.sha256(), ""
    async with aclosing(place.get(file)) as chunks:
        async for chunk in chunks:
            digest.update(chunk)
            *whole, torn = (torn + chunk.decode("ascii", "replace")).split("\n")
            for hash in whole:
                if _HASH.fullmatch(hash):
                    yield hash
    if sha256 is not None and digest.hexdigest() != sha256:
        raise Unsound(
            f"{file} in {place} is not what its backup's manifest says: it was changed, or its disk is failing."
        )


async def _own_names(place: Place) -> AsyncGenerator[str, None]:
    """Files named like a backup's: in sorted order they stand together."""
    async with aclosing(place.names(after=_START)) as names:
        async for name in names:
            if not name.startswith(_START):
                return
            if _FILE.fullmatch(name):
                yield name


async def _once(piece: bytes) -> AsyncIterator[bytes]:
    yield piece
