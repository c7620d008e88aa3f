"""What a look at a bot's storage finds, and what it holds on to meanwhile: findings, places, what was put aside."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .durable import sync_folder
from .model import Message, Value
from .progress import Tell

_SHOWN = 10


class Finding(Value):
    """One thing that somebody should know."""

    what: str
    """A short name of its kind, for programs."""
    where: str
    sentence: str
    """What is the matter and, where it is not mended by `--fix`, what to do."""
    count: int = 1
    fixable: bool = False
    fixed: bool = False
    lost: bool = False
    """Something is gone that only a backup can bring back."""
    note: bool = False
    """Worth knowing, and nothing is wrong."""

    @property
    def open(self) -> bool:
        """Whether something is wrong still."""
        return not (self.fixed or self.note)


class Places:
    """Where something was seen, however often: all of them counted, the first ones named."""

    def __init__(self, places: Iterable[str] = ()) -> None:
        self.count = 0
        self._named: list[str] = []
        for place in places:
            self.add(place)

    def add(self, place: str) -> None:
        self.count += 1
        if self.count <= _SHOWN:
            self._named.append("".join(c if c.isprintable() else "?" for c in place)[:200])

    def __str__(self) -> str:
        more = f" and {self.count - _SHOWN:,} more" if self.count > _SHOWN else ""
        return ", ".join(self._named) + more


@dataclass(frozen=True)
class Rule:
    """Something that must hold between the rows of a database, as SQL."""

    what: str
    find: str
    """Names every place in which it does not; brings nothing when all is well."""
    sentence: str
    mends: tuple[str, ...]
    """Statements that make it hold, in one transaction; `:bot` is the bot's name, as the database takes it."""
    aside: str = ""
    """What the mending throws away, a JSON text a row."""
    lost: bool = False
    """Whether something is gone that the mending cannot bring back."""


class Ledger:
    """What was said of ids and files while everything was read, in a nameless file that is gone once closed."""

    def __init__(self) -> None:
        self._rows = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode = OFF", "synchronous = OFF"):
            self._rows.execute(f"PRAGMA {pragma}").fetchall()
        self._rows.execute("CREATE TABLE files (hash TEXT PRIMARY KEY, message TEXT NOT NULL) WITHOUT ROWID")
        self._rows.execute("CREATE TABLE seen (id TEXT PRIMARY KEY, place TEXT NOT NULL) WITHOUT ROWID")
        self._rows.execute("BEGIN")

    def note(self, message: Message) -> None:
        """Notes the files to which a message refers, in its earlier wordings too."""
        for hash in message.blobs:
            self._rows.execute("INSERT OR IGNORE INTO files VALUES (?, ?)", (hash, message.id))

    def seen(self, id: str, place: str) -> str | None:
        """Where an id was seen before; None, and the place is noted, when it was not."""
        if self._rows.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (id, place)).rowcount:
            return None
        (before,) = self._rows.execute("SELECT place FROM seen WHERE id = ?", (id,)).fetchone()
        return str(before)

    def knows(self, id: str, place: str) -> bool:
        """Whether an id was seen first in that place."""
        query = "SELECT 1 FROM seen WHERE id = ? AND place = ?"
        return self._rows.execute(query, (id, place)).fetchone() is not None

    def refers(self, hash: str) -> bool:
        """Whether a message refers to a file."""
        return self._rows.execute("SELECT 1 FROM files WHERE hash = ?", (hash,)).fetchone() is not None

    def files(self, after: str, limit: int) -> list[tuple[str, str]]:
        """Files beyond a hash, in the order of their hashes, each with a message that refers to it."""
        query = "SELECT hash, message FROM files WHERE hash > ? ORDER BY hash LIMIT ?"
        return self._rows.execute(query, (after, limit)).fetchall()

    async def references(self, hashes: Sequence[str]) -> dict[str, int]:
        """Those of the files to which a message refers."""
        return {hash: 1 for hash in hashes if self.refers(hash)}

    def close(self) -> None:
        self._rows.close()


@dataclass(slots=True)
class Visit:
    """One look at one bot's storage."""

    bot: str
    root: Path
    fix: bool
    """Whether what can be rebuilt is; the caller holds the root's lock then."""
    deep: bool
    """Whether every byte of every attachment is read, too."""
    running: bool
    """Whether somebody else has the storage open, and may be writing."""
    tell: Tell
    ledger: Ledger = field(default_factory=Ledger)
    messages: int = 0
    sessions: int = 0
    whole: bool = False
    """Whether all that refers to files was read, and so those are known that nothing refers to."""

    @property
    def backup(self) -> str:
        """What to do where nothing can be rebuilt."""
        return f"Restore the newest proven backup: `troupe restore {self.bot} --as <a new folder>`."

    def aside(self, name: str, data: bytes) -> None:
        """Keeps a copy of what is about to be thrown away, as lines of `<root>/doctor/<name>`. Raises OSError."""
        path = self._aside_folder() / name
        with open(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as file:
            file.write(data.rstrip(b"\n") + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def move_aside(self, path: Path) -> Path:
        """Moves a file into `<root>/doctor`, beside what is there already. Raises OSError."""
        folder, number = self._aside_folder(), 0
        while (target := folder / f"{path.name.lstrip('.')}{f'.{number}' if number else ''}").exists():
            number += 1
        path.rename(target)
        return target

    def _aside_folder(self) -> Path:
        folder = self.root / "doctor"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder


def amount(count: int, one: str, many: str = "") -> str:
    """`1 message`, `1,234 messages`."""
    return f"1 {one}" if count == 1 else f"{count:,} {many or f'{one}s'}"


def replace(path: Path, data: Iterable[bytes]) -> None:
    """Puts a whole file in place of another in one step, power cut or not. Raises OSError."""
    draft = path.with_name(f".{path.name}.new")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            for piece in data:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
    sync_folder(path.parent)
