"""What the words of a text are for full-text search: cut, folded, asked for, ranked and shown, alike in every backend.

A term is spelled so that SQLite's `unicode61` takes it for one token and PostgreSQL for one lexeme: a character they
might not know as a letter or fold by themselves is written as two private-use ones. The whole of an identifier stands
where it was said, its parts behind everything else, each identifier's after a gap:
`call parseHttpUrl now` → call parsehttpurl now, gap parse http url.
"""

from __future__ import annotations

import math
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, TypeVar
from zlib import crc32

import regex

K = TypeVar("K")

WISHES = 64
"""The most words of a query that count."""
SHOWN = 50_000
"""Characters of a text in which a snippet is looked for."""

LEXER = crc32(f"1 {unicodedata.unidata_version} {regex.__version__}".encode()) >> 1
"""The version of these rules, and of what they rest on: an index made by other ones is built anew."""

TERM = 64
"""Characters of a term that count; the rest of a longer word is not looked at."""

GAP = "\uf8ff"
"""Stands in front of an identifier's parts, so that no phrase reaches from other words into them."""

_POSITIONS, _PLACES, _VECTOR = 16_383, 255, 1_000_000
"""PostgreSQL's limits: the highest position, positions of one lexeme, bytes of a tsvector (it takes 1 048 575)."""

_K1, _B = 1.2, 0.75

# ASCII letters and digits stay, all else separates.
_SIMPLE = bytes(ord(chr(code).lower()) if code < 128 and chr(code).isalnum() else 0x20 for code in range(256))
_TANGLED = re.compile(r"[A-Z+#](?:(?<=[a-z][A-Z])|(?<=[A-Z0-9][A-Z])(?=[a-z][a-z])|(?<=[A-Za-z][+#]))")
_CUT = regex.compile(r"(?V1)(?<=\p{Ll})(?=\p{Lu})|(?<=[\p{Lu}\p{N}])(?=\p{Lu}\p{Ll}{2})")
_LOST = regex.compile(
    r"(?V1)[\u0300-\u036f\u00ad\u200c\u2060\ufe00-\ufe0f\U0001f3fb-\U0001f3ff]+|\u200d(?!\p{Extended_Pictographic})"
)
_UNSPACED = (
    r"[[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}ー\u3099\u309a]&&[\p{L}\p{N}\p{M}]]"
)
_IS_UNSPACED = regex.compile(rf"(?V1){_UNSPACED}")
# Plain letters come early: they are most of every text.
_TOKEN = regex.compile(
    rf"""(?V1)(?x)
    (?P<sharp> (?<![\p{{L}}\p{{N}}\p{{M}}]) [A-Za-z] (?: \+\+ | \#(?![\p{{L}}\p{{N}}\#]) ) )
    | (?P<keycap> [0-9\#*]\u20e3 )
    | (?P<word> (?:[0-9A-Za-z]++ | [[\p{{L}}\p{{N}}\p{{M}}]--{_UNSPACED}]++)+ )
    | (?![\x00-\x7f]) (?: (?P<run> {_UNSPACED}++ ) | (?P<emoji> \p{{RI}}{{1,2}}
      | \p{{Extended_Pictographic}} [\U000e0020-\U000e007f]* (?:\u200d\p{{Extended_Pictographic}})* ) )
    """
)
_ASKED = re.compile(r'(?P<minus>-(?=[^\s*-]))?(?:"(?P<phrase>[^"]*)"(?P<star>\*)?|(?P<word>[^\s"]+|"))')
_QUOTES = str.maketrans("“”„«»", '"""""')


def terms(text: str) -> list[str]:
    """The terms of a text in order, folded and spelled; an identifier's parts come last, after a `GAP`."""
    folded = _folded(text)
    if not folded.isascii() or _TANGLED.search(folded):
        return [place.term for place in _placed(folded)]
    found = folded.encode().translate(_SIMPLE).decode().split()
    return found if max(map(len, found), default=0) <= TERM else [term[:TERM] for term in found]


def words(text: str) -> str:
    """The terms with spaces between them: what an FTS5 table tokenized by `unicode61 remove_diacritics 0` is given."""
    return " ".join(terms(text))


