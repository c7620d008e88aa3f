"""A line as a front heard it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from storage.model import Attachment, Channel, Message, Part, Sender, Text, storable

ASKED = {"asked": "yes"}
"""The metadata of a line that wants an answer."""
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
    later: bool = False
    """Whether an answer is wanted that somebody else will ask for: `answer` is False then."""
    roles: tuple[str, ...] = ()
    """The ids and names of the sender's roles in the guild."""
    faces: bool = False
    """Whether the front can show a persona with a name and face of its own there."""
    shown: tuple[Attachment, ...] = ()
    """The files beside the message it replies to, as the front sees them."""
    persona: str | None = None
    """The persona asked for, where a command names one."""

    def line(self, id: str, session_id: str) -> Message:
        """The message it is kept as."""
        parts: tuple[Part, ...] = (Text(text=storable(self.text)),) if self.text else ()
        wanted = self.later or (self.answer and not is_stop(self.text))
        return Message(
            id=id,
            origin=self.origin,
            session_id=session_id,
            role="user",
            sender=self.sender,
            parts=(*parts, *self.attachments),
            at=self.at,
            reply_to=self.reply_to,
            metadata=ASKED if wanted else {},
        )

    def beside(self, replied: Message | None) -> Message | None:
        """The message replied to, kept or not, if there are files beside it."""
        if replied is not None:
            return replied if replied.attachments else None
        if not self.shown:
            return None
        return self.line("", "").model_copy(update={"origin": self.reply_to, "parts": self.shown})


def is_stop(text: str) -> bool:
    """Whether a line asks the bot to stop talking."""
    return text.strip().rstrip(".!").casefold() in _STOP_WORDS
