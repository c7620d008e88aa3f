"""Learning from what was said, after it was said: sessions in batches, a cursor that a restart keeps, a budget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta

import structlog

from storage.backend import Store
from storage.errors import StorageError
from storage.forgetting import memories_of, pages
from storage.model import Message, Sender, Session
from storage.records import Memory, Setting, Spent, Tombstone

from .audiences import audience
from .consolidating import PACKED, packed, settled, without
from .episodes import session_notes
from .errors import TroupeError
from .facts import sources, wording
from .memory_model import by_model
from .memory_rules import facts
from .memory_settings import MemorySettings
from .pauses import MENTION, Silent, paused
from .providers import Provider
from .speakers import Speakers

log = structlog.get_logger()

ACTOR = Sender(type="system", id="memory", name="memory")
_ID = "memory"
"""Of the setting that says what was read, how often a model was asked, and what is never to be learned again."""
LONG = 20
"""New lines of people after which a session is read that still goes on."""
_LINES = 200
"""The most that is read of a session at once, the newest."""
_SESSIONS, _PAGES = 20, 40
"""Sessions that one look reads, and pages of fifty sessions that it looks through for them."""
_CALLS, _PATIENCE = 2, 60.0
"""How often a model is asked in one look, and the seconds it has each time: other upkeep waits for it."""
_MARKS, _NEVER = 1_000, 500
"""Sessions of which it is known how far they were read, and memories that are not to come back."""
_LATE, _LATER = timedelta(hours=6), timedelta(minutes=1)
"""How long a line may have been said before it is kept, after a bot was away, and be read; and where much is said."""
_SILENT = timedelta(hours=1)
"""After so long nobody waits for a session to be closed; where it goes on, what it was is noted anew."""
_BEFORE = timedelta(days=1)
"""How far back the first look goes."""


class Learning:
    """What one bot learns; `one` is held while memories are read and written again."""

    def __init__(
        self,
        store: Store,
        *,
        settings: Callable[[], MemorySettings],
        provider: Callable[[], Provider],
        now: Callable[[], datetime],
        voices: Callable[[], tuple[str, ...]],
        one: asyncio.Lock,
        changed: Callable[[Sequence[Memory], Sequence[str]], None],
    ) -> None:
        self._store, self._settings, self._provider = store, settings, provider
        self._now, self._voices, self._one, self._changed = now, voices, one, changed
        self._asked_now = 0
        """How often a model was asked in this look."""
        self._grown = True
        """Whether something was learned since it was last seen that there is room."""

    async def due(self) -> int:
        """Reads a batch of sessions that have closed, or grown long, since they were last read, the one longest silent
        first. Returns how much was learned."""
        if self._settings().extract == "off":
            return 0
        state = await self._state()
        since = _time(state.get("since")) or self._now() - _BEFORE
        waiting, unread, looked = await self._waiting(state, since)
        learned = done = self._asked_now = 0
        for session in waiting[:_SESSIONS]:
            if self._asked_now >= _CALLS:
                break
            silent = self._now() - session.last_at > _SILENT
            closed = session.closed_at is not None or silent
            try:
                learned += await self.learn(session, closed=closed)
            except (StorageError, TroupeError):
                raise
            except Exception:  # one line that trips the rules must not stop the bot, nor be tried for ever
                log.exception("memory.unread", session=session.id)
                await self._keep(session, [], [], closed)
            done += 1
        left = [*unread, *(each.last_at for each in waiting[done:])]
        crowded = len(_marks(await self._state())) >= _MARKS
        upto = min([*left, looked - (_LATER if crowded else _LATE)])
        if upto > since or "since" not in state:
            async with self._one:
                state = await self._state()
                await self._store.keep(self._setting({**state, "since": max(upto, since).isoformat()}))
        return learned

    async def _waiting(
        self, state: dict[str, object], since: datetime
    ) -> tuple[list[Session], list[datetime], datetime]:
        """The sessions to be read, when each of those that have only begun was last spoken in, and when it looked."""
        marks, looked = _marks(state), self._now()
        waiting: list[Session] = []
        unread: list[datetime] = []
        cursor: str | None = None
        for _ in range(_PAGES):
            page = await self._store.browse(cursor=cursor)
            for session in page.items:
                if session.last_at < since:
                    continue
                mark = marks.get(session.id)
                fresh = session.message_count - (mark[1] if mark else 0)
                if session.closed_at is not None and (mark is None or fresh > 0 or not mark[2]):
                    waiting.append(session)
                elif session.closed_at is None and fresh > 0:
                    unread.append(session.last_at)
                    if fresh >= LONG or self._now() - session.last_at > _SILENT:
                        waiting.append(session)
            if page.older is None or page.items[-1].last_at < since:
                break
            cursor = page.older
        return sorted(waiting, key=lambda each: each.last_at), unread, looked

    async def learn(self, session: Session, *, closed: bool) -> int:
        """Learns from the lines of a session that were not read yet. Returns how many memories are new or changed."""
        how = self._settings().extract
        if how == "off" or not self._settings().enabled or session.deleted_at is not None:
            return 0
        mark = _marks(await self._state()).get(session.id)
        talk = await self._store.messages(session.id, _LINES)
        fresh = _after(talk, mark[0] if mark else None)
        lines = [line for line in fresh if line.role == "user" and line.sender.type == "user" and line.words.strip()]
        silent = await self._silent([*talk, *lines])
        lines = [line for line in lines if not silent.covers(line)]
        found: list[Memory] | None = None
        if lines and how in ("auto", "model"):
            found = await self._asked(session, lines)
        if found is None:
            found = await asyncio.to_thread(self._by_rules, session, lines)
        heard = [line for line in talk if not silent.covers(line)]
        found += await asyncio.to_thread(session_notes, session, heard, self._names(talk), closed)
        found = [memory for memory in found if not silent.names(memory)]
        return await self._keep(session, found, talk, closed)

    def _by_rules(self, session: Session, lines: Sequence[Message]) -> list[Memory]:
        names, told = self._names(lines), audience(session.channel)
        return [each for line in lines for each in facts(line, names.name(line.sender), told)]

    async def _asked(self, session: Session, lines: Sequence[Message]) -> list[Memory] | None:
        """What a model found; None where none is set, the day's calls are used up, or its answer is of no use."""
        provider = self._provider()
        if provider.name == "offline" or not await self._call():
            return None
        self._asked_now += 1
        try:
            async with asyncio.timeout(_PATIENCE):
                found, usage = await by_model(provider, lines, self._names(lines), audience(session.channel))
        except (TroupeError, TimeoutError) as error:
            log.warning("memory.by_rules", error=str(error))
            return None
        if usage is not None:
            # The id follows from what was read, so that the same reading is not paid for twice in the books.
            id = f"memory {session.id} {lines[-1].id}"
            await self._store.keep(Spent(id=id, at=self._now(), usage=usage, channel_key=session.channel.key))
        return found

    async def _call(self) -> bool:
        """Counts a call before it is made, so that no crash gives one back; False when the day has none left."""
        async with self._one:
            state = await self._state()
            made = _calls(state, self._now())
            if made >= self._settings().calls:
                return False
            await self._store.keep(self._setting({**state, "day": self._now().date().isoformat(), "calls": made + 1}))
        return True

    async def calls_today(self) -> int:
        """How often a model was asked today, in UTC."""
        return _calls(await self._state(), self._now())

    async def _keep(self, session: Session, found: Sequence[Memory], talk: Sequence[Message], closed: bool) -> int:
        """Keeps what was found and how far was read at once: neither is ever there without the other."""
        async with self._one:
            state = await self._state()
            never = set(_never(state))
            now = await self._store.session(session.id)
            wanted = [each for each in found if each.id not in never and await self._there(each)]
            kept = await self._settled(session, wanted) if now is not None and now.deleted_at is None else []
            gone = await self._working(session, {each.id for each in kept}) if closed else []
            marks = {id: mark for id, mark in _marks(state).items() if id != session.id}
            marks[session.id] = (talk[-1].id if talk else "", session.message_count, closed)
            written = {id: [*mark] for id, mark in list(marks.items())[-_MARKS:]}
            await self._store.keep(*kept, self._setting({**state, "marks": written}))
            if gone:
                await self._store.remove_records(Memory, gone)
            # Somebody may have asked to be forgotten, or deleted a line, between the look above and the keeping.
            whole = await self._whole(talk)
            late = [each.id for each in kept if not await self._there(each) or not (whole or each.source != session.id)]
            if late:
                await self._store.remove_records(Memory, late)
            self._grown = self._grown or bool(kept)
        self._changed([each for each in kept if each.id not in late], [*gone, *late])
        return len(kept) - len(late)

    async def _settled(self, session: Session, wanted: Sequence[Memory]) -> list[Memory]:
        """The note of a session that went on takes the place of the one before."""
        note = next((each for each in wanted if each.id == f"session {session.id}"), None)
        before = await self._store.record(Memory, note.id) if note is not None else None
        kept = await settled(self._store, [each for each in wanted if before is None or each is not note])
        if note is not None and before is not None and note.text != before.text and before.superseded_by is None:
            used = {"touched_at": before.touched_at, "access_count": before.access_count}
            kept.append(note.model_copy(update=used))
        return kept

    async def _there(self, memory: Memory) -> bool:
        """Whether what it was drawn from is there to be seen, and nobody it draws on was forgotten since."""
        for source in sources(memory):
            message = await self._store.message(source)
            if message is None and await self._store.session(source) is None:
                return False
            if message is not None and message.deleted_at is not None:
                return False
        for person in memory.people:
            tombstone = await self._store.record(Tombstone, person)
            if tombstone is not None and memory.at <= tombstone.at:
                return False
        return True

    async def _whole(self, talk: Sequence[Message]) -> bool:
        """Whether every line that a session's note may quote is still there."""
        now = {each.id for each in await self._store.messages(talk[0].session_id, _LINES)} if talk else set()
        gone = [await self._store.message(each.id) for each in talk if each.id not in now]
        return all(each is not None and each.deleted_at is None for each in gone)

    async def sweep(self) -> None:
        """Removes what was learned of somebody while they were being forgotten."""
        state = await self._state()
        swept = _time(state.get("swept"))
        page = await self._store.records(Tombstone, limit=20)
        fresh = [each for each in page.items if swept is None or each.at > swept]
        for tombstone in fresh:
            async with aclosing(memories_of(self._store, tombstone.id)) as found:
                async for memories in found:
                    gone = [each.id for each in memories if each.at <= tombstone.at]
                    await self._store.remove_records(Memory, gone)
                    self._changed((), gone)
        if fresh:
            async with self._one:
                newest = max(each.at for each in fresh).isoformat()
                await self._store.keep(self._setting({**await self._state(), "swept": newest}))

    async def _working(self, session: Session, but: set[str]) -> list[str]:
        """What was on the table in a session, which is over."""
        page = await self._store.records(Memory, about=f"session:{session.id}")
        return [each.id for each in page.items if each.type == "working" and each.id not in but]

    async def follow(self, message: Message) -> tuple[list[Memory], list[str]]:
        """Lets what was learned from a line follow what has become of it, by rules. Returns what is kept and the ids of
        what went."""
        session = await self._store.session(message.session_id)
        if session is None or message.role != "user":
            return [], []
        page = await self._store.records(Memory, about=f"user:{message.sender.id}", limit=500)
        there = {each.id: each for each in page.items if each.id.startswith("learned ") and each.source == message.id}
        for parts in (message.parts, *(edit.parts for edit in message.edits)):
            for each in self._by_rules(session, [message.model_copy(update={"parts": parts})]):
                if each.id not in there and (known := await self._store.record(Memory, each.id)) is not None:
                    there[known.id] = known
        read = wording(message) if message.deleted_at is None else ""
        old = [each for each in there.values() if each.metadata.get("read") != read]
        kept = [each for memory in old for each in await without(self._store, memory)]
        gone = [each.id for each in old]
        note = await self._store.record(Memory, f"session {session.id}")
        silent = await self._silent([message])
        if old and read and not silent.covers(message) and self._settings().extract != "off":
            gone_then = set(gone)
            found = [each for each in self._by_rules(session, [message]) if each.id not in gone_then]
            kept += [each for each in await settled(self._store, found) if each.id not in {k.id for k in kept}]
        if note is not None:
            anew = await self._note_anew(session, note)
            kept, gone = [*kept, *anew], gone if anew else [*gone, note.id]
        if kept:
            await self._store.keep(*kept)
        await self._store.remove_records(Memory, gone)
        return kept, gone

    async def _note_anew(self, session: Session, note: Memory) -> list[Memory]:
        """The note of a session as its lines are now; none where there is nothing left to note."""
        talk = await self._store.messages(session.id, _LINES)
        silent = await self._silent(talk)
        found = session_notes(session, [line for line in talk if not silent.covers(line)], self._names(talk), True)
        return [each for each in found if each.id == note.id and session.deleted_at is None]

    async def never_again(self, ids: Sequence[str]) -> None:
        """What somebody had the bot forget is not learned from the same line again."""
        state = await self._state()
        learned = [id for id in ids if id.startswith(("learned ", "session "))]
        if learned:
            await self._store.keep(self._setting({**state, "never": [*_never(state), *learned][-_NEVER:]}))

    async def make_room(self) -> None:
        """Puts the least useful memories of each audience together where there are too many of them."""
        if not self._grown:
            return
        self._grown = False
        audiences: dict[str, int] = {}
        over: list[str] = []
        async for page in pages(lambda cursor: self._store.records(Memory, cursor=cursor, limit=200)):
            for memory in page:
                if memory.superseded_by is None:
                    audiences[memory.audience] = audiences.get(memory.audience, 0) + 1
                elif memory.superseded_by.startswith(PACKED):
                    over.append(memory.id)  # a crash kept it beside its summary
        capacity = self._settings().capacity
        for told in [each for each, count in audiences.items() if count > capacity]:
            over += await self._pack(told, capacity)
        if over:
            await self._store.remove_records(Memory, over)
            self._changed((), over)

    async def _pack(self, told: str, capacity: int) -> list[str]:
        """Packs one audience down to nine tenths of its room, so that this is rare. Returns the ids that are in
        summaries now."""
        async with self._one:
            memories: list[Memory] = []
            async for page in pages(lambda cursor: self._store.records(Memory, cursor=cursor, limit=200)):
                memories += [each for each in page if each.audience == told and each.superseded_by is None]
            half_life = timedelta(seconds=self._settings().half_life)
            kept = await asyncio.to_thread(packed, memories, max(1, capacity * 9 // 10), self._now(), half_life)
            if kept:
                await self._store.keep(*kept)
                self._changed(kept, ())
        return [each.id for each in kept if each.superseded_by is not None]

    async def _silent(self, talk: Sequence[Message]) -> Silent:
        """Who of a talk is not to be learned about."""
        ids = {line.sender.id for line in talk if line.sender.type == "user"}
        ids.update(id for line in talk for id in MENTION.findall(line.words))
        settings = {id: await self._store.record(Setting, f"user:{id}") for id in ids}
        names = {line.sender.name for line in talk if paused(settings.get(line.sender.id))}
        return Silent({id: setting for id, setting in settings.items() if setting is not None}, names)

    def _names(self, lines: Sequence[Message]) -> Speakers:
        return Speakers(lines, self._voices())

    async def _state(self) -> dict[str, object]:
        setting = await self._store.record(Setting, _ID)
        return dict(setting.values) if setting is not None else {}

    def _setting(self, values: dict[str, object]) -> Setting:
        return Setting.model_validate({"id": _ID, "at": self._now(), "values": values, "by": ACTOR})


def _after(talk: Sequence[Message], last: str | None) -> list[Message]:
    """The messages that were kept after the one that was read last; all where that is not among them."""
    ids = [message.id for message in talk]
    return list(talk[ids.index(last) + 1 :]) if last in ids else list(talk)


def _marks(state: dict[str, object]) -> dict[str, tuple[str, int, bool]]:
    """How far sessions were read: the last message, how many there were, and whether it was closed."""
    written = state.get("marks")
    found = {}
    for id, mark in written.items() if isinstance(written, dict) else ():
        if isinstance(mark, list) and len(mark) == 3:
            found[str(id)] = (str(mark[0]), int(mark[1]), bool(mark[2]))
    return found


def _never(state: dict[str, object]) -> list[str]:
    written = state.get("never")
    return [each for each in written if isinstance(each, str)] if isinstance(written, list) else []


def _calls(state: dict[str, object], now: datetime) -> int:
    made = state.get("calls")
    return made if state.get("day") == now.date().isoformat() and isinstance(made, int) else 0


def _time(written: object) -> datetime | None:
    return datetime.fromisoformat(written) if isinstance(written, str) else None
