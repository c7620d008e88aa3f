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
from storage.model import Message, Part, Sender, Session, Text
from storage.records import Memory, Setting, Spent, Tombstone

from .audiences import audience
from .carrying import is_copy
from .consolidating import PACKED, holding, lightened, settled, without
from .episodes import session_notes
from .errors import TroupeError
from .facts import digest, reads, reworded, wording
from .learning_state import called, calls_on, ids_of, marks_of, time_of
from .memory_model import by_model, fitting, still_borne_out
from .memory_room import Room
from .memory_rules import facts
from .memory_settings import MemorySettings
from .memory_sources import drawn_from, stands
from .pauses import Silent, silent
from .providers import Provider
from .speakers import Speakers

log = structlog.get_logger()

ACTOR = Sender(type="system", id="memory", name="memory")
_LEARNED = ("learned ", "session ", PACKED)
"""How the ids begin of what was not told by anybody to be remembered."""
_ID = "memory"
"""Of the setting that says what was read, how often a model was asked, and what is never to be learned again."""
LONG = 20
"""New lines of people after which a session is read that still goes on."""
_LINES, _BACK = 200, 25
"""The most lines that are read of a session at once, and how many times as many before the newest a first look goes."""
_SESSIONS, _PAGES = 20, 40
"""Sessions that one look reads, and pages of fifty sessions that it looks through for them."""
_CALLS, _PATIENCE = 2, 60.0
"""How often a model is asked in one look, and the seconds it has each time: other upkeep waits for it."""
_MARKS, _NEVER, _PAUSED = 1_000, 500, 1_000
"""Sessions of which it is known how far they were read, memories that are not to come back, and people in a pause whom
others are not to be learned from about."""
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
        room: Room,
    ) -> None:
        self._store, self._settings, self._provider = store, settings, provider
        self._now, self._voices, self._one, self._changed = now, voices, one, changed
        self._asked_now = 0
        """How often a model was asked in this look."""
        self._room = room

    async def due(self) -> int:
        """Reads a batch of sessions that have closed, or grown long, since they were last read, the one longest silent
        first. Returns how much was learned."""
        if self._settings().extract == "off":
            return 0
        state = await self._state()
        since = time_of(state.get("since")) or self._now() - _BEFORE
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
                await self._keep(session, [], [], await self._store.messages(session.id, 1), closed)
            done += 1
            mark = marks_of(await self._state()).get(session.id)
            if mark is not None and mark[1] == 0 < session.message_count:  # there is more of it to be read
                unread.append(session.last_at)
        left = [*unread, *(each.last_at for each in waiting[done:])]
        crowded = len(marks_of(await self._state())) >= _MARKS
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
        marks, looked = marks_of(state), self._now()
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
        """Learns from the lines of a session that were not read yet, in their order; where there are many, as far as a
        model may be asked about them in this look. Returns how many memories are new or changed."""
        learned, more = 0, True
        while more and self._settings().extract != "off" and self._settings().enabled and session.deleted_at is None:
            talk, fresh, more = await self._unread(session)
            found, read = await self._found(session, talk, fresh, closed and not more)
            more = more or len(read) < len(fresh)
            found = [each for each in found if not more or each.type != "working"]  # which is of the end alone
            learned += await self._keep(session, found, talk, read, closed and not more, more)
            if self._asked_now >= _CALLS:
                break
        return learned

    async def _unread(self, session: Session) -> tuple[list[Message], list[Message], bool]:
        """What was said around the lines that are to be read next, in sight; those lines, as they were kept; and
        whether there are more after them."""
        mark = marks_of(await self._state()).get(session.id)
        last = mark[0] if mark else ""
        newest = page = await self._store.read(session.id, limit=_LINES, deleted=True)
        later = None
        for _ in range(_BACK):
            if page.older is None or any(line.id == last for line in page.items):
                break
            later, page = page, await self._store.read(session.id, cursor=page.older, limit=_LINES, deleted=True)
        if last and page.older is None and all(line.id != last for line in page.items):  # it was removed for good
            page = newest
        fresh = _after(page.items, last)
        if not fresh and later is not None and page is not newest:
            page, fresh = later, list(later.items)
        talk = [line for line in page.items if line.deleted_at is None and not is_copy(line)]
        return talk, fresh, page is not newest

    async def _found(
        self, session: Session, talk: Sequence[Message], fresh: Sequence[Message], closed: bool
    ) -> tuple[list[Memory], Sequence[Message]]:
        """What the fresh lines of a talk say that is worth knowing, and those of them that were read for it."""
        quiet = await self._silent(session, talk)
        heard, ids = [line for line in talk if not quiet.covers(line)], {line.id for line in fresh}
        lines = [line for line in heard if line.id in ids and line.role == "user" and line.sender.type == "user"]
        lines = [line for line in lines if line.words.strip()]
        found: list[Memory] | None = None
        if lines and self._settings().extract in ("auto", "model"):
            shown = fitting(lines)
            found = await self._asked(session, shown)
            if found is not None and len(shown) < len(lines):
                fresh, closed = fresh[: fresh.index(shown[-1]) + 1], False
                heard = heard[: heard.index(shown[-1]) + 1]
        if found is None:
            found = await asyncio.to_thread(self._by_rules, session, lines)
        found += await asyncio.to_thread(session_notes, session, heard, self._names(talk), closed)
        return found, fresh

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
            if calls_on(state, self._now()) >= self._settings().calls:
                return False
            await self._store.keep(self._setting(called(state, self._now())))
        return True

    async def calls_today(self) -> int:
        """How often a model was asked today, in UTC."""
        return calls_on(await self._state(), self._now())

    async def _keep(
        self,
        session: Session,
        found: Sequence[Memory],
        talk: Sequence[Message],
        read: Sequence[Message],
        closed: bool,
        more: bool = False,
    ) -> int:
        """Keeps what was found and how far was read at once: neither is ever there without the other."""
        async with self._one:
            state = await self._state()
            never = set(ids_of(state, "never"))
            now = await self._store.session(session.id)
            quiet = await self._silent(session, talk)  # a pause may have begun while a model was asked
            wanted = [each for each in found if each.id not in never and not quiet.names(each)]
            wanted = [each for each in wanted if await stands(self._store, each)]
            kept = await self._settled(session, wanted) if now is not None and now.deleted_at is None else []
            gone = await self._working(session, {each.id for each in kept}) if closed else []
            marks = marks_of(state)
            last, _, _ = marks.pop(session.id, ("", 0, False))
            marks[session.id] = (read[-1].id if read else last, 0 if more else session.message_count, closed)
            written = {id: [*mark] for id, mark in list(marks.items())[-_MARKS:]}
            await self._store.keep(*kept, self._setting({**state, "marks": written}))
            if gone:
                await self._store.remove_records(Memory, gone)
            # Somebody may have asked to be forgotten, or deleted a line, between the look above and the keeping.
            whole = all(each.source != session.id for each in kept) or await self._whole(talk)
            late = [
                each.id
                for each in kept
                if not await stands(self._store, each) or not (whole or each.source != session.id)
            ]
            if late:
                await self._store.remove_records(Memory, late)
            self._room.grown = self._room.grown or bool(kept)
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

    async def _whole(self, talk: Sequence[Message]) -> bool:
        """Whether every line that a session's note may quote is still there."""
        now = {each.id for each in await self._store.messages(talk[0].session_id, _LINES)} if talk else set()
        gone = [await self._store.message(each.id) for each in talk if each.id not in now]
        return all(each is not None and each.deleted_at is None for each in gone)

    async def sweep(self) -> None:
        """Removes what was learned of somebody while they were being forgotten."""
        swept, known, removed = set(ids_of(await self._state(), "swept")), list[str](), 0
        async for tombstones in pages(lambda cursor: self._store.records(Tombstone, cursor=cursor)):
            for tombstone in tombstones:
                known.append(digest(f"{tombstone.id} {tombstone.at.isoformat()}"))
                if known[-1] not in swept:
                    removed += await self._swept(tombstone)
        if removed:
            await self._store.scrub()
        if swept != set(known):
            async with self._one:
                await self._store.keep(self._setting({**await self._state(), "swept": known}))

    async def _swept(self, tombstone: Tombstone) -> int:
        removed = 0
        async with aclosing(memories_of(self._store, tombstone.id)) as found:
            async for memories in found:
                gone = [each.id for each in memories if each.at <= tombstone.at]
                removed += await self._store.remove_records(Memory, gone)
                self._changed((), gone)
        return removed

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
        if message.deleted_at is None and message.edits and _said(message.edits[-1].parts) == _said(message.parts):
            return [], []
        read = wording(message) if message.deleted_at is None else ""
        drawn = [each for each in await drawn_from(self._store, message) if each.id.startswith(_LEARNED)]
        note = next((each for each in drawn if each.id == f"session {session.id}" and not each.superseded_by), None)
        old = {each.id: each for each in drawn if each is not note and reads(each).get(message.id) != read}
        spoken = bool(old and read) and not (await self._silent(session, [message])).covers(message)
        notes = await self._notes_anew(session) if spoken or note is not None else []
        never, found = ids_of(await self._state(), "never"), list[Memory]()
        if spoken:
            found = [*self._by_rules(session, [message]), *(each for each in notes if each.source == message.id)]
            found += [each for each in old.values() if still_borne_out(each, message)]
            found = [each for each in found if each.id not in never]
        kept = {each.id: reworded(old[each.id], each, read) for each in found if each.id in old}
        lighter = [lightened(each, {message.id, session.id}) for id, each in old.items() if id.startswith(PACKED)]
        kept |= {each.id: each for each in lighter if each is not None}
        gone = old.keys() - kept.keys()
        back = [each for id in gone for each in await without(self._store, old[id]) if each.id not in gone]
        kept |= {each.id: holding(kept.get(each.id, each)) for each in back}
        if note is not None:
            anew = {each.id: each for each in notes if each.id == note.id}
            kept, gone = kept | anew, gone | ({note.id} - anew.keys())
        if kept:
            await self._store.keep(*kept.values())
        await self._store.remove_records(Memory, [*gone])
        if self._settings().enabled and self._settings().extract != "off":
            new = await settled(self._store, [each for each in found if each.id not in old])
            if new:
                await self._store.keep(*new)
            kept |= {each.id: each for each in new}
        return [*kept.values()], [*gone]

    async def _notes_anew(self, session: Session) -> list[Memory]:
        """What is to be remembered of a session as its lines are now."""
        talk = [line for line in await self._store.messages(session.id, _LINES) if not is_copy(line)]
        quiet = await self._silent(session, talk)
        heard = [line for line in talk if not quiet.covers(line)]
        if session.deleted_at is not None:
            return []
        return await asyncio.to_thread(session_notes, session, heard, self._names(talk), True)

    async def never_again(self, ids: Sequence[str]) -> None:
        """What somebody had the bot forget is not learned from the same line again."""
        state = await self._state()
        learned = [id for id in ids if id.startswith(("learned ", "session "))]
        if learned:
            await self._store.keep(self._setting({**state, "never": [*ids_of(state, "never"), *learned][-_NEVER:]}))

    async def paused(self, user_id: str, on: bool) -> None:
        """Somebody is in a pause from now on, or is not: what others say of them is not learned either. For whoever
        holds the lock."""
        state = await self._state()
        others = [each for each in ids_of(state, "paused") if each != user_id]
        await self._store.keep(self._setting({**state, "paused": [*others, *([user_id] if on else [])][-_PAUSED:]}))

    async def _silent(self, session: Session, talk: Sequence[Message]) -> Silent:
        """Who of a talk is not to be learned about."""
        return await silent(self._store, talk, session.channel, ids_of(await self._state(), "paused"))

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


def _said(parts: Sequence[Part]) -> str:
    return "\n".join(part.text for part in parts if isinstance(part, Text))
