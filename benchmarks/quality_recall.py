"""How well recall finds what was said: the share of the evidence for questions about long chats in its first ten.

The file has JSON lines, or JSON, of chats:

    {"id": "1", "people": ["Ann", "Ben"],
     "turns": [{"id": "t1", "at": "2024-05-08T13:56:00+00:00", "session": "s1", "speaker": "Ann", "text": "Hi!"}],
     "facts": [{"text": "Ann says hello.", "source": "t1", "speaker": "Ann"}],
     "questions": [{"question": "Who says hello?", "evidence": ["t1"], "at": "2024-06-01T00:00:00+00:00"}]}

where all but `turns`, `text`, `question` and `evidence` may be left out. The widespread form with `conversation`
(`session_1`, `session_1_date_time`), `qa` and `observation` is read as well. It goes through what a bot recalls with.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path

from bots.memory_settings import EmbedderSettings
from bots.providers import Embedder
from bots.providers.embedding import embedder
from bots.recalling import recalled
from storage.memory_index import Entry, MemoryIndex

from .recall_chats import Chat, read

FIRST = 10
_MONTH = timedelta(days=30)
_WORDS = 30_000
"""Different words in the made-up talk for the speed; a few are frequent, as in real talk."""


@dataclass
class Score:
    """Shares of evidence found, and seconds taken, question by question."""

    found: list[float] = field(default_factory=list)
    taken: list[float] = field(default_factory=list)

    @property
    def share(self) -> float:
        """The mean share in percent."""
        return 100 * statistics.fmean(self.found) if self.found else 0.0


def add(parser: argparse.ArgumentParser) -> None:
    """Says what may be given on the command line."""
    parser.add_argument("file", nargs="*", type=Path, help="chats with questions, as JSON or JSON lines")
    parser.add_argument("--words", action="store_true", help="by words alone, without the embedder of this machine")
    parser.add_argument("--speed", action="store_true", help="how long a question takes among 100,000 entries")


def run(arguments: argparse.Namespace) -> int:
    """Prints what was found; 1 where a file has nothing to ask, or cannot be read."""
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    if not arguments.file and not arguments.speed:
        print("Name a file with chats and questions, or say --speed.")
        return 1
    model = None if arguments.words else embedder(EmbedderSettings())
    if model is None and not arguments.words:
        print("There is no embedder on this machine (`make embed` installs one): by words alone.")
    for file in arguments.file:
        try:
            chats = read(file)
        except (OSError, ValueError) as error:
            print(f"{file}: {error.strerror if isinstance(error, OSError) else error}.")
            return 1
        of, asked = sum(chat.asked for chat in chats), sum(len(chat.questions) for chat in chats)
        print(f"{file}: {len(chats)} chats, {sum(len(chat.turns) for chat in chats)} turns")
        print(f"{asked} of {of} questions have evidence, the others are left out.")
        known = {turn.id for chat in chats for turn in chat.turns}
        if lost := sum(len(evidence - known) for chat in chats for _, evidence, _ in chat.questions):
            print(f"{lost} times the evidence is a turn that is not there: that counts as not found.")
        if not asked:
            return 1
        print(f"{'recall@10':<32}{'found':>8}{'p50 ms':>10}{'p95 ms':>10}")
        for name, facts, by in (
            ("words", False, None),
            ("words, embedder", False, model),
            ("words, facts", True, None),
            ("words, embedder, facts", True, model),
        ):
            if (facts and not any(chat.facts for chat in chats)) or ("embedder" in name and by is None):
                continue
            _print(name, await scored(chats, facts=facts, embedder=by))
    if arguments.speed:
        await _speed()
    if model is not None:
        await model.close()
    return 0


def _print(name: str, score: Score) -> None:
    taken = sorted(score.taken)
    late = taken[min(len(taken) - 1, len(taken) * 95 // 100)]
    found = f"{score.share:.1f}" if score.found else ""
    print(f"{name:<32}{found:>8}{1e3 * statistics.median(taken):>10.2f}{1e3 * late:>10.2f}", flush=True)


async def scored(chats: Sequence[Chat], *, facts: bool = False, embedder: Embedder | None = None) -> Score:
    """What is found in all chats, each of them for its own people alone."""
    index = await MemoryIndex.open(None)
    score = Score()
    try:
        for chat in chats:
            await index.put(chat.turns)
            await index.put(chat.facts if facts else ())
        if embedder is not None:
            await _embed(index, embedder)
        for chat in chats:
            for question, evidence, at in chat.questions:
                (vector,) = await embedder.embed([question]) if embedder is not None else (None,)
                started = time.perf_counter()
                hits = await recalled(
                    index,
                    question,
                    {chat.id},
                    now=at,
                    half_life=_MONTH,
                    vector=vector,
                    embedder_id=embedder.id if embedder is not None else None,
                    budget=100_000,
                    limit=FIRST,
                )
                score.taken.append(time.perf_counter() - started)
                score.found.append(len(evidence & {hit.entry.id for hit in hits}) / len(evidence))
    finally:
        await index.close()
    return score


async def _embed(index: MemoryIndex, embedder: Embedder) -> None:
    while missing := await index.vectors_missing(embedder.id, 64):
        vectors = await embedder.embed([text for _, text in missing])
        told = [(id, text, vector) for (id, text), vector in zip(missing, vectors, strict=True)]
        await index.put_vectors(embedder.id, told)


async def _speed(entries: int = 100_000, dimensions: int = 384, questions: int = 200) -> None:
    """Questions about made-up talk with words as frequent as in real one, and made-up vectors."""
    chance = random.Random(6)
    often = list(accumulate(1 / (rank + 20) for rank in range(_WORDS)))
    start = datetime(2024, 1, 1, tzinfo=UTC)

    def said(words: int) -> str:
        return " ".join(f"w{number}" for number in chance.choices(range(_WORDS), cum_weights=often, k=words))

    def vector() -> list[float]:
        return [chance.gauss(0, 1) for _ in range(dimensions)]

    def turn(number: int) -> Entry:
        at = start + timedelta(minutes=number)
        return Entry(f"m{number}", "all", "turn", f"s{number // 40}", f"person{number % 7}", "", at, said(14))

    with tempfile.TemporaryDirectory() as folder:
        index = await MemoryIndex.open(Path(folder, "memory_index.db"))
        began = time.perf_counter()
        for first in range(0, entries, 1000):
            await index.put(turn(number) for number in range(first, first + 1000))
        print(f"\n{entries} entries taken in: {time.perf_counter() - began:.0f} s")
        few = [vector() for _ in range(997)]
        while missing := await index.vectors_missing("made-up", 5000):
            await index.put_vectors("made-up", [(id, text, chance.choice(few)) for id, text in missing])
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        print(f"{size / 1e6:.0f} MB in the file")
        for name, by in (("words", None), ("words, vectors", "made-up")):
            score = Score()
            for number in range(questions):
                asked, wanted = said(6), vector()
                started = time.perf_counter()
                await recalled(index, asked, {"all"}, now=start, half_life=_MONTH, vector=wanted if by else None,
                               embedder_id=by)  # fmt: skip
                if number:  # the first reads what is kept at hand
                    score.taken.append(time.perf_counter() - started)
            _print(name, score)
        await index.close()
