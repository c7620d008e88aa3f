"""What is kept about a person: told, handed over and forgotten, in the store, its archives and its backups."""

from __future__ import annotations

import io
import itertools
import json
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest

from bots.bot import Bot
from bots.cleaning import Cleaner
from bots.privacy import Privacy
from bots.providers.offline import Offline
from storage import connect
from storage.amendments import Noted, Reacted
from storage.archive import Archive
from storage.backup import Subject, back_up, workspace
from storage.blobs import Blobs
from storage.errors import StorageError
from storage.forgotten_list import LIST, listed
from storage.manifest import Destination, Manifest
from storage.model import Annotation, Attachment, Channel, Reaction, Sender, SessionContext, Usage
from storage.place import Folder
from storage.records import AuditEntry, Memory, Profile, Run, Setting, Spent, Tombstone, Vector
from storage.restore import restore, restore_database
from storage.unpacking import restore_archive
from tests.world import ANA, BEN, Clock, Room, World, settings

MARK = "xyzzyplugh"
EVES = "77"
EVE = Sender(type="user", id=EVES, name=f"{MARK}-eve")


@dataclass
class Place:
    """A bot with people in it, and what keeps it."""

    w: World
    root: Path
    blobs: Blobs
    privacy: Privacy
    backups: Destination


@asynccontextmanager
async def place(root: Path, type: Literal["sqlite", "file"] = "sqlite") -> AsyncIterator[Place]:
    config = settings(root, storage={"path": str(root), "type": type})
    store, clock = await connect("sage", root, type=type), Clock()
    blobs = Blobs(Folder(root / "attachments"), root)
    backups = Destination.at(str(root.parent / "backups"), spool=root)
    asked, chance = Offline(None, now=clock.now), itertools.count(1).__next__
    clocks = {"now": clock.now, "ticks": clock.ticks, "chance": chance}
    bot = Bot(config, store, asked, **clocks, blobs=blobs, backups=backups.place)  # type: ignore[arg-type]
    try:
        await bot.start()
        yield Place(World(bot, store, clock), root, blobs, bot.privacy, backups)
    finally:
        await bot.close()
        await asked.close()
        await store.close()


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def attached(blobs: Blobs, data: bytes, name: str) -> Attachment:
    blob = await blobs.keep(_pieces(data), limit=1000)
    kind: Literal["file"] = "file"
    return Attachment(type=kind, name=name, url=f"https://cdn/{name}", blob=blob.hash, size=blob.size)


async def lived_in(p: Place) -> tuple[Room, Room]:
    """A room in which Ana and Eve talk, and Eve's DM: traces of Eve of every kind."""
    w = p.w
    hall, dm = w.room("hall"), Room(w, Channel(front="discord", id="300", kind="dm", name=EVE.name, parent_id=EVES))
    own = await attached(p.blobs, f"{MARK} file".encode(), f"{MARK}.txt")
    shared = await attached(p.blobs, b"shared file", "shared.txt")
    await hall.say(ANA, "hello everybody", attachments=(shared,))
    for number in range(30):
        await hall.say(EVE, f"{MARK} secret{MARK} {number}", attachments=(own, shared) if number == 3 else ())
    await hall.say(ANA, "ordinary words")
    await dm.say(EVE, f"private {MARK}", attachments=(own,))
    anas = next(each for each in await w.store.messages((await hall.session()).id) if each.text == "hello everybody")
    at = w.clock.now()
    await w.store.amend(anas.id, Reacted(reaction=Reaction(emoji="👍", sender=EVE, at=at)))
    await w.store.amend(anas.id, Reacted(reaction=Reaction(emoji="👍", sender=BEN.sender, at=at)))
    note = Annotation(id="n1", kind="remark", text=MARK, sender=EVE, at=at)
    await w.store.amend(anas.id, Noted(annotation=note))
    session = await hall.session()
    context = SessionContext(summary=f"they spoke of {MARK}", goals=(MARK,), active_tools=("clock",))
    await w.store.save_session(session.model_copy(update={"title": f"On {MARK}", "context": context}))
    w.bot.forget(session.id)
    eves = next(each for each in await w.store.messages(session.id) if each.sender == EVE)
    vector = Vector(model="small", values=(1.0, 0.0))
    given = {"at": at, "type": "semantic", "audience": "bot", "vector": vector}
    await w.store.keep(
        Memory(id="about", subject=f"user:{EVES}", text=MARK, **given),
        Memory(id="from", subject="tea", text=MARK, source=eves.id, **given),
        Memory(id="of", subject="tea", text=MARK, source=session.id, **given),
        Memory(id="other", subject="tea", text="tea is warm", source=anas.id, **given),
        Profile(id=EVES, at=at, name=EVE.name),
        Spent(id="gone", at=at, usage=Usage(provider="openai", model="gpt"), user_id=EVES),
        AuditEntry(id="theirs", at=at, actor=EVE, action="reload"),
        Setting(id="guild:g1", at=at, by=EVE, values={"gap": 5}),
        Setting(id=f"channel:{dm.channel.key}", at=at, by=BEN.sender),
    )
    return hall, dm


