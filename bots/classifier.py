"""How likely each persona is meant by a message: from the words of its card, its examples, and meaning."""

from __future__ import annotations

import asyncio
import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from .classifier_background import background
from .classifier_threshold import Line, Trial, best, slope
from .classifier_words import BACKGROUND, FEW, Card, Keywords, Tally, asked_about, letters, words

if TYPE_CHECKING:
    from .classifier_meaning import Meaning
    from .providers import Embedder

THRESHOLD = 0.5
"""How likely a persona must be meant before it answers for its words, unless somebody has found a better number."""
_LETTERS, _KEYWORDS = 0.3, 0.05
"""What letters and the seed's score count beside words."""
_WORDS, _WORDS_OF_CARDS = 0.15, 0.15
"""What all of these count beside meaning, and how much more for a persona without examples."""
_CARDS, _CARDS_MEANING = Line(0.25, 12.0), Line(0.26, 18.0)
"""Where even odds are for a persona without examples, by words alone and with meaning: half of it, the other half is
told by the background."""
_TRIED = 240
"""Examples that are tried as if they were new, to find where even odds are with examples."""
_MOST, _LAST = 2_000, 500
"""Characters of a message that are weighed, and how many of them are its last: below what is pasted stands what is
asked."""
_FEW = 20
"""So many tried examples count as much as what holds for cards alone."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whom a message is for, as far as its words and its meaning tell."""

    ranked: tuple[tuple[str, float], ...]
    """Every persona with the probability that it should answer, the likeliest first."""
    sure: bool
    """Whether the first is likelier than the threshold."""
    signals: Mapping[str, Mapping[str, float]]
    """For each persona what speaks for it: `keywords` (the seed's score, 0 to 1), `words`, `letters`, and with a
    vector `meaning`."""


@dataclass(frozen=True, slots=True)
class _Weighed:
    """What speaks for each persona, in their order."""

    keywords: list[float]
    words: list[float]
    letters: list[float]
    meaning: list[float] | None
    sums: list[float]
    """All of it together."""


