"""A store's files flipped, cut, emptied and deleted: it says so, or has everything that is still on the disk."""

from __future__ import annotations

import asyncio
import shutil
import traceback
from pathlib import Path
from random import Random
from typing import NamedTuple

from storage.backend import Store
from storage.errors import Unavailable
from storage.model import Message

from . import talk
from .checker import everything
from .talk import AT_ONCE, LANES, Name, Place

EACH = 10 * AT_ONCE
"""Messages of each session."""


class Blow(NamedTuple):
    """One damage: what is done to which file."""

    state: str
    """`closed`, or `killed`: as a process leaves the files that was killed."""
    file: str
    how: str
    at: int

    def __str__(self) -> str:
        return f"{self.file} ({self.state}) {self.how} at byte {self.at}"


class Damage:
    """Rounds of one damage each, on a copy of the same store."""

    def __init__(self, place: Place, seed: int) -> None:
        self._place = place
        self._chance = Random(seed)
        self._told = [talk.message(Name(1, lane, number)) for number in range(1, EACH + 1) for lane in LANES]
        self.acknowledged = len(self._told)
        self.findings: list[str] = []
        asyncio.run(self._fill())

    def round(self, number: int) -> None:
        """Damages a copy and reads it."""
        blow, root = self._strike()
        try:
            finding = asyncio.run(self._look(Place(self._place.backend, root), blow))
        except Unavailable:
            finding = ""
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            finding = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
        if finding:
            self.findings.append(f"round {number}: {blow}: {finding}")
        shutil.rmtree(root)

    def read_everything(self) -> None:
        """Nothing adds up here: each round has a copy of its own."""

    async def _fill(self) -> None:
        closed, killed = (self._place.root / state for state in ("closed", "killed"))
        store = await Place(self._place.backend, closed).open()
        for first in range(0, len(self._told), AT_ONCE):
            batch = self._told[first : first + AT_ONCE]
            await asyncio.gather(*(store.append(talk.session(Name.of(one)), one) for one in batch))
        await store.search("line")
        shutil.copytree(closed, killed)
        await store.close()

    def _strike(self) -> tuple[Blow, Path]:
        state, root = self._chance.choice(("closed", "killed")), self._place.root / "struck"
        shutil.copytree(self._place.root / state, root)
        files = sorted(path for path in root.rglob("*") if path.is_file() and path.stat().st_size)
        path = self._chance.choice(files)
        content = bytearray(path.read_bytes())
        how, at = self._chance.choice(("flipped", "flipped", "cut", "emptied", "gone")), 0
        if how in ("flipped", "cut"):
            at = self._chance.randrange(len(content))
        if how == "flipped":
            content[at] ^= 1 << self._chance.randrange(8)
            path.write_bytes(content)
        elif how == "gone":
            path.unlink()
        else:
            path.write_bytes(content[:at])
        return Blow(state, str(path.relative_to(root)), how, at), root

    async def _look(self, place: Place, blow: Blow) -> str:
        """What is wrong with what is there now."""
        store = await place.open()
        try:
            read = [one async for one in everything(store)]
            found = self._wrong(blow, read, getattr(store, "problems", []))
            return found or await _goes_on(store)
        finally:
            await store.close()

    def _wrong(self, blow: Blow, read: list[Message], problems: list[str]) -> str:
        known = {one.id: Name.of(one) for one in self._told}
        there = [known[one.id] for one in read if one.id in known]
        lost = [one for one in self._told if known[one.id] not in there]
        for lane in LANES:
            numbers = [name.number for name in there if name.lane == lane]
            if numbers != sorted(set(numbers)):
                return f"the order of {lane} is {numbers}"
        if not lost or problems or self._is_gone(blow, lost):
            return ""
        return f"of {len(self._told)} messages {len(lost)} are not there, and nothing says so"

    def _is_gone(self, blow: Blow, lost: list[Message]) -> bool:
        """Whether what is lost is no longer on the disk."""
        name = Path(blow.file).name
        if name == "messages.jsonl":
            lanes = {Name.of(one).lane for one in lost}
            behind = [one for one in self._told if Name.of(one).lane in lanes][-len(lost) :]
            return len(lanes) == 1 and (lost == behind or len(lost) <= 2)
        if name.endswith("-wal"):
            return lost == self._told[-len(lost) :]  # its frames count up to the first that is not whole
        if blow.how == "flipped" and name.endswith(".db"):
            return len(lost) == 1  # a row that no longer says where it belongs: SQLite has no checksums
        return name == "conversations.db" and blow.how in ("gone", "emptied")


async def _goes_on(store: Store) -> str:
    name = Name(2, LANES[0], 1)
    kept = await store.append(talk.session(name), talk.message(name))
    return "" if kept and await store.find(f"discord:100:{name}") else "it takes no more messages"
