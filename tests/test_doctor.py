"""`troupe doctor storage` on real damage: found, named, mended where it can be, and never made worse."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sqlite3
from asyncio import gather
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import storage
from bots.cli_doctor import doctor
from bots.terminal import SOCKET
from storage.blobs import Blobs
from storage.diagnosis import Finding
from storage.doctor import Diagnosis, examine
from storage.model import Attachment, Message
from storage.place import Folder
from storage.records import Memory, Vector
from storage.rootlock import RootLock
from tests.test_cli_cleanup import House
from tests.test_retention import ANN, GENERAL, NOW, PRIVATE, line, talk

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(100)
ODD = "parseHttpUrl C++ Straße 日本語 👍🏽 naïve e\u0301 हिन्दी"


class Root:
    """A bot's root with forty messages, one with a picture, and a memory, and an admin who damages it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = path / "conversations.db"
        self.blobs = Blobs(Folder(path / "attachments"), path)

    async def fill(self) -> None:
        store = await storage.connect("sage", self.path)
        await talk(store, "a", 2, lines=20, text=ODD)
        session = await talk(store, "b", 1, lines=19, text="tea", channel=PRIVATE)
        blob = await self.blobs.keep(_chunks(PICTURE), limit=1000)
        shown = Attachment(type="image", name="cat.png", url="https://x", blob=blob.hash)
        with_picture = Message(id="cat", session_id="b", role="user", sender=ANN, parts=(shown,), at=NOW)
        await store.append(session, with_picture)
        told = {"type": "semantic", "audience": "bot", "subject": "user:7", "vector": Vector(model="m", values=(1.0,))}
        await store.keep(Memory(id="likes", at=NOW, text="likes tea", **told))
        await store.search("tea")  # the index has come as far as the messages
        await store.close()

    def do(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.database, isolation_level=None)) as admin:
            for statement in statements:
                admin.execute(statement)

    async def look(self, *, fix: bool = False, deep: bool = False) -> Diagnosis:
        return await examine("sage", self.path, self.blobs, fix=fix, deep=deep)

    async def wrong(self) -> list[str]:
        return [finding.what for finding in (await self.look()).findings if finding.open]

    async def mended(self) -> list[Finding]:
        """What `--fix` found; afterwards there is nothing more to find."""
        found = await self.look(fix=True)
        assert await self.wrong() == []
        return [finding for finding in found.findings if not finding.note]

    async def ids(self) -> set[str]:
        store = await storage.connect("sage", self.path)
        pages = await gather(*(store.read(each.id, limit=100) for each in await store.sessions()))
        await store.close()
        return {message.id for page in pages for message in page.items}

    def aside(self, name: str) -> str:
        return (self.path / "doctor" / name).read_text("utf-8")


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    yield data


ALL = {*(f"a-{number}" for number in range(20)), *(f"b-{number}" for number in range(19)), "cat"}


@pytest.fixture
async def root(tmp_path: Path) -> Root:
    root = Root(tmp_path / "data" / "sage")
    await root.fill()
    return root


async def test_a_store_in_order_is_healthy_and_not_touched(root: Root) -> None:
    before = root.database.read_bytes()
    found = await root.look(deep=True)
    assert (found.healthy, found.messages, found.sessions) == (True, 40, 2)
    assert root.database.read_bytes() == before
    assert not (root.path / "doctor").exists()


async def test_a_message_of_before_1970_is_in_order_too(root: Root) -> None:
    store = await storage.connect("sage", root.path)
    (session, *_) = await store.sessions(limit=1)
    at = datetime(1969, 12, 31, 23, 59, 59, 987_654, tzinfo=UTC)
    old = session.model_copy(update={"id": "old", "opened_at": at, "last_at": at})
    await store.append(old, Message(id="old", session_id="old", role="user", sender=ANN, parts=(), at=at))
    await store.close()
    assert await root.wrong() == []


async def test_the_old_sqlites_fault_is_a_note(root: Root) -> None:
    notes = [finding.what for finding in (await root.look()).findings]
    assert notes == ([] if sqlite3.sqlite_version_info >= (3, 51, 3) else ["sqlite-version"])


