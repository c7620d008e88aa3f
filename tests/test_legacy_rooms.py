"""What one person told another program is in nobody else's room."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from storage.legacy import Taken, Terms, flatfile_v2
from storage.legacy.source import Source
from storage.records import Memory

from .flatfile import line, npy, write

NOON = datetime(2026, 1, 8, 12, tzinfo=UTC)


def test_a_vector_in_one_users_folder_is_not_told_in_anothers_room(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write(root, "users/ann/s1/session.json", {"session_id": "s1", "user_id": "ann"})
    write(root, "users/ann/s1/messages.jsonl", line("m1", "user", "mine", 1))
    write(root, "users/ann/s1/documents/notes.txt", "abc")
    piece = {"chunk_text": "of ben", "session_id": "s1", "document_id": "notes.txt"}
    for folder in ("users/ben/vectors", "users/ben/sessions/s1/vectors"):
        write(root, f"{folder}/vector_index.jsonl", piece)
        write(root, f"{folder}/embeddings.npy", npy([[1.0, 2.0]]))
    write(root, "users/ben/profile.json", {"user_id": "ben"})
    with Source(root) as source:
        found = list(flatfile_v2.read(source, Terms("sage", UTC, None, NOON, tmp_path)))
    memories = [each.item for each in found if isinstance(each, Taken) and isinstance(each.item, Memory)]
    assert [(each.audience, each.subject, each.source) for each in memories] == [("web:ben", "user:ben", None)] * 2
