"""What people take along: sessions as Markdown, JSON, text, web page, PDF, Word document, or the portable v3 files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Literal

from ..backend import Store
from ..blobs import Blobs
from ..model import Attachment, Message, Session
from ..progress import Tell, silent
from ..sought import EVERYTHING, Sought

Form = Literal["md", "json", "txt", "html", "pdf", "docx", "v3"]
Transcript = AsyncIterator[tuple[Session, AsyncIterator[list[Message]]]]
"""Sessions, each with its messages in their order, a page at a time; these are read before the next session."""
Beside = Callable[[Attachment], str]
"""Where a file stands that comes along with a page, as an address from there; empty where it does not."""
Noted = Callable[[str], None]
"""Hears what a document lacks, in a sentence for a person."""


def ignored(note: str) -> None:
    """Nobody wants to know."""


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


@dataclass(slots=True)
class Tally:
    """How much an export told so far."""

    sessions: int = 0
    messages: int = 0
    files: int = 0
    """Those that came along as files of their own."""


@dataclass(frozen=True, slots=True)
class Export:
    """One export as it was asked for."""

    store: Store
    blobs: Blobs | None
    form: Form
    bot: str
    at: datetime
    """When it is made."""
    sought: Sought = EVERYTHING
    person: str | None = None
    """A user's id: only what they said and the answers to that."""
    options: Options = Options()
    tell: Tell = silent
    noted: Noted = ignored
    tally: Tally = field(default_factory=Tally)
