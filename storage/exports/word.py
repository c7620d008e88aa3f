"""What python-docx has no words for: letters by script and direction, lists with numbers, links, fields, styles."""

from __future__ import annotations

import re
import unicodedata
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from docx.enum.style import WD_STYLE_TYPE
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Pt, RGBColor

from .shown import language

_EMOJI = re.compile("[\u231a-\u23ff\u25aa-\u27bf\u2b05-\u2b55\U0001f000-\U0001faff]")
_EAST = re.compile(
    "[\u1100-\u11ff\u2e80-\ua4cf\uac00-\ud7af\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003ffff]"
)
_EASTERN = {"ja": ("ja-JP", "Yu Gothic"), "ko": ("ko-KR", "Malgun Gothic")}
_CHINESE = ("zh-CN", "Microsoft YaHei")
_ORDER = {
    qn("w:pPr"): (
        "pStyle keepNext keepLines numPr pBdr shd tabs bidi spacing ind contextualSpacing jc outlineLvl rPr sectPr"
    ).split(),
    qn("w:rPr"): "rStyle rFonts b bCs i iCs strike color sz szCs u shd rtl cs lang".split(),
}
"""Of what is used here; a paragraph or run with anything else is not put together by this module."""


@dataclass(frozen=True, slots=True)
class Look:
    """How letters look."""

    style: str = ""
    """The id of a style for characters."""
    bold: bool = False
    italic: bool = False
    struck: bool = False
    hidden: bool = False
    """Shaded, as what was hidden in a chat."""
    colour: str = ""
    """Six hexadecimal digits."""


def made(tag: str, **values: object) -> Any:
    """An element of Word's own with its attributes."""
    element = OxmlElement(f"w:{tag}")
    for name, value in values.items():
        element.set(qn(f"w:{name}"), str(value))
    return element


def put(properties: Any, tag: str, **values: object) -> Any:
    """An element put where it belongs among the properties of a run or a paragraph: Word is strict about that."""
    order, element = _ORDER[properties.tag], made(tag, **values)
    properties.insert_element_before(element, *(f"w:{name}" for name in order[order.index(tag) + 1 :]))
    return element


def write(parent: Any, text: str, look: Look) -> None:
    """Adds the text to a paragraph or link, in as many runs as it has scripts; its lines are broken at line ends."""
    spoken = language(text)
    for kind, letters in pieces(text):
        run = made("r")
        properties = run.get_or_add_rPr()
        if look.style:
            put(properties, "rStyle", val=look.style)
        for tag, wanted in (("b", look.bold), ("bCs", look.bold), ("i", look.italic), ("iCs", look.italic)):
            if wanted:
                put(properties, tag)
        if look.struck:
            put(properties, "strike")
        if look.colour:
            put(properties, "color", val=look.colour)
        if look.hidden:
            put(properties, "shd", val="clear", color="auto", fill="D9DDE5")
        _script(properties, kind, spoken)
        run.text = letters
        parent.append(run)


def pieces(text: str) -> Iterator[tuple[str, str]]:
    """The text cut where its script changes: "emoji", "right" for what runs to the left, "east" for Chinese, Japanese
    and Korean, or "", and the letters. Blanks and signs stay with what is before them."""
    if not text or text.isascii():
        yield "", text
        return
    current: str | None = None
    start = 0
    for at, letter in enumerate(text):
        kind = _kind(letter, current)
        if kind is None or kind == current:
            continue
        if current is not None:
            yield current, text[start:at]
            start = at
        current = kind
    yield current or "", text[start:]


def _kind(letter: str, before: str | None) -> str | None:
    if _EMOJI.match(letter):
        return "emoji"
    if _EAST.match(letter):
        return "east"
    match unicodedata.bidirectional(letter):
        case "R" | "AL" | "AN":
            return "right"
        case "EN":
            return "right" if before == "right" else ""
        case "L":
            return ""
    return None


