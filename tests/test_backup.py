"""Backups: made while the bot writes, told apart, proven by a rehearsal, thinned out by tiers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import connect
from storage.backend import Freezes, Store
from storage.backends.sqlite import SqliteStore
from storage.backup import Beside, Subject, back_up, outdated, workspace
from storage.blobs import Blobs
from storage.errors import Unavailable
from storage.manifest import Destination, Manifest, Shelf, shelf
from storage.model import Channel, Counts, Message, Sender, Session, Text
from storage.place import Folder
from storage.rehearsal import prove
from storage.tiers import Tiers, kept

if TYPE_CHECKING:
    from tests.s3 import S3

pytest_plugins = ("tests.s3",)

HOUSE = Path(__file__).parent.parent
NOON = datetime(2024, 1, 8, 12, 0, tzinfo=UTC)
GENERAL = Channel(front="discord", id="100", kind="channel", name="general")
SESSION = Session(id="s1", channel=GENERAL, opened_at=NOON, last_at=NOON)


def message(number: int) -> Message:
    ann = Sender(type="user", id="7", name="Ann")
    at = NOON + timedelta(seconds=number)
    return Message(
        id=f"m{number}", session_id="s1", role="user", sender=ann, parts=(Text(text=f"line {number}"),), at=at
    )


async def pieces(content: bytes) -> AsyncGenerator[bytes, None]:
    yield content


class Keeper:
    """Somebody who looks after one bot's backups, with a clock that stands where it is put."""

    def __init__(
        self, root: Path, store: Store, to: Destination, *, bot: str = "sage", backend: str = "sqlite"
    ) -> None:
        self.root, self.store, self.to, self.bot, self.backend = root, store, to, bot, backend
        self.blobs = Blobs(Folder(root / "attachments"), root)
        self.clock = NOON

    def now(self) -> datetime:
        return self.clock

    async def make(self) -> Manifest:
        """A backup that is not proven yet."""
        beside = Beside(self.root / "conversations.db")
        subject = Subject(self.bot, self.backend, self.store if isinstance(self.store, Freezes) else beside, self.blobs)
        async with workspace(self.root) as work:
            return await back_up(subject, self.to, work, now=self.now, program="1.2.3")

    async def prove(self, said: Manifest, *, thorough: bool = False) -> Manifest:
        async with workspace(self.root) as work:
            return await prove(self.to, said, work, now=self.now, thorough=thorough)

    async def made_and_proven(self) -> Manifest:
        proven = await self.prove(await self.make())
        assert proven.trouble == ""
        return proven

    async def attach(self, content: bytes) -> str:
        return (await self.blobs.keep(pieces(content), limit=1 << 20)).hash

    def file(self, name: str) -> Path:
        return self.root / "backups" / name


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "sage", "sage")
    yield opened
    await opened.close()


@pytest.fixture
async def keeper(store: SqliteStore, tmp_path: Path) -> Keeper:
    await asyncio.gather(*(store.append(SESSION, message(number)) for number in range(300)))
    root = tmp_path / "sage"
    return Keeper(root, store, Destination.at(str(root / "backups"), spool=root))


# Making one


async def test_a_backup_is_named_after_its_day_and_says_what_it_holds(keeper: Keeper) -> None:
    made = await keeper.made_and_proven()
    assert sorted(path.name for path in (keeper.root / "backups").glob("c*")) == [
        "conversations_2024-01-08.db.zst",
        "conversations_2024-01-08.json",
    ]
    told = json.loads(keeper.file("conversations_2024-01-08.json").read_text())
    assert (told["bot"], told["backend"], told["program"]) == ("sage", "sqlite", "1.2.3")
    assert told["counts"]["messages"] == 300
    assert told["schema_version"] >= 2
    assert told["proven_at"] == "2024-01-08T12:00:00Z"
    assert made.packed_size == keeper.file(made.database).stat().st_size < made.size
    assert (await shelf(keeper.to.place)).backups == (made,)


