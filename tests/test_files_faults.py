"""Trouble with files: edits by hand, crashes at any moment, full disks, torn and unreadable lines."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage.amendments import Edited
from storage.backends.files import FilesStore
from storage.errors import Unavailable
from storage.records import Memory, Profile
from tests.contracts.samples import NOON, later, memory, message, said, session, words

HOUSE = Path(__file__).parent.parent
S1 = Path("channels/general_100/s1")


async def spoken(root: Path, many: int = 3) -> FilesStore:
    """A store in whose first session some lines were said."""
    store = await FilesStore.open_files(root, "sage")
    for number in range(1, many + 1):
        await store.append(session(last_at=later(number)), said(number, f"tea number {number}"))
    return store


async def again(root: Path) -> FilesStore:
    return await FilesStore.open_files(root, "sage")


async def texts(store: FilesStore, within: str = "s1") -> list[str]:
    return [kept.text for kept in await store.messages(within, 10**6)]


def child(script: str, *arguments: object) -> subprocess.Popen[str]:
    """A real process that runs `script`; what it prints comes through its `stdout`."""
    command = [sys.executable, "-c", f"from tests.test_files_faults import *\n{script}", *map(str, arguments)]
    return subprocess.Popen(command, cwd=HOUSE, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


def lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    return (line.rstrip("\n") for line in process.stdout)


# Edits by hand, while the store is closed


def reword(root: Path) -> None:
    file = root / S1 / "messages.jsonl"
    file.write_text(file.read_text("utf-8").replace("tea number 2", "ale number 2"), "utf-8")


def as_windows_does(root: Path) -> None:
    file = root / S1 / "messages.jsonl"
    told = file.read_text("utf-8").replace("tea number 2", "ale number 2").replace("\n", "\r\n")
    file.write_bytes(b"\xef\xbb\xbf" + told.encode() + b"\r\n")


def take_out(root: Path) -> None:
    file = root / S1 / "messages.jsonl"
    file.write_text(
        "".join(line + "\n" for line in file.read_text("utf-8").splitlines() if '"m2"' not in line), "utf-8"
    )


def garble(root: Path) -> None:
    file = root / S1 / "messages.jsonl"
    first, second, third = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(first + second[: len(second) // 2] + b"\xff\n" + third)


def tear(root: Path) -> None:
    file = root / S1 / "messages.jsonl"
    os.truncate(file, file.stat().st_size - 9)


def empty(root: Path) -> None:
    os.truncate(root / S1 / "messages.jsonl", 0)


@pytest.mark.parametrize(
    ("edit", "left", "problem"),
    [
        (reword, ["tea number 1", "ale number 2", "tea number 3"], None),
        (as_windows_does, ["tea number 1", "ale number 2", "tea number 3"], None),
        (take_out, ["tea number 1", "tea number 3"], None),
        (garble, ["tea number 1", "tea number 3"], "messages.jsonl:2: this line cannot be read"),
        (tear, ["tea number 1", "tea number 2"], "its last line was torn off"),
        (empty, [], None),
    ],
)
async def test_an_edit_by_hand_is_noticed(
    tmp_path: Path, edit: Callable[[Path], None], left: list[str], problem: str | None
) -> None:
    await (await spoken(tmp_path)).close()
    edit(tmp_path)
    store = await again(tmp_path)
    assert await texts(store) == left
    assert [each.message.text for each in await store.search("number")] == left[::-1]
    assert bool(store.problems) == (problem is not None)
    assert problem is None or problem in store.problems[0]
    assert await store.append(session(last_at=later(9)), said(9, "tea number 9"))
    await store.close()
    (tmp_path / "index.db").unlink()
    store = await again(tmp_path)
    assert await texts(store) == [*left, "tea number 9"]
    await store.close()


async def test_a_line_nobody_can_read_is_never_lost(tmp_path: Path) -> None:
    await (await spoken(tmp_path)).close()
    garble(tmp_path)
    odd = (tmp_path / S1 / "messages.jsonl").read_bytes().splitlines()[1]
    store = await again(tmp_path)
    await store.amend("m1", Edited(parts=words("cake"), at=later(9)))
    await store.remove_messages(["m3"])
    await store.save_session(session(last_at=later(3), closed_at=later(10)))
    first, second, *rest = (tmp_path / S1.with_name("s1_3s") / "messages.jsonl").read_bytes().splitlines()
    assert (json.loads(first)["parts"][0]["text"], second) == ("cake", odd)
    assert [json.loads(each) for each in rest] == [{"last_at": "2024-01-08T12:00:03.000000Z"}]
    await store.close()


async def test_a_folder_that_was_moved_is_found_where_it_is(tmp_path: Path) -> None:
    await (await spoken(tmp_path)).close()
    (tmp_path / S1).rename(tmp_path / "channels" / "general_100" / "about tea")
    store = await again(tmp_path)
    assert (await texts(store), store.problems) == (["tea number 1", "tea number 2", "tea number 3"], [])
    assert await store.append(session(last_at=later(9)), said(9, "more"))
    await store.close()


async def test_a_folder_that_was_copied_is_told_once(tmp_path: Path) -> None:
    await (await spoken(tmp_path)).close()
    shutil.copytree(tmp_path / S1, tmp_path / "channels" / "general_100" / "s1 copy")
    store = await again(tmp_path)
    assert len(await texts(store)) == (await store.counts()).messages == 3
    assert ["is a copy of" in each for each in store.problems] == [True]
    await store.close()


@pytest.mark.parametrize("index", ["kept", "gone"])
@pytest.mark.parametrize("meta", [None, "{oops"])
async def test_a_session_without_its_own_file_is_read_from_its_lines(
    tmp_path: Path, meta: str | None, index: str
) -> None:
    await (await spoken(tmp_path)).close()
    (tmp_path / S1 / "session_meta.json").unlink()
    if meta:
        (tmp_path / S1 / "session_meta.json").write_text(meta, "utf-8")
    if index == "gone":
        (tmp_path / "index.db").unlink()
    store = await again(tmp_path)
    assert len(await texts(store)) == 3
    assert ["session_meta.json" in each for each in store.problems] == [True]
    await store.append(session(last_at=later(9), title="Tea"), said(9, "more"))
    await store.close()
    store = await again(tmp_path)
    assert (len(await texts(store)), store.problems) == (4, [])
    await store.close()


async def test_links_are_not_followed(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    await (await spoken(outside)).close()
    await (await spoken(root, 1)).close()
    (root / "channels" / "general_100" / "s2").symlink_to(outside / S1)
    (root / "channels" / "lobby_2").symlink_to(outside / "channels" / "general_100")
    (root / S1 / "messages.jsonl").unlink()
    (root / S1 / "messages.jsonl").symlink_to(outside / S1 / "messages.jsonl")
    store = await again(root)
    assert (await store.counts()).messages == 0
    assert len([each for each in store.problems if "is a link" in each]) == 2
    with pytest.raises(Unavailable, match=r"messages\.jsonl could not be written"):
        await store.append(session(), message(9))
    await store.close()
    assert len((outside / S1 / "messages.jsonl").read_bytes().splitlines()) == 3


async def test_sessions_and_records_removed_by_hand_are_gone(tmp_path: Path) -> None:
    store = await spoken(tmp_path)
    await store.keep(memory("k1", 1.0), memory("k2", 1.0), Profile(id="7", at=NOON, name="Ann"))
    await store.close()
    shutil.rmtree(tmp_path / S1)
    shutil.rmtree(tmp_path / "users")
    memories = tmp_path / "memory" / "memories.jsonl"
    memories.write_bytes(memories.read_bytes().splitlines(keepends=True)[1])
    store = await again(tmp_path)
    counted = await store.counts()
    assert (counted.sessions, counted.messages, counted.records) == (0, 0, {"memory": 1})
    assert [each.id for each in (await store.records(Memory)).items] == ["k2"]
    await store.close()


async def test_deeply_nested_and_naive_lines_are_left_alone(tmp_path: Path) -> None:
    await (await spoken(tmp_path, 1)).close()
    naive = {**json.loads(message(5).model_dump_json()), "at": "2024-01-08T12:00:00"}
    with (tmp_path / S1 / "messages.jsonl").open("a") as file:
        file.write("[" * 100_000 + "\n" + json.dumps(naive) + "\n" + '{"amend": "m77", "change": {"type": "pin"}}\n')
    store = await again(tmp_path)
    assert await texts(store) == ["tea number 1"]
    assert len(store.problems) == 3
    await store.close()


# While the store is open


async def test_a_file_that_an_editor_saved_meanwhile_loses_nothing(tmp_path: Path) -> None:
    store = await spoken(tmp_path)
    file = tmp_path / S1 / "messages.jsonl"
    (tmp_path / "draft").write_text(file.read_text("utf-8").replace("number 2", "of 2").rstrip("\n"), "utf-8")
    (tmp_path / "draft").replace(file)
    assert await store.append(session(last_at=later(4)), said(4, "tea number 4"))
    await store.close()
    store = await again(tmp_path)
    assert await texts(store) == ["tea number 1", "tea of 2", "tea number 3", "tea number 4"]
    await store.close()


# Crashes


TALKER = """
import asyncio
from storage.amendments import Pinned
async def talk():
    store = await again(Path(sys.argv[1]))
    start = int(sys.argv[2])
    async def caller(name):
        for number in range(start + name, 10**9, 8):
            within = f"s{number % 5}"
            about = session(within, last_at=later(number), closed_at=later(number) if number % 7 == 0 else None)
            assert await store.append(about, message(number, within))
            print(f"m{number}", flush=True)
            if number % 3 == 0:
                await store.amend(f"m{number}", Pinned())
                print(f"pinned m{number}", flush=True)
            if number % 11 == 0:
                await store.keep(memory(f"k{number}"))
                await store.remove_messages([f"m{number}"])
                print(f"gone m{number}", flush=True)
    await asyncio.gather(*map(caller, range(8)))
