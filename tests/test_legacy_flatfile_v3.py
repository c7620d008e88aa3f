"""The third Flatfile chat database: written and read back without loss, and read as another program writes it."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import given, settings

import storage
from storage.backend import Store
from storage.blobs import Blobs
from storage.copying import contents
from storage.exports import Export
from storage.exports.transcript import Wanted
from storage.exports.v3 import members
from storage.legacy import Persona, Refused, Taken, Terms, flatfile_v3
from storage.legacy.source import Source
from storage.migration import migrate
from storage.model import Message, Session
from storage.place import Folder
from storage.records import Memory, Profile, Run
from storage.sought import EVERYTHING, Sought

from .contracts.samples import NOON, SAGE, answer, said, session, tell
from .generating import Generated, fill, generated


def reading(folder: Path) -> list[Taken | Refused]:
    scratch = folder.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    with Source(folder) as source:
        assert flatfile_v3.recognise(source)
        return list(flatfile_v3.read(source, Terms("sage", UTC, timedelta(minutes=5), NOON, scratch)))


def items(found: list[Taken | Refused], kind: type[Any]) -> list[Any]:
    return [each.item for each in found if isinstance(each, Taken) and isinstance(each.item, kind)]


async def write(store: Store, blobs: Blobs | None, folder: Path, sought: Sought, *, complete: bool) -> None:
    async for name, pieces in members(Export(store, blobs, "v3", "sage", NOON), Wanted(sought, complete=complete)):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        assert not target.exists()
        target.write_bytes(b"".join([piece async for piece in pieces]))


def put(folder: Path, name: str, value: Any) -> None:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(value))


@settings(max_examples=12, deadline=None)
@given(generated())
def test_whatever_a_store_holds_comes_back_equal(given: Generated) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_there_and_back(given, Path(folder)))


async def _there_and_back(given: Generated, folder: Path) -> None:
    source = await storage.connect("sage", folder / "source")
    target = await storage.connect("sage", folder / "target")
    blobs, taken = (Blobs(Folder(folder / name), folder / "spool") for name in ("blobs", "taken"))
    try:
        await fill(source, given, blobs)
        await write(source, blobs, folder / "out", EVERYTHING, complete=True)
        scratch = folder / "scratch"
        scratch.mkdir()
        with Source(folder / "out") as written:
            terms = Terms("sage", UTC, None, NOON, scratch)
            report = await migrate(written, flatfile_v3, target, taken, terms)
        assert not report.refused
        assert await contents(target) == await contents(source)
        for hash in {hash for message in given.messages for hash in message.blobs}:
            assert await taken.sound(hash)
    finally:
        await source.close()
        await target.close()


async def _stores(folder: Path) -> AsyncIterator[Store]:
    store = await storage.connect("sage", folder)
    yield store
    await store.close()


async def test_what_is_not_asked_for_or_was_deleted_is_not_written(tmp_path: Path) -> None:
    async for store in _stores(tmp_path / "store"):
        await store.save_session(session())
        await store.save_session(session("s2", starred=True))
        await tell(store, said(1, "kept"), said(2, "gone", deleted_at=NOON), said(3, "elsewhere", session_id="s2"))
        await write(store, None, tmp_path / "out", Sought(session_ids=["s1"]), complete=False)
    assert [message.text for message in items(reading(tmp_path / "out"), Message)] == ["kept"]
    assert not (tmp_path / "out" / "system").exists()


async def test_what_another_program_changed_counts(tmp_path: Path) -> None:
    async for store in _stores(tmp_path / "store"):
        await store.save_session(session())
        await tell(store, said(1, "what I said"), answer(2, 1))
        await write(store, None, tmp_path / "out", EVERYTHING, complete=False)
    (first, _) = sorted((tmp_path / "out").rglob("messages/*.json"))
    value = json.loads(first.read_text())
    value["content"][0]["text"] = "what they made of it"
    first.write_text(json.dumps(value))
    changed, kept = items(reading(tmp_path / "out"), Message)
    assert (changed.text, kept.sender) == ("what they made of it", SAGE)


def _sales(folder: Path) -> None:
    """What the format's own description shows."""
    at = "users/user_123/sessions/session_abc"
    put(folder, "users/user_123/profile.json", {"user_id": "user_123", "username": "Alice", "theme": "dark"})
    put(
        folder,
        f"{at}/metadata.json",
        {
            "id": "session_abc",
            "type": "chat",
            "title": "Sales Analysis Discussion",
            "participants": [
                {"id": "user_123", "type": "user", "role": "member", "name": "Alice", "capabilities": ["text"]},
                {"id": "agent_sales", "type": "agent", "role": "member", "name": "Sales Analyst"},
            ],
            "context": {"summary": "Q4", "goals": ["Understand trends"], "active_tools": ["image_analyzer"]},
            "memory_scope": {"session_specific": True, "relevance_threshold": 0.7},
            "created_at": "2024-01-15T10:00:00Z",
            "message_count": 2,
        },
    )
    put(
        folder,
        f"{at}/messages/2024-01-15T10:30:00Z_msg_abc123.json",
        {
            "id": "msg_abc123",
            "sender": {"type": "user", "id": "user_123", "name": "Alice"},
            "content": [
                {"type": "text", "text": "Can you analyze this image?", "format": "plain"},
                {
                    "type": "image",
                    "url": "multimodal/images/img_xyz.jpg",
                    "mime_type": "image/jpeg",
                    "alt_text": "Sales chart",
                },
            ],
            "timestamp": "2024-01-15T10:30:00Z",
            "session_id": "session_abc",
            "tool_calls": [
                {"tool_id": "image_analyzer", "function": "analyze", "arguments": {"a": 1}, "call_id": "c1"}
            ],
            "memory_refs": [{"memory_id": "mem_456", "memory_type": "semantic", "relevance_score": 0.85}],
        },
    )
    put(
        folder,
        f"{at}/messages/2024-01-15T10:31:00Z_msg_2.json",
        {
            "id": "msg_2",
            "sender": {"type": "agent", "id": "agent_sales", "name": "Sales Analyst"},
            "content": {"type": "text", "text": "Up."},
            "timestamp": "2024-01-15T10:31:00Z",
            "parent_id": "msg_abc123",
        },
    )
    for name in ("multimodal/images/img_xyz.jpg", "documents/doc_1/report.pdf"):
        (folder / at / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / at / name).write_bytes(b"bytes of " + name.encode())


