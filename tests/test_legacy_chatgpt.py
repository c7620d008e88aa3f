"""ChatGPT's data export: trees of messages with tools, files and thoughts, as the program has written them."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from storage.legacy import Refused, Taken, Terms, chatgpt
from storage.legacy.source import Source
from storage.model import Attachment, Message, Note, Sender, Session, Text, ToolCall, ToolResponse

NOON = datetime(2024, 1, 8, 12, 0, tzinfo=UTC)


def reading(path: Path) -> list[Taken | Refused]:
    with Source(path) as source:
        assert chatgpt.recognise(source)
        return list(chatgpt.read(source, Terms("sage", UTC, timedelta(hours=6), NOON, path.parent)))


def said(found: list[Taken | Refused]) -> list[Message]:
    return [each.item for each in found if isinstance(each, Taken) and isinstance(each.item, Message)]


def sessions(found: list[Taken | Refused]) -> list[Session]:
    return [each.item for each in found if isinstance(each, Taken) and isinstance(each.item, Session)]


def refused(found: list[Taken | Refused]) -> list[str]:
    return [each.reason for each in found if isinstance(each, Refused)]


def node(id: str, parent: str | None, role: str, content: Any, minute: float | None = None, **more: Any) -> Any:
    if isinstance(content, str):
        content = {"content_type": "text", "parts": [content]}
    name = more.pop("name", None)
    message = {
        "id": id,
        "author": {"role": role, "name": name, "metadata": {}},
        "create_time": None if minute is None else NOON.timestamp() + 60 * minute,
        "content": content,
        "status": "finished_successfully",
        "metadata": {},
        "recipient": "all",
    }
    return {"id": id, "parent": parent, "children": [], "message": message | more}


def talk(*nodes: Any, last: str, id: str = "c-1", **more: Any) -> dict[str, Any]:
    root: dict[str, Any] = {"id": "root", "parent": None, "children": [], "message": None}
    return {
        "title": "A talk",
        "create_time": NOON.timestamp(),
        "update_time": NOON.timestamp(),
        "mapping": {each["id"]: each for each in (root, *nodes)},
        "current_node": last,
        "conversation_id": id,
        "id": id,
    } | more


def put(folder: Path, *talks: Any, name: str = "conversations.json") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(talks))
    return folder


def code(text: str, language: str = "unknown") -> dict[str, str]:
    return {"content_type": "code", "language": language, "text": text}


HIDDEN = {"is_visually_hidden_from_conversation": True}


def test_a_talk_is_a_session_of_its_account_with_what_its_person_told_of_themself(tmp_path: Path) -> None:
    about = {"about_user_message": "I sail.", "about_model_message": "Be short."}
    nodes = (
        node("s", "root", "system", "", metadata=HIDDEN),
        node(
            "c",
            "s",
            "user",
            {"content_type": "user_editable_context", "user_profile": "a long frame: I sail."},
            metadata=HIDDEN | {"user_context_message_data": about},
        ),
        node("q", "c", "user", "How far is it?", 0),
        node("a", "q", "assistant", "Ten miles.", 1, metadata={"model_slug": "gpt-4"}),
    )
    put(tmp_path / "x", talk(*nodes, last="a", is_archived=True, is_starred=None, gizmo_id="g-1"))
    (tmp_path / "x" / "user.json").write_text(json.dumps({"id": "user-9", "email": "ann@example.com"}))
    found = reading(tmp_path / "x")
    (session,) = sessions(found)
    question, answer = said(found)
    assert (session.channel.id, session.channel.name) == ("chatgpt-user-9", "ChatGPT of ann")
    assert (session.channel.front, session.channel.parent_id) == ("web", "user-9")
    assert (session.title, session.archived, session.starred) == ("A talk", True, False)
    assert session.context.shared_knowledge == ("I sail.",)
    assert session.context.constraints == ("Be short.",)
    assert (session.metadata["legacy_id"], session.metadata["gizmo_id"]) == ("c-1", "g-1")
    assert (question.text, question.sender) == ("How far is it?", Sender(type="user", id="user-9", name="ann"))
    assert (answer.text, answer.reply_to, answer.metadata["model_slug"]) == ("Ten miles.", question.id, "gpt-4")
    assert answer.sender == Sender(type="persona", id="chatgpt", name="ChatGPT")
    assert not refused(found)


def test_every_branch_is_a_session_that_begins_at_its_fork(tmp_path: Path) -> None:
    nodes = (
        node("q", "root", "user", "first", 0),
        node("a1", "q", "assistant", "one answer", 1),
        node("a2", "q", "assistant", "another answer", 2),
        node("q2", "a1", "user", "and then?", 3),
        node("a3", "q2", "assistant", "the end", 4),
        node("q3", "a1", "user", "or else?", 5),
        node("again", "root", "user", "first, said better", 6),
    )
    found = reading(put(tmp_path / "x", talk(*nodes, last="a3")))
    main, *branches = sessions(found)
    texts = {each.id: [line.text for line in said(found) if line.session_id == each.id] for each in sessions(found)}
    by_text = {line.text: line.id for line in said(found)}
    assert texts[main.id] == ["first", "one answer", "and then?", "the end"]
    told = {texts[each.id][0]: (each.parent_id, each.branched_at) for each in branches}
    assert told == {
        "another answer": (main.id, by_text["first"]),
        "or else?": (main.id, by_text["one answer"]),
        "first, said better": (main.id, None),
    }
    assert len({each.id for each in sessions(found)}) == 4
    assert reading(tmp_path / "x") == found


def test_tools_are_called_and_answer_and_canvas_documents_are_kept(tmp_path: Path) -> None:
    page = {"content_type": "tether_browsing_display", "result": "a page", "summary": ""}
    doc = {"name": "Log", "type": "document", "content": "Day one"}
    nodes = (
        node("q", "root", "user", "count", 0),
        node("p", "q", "assistant", code("1+1"), 1, recipient="python"),
        node("r", "p", "tool", {"content_type": "execution_output", "text": "2"}, 2, name="python"),
        node(
            "d",
            "r",
            "assistant",
            code(json.dumps(doc)),
            3,
            recipient="canmore.create_textdoc",
        ),
        node("e", "d", "tool", {"content_type": "system_error", "name": "Oops", "text": "no room"}, 4, name="canmore"),
        node(
            "w",
            "e",
            "tool",
            page,
            5,
            name="web",
        ),
        node("t", "w", "assistant", {"content_type": "thoughts", "thoughts": [{"summary": "Hm", "content": "so"}]}, 6),
        node("f", "t", "assistant", {"content_type": "reasoning_recap", "content": "Thought for 5s"}, 7),
        node("c", "f", "assistant", code("print(2)", "python"), 8),
    )
    parts = [each.parts for each in said(reading(put(tmp_path / "x", talk(*nodes, last="c"))))][1:]
    assert parts[0] == (ToolCall(call_id="p", tool="python", arguments="1+1"),)
    assert parts[1] == (ToolResponse(call_id="p", tool="python", result="2"),)
    assert parts[2] == (ToolCall(call_id="d", tool="canmore", function="create_textdoc", arguments=doc),)
    assert isinstance(parts[3][0], ToolResponse)
    assert (parts[3][0].call_id, parts[3][0].error) == ("d", "no room")
    assert parts[4] == (ToolResponse(call_id="d", tool="web", result={"result": "a page"}),)
    assert parts[5] == (Note(text="**Hm**\nso"),)
    assert parts[6] == (Note(text="Thought for 5s"),)
    assert parts[7] == (Text(text="```python\nprint(2)\n```"),)


def test_pictures_sounds_and_files_are_found_in_the_export_by_their_ids(tmp_path: Path) -> None:
    picture = {"content_type": "image_asset_pointer", "asset_pointer": "file-service://file-AbC1", "size_bytes": 3}
    made = {
        "content_type": "image_asset_pointer",
        "asset_pointer": "sediment://file_0a1b#page",
        "metadata": {"dalle": {"prompt": "a lighthouse"}},
    }
    spoken = {"content_type": "audio_transcription", "text": "good morning", "direction": "in"}
    live: dict[str, Any] = {
        "content_type": "real_time_user_audio_video_asset_pointer",
        "audio_asset_pointer": {"content_type": "audio_asset_pointer", "asset_pointer": "sediment://file_0c"},
        "frames_asset_pointers": [],
        "video_container_asset_pointer": None,
    }
    beside = [
        {"id": "file-AbC1", "name": "cat.png", "mime_type": "image/png"},
        {"id": "file-Pdf2", "name": "a.pdf", "size": 9},
    ]
    seen = {"content_type": "multimodal_text", "parts": [picture, "what is this?"]}
    nodes = (
        node("q", "root", "user", seen, 0, metadata={"attachments": beside}),
        node("d", "q", "tool", {"content_type": "multimodal_text", "parts": [made]}, 1, name="dalle.text2im"),
        node("v", "d", "user", {"content_type": "multimodal_text", "parts": [spoken, live]}, 2),
    )
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as packed:
        packed.writestr("conversations-000.json", json.dumps([talk(*nodes, last="v")]))
        packed.writestr("file-AbC1-cat.png", b"png")
        packed.writestr("dalle-generations/file_0a1b-77.webp", b"webp")
        packed.writestr("c-1/audio/file_0c-88.wav", b"wav")
    taken = [e for e in reading(tmp_path / "export.zip") if isinstance(e, Taken) and isinstance(e.item, Message)]
    files = [sorted(each.files.values()) for each in taken]
    assert files == [["file-AbC1-cat.png"], ["dalle-generations/file_0a1b-77.webp"], ["c-1/audio/file_0c-88.wav"]]
    parts = [each.item.parts for each in taken if isinstance(each.item, Message)]
    asked = [each for each in parts[0] if isinstance(each, Attachment)]
    assert [(each.type, each.name) for each in asked] == [("image", "cat.png"), ("file", "a.pdf")]
    assert parts[0][0] == Text(text="what is this?")
    assert isinstance(parts[1][0], Attachment)
    assert (parts[1][0].type, parts[1][0].description) == ("image", "a lighthouse")
    assert parts[2][0] == Text(text="good morning")
    assert isinstance(parts[2][1], Attachment)
    assert parts[2][1].type == "audio"


def test_lines_without_a_time_or_out_of_it_keep_their_order(tmp_path: Path) -> None:
    nodes = (
        node("q", "root", "user", "one", 5),
        node("a", "q", "assistant", "two"),
        node("b", "a", "assistant", "three", 4),
    )
    found = said(reading(put(tmp_path / "x", talk(*nodes, last="b"))))
    assert [each.text for each in sorted(found, key=lambda each: each.id)] == ["one", "two", "three"]


def test_several_files_are_one_export_with_what_was_shared_and_thumbed(tmp_path: Path) -> None:
    for number in range(2):
        one = talk(node("q", "root", "user", f"talk {number}", number), last="q", id=f"c-{number}")
        put(tmp_path / "x", one, name=f"conversations-00{number}.json")
    thumb = {"id": "f", "conversation_id": "c-1", "rating": "thumbs_up"}
    (tmp_path / "x" / "message_feedback.json").write_text(json.dumps([thumb]))
    found = reading(tmp_path / "x")
    assert [each.text for each in said(found)] == ["talk 0", "talk 1"]
    assert json.loads(sessions(found)[1].metadata["feedback_f"]) == thumb


def test_what_cannot_be_taken_is_told_and_the_rest_goes_in(tmp_path: Path) -> None:
    nodes = (
        node("q", "root", "user", "fine", 0),
        node("w", "q", "wizard", "abracadabra", 1),
        node("t", "w", "assistant", "when?", 2, create_time="soon"),
        node("n", "t", "assistant", 7, 3),
        node("z", "n", "assistant", {"content_type": "sonic", "payload": {"x": "\ud83d"}}, 4),
        node("l1", "l2", "user", "round", 5),
        node("l2", "l1", "user", "and round", 6),
    )
    empty = talk(last="root", id="c-2")
    put(tmp_path / "x", talk(*nodes, last="nowhere"), "no talk", talk(*nodes, last="q"), empty)
    found = reading(tmp_path / "x")
    assert said(found)[0].text == "fine"
    assert len(said(found)) == 2
    reasons = " ".join(refused(found))
    for reason in ("'wizard'", "'soon'", "no object but '7'", "circle", "this is none", "taken already", "no messages"):
        assert reason in reasons
    assert all(each.spot.line for each in found if isinstance(each, Refused))


def test_a_torn_export_gives_the_talks_before_the_tear(tmp_path: Path) -> None:
    whole = json.dumps([talk(node("q", "root", "user", "kept", 0), last="q"), talk(last="gone", id="c-2")])
    (tmp_path / "conversations.json").write_text(whole[: whole.rindex("gone")])
    found = reading(tmp_path / "conversations.json")
    assert [each.text for each in said(found)] == ["kept"]
    assert "cannot be read as JSON" in refused(found)[0]
