"""How Markdown is parsed here: CommonMark as far as it suits a chat, and the marks that only Discord has."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

_DEEPEST = 17
"""Levels; the parser itself goes to 20, and a list takes two."""
_MARK = re.compile(
    r"<(?:(?P<who>[@#])[!&]?(?P<id>\d{1,20})|a?(?P<emoji>:\w{1,64}:)\d{1,20}|t:(?P<at>-?\d{1,12})(?::[a-zA-Z])?"
    r"|(?P<command>/[^:<>\n]{1,100}):\d{1,20}|id:(?P<page>\w{1,40}))>"
)


def _mark(state: StateInline, silent: bool) -> bool:
    """`<@1>`, `<#1>`, `<:smile:1>`, `<t:1700000000:R>` and `</ask:1>` as a person reads them."""
    match = _MARK.match(state.src, state.pos, state.posMax)
    if match is None:
        return False
    if not silent:
        state.append_pending(_read(match))
    state.pos = match.end()
    return True


def _read(match: re.Match[str]) -> str:
    if match["who"]:
        return match["who"] + match["id"]
    if match["at"]:
        try:
            return f"{datetime.fromtimestamp(int(match['at']), UTC):%Y-%m-%d %H:%M} UTC"
        except (ValueError, OverflowError, OSError):
            return match[0]
    return match["emoji"] or match["command"] or f"#{match['page']}"


def _spoiler(state: StateInline, silent: bool) -> bool:
    """`||words||`; what is within is read as well."""
    start = state.pos + 2
    if not state.src.startswith("||", state.pos):
        return False
    end = state.src.find("||", start, state.posMax)
    if end <= start:
        return False
    if not silent:
        most, state.pos, state.posMax = state.posMax, start, end
        state.push("spoiler_open", "span", 1)
        state.md.inline.tokenize(state)
        state.push("spoiler_close", "span", -1)
        state.posMax = most
    state.pos = end + 2
    return True


def _small(state: StateBlock, line: int, end_line: int, silent: bool) -> bool:
    """A line that begins with `-# `."""
    start = state.bMarks[line] + state.tShift[line]
    if not state.src.startswith("-# ", start, state.eMarks[line]):
        return False
    if not silent:
        state.line = line + 1
        state.push("paragraph_open", "p", 1).markup = "-#"
        token = state.push("inline", "", 0)
        token.content, token.children, token.map = (
            state.src[start + 3 : state.eMarks[line]].strip(),
            [],
            [line, line + 1],
        )
        state.push("paragraph_close", "p", -1)
    return True


def _quote_ends(state: StateBlock, line: int, end_line: int, silent: bool) -> bool:
    """A line without `>` is not the quote's: else an answer below would be put into the quoted person's mouth."""
    return silent and state.parentType == "blockquote"


def _too_deep(state: StateBlock, line: int, end_line: int, silent: bool) -> bool:
    """The parser drops what is nested more deeply than it goes: just before, the rest is taken for words."""
    if silent or state.level < _DEEPEST:
        return False
    state.push("paragraph_open", "p", 1)
    token = state.push("inline", "", 0)
    token.content, token.children = state.getLines(line, end_line, state.blkIndent, False).strip(), []
    state.push("paragraph_close", "p", -1)
    state.line = end_line
    return True


def _reader(*, links: bool) -> MarkdownIt:
    reading = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    # Indented lines and underlined ones are no marks in a chat; references and entities would swallow what was said.
    reading.disable(["code", "lheading", "reference", "html_block", "html_inline", "entity"])
    if not links:
        reading.disable(["link", "image"])
    reading.block.ruler.before("table", "too_deep", _too_deep)
    reading.inline.add_terminator_char("|")
    reading.inline.ruler.before("emphasis", "spoiler", _spoiler)
    reading.inline.ruler.before("autolink", "mark", _mark)
    reading.block.ruler.before("list", "small", _small, {"alt": ["paragraph", "list"]})
    reading.block.ruler.push("quote_ends", _quote_ends, {"alt": ["blockquote"]})
    return reading


READING, WITHOUT_LINKS = _reader(links=True), _reader(links=False)
