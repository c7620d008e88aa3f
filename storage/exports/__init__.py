"""What people take along: sessions as Markdown, JSON, text, web page, PDF, Word document, or the portable v3 files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Literal

from ..model import Message, Session

Form = Literal["md", "json", "txt", "html", "pdf", "docx", "v3"]
Transcript = AsyncIterator[tuple[Session, AsyncIterator[list[Message]]]]
"""Sessions, each with its messages in their order, a page at a time; read these before the next session."""


@dataclass(frozen=True, slots=True)
class Options:
    """How an export is to look."""

    metadata: bool = True
    """Whether to say of a session and a message what is known beside the words."""
    timestamps: bool = True
    header_level: int = 1
    """1 to 5: of the heading of a session."""
    code_language: str = ""
    """Of code blocks that name none."""
    zone: tzinfo = UTC
    """In which times are shown."""
    images: Literal["embed", "link"] = "embed"
    complete: bool = False
    """Whether a JSON export holds everything, what was deleted and edited too, so that a store equal to this one can
    be made of it."""