asyncio.run(talk())
"""


async def test_kill_9_at_any_moment_loses_and_doubles_nothing(tmp_path: Path) -> None:
    told: list[str] = []
    for turn, enough in enumerate((3, 50, 131, 200)):
        start = 10_000 * (turn + 1)
        with child(TALKER, tmp_path, start) as talker:
            for count, line in enumerate(lines(talker)):
                told.append(line)
                if count == enough:
                    talker.kill()
        assert len(told) > enough
        if turn == 1:
            (tmp_path / "index.db").unlink()
        store = await again(tmp_path)
        assert [each for each in store.problems if "torn off" not in each] == []
        await _check(store, told)
        await store.close()
    assert not (tmp_path / ".aside").exists() or list((tmp_path / ".aside").iterdir()) == []


async def _check(store: FilesStore, told: list[str]) -> None:
    page = [kept for name in range(5) for kept in await store.messages(f"s{name}", 10**6)]
    kept = {each.id: each for each in page}
    gone = {line.removeprefix("gone ") for line in told if line.startswith("gone ")}
    asked = {f"m{number}" for number in map(_number, told) if number % 11 == 0}
    assert len(kept) == len(page) == (await store.counts()).messages
    assert {line for line in told if line.startswith("m")} - asked <= set(kept)
    assert not gone & set(kept)
    assert all(kept[line[7:]].pinned for line in told if line.startswith("pinned") and line[7:] in kept)


def _number(line: str) -> int:
    return int(line.rpartition("m")[2])


# Full disks and failing commits


FULL_DISK = """
import asyncio, resource
async def fill():
    root = Path(sys.argv[1])
    store = await again(root)
    assert await store.append(session(), message(0))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), before[1]))
    kept = 1
    try:
        while True:
            await store.append(session(), message(kept))
            kept += 1
    except Unavailable as error:
        print(error)
    told = [message(10**6 + number, f"s{number}", parts=words("x" * 400_000)) for number in range(20)]
    refused = await asyncio.gather(
        *(store.append(session(each.session_id), each) for each in told), return_exceptions=True
    )
    assert [type(each) for each in refused] == [Unavailable] * 20, refused
    assert len(await store.messages("s1", 10**6)) == kept
    assert [path.name for path in (root / "channels" / "general_100").iterdir() if path.is_dir()] == ["s1"]
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert await store.append(session(), message(kept))
    await store.close()
    (root / "index.db").unlink()
    store = await again(root)
    assert (store.problems, len(await store.messages("s1", 10**6))) == ([], kept + 1)
    await store.close()
