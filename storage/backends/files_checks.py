"""Checks a files store without opening it: every folder, every line, and what is made of them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from pydantic import ValidationError

from ..diagnosis import Finding, Places, Visit, replace
from ..durable import in_thread
from ..errors import StorageError
from ..model import Channel, Message, Session, storable
from ..records import Profile
from .changes import Amend, Append, KeepReceipts
from .files import CLOSED, INDEX, FilesStore
from .files_disk import Disk, state
from .files_layout import (
    CHANNEL,
    KINDS,
    LISTS,
    MESSAGES,
    META,
    PROFILES,
    Unreadable,
    heal,
    lines,
    message_of,
    meta,
    read_document,
    record_of,
    understood,
)
from .files_lists import Lists
from .sqlite_rows import SESSION_BY_ID, SESSIONS

_TOLD = {
    "channel": "Files of channels cannot be read; they can be made anew from their sessions.",
    "session-meta": "Sessions without a session_meta.json that can be read; it can be told from index.db, or else from "
    "their messages, but for title and participants.",
    "session-lost": "Sessions of which neither the session_meta.json nor a first message can be read.",
    "session-copied": "Folders hold a session that another folder holds as well; only one of them counts. Move the "
    "other out of the storage root.",
    "unreadable-lines": "Lines that nobody can read; they go into doctor/unreadable-lines.jsonl.",
    "duplicate-lines": "Lines tell of a message that an earlier line of the file tells; only the first counts.",
    "duplicate-elsewhere": "Lines tell of a message that another session tells, too; only one of them counts. Remove "
    "the wrong one by hand.",
    "torn-line": "Last lines were torn off by a crash; they were never acknowledged. They go into torn.txt beside.",
    "unreadable-profiles": "Profiles that nobody can read; they go into doctor/.",
    "leftovers": "Files that were never finished; they go into doctor/.",
    "links": "Files beside messages whose stored file is gone; it can be put back from them.",
    "lists": "session_index.json or channels.json does not say what the folders hold; they can be written anew.",
    "index": "index.db does not hold what the files say; it can be made anew from them.",
}
_LOST = ("session-lost",)
_BY_HAND = ("session-lost", "session-copied", "duplicate-elsewhere")


async def examine(visit: Visit) -> list[Finding]:
    """Reads every file under the root, which its bot may be writing to; what is made of them is only looked at, and
    mended, when nobody is."""
    look = _Look(visit)
    await in_thread(look.run)
    trouble = ""
    if visit.fix and look.found:
        try:
            await _made_anew(visit, without_index=bool({"index", "channel"} & look.found.keys()))
        except (StorageError, OSError) as error:
            trouble = str(error)
    found = [look.finding(what, places, trouble) for what, places in look.found.items()]
    visit.whole = True
    return found


async def _made_anew(visit: Visit, *, without_index: bool) -> None:
    """Opens the store, which brings the index in step with the files, and writes the lists."""
    if without_index:
        for name in (INDEX, f"{INDEX}-wal", f"{INDEX}-shm", CLOSED):
            (visit.root / name).unlink(missing_ok=True)
    store = await FilesStore.open_files(visit.root, visit.bot)
    await store.close()

    def write() -> None:
        with closing(sqlite3.connect(visit.root / INDEX)) as index:
            lists = Lists(visit.root, index, Disk(visit.root))
            lists.changed = 1
            lists.write()

    await in_thread(write)


class _Look:
    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._root = visit.root
        self._index: sqlite3.Connection | None = None
        self._sessions = 0
        """A sum over what session_index.json must say, and over what it does."""
        self._listed = 0
        self.found: dict[str, Places] = {}

    def run(self) -> None:
        if not self._root.is_dir():
            return
        if not self._visit.running:
            self._open_index()
        try:
            for home in self._homes():
                self._channel(home)
                for folder in _folders(home):
                    self._session(folder)
            for kind, name in LISTS.items():
                self._lines(self._root / name, lambda raw, kind=kind: record_of(raw, kind))  # type: ignore[misc]
            self._profiles()
            if not self._visit.running:
                self._leftovers()
                self._lists()
        finally:
            if self._index is not None:
                self._index.close()

    def finding(self, what: str, places: Places, trouble: str) -> Finding:
        """What is told of all the places in which one thing is wrong."""
        fixable = what not in _BY_HAND
        fixed = self._visit.fix and fixable and not trouble
        sentence = _TOLD[what]
        if what in _LOST:
            sentence = f"{sentence} {self._visit.backup}"
        if trouble and fixable:
            sentence = f"{sentence} That failed: {trouble}"
        lost = what in (*_LOST, "unreadable-lines", "unreadable-profiles")
        where, count = str(places), places.count
        return Finding(what=what, where=where, sentence=sentence, count=count, fixable=fixable, fixed=fixed, lost=lost)

    def _wrong(self, what: str, place: Path | str) -> None:
        shown = place.relative_to(self._root) if isinstance(place, Path) else place
        self.found.setdefault(what, Places()).add(str(shown))

    def _homes(self) -> Iterator[Path]:
        for kind in KINDS:
            yield from _folders(self._root / kind)

    def _channel(self, home: Path) -> None:
        if not (home / CHANNEL).exists():
            return  # written when the store opens
        try:
            read_document(home / CHANNEL, Channel)
        except Unreadable:
            self._wrong("channel", home / CHANNEL)
            if self._visit.fix:
                self._visit.move_aside(home / CHANNEL)

    def _session(self, folder: Path) -> None:
        before = state(folder / MESSAGES), state(folder / META)
        if not any(before):
            return
        try:
            session: Session = read_document(folder / META, Session)
        except Unreadable:
            if self._visit.running and not folder.is_dir():
                return  # renamed or removed while it was read
            guessed = self._guessed(folder)
            self._wrong("session-meta" if guessed else "session-lost", folder)
            if guessed is None:
                return
            session = guessed
            if self._visit.fix:
                if (folder / META).exists():
                    self._visit.move_aside(folder / META)
                replace(folder / META, [meta(session)])
        if other := self._visit.ledger.seen(f"session {session.id}", str(folder)):
            self._wrong("session-copied", f"{folder.relative_to(self._root)} ({Path(other).relative_to(self._root)})")
            return
        self._visit.sessions += 1
        self._messages(folder, session, before)
        self._visit.tell("sessions", self._visit.sessions, 0)

    def _guessed(self, folder: Path) -> Session | None:
        """The session as the index remembers it, or else as its channel's file and its messages tell it."""
        if remembered := self._remembered(folder):
            return remembered
        try:
            channel = read_document(folder.parent / CHANNEL, Channel)
            told = (message for _, raw in lines(folder / MESSAGES) if (message := message_of(raw)))
            first = last = next(told, None)
            for message in told:
                last = message if message.sender.type == "user" else last
        except (Unreadable, OSError):
            return None
        if first is None or last is None:
            return None
        return Session(id=first.session_id, channel=channel, opened_at=first.at, last_at=last.at)

    def _remembered(self, folder: Path) -> Session | None:
        if self._index is None:
            return None
        path = storable(str(folder.relative_to(self._root)))
        row = self._index.execute("SELECT session_id FROM folders WHERE path = ?", (path,)).fetchone()
        (found,) = self._index.execute(SESSION_BY_ID, row or ("",)).fetchone()[:1]
        try:
            return next(iter(SESSIONS.validate_json(found)), None)
        except ValidationError:
            return None

    def _messages(self, folder: Path, session: Session, before: tuple[str, str]) -> None:
        """The lines of a session, and whether the index holds the same words."""
        file = folder / MESSAGES
        ledger, count, amended, sums = self._visit.ledger, 0, set[str](), 0

        def take(raw: bytes) -> str:
            nonlocal count, sums
            said = understood(raw, session)
            if isinstance(said, Append):
                if other := ledger.seen(f"message {said.message.id}", str(file)):
                    return "duplicate-lines" if other == str(file) else "duplicate-elsewhere"
                ledger.note(said.message)
                count += 1
                sums += _hash(said.message)
            elif isinstance(said, Amend | KeepReceipts):
                amended.add(said.message_id)
                if not ledger.knows(f"message {said.message_id}", str(file)):
                    raise Unreadable("it tells of a message that is not here")
            return ""

        self._lines(file, take)
        self._visit.messages += count
        path = storable(str(folder.relative_to(self._root)))
        self._sessions += hash((session.id, path, count))
        self._attachments(folder)
        if self._index is not None and not self._in_index(path, before, count, sums if not amended else None):
            self._wrong("index", folder)

    def _lines(self, file: Path, take: Callable[[bytes], object]) -> None:
        """Tells every line of a file; those of no use are taken out of it."""
        if not self._visit.running and _torn(file):
            self._wrong("torn-line", file)
            if self._visit.fix:
                heal(file)
        bad: set[int] = set()
        try:
            for number, raw in lines(file):
                if not raw.strip() or not raw.endswith(b"\n"):
                    continue
                try:
                    what = take(raw)
                except Unreadable:
                    what = "unreadable-lines"
                if isinstance(what, str) and what:
                    self._wrong(what, f"{file.relative_to(self._root)}:{number}")
                    if self._visit.fix and what not in _BY_HAND:
                        self._put_aside(file, number, raw)
                        bad.add(number)
        except (Unreadable, FileNotFoundError):
            if not self._visit.running:
                self._wrong("unreadable-lines", file)
        if bad:
            replace(file, (raw for number, raw in lines(file) if number not in bad))

    def _put_aside(self, file: Path, number: int, raw: bytes) -> None:
        told = {
            "file": str(file.relative_to(self._root)),
            "line": number,
            "raw": raw.decode("utf-8", "backslashreplace"),
        }
        self._visit.aside("unreadable-lines.jsonl", json.dumps(told, ensure_ascii=False).encode())

    def _attachments(self, folder: Path) -> None:
        """Links to files that are kept no more: a link is the file itself, so it can be put back."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for shown in sorted((folder / "attachments").iterdir()):
                if shown.is_symlink() or not shown.is_file() or shown.stat().st_nlink > 1:
                    continue
                with shown.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                kept = self._root / "attachments" / digest[:2] / digest
                if self._visit.ledger.refers(digest) and not kept.exists():
                    self._wrong("links", shown)
                    if self._visit.fix:
                        kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                        os.link(shown, kept)

    def _profiles(self) -> None:
        for path in sorted((self._root / PROFILES).glob("*/profile.json")):
            try:
                read_document(path, Profile)
            except Unreadable:
                self._wrong("unreadable-profiles", path)
                if self._visit.fix:
                    self._visit.move_aside(path)

    def _leftovers(self) -> None:
        for top in (*KINDS, PROFILES, "memory"):
            for path in sorted((self._root / top).rglob(".*.new")):
                self._wrong("leftovers", path)
                if self._visit.fix:
                    self._visit.move_aside(path)

    def _lists(self) -> None:
        """The lists that are made for people."""
        if not self._visit.sessions:
            return
        try:
            told = json.loads((self._root / "session_index.json").read_bytes())
            listed = sum(hash((each["id"], each["folder"], each["messages"])) for each in told)
            channels = {
                Channel.model_validate(each).key for each in json.loads((self._root / "channels.json").read_bytes())
            }
        except (OSError, ValueError, KeyError, TypeError):
            listed, channels = self._sessions + 1, set()
        there = set()
        for home in self._homes():
            with contextlib.suppress(Unreadable):
                there.add(read_document(home / CHANNEL, Channel).key)
        if listed != self._sessions or not there <= channels:
            self._wrong("lists", "session_index.json and channels.json")

    def _open_index(self) -> None:
        path = self._root / INDEX
        if not path.exists():
            return  # made when the store opens
        index = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        try:
            if index.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",):
                index.execute("SELECT 1 FROM folders, messages, sessions LIMIT 1").fetchone()
                self._index = index
                return
        except sqlite3.Error:
            pass
        index.close()
        self._wrong("index", INDEX)

    def _in_index(self, path: str, before: tuple[str, str], count: int, sums: int | None) -> bool:
        """Whether the index holds a session's messages; one that knows it is behind will read them. Their words are
        compared where nothing happened to them since."""
        if self._index is None:
            return True
        row = self._index.execute("SELECT session_id, lines, meta FROM folders WHERE path = ?", (path,)).fetchone()
        if row is None or tuple(row[1:]) != before:
            return True
        query = "SELECT message_id, content FROM messages JOIN sessions ON sessions.id = session WHERE session_id = ?"
        there, summed = 0, 0
        for name, text in self._index.execute(query, row[:1]):
            there, summed = there + 1, summed + hash((name, text))
        return there == count and sums in (None, summed)


def _folders(within: Path) -> list[Path]:
    try:
        with os.scandir(within) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


def _torn(file: Path) -> bool:
    try:
        with file.open("rb") as lines_:
            return lines_.seek(0, os.SEEK_END) > 0 and (lines_.seek(-1, os.SEEK_END) or 1) and lines_.read(1) != b"\n"
    except (OSError, ValueError):
        return False


def _hash(message: Message) -> int:
    return hash((storable(message.id), storable(message.text)))
