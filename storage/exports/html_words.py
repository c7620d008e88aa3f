"""Blocks of Markdown as HTML: everything escaped, code in colours, and a second look at what came out."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from html import escape

import nh3
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Keyword, Name, Number, Operator, String, Token
from pygments.util import ClassNotFound

from . import markdown as md

_COLOURED = 20_000
"""Characters: longer code stands there in one colour."""
_COLOURS = {
    Keyword: "k",
    String: "s",
    Comment: "c",
    Number: "n",
    Name.Function: "f",
    Name.Class: "f",
    Name.Decorator: "f",
    Name.Builtin: "t",
    Name.Tag: "o",
    Name.Attribute: "n",
    Operator.Word: "k",
}
_SHARED = {"class", "dir"}
_ALLOWED: dict[str, set[str]] = {
    "a": {"href", "class"},
    "img": {"src", "alt", "loading", "referrerpolicy"},
    "ol": {"start"},
    "span": {"class", "tabindex"},
    "pre": {"tabindex"},
    "div": {"class", "tabindex"},
    **dict.fromkeys(("p", "blockquote", "ul", "li", "td", "th", "h4", "h5", "h6"), _SHARED),
    **{tag: set() for tag in ("strong", "em", "s", "code", "br", "hr", "table", "thead", "tbody", "tr")},
}


def words(text: str, *, code_language: str, load_images: bool) -> str:
    """A message's words as HTML that can do nothing: no script, no style, no address but http, https and mailto.

    `load_images` shows pictures that stand elsewhere; otherwise they are links."""
    written = _Written(code_language, load_images)
    return nh3.clean(
        "".join(map(written.block, md.blocks(text))),
        tags=set(_ALLOWED),
        attributes=_ALLOWED,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer",
    )


class _Written:
    def __init__(self, code_language: str, load_images: bool) -> None:
        self._language = code_language
        self._load_images = load_images

    def block(self, block: md.Block) -> str:
        match block:
            case md.Paragraph(inlines, small):
                return f'<p dir="auto"{" class=small" if small else ""}>{self.inline(inlines)}</p>'
            case md.Heading(level, inlines):
                tag = f"h{min(level + 3, 6)}"
                return f'<{tag} dir="auto">{self.inline(inlines)}</{tag}>'
            case md.CodeBlock(language, text):
                return _code(language or self._language, text)
            case md.Bullets(ordered, start, items):
                tag, number = ("ol", f' start="{start}"') if ordered else ("ul", "")
                inner = "".join(f'<li dir="auto">{self._item(item)}</li>' for item in items)
                return f"<{tag}{number}>{inner}</{tag}>"
            case md.Quote(inner_blocks):
                return f'<blockquote dir="auto">{"".join(map(self.block, inner_blocks))}</blockquote>'
            case md.Table():
                return self._table(block)
            case md.Rule():
                return "<hr>"

    def _item(self, item: tuple[md.Block, ...]) -> str:
        if len(item) == 1 and isinstance(item[0], md.Paragraph):
            return self.inline(item[0].inlines)
        return "".join(map(self.block, item))

    def _table(self, table: md.Table) -> str:
        def row(tag: str, cells: Iterable[tuple[md.Inline, ...]]) -> str:
            pairs = zip(cells, table.alignments, strict=False)
            told = (
                f'<{tag} dir="auto"{f" class={side}" if side else ""}>{self.inline(c)}</{tag}>' for c, side in pairs
            )
            return f"<tr>{''.join(told)}</tr>"

        body = "".join(row("td", cells) for cells in table.rows)
        head = row("th", table.header)
        return f'<div class="wide" tabindex="0"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>'

    def inline(self, inlines: Iterable[md.Inline]) -> str:
        return "".join(map(self._inline, inlines))

    def _inline(self, inline: md.Inline) -> str:
        match inline:
            case md.Text(text):
                return escape(text)
            case md.Strong(inner):
                return f"<strong>{self.inline(inner)}</strong>"
            case md.Em(inner):
                return f"<em>{self.inline(inner)}</em>"
            case md.Strike(inner):
                return f"<s>{self.inline(inner)}</s>"
            case md.Spoiler(inner):
                return f'<span class="veil" tabindex="0">{self.inline(inner)}</span>'
            case md.Code(text):
                return f"<code>{escape(text)}</code>"
            case md.Link(href, inner):
                return f'<a href="{escape(href)}">{self.inline(inner)}</a>'
            case md.Image(src, alt):
                if self._load_images:
                    return f'<img src="{escape(src)}" alt="{escape(alt)}" loading="lazy" referrerpolicy="no-referrer">'
                return f'<a href="{escape(src)}">{escape(alt or src)}</a>'
            case md.Break():
                return "<br>"


def _code(language: str, text: str) -> str:
    lexer = _lexer(language.lower()) if language and len(text) <= _COLOURED else None
    told = escape(text) if lexer is None else "".join(_coloured(lexer, text))
    tag = f'<span class="tag">{escape(language)}</span>' if language else ""
    return f'<pre tabindex="0">{tag}<code>{told}</code></pre>'


def _coloured(lexer: Lexer, text: str) -> Iterable[str]:
    for kind, piece in lexer.get_tokens(text):
        while kind is not Token and kind not in _COLOURS:
            kind = kind.parent
        yield f'<span class="{_COLOURS[kind]}">{escape(piece)}</span>' if kind in _COLOURS else escape(piece)


@lru_cache(maxsize=64)
def _lexer(language: str) -> Lexer | None:
    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
