"""Sessions as a Word document: real headings, lists, tables, links and pictures, in every script."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..blobs import Blobs
from ..model import Session
from . import Noted, Options, Transcript, ignored
from .apart import working
from .document import Head, head_of, headed, packed, typeset
from .figures import fitted, unseen
from .shown import File, Line, Shown, facts, flat, heading

_WIDEST, _HIGHEST = 150.0, 110.0
"""Millimetres of a picture."""
_PERSONA, _PERSON = "5A3FC0", "0F766E"


async def docx(
    sessions: Transcript,
    blobs: Blobs | None,
    options: Options,
    *,
    title: str,
    at: datetime,
    noted: Noted = ignored,
) -> AsyncIterator[bytes]:
    """A Word document of sessions, made at `at`; the same again from the same. Pictures are shown from `blobs`.

    `noted` hears what the document lacks. Raises `StorageError` when there are more than `document.MOST` messages, or
    python-docx is missing."""
    async for piece in typeset("docx", sessions, blobs, options, headed(title, at, options), noted):
        yield piece


def main() -> None:
    """Sets what is in a folder."""
    working(_set)


def _set(folder: Path) -> Iterator[str]:
    from .word import save

    head = head_of(folder)
    writing = _Writing(folder, head)
    writing.all()
    save(writing.document, folder / "made.docx", head.at)
    yield from unseen(writing.unseen)


class _Writing:
    """A document being written, from its beginning to its end."""

    def __init__(self, folder: Path, head: Head) -> None:
        from docx import Document

        from .paragraphs import Paragraphs

        self.document: Any = Document()
        self.unseen = 0
        """Pictures that could not be shown."""
        self._folder = folder
        self._head = head
        self._on = Paragraphs(self.document)

    def all(self) -> None:
        """Everything."""
        self._page()
        self._known()
        self._on.words("Title", flat(self._head.title, 160) or "Sessions")
        zone = f", times in {self._head.zone}" if self._head.timestamps else ""
        self._on.words("Small", f"Made on {self._head.at:%Y-%m-%d %H:%M}{zone}")
        titles = [heading(value) for value in packed(self._folder) if isinstance(value, Session)]
        level = min(max(self._head.header_level, 1), 5)
        if len(titles) > 1:
            self._on.contents(titles, level)
        shown, number = Shown(self._head, self._folder), 0
        for value in packed(self._folder):
            if isinstance(value, Session):
                shown, number = Shown(self._head, self._folder), number + 1
                self._on.heading(heading(value), level, number)
                for label, fact in facts(value, self._head):
                    self._on.words("Small", f"{label}: {fact}", with_next=True)
            else:
                self._line(shown.line(value))

    def _page(self) -> None:
        from docx.shared import Mm

        section = self.document.sections[0]
        section.page_width, section.page_height = Mm(210), Mm(297)
        section.left_margin = section.right_margin = Mm(22)
        section.top_margin = section.bottom_margin = Mm(22)
        self._on.header(section.header, flat(self._head.title, 100))
        self._on.footer(section.footer)

    def _known(self) -> None:
        known, at = self.document.core_properties, self._head.at.astimezone(UTC).replace(tzinfo=None)
        known.title, known.author, known.comments = flat(self._head.title, 160), "", ""
        known.created = known.modified = at
        known.last_modified_by = ""

    def _line(self, line: Line) -> None:
        marks = [*(["AI"] if line.persona else []), *line.marks]
        self._on.speaker(line.name, _PERSONA if line.persona else _PERSON, marks, line.at)
        if line.about:
            self._on.words("Small", f"in reply to {line.about}")
        self._on.blocks(line.body)
        for file in line.files:
            self._file(file)
        if not line.body and not line.files:
            self._on.words("Small", "no words")
        if line.reactions:
            self._on.words("Small", "   ".join(line.reactions))
        for remark in line.remarks:
            self._on.words("Small", remark)

    def _file(self, file: File) -> None:
        figure = fitted(self._folder / file.picture) if file.picture else None
        self.unseen += bool(file.picture) and figure is None
        if figure:
            width = min(figure.width * 25.4 / 120, _WIDEST, _HIGHEST * figure.width / figure.height)
            self._on.picture(figure.path, width, file.description or file.label)
        self._on.named(file.label, file.address, f" — {file.description}" if file.description else "")