asyncio.run(fill())
"""


@pytest.mark.parametrize("room", [30_000, 300_000])
async def test_a_full_disk_is_said_and_survived(tmp_path: Path, room: int) -> None:
    with child(FULL_DISK, tmp_path, room) as filler:
        (sentence,) = lines(filler)
    assert filler.returncode == 0
    assert "check that the disk has room" in sentence


REFUSED = """
import asyncio, resource
def files():
    return {path: path.read_bytes() for path in Path(sys.argv[1]).rglob("*") if path.suffix in (".json", ".jsonl")}
async def refuse():
    store = await spoken(Path(sys.argv[1]))
    await store.keep(memory("k1"), Profile(id="7", at=NOON, name="Ann"))
    before, limit = files(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, limit[1]))
    for change in (
        lambda: store.append(session(last_at=later(9)), message(9)),
        lambda: store.append(session("s2"), message(9, "s2")),
        lambda: store.save_session(session(title="Tea", closed_at=later(9))),
        lambda: store.remove_messages(["m1"]),
        lambda: store.remove_sessions(["s1"]),
        lambda: store.keep(memory("k2"), Profile(id="7", at=NOON, name="Ben")),
        lambda: store.remove_records(Memory, ["k1"]),
        lambda: store.remove_records(Profile, ["7"]),
    ):
        try:
            await change()
        except Unavailable as error:
            print(error)
        assert files() == before
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert await store.append(session("s2"), message(9, "s2"))
    assert await texts(store) == ["tea number 1", "tea number 2", "tea number 3"]
    await store.close()
asyncio.run(refuse())
"""


async def test_what_the_index_cannot_commit_is_not_left_in_the_files(tmp_path: Path) -> None:
    with child(REFUSED, tmp_path) as refused:
        said = list(lines(refused))
    assert refused.returncode == 0
    assert [f"{tmp_path}/index.db could not be" in sentence for sentence in said] == [True] * 8
    store = await again(tmp_path)
    assert (store.problems, (await store.counts()).messages) == ([], 4)
    await store.close()


SECOND = """
import asyncio
from storage.errors import StorageError
try:
    asyncio.run(again(Path(sys.argv[1])))
except StorageError as error:
    print(error)
"""


async def test_another_process_is_refused_while_this_one_is_there(tmp_path: Path) -> None:
    store = await spoken(tmp_path)
    with child(SECOND, tmp_path) as second:
        assert [f"is in use by process {os.getpid()}" in line for line in lines(second)] == [True]
    await store.close()
