"""Flatfile Chat Database v2: what its versions have really written comes in whole, each thing where it belongs."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import storage
from storage.blobs import Blobs
from storage.copying import contents
from storage.legacy import Persona, Refused, Taken, Terms, flatfile_sessions, flatfile_v2
from storage.legacy.source import Source
from storage.migration import migrate, recognised
from storage.model import Message, Session
from storage.place import open_place
from storage.records import Memory, Profile, Run
from tests.flatfile import chunk, line, npy, write

NOON = datetime(2026, 1, 8, 12, tzinfo=UTC)
ALICE = "chat_session_20250805_215718_834707"


def grown(root: Path) -> None:
    """What the program leaves behind when it has been used for a while."""
    session = {"created_at": "2025-08-05T21:57:18.834720", "updated_at": "2025-08-05T21:57:19.012000"}
    write(
        root,
        "users/alice/profile.json",
        {
            **session,
            "user_id": "alice",
            "username": "Alice Johnson",
            "preferences": {"theme": "dark"},
            "metadata": {"department": "Research"},
        },
    )
    home = f"users/alice/{ALICE}"
    meta = {**session, "session_id": ALICE, "title": "Transformers", "message_count": 0, "metadata": {"mood": "keen"}}
    write(root, f"{home}/session.json", {**meta, "user_id": "alice"})
    write(
        root,
        f"{home}/messages.jsonl",
        line("msg_2cb77851ef8c", "user", "How does attention work?", 18),
        line("msg_64fefd75cbd3", "assistant", "By weighing.", 19, attachments=["663bfc84_guide.md", "../../gone.png"]),
        line("msg_a3f08810c91e", "user", "Thanks.", 20),
    )
    document = {
        "analysis": {},
        "filename": "663bfc84_guide.md",
        "metadata": {"topic": "attention"},
        "mime_type": "text/markdown",
        "original_name": "guide.md",
        "path": f"{home}/documents/663bfc84_guide.md",
        "size": 7,
        "uploaded_at": "2025-08-05T21:57:18.901000",
        "uploaded_by": "alice",
    }
    other = {**document, "filename": "f734809b_notes.md", "original_name": "notes.md", "analysis": {"kind": {"n": 1}}}
    entries = {"663bfc84_guide.md": document, "f734809b_notes.md": other}
    write(root, f"{home}/documents/metadata.json", entries)
    write(root, f"{home}/documents/663bfc84_guide.md", "# Guide")
    write(root, f"{home}/documents/f734809b_notes.md", "# Notes")
    context = {
        "summary": "About attention",
        "key_points": ["weights"],
        "entities": {"topics": ["attention", "tokens"]},
        "timestamp": "2025-08-05T21:57:20",
        "confidence": 0.8,
        "message_range": None,
        "metadata": {},
    }
    write(root, f"{home}/situational_context.json", context)
    earlier = {**context, "summary": "Hello", "timestamp": "2025-08-05T21:57:19"}
    write(root, f"{home}/context_history/context_20250805_215719_000001.json", earlier)
    vectors = f"users/default/sessions/{ALICE}/vectors"
    write(root, f"{vectors}/vector_index.jsonl", *(chunk(n, "663bfc84_guide.md", ALICE) for n in (0, 1)))
    write(root, f"{vectors}/embeddings.npy", npy([[0.5, 0.25, 0], [1, -1, 2]]))


def panels(root: Path) -> None:
    for id, name in (("jake_thompson", "Jake Thompson"), ("dr._sarah_wilson", "Dr. Sarah Wilson")):
        persona = {
            "persona_id": id,
            "name": name,
            "description": f"{name} himself",
            "category": "professional",
            "demographics": {"age": 38},
            "behavioral_traits": {"communication_style": "Precise", "values": ["accuracy", "rest"]},
            "capabilities": ["technical"],
            "expertise_areas": ["analysis", "gaming"],
            "llm_config_persona": {"temperature": 0.3},
            "system_prompt": f"You are {name}.",
        }
        write(root, f"personas_global/{id}.json", persona)
    home = "users/markly/panel_session_76e50845"
    meta = {
        "created_at": "2025-08-05T21:57:30.1",
        "metadata": {"participants": ["jake_thompson", "dr._sarah_wilson"], "session_type": "panel"},
        "session_id": "panel_session_76e50845",
        "session_type": "panel",
        "title": "Panel Session",
        "updated_at": "2025-08-05T21:57:40",
        "user_id": "markly",
    }
    write(root, f"{home}/session.json", meta)
    said = [
        line("m1", "user", "Who are you?", 30, metadata={"persona": "jake_thompson"}),
        line("m2", "assistant", "Jake!", 30, metadata={"persona": "jake_thompson"}),
        line("m3", "user", "Who are you?", 31, metadata={"persona": "dr._sarah_wilson"}),
        line("m4", "assistant", "Sarah.", 31, metadata={"persona": "dr._sarah_wilson"}),
    ]
    write(root, f"{home}/messages.jsonl", *said)
    write(root, f"{home}/jake_thompson_messages.jsonl", *said[:2])
    write(root, f"{home}/dr._sarah_wilson_messages.jsonl", *said[2:])
    panel = "panel_sessions/panel_20250805_215750"
    config = {"rounds": 2}
    told = {"id": "panel_20250805_215750", "type": "focus_group", "config": config}
    told |= {"personas": ["jake_thompson", "ben"]}
    write(root, f"{panel}/panel.json", {**told, "created_at": "2025-08-05T21:57:50"})
    write(root, f"{panel}/personas/ben.json", {"id": "ben", "name": "Ben", "traits": ["calm"], "expertise": ["law"]})
    write(
        root,
        f"{panel}/messages.jsonl",
        line("p1", "jake_thompson", "Ship it.", 51, "id", persona_id="jake_thompson"),
        line("p2", "ben", "Wait.", 52, "id", persona_id="ben", response_to="p1", consensus_level=0.4),
        line("p3", "nobody_known", "?", 53, "id"),
    )
    insight = {"id": "insight_1", "panel_id": told["id"], "type": "conclusion", "content": "They disagree."}
    write(root, f"{panel}/insights/insight_1.json", {**insight, "supporting_messages": ["p1"], "consensus_level": 0.2})
    write(root, f"{panel}/insights/insight_2.json", {**insight, "id": "insight_2", "created_by": "ben"})


class Came:
    """What a reader gave."""

    def __init__(self, root: Path) -> None:
        scratch = root.with_name("scratch")
        scratch.mkdir(exist_ok=True)
        terms = Terms(bot="sage", zone=UTC, gap=timedelta(minutes=5), at=NOON, scratch=scratch)
        with Source(root) as source:
            assert flatfile_v2.recognise(source)
            assert not flatfile_sessions.recognise(source)
            found = list(flatfile_v2.read(source, terms))
        self.taken = [each for each in found if isinstance(each, Taken)]
        self.refused = [each for each in found if isinstance(each, Refused)]
        self.sessions = {e.item.metadata["legacy_id"]: e.item for e in self.taken if isinstance(e.item, Session)}
        self.files = {url: file for each in self.taken for url, file in each.files.items()}

    def of(self, kind: type[Any]) -> list[Any]:
        return [each.item for each in self.taken if isinstance(each.item, kind)]

    def said(self, session: str) -> list[Message]:
        return [m for m in self.of(Message) if m.session_id == self.sessions[session].id]


def test_a_session_comes_with_its_words_people_and_what_it_was_about(tmp_path: Path) -> None:
    grown(tmp_path / "data")
    came = Came(tmp_path / "data")
    session = came.sessions[ALICE]
    assert (session.title, session.channel.key, session.channel.name) == ("Transformers", "web:alice", "Alice Johnson")
    assert session.metadata["mood"] == "keen"
    assert session.context.summary == "About attention"
    assert session.context.shared_knowledge == ("weights", "topics: attention, tokens")
    assert session.metadata["context.confidence"] == "0.8"
    said = [m for m in came.said(ALICE) if m.role != "system"]
    assert [(m.role, m.sender.name, m.text) for m in said] == [
        ("user", "Alice Johnson", "How does attention work?"),
        ("assistant", "sage", "By weighing."),
        ("user", "Alice Johnson", "Thanks."),
    ]
    assert [m.metadata["legacy_id"] for m in said] == ["msg_2cb77851ef8c", "msg_64fefd75cbd3", "msg_a3f08810c91e"]
    assert session.last_at == said[-1].at == datetime(2025, 8, 5, 21, 57, 20, 838931, UTC)
    assert session.closed_at is not None
    (profile,) = came.of(Profile)
    assert (profile.id, profile.name) == ("alice", "Alice Johnson")
    assert profile.preferences["theme"] == "dark"
    assert profile.preferences["metadata"] == {"department": "Research"}
    assert came.refused == []


def test_documents_hang_on_the_message_that_names_them_or_on_one_of_their_own(tmp_path: Path) -> None:
    grown(tmp_path / "data")
    came = Came(tmp_path / "data")
    named, alone = [m for m in came.said(ALICE) if m.attachments]
    if named.role == "system":
        named, alone = alone, named
    guide, gone = named.attachments
    assert (guide.name, guide.media_type, guide.size) == ("guide.md", "text/markdown", 7)
    assert came.files[guide.url] == f"users/alice/{ALICE}/documents/663bfc84_guide.md"
    assert json.loads(named.metadata["document 663bfc84_guide.md"])["metadata"] == {"topic": "attention"}
    assert (gone.name, gone.url, gone.type) == ("gone.png", "../../gone.png", "image")
    assert not (tmp_path / "data" / came.files[gone.url]).exists()
    assert (alone.role, alone.attachments[0].name) == ("system", "notes.md")
    assert json.loads(alone.metadata["analysis"]) == {"kind": {"n": 1}}
    assert came.files[alone.attachments[0].url].endswith("f734809b_notes.md")


def test_vectors_and_earlier_contexts_become_memories_of_the_users_own_room(tmp_path: Path) -> None:
    grown(tmp_path / "data")
    came = Came(tmp_path / "data")
    earlier, *pieces = came.of(Memory)
    assert (earlier.type, earlier.audience, earlier.source) == ("episodic", "web:alice", came.sessions[ALICE].id)
    assert earlier.text.startswith("Hello")
    assert [(piece.text, piece.vector.values, piece.vector.model) for piece in pieces] == [
        ("piece 0", (0.5, 0.25, 0.0), "nomic-embed-text-v1.5"),
        ("piece 1", (1.0, -1.0, 2.0), "nomic-embed-text-v1.5"),
    ]
    assert {(piece.audience, piece.subject) for piece in pieces} == {("web:alice", "user:alice")}
    assert "663bfc84_guide.md" in pieces[0].metadata["document_id"]


def test_a_panel_has_each_voice_once_its_insights_and_its_state(tmp_path: Path) -> None:
    panels(tmp_path / "data")
    came = Came(tmp_path / "data")
    personas = {persona.id: persona for persona in came.of(Persona)}
    assert set(personas) == {"jake_thompson", "dr._sarah_wilson", "ben"}
    jake = personas["jake_thompson"]
    assert (jake.prompt, jake.expertise, jake.style["values"]) == (
        "You are Jake Thompson.",
        ("analysis", "gaming"),
        "accuracy, rest",
    )
    assert json.loads(jake.metadata["demographics"]) == {"age": 38}
    session = came.sessions["panel_session_76e50845"]
    assert session.type == "panel"
    assert [(m.persona, m.text) for m in came.said("panel_session_76e50845")] == [
        (None, "Who are you?"),
        ("jake_thompson", "Jake!"),
        (None, "Who are you?"),
        ("dr._sarah_wilson", "Sarah."),
    ]
    panel = came.sessions["panel_20250805_215750"]
    ship, wait = came.said("panel_20250805_215750")
    assert (ship.persona, wait.persona, wait.reply_to) == ("jake_thompson", "ben", ship.id)
    assert [(n.id, n.kind, n.text) for n in ship.annotations] == [("insight_1", "conclusion", "They disagree.")]
    assert [(n.id, n.sender.name) for n in wait.annotations] == [("insight_2", "Ben")]
    assert wait.metadata["consensus_level"] == "0.4"
    (run,) = came.of(Run)
    assert (run.session_id, run.data["panel"]["config"]) == (panel.id, {"rounds": 2})
    reasons = [(each.spot.line, each.reason[:20]) for each in came.refused]
    assert reasons == [(3, "Nobody here is calle"), *[(None, "2 messages of it sta")] * 2]


def test_older_layouts_without_users_and_sessions_without_a_file_of_their_own_are_read(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write(root, "demo_user/profile.json", {"user_id": "demo user", "username": "Demo"})
    id = "chat_session_20250723_141544"
    write(root, f"demo_user/{id}/session.json", {"id": id, "user_id": "demo user", "title": "Old"})
    write(root, f"demo_user/{id}/messages.jsonl", line("msg_1", "user", "Hello", 1, "id"))
    write(root, "users/persona_alex/persona_alex_5d46/messages.jsonl", line("msg_2", "assistant", "Hm", 2))
    write(root, "personas_global/alex.json", {"persona_id": "alex", "name": "Alex"})
    write(root, "users/demo/demo_session/documents/metadata.json", {})
    write(root, "users/demo/demo_session/documents/a.txt", "a")
    came = Came(root)
    old = came.sessions[id]
    assert (old.channel.id, old.channel.name, came.said(id)[0].text) == ("demo user", "Demo", "Hello")
    assert old.opened_at == datetime(2025, 7, 23, 14, 15, 44, tzinfo=UTC)
    assert came.said("persona_alex_5d46")[0].persona == "alex"
    assert came.said("demo_session")[0].attachments[0].name == "a.txt"
    assert came.refused == []


def test_bad_lines_are_refused_with_their_place_and_the_rest_goes_in(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write(root, "users/ann/s1/session.json", {"session_id": "../../../etc", "user_id": "ann"})
    twice = line("m1", "user", "once", 1)
    write(
        root,
        "users/ann/s1/messages.jsonl",
        twice,
        twice,
        {**twice, "content": "another of that id"},
        '{"role": "user", "content": "torn\n',
        "[1, 2]\n",
        line("m2", "wizard", "abracadabra", 3),
        line("m3", "user", "", 3),
        line("m4", "assistant", "late", 4) | {"timestamp": "yesterday"},
        {"role": "user", "content": "no id, no time"},
    )
    with (root / "users/ann/s1/messages.jsonl").open("ab") as file:
        file.write(b'{"role": "user", "content": "caf\xe9"}\n')
    write(root, "users/ann/s1/context.json", "{torn")
    write(root, "users/ann/s1/vectors/vector_index.jsonl", {"chunk_text": "x", "vector_index": 7}, {"vector_index": 1})
    write(root, "users/ann/s1/vectors/embeddings.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': '|O'}  ")
    came = Came(root)
    said = came.said("../../../etc")
    assert [m.text for m in said] == ["once", "another of that id", "late", "no id, no time"]
    assert [m.metadata.get("legacy_id") for m in said] == ["m1", "m1", "m4", None]
    assert len({m.id for m in said}) == 4
    assert said[2].metadata["legacy_timestamp"] == "yesterday"
    assert [(r.spot.file.rpartition("/")[2], r.spot.line) for r in came.refused] == [
        ("context.json", None),
        ("messages.jsonl", 4),
        ("messages.jsonl", 5),
        ("messages.jsonl", 6),
        ("messages.jsonl", 7),
        ("messages.jsonl", 10),
        ("messages.jsonl", 2),
        ("embeddings.npy", None),
        ("vector_index.jsonl", 2),
    ]
    assert "persona" in came.refused[3].reason
    assert [(m.text, m.vector) for m in came.of(Memory)] == [("x", None)]


@pytest.mark.parametrize(("code", "version"), [("f", 1), ("f", 2), ("d", 1)])
def test_numbers_of_both_widths_and_header_versions_are_read(tmp_path: Path, code: str, version: int) -> None:
    root = tmp_path / "data"
    write(root, "users/ann/s1/messages.jsonl", line("m1", "user", "hello", 1))
    write(root, "users/ann/s1/vectors/vector_index.jsonl", {"chunk_text": "x", "vector_index": 1})
    write(root, "users/ann/s1/vectors/embeddings.npy", npy([[1, 2], [3, 0.5]], code, version))
    came = Came(root)
    (memory,) = came.of(Memory)
    assert memory.vector.values == (3.0, 0.5)
    assert memory.vector.model == "legacy:2"
    assert [r.reason for r in came.refused] == ["1 of its 2 vectors belong to no text."]


def test_an_attachment_never_reaches_into_the_folder_of_somebody_else(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write(root, "users/ben/s2/messages.jsonl", line("m9", "user", "mine", 1))
    write(root, "users/ben/s2/documents/secret.txt", "secret")
    reach = ["../../ben/s2/documents/secret.txt", "users/ben/s2/documents/secret.txt", "/etc/passwd", "..\\..\\x.txt"]
    write(root, "users/ann/s1/messages.jsonl", line("m1", "user", "look", 1, attachments=reach))
    came = Came(root)
    (look,) = came.said("s1")
    assert [a.name for a in look.attachments] == ["secret.txt", "secret.txt", "passwd", "x.txt"]
    (files,) = (each.files for each in came.taken if each.item == look)
    assert {file.rpartition("/")[0] for file in files.values()} == {"users/ann/s1"}
    assert not any((root / file).exists() for file in files.values())


def test_what_the_latest_version_puts_elsewhere_is_found(tmp_path: Path) -> None:
    root = tmp_path / "data"
    panel = {"panel_id": "panel_1", "user_id": "ann", "personas": ["ben"], "title": "Round", "created_at": "2025-08-05"}
    write(root, "panel_sessions/ann/panel_1/panel.json", panel)
    write(root, "panel_sessions/ann/panel_1/messages.jsonl", line("p1", "ben", "Hm.", 1))
    write(root, "panels/panel_1/insights/insight_9.json", {"insight_id": "insight_9", "content": "Little was said."})
    write(root, "users/ann/personas/ben.json", {"persona_id": "ben", "name": "Ann's Ben"})
    write(root, "personas_global/ben.json", {"persona_id": "ben", "name": "Ben"})
    session = "users/ann/chat_session_20250805_100000"
    write(root, f"{session}/messages.jsonl", line("m1", "ben", "Hello.", 2))
    told = {"document_id": "ab12_x.md", "filename": "x.md", "content_type": ".md", "size": 3, "metadata": {"a": 1}}
    write(root, f"{session}/documents/documents.json", {"ab12_x.md": told})
    write(root, f"{session}/documents/ab12_x.md.txt", "# x")
    goals = {"snapshot_id": "context_2", "active_goals": ["rest"], "conversation_flow": "calm"}
    write(root, f"{session}/context_history/context_2.json", goals)
    came = Came(root)
    assert [(m.text, m.annotations[0].id) for m in came.said("panel_1")] == [("Hm.", "insight_9")]
    assert came.sessions["panel_1"].channel.id == "ann"
    assert {p.id: p.name for p in came.of(Persona)} == {"ben": "Ben", "ben_ann": "Ann's Ben"}
    chat = came.sessions["chat_session_20250805_100000"]
    hello, document = sorted(came.said("chat_session_20250805_100000"), key=lambda m: m.role)
    assert hello.persona == "ben_ann"
    assert (document.attachments[0].name, document.metadata["a"]) == ("x.md", "1")
    assert came.files[document.attachments[0].url].endswith("/ab12_x.md.txt")
    assert (chat.context.goals, chat.context.summary) == (("rest",), "calm")
    assert came.refused == []


@pytest.mark.parametrize("inside", ["users/alice", f"users/alice/{ALICE}", "zip"])
def test_a_single_users_folder_a_sessions_folder_and_a_zip_are_read_too(tmp_path: Path, inside: str) -> None:
    grown(tmp_path / "data")
    root = tmp_path / "data" / inside
    if inside == "zip":
        root = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "data"))
    (session,) = Came(root).sessions.values()
    assert (session.channel.id, session.metadata["legacy_id"]) == ("alice", ALICE)


async def test_everything_moves_into_a_store_and_a_second_time_adds_nothing(tmp_path: Path) -> None:
    root = tmp_path / "data"
    grown(root)
    panels(root)
    (tmp_path / "scratch").mkdir()
    terms = Terms(bot="sage", zone=UTC, gap=None, at=NOON, scratch=tmp_path / "scratch")
    store = await storage.connect("sage", tmp_path / "sage")
    blobs = Blobs(open_place(str(tmp_path / "attachments")), tmp_path)
    with Source(root) as source:
        name, reader = recognised(source)
        first = await migrate(source, reader, store, blobs, terms)
        before = await contents(store)
        again = await migrate(source, reader, store, blobs, terms)
    assert name == "flatfile_v2"
    assert (await contents(store)).digest == before.digest
    found = Came(root)
    assert first.messages.taken == first.verified == len(found.of(Message)) == 10
    assert (first.sessions.taken, first.personas.found, first.files.taken, first.files.missing) == (3, 3, 2, 1)
    assert first.records.taken == len(found.of(Memory) + found.of(Profile) + found.of(Run)) == 5
    assert (first.refused, len(first.notes)) == (1, 3)
    assert (again.messages.taken, again.sessions.taken, again.records.taken) == (0, 0, 0)
    await store.close()