async def test_a_second_one_on_the_same_day_has_a_name_of_its_own(keeper: Keeper) -> None:
    names = [(await keeper.made_and_proven()).name for _ in range(3)]
    assert names == ["conversations_2024-01-08", "conversations_2024-01-08_2", "conversations_2024-01-08_3"]
    assert [each.name for each in (await shelf(keeper.to.place)).backups] == names


async def test_nothing_is_left_in_the_root_but_the_backup(keeper: Keeper) -> None:
    before = {path.name for path in keeper.root.iterdir()}
    await keeper.made_and_proven()
    assert {path.name for path in keeper.root.iterdir()} - before == {"backups", "backup.lock"}
    assert {path.stat().st_mode & 0o077 for path in keeper.root.rglob("c*")} == {0}


async def test_a_backup_while_the_bot_writes_holds_one_moment(keeper: Keeper) -> None:
    acknowledged, begun = 300, asyncio.Event()

    async def talk() -> None:
        nonlocal acknowledged
        while True:
            await keeper.store.append(SESSION, message(acknowledged))
            acknowledged += 1
            begun.set()

    talking = asyncio.create_task(talk())
    await begun.wait()
    before = acknowledged
    made = await keeper.make()
    after = acknowledged
    proven = await keeper.prove(made)
    talking.cancel()
    await asyncio.gather(talking, return_exceptions=True)
    assert before <= made.counts.messages <= after
    assert after > before, "nobody could write while the backup was made"
    assert proven.trouble == ""


async def test_another_process_can_back_up_what_a_bot_is_writing_to(keeper: Keeper, tmp_path: Path) -> None:
    await Beside(keeper.root / "conversations.db").snapshot(tmp_path / "conversations.db")
    copied = await connect("sage", tmp_path)
    assert (await copied.counts()).messages == 300
    await copied.close()


async def test_only_one_backup_is_made_at_a_time(keeper: Keeper) -> None:
    async with workspace(keeper.root) as work:
        (work / "conversations.db").write_bytes(b"half")
        for _ in range(2):
            with pytest.raises(Unavailable, match="right now: wait until it is done"):
                await keeper.make()
        assert (work / "conversations.db").read_bytes() == b"half", "the one that is being made is not touched"
    assert not work.exists()
    await keeper.make()


async def test_what_a_killed_backup_left_is_swept(keeper: Keeper) -> None:
    (keeper.root / "backup.work").mkdir()
    (keeper.root / "backup.work" / "conversations.db").write_bytes(b"half")
    assert (await keeper.made_and_proven()).counts.messages == 300


async def test_backups_go_to_a_bucket(keeper: Keeper, s3: S3) -> None:
    keeper.to = Destination.at(s3.corner(), s3.options, spool=keeper.root)
    await keeper.attach(b"a picture")
    made = await keeper.made_and_proven()
    assert made.blobs == 1
    assert (await keeper.prove(made, thorough=True)).trouble == ""
    assert (await shelf(keeper.to.place)).newest_proven == made
    assert not (keeper.root / "backups").exists()


# Attachments


async def test_attachments_are_copied_once_and_shared(keeper: Keeper) -> None:
    first, second = await keeper.attach(b"one"), await keeper.attach(b"two")
    one = await keeper.made_and_proven()
    written = keeper.file(f"blobs/{first[:2]}/{first}").stat().st_mtime_ns
    third = await keeper.attach(b"three")
    two = await keeper.made_and_proven()
    assert (one.blobs, two.blobs) == (2, 3)
    assert keeper.file(two.blob_list).read_text().split() == sorted([first, second, third])
    assert keeper.file(f"blobs/{first[:2]}/{first}").stat().st_mtime_ns == written


async def test_an_attachment_that_rotted_keeps_nothing_else_from_being_backed_up(keeper: Keeper) -> None:
    hash = await keeper.attach(b"one")
    await keeper.attach(b"two")
    (keeper.root / "attachments" / hash[:2] / hash).write_bytes(b"0ne")
    made = await keeper.made_and_proven()
    assert (made.blobs, made.blobs_lost) == (1, 1)


