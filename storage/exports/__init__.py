"""What people take along: sessions as Markdown, JSON, text, web page, PDF, Word document, or the portable v3 files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Literal

from ..model import Message, Session

Form = Literal["md", "json", "txt", "html", "pdf", "docx", "v3"]
Transcript = AsyncIterator[tuple[Session, AsyncIterator[list[Message]]]]
"""Sessions, each with its messages in their order, a page at a time; these are read before the next session."""


@dataclass(frozen=True, slots=True)
class Options:
    """How an export is to look."""

    metadata: bool = True
    """Whether to say what is known beside the words: people, places, models, edits, tools."""
    timestamps: bool = True
    """Whether to say when; JSON always does."""
    header_level: int = 1
    """1 to 5: that of a session's heading, in Markdown."""
    code_language: str = ""
    """Of code blocks that name none."""
    zone: tzinfo = UTC
    """In which times are shown; JSON has them as they are kept."""
    images: Literal["embed", "link"] = "embed"
    complete: bool = False
    """Whether JSON holds everything, what was deleted and edited too, so that an equal store can be made of it."""