def test_the_formats_own_example_is_read_whole(tmp_path: Path) -> None:
    _sales(tmp_path / "v3")
    put(
        tmp_path / "v3",
        "users/user_123/memory/semantic/mem_456.json",
        {"id": "mem_456", "type": "semantic", "content": "Sales went up", "importance": 0.7, "embedding": [0.5, 1.0]},
    )
    put(
        tmp_path / "v3",
        "agents/global/agent_sales/config.json",
        {
            "id": "agent_sales",
            "name": "Sales Analyst",
            "prompt": {"system": "You sell.", "constraints": ["Be brief"]},
            "knowledge_domains": ["sales"],
            "personality_traits": {"warm": 0.8},
            "routing_keywords": ["revenue"],
        },
    )
    put(tmp_path / "v3", "workflows/w1/state.json", {"status": "running", "step": 2})
    found = reading(tmp_path / "v3")
    assert not [each for each in found if isinstance(each, Refused)]
    (talk,) = items(found, Session)
    assert (talk.title, talk.channel.key, talk.context.goals) == (
        "Sales Analysis Discussion",
        "web:user_123",
        ("Understand trends",),
    )
    assert [each.name for each in talk.participants] == ["Alice", "Sales Analyst"]
    question, reply, files = items(found, Message)
    assert [part.type for part in question.parts] == ["text", "image", "tool_call", "memory_reference"]
    assert question.attachments[0].description == "Sales chart"
    assert (reply.role, reply.persona, reply.reply_to) == ("assistant", "agent_sales", question.id)
    assert [part.name for part in files.attachments] == ["report.pdf"]
    with_files = [dict(each.files) for each in found if isinstance(each, Taken) and each.files]
    folder = "users/user_123/sessions/session_abc"
    assert with_files == [
        {"multimodal/images/img_xyz.jpg": f"{folder}/multimodal/images/img_xyz.jpg"},
        {f"{folder}/documents/doc_1/report.pdf": f"{folder}/documents/doc_1/report.pdf"},
    ]
    (profile,) = items(found, Profile)
    assert (profile.id, profile.name, profile.preferences) == ("user_123", "Alice", {"theme": "dark"})
    (memory,) = items(found, Memory)
    assert (memory.audience, memory.text, memory.importance) == ("user:user_123", "Sales went up", 0.7)
    (persona,) = items(found, Persona)
    assert (persona.prompt, persona.expertise, persona.traits) == ("You sell.\n- Be brief", ("sales",), ("warm",))
    (run,) = items(found, Run)
    assert (run.type, run.state) == ("workflow", "running")


