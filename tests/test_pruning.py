"""Pruning: backups that no tier keeps go, and whatever else lies there stays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from storage.backends.sqlite import SqliteStore
from storage.backup import prune
from storage.errors import Unavailable
from storage.manifest import Destination, Manifest, shelf
from storage.place import Folder
from storage.tiers import Tiers
from tests.test_backup import SESSION, Keeper, message

ONE = Tiers(1, 0, 0)


@pytest.fixture
async def keeper(tmp_path: Path) -> AsyncIterator[Keeper]:
    root = tmp_path / "sage"
    store = await SqliteStore.open(root, "sage")
    await store.append(SESSION, message(0))
    yield Keeper(root, store, Destination.at(str(root / "backups"), spool=root))
    await store.close()


async def two_days(keeper: Keeper) -> tuple[Manifest, Manifest, str]:
    """A backup with an attachment that is in no later one, one of the next day, and that attachment."""
    hash = await keeper.attach(b"old")
    old = await keeper.made_and_proven()
    await keeper.blobs.remove(hash)
    await keeper.attach(b"new")
    keeper.clock += timedelta(days=1)
    return old, await keeper.made_and_proven(), hash


async def test_the_newest_backup_of_a_day_has_the_highest_number_though_older_ones_went(keeper: Keeper) -> None:
    names = []
    for _ in range(3):
        names.append((await keeper.made_and_proven()).name)
        await prune(keeper.to, "sage", ONE)
    assert names == [f"conversations_2024-01-08{end}" for end in ("", "_2", "_3")]


async def test_pruning_removes_what_no_tier_keeps_with_its_attachments_and_nothing_else(keeper: Keeper) -> None:
    hash = await keeper.attach(b"old")
    old = await keeper.made_and_proven()
    await keeper.blobs.remove(hash)
    shared = await keeper.attach(b"new")
    keeper.clock += timedelta(days=1)
    new = await keeper.made_and_proven()
    bystanders = ["conversations_2023-01-01.db", "conversations_2023-01-02.db.zst", "notes.json"]
    for name in bystanders:
        keeper.file(name).write_text("mine")
    assert await prune(keeper.to, "spark", Tiers(1, 0, 0)) == []
    assert await prune(keeper.to, "sage", Tiers(1, 0, 0)) == [old]
    left = {
        path.relative_to(keeper.root / "backups").as_posix() for path in keeper.file("").rglob("*") if path.is_file()
    }
    own = {*new.files, f"blobs/{shared[:2]}/{shared}"}
    assert {name for name in left if ".partial" not in name} == {*own, *bystanders}
    assert (await keeper.prove(new, thorough=True)).trouble == ""


@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
async def test_a_list_of_attachments_that_cannot_be_read_costs_no_attachment(
    keeper: Keeper, content: bytes | None
) -> None:
    old, new, hash = await two_days(keeper)
    listed = keeper.file(new.blob_list)
    listed.unlink() if content is None else listed.write_bytes(content)
    told: list[str] = []
    assert await prune(keeper.to, "sage", ONE, lambda step, done, of: told.append(step)) == [old]
    assert [each.name for each in (await shelf(keeper.to.place)).backups] == [new.name]
    assert keeper.file(f"blobs/{hash[:2]}/{hash}").exists()
    assert [line for line in told if new.blob_list in line] == told != []


class Failing(Folder):
    """A place that removes so many files, and then is gone."""

    left = 0

    async def remove(self, name: str) -> bool:
        if not self.left:
            raise Unavailable("The network is gone.")
        self.left -= 1
        return await super().remove(name)


@pytest.mark.parametrize("removed", [0, 1, 2])
async def test_a_prune_that_was_cut_off_is_finished_by_the_next(keeper: Keeper, removed: int) -> None:
    old, new, hash = await two_days(keeper)
    failing = Failing(keeper.file(""))
    failing.left = removed
    with pytest.raises(Unavailable):
        await prune(Destination(failing, keeper.to.blobs), "sage", ONE)
    assert await prune(keeper.to, "sage", ONE) == [old]
    found = await shelf(keeper.to.place)
    assert ([each.name for each in found.backups], found.strays) == ([new.name], ())
    assert not keeper.file(f"blobs/{hash[:2]}/{hash}").exists()


async def test_a_backup_that_holds_more_than_the_days_last_one_stays(keeper: Keeper) -> None:
    await keeper.store.append(SESSION, message(1))
    full = await keeper.made_and_proven()
    await keeper.store.remove_messages([message(0).id])
    between, last = await keeper.made_and_proven(), await keeper.made_and_proven()
    assert await prune(keeper.to, "sage", ONE) == [], "nothing of the last day goes"
    keeper.clock += timedelta(days=1)
    newest = await keeper.made_and_proven()
    assert await prune(keeper.to, "sage", Tiers(2, 0, 0)) == [between]
    assert [each.name for each in (await shelf(keeper.to.place)).backups] == [full.name, last.name, newest.name]
    await prune(keeper.to, "sage", ONE)
    assert [each.name for each in (await shelf(keeper.to.place)).backups] == [newest.name]