def telling(root: Path) -> list[str]:
    """The files under a root, and the names of files, that tell of Eve."""
    return [
        str(path.relative_to(root))
        for path in sorted(root.rglob("*"))
        if MARK in path.name or (path.is_file() and path.name != LIST and MARK.encode() in path.read_bytes())
    ]


@pytest.mark.parametrize("type", ["sqlite", "file"])
async def test_nothing_tells_of_somebody_who_was_forgotten(tmp_path: Path, type: Literal["sqlite", "file"]) -> None:
    async with place(tmp_path / "sage", type) as p:
        hall, dm = await lived_in(p)
        await p.w.store.search(MARK)
        assert telling(p.root)
        done = await p.privacy.forget(EVES)
        assert done.messages == 31
        assert done.answers >= 31
        assert (done.sessions, done.touched, done.marks, done.memories, done.files) == (1, 1, 2, 3, 1)
        assert telling(p.root) == []
        assert (await p.privacy.about(EVES)).nothing
        kept = [each.text for each in await p.w.store.messages((await hall.session()).id) if each.role == "user"]
        assert kept == ["hello everybody", "ordinary words"]
        session = await hall.session()
        assert [each.name for each in session.participants] == ["Ana"]
        assert (session.title, session.context) == ("", SessionContext(active_tools=("clock",)))
        assert await p.w.store.channel(dm.channel.key) is None
        assert [each.id for each in (await p.w.store.records(Memory)).items] == ["other"]
        assert len(await p.w.store.nearest(Vector(model="small", values=(1.0, 0.0)), ["bot"])) == 1
        first = (await p.w.store.messages(session.id))[0]
        assert [each.sender.name for each in first.reactions] == ["Ben"]
        assert [hash async for hash in p.blobs.hashes()] == [first.attachments[0].blob]
        assert [each.user_id for each in (await p.w.store.records(Spent)).items if each.id == "gone"] == [""]
        setting = await p.w.store.record(Setting, "guild:g1")
        assert setting
        assert setting.values == {"gap": 5}
        heard = await hall.say(ANA, "and now?")
        assert heard.answer is not None
        assert telling(p.root) == []


async def test_who_was_forgotten_can_come_back_as_a_stranger(tmp_path: Path) -> None:
    async with place(tmp_path / "sage") as p:
        hall, dm = await lived_in(p)
        await p.privacy.forget(EVES)
        p.w.clock.advance(60)
        for room in (hall, dm):
            await room.say(EVE, "hello again")
        about = await p.privacy.about(EVES)
        assert (about.messages, about.sessions, about.private, about.memories) == (2, 2, 1, 0)
        await p.privacy.start()
        assert (await p.privacy.about(EVES)).messages == 2


