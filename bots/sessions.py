"""Which session a message belongs to: the gap clock, moved by people only."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from storage.backend import ManyWriters, Store
from storage.model import Channel, ChannelKind, Message, Sender, Session, SessionContext, session_id

from .settings import BotSettings

_REMEMBERED = 4096
"""Sessions kept in memory; the others are read again when somebody speaks in their channel."""
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Before anybody spoke."""
_NAMED = 10
_PARTICIPANTS = 50
"""The most people a session remembers by name, the latest newcomers."""


class Sessions:
    """The sessions of one bot. Calls for one channel must not overlap (`Bot.receive` sees to it)."""

    def __init__(self, store: Store, settings: BotSettings, *, chance: Callable[[], int]) -> None:
        self._store = store
        self._shared = store if isinstance(store, ManyWriters) else None
        self._chance = chance
        self._timeout = timedelta(seconds=settings.storage.session_timeout)
        self._gaps: dict[ChannelKind, float | None] = {
            "channel": settings.storage.session_gap,
            "web": settings.sessions.terminal_gap,
            "terminal": settings.sessions.terminal_gap,
            "dm": settings.sessions.dm_gap,
            "thread": settings.sessions.thread_gap,
        }
        self._live: OrderedDict[str, Session] = OrderedDict()
        """Sessions by id, as they stand now."""
        self._current: dict[str, str] = {}
        """The id of each channel's current session."""

    async def place(
        self, channel: Channel, sender: Sender, at: datetime, replied: Message | None
    ) -> tuple[Session, Session | None]:
        """The session for a line, and the one it closes, if any; the caller stores both.

        A reply reopens the session of the message it replies to; a thread stays one session; elsewhere a silence
        longer than the gap starts a new session, opened by the very line that crossed it. Bots' lines join what
        is open and move nothing."""
        current = await self.current(channel)
        closed: Session | None = None
        reopened = await self._replied_to(replied, channel, current)
        if reopened is not None:
            current = reopened
        elif current is not None and sender.type != "bot" and self._over(current, at):
            if current.closed_at is None:
                closed = current.model_copy(update={"closed_at": at})
                if closed.id in self._live:
                    self._live[closed.id] = closed
            current = await self._opened_once(channel, at, follows=current)
        session = self._joined(current or await self._opened_once(channel, at, follows=None), channel, sender, at)
        self._remember(session)
        return session, closed

    async def current(self, channel: Channel) -> Session | None:
        """The session that the next line without a reply would be measured against."""
        known = None if self._shared else self._live.get(self._current.get(channel.key, ""))
        if known is None:
            stored = await self._store.sessions(channel.key, limit=1)
            known = stored[0] if stored else None
        return known

    def latest(self, session: Session) -> Session:
        """The same session as it stands now, after whatever has been said since. Where other processes write too, as
        given, unless this one has heard somebody speak in it since."""
        known = self._live.get(session.id, session)
        return session if self._shared and known.last_at <= session.last_at else known

    def forget(self, session_id: str) -> None:
        """Lets go of a session that was removed: whoever speaks in its channel next, the store is asked."""
        forgotten = self._live.pop(session_id, None)
        if forgotten is not None and self._current.get(forgotten.channel.key) == session_id:
            del self._current[forgotten.channel.key]

    async def begin(self, channel: Channel, at: datetime) -> Session:
        """Starts a new session at once, whatever the clock says; the one before it is closed."""
        before = await self.current(channel)
        if before is not None and before.closed_at is None:
            before = await self._summarised(before.model_copy(update={"closed_at": at}))
            await self._save(before)
        session = self._opened(channel, at, follows=before)
        await self._save(session)
        self._remember(session)
        return session

    def speak_as(self, session: Session, persona: str) -> Session:
        """Records which persona speaks in the session; stored with its next message."""
        session = self.latest(session)
        if session.persona != persona:
            session = session.model_copy(update={"persona": persona})
            if session.id in self._live:
                self._live[session.id] = session
        return session

    async def carry_over(self, session: Session) -> str:
        """A short note on what was said in the session before; empty where there was none."""
        if session.follows is None:
            return ""
        known = None if self._shared else self._live.get(session.follows)
        before = known or await self._store.session(session.follows)
        if before is None or before.deleted_at is not None:
            return ""
        self._live[before.id] = before  # asked for with every turn of the session
        if before.context.summary:
            return before.context.summary
        context = (await self._summarised(before)).context
        now = await self._unmoved(before)
        if now is not None and now.context != context:
            await self._save(now.model_copy(update={"context": context}))
        return context.summary if now is not None else ""

    async def expire(self, now: datetime) -> int:
        """Closes what nobody came back to within the timeout, with its summary. Returns how many."""
        closed = 0
        for idle in await self._store.idle_sessions(now - self._timeout):
            context = (await self._summarised(idle)).context
            session = await self._unmoved(idle)
            if session is not None and session.closed_at is None:
                await self._save(session.model_copy(update={"closed_at": now, "context": context}))
                closed += 1
        return closed

    async def _unmoved(self, session: Session) -> Session | None:
        """The session as it stands now; None if it was removed, or somebody spoke in it, meanwhile."""
        kept = await self._store.session(session.id)
        if kept is None or kept.deleted_at is not None:
            return None
        now = self.latest(kept)
        # Whether it is closed is what the store says: it may have refused to take that.
        return now.model_copy(update={"closed_at": kept.closed_at}) if now.last_at <= session.last_at else None

    async def _replied_to(self, replied: Message | None, channel: Channel, current: Session | None) -> Session | None:
        if replied is None:
            return None
        if current is not None and replied.session_id == current.id:
            return current
        older = await self._store.session(replied.session_id)
        if older is None or older.deleted_at is not None or older.channel.key != channel.key:
            return None
        return self.latest(older)

    def _over(self, session: Session, at: datetime) -> bool:
        gap = self._gaps[session.channel.kind]
        if gap is None:
            return False
        return session.closed_at is not None or (at - session.last_at).total_seconds() > gap

    async def _opened_once(self, channel: Channel, at: datetime, *, follows: Session | None) -> Session:
        """A new session, or the one that another process of this bot has opened meanwhile."""
        session = self._opened(channel, at, follows=follows)
        if self._shared is None:
            return session
        gap = self._gaps[channel.kind]
        fresh = _EVER if gap is None else at - timedelta(seconds=gap)
        return await self._shared.open_session(session, fresh)

    def _opened(self, channel: Channel, at: datetime, *, follows: Session | None) -> Session:
        return Session(
            id=session_id(at, self._chance()),
            channel=channel,
            opened_at=at,
            last_at=at,
            follows=follows.id if follows else None,
        )

    def _joined(self, session: Session, channel: Channel, sender: Sender, at: datetime) -> Session:
        changes: dict[str, object] = {"channel": channel, "closed_at": None}
        if sender.type != "bot" and at > session.last_at:
            changes["last_at"] = at
        if all(known.id != sender.id for known in session.participants):
            changes["participants"] = (*session.participants[1 - _PARTICIPANTS :], sender)
        return session.model_copy(update=changes)

    def _remember(self, session: Session) -> None:
        self._live[session.id] = session
        self._live.move_to_end(session.id)
        self._current[session.channel.key] = session.id
        while len(self._live) > _REMEMBERED:
            _, forgotten = self._live.popitem(last=False)
            if self._current.get(forgotten.channel.key) == forgotten.id:
                del self._current[forgotten.channel.key]

    async def _save(self, session: Session) -> None:
        if session.id in self._live:
            self._live[session.id] = session
        await self._store.save_session(session)

    async def _summarised(self, session: Session) -> Session:
        tail = await self._store.messages(session.id, limit=8)
        context = SessionContext(**{**dict(session.context), "summary": summary(session, tail)})
        return session.model_copy(update={"context": context})


def summary(session: Session, tail: list[Message]) -> str:
    """A few honest lines on a session from its last messages: who spoke, what was last asked and answered."""
    asked = next((m for m in reversed(tail) if m.role == "user" and m.words.strip()), None)
    if asked is None:
        return ""
    names = [p.name for p in session.participants if p.type == "user"] or [asked.sender.name]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    lines = [f"{session.opened_at:%Y-%m-%d %H:%M} UTC, with {', '.join(names[:_NAMED])}{more}."]
    lines.append(f"{asked.sender.name} last said: {_short(asked.words)}")
    answer = next((m for m in reversed(tail) if m.role == "assistant" and m.words.strip()), None)
    if answer is not None:
        lines.append(f"{answer.sender.name} last answered: {_short(answer.words)}")
    return "\n".join(lines)


def _short(text: str, limit: int = 280) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1].rstrip() + "…"
