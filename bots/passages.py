"""A Markdown or text file cut into passages: along its headings, never through a listing or table that fits.

Lines are counted from 1 in the file as it stands, so that a quote can be looked up."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .terms import stems, strong, terms

_FULL, _LONG = 60, 120
"""Words: a passage of `_FULL` takes no further paragraph that would make it `_LONG`."""
_WHOLE = 240
"""Words up to which a listing or a table stays in one piece."""
_LETTERS = 8
"""Letters that count as a word in a listing, where much stands without spaces."""
_FEW_WORDS = 4


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a file, word for word; of a long table or listing with its head or fence again."""

    text: str
    title: str
    """The file's."""
    section: str
    """The headings above it, outermost first: `Brewing › Water`."""
    first: int
    last: int
    """Its lines in the file."""
    title_terms: frozenset[str]
    heading_terms: frozenset[str]
    heading: tuple[str, ...]
    """Every word of its own heading."""
    begins_file: bool
    begins_section: bool

    def named_by(self, wanted: set[str]) -> float:
        """How much of its heading these terms say, or of its file's title if that is more: 0 to 1."""
        heading, title = wanted & self.heading_terms, wanted & self.title_terms
        return max(len(heading) / max(1, len(self.heading_terms)), len(title) / max(1, len(self.title_terms)))

    def is_called(self, asked: str, about: set[str]) -> bool:
        """Whether it begins a section whose whole heading stands in a question (its words between spaces). A
        heading that is itself a question says too little where the question has a subject besides."""
        if not self.begins_section or len(self.heading) < 2 or not self.heading_terms:
            return False
        if self.heading[0] in _ASKING and not about <= self.heading_terms:
            return False
        return f" {' '.join(self.heading)} " in asked

    def opens_on(self, about: set[str]) -> float:
        """How much it is the beginning of what a question `about` these terms names: of a section, of the file, or
        of both; 0 if it is neither."""
        if not about or len(about) > _FEW_WORDS:
            return 0.0
        called = self.begins_section and bool(self.heading_terms) and self.heading_terms <= about
        section = called and about <= self.heading_terms | self.title_terms
        named = about <= self.title_terms and 2 * len(about) >= len(self.title_terms)
        return 0.2 * section + 0.1 * (self.begins_file and (named or self.title_terms <= about))

    @property
    def source(self) -> str:
        return f"{self.title} › {self.section}" if self.section else self.title


def passages(text: str, stem: str, *, plain: bool) -> tuple[str, list[Passage]]:
    """The title of a file called `stem` and its passages in order. In `plain` text a short first line standing alone
    is the title."""
    matter = _FRONT_MATTER.match(text)
    named = _TITLE.search(matter[0]) if matter else None
    title = named[1].strip("\"' ") if named else ""
    start = matter.end() if matter else 0
    opening = _OPENING.match(text, start) if plain else None
    if opening:
        title, start = opening[1].strip(), opening.end()
    body = _COMMENT.sub(lambda match: "\n" * match[0].count("\n"), text[start:])
    sections = list(_sections(body, 1 + text.count("\n", 0, start)))
    if not title:
        title = next((heading for level, heading, _ in sections if level == 1), "")
    title = title or " ".join(re.split(r"[-_\s]+", stem)).strip().capitalize()
    found: list[Passage] = []
    above: dict[int, str] = {}
    for level, heading, blocks in sections:
        above = {depth: name for depth, name in above.items() if depth < level} | {level: heading}
        names = [name for _, name in sorted(above.items()) if name and name != title]
        own = names[-1] if names else ""
        for at, block in enumerate(_joined(blocks)):
            found.append(
                Passage(
                    block.text,
                    title,
                    section=" › ".join(names),
                    first=block.first,
                    last=block.last,
                    title_terms=_naming(title),
                    heading_terms=_naming(own),
                    heading=tuple(stems(own)),
                    begins_file=not found,
                    begins_section=at == 0,
                )
            )
    return title, found


def _naming(name: str) -> frozenset[str]:
    found = [term for term in terms(name) if len(term) > 2 or not term.isdigit()]
    return frozenset(strong(found) or found)


@dataclass(frozen=True, slots=True)
class _Block:
    """A paragraph, a list, a table or a fenced listing; or several."""

    text: str
    first: int
    last: int


