"""Looks a bot's storage over from end to end, and mends what can be rebuilt."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .blobs import Blobs, orphans
from .diagnosis import Finding, Places, Visit, amount
from .durable import in_thread
from .errors import StorageError
from .progress import Tell, silent

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a look at a bot's storage brought."""

    bot: str
    findings: tuple[Finding, ...]
    messages: int
    sessions: int

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong any more."""
        return not any(finding.open for finding in self.findings)


async def examine(
    bot_name: str,
    root: Path,
    blobs: Blobs,
    *,
    type: Literal["sqlite", "file", "postgres"] = "sqlite",
    url: str = "",
    fix: bool = False,
    deep: bool = False,
    running: bool = False,
    tell: Tell = silent,
) -> Diagnosis:
    """Reads everything a bot keeps, in small memory, and says what is wrong with it; with `deep` every byte of every
    attachment, too.

    Nothing is changed unless `fix` is asked for. Then what can be rebuilt from what is whole is rebuilt, and nothing
    is thrown away without a copy in `<root>/doctor`. The caller holds the root's `RootLock` for a `fix`, and says with
    `running` that somebody else holds it otherwise. What cannot be looked at is a finding as well, not an error."""
    visit = Visit(bot_name, root, fix, deep, running, tell)
    findings: list[Finding] = []
    try:
        await _kept(visit, type, url, findings)
        findings += await _files(visit, blobs)
    except (StorageError, OSError) as error:
        said = f"{error} The check stopped there."
        findings.append(Finding(what="unavailable", where=str(root), sentence=said))
    finally:
        visit.ledger.close()
    return Diagnosis(bot_name, tuple(findings), visit.messages, visit.sessions)


async def _kept(visit: Visit, type: str, url: str, findings: list[Finding]) -> None:
    """Adds what is found as it is found, so that trouble on the way hides nothing."""
    if type == "postgres":
        from .backends import postgres_checks

        await postgres_checks.examine(visit, url, findings)
    elif type == "file":
        from .backends import files_checks

        findings += await files_checks.examine(visit)
    else:
        from .backends import sqlite_checks

        await in_thread(lambda: findings.extend(sqlite_checks.examine(visit)))


async def _files(visit: Visit, blobs: Blobs) -> list[Finding]:
    """The stored files that messages refer to, and those that none does."""
    missing, damaged, after = Places(), Places(), ""
    while page := visit.ledger.files(after, _PAGE):
        for after, message in page:
            try:
                size = await blobs.size(after)
            except ValueError:  # no hash at all
                size = None
            if size is None:
                missing.add(f"{after} of message {message}")
            elif visit.deep and not await blobs.sound(after):
                damaged.add(f"{after} of message {message}")
            visit.tell("attachments", missing.count, 0)
    loose, size = 0, 0
    async with aclosing(orphans(blobs, visit.ledger, _PAGE)) as found:
        async for hash, bytes_ in found:
            loose, size = loose + 1, size + bytes_
            if visit.deep and not await blobs.sound(hash):
                damaged.add(f"{hash} of no message")
    lost = [*_lost(visit, "attachments-missing", missing), *_lost(visit, "attachments-damaged", damaged)]
    return [*lost, *(_loose(loose, size) if visit.whole else ())]


def _lost(visit: Visit, what: str, places: Places) -> list[Finding]:
    if not places.count:
        return []
    state = "missing" if what.endswith("missing") else "damaged"
    said = (
        f"{amount(places.count, 'attachment')} cannot be had any more ({state}); the words beside them are whole. A "
        f"backup may hold them: `troupe restore {visit.bot} --as <a new folder>`, then copy its attachments/ over."
    )
    return [Finding(what=what, where=str(places), sentence=said, count=places.count, lost=True)]


def _loose(count: int, size: int) -> list[Finding]:
    if not count:
        return []
    said = (
        f"{amount(count, 'stored file')} ({size:,} bytes) without a message; retention removes them when they have "
        "been so for long enough."
    )
    return [Finding(what="attachments-orphaned", where="attachments", sentence=said, count=count, note=True)]
