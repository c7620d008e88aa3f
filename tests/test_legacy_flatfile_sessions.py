"""Flat-file sessions, of one user and of several: all that lies in a session's folder comes in with it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import storage
from storage.blobs import Blobs
from storage.copying import contents
from storage.legacy import Persona, Refused, Taken, Terms, flatfile_sessions, flatfile_v2
from storage.legacy.source import Source
from storage.migration import migrate, recognised
from storage.model import Channel, Message, Session, Text
from storage.place import open_place
from storage.records import Memory, Profile
from tests.flatfile import npy, write

NOON = datetime(2026, 1, 8, 12, tzinfo=UTC)
ID = "session_20240722_1"


def said(second: int, role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, "timestamp": f"2024-07-22T09:30:{second:02d}", **more}


def lived_in(home: Path) -> None:
    """One user's folder with a session that has everything."""
    write(home, "profile.json", {"name": "Ann", "language": "en", "preferences": {"theme": "dark"}})
    index = [{"session_id": ID, "title": "Garden plans", "pinned": True}, {"session_id": "session_gone"}]
    write(home, "session_index.json", {"sessions": index})
    session = f"sessions/{ID}"
    meta = {"session_id": ID, "created_at": "2024-07-22T09:29:00", "tags": ["garden"], "model": "small"}
    write(home, f"{session}/session_meta.json", meta)
    write(
        home,
        f"{session}/messages.jsonl",
        said(1, "user", "What grows here?", metadata={"files": [{"name": "image1.jpg"}]}),
        said(2, "assistant", "Beans.", metadata={"tokens": 3}),
        said(3, "user", "And this?", attachments=["audio.wav", "lost.pdf"]),
        said(4, "fern", "Moss.") | {"id": 7},
    )
    persona = {"id": "fern", "name": "Fern", "prompt": "You are a gardener.", "communication_style": "earthy"}
    write(home, f"{session}/persona.json", persona)
    write(home, f"{session}/summary.json", {"summary": "Beans and moss", "goals": ["a garden"], "length": 4})
    history = [{"summary": "Beans", "timestamp": "2024-07-22T09:30:02"}, {"text": "Moss", "depth": 2}]
    write(home, f"{session}/context_history.json", history)
    for name, data in (("image1.jpg", b"\xff\xd8\xff"), ("audio.wav", b"RIFF"), ("document.pdf", b"%PDF-1.4")):
        (home / session / name).write_bytes(data)
    chunks = [{"text": f"chunk {n}", "index": n, "file": "document.pdf"} for n in (1, 0)]
    write(home, f"{session}/vector_index.jsonl", *chunks)
    write(home, f"{session}/embeddings.npy", npy([[0, 1], [1, 0]]))


class Came:
    """What a reader gave."""

    def __init__(self, root: Path, at: datetime = NOON) -> None:
        scratch = root.with_name("scratch")
        scratch.mkdir(exist_ok=True)
        with Source(root) as source:
            assert flatfile_sessions.recognise(source)
            assert not flatfile_v2.recognise(source)
            found = list(flatfile_sessions.read(source, Terms("sage", UTC, None, at, scratch)))
        self.taken = [each for each in found if isinstance(each, Taken)]
        self.refused = [(r.spot.file.rpartition("/")[2], r.spot.item) for r in found if isinstance(r, Refused)]
        self.files = {url: file for each in self.taken for url, file in each.files.items()}

    def of(self, kind: type[Any]) -> list[Any]:
        """The items of a kind, the last of each id."""
        return list({each.item.id: each.item for each in self.taken if isinstance(each.item, kind)}.values())


def test_all_that_lies_in_a_sessions_folder_comes_with_it(tmp_path: Path) -> None:
    root = tmp_path / "MyAIApp"
    lived_in(root)
    came = Came(root)
    (session,) = came.of(Session)
    assert (session.title, session.tags, session.persona) == ("Garden plans", ("garden",), "fern")
    assert (session.channel.key, session.channel.name) == ("web:user", "Ann")
    assert session.context.summary == "Beans and moss"
    assert session.context.goals == ("a garden",)
    assert session.metadata | {"model": "small", "pinned": "true", "summary.length": "4"} == session.metadata
    assert session.opened_at == datetime(2024, 7, 22, 9, 29, tzinfo=UTC)
    lines = [m for m in came.of(Message) if m.role != "system"]
    assert [(m.role, m.persona, m.text, [a.name for a in m.attachments]) for m in lines] == [
        ("user", None, "What grows here?", ["image1.jpg"]),
        ("assistant", "fern", "Beans.", []),
        ("user", None, "And this?", ["audio.wav", "lost.pdf"]),
        ("assistant", "fern", "Moss.", []),
    ]
    assert [(a.type, (root / came.files[a.url]).exists()) for a in lines[2].attachments] == [
        ("audio", True),
        ("file", False),
    ]
    (document,) = (m for m in came.of(Message) if m.role == "system")
    assert [a.name for a in document.attachments] == ["document.pdf"]
    assert sorted(file.rpartition("/")[2] for file in came.files.values()) == [
        "audio.wav",
        "document.pdf",
        "image1.jpg",
        "lost.pdf",
    ]
    (persona,) = came.of(Persona)
    assert (persona.name, persona.prompt) == ("Fern", "You are a gardener.")
    assert persona.style == {"communication_style": "earthy"}
    (profile,) = came.of(Profile)
    assert (profile.id, profile.name, profile.preferences["language"]) == ("user", "Ann", "en")
    beans, moss, *chunks = came.of(Memory)
    assert (beans.text, moss.text, moss.metadata["depth"], beans.source) == ("Beans", "Moss", "2", session.id)
    assert [(c.text, c.vector.values, c.vector.model, c.audience) for c in chunks] == [
        ("chunk 1", (1.0, 0.0), "legacy:2", "web:user"),
        ("chunk 0", (0.0, 1.0), "legacy:2", "web:user"),
    ]
    assert came.refused == [("session_index.json", "session_gone")]


