"""What an export tells: the sessions that are meant, the longest silent first, with their messages."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Container
from contextlib import aclosing
from dataclasses import dataclass

from ..backend import Store
from ..copying import pages as pages_of
from ..forgetting import is_theirs
from ..model import Message, Session, SessionContext
from ..progress import Tell, silent
from ..sought import Sought

PAGE = 200
_TITLE = 60
_BRANCH = "troupe.branch_of"
"""In the metadata of a session of a transcript with titles, and only there: the title of its parent."""


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
    meant = _sessions(store, wanted)
    async with aclosing(_behind_their_parents(store, meant, wanted) if titled else meant) as sessions:
        async for session in sessions:
            async with aclosing(_messages(store, session, wanted)) as pages:
                first: list[Message] = await anext(pages, [])
                if not first and wanted.picks:
                    continue
                shown = _about(session, wanted.person)
                if titled:
                    shown = _titled(await _branched(store, shown, wanted), first)
                yield shown, heard.pages(first, pages)


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


async def holds(store: Store, wanted: Wanted) -> bool:
    """Whether there is any session to be told."""
    async with aclosing(listed(store, wanted, titled=False)) as sessions:
        async for _ in sessions:
            return True
    return False


def branch_of(session: Session) -> str:
    """The title of the session that one of a transcript with titles was branched from; empty where none is known."""
    return session.metadata.get(_BRANCH, "")


def without_edits(message: Message) -> Message:
    """As it stands."""
    return message.model_copy(update={"edits": ()}) if message.edits else message


async def messages(
    store: Store, wanted: Wanted, of: Container[str], tell: Tell = silent
) -> AsyncGenerator[list[Message], None]:
    """The messages of the sessions with these ids alone: in the order in which they were kept where everything is
    wanted, else session by session."""
    if wanted.everything:
        heard = _Heard(tell, (await store.counts()).messages)
        pages = heard.pages([], _read(store, None, wanted.complete))
        async with aclosing(pages):
            async for page in pages:
                told = [message for message in page if message.session_id in of]
                yield told if wanted.complete else list(map(without_edits, told))
        return
    async with aclosing(transcript(store, wanted, tell=tell)) as sessions:
        async for session, of_session in sessions:
            if session.id not in of:
                continue
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
    told: set[str] = set()  # in one where somebody speaks meanwhile, it comes by again
    for key in [None] if sought.channel_keys is None else sorted(sought.channel_keys):
        async with aclosing(_browsed(store, key, wanted.complete)) as pages:
            async for page in pages:
                for session in reversed(page):
                    if session.id not in told and sought.has_session(session):
                        told.add(session.id)
                        yield session


def _browsed(store: Store, key: str | None, deleted: bool) -> AsyncGenerator[list[Session], None]:
    return pages_of(lambda cursor: store.browse(key, cursor=cursor, limit=PAGE, deleted=deleted))


async def _messages(store: Store, session: Session, wanted: Wanted) -> AsyncGenerator[list[Message], None]:
    """Pages that hold something."""
    theirs: set[str] = set()

    def meant(message: Message) -> bool:
        if wanted.person is not None:
            said = is_theirs(message.sender, wanted.person)
            if said:
                theirs.add(message.id)
            if not said and (message.role != "assistant" or message.reply_to not in theirs):
                return False
        return wanted.sought.has_message(message)

    async with aclosing(_read(store, session.id, wanted.complete)) as pages:
        async for page in pages:
            found = [message if wanted.complete else _bare(message) for message in page if meant(message)]
            if found:
                yield found if wanted.person is None else [_marked(message, wanted.person) for message in found]


def _read(store: Store, session_id: str | None, deleted: bool) -> AsyncGenerator[list[Message], None]:
    return pages_of(lambda cursor: store.read(session_id, cursor=cursor, limit=PAGE, deleted=deleted))


def _bare(message: Message) -> Message:
    """Without earlier wordings, which were taken back: only when is left."""
    if not message.edits:
        return message
    return message.model_copy(update={"edits": tuple(each.model_copy(update={"parts": ()}) for each in message.edits)})


def _marked(message: Message, person: str) -> Message:
    """Without what others have put on it."""
    reactions = tuple(each for each in message.reactions if is_theirs(each.sender, person))
    notes = tuple(each for each in message.annotations if is_theirs(each.sender, person))
    return message.model_copy(update={"reactions": reactions, "annotations": notes})


async def _behind_their_parents(
    store: Store, sessions: AsyncGenerator[Session, None], wanted: Wanted
) -> AsyncGenerator[Session, None]:
    """The same sessions, each branch somewhere behind what it was branched from, where that is among them."""
    told: set[str] = set()
    waiting: dict[str, list[str]] = {}
    """The ids of branches, by that of their parent."""

    async def with_branches(session: Session) -> AsyncGenerator[Session, None]:
        due = [session]
        while due:
            each = due.pop(0)
            told.add(each.id)
            yield each
            branches = [await store.session(id) for id in waiting.pop(each.id, ())]
            due[:0] = [branch for branch in branches if branch is not None]

    async with aclosing(sessions):
        async for session in sessions:
            if session.parent_id and session.parent_id not in told and await _meant(store, session.parent_id, wanted):
                waiting.setdefault(session.parent_id, []).append(session.id)
                continue
            async for each in with_branches(session):
                yield each
    while waiting:  # those whose parent has gone meanwhile
        for id in waiting.pop(next(iter(waiting))):
            if (left := await store.session(id)) is not None and id not in told:
                async for each in with_branches(left):
                    yield each


async def _meant(store: Store, session_id: str, wanted: Wanted) -> bool:
    session = await store.session(session_id)
    return session is not None and session.deleted_at is None and wanted.sought.has_session(session)


async def _branched(store: Store, session: Session, wanted: Wanted) -> Session:
    """With the title of what it was branched from, for `branch_of`."""
    known = {key: value for key, value in session.metadata.items() if key != _BRANCH}
    parent = await store.session(session.parent_id) if session.parent_id and wanted.person is None else None
    if parent is not None and parent.deleted_at is None:
        page: list[Message] = []
        if not parent.title.strip():
            async with aclosing(_read(store, parent.id, False)) as pages:
                page = await anext(pages, [])
        known[_BRANCH] = _titled(parent, page).title or parent.id
    return session if known == session.metadata else session.model_copy(update={"metadata": known})


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
