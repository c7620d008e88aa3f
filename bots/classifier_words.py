"""What words and letters tell of whom a message is for, in plain Python and in any script."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Protocol

from .classifier_background import background
from .terms import folded, stems

KEYWORD_WEIGHT = 0.3
DOMAIN_WEIGHT = 0.5
"""What one of a persona's words found in a message counts: both from the seed's `ContextRouter`."""
BACKGROUND = -1
"""Stands for the background where a persona's number could stand."""
FEW = 8
"""So many examples count as much as the card's own words."""
_SMALLEST, _LARGEST = 4, 5
"""Letters that are looked at together."""
_LESS_TOLD = 0.5
"""What a word of a description or a name counts beside a keyword or an example."""
_COMMON, _COMMON_POWER = 0.3, 0.75
"""How much less a word counts the more lines of the background have it."""
_LEAST_WEIGHT = 0.3

Cut = Callable[[str], Iterable[str]]


class Card(Protocol):
    """What is known of a persona: as in `PersonaSettings`."""

    @property
    def name(self) -> str: ...
    @property
    def display(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def domains(self) -> Sequence[str]: ...
    @property
    def keywords(self) -> Sequence[str]: ...
    @property
    def examples(self) -> Sequence[str]: ...


class Tally:
    """Which share of the texts that have a piece (a word, some letters) is each persona's, and how telling it is."""

    def __init__(self, cut: Cut, cards: Sequence[Card]) -> None:
        self._cut, self._personas = cut, len(cards)
        counts: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))
        for number, card in enumerate(cards):
            for text, weight in _told(card):
                for piece in set(cut(text)):
                    counts[piece][number] += weight
        self._found_in_many = _found_in_many(cut)
        self._found = {
            piece: (sum(by.values()), tuple(by.items())) for piece, by in counts.items()
        }  # a piece's texts, and whose they are
        self._weights = [
            (1 + _COMMON * lines) ** -_COMMON_POWER for lines in range(max(self._found_in_many.values()) + 1)
        ]

    def scores(self, text: str, without: int | None = None) -> list[float]:
        """A number of 0 or more for each persona. `without` takes `text` as if it were not among the examples of the
        persona with that number, or not in the background."""
        found = [0.0] * self._personas
        size = 0.0
        for piece in set(self._cut(text)):
            lines = self._found_in_many.get(piece, 0) - (without == BACKGROUND)
            weight = self._weights[max(0, lines)]
            size += weight * weight
            known = self._found.get(piece)
            if known is None:
                continue
            total, shares = known
            own = without is not None and without != BACKGROUND
            weight /= total - own + max(0, lines) + 1
            for number, count in shares:
                found[number] += weight * (count - (own and number == without))
        scale = max(size, _LEAST_WEIGHT) ** -0.5
        return [score * scale for score in found]


class Keywords:
    """The seed's scoring: a fixed weight for each of a persona's words that stands in the message as it is."""

    def __init__(self, cards: Sequence[Card]) -> None:
        self._personas = len(cards)
        self._by_first: dict[str, list[tuple[re.Pattern[str], int, float]]] = defaultdict(list)
        for number, card in enumerate(cards):
            for words, weight in ((card.keywords, KEYWORD_WEIGHT), (card.domains, DOMAIN_WEIGHT)):
                for word in words:
                    first = _WORD.search(word.casefold())
                    anywhere = first is None or _DENSE.search(word) is not None
                    pattern = re.escape(word) if anywhere and first else rf"(?<!\w){re.escape(word)}(?!\w)"
                    entry = re.compile(pattern, re.IGNORECASE), number, weight
                    self._by_first[first[0] if first and not anywhere else ""].append(entry)

    def scores(self, text: str) -> list[float]:
        """From 0 to 1 for each persona."""
        found = [0.0] * self._personas
        for first in {"", *_WORD.findall(text.casefold())}:
            for pattern, number, weight in self._by_first.get(first, ()):
                if pattern.search(text):
                    found[number] = min(1.0, found[number] + weight)
        return found


def words(text: str) -> list[str]:
    """A text's words, the small ones too, and each with the next; of scripts written without spaces neighbouring
    letters."""
    found = stems(text)
    if not text.isascii() and _DENSE.search(text):
        return [piece for each in found for piece in (_pairs(each) if _DENSE.search(each) else (each,))]
    return found + [f"{one} {other}" for one, other in pairwise(["", *found, ""])]


def _pairs(run: str) -> Iterator[str]:
    return (run[at : at + 2] for at in range(max(1, len(run) - 1)))


def letters(text: str) -> Iterator[str]:
    """Letters that stand together in a word, with where it begins and ends."""
    for word in _WORD.findall(folded(text)):
        held = f" {word[:40]} "
        for size in range(_SMALLEST, _LARGEST + 1):
            for start in range(len(held) - size + 1):
                yield held[start : start + size]


@lru_cache(maxsize=4)
def _found_in_many(cut: Cut) -> Mapping[str, int]:
    """How many lines of the background have each piece."""
    return Counter(piece for line in background() for piece in set(cut(line)))


def phrases(card: Card) -> list[str]:
    """The keywords and domains of a card, each once."""
    return list(dict.fromkeys((*card.keywords, *card.domains)))


def asked_about(card: Card) -> list[str]:
    """A message about each phrase of a card and each part of its description: nearer to what people say than a bare
    word is."""
    parts = (part.strip() for part in _PART.split(card.description))
    return [_ASKED.format(about) for about in dict.fromkeys((*phrases(card), *filter(None, parts)))]


def _told(card: Card) -> Iterator[tuple[str, float]]:
    """Every text of a card with what its words count."""
    for phrase in phrases(card):
        yield phrase, 1.0
    names = {card.display.casefold(), card.name.replace("_", " ").replace("-", " ").casefold()}
    for text in (card.description, *sorted(names)):
        yield text, _LESS_TOLD
    for example in card.examples:
        yield example, 1.0


_WORD = re.compile(r"\w+")
_DENSE = re.compile("[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\U00020000-\U0003ffff]")
"""Japanese, Chinese, Thai, Lao, Burmese and Khmer letters."""
_PART = re.compile(r"[,;.:]|\band\b")
_ASKED = "I have a question about my {}"