@pytest.mark.parametrize(
    ("what", "damage"),
    [
        ("message-count", "UPDATE sessions SET message_count = 7"),
        ("last-activity", "UPDATE sessions SET last_activity = 'yesterday'"),
        ("channel-missing", "DELETE FROM channels"),
        ("session-missing", "DELETE FROM sessions WHERE session_id = 'a'"),
        ("sender-missing", "DELETE FROM senders"),
        ("receipts", "INSERT INTO pages VALUES (1, 2, 333, 0)"),
        ("attachments", "DELETE FROM attachments"),
        ("attachments", "INSERT INTO attachments VALUES ('00', 1)"),
        ("vectors", "DELETE FROM records"),
        ("audiences", "UPDATE vectors SET audience = 'user:8'"),
        ("search", "DELETE FROM search_docsize WHERE id = 3"),
        ("search", "DELETE FROM search_data WHERE id > 10"),
        ("search", "UPDATE facts SET value = 30 WHERE name = 'indexed'"),
        ("search", "DELETE FROM facts"),
        ("search", "UPDATE messages SET content = 'by hand' WHERE message_id = 'a-3'"),
        ("objects", "DROP INDEX idx_messages_session"),
        ("objects", "DROP TRIGGER count_removed"),
        ("tables", "DROP TABLE search"),
        ("unreadable-messages", "UPDATE messages SET usage = '{' WHERE message_id = 'a-3'"),
        ("unreadable-messages", "UPDATE messages SET outcome = 'lost', edits = '7' WHERE message_id = 'a-3'"),
        ("message-time", "UPDATE messages SET at = 'noon' WHERE message_id = 'a-3'"),
        ("unreadable-messages", "UPDATE messages SET content = CAST(x'ff41' AS TEXT) WHERE message_id = 'a-3'"),
        ("unreadable-sessions", "UPDATE sessions SET participants = 'Ann', context = '[]' WHERE session_id = 'a'"),
        ("unreadable-channels", "UPDATE channels SET past_names = '{'"),
    ],
)
async def test_damage_is_named_and_mended_and_every_message_is_there(root: Root, what: str, damage: str) -> None:
    root.do("PRAGMA foreign_keys = OFF", damage)
    assert what in await root.wrong()
    found = await root.mended()
    assert what in [finding.what for finding in found if finding.fixed]
    assert await root.ids() == ALL


async def test_what_cannot_be_read_is_put_aside_as_it_was(root: Root) -> None:
    root.do("UPDATE messages SET usage = '{broken', persona = 'sage' WHERE message_id = 'a-3'")
    (finding,) = await root.mended()
    assert (finding.count, finding.where, finding.lost) == (1, "conversations.db: messages a-3", False)
    assert json.loads(root.aside("unreadable-messages.jsonl"))["usage"] == "{broken"
    store = await storage.connect("sage", root.path)
    kept = await store.message("a-3")
    await store.close()
    assert kept is not None
    assert (kept.text, kept.persona, kept.usage) == (ODD, "sage", None)


async def test_a_record_nobody_can_read_goes_with_a_copy(root: Root) -> None:
    root.do("""UPDATE records SET body = '{"text": "likes tea"}'""")
    found = await root.mended()
    assert [(finding.what, finding.lost) for finding in found] == [("unreadable-records", True), ("vectors", False)]
    assert "likes tea" in root.aside("unreadable-records.jsonl")


def behind_the_index(root: Root, change: str) -> None:
    """Changes the messages while one of their indexes does not notice."""
    index = "name = 'idx_messages_session'"
    unlock, lock = "PRAGMA writable_schema = ON", "PRAGMA writable_schema = RESET"
    held = f"CREATE TABLE held AS SELECT * FROM sqlite_schema WHERE {index}"
    root.do(unlock, held, f"DELETE FROM sqlite_schema WHERE {index}", lock)
    root.do(change)
    root.do(unlock, "INSERT INTO sqlite_schema SELECT * FROM held", lock, "DROP TABLE held")


