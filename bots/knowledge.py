"""What a bot may quote from: a folder of Markdown and text files, cut into passages and searched by words."""

from __future__ import annotations

import itertools
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .terms import Hit, Ranking, stems, strong, terms

_MOST_FILES = 200
_MOST_BYTES = 1 << 20
_MOST_BYTES_IN_ALL = 16 << 20
_MOST_FOLDERS = 2_000
_FULL, _LONG = 60, 120
"""Words: a passage of `_FULL` takes no further paragraph that would make it `_LONG`."""
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


@dataclass(frozen=True, slots=True)
class _Passage:
    text: str
    title: str
    section: str
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


@dataclass(frozen=True, slots=True)
class _Contents:
    passages: list[_Passage]
    topics: list[str]
    skipped: list[str]
    ranking: Ranking


@dataclass
class Knowledge:
    """The files of one folder. They are read at the first question and not again; safe to ask from any thread."""

    folder: Path
    _contents: _Contents | None = None
    _reading: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def read(cls, folder: Path) -> Knowledge:
        """The `*.md` and `*.txt` files in `folder` and below. A missing folder is an empty one."""
        return cls(folder)

    def search(self, query: str, limit: int = 3) -> list[Found]:
        """The passages that answer `query`, best first; none where nothing in the files fits the question."""
        contents = self._read()
        wanted = set(terms(query))
        hits = {hit.number: hit for hit in contents.ranking.search(query)}
        scores = {
            number: hit.score * hit.coverage
            for number, hit in hits.items()
            if _fits(hit, named=contents.passages[number].named_by(wanted), words=len(query.split()))
        }
        most = max(scores.values(), default=1.0)
        asked, about = f" {' '.join(stems(query))} ", strong(wanted)
        for number, passage in enumerate(contents.passages):
            if passage.is_called(asked, about):
                scores[number] = 2 * most + scores.get(number, 0)
            elif number in hits and (number in scores or _ADVICE.search(query)) and (part := passage.opens_on(about)):
                scores[number] = most * (1 + part) + scores.get(number, 0) / 100
        best = sorted(scores, key=lambda number: (-scores[number], number))[:limit]
        return [Found(contents.passages[n].text, contents.passages[n].source, scores[n]) for n in best]

    @property
    def topics(self) -> list[str]:
        """The files' titles, in the order of their paths."""
        return self._read().topics

    @property
    def skipped(self) -> list[str]:
        """The files that could not be taken in, each with its reason: `old/huge.txt: larger than 1 MiB`."""
        return self._read().skipped

    def _read(self) -> _Contents:
        with self._reading:
            if self._contents is None:
                self._contents = _take_in(self.folder)
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


def _take_in(folder: Path) -> _Contents:
    passages: list[_Passage] = []
    topics: dict[str, None] = {}
    skipped: list[str] = []
    room = _MOST_BYTES_IN_ALL
    for count, path in enumerate(_files(folder)):
        text = _text(path, room) if count < _MOST_FILES else f"beyond the first {_MOST_FILES} files"
        if isinstance(text, str):
            skipped.append(f"{path.relative_to(folder)}: {text}")
            continue
        room -= len(text)
        title, found = _passages(
            text.decode("utf-8-sig").replace("\r\n", "\n"), path.stem, plain=path.suffix.lower() == ".txt"
        )
        passages += found
        if found:
            topics[title] = None
    ranking = Ranking(
        [(passage.text, 1.0), (passage.title, _TITLE_WEIGHT), (passage.section, _SECTION_WEIGHT)]
        for passage in passages
    )
    return _Contents(passages, list(topics), skipped, ranking)


def _files(folder: Path) -> Iterator[Path]:
    """Files below `folder` in a stable order. Links to folders are not walked; a link to a file counts while the
    file itself lies in the folder."""
    home = folder.resolve()
    for count, (place, folders, names) in enumerate(os.walk(folder)):
        if count >= _MOST_FOLDERS:
            return
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if path.suffix.lower() not in (".md", ".txt") or name.startswith("."):
                continue
            if _inside(path, home):
                yield path


def _inside(path: Path, home: Path) -> bool:
    try:
        return path.resolve().is_relative_to(home) and path.is_file()
    except (OSError, RuntimeError):  # RuntimeError: a link that leads back to itself
        return False


