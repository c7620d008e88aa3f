"""Two sessions side by side: what they have in common, and what is only in one of them."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from typing import Literal

from storage.backend import Store
from storage.durable import in_thread
from storage.model import Message, Session

from .carrying import said

MOST = 5_000
"""Lines of each session that are compared, the newest."""
_CLOSELY = 500
"""Lines in a stretch up to which lines with the same words are looked for."""
Key = tuple[str, str, tuple[str, ...]]
"""What makes two lines the same words."""
_AROUND = 2
"""Lines in common that a reader is shown before and after what differs."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of each, beside each other; None where one has none there."""

    left: Message | None
    right: Message | None

    @property
    def alike(self) -> bool:
        """Whether the same was said in both."""
        return self.left is not None and self.right is not None and _same(self.left, self.right)

    @property
    def side(self) -> Literal["both", "left", "right", "apart"]:
        """Where it is: in both alike, in one, or in both differently."""
        if self.left is None or self.right is None:
            return "right" if self.left is None else "left"
        return "both" if self.alike else "apart"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sessions, each with a title, row by row."""

    left: Session
    right: Session
    rows: tuple[Row, ...]
    cut: bool
    """Whether one of them has more lines than were compared."""

    @property
    def shared(self) -> int:
        return sum(row.alike for row in self.rows)

    @property
    def only(self) -> tuple[int, int]:
        """How many lines are only in the left one, and only in the right one."""
        others = [row for row in self.rows if not row.alike]
        return sum(row.left is not None for row in others), sum(row.right is not None for row in others)

    def told(self) -> str:
        """The whole of it in a sentence."""
        left, right = self.only
        more = f" Only the newest {MOST:,} lines of each were compared." if self.cut else ""
        return f"{_lines(self.shared)} in common, {left:,} only in the first, {right:,} only in the second.{more}"


async def compared(store: Store, left: Session, right: Session) -> Comparison:
    """Lines are the same where one is a copy of the other, or both of a third, and between those where the same sort of
    speaker used the same words. The program's own notices are left out."""
    ours, theirs = [await _said_in(store, each) for each in (left, right)]
    cut = any(each.message_count > MOST for each in (left, right))
    return Comparison(left, right, await in_thread(_aligned, ours, theirs), cut)


def as_lines(comparison: Comparison) -> Iterator[tuple[Literal[" ", "<", ">"], Message | int]]:
    """What differs, from above to below, with a little of what is in common around it: `<` for what is only in the
    first, `>` for the second. A number stands for so many lines in common that are left out."""
    stretches = [(alike, list(rows)) for alike, rows in groupby(comparison.rows, key=lambda row: row.alike)]
    for number, (alike, rows) in enumerate(stretches):
        if not alike:
            yield from (("<", row.left) for row in rows if row.left is not None)
            yield from ((">", row.right) for row in rows if row.right is not None)
            continue
        before = 0 if number == 0 else _AROUND
        after = 0 if number == len(stretches) - 1 else _AROUND
        left_out = len(rows) - before - after
        shown = rows if left_out <= 1 else [*rows[:before], None, *rows[len(rows) - after :]]
        for row in shown:
            if row is None:
                yield " ", left_out
            elif row.left is not None:
                yield " ", row.left


def as_html(comparison: Comparison) -> str:
    """One page that needs nothing else: two columns, what is in common across both and folded where it is long. Takes
    seconds for thousands of lines."""
    titles = [html.escape(each.title) for each in (comparison.left, comparison.right)]
    heads = "".join(
        f"<th scope=col>{title}<br><small>{html.escape(each.id)} · {each.opened_at:%Y-%m-%d %H:%M} UTC</small></th>"
        for title, each in zip(titles, (comparison.left, comparison.right), strict=True)
    )
    body = "".join(
        _folded(list(rows)) if alike else f"<tbody>{''.join(map(_row, rows))}</tbody>"
        for alike, rows in groupby(comparison.rows, key=lambda row: row.alike)
    )
    return (
        f"<!doctype html>\n<html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{titles[0]} | {titles[1]}</title><style>{_STYLE}</style>"
        f"<h1>Two sessions side by side</h1><p>{html.escape(comparison.told())}</p>"
        f"<table><thead><tr>{heads}</tr></thead>{body}</table></html>\n"
    )


async def _said_in(store: Store, session: Session) -> list[Message]:
    return [line for line in await store.messages(session.id, limit=MOST) if line.role != "system" or line.words]


def _aligned(ours: Sequence[Message], theirs: Sequence[Message]) -> tuple[Row, ...]:
    """Lines of one origin beside each other, and what stands between them."""
    there = {said(line): number for number, line in enumerate(theirs)}
    rows: list[Row] = []
    left = right = 0
    for number, line in enumerate(ours):
        at = there.get(said(line), -1)
        if at >= right:
            rows += _between(ours[left:number], theirs[right:at])
            rows.append(Row(line, theirs[at]))
            left, right = number + 1, at + 1
    rows += _between(ours[left:], theirs[right:])
    return tuple(rows)


