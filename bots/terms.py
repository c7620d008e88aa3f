"""Words as a search sees them, and the ranking of short texts by the words they share with a question."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

_K1, _B = 1.4, 0.6
_MOST_TERMS = 64
"""Of a question; what comes after is not searched for."""
_GUESS = 0.7
"""What a term counts that was matched past a typing error."""
_WEAK = 0.35
"""What a word counts that is found in any kind of talk."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One text that shares words with a question."""

    number: int
    """Which text, counted from 0 in the order given."""
    score: float
    coverage: float
    """How much of what was asked it holds, rare words counting more: 0 to 1."""
    matched: int
    """How many different words of the question it holds, not counting those that are in any kind of talk."""
    asked: int
    """How many such words the question has."""
    often: bool
    """Whether it holds one of them more than once."""


class Ranking:
    """BM25 over texts. Each text is a sequence of (words, weight): a heading may weigh more than a body."""

    def __init__(self, texts: Iterable[Sequence[tuple[str, float]]]) -> None:
        self._found: dict[str, list[tuple[int, float]]] = defaultdict(list)
        self._lengths: list[float] = []
        for number, parts in enumerate(texts):
            counts = _counted(parts)
            self._lengths.append(sum(counts.values()))
            for term, count in counts.items():
                self._found[term].append((number, count))
        self._average = max(1.0, sum(self._lengths) / max(1, len(self._lengths)))
        self._by_letter: dict[str, list[str]] = defaultdict(list)
        for term in self._found:
            self._by_letter[term[0]].append(term)

    def search(self, question: str) -> list[Hit]:
        """Every text that shares a word with `question`, best first; equal ones in the order given."""
        scores: dict[int, float] = defaultdict(float)
        covered: dict[int, float] = defaultdict(float)
        matched: Counter[int] = Counter()
        often: set[int] = set()
        wanted = dict.fromkeys(terms(question)[:_MOST_TERMS])
        total, asked = 0.0, 0
        for term in wanted:
            known, trust = self._known(term)
            postings = self._found.get(known, ())
            if not postings and _is_slip(term):
                continue
            rarity = self._rarity(len(postings))
            weak = _is_weak(term)
            damp = _WEAK if weak else 1.0
            share = damp * (0.5 + 0.5 * rarity / self._rarity(0))
            total += share
            asked += not weak
            for number, count in postings:
                length = 1 - _B + _B * self._lengths[number] / self._average
                scores[number] += trust * damp * rarity * count * (_K1 + 1) / (count + _K1 * length)
                covered[number] += trust * share
                matched[number] += not weak
                if count >= 2 and not weak:
                    often.add(number)
        hits = (Hit(n, s, covered[n] / total, matched[n], asked, n in often) for n, s in scores.items())
        return sorted(hits, key=lambda hit: (-hit.score * hit.coverage, hit.number))

    def _known(self, term: str) -> tuple[str, float]:
        """The term of these texts that `term` stands for, and how far to trust that."""
        if term in self._found or len(term) < 4 or not term.isalpha() or not term.isascii():
            return term, 1.0
        alike = (known for known in self._by_letter.get(term[0], ()) if abs(len(known) - len(term)) < 2)
        near = (known for known in alike if _mistyped(term, known))
        best = min(near, key=lambda known: (-len(self._found[known]), known), default=None)
        return (best, _GUESS) if best else (term, 1.0)

    def _rarity(self, texts_with_it: int) -> float:
        return math.log(1 + (len(self._lengths) - texts_with_it + 0.5) / (texts_with_it + 0.5))


def terms(text: str) -> list[str]:
    """The words of a text that say what it is about: folded, without stop words, lightly stemmed.

    Scripts written without spaces give pairs of neighbouring characters."""
    found: list[str] = []
    for match in _TOKEN.finditer(folded(text)):
        if match["dense"]:
            for run in _DENSE_STOP.split(match["dense"]):
                found += [run[at : at + 2] for at in range(max(1, len(run) - 1)) if run]
        elif match[0] not in _STOP and (len(match[0]) > 1 or not match[0].isascii() or match[0].isdigit()):
            found.append(_stem(match[0].removesuffix("'s")))
    return found


def telling(text: str) -> set[str]:
    """The terms of a text that are not found in any kind of talk."""
    return {term for term in terms(text) if not _is_weak(term) and not term.isdigit()}


def strong(found: Iterable[str]) -> set[str]:
    """Those of some terms that are not found in any kind of talk."""
    return {term for term in found if not _is_weak(term)}


def stems(text: str) -> list[str]:
    """Every word of a text, the small ones too, folded and lightly stemmed."""
    return [_stem(match[0].removesuffix("'s")) for match in _TOKEN.finditer(folded(text))]


def folded(text: str) -> str:
    """The text without case, accents and typographic quotes, for comparing."""
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", text.replace("’", "'").casefold()))
    return unicodedata.normalize("NFC", bare)


def _counted(parts: Sequence[tuple[str, float]]) -> dict[str, float]:
    counts: dict[str, float] = defaultdict(float)
    for words, weight in parts:
        for term in terms(words):
            counts[term] += weight
    return counts


def _is_weak(term: str) -> bool:
    return term in _WEAK_TERMS or (term.isdigit() and len(term) < 3) or (len(term) == 1 and not term.isascii())