def test_read_twice_it_gives_the_same(tmp_path: Path) -> None:
    _sales(tmp_path / "v3")
    assert reading(tmp_path / "v3") == reading(tmp_path / "v3")


def test_a_panels_insights_stand_on_its_last_line(tmp_path: Path) -> None:
    put(
        tmp_path / "v3",
        "panels/p1/metadata.json",
        {"id": "p1", "title": "Strategy", "created_at": "2024-01-15T10:00:00Z"},
    )
    put(tmp_path / "v3", "panels/p1/participants.json", [{"id": "a", "type": "agent", "name": "A"}])
    put(tmp_path / "v3", "panels/p1/insights/i1.json", {"content": "Ship it", "timestamp": "2024-01-15T11:00:00Z"})
    for number in (1, 2):
        put(
            tmp_path / "v3",
            f"panels/p1/messages/2024-01-15T10-0{number}_m{number}.json",
            {
                "id": f"m{number}",
                "sender": {"type": "agent", "id": "a", "name": "A"},
                "content": f"line {number}",
                "timestamp": f"2024-01-15T10:0{number}:00Z",
            },
        )
    found = reading(tmp_path / "v3")
    (panel,) = items(found, Session)
    assert (panel.type, panel.title, [each.name for each in panel.participants]) == ("panel", "Strategy", ["A"])
    first, last = items(found, Message)
    assert first.annotations == ()
    assert [(note.kind, note.text, note.at) for note in last.annotations] == [
        ("insight", "Ship it", datetime(2024, 1, 15, 11, tzinfo=UTC))
    ]


def test_what_cannot_be_taken_is_named_and_the_rest_goes_in(tmp_path: Path) -> None:
    _sales(tmp_path / "v3")
    at = "users/user_123/sessions/session_abc/messages"
    user = {"type": "user", "id": "user_123"}
    (tmp_path / "v3" / at / "torn.json").write_text('{"id": "t", "sender"')
    put(tmp_path / "v3", f"{at}/time.json", {"id": "x", "sender": user, "content": "x", "timestamp": "noonish"})
    put(
        tmp_path / "v3",
        f"{at}/role.json",
        {"id": "y", "sender": {"type": "ghost"}, "content": "x", "timestamp": 1705300000},
    )
    put(
        tmp_path / "v3",
        f"{at}/kind.json",
        {"id": "z", "sender": user, "content": [{"type": "smell"}], "timestamp": 1705300000},
    )
    put(tmp_path / "v3", "system/traces/2024/t.json", {})
    found = reading(tmp_path / "v3")
    refused = {each.spot.file.rpartition("/")[2]: each.reason for each in found if isinstance(each, Refused)}
    assert set(refused) == {"torn.json", "time.json", "role.json", "kind.json", "t.json"}
    assert "noonish" in refused["time.json"]
    assert "smell" in refused["kind.json"]
    assert len(items(found, Message)) == 3


