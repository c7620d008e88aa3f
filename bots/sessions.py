"""Which session a message belongs to: the gap clock, moved by people only; and what people decide over it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final, Literal

from storage.backend import ManyWriters, Store
from storage.errors import StorageError
from storage.model import Channel, ChannelKind, Message, Sender, Session, SessionContext, session_id

from .settings import BotSettings
from .speakers import Speakers

_REMEMBERED = 4096
"""Sessions kept in memory; the others are read again when somebody speaks in their channel."""
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Before anybody spoke."""
_NAMED = 10
PARTICIPANTS = 50
"""The most people a session remembers by name, the latest newcomers."""
KEPT = "keep"
"""In a session's metadata: the next line of a person continues it, however long the silence."""
CLEARED = "cleared"
"""In a session's metadata: people took it away themselves, and may bring it back."""
MERGED = "merged_into"
"""In a session's metadata: the id of the session that holds its lines now."""

GapFrom = Literal["channel", "guild", "settings"]
"""Who decided a gap: people of the channel, of the guild, or the configuration."""


class Unset(Enum):
    """Nobody has decided; None would be a decision: no gap at all."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET
_Changes = dict[str, tuple[list[object], object]]
"""By field: the values it had, and the one it has."""


class Sessions:
    """The sessions of one bot. Calls for one channel must not overlap (`Bot.receive` sees to it)."""

    def __init__(
        self,
        store: Store,
        settings: BotSettings,
        *,
        chance: Callable[[], int],
        guild_gap: Callable[[str | None], float | Unset | None] = lambda guild_id: UNSET,
    ) -> None:
        """`guild_gap` tells the gap that a guild has set for its channels, in seconds."""
        self._store = store
        self._shared = store if isinstance(store, ManyWriters) else None
        self._chance = chance
        self._guild_gap = guild_gap
        self._policies: dict[str, float | None] = {}
        """What people have decided for single channels, by key."""
        self._live: OrderedDict[str, Session] = OrderedDict()
        """Sessions by id, as they stand now."""
        self._current: dict[str, str] = {}
        """The id of each channel's current session."""
        self._changed: dict[str, _Changes] = {}
        """Where other processes write too: by session what was changed here since a person last spoke in it."""
        self.rewordings = 0
        """How often what was said has changed: a summary begun before that may quote what is said no more."""
        self.adopt(settings)

    def adopt(self, settings: BotSettings) -> None:
        """Goes by other settings from now on."""
        self.max_history = settings.storage.max_history
        self.voices = settings.names
        """The names the bot itself goes by: a person who bears one is told apart from it."""
        self._timeout = timedelta(seconds=settings.storage.session_timeout)
        self._gaps: dict[ChannelKind, float | None] = {
            "channel": settings.storage.session_gap,
            "web": settings.sessions.terminal_gap,
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
        elif current is not None:
            current = self.latest(current)
            if sender.type != "bot" and self.over(current, at):
                if current.closed_at is None:
                    closed = current.model_copy(update={"closed_at": at})
                    if closed.id in self._live:
                        self._live[closed.id] = closed
                current = await self._opened_once(channel, at, follows=current)
        session = self._joined(current or await self._opened_once(channel, at, follows=None), channel, sender, at)
        if sender.type != "bot":
            self._changed.pop(session.id, None)
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
        given, unless this one has heard somebody speak in it, or has changed it, since."""
        known = self._live.get(session.id, session)
        if self._shared is None or known.last_at > session.last_at:
            return known
        changes = self._changed.get(session.id, {})
        newer = {name: new for name, (olds, new) in changes.items() if getattr(session, name) in olds}
        return session.model_copy(update=newer) if newer else session

    async def change(self, session_id: str, alter: Callable[[Session], Session]) -> Session | None:
        """Alters a session as it stands now, so that neither this nor what goes on in it meanwhile is lost; None if
        it is not kept. Raises `StorageError`: then it is as it was."""
        known = None if self._shared else self._live.get(session_id)
        if known is None:
            kept = await self._store.session(session_id)
            known = self.latest(kept) if kept is not None else self._live.get(session_id)
        if known is None:
            return None
        changed = alter(known)  # from here to where it is held nobody else gets a turn
        if changed == known:
            return known
        self._note(known, changed)
        self._hold(changed)
        if changed.deleted_at is not None and self._current.get(changed.channel.key) == changed.id:
            del self._current[changed.channel.key]
        try:
            await self._store.save_session(changed)
        except StorageError:
            self._changed.pop(session_id, None)
            if self._live.get(session_id) is changed:
                self._live[session_id] = known
            raise
        return changed

    async def reworded(self, session_id: str) -> None:
        """Told when something said in a session was edited or deleted: its summary, which may quote it, is made anew
        when it is next needed. Raises `StorageError`."""
        self.rewordings += 1
        await self.change(session_id, without_summary)

    def forget(self, session_id: str) -> None:
        """Lets go of a session that was removed: whoever speaks in its channel next, the store is asked."""
        forgotten = self._live.pop(session_id, None)
        self._changed.pop(session_id, None)
        if forgotten is not None and self._current.get(forgotten.channel.key) == session_id:
            del self._current[forgotten.channel.key]

    async def begin(self, channel: Channel, at: datetime, *, carry_over: bool = True) -> Session:
        """Starts a new session at once, whatever the clock says; the one before it is closed."""
        before = await self.current(channel)
        if before is not None:
            await self._close(before, at)
        session = self._opened(channel, at, follows=before if carry_over else None)
        await self._save(session)
        self._remember(session)
        return session

    async def resume(self, channel: Channel, session_id: str, at: datetime) -> Session | None:
        """Makes a session of a channel its current one, whatever became of it: the next line continues it. The one
        before is closed. None if it is not kept."""
        before = await self.current(channel)
        # Also where two things happen within a microsecond: the store takes the latest for the current one.
        at = at if before is None or before.id == session_id else max(at, before.last_at + timedelta(microseconds=1))

        def reopened(session: Session) -> Session:
            others = {name: value for name, value in session.metadata.items() if name not in (CLEARED, MERGED)}
            changes = {"closed_at": None, "deleted_at": None, "archived": False, "last_at": max(at, session.last_at)}
            return session.model_copy(update={**changes, "metadata": {**others, KEPT: "yes"}})

        session = await self.change(session_id, reopened)
        if session is not None:
            if before is not None and before.id != session_id:
                await self._close(before, at)
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
        rewordings = self.rewordings
        context = (await self._summarised(before)).context
        now = await self._unmoved(before, rewordings)
        if now is not None and now.context != context:
            await self._save(now.model_copy(update={"context": context}))
        return context.summary if now is not None else ""

    async def expire(self, now: datetime) -> int:
        """Closes what nobody came back to within the timeout, with its summary. Returns how many."""
        closed = 0
        for idle in await self._store.idle_sessions(now - self._timeout):
            rewordings = self.rewordings
            context = (await self._summarised(idle)).context
            session = await self._unmoved(idle, rewordings)
            if session is not None and session.closed_at is None:
                await self._save(session.model_copy(update={"closed_at": now, "context": context}))
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

    async def _replied_to(self, replied: Message | None, channel: Channel, current: Session | None) -> Session | None:
        if replied is None:
            return None
        if current is not None and replied.session_id == current.id:
            return current
        older = await self._store.session(replied.session_id)
        if older is not None and MERGED in older.metadata:
            older = await self._store.session(older.metadata[MERGED])
        if older is None or older.deleted_at is not None or older.channel.key != channel.key:
            return None
        return self.latest(older)

    def over(self, session: Session, at: datetime) -> bool:
        """Whether a line said by a person at a time, and replying to nothing, opens a new session."""
        if KEPT in session.metadata:
            return False
        if session.archived:
            return True
        gap, _ = self.gap(session.channel)
        if gap is None:
            return False
        return session.closed_at is not None or (at - session.last_at).total_seconds() > gap

    async def _opened_once(self, channel: Channel, at: datetime, *, follows: Session | None) -> Session:
        """A new session, or the one that another process of this bot has opened meanwhile."""
        session = self._opened(channel, at, follows=follows)
        if self._shared is None:
            return session
        gap, _ = self.gap(channel)
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
        if sender.type != "bot":
            session = without_summary(without(session, KEPT))  # it is true no more
            changes |= {"archived": False, "last_at": max(at, session.last_at)}
        if all(known.id != sender.id for known in session.participants):
            changes["participants"] = (*session.participants[1 - PARTICIPANTS :], sender)
        return session.model_copy(update=changes)

    def _note(self, before: Session, after: Session) -> None:
        if self._shared is not None:
            changes = self._changed.setdefault(after.id, {})
            for name in type(after).model_fields:
                old, new = getattr(before, name), getattr(after, name)
                if old != new:
                    olds, _ = changes.get(name, ([], None))
                    changes[name] = ([*olds, old], new)

    def _remember(self, session: Session) -> None:
        self._current[session.channel.key] = session.id
        self._hold(session)

    def _hold(self, session: Session) -> None:
        self._live[session.id] = session
        self._live.move_to_end(session.id)
        while len(self._live) > _REMEMBERED:
            _, forgotten = self._live.popitem(last=False)
            self._changed.pop(forgotten.id, None)
            if self._current.get(forgotten.channel.key) == forgotten.id:
                del self._current[forgotten.channel.key]

    async def _save(self, session: Session) -> None:
        if session.id in self._live:
            self._live[session.id] = session
        await self._store.save_session(session)

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
    answers = (m for m in reversed(tail) if m.role == "assistant" and m.words.strip())
    answer = next((m for m in answers if m.reply_to in there), None)
    if answer is not None:
        lines.append(f"{speakers.name(answer.sender)} last answered: {short(answer.words)}")
    return "\n".join(lines)


def without(session: Session, mark: str) -> Session:
    """The session without an entry of its metadata."""
    if mark not in session.metadata:
        return session
    return session.model_copy(update={"metadata": {k: v for k, v in session.metadata.items() if k != mark}})


def without_summary(session: Session) -> Session:
    """The session with an empty summary."""
    if not session.context.summary:
        return session
    return session.model_copy(update={"context": session.context.model_copy(update={"summary": ""})})


def short(text: str, limit: int = 280) -> str:
    """The text on one line, cut to so many characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1].rstrip() + "…"
