"""Who is who in a prompt: names made inert, and people told apart who would bear one name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from storage.model import Message, Sender

NAME_LIMIT = 32
_TAIL = 4
"""Digits of an id that tell two people of one name apart, unless they share them."""
_ROLES = ("system", "assistant", "user", "human", "developer", "tool", "function", "model", "bot", "ai")
_LONG = 5
"""Letters up to which a name is found within another by chance, as a sage is in a message."""
_COLONS = dict.fromkeys(map(ord, ":꞉∶ːˑ˸׃։܃܄᛬⁚⁝"))
_MARKS = dict.fromkeys(map(ord, "<>|\\`"), " ")
_UNSEEN = dict.fromkeys(map(ord, "\u034f\u115f\u1160\u17b4\u17b5\u3164\u2800\ufe0e\ufe0f"))
"""What is drawn as nothing without being a control."""
_ALIKE = str.maketrans("аеорсухіјѕԁԛԝһӏкмтнвпгοαεικνρτυχηβμ1lı0ʟ", "aeopcyxijsdqwhikmthbnroaeiknptuxnbmiiioi")
"""Letters that are drawn like another, by the one they are taken for in comparisons."""


class Speakers:
    """What the people of one talk are called. A name that two of them bear, or that is taken for a persona's or for
    the system's, gets a tail of its bearer's id: `Ana#4821`."""

    def __init__(
        self, talk: Iterable[Message], reserved: Iterable[str] = (), *, present: Iterable[Sender] = ()
    ) -> None:
        """`reserved` are names that belong to nobody of them; so do those of the bot's voices in the talk. `present`
        are named beside those who speak in it."""
        everybody = (*present, *(message.sender for message in talk))
        senders = {(sender.id, sender.name): sender for sender in everybody}
        people = [key for key, sender in senders.items() if sender.type in ("user", "bot")]
        voices = [sender.name for sender in senders.values() if sender.type not in ("user", "bot")]
        taken = frozenset((*_ROLES, *map(_likeness, (*reserved, *voices)))) - {""}
        bearers: dict[str, dict[str, None]] = {}
        for id, name in people:
            bearers.setdefault(_likeness(name), {})[id] = None
        self._names = {(id, name): _told_apart(id, name, tuple(bearers[_likeness(name)]), taken) for id, name in people}

    def name(self, sender: Sender) -> str:
        """What a sender is called before a line."""
        return self._names.get((sender.id, sender.name)) or inert(sender.name)


@lru_cache(maxsize=4096)
def inert(name: str, longest: int = NAME_LIMIT) -> str:
    """A name fit to stand in a prompt: one short line, nothing hidden in it, and no mark that a prompt's own words
    are set apart with; `someone` where nothing is left."""
    folded = unicodedata.normalize("NFKC", name[: 8 * longest]).translate(_UNSEEN).translate(_COLONS).translate(_MARKS)
    seen = "".join(_plain(character) for character in folded)
    # A number sign before a letter or digit would pass for the tail of somebody's id.
    kept = " ".join(re.sub(r"[#♯](?=\w|\s*\d)", "", seen).split())
    if len(kept) > longest:
        kept = kept[:longest].rstrip()
    return kept if any(unicodedata.category(character)[0] not in "MZ" for character in kept) else "someone"


def _plain(character: str) -> str:
    if character.isspace():
        return " "
    kind = unicodedata.category(character)
    if kind in ("Cc", "Cf", "Co", "Cs"):
        return ""
    return " " if kind in ("Ps", "Pe", "Zl", "Zp") else character


@lru_cache(maxsize=4096)
def _likeness(name: str) -> str:
    """What a name is compared by: two with the same one are taken for each other."""
    shown = inert(name)
    letters = "".join(c for c in unicodedata.normalize("NFKD", shown).casefold() if c.isalnum())
    return letters.translate(_ALIKE) or shown


@lru_cache(maxsize=4096)
def _told_apart(id: str, name: str, bearers: tuple[str, ...], taken: frozenset[str]) -> str:
    shown, likeness = inert(name), _likeness(name)
    words = {likeness, *map(_likeness, re.split(r"[\W_]+", shown))}
    posing = any(each in words or (len(each) > _LONG and each in likeness) for each in taken)
    if len(bearers) == 1 and not posing:
        return shown
    mine, *others = (re.sub(r"\W", "", each) for each in (id, *(other for other in bearers if other != id)))
    length = next((n for n in range(_TAIL, len(mine)) if all(o[-n:] != mine[-n:] for o in others)), len(mine))
    return f"{shown}#{mine[-length:]}" if mine else shown