def _script(properties: Any, kind: str, spoken: str) -> None:
    if kind == "emoji":
        put(properties, "rFonts", **dict.fromkeys(("ascii", "hAnsi", "eastAsia", "cs"), "Segoe UI Emoji"))
    elif kind == "east":
        tag, font = _EASTERN.get(spoken, _CHINESE)
        put(properties, "rFonts", hint="eastAsia", eastAsia=font)
        put(properties, "lang", eastAsia=tag)
    elif kind == "right":
        put(properties, "rtl")
        put(properties, "lang", bidi="he-IL" if spoken == "he" else "ar-SA")


def link(document: Any, paragraph: Any, address: str) -> Any:
    """An empty link in a paragraph."""
    element = OxmlElement("w:hyperlink")
    related = document.part.relate_to(address, RELATIONSHIP_TYPE.HYPERLINK, is_external=True)
    element.set(qn("r:id"), related)
    paragraph.append(element)
    return element


def anchored(paragraph: Any, name: str) -> Any:
    """An empty link to a bookmark."""
    element = made("hyperlink", anchor=name)
    paragraph.append(element)
    return element


def bookmark(paragraph: Any, name: str, number: int) -> None:
    """Makes what is in a paragraph the target of links."""
    properties = paragraph.get_or_add_pPr()
    properties.addnext(made("bookmarkStart", id=number, name=name))
    paragraph.append(made("bookmarkEnd", id=number))


def field(paragraph: Any, instruction: str, *, ends: bool = True) -> None:
    """A field that Word works out, such as the number of a page; one that does not end takes in what follows."""
    for content in (
        made("fldChar", fldCharType="begin"),
        _instruction(instruction),
        made("fldChar", fldCharType="separate"),
    ):
        _in_run(paragraph, content)
    if ends:
        write(paragraph, "1", Look())
        field_end(paragraph)


def field_end(paragraph: Any) -> None:
    """Where a field that was left open ends."""
    _in_run(paragraph, made("fldChar", fldCharType="end"))


def _in_run(paragraph: Any, content: Any) -> None:
    run = made("r")
    run.append(content)
    paragraph.append(run)


def _instruction(text: str) -> Any:
    element = made("instrText")
    element.set(qn("xml:space"), "preserve")
    element.text = text
    return element


class Numbers:
    """The lists of a document: each ordered one counts for itself."""

    def __init__(self, document: Any) -> None:
        self._numbering = document.part.numbering_part.element
        known = self._numbering.findall(qn("w:abstractNum"))
        self._first = 1 + max((int(each.get(qn("w:abstractNumId"))) for each in known), default=0)
        for offset, kind in enumerate(("bullet", "decimal")):
            self._numbering.insert(len(known) + offset, self._outline(self._first + offset, kind))
        self._bullets = self._numbering.add_num(self._first).numId

    def bullets(self) -> int:
        """The number of all lists with dots."""
        return int(self._bullets)

    def ordered(self, level: int, start: int) -> int:
        """The number of a new list that begins with `start`."""
        number = self._numbering.add_num(self._first + 1)
        number.add_lvlOverride(ilvl=level).add_startOverride(start)
        return int(number.numId)

    @staticmethod
    def _outline(number: int, kind: str) -> Any:
        outline = made("abstractNum", abstractNumId=number)
        outline.append(made("multiLevelType", val="hybridMultilevel"))
        for level in range(9):
            told = made("lvl", ilvl=level)
            told.append(made("start", val=1))
            told.append(made("numFmt", val=kind))
            told.append(made("lvlText", val="•◦–"[level % 3] if kind == "bullet" else f"%{level + 1}."))
            told.append(made("lvlJc", val="left"))
            properties = made("pPr")
            put(properties, "ind", left=360 * (level + 1), hanging=360)
            told.append(properties)
            outline.append(told)
        return outline


