"""Cleaning up: what goes is archived first, nobody is held up, and a crash anywhere loses nothing."""

from __future__ import annotations

import hashlib
from asyncio import ensure_future, gather
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import storage
from bots.cleaning import Cleaner
from storage.amendments import Deleted, Pinned
from storage.archive import Archive
from storage.backend import Store
from storage.blobs import Blobs
from storage.errors import Unavailable
from storage.leftovers import Leftovers
from storage.model import Attachment, Message, Session
from storage.place import Folder
from storage.records import AuditEntry, Run
from storage.retention import MESSAGES_AT_ONCE, Due, Limit, Rules
from storage.sweeping import Swept, sweep
from storage.unpacking import restore_archive
from tests.test_retention import ANN, GENERAL, MONTH, NOW, PRIVATE, ago, line, talk
from tests.world import settings


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await storage.connect("sage", tmp_path / "sage")
    yield opened
    await opened.close()


async def nothing(*_: object) -> None:
    pass


def archive_in(folder: Path) -> Archive:
    return Archive(folder / "archives", bot="sage", program="1", at=NOW)


def zips(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "archives").glob("*.zip"))


async def swept(store: Store, rules: Rules = MONTH, **more: Any) -> Swept:
    return await sweep(store, rules, NOW, **{"tell": nothing, "pause": nothing, **more})


async def everything(store: Store) -> list[str]:
    found = (await store.browse(deleted=True, limit=5000)).items
    messages = [(await store.read(each.id, deleted=True, limit=5000)).items for each in found]
    return [each.model_dump_json() for each in (*found, *(message for page in messages for message in page))]


async def test_what_is_due_is_archived_and_gone_and_comes_back(store: Store, tmp_path: Path) -> None:
    for name, days in (("old", 60), ("older", 90), ("new", 1)):
        await talk(store, name, days, lines=3)
    before = await everything(store)
    done = await swept(store, archive=archive_in(tmp_path))
    assert (done.totals["session"].items, done.totals["session"].messages) == (2, 6)
    assert [each.id for each in (await store.browse()).items] == ["new"]
    assert [path.name for path in done.archives] == zips(tmp_path) == ["2024-06-01_1.zip"]
    await restore_archive(done.archives[0], store)
    assert await everything(store) == before


async def test_a_dry_run_says_the_same_and_changes_nothing(store: Store, tmp_path: Path) -> None:
    rules = Rules(channel=Limit(messages=25), deleted=timedelta(days=30), runs=timedelta(days=30))
    for days in range(1, 6):
        await talk(store, f"s{days}", days, lines=10)
    await store.amend("s1-1", Deleted(at=ago(40)))
    await store.keep(Run(id="r", at=ago(40), type="panel", state="done"))
    before = await everything(store)
    told: list[Due] = []

    async def tell(due: Due) -> None:
        told.append(due)

    dry = await swept(store, rules, archive=archive_in(tmp_path), dry_run=True, tell=tell)
    assert [(each.kind, each.id) for each in told] == [
        ("message", "s1-1"),
        ("session", "s5"),
        ("session", "s4"),
        ("session", "s3"),
        ("run", "r"),
    ]
    assert await everything(store) == before
    assert (zips(tmp_path), dry.archives) == ([], [])
    assert (await swept(store, rules, archive=archive_in(tmp_path))).totals == dry.totals
    assert (await swept(store, rules, archive=archive_in(tmp_path))).totals == {}


async def test_what_people_deleted_goes_and_is_never_archived(store: Store, tmp_path: Path) -> None:
    rules = Rules(deleted=timedelta(days=30))
    kept = await talk(store, "s", 90, lines=2)
    await talk(store, "gone", 90, deleted_at=ago(40))
    await store.amend("s-0", Deleted(at=ago(40)))
    await swept(store, rules, archive=archive_in(tmp_path))
    assert [each.id for each in await store.messages("s")] == ["s-1"]
    assert await store.session("gone") is None
    assert (await store.session("s")) == kept.model_copy(update={"message_count": 1})
    assert zips(tmp_path) == []


class Crash(Exception):
    """The power is cut."""


