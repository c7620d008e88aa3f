"""The sessions of one bot as they stand now, at hand beside the store: which is current where, and what was changed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from storage.backend import Store
from storage.errors import StorageError
from storage.model import Session

from .events import Event, SessionChanged

_REMEMBERED = 4096
"""Sessions kept in memory; the others are read again when somebody speaks in their channel."""
_Changes = dict[str, tuple[list[object], object]]
"""By field: the values it had, and the one it has."""


class LiveSessions:
    """What is known of sessions without asking the store. With `shared`, where other processes write too, that is only
    what was changed here since a person last spoke. `tell` is told what people would see of it."""

    def __init__(self, store: Store, *, shared: bool, tell: Callable[[Event], None]) -> None:
        self._store = store
        self._tell = tell
        self._shared = shared
        self._live: OrderedDict[str, Session] = OrderedDict()
        """Sessions by id, as they stand now."""
        self._current: dict[str, str] = {}
        """The id of each channel's current session."""
        self._changed: dict[str, _Changes] = {}
        """Where other processes write too: by session what was changed here since a person last spoke in it."""

    def known(self, session_id: str) -> Session | None:
        """The session, as far as what is known of it is true: never where other processes write too."""
        return None if self._shared else self._live.get(session_id)

    async def current(self, channel_key: str) -> Session | None:
        """The session in which a person spoke last, of those in sight. Raises `StorageError`."""
        known = self.known(self._current.get(channel_key, ""))
        if known is None:
            stored = await self._store.sessions(channel_key, limit=1)
            known = stored[0] if stored else None
        return known

    async def standing(self, session_id: str) -> Session | None:
        """A session in sight as it stands now; None if there is none of that id. Raises `StorageError`."""
        known = self.known(session_id)
        if known is None:
            kept = await self._store.session(session_id)
            known = self.latest(kept) if kept is not None else self._live.get(session_id)
        return known if known is not None and known.deleted_at is None else None

    def latest(self, session: Session) -> Session:
        """The same session as it stands now, after whatever has been said since. Where other processes write too, as
        given, unless this one has heard somebody speak in it, or has changed it, since."""
        known = self._live.get(session.id, session)
        if not self._shared or known.last_at > session.last_at:
            return known
        changes = self._changed.get(session.id, {})
        newer = {name: new for name, (olds, new) in changes.items() if getattr(session, name) in olds}
        return session.model_copy(update=newer) if newer else session

    async def change(self, session_id: str, alter: Callable[[Session], Session]) -> Session | None:
        """Alters a session as it stands now, so that neither this nor what goes on in it meanwhile is lost; None if
        it is not kept. Raises `StorageError`: then it is as it was."""
        known = self.known(session_id)
        if known is None:
            kept = await self._store.session(session_id)
            known = self.latest(kept) if kept is not None else self._live.get(session_id)
        if known is None:
            return None
        changed = alter(known)  # from here to where it is held nobody else gets a turn
        if changed == known:
            return known
        self._note(known, changed)
        self.hold(changed)
        if changed.deleted_at is not None and self._current.get(changed.channel.key) == changed.id:
            del self._current[changed.channel.key]
        try:
            await self._store.save_session(changed)
        except StorageError:
            self._changed.pop(session_id, None)
            if self._live.get(session_id) is changed:
                self._live[session_id] = known
            raise
        self._tell(SessionChanged(changed))
        return changed

    async def save(self, session: Session) -> None:
        """Stores a session that nobody else alters meanwhile. Raises `StorageError`."""
        self.renew(session)
        await self._store.save_session(session)
        self._tell(SessionChanged(session))

    def renew(self, session: Session) -> None:
        """Takes a session as it is now, if it is at hand."""
        if session.id in self._live:
            self._live[session.id] = session

    def take(self, session: Session) -> None:
        """Takes what was just read of a session that is asked for again and again."""
        self._live[session.id] = session

    def hold(self, session: Session) -> None:
        """Takes a session as it is now; the longest unused of too many are let go of."""
        self._live[session.id] = session
        self._live.move_to_end(session.id)
        while len(self._live) > _REMEMBERED:
            _, forgotten = self._live.popitem(last=False)
            self._let_go(forgotten)

    def remember(self, session: Session, *, current: bool = True) -> None:
        """Takes a session as it is now; `current` makes it its channel's."""
        if current:
            self._current[session.channel.key] = session.id
        self.hold(session)

    def is_behind(self, session: Session) -> bool:
        """Whether a person has spoken in another session of its channel since, as far as is known."""
        known = self._live.get(self._current.get(session.channel.key, session.id))
        return known is not None and known.id != session.id and known.last_at > session.last_at

    def spoken(self, session_id: str) -> None:
        """Told when a person speaks in a session: all that was changed here is stored with that line."""
        self._changed.pop(session_id, None)

    def forget(self, session_id: str) -> None:
        """Lets go of a session that was removed: whoever speaks in its channel next, the store is asked."""
        forgotten = self._live.pop(session_id, None)
        self._changed.pop(session_id, None)
        if forgotten is not None:
            self._let_go(forgotten)

    def _let_go(self, session: Session) -> None:
        self._changed.pop(session.id, None)
        if self._current.get(session.channel.key) == session.id:
            del self._current[session.channel.key]

    def _note(self, before: Session, after: Session) -> None:
        if self._shared:
            changes = self._changed.setdefault(after.id, {})
            for name in type(after).model_fields:
                old, new = getattr(before, name), getattr(after, name)
                if old != new:
                    olds, _ = changes.get(name, ([], None))
                    changes[name] = ([*olds, old], new)
