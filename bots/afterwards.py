"""What becomes of a message after it was kept: edited, deleted, reacted to, noted on; and what a crash left open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from storage.amendments import Amendment, Deleted, Edited, Noted, Reacted, Unannotated, Unreacted
from storage.backend import Store
from storage.model import Annotation, Attachment, Message, Reaction, Session, Text, storable

from .carrying import copies, is_copy
from .doors import Doors
from .incoming import ASKED
from .lanes import Lanes
from .recall import Recent
from .remembering import follow
from .sessions import Sessions

DROPPED = "dropped"
"""The kind of the annotation on a line that gets no answer any more, and whose asker knows it."""
LINES = "lines"
"""The metadata of an answer to several lines: their ids, in order."""
REPLACES = "replaces"
"""The metadata of an answer that was given anew: the id of the one before, which is to leave sight."""
_PAGE = 200
_STOPPED_WITHIN = 5
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What a crash or an outage left open, oldest first."""

    lines: tuple[Message, ...]
    """Lines that wanted an answer and have none."""
    answers: tuple[Message, ...]
    """Answers that were kept and reached nobody."""
    replaced: Mapping[str, datetime]
    """The ids of answers in sight that were given anew, and when: `Afterwards.finish_replacing` takes them out of
    sight."""


class Afterwards:
    """Changes to one bot's kept messages, told to everybody who has them in mind."""

    def __init__(
        self,
        store: Store,
        recent: Recent,
        lanes: Lanes,
        doors: Doors,
        sessions: Sessions,
        keep: Callable[[Session, Message], Awaitable[bool]],
        unlearn: Callable[[Message], Awaitable[None]],
    ) -> None:
        """`unlearn` takes back what was learned from words that are gone."""
        self._store = store
        self._recent = recent
        self._lanes = lanes
        self._doors = doors
        self._sessions = sessions
        self._keep = keep
        self._unlearn = unlearn

    async def edited(self, origin: str, text: str, files: Sequence[Attachment], at: datetime) -> Message | None:
        """A person's line got other words, or lost files; `files` are those beside it now. An answer under way is
        asked anew. Returns the answer that was given to it before, with its receipts, if there was one and the line is
        really another."""
        async with self._standing(origin):
            line = await self._line(origin)
            if line is None:
                return None
            words = (Text(text=storable(text)),) if text else ()
            known = {_bare(file.url): file for file in line.attachments}
            beside = (known.get(_bare(file.url), file) for file in files)
            changed = await self._amend(line, Edited(parts=(*words, *beside), at=at))
        if changed is None or _said(changed) == _said(line):
            return None
        self._lanes.changed(changed)
        answer = await self.answer_to(changed)
        # What is at hand in memory may have been kept before its receipts came.
        return await self._store.message(answer.id) if answer is not None else None

    async def deleted(self, origin: str, at: datetime) -> Message | None:
        """A line, or the first page of an answer, was taken away. Returns it as it is now."""
        async with self._standing(origin):
            found = await self._store.find(origin)
            if found is None or found.deleted_at is not None:
                return None
            first = min(found.receipts, key=lambda receipt: receipt.page, default=None)
            if found.origin != origin and (first is None or first.origin != origin):
                return None
            changed = await self._amend(found, Deleted(at=at))
        if changed is not None:
            self._lanes.changed(changed)
        return changed

    async def reword(self, message_id: str, text: str, at: datetime) -> Message | None:
        """A message, by its id, got other words; what is beside them stays. An answer to it that is under way is asked
        anew. Returns it as it is now; None when it is not kept, or out of sight."""
        async with self._at(message_id) as found:
            if found is None or found.deleted_at is not None:
                return None
            words = (Text(text=storable(text)),) if text else ()
            beside = (part for part in found.parts if not isinstance(part, Text))
            changed = await self._amend(found, Edited(parts=(*words, *beside), at=at))
        if changed is not None and _said(changed) != _said(found):
            self._lanes.changed(changed)
        return changed

    async def delete(self, message_id: str, at: datetime) -> Message | None:
        """Takes a message, by its id, out of sight. Returns it as it is now; None when it is not kept, or gone
        already."""
        async with self._at(message_id) as found:
            if found is None or found.deleted_at is not None:
                return None
            changed = await self._amend(found, Deleted(at=at))
        if changed is not None:
            self._lanes.changed(changed)
        return changed

    async def react(self, message_id: str, reaction: Reaction) -> Message | None:
        """Puts an emoji on a message, by its id. Returns it as it is now; None when it is not kept."""
        async with self._at(message_id) as found:
            return await self._amend(found, Reacted(reaction=reaction)) if found else None

    async def unreact(self, message_id: str, emoji: str, sender_id: str) -> Message | None:
        """Takes somebody's emoji off a message, by its id. Returns it as it is now; None when it is not kept."""
        async with self._at(message_id) as found:
            return await self._amend(found, Unreacted(emoji=emoji, sender_id=sender_id)) if found else None

    async def silence(self, session_id: str) -> None:
        """Ends the answers under way in a session, and returns once what was said is kept, or after some seconds."""
        under_way = self._lanes.in_session(session_id)
        for turn in under_way:
            if not turn.settled:
                turn.interrupt("stop")
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOPPED_WITHIN):
                for turn in under_way:
                    await turn.over.wait()

    async def remove(self, message: Message, at: datetime) -> None:
        """Takes a message out of sight."""
        await self._amend(message, Deleted(at=at))

    async def replaced(self, answer: Message, at: datetime) -> None:
        """Takes an answer that was given anew out of sight, and whichever had stayed for want of a better one."""
        before: Message | None = answer
        while before is not None and before.deleted_at is None:
            await self.remove(before, at)
            earlier = None if is_copy(before) else before.metadata.get(REPLACES)
            before = await self._store.message(earlier) if earlier else None

    async def left_sight(self, message: Message) -> bool:
        """Whether it is no longer kept as it was given, or was taken out of sight meanwhile."""
        now = await self._store.message(message.id)
        return now is None or now.deleted_at != message.deleted_at

    async def reacted(self, origin: str, reaction: Reaction) -> None:
        async with self._standing(origin):
            found = await self._store.find(origin)
            if found is not None:
                await self._amend(found, Reacted(reaction=reaction))

    async def unreacted(self, origin: str, emoji: str, sender_id: str) -> None:
        async with self._standing(origin):
            found = await self._store.find(origin)
            if found is not None:
                await self._amend(found, Unreacted(emoji=emoji, sender_id=sender_id))

    async def cleared(self, origin: str, emoji: str | None) -> None:
        """Everybody's reactions were taken off a message: those with one emoji, or all."""
        async with self._standing(origin):
            found = await self._store.find(origin)
            for each in found.reactions if found is not None else ():
                if found is not None and emoji in (None, each.emoji):
                    await self._amend(found, Unreacted(emoji=each.emoji, sender_id=each.sender.id))

    async def annotate(self, message_id: str, annotation: Annotation) -> Message | None:
        """Notes something on a message; None when it is not kept."""
        found = await self._store.message(message_id)
        return await self._amend(found, Noted(annotation=annotation)) if found else None

    async def unannotate(self, message_id: str, annotation_id: str) -> Message | None:
        found = await self._store.message(message_id)
        return await self._amend(found, Unannotated(id=annotation_id)) if found else None

    async def drop(self, line: Message, at: datetime) -> None:
        """Says that a line gets no answer any more: nobody shall look for one after a restart."""
        await self.annotate(line.id, Annotation(id=f"{DROPPED} {line.id}", kind=DROPPED, sender=line.sender, at=at))

    async def found(self, answer: Message) -> None:
        """Keeps an answer that stands on its front and was not kept. Raises `StorageError`."""
        session = await self._store.session(answer.session_id)
        if session is not None:
            await self._keep(session, answer)

    async def still_open(self, message: Message) -> Message | None:
        """What was left open, as it is now; None when it is no longer open."""
        now = await self._store.message(message.id)
        if now is None or now.deleted_at is not None or now.receipts or _dropped(now):
            return None
        if now.role != "assistant" and await self.answer_to(now) is not None:
            return None
        return now

    async def answer_to(self, line: Message) -> Message | None:
        """The answer to a line, if it is among the newest of its session."""
        recent = await self._recent.messages(line.session_id)
        return next((m for m in reversed(recent) if m.role == "assistant" and line.id in asked_by(m)), None)

    async def unfinished(self, since: datetime, *, front: str, limit: int = 5_000) -> Unfinished:
        """What was left open in the talk behind a front since a time, among the newest `limit` messages. An answer that
        was taken away has been given all the same."""
        lines: list[Message] = []
        answers: list[Message] = []
        answered: set[str] = set()
        later: dict[str, Message] = {}
        """By the ids of answers that are to leave sight, the answer that replaces each."""
        gone: set[str] = set()
        cursor: str | None = None
        seen = 0
        while seen < limit:
            page = await self._store.read(cursor=cursor, limit=_PAGE, deleted=True)
            for message in reversed(page.items):
                seen += 1
                if message.role == "assistant":
                    answered.update(asked_by(message))
                    better = later.get(message.id, message if message.deleted_at is None and message.words else None)
                    if better is not None and REPLACES in message.metadata and not is_copy(message):
                        later[message.metadata[REPLACES]] = better
                if message.deleted_at is not None:
                    gone.add(message.id)
                elif message.role != "assistant":
                    if _open(message, front) and message.id not in answered and message.at >= since:
                        lines.append(message)
                elif _reached_nobody(message) and message.at >= since:
                    answers.append(message)
            cursor = page.older
            if cursor is None or page.items[0].at < since:
                break
        here = await self._behind(front, {each.session_id for each in (*answers, *later.values())})
        return Unfinished(
            tuple(reversed(lines)),
            tuple(each for each in reversed(answers) if each.session_id in here and each.id not in later),
            {id: each.at for id, each in later.items() if each.session_id in here and id not in gone},
        )

    async def finish_replacing(self, left: Unfinished) -> None:
        """Takes answers out of sight that others have replaced."""
        for id, at in left.replaced.items():
            if (old := await self._store.message(id)) is not None:
                await self.replaced(old, at)

    async def _behind(self, front: str, session_ids: Iterable[str]) -> set[str]:
        """Those of some sessions that are in sight behind a front."""
        found = [await self._store.session(id) for id in session_ids]
        return {each.id for each in found if each and each.deleted_at is None and each.channel.front == front}

    @asynccontextmanager
    async def _standing(self, origin: str) -> AsyncIterator[None]:
        """Holds the lock of the channel in which something stands, by `front:channel:id`, once that is kept."""
        async with self._doors.of(origin.rpartition(":")[0]):
            await self._doors.kept(origin)
            yield

    @asynccontextmanager
    async def _at(self, message_id: str) -> AsyncIterator[Message | None]:
        """The message of that id, while the lock of its channel is held."""
        found = await self._store.message(message_id)
        session = await self._store.session(found.session_id) if found is not None else None
        if session is None:
            yield None
            return
        async with self._doors.of(session.channel.key):
            yield await self._store.message(message_id)

    async def _line(self, origin: str) -> Message | None:
        found = await self._store.find(origin)
        return found if found is not None and found.origin == origin and found.deleted_at is None else None

    async def _amend(self, message: Message, change: Amendment) -> Message | None:
        changed = await self._store.amend(message.id, change)
        if changed is not None:
            self._recent.changed(changed)
            await self._sessions.amended(changed)
        if isinstance(change, Edited | Deleted):
            await self._sessions.reworded(message.session_id)
            for copy in await copies(self._store, message):
                if (other := await self._store.amend(copy.id, change)) is not None:
                    self._recent.changed(other)
                    await self._sessions.amended(other)
                    await self._sessions.reworded(other.session_id)
                    await follow(self._store, other)
            if changed is not None:
                await follow(self._store, changed)
                await self._unlearn(changed)
        return changed


def _open(message: Message, front: str) -> bool:
    """Whether it is a line that wants an answer."""
    asked = message.metadata.keys() >= ASKED.keys()
    return asked and not _dropped(message) and (message.origin or "").startswith(f"{front}:")


def _reached_nobody(answer: Message) -> bool:
    return not answer.receipts and bool(answer.text.strip()) and not is_copy(answer)


def _bare(url: str) -> str:
    """A file's address without what is signed, which is another one each time."""
    return url.partition("?")[0]


def _said(message: Message) -> tuple[str, list[str]]:
    return message.text, [file.url for file in message.attachments]


def _dropped(message: Message) -> bool:
    return any(note.kind == DROPPED for note in message.annotations)


def answering(lines: Sequence[Message]) -> dict[str, str]:
    """The metadata of an answer to these lines."""
    return {LINES: " ".join(line.id for line in lines)} if len(lines) > 1 else {}


def asked_by(answer: Message) -> tuple[str, ...]:
    """The ids of the lines that an answer answers, oldest first."""
    several = answer.metadata.get(LINES)
    return tuple(several.split()) if several else ((answer.reply_to,) if answer.reply_to else ())
