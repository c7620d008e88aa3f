"""Claude's data export: conversations with their branches and blocks, projects, and what Claude remembers."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from storage.legacy import Refused, Taken, Terms, claude
from storage.legacy.source import Source
from storage.model import Attachment, Message, Note, Sender, Session, Text, ToolCall, ToolResponse
from storage.records import Memory

NOON = datetime(2024, 1, 8, 12, 0, tzinfo=UTC)
ROOT = "00000000-0000-4000-8000-000000000000"


def reading(path: Path) -> list[Taken | Refused]:
    with Source(path) as source:
        assert claude.recognise(source)
        return list(claude.read(source, Terms("sage", UTC, timedelta(hours=6), NOON, path.parent)))


def taken(found: list[Taken | Refused], kind: type[Any]) -> list[Any]:
    return [each.item for each in found if isinstance(each, Taken) and isinstance(each.item, kind)]


def refused(found: list[Taken | Refused]) -> list[str]:
    return [each.reason for each in found if isinstance(each, Refused)]


def line(id: str, sender: str, text: str, minute: float, **more: Any) -> dict[str, Any]:
    at = (NOON + timedelta(minutes=minute)).isoformat().replace("+00:00", "Z")
    content = [{"type": "text", "text": text, "citations": [], "start_timestamp": at, "stop_timestamp": at}]
    told = {"uuid": id, "sender": sender, "text": text, "content": content, "created_at": at, "updated_at": at}
    return {**told, "attachments": [], "files": []} | more


def talk(*lines: Any, id: str = "c-1", **more: Any) -> dict[str, Any]:
    at = NOON.isoformat()
    told = {"uuid": id, "name": "A talk", "summary": "", "created_at": at, "updated_at": at}
    return {**told, "account": {"uuid": "u-1"}, "chat_messages": list(lines)} | more


def put(folder: Path, *talks: Any, **files: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "conversations.json").write_text(json.dumps(talks))
    (folder / "users.json").write_text(json.dumps([{"uuid": "u-1", "full_name": "Ann", "email_address": "a@b.c"}]))
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


def test_a_conversation_is_a_session_of_its_account(tmp_path: Path) -> None:
    found = reading(put(tmp_path / "x", talk(line("m1", "human", "Hello", 0), line("m2", "assistant", "Hi", 1))))
    (session,) = taken(found, Session)
    question, answer = taken(found, Message)
    assert (session.channel.id, session.channel.name, session.channel.parent_id) == (
        "claude-u-1",
        "Claude of Ann",
        "u-1",
    )
    assert (session.title, session.opened_at, session.closed_at) == ("A talk", NOON, NOON + timedelta(minutes=1))
    assert (session.metadata["from"], session.metadata["legacy_id"]) == ("claude", "c-1")
    assert (question.text, question.sender) == ("Hello", Sender(type="user", id="u-1", name="Ann"))
    assert (answer.text, answer.role, answer.reply_to) == ("Hi", "assistant", question.id)
    assert not refused(found)
    assert reading(tmp_path / "x") == found


def test_a_question_asked_anew_is_a_branch(tmp_path: Path) -> None:
    lines = (
        line("m1", "human", "first", 0, parent_message_uuid=ROOT),
        line("m2", "assistant", "one", 1, parent_message_uuid="m1"),
        line("m3", "human", "second", 2, parent_message_uuid="m2"),
        line("m4", "human", "second, better", 3, parent_message_uuid="m2"),
        line("m5", "assistant", "two", 4, parent_message_uuid="m4"),
    )
    found = reading(put(tmp_path / "x", talk(*lines)))
    main, branch = taken(found, Session)
    said = taken(found, Message)
    assert [each.text for each in said if each.session_id == main.id] == ["first", "one", "second, better", "two"]
    assert [each.text for each in said if each.session_id == branch.id] == ["second"]
    assert (branch.parent_id, branch.branched_at) == (main.id, said[1].id)


def test_blocks_become_calls_answers_notes_and_words_in_their_order(tmp_path: Path) -> None:
    failed = {"type": "tool_result", "tool_use_id": "t2", "name": "artifacts", "is_error": True, "message": "no"}
    blocks = [
        {"type": "thinking", "thinking": "Let me look.", "summaries": []},
        {"type": "text", "text": "I look it up.", "citations": [{"url": "https://a.example"}]},
        {"type": "tool_use", "name": "web_search", "input": {"query": "tides"}},
        {"type": "tool_result", "name": "web_search", "content": [{"type": "text", "text": "high at 6"}]},
        {"type": "tool_use", "id": "t2", "name": "artifacts", "input": {"content": "<svg/>"}},
        failed | {"content": []},
        {"type": "token_budget"},
        {"type": "text", "text": "At six."},
    ]
    (answer,) = taken(reading(put(tmp_path / "x", talk(line("m", "assistant", "", 0, content=blocks)))), Message)
    assert answer.parts == (
        Note(text="Let me look."),
        Text(text="I look it up."),
        ToolCall(call_id="m/2", tool="web_search", arguments={"query": "tides"}),
        ToolResponse(call_id="m/2", tool="web_search", result="high at 6"),
        ToolCall(call_id="t2", tool="artifacts", arguments={"content": "<svg/>"}),
        ToolResponse(call_id="t2", tool="artifacts", result=[], error="no"),
        Text(text="At six."),
    )
    assert "https://a.example" in answer.metadata["blocks"]


def test_files_come_with_the_words_that_were_found_in_them(tmp_path: Path) -> None:
    pasted = {"file_name": "notes.txt", "file_size": 12, "file_type": "text/plain", "extracted_content": "buy milk"}
    files = [{"file_name": "cat.png", "file_uuid": "f-1"}]
    one = line("m", "human", "look", 0, attachments=[pasted], files=files, files_v2=files)
    (message,) = taken(reading(put(tmp_path / "x", talk(one))), Message)
    text, cat = message.attachments
    assert (text.name, text.size, text.media_type, text.description) == ("notes.txt", 12, "text/plain", "buy milk")
    assert cat == Attachment(type="image", name="cat.png", url="claude:f-1", media_type="image/png")


def test_old_conversations_have_their_words_beside_empty_blocks(tmp_path: Path) -> None:
    old = [line("m1", "human", "hello", 0, content=[]), line("m2", "assistant", "hi", 1)]
    del old[1]["content"]
    assert [each.text for each in taken(reading(put(tmp_path / "x", talk(*old))), Message)] == ["hello", "hi"]


def test_projects_and_what_claude_noted_become_memories_of_that_room(tmp_path: Path) -> None:
    doc = {"uuid": "d-1", "filename": "schema.sql", "content": "CREATE TABLE t;", "created_at": "2024-01-02T00:00:00Z"}
    project = {
        "uuid": "p-1",
        "name": "Course",
        "description": "Databases",
        "prompt_template": "Answer briefly.",
        "created_at": "2024-01-01T00:00:00Z",
        "creator": {"uuid": "u-1", "full_name": "Ann"},
        "docs": [doc],
    }
    noted = [{"conversations_memory": "Ann sails.", "project_memories": {"p-1": "It is due."}, "account_uuid": "u-1"}]
    folder = put(tmp_path / "x", talk(line("m", "human", "hi", 0)), projects=[project], memories=noted)
    memories = {each.text: each for each in taken(reading(folder), Memory)}
    assert {text: each.type for text, each in memories.items()} == {
        "Answer briefly.": "procedural",
        "CREATE TABLE t;": "semantic",
        "Ann sails.": "semantic",
        "It is due.": "semantic",
    }
    assert {each.audience for each in memories.values()} == {"web:claude-u-1"}
    assert memories["CREATE TABLE t;"].metadata["filename"] == "schema.sql"
    assert memories["CREATE TABLE t;"].metadata["project"] == "Course"
    assert (memories["Ann sails."].subject, memories["It is due."].subject) == ("user:u-1", "project:p-1")


def test_newer_exports_keep_each_project_in_a_file_of_its_own(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed:
        packed.writestr("data/conversations.json", json.dumps([talk(line("m", "human", "hi", 0))]))
        packed.writestr("data/projects/p.json", json.dumps({"uuid": "p", "name": "P", "prompt_template": "Rhyme."}))
    assert [each.text for each in taken(reading(tmp_path / "all.zip"), Memory)] == ["Rhyme."]


def test_what_cannot_be_taken_is_told_and_the_rest_goes_in(tmp_path: Path) -> None:
    lines = (
        line("m1", "human", "fine", 0),
        line("m2", "robot", "beep", 1),
        line("m3", "human", "when?", 2, created_at="soon"),
        line("m1", "human", "again", 3),
        "torn",
        line("m4", "assistant", "no time", 4, created_at=None, content="odd", attachments={"a": 1}),
        line("m5", "human", "a circle", 5, parent_message_uuid="m5"),
        line("m6", "human", "after it", 6, parent_message_uuid="m4"),
    )
    found = reading(put(tmp_path / "x", talk(*lines), talk(*lines), talk(id="c-2"), 7))
    assert [each.text for each in taken(found, Message)] == ["fine", "no time", "after it"]
    reasons = " ".join(refused(found))
    for reason in ("'robot'", "'soon'", "'m1' was taken", "this is none", "circle", "'c-1' was taken", "no messages"):
        assert reason in reasons
    assert all(each.spot.line for each in found if isinstance(each, Refused))


def test_what_names_nobody_is_nobodys_where_the_export_is_of_several_people(tmp_path: Path) -> None:
    folder = put(
        tmp_path / "x", talk(line("m1", "human", "whose?", 0), account={}), memories=[{"conversations_memory": "?"}]
    )
    (folder / "users.json").write_text(json.dumps([{"uuid": "u-1", "full_name": "Ann"}, {"uuid": "u-2"}]))
    found = reading(folder)
    assert {each.channel.parent_id for each in taken(found, Session)} == {"account"}
    assert {each.subject for each in taken(found, Memory)} == {"user:account"}
