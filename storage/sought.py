"""Which sessions and messages are meant: by place, person, persona, date, tag and files."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from .model import Attachment, Message, Session


@dataclass(frozen=True, slots=True)
class Sought:
    """What must be true of a session, and of a message in it; what is not said matters not."""

    channel_keys: Collection[str] | None = None
    session_ids: Collection[str] | None = None
    tags: Collection[str] = ()
    """The session has all of them, in capitals or not."""
    starred: bool | None = None
    archived: bool | None = None
    people: Collection[str] | None = None
    """Ids of senders: one of them said it."""
    persona: str | None = None
    """It said it."""
    since: datetime | None = None
    until: datetime | None = None
    """Said before this."""
    files: bool | None = None
    """Whether there is a file beside it."""

    @property
    def of_messages(self) -> bool:
        """Whether anything is said of single messages."""
        return self != Sought(self.channel_keys, self.session_ids, self.tags, self.starred, self.archived)

    def within(self, channel_keys: Collection[str] | None) -> Sought:
        """The same, in these channels only; None is any."""
        if channel_keys is None or self.channel_keys is None:
            return self if channel_keys is None else replace(self, channel_keys=channel_keys)
        return replace(self, channel_keys=set(self.channel_keys) & set(channel_keys))

    def has_session(self, session: Session) -> bool:
        """Whether a session may hold what is meant."""
        return (
            (self.channel_keys is None or session.channel.key in self.channel_keys)
            and (self.session_ids is None or session.id in self.session_ids)
            and {tag.casefold() for tag in self.tags} <= {tag.casefold() for tag in session.tags}
            and self.starred in (None, session.starred)
            and self.archived in (None, session.archived)
        )

    def has_message(self, message: Message) -> bool:
        """Whether a message of such a session is meant."""
        return (
            (self.people is None or message.sender.id in self.people)
            and self.persona in (None, message.persona)
            and (self.since is None or message.at >= self.since)
            and (self.until is None or message.at < self.until)
            and self.files in (None, any(isinstance(part, Attachment) for part in message.parts))
        )


EVERYTHING = Sought()