# Faults


async def test_a_flipped_byte_is_found_and_the_backup_no_longer_counts_as_proven(keeper: Keeper) -> None:
    made = await keeper.made_and_proven()
    archive = keeper.file(made.database)
    damaged = bytearray(archive.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    archive.write_bytes(damaged)
    found = await keeper.prove(made)
    assert "is not the file that was put there" in found.trouble
    assert (found.proven_at, (await shelf(keeper.to.place)).newest_proven) == (None, None)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"counts": Counts(channels=1, sessions=1, open_sessions=1, messages=301)}, "holds other things than"),
        ({"sha256": "0" * 64}, "does not hold the database its manifest describes"),
        ({"size": 4096}, "does not hold the database its manifest describes"),
    ],
)
async def test_a_backup_that_is_not_what_its_manifest_says_is_found(
    keeper: Keeper, change: dict[str, Any], sentence: str
) -> None:
    made = await keeper.make()
    assert sentence in (await keeper.prove(made.model_copy(update=change))).trouble


async def test_a_cut_off_or_missing_archive_is_found(keeper: Keeper) -> None:
    made = await keeper.made_and_proven()
    archive = keeper.file(made.database)
    archive.write_bytes(archive.read_bytes()[:-100])
    assert "is not the file that was put there" in (await keeper.prove(made)).trouble
    archive.unlink()
    assert "is no whole backup" in (await keeper.prove(made)).trouble


async def test_a_missing_or_damaged_attachment_is_found(keeper: Keeper) -> None:
    hash = await keeper.attach(b"one")
    made = await keeper.made_and_proven()
    copied = keeper.file(f"blobs/{hash[:2]}/{hash}")
    copied.write_bytes(b"0ne")
    assert f"The attachment {hash} of" in (await keeper.prove(made, thorough=True)).trouble
    copied.unlink()
    assert f"The attachment {hash} of" in (await keeper.prove(made)).trouble
    await keeper.made_and_proven()
    assert (await keeper.prove(made, thorough=True)).trouble == ""


async def test_without_its_manifest_there_is_no_backup(keeper: Keeper) -> None:
    made = await keeper.made_and_proven()
    keeper.file(f"{made.name}.json").write_text("{")
    found = await shelf(keeper.to.place)
    assert (found.backups, found.newest_proven) == ((), None)
    assert found.strays == (made.database, f"{made.name}.json")
    assert (await keeper.made_and_proven()).name == "conversations_2024-01-08_2"


async def test_a_backup_that_could_not_be_rehearsed_stays_proven(keeper: Keeper) -> None:
    made = await keeper.made_and_proven()
    async with workspace(keeper.root) as work:
        (work / "conversations.db.zst").mkdir()
        found = await prove(keeper.to, made, work, now=keeper.now)
    assert found.trouble
    assert found.proven_at == made.proven_at


class LostAnswer(Folder):
    """A place that takes a manifest, and never says so."""

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> int:
        size = await super().put(name, chunks)
        if name.endswith(".json"):
            raise Unavailable("The network is gone.")
        return size


class Refusing(Folder):
    """A place that gives up in the middle of a file."""

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> int:
        self.given = chunks
        async for _ in chunks:
            break
        raise Unavailable("The network is gone.")


async def test_a_backup_whose_manifest_failed_leaves_nothing(keeper: Keeper) -> None:
    await keeper.attach(b"a picture")
    keeper.to = Destination(LostAnswer(keeper.file("")), keeper.to.blobs)
    with pytest.raises(Unavailable, match="The network is gone"):
        await keeper.make()
    assert await shelf(keeper.to.place) == Shelf((), ())


async def test_a_place_that_gives_up_ends_the_packing(keeper: Keeper) -> None:
    place = Refusing(keeper.file(""))
    keeper.to = Destination(place, keeper.to.blobs)
    with pytest.raises(Unavailable, match="The network is gone"):
        await keeper.make()
    assert [chunk async for chunk in place.given] == []


