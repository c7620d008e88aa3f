"""Blocks as paragraphs of a Word document, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from docx.shared import Mm
from docx.text.paragraph import Paragraph as Styled
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Keyword, Name, Number, String
from pygments.util import ClassNotFound

from . import markdown as md
from . import word
from .shown import to_the_left
from .word import Look

_STEP = 360
"""Twentieths of a point that a quote or list stands further in than what is around it."""
_TEXT_WIDTH = 9410
"""The same of a line on the page."""
_COLOURED = 20_000
"""Characters of a code block up to which it is coloured."""
_COLOURS = ((Comment, "6B7280"), (Keyword, "B3261E"), (String, "2E7D32"), (Number, "8E24AA"), (Name.Function, "1D5FBF"))
_LINKED = Look(style="Hyperlink")


@dataclass(frozen=True, slots=True)
class _Where:
    """What a block stands within."""

    steps: int = 0
    lists: int = 0
    quoted: bool = False


class Paragraphs:
    """The end of a document, to which paragraphs are added."""

    def __init__(self, document: Any) -> None:
        self._document = document
        self._lists = word.Numbers(document)
        self._before = ""
        """The style of the paragraph before."""
        word.add_styles(document)

    def words(self, style: str, text: str, *, with_next: bool = False) -> None:
        """A paragraph of plain words; `with_next` on the same page as what follows it."""
        paragraph = self._paragraph(style, text)
        if with_next:
            word.put(paragraph.get_or_add_pPr(), "keepNext")
        word.write(paragraph, text, Look())

    def heading(self, text: str, level: int, number: int) -> None:
        """The heading of the session with that number."""
        paragraph = self._paragraph(f"Heading{level}", text)
        word.write(paragraph, text, Look())
        word.bookmark(paragraph, f"session{number}", number)

    def contents(self, titles: Sequence[str], level: int) -> None:
        """The table of contents: there at once, and with the numbers of pages when Word is asked to renew it."""
        self.words("ChatHeading", "Sessions")
        for number, title in enumerate(titles, 1):
            paragraph = self._paragraph("Normal", title)
            if number == 1:
                word.field(paragraph, f' TOC \\o "{level}-{level}" \\h \\z \\u ', ends=False)
            word.write(word.anchored(paragraph, f"session{number}"), title, _LINKED)
            if number == len(titles):
                word.field_end(paragraph)

    def header(self, header: Any, title: str) -> None:
        """The running head."""
        paragraph = header.paragraphs[0]._p
        paragraph.style = "Small"
        word.write(paragraph, title, Look())

    def footer(self, footer: Any) -> None:
        """The number of the page, in the middle."""
        paragraph = footer.paragraphs[0]._p
        paragraph.style = "Small"
        word.put(paragraph.get_or_add_pPr(), "jc", val="center")
        word.field(paragraph, " PAGE ")
        word.write(paragraph, " / ", Look())
        word.field(paragraph, " NUMPAGES ")

    def speaker(self, name: str, colour: str, marks: Sequence[str], at: str) -> None:
        """Who says what follows, and when."""
        paragraph = self._paragraph("Speaker", "")
        tabs = word.put(paragraph.get_or_add_pPr(), "tabs")
        tabs.append(word.made("tab", val="right", pos=_TEXT_WIDTH))
        word.write(paragraph, name, Look(bold=True, colour=colour))
        beside = "".join(f"  [{mark}]" for mark in marks) + (f"\t{at}" if at else "")
        word.write(paragraph, f"\u200e{beside}" if beside else "", Look(style="Beside"))

    def picture(self, path: Path, width: float, description: str) -> None:
        """A picture, `width` millimetres wide."""
        run = Styled(self._paragraph("Normal", ""), self._document._body).add_run()
        shape = run.add_picture(str(path), width=Mm(width))
        shape._inline.docPr.set("descr", description)

    def named(self, label: str, address: str, more: str) -> None:
        """A file by its name, which is a link where there is an address."""
        paragraph = self._paragraph("Small", label)
        word.write(
            word.link(self._document, paragraph, address) if address else paragraph,
            label,
            _LINKED if address else Look(),
        )
        word.write(paragraph, more, Look())

    def blocks(self, blocks: Sequence[md.Block], where: _Where = _Where()) -> None:
        """What was said."""
        for block in blocks:
            match block:
                case md.Paragraph(inlines, small):
                    style = "ChatQuote" if where.quoted else "Small" if small else "Normal"
                    self._inlines(self._paragraph(style, md.plain(inlines), where), inlines, Look())
                case md.Heading(_, inlines):
                    paragraph = self._paragraph(
                        "ChatQuote" if where.quoted else "ChatHeading", md.plain(inlines), where
                    )
                    self._inlines(paragraph, inlines, Look(bold=True))
                case md.CodeBlock(language, text):
                    self._code(self._paragraph("ChatCode", "", where), language, text)
                case md.Quote(inner):
                    self.blocks(inner, replace(where, steps=where.steps + 1, quoted=True))
                case md.Bullets():
                    self._list(block, where)
                case md.Table():
                    self._table(block)
                case _:
                    border = word.put(self._paragraph("Small", "").get_or_add_pPr(), "pBdr")
                    border.append(word.made("bottom", val="single", sz=4, space=1, color="D9DDE5"))

    def _list(self, bullets: md.Bullets, where: _Where) -> None:
        level = min(where.lists, 8)
        number = self._lists.ordered(level, bullets.start) if bullets.ordered else self._lists.bullets()
        within = replace(where, steps=where.steps + 1, lists=where.lists + 1)
        for item in bullets.items:
            first = item[0] if item and isinstance(item[0], md.Paragraph | md.Heading) else md.Paragraph(())
            paragraph = self._paragraph("Normal", md.plain(first.inlines))
            properties = paragraph.get_or_add_pPr()
            listed = word.put(properties, "numPr")
            listed.append(word.made("ilvl", val=level))
            listed.append(word.made("numId", val=number))
            word.put(properties, "ind", left=_STEP * within.steps, hanging=_STEP)
            word.put(properties, "contextualSpacing")
            self._inlines(paragraph, first.inlines, Look())
            self.blocks(item[1:] if item and item[0] is first else item, within)

    def _table(self, told: md.Table) -> None:
        rows = (told.header, *told.rows)
        table = self._document.add_table(len(rows), len(told.header))
        word.grid(table, _widths(rows), to_the_left=to_the_left(md.plain(told.header[0])))
        for number, (row, cells) in enumerate(zip(table.rows, rows, strict=True)):
            for cell, inlines, side in zip(row.cells, cells, told.alignments, strict=True):
                paragraph = cell.paragraphs[0]._p
                paragraph.style = "Small" if len(cells) > 6 else "Normal"
                properties = paragraph.get_or_add_pPr()
                if to_the_left(md.plain(inlines)):
                    word.put(properties, "bidi")
                if side:
                    word.put(properties, "jc", val=side)
                self._inlines(paragraph, inlines, Look(bold=number == 0))
        self._paragraph("Small", "")  # else a table that follows would be one with it

    def _code(self, paragraph: Any, language: str, text: str) -> None:
        try:
            lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
        except ClassNotFound:
            lexer = None
        if lexer is None or len(text) > _COLOURED:
            word.write(paragraph, text, Look())
            return
        for kind, letters in lexer.get_tokens(text):
            colour = next((colour for known, colour in _COLOURS if kind in known), "")
            word.write(paragraph, letters, Look(colour=colour))

    def _inlines(self, parent: Any, inlines: Sequence[md.Inline], look: Look) -> None:
        for each in inlines:
            match each:
                case md.Text(words):
                    word.write(parent, words, look)
                case md.Code(words):
                    word.write(parent, words, replace(look, style="CodeLetters"))
                case md.Break():
                    word.write(parent, "\n", look)
                case md.Strong(inner):
                    self._inlines(parent, inner, replace(look, bold=True))
                case md.Em(inner):
                    self._inlines(parent, inner, replace(look, italic=True))
                case md.Strike(inner):
                    self._inlines(parent, inner, replace(look, struck=True))
                case md.Spoiler(inner):
                    self._inlines(parent, inner, replace(look, hidden=True))
                case md.Link(address, inner):
                    self._inlines(word.link(self._document, parent, address), inner, replace(look, style="Hyperlink"))
                case md.Image(address, words):
                    word.write(
                        word.link(self._document, parent, address), words or address, replace(look, style="Hyperlink")
                    )

    def _paragraph(self, style: str, text: str, where: _Where = _Where()) -> Any:
        if style == self._before == "ChatCode":
            self._paragraph("Small", "")  # else Word puts both into one frame
        self._before = style
        paragraph = self._document.add_paragraph()._p
        paragraph.style = style
        properties = paragraph.get_or_add_pPr()
        if to_the_left(text):
            word.put(properties, "bidi")
            if where.quoted:
                border = word.put(properties, "pBdr")
                border.append(word.made("left", val="nil"))
                border.append(word.made("right", val="single", sz=12, space=4, color="D9DDE5"))
        if where.steps:
            word.put(properties, "ind", left=_STEP * where.steps)
        return paragraph


def _widths(rows: Sequence[Sequence[Sequence[md.Inline]]]) -> list[int]:
    """The widths of columns, by the longest that they hold."""
    longest = [min(max(len(md.plain(cell)) for cell in column), 40) + 4 for column in zip(*rows, strict=True)]
    room = min(_TEXT_WIDTH, 130 * sum(longest))
    return [room * each // sum(longest) for each in longest]
