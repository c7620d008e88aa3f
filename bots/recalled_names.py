"""Whose words are recalled: people of one name told apart, and nobody able to speak in another's through a memory."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from storage.backend import Store
from storage.model import Sender
from storage.records import Memory

from .facts import NAME, is_told
from .speakers import Speakers

_BRACKETS = re.compile("[()]")
_SQUARE = {"(": "[", ")": "]"}
_QUOTES = str.maketrans("“”", '""')


class Named:
    """What people are called beside a question. Those in view of it, `present`, are called as they are there; anybody
    else of whom something is recalled is told apart from them, and from each other."""

    def __init__(self, present: Collection[Sender], recalled: Iterable[Sender], voices: tuple[str, ...]) -> None:
        self._here = {each.id: each for each in present}
        self._view = Speakers((), voices, present=present)
        self._all = Speakers((), voices, present=(*present, *recalled))

    def name(self, sender: Sender) -> str:
        """What a sender is called."""
        here = self._here.get(sender.id)
        return self._view.name(here) if here is not None else self._all.name(sender)

    def noted(self, fact: Memory, text: str, about: Sender | None) -> tuple[str, str]:
        """How the text of a memory is told: whose it is (`as Ana told it: `), and the words, quoted where they are
        somebody's. `about` is who `whom` says it is of, as far as that is known."""
        name = self.name(about) if about is not None else ""
        if is_told(fact):
            return f"as {name or 'somebody'} told it: ", f"“{text.translate(_QUOTES)}”"
        named = re.match(rf"{re.escape(name)}(?![\w#])", text) is not None
        return f"noted of {name}: " if name and not named else "noted: ", text


def whom(fact: Memory) -> str:
    """The id of the person who told a memory, or else of the one whom it is about; empty where there is none."""
    if is_told(fact) and fact.people:
        return fact.people[0]
    return fact.subject.removeprefix("user:") if fact.subject.startswith("user:") else ""


async def called(store: Store, facts: Iterable[Memory], known: Iterable[Sender]) -> dict[str, Sender]:
    """Those people of whom some memories are, by their ids: as they are known here, or else as they were in their
    latest session, or when they told it. Raises `StorageError`."""
    found = {each.id: each for each in known}
    for fact in facts:
        if not (id := whom(fact)) or id in found:
            continue
        page = await store.sessions_with(id, limit=1)
        found |= {each.id: each for session in page.items for each in session.participants if each.id == id}
        if id not in found and NAME in fact.metadata:
            found[id] = Sender(type="user", id=id, name=fact.metadata[NAME])
    return found


def balanced(text: str) -> str:
    """A text in which no bracket closes, or hides the end of, what was opened around it."""
    open_: list[int] = []
    lone: set[int] = set()
    for bracket in _BRACKETS.finditer(text):
        if bracket[0] == "(":
            open_.append(bracket.start())
        elif open_:
            open_.pop()
        else:
            lone.add(bracket.start())
    lone.update(open_)
    return "".join(_SQUARE[each] if at in lone else each for at, each in enumerate(text)) if lone else text