def tsvector(text: str) -> str:
    """The terms with their places, `'one':1,3 'two':2`, for `$1::tsvector`.

    Past PostgreSQL's limits places are left out first, so that phrases far inside a very long text are not found,
    and new terms only when the vector is as large as PostgreSQL takes."""
    places: dict[str, list[int]] = {}
    room = _VECTOR
    for position, term in enumerate(terms(text), 1):
        known = places.get(term)
        room -= 2 if known else len(term.encode()) + 12
        if room < 0:
            break
        if known is None:
            places[term] = [min(position, _POSITIONS)]
        elif position <= _POSITIONS and len(known) < _PLACES:
            known.append(position)
    return " ".join(f"'{term}':{','.join(map(str, at))}" for term, at in places.items())


class Asked(NamedTuple):
    """One thing that is asked for: terms next to each other, in any of its readings."""

    readings: tuple[tuple[str, ...], ...]
    prefix: bool
    """The last term of a reading may go on."""

    def within(self, found: Sequence[str]) -> bool:
        """Does it occur among these terms?"""
        return any(self.places(reading, found, first=True) for reading in self.readings)

    def count(self, found: Sequence[str]) -> int:
        """How often it occurs, by the reading that occurs most."""
        return max(len(self.places(reading, found)) for reading in self.readings)

    def places(self, reading: tuple[str, ...], found: Sequence[str], *, first: bool = False) -> list[int]:
        """Where a reading begins, as indices of terms; only the first of them if that is enough."""
        head, size, places = reading[0], len(reading), list[int]()
        if not self.prefix and head not in found:
            return places
        for at, term in enumerate(found):
            if size == 1:
                same = term.startswith(head) if self.prefix else term == head
            else:
                same = term == head and self._follows(reading, found[at : at + size])
            if same:
                places.append(at)
                if first:
                    break
        return places

    def _follows(self, reading: tuple[str, ...], found: Sequence[str]) -> bool:
        if len(found) < len(reading) or tuple(found[:-1]) != reading[:-1]:
            return False
        return found[-1].startswith(reading[-1]) if self.prefix else found[-1] == reading[-1]

    def fts5(self) -> str:
        """This as a part of an FTS5 expression; spelled terms hold nothing that would have to be escaped."""
        star = " *" if self.prefix else ""
        either = [f'"{" ".join(reading)}"{star}' for reading in self.readings]
        return either[0] if len(either) == 1 else f"({' OR '.join(either)})"

    def tsquery(self) -> str:
        """This as a part of a PostgreSQL tsquery, in brackets where it has parts itself."""
        star = ":*" if self.prefix else ""
        either = [" <-> ".join(f"'{term}'" for term in reading) + star for reading in self.readings]
        if len(either) > 1:
            return "(" + " | ".join(f"({one})" for one in either) + ")"
        return f"({either[0]})" if len(self.readings[0]) > 1 else either[0]


@dataclass(frozen=True)
class Query:
    """What a person looks for; false when it asks for nothing, and then it finds nothing."""

    wanted: tuple[Asked, ...] = ()
    unwanted: tuple[Asked, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.wanted)

    @property
    def fts5(self) -> str:
        """The query for `MATCH` on an FTS5 column that holds `words`."""
        if not self:
            return '""'
        wanted = " AND ".join(asked.fts5() for asked in self.wanted)
        return f"({wanted}) NOT ({' OR '.join(asked.fts5() for asked in self.unwanted)})" if self.unwanted else wanted

    @property
    def tsquery(self) -> str:
        """The query for `@@ $1::tsquery` on a column that holds a `tsvector`."""
        if not self:
            return ""
        return " & ".join(
            [asked.tsquery() for asked in self.wanted] + ["!" + asked.tsquery() for asked in self.unwanted]
        )

    def matches(self, text: str) -> bool:
        """Would an index find this text?"""
        found = terms(text) if self else []
        return (
            bool(self)
            and all(asked.within(found) for asked in self.wanted)
            and not any(asked.within(found) for asked in self.unwanted)
        )


