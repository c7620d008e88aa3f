"""Archives: zips of whole sessions, put aside before they are removed, and brought back on request.

`archives/2024-01-08_1.zip` holds, for each session, `<channel>/<session>/session_meta.json` and `messages.jsonl` (a
message a line, in the model's own JSON), the files that its messages refer to as `blobs/<hash>`, and `manifest.json`
with the size and the SHA-256 of each. What people have deleted is not in it.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated, TypeVar

from pydantic import ConfigDict, Field

from .backend import OLDEST, Store
from .blobs import Blobs
from .durable import Partial, in_thread
from .errors import Unavailable
from .model import Message, Session, Value

Result = TypeVar("Result")

MANIFEST, META, MESSAGES, FILES = "manifest.json", "session_meta.json", "messages.jsonl", "blobs/"
SESSIONS_IN_ONE, MEMBERS_IN_ONE, BYTES_IN_ONE = 1_000, 20_000, 1 << 30
"""An archive that holds as many is finished, and the next one begun: what is known of one fits in memory."""
_PAGE = 200


class Member(Value):
    """One file in an archive."""

    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Contents(Value):
    """What an archive says of itself: its `manifest.json`."""

    model_config = ConfigDict(extra="ignore")  # a newer program may have said more
    bot: str
    program: str
    """The version of Troupe that wrote it."""
    made_at: datetime
    sessions: int
    messages: int
    members: dict[str, Member]


class Archive:
    """Puts sessions aside in a folder, in one zip after another; each is on the disk, whole, once it is finished."""

    def __init__(self, folder: Path, *, bot: str, program: str, at: datetime, blobs: Blobs | None = None) -> None:
        self._folder = folder
        self._about = {"bot": bot, "program": program, "made_at": at}
        self._at = at.astimezone(UTC)
        self._blobs = blobs
        self._draft: _Draft | None = None

    @property
    def full(self) -> bool:
        """Whether it is time to finish this zip."""
        draft = self._draft
        if draft is None:
            return False
        many = draft.sessions >= SESSIONS_IN_ONE or len(draft.members) >= MEMBERS_IN_ONE
        return many or draft.size >= BYTES_IN_ONE

    async def add(self, store: Store, session: Session) -> None:
        """Writes a session with its messages in sight and their files into the current zip.

        Nothing is put aside yet: `finish` does that. Raises `Unavailable` when the folder takes no more."""
        draft = self._draft
        if draft is None:
            draft = self._draft = await self._run(_Draft, self._folder, self._at)
        folder = draft.folder_for(session)
        meta = (session.model_dump_json(indent=2) + "\n").encode()
        await self._run(draft.begin, folder + META)
        await self._run(draft.write, meta)
        await self._run(draft.begin, folder + MESSAGES)
        cursor: str | None = OLDEST
        wanted: set[str] = set()
        while cursor is not None:
            page = await store.read(session.id, cursor=cursor, limit=_PAGE)
            await self._run(draft.write_messages, page.items)
            wanted.update(hash for message in page.items for hash in message.blobs)
            cursor = page.newer
        draft.sessions += 1
        for hash in sorted(wanted):
            await self._add_file(draft, hash)

    async def finish(self) -> Path | None:
        """Completes the current zip and returns where it is, safe from a power cut; None when there is none."""
        draft, self._draft = self._draft, None
        if draft is None:
            return None
        try:
            return await self._run(draft.finish, self._about)
        finally:
            await in_thread(draft.drop)

    async def drop(self) -> None:
        """Forgets the current zip, if it is not finished."""
        draft, self._draft = self._draft, None
        if draft is not None:
            await in_thread(draft.drop)

    async def _add_file(self, draft: _Draft, hash: str) -> None:
        if self._blobs is None or FILES + hash in draft.members:
            return
        # A file that is gone or damaged is no reason to keep the words: what is left says its name.
        if not await self._blobs.sound(hash):
            return
        await self._run(draft.begin, FILES + hash)
        async with aclosing(self._blobs.read(hash)) as chunks:
            async for chunk in chunks:
                await self._run(draft.write, chunk)

    async def _run(self, work: Callable[..., Result], *args: object) -> Result:
        try:
            return await in_thread(work, *args)
        except OSError as error:
            raise Unavailable(
                f"{self._folder} cannot take an archive ({error.strerror}): check that its disk has room, and that the "
                "folder belongs to the user who runs the bot. Nothing was removed."
            ) from error


class _Draft:
    """A zip being written under a name that nobody takes for a finished one. One thread at a time."""

    def __init__(self, folder: Path, at: datetime) -> None:
        self._folder, self._at = folder, at
        self._file = Partial(folder)
        self._file.open()
        self._sink = _Sink(self._file)
        self._zip = zipfile.ZipFile(self._sink, "w")
        self._open: tuple[str, IO[bytes]] | None = None
        self._digest = hashlib.sha256()
        self._written = 0
        self.members: dict[str, Member] = {}
        self.sessions = self.messages = self.size = 0

    def folder_for(self, session: Session) -> str:
        """A folder of its own, by names that every system takes, whatever the session is called."""
        named = re.sub(r"[^A-Za-z0-9._-]+", "-", session.full_name).lstrip(".-")[:120] or "session"
        wanted, number = f"{session.channel.safe_name}/{named}/", 1
        while wanted + META in self.members:
            number += 1
            wanted = f"{session.channel.safe_name}/{named}_{number}/"
        return wanted

    def begin(self, name: str) -> None:
        self._end()
        self._open = name, self._zip.open(self._entry(name), "w", force_zip64=True)

    def write(self, piece: bytes) -> None:
        if self._open is not None:
            self._open[1].write(piece)
            self._digest.update(piece)
            self._written += len(piece)

    def write_messages(self, messages: tuple[Message, ...]) -> None:
        self.write(b"".join(message.model_dump_json().encode() + b"\n" for message in messages))
        self.messages += len(messages)

    def finish(self, about: dict[str, object]) -> Path:
        self._end()
        counted = {"sessions": self.sessions, "messages": self.messages, "members": self.members}
        contents = Contents.model_validate({**about, **counted})
        self._zip.writestr(self._entry(MANIFEST), contents.model_dump_json(indent=2))
        self._zip.close()
        target = next(path for number in range(1, 1 << 32) if not (path := self._named(number)).exists())
        self._file.become(target)
        return target

    def drop(self) -> None:
        """Lets go of it; what is not finished is gone."""
        self._sink.closed = True
        if self._open is not None:
            self._open[1].close()
        self._zip.close()
        self._file.close()

    def _end(self) -> None:
        if self._open is not None:
            name, member = self._open
            member.close()
            self.members[name] = Member(size=self._written, sha256=self._digest.hexdigest())
            self.size += self._written
        self._open, self._digest, self._written = None, hashlib.sha256(), 0

    def _entry(self, name: str) -> zipfile.ZipInfo:
        entry = zipfile.ZipInfo(name, (max(self._at.year, 1980), *self._at.timetuple()[1:6]))
        entry.compress_type = zipfile.ZIP_STORED if name.startswith(FILES) else zipfile.ZIP_DEFLATED
        entry.external_attr = 0o600 << 16
        return entry

    def _named(self, number: int) -> Path:
        return self._folder / f"{self._at:%Y-%m-%d}_{number}.zip"


class _Sink:
    """A file as a zip is written into it: forwards only."""

    def __init__(self, file: Partial) -> None:
        self._file = file
        self.closed = False
        """From then on what is written goes nowhere: a zip that is given up still wants to write its end."""

    def write(self, piece: bytes) -> int:
        if not self.closed:
            self._file.write(piece)
        return len(piece)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Its owner does."""