async def test_an_index_that_misses_rows_is_made_anew(root: Root) -> None:
    behind_the_index(root, "UPDATE messages SET session = 3 - session WHERE message_id = 'a-3'")
    assert await root.wrong() == ["index"]
    assert "index" in [finding.what for finding in await root.mended()]
    assert await root.ids() == ALL


async def test_rows_that_only_an_index_remembers_are_not_covered_up(root: Root) -> None:
    behind_the_index(root, "DELETE FROM messages WHERE message_id = 'a-3'")
    before = root.database.read_bytes()
    (finding,) = (await root.look(fix=True)).findings
    assert (finding.what, finding.lost, finding.fixed) == ("pages", True, False)
    assert "1 rows of messages are gone" in finding.sentence
    assert root.database.read_bytes() == before


async def test_a_torn_page_is_left_for_a_restore(root: Root) -> None:
    with closing(sqlite3.connect(root.database)) as admin:
        (page,) = admin.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'messages'").fetchone()
    with root.database.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(os.urandom(4096))
    before = root.database.read_bytes()
    found = await root.look(fix=True)
    assert [(each.what, each.lost, each.fixed) for each in found.findings] == [("pages", True, False)]
    assert "`troupe restore sage --as <a new folder>`" in found.findings[0].sentence
    assert root.database.read_bytes() == before


async def test_a_damaged_page_of_an_index_is_made_anew(root: Root) -> None:
    with closing(sqlite3.connect(root.database)) as admin:
        (page,) = admin.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'idx_messages_message'").fetchone()
    with root.database.open("r+b") as file:
        file.seek((page - 1) * 4096 + 200)
        file.write(bytes(3800))
    assert await root.wrong() == ["index"]
    assert [finding.fixed for finding in await root.mended()] == [True]
    assert await root.ids() == ALL


@pytest.mark.parametrize(("size", "what"), [(8192, "pages"), (50, "header")])
async def test_a_file_cut_short_is_said(root: Root, size: int, what: str) -> None:
    os.truncate(root.database, size)
    (finding,) = (await root.look(fix=True)).findings
    assert finding.lost
    assert finding.what in (what, "file")


async def test_other_peoples_and_newer_databases_are_left_alone(root: Root) -> None:
    root.do("PRAGMA user_version = 99", "UPDATE sessions SET message_count = 7")
    assert [finding.what for finding in (await root.look(fix=True)).findings] == ["newer-schema"]
    root.do("PRAGMA application_id = 1")
    assert [finding.what for finding in (await root.look(fix=True)).findings] == ["foreign"]