def parse(query: str) -> Query:
    """Reads what a person typed: words, "phrases", prefix*, -without; all else is plain text, and nothing an error."""
    wanted: dict[Asked, None] = {}
    unwanted: dict[Asked, None] = {}
    for found in _ASKED.finditer(query.translate(_QUOTES)):
        said = found["word"] if found["phrase"] is None else found["phrase"]
        asked = _asked(said, star=bool(found["star"]) or (found["phrase"] is None and said.endswith("*")))
        if asked:
            (unwanted if found["minus"] else wanted)[asked] = None
    return Query(tuple(wanted)[:WISHES], tuple(unwanted)[:WISHES])


def _asked(said: str, *, star: bool) -> Asked | None:
    """The readings of one word or phrase: as the text has it, and an identifier also by its parts."""
    folded = _folded(said)
    places = _placed(folded)
    gap = next((at for at, place in enumerate(places) if place.term == GAP), len(places))
    main, parts = places[:gap], places[gap + 1 :]
    if not main:
        return None
    last = main[-1]
    if last.end - last.start == 1 and _IS_UNSPACED.match(folded, last.start):
        # A run ends with a character alone; one that was typed may go on in the text.
        if len(main) > 1 and main[-2].end == last.end:
            main.pop()
        else:
            star = True
    readings = [tuple(place.term for place in main)]
    if len(main) == 1 and parts:
        readings.append(tuple(place.term for place in parts))
    return Asked(tuple(readings), star)


class _Place(NamedTuple):
    term: str
    start: int
    end: int


def _placed(folded: str) -> list[_Place]:
    """The terms of a folded text with the stretch each stands on; a gap stands on none."""
    main: list[_Place] = []
    aside: list[_Place] = []
    for found in _TOKEN.finditer(folded):
        piece, start, end = found[0], found.start(), found.end()
        if found.lastgroup == "run":
            for at in range(end - start):
                pair = piece[at : at + 2]
                main.append(_Place(_spelled(pair), start + at, start + at + len(pair)))
            continue
        main.append(_Place(_spelled(piece), start, end))
        if found.lastgroup == "word" and not piece[1:].islower():
            cuts = [0, *(cut.start() for cut in _CUT.finditer(piece)), end - start]
            if len(cuts) > 2:
                aside.append(_Place(GAP, start, start))
                for left, right in pairwise(cuts):
                    aside.append(_Place(_spelled(piece[left:right]), start + left, start + right))
    return main + aside


