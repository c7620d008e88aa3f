"""A line as a front heard it."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

from storage.model import Attachment, Channel, Message, Part, Sender, Text, storable

ASKED = {"asked": "yes"}
"""The metadata of a line that wants an answer."""
UNSEEN = {"unseen": "yes"}
"""The metadata of a line that stands nowhere on its front."""
GO_ON = "Go on where you stopped."
"""What is asked for whoever wants an answer continued."""
UNFETCHED = {"unfetched": "yes"}
"""The metadata of a line whose files stay where they are."""
NO_PAST = {"reads_past": "no"}
"""The metadata of a line whose sender may not read what was said in the place before."""
_ORIGINS = 10_000
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
    """The files beside the message it replies to, as the front sees them, should that not be kept."""
    seen: bool = True
    """Whether it stands on its front, as a button's wish does not."""
    reads_past: bool = True
    """Whether the sender may read what was said in the place before."""
    persona: str | None = None
    """The persona asked for, where a command names one."""
    session: str | None = None
    """The id of the session it is meant for, where the front has people choose one."""
    said_again: bool = False
    """Whether its sender is told when it cannot be kept, and says it again: then it is not kept later."""

    def line(self, id: str, session_id: str, *, fetched: bool = True) -> Message:
        """The message it is kept as; `fetched` is whether the files beside it are to be kept as well."""
        parts: tuple[Part, ...] = (Text(text=storable(self.text)),) if self.text else ()
        wanted = (self.later or self.answer) and not is_stop(self.text)
        left = bool(self.attachments) and not fetched
        return Message(
            id=id,
            origin=self.origin,
            session_id=session_id,
            role="user",
            sender=self.sender,
            parts=(*parts, *self.attachments),
            at=self.at,
            reply_to=self.reply_to,
            metadata={
                **(ASKED if wanted else {}),
                **({} if self.seen else UNSEEN),
                **({} if self.reads_past else NO_PAST),
                **(UNFETCHED if left else {}),
            },
        )


class Origins:
    """The latest origins: an event that comes twice is dropped before it moves anything."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, None] = OrderedDict()

    def first(self, origin: str) -> bool:
        """Whether an origin comes for the first time, as far as is remembered."""
        if origin in self._known:
            return False
        self._known[origin] = None
        if len(self._known) > _ORIGINS:
            self._known.popitem(last=False)
        return True

    def forget(self, origin: str) -> None:
        """Takes an origin for new when it comes again."""
        self._known.pop(origin, None)


def is_stop(text: str) -> bool:
    """Whether a line asks the bot to stop talking."""
    return text.strip().rstrip(".!").casefold() in _STOP_WORDS
