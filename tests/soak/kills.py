"""Writers that are killed at a random moment, or the server under them; and what must hold afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import psutil

from .checker import check_all, check_round
from .children import PATIENCE, Child
from .ledger import Ledger
from .talk import Place, Tell
from .writer import write

if TYPE_CHECKING:
    from tests.postgres import Server

GOLDEN = Path(__file__).parent.parent / "golden" / "schema_v1.sql"
MOMENTS = ("talking", "talking", "restless", "opening", "birth")
"""When the writer is killed: while it talks; while it opens and closes the store all the time; while it opens it; while
it makes a new one."""
CRASHES = ("server stopped", "server killed")
"""Or after the server went away under it without a farewell, and came back."""
UPGRADE = "upgrade"
"""Or while it brings a database of the first release up to date."""
INDEX = "index deleted"
"""Or while it talks, and then somebody deletes what can be made anew from the files."""
SPECIAL = {"postgres": CRASHES, "file": (INDEX,), "sqlite": (UPGRADE,)}


class Kills:
    """Rounds of faults on one root, so that damage would add up."""

    def __init__(self, place: Place, seed: int, server: Server | None = None) -> None:
        self._place = place
        self._chance = Random(seed)
        self._server = server
        self._coming: list[str] = []
        """Every moment comes once before one comes again."""
        self._ledgers: dict[int, Ledger] = {}
        self.acknowledged = 0
        self.total = 0
        """How many messages the root holds."""
        self.findings: list[str] = []

    def round(self, number: int) -> None:
        """Writes, kills and checks."""
        if not self._coming:
            moments = MOMENTS + SPECIAL[self._place.backend]
            self._coming = self._chance.sample(moments, len(moments))
        moment = self._coming.pop()
        place, before = self._place, self.total
        if moment in ("birth", UPGRADE):
            place, before = replace(place, root=place.root / f"new-{number}", bot=f"{place.bot}-{number}"), 0
        if moment == UPGRADE:
            place.root.mkdir()
            before = first_schema(place.root / "conversations.db")
        ledger = self._written(place, number, moment)
        if moment == INDEX:
            for file in (*place.root.glob("index.db*"), *place.root.glob("*.json")):
                file.unlink()
        checked = Child(_running(lambda tell: check_round(place, number, ledger, before, tell)))
        said = ledger.troubles + checked.end()
        totals = [int(line.split()[1]) for line in said if line.startswith("total ")]
        self.findings += [f"round {number} ({moment}): {line}" for line in said if not line.startswith("total ")]
        self.acknowledged += len(ledger.kept)
        if place is self._place:
            self._ledgers[number] = ledger
            self.total = totals[0] if totals else self.total

    def read_everything(self) -> None:
        """Compares all that the root holds with all that was ever acknowledged."""
        checked = Child(_running(lambda tell: check_all(self._place, self._ledgers, tell)))
        self.findings += [f"in the end: {line}" for line in checked.end()]

    def _written(self, place: Place, number: int, moment: str) -> Ledger:
        ledger = Ledger()
        writer = Child(_running(lambda tell: write(place, number, moment == "restless", tell)))
        if moment == "opening":
            ledger.hear(writer.lines(self._chance.uniform(0, 0.02)))
        elif place is not self._place:
            ledger.hear(writer.lines(self._chance.uniform(0, 0.3 if place.url else 0.04)))
        else:
            self._hear_more(writer, ledger)
            ledger.hear(writer.lines(self._chance.uniform(0, 0.08)))
        if self._server and moment in CRASHES:
            _crash(self._server, killed=moment == "server killed")
            self._hear_more(writer, ledger)
            ledger.hear(writer.lines(self._chance.uniform(0, 0.08)))
        ledger.hear(writer.kill())
        return ledger

    def _hear_more(self, writer: Child, ledger: Ledger) -> None:
        """Listens until something more is acknowledged."""
        known = len(ledger.kept)
        for line in writer.lines(PATIENCE):
            ledger.hear([line])
            if len(ledger.kept) > known:
                return


def first_schema(database: Path) -> int:
    """Makes a database as the first release left it, with a long talk in it. Returns how many messages there are."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.executescript(GOLDEN.read_text("utf-8"))
        columns = [row[1] for row in connection.execute("PRAGMA table_info(conversations)")]
        told = {"id": "NULL", "message_id": "'old' || value", "origin": "'discord:old:' || value"}
        values = ", ".join(told.get(column, column) for column in columns)
        connection.execute(
            f"INSERT INTO conversations ({', '.join(columns)}) SELECT {values} FROM conversations, "
            "(WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 2000) SELECT * FROM n) "
            "WHERE conversations.id = 1"
        )
        return int(connection.execute("SELECT count(*) FROM conversations").fetchone()[0])


def _crash(server: Server, killed: bool) -> None:
    """Stops the server without any farewell, and starts it again."""
    if killed:
        pid = int((server.folder / "data" / "postmaster.pid").read_text().split()[0])
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        os.kill(pid, signal.SIGKILL)
        psutil.wait_procs(family, PATIENCE)  # while one of them is left, no other may have their data
    else:
        server.stop("immediate")
    server.start()


def _running(work: Callable[[Tell], Coroutine[None, None, None]]) -> Callable[[Tell], None]:
    return lambda tell: asyncio.run(work(tell))
