"""What one bot knows beyond a session, and people's say in it: told, corrected, undone, forgotten, paused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import structlog

from storage.backend import Page, Store
from storage.forgetting import is_private, pages
from storage.model import Channel, Message, Sender, Session, Text
from storage.records import Memory, Setting

from .audiences import BOT, asker, audience, guild, heard_in
from .consolidating import replaced_by, settled, undone
from .errors import NotYours, TroupeError
from .facts import NAME, digest, inert, is_told, owner, replacing
from .learning import Learning
from .memory_room import Room
from .memory_rules import facts
from .memory_settings import MemorySettings
from .memory_sources import stands
from .pauses import MENTION, paused, pausing, resuming
from .providers import Provider

log = structlog.get_logger()

Found = list[Memory]
Scope = Literal["here", "me", "guild", "bot"]
"""Who may be told: those of this place; oneself wherever one is answered; everybody in the guild; everybody."""

LONGEST = 1_000
"""Letters of what somebody has the bot remember."""
_MOST_TOLD = 400
"""What people may have it remember about one of them, or for all of a guild."""
_SHOWN = 500
"""The most memories that are listed at once."""
_LOOKED = 5_000
"""The most memories that are looked through for those which draw on somebody without being about them."""
_BATCH = 64
"""Recalled memories that are noted down together."""
_COMMON = ("topic:ways", "topic:plans")
"""What is known of a place rather than of a person."""
_NONE = "I know of no such memory of yours: /memory list shows what I remember."


@dataclass(slots=True)
class Report:
    """How much is remembered, and how much of it is of use."""

    memories: int = 0
    """Those that hold now."""
    history: int = 0
    """Those that something newer took the place of."""
    recalled: int = 0
    """Those of the memories that were ever recalled."""
    types: dict[str, int] = field(default_factory=dict)
    audiences: int = 0
    calls: int = 0
    """How often a model was asked today, in UTC."""

    @property
    def share(self) -> float:
        """How much of what is remembered was ever recalled, from 0 to 1."""
        return self.recalled / self.memories if self.memories else 0.0


class Memories:
    """The memories of one bot over its store. `settings` and `provider` give those in force; nobody is called by one of
    the bot's `voices`. `changed` hears of every memory that was kept or altered here, and the id of each that went."""

    def __init__(
        self,
        store: Store,
        *,
        settings: Callable[[], MemorySettings],
        provider: Callable[[], Provider],
        now: Callable[[], datetime],
        voices: Callable[[], tuple[str, ...]],
        changed: Callable[[Sequence[Memory], Sequence[str]], None] = lambda kept, gone: None,
    ) -> None:
        self._store, self._settings, self._now, self._changed = store, settings, now, changed
        self._one = asyncio.Lock()
        """Held by whoever reads memories and writes them again."""
        self._room = Room(store, settings=settings, now=now, one=self._one, changed=changed)
        self._learning = Learning(
            store,
            settings=settings,
            provider=provider,
            now=now,
            voices=voices,
            one=self._one,
            changed=changed,
            room=self._room,
        )
        self._touched: dict[str, tuple[int, datetime]] = {}
        """How often memories were recalled since that was last noted down, and when last."""

    async def remember(
        self, text: str, by: Sender, channel: Channel, scope: Scope = "here", *, may_manage: bool = False
    ) -> Memory:
        """Keeps what somebody says is worth knowing. Raises `TroupeError` for what cannot be, with a sentence."""
        words = _worded(text)
        told = self._told(by, channel, scope, may_manage)
        at = self._now()
        common = scope in ("guild", "bot")
        memory = Memory(
            id=_told_id(by, at, told, words),
            at=at,
            type="procedural" if common else "semantic",
            audience=told,
            subject=told if common else f"user:{by.id}",
            text=words,
            importance=0.9,
            people=_people(words, by),
            metadata={"by": "person", NAME: by.name, **({} if common else _plainly(words, by, at))},
        )
        async with self._one:
            await self._room_for(memory)
            kept = await settled(self._store, [memory])
            await self._keep(kept)
        # Where the same is known already, that is what is remembered.
        return next((each for each in kept if each.id == memory.id), kept[0] if kept else memory)

    async def list(self, asker_id: str, channel: Channel, *, may_manage: bool = False) -> Found:
        """What is remembered of somebody that may be told to them in a place, the newest first, history left out: in
        private all of it, elsewhere what is for that place; also what draws on others as well, as the note of a talk
        does. With `may_manage` also what is known of the place, and what is for everybody there. What was drawn from
        words that are gone meanwhile is left out. At most 500; of what is about no single person, the newest."""
        heard, alone = heard_in(channel, asker_id), is_private(channel, asker_id)

        def fits(memory: Memory) -> bool:
            own = _own(memory, asker_id)
            if memory.superseded_by is not None or not (memory.audience in heard or (own and alone)):
                return False
            return own or _draws_on(memory, asker_id) or (may_manage and not memory.subject.startswith("user:"))

        found: dict[str, Memory] = {}
        for subject in (
            f"user:{asker_id}",
            *_COMMON,
            BOT,
            *([guild(channel.guild_id)] if channel.guild_id else []),
            None,
        ):

            def read(cursor: str | None, of: str | None = subject) -> Awaitable[Page[Memory]]:
                return self._store.records(Memory, about=of, cursor=cursor)

            before, looked = len(found), 0
            async for page in pages(read):
                found |= {each.id: each for each in page if fits(each)}
                looked += len(page)
                if len(found) - before >= 2 * _SHOWN or (subject is None and looked >= _LOOKED):
                    break
        newest = sorted(found.values(), key=lambda each: (each.at, each.id), reverse=True)
        return (await self.in_sight(newest[: 2 * _SHOWN]))[:_SHOWN]

    async def in_sight(self, memories: Sequence[Memory], *, history: bool = False) -> Found:
        """Those of some memories that may still be told, as they are kept now: none that is gone or superseded (unless
        with `history`), nor one drawn from a line that was deleted, cleared or worded anew since. To be asked right
        before anything is told."""
        found = []
        for memory in memories:
            now = await self._store.record(Memory, memory.id)
            if now is None or (now.superseded_by is not None and not history):
                continue
            if await stands(self._store, now):
                found.append(now)
        return found

    async def forget(self, id: str, by: Sender, channel: Channel | None = None, *, may_manage: bool = False) -> Memory:
        """Removes a memory for good, and the history it took the place of; what it was drawn from is not read for it
        again. Any of those it draws on may have it forgotten where it is told. Raises `TroupeError` where it is not
        theirs."""
        async with self._one:
            memory = await self._theirs(id, by, channel, may_manage, to_forget=True)
            gone = [memory, *await replaced_by(self._store, memory)]
            await self._learning.never_again([id for each in gone for id in (each.id, *each.links)])
            await self._store.remove_records(Memory, [each.id for each in gone])
        self._changed((), [each.id for each in gone])
        return memory

    async def correct(
        self, id: str, text: str, by: Sender, channel: Channel | None = None, *, may_manage: bool = False
    ) -> Memory:
        """Puts other words in a memory's place; the old ones are history until `undo`. Raises `TroupeError`."""
        words = _worded(text)
        async with self._one:
            old = await self._theirs(id, by, channel, may_manage)
            if old.superseded_by is not None:
                raise TroupeError("That memory was replaced already: correct the newer one, or undo it first.")
            at = self._now()
            metadata = {"by": "person", NAME: by.name, **_plainly(words, by, at), **replacing([old.id])}
            new = old.model_copy(
                update={
                    "id": _told_id(by, at, old.id, words),
                    "at": at,
                    "text": words,
                    "vector": None,
                    "importance": max(old.importance, 0.8),
                    "touched_at": None,
                    "access_count": 0,
                    "source": None,  # from now on it is what they said, whatever becomes of the line
                    "people": tuple(dict.fromkeys((*_people(words, by), *old.people))),
                    "links": (),
                    "metadata": metadata,
                }
            )
            gone = old.model_copy(update={"superseded_by": new.id, "superseded_at": at})
            await self._keep([new, gone])
        return new

    async def undo(
        self, id: str, by: Sender, channel: Channel | None = None, *, may_manage: bool = False
    ) -> tuple[Memory, ...]:
        """Takes back the last change of a memory, by the id of either side of it: what it took the place of holds again
        and is returned; to undo once more brings the newer one back. Raises `TroupeError`."""
        async with self._one:
            memory = await self._theirs(id, by, channel, may_manage)
            kept = await undone(self._store, memory, self._now())
            if not kept:
                raise TroupeError("Nothing was replaced there, so there is nothing to undo.")
            await self._keep(kept)
        return tuple(each for each in kept if each.superseded_by is None)

    async def pause(self, user_id: str, by: Sender) -> None:
        """From now on nothing somebody says, and nothing said of them by name, is learned, until `resume`; nor is what
        they say meanwhile recalled later."""
        await self._set(user_id, by, pausing, True)

    async def resume(self, user_id: str, by: Sender) -> None:
        """What somebody says from now on may be learned and recalled again; what they said in the pause never is."""
        await self._set(user_id, by, resuming, False)

    async def paused(self, user_id: str) -> bool:
        """Whether nothing is learned of somebody now."""
        return paused(await self._store.record(Setting, f"user:{user_id}"))

    async def learn(self, session: Session, *, closed: bool | None = None) -> int:
        """Learns from what was said in a session since it was last looked at. Returns how much is new."""
        return await self._learning.learn(session, closed=session.closed_at is not None if closed is None else closed)

    async def due(self) -> int:
        """What is due now: a batch of sessions that closed, or have grown by twenty lines, since the last look; memory
        put together where it is full; and what was recalled is noted down. Returns how much was learned. Raises
        `StorageError`; then nothing is forgotten."""
        await self.flush()
        await self._learning.sweep()
        if not self._settings().enabled:
            return 0
        learned = await self._learning.due()
        await self._room.make()
        return learned

    async def report(self) -> Report:
        """How much is remembered, and what share of it was ever recalled."""
        await self.flush()
        report, audiences = Report(calls=await self._learning.calls_today()), set[str]()
        async for page in pages(lambda cursor: self._store.records(Memory, cursor=cursor, limit=200)):
            for memory in page:
                if memory.superseded_by is not None:
                    report.history += 1
                    continue
                report.memories += 1
                report.recalled += memory.access_count > 0
                report.types[memory.type] = report.types.get(memory.type, 0) + 1
                audiences.add(memory.audience)
        report.audiences = len(audiences)
        return report

    def touched(self, ids: Sequence[str], at: datetime) -> None:
        """Memories were recalled for an answer; noted down in batches, at the next `due`, `report` or `flush`."""
        for id in ids:
            times, last = self._touched.pop(id, (0, at))
            self._touched[id] = (times + 1, max(last, at))

    async def flush(self) -> None:
        """Notes down what was recalled. Raises `StorageError`; then it is noted down later."""
        while self._touched:
            ids = list(self._touched)[:_BATCH]
            async with self._one:
                altered = []
                for id in ids:
                    times, last = self._touched[id]
                    memory = await self._store.record(Memory, id)
                    if memory is not None:
                        last = max(last, memory.touched_at or last)
                        count = memory.access_count + times
                        altered.append(memory.model_copy(update={"touched_at": last, "access_count": count}))
                await self._keep(altered)
                for id in ids:
                    self._touched.pop(id, None)

    async def follow(self, message: Message) -> None:
        """A line was deleted or worded anew: what was learned from its earlier words goes, and what it says now is
        learned. Raises `StorageError`."""
        async with self._one:
            kept, gone = await self._learning.follow(message)
        if kept or gone:
            self._changed(kept, gone)

    async def _keep(self, memories: Sequence[Memory]) -> None:
        if memories:
            await self._store.keep(*memories)
            self._changed(memories, ())

    async def _room_for(self, told: Memory) -> None:
        """What people told it is never put together to make room, so that there is an end to it. And of whoever is in
        a pause nobody else tells anything."""
        for person in told.people[1:]:
            if await self.paused(person):
                raise TroupeError("Somebody who is named there has asked me to learn nothing about them for now.")
        count = 0
        async for page in pages(lambda cursor: self._store.records(Memory, about=told.subject, cursor=cursor)):
            count += sum(is_told(each) and each.superseded_by is None for each in page)
        if count >= _MOST_TOLD:
            raise TroupeError(f"I remember {count} such things already, which is the most: have me forget one first.")

    async def _set(
        self, user_id: str, by: Sender, change: Callable[[Setting | None, str, datetime, Sender], Setting], on: bool
    ) -> None:
        id = f"user:{user_id}"
        async with self._one:
            await self._store.keep(change(await self._store.record(Setting, id), id, self._now(), by))
            await self._learning.paused(user_id, on)

    def _told(self, by: Sender, channel: Channel, scope: Scope, may_manage: bool) -> str:
        if scope == "here":
            return audience(channel)
        if scope == "me":
            return asker(by.id)
        if not may_manage:
            raise TroupeError("Only those who manage this place may have me remember something for everybody.")
        if scope == "bot":
            return BOT
        if channel.guild_id is None:
            raise TroupeError("This place belongs to no server: say `here` or `me` instead.")
        return guild(channel.guild_id)

    async def _theirs(
        self, id: str, by: Sender, channel: Channel | None, may_manage: bool, *, to_forget: bool = False
    ) -> Memory:
        """The memory, if that person may change it. That there is one of somebody else is not said."""
        memory = await self._store.record(Memory, id)
        if memory is None:
            raise NotYours(_NONE)
        heard, own = channel is not None and memory.audience in heard_in(channel, by.id), _own(memory, by.id)
        if not own and may_manage and heard and not memory.subject.startswith("user:"):
            own = not memory.audience.startswith(("user:", "asker:"))
        if not own and not (heard and _draws_on(memory, by.id)):
            raise NotYours(_NONE)
        if not own and not to_forget:
            raise TroupeError("That is not of you alone: you can have me forget it, but not word it anew.")
        return memory