def add_styles(document: Any) -> None:
    """The styles of a chat, by which all of it can be changed at once in Word."""
    styles = document.styles
    _font(styles["Normal"], "Calibri", 10.5)
    for name, size, above, below in (
        ("Speaker", 11, 12, 2),
        ("Small", 9, 0, 4),
        ("ChatCode", 9, 4, 8),
        ("ChatQuote", 10.5, 0, 6),
        ("ChatHeading", 12, 8, 4),
    ):
        style = styles.add_style(name, WD_STYLE_TYPE.PARAGRAPH)
        style.base_style = styles["Normal"]
        _font(style, "Consolas" if name == "ChatCode" else "Calibri", size)
        style.paragraph_format.space_before, style.paragraph_format.space_after = Pt(above), Pt(below)
    styles["Normal"].paragraph_format.space_after = Pt(5)
    styles["Speaker"].paragraph_format.keep_with_next = True
    styles["ChatHeading"].paragraph_format.keep_with_next = styles["ChatHeading"].font.bold = True
    styles["Small"].font.color.rgb = RGBColor(0x64, 0x6B, 0x7A)
    for name, sides in (("ChatCode", ("top", "left", "bottom", "right")), ("ChatQuote", ("left",))):
        properties = styles[name].element.get_or_add_pPr()
        border = put(properties, "pBdr")
        for side in sides:
            border.append(made(side, val="single", sz=4 if len(sides) > 1 else 12, space=4, color="D9DDE5"))
    put(styles["ChatCode"].element.get_or_add_pPr(), "shd", val="clear", color="auto", fill="F5F6F9")
    letters = styles.add_style("CodeLetters", WD_STYLE_TYPE.CHARACTER)
    _font(letters, "Consolas", 9.5)
    put(letters.element.get_or_add_rPr(), "shd", val="clear", color="auto", fill="EEF0F4")
    beside = styles.add_style("Beside", WD_STYLE_TYPE.CHARACTER)
    _font(beside, "Calibri", 8.5)
    beside.font.color.rgb = RGBColor(0x64, 0x6B, 0x7A)
    linked = styles.add_style("Hyperlink", WD_STYLE_TYPE.CHARACTER)
    linked.font.color.rgb, linked.font.underline = RGBColor(0x1D, 0x5F, 0xBF), True


def _font(style: Any, name: str, size: float) -> None:
    style.font.name, style.font.size = name, Pt(size)
    style.element.get_or_add_rPr().get_or_add_rFonts().set(qn("w:cs"), "Arial")


def grid(table: Any, widths: Sequence[int], *, to_the_left: bool) -> None:
    """Draws the lines of a table with columns of these widths (in twentieths of a point); its first row is its head,
    which every page repeats."""
    properties = table._tbl.tblPr
    if to_the_left:
        properties.insert(0, made("bidiVisual"))
    lines = made("tblBorders")
    for side in ("top", "left", "bottom", "right", "insideH", "insideV"):
        lines.append(made(side, val="single", sz=4, space=0, color="C3C9D4"))
    properties.findall(qn("w:tblLayout"))[-1:] or properties.append(made("tblLayout", type="fixed"))
    properties.find(qn("w:tblLayout")).addprevious(lines)
    for column, width in zip(table._tbl.tblGrid.findall(qn("w:gridCol")), widths, strict=True):
        column.set(qn("w:w"), str(width))
    for number, row in enumerate(table._tbl.tr_lst):
        for cell, width in zip(row.tc_lst, widths, strict=True):
            cell.get_or_add_tcPr().get_or_add_tcW().set(qn("w:w"), str(width))
            if number == 0:
                cell.tcPr.append(made("shd", val="clear", color="auto", fill="F1F3F7"))
    table._tbl.tr_lst[0].get_or_add_trPr().append(made("tblHeader"))


def save(document: Any, path: Path, at: datetime) -> None:
    """Writes the document, the same again from the same: its parts are dated as it is."""
    document.save(path.with_suffix(".draft"))
    when = max(at, datetime(1980, 1, 1, tzinfo=at.tzinfo)).timetuple()[:6]
    with zipfile.ZipFile(path.with_suffix(".draft")) as draft, zipfile.ZipFile(path, "w") as whole:
        for name in draft.namelist():
            part = zipfile.ZipInfo(name, when)
            part.compress_type, part.external_attr = zipfile.ZIP_DEFLATED, 0o600 << 16
            whole.writestr(part, draft.read(name))
