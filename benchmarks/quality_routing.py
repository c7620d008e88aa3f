"""How well lines find the persona they are for, by cards alone and with examples, and how much talk is grabbed.

    .venv/bin/python -m benchmarks.quality_routing DATA --cards benchmarks/cards.yaml --chat CHAT.jsonl

DATA holds JSON lines `{split, text, persona or null, intent}`: examples are drawn from the split `train`, so many an
intent, and the split `test` is tried, or whatever else there is where there is none. Without `split` all lines are
tried; without `intent` so many examples a persona are drawn. The cards hold name, display, description, keywords and
domains: a list, a map by name, either of them under `personas`, or a folder of files such as config/personas. CHAT
holds JSON lines `{messages: [{text, system}]}` or `{text}`: every second line that is not the system's is tried, as
talk that nobody should answer; the other half is there for calibrating.

Printed are the shares in percent: in-scope lines to the right persona, out-of-scope lines left alone, their mean, the
area under the curve of whether anyone should answer, the talk that is grabbed, all at the threshold that is
shipped; the mean at the best threshold there is; the seconds the classifier took to learn, and milliseconds a line,
both of the processor and without embedding. What nothing was there to measure by is `nan`."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import sys
import time
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from bots.classifier import THRESHOLD, Classifier
from bots.errors import TroupeError
from bots.memory_settings import EmbedderSettings
from bots.providers import Embedder
from bots.providers.embedding import embedder
from bots.settings import PersonaSettings


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    persona: str | None
    intent: str
    split: str


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
    parser.add_argument(
        "--examples", type=_counts, default=(0, 5, 20), help="lines an intent, for each row of the table: 0,5,20"
    )
    parser.add_argument("--embedder", choices=("none", "minilm"), action="append", help="both unless one is named")
    parser.add_argument("--seed", type=int, action="append", help="for drawing examples; repeatable: the mean is shown")
    parser.add_argument("--every", type=_positive, default=1, help="try only every so manyth in-scope line")


def run(arguments: argparse.Namespace) -> int:
    """Prints a row for each setting. 1 where a setting cannot be had or a file cannot be read."""
    try:
        return _printed(arguments)
    except TroupeError as error:
        print(error, file=sys.stderr)
        return 1


def _printed(arguments: argparse.Namespace) -> int:
    cards = _cards(arguments.cards)
    lines = _lines(arguments.data, [card["name"] for card in cards])
    train = [line for line in lines if line.split == "train"]
    tried = [line for line in lines if line.split == "test"] or [line for line in lines if line.split != "train"]
    if not tried:
        raise TroupeError(f"{arguments.data}: every line is of the split `train`, and there is none to try.")
    in_scope = [line for line in tried if line.persona is not None][:: arguments.every]
    tried = [*in_scope, *(line for line in tried if line.persona is None)]
    chat = _chat(arguments.chat) if arguments.chat else []
    counts = arguments.examples if train else (0,)
    if not train:
        print(f"{arguments.data}: no line is of the split `train`, so that no examples are drawn.", file=sys.stderr)
    print(f"{len(in_scope)} lines in scope, {len(tried) - len(in_scope)} out of scope, {len(chat)} of talk")
    print("embedder  examples  in scope  out of scope  mean  AUROC  grabs  best mean  learned  ms a line")
    for kind in arguments.embedder or ("none", "minilm"):
        made = embedder(EmbedderSettings(provider=kind))
        if kind != "none" and made is None:
            print(f"{kind}: not here; `make embed` installs it", file=sys.stderr)
            return 1
        known = _Known(made) if made else None
        for each in counts:
            runs = [
                _measured(_personas(cards, train, each, seed), tried, chat, known) for seed in arguments.seed or [1]
            ]
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
    grabbed = _percent(sum(likely > THRESHOLD for likely in talk), len(talk))
    return in_scope, out_of_scope, (in_scope + out_of_scope) / 2, _area(found), grabbed, best, learned, each


def _shares(found: Sequence[_Tried], threshold: float) -> tuple[float, float]:
    """In-scope lines to the right persona and out-of-scope lines left alone, in percent."""
    meant = [each.best == each.meant and each.likely > threshold for each in found if each.meant is not None]
    nobody = [each.likely <= threshold for each in found if each.meant is None]
    return _percent(sum(meant), len(meant)), _percent(sum(nobody), len(nobody))


def _percent(hits: float, of: int) -> float:
    return 100 * hits / of if of else math.nan


def _area(found: Sequence[_Tried]) -> float:
    """How often a line that somebody should answer is likelier than one that nobody should, in percent."""
    nobody = sorted(each.likely for each in found if each.meant is None)
    meant = [each.likely for each in found if each.meant is not None]
    wins = sum(bisect_left(nobody, each) + bisect_right(nobody, each) for each in meant)
    return _percent(wins, 2 * len(meant) * len(nobody))


def _personas(
    cards: Sequence[Mapping[str, Any]], train: Sequence[_Line], each: int, seed: int
) -> list[PersonaSettings]:
    """The personas of the cards, with so many examples an intent beside those that stand there."""
    chance = random.Random(seed)
    by_intent: dict[tuple[str, str], list[str]] = defaultdict(list)
    for line in train:
        if line.persona is not None:
            by_intent[line.persona, line.intent].append(line.text)
    examples: dict[str, list[str]] = defaultdict(list)
    for (persona, _), texts in sorted(by_intent.items()):
        examples[persona] += chance.sample(texts, min(each, len(texts)))
    return [_persona({**card, "examples": (*card.get("examples", ()), *examples[card["name"]])}) for card in cards]


def _persona(card: Mapping[str, Any]) -> PersonaSettings:
    try:
        return PersonaSettings(**{"prompt": "-", **card})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise TroupeError(f"The card of '{card['name']}' is wrong at `{where}`: {first['msg']}.") from None


def _cards(path: Path) -> list[dict[str, Any]]:
    """The cards of a file or of the files of a folder, each with its name."""
    found = {file.stem: _yaml(file) for file in sorted(path.glob("*.yaml"))} if path.is_dir() else _yaml(path)
    if isinstance(found, dict) and isinstance(found.get("personas"), list | dict):
        found = found["personas"]
    if isinstance(found, dict):
        found = [{"name": name, **card} if isinstance(card, dict) else card for name, card in found.items()]
    if (
        not found
        or not isinstance(found, list)
        or not all(isinstance(card, dict) and card.get("name") for card in found)
    ):
        raise TroupeError(f"{path} holds no cards: a list of personas, each with name, display, description, keywords.")
    for card in found:
        _persona(card)
    return found


def _yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(_text(path))
    except yaml.YAMLError as error:
        raise TroupeError(f"{path} is no YAML: {' '.join(str(error).split())}.") from None


def _lines(path: Path, personas: Sequence[str]) -> list[_Line]:
    found = []
    for where, given in _objects(path):
        text, persona = given.get("text"), given.get("persona")
        if not isinstance(text, str):
            raise TroupeError(f"{where}: `text` is missing: it is what somebody says.")
        if "persona" not in given or persona not in (None, *personas):
            told = json.dumps(persona)[:60] if "persona" in given else "missing"
            raise TroupeError(f"{where}: `persona` is {told}; there are cards for {', '.join(personas)}, and null.")
        found.append(_Line(text, persona, str(given.get("intent") or ""), str(given.get("split") or "")))
    return found


def _chat(path: Path) -> list[str]:
    said: list[str] = []
    for where, given in _objects(path):
        messages = given.get("messages", [given])
        if not isinstance(messages, list) or not all(isinstance(each, dict) and "text" in each for each in messages):
            raise TroupeError(f"{where}: `messages` is no list of objects with a `text`.")
        said += [str(each["text"]) for each in messages if not each.get("system")]
    return said[1::2]


def _objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The JSON objects of a file, a line each, with where each stands."""
    empty = True
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            given = json.loads(line)
        except (ValueError, RecursionError):
            given = None
        if not isinstance(given, dict):
            raise TroupeError(f"{path}, line {number}: this is no JSON object.")
        empty = False
        yield f"{path}, line {number}", given
    if empty:
        raise TroupeError(f"{path}: there is no line in it.")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise TroupeError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise TroupeError(f"{path} is no text in UTF-8.") from None


def _counts(given: str) -> tuple[int, ...]:
    return tuple(int(each) for each in given.split(",") if int(each) >= 0)


def _positive(given: str) -> int:
    if int(given) < 1:
        raise argparse.ArgumentTypeError("it is 1 or more")
    return int(given)


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
