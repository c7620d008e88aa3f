"""`troupe doctor storage` on folders of files that somebody, or a crash, damaged."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from asyncio import gather
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import storage
from storage.amendments import Edited
from storage.blobs import Blobs
from storage.diagnosis import Finding
from storage.doctor import Diagnosis, examine
from storage.model import Attachment, Message, Text
from storage.place import Folder
from storage.records import AuditEntry, Profile
from tests.test_doctor import ALL, ODD, PICTURE, _chunks
from tests.test_retention import ANN, NOW, PRIVATE, talk


class Root:
    """A bot's root with two sessions of twenty messages, one with a picture."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.blobs = Blobs(Folder(path / "attachments"), path)

    async def fill(self) -> None:
        store = await storage.connect("sage", self.path, type="file")
        await talk(store, "a", 2, lines=20, text=ODD)
        session = await talk(store, "b", 1, lines=19, text="tea", channel=PRIVATE, closed_at=None)
        blob = await self.blobs.keep(_chunks(PICTURE), limit=1000)
        shown = Attachment(type="image", name="cat.png", url="https://x", blob=blob.hash)
        with_picture = Message(id="cat", session_id="b", role="user", sender=ANN, parts=(shown,), at=NOW)
        await store.append(session, with_picture)
        await store.amend("b-3", Edited(parts=(Text(text="coffee"),), at=NOW))
        await store.keep(
            Profile(id="7", at=NOW), *(AuditEntry(id=f"x{n}", at=NOW, actor=ANN, action="y") for n in (1, 2))
        )
        await store.close()

    def folder(self, name: str) -> Path:
        (found,) = self.path.glob(f"[cd]*/*/{name}*")
        return found

    async def look(self, *, fix: bool = False, running: bool = False) -> Diagnosis:
        return await examine("sage", self.path, self.blobs, type="file", fix=fix, running=running)

    async def wrong(self) -> list[str]:
        return [finding.what for finding in (await self.look()).findings if finding.open]

    async def mended(self) -> list[Finding]:
        """What `--fix` found; afterwards there is nothing more to find."""
        found = await self.look(fix=True)
        assert await self.wrong() == []
        return list(found.findings)

    async def ids(self) -> set[str]:
        store = await storage.connect("sage", self.path, type="file")
        pages = await gather(*(store.read(each.id, limit=100) for each in await store.sessions()))
        await store.close()
        return {message.id for page in pages for message in page.items}


@pytest.fixture
async def root(tmp_path: Path) -> Root:
    root = Root(tmp_path / "sage")
    await root.fill()
    return root


def everything(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file() and "index.db" not in path.name}


async def test_folders_in_order_are_healthy_and_not_touched(root: Root) -> None:
    before = everything(root.path)
    found = await root.look()
    assert (found.findings, found.messages, found.sessions) == ((), 40, 2)
    assert everything(root.path) == before


def insert(path: Path, *lines: bytes) -> None:
    """Puts lines in the middle of a file."""
    there = path.read_bytes().splitlines(keepends=True)
    middle = len(there) // 2
    path.write_bytes(b"".join([*there[:middle], *lines, *there[middle:]]))


def add(path: Path, data: bytes) -> None:
    path.write_bytes(path.read_bytes() + data)


def index(root: Root, statement: str) -> None:
    with closing(sqlite3.connect(root.path / "index.db", isolation_level=None)) as admin:
        admin.execute(statement)


def again(root: Root) -> None:
    path = root.folder("a") / "messages.jsonl"
    add(path, path.read_bytes().splitlines(keepends=True)[0])


