"""Why a line went into its session, what came next, and how people put it right: `/why session`."""

from __future__ import annotations

from collections.abc import Callable

from storage.backend import Store
from storage.model import Channel, Message

from .conversations import Conversations
from .errors import TroupeError
from .session_marks import PLACED
from .sessions import Sessions
from .spans import span

_LOOKED_AT = 100
"""How many lines of a session are looked through for somebody's last one."""
BECAUSE = {
    "reply": "it replies to a message of that session",
    "mention": "it names somebody who was speaking there",
    "addressed": "its author had been spoken to there",
    "own": "its author was speaking there",
    "answer": "the last thing said there was said to its author",
    "topic": "it uses words that were used there and hardly anywhere else",
    "pace": "that was the talk going on here just then",
    "only": "that was the only talk going on here just then",
    "begun": "people had just begun that session, or taken it up again",
    "kept": "people had asked that the next line continues it",
    "new": "it goes on with nothing that was being said here, so it began that session",
}
"""By rule, as `PLACED` has it."""
_NOTHING = "You have not said anything to me here yet."


class SessionsExplained:
    """Explains the sessions of one bot to people. `inert` makes a title show as it is and do nothing."""

    def __init__(self, store: Store, conversations: Conversations, sessions: Sessions) -> None:
        self._store, self._conversations, self._sessions = store, conversations, sessions

    async def of_last_line(self, channel: Channel, person_id: str, inert: Callable[[str], str] = str) -> str:
        """Where somebody's last line in a channel went, and why."""
        session = await self._sessions.current(channel, person_id)
        lines = await self._store.messages(session.id, limit=_LOOKED_AT) if session is not None else []
        own = (line for line in reversed(lines) if line.role == "user" and line.sender.id == person_id)
        last = next(own, None)
        return _NOTHING if last is None else await self.of(last, "Your last line", inert)

    async def of(self, line: Message, called: str = "That line", inert: Callable[[str], str] = str) -> str:
        """Where a line went, and why; `called` says which line is meant. Raises `TroupeError` where its session is out
        of sight."""
        session = await self._conversations.show(line.session_id, None)
        channel = session.channel
        rule, _, other = line.metadata.get(PLACED, "").partition(" ")
        because = BECAUSE.get(rule) or await self._by_clock(line, channel)
        told = [f"{called} is part of the session **{inert(session.title)}** (`{session.id}`), because {because}."]
        if other and (next_best := await self._title(other, channel)):
            told.append(f"The next best was **{inert(next_best)}** (`{other}`).")
        if self._sessions.structural(channel):
            told.append("If that is wrong, reply to a message of the right session: a reply goes before all else.")
            told.append("`/new` begins one for you and whoever is in yours; the others go on.")
        return "\n".join(told)

    async def _title(self, session_id: str, channel: Channel) -> str:
        try:
            return (await self._conversations.show(session_id, {channel.key})).title
        except TroupeError:  # removed meanwhile
            return ""

    async def _by_clock(self, line: Message, channel: Channel) -> str:
        gap, _ = self._sessions.gap(channel)
        if gap is None:
            return "no silence ends a session here"
        before = await self._store.session(line.session_id)
        if before is not None and before.opened_at == line.at:
            return f"it began that session: here a silence of {span(gap)} ends one"
        return f"here a session goes on until nobody has spoken for {span(gap)}, or a reply takes it up again"
