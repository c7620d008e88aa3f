"""`troupe doctor storage` on a PostgreSQL store that somebody damaged by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest

import storage
from storage.amendments import Edited
from storage.backend import Store
from storage.blobs import Blobs
from storage.doctor import Diagnosis, examine
from storage.model import Text
from storage.place import Folder
from storage.records import Memory, Vector
from tests.postgres import fresh_name, postgres_url
from tests.test_retention import NOW, talk


@dataclass
class House:
    """A bot's schema, and an admin's connection beside it."""

    name: str
    root: Path
    admin: Any

    async def open(self) -> Store:
        return await storage.connect(self.name, self.root, type="postgres", url=postgres_url())

    async def do(self, sql: str) -> None:
        await self.admin.execute(sql.replace("bot.", f'"troupe_{self.name}".'))

    async def look(self, *, fix: bool = False, url: str = "") -> Diagnosis:
        blobs = Blobs(Folder(self.root / "attachments"), self.root)
        told = url or postgres_url()
        return await examine(self.name, self.root, blobs, type="postgres", url=told, fix=fix)

    async def seen(self) -> list[str]:
        return [finding.what for finding in (await self.look()).findings]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    admin = await asyncpg.connect(postgres_url())
    house = House(fresh_name(), tmp_path, admin)
    store = await house.open()
    await talk(store, "a", 2, lines=20, text="a quiet evening")
    await talk(store, "b", 1, lines=20, text="a loud morning")
    told = {"type": "semantic", "audience": "bot", "subject": "user:7", "vector": Vector(model="m", values=(1.0, 0.5))}
    await store.keep(Memory(id="tea", at=NOW, text="likes tea", **told))
    await store.close()
    yield house
    await admin.close()


async def test_a_store_in_order_is_healthy(house: House) -> None:
    found = await house.look()
    assert (found.healthy, found.findings, found.messages, found.sessions) == (True, (), 40, 2)


async def test_a_bot_that_never_ran_has_nothing_wrong(house: House) -> None:
    house.name = fresh_name()
    found = await house.look(fix=True)
    assert (found.healthy, found.messages) == (True, 0)


@pytest.mark.parametrize(
    ("what", "damage"),
    [
        ("message-count", "UPDATE bot.sessions SET message_count = 7"),
        ("last-activity", "UPDATE bot.sessions SET last_activity = '2001-01-01Z'"),
        ("search", "UPDATE bot.conversations SET words = '' WHERE message_id = 'a-3'"),
        ("search", "UPDATE bot.conversations SET content = 'by hand' WHERE message_id = 'a-3'"),
        ("session-missing", "DELETE FROM bot.sessions WHERE session_id = 'a'"),
        ("unreadable-conversations", "UPDATE bot.conversations SET outcome = 'lost' WHERE message_id = 'a-3'"),
        ("unreadable-conversations", "UPDATE bot.conversations SET usage = '[3]' WHERE message_id = 'a-3'"),
        ("unreadable-sessions", "UPDATE bot.sessions SET tags = '{}', type = 'party' WHERE session_id = 'a'"),
        ("unreadable-channels", "UPDATE bot.channels SET past_names = '7'"),
        ("attachments", "INSERT INTO bot.attachments VALUES ('00', 'a-3')"),
        ("audiences", "UPDATE bot.vectors SET audience = 'user:8'"),
        ("vectors", "DELETE FROM bot.records"),
        ("indexes", "DROP INDEX bot.idx_conversations_words"),
        ("indexes", "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'bot.idx_records_at'::regclass"),
    ],
)
async def test_damage_is_named_mended_and_gone(house: House, what: str, damage: str) -> None:
    await house.do(damage)
    assert (await house.seen())[0] == what  # of a channel nobody can read, the sessions cannot be read either
    found = await house.look(fix=True)
    assert [(finding.what, finding.fixed) for finding in found.findings] == [(what, True)]
    after = await house.look()
    assert (after.findings, after.messages) == ((), 40)
    store = await house.open()
    assert len((await store.read("a", limit=100)).items) == 20
    await store.close()


async def test_a_record_nobody_can_read_is_put_aside_before_it_goes(house: House) -> None:
    await house.do("""UPDATE bot.records SET body = '{"text": "likes tea"}'""")
    found = await house.look(fix=True)
    assert found.findings[0].lost
    assert "likes tea" in (house.root / "doctor" / "unreadable-records.jsonl").read_text("utf-8")
    assert (await house.look()).healthy


async def test_what_was_amended_is_no_damage(house: House) -> None:
    store = await house.open()
    (line, *_) = await store.messages("a")
    await store.amend(line.id, Edited(parts=(Text(text="a busy evening"),), at=NOW))
    await store.close()
    assert await house.seen() == []


async def test_another_programs_steps_are_left_alone(house: House) -> None:
    await house.do("UPDATE bot.schema_steps SET checksum = 'other' WHERE number = 1")
    await house.do("UPDATE bot.sessions SET message_count = 7")
    found = await house.look(fix=True)
    assert [(finding.what, finding.fixed) for finding in found.findings] == [("schema-steps", False)]
    assert "check it with the Troupe that made it" in found.findings[0].sentence


async def test_a_newer_schema_is_left_alone(house: House) -> None:
    await house.do("INSERT INTO bot.schema_steps VALUES (99, 'later', 'x')")
    (finding,) = (await house.look(fix=True)).findings
    assert (finding.what, finding.open) == ("newer-schema", True)


async def test_a_server_that_is_not_there_is_said_without_its_password(house: House) -> None:
    (finding,) = (await house.look(url="postgresql://sage:hush@/nowhere?host=/nonexistent")).findings
    assert finding.what == "unreachable"
    assert "hush" not in finding.sentence