DAMAGE: dict[str, tuple[str, Callable[[Root], object]]] = {
    "garbage": (
        "unreadable-lines",
        lambda root: insert(root.folder("a") / "messages.jsonl", b"\xff{garbage\n", b"7\n"),
    ),
    "garbage in a list": ("unreadable-lines", lambda root: insert(root.path / "audit.jsonl", b'{"id": "x3"}\n')),
    "a torn line": ("torn-line", lambda root: add(root.folder("b") / "messages.jsonl", b'{"id": "to')),
    "a torn list": ("torn-line", lambda root: add(root.path / "audit.jsonl", b'{"id": "to')),
    "a line twice": ("duplicate-lines", again),
    "no meta": ("session-meta", lambda root: (root.folder("a") / "session_meta.json").unlink()),
    "a broken meta": ("session-meta", lambda root: (root.folder("a") / "session_meta.json").write_text("{")),
    "a broken channel": ("channel", lambda root: (root.folder("a").parent / "channel.json").write_text("{")),
    "a broken profile": ("unreadable-profiles", lambda root: (root.path / "users/7/profile.json").write_text("{")),
    "a draft": ("leftovers", lambda root: (root.folder("a") / ".session_meta.json.new").write_text("{")),
    "no list": ("lists", lambda root: (root.path / "session_index.json").unlink()),
    "a wrong list": ("lists", lambda root: (root.path / "channels.json").write_text("[]")),
    "a broken index": ("index", lambda root: (root.path / "index.db").write_bytes(b"SQLite format 3\0" + bytes(4096))),
    "an index that misses a message": (
        "index",
        lambda root: index(root, "DELETE FROM messages WHERE message_id = 'a-3'"),
    ),
    "an index with other words": ("index", lambda root: index(root, "UPDATE messages SET content = 'x' WHERE id = 3")),
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_damage_is_named_and_mended_and_every_message_is_there(root: Root, damage: str) -> None:
    what, does = DAMAGE[damage]
    does(root)
    assert what in await root.wrong()
    assert what in [finding.what for finding in await root.mended() if finding.fixed]
    assert await root.ids() == ALL


async def test_an_unreadable_line_is_named_and_put_aside_as_it_was(root: Root) -> None:
    insert(root.folder("a") / "messages.jsonl", b'{"id": "half\xff\n')
    (finding,) = [each for each in (await root.look()).findings if each.what == "unreadable-lines"]
    assert finding.where.endswith("/a_0s/messages.jsonl:11")
    await root.mended()
    told = json.loads((root.path / "doctor" / "unreadable-lines.jsonl").read_text("utf-8"))
    assert (told["line"], told["raw"]) == (11, '{"id": "half\\xff\n')


async def test_a_stored_file_that_is_gone_is_put_back_from_beside_its_message(root: Root) -> None:
    hash = hashlib.sha256(PICTURE).hexdigest()
    (root.path / "attachments" / hash[:2] / hash).unlink()
    assert await root.wrong() == ["links", "attachments-missing"]
    await root.mended()
    assert await root.blobs.sound(hash)


async def test_a_session_that_was_copied_is_left_to_a_person(root: Root) -> None:
    shutil.copytree(root.folder("a"), root.folder("a").parent / "copy")
    found = await root.look(fix=True)
    assert [(each.what, each.fixed) for each in found.findings if each.open] == [("session-copied", False)]
    assert "Move the other out of the storage root" in found.findings[0].sentence
    assert found.messages == 40


async def test_a_session_of_which_nothing_can_be_read_is_said(root: Root) -> None:
    for name in ("session_meta.json", "messages.jsonl"):
        (root.folder("a") / name).write_text("{")
    (root.path / "index.db").unlink()
    found = await root.look(fix=True)
    assert [(each.what, each.lost) for each in found.findings if each.open] == [("session-lost", True)]
    assert "`troupe restore sage --as <a new folder>`" in found.findings[0].sentence


async def test_a_running_bots_files_are_looked_at_beside_it(root: Root) -> None:
    store = await storage.connect("sage", root.path, type="file")
    await talk(store, "live", -1, lines=5)
    found = await root.look(running=True)
    await store.close()
    assert (found.findings, found.messages, found.sessions) == ((), 45, 3)


async def test_a_bot_that_never_ran_has_nothing_wrong(tmp_path: Path) -> None:
    assert (await Root(tmp_path / "never").look()).healthy
    assert not (tmp_path / "never").exists()