def _own(memory: Memory, user_id: str) -> bool:
    """Whether it is about somebody, or their words, and nobody else's, are behind it."""
    return owner(memory) == user_id and not _for_all(memory)


def _draws_on(memory: Memory, user_id: str) -> bool:
    """Whether it draws on somebody among others, as the note of a talk does."""
    return user_id in memory.people and not _for_all(memory)


def _for_all(memory: Memory) -> bool:
    return memory.audience == BOT or memory.audience.startswith("guild:")


def _people(words: str, by: Sender) -> tuple[str, ...]:
    """Whom something told draws on: first the one who tells it, then those pinged in it."""
    return tuple(dict.fromkeys((by.id, *MENTION.findall(words))))


def _plainly(words: str, by: Sender, at: datetime) -> dict[str, str]:
    """What the words contradict if they are one plain fact: told again or otherwise, it is that fact."""
    line = Message(id="", session_id="", role="user", sender=by, parts=(Text(text=words),), at=at)
    found = facts(line, by.name, "")
    if len(found) != 1:
        return {}
    return {name: found[0].metadata[name] for name in ("attribute", "value", "ended") if name in found[0].metadata}


def _told_id(by: Sender, at: datetime, of: str, words: str) -> str:
    return f"told {by.id} {digest(f'{at.isoformat()} {of} {words}')}"


def _worded(text: str) -> str:
    words = inert(text, LONGEST + 1)
    if not words:
        raise TroupeError("Say what I should remember, in words.")
    if len(words) > LONGEST:
        raise TroupeError(f"That is too long to remember: at most {LONGEST:,} letters.")
    return words
