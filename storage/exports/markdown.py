"""What people and models write in Markdown, as blocks: the one reading that HTML, PDF and DOCX are made from.

CommonMark with tables and strikethrough, and Discord's own marks (`||spoiler||`, `-# small`, `<@id>`). As in a chat a
line break is one, a quote ends with its last `>`, and HTML is only words. Nothing that was written is lost: what is
no mark, or is nested too deeply, stands there as text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from markdown_it.token import Token

from .marks import READING, WITHOUT_LINKS


@dataclass(frozen=True, slots=True)
class Text:
    """Words without a line break."""

    text: str


@dataclass(frozen=True, slots=True)
class Strong:
    """Bold."""

    inlines: tuple[Inline, ...]


@dataclass(frozen=True, slots=True)
class Em:
    """Italic."""

    inlines: tuple[Inline, ...]


@dataclass(frozen=True, slots=True)
class Strike:
    """Struck through."""

    inlines: tuple[Inline, ...]


@dataclass(frozen=True, slots=True)
class Spoiler:
    """Hidden until somebody wants to see it."""

    inlines: tuple[Inline, ...]


@dataclass(frozen=True, slots=True)
class Code:
    """Code within a line."""

    text: str


@dataclass(frozen=True, slots=True)
class Link:
    """`href` is http, https or mailto, and holds no blanks, quotes or angle brackets."""

    href: str
    inlines: tuple[Inline, ...]


@dataclass(frozen=True, slots=True)
class Image:
    """A picture that stands elsewhere: `src` is http or https, and holds no blanks, quotes or angle brackets."""

    src: str
    alt: str


@dataclass(frozen=True, slots=True)
class Break:
    """The line ends here."""


Inline = Text | Strong | Em | Strike | Spoiler | Code | Link | Image | Break


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Some lines; `small` ones are Discord's `-#`."""

    inlines: tuple[Inline, ...]
    small: bool = False


@dataclass(frozen=True, slots=True)
class Heading:
    """`level` is 1 to 6."""

    level: int
    inlines: tuple[Inline, ...]


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """Code as it was written, without a last line break; `language` is empty where none was named."""

    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list; an ordered one begins with the number `start`."""

    ordered: bool
    start: int
    items: tuple[tuple[Block, ...], ...]


@dataclass(frozen=True, slots=True)
class Quote:
    """Somebody else's words."""

    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Every row has as many cells as the header, and as there are alignments."""

    header: tuple[tuple[Inline, ...], ...]
    rows: tuple[tuple[tuple[Inline, ...], ...], ...]
    alignments: tuple[Literal["left", "center", "right", ""], ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A line across."""


Block = Paragraph | Heading | CodeBlock | Bullets | Quote | Table | Rule

_LONGEST = 200_000
"""Characters: a longer text is shown as it is."""
_BRACKETS = 2_000
"""More opening brackets than these are no links, and looking for their ends takes long."""
_NESTED = 20
"""Marks within marks within a line."""
_PLAIN = re.compile(r"(?![\s\d])[^\n\r\\`*_\[\]<>#!|~=+&-]*(?<!\s)")
_FENCE = re.compile(
    r"(?P<before>^[^\n]*?)(?<!`)```(?!`)(?:(?P<language>[\w+#.-]{1,20})(?=\n))?(?P<code>(?s:.)*?)(?<!`)```(?!`)(?P<after>[^\n]*)",
    re.MULTILINE,
)
_BEGINS = re.compile(r"[\s>]*(?:[-*+]|\d+[.)])?\s*")
_ADDRESS = re.compile(r"https?://[^\s<>\"`\x00-\x1f]+", re.IGNORECASE)
_ALLOWED = re.compile(r"(?:https?://|mailto:)[^\s<>\"`\x00-\x1f]+", re.IGNORECASE)
_TRAILING = ".,;:!?'\"*_~"


def blocks(text: str) -> tuple[Block, ...]:
    """The text as blocks; whatever it is, in a time that grows with its length, nested at most some twenty deep."""
    if _PLAIN.fullmatch(text) and "://" not in text:
        return (Paragraph((Text(text),)),) if text else ()
    if len(text) > _LONGEST:
        return _as_it_is(text)
    text = _FENCE.sub(_on_lines, text)
    reading = READING if text.count("[") <= _BRACKETS else WITHOUT_LINKS
    return tuple(_Walk(reading.parse(text)).blocks(""))


def _on_lines(fence: re.Match[str]) -> str:
    """A block of code on lines of its own: on Discord it may begin and end in the middle of one."""
    before, code, after = fence["before"], fence["code"], fence["after"]
    begins = _BEGINS.fullmatch(before) is not None
    if not code.strip() or before.lstrip().startswith(">"):
        return fence[0]
    if begins and (before.strip() or (code.startswith("\n") and code.endswith("\n") and not after.strip())):
        return fence[0]
    inner = code.strip("\n")
    return f"{before}\n```{fence['language'] or ''}\n{inner}\n```\n{after}"


def gist(told: Iterable[Block]) -> str:
    """The words alone, on one line, for quoting them; what is hidden stays so."""
    found: list[str] = []
    for block in told:
        match block:
            case Paragraph(inlines) | Heading(_, inlines):
                found.append(plain(inlines, hidden=False))
            case CodeBlock(_, text):
                found.append(text)
            case Quote(inner):
                found.append(gist(inner))
            case Bullets(_, _, items):
                found += map(gist, items)
            case Table(header, rows):
                found += (plain(cell, hidden=False) for row in (header, *rows) for cell in row)
    return " ".join(" ".join(found).split())


