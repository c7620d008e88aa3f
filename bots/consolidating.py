"""New memories beside what is known: junk and repetitions refused, contradicted facts superseded, a full memory packed.

Everything happens within one audience and one subject: what is known of a person in private never meets what is known
of them in a channel.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache

from storage.backend import Store
from storage.forgetting import pages
from storage.records import Memory

from .facts import (
    OPPOSITES,
    UNREAD,
    digest,
    drawn,
    inert,
    is_single,
    is_told,
    key,
    negated,
    owner,
    people,
    reads,
    replaces,
    replacing,
    sources,
)
from .terms import telling, terms

_ALIKE = 0.8
"""The share of words that two memories have in common which say the same."""
_MORE, _MOST_IMPORTANCE = 0.05, 0.95
"""What hearing a fact again adds to its importance, and up to what."""
_LINKS = 8
_KNOWN = 2_000
"""Memories of one subject that a new one is compared with, the newest."""
_GROUP, _LETTERS = 8, 1_200
"""Memories that one summary takes in at most, and its letters."""
PACKED = "packed "
_NOTHING = f"{PACKED}away"
_PIECES = "pieces"
"""In the metadata of a summary: the lengths of what it is put together from, each with what that was drawn from."""


async def settled(store: Store, candidates: Sequence[Memory]) -> list[Memory]:
    """What is to be kept so that the candidates are known, beside what is known already: new memories, and known ones
    that change. What was kept by an earlier run of the same is not doubled."""
    known: dict[str, Memory] = {}
    for subject in dict.fromkeys(each.subject for each in candidates):
        count = 0
        async for page in pages(lambda cursor, of=subject: store.records(Memory, about=of, cursor=cursor, limit=200)):  # type: ignore[misc]
            known |= {each.id: each for each in page}
            count += len(page)
            if count >= _KNOWN:
                break
    for each in candidates:
        if each.id not in known and (there := await store.record(Memory, each.id)) is not None:
            known[there.id] = there
    return await asyncio.to_thread(consolidated, candidates, list(known.values()))


def consolidated(candidates: Iterable[Memory], known: Iterable[Memory]) -> list[Memory]:
    """The same, of memories at hand."""
    now = {each.id: each for each in known}
    changed: dict[str, Memory] = {}

    def change(memory: Memory) -> None:
        now[memory.id] = changed[memory.id] = memory

    for new in sorted(candidates, key=lambda each: (each.at, each.id)):
        if new.id in now or is_junk(new):
            continue
        beside = [each for each in now.values() if (each.audience, each.subject) == (new.audience, new.subject)]
        holding = [each for each in beside if each.superseded_by is None]
        twin = next((each for each in holding if _says_the_same(each, new)), None)
        if twin is not None:
            change(_heard_again(twin, new))
            continue
        against = [each for each in beside if _contradicts(each, new)]
        later = min((each for each in against if each.at > new.at), key=lambda each: each.at, default=None)
        if later is not None:  # it came late: it was true until then
            change(new.model_copy(update={"superseded_by": later.id, "superseded_at": later.at}))
            continue
        olds = [each for each in against if each.superseded_by is None]
        for old in olds:
            change(old.model_copy(update={"superseded_by": new.id, "superseded_at": new.at}))
        metadata = {**new.metadata, **replacing(old.id for old in olds)}
        change(new.model_copy(update={"metadata": metadata}))
    return list(changed.values())


def is_junk(memory: Memory) -> bool:
    """Whether it says nothing that could help anybody later."""
    if memory.metadata.get("by") == "person":
        return False
    words = memory.text.split()
    if len(words) < 2 or sum(map(str.isalnum, memory.text)) < 6:
        return True
    addresses = sum(word.startswith(("http://", "https://", "www.")) for word in words)
    return addresses == len(words) or not telling(memory.text)


def _says_the_same(old: Memory, new: Memory) -> bool:
    if old.type != new.type or _ended(old) != _ended(new):
        return False
    attributes = old.metadata.get("attribute", ""), new.metadata.get("attribute", "")
    if all(attributes):
        return attributes[0] == attributes[1] and _value(old) == _value(new)
    ours, theirs = _words(old.text), _words(new.text)
    if len(ours & theirs) < _ALIKE * len(ours | theirs) or not ours:
        return False
    return negated(old.text) == negated(new.text) and not any(any(map(str.isdigit, each)) for each in ours ^ theirs)


@lru_cache(maxsize=8192)
def _words(text: str) -> frozenset[str]:
    return frozenset(terms(text))


def _contradicts(old: Memory, new: Memory) -> bool:
    attribute, other = old.metadata.get("attribute", ""), new.metadata.get("attribute", "")
    if not attribute or (attribute != other and OPPOSITES.get(attribute) != other):
        return False
    same = _value(old) == _value(new)
    if attribute == other:
        if _ended(new) and not _value(new):
            return not _ended(old)
        if _ended(old) != _ended(new):
            return same or (_ended(old) and is_single(attribute))
        return is_single(attribute) and not _ended(new) and not same
    return same and not _ended(old)


def _heard_again(memory: Memory, by: Memory) -> Memory:
    """Somebody said it once more: it counts more, once for each line that says so."""
    if by.id in memory.links:
        return memory
    importance = min(max(_MOST_IMPORTANCE, memory.importance), max(memory.importance, by.importance) + _MORE)
    return memory.model_copy(update={"importance": importance, "links": (*memory.links, by.id)[-_LINKS:]})


def _value(memory: Memory) -> str:
    value = memory.metadata.get("value", "")
    return key(value) if value else ""


def _ended(memory: Memory) -> bool:
    return "ended" in memory.metadata


async def replaced_by(store: Store, memory: Memory) -> list[Memory]:
    """The history of a memory: what it took the place of, and what that did."""
    found: dict[str, Memory] = {}
    open_ = replaces(memory)
    while open_:
        id = open_.pop()
        old = await store.record(Memory, id) if id not in found and id != memory.id else None
        if old is not None and old.superseded_by is not None:
            found[id] = old
            open_ += replaces(old)
    return list(found.values())


async def without(store: Store, memory: Memory) -> list[Memory]:
    """What is to be kept so that a memory can go as if it had never been: what it took the place of holds again."""
    read = [await store.record(Memory, id) for id in replaces(memory)]
    return [holding(each) for each in read if each is not None and each.superseded_by == memory.id]


def holding(memory: Memory) -> Memory:
    """The same as nothing superseded it."""
    return memory.model_copy(update={"superseded_by": None, "superseded_at": None})


async def undone(store: Store, memory: Memory, at: datetime) -> list[Memory]:
    """What is to be kept so that the last change which a memory was a part of is taken back; nothing where there was
    none."""
    new = memory
    if memory.superseded_by is not None:
        newer = await store.record(Memory, memory.superseded_by)
        if newer is None:  # it was forgotten: what it took the place of may hold again
            return [holding(memory)]
        new = newer
    read = [await store.record(Memory, id) for id in replaces(new)]
    olds = [each for each in read if each is not None and each.superseded_by == new.id]
    if not olds or new.superseded_by is not None:
        return []
    back = [
        each.model_copy(
            update={
                "superseded_by": None,
                "superseded_at": None,
                "metadata": {**each.metadata, **replacing([new.id])},
            }
        )
        for each in olds
    ]
    without = {name: value for name, value in new.metadata.items() if name != "replaces"}
    gone = {"superseded_by": olds[0].id, "superseded_at": at, "metadata": without}
    return [*back, new.model_copy(update=gone)]


def packed(memories: Sequence[Memory], room: int, at: datetime, half_life: timedelta) -> list[Memory]:
    """What is to be kept so that of all memories of one audience at most `room` hold: the least useful are put together
    by what they are about, and are history of their summary; where that is not enough, what is alone of its kind is
    history of nothing. What somebody asked to have remembered stays as it is, and leaves the rest half of the room."""
    holding = [each for each in memories if each.superseded_by is None]

    def use(memory: Memory) -> tuple[float, datetime, str]:
        return memory.strength(at, half_life), memory.at, memory.id

    weakest = sorted((each for each in holding if not is_told(each)), key=use)
    excess = len(weakest) - max(room - (len(holding) - len(weakest)), room // 2)
    if excess <= 0:
        return []
    groups = _enough(weakest, excess, mixed=False)
    mixed = _saved(groups) < excess
    changed: list[Memory] = []
    for group in _enough(weakest, excess, mixed=True) if mixed else groups:
        if excess > 0:
            summary = _summary(group)
            changed += [summary, *(_put_into(each, summary) for each in group)]
            excess -= len(group) - 1
    if excess > 0:
        taken = {each.id for each in changed}
        alone = [each for each in weakest if each.id not in taken][:excess]
        changed += [each.model_copy(update={"superseded_by": _NOTHING, "superseded_at": at}) for each in alone]
    return changed


def _enough(weakest: Sequence[Memory], excess: int, *, mixed: bool) -> list[list[Memory]]:
    """Groups of as few of the weakest as it takes to save that many; of all where even that is not enough."""
    reach = excess + 2
    while True:
        groups = _grouped(weakest[:reach], mixed)
        if _saved(groups) >= excess or reach >= len(weakest):
            return groups
        reach += reach // 4 + 1


def _saved(groups: Sequence[Sequence[Memory]]) -> int:
    return sum(len(group) - 1 for group in groups)


def _grouped(memories: Sequence[Memory], mixed: bool) -> list[list[Memory]]:
    """Memories of one type and of one person, or of nobody's, in groups of two or more; of one subject unless mixed.
    What is about a person is put together with nothing else, so that it stays theirs."""
    alike: dict[tuple[str, str, str], list[Memory]] = defaultdict(list)
    for each in memories:
        subject = "" if mixed and not each.subject.startswith("user:") else each.subject
        alike[subject, owner(each), each.type].append(each)
    return [group for each in alike.values() for group in _fitting(each) if len(group) > 1]


def _fitting(memories: Sequence[Memory]) -> list[list[Memory]]:
    """The same in groups whose words one summary has room for."""
    groups, left = list[list[Memory]](), 0
    for each in memories:
        letters = sum(len(text) + 1 for text in _pieces(each))
        if not groups or letters > left or len(groups[-1]) == _GROUP:
            groups.append([])
            left = _LETTERS
        groups[-1].append(each)
        left -= letters
    return groups


def _summary(group: Sequence[Memory]) -> Memory:
    """What they say, one after the other, each thing once; it goes with any whom one of them draws on."""
    ordered = sorted(group, key=lambda each: (each.at, each.id))
    pieces: dict[str, list[str]] = {}
    for each in ordered:
        for text, drawn_from in _pieces(each).items():
            pieces[text] = [*pieces.get(text, ()), *drawn_from]
    return ordered[-1].model_copy(
        update={
            "id": PACKED + digest("\n".join(each.id for each in ordered)),
            "text": " ".join(pieces),
            "subject": ordered[-1].audience if len({each.subject for each in ordered}) > 1 else ordered[-1].subject,
            "vector": None,
            "importance": max(each.importance for each in ordered),
            "touched_at": max((each.touched_at for each in ordered if each.touched_at), default=None),
            "access_count": max(each.access_count for each in ordered),
            "people": people(ordered),
            "links": (),
            "metadata": {"by": "packing", **drawn(ordered), **_told_apart(pieces)},
        }
    )


def lightened(summary: Memory, gone: Collection[str]) -> Memory | None:
    """A summary without what was drawn from any of these sources; None where nothing is left of it."""
    left = {text: ids for text, ids in _pieces(summary).items() if not set(gone) & set(ids)}
    if not left:
        return None
    read, ids = reads(summary), list(dict.fromkeys(id for each in left.values() for id in each))
    sources = {"sources": " ".join(ids), "reads": " ".join(read.get(id, UNREAD) for id in ids)}
    return summary.model_copy(
        update={
            "text": " ".join(left),
            "vector": None,
            "source": ids[-1] if ids else None,
            "metadata": {**summary.metadata, **sources, **_told_apart(left)},
        }
    )


def _pieces(memory: Memory) -> dict[str, list[str]]:
    """What a memory says, piece by piece, and the ids of what each piece was drawn from."""
    if _PIECES not in memory.metadata:
        text = f"{memory.at:%Y-%m-%d}: {memory.text}" if memory.type == "episodic" else memory.text
        text = inert(text, _LETTERS)
        return {text if text.endswith((".", "!", "?", "…")) else f"{text}.": list(sources(memory))}
    found, at = dict[str, list[str]](), 0
    for length, ids in json.loads(memory.metadata[_PIECES]):
        found[memory.text[at : at + length]] = ids
        at += length + 1
    return found


def _told_apart(pieces: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """As metadata, how long each piece of a text is, and what it was drawn from."""
    return {_PIECES: json.dumps([[len(text), list(dict.fromkeys(ids))] for text, ids in pieces.items()])}


def _put_into(memory: Memory, summary: Memory) -> Memory:
    return memory.model_copy(update={"superseded_by": summary.id, "superseded_at": summary.at})
