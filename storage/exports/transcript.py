"""What an export tells: the sessions that are meant, the longest silent first, with their messages."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from ..backend import OLDEST, Store
from ..forgetting import is_theirs
from ..model import Message, Session, SessionContext
from ..progress import Tell, silent
from ..sought import Sought

PAGE = 200
_TITLE = 60


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a store is to be told."""

    sought: Sought
    person: str | None = None
    """A user's id: only what they said and the answers to that, without what a session tells of others."""
    complete: bool = False
    """Deleted things and earlier wordings too."""

    @property
    def everything(self) -> bool:
        """Whether nothing is left out for not being meant."""
        return self.sought == Sought() and self.person is None

    @property
    def picks(self) -> bool:
        """Whether single messages are picked out of sessions."""
        return self.sought.of_messages or self.person is not None


async def transcript(
    store: Store, wanted: Wanted, *, titled: bool = True, tell: Tell = silent
) -> AsyncGenerator[tuple[Session, AsyncIterator[list[Message]]], None]:
    """The sessions with their messages. Where messages are picked out, a session without any of them is left out.

    `titled` gives a session without a title its first words as one."""
    heard = _Heard(tell, (await store.counts()).messages if wanted.everything else 0)
    async with aclosing(_sessions(store, wanted)) as sessions:
        async for session in sessions:
            async with aclosing(_messages(store, session, wanted)) as pages:
                first: list[Message] = await anext(pages, [])
                if not first and wanted.picks:
                    continue
                shown = _about(session, wanted.person)
                yield _titled(shown, first) if titled else shown, heard.pages(first, pages)


async def listed(store: Store, wanted: Wanted, *, titled: bool) -> AsyncGenerator[Session, None]:
    """The sessions of the transcript alone."""
    if wanted.picks or titled:
        async with aclosing(transcript(store, wanted, titled=titled)) as sessions:
            async for session, _ in sessions:
                yield session
        return
    async with aclosing(_sessions(store, wanted)) as meant:
        async for session in meant:
            yield session


def without_edits(message: Message) -> Message:
    """As it stands."""
    return message.model_copy(update={"edits": ()}) if message.edits else message


async def messages(store: Store, wanted: Wanted, tell: Tell = silent) -> AsyncGenerator[list[Message], None]:
    """The messages alone: in the order in which they were kept where everything is wanted, else session by session."""
    if wanted.everything:
        heard = _Heard(tell, (await store.counts()).messages)
        pages = heard.pages([], _read(store, None, wanted.complete))
        async with aclosing(pages):
            async for page in pages:
                yield page if wanted.complete else list(map(without_edits, page))
        return
    async with aclosing(transcript(store, wanted, tell=tell)) as sessions:
        async for _, of_session in sessions:
            async for page in of_session:
                yield page if wanted.complete else list(map(without_edits, page))


class _Heard:
    """Tells how many messages went by."""

    def __init__(self, tell: Tell, of: int) -> None:
        self._tell, self._of, self._done = tell, of, 0

    async def pages(
        self, first: list[Message], rest: AsyncIterator[list[Message]]
    ) -> AsyncGenerator[list[Message], None]:
        if first:
            yield self._counted(first)
        async for page in rest:
            yield self._counted(page)

    def _counted(self, page: list[Message]) -> list[Message]:
        self._done += len(page)
        self._tell("messages", self._done, max(self._of, self._done) if self._of else 0)
        return page


async def _sessions(store: Store, wanted: Wanted) -> AsyncGenerator[Session, None]:
    sought = wanted.sought
    if sought.session_ids is not None:
        found = [await store.session(id) for id in dict.fromkeys(sought.session_ids)]
        for session in sorted((each for each in found if each), key=lambda each: each.last_at):
            if sought.has_session(session) and (wanted.complete or session.deleted_at is None):
                yield session
        return
    live: set[str] = set()
    for key in [None] if sought.channel_keys is None else sorted(sought.channel_keys):
        cursor: str | None = OLDEST
        while cursor is not None:
            page = await store.browse(key, cursor=cursor, limit=PAGE, deleted=wanted.complete)
            for session in reversed(page.items):
                if session.id not in live and sought.has_session(session):
                    yield session
                if session.closed_at is None:  # somebody speaks in it meanwhile, and it comes by again
                    live.add(session.id)
            cursor = page.newer


async def _messages(store: Store, session: Session, wanted: Wanted) -> AsyncGenerator[list[Message], None]:
    """Pages that hold something."""
    theirs: set[str] = set()

    def meant(message: Message) -> bool:
        if wanted.person is not None:
            said = is_theirs(message.sender, wanted.person)
            if said:
                theirs.add(message.id)
            if not said and message.reply_to not in theirs:
                return False
        return wanted.sought.has_message(message)

    async with aclosing(_read(store, session.id, wanted.complete)) as pages:
        async for page in pages:
            if found := [message if wanted.complete else _bare(message) for message in page if meant(message)]:
                yield found


async def _read(store: Store, session_id: str | None, deleted: bool) -> AsyncGenerator[list[Message], None]:
    cursor: str | None = OLDEST
    while cursor is not None:
        page = await store.read(session_id, cursor=cursor, limit=PAGE, deleted=deleted)
        if page.items:
            yield list(page.items)
        cursor = page.newer


def _bare(message: Message) -> Message:
    """Without earlier wordings, which were taken back: only when is left."""
    if not message.edits:
        return message
    return message.model_copy(update={"edits": tuple(each.model_copy(update={"parts": ()}) for each in message.edits)})


def _about(session: Session, person: str | None) -> Session:
    if person is None:
        return session
    alone = tuple(each for each in session.participants if is_theirs(each, person))
    return session.model_copy(update={"participants": alone, "title": "", "context": SessionContext(), "metadata": {}})


def _titled(session: Session, messages: list[Message]) -> Session:
    if session.title.strip():
        return session
    said = (message.words for message in messages if message.role == "user")
    words = next((" ".join(line.split()) for told in said for line in told.splitlines() if line.strip()), "")
    short = words if len(words) <= _TITLE else words[: _TITLE - 1].rstrip() + "…"
    return session.model_copy(update={"title": short})
