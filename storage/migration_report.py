"""What came of a migration: counts by kind, what was refused and why, and the file that tells it."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from pydantic import BaseModel

from .errors import Unavailable
from .legacy import Refused, Spot, Terms
from .model import Sender, Value

LISTED = 1_000
"""Refused items, notes and people that are held in memory; the file of the report lists every refused item."""
_ASIDE = "refused.jsonl"


class Count(Value):
    """How many of one kind there were, and what became of them: found is the sum of the others."""

    found: int = 0
    taken: int = 0
    known: int = 0
    """Kept already."""
    left_out: int = 0
    """Before `since`, or of somebody who asked to be forgotten."""
    refused: int = 0


class Files(Count):
    """Files beside messages that are new; those of known messages are not looked at."""

    missing: int = 0
    """Named by a message, and not in the source."""
    bytes: int = 0
    """Of those that were taken."""


class Item(Value):
    """One thing that was refused."""

    file: str
    line: int | None = None
    item: str = ""
    reason: str


class Report(Value):
    """What a migration found and did; of a dry run, what it would have done."""

    source: str
    format: str
    bot: str
    zone: str
    """Of times that name none."""
    since: datetime | None
    dry_run: bool
    started_at: datetime
    finished_at: datetime | None = None
    failed: str = ""
    """Why it did not come to its end; empty where it did."""
    messages: Count
    sessions: Count
    channels: Count
    records: Count
    """Memories, profiles, settings and the like."""
    personas: Count
    others: Count
    """Files, lines and whatever else a reader could make none of these of: all of them refused."""
    files: Files
    renamed: int
    """Channels that were known by their ids only, and have a name now."""
    forgotten: int
    """Messages and records that were left out because somebody asked to be forgotten."""
    refused: int
    """Everything that was refused, by the reader or here: the sum over all kinds."""
    verified: int
    """Messages that were read back and are what the source says."""
    sha256: str
    """The sum of the SHA-256 of the JSON of every message, session, channel and record that was taken."""
    unmapped: tuple[str, ...]
    """Ids of people whose names are not known; the first thousand."""
    refused_items: tuple[Item, ...]
    """The first thousand."""
    notes: tuple[str, ...]
    beside: tuple[str, ...]
    """What of the source looks like another format, which this run did not read."""
    whose: tuple[str, ...]
    """The other bots whose talk is in the source, as its folders say."""


class Tally:
    """Counts while a migration runs. Refused items wait in a file in `scratch` until the report is written."""

    def __init__(self, scratch: Path) -> None:
        self.of = {kind: dict.fromkeys(Count.model_fields, 0) for kind in _KINDS}
        self.of["files"] = dict.fromkeys(Files.model_fields, 0)
        self.forgotten = self.renamed = self.refused = self.verified = 0
        self.beside: tuple[str, ...] = ()
        self.whose: tuple[str, ...] = ()
        self.items: list[Item] = []
        self._aside = scratch / _ASIDE
        self._aside.unlink(missing_ok=True)
        self._waiting: list[str] = []
        self._notes: list[str] = []
        self._more_notes = 0
        self._sum = 0
        self._unmapped: dict[str, None] = {}

    def count(self, kind: str, what: str, many: int = 1) -> None:
        self.of[kind][what] += many

    def refuse(self, refused: Refused, kind: str = "") -> None:
        """Notes what was refused; with its kind where that is known, and then it was counted as found before."""
        spot = refused.spot
        item = Item(file=spot.file, line=spot.line, item=spot.item, reason=refused.reason)
        self.refused += 1
        if not kind:
            self.count("others", "found")
        self.count(kind or "others", "refused")
        if len(self.items) < LISTED:
            self.items.append(item)
        self._waiting.append(item.model_dump_json())

    def note(self, spot: Spot, text: str) -> None:
        """Notes something worth knowing that is no reason to leave anything out."""
        if len(self._notes) < LISTED:
            self._notes.append(f"{shown(spot)}: {text}")
        else:
            self._more_notes += 1

    def name(self, sender: Sender) -> None:
        """Notes somebody whose name is not known."""
        if sender.type == "user" and sender.name in ("", sender.id) and len(self._unmapped) < LISTED:
            self._unmapped[sender.id] = None

    def take(self, kind: str, item: BaseModel) -> None:
        """Counts what was taken."""
        self.count(kind, "taken")
        self._sum += int.from_bytes(sha256(f"{kind}:{item.model_dump_json()}".encode()).digest())

    def flush(self) -> None:
        """Writes aside what was refused since it was called last. Blocks; raises `Unavailable`."""
        if self._waiting:
            try:
                with self._aside.open("a", encoding="utf-8") as file:
                    file.writelines(f"{line}\n" for line in self._waiting)
            except OSError as error:
                raise Unavailable(
                    f"What was refused is listed in {self._aside.parent}, which cannot be written to "
                    f"({error.strerror}): make room there, then do the same again: it goes on from there."
                ) from error
            self._waiting = []

    def report(self, source: Path, format: str, terms: Terms, dry_run: bool, failed: str = "") -> Report:
        """What came of it so far."""
        more = [f"… and {self._more_notes:,} more of these"] if self._more_notes else []
        return Report(
            source=str(source),
            format=format,
            bot=terms.bot,
            zone=str(terms.zone),
            since=terms.since,
            dry_run=dry_run,
            started_at=terms.at,
            failed=failed,
            files=Files(**self.of["files"]),
            **{kind: Count(**self.of[kind]) for kind in _KINDS},
            renamed=self.renamed,
            forgotten=self.forgotten,
            refused=self.refused,
            verified=self.verified,
            sha256=f"{self._sum % (1 << 256):064x}",
            unmapped=tuple(self._unmapped),
            refused_items=tuple(self.items),
            notes=(*self._notes, *more),
            beside=self.beside,
            whose=self.whose,
        )


def ready(path: Path) -> None:
    """Makes the place of a report, which nobody but its owner may read, so that it is known early whether that can be.
    Blocks; raises `OSError`."""
    folder = path.absolute().parent
    for each in reversed([folder, *folder.parents]):
        each.mkdir(mode=0o700, exist_ok=True)
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "it is no file", str(path))
    os.close(os.open(aside(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))


def write(report: Report, scratch: Path, path: Path) -> None:
    """Writes the report as JSON with every refused item, which `scratch` of the migration's terms still has, whole or
    not at all. Blocks; raises `OSError`."""
    ready(path)
    fields = report.model_dump(mode="json", exclude={"refused_items"})
    head = json.dumps(fields, indent=2, ensure_ascii=False).removesuffix("\n}")
    with aside(path).open("w", encoding="utf-8", errors="replace") as file:
        file.write(f'{head},\n  "refused_items": [')
        for number, line in enumerate(_lines(scratch / _ASIDE)):
            file.write(f"{',' if number else ''}\n    {line.strip()}")
        file.write("\n  ]\n}\n")
    aside(path).replace(path)


def shown(spot: Spot | Item) -> str:
    """Where something stands, as people read it."""
    place = f"{spot.file}:{spot.line}" if spot.line else spot.file
    return f"{place} {spot.item}".rstrip()


def aside(path: Path) -> Path:
    """Where a report is until it is whole."""
    return path.with_name(f".{path.name}.new")


def _lines(path: Path) -> Iterator[str]:
    if path.exists():
        with path.open(encoding="utf-8") as file:
            yield from file


_KINDS = ("messages", "sessions", "channels", "records", "personas", "others")
