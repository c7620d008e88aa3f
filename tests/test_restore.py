"""Restoring: into a new root only, whole or not at all, and a bot goes on from there."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg  # type: ignore[import-untyped]
import pytest

from storage import connect
from storage.amendments import Deleted, Edited, Noted, Pinned, Reacted
from storage.backend import Store
from storage.backends.sqlite import SqliteStore
from storage.backup import Beside
from storage.copying import CopyDiffers, contents, copy
from storage.errors import NewerSchema, RootInUse, StorageError, Unavailable
from storage.manifest import Destination, Unsound
from storage.model import Annotation, Reaction, Receipt, Sender, SessionContext, Text, Usage
from storage.progress import Tell, silent
from storage.records import AuditEntry, Memory, Profile, Run, Spent, Vector
from storage.restore import Restored, restore, restore_database
from storage.rootlock import RootLock
from tests.postgres import fresh_name, postgres_url
from tests.test_backup import GENERAL, NOON, SESSION, Keeper, message
from tests.world import ANA, settings, world

if TYPE_CHECKING:
    from tests.s3 import S3

pytest_plugins = ("tests.s3",)

BEN = Sender(type="user", id="8", name="Ben")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "sage", "sage")
    await fill(opened)
    yield opened
    await opened.close()


@pytest.fixture
def keeper(store: SqliteStore, tmp_path: Path) -> Keeper:
    root = tmp_path / "sage"
    return Keeper(root, store, Destination.at(str(root / "backups"), spool=root))


async def fill(store: Store) -> None:
    """Some of everything a store can hold."""
    usage = Usage(provider="openai", model="m", tokens_in=5, tokens_out=7, cost_micros=12, seconds=0.5)
    for name in ("lobby", "hall", "general"):
        await store.keep_channel(GENERAL.model_copy(update={"name": name}))
    private = GENERAL.model_copy(update={"id": "200", "kind": "dm", "name": "ann", "parent_id": "7"})
    for number in range(40):
        told = message(number).model_copy(update={"origin": f"discord:100:{number}", "metadata": {"z": "1", "a": "2"}})
        await store.append(SESSION, told)
    answer = message(40).model_copy(
        update={"role": "assistant", "usage": usage, "receipts": (Receipt(origin="o", page=0),)}
    )
    await store.append(SESSION, answer)
    context = SessionContext(summary="Ann said hello.", goals=("tea",))
    gone = SESSION.model_copy(
        update={
            "id": "s2",
            "channel": private,
            "deleted_at": NOON,
            "closed_at": NOON,
            "context": context,
            "tags": ("a",),
        }
    )
    await store.append(gone, message(41).model_copy(update={"session_id": "s2"}))
    await store.save_session(SESSION.model_copy(update={"id": "s3", "starred": True, "follows": "s1"}))
    await store.amend("m1", Edited(parts=(Text(text="better"),), at=NOON))
    await store.amend("m2", Deleted(at=NOON))
    await store.amend("m3", Reacted(reaction=Reaction(emoji="👍", sender=BEN, at=NOON)))
    await store.amend("m4", Noted(annotation=Annotation(id="a1", kind="remark", text="so true", sender=BEN, at=NOON)))
    await store.amend("m5", Pinned())
    vector = Vector(model="e", values=(0.25, -0.5))
    await store.keep(
        Memory(id="k1", at=NOON, type="semantic", audience="bot", subject="user:7", text="likes tea", vector=vector),
        Run(id="r1", at=NOON, type="panel", state="open", data={"b": [1, None], "a": {"x": True}}),
        Profile(id="7", at=NOON, name="Ann", preferences={"tone": "dry"}),
        AuditEntry(id="e1", at=NOON, actor=BEN, action="backup", target="sage"),
        Spent(id="m99", at=NOON, usage=usage, user_id="7", channel_key="discord:100", persona="sage"),
    )


async def opened(root: Path) -> Store:
    return await connect("sage", root)


async def test_everything_comes_back(keeper: Keeper, tmp_path: Path) -> None:
    hash = await keeper.attach(b"a picture")
    made = await keeper.made_and_proven()
    done = await restore(keeper.to, made, tmp_path / "new", bot="sage")
    assert (done.counts, done.lost) == (made.counts, 0)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["attachments", "conversations.db", "lock"]
    assert (tmp_path / "new" / "attachments" / hash[:2] / hash).read_bytes() == b"a picture"
    copied = await opened(tmp_path / "new")
    assert await contents(copied) == await contents(keeper.store)
    await copied.close()


async def test_it_comes_back_from_a_bucket(keeper: Keeper, s3: S3, tmp_path: Path) -> None:
    keeper.to = Destination.at(s3.corner(), s3.options, spool=keeper.root)
    await keeper.attach(b"a picture")
    made = await keeper.made_and_proven()
    done = await restore(keeper.to, made, tmp_path / "new", bot="sage")
    assert (done.counts.messages, done.lost) == (42, 0)


async def test_a_bot_on_a_restored_root_remembers(tmp_path: Path) -> None:
    old, new = tmp_path / "sage", tmp_path / "sage2"
    async with world(root=old) as before:
        await before.room().say(ANA, "My sister lives in Lisbon.")
        keeper = Keeper(old, before.store, Destination.at(str(old / "backups"), spool=old))
        yesterday = await keeper.made_and_proven()
        await before.room().say(ANA, "My brother lives in Oslo.")
    await restore(keeper.to, yesterday, new, bot="sage")
    async with world(settings(new), root=new) as after:
        answer = (await after.room().say(ANA, "Where does my sister live?")).shown
        assert "Lisbon" in answer
        transcript = await after.room().transcript()
        assert [line for line in transcript if "Oslo" in line] == []
        assert transcript[0] == "Ana: My sister lives in Lisbon."


async def test_talk_on_a_server_is_backed_up_and_comes_back_to_a_server(tmp_path: Path) -> None:
    root, name, other = tmp_path / "sage", fresh_name(), fresh_name()
    served = await connect(name, root, type="postgres", url=postgres_url())
    await fill(served)
    keeper = Keeper(root, served, Destination.at(str(root / "backups"), spool=root), bot=name, backend="postgres")
    made = await keeper.made_and_proven()
    assert (made.counts, made.backend) == (await served.counts(), "postgres")
    there = {"type": "postgres", "url": postgres_url(), "bot": other}
    await restore(keeper.to, made, tmp_path / "new", **there)  # type: ignore[arg-type]
    copied = await connect(other, tmp_path / "new", type="postgres", url=postgres_url())
    assert await contents(copied) == await contents(served)
    with pytest.raises(StorageError, match="only into an empty store"):
        await restore(keeper.to, made, tmp_path / "newer", **there)  # type: ignore[arg-type]
    assert not (tmp_path / "newer").exists()
    await copied.close()
    await served.close()


async def test_a_copy_that_fails_says_what_it_left_on_the_server_and_how_to_go_on(
    keeper: Keeper, tmp_path: Path
) -> None:
    made, name = await keeper.made_and_proven(), fresh_name()

    async def bring(tell: Tell) -> Restored:
        return await restore(
            keeper.to, made, tmp_path / "new", bot=name, type="postgres", url=postgres_url(), tell=tell
        )

    def broken(step: str, done: int, of: int) -> None:
        if step == "messages":
            raise Unavailable("The server is gone.")

    left = rf'The server is gone\. What was copied by then stays in the schema troupe_{name} .*DROP SCHEMA "troupe_'
    with pytest.raises(StorageError, match=left):
        await bring(broken)
    with pytest.raises(StorageError, match=rf"only into an empty store.* the schema troupe_{name} ") as refused:
        await bring(silent)
    remedy = re.search(r'DROP SCHEMA "[^"]+" CASCADE', str(refused.value))
    assert remedy
    server = await asyncpg.connect(postgres_url())
    await server.execute(remedy[0])
    await server.close()
    assert (await bring(silent)).counts == made.counts


# What is refused


async def test_a_name_that_no_server_takes_is_refused_first(keeper: Keeper, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"'Sage2' cannot name a schema: .*Name the bot for which"):
        await restore_database(
            keeper.root / "conversations.db", tmp_path / "Sage2", type="postgres", bot="Sage2", url=postgres_url()
        )
    assert not (tmp_path / "Sage2").exists()


async def test_nothing_is_restored_over_a_live_root(keeper: Keeper, tmp_path: Path) -> None:
    made = await keeper.made_and_proven()
    await keeper.attach(b"x")
    with pytest.raises(Unavailable, match=r"sage is not empty \(it holds attachments, backup.lock, backups …\)"):
        await restore(keeper.to, made, keeper.root, bot="sage")
    lock = RootLock.take(tmp_path / "held")
    with pytest.raises(RootInUse, match="in use by process"):
        await restore(keeper.to, made, tmp_path / "held", bot="sage")
    lock.release()


async def test_nothing_is_restored_over_anything(keeper: Keeper, tmp_path: Path) -> None:
    made = await keeper.made_and_proven()
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "letter.txt").write_text("Dear Ann")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(Unavailable, match=r"is not empty \(it holds letter.txt\)"):
        await restore(keeper.to, made, tmp_path / "papers", bot="sage")
    with pytest.raises(Unavailable, match="cannot be used as a storage root"):
        await restore(keeper.to, made, tmp_path / "file", bot="sage")
    assert [path.name for path in (tmp_path / "papers").iterdir()] == ["letter.txt"]


@pytest.mark.parametrize("root", ["new", "empty"])
async def test_a_damaged_backup_leaves_the_root_as_it_was(keeper: Keeper, tmp_path: Path, root: str) -> None:
    made = await keeper.made_and_proven()
    archive = keeper.file(made.database)
    archive.write_bytes(archive.read_bytes()[:-1] + b"\0")
    (tmp_path / "empty").mkdir()
    with pytest.raises(Unsound, match="Restore another backup"):
        await restore(keeper.to, made, tmp_path / root, bot="sage")
    assert not (tmp_path / "new").exists()
    assert list((tmp_path / "empty").iterdir()) == []


async def test_an_archive_that_would_fill_the_disk_is_not_unpacked(keeper: Keeper, tmp_path: Path) -> None:
    made = (await keeper.made_and_proven()).model_copy(update={"size": 1000})
    with pytest.raises(Unsound, match="does not hold the database its manifest describes"):
        await restore(keeper.to, made, tmp_path / "new", bot="sage")
    with pytest.raises(Unavailable, match="free some disk space"):
        await restore(keeper.to, made.model_copy(update={"size": 1 << 60}), tmp_path / "new", bot="sage")


async def test_a_lost_attachment_does_not_cost_the_talk(keeper: Keeper, tmp_path: Path) -> None:
    lost, there = await keeper.attach(b"one"), await keeper.attach(b"two")
    made = await keeper.made_and_proven()
    keeper.file(f"blobs/{lost[:2]}/{lost}").unlink()
    done = await restore(keeper.to, made, tmp_path / "new", bot="sage")
    assert (done.counts.messages, done.lost) == (42, 1)
    assert (tmp_path / "new" / "attachments" / there[:2] / there).exists()


async def test_a_newer_programs_backup_is_refused(keeper: Keeper, tmp_path: Path) -> None:
    with closing(sqlite3.connect(keeper.root / "conversations.db", isolation_level=None)) as newer:
        newer.execute("PRAGMA user_version = 99")
    with pytest.raises(NewerSchema, match="has schema version 99"):
        await restore_database(keeper.root / "conversations.db", tmp_path / "new", bot="sage")
    assert not (tmp_path / "new").exists()


# A bare database


async def test_a_database_copied_by_hand_comes_back(keeper: Keeper, tmp_path: Path) -> None:
    await Beside(keeper.root / "conversations.db").snapshot(tmp_path / "conversations_2024-01-08.db")
    done = await restore_database(tmp_path / "conversations_2024-01-08.db", tmp_path / "new", bot="sage")
    assert done.counts.messages == 42


async def test_nothing_is_left_beside_a_database_that_comes_back(keeper: Keeper, tmp_path: Path) -> None:
    shelf = tmp_path / "copies"
    shelf.mkdir()
    await keeper.store.close()
    shutil.copy(keeper.root / "conversations.db", shelf / "conversations_2024-01-08.db")
    done = await restore_database(shelf / "conversations_2024-01-08.db", tmp_path / "new", bot="sage")
    assert done.counts.messages == 42
    assert [path.name for path in shelf.iterdir()] == ["conversations_2024-01-08.db"]


async def test_a_database_comes_back_with_what_its_log_holds(keeper: Keeper, tmp_path: Path) -> None:
    shelf = tmp_path / "copies"
    shelf.mkdir()
    for end in ("", "-wal"):
        shutil.copy(keeper.root / f"conversations.db{end}", shelf / f"copy.db{end}")
    assert (shelf / "copy.db-wal").stat().st_size
    done = await restore_database(shelf / "copy.db", tmp_path / "new", bot="sage")
    assert done.counts.messages == 42


@pytest.mark.parametrize("content", [b"Dear diary, " * 1000, b""])
async def test_what_is_no_database_of_ours_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.db").write_bytes(content)
    with pytest.raises(StorageError, match=r"x\.db is (not a database|empty)"):
        await restore_database(tmp_path / "x.db", tmp_path / "new", bot="sage")
    assert not (tmp_path / "new").exists()


# Copying


async def test_a_copy_holds_everything_and_has_the_same_digest(store: SqliteStore, tmp_path: Path) -> None:
    target = await opened(tmp_path / "copy")
    told: list[str] = []
    copied = await copy(store, target, tell=lambda step, done, of: told.append(f"{step} {done}/{of}"))
    assert copied == await contents(store) == await contents(target)
    assert copied.counts.records == {"memory": 1, "run": 1, "profile": 1, "audit": 1, "spent": 1}
    assert told[-1] == "checking messages 42/42"
    for session in ("s1", "s2"):
        assert await target.session(session) == await store.session(session)
    assert await target.channel("discord:100") == await store.channel("discord:100")
    with pytest.raises(StorageError, match="only into an empty store"):
        await copy(store, target)
    await target.close()


async def test_the_digest_sees_every_change(store: SqliteStore) -> None:
    seen = {(await contents(store)).digest}
    await store.amend("m6", Pinned())
    seen.add((await contents(store)).digest)
    await store.keep_receipts("m7", (Receipt(origin="p", page=0),))
    seen.add((await contents(store)).digest)
    await store.keep(Profile(id="7", at=NOON + timedelta(days=1), name="Anne"))
    seen.add((await contents(store)).digest)
    assert len(seen) == 4


async def test_a_copy_of_a_store_that_is_written_to_is_not_taken_for_whole(store: SqliteStore, tmp_path: Path) -> None:
    target = await opened(tmp_path / "copy")
    with pytest.raises(CopyDiffers, match="the source was written to meanwhile"):
        await copy(Restless(store), target)  # type: ignore[arg-type]
    await target.close()


class Restless:
    """A store into which somebody puts a channel while it is copied."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def counts(self) -> object:
        counts = await self._store.counts()
        await self._store.keep_channel(GENERAL.model_copy(update={"id": "999"}))
        return counts
