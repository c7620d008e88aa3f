"""Sessions made of others: branched after a message, duplicated, merged by time. What they are made of stays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from storage.backend import Store
from storage.model import Channel, Session, SessionContext, session_id

from .carrying import Carrying, by_time, carried_to, carrying, lines_of, may_carry, stands
from .errors import TroupeError
from .session_marks import KEPT, MERGED, without
from .sessions import Sessions, short

_BRANCH, _COPY = "Branch", "Copy"
MADE_AS = "made_as"
"""In a session's metadata: what stands before the title, or the first words, of what it was made from."""
TAGS = 20
"""The most tags of a session."""
_TITLE = 100
_MADE_OF = "merged_from"
"""In a session's metadata: the ids of those whose lines it holds, that point to it."""
_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Merged:
    """What two sessions became."""

    session: Session
    lines: int
    """How many it holds."""
    came: int
    """Those of them that are of the second session and not of the first."""


class Surgery:
    """What makes sessions out of others. It takes sessions that are in sight, with a title where they were given one;
    what goes wrong on the way leaves them as they were, and the new one out of sight."""

    def __init__(
        self, store: Store, sessions: Sessions, *, now: Callable[[], datetime], chance: Callable[[], int]
    ) -> None:
        self._store, self._sessions, self._now, self._chance = store, sessions, now, chance

    async def branch(self, source: Session, after: str | None, into: Channel) -> Session:
        """A new session that knows what was said in another one up to a message (its id; None for the last): the
        current one of the channel it is made in."""
        may_carry(source.channel, into)
        if after is not None:
            message = await self._store.message(after)
            if message is None or message.session_id != source.id or message.deleted_at is not None:
                raise TroupeError("That message is not part of the session, or was deleted: choose another one.")
        at = self._now()
        fields = {"follows": source.follows if into.key == source.channel.key else None, "parent_id": source.id}
        until = after or await self._last(source, "a branch could know")
        branch = self._made(source, into, at, f"{_BRANCH} of", branched_at=until, **fields)
        await self._filled(branch, source, until)
        return await self._sessions.resume(into, branch.id, at) or branch

    async def duplicate(self, source: Session) -> Session:
        """A session with all that was said in another one, and its tags, beside it: closed, and not the current one of
        its channel. It has no star."""
        last, at = await self._last(source, "could be duplicated"), self._now()
        there = await self._store.sessions(source.channel.key, limit=1)
        last_at = min([source.last_at, *(each.last_at - _MOMENT for each in there)])
        fields = {
            "opened_at": min(source.opened_at, last_at),
            "last_at": last_at,
            "closed_at": source.closed_at or at,
            "tags": source.tags,
            "parent_id": source.id,
        }
        made_as = await self._numbered(source)
        return await self._filled(self._made(source, source.channel, at, made_as, **fields), source, last)

    async def merge(self, first: Session, second: Session, *, goes_on: bool = False) -> Merged:
        """A session with the lines of both in the order of time, each once, and notes of where they come from. Both
        are archived and point to it; where one of them is the current one of its channel, or `goes_on`, it becomes
        that; where one of several that were open, who spoke there goes on in it."""
        _may_merge(first, second)
        current = await self._sessions.current(first.channel)
        at, sources = self._now(), sorted((first, second), key=lambda each: (each.opened_at, each.id))
        merged = self._joined(first, sources, at)
        for source in sources:
            await self._change(source.id, lambda now: carrying(now, merged.id))
        await self._store.save_session(merged)
        carried = Carrying(self._store, merged, self._sessions.latest)
        taken = dict.fromkeys((each.id for each in sources), 0)
        async for number, line in by_time(*(lines_of(self._store, source.id) for source in sources)):
            if not taken[sources[number].id]:
                await carried.say(sources[number], line)
            taken[sources[number].id] += 1
            await carried.take(line)
        await carried.finish()
        structural = self._sessions.structural(first.channel)
        open_beside = structural and any(each.closed_at is None and not each.archived for each in sources)
        merged = await self._shown(merged, carried, closed_at=None if open_beside else at)
        if goes_on or (current is not None and current.id in taken):
            merged = await self._sessions.resume(merged.channel, merged.id, at) or merged
        await self._put_away(sources, merged, at)
        self._sessions.reread(first.id)
        self._sessions.reread(second.id)
        return Merged(merged, carried.kept, carried.kept - taken[first.id])

    async def would_merge(self, first: Session, second: Session) -> tuple[int, int]:
        """How many lines the merged session would hold, and how many of them are only in the second one."""
        _may_merge(first, second)
        held = came = 0
        async for _ in lines_of(self._store, first.id):
            held += 1
        async for line in lines_of(self._store, second.id):
            came += not await stands(self._store, line, first.id)
        return held + came, came

    async def _last(self, source: Session, wanted: str) -> str:
        last = await self._store.messages(source.id, limit=1)
        if not last:
            raise TroupeError(f"There is nothing in that session yet that {wanted}.")
        return last[0].id

    async def _numbered(self, source: Session) -> str:
        """`Copy of`, or `Copy 2 of` where there is one already: of the session, or of what it is itself a copy of."""
        first, seen = source, {source.id}
        while first.parent_id and first.parent_id not in seen:
            seen.add(first.parent_id)
            first = await self._store.session(first.parent_id) or first
        known = {each.metadata.get(MADE_AS) async for each in carried_to(self._store, first.id)}
        names = (f"{_COPY} {number} of" if number > 1 else f"{_COPY} of" for number in count(1))
        return next(name for name in names if name not in known)

    def _made(self, source: Session, into: Channel, at: datetime, made_as: str, **fields: Any) -> Session:
        """A session for the lines of another, out of sight until it is complete."""
        before, sort = source.metadata.get(MADE_AS, ""), made_as.partition(" ")[0]
        bare = source.title.removeprefix(f"{before} ") if before.startswith(sort) else source.title
        given = {
            "id": session_id(at, self._chance()),
            "channel": into,
            "type": source.type,
            # One that nobody gave a title is called by its first words wherever it is shown: those may be taken back.
            "title": short(f"{made_as} {bare}", _TITLE) if bare else "",
            "metadata": {MADE_AS: made_as},
            "persona": source.persona,
            "context": source.context.model_copy(update={"summary": ""}),
            "opened_at": at,
            "last_at": at,
            "deleted_at": at,
        }
        return Session(**{**given, **fields})

    def _joined(self, first: Session, sources: list[Session], at: datetime) -> Session:
        """A session for the lines of several, closed and out of sight until it is complete."""
        older, newer = sources
        before = older.follows if older.follows not in (first.id, newer.id) else None
        contexts = [each.context for each in (first, *(each for each in sources if each.id != first.id))]
        goals, constraints, knowledge, tools = (
            tuple(dict.fromkeys(said for context in contexts for said in getattr(context, name)))
            for name in ("goals", "constraints", "shared_knowledge", "active_tools")
        )
        return Session(
            id=session_id(at, self._chance()),
            channel=first.channel,
            type=first.type,
            title=first.title or next((each.title for each in sources if each.title), ""),
            persona=first.persona,
            context=SessionContext(
                goals=goals, constraints=constraints, shared_knowledge=knowledge, active_tools=tools
            ),
            opened_at=older.opened_at,
            last_at=max(older.last_at, newer.last_at),
            closed_at=at,
            follows=before,
            tags=tuple(dict.fromkeys((*older.tags, *newer.tags)))[:TAGS],
            starred=older.starred or newer.starred,
            metadata={_MADE_OF: " ".join(made for each in sources for made in (each.id, *made_of(each)))},
            deleted_at=at,
        )

    async def _filled(self, into: Session, source: Session, until: str) -> Session:
        await self._change(source.id, lambda now: carrying(now, into.id))
        await self._store.save_session(into)
        carried = Carrying(self._store, into, self._sessions.latest)
        async for line in lines_of(self._store, source.id, until):
            await carried.take(line)
        await carried.finish()
        return await self._shown(into, carried)

    async def _shown(self, into: Session, carried: Carrying, **more: object) -> Session:
        changes = {"participants": carried.speakers, "deleted_at": None, **more}
        return await self._change(into.id, lambda now: now.model_copy(update=changes)) or into

    async def _put_away(self, sources: Iterable[Session], merged: Session, at: datetime) -> None:
        def put_away(now: Session) -> Session:
            return pointed(archived(now, True, at))

        def pointed(now: Session) -> Session:
            return now.model_copy(update={"metadata": {**now.metadata, MERGED: merged.id}})

        for source in sources:
            await self._change(source.id, put_away)
            for made in made_of(source):
                earlier = await self._store.session(made)
                if earlier is not None and earlier.metadata.get(MERGED) == source.id:
                    await self._change(made, pointed)

    async def _change(self, session_id: str, alter: Callable[[Session], Session]) -> Session | None:
        return await self._sessions.change(session_id, alter)


def _may_merge(first: Session, second: Session) -> None:
    if first.id == second.id:
        raise TroupeError("That is the same session twice: choose another one to bring into it.")
    if second.metadata.get(MERGED) == first.id or first.metadata.get(MERGED) == second.id:
        raise TroupeError("What was said in that session is part of this one already.")
    if first.channel.key != second.channel.key:
        raise TroupeError("Only sessions of one place can become one: these are of two.")


def archived(session: Session, on: bool, at: datetime) -> Session:
    """A session put out of people's way, or back."""
    kept = without(session, KEPT) if on else session
    return kept.model_copy(update={"archived": on, "closed_at": session.closed_at or at if on else session.closed_at})


def made_of(session: Session) -> list[str]:
    """The ids of the sessions that were merged into it."""
    return session.metadata.get(_MADE_OF, "").split()
