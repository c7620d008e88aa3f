"""The sessions of one bot: which is current, how long each lasts, and what people decide over that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Final, Literal

from storage.backend import ManyWriters, Store
from storage.model import Channel, ChannelKind, Message, Session, SessionContext

from .events import Changed, Events, SessionChanged
from .live_sessions import LiveSessions
from .open_sessions import OpenSessions
from .placing import Placed, Placing
from .retelling import retells
from .session_marks import BEGUN, BEGUN_BY, CLEARED, KEPT, MERGED, PARTICIPANTS, fingerprint, without, without_summary
from .settings import BotSettings
from .speakers import Speakers

_NAMED = 10

GapFrom = Literal["channel", "guild", "settings"]
"""Who decided a gap: people of the channel, of the guild, or the configuration."""


class Unset(Enum):
    """Nobody has decided; None would be a decision: no gap at all."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


class Sessions:
    """The sessions of one bot. Calls for one channel must not overlap (`Bot.receive` sees to it)."""

    def __init__(
        self,
        store: Store,
        settings: BotSettings,
        *,
        chance: Callable[[], int],
        guild_gap: Callable[[str | None], float | Unset | None] = lambda guild_id: UNSET,
        events: Events | None = None,
    ) -> None:
        """`guild_gap` tells the gap that a guild has set for its channels, in seconds; `events` hears what becomes of
        sessions."""
        self._store = store
        self._guild_gap = guild_gap
        self._policies: dict[str, float | None] = {}
        """What people have decided for single channels, by key."""
        self._events = events or Events()
        self._live = LiveSessions(store, shared=isinstance(store, ManyWriters), tell=self._events.tell)
        self._talks = OpenSessions(store)
        self._placing = Placing(
            store,
            self._live,
            self._talks,
            chance=chance,
            gap=lambda channel: self.gap(channel)[0],
            structural=self.structural,
        )
        self._structural = False
        self.rewordings = 0
        """How often what was said has changed: a summary begun before that may quote what is said no more."""
        self.adopt(settings)

    def adopt(self, settings: BotSettings) -> None:
        """Goes by other settings from now on."""
        self.max_history = settings.storage.max_history
        self.voices = settings.names
        """The names the bot itself goes by: a person who bears one is told apart from it."""
        structural = settings.sessions.mode == "structural"
        if structural != self._structural:
            self._structural = structural
            self._talks.forget_all()
        self._timeout = timedelta(seconds=settings.storage.session_timeout)
        self._gaps: dict[ChannelKind, float | None] = {
            "channel": settings.storage.session_gap,
            "web": settings.sessions.web_gap,
            "terminal": settings.sessions.terminal_gap,
            "dm": settings.sessions.dm_gap,
            "thread": settings.sessions.thread_gap,
        }

    def rule(self, channel_key: str, gap: float | Unset | None) -> None:
        """Sets the gap of one channel, in seconds, over all else; None is no gap, `UNSET` what else is in force."""
        if isinstance(gap, Unset):
            self._policies.pop(channel_key, None)
        else:
            self._policies[channel_key] = gap

    def gap(self, channel: Channel) -> tuple[float | None, GapFrom]:
        """The seconds of silence that end a session in a channel, None if none do; and who decided that."""
        if channel.key in self._policies:
            return self._policies[channel.key], "channel"
        # A guild's gap is about its channels, as storage.session_gap is: a thread stays one session.
        decided = self._guild_gap(channel.guild_id) if channel.kind == "channel" else UNSET
        return (self._gaps[channel.kind], "settings") if isinstance(decided, Unset) else (decided, "guild")

    def structural(self, channel: Channel) -> bool:
        """Whether several sessions may be open in a channel at once: in those of a guild where people talk across each
        other. A private conversation, a thread, a room or a terminal holds one talk."""
        return self._structural and channel.kind == "channel"

    async def place(self, channel: Channel, line: Message, replied: Message | None, into: str | None = None) -> Placed:
        """The session for a line, and the one it closes, if any; the caller stores both. A line meant for one session
        goes `into` that, whatever became of it, as long as it is in sight. Raises `NotYours` where it is not any
        more, and `StorageError`."""
        return await self._placing.place(channel, line, replied, into)

    def answered(self, session: Session, answer: Message) -> None:
        """Told what the bot has said in a session: the next line there may go on with it."""
        talking = self._talks.known(session.channel.key)
        if talking is not None and self.structural(session.channel):
            talking.answered(answer)

    async def current(self, channel: Channel, person_id: str | None = None) -> Session | None:
        """The session in which a person spoke last; where several may be open, the one in which that person did, as
        long as it is. Raises `StorageError`."""
        own = await self._own(channel, person_id) if person_id is not None and self.structural(channel) else None
        return own or await self._live.current(channel.key)

    async def _own(self, channel: Channel, person_id: str) -> Session | None:
        own = (await self._talks.of(channel.key, self.gap(channel)[0])).own(person_id)
        session = await self._live.standing(own) if own else None
        return session if session is not None and session.closed_at is None else None

    async def standing(self, session_id: str) -> Session | None:
        """A session in sight as it stands now; None if there is none of that id. Raises `StorageError`."""
        return await self._live.standing(session_id)

    def over(self, session: Session, at: datetime, person_id: str | None = None) -> bool:
        """Whether a line said at a time, by that person, and replying to nothing, opens a new session."""
        return self._placing.over(session, at, person_id)

    def latest(self, session: Session) -> Session:
        """The same session as it stands now, after whatever has been said since. Where other processes write too, as
        given, unless this one has heard somebody speak in it, or has changed it, since."""
        return self._live.latest(session)

    async def change(self, session_id: str, alter: Callable[[Session], Session]) -> Session | None:
        """Alters a session as it stands now, so that neither this nor what goes on in it meanwhile is lost; None if
        it is not kept. Raises `StorageError`: then it is as it was."""
        return await self._live.change(session_id, alter)

    async def reworded(self, session_id: str) -> None:
        """Told when something said in a session was edited or deleted: its summary, which may quote it, is made anew
        when it is next needed. Raises `StorageError`."""
        self.rewordings += 1
        await self.change(session_id, without_summary)

    async def amended(self, message: Message) -> None:
        """Told how a message stands now that it was edited, deleted, reacted to or noted on. Raises `StorageError`."""
        if not self._events.listened:
            return
        session = self._live.known(message.session_id) or await self._store.session(message.session_id)
        if session is not None:
            self._events.tell(Changed(self.latest(session), message))

    async def closed(self, session: Session) -> None:
        """Stores the session that a line has closed. Raises `StorageError`."""
        await self._store.save_session(session)
        self._events.tell(SessionChanged(session))

    def forget(self, session_id: str) -> None:
        """Lets go of a session that was removed: whoever speaks in its channel next, the store is asked."""
        self._live.forget(session_id)
        self._talks.reread(session_id)

    def reread(self, session_id: str) -> None:
        """Told that something in a session was removed for good: nothing of it stays in mind."""
        self._talks.reread(session_id)

    async def begin(
        self, channel: Channel, at: datetime, *, carry_over: bool = True, person_id: str | None = None
    ) -> Session:
        """Starts a new session at once, whatever the clock says, and closes the one before it; nothing goes on in the
        others but replies. Where several may be open, and a person is named, it is for them and for whoever is in one
        session with them: that one is closed, the others go on. In a room on the web none is closed: there each is
        taken up by its id."""
        by = person_id if self.structural(channel) else None
        before = await self._own(channel, by) if by is not None else await self._live.current(channel.key)
        if before is not None and channel.kind != "web":
            await self._close(before, at)
        session = self._alone(self._placing.opened(channel, at, follows=before if carry_over else None), at, by, before)
        await self._live.save(session)
        self._live.remember(session)
        self._talks.began(session, by)
        return session

    async def resume(
        self, channel: Channel, session_id: str, at: datetime, *, person_id: str | None = None
    ) -> Session | None:
        """Makes a session of a channel its current one, whatever became of it: the next line continues it. The one
        before is closed; of whom both is true where a person is named, `begin` says. None if it is not kept."""
        by = person_id if self.structural(channel) else None
        last = await self._live.current(channel.key)
        before = await self._own(channel, by) if by is not None else last
        # Also where two things happen within a microsecond: the store takes the latest for the current one.
        at = at if last is None or last.id == session_id else max(at, last.last_at + timedelta(microseconds=1))

        def reopened(session: Session) -> Session:
            others = {name: value for name, value in session.metadata.items() if name not in (CLEARED, MERGED)}
            changes = {"closed_at": None, "deleted_at": None, "archived": False, "last_at": max(at, session.last_at)}
            return self._alone(
                session.model_copy(update={**changes, "metadata": {**others, KEPT: "yes"}}), at, by, before
            )

        session = await self.change(session_id, reopened)
        if session is not None:
            if before is not None and before.id != session_id and channel.kind != "web":
                await self._close(before, at)
            self._live.remember(session)
            self._talks.began(session, by)
        return session

    def _alone(self, session: Session, at: datetime, by: str | None, before: Session | None) -> Session:
        if not self.structural(session.channel):
            return session
        metadata = {**without(session, BEGUN_BY).metadata, BEGUN: at.isoformat()}
        people = session.participants
        if by is not None:
            metadata[BEGUN_BY] = fingerprint(session, by)
            if before is not None and all(each.id != by for each in people):
                people = (*people[1 - PARTICIPANTS :], *(each for each in before.participants if each.id == by))
        return session.model_copy(update={"metadata": metadata, "participants": people})

    def speak_as(self, session: Session, persona: str) -> Session:
        """Records which persona speaks in the session; stored with its next message."""
        session = self.latest(session)
        if session.persona != persona:
            session = session.model_copy(update={"persona": persona})
            self._live.renew(session)
        return session

    async def carry_over(self, session: Session) -> str:
        """A short note on what was said in the session before; empty where there was none."""
        if session.follows is None:
            return ""
        before = self._live.known(session.follows) or await self._store.session(session.follows)
        if before is None or before.deleted_at is not None:
            return ""
        self._live.take(before)  # asked for with every turn of the session
        if before.context.summary:
            return before.context.summary
        rewordings = self.rewordings
        context = (await self._summarised(before)).context
        now = await self._unmoved(before, rewordings)
        if now is not None and now.context != context:
            await self._live.save(now.model_copy(update={"context": context}))
        return context.summary if now is not None else ""

    async def expire(self, now: datetime) -> int:
        """Closes what nobody came back to within the timeout, with its summary. Returns how many."""
        closed = 0
        for idle in await self._store.idle_sessions(now - self._timeout):
            rewordings = self.rewordings
            context = (await self._summarised(idle)).context
            session = await self._unmoved(idle, rewordings)
            if session is not None and session.closed_at is None:
                await self._live.save(session.model_copy(update={"closed_at": now, "context": context}))
                closed += 1
        return closed

    async def _close(self, session: Session, at: datetime) -> None:
        rewordings = self.rewordings
        context = (await self._summarised(session)).context

        def closed(now: Session) -> Session:
            changed = without(now, KEPT).model_copy(update={"closed_at": now.closed_at or at, "context": context})
            return changed if rewordings == self.rewordings else without_summary(changed)

        await self.change(session.id, closed)

    async def _unmoved(self, session: Session, rewordings: int) -> Session | None:
        """The session as it stands now; None if it was removed, somebody spoke in it, or what was said was changed,
        meanwhile."""
        kept = await self._store.session(session.id)
        if kept is None or kept.deleted_at is not None:
            return None
        now = self.latest(kept)
        # Whether it is closed is what the store says: it may have refused to take that.
        same = now.last_at <= session.last_at and rewordings == self.rewordings
        return now.model_copy(update={"closed_at": kept.closed_at}) if same else None

    async def _summarised(self, session: Session) -> Session:
        if session.context.summary:  # nobody has spoken since it was written
            return session
        tail = await self._store.messages(session.id, limit=8)
        context = SessionContext(**{**dict(session.context), "summary": summary(session, tail, self.voices)})
        return session.model_copy(update={"context": context})


def summary(session: Session, tail: Sequence[Message], voices: Iterable[str]) -> str:
    """A few honest lines on a session from its last messages: who spoke, what was last asked and answered. Nobody
    bears one of the bot's `voices`."""
    asked = next((m for m in reversed(tail) if m.role == "user" and m.words.strip()), None)
    if asked is None:
        return ""
    people = [person for person in session.participants if person.type == "user"] or [asked.sender]
    speakers = Speakers(tail, voices, present=people)
    names = [speakers.name(person) for person in people]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    lines = [f"{session.opened_at:%Y-%m-%d %H:%M} UTC, with {', '.join(names[:_NAMED])}{more}."]
    lines.append(f"{speakers.name(asked.sender)} last said: {short(asked.words)}")
    there = {m.id for m in tail}  # an answer may quote a question that was deleted
    answers = (m for m in reversed(tail) if m.role == "assistant" and m.words.strip() and not retells(m))
    answer = next((m for m in answers if m.reply_to in there), None)
    if answer is not None:
        lines.append(f"{speakers.name(answer.sender)} last answered: {short(answer.words)}")
    return "\n".join(lines)


def short(text: str, limit: int = 280) -> str:
    """The text on one line, cut to so many characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1].rstrip() + "…"