async def test_what_is_told_about_somebody_counts_everything(tmp_path: Path) -> None:
    async with place(tmp_path / "sage") as p:
        await lived_in(p)
        about = await p.privacy.about(EVES)
        assert about.names == {EVE.name}
        assert (about.messages, about.sessions, about.private, about.marks, about.memories) == (31, 2, 1, 1, 3)
        assert (about.profile, about.spendings, about.records, about.files) == (True, 1, 2, 2)
        assert about.first == about.last == p.w.clock.now()
        assert (await p.privacy.about("nobody")).nothing


async def test_an_export_holds_everything_and_nothing_of_others(tmp_path: Path) -> None:
    async with place(tmp_path / "sage") as p:
        await lived_in(p)
        chunks = [chunk async for chunk in p.privacy.export(EVES)]
        with zipfile.ZipFile(io.BytesIO(b"".join(chunks))) as zip:
            assert zip.testzip() is None
            names = zip.namelist()
            assert [name for name in names if not name.startswith("attachments/")] == [
                "README.txt",
                "messages.md",
                "messages.json",
                "sessions.json",
                "marks.json",
                "memories.json",
                "records.json",
                "profile.json",
            ]
            files = sorted(zip.read(name) for name in names if name.startswith("attachments/"))
            assert files == [b"shared file", f"{MARK} file".encode()]
            told = json.loads(zip.read("messages.json"))
            assert len([each for each in told if each["role"] == "user"]) == 31
            assert b"ordinary words" not in zip.read("messages.md")
            assert f"private {MARK}".encode() in zip.read("messages.md")
            assert len(json.loads(zip.read("marks.json"))) == 2
            assert {each["id"] for each in json.loads(zip.read("memories.json"))} == {"about", "from", "of"}
            sessions = zip.read("sessions.json")
            assert len(json.loads(sessions)) == 2
            assert not [word for word in (b"Ana", b"On ", b"spoke of") if word in sessions], "others' names and words"
            records = json.loads(zip.read("records.json"))
            assert [each["kind"] for each in records] == ["spent", "audit", "setting"]
        small = b"".join([chunk async for chunk in p.privacy.export(EVES, files=False)])
        with zipfile.ZipFile(io.BytesIO(small)) as zip:
            assert not [name for name in zip.namelist() if name.startswith("attachments/")]
        unfinished = p.privacy.export(EVES)
        assert await anext(unfinished)
        await unfinished.aclose()


async def backed_up(p: Place) -> Manifest:
    subject = Subject("sage", "sqlite", p.w.store, p.blobs)  # type: ignore[arg-type]
    async with workspace(p.root) as work:
        return await back_up(subject, p.backups, work, now=p.w.clock.now, program="1")


@pytest.mark.parametrize("type", ["sqlite", "file"])
async def test_a_restored_backup_leaves_out_who_was_forgotten_since(
    tmp_path: Path, type: Literal["sqlite", "file"]
) -> None:
    async with place(tmp_path / "sage") as p:
        await lived_in(p)
        said = await backed_up(p)
        p.w.clock.advance(60)
        await p.privacy.forget(EVES)
    new = tmp_path / "new"
    done = await restore(p.backups, said, new, type=type, bot="sage")
    assert (done.forgotten, done.removed > 31) == (1, True)
    assert telling(new) == []
    assert await listed(Folder(new)) == {EVES: p.w.clock.now()}
    store = await connect("sage", new, type=type)
    try:
        assert await store.record(Tombstone, EVES) == Tombstone(id=EVES, at=p.w.clock.now())
        assert await store.counts() == done.counts
        assert await store.search("ordinary")
    finally:
        await store.close()


async def test_a_database_copied_by_hand_leaves_them_out_by_the_list_beside_it(tmp_path: Path) -> None:
    async with place(tmp_path / "sage") as p:
        await lived_in(p)
        copy = tmp_path / "copies"
        copy.mkdir()
        await p.w.store.snapshot(copy / "conversations.db")  # type: ignore[attr-defined]
        await p.privacy.forget(EVES)
    assert (await restore_database(copy / "conversations.db", tmp_path / "as it was", bot="sage")).forgotten == 0
    (copy / LIST).write_bytes((p.root / LIST).read_bytes())
    assert (await restore_database(copy / "conversations.db", tmp_path / "new", bot="sage")).forgotten == 1
    assert telling(tmp_path / "new") == []