def _is_slip(term: str) -> bool:
    """Whether a word no text has is a stop word with a typing error."""
    return len(term) > 4 and any(_mistyped(term, stop) for stop in _STEMMED_STOPS if stop[0] == term[0])


def _mistyped(typed: str, meant: str) -> bool:
    """Whether one slip of the finger lies between two words with the same first letter. A changed letter counts in
    long words only: in short ones it usually makes another word (house, horse)."""
    start = 0
    while start < min(len(typed), len(meant)) and typed[start] == meant[start]:
        start += 1
    a, b = typed[start:], meant[start:]
    if len(a) == len(b):
        swapped = len(a) > 1 and a[0] == b[1] and a[1] == b[0] and a[2:] == b[2:]
        return swapped or (len(typed) > 6 and a[1:] == b[1:])
    return min(len(typed), len(meant)) > 4 and (a[1:] == b if len(a) > len(b) else a == b[1:])


@lru_cache(maxsize=20_000)
def _stem(word: str) -> str:
    """Takes the commonest English endings off: enough for a search, never shown to anyone."""
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    if word.endswith("ies"):
        word = word[:-3] + "y" if len(word) > 4 else word[:-1]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-2] if word.endswith(("sses", "shes", "ches", "xes", "zes")) else word[:-1]
    for ending, least in (
        ("ations", 4),
        ("ation", 4),
        ("ing", 3),
        ("edly", 4),
        ("ed", 3),
        ("ment", 5),
        ("ism", 4),
        ("ly", 4),
    ):
        stem = word.removesuffix(ending)
        if stem != word and len(stem) >= least and re.search("[aeiouy]", stem):
            word = stem[:-1] if stem[-1] == stem[-2] and stem[-1] not in "lsz" else stem
            break
    return word.rstrip("e") if len(word) > 4 else word


_ACCENTS = re.compile("[\u0300-\u036f]")
_DENSE = (
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\U00020000-\U0003ffff"
)
"""Japanese, Chinese, Korean, Thai, Lao, Burmese and Khmer letters."""
_TOKEN = re.compile(
    rf"(?P<dense>[{_DENSE}]+)|[a-z](?:\+\+|#)(?!\w)|(?:[^\W_{_DENSE}]|[\u0900-\u0dff])+(?:'[a-z]+)*",
)
_DENSE_STOP = re.compile(
    "什么|什麼|怎么|怎麼|如何|为什么|哪里|多少|请问|可以|多久|多长|何时|是否|我们|你们|谁|几|哪|能|会|吗|呢|的|是|了"
    "|吧|在|有"
    "|ですか|すれば|いい|ますか|でしょうか|ください|について|教えて|とは|です|ます|した|する|何|どう|は|が|を|の|に|で|と|も"
    "|무엇|어떻게|인가요|입니까|습니까|이란|에서|에게",
)
_STOP_WORDS = """a about above after again all also am an and any are as at be because been before being
    between both but by can can't cannot could couldn't did didn't do does doesn't doing don't done down during
    each else ever few for from get gets getting give given go goes going gone went come came gonna got had has
    hasn't have haven't having he he's her here hers him his how how's i i'd i'll i'm i've if in into is isn't
    it it's its itself just let let's like lol may maybe me might mine more most much must my myself no nor not
    now of off ok okay on once one only or other our ours out over own please pls plz really same say says said
    shall she she's should shouldn't so some such tell than thank thanks that that's the their theirs them then
    there there's these they they're this those through to too u until up upon us very want wants was wasn't we
    we're were weren't what what's whats when when's where where's which while who who's whom whose why will
    with won't would wouldn't yes yet you you're your yours yourself explain describe define mean means meaning
    know anything anyone something someone somebody everything anybody many lot lots bit kind sort way ways
    thing things stuff question questions ask asked quote notes note bot im dont der die das den dem des ein
    eine einen einem einer und oder ist sind war wie was wer wo wann warum ich du er sie es wir ihr mein dein
    sein im am zu zum zur von vom mit auf fur bei nach aus nicht auch gibt man kann le la les un une des du de
    et ou est sont qui que quoi quel quelle quels comment pourquoi quand je tu il elle nous vous ils mon ton son
    ma ta sa au aux en dans sur pour par avec ne pas ce cette ces se el los las una unos unas y o es son como
    cual cuales quien donde cuando porque yo mi tu su al del por para con sin lo se hay si sobre che di il gli
    uno e sono come dove quando perche per con non nel nella della dei os das um uma qual quais quem onde com em
    no na nos nas""".split()
_STOP = frozenset(_STOP_WORDS) | {
    word.replace("'", "") for word in _STOP_WORDS if word not in ("we'll", "we're", "i'd", "he'll", "she'll")
}
_STEMMED_STOPS = frozenset(_stem(word) for word in _STOP if len(word) > 4)
_WEAK_TERMS = frozenset(
    _stem(word)
    for word in """actually back best better big case change day deal different difficult difference easy
    example find first good great happen hard help idea important keep kind last
    leave less little long look make making manage mind
    need never new next number old people person place point possible problem put reason right run see
    set simple small start stop sure take talk thing think time today try turn type use used using
    usually well work world wrong year favorite favourite happy love nice own always name call win won
    play practice repeat fake life check list create wait follow answer speak hear correct true false real sound
    word rather turn meaning tomorrow yesterday week month hour minute sorry fun full later exactly remember
    forget""".split()
)
