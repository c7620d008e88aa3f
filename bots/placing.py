"""Which session a line goes into: by the gap clock, or among several that are open in one channel at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from storage.backend import ManyWriters, Store
from storage.model import Channel, Message, Sender, Session, session_id

from .errors import NotYours
from .incoming import is_stop
from .live_sessions import LiveSessions
from .open_sessions import OpenSessions, Talking
from .session_marks import KEPT, MERGED, PARTICIPANTS, PLACED, waits, without, without_summary

_EVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Before anybody spoke."""
_TRIES = 3
"""How often a line is placed anew because the session it would go into is gone or ended."""
_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a line went."""

    session: Session
    closed: Session | None
    """The session that it closes, if any."""
    line: Message
    """The line as it is to be kept."""


class Placing:
    """Finds the session for a line, or opens it. `gap` tells the seconds of silence that end a session in a channel,
    None if none do; `structural` whether several may be open there at once."""

    def __init__(
        self,
        store: Store,
        live: LiveSessions,
        talks: OpenSessions,
        *,
        chance: Callable[[], int],
        gap: Callable[[Channel], float | None],
        structural: Callable[[Channel], bool],
    ) -> None:
        self._store = store
        self._shared = store if isinstance(store, ManyWriters) else None
        self._live = live
        self._talks = talks
        self._chance = chance
        self._gap = gap
        self._structural = structural

    async def place(self, channel: Channel, line: Message, replied: Message | None, into: str | None = None) -> Placed:
        """The session for a line, and the one it closes; the caller stores both. Raises `NotYours` when the line is
        meant `into` a session that is not there, or is gone by now; and `StorageError`."""
        if into is not None:
            meant = await self._live.standing(into)
            if meant is None or meant.channel.key != channel.key:
                raise NotYours("That session is no longer here: nothing of what you said was kept.")
            session = _joined(meant, channel, line.sender, line.at)
            self._live.remember(session)
            return Placed(session, None, _put(line, session, None))
        by_structure = self._structural(channel)
        placed = await (self._among if by_structure else self._by_clock)(channel, line, replied)
        if line.sender.type != "bot":
            self._live.spoken(placed.session.id)
        return placed

    def over(self, session: Session, at: datetime, person_id: str | None = None) -> bool:
        """Whether a line said at a time, by that person, and replying to nothing, opens a new session."""
        if KEPT in session.metadata:
            return False
        if session.archived:
            return True
        gap = self._gap(session.channel)
        if gap is None:
            return False
        talking = self._talks.known(session.channel.key) if self._structural(session.channel) else None
        if talking is not None and person_id is not None:
            return talking.silent(person_id, at)
        return session.closed_at is not None or (at - session.last_at).total_seconds() > gap

    def opened(self, channel: Channel, at: datetime, *, follows: Session | None) -> Session:
        """A new session, not stored yet."""
        return Session(
            id=session_id(at, self._chance()),
            channel=channel,
            opened_at=at,
            last_at=at,
            follows=follows.id if follows else None,
        )

    async def _by_clock(self, channel: Channel, line: Message, replied: Message | None) -> Placed:
        """A reply reopens the session of the message it replies to; a thread stays one session; elsewhere a silence
        longer than the gap starts a new session, opened by the very line that crossed it. Bots' lines join what
        is open and move nothing."""
        sender, at = line.sender, line.at
        current = await self._live.current(channel.key)
        closed: Session | None = None
        reopened = await self._replied_to(replied, channel, current)
        if reopened is not None:
            current = reopened
        elif current is not None:
            current = self._live.latest(current)
            if sender.type != "bot" and self.over(current, at):
                if current.closed_at is None:
                    closed = current.model_copy(update={"closed_at": at})
                    self._live.renew(closed)
                current = await self._opened_once(channel, at, follows=current)
        session = _joined(current or await self._opened_once(channel, at, follows=None), channel, sender, at)
        self._live.remember(session)
        return Placed(session, closed, _put(line, session, None))

    async def _among(self, channel: Channel, line: Message, replied: Message | None) -> Placed:
        """A reply goes where the message is that it replies to; any other line where what was said before it tells,
        and a line that has come before where it went then."""
        talking = await self._talks.of(channel.key, self._gap(channel))
        if (known := await self._known(talking, line)) is not None:
            return known
        by_bot, new = line.sender.type == "bot", False
        session, rule, follows = await self._chosen(talking, channel, line, replied)
        if session is None:
            session, over_all = await self._goes_on(channel, line)
            rule = over_all if session is not None else rule
        if session is None:
            new, session = True, await self._opened_beside(talking, channel, line, follows)
        session = _joined(session, channel, line.sender, line.at)
        self._live.remember(session, current=new or not (by_bot or self._live.is_behind(session)))
        placed = _put(line, session, rule)
        talking.heard(placed)
        return Placed(session, None, placed)

    async def _known(self, talking: Talking, line: Message) -> Placed | None:
        """Where a line went that was kept, or could not be, when it came before. One that comes late may be among
        those that are no longer in mind."""
        known = talking.place_of(line.origin)
        if known is None and line.origin is not None and line.at.timestamp() < talking.latest:
            kept = await self._store.find(line.origin)
            known = (kept.session_id, kept.metadata.get(PLACED)) if kept is not None else None
        session = await self._standing(talking, known[0]) if known is not None else None
        if known is None or session is None:
            return None
        return Placed(session, None, _put(line, session, known[1]))

    async def _chosen(
        self, talking: Talking, channel: Channel, line: Message, replied: Message | None
    ) -> tuple[Session | None, str, str | None]:
        """The session that goes on with a line, None if it begins one, why as `PLACED` has it, and the one that a new
        one would follow, if its author was in none."""
        reopened = await self._replied_to(replied, channel, None)
        if reopened is not None:
            return reopened, "reply", None
        kept = await self._kept(talking, channel, line)
        if kept is not None:
            return kept, "kept", None
        for _ in range(_TRIES):
            choice = talking.choose(line)
            other = choice.runner_up if choice.runner_up != choice.session else None
            rule = f"{choice.rule} {other}" if other else choice.rule
            if choice.session is None:
                return None, rule, choice.follows
            session = await self._standing(talking, choice.session)
            if session is not None and not self._ended(session, line.at):
                return session, rule, None
            talking.close(choice.session, line.at)
        return None, "new", None

    def _ended(self, session: Session, at: datetime) -> bool:
        """Whether people, or the timeout, had ended a session before a time."""
        if KEPT in session.metadata:
            return False
        closed_at = session.closed_at if self._gap(session.channel) is not None else None
        return session.archived or (closed_at is not None and closed_at <= at)

    async def _kept(self, talking: Talking, channel: Channel, line: Message) -> Session | None:
        """What people have asked to keep, for a line that is not a program's and wants no silence: what its author was
        in last, or, for somebody who was in no other, the channel's."""
        if line.sender.type == "bot" or is_stop(line.words):
            return None
        own = talking.own(line.sender.id)
        session = await self._standing(talking, own) if own else await self._live.current(channel.key)
        session = session and self._live.latest(session)
        return session if session is not None and (own or not waits(session)) and KEPT in session.metadata else None

    async def _goes_on(self, channel: Channel, line: Message) -> tuple[Session | None, str]:
        """What goes on with a line that fits nothing, and why: for a program's, or one that wants silence, what is
        there; for any other what people have asked to keep."""
        current = await self._live.current(channel.key)
        session = current and self._live.latest(current)
        if line.sender.type == "bot" or is_stop(line.words):
            return session, "only"
        kept = session is not None and KEPT in session.metadata and not waits(session)
        return (session, "kept") if kept else (None, "new")

    async def _standing(self, talking: Talking, session_id: str) -> Session | None:
        """A session in sight as it stands now; the store is not asked for what was read for this very line."""
        seen = talking.seen.get(session_id)
        return self._live.latest(seen) if seen is not None else await self._live.standing(session_id)

    async def _opened_beside(self, talking: Talking, channel: Channel, line: Message, follows: str | None) -> Session:
        """A new session. It follows the one its author was in last, else what all here are talking about, else the
        channel's last one if nobody speaks there any more: what others are just saying is not this one's past."""
        before, at = None, line.at
        if own := talking.own(line.sender.id) or follows:
            before = await self._standing(talking, own)
        elif (latest := await self._live.current(channel.key)) is not None and self.over(latest, at):
            before = self._live.latest(latest)
        if before is not None and before.opened_at > at:
            before = None
        return await self._opened_once(channel, at, follows=before, newest=talking.newest)

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
        return self._live.latest(older)

    async def _opened_once(
        self, channel: Channel, at: datetime, *, follows: Session | None, newest: datetime | None = None
    ) -> Session:
        """A new session, or the one that another process of this bot has opened meanwhile, after `newest`: what was
        there before that is known."""
        session = self.opened(channel, at, follows=follows)
        if self._shared is None:
            return session
        gap = self._gap(channel)
        fresh = _EVER if gap is None else at - timedelta(seconds=gap)
        return await self._shared.open_session(session, max(fresh, newest + _MOMENT) if newest else fresh)


def _put(line: Message, session: Session, rule: str | None) -> Message:
    metadata = {**line.metadata, PLACED: rule} if rule else line.metadata
    return line.model_copy(update={"session_id": session.id, "metadata": metadata})


def _joined(session: Session, channel: Channel, sender: Sender, at: datetime) -> Session:
    changes: dict[str, object] = {"channel": channel, "closed_at": None}
    if sender.type != "bot":
        session = without_summary(without(session, KEPT))  # it is true no more
        changes |= {"archived": False, "last_at": max(at, session.last_at)}
    if all(known.id != sender.id for known in session.participants):
        changes["participants"] = (*session.participants[1 - PARTICIPANTS :], sender)
    return session.model_copy(update=changes)