def _sections(text: str, first: int) -> Iterator[tuple[int, str, list[_Block]]]:
    """Level, heading and blocks of each section; `first` is the number of the text's first line."""
    level, heading = 0, ""
    blocks: list[list[tuple[int, str]]] = [[]]
    fence = ""
    for number, line in enumerate(text.removesuffix("\n").split("\n"), first):
        mark = _FENCE.match(line)
        if fence:
            blocks[-1].append((number, line))
            if mark and line.strip() == mark[1] and mark[1].startswith(fence):
                fence = ""
                blocks.append([])
        elif mark:
            fence = mark[1]
            blocks.append([(number, line)])
        elif (found := _HEADING.match(line)) or (_UNDERLINE.match(line) and len(blocks[-1]) == 1):
            name, depth = (found[2], len(found[1])) if found else (blocks[-1][0][1], 1 if line[0] == "=" else 2)
            blocks = blocks if found else blocks[:-1]
            yield level, heading, _whole(blocks)
            level, heading, blocks = depth, name.rstrip("# \t"), [[]]
        elif line.strip():
            blocks[-1].append((number, line.rstrip()))
        elif blocks[-1]:
            blocks.append([])
    if fence:
        blocks[-1].append((blocks[-1][-1][0], fence))
    yield level, heading, _whole(blocks)


def _whole(blocks: list[list[tuple[int, str]]]) -> list[_Block]:
    return [
        _Block("\n".join(line for _, line in lines), lines[0][0], lines[-1][0])
        for lines in blocks
        if lines and not _RULE.fullmatch(lines[0][1])
    ]


def _joined(blocks: list[_Block]) -> Iterator[_Block]:
    """Passages of roughly `_FULL` to `_LONG` words."""
    held: list[_Block] = []
    size = 0
    for block in itertools.chain.from_iterable(map(_short, blocks)):
        words = _size(block.text)
        if held and (size >= _FULL or size + words > _LONG):
            yield _together(held, "\n\n")
            held, size = [], 0
        held.append(block)
        size += words
    if held:
        yield _together(held, "\n\n")


def _together(blocks: Sequence[_Block], between: str) -> _Block:
    return _Block(between.join(block.text for block in blocks), blocks[0].first, blocks[-1].last)


def _short(block: _Block) -> Iterator[_Block]:
    """A long block as several: a listing or table between lines, a list between items, a paragraph between
    sentences."""
    lines = block.text.split("\n")
    if fence := _FENCE.match(block.text):
        yield from _cut(block, lines[1:-1], before=lines[:1], after=[fence[1]])
    elif len(lines) > 1 and "|" in lines[0] and _TABLE_RULE.fullmatch(lines[1]):
        yield from _cut(block, lines[2:], before=lines[:2])
    elif _size(block.text) <= _LONG:
        yield block
    elif _ITEM.match(block.text):
        yield from _filled(_pieces(block, lines), "\n")
    else:
        yield from _filled(_pieces(block, [piece for piece in _SENTENCE_END.split(block.text) if piece]), " ")


def _cut(block: _Block, lines: list[str], *, before: list[str], after: Sequence[str] = ()) -> Iterator[_Block]:
    """A block in one piece if it fits, else between its lines, each piece with what stands before and after them."""
    if _weight(block.text) <= _WHOLE:
        yield block
        return
    rows = [_Block(line, number, number) for number, line in enumerate(lines, block.first + len(before))]
    for piece in _filled(rows, "\n"):
        yield _Block("\n".join((*before, piece.text, *after)), piece.first, piece.last)


def _filled(pieces: list[_Block], between: str) -> Iterator[_Block]:
    """Pieces put together up to `_LONG` words."""
    held: list[_Block] = []
    size = 0
    for piece in pieces:
        weight = _size(piece.text) if between == " " else _weight(piece.text)
        if held and size + weight > _LONG:
            yield _together(held, between)
            held, size = [], 0
        held.append(piece)
        size += weight
    if held:
        yield _together(held, between)


def _pieces(block: _Block, parts: list[str]) -> list[_Block]:
    """Parts of a block in their order, with the lines they stand on."""
    found, at, line = [], 0, block.first
    for part in parts:
        start = block.text.index(part, at)
        first = line + block.text.count("\n", at, start)
        at = start + len(part)
        line = first + part.count("\n")
        found.append(_Block(part, first, line))
    return found


def _weight(text: str) -> int:
    return max(_size(text), len(text) // _LETTERS)


def _size(text: str) -> int:
    """Words; in scripts without spaces two letters count as one."""
    return max(len(text.split()), len(_WIDE.findall(text)) // 2)


_ASKING = frozenset(("how", "what", "when", "where", "who", "why", "which"))
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_TITLE = re.compile(r"^title:\s*(.+)$", re.MULTILINE)
_OPENING = re.compile(r"\s*([^\s#>*-][^\n]{0,79}[^\s.,;:])\n\s*\n")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_FENCE = re.compile(r"\s{0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r"(#{1,6})\s+(\S.*)")
_UNDERLINE = re.compile(r"(={3,}|-{3,})\s*$")
_RULE = re.compile(r"\s*([-*_])(\s*\1){2,}\s*")
_TABLE_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*")
_ITEM = re.compile(r"\s*([-*+]|\d+[.)]|\|)\s?")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")
_WIDE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
