"""Lines carried from one session into another: copies that know where they come from and come only once."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

from storage.backend import OLDEST, Store
from storage.model import Channel, Message, Note, Sender, Session, message_id

from .errors import TroupeError
from .session_marks import PARTICIPANTS

_ORIGINAL = "copied_from"
"""In a copy's metadata: the id of the message that was said."""
_NOTED = ("thumb", "dropped")
"""Kinds of notes that are about a line where it was said: votes, which count once, and what became of a question."""
_CARRIED = "carried_to"
"""In a session's metadata: the ids of the sessions that hold copies of its lines."""
_PAGE = 200
_REMEMBERED = 2_000
"""Copies whose ids are kept in mind for the answers to them; further back the store is asked."""


def may_carry(source: Channel, into: Channel) -> None:
    """Refuses to carry lines where other people would read them: out of a private conversation, or out of a guild."""
    if source.key != into.key and (source.guild_id is None or source.guild_id != into.guild_id):
        raise TroupeError("What was said in one place stays there: that session is of another server or private.")


async def lines_of(store: Store, session_id: str, until: str | None = None) -> AsyncIterator[Message]:
    """The lines of a session in the order in which they were kept, up to and including the message `until`."""
    cursor: str | None = OLDEST
    while cursor is not None:
        page = await store.read(session_id, cursor=cursor, limit=_PAGE)
        for message in page.items:
            yield message
            if message.id == until:
                return
        cursor = page.newer if page.items else None


async def by_time(*talks: AsyncIterator[Message]) -> AsyncIterator[tuple[int, Message]]:
    """The lines of several talks in the order of time, each with the number of its talk; of two at once that of the
    earlier talk first. Within one talk the order stays as it is."""
    heads = {number: line for number, talk in enumerate(talks) if (line := await anext(talk, None)) is not None}
    while heads:
        number = min(heads, key=lambda each: (heads[each].at, each))
        yield number, heads.pop(number)
        if (line := await anext(talks[number], None)) is not None:
            heads[number] = line


class Carrying:
    """Lines on their way into one session, some at a time."""

    def __init__(self, store: Store, into: Session, latest: Callable[[Session], Session]) -> None:
        self._store, self._into, self._latest = store, into, latest
        self._copies: OrderedDict[str, str] = OrderedDict()
        self._waiting: list[Message] = []
        self.kept = 0
        """How many lines have come, those left out that were there already."""
        self.speakers: tuple[Sender, ...] = into.participants

    async def take(self, line: Message) -> None:
        """Keeps a copy of a line, behind those before it. One that was copied there before is not copied again, so
        that a carrying which was cut short can be done anew."""
        self._copies[line.id] = _copy_id(line, self._into.id)
        if len(self._copies) > _REMEMBERED:
            self._copies.popitem(last=False)
        self._waiting.append(_copy(line, await self._answered(line), self._into))
        self.speakers = speakers(self.speakers, (line,))
        if len(self._waiting) >= _PAGE:
            await self.finish()

    async def say(self, source: Session, line: Message) -> None:
        """Notes, before a line, which session it and what comes after it are from."""
        note = Message(
            id=message_id(line.at, _chance(self._into.id, "note", source.id)),
            session_id=self._into.id,
            role="system",
            sender=Sender(type="system", id="merge", name="merge"),
            parts=(Note(text=f"From the session of {source.opened_at:%Y-%m-%d %H:%M} UTC:"),),
            at=line.at,
        )
        await self.finish()
        await self._store.append(self._latest(self._into), note)

    async def finish(self) -> None:
        """Waits until everything taken is kept."""
        waiting, self._waiting = self._waiting, []
        session = self._latest(self._into)
        self.kept += sum(await asyncio.gather(*(self._store.append(session, copy) for copy in waiting)))

    async def _answered(self, line: Message) -> str | None:
        """What the copy of a line answers: the copy of what the line does, where that came along."""
        answered = line.reply_to
        if answered is None or line.role == "user":
            return answered
        if answered in self._copies:
            return self._copies[answered]
        asked = await self._store.message(answered)
        copy = _copy_id(asked, self._into.id) if asked is not None else answered
        return copy if await self._store.message(copy) is not None else answered


def carrying(session: Session, into: str) -> Session:
    """The session, knowing that its lines are carried into another: what becomes of them is to reach the copies."""
    others = [each for each in session.metadata.get(_CARRIED, "").split() if each != into]
    return session.model_copy(update={"metadata": {**session.metadata, _CARRIED: " ".join([*others, into])}})


async def copies(store: Store, message: Message) -> list[Message]:
    """Every copy of a message, and of its copies, so that an edit or a deletion reaches them too."""
    carriers = [each async for each in carried_to(store, message.session_id)]
    found = [await store.message(_copy_id(message, each.id)) for each in carriers]
    return [copy for copy in found if copy is not None]


async def carried_to(store: Store, session_id: str) -> AsyncIterator[Session]:
    """The sessions that lines of a session were carried to, and on from there."""
    seen, waiting = {session_id}, [session_id]
    while waiting:
        session = await store.session(waiting.pop())
        if session is None:
            continue
        if session.id != session_id:
            yield session
        targets = [each for each in session.metadata.get(_CARRIED, "").split() if each not in seen]
        seen.update(targets)
        waiting += targets


async def stands(store: Store, line: Message, within: str) -> bool:
    """Whether a line, or what it is a copy of, or another copy of that, stands in a session."""
    original = await store.message(said(line))
    if original is not None and original.session_id == within:
        return True
    return await store.message(_copy_id(line, within)) is not None


def is_copy(message: Message) -> bool:
    """Whether a message was said elsewhere and carried here."""
    return _ORIGINAL in message.metadata


def speakers(known: Iterable[Sender], lines: Sequence[Message]) -> tuple[Sender, ...]:
    """Who takes part: those known, and the people and bots who said the lines."""
    spoke = (line.sender for line in lines if line.role == "user")
    return tuple({person.id: person for person in (*known, *spoke)}.values())[-PARTICIPANTS:]


def _copy(line: Message, reply_to: str | None, into: Session) -> Message:
    return Message(
        id=_copy_id(line, into.id),
        session_id=into.id,
        role=line.role,
        sender=line.sender,
        persona=line.persona,
        parts=line.parts,
        at=line.at,
        reply_to=reply_to,
        outcome=line.outcome,
        # Without what it took: nothing was paid twice. Votes and emoji are about the line that was said, and could not
        # be taken back here.
        annotations=tuple(each for each in line.annotations if each.kind not in _NOTED),
        pinned=line.pinned,
        metadata={**line.metadata, _ORIGINAL: said(line)},
    )


def said(line: Message) -> str:
    """The id of the message that was said: of a copy that of its original."""
    return line.metadata.get(_ORIGINAL, line.id)


def _copy_id(line: Message, into: str) -> str:
    """The same for each line and session, whenever it is worked out."""
    return message_id(line.at, _chance(into, said(line)))


def _chance(*parts: str) -> int:
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:8], "big")
