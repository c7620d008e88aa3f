"""A fact as it is drawn from something that was said: its id, its words, what it speaks of and whom it draws on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Literal

from storage.model import Message, storable
from storage.records import Memory

from .pauses import MENTION
from .terms import terms

Kind = Literal["episodic", "semantic", "procedural", "working"]

LONGEST = 300
"""Letters of a fact."""
SINGLE = frozenset(
    "name pronouns lives_in comes_from works_at works_as studies age birthday call_me answer_in answer_length "
    "time_zone married_to engaged_to partner".split()
)
"""What somebody has one of at a time: a new one takes the place of the one before. So do `favourite_…`."""
OPPOSITES = {"likes": "dislikes", "dislikes": "likes"}
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")
NAME = "name"
"""In the metadata of what somebody told: what they were called then."""
UNREAD = "-"
"""In place of the wording of what is not quoted."""
_NOT = frozenset("not no never without nicht kein keine keinen pas jamais nunca sin".split())


def fact(
    line: Message,
    audience: str,
    text: str,
    *,
    subject: str,
    type: Kind = "semantic",
    attribute: str = "",
    value: str = "",
    ended: bool = False,
    importance: float = 0.5,
    by: str = "rules",
    when: datetime | None = None,
) -> Memory:
    """A memory drawn from a line, as of when that was said. Its id follows from the line and what is said of what, so
    that the same fact of the same line is always the same memory. `attribute` and `value` say what may be true only
    once (`lives_in`, `Rome`); `ended` that it is so no longer; `when` the day that a plan is for."""
    about = f"{subject}\n{attribute}\n{key(value or text)}\n{ended}"
    metadata = {"by": by, "read": wording(line)}
    if attribute:
        metadata |= {"attribute": attribute, "value": inert(value, 120)}
    if ended:
        metadata["ended"] = "yes"
    if when is not None:
        metadata["when"] = when.date().isoformat()
    return Memory(
        id=f"learned {line.id} {digest(about)}",
        at=line.at,
        type=type,
        audience=audience,
        subject=subject,
        text=inert(text),
        importance=importance,
        source=line.id,
        people=tuple(dict.fromkeys((line.sender.id, *MENTION.findall(line.words)))),
        metadata=metadata,
    )


def wording(line: Message) -> str:
    """Tells one wording of a line from another without holding it."""
    return digest(line.words)


def digest(text: str) -> str:
    """Ten bytes as hexadecimal digits that follow from a text."""
    return hashlib.blake2s(text.encode("utf-8", "replace"), digest_size=10).hexdigest()


def inert(text: str, longest: int = LONGEST) -> str:
    """Words on one line, without what cannot be seen, at most so many letters."""
    plain = " ".join(_CONTROLS.sub(" ", storable(text)).split())
    return plain if len(plain) <= longest else plain[: longest - 1].rstrip() + "…"


@lru_cache(maxsize=8192)
def key(text: str) -> str:
    """What two wordings of one thing are compared by."""
    return " ".join(sorted(set(terms(text)))) or text.casefold().strip()


@lru_cache(maxsize=8192)
def negated(text: str) -> bool:
    """Whether it says that something is not so."""
    words = text.casefold().replace("’", "'").split()
    return any(word.strip(".,!?") in _NOT or "n't" in word for word in words) or "no longer" in text.casefold()


def is_single(attribute: str) -> bool:
    """Whether somebody has one of it at a time."""
    return attribute in SINGLE or attribute.startswith("favourite_")


def sources(memory: Memory) -> tuple[str, ...]:
    """The ids of all messages, or of the session, that a memory was drawn from."""
    return tuple(dict.fromkeys((*filter(None, (memory.source,)), *memory.metadata.get("sources", "").split())))


def reads(memory: Memory) -> dict[str, str]:
    """The wordings of the messages that a memory was drawn from, by their ids, as far as it quotes them."""
    told = memory.metadata
    found = dict(zip(told.get("sources", "").split(), told.get("reads", "").split(), strict=False))
    if memory.source is not None and "read" in told:
        found[memory.source] = told["read"]
    return {id: read for id, read in found.items() if read != UNREAD}


def drawn(memories: Iterable[Memory], lines: Iterable[Message] = ()) -> dict[str, str]:
    """As metadata, what a memory is drawn from that quotes all these memories and lines, and how that read."""
    found = {id: reads(each).get(id, UNREAD) for each in memories for id in sources(each)}
    found |= {line.id: wording(line) for line in lines}
    return {"sources": " ".join(found), "reads": " ".join(found.values())} if found else {}


def reworded(old: Memory, new: Memory, read: str) -> Memory:
    """A memory as its line says it now, in a wording that is `read`; that it was of use before stays."""
    update = {"text": new.text, "people": new.people, "metadata": {**old.metadata, **new.metadata, "read": read}}
    return old.model_copy(update=update | ({} if new.text == old.text else {"vector": None}))


def is_told(memory: Memory) -> bool:
    """Whether somebody asked for it to be remembered."""
    return memory.metadata.get("by") == "person" or memory.id.startswith("remembered ")


def owner(memory: Memory) -> str:
    """The id of the one person whose memory it is: whom it is about, who told it, or whose words are behind it; empty
    where there are several."""
    if memory.subject.startswith("user:"):
        return memory.subject.removeprefix("user:")
    own = len(memory.people) == 1 or is_told(memory) or memory.id.startswith("learned ")
    return memory.people[0] if memory.people and own else ""


def replaces(memory: Memory) -> list[str]:
    """The ids of those that a memory took the place of."""
    return [each.replace("\t", " ") for each in memory.metadata.get("replaces", "").split(" ") if each]


def replacing(ids: Iterable[str]) -> dict[str, str]:
    """The same as metadata; nothing for no ids."""
    written = " ".join(id.replace(" ", "\t") for id in ids)
    return {"replaces": written} if written else {}


def people(memories: Sequence[Memory]) -> tuple[str, ...]:
    """Those whom any of the memories is about or draws on, by their ids."""
    found: dict[str, None] = {}
    for memory in memories:
        if memory.subject.startswith("user:"):
            found[memory.subject.removeprefix("user:")] = None
        found |= dict.fromkeys(memory.people)
    return tuple(found)
