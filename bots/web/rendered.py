"""A message's words as the console shows them: Markdown as the house reads it, with formulas as MathML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape, unescape
from itertools import islice
from xml.etree.ElementTree import Element

from storage.exports.html_words import words

_FORMULAS = 300
"""The most formulas in one text; what comes after stands there as it was written."""
_LONGEST = 2_000
"""Characters of a formula."""
_WHOLE = 100_000
"""Characters of a text in which formulas are looked for."""
_FIRST = 0xF0000
_STAND_IN = re.compile("[\U000f0000-\U000f0fff]")
_ENCODED = re.compile(r"%F3%B0(?:%[89AB][0-9A-F]){2}")
_MATHS = re.compile(
    # What may be begun a hundred thousand times is read no further than to where it begins once more.
    r"(?P<code>^[ \t>]*~{3,}+[^\n]*+\n.*?(?:^[ \t>]*~{3,}|\Z))|(?P<ticks>`++)"
    r"|\\\\|\\\$"
    r"|\$\$(?P<block>(?:[^$\\]|\\.)++)\$\$"
    r"|\\\[(?P<bracket>(?:[^\\]|\\[^\[\]])++)\\\]"
    r"|\\\((?P<paren>(?:[^\\\n]|\\[^()\n])++)\\\)"
    r"|(?<![\w$])\$(?P<dollar>(?![\s$])(?:[^$\\\n]|\\[^\n])+)(?<!\s)\$(?![\w$])",
    re.DOTALL | re.MULTILINE,
)
_TICKS = re.compile("`++")
_MACROS = re.compile(r"\\(?:re)?newcommand|\\def\b|\\let\b|\\providecommand")
_PIECES = re.compile(r'(?P<tag><(?P<close>/?)(?P<name>[a-z0-9]+)[^>"]*(?:"[^"]*"[^>"]*)*>)|(?P<words>[^<]+)')
_TAGS = frozenset(
    "math mrow mi mn mo mtext mspace mfrac msqrt mroot msub msup msubsup munder mover munderover mtable mtr mtd mstyle"
    " mpadded mphantom menclose mmultiscripts mprescripts none".split()
)
_ATTRIBUTES = frozenset(
    "display mathvariant stretchy fence separator accent accentunder columnalign linethickness minsize maxsize largeop"
    " movablelimits form lspace rspace width mathcolor displaystyle scriptlevel notation symmetric".split()
)
_VALUE = re.compile(r"#?[a-z -]{0,40}|#[0-9a-fA-F]{3,8}|[+-]?\d{0,2}(?:\.\d{1,4})?(?:em|ex|px|pt)?")


_TASK = re.compile(r'<li dir="auto">(<p dir="auto">)?\[([ xX])\](?=\s)')
_BOX = {" ": "☐", "x": "☑\ufe0e"}


def rendered(text: str) -> str:
    """The words as HTML that can do nothing, whatever they are: no script, no style, no picture from elsewhere.

    Formulas stand between `$` and `$`, `$$` and `$$`, `\\(` and `\\)` or `\\[` and `\\]`; one that cannot be read is
    shown as it was written. Tasks have a box each. Takes time, up to some
    hundred milliseconds for the longest: call it in a thread."""
    return _TASK.sub(lambda task: f'<li class="task" dir="auto">{task[1] or ""}{_BOX[task[2].lower()]}', _html(text))


def _html(text: str) -> str:
    if ("$" not in text and "\\" not in text) or len(text) > _WHOLE or _STAND_IN.search(text):
        return words(text, code_language="", load_images=False)
    found = list(islice(_formulas(text), _FORMULAS))
    pieces, at = list[str](), 0
    for number, formula in enumerate(found):
        pieces += (text[at : formula.start()], chr(_FIRST + number))
        at = formula.end()
    html = words("".join(pieces) + text[at:], code_language="", load_images=False)
    return "".join(_put_back(html, found)) if found else html


def _formulas(text: str) -> Iterator[re.Match[str]]:
    """What stands between the signs of a formula, and not in code."""
    ends, at = _code_ends(text), 0
    while match := _MATHS.search(text, at):
        at = ends.get(match.start(), match.end()) if match["ticks"] else match.end()
        if any(match.group("block", "bracket", "paren", "dollar")) and len(match[0]) <= _LONGEST:
            yield match


def _code_ends(text: str) -> dict[int, int]:
    """Where the code ends that begins at each run of ticks; a run that none of its length follows is absent."""
    ends, next_of = dict[int, int](), dict[int, int]()
    for run in reversed(list(_TICKS.finditer(text))):
        length = len(run[0])
        if length in next_of:
            ends[run.start()] = next_of[length]
        next_of[length] = run.end()
    return ends


def _put_back(html: str, found: list[re.Match[str]]) -> Iterator[str]:
    """The page with formulas where they stood among words, and as they were written in code and in addresses."""
    in_code = 0
    for piece in _PIECES.finditer(html):
        if piece["tag"]:
            if piece["name"] == "code":
                in_code += -1 if piece["close"] else 1
            plain = _ENCODED.sub(lambda one: bytes.fromhex(one[0].replace("%", "")).decode(), piece["tag"])
            yield _STAND_IN.sub(lambda one: escape(_at(one, found)[0]), plain)
        elif in_code:
            yield _STAND_IN.sub(lambda one: escape(_at(one, found)[0]), piece["words"])
        else:
            yield _STAND_IN.sub(lambda one: _formula(_at(one, found)), piece["words"])


def _at(stand_in: re.Match[str], found: list[re.Match[str]]) -> re.Match[str]:
    return found[ord(stand_in[0]) - _FIRST]


def _formula(match: re.Match[str]) -> str:
    """As MathML, or as it was written."""
    block = match["block"] or match["bracket"]
    formula = (block or match["paren"] or match["dollar"]).strip()
    as_written = f"<code>{escape(match[0])}</code>"
    if not formula or _MACROS.search(formula):
        return as_written
    from latex2mathml.converter import convert_to_element

    try:
        root = convert_to_element(formula, display="block" if block else "inline")
        return "".join(_told(root))
    except Exception:  # whatever a formula is, its words are shown; the library raises all kinds
        return as_written


def _told(element: Element) -> Iterator[str]:
    """The element built anew from what is known to do nothing."""
    known = element.tag in _TAGS
    if known:
        told = (f' {key}="{v}"' for key, v in element.items() if key in _ATTRIBUTES and _VALUE.fullmatch(v))
        yield f"<{element.tag}{''.join(told)}>"
    yield escape(unescape(element.text or ""))
    for child in element:
        yield from _told(child)
        yield escape(unescape(child.tail or ""))
    if known:
        yield f"</{element.tag}>"
