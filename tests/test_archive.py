"""Archives: what is put aside comes back as it was, and a zip from a stranger is trusted in nothing."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import storage
from storage.amendments import Deleted, Edited, Pinned
from storage.archive import Archive
from storage.backend import Store
from storage.blobs import Blobs
from storage.errors import Unavailable
from storage.model import Attachment, Channel, Message, Receipt, Sender, Session, Text, Usage
from storage.place import Folder
from storage.unpacking import BadArchive, Restored, restore_archive

NOON = datetime(2024, 1, 8, 12, 0, tzinfo=UTC)
GENERAL = Channel(front="discord", id="100", kind="channel", name="../Général", guild_id="1", past_names=("old",))
ANN = Sender(type="user", id="7", name="Ann")
SAGE = Sender(type="persona", id="sage", name="Sage")
HASH = hashlib.sha256(b"a cat").hexdigest()
CAT = Attachment(type="image", name="cat.png", url="https://example.org/cat.png", blob=HASH)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await storage.connect("sage", tmp_path / "sage")
    yield opened
    await opened.close()


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await storage.connect("sage", tmp_path / "other")
    yield opened
    await opened.close()


def blobs_in(folder: Path) -> Blobs:
    return Blobs(Folder(folder / "attachments"), folder)


async def a_cat() -> AsyncIterator[bytes]:
    yield b"a "
    yield b"cat"


def session(name: str, **fields: Any) -> Session:
    hour = NOON + timedelta(hours=1)
    given = {"id": name, "channel": GENERAL, "opened_at": NOON, "last_at": hour, "closed_at": hour, **fields}
    return Session(**given)


async def two_sessions(store: Store) -> list[Session]:
    """One with everything that a message can have, and one with nothing said in it."""
    told = session("s1", title="Tea", tags=("tea",), archived=True, metadata={"a": "b"})
    usage = Usage(provider="openai", model="m", tokens_in=5, cost_micros=7)
    question = {"id": "m1", "origin": "discord:100:1", "session_id": "s1", "role": "user", "sender": ANN, "at": NOON}
    await store.keep_channel(GENERAL)
    await store.append(told, Message(**question, parts=(Text(text="Look \u2028 here"), CAT)))
    answer = {"id": "m2", "session_id": "s1", "role": "assistant", "sender": SAGE, "persona": "sage", "usage": usage}
    receipts = (Receipt(origin="discord:100:2", page=0),)
    await store.append(told, Message(**answer, at=NOON, parts=(Text(text="A cat."),), reply_to="m1", receipts=receipts))
    await store.amend("m2", Edited(parts=(Text(text="A grey cat."),), at=NOON))
    await store.amend("m2", Pinned())
    await store.save_session(session("empty", last_at=NOON, closed_at=NOON))
    kept = [await store.session(name) for name in ("s1", "empty")]
    return [each for each in kept if each]


async def archived(store: Store, folder: Path, blobs: Blobs | None = None) -> Path:
    archive = Archive(folder / "archives", bot="sage", program="1.2.3", at=NOON, blobs=blobs)
    for name in ("s1", "empty"):
        kept = await store.session(name)
        assert kept
        await archive.add(store, kept)
    path = await archive.finish()
    assert path
    return path


async def everything(store: Store) -> list[str]:
    found = (await store.browse(deleted=True)).items
    messages = (await store.read(deleted=True)).items
    channels = await store.channels()
    return [each.model_dump_json() for each in (*channels, *found, *messages)]


async def test_a_session_comes_back_as_it_was_with_its_files(store: Store, other: Store, tmp_path: Path) -> None:
    await blobs_in(tmp_path / "sage").keep(a_cat(), limit=100)
    await two_sessions(store)
    path = await archived(store, tmp_path, blobs_in(tmp_path / "sage"))
    back = blobs_in(tmp_path / "other")
    assert await restore_archive(path, other, back) == Restored(sessions=2, messages=2, known=0, files=1)
    assert await everything(other) == await everything(store)
    assert [chunk async for chunk in back.read(HASH)] == [b"a cat"]
    assert await restore_archive(path, other, back) == Restored(sessions=2, messages=0, known=2, files=0)
    assert await everything(other) == await everything(store)


async def test_people_can_read_it_without_this_program(store: Store, tmp_path: Path) -> None:
    await two_sessions(store)
    path = await archived(store, tmp_path)
    assert path.name == "2024-01-08_1.zip"
    assert path.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(path) as opened:
        assert opened.testzip() is None
        assert opened.namelist() == [
            "général_100/s1_3600s/session_meta.json",
            "général_100/s1_3600s/messages.jsonl",
            "général_100/empty_0s/session_meta.json",
            "général_100/empty_0s/messages.jsonl",
            "manifest.json",
        ]
        lines = opened.read("général_100/s1_3600s/messages.jsonl").decode().split("\n")
        manifest = json.loads(opened.read("manifest.json"))
    assert [json.loads(line)["id"] for line in lines if line] == ["m1", "m2"]
    assert (manifest["bot"], manifest["program"], manifest["sessions"], manifest["messages"]) == ("sage", "1.2.3", 2, 2)
    assert (await archived(store, tmp_path)).name == "2024-01-08_2.zip"


async def test_what_was_deleted_is_not_in_it(store: Store, tmp_path: Path) -> None:
    await two_sessions(store)
    await store.amend("m1", Deleted(at=NOON))
    with zipfile.ZipFile(await archived(store, tmp_path)) as opened:
        assert b"Look" not in b"".join(opened.read(name) for name in opened.namelist())


async def test_names_from_outside_stay_inside_their_folder(store: Store, tmp_path: Path) -> None:
    for name in ("../../etc/passwd", "..", "a/b", "a:b"):
        await store.save_session(session(name))
    archive = Archive(tmp_path, bot="sage", program="1", at=NOON)
    for each in (await store.browse()).items:
        await archive.add(store, each)
    path = await archive.finish()
    assert path
    with zipfile.ZipFile(path) as opened:
        folders = {name.split("/")[1] for name in opened.namelist() if "/" in name}
    assert folders == {"etc-passwd_3600s", "_3600s", "a-b_3600s", "a-b_3600s_2"}


async def test_what_the_bot_knows_already_is_left_as_it_is(store: Store, tmp_path: Path) -> None:
    await two_sessions(store)
    path = await archived(store, tmp_path)
    await store.keep_channel(GENERAL.model_copy(update={"name": "renamed"}))
    await store.save_session(session("s1", title="Coffee", starred=True))
    await store.amend("m1", Edited(parts=(Text(text="Tea?"),), at=NOON))
    before = await everything(store)
    await store.remove_messages(["m2"])
    assert await restore_archive(path, store) == Restored(sessions=2, messages=1, known=1, files=0)
    assert await everything(store) == before


async def test_what_answers_took_is_not_counted_twice(store: Store, tmp_path: Path) -> None:
    await two_sessions(store)
    path = await archived(store, tmp_path)
    before = await store.spending("day", NOON, NOON + timedelta(days=1))
    assert before[0].answers == 1
    await store.remove_sessions(["s1"])
    assert await store.spending("day", NOON, NOON + timedelta(days=1)) == before
    await restore_archive(path, store)
    assert await store.spending("day", NOON, NOON + timedelta(days=1)) == before


async def test_what_an_answer_took_is_not_forgotten_when_another_stands_in_its_place(
    store: Store, tmp_path: Path
) -> None:
    usage = Usage(provider="openai", model="m", tokens_in=5, cost_micros=7)
    told = {"session_id": "s1", "role": "assistant", "sender": SAGE, "at": NOON, "parts": (Text(text="Hi."),)}
    await store.append(session("s1"), Message(id="m1", origin="discord:100:1", usage=usage, **told))
    await store.save_session(session("empty"))
    path = await archived(store, tmp_path)
    before = await store.spending("day", NOON, NOON + timedelta(days=1))
    await store.remove_sessions(["s1"])
    await store.append(session("s1"), Message(id="m2", origin="discord:100:1", **told))
    assert (await restore_archive(path, store)).known == 1
    assert await store.spending("day", NOON, NOON + timedelta(days=1)) == before


async def test_a_folder_that_takes_nothing_is_said(store: Store, tmp_path: Path) -> None:
    await two_sessions(store)
    (tmp_path / "archives").write_text("a file where the folder should be")
    with pytest.raises(Unavailable, match=r"archives cannot take an archive .* Nothing was removed"):
        await archived(store, tmp_path)


async def test_an_archive_that_is_given_up_leaves_no_zip(store: Store, tmp_path: Path) -> None:
    await two_sessions(store)
    archive = Archive(tmp_path / "archives", bot="sage", program="1", at=NOON)
    await archive.add(store, session("s1"))
    await archive.drop()
    assert await archive.finish() is None
    assert [path.name for path in (tmp_path / "archives").rglob("*") if path.is_file()] == ["lock"]


Files = dict[str, bytes]
META, LINES = "général_100/s1_3600s/session_meta.json", "général_100/s1_3600s/messages.jsonl"


def manifest(files: Files) -> bytes:
    members = {name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    said = {"bot": "sage", "program": "1", "made_at": "2024-01-08T12:00:00Z", "sessions": 1, "messages": 2}
    return json.dumps({**said, "members": members}).encode()


def forged(path: Path, change: Callable[[Files], object], *, honest: bool) -> Path:
    """The same zip with other contents; an honest one has a manifest that knows of it."""
    with zipfile.ZipFile(path) as opened:
        files = {name: opened.read(name) for name in opened.namelist()}
    change(files)
    if honest:
        del files["manifest.json"]
        files["manifest.json"] = manifest(files)
    target = path.with_name("forged.zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in files.items():
            opened.writestr(name, data)
    return target


def line(number: int, data: bytes) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        lines = files[LINES].splitlines(keepends=True)
        lines[number - 1] = data + b"\n"
        files[LINES] = b"".join(lines)

    return change


def swap(old: bytes, new: bytes) -> Callable[[Files], None]:
    return lambda files: files.update({LINES: files[LINES].replace(old, new)})


HOSTILE: list[tuple[Callable[[Files], object], bool, str]] = [
    (swap(b"A grey cat.", b"A grey dog."), False, "is not what its manifest.json says"),
    (swap(b"A grey cat.", b"A cat"), False, "is not what its manifest.json says"),
    (line(2, b"{"), True, r"messages\.jsonl in it has no message in line 2"),
    (line(1, b'{"id": "m1"}'), True, r"no message in line 1 \(session_id: Field required\)"),
    (swap(b'"session_id":"s1"', b'"session_id":"s2"'), True, "has a message of another session in line 1"),
    (lambda files: files.update({META: b"[]"}), True, "session_meta.json in it is not a session"),
    (lambda files: files.update({"../../evil": b"x"}), True, r"a file with the path \.\./\.\./evil"),
    (lambda files: files.update({"/evil": b"x"}), True, "a file with the path /evil"),
    (lambda files: files.update({"a\\evil": b"x"}), True, "a file with the path"),
    (lambda files: files.update({"more": b"x"}), False, "holds more, which its manifest.json says otherwise about"),
    (lambda files: files.update({"more": b"x"}), True, "more in it belongs to no session"),
    (lambda files: files.update({"blobs/" + "0" * 64: b"x"}), True, "belongs to no session"),
    (lambda files: files.pop(LINES), True, "belongs to no session"),
    (lambda files: files.pop(LINES), False, "lacks .*messages.jsonl"),
    (lambda files: files.update({"manifest.json": b"{}"}), False, "its manifest.json is damaged"),
    (lambda files: files.pop("manifest.json"), False, "has no manifest.json"),
    (line(1, b" " * (1 << 25)), True, "has no message in line 1"),
]


@pytest.mark.parametrize(("change", "honest", "said"), HOSTILE)
async def test_a_forged_archive_is_refused_and_nothing_of_it_is_kept(
    store: Store, other: Store, tmp_path: Path, change: Callable[[Files], object], honest: bool, said: str
) -> None:
    await two_sessions(store)
    path = forged(await archived(store, tmp_path), change, honest=honest)
    with pytest.raises(BadArchive, match=rf"^forged\.zip cannot be read back: .*{said}.*Nothing was taken from it\.$"):
        await restore_archive(path, other)
    assert await everything(other) == []


async def test_a_session_of_the_same_name_elsewhere_is_not_touched(store: Store, other: Store, tmp_path: Path) -> None:
    await two_sessions(store)
    path = await archived(store, tmp_path)
    await other.save_session(session("s1", channel=GENERAL.model_copy(update={"id": "300"})))
    before = await everything(other)
    with pytest.raises(BadArchive, match="the session s1 is kept in"):
        await restore_archive(path, other)
    assert await everything(other) == before


@pytest.mark.parametrize("cut", [10, 100, -30])
async def test_half_an_archive_and_no_zip_at_all_are_refused(store: Store, tmp_path: Path, cut: int) -> None:
    await two_sessions(store)
    path = await archived(store, tmp_path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(BadArchive, match="it is not a zip, or not a whole one"):
        await restore_archive(path, store)


async def test_flipped_bits_are_found_wherever_they_are(store: Store, other: Store, tmp_path: Path) -> None:
    await two_sessions(store)
    path = await archived(store, tmp_path)
    whole = path.read_bytes()
    untouched = 0
    for place in range(0, len(whole), 37):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            await restore_archive(path, other)
        except BadArchive:
            continue
        untouched += 1  # a time or a permission in the zip's own directory
        assert await everything(other) == await everything(store)
    assert untouched < len(whole) / 37 / 2