def plain(inlines: Iterable[Inline], *, hidden: bool = True) -> str:
    """The words alone, on one line; those behind a spoiler only with `hidden`."""
    told = []
    for each in inlines:
        match each:
            case Text(words) | Code(words) | Image(_, words):
                told.append(words)
            case Break():
                told.append(" ")
            case Spoiler() if not hidden:
                told.append("███")
            case Strong(inner) | Em(inner) | Strike(inner) | Spoiler(inner) | Link(_, inner):
                told.append(plain(inner, hidden=hidden))
    return "".join(told)


class _Walk:
    """Goes through tokens once."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = iter(tokens)

    def blocks(self, end: str) -> Iterator[Block]:
        """The blocks up to the token of that type."""
        for token in self._tokens:
            if token.type == end:
                return
            yield from self._block(token)

    def _block(self, token: Token) -> Iterator[Block]:
        match token.type:
            case "paragraph_open":
                for inlines in self._inlines("paragraph_close"):
                    yield Paragraph(inlines, small=token.markup == "-#")
            case "heading_open":
                for inlines in self._inlines("heading_close"):
                    yield Heading(int(token.tag[1]), inlines)
            case "fence":
                language = token.info.split()[0] if token.info.split() else ""
                yield CodeBlock(language[:40], token.content.removesuffix("\n"))
            case "blockquote_open":
                yield Quote(tuple(self.blocks("blockquote_close")))
            case "bullet_list_open" | "ordered_list_open":
                close = token.type.replace("open", "close")
                items = tuple(tuple(self.blocks("list_item_close")) for _ in self._until(close))
                yield Bullets(token.tag == "ol", int(token.attrGet("start") or 1), items)
            case "table_open":
                yield self._table()
            case "hr":
                yield Rule()

    def _until(self, end: str) -> Iterator[Token]:
        for token in self._tokens:
            if token.type == end:
                return
            yield token

    def _inlines(self, end: str) -> list[tuple[Inline, ...]]:
        return [_inlines(token) for token in self._until(end)]

    def _table(self) -> Table:
        rows: list[list[tuple[Inline, ...]]] = []
        sides: list[Literal["left", "center", "right", ""]] = []
        for token in self._until("table_close"):
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "inline":
                rows[-1].append(_inlines(token))
            elif token.type == "th_open":
                style = str(token.attrGet("style") or "")
                sides.append(next((side for side in ("left", "center", "right") if side in style), ""))
        return Table(tuple(rows[0]), tuple(map(tuple, rows[1:])), tuple(sides))


_WRAPS: dict[str, Callable[[tuple[Inline, ...]], Inline]] = {
    "strong_open": Strong,
    "em_open": Em,
    "s_open": Strike,
    "spoiler_open": Spoiler,
}


def _inlines(token: Token) -> tuple[Inline, ...]:
    return tuple(_linked(_within(_shallow(token.children or []), ""), within_link=False))


def _shallow(tokens: list[Token]) -> Iterator[Token]:
    """The tokens without the marks that are nested too deeply to matter to anybody."""
    depth = 0
    for token in tokens:
        depth += token.nesting == 1
        if depth <= _NESTED or not token.nesting:
            yield token
        depth -= token.nesting == -1


def _within(tokens: Iterator[Token], end: str) -> Iterator[Inline]:
    for token in tokens:
        if token.type == end:
            return
        match token.type:
            case "softbreak" | "hardbreak":
                yield Break()
            case "code_inline":
                yield Code(token.content)
            case "image":
                yield _image(str(token.attrGet("src") or ""), token.content)
            case "link_open":
                href, inner = str(token.attrGet("href") or ""), tuple(_within(tokens, "link_close"))
                if _ALLOWED.fullmatch(href):
                    yield Link(href, inner)
                else:
                    yield from (*inner, Text(f" ({href})"))
            case kind if kind in _WRAPS:
                yield _WRAPS[kind](tuple(_within(tokens, kind.replace("open", "close"))))
            case _ if token.content:
                yield Text(token.content)


def _image(src: str, alt: str) -> Inline:
    return Image(src, alt) if _ADDRESS.fullmatch(src) else Text(f"{alt} ({src})")


def _linked(inlines: Iterable[Inline], *, within_link: bool) -> Iterator[Inline]:
    """Words that follow one another joined, and the bare addresses in them made links."""
    words = ""
    for each in inlines:
        if isinstance(each, Text):
            words += each.text
            continue
        yield from _addresses(words, within_link)
        words = ""
        if isinstance(each, Strong | Em | Strike | Spoiler | Link):
            within = within_link or isinstance(each, Link)
            yield replace(each, inlines=tuple(_linked(each.inlines, within_link=within)))
        else:
            yield each
    yield from _addresses(words, within_link)


def _addresses(words: str, within_link: bool) -> Iterator[Text | Link]:
    at = 0
    for match in () if within_link else _ADDRESS.finditer(words):
        address = match[0].rstrip(_TRAILING)
        if address.endswith(")") and address.count("(") < address.count(")"):
            address = address[:-1]
        if not address.partition("://")[2]:
            continue
        if match.start() > at:
            yield Text(words[at : match.start()])
        yield Link(address, (Text(address),))
        at = match.start() + len(address)
    if words[at:]:
        yield Text(words[at:])


def _as_it_is(text: str) -> tuple[Block, ...]:
    """A paragraph for each stretch between empty lines."""
    stretches = (stretch.splitlines() for stretch in re.split(r"\n\s*\n", text) if stretch.strip())
    return tuple(
        Paragraph(tuple(piece for line in lines for piece in (Text(line), Break()))[:-1]) for lines in stretches
    )
