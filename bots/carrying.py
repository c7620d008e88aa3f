"""Lines carried from one session into another: copies that know where they come from and come only once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Sequence

from storage.backend import Store
from storage.model import Channel, Message, Note, Sender, Session, message_id

from .errors import TroupeError
from .sessions import PARTICIPANTS

MOST = 1_000
"""The most lines that are carried at once, the newest."""
_ORIGINAL = "copied_from"
"""In a copy's metadata: the id of the message that was said."""
_CARRIED = "carried_to"
"""In a session's metadata: the ids of the sessions that hold copies of its lines."""
_PAGE = 200
_AT_ONCE = 100


def may_carry(source: Channel, into: Channel) -> None:
    """Refuses to carry lines where other people would read them: out of a private conversation, or out of a guild."""
    if source.key != into.key and (source.guild_id is None or source.guild_id != into.guild_id):
        raise TroupeError("What was said in one place stays there: that session is of another server or private.")


async def newest(store: Store, session_id: str, until: str | None = None) -> list[Message]:
    """The newest lines of a session, oldest first, up to and including the message `until`."""
    found: list[Message] = []
    cursor: str | None = None
    while True:
        page = await store.read(session_id, cursor=cursor, limit=_PAGE)
        for message in reversed(page.items):
            if found or until is None or message.id == until:
                found.append(message)
        cursor = page.older
        if cursor is None or len(found) >= MOST:
            return found[:MOST][::-1]


async def copied(store: Store, lines: Sequence[Message], into: Session, latest: Callable[[Session], Session]) -> int:
    """Keeps copies of the lines in a session, in their order. A line that was copied there before is not copied
    again, so that a carrying which was cut short can be done anew. Returns how many were kept."""
    ids = {line.id: _copy_id(line, into.id) for line in lines}
    copies = [_copy(line, ids, into) for line in lines]
    kept = 0
    for start in range(0, len(copies), _AT_ONCE):
        some = copies[start : start + _AT_ONCE]
        kept += sum(await asyncio.gather(*(store.append(latest(into), copy) for copy in some)))
    return kept


async def carried(
    store: Store, lines: Sequence[Message], source: Session, into: Session, latest: Callable[[Session], Session]
) -> int:
    """Keeps copies of those lines of a session that do not come from the other one themselves, behind a note that
    says where they come from. Returns how many there are."""
    new = [line for line in lines if not await _stands(store, line, into)]
    if not new:
        return 0
    note = Message(
        id=message_id(new[-1].at, _chance(into.id, "note", new[-1].id)),
        session_id=into.id,
        role="system",
        sender=Sender(type="system", id="merge", name="merge"),
        parts=(Note(text=f"From the session of {source.opened_at:%Y-%m-%d %H:%M} UTC:"),),
        at=new[-1].at,
    )
    await store.append(latest(into), note)
    return await copied(store, new, into, latest)


def carrying(session: Session, into: str) -> Session:
    """The session, knowing that its lines are carried into another: what becomes of them is to reach the copies."""
    others = [each for each in session.metadata.get(_CARRIED, "").split() if each != into]
    return session.model_copy(update={"metadata": {**session.metadata, _CARRIED: " ".join([*others, into])}})


async def copies(store: Store, message: Message) -> list[Message]:
    """Every copy of a message, and of its copies, so that an edit or a deletion reaches them too."""
    found: list[Message] = []
    seen, waiting = {message.session_id}, [message.session_id]
    while waiting:
        session = await store.session(waiting.pop())
        targets = session.metadata.get(_CARRIED, "").split() if session else []
        for target in [each for each in targets if each not in seen]:
            seen.add(target)
            waiting.append(target)
            copy = await store.message(_copy_id(message, target))
            if copy is not None:
                found.append(copy)
    return found


def is_copy(message: Message) -> bool:
    """Whether a message was said elsewhere and carried here."""
    return _ORIGINAL in message.metadata


def speakers(known: Iterable[Sender], lines: Iterable[Message]) -> tuple[Sender, ...]:
    """Who takes part: those known, and the people and bots who said the lines."""
    spoke = (line.sender for line in lines if line.role == "user")
    return tuple({person.id: person for person in (*known, *spoke)}.values())[-PARTICIPANTS:]


async def _stands(store: Store, line: Message, into: Session) -> bool:
    """Whether what the line is a copy of, or a copy of that, stands in the session already."""
    original = line.metadata.get(_ORIGINAL)
    if original is not None:
        said = await store.message(original)
        if said is not None and said.session_id == into.id:
            return True
    return await store.message(_copy_id(line, into.id)) is not None


def _copy(line: Message, ids: dict[str, str], into: Session) -> Message:
    return Message(
        id=ids[line.id],
        session_id=into.id,
        role=line.role,
        sender=line.sender,
        persona=line.persona,
        parts=line.parts,
        at=line.at,
        reply_to=ids.get(line.reply_to, line.reply_to) if line.reply_to else None,
        outcome=line.outcome,
        # Without what it took: nothing was paid twice. Thumbs and emoji are about the line that was said.
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
