"""Who was answered, once the question is gone: known by every backend, and in every copy of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

import storage
from storage.amendments import Edited
from storage.backend import Freezes, Snapshots, Store
from storage.backup import Subject, back_up, workspace
from storage.blobs import Blobs
from storage.copying import contents, copy
from storage.exports import Export, Options
from storage.exports.exported import exported
from storage.exports.json_back import import_json
from storage.forgetting import forget
from storage.manifest import Destination
from storage.matching import match
from storage.place import Folder
from storage.restore import restore
from tests.contracts.conftest import BACKENDS, Backend, Door, opener
from tests.contracts.samples import BEN, NOON, answer, later, message, tell, words

Copying = Callable[[Store, Store, Path], Awaitable[Store]]


async def asked(store: Store) -> dict[str, str | None]:
    return {each.id: each.asker for each in (await store.read(deleted=True)).items}


async def told(store: Store, user: str) -> tuple[list[str], dict[str, int]]:
    """What there is of somebody, and what each person's answers cost."""
    spent = await store.spending("user", NOON, later(9999))
    return [each.id for each in (await store.talk_of(user)).items], {each.key: each.cost_micros for each in spent}


async def ask(store: Store) -> None:
    """Two questions of Ann's, one of Ben's, and the answers, one of them in another session."""
    await tell(store, message(1), answer(2, 1), message(3, sender=BEN), answer(4, 3))
    await tell(store, message(5), answer(6, 5, within="s2"))


async def test_an_answer_tells_who_asked_once_the_question_is_gone(door: Door) -> None:
    store = await door()
    await ask(store)
    assert set((await asked(store)).values()) == {None}
    await store.remove_messages(["m1", "m5"])
    expected = {"m2": "7", "m3": None, "m4": None, "m6": "7"}
    assert await asked(store) == expected
    assert (await store.messages("s2"))[0] == await store.message("m6") == answer(6, 5, within="s2", asker="7")
    await store.close()
    assert await asked(await door()) == expected


async def test_it_tells_who_asked_when_the_questions_session_goes(door: Door) -> None:
    store = await door()
    await ask(store)
    await store.amend("m6", Edited(parts=words("better"), at=later(9)))
    await store.remove_sessions(["s1"])
    await store.close()
    store = await door()
    assert await asked(store) == {"m6": "7"}
    assert await told(store, "7") == (["m6"], {"7": 80, "8": 40})


async def test_who_asked_is_kept_as_it_is_given_and_stays(store: Store) -> None:
    await tell(store, message(1), answer(2, 1, asker="8"), answer(3, 0, asker="\ud83d\ude42\0"))
    assert await told(store, "8") == (["m2"], {"8": 40, "🙂\ufffd": 40})
    await store.remove_messages(["m1"])
    assert await asked(store) == {"m2": "8", "m3": "🙂\ufffd"}


async def test_an_index_made_anew_of_the_files_knows_who_asked(tmp_path: Path) -> None:
    door = opener("file", tmp_path)
    store = await door()
    await ask(store)
    await tell(store, *(message(number, "s3") for number in range(10, 15)))
    await store.remove_messages(["m1", "m10"])
    await store.remove_messages(["m5"])
    held = await contents(store)
    await store.close()
    (tmp_path / "index.db").unlink()
    store = await door()
    assert await asked(store) == {"m2": "7", "m3": None, "m4": None, "m6": "7"} | {
        f"m{number}": None for number in range(11, 15)
    }
    assert (await contents(store)).counts == held.counts
    await store.close()


async def copied(source: Store, target: Store, folder: Path) -> Store:
    await copy(source, target)
    return target


async def matched(source: Store, target: Store, folder: Path) -> Store:
    await match(source, target)
    return target


async def matched_with_an_earlier_copy(source: Store, target: Store, folder: Path) -> Store:
    await ask(target)
    await match(source, target)
    return target


async def exported_and_imported(source: Store, target: Store, folder: Path) -> Store:
    pieces = exported(Export(source, None, "json", "sage", NOON, options=Options(complete=True)))
    (folder / "all.json").write_bytes(b"".join([piece async for piece in pieces]))
    await import_json(folder / "all.json", target)
    return target


async def restored_from_a_backup(source: Store, target: Store, folder: Path) -> Store:
    root = folder / "sage"
    root.mkdir(exist_ok=True)
    to = Destination.at(str(root / "backups"), spool=root)
    assert isinstance(source, Freezes | Snapshots)
    subject = Subject("sage", "sqlite", source, Blobs(Folder(root / "attachments"), root))
    async with workspace(root) as work:
        made = await back_up(subject, to, work, now=lambda: NOON, program="1.2.3")
    await restore(to, made, folder / "restored", bot="sage")
    return await storage.connect("sage", folder / "restored")


@pytest.fixture(params=[each for each in BACKENDS if each != "sqlite in memory"])
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Store, Store]]:
    """A store of each backend that lasts, and an empty one of the backend that is next in the list."""
    kinds: list[Backend] = ["sqlite", "file", "postgres"]
    next_kind = kinds[(kinds.index(request.param) + 1) % 3]
    source, target = await opener(request.param, tmp_path / "sage")(), await opener(next_kind, tmp_path / "other")()
    yield source, target
    await source.close()
    await target.close()


@pytest.mark.parametrize(
    "way", [copied, matched, matched_with_an_earlier_copy, exported_and_imported, restored_from_a_backup]
)
async def test_a_copy_forgets_and_reckons_as_what_it_was_made_of(
    pair: tuple[Store, Store], way: Copying, tmp_path: Path
) -> None:
    source, target = pair
    await ask(source)
    await source.remove_messages(["m1", "m5"])
    other = await way(source, target, tmp_path)
    assert await contents(other) == await contents(source)
    assert await told(other, "7") == await told(source, "7") == (["m2", "m6"], {"7": 80, "8": 40})
    for store in (source, other):
        await forget(store, "7", later(999))
        assert list(await asked(store)) == ["m3", "m4"]
    await other.close()
