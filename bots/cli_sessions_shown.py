"""Sessions, findings and comparisons as lines for a terminal; words of people do nothing there but stand."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

_NARROW = 60
"""Characters below which two columns are none."""
_SIGNS = {"left": "<", "right": ">", "both": " "}


def session_line(session: dict[str, Any]) -> str:
    """One session on one line, its id last."""
    marks = "".join(
        mark
        for name, mark in (("starred", "* "), ("archived", "(archived) "), ("cleared", "(cleared) "))
        if session[name]
    )
    tags = "".join(f" [{plain(tag)}]" for tag in session["tags"])
    place = plain(session["channel_name"])
    when = session["last_at"][:16].replace("T", " ")
    title = plain(session["title"]) or "(no title)"
    return f"{when}  {marks}{title}{tags}  in {place}, {counted(session['messages'], 'message')}  {session['id']}"


def found_line(found: dict[str, Any]) -> str:
    """One finding: when, who, the words, and the session."""
    files = "".join(f" [file: {plain(name)}]" for name in found["files"])
    when = found["at"][:16].replace("T", " ")
    return f"{when}  {plain(found['who'])}: {plain(found['snippet'])}{files}  {found['session']}"


def shown_lines(session: dict[str, Any]) -> Iterator[str]:
    """A session, what it is about, and its lines with their ids."""
    yield session_line(session)
    if session["people"]:
        yield f"With {', '.join(map(plain, session['people']))}."
    context = session["context"]
    for name, word in (("goals", "Goal"), ("constraints", "Keep to"), ("shared_knowledge", "Known")):
        yield from (f"{word}: {plain(each)}" for each in context[name])
    if context["summary"]:
        yield f"Summary: {plain(context['summary'])}"
    yield ""
    for line in session["lines"]:
        yield f"{line['id']}  {line['at'][:16].replace('T', ' ')}  {said(line)}"


def template_line(template: dict[str, Any]) -> str:
    """One template: its name, where it is offered, by whom, and how many lines it begins with."""
    named = f"{plain(template['channel_name'])} ({template['audience']})"
    where = "everywhere" if template["audience"] == "bot" else f"in {named}"
    opening = f", {counted(len(template['opening']), 'line')}" if template["opening"] else ""
    return f"{plain(template['name'])}  offered {where}, by {plain(template['by'])}{opening}"


def columns(told: dict[str, Any], width: int) -> str:
    """A comparison as two columns, or from above to below where there is no room for two."""
    if width < _NARROW:
        lines = [told["told"]]
        for row in told["rows"]:
            sides = ("left",) if row["side"] == "both" else ("left", "right")
            both = row["side"] == "both"
            lines += [f"{_SIGNS['both' if both else side]} {said(row[side])}" for side in sides if row[side]]
        return "\n".join(lines)
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(width=width, show_lines=False, title_justify="left", title=Text(told["told"]))
    for side in ("left", "right"):
        table.add_column(Text(f"{plain(told[side]['title'])}\n{told[side]['id']}"), ratio=1, overflow="fold")
    table.add_column("", width=1)
    for row in told["rows"]:
        texts = [Text(said(row[side])) if row[side] else Text() for side in ("left", "right")]
        sign = {"both": "=", "left": "<", "right": ">", "apart": "|"}[row["side"]]
        table.add_row(texts[0], texts[1], sign, style="dim" if row["side"] == "both" else "")
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=False, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def said(line: dict[str, Any]) -> str:
    """Who said what, on one line."""
    files = "".join(f" [file: {plain(name)}]" for name in line["files"])
    return f"{plain(line['who'])}: {plain(line['text'])}{files}"


def counted(many: int, what: str) -> str:
    """A number of things in words."""
    return f"{many:,} {what}{'' if many == 1 else 's'}"


def plain(text: str) -> str:
    """Words on one line, without signs that would do something to a terminal."""
    return " ".join("".join(c if c.isprintable() or c in "\u200c\u200d" else " " for c in text).split())
