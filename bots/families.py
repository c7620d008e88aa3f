"""Which sessions were made of which: branches, copies and merges, as a family tree."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from storage.backend import Store
from storage.model import Session

from .carrying import carried_to
from .session_marks import MERGED
from .surgery import MADE_AS, made_of
from .titles import all_titled

MOST = 300
"""Sessions of one family that are shown."""


@dataclass(frozen=True, slots=True)
class Descent:
    """One session came of another."""

    parent: str
    child: str
    how: Literal["branch", "copy", "merge"]


@dataclass(frozen=True, slots=True)
class Family:
    """Sessions that are related, each with a title, the oldest first, and how."""

    members: tuple[Session, ...]
    descents: tuple[Descent, ...]
    cut: bool
    """Whether there are more than are shown."""


async def family(store: Store, session: Session, keys: Collection[str] | None) -> Family:
    """The family of a session, as far as it is in sight and in these channels, or in any. Raises `StorageError`."""
    found = {session.id: session}
    waiting, cut = [session], False
    while waiting:
        each = waiting.pop(0)
        near = [relative async for relative in carried_to(store, each.id)]
        named = [each.parent_id, each.metadata.get(MERGED), *made_of(each)]
        near += [kept for id in named if id and id not in found and (kept := await store.session(id)) is not None]
        for relative in near:
            if relative.id in found or relative.deleted_at is not None:
                continue
            if keys is not None and relative.channel.key not in keys:
                continue
            if len(found) >= MOST:
                cut = True
                break
            found[relative.id] = relative
            waiting.append(relative)
    members = await all_titled(store, sorted(found.values(), key=lambda each: (each.opened_at, each.id)))
    descents = [
        *(Descent(each.parent_id, each.id, _how(each)) for each in members if each.parent_id in found),
        *(Descent(parent, each.id, "merge") for each in members for parent in made_of(each) if parent in found),
    ]
    return Family(tuple(members), tuple(each for each in descents if _direct(each, found)), cut)


def _how(child: Session) -> Literal["branch", "copy"]:
    return "copy" if child.metadata.get(MADE_AS, "").startswith("Copy") else "branch"


def _direct(descent: Descent, members: dict[str, Session]) -> bool:
    """Whether nothing stands between: a merge knows also what those were merged from that it was made of."""
    if descent.how != "merge":
        return True
    others = (other for other in made_of(members[descent.child]) if other in members and other != descent.parent)
    return all(descent.parent not in made_of(members[other]) for other in others)