def _between(ours: Sequence[Message], theirs: Sequence[Message]) -> Iterator[Row]:
    left = right = 0
    if max(len(ours), len(theirs)) <= _CLOSELY:
        for i, j in _alike(list(map(_key, ours)), list(map(_key, theirs))):
            yield from (Row(*pair) for pair in zip_longest(ours[left:i], theirs[right:j]))
            yield Row(ours[i], theirs[j])
            left, right = i + 1, j + 1
    yield from (Row(*pair) for pair in zip_longest(ours[left:], theirs[right:]))


def _alike(ours: Sequence[Key], theirs: Sequence[Key]) -> Iterator[tuple[int, int]]:
    """The places of as many equal keys as stand in the same order in both. As much work for any keys: `difflib` takes
    a second where the same few come again and again."""
    lengths = [[0] * (len(theirs) + 1) for _ in range(len(ours) + 1)]
    for i in reversed(range(len(ours))):
        row, below, key = lengths[i], lengths[i + 1], ours[i]
        for j in reversed(range(len(theirs))):
            row[j] = below[j + 1] + 1 if key == theirs[j] else max(below[j], row[j + 1])
    i = j = 0
    while i < len(ours) and j < len(theirs):
        if ours[i] == theirs[j]:
            yield i, j
            i, j = i + 1, j + 1
        elif lengths[i + 1][j] >= lengths[i][j + 1]:
            i += 1
        else:
            j += 1


def _same(left: Message, right: Message) -> bool:
    return said(left) == said(right) or _key(left) == _key(right)


def _key(line: Message) -> Key:
    return line.role, line.text, tuple(file.blob or file.url for file in line.attachments)


def _folded(rows: Sequence[Row]) -> str:
    if len(rows) <= 2 * _AROUND + 1:
        return f"<tbody>{''.join(map(_row, rows))}</tbody>"
    first, inside, last = rows[:_AROUND], rows[_AROUND:-_AROUND], rows[-_AROUND:]
    shown = "".join(f"<div class=both>{_line(row.left)}</div>" for row in inside)
    fold = f"<tr><td colspan=2><details><summary>{_lines(len(inside))} in common</summary>{shown}</details></td></tr>"
    return f"<tbody>{''.join(map(_row, first))}{fold}{''.join(map(_row, last))}</tbody>"


def _row(row: Row) -> str:
    if row.side == "both":
        return f"<tr class=both><td colspan=2>{_line(row.left)}</td></tr>"
    return f"<tr><td class=left>{_line(row.left)}</td><td class=right>{_line(row.right)}</td></tr>"


def _line(line: Message | None) -> str:
    if line is None:
        return ""
    files = "".join(f"<br><i>{html.escape(file.name)}</i>" for file in line.attachments)
    who = f"<b>{html.escape(line.sender.name)}</b> <time>{line.at:%Y-%m-%d %H:%M}</time>"
    from storage.exports.html_words import words  # what reads Markdown takes memory, and few people ask for a page

    shown = words(line.text, code_language="", load_images=False)
    return f"<p dir=auto>{who}</p><div class=words dir=auto>{shown}{files}</div>"


def _lines(many: int) -> str:
    return "1 line" if many == 1 else f"{many:,} lines"


_STYLE = """
:root { color-scheme: light dark; --edge: #8884; --left: #f0883e22; --right: #3fb95022; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; padding: 0 1rem; max-width: 80rem; }
h1 { font-size: 1.3rem; }
table { border-collapse: separate; border-spacing: .5rem; table-layout: fixed; width: 100%; }
th { position: sticky; top: 0; background: Canvas; text-align: start; padding: .5rem; border-bottom: 1px solid; }
table table { border-collapse: collapse; table-layout: auto; }
table table :is(th, td) { position: static; border: 1px solid var(--edge); border-radius: 0; }
th, td { vertical-align: top; overflow-wrap: anywhere; }
small, time { color: GrayText; font-weight: normal; }
td { padding: .5rem .75rem; border-radius: .5rem; }
td:empty { background: none; }
td.left:not(:empty) { background: var(--left); }
td.right:not(:empty) { background: var(--right); }
.both td, div.both { border: 1px solid var(--edge); border-radius: .5rem; }
div.both { padding: .5rem .75rem; margin: .5rem 0; }
p { margin: 0; }
summary { cursor: pointer; color: GrayText; }
pre { overflow-x: auto; direction: ltr; text-align: left; }
blockquote { border-inline-start: 4px solid var(--edge); margin-inline: 0; padding-inline-start: .8rem; }
"""
