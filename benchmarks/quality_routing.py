"""How well lines find the persona they are for, by cards alone and with examples, and how much talk is grabbed.

    .venv/bin/python -m benchmarks.quality_routing DATA --cards benchmarks/cards.yaml --chat CHAT.jsonl

DATA holds JSON lines `{split, text, persona or null, intent}`: examples are drawn from the split `train`, so many an
intent, and the split `test` is tried, or `val` where there is none. The cards hold name, display, description, keywords
and domains. CHAT holds JSON lines `{messages: [{text, system}]}`: every second line that is not the system's is tried,
as talk that nobody should answer; the other half is there for calibrating.

Printed are the shares in percent: in-scope lines to the right persona, out-of-scope lines left alone, their mean, the
area under the curve of whether anyone should answer, the talk that is grabbed, all at the threshold that is
shipped; the mean at the best threshold there is; the seconds the classifier took to learn, and milliseconds a line,
both of the processor and without embedding."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from bots.classifier import THRESHOLD, Classifier
from bots.memory_settings import EmbedderSettings
from bots.providers import Embedder
from bots.providers.embedding import embedder
from bots.settings import PersonaSettings


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    persona: str | None
    intent: str


@dataclass(frozen=True, slots=True)
class _Tried:
    """What the classifier said of a line: the likeliest persona, and how likely it is."""

    best: str
    likely: float
    meant: str | None


def add(parser: argparse.ArgumentParser) -> None:
    """What may be given on the command line."""
    parser.add_argument("data", type=Path)
    parser.add_argument("--cards", type=Path, required=True)
    parser.add_argument("--chat", type=Path)
    parser.add_argument("--examples", default="0,5,20", help="lines an intent, for each row of the table")
    parser.add_argument("--embedder", choices=("none", "minilm"), action="append", help="both unless one is named")
    parser.add_argument("--seed", type=int, action="append", help="for drawing examples; repeatable: the mean is shown")
    parser.add_argument("--every", type=int, default=1, help="try only every so manyth in-scope line")


def run(arguments: argparse.Namespace) -> int:
    """Prints a row for each setting. 1 where a setting cannot be had."""
    lines = {split: list(_lines(arguments.data, split)) for split in ("train", "val", "test")}
    tried = lines["test"] or lines["val"]
    in_scope = [line for line in tried if line.persona is not None][:: arguments.every]
    tried = [*in_scope, *(line for line in tried if line.persona is None)]
    chat = _chat(arguments.chat) if arguments.chat else []
    print(f"{len(in_scope)} lines in scope, {len(tried) - len(in_scope)} out of scope, {len(chat)} of talk")
    print("embedder  examples  in scope  out of scope  mean  AUROC  grabs  best mean  learned  ms a line")
    for kind in arguments.embedder or ("none", "minilm"):
        made = embedder(EmbedderSettings(provider=kind))
        if kind != "none" and made is None:
            print(f"{kind}: not here; `make embed` installs it", file=sys.stderr)
            return 1
        known = _Known(made) if made else None
        for each in map(int, arguments.examples.split(",")):
            seeds = arguments.seed or [1]
            runs = [_measured(_personas(arguments.cards, lines["train"], each, s), tried, chat, known) for s in seeds]
            means = [sum(column) / len(runs) for column in zip(*runs, strict=True)]
            shares = "{:8.1f}  {:12.1f}  {:4.1f}  {:5.1f}  {:5.1f}  {:9.1f}".format(*means[:6])
            print(f"{kind:8}  {each:8}  {shares}  {means[6]:5.2f} s  {means[7]:9.2f}", flush=True)
    return 0


def _measured(
    personas: Sequence[PersonaSettings], lines: Sequence[_Line], chat: Sequence[str], known: _Known | None
) -> tuple[float, ...]:
    """A row of the table."""
    texts = [*(line.text for line in lines), *chat]
    vectors: Sequence[Sequence[float] | None] = [None] * len(texts)
    if known is not None:
        vectors = asyncio.run(known.embed(texts))
        asyncio.run(known.embed([text for each in personas for text in each.examples]))  # so that only learning counts
    start = time.process_time()
    classifier = Classifier(personas)
    if known is not None:
        asyncio.run(classifier.ready(known))
    learned = time.process_time() - start
    start = time.process_time()
    firsts = [classifier.scores(text, vector).ranked[0] for text, vector in zip(texts, vectors, strict=True)]
    each = (time.process_time() - start) / len(texts) * 1_000
    found = [_Tried(best, likely, line.persona) for (best, likely), line in zip(firsts, lines, strict=False)]
    talk = [likely for _, likely in firsts[len(lines) :]]
    in_scope, out_of_scope = _shares(found, THRESHOLD)
    steps = sorted(each.likely for each in found)[:: max(1, len(found) // 300)]
    best = max(sum(_shares(found, step)) / 2 for step in steps)
    grabbed = 100 * sum(likely > THRESHOLD for likely in talk) / len(talk) if talk else float("nan")
    return in_scope, out_of_scope, (in_scope + out_of_scope) / 2, _area(found), grabbed, best, learned, each


def _shares(found: Sequence[_Tried], threshold: float) -> tuple[float, float]:
    """In-scope lines to the right persona and out-of-scope lines left alone, in percent."""
    meant = [each.best == each.meant and each.likely > threshold for each in found if each.meant is not None]
    nobody = [each.likely <= threshold for each in found if each.meant is None]
    return 100 * sum(meant) / max(1, len(meant)), 100 * sum(nobody) / max(1, len(nobody))


def _area(found: Sequence[_Tried]) -> float:
    """How often a line that somebody should answer is likelier than one that nobody should, in percent."""
    nobody = sorted(each.likely for each in found if each.meant is None)
    meant = [each.likely for each in found if each.meant is not None]
    wins = sum(bisect_left(nobody, each) + bisect_right(nobody, each) for each in meant)
    return 100 * wins / max(1, 2 * len(meant) * len(nobody))


def _personas(cards: Path, train: Sequence[_Line], each: int, seed: int) -> list[PersonaSettings]:
    chance = random.Random(seed)
    by_intent: dict[tuple[str, str], list[str]] = defaultdict(list)
    for line in train:
        if line.persona is not None:
            by_intent[line.persona, line.intent].append(line.text)
    examples: dict[str, list[str]] = defaultdict(list)
    for (persona, _), texts in sorted(by_intent.items()):
        examples[persona] += chance.sample(texts, min(each, len(texts)))
    given = yaml.safe_load(cards.read_text(encoding="utf-8"))
    return [PersonaSettings(**card, prompt="-", examples=tuple(examples[card["name"]])) for card in given]


def _lines(path: Path, split: str) -> Iterator[_Line]:
    for line in path.open(encoding="utf-8"):
        given = json.loads(line)
        if given["split"] == split:
            yield _Line(given["text"], given["persona"], given["intent"])


def _chat(path: Path) -> list[str]:
    windows = (json.loads(line)["messages"] for line in path.open(encoding="utf-8"))
    return [each["text"] for messages in windows for each in messages if not each["system"]][1::2]


class _Known:
    """An embedder that is asked for each text once."""

    def __init__(self, made: Embedder) -> None:
        self.id, self.dimensions, self.semantic = made.id, made.dimensions, made.semantic
        self._made = made
        self._known: dict[str, tuple[float, ...]] = {}

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        if missing := [text for text in dict.fromkeys(texts) if text not in self._known]:
            self._known.update(zip(missing, await self._made.embed(missing), strict=True))
        return [self._known[text] for text in texts]

    async def close(self) -> None:
        await self._made.close()


if __name__ == "__main__":
    _parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add(_parser)
    sys.exit(run(_parser.parse_args()))
