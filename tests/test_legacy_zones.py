"""Times that name no zone: whatever zone they are read in, a message is the same one, and nothing is taken twice."""

from __future__ import annotations

import json
from datetime import UTC, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import storage
from bots.old_data import OldData
from storage.blobs import Blobs
from storage.legacy import Taken, Terms
from storage.legacy.source import Source
from storage.migration import READERS, migrate, named
from storage.migration_report import Report
from storage.model import Message
from storage.place import open_place
from storage.records import Record
from tests.test_legacy_readers import AT, NOON, SOURCES, put
from tests.world import settings, world

TOKYO = ZoneInfo("Asia/Tokyo")


def naive(folder: Path, format: str) -> Path:
    """A source of which no time names a zone."""
    for name, content in SOURCES[format]().items():
        plain = content if isinstance(content, bytes | str) else json.loads(json.dumps(content).replace(AT, AT[:-6]))
        put(folder, name, plain)
    return folder


def terms(scratch: Path, zone: tzinfo) -> Terms:
    scratch.mkdir(exist_ok=True)
    return Terms("sage", zone, timedelta(minutes=5), NOON, scratch)


def ids(folder: Path, format: str, zone: tzinfo) -> list[str]:
    with Source(folder) as source:
        found = list(named(format).read(source, terms(folder.parent / "scratch", zone)))
    items = [each.item for each in found if isinstance(each, Taken)]
    return [each.id for each in items if isinstance(each, Message | Record)]


@pytest.mark.parametrize("format", READERS)
def test_a_message_has_the_same_id_in_whatever_zone_its_time_is_read(format: str, tmp_path: Path) -> None:
    folder = naive(tmp_path / "old", format)
    assert ids(folder, format, TOKYO) == ids(folder, format, UTC) != []


@pytest.mark.parametrize("format", READERS)
async def test_a_second_run_in_another_zone_adds_nothing(format: str, tmp_path: Path) -> None:
    folder = naive(tmp_path / "old", format)
    store = await storage.connect("sage", tmp_path / "sage")
    blobs = Blobs(open_place(str(tmp_path / "attachments")), tmp_path)

    async def run(zone: tzinfo) -> Report:
        with Source(folder) as source:
            return await migrate(source, named(format), store, blobs, terms(tmp_path / "scratch", zone))

    first = await run(UTC)
    before = await store.counts()
    again = await run(TOKYO)
    assert first.messages.taken == again.messages.known > 0
    assert (again.messages.taken, again.sessions.taken) == (0, 0)
    assert await store.counts() == before
    await store.close()


async def test_what_was_migrated_in_another_zone_is_neither_missed_nor_brought_again(tmp_path: Path) -> None:
    folder = naive(tmp_path, "multi_bot_json") / "multi_bot_conversations"
    root = tmp_path / "sage"
    async with world(settings(root), root=root) as there:
        data = OldData(settings(root), there.store, zone=TOKYO, now=there.clock.now, ticks=lambda: 0.0)
        assert "--timezone Asia/Tokyo`" in (await data.found() or "")
        with Source(folder) as source:
            reader = named("multi_bot_json")
            blobs = Blobs(open_place(str(tmp_path / "attachments")), tmp_path)
            await migrate(source, reader, there.store, blobs, terms(tmp_path / "scratch", UTC))
        before = await there.store.sessions(None)
        assert len(before) == 2
        assert await data.found() is None
        for id in ("1", "2"):
            await data.bring(there.room().channel.model_copy(update={"id": id}))
        assert await there.store.sessions(None) == before