FULL_DISK = """
import resource
async def fill():
    root = Path(sys.argv[1])
    store = await SqliteStore.open(root, "sage")
    keeper = Keeper(root, store, Destination.at(str(root / "backups"), spool=root))
    await asyncio.gather(*(store.append(SESSION, message(number)) for number in range(2000)))
    await keeper.made_and_proven()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in map(int, sys.argv[2:]):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            await keeper.make()
            print("made")
        except Unavailable as error:
            print(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        held = await shelf(keeper.to.place)
        assert [each.name for each in held.backups] == ["conversations_2024-01-08"], held
        assert held.strays == (), held
        assert not list((root / "backup.work").glob("*"))
    assert await store.append(SESSION, message(2000))
    print((await keeper.made_and_proven()).counts.messages)
    await store.close()
asyncio.run(fill())
"""


def test_a_disk_that_fills_up_during_a_backup_is_said_and_costs_nothing(tmp_path: Path) -> None:
    script = f"from tests.test_backup import *\n{FULL_DISK}"
    command = [sys.executable, "-c", script, str(tmp_path), "100000", "20000"]
    said = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    first, second, messages = said.stdout.splitlines()
    assert "check that the disk has room" in first
    assert "disk" in second
    assert messages == "2001"


# Tiers

DAYS = st.lists(st.integers(0, 800), max_size=60)
TIERS = st.builds(Tiers, daily=st.integers(1, 10), weekly=st.integers(0, 10), monthly=st.integers(0, 10))


@given(days=DAYS, tiers=TIERS)
def test_tiers_keep_the_last_one_and_never_more_than_they_may(days: list[int], tiers: Tiers) -> None:
    made = [NOON + timedelta(days=day) for day in days]
    stay = kept(made, tiers)
    fresh = {place for place, day in enumerate(days) if day == days[-1]}
    assert fresh <= stay
    assert len(stay - fresh) <= tiers.daily + tiers.weekly + tiers.monthly
    assert not made or len(made) - 1 in stay
    assert len(stay) >= min(tiers.daily, len(set(days)))
    assert kept([made[place] for place in sorted(stay)], tiers) == set(range(len(stay))), "a second look removes more"


def test_a_year_of_daily_backups_is_thinned_out() -> None:
    made = [datetime(2024, 1, 1, 4, tzinfo=UTC) + timedelta(days=day) for day in range(366)]
    stay = sorted(made[place] for place in kept(made, Tiers(daily=3, weekly=2, monthly=3)))
    assert [f"{at:%m-%d}" for at in stay] == ["10-31", "11-30", "12-29", "12-30", "12-31"]


def manifest(number: int, at: datetime, *, proven: bool = True) -> Manifest:
    counts = Counts(channels=0, sessions=0, open_sessions=0, messages=0)
    sizes = {"size": 0, "sha256": "0" * 64, "packed_size": 0, "packed_sha256": "0" * 64}
    name = f"conversations_{at:%Y-%m-%d}_{number}"
    told = {"bot": "sage", "backend": "sqlite", "seconds": 0, "program": "", "schema_version": 2, "counts": counts}
    return Manifest(number=number, name=name, made_at=at, proven_at=at if proven else None, **told, **sizes)


def test_a_clock_that_was_ahead_does_not_push_out_what_is_made_now() -> None:
    ahead = [manifest(n, NOON + timedelta(days=365 + n)) for n in range(1, 8)]
    after = [manifest(n, NOON + timedelta(days=n)) for n in range(8, 11)]
    gone = outdated([*ahead, *after], Tiers(daily=7, weekly=0, monthly=0))
    assert [each.number for each in gone] == [1, 2, 3]


def test_failed_backups_never_push_out_the_newest_proven_one() -> None:
    proven = manifest(1, NOON)
    failed = [manifest(n, NOON + timedelta(days=n), proven=False) for n in range(2, 12)]
    gone = outdated([proven, *failed], Tiers(daily=3, weekly=0, monthly=0))
    assert [each.number for each in gone] == [2, 3, 4, 5, 6, 7, 8]
