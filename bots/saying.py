"""What a bot says outside its answers: notices, the public words of commands, and what an operator says through it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from storage.model import Channel, Message, Note, Receipt, Sender, Session, Text, storable

from .doors import Doors
from .errors import TroupeError
from .keeping import Keeping
from .places import Places
from .sessions import Sessions
from .settings import BotSettings

OPERATOR = "said_by"
"""In a message's metadata: the name of the operator who said it through the bot."""
OPERATOR_ID = "said_by_id"

Posts = Callable[[Channel, Message], Awaitable[tuple[Receipt, ...]]]
"""Shows a message in a channel of a front as the bot's account, and proves where it stands. Raises `TroupeError`."""


class Saying:
    """The words of one bot that no model gave."""

    def __init__(
        self,
        settings: Callable[[], BotSettings],
        sessions: Sessions,
        places: Places,
        doors: Doors,
        keeping: Keeping,
        *,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._sessions, self._places, self._doors, self._keeping = sessions, places, doors, keeping
        self._now, self._new_id = now, new_id
        self._fronts: dict[str, Posts] = {}

    def front(self, name: str, posts: Posts) -> None:
        """Lets what is said through the bot be shown on a front; on one that is not named it is kept alone."""
        self._fronts[name] = posts

    async def said(self, channel: Channel, text: str, *, origin: str, by: Sender | None = None) -> Message:
        """Keeps what the bot said outside its answers: a notice, the public words of a command. Models never see it."""
        settings = self._settings()
        sender = by or Sender(type="system", id=settings.name, name=settings.display)
        message = Message(
            id="",
            session_id="",
            role="system",
            sender=sender,
            parts=(Note(text=storable(text)),),
            at=self._now(),
            receipts=(Receipt(origin=origin, page=0),),
        )
        return await self._keep(channel, message, by)

    async def through(self, channel: Channel, text: str, by: Sender, session: Session | None = None) -> Message:
        """Says as the bot what an operator wants said in a channel, or in one session of it, and keeps it; a model sees
        it as the bot's own. Raises `TroupeError` when its front does not show it: then nothing is kept."""
        settings = self._settings()
        message = Message(
            id=self._new_id(),
            session_id=session.id if session else "",
            role="assistant",
            sender=Sender(type="persona", id=settings.name, name=settings.display),
            parts=(Text(text=storable(text)),),
            at=self._now(),
            metadata={OPERATOR: by.name, OPERATOR_ID: by.id},
        )
        if (posts := self._fronts.get(channel.front)) is not None:
            message = message.model_copy(update={"receipts": await posts(channel, message)})
        elif channel.front == "discord":
            raise TroupeError("I am not on Discord right now, so nobody would see that there: try again once I am.")
        return await self._keep(channel, message, None)

    async def _keep(self, channel: Channel, message: Message, by: Sender | None) -> Message:
        async with self._doors.of(channel.key):
            channel, now = await self._places.known(channel), self._now()
            session = await self._sessions.standing(message.session_id) if message.session_id else None
            session = session or await self._sessions.current(channel, by.id if by else None)
            session = session or await self._sessions.begin(channel, now)
            told = {"id": message.id or self._new_id(), "session_id": session.id, "at": now}
            message = message.model_copy(update=told)
            await self._keeping.keep(session, message)
            return message