def _text(path: Path, room: int) -> bytes | str:
    """The file's bytes, known to be UTF-8; or why it is left out."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        content.decode()
    except OSError as error:
        return error.strerror or "unreadable"
    except UnicodeDecodeError:
        return "not UTF-8 text"
    if len(content) > _MOST_BYTES:
        return "larger than 1 MiB"
    return content if len(content) <= room else "beyond 16 MiB in all"


def _passages(text: str, stem: str, *, plain: bool) -> tuple[str, list[_Passage]]:
    """The file's title and its passages in order. In `plain` text a short first line standing alone is the title."""
    matter = _FRONT_MATTER.match(text)
    named = _TITLE.search(matter[0]) if matter else None
    title = named[1].strip("\"' ") if named else ""
    text = text[matter.end() if matter else 0 :]
    opening = _OPENING.match(text) if plain else None
    if opening:
        title, text = opening[1].strip(), text[opening.end() :]
    sections = list(_sections(_COMMENT.sub("", text)))
    if not title:
        title = next((heading for level, heading, _ in sections if level == 1), "")
    title = title or " ".join(re.split(r"[-_\s]+", stem)).strip().capitalize()
    found: list[_Passage] = []
    above: dict[int, str] = {}
    for level, heading, blocks in sections:
        above = {depth: name for depth, name in above.items() if depth < level} | {level: heading}
        names = [name for _, name in sorted(above.items()) if name and name != title]
        own = names[-1] if names else ""
        for at, passage in enumerate(_joined(blocks)):
            found.append(
                _Passage(
                    passage,
                    title,
                    section=" › ".join(names),
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


def _sections(text: str) -> Iterator[tuple[int, str, list[str]]]:
    """Level, heading and blocks of each section; a block is a paragraph, a list, a table or a fenced listing."""
    level, heading = 0, ""
    blocks: list[list[str]] = [[]]
    fence = ""
    for line in text.splitlines():
        mark = _FENCE.match(line)
        if fence:
            blocks[-1].append(line)
            if mark and line.strip() == mark[1] and mark[1].startswith(fence):
                fence = ""
                blocks.append([])
        elif mark:
            fence = mark[1]
            blocks.append([line])
        elif (found := _HEADING.match(line)) or (_UNDERLINE.match(line) and len(blocks[-1]) == 1):
            name, depth = (found[2], len(found[1])) if found else (blocks[-1][0], 1 if line[0] == "=" else 2)
            blocks = blocks if found else blocks[:-1]
            yield level, heading, _whole(blocks)
            level, heading, blocks = depth, name.rstrip("# \t"), [[]]
        elif line.strip():
            blocks[-1].append(line.rstrip())
        elif blocks[-1]:
            blocks.append([])
    if fence:
        blocks[-1].append(fence)
    yield level, heading, _whole(blocks)


def _whole(blocks: list[list[str]]) -> list[str]:
    return ["\n".join(lines) for lines in blocks if lines and not _RULE.fullmatch(lines[0])]


def _joined(blocks: list[str]) -> Iterator[str]:
    """Passages of roughly `_FULL` to `_LONG` words, never cut within a fenced listing."""
    passage: list[str] = []
    size = 0
    for block in itertools.chain.from_iterable(map(_short, blocks)):
        words = _size(block)
        if passage and (size >= _FULL or size + words > _LONG):
            yield "\n\n".join(passage)
            passage, size = [], 0
        passage.append(block)
        size += words
    if passage:
        yield "\n\n".join(passage)


def _short(block: str) -> Iterator[str]:
    """A long paragraph as several, cut between sentences or, in lists, between lines."""
    if _size(block) <= _LONG or _FENCE.match(block):
        yield block
        return
    between = "\n" if _ITEM.match(block) else " "
    pieces = block.split("\n") if between == "\n" else [p for p in _SENTENCE_END.split(block) if p]
    held: list[str] = []
    for piece in pieces:
        if held and _size(between.join((*held, piece))) > _LONG:
            yield between.join(held)
            held = []
        held.append(piece)
    yield between.join(held)


def _size(text: str) -> int:
    """Words; in scripts without spaces two letters count as one."""
    return max(len(text.split()), len(_WIDE.findall(text)) // 2)


_ADVICE = re.compile(r"\b(?:how|what) (?:should|do|can|could|would|to|must)\b", re.IGNORECASE)
_ASKING = frozenset(("how", "what", "when", "where", "who", "why", "which"))
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_TITLE = re.compile(r"^title:\s*(.+)$", re.MULTILINE)
_OPENING = re.compile(r"\s*([^\s#>*-][^\n]{0,79}[^\s.,;:])\n\s*\n")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_FENCE = re.compile(r"\s{0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r"(#{1,6})\s+(\S.*)")
_UNDERLINE = re.compile(r"(={3,}|-{3,})\s*$")
_RULE = re.compile(r"\s*([-*_])(\s*\1){2,}\s*")
_ITEM = re.compile(r"\s*([-*+]|\d+[.)]|\|)\s?")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")
_WIDE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