def test_each_of_several_users_has_a_room_of_their_own(tmp_path: Path) -> None:
    root = tmp_path / "MyAIApp"
    for user in ("user_001", "user_002"):
        lived_in(root / "users" / user)
    came = Came(root)
    assert [s.channel.id for s in came.of(Session)] == ["user_001", "user_002"]
    assert {(m.audience, m.subject) for m in came.of(Memory)} == {
        ("web:user_001", "user:user_001"),
        ("web:user_002", "user:user_002"),
    }
    assert len(came.of(Message)) == 10
    assert [p.id for p in came.of(Persona)] == ["fern"]
    assert [p.id for p in came.of(Profile)] == ["user_001", "user_002"]


def test_a_session_is_read_though_its_own_file_is_torn_or_its_times_are_none(tmp_path: Path) -> None:
    root = tmp_path / "MyAIApp"
    lived_in(root)
    torn = f"sessions/{ID}"
    write(root, f"{torn}/session_meta.json", '{"session_id": ')
    write(root, "sessions/untimed/session_meta.json", {"session_id": "untimed"})
    write(root, "sessions/untimed/messages.jsonl", said(1, "user", "hm") | {"timestamp": "soon"}, '{"role":\n')
    write(root, "sessions/empty/session_meta.json", {"created_at": 1721640000})
    came, later = Came(root), Came(root, NOON.replace(year=2027))
    assert sorted(s.metadata["legacy_id"] for s in came.of(Session)) == ["empty", ID, "untimed"]
    (hm,) = (m for m in came.of(Message) if m.text == "hm")
    assert (hm.at, hm.metadata["legacy_timestamp"]) == (NOON, "soon")
    for kind in (Session, Message, Memory):
        assert [each.id for each in came.of(kind)] == [each.id for each in later.of(kind)]
    assert ("session_meta.json", "") in came.refused
    assert ("messages.jsonl", "") in came.refused


async def test_our_own_files_are_not_taken_for_theirs(tmp_path: Path) -> None:
    ours = await storage.connect("sage", tmp_path / "ours", type="file")
    channel = Channel(front="web", id="room", kind="web", name="room")
    session = Session(id="2024-01-08_14-30-00_k3f9", channel=channel, opened_at=NOON, last_at=NOON)
    who = {"type": "user", "id": "ann", "name": "Ann"}
    message = Message.model_validate(
        {"id": "m1", "session_id": session.id, "role": "user", "sender": who, "parts": [Text(text="hi")], "at": NOON}
    )
    await ours.append(session, message)
    await ours.close()
    with Source(tmp_path / "ours") as source:
        assert any(name.endswith("session_meta.json") for name in source.names)
        assert not flatfile_sessions.recognise(source)
        assert not flatfile_v2.recognise(source)


@pytest.mark.parametrize("user", ["", "users/user_001"])
async def test_everything_moves_into_a_store_and_a_second_time_adds_nothing(tmp_path: Path, user: str) -> None:
    root = tmp_path / "MyAIApp"
    lived_in(root / user)
    (tmp_path / "scratch").mkdir()
    terms = Terms("sage", UTC, None, NOON, tmp_path / "scratch")
    store = await storage.connect("sage", tmp_path / "sage")
    blobs = Blobs(open_place(str(tmp_path / "attachments")), tmp_path)
    with Source(root) as source:
        name, reader = recognised(source)
        first = await migrate(source, reader, store, blobs, terms)
        before = await contents(store)
        again = await migrate(source, reader, store, blobs, terms)
    assert name == "flatfile_sessions"
    assert (first.messages.taken, first.verified, first.sessions.taken, first.records.taken) == (5, 5, 1, 5)
    assert (first.files.taken, first.files.missing) == (3, 1)
    assert (again.messages.taken, again.sessions.taken, again.records.taken) == (0, 0, 0)
    assert (await contents(store)).digest == before.digest
    await store.close()