def crashing(after: int) -> Callable[..., Awaitable[None]]:
    left = after

    async def step(*_: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Crash

    return step


@pytest.mark.parametrize(
    ("where", "step"),
    [*(("pause", step) for step in range(7)), *(("tell", step) for step in (0, 19, 20, 24))],
)
async def test_a_crash_anywhere_loses_nothing_and_the_next_run_finishes(
    store: Store, tmp_path: Path, step: int, where: str
) -> None:
    await gather(*(talk(store, f"s{number}", 90 - number, lines=3) for number in range(24)))
    await talk(store, "long", 40, lines=MESSAGES_AT_ONCE + 10)
    before = await everything(store)
    with pytest.raises(Crash):
        await swept(store, MONTH, archive=archive_in(tmp_path), **{where: crashing(step)})
    await swept(store, archive=archive_in(tmp_path))
    assert (await store.browse()).items == ()
    for name in zips(tmp_path):
        await restore_archive(tmp_path / "archives" / name, store)
    assert sorted(await everything(store)) == sorted(before)


async def test_batches_are_small_and_between_them_turns_go_on(store: Store) -> None:
    await gather(*(talk(store, f"s{number}", 90 - number / 100, lines=2) for number in range(100)))
    await talk(store, "long", 80, lines=3 * MESSAGES_AT_ONCE)
    sizes: list[int] = []
    said = 0

    async def pause() -> None:
        nonlocal said
        sizes.append((await store.counts()).messages - said)
        said += 1
        now = Session(id="now", channel=PRIVATE, opened_at=NOW, last_at=NOW)
        assert await store.append(now, line(f"now-{said}", "now", NOW))

    await swept(store, pause=pause)
    removed = [before - after for before, after in zip([100 * 2 + 3 * MESSAGES_AT_ONCE, *sizes], sizes, strict=False)]
    assert sum(removed) == 100 * 2 + 3 * MESSAGES_AT_ONCE
    assert max(removed) <= MESSAGES_AT_ONCE
    assert max(each for each in removed if each < MESSAGES_AT_ONCE) <= 20 * 2
    assert (await store.counts()).messages == said


async def test_a_session_that_somebody_comes_back_to_stays(store: Store, tmp_path: Path) -> None:
    first, _, third = [await talk(store, f"s{number}", 90 - number, lines=2) for number in range(3)]
    archive = archive_in(tmp_path)
    pauses = 0

    async def pause() -> None:
        nonlocal pauses
        pauses += 1
        if pauses == 1:  # all are in the zip, none is gone
            reopened = first.model_copy(update={"last_at": NOW, "closed_at": None})
            assert await store.append(reopened, line("back", first.id, NOW))
            await store.amend(f"{third.id}-1", Pinned())

    done = await swept(store, archive=archive, pause=pause)
    assert done.kept == 2
    assert {each.id for each in (await store.browse()).items} == {"s0", "s2"}
    assert [each.id for each in await store.messages("s0")] == ["s0-0", "s0-1", "back"]


async def test_a_session_that_the_bot_has_open_in_memory_stays(store: Store) -> None:
    session = await talk(store, "s", 90)
    reopened = session.model_copy(update={"last_at": NOW, "closed_at": None})
    done = await swept(store, latest=lambda _: reopened)
    assert done.kept == 1
    assert await store.session("s") == session


LONG = 6 * MESSAGES_AT_ONCE


def at_pause(number: int, act: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[None]]:
    """Does something in one pause of a sweep."""
    pauses = 0

    async def pause() -> None:
        nonlocal pauses
        pauses += 1
        if pauses == number:
            await act()

    return pause


@pytest.mark.parametrize("change", ["pinned", "starred", "answered"])
async def test_a_long_session_that_is_kept_at_the_last_moment_stays_whole(
    store: Store, tmp_path: Path, change: str
) -> None:
    session = await talk(store, "long", 90, lines=LONG)

    async def act() -> None:
        if change == "pinned":
            await store.amend("long-7", Pinned())
        elif change == "starred":
            await store.save_session(session.model_copy(update={"starred": True}))
        else:
            await store.append(session, line("late", "long", NOW))

    done = await swept(store, archive=archive_in(tmp_path), pause=at_pause(1, act))  # it is in the zip, and still there
    kept = await store.session("long")
    assert kept is not None
    assert kept.deleted_at is None
    assert kept.message_count == LONG + (change == "answered")
    assert (done.kept, done.totals) == (1, {})


async def test_a_pin_that_comes_while_a_session_goes_comes_too_late(store: Store) -> None:
    await talk(store, "long", 90, lines=LONG)

    async def pin() -> None:
        assert await store.messages("long") == []
        await store.amend(f"long-{LONG - 1}", Pinned())

    done = await swept(store, pause=at_pause(2, pin))
    assert await store.session("long") is None
    assert (done.kept, done.totals["session"].messages) == (0, LONG)


async def test_a_pin_on_its_way_while_the_session_is_taken_keeps_it(store: Store) -> None:
    session = await talk(store, "s", 90, lines=3)
    pins: list[Awaitable[object]] = []

    def latest(given: Session) -> Session:
        if not pins:  # the last thing that is asked before the session is taken
            pins.append(ensure_future(store.amend("s-1", Pinned())))
        return given

    done = await swept(store, latest=latest)
    await gather(*pins)
    assert done.kept == 1
    assert await store.session("s") == session
    assert len(await store.messages("s")) == 3


async def test_whoever_comes_back_to_a_session_that_is_going_keeps_what_is_left(store: Store) -> None:
    session = await talk(store, "long", 90, lines=LONG)
    reopened = session.model_copy(update={"last_at": NOW, "closed_at": None})

    async def speak() -> None:
        assert await store.append(reopened, line("back", "long", NOW))

    done = await swept(store, pause=at_pause(2, speak))
    kept = await store.session("long")
    assert kept is not None
    assert kept.deleted_at is None
    assert kept.message_count == LONG - 2 * MESSAGES_AT_ONCE + 1
    assert [each.id for each in await store.messages("long", limit=2)] == [f"long-{LONG - 1}", "back"]
    assert done.kept == 1
    assert {kind: total.items for kind, total in done.totals.items()} == {"message": 2 * MESSAGES_AT_ONCE}


async def test_a_long_session_cut_off_half_way_is_archived_once_and_out_of_sight(store: Store, tmp_path: Path) -> None:
    await talk(store, "long", 90, lines=LONG)
    before = await everything(store)
    with pytest.raises(Crash):
        await swept(store, archive=archive_in(tmp_path), pause=crashing(2))
    assert (await store.browse()).items == ()
    assert await store.messages("long") == []
    assert 0 < (await store.counts()).messages < LONG
    done = await swept(store, Rules(), archive=archive_in(tmp_path))
    assert done.totals["session"].items == 1
    assert await everything(store) == []
    (name,) = zips(tmp_path)
    await restore_archive(tmp_path / "archives" / name, store)
    assert await everything(store) == before


async def test_it_is_said_of_what_something_was_removed(store: Store) -> None:
    heard: set[str] = set()
    for name in ("old", "new"):
        await talk(store, name, 90 if name == "old" else 1, lines=2)
    await store.amend("new-0", Deleted(at=ago(40)))
    rules = Rules(channel=MONTH.channel, deleted=timedelta(days=30))
    await swept(store, rules, dry_run=True, gone=heard.add)
    assert heard == set()
    await swept(store, rules, gone=heard.add)
    assert heard == {"old", "new"}


async def test_when_the_archive_cannot_be_written_nothing_goes(store: Store, tmp_path: Path) -> None:
    await talk(store, "old", 90)
    (tmp_path / "archives").write_text("in the way")
    before = await everything(store)
    with pytest.raises(Unavailable, match="Nothing was removed"):
        await swept(store, archive=archive_in(tmp_path))
    assert await everything(store) == before


# Files


async def bytes_of(text: str) -> AsyncIterator[bytes]:
    yield text.encode()


def blobs_in(root: Path) -> Blobs:
    return Blobs(Folder(root / "attachments"), root)


async def test_a_file_goes_only_when_it_was_without_a_message_for_long_enough(store: Store, tmp_path: Path) -> None:
    root = tmp_path / "sage"
    blobs = blobs_in(root)
    names = [hashlib.sha256(text.encode()).hexdigest() for text in ("used", "lost", "late")]
    for text in ("used", "lost", "late"):
        await blobs.keep(bytes_of(text), limit=100)

    async def refer(number: int) -> None:
        part = Attachment(type="file", name="f", url="u", blob=names[number])
        session = Session(id="s", channel=GENERAL, opened_at=NOW, last_at=NOW)
        told = Message(id=f"m{number}", session_id="s", role="user", sender=ANN, parts=(part,), at=NOW)
        await store.append(session, told)

    async def look(days: float, **more: Any) -> list[str]:
        told: list[str] = []

        async def tell(due: Due) -> None:
            told.append(due.id)

        files = Leftovers(blobs, root)
        rules = Rules(attachments=timedelta(days=7))
        at = NOW + timedelta(days=days)
        await sweep(store, rules, at, leftovers=files, tell=tell, pause=nothing, **more)
        return told

    await refer(0)
    assert await look(0, dry_run=True) == await look(100, dry_run=True) == []
    assert await look(0) == await look(6.9) == []
    await refer(2)
    assert await look(7, dry_run=True) == [names[1]]
    assert await look(7) == [names[1]]
    assert sorted([hash async for hash in blobs.hashes()]) == sorted([names[0], names[2]])
    assert await look(8) == []
    assert (root / "leftovers.txt").read_text() == ""


# A bot


def bot_settings(root: Path, **retention: Any) -> Any:
    return settings(root, storage={"path": str(root), "retention": retention})


async def test_the_settings_are_the_rules_and_the_audit_knows_of_every_run(store: Store, tmp_path: Path) -> None:
    await talk(store, "old", 90)
    await talk(store, "new", 1)
    config = bot_settings(tmp_path / "sage", channel={"age": "30d"}, action="delete")
    cleaner = Cleaner(config, store, now=lambda: NOW, program="1", blobs=blobs_in(tmp_path / "sage"), breath=0)
    assert await cleaner.job().last() is None
    assert (await cleaner.clean_up()).totals["session"].items == 1
    assert await cleaner.job().last() == NOW
    assert [each.id for each in (await store.browse()).items] == ["new"]
    (entry,) = (await store.records(AuditEntry)).items
    assert (entry.action, entry.details) == ("cleanup", {"session": 1})
    assert not (tmp_path / "sage" / "archives").exists()


async def test_by_default_only_what_people_deleted_goes(store: Store, tmp_path: Path) -> None:
    await talk(store, "old", 5000)
    await talk(store, "gone", 5000, deleted_at=ago(31))
    config, blobs = settings(tmp_path / "sage"), blobs_in(tmp_path / "sage")
    cleaner = Cleaner(config, store, now=lambda: NOW, program="1", blobs=blobs, breath=0)
    await cleaner.clean_up()
    assert [each.id for each in (await store.browse(deleted=True)).items] == ["old"]