class Classifier:
    """Weighs messages against cards. The same message, cards and vectors always give the same verdict."""

    def __init__(
        self, personas: Sequence[Card], *, threshold: float | None = None, embedder_id: str | None = None
    ) -> None:
        """`threshold` None is the built-in one. `embedder_id` names the embedder whose vectors `scores` is given; None
        takes those of whichever was made `ready`."""
        self.threshold = THRESHOLD if threshold is None else threshold
        self.embedder_id = embedder_id
        self.personas = tuple(personas)
        self._background = background()
        self._meaning: Meaning | None = None
        self._by_meaning: list[Line] = []
        self._vectors: dict[str, array[float]] = {}
        self._share = [_WORDS + _WORDS_OF_CARDS * FEW / (FEW + len(card.examples)) for card in personas]
        if len(personas) > 1:
            _ = self._by_words  # now, and not when the first message waits for it

    @property
    def by_meaning(self) -> bool:
        """Whether it goes by meaning too, where a vector is given."""
        return self._meaning is not None

    def scores(self, text: str, vector: Sequence[float] | None = None) -> Verdict:
        """Weighs one message, of a very long one its beginning and its end. `vector` is what the embedder made of it;
        without it words alone count."""
        if len(text) > _MOST:
            text = f"{text[: _MOST - _LAST]}\n{text[-_LAST:]}"
        if self._meaning is None or vector is None:
            return self._verdict(self._weighed(text, None), self._by_words)
        return self._verdict(self._weighed(text, self._meaning.scores(vector)), self._by_meaning)

    @cached_property
    def _tallies(self) -> tuple[Tally, Tally, Keywords]:
        return Tally(words, self.personas), Tally(letters, self.personas), Keywords(self.personas)

    @cached_property
    def _by_words(self) -> list[Line]:
        return self._lines(None, _CARDS)

    def own(self) -> list[tuple[str, str, Verdict]]:
        """The personas' own examples, as many as are tried, each with its persona and weighed as if it were new."""
        lines = self._by_meaning if self.by_meaning else self._by_words
        return [
            (text, self.personas[number].name, self._verdict(self._as_new(text, self._meaning, number, place), lines))
            for number, place in self._tried()
            for text in (self.personas[number].examples[place],)
        ]

    async def ready(self, embedder: Embedder, before: Classifier | None = None) -> None:
        """Learns what the cards, examples and background mean; until it is done words alone count. Vectors that
        `before` holds of the same embedder are not asked for again if they have the length that it gives now. Raises
        `ProviderError`."""
        known = before._vectors if before is not None and before.embedder_id == embedder.id else self._vectors
        texts = [*self._background]
        for card in self.personas:
            texts += [*asked_about(card), card.description, *card.examples]
        asked = list(dict.fromkeys(text for text in texts if text not in known)) or texts[:1]
        vectors = await embedder.embed(asked)
        if any(len(vector) != len(vectors[0]) for vector in known.values()):
            known, asked = {}, list(dict.fromkeys(texts))
            vectors = await embedder.embed(asked)
        new = {text: array("f", vector) for text, vector in zip(asked, vectors, strict=True)}
        self._vectors = {text: new[text] if text in new else known[text] for text in texts}
        meaning, lines = await asyncio.to_thread(self._learned)
        self._meaning, self._by_meaning, self.embedder_id = meaning, lines, embedder.id

    def _verdict(self, weighed: _Weighed, lines: Sequence[Line]) -> Verdict:
        names = [persona.name for persona in self.personas]
        likely = [line.probability(score) for line, score in zip(lines, weighed.sums, strict=True)]
        ranked = tuple(sorted(zip(names, likely, strict=True), key=lambda pair: -pair[1]))
        signals = {
            name: {
                "keywords": weighed.keywords[number],
                "words": weighed.words[number],
                "letters": weighed.letters[number],
                **({"meaning": weighed.meaning[number]} if weighed.meaning is not None else {}),
            }
            for number, name in enumerate(names)
        }
        return Verdict(ranked, bool(ranked) and ranked[0][1] > self.threshold, signals)

    def _learned(self) -> tuple[Meaning, list[Line]]:
        from .classifier_meaning import Meaning

        known = self._vectors
        meaning = Meaning(
            [[known[phrase] for phrase in asked_about(card)] for card in self.personas],
            [known[card.description] for card in self.personas],
            [[known[example] for example in card.examples] for card in self.personas],
            [known[line] for line in self._background],
        )
        return meaning, self._lines(meaning, _CARDS_MEANING)

    def _lines(self, meaning: Meaning | None, cards: Line) -> list[Line]:
        """For each persona where even odds are, found by trying examples as if they were new, and as if their persona
        were not there, and by what is for nobody."""
        trial = self._trial(meaning)
        counts = [len(card.examples) for card in self.personas]
        if not trial.right:
            return [Line((cards.at + trial.quiet) / 2, cards.slope)] * len(counts)
        at = (best(trial) + trial.quiet) / 2
        tried = len(trial.right) + trial.wrong
        trust = tried / (tried + _FEW)
        learned = Line(trust * at + (1 - trust) * cards.at, slope(at, trial))
        usual = sum(counts) / sum(1 for count in counts if count)
        return [_between(cards, learned, min(1.0, count / usual)) for count in counts]

    def _trial(self, meaning: Meaning | None) -> Trial:
        right, absent, wrong = [], [], 0
        for number, place in self._tried():
            sums = self._as_new(self.personas[number].examples[place], meaning, number, place).sums
            others = [score for other, score in enumerate(sums) if other != number]
            if not others or sums[number] >= max(others):
                right.append(sums[number])
            else:
                wrong += 1
            absent += [max(others)] if others else []
        lines = enumerate(self._background)
        background = [max(self._as_new(line, meaning, BACKGROUND, place).sums) for place, line in lines]
        return Trial(right, wrong, absent, background)

    def _tried(self) -> list[tuple[int, int]]:
        """Examples by the numbers of their personas and their places, evenly from all."""
        every = [(number, place) for number, card in enumerate(self.personas) for place in range(len(card.examples))]
        return every[:: math.ceil(len(every) / _TRIED) or 1]

    def _as_new(self, text: str, meaning: Meaning | None, whose: int, place: int) -> _Weighed:
        near = meaning.scores(self._vectors[text], (whose, place)) if meaning else None
        return self._weighed(text, near, whose)

    def _weighed(self, text: str, meaning: list[float] | None, without: int | None = None) -> _Weighed:
        by_words, by_letters, keywords = self._tallies
        told, spelt, seed = by_words.scores(text, without), by_letters.scores(text, without), keywords.scores(text)
        sums = [word + _LETTERS * each + _KEYWORDS * hit for word, each, hit in zip(told, spelt, seed, strict=True)]
        if meaning is not None:
            sums = [near + share * each for near, share, each in zip(meaning, self._share, sums, strict=True)]
        return _Weighed(seed, told, spelt, meaning, sums)


def _between(one: Line, other: Line, share: float) -> Line:
    return Line(one.at + share * (other.at - one.at), one.slope + share * (other.slope - one.slope))
