"""What the personas of a bot may quote from: the bot's notes and each one's own, found by words and by meaning."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .knowledge import Contents, Knowledge
from .knowledge_files import Files
from .knowledge_meanings import Likeness, Meanings
from .knowledge_vectors import FILE
from .prompt import cut_to, tokens
from .providers import Embedder
from .settings import BotSettings
from .understanding import understood

_MOST_QUOTES = 4
_WORTH = 0.6
"""Of the best quote's score, from which on another is worth its room."""
_WORDS = 0.25
"""What the words a passage shares with a question count beside its meaning, at most."""
_WITHIN = 1.0
"""Seconds after which a question goes without."""
_LEAST_ROOM = 60
"""Tokens below which the beginning of a passage says too little."""
_ASKS_NOTHING = ("greeting", "thanks", "smalltalk")
_OPENING = "(From files that belong to you; where you use one, name it as it stands in its brackets:"


@dataclass(frozen=True, slots=True)
class Quote:
    """A passage that fits a question, word for word."""

    text: str
    file: str
    """Its path below the folder it is from."""
    place: str
    """The headings it stands under, outermost first; empty at the beginning of a file."""
    lines: tuple[int, int]
    score: float
    """0 to about 1; comparable within one question."""

    @property
    def cited(self) -> str:
        """`[coffee.md › Grinding, lines 9–11]`"""
        first, last = self.lines
        lines = f"line {first}" if first == last else f"lines {first}–{last}"
        where = " › ".join(filter(None, (self.file, self.place)))
        return f"[{' '.join(where.split())}, {lines}]"

    @property
    def told(self) -> str:
        """For a prompt, indented, so that no line poses as another."""
        text = "\n        ".join(self.text.splitlines())
        return f"    {self.cited}\n        {text}"


class Library:
    """The knowledge of one bot: what belongs to a persona is never told by another."""

    def __init__(
        self,
        shared: Sequence[Path],
        own: Mapping[str, Sequence[Path]],
        embedder: Embedder | None = None,
        *,
        kept: Path | None = None,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        """`shared` are the files and folders of all personas, `own` those of each by its name. The embedder stays the
        caller's to close. `kept` is a file for vectors, that saves the next start the embedding."""
        self._kept, self._ticks = kept, ticks
        self._arrange(shared, own, embedder)

    @classmethod
    def of_bot(cls, settings: BotSettings, embedder: Embedder | None = None) -> Library:
        """The library that a bot's settings describe."""
        kept = settings.root / FILE if settings.storage.enabled else None
        return cls(*_places(settings), embedder, kept=kept)

    def adopt(self, settings: BotSettings, embedder: Embedder | None) -> None:
        """Goes by other settings, and by another embedder, from now on."""
        before = self._meanings
        self._arrange(*_places(settings), embedder)
        if before:
            before.stop()

    def _arrange(self, shared: Sequence[Path], own: Mapping[str, Sequence[Path]], embedder: Embedder | None) -> None:
        common = Files(shared, self._ticks)
        self._shared = Knowledge(common)
        self._own = {name: Knowledge(Files(each, self._ticks), common) for name, each in own.items() if each}
        self._empty = not shared and not self._own
        self._meanings = Meanings(embedder, self._ticks, kept=self._kept) if embedder else None

    def of(self, persona: str) -> Knowledge:
        """What one persona may quote from: its own before the bot's."""
        return self._own.get(persona, self._shared)

    async def quoted(self, question: str, persona: str) -> list[Quote]:
        """The passages that fit a question, best first; none where nothing truly does."""
        if self._empty or not question.strip() or understood(question).intent in _ASKS_NOTHING:
            return []
        contents, fitting = await asyncio.to_thread(_searched, self.of(persona), question)
        likeness = await self._meanings.likeness(self._whose(persona), contents, question) if self._meanings else None
        scores = _weighed(fitting, likeness)
        best = sorted(scores, key=lambda number: (-scores[number], number))[:_MOST_QUOTES]
        return [
            _quote(contents, number, scores[number]) for number in best if scores[number] >= _WORTH * scores[best[0]]
        ]

    async def passages_for(self, question: str, persona: str, room: int) -> tuple[str, list[dict[str, object]]]:
        """What a model is told of the files for a question, in at most `room` tokens, and what of it stands in the
        answer's metadata: file, section, lines and score, none of the words. Both empty where nothing fits, and where
        files are read just now that nobody can wait for."""
        try:
            async with asyncio.timeout(_WITHIN):
                quotes = await self.quoted(question, persona)
        except TimeoutError:
            return "", []
        shown = _within(quotes, room - tokens(_OPENING) - 1)
        if not shown:
            return "", []
        told = "\n".join(quote.told for quote in shown)
        cited: list[dict[str, object]] = [
            {"file": each.file, "section": each.place, "lines": list(each.lines), "score": round(each.score, 3)}
            for each in shown
        ]
        return f"{_OPENING}\n{told})", cited

    async def look(self) -> None:
        """Reads what has changed and begins to learn it, so that nobody's question waits for that."""
        for persona in (*self._own, ""):
            contents = await asyncio.to_thread(self.of(persona).contents)
            if self._meanings:
                self._meanings.learn(self._whose(persona), contents)

    async def learned(self) -> None:
        """Waits until what was begun is learned."""
        if self._meanings:
            await self._meanings.learned()

    async def close(self) -> None:
        """Stops what goes on in the background."""
        if self._meanings:
            await self._meanings.close()

    def _whose(self, persona: str) -> str:
        return persona if persona in self._own else ""


def _places(settings: BotSettings) -> tuple[list[Path], dict[str, list[Path]]]:
    shared = [Path(settings.knowledge)] if settings.knowledge else []
    return shared, {persona.name: [Path(each) for each in persona.knowledge] for persona in settings.personas}


def _searched(knowledge: Knowledge, question: str) -> tuple[Contents, dict[int, float]]:
    contents = knowledge.contents()
    return contents, contents.fitting(question)


def _weighed(fitting: Mapping[int, float], likeness: Likeness | None) -> dict[int, float]:
    """Passages that share words with the question, unless they mean something else, and those that mean what it
    means though they share none."""
    most = max(fitting.values(), default=1.0)
    if likeness is None:
        return {number: score / most for number, score in fitting.items()}
    scores = {}
    for number, near in enumerate(likeness.passages):
        if near >= (likeness.far if number in fitting else likeness.near):
            scores[number] = near + _WORDS * fitting.get(number, 0.0) / most
    beyond = {n: score / most * _WORDS for n, score in fitting.items() if n >= len(likeness.passages)}
    return scores | beyond


def _quote(contents: Contents, number: int, score: float) -> Quote:
    file, passage = contents.passages[number]
    return Quote(passage.text, file, passage.section, (passage.first, passage.last), score)


def _within(quotes: Iterable[Quote], room: int) -> list[Quote]:
    """The quotes that have room, in their order; of the first its beginning if all of it has none."""
    shown: list[Quote] = []
    for quote in quotes:
        size = tokens(quote.told)
        if size > room and not shown and room >= _LEAST_ROOM:
            quote = _shortened(quote, room)
            size = tokens(quote.told)
        if size <= room:
            shown.append(quote)
            room -= size
    return shown


def _shortened(quote: Quote, room: int) -> Quote:
    # Each line is indented by eight letters, two tokens.
    text = cut_to(quote.text, room - tokens(quote.cited) - 2 * (quote.text.count("\n") + 2))
    last = min(quote.lines[1], quote.lines[0] + text.count("\n"))
    return Quote(f"{text} …", quote.file, quote.place, (quote.lines[0], last), quote.score)
