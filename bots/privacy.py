"""What a bot keeps about one person: telling it, handing it over, removing it; and what becomes of a guild it left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import structlog

from storage.backend import Store
from storage.blobs import Blobs
from storage.durable import in_thread
from storage.errors import StorageError, Unavailable
from storage.forgetting import (
    Change,
    Forgotten,
    forget,
    is_private,
    is_theirs,
    memories_of,
    pages,
    records_of,
    sessions_of,
)
from storage.forgotten_list import forget_listed, listed, note
from storage.model import Channel, Message, Sender
from storage.place import Folder, Place
from storage.records import AuditEntry, Profile, Run, Spent
from storage.retention import LEFT
from storage.rewriting import rewrite_without

from .cleaning import ARCHIVES
from .handing_over import packed
from .left_places import LeftPlaces

log = structlog.get_logger()

ACTOR = Sender(type="system", id="privacy", name="privacy")
_PAGE = 200


@dataclass(slots=True)
class About:
    """How much is kept about one person."""

    names: set[str] = field(default_factory=set)
    """What they were called when they said something."""
    messages: int = 0
    """What they said."""
    answers: int = 0
    sessions: int = 0
    private: int = 0
    """Those of the sessions that are theirs alone."""
    marks: int = 0
    """Messages of others with a reaction or a note by them."""
    memories: int = 0
    profile: bool = False
    spendings: int = 0
    """Answers that are gone, and whose cost is still known."""
    records: int = 0
    """Settings by or for them, and entries of the audit that name them."""
    files: int = 0
    file_bytes: int = 0
    first: datetime | None = None
    last: datetime | None = None

    @property
    def nothing(self) -> bool:
        talk = self.messages or self.answers or self.sessions or self.marks
        return not (talk or self.memories or self.profile or self.spendings or self.records)


class Privacy:
    """What one bot keeps about people; `root` is None where it keeps everything in memory only, `backups` where its
    backups go. `stop` cuts short what is being said to somebody in a channel; `forget_session` hears the id of each
    session that was removed, `changed` that of each other one of which something was; `change_session` alters a
    session, as `Sessions.change` does; `forgotten` takes somebody out of what is derived from the store, and hears the
    ids of the memories that went."""

    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        root: Path | None,
        *,
        now: Callable[[], datetime],
        forget_session: Callable[[str], None],
        changed: Callable[[str], None],
        change_session: Change,
        stop: Callable[[Channel, str], Awaitable[object]],
        forgotten: Callable[[Sequence[str]], Awaitable[None]] | None = None,
        backups: Place | None = None,
    ) -> None:
        self._store, self._blobs, self._root, self._backups = store, blobs, root, backups
        self._now, self._stop = now, stop
        self._forget_session, self._changed, self._change_session = forget_session, changed, change_session
        self._forgotten = forgotten
        self._one = asyncio.Lock()
        self.beside: list[Callable[[str], Awaitable[object]]] = []
        """What else has something of people: each hears the id of whoever is to be forgotten, first of all."""
        self.left = LeftPlaces(root) if root is not None else None
        """Where people are forgotten, too."""

    async def start(self) -> None:
        """Finishes what a crash, or a place for backups that was out of reach, left undone. Raises `StorageError`."""
        if self._root is None:
            return
        people = await listed(Folder(self._root))
        async with self._one:
            for done in (await forget_listed(self._store, people, self._blobs)).values():
                log.info("privacy.finished", **done.all())
        await self._tell_backups(people)
        if self.left is not None:
            self.left.forget(people)

    async def close(self) -> None:
        """Cuts off what goes on in the background."""
        if self.left is not None:
            await self.left.close()

    async def about(self, user_id: str) -> About:
        """How much there is, by kind. Raises `StorageError`."""
        about, files = About(), set[str]()
        async for messages in pages(lambda cursor: self._store.talk_of(user_id, cursor=cursor, limit=_PAGE)):
            for message in messages:
                await self._count(about, message, user_id, files)
        async for sessions in sessions_of(self._store, user_id):
            about.sessions += len(sessions)
            about.private += sum(is_private(session.channel, user_id) for session in sessions)
        async for marked in pages(lambda cursor: self._store.marked_by(user_id, cursor=cursor, limit=_PAGE)):
            about.marks += sum(not is_theirs(message.sender, user_id) for message in marked)
        async with aclosing(memories_of(self._store, user_id)) as found:
            async for memories in found:
                about.memories += len(memories)
        async for records in records_of(self._store, user_id):
            spent = sum(isinstance(record, Spent) for record in records)
            about.spendings += spent
            about.records += len(records) - spent
        about.profile = await self._store.record(Profile, user_id) is not None
        return about

    def export(self, user_id: str, *, files: bool = True) -> AsyncGenerator[bytes, None]:
        """A zip of everything, in chunks: a README, what was said as JSON and as Markdown, memories, sessions, marks,
        the profile, what else names them, and with `files` the attachments. Raises `StorageError` on the way."""
        return packed(self._store, self._blobs, user_id, self._now(), files=files)

    async def forget(self, user_id: str) -> Forgotten:
        """Removes a person for good, as `storage.forgetting` says, from archives too, and notes it in the root and
        where backups go. What is being said to them is cut short first. Where it was cut off, the next `start`
        finishes it. In the places that the talk has left it is done in the background. Raises `StorageError`."""
        async with self._one:
            for forgets in self.beside:
                await forgets(user_id)
            await self._stop_talk(user_id)
            at = await self._until_now(user_id)
            if self._root is not None:
                await note(Folder(self._root), {user_id: at})
            await self._tell_backups({user_id: at})
            if self._root is not None:
                await self._clear_archives(self._root, user_id, at)
            memories = list[str]()
            done = await forget(
                self._store,
                user_id,
                at,
                blobs=self._blobs,
                gone=self._forget_session,
                changed=self._changed,
                change=self._change_session,
                unlearned=memories.extend,
            )
            entry = AuditEntry(
                id=f"forget {at.isoformat()}",
                at=at,
                actor=ACTOR,
                action="forget",
                target="person",
                details={**done.all()},
            )
            await self._store.keep(entry)
            if self.left is not None:
                self.left.forget({user_id: at})
            if self._forgotten is not None:
                await self._forgotten(memories)
        log.info("privacy.forgotten", **done.all())
        return done

    async def present(self, guild_ids: Collection[str]) -> None:
        """The bot is in these guilds and in no other: what it heard of a guild that it left meanwhile has a clock, too.
        Raises `StorageError`."""
        heard: set[str] = set()
        after = ""
        while channels := await self._store.channels(after=after):
            heard.update(channel.guild_id for channel in channels if channel.front == "discord" and channel.guild_id)
            after = channels[-1].key
        for guild_id in heard & set(guild_ids):
            await self.came_back(guild_id)
        for guild_id in heard - set(guild_ids):
            if await self._store.record(Run, _left(guild_id)) is None:
                await self.leaving(guild_id)

    async def leaving(self, guild_id: str) -> None:
        """The bot left a guild: from now on `storage.retention.left_guild` counts. Raises `StorageError`."""
        await self._store.keep(
            Run(id=_left(guild_id), at=self._now(), type=LEFT, state="waiting", data={"guild_id": guild_id})
        )

    async def came_back(self, guild_id: str) -> None:
        """It is in that guild: nothing of it goes. Raises `StorageError`."""
        if await self._store.record(Run, _left(guild_id)) is not None:
            await self._store.remove_records(Run, [_left(guild_id)])

    async def _count(self, about: About, message: Message, user_id: str, files: set[str]) -> None:
        theirs = is_theirs(message.sender, user_id)
        about.messages += theirs
        about.answers += not theirs
        about.first = min(message.at, about.first or message.at)
        about.last = max(message.at, about.last or message.at)
        if theirs:
            about.names.add(message.sender.name)
        for hash in message.blobs - files:
            files.add(hash)
            about.files += 1
            about.file_bytes += await self._blobs.size(hash) or 0

    async def _stop_talk(self, user_id: str) -> None:
        async for sessions in pages(lambda cursor: self._store.sessions_with(user_id, cursor=cursor, limit=_PAGE)):
            for session in sessions:
                if session.closed_at is None:
                    await self._stop(session.channel, user_id)

    async def _until_now(self, user_id: str) -> datetime:
        """The time up to which everything goes: a front tells when a line was said, and its clock may be ahead."""
        latest = self._now()
        async for messages in pages(lambda cursor: self._store.talk_of(user_id, cursor=cursor, limit=_PAGE)):
            latest = max(latest, *(message.at for message in messages))
        return latest

    async def _tell_backups(self, people: dict[str, datetime]) -> None:
        """What is not told now is told at the next start; until then a restore does not know of it."""
        if self._backups is None or not people:
            return
        try:
            await note(self._backups, people)
        except StorageError as error:
            log.warning("privacy.backups_not_told", place=str(self._backups), why=str(error))

    async def _clear_archives(self, root: Path, user_id: str, at: datetime) -> None:
        """One that cannot be read stays, and is said: nobody can tell whose talk is in it."""
        for path in await in_thread(_zips, root / ARCHIVES):
            try:
                if await rewrite_without(path, user_id, at, root / "forget.work"):
                    log.info("privacy.archive_rewritten", archive=path.name)
            except Unavailable:
                raise
            except StorageError as error:
                log.warning("privacy.archive_left", archive=path.name, why=str(error))


def _left(guild_id: str) -> str:
    return f"left guild:{guild_id}"


def _zips(folder: Path) -> list[Path]:
    with suppress(FileNotFoundError):
        return sorted(folder.glob("*.zip"))
    return []