def _folded(text: str) -> str:
    """The text without Latin, Greek and Cyrillic marks, skin tones, variants and soft joins; capitals are kept."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", _LOST.sub("", unicodedata.normalize("NFKD", text)))


def _spelled(piece: str) -> str:
    if piece.isascii() and piece.isalnum():
        return piece.lower()[:TERM]
    return piece.casefold().translate(_SPELLING)[:TERM]


class _Spelling(dict[int, str | int]):
    """How a character is written in a term, learned as characters come.

    Letters and digits that Unicode 3.2 knew are known to every tokenizer. Others become two private-use characters,
    so that what begins alike is spelled alike and prefixes still work."""

    def __missing__(self, code: int) -> str | int:
        char = chr(code)
        old, new = unicodedata.ucd_3_2_0.category(char)[0], unicodedata.category(char)[0]
        if char == "\u200d":
            spelled: str | int = ""
        elif code < 0x10000 and old in "LN" and new in "LN":
            spelled = code
        else:
            spelled = chr(0xF000 + (code >> 12)) + chr(0xE000 + (code & 0xFFF))
        self[code] = spelled
        return spelled


_SPELLING = _Spelling()


def ranked(query: Query, candidates: Sequence[tuple[K, str]]) -> list[tuple[K, float]]:
    """All candidates with their BM25 score among themselves, best first; equals keep their order.

    One that holds nothing of what is wanted scores 0."""
    found = [terms(text) for _, text in candidates]
    counts = [[asked.count(one) for one in found] for asked in query.wanted]
    average = sum(map(len, found)) / len(found) if any(found) else 1.0
    scores = [0.0] * len(found)
    for column in counts:
        holding = sum(map(bool, column))
        rarity = math.log(1 + (len(found) - holding + 0.5) / (holding + 0.5))
        for at, count in enumerate(column):
            if count:
                size = _K1 * (1 - _B + _B * len(found[at]) / average)
                scores[at] += rarity * count * (_K1 + 1) / (count + size)
    order = sorted(range(len(found)), key=lambda at: -scores[at])
    return [(candidates[at][0], scores[at]) for at in order]


def snippet(query: Query, text: str, width: int = 160) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The stretch of the text, at most `width` characters with its `…`, that shows most of what is wanted.

    Also where the hits are in it, as (start, end). Cuts fall between words where they can, else between graphemes."""
    text = text[:SHOWN]
    edges = [found.start() for found in regex.finditer(r"\X", text)] + [len(text)]
    hits = _hits(query, text, edges)
    if len(text) <= width:
        return text, _merged([(start, end) for start, end, _ in hits])
    first, last = _densest(hits, width - 2)
    start = max(0, min(first - max(0, width - (last - first)) // 2, len(text) - width + 1))
    start = _start_cut(text, edges, start + 1, first) if start else 0
    room = width - (start > 0)
    end = len(text) if len(text) - start <= room else _end_cut(text, edges, start + room - 1, max(start, last))
    lead = "…" if start else ""
    shift = len(lead) - start
    inside = [(max(a, start) + shift, min(b, end) + shift) for a, b, _ in hits if a < end and b > start]
    return lead + text[start:end] + ("…" if end < len(text) else ""), _merged(inside)


def _hits(query: Query, text: str, edges: list[int]) -> list[tuple[int, int, int]]:
    """Where what is wanted stands in the text as it is, in order, and which wish it was."""
    if text.isascii():
        folded, back = text, list(range(len(text) + 1))
    else:
        pieces = [_folded(text[a:b]) for a, b in pairwise(edges)]
        folded = "".join(pieces)
        back = [at for at, piece in enumerate(pieces) for _ in piece]
    places = _placed(folded)
    found = [place.term for place in places]
    hits = set()
    for wish, asked in enumerate(query.wanted):
        for reading in asked.readings:
            for at in asked.places(reading, found):
                begin, tail = places[at].start, places[at + len(reading) - 1]
                # Of a word that goes on only what was asked for is a hit; spelled characters count once.
                typed = sum(not "\uf000" <= char < "\uf200" for char in reading[-1]) if asked.prefix else TERM * 2
                end = min(tail.end, tail.start + typed) if asked.prefix else tail.end
                if text.isascii():
                    hits.add((begin, end, wish))
                else:
                    hits.add((edges[back[begin]], edges[back[end - 1] + 1], wish))
    return sorted(hits)


def _densest(hits: list[tuple[int, int, int]], width: int) -> tuple[int, int]:
    """The stretch from hit to hit, no longer than `width`, with most different wishes, then most hits."""
    best, stretch = (0, 0), (0, 0)
    inside: Counter[int] = Counter()
    left = 0
    for right, (_, end, wish) in enumerate(hits):
        inside[wish] += 1
        while left < right and end - hits[left][0] > width:
            inside[hits[left][2]] -= 1
            left += 1
        score = (sum(map(bool, inside.values())), right - left + 1)
        if score > best:
            best, stretch = score, (hits[left][0], end)
    return stretch


def _start_cut(text: str, edges: list[int], start: int, hit: int) -> int:
    """The first good place at or after `start` to begin at, not past the hit."""
    for at in range(start, min(hit, start + 40) + 1):
        if text[at - 1].isspace() and not text[at : at + 1].isspace():
            return at
    return edges[bisect_left(edges, start)]


def _end_cut(text: str, edges: list[int], end: int, hit: int) -> int:
    """The last good place at or before `end` to stop at, not inside the hit."""
    for at in range(end, max(hit, end - 40, 1) - 1, -1):
        if text[at : at + 1].isspace() and not text[at - 1].isspace():
            return at
    return edges[bisect_right(edges, end) - 1]


def _merged(stretches: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The stretches in order, those that overlap as one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(stretches):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)
