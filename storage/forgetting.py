"""Takes one person out of a store for good, and what others were told of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar

from .amendments import Unannotated, Unreacted
from .backend import OLDEST, Page, Store
from .blobs import Blobs
from .model import Channel, MemoryReference, Message, Sender, Session, SessionContext
from .records import AuditEntry, Memory, Profile, Record, Run, Setting, Spent, Template, Tombstone

Item = TypeVar("Item")
Change = Callable[[str, Callable[[Session], Session]], Awaitable[Session | None]]
"""Alters a session, by its id, as it stands now; None when it is not kept."""
SOMEBODY = Sender(type="user", id="", name="somebody who asked to be forgotten")
_PAGE = 200


@dataclass(slots=True)
class Forgotten:
    """How much was removed of one person."""

    messages: int = 0
    """What they said."""
    answers: int = 0
    """What was said to that, or to others who were told of it."""
    sessions: int = 0
    """Private ones, which went as a whole."""
    touched: int = 0
    """Sessions with others, whose title and summary may have quoted them and are empty now."""
    marks: int = 0
    """Reactions and notes on what others said."""
    memories: int = 0
    records: int = 0
    """Profiles, settings, templates, entries of the audit that named them, and runs of their sessions."""
    spendings: int = 0
    """Answers whose cost stays known, but not for whom."""
    files: int = 0

    def all(self) -> dict[str, int]:
        """What there was, by name."""
        return {name: many for name, many in asdict(self).items() if many}


async def forget(
    store: Store,
    user_id: str,
    at: datetime,
    *,
    blobs: Blobs | None = None,
    gone: Callable[[str], None] = lambda session_id: None,
    changed: Callable[[str], None] = lambda session_id: None,
    change: Change | None = None,
    unlearned: Callable[[Sequence[str]], None] = lambda ids: None,
) -> Forgotten:
    """Removes for good what is kept of a person up to a time, answers to others included for which it was recalled,
    and leaves a `Tombstone`; nothing of it can be read off the disk afterwards, as far as `Store.scrub` goes.

    Of what is kept afterwards nothing is removed. `gone` hears the id of each session that was removed, `changed` that
    of each other one that is not whole any more, once it is so, `unlearned` the ids of memories. Sessions are altered
    by `change`, where somebody has them in mind who would otherwise save them again as they were. Where it was cut off
    the same call finishes it; the tombstone comes last. Raises `Unavailable`."""
    forgetting = _Forgetting(store, user_id, at, blobs, gone, changed, change or _changing(store), unlearned)
    await forgetting.theirs()
    await forgetting.retold()
    await forgetting.memories()
    await forgetting.sessions()
    await forgetting.messages()
    await forgetting.marks()
    await forgetting.sessions()  # one that somebody was talking in may have been saved meanwhile
    await forgetting.channels()
    await forgetting.records()
    await forgetting.memories()  # somebody may have learned from them meanwhile
    await forgetting.retold()  # or was told of them
    await store.keep(Tombstone(id=user_id, at=at))
    await store.scrub()
    return forgetting.done


async def memories_of(store: Store, user_id: str) -> AsyncGenerator[list[Memory], None]:
    """The memories about somebody, for nobody else, or drawn from what they said or did, or from a session they were
    in; those that others have superseded since as well."""
    there: set[str] = set()
    async for sessions in sessions_of(store, user_id):
        there.update(session.id for session in sessions)
    told = {f"user:{user_id}", f"asker:{user_id}", *await _rooms(store, user_id)}
    async for memories in pages(lambda cursor: store.records(Memory, cursor=cursor, limit=_PAGE)):
        found = []
        for memory in memories:
            theirs = not told.isdisjoint((memory.subject, memory.audience)) or user_id in memory.people
            if theirs or memory.source in there or await stems_from(store, memory.source, user_id):
                found.append(memory)
        if found:
            yield found


async def sessions_of(store: Store, user_id: str) -> AsyncGenerator[list[Session], None]:
    """The sessions that somebody spoke in or is a participant of, and all that are private to them, soft-deleted ones
    included."""
    async for sessions in pages(lambda cursor: store.sessions_with(user_id, cursor=cursor, limit=_PAGE)):
        if others := [each for each in sessions if not is_private(each.channel, user_id)]:
            yield others
    for key in await _rooms(store, user_id):
        async for private in pages(partial(_within, store, key)):
            yield [*private]


async def _rooms(store: Store, user_id: str) -> list[str]:
    """The keys of the channels that are private to somebody."""
    keys, after = list[str](), ""
    while channels := await store.channels(after, _PAGE):
        keys += [each.key for each in channels if is_private(each, user_id)]
        after = channels[-1].key
    return keys


async def _within(store: Store, key: str, cursor: str | None) -> Page[Session]:
    return await store.browse(key, cursor=cursor, limit=_PAGE, deleted=True)


async def records_of(store: Store, user_id: str) -> AsyncIterator[list[Spent | AuditEntry | Setting | Template]]:
    """What names somebody beside the talk, the memories and the profile: what answers took that are gone, entries of
    the audit, settings by them or for them alone, and templates by them."""
    async for spent in pages(lambda cursor: store.records(Spent, about=user_id, cursor=cursor, limit=_PAGE)):
        yield [*spent]
    async for entries in pages(lambda cursor: store.records(AuditEntry, cursor=cursor, limit=_PAGE)):
        yield [each for each in entries if is_theirs(each.actor, user_id)]
    async for settings in pages(lambda cursor: store.records(Setting, cursor=cursor, limit=_PAGE)):
        yield [each for each in settings if is_theirs(each.by, user_id) or each.id == f"user:{user_id}"]
    async for templates in pages(lambda cursor: store.records(Template, cursor=cursor, limit=_PAGE)):
        yield [each for each in templates if is_theirs(each.by, user_id)]


async def stems_from(store: Store, source: str | None, user_id: str) -> bool:
    """Whether a message is somebody's, or an answer to theirs."""
    message = await store.message(source) if source else None
    if message is None or message.asker == user_id or is_theirs(message.sender, user_id):
        return message is not None
    asked = await store.message(message.reply_to) if message.reply_to and message.role != "user" else None
    return asked is not None and is_theirs(asked.sender, user_id)


