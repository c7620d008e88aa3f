"""What may be quoted from: Markdown and text files, cut into passages and searched by words."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .knowledge_files import Files, Shelf
from .passages import Passage
from .terms import Hit, Ranking, stems, strong, terms

_NAMED = 0.4
_FEW_WORDS = 4
_TITLE_WEIGHT, _SECTION_WEIGHT = 1.5, 2.5


@dataclass(frozen=True, slots=True)
class Found:
    """A passage that answers a question, word for word as it stands in its file."""

    passage: str
    source: str
    """`file title › section`."""
    score: float
    """Comparable within one search only."""


class Contents:
    """What stood in some files at one moment, ready to be searched."""

    def __init__(self, shelves: Sequence[Shelf]) -> None:
        self.shelves = tuple(shelves)
        files = [file for shelf in shelves for file in shelf.files]
        self.passages: list[tuple[str, Passage]] = [(file.name, each) for file in files for each in file.passages]
        """Each with the name of its file."""
        self.topics = list(dict.fromkeys(file.title for file in files if file.passages))
        self.skipped = [skipped for shelf in shelves for skipped in shelf.skipped]
        self._ranking = Ranking(
            [(passage.text, 1.0), (passage.title, _TITLE_WEIGHT), (passage.section, _SECTION_WEIGHT)]
            for _, passage in self.passages
        )

    def fitting(self, query: str) -> dict[int, float]:
        """The numbers of the passages that answer `query` by their words, with their scores, best first."""
        wanted = set(terms(query))
        hits = {hit.number: hit for hit in self._ranking.search(query)}
        scores = {
            number: hit.score * hit.coverage
            for number, hit in hits.items()
            if _fits(hit, named=self.passages[number][1].named_by(wanted), words=len(query.split()))
        }
        most = max(scores.values(), default=1.0)
        asked, about = f" {' '.join(stems(query))} ", strong(wanted)
        for number, (_, passage) in enumerate(self.passages):
            if passage.is_called(asked, about):
                scores[number] = 2 * most + scores.get(number, 0)
            elif number in hits and (number in scores or _ADVICE.search(query)) and (part := passage.opens_on(about)):
                scores[number] = most * (1 + part) + scores.get(number, 0) / 100
        return dict(sorted(scores.items(), key=lambda item: (-item[1], item[0])))


class Knowledge:
    """The files at some places, as they stand. They are first read at the first question, and looked at again every
    few seconds while questions come; safe to ask from any thread, where asking may take as long as reading them."""

    def __init__(self, *files: Files) -> None:
        self._files = files
        self._contents: Contents | None = None
        self._reading = threading.Lock()

    @classmethod
    def read(cls, folder: Path) -> Knowledge:
        """The `*.md` and `*.txt` files in `folder` and below. A missing folder is an empty one."""
        return cls(Files((folder,)))

    def of(self, _persona: str) -> Knowledge:
        """What one persona may quote from: all of it."""
        return self

    def search(self, query: str, limit: int = 3) -> list[Found]:
        """The passages that answer `query`, best first; none where nothing in the files fits the question."""
        contents = self.contents()
        best = list(contents.fitting(query).items())[:limit]
        shown = [(contents.passages[number][1], score) for number, score in best]
        return [Found(passage.text, passage.source, score) for passage, score in shown]

    @property
    def topics(self) -> list[str]:
        """The files' titles, in the order of their paths."""
        return self.contents().topics

    @property
    def skipped(self) -> list[str]:
        """The files that could not be taken in, each with its reason: `old/huge.txt: larger than 1 MiB`."""
        return self.contents().skipped

    def contents(self) -> Contents:
        """What stands in the files now; the same object while nothing has changed."""
        with self._reading:
            shelves = [files.now() for files in self._files]
            if self._contents is None or any(
                new is not old for new, old in zip(shelves, self._contents.shelves, strict=True)
            ):
                self._contents = Contents(shelves)
            return self._contents


def _fits(hit: Hit, *, named: float, words: int) -> bool:
    """Whether a hit answers the question rather than sharing a word with it. The more words a question has, the
    smaller the share of them one passage can be expected to hold; a passage `named` by one of them needs less. A
    single mention of a single word counts in a question of few `words` only: they hardly say anything else."""
    if hit.matched == 1 and not (named > 0.4 or hit.often or words <= _FEW_WORDS):
        return False
    if hit.matched == 0 and named < 1:
        return False
    if hit.matched == 1 and hit.asked > (3 if named > 0.3 else 1):
        return False
    return hit.coverage >= max(0.34, 0.6 - 0.04 * hit.asked) * (1 - _NAMED * named)


_ADVICE = re.compile(r"\b(?:how|what) (?:should|do|can|could|would|to|must)\b", re.IGNORECASE)