async def test_a_list_that_says_nothing_is_not_passed_over(tmp_path: Path) -> None:
    async with place(tmp_path / "sage") as p:
        await lived_in(p)
        said = await backed_up(p)
    (tmp_path / "backups" / LIST).write_text("somebody\n")
    with pytest.raises(StorageError, match=r"Line 1 of forgotten.jsonl in .* does not say who"):
        await restore(p.backups, said, tmp_path / "new", bot="sage")
    assert not (tmp_path / "new").exists()


async def test_forgetting_that_was_cut_off_is_finished_at_the_next_start(tmp_path: Path) -> None:
    async with place(tmp_path / "sage") as p:
        await lived_in(p)
        at = p.w.clock.now().isoformat()
        (p.root / LIST).write_text(json.dumps({"user_id": EVES, "at": at}) + "\n")
        await p.privacy.start()
        assert telling(p.root) == []
        assert await listed(p.backups.place) == {EVES: p.w.clock.now()}


async def test_archives_are_written_anew_without_them_and_bring_nobody_back(tmp_path: Path) -> None:
    async with place(tmp_path / "sage") as p:
        hall, _ = await lived_in(p)
        folder = p.root / "archives"
        for rooms in ([hall], [p.w.room("elsewhere")]):
            archive = Archive(folder, bot="sage", program="1", at=p.w.clock.now(), blobs=p.blobs)
            await rooms[0].say(BEN, "me too")
            await archive.add(p.w.store, await rooms[0].session())
            await archive.finish()
        old = sorted(folder.glob("*.zip"))
        outside = tmp_path / "outside.zip"
        outside.write_bytes(old[0].read_bytes())
        await p.privacy.forget(EVES)
        assert len(sorted(folder.glob("*.zip"))) == 2
        assert old[1].exists()
        for path in folder.glob("*.zip"):
            with zipfile.ZipFile(path) as zip:
                assert not [name for name in zip.namelist() if MARK.encode() in zip.read(name)]
        back = await restore_archive(outside, p.w.store, p.blobs)
        assert back.messages > 31
        assert telling(p.root) == []
        assert not (p.root / "forget.work").exists()


async def test_what_was_said_in_a_guild_goes_some_time_after_the_bot_left_it(tmp_path: Path) -> None:
    async with place(tmp_path / "sage") as p:
        hall, dm = await lived_in(p)
        there = p.w.room("there", guild="g2")
        await there.say(ANA, "hello")
        session = await hall.session()
        await p.w.store.save_session(session.model_copy(update={"starred": True}))
        await p.privacy.leaving("g1")
        await p.privacy.leaving("g2")
        await p.privacy.came_back("g2")
        config = settings(storage={"path": str(p.root), "retention": {"runs": 86_400}})
        cleaner = Cleaner(config, p.w.store, now=p.w.clock.now, program="1", blobs=p.blobs, breath=0)
        p.w.clock.advance(timedelta(days=29).total_seconds())
        assert "session" not in (await cleaner.clean_up()).totals
        p.w.clock.advance(timedelta(days=2).total_seconds())
        told: list[str] = []

        async def say(line: str) -> None:
            told.append(line)

        await cleaner.tell(say, dry_run=True)
        kinds = [json.loads(line)["kind"] for line in told[:-1]]
        assert kinds == ["session", "channel", "setting", "run"]
        assert "the bot left its guild on 2026-03-02, and 30 days is the limit" in told[0]
        swept = await cleaner.clean_up()
        assert swept.archives == []
        assert {kind: total.items for kind, total in swept.totals.items()} == {
            "session": 1,
            "channel": 1,
            "setting": 1,
            "run": 1,
        }
        assert [each.key for each in await p.w.store.channels()] == sorted([dm.channel.key, there.channel.key])
        assert (await p.w.store.records(Run)).items == ()