async def pages(read: Callable[[str | None], Awaitable[Page[Item]]]) -> AsyncIterator[tuple[Item, ...]]:
    """The items of a list, page by page, the newest page first; what is removed on the way may be."""
    cursor: str | None = None
    while True:
        page = await read(cursor)
        if page.items:
            yield page.items
        if page.older is None:
            return
        cursor = page.older


def is_theirs(sender: Sender, user_id: str) -> bool:
    """Whether it is that person, or program, rather than a voice of the bot."""
    return sender.id == user_id and sender.type in ("user", "bot")


def is_private(channel: Channel, user_id: str | None) -> bool:
    """Whether it is a DM with that person, or their own room of a program on the web."""
    return channel.kind in ("dm", "web") and user_id is not None and channel.parent_id == user_id


class _Forgetting:
    """One person being forgotten."""

    def __init__(
        self,
        store: Store,
        user_id: str,
        at: datetime,
        blobs: Blobs | None,
        gone: Callable[[str], None],
        changed: Callable[[str], None],
        change: Change,
        unlearned: Callable[[Sequence[str]], None],
    ) -> None:
        self._store, self._user, self._at, self._blobs = store, user_id, at, blobs
        self._gone, self._changed, self._change, self._unlearned = gone, changed, change, unlearned
        self._emptied: set[str] = set()
        """The ids of sessions that have been emptied of what may quote them."""
        self._theirs: set[str] = set()
        """The ids of what an answer may have been told of: messages, memories and sessions."""
        self._read = OLDEST
        """How far answers were looked through."""
        self.done = Forgotten()

    async def theirs(self) -> None:
        """Takes note of what may have been told to others, while it is known whose it is."""
        async for messages in pages(lambda cursor: self._store.talk_of(self._user, cursor=cursor, limit=_PAGE)):
            self._theirs.update(each.id for each, said_at in await self._dated(messages) if said_at <= self._at)
        async with aclosing(memories_of(self._store, self._user)) as found:
            async for memories in found:
                self._theirs.update(each.id for each in memories if each.at <= self._at)
        async for sessions in sessions_of(self._store, self._user):
            self._theirs.update(each.id for each in sessions if each.opened_at <= self._at)

    async def retold(self) -> None:
        """Answers for which that was recalled go, the oldest first, since one may have been recalled for another, and
        with them what was drawn from them. The next time it goes on from there."""
        cursor: str | None = self._read if self._theirs else None
        answers: set[str] = set()
        while cursor is not None:
            self._read = cursor
            page = await self._store.read(cursor=cursor, limit=_PAGE, deleted=True)
            told = [each for each in page.items if each.id not in self._theirs and self._told(each)]
            answers.update(each.id for each in told)
            self._theirs.update(answers)
            await self._remove(told)
            for session_id in {each.session_id for each in told}:
                await self._change(session_id, _without_summary)
            cursor = page.newer
        if answers:
            async for memories in pages(lambda cursor: self._store.records(Memory, cursor=cursor, limit=_PAGE)):
                drawn = [each.id for each in memories if each.source in answers]
                self.done.memories += await self._store.remove_records(Memory, drawn)
                self._unlearned(drawn)

    def _told(self, answer: Message) -> bool:
        wordings = (answer.parts, *(edit.parts for edit in answer.edits))
        recalled = {part.memory_id for parts in wordings for part in parts if isinstance(part, MemoryReference)}
        return not recalled.isdisjoint(self._theirs)

    async def memories(self) -> None:
        async with aclosing(memories_of(self._store, self._user)) as found:
            async for memories in found:
                old = [memory.id for memory in memories if memory.at <= self._at]
                self.done.memories += await self._store.remove_records(Memory, old)
                self._unlearned(old)

    async def sessions(self) -> None:
        """Private ones go; others lose the person, and what may quote them."""
        async for sessions in sessions_of(self._store, self._user):
            for session in sessions:
                if session.opened_at > self._at:
                    continue
                if is_private(session.channel, self._user):
                    await self._remove_session(session)
                else:
                    await self._strip(session.id)

    async def _remove_session(self, session: Session) -> None:
        def read(cursor: str | None) -> Awaitable[Page[Message]]:
            return self._store.read(session.id, cursor=cursor, limit=_PAGE, deleted=True)

        async for messages in pages(read):
            await self._remove(messages)
        await self._remove_runs(session.id, lambda run: True)
        self.done.sessions += await self._store.remove_sessions([session.id])
        self._gone(session.id)

    async def _remove_runs(self, session_id: str | None, due: Callable[[Run], bool]) -> None:
        async for runs in pages(lambda cursor: self._store.records(Run, about=session_id, cursor=cursor, limit=_PAGE)):
            self.done.records += await self._store.remove_records(Run, [run.id for run in runs if due(run)])

    async def _strip(self, session_id: str) -> None:
        first = session_id not in self._emptied

        def stripped(session: Session) -> Session:
            others = tuple(each for each in session.participants if not is_theirs(each, self._user))
            changes: dict[str, object] = {"participants": others}
            if first:
                changes |= {"title": "", "context": SessionContext(active_tools=session.context.active_tools)}
            return session.model_copy(update=changes)

        if first:
            await self._remove_runs(session_id, lambda run: run.at <= self._at)
        if await self._change(session_id, stripped) is not None and first:
            self._emptied.add(session_id)
            self.done.touched += 1
        self._changed(session_id)

    async def messages(self) -> None:
        """The newest first: an answer goes before its question, or with it, and so is always known for one."""
        async for messages in pages(lambda cursor: self._store.talk_of(self._user, cursor=cursor, limit=_PAGE)):
            await self._remove([each for each, said_at in await self._dated(messages) if said_at <= self._at])
        for session_id in self._emptied:
            # Somebody may have had it summed up since.
            await self._change(session_id, _without_summary)
            session = await self._store.session(session_id)
            if session is not None and not session.message_count and session.deleted_at is None:
                await self._change(session_id, lambda now: now.model_copy(update={"deleted_at": self._at}))
                self._gone(session_id)

    async def _dated(self, messages: Collection[Message]) -> list[tuple[Message, datetime]]:
        """Messages, each with the time that counts: an answer goes with what it answers, however late it was given."""
        here = {message.id: message for message in messages}
        dated: list[tuple[Message, datetime]] = []
        for message in messages:
            asked: Message | None = None
            if message.reply_to and not is_theirs(message.sender, self._user):
                asked = here.get(message.reply_to) or await self._store.message(message.reply_to)
            dated.append((message, (asked or message).at))
        return dated

    async def _remove(self, messages: Collection[Message]) -> None:
        await self._store.remove_messages([message.id for message in messages])
        for message in messages:
            theirs = is_theirs(message.sender, self._user)
            self.done.messages += theirs
            self.done.answers += not theirs
        for session_id in {message.session_id for message in messages}:
            self._changed(session_id)
        hashes = sorted({hash for message in messages for hash in message.blobs})
        if self._blobs is not None and hashes:
            used = await self._store.references(hashes)
            for hash in hashes:
                if not used.get(hash):
                    self.done.files += await self._blobs.remove(hash)

    async def marks(self) -> None:
        async for messages in pages(lambda cursor: self._store.marked_by(self._user, cursor=cursor, limit=_PAGE)):
            for message in messages:
                changes: list[Unreacted | Unannotated] = [
                    *(Unreacted(emoji=each.emoji, sender_id=self._user) for each in self._old(message.reactions)),
                    *(Unannotated(id=each.id) for each in self._old(message.annotations)),
                ]
                for change in changes:
                    await self._store.amend(message.id, change)
                self.done.marks += len(changes)
                self._changed(message.session_id)

    def _old(self, marks: Collection[Item]) -> list[Item]:
        return [m for m in marks if is_theirs(m.sender, self._user) and m.at <= self._at]  # type: ignore[attr-defined]

    async def channels(self) -> None:
        """Those that are private to them, whose name is theirs, and what was set for them."""
        private = await _rooms(self._store, self._user)
        await self._store.remove_channels(private)
        keys = [f"user:{self._user}", *(f"channel:{key}" for key in private)]
        self.done.records += await self._store.remove_records(Setting, keys)

    async def records(self) -> None:
        profile = await self._store.record(Profile, self._user)
        if profile is not None and profile.at <= self._at:
            self.done.records += await self._store.remove_records(Profile, [self._user])
        async for templates in pages(lambda cursor: self._store.records(Template, cursor=cursor, limit=_PAGE)):
            quoting = [each for each in templates if is_theirs(each.by, self._user) or self._user in each.people]
            ids = [each.id for each in quoting if each.at <= self._at]
            self.done.records += await self._store.remove_records(Template, ids)
        await self._remove_runs(None, lambda run: self._user in run.data.values() and run.at <= self._at)
        async for found in records_of(self._store, self._user):
            old = [each for each in found if each.at <= self._at and not isinstance(each, Template)]
            if old:
                await self._store.keep(*map(_without_name, old))
            spent = sum(isinstance(record, Spent) for record in old)
            self.done.spendings += spent
            self.done.records += len(old) - spent


def _without_name(record: Spent | AuditEntry | Setting | Template) -> Record:
    match record:
        case Spent():
            return record.model_copy(update={"user_id": ""})
        case AuditEntry():
            return record.model_copy(update={"actor": SOMEBODY})
        case Setting() | Template():
            return record.model_copy(update={"by": SOMEBODY})


def _without_summary(session: Session) -> Session:
    return session.model_copy(update={"context": session.context.model_copy(update={"summary": ""})})


def _changing(store: Store) -> Change:
    """Alters sessions that nobody has in mind."""

    async def change(session_id: str, alter: Callable[[Session], Session]) -> Session | None:
        session = await store.session(session_id)
        if session is None:
            return None
        altered = alter(session)
        if altered != session:
            await store.save_session(altered)
        return altered

    return change