def test_a_path_out_of_the_session_is_only_a_name(tmp_path: Path) -> None:
    _sales(tmp_path / "v3")
    put(
        tmp_path / "v3",
        "users/user_123/sessions/session_abc/messages/trick.json",
        {
            "id": "trick",
            "sender": {"type": "user", "id": "user_123", "name": "Mallory"},
            "content": [{"type": "file", "url": "../../profile.json"}],
            "timestamp": "2024-01-15T10:32:00Z",
        },
    )
    found = reading(tmp_path / "v3")
    (trick,) = [each for each in found if isinstance(each, Taken) and each.spot.file.endswith("trick.json")]
    assert not trick.files
    assert isinstance(trick.item, Message)
    assert trick.item.attachments[0].name == "profile.json"


def _talk(folder: Path, at: str, user: str, **more: Any) -> None:
    told = {"id": "s", "created_at": "2024-01-15T10:00:00Z", "participants": [{"id": user, "type": "user"}], **more}
    put(folder, f"{at}/metadata.json", told)
    message = {"id": "m", "sender": {"type": "user", "id": user}, "content": f"of {user}", "timestamp": 1705300000}
    put(folder, f"{at}/messages/1_m.json", message)


def test_memories_of_two_people_with_one_id_are_two(tmp_path: Path) -> None:
    for user in ("ann", "ben"):
        _talk(tmp_path / "v3", f"users/{user}/sessions/s", user)
        memory = {"id": "1", "type": "episodic", "content": f"of {user}"}
        put(tmp_path / "v3", f"users/{user}/memory/episodic/1.json", memory)
    memories = items(reading(tmp_path / "v3"), Memory)
    assert {(each.audience, each.text) for each in memories} == {("user:ann", "of ann"), ("user:ben", "of ben")}
    assert len({each.id for each in memories}) == 2


def test_what_stands_beside_a_session_is_taken_or_named(tmp_path: Path) -> None:
    at = "users/ann/sessions/s"
    _talk(tmp_path / "v3", at, "ann", context={"summary": "dogs"})
    put(tmp_path / "v3", f"{at}/context/current.json", {"summary": "cats"})
    put(tmp_path / "v3", "users/ann/sessions/empty/metadata.json", {"created_at": "2024-01-15T10:00:00Z"})
    put(tmp_path / "v3", "users/ann/sessions/empty/insights/1.json", {"content": "Ship it"})
    for name in ("context/history/h.json", "insights/i.json", "artifacts/plan.txt"):
        put(tmp_path / "v3", f"{at}/{name}", {})
        (tmp_path / "v3" / at / name).write_text("{torn")
    found = reading(tmp_path / "v3")
    empty, talk = items(found, Session)
    assert (talk.context.summary, talk.metadata["earlier_context"]) == ("cats", '{"summary": "dogs"}')
    (insight,) = [each for each in items(found, Message) if each.session_id == empty.id]
    assert [note.text for note in insight.annotations] == ["Ship it"]
    refused = sorted(each.spot.file.removeprefix(f"{at}/") for each in found if isinstance(each, Refused))
    assert refused == ["artifacts/plan.txt", "context/history/h.json", "insights/i.json"]


def test_a_panel_with_one_user_is_in_that_users_room(tmp_path: Path) -> None:
    for user in ("ann", "ben"):
        _talk(tmp_path / "v3", f"panels/of-{user}", user)
        put(tmp_path / "v3", f"panels/of-{user}/context/history/1.json", {"summary": f"secret of {user}"})
    both = [{"id": "ann", "type": "user"}, {"id": "ben", "type": "user"}]
    _talk(tmp_path / "v3", "panels/of-both", "ann", participants=both)
    found = reading(tmp_path / "v3")
    rooms = {each.text: each.audience for each in items(found, Memory)}
    assert rooms == {"secret of ann": "web:ann", "secret of ben": "web:ben"}
    assert {each.channel.key for each in items(found, Session)} == {"web:ann", "web:ben", "web:panel-of-both"}
