"""A line as a front heard it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from storage.model import Attachment, Channel, Sender

_STOP_WORDS = {"stop", "/stop"}


@dataclass(frozen=True, slots=True)
class Incoming:
    """One line as a front heard it, in the bot's own terms."""

    origin: str
    """`front:channel:id`, unique for the event."""
    channel: Channel
    sender: Sender
    text: str
    at: datetime
    attachments: tuple[Attachment, ...] = ()
    reply_to: str | None = None
    """The origin of the message it replies to."""
    answer: bool = True
    """Whether an answer is wanted; otherwise the line is only kept."""
    roles: tuple[str, ...] = ()
    """The ids and names of the sender's roles in the guild."""
    faces: bool = False
    """Whether the front can show a persona with a name and face of its own there."""
    shown: tuple[Attachment, ...] = ()
    """The files beside the message it replies to, as the front sees them."""
    persona: str | None = None
    """The persona asked for, where a command names one."""


def is_stop(text: str) -> bool:
    """Whether a line asks the bot to stop talking."""
    return text.strip().rstrip(".!").casefold() in _STOP_WORDS
