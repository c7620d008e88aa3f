"""What was recalled for an answer, told again as it reads now to whoever may read it: `/why about:memory`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from storage.backend import Store
from storage.model import Session
from storage.records import Memory

from .audiences import audience
from .facts import sources
from .memory_sources import stands
from .outdated import forgotten
from .pauses import unpaused
from .recalled_names import Named, called, whom
from .sessions import short

_LETTERS = 120
_ELSEWHERE = "something that is not for telling here"
_GONE = "something that is not there any more"


async def recalled_again(
    store: Store, recalled: Sequence[Mapping[str, Any]], audiences: Collection[str], inert: Callable[[str], str]
) -> list[str]:
    """A line for each thing that an answer's facts say was recalled: its day, whose words it is and how it begins, read
    from the store just now, where these audiences may be told that; and how it was found. Raises `StorageError`."""
    never = await forgotten(store)
    told = []
    for each in recalled:
        id, kind = str(each.get("id", "")), str(each.get("kind") or "")
        if kind == "turn" or (not kind and await store.message(id) is not None):
            words = await _line(store, id, audiences, never, inert)
        elif kind == "session":
            words = await _session(store, id, audiences, inert)
        else:
            words = await _fact(store, id, audiences, never, inert)
        score = f" ({each['score']:.2f})" if isinstance(each.get("score"), int | float) else ""
        reason = f": {inert(str(each['why']))}" if each.get("why") else ""
        told.append(f"- {words}{score}{reason}")
    return told


def cited_again(cited: Sequence[Mapping[str, Any]], inert: Callable[[str], str]) -> list[str]:
    """A line for each passage of a file that stood beside the question: the file, and where in it."""
    told = []
    for each in cited:
        where = " › ".join(inert(str(each[name])) for name in ("file", "section") if each.get(name))
        lines = each.get("lines")
        first, last = lines if isinstance(lines, list) and len(lines) == 2 else (None, None)
        place = "" if first is None else f", line {first}" if first == last else f", lines {first}–{last}"
        told.append(f"- {where}{place}")
    return told


async def _line(
    store: Store, id: str, audiences: Collection[str], never: Collection[str], inert: Callable[[str], str]
) -> str:
    line = await store.message(id)
    session = await store.session(line.session_id) if line is not None else None
    if line is None or line.deleted_at is not None or line.id in never or not _is_there(session):
        return _GONE
    if not _hear(session, audiences) or not await unpaused(store, [line]):
        return _ELSEWHERE
    return f"{line.at:%Y-%m-%d}, {inert(line.sender.name)} said: “{inert(short(line.words, _LETTERS))}”"


async def _session(store: Store, id: str, audiences: Collection[str], inert: Callable[[str], str]) -> str:
    session = await store.session(id)
    if session is None or not _is_there(session):
        return _GONE
    if not _hear(session, audiences):
        return _ELSEWHERE
    title = f": “{inert(short(session.title, _LETTERS))}”" if session.title else ""
    return f"{session.last_at:%Y-%m-%d}, what an earlier session was about{title}"


async def _fact(
    store: Store, id: str, audiences: Collection[str], never: Collection[str], inert: Callable[[str], str]
) -> str:
    fact = await store.record(Memory, id)
    quotes = fact is not None and not fact.id.startswith("learned ") and not set(never).isdisjoint(sources(fact))
    if fact is None or quotes or not await stands(store, fact):
        return _GONE
    if fact.audience not in audiences:
        return _ELSEWHERE
    people = await called(store, [fact], ())
    whose, words = Named((), people.values(), ()).noted(fact, short(fact.text, _LETTERS), people.get(whom(fact)))
    since = f" (holds no more since {fact.superseded_at:%Y-%m-%d})" if fact.superseded_at else ""
    return f"{fact.at:%Y-%m-%d}, {inert(whose.strip())} {inert(words)}{since}"


def _is_there(session: Session | None) -> bool:
    return session is not None and session.deleted_at is None


def _hear(session: Session | None, audiences: Collection[str]) -> bool:
    return session is not None and audience(session.channel) in audiences
