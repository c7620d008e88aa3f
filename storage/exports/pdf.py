"""Sessions as a PDF: what was said as data, set by Typst with the template beside this."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import regex

from ..blobs import Blobs
from ..model import Session
from . import Noted, Options, Transcript, ignored
from . import markdown as md
from .apart import working
from .document import Head, head_of, headed, packed, typeset
from .figures import fitted, unseen
from .shown import File, Line, Shown, facts, flat, heading, language, to_the_left

if TYPE_CHECKING:
    from typst import Compiler

_TEXT = ("Noto Sans", "DejaVu Sans", "Libertinus Serif")
"""What words are set in, the first that is there; other scripts come from whatever fonts have them."""
_SCRIPTS = (
    "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Sans Bengali", "Noto Sans Tamil",
    "Noto Sans Thai", "Noto Sans Armenian", "Noto Sans Georgian", "Noto Sans Ethiopic",
)  # fmt: skip
_CHINESE = {"zh": "Noto Sans CJK SC", "ja": "Noto Sans CJK JP", "ko": "Noto Sans CJK KR"}
_EMOJI = ("Noto Color Emoji", "Apple Color Emoji", "Segoe UI Emoji")
_CODE = ("Noto Sans Mono", "DejaVu Sans Mono")
_DEEPEST = 6
"""Quotes and lists within one another; on paper the rest stands on the same level, and Typst goes no deeper than 70."""
# Chinese, Thai and their neighbours have no blanks, and are broken properly without help.
_WORD = regex.compile(r"[^\s\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]{6,}")
_PIECE = regex.compile(r"[^/?&=.,;:_-]*+[/?&=.,;:_-]++|[^/?&=.,;:_-]++")
_WIDEST, _HIGHEST = 120.0, 105.0
"""Millimetres of a picture."""
_NO_GLYPH = re.compile(r'the text `"(.+?)"` could not be displayed')


async def pdf(
    sessions: Transcript,
    blobs: Blobs | None,
    options: Options,
    *,
    title: str,
    at: datetime,
    noted: Noted = ignored,
) -> AsyncIterator[bytes]:
    """A PDF of sessions, made at `at`, on A4; the same again from the same. Pictures are shown from `blobs`.

    `noted` hears what the document lacks: letters that no font has, say. Raises `StorageError` when there
    are more than `document.MOST` messages, or Typst is missing."""
    async for piece in typeset("pdf", sessions, blobs, options, headed(title, at, options), noted):
        yield piece


def main() -> None:
    """Sets what is in a folder."""
    working(_set)


def _set(folder: Path) -> Iterator[str]:
    from typst import Compiler, Fonts, TypstError

    head = head_of(folder)
    fonts = Fonts()
    tree = _Tree(folder, head)
    with (folder / "tree.json").open("w", encoding="utf-8") as file:
        json.dump(tree.all() | {"fonts": _families(set(fonts.families()))}, file)
    (folder / "chat.typ").write_bytes(Path(__file__).with_name("chat.typ").read_bytes())
    typst = Compiler(folder / "chat.typ", root=folder, font_paths=fonts)
    try:
        _compile(typst, folder, head, ["ua-1"])
    except TypstError as error:  # the only way to learn which letters are missing
        _compile(typst, folder, head, [])
        yield from _missing(error)
    yield from unseen(tree.unseen)


def _compile(typst: Compiler, folder: Path, head: Head, standards: list[Any]) -> None:
    typst.compile(output=folder / "made.pdf", format="pdf", pdf_standards=standards, timestamp=int(head.at.timestamp()))


def _families(there: set[str]) -> dict[str, Any]:
    text = [*[name for name in _TEXT if name in there][:1], *(name for name in _SCRIPTS if name in there)]
    chinese = {name: font for name, font in _CHINESE.items() if font in there}
    return {
        "text": [*text, *list(chinese.values())[:1]],
        "code": [name for name in _CODE if name in there][:1],
        "emoji": [name for name in _EMOJI if name in there][:1],
        **{name: [text[0], font] for name, font in chinese.items()},
    }


class _Tree:
    """The sessions in a folder as plain values, the way the template reads them."""

    def __init__(self, folder: Path, head: Head) -> None:
        self._folder = folder
        self._head = head
        self.unseen = 0
        """Pictures that could not be shown."""

    def all(self) -> dict[str, Any]:
        """Everything."""
        head, sessions = self._head, list(self._sessions())
        made = f"{head.at:%Y-%m-%d %H:%M}" + (f", times in {head.zone}" if head.timestamps else "")
        return {"title": flat(head.title, 160) or "Sessions", "made": made, "sessions": sessions}

    def _sessions(self) -> Iterator[dict[str, Any]]:
        told: dict[str, Any] | None = None
        for value in packed(self._folder):
            if isinstance(value, Session):
                if told:
                    yield told
                shown = Shown(self._head, self._folder)
                name = heading(value)
                told = {"title": _words(name), "language": language(name), "lines": []}
                told["facts"] = [[label, _words(fact)] for label, fact in facts(value, self._head)]
            elif told:
                told["lines"].append(self._line(shown.line(value)))
        if told:
            yield told

    def _line(self, line: Line) -> dict[str, Any]:
        return {
            "name": line.name,
            "persona": line.persona,
            "at": line.at,
            "marks": line.marks,
            "about": _words(line.about),
            "body": list(_blocks(line.body)),
            "files": [self._file(file) for file in line.files],
            "reactions": line.reactions,
            "remarks": [_words(remark) for remark in line.remarks],
        }

    def _file(self, file: File) -> dict[str, Any]:
        figure = fitted(self._folder / file.picture) if file.picture else None
        self.unseen += bool(file.picture) and figure is None
        told: dict[str, Any] = {
            "label": _words(file.label),
            "address": file.address,
            "description": _words(file.description),
        }
        if figure:
            # As large as a screen shows it, as far as the page has room.
            width = min(figure.width * 25.4 / 120, _WIDEST, _HIGHEST * figure.width / figure.height)
            told |= {"path": figure.path.name, "width": width, "alt": file.description or file.label}
        return told


def _blocks(blocks: tuple[md.Block, ...], depth: int = 0) -> Iterator[dict[str, Any]]:
    for block in blocks:
        match block:
            case md.Paragraph(inlines, small):
                yield {"is": "small" if small else "paragraph", **_written(inlines)}
            case md.Heading(level, inlines):
                yield {"is": "heading", "level": level, **_written(inlines)}
            case md.CodeBlock(language, text):
                yield {"is": "code", "language": language.lower(), "text": _words(text, 60)}
            case md.Quote(inner) if depth < _DEEPEST:
                yield {"is": "quote", "blocks": list(_blocks(inner, depth + 1)), "rtl": to_the_left(_first(inner))}
            case md.Quote(inner):
                yield from _blocks(inner, depth)
            case md.Bullets(ordered, start, items) if depth < _DEEPEST:
                told = [list(_blocks(item, depth + 1)) for item in items]
                rtl = to_the_left("".join(map(_first, items)))
                yield {"is": "list", "ordered": ordered, "start": start, "items": told, "rtl": rtl}
            case md.Bullets(_, _, items):
                for item in items:
                    yield from _blocks(item, depth)
            case md.Table(header, rows, alignments):
                most = max(6, 70 // len(header))
                told = [[_written(cell, most) for cell in row] for row in (header, *rows)]
                yield {"is": "table", "rows": told, "sides": alignments, "rtl": to_the_left(md.plain(header[0]))}
            case _:
                yield {"is": "rule"}


def _first(blocks: tuple[md.Block, ...]) -> str:
    return next((md.plain(block.inlines) for block in blocks if isinstance(block, md.Paragraph | md.Heading)), "")


def _written(inlines: tuple[md.Inline, ...], longest: int = 24) -> dict[str, Any]:
    text = md.plain(inlines)
    return {"inlines": list(_inlines(inlines, longest)), "rtl": to_the_left(text), "language": language(text)}


def _inlines(inlines: tuple[md.Inline, ...], longest: int, depth: int = 0) -> Iterator[dict[str, Any]]:
    for each in inlines:
        kind = type(each).__name__.lower()
        match each:
            case md.Text(words) | md.Code(words):
                yield {"is": kind, "text": _words(words, longest)}
            case md.Image(src, alt):
                yield {"is": "link", "href": src, "inlines": [{"is": "text", "text": _words(alt or src, longest)}]}
            case md.Break():
                yield {"is": kind}
            case md.Link(href, inner):
                yield {"is": kind, "href": href, "inlines": list(_inlines(inner, longest, _DEEPEST))}
            case md.Strong(inner) | md.Em(inner) | md.Strike(inner) | md.Spoiler(inner) if depth < _DEEPEST:
                yield {"is": kind, "inlines": list(_inlines(inner, longest, depth + 1))}
            case md.Strong(inner) | md.Em(inner) | md.Strike(inner) | md.Spoiler(inner):
                yield from _inlines(inner, longest, depth)


def _words(text: str, longest: int = 24) -> str:
    """The text with places where its long words may be broken: behind a sign, or anywhere."""
    if len(text) <= longest:
        return text
    return _WORD.sub(lambda match: _broken(match[0], longest) if len(match[0]) > longest else match[0], text)


def _broken(word: str, longest: int) -> str:
    pieces: list[str] = []
    for piece in _PIECE.findall(word):
        letters = regex.findall(r"\X", piece) if len(piece) > longest else [piece]
        pieces += ("".join(letters[at : at + longest]) for at in range(0, len(letters), longest))
    return "\u200b".join(pieces)


def _missing(error: Exception) -> Iterator[str]:
    found = dict.fromkeys(_NO_GLYPH.findall(str(getattr(error, "diagnostic", error))))
    letters = [re.sub(r"\\u\{(\w+)\}", lambda match: f"U+{match[1].upper()}", letter) for letter in found]
    if letters:
        told = " ".join(letters[:20]) + (f" and {len(letters) - 20} more" if len(letters) > 20 else "")
        yield (
            f"No font here has these letters, which are shown as boxes: {told}. Install fonts (on Debian "
            "fonts-noto-core, fonts-noto-cjk and fonts-noto-color-emoji)."
        )
    else:
        yield f"The PDF is not marked as accessible (PDF/UA): {str(error)[:200]}"