async def test_a_log_of_another_database_does_not_get_in(root: Root, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db", isolation_level=None)) as other:
        other.execute("PRAGMA page_size = 1024")
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("CREATE TABLE mine (x)")
        stray = (tmp_path / "other.db-wal").read_bytes()
    (root.path / "conversations.db-wal").write_bytes(stray)
    (root.path / "conversations.db-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(504))
    assert await root.wrong() == ["leftover", "leftover"]
    assert len(await root.mended()) == 2
    assert (root.path / "doctor" / "conversations.db-wal").read_bytes() == stray
    assert await root.ids() == ALL


async def test_free_pages_are_given_back_only_when_asked(root: Root) -> None:
    store = await storage.connect("sage", root.path)
    await talk(store, "long", 5, lines=40, text="x" * 50_000, channel=GENERAL)
    await store.remove_sessions(["long"])
    await store.close()
    size = root.database.stat().st_size
    (note,) = [finding for finding in (await root.look()).findings if finding.what == "free-pages"]
    assert (note.note, note.fixed, root.database.stat().st_size) == (True, False, size)
    await root.mended()
    assert root.database.stat().st_size < size / 4
    assert await root.ids() == ALL


async def test_files_of_messages_are_checked_both_ways(root: Root) -> None:
    hash = hashlib.sha256(PICTURE).hexdigest()
    await root.blobs.keep(_chunks(b"nobody's"), limit=1000)
    kept = root.path / "attachments" / hash[:2] / hash
    kept.write_bytes(PICTURE[:-1] + b"x")
    assert (await root.look()).healthy
    found = {finding.what: finding for finding in (await root.look(deep=True)).findings}
    assert found["attachments-damaged"].where == f"{hash} of message cat"
    assert (found["attachments-orphaned"].count, found["attachments-orphaned"].note) == (1, True)
    kept.unlink()
    assert await root.wrong() == ["attachments-missing"]


# The command


class Admin(House):
    """A house whose store is kept by one backend or another."""

    def damage(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.root / "conversations.db", isolation_level=None)) as admin:
            for statement in statements:
                admin.execute(statement)

    def doctor(self, *args: str) -> Result:
        return CliRunner().invoke(doctor, ["storage", *args, "--config", str(self.folder / "config")])


@pytest.fixture
def house(tmp_path: Path) -> Admin:
    house = Admin(tmp_path)
    house.fill()
    return house


def test_a_healthy_bot_ends_with_one_line(house: Admin) -> None:
    done = house.doctor("sage")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == "sage: healthy: 61 messages in 31 sessions checked"


def test_damage_is_listed_with_what_to_do_and_then_mended(house: Admin) -> None:
    house.damage("UPDATE sessions SET message_count = 7 WHERE session_id = 's03'")
    done = house.doctor("--all")
    assert done.exit_code == 1
    assert "sage: WRONG: message-count: Sessions say that they hold another number" in done.stdout
    assert done.stdout.splitlines()[-1].endswith(
        "`troupe doctor storage sage --fix` mends 1 of them (stop the bot first)"
    )
    mended = house.doctor("sage", "--fix")
    assert (mended.exit_code, "sage: mended: message-count" in mended.stdout) == (0, True)
    assert house.doctor().exit_code == 0


def test_json_is_one_object_a_bot(house: Admin) -> None:
    house.damage("UPDATE sessions SET message_count = 7 WHERE session_id = 's03'")
    told = json.loads(house.doctor("--json").stdout)
    assert (told["bot"], told["healthy"], told["messages"]) == ("sage", False, 61)
    assert {"what", "where", "sentence", "count", "fixable", "fixed", "lost", "note"} == set(told["findings"][0])


def test_a_running_bot_is_looked_at_and_not_touched(house: Admin) -> None:
    async def while_it_runs() -> tuple[Result, Result]:
        store = await storage.connect("sage", house.root)
        session = await talk(store, "live", -100_001, channel=GENERAL)
        await gather(*(store.append(session, line(f"m{number}", "live", NOW)) for number in range(50)))
        looked = await asyncio.to_thread(house.doctor, "sage")
        refused = await asyncio.to_thread(house.doctor, "sage", "--fix")
        await store.close()
        return looked, refused

    lock = RootLock.take(house.root)
    looked, refused = asyncio.run(while_it_runs())
    lock.release()
    assert looked.stdout.splitlines()[-1] == "sage: healthy: 112 messages in 32 sessions checked"
    assert refused.exit_code == 1
    assert "One process owns a bot's storage: stop that one first" in refused.stderr


def test_a_bot_that_never_ran_is_healthy_and_not_made(tmp_path: Path) -> None:
    house = Admin(tmp_path)
    assert house.doctor().stdout == "sage: healthy: 0 messages in 0 sessions checked\n"
    assert not house.root.exists()


def test_what_a_killed_bot_left_is_cleared_away(house: Admin) -> None:
    (house.root / SOCKET).touch()
    assert "stale-door" in house.doctor().stdout
    assert house.doctor("--fix").exit_code == 0
    assert not (house.root / SOCKET).exists()


def test_a_database_that_is_gone_is_not_taken_for_a_new_bot(house: Admin) -> None:
    (house.root / "archives").mkdir()
    (house.root / "conversations.db").unlink()
    done = house.doctor()
    assert (done.exit_code, "sage: LOST: missing" in done.stdout) == (1, True)
