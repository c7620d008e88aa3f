"""All readers alike: an item is the same whenever it is read, and nothing that stands in a file ends a reading."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from storage.legacy import Refused, Taken, Terms
from storage.legacy.source import Source
from storage.migration import READERS, named
from storage.model import Message, Session
from storage.records import Record

from .flatfile import npy

NOON = datetime(2024, 1, 8, 12, tzinfo=UTC)
AT = NOON.isoformat()
HEALTHY = "nothing is wrong with this"
ODD: tuple[Any, ...] = (None, 10**40, "\0\ud800", [[None, float("nan")]], {"a": {"b": ["\ud800"]}})
Files = dict[str, Any]


def _flat(id: str, text: str) -> dict[str, Any]:
    told = {"role": "user", "content": text, "message_id": id, "timestamp": AT, "attachments": ["notes.txt"]}
    return {**told, "metadata": {"persona": "luna", "file": "notes.txt"}, "response_to": "m0", "persona_id": "luna"}


def _multi_bot_json() -> Files:
    def line(text: str, **more: Any) -> dict[str, Any]:
        about = {"username": "Ana", "channel_name": "general", "message_id": 5, "channel_id": 1, "user_id": 7}
        about |= {"guild_id": 3, "guild_name": "Home", "is_dm": False, "channel_type": "thread", **more}
        return {"role": "user", "content": text, "timestamp": AT, "bot_name": "sage", "metadata": about}

    answer = {**line("hm", response_to_message_id=5), "role": "assistant"}
    told = {"channel_id": 1, "user_id": 7, "participants": ["sage"], "topic": "tides", "last_updated": AT}
    return {
        "multi_bot_conversations/1_7.json": {**told, "messages": [line("hello"), answer]},
        "multi_bot_conversations/sage/2_7.json": {"messages": [line(HEALTHY, message_id=9, channel_id=2), answer]},
    }


def _flatfile_v3() -> Files:
    user = {"type": "user", "id": "u1", "name": "Ana", "metadata": {"a": "b"}}
    image = {"type": "image", "url": "multimodal/images/a.png", "mime_type": "image/png", "alt_text": "a", "size": 3}
    message = {
        "id": "m1",
        "sender": user,
        "content": [{"type": "text", "text": "hello"}, image],
        "timestamp": AT,
        "parent_id": "m0",
        "tool_calls": [{"tool_id": "t", "function": "f", "arguments": {"a": 1}, "call_id": "c"}],
        "tool_responses": [{"call_id": "c", "tool_id": "t", "result": [1], "error": None}],
        "memory_refs": [{"memory_id": "1", "memory_type": "episodic", "relevance_score": 0.5, "context": "x"}],
        "metadata": {"troupe": {"id": "x"}},
    }
    context = {"summary": "s", "goals": ["g"], "shared_knowledge": {"k": "v"}}
    session = {"id": "s1", "type": "chat", "title": "t", "participants": [user], "context": context, "metadata": {}}
    memory = {"id": "1", "type": "episodic", "content": "x", "embedding": [0.5], "importance": 0.5, "access_count": 1}
    prompt = {"system": "Be kind.", "constraints": ["c"], "examples": ["e"]}
    agent = {"id": "luna", "name": "Luna", "prompt": prompt, "personality_traits": ["kind"], "knowledge_domains": ["x"]}
    talk, panel = "users/u1/sessions/s1", "panels/p1"
    return {
        "users/u1/profile.json": {"user_id": "u1", "username": "Ana", "metadata": {"troupe": {"front": "web"}}},
        f"{talk}/metadata.json": session,
        f"{talk}/context/current.json": context,
        f"{talk}/context/history/1.json": {"summary": "before", "timestamp": AT},
        f"{talk}/messages/1_m1.json": message,
        f"{talk}/messages/index.jsonl": [],
        f"{talk}/insights/1.json": {"content": "i", "timestamp": AT},
        f"{panel}/metadata.json": {"id": "p1", "title": HEALTHY, "participants": [user]},
        f"{panel}/messages/1_m2.json": {"id": "m2", "sender": user, "content": HEALTHY, "timestamp": AT},
        f"{panel}/participants.json": {"participants": [user], "title": HEALTHY},
        "users/u1/memory/episodic/1.json": {**memory, "metadata": {}, "associations": ["2"]},
        "agents/global/luna/config.json": {**agent, "communication_style": {"tone": "warm"}, "routing_keywords": ["x"]},
        "workflows/w/state.json": {"status": "done", "data": 1},
        "system/troupe/messages.jsonl": [{"file": f"{talk}/messages/none.json"}],
        "system/troupe/channels.jsonl": [{"front": "web", "id": "w", "kind": "web", "name": "w"}],
        "system/troupe/records.jsonl": [{"kind": "profile", "record": {"id": "u", "at": AT}}],
    }


def _flatfile_v2() -> Files:
    talk, other = "users/u1/s1", "users/u1/s2"
    persona = {"id": "luna", "name": "Luna", "traits": ["kind"], "expertise": ["x"], "communication_style": {"a": "b"}}
    piece = {"chunk_id": "c", "chunk_text": "t", "vector_index": 0, "session_id": "s1", "document_id": "notes.txt"}
    profile = {"user_id": "u1", "username": "Ana", "preferences": {"a": 1}, "created_at": AT}
    return {
        "personas_global/luna.json": persona,
        "users/u1/profile.json": profile,
        f"{talk}/session.json": {
            "session_id": "s1",
            "user_id": "u1",
            "title": "t",
            "tags": ["x"],
            "personas": ["luna"],
        },
        f"{talk}/messages.jsonl": [_flat("m1", "hello"), {"role": "user", "content": "without a time"}],
        f"{talk}/documents/metadata.json": {
            "notes.txt": {"filename": "notes.txt", "size": 3, "mime_type": "text/plain"}
        },
        f"{talk}/documents/notes.txt": "abc",
        f"{talk}/situational_context.json": {"summary": "s", "goals": ["g"], "entities": {"a": ["b"]}},
        f"{talk}/context_history/1.json": {"summary": "before", "key_points": ["x"], "timestamp": AT},
        f"{talk}/vectors/vector_index.jsonl": [{**piece, "embedding_metadata": {"model": "m", "timestamp": AT}}],
        f"{talk}/vectors/embeddings.npy": npy([[1.0, 2.0]]),
        f"{other}/session.json": {"session_id": "s2", "title": HEALTHY, "user_id": "u1", "created_at": AT},
        f"{other}/messages.jsonl": [{**_flat("m2", HEALTHY), "attachments": []}],
        "panel_sessions/p1/panel.json": {"session_id": "p1", "personas": ["luna"], "user_id": "u1", "created_at": AT},
        "panel_sessions/p1/messages.jsonl": [{**_flat("m3", "panel"), "role": "luna"}],
        "panel_sessions/p1/insights/1.json": {
            "id": "i",
            "content": "c",
            "created_by": "luna",
            "supporting_messages": ["m3"],
        },
    }


def _flatfile_sessions() -> Files:
    talk, other = "sessions/s1", "sessions/s2"
    return {
        "profile.json": {"user_id": "u1", "username": "Ana", "preferences": {"a": 1}},
        "session_index.json": {"sessions": [{"session_id": "s1", "title": "t"}, {"session_id": "s2"}]},
        f"{talk}/session_meta.json": {
            "session_id": "s1",
            "user_id": "u1",
            "title": "t",
            "participants": [{"id": "luna"}],
        },
        f"{talk}/messages.jsonl": [_flat("m1", "hello"), {"role": "assistant", "content": "without a time"}],
        f"{talk}/persona.json": {
            "persona_id": "luna",
            "name": "Luna",
            "tags": ["x"],
            "behavioral_traits": {"a": ["b"]},
        },
        f"{talk}/context_history.json": {"history": [{"summary": "before", "timestamp": AT}]},
        f"{talk}/summary.json": {"summary": "s", "goals": ["g"]},
        f"{talk}/vector_index.jsonl": [{"text": "t", "embedding_metadata": {"model": "m"}}],
        f"{talk}/embeddings.npy": npy([[1.0, 2.0]]),
        f"{talk}/notes.txt": "abc",
        f"{other}/session_meta.json": {"session_id": "s2", "title": HEALTHY, "created_at": AT},
        f"{other}/messages.jsonl": [{**_flat("m2", HEALTHY), "attachments": []}],
    }


def _discord_chat_exporter() -> Files:
    ana = {"id": "7", "name": "ana", "nickname": "Ana", "isBot": False, "roles": [{"name": "r", "id": "1"}]}
    emoji = {"id": "1", "name": "x", "isAnimated": True}
    embed: dict[str, Any] = {
        "title": "t",
        "url": "https://a.example",
        "description": "d",
        "fields": [{"name": "n", "value": "v"}],
    }
    embed |= {"author": {"name": "a"}, "footer": {"text": "f"}, "image": {"url": "i.png"}, "images": [{"url": "j.png"}]}
    message = {
        "id": "11",
        "type": "Reply",
        "timestamp": AT,
        "timestampEdited": AT,
        "isPinned": True,
        "content": "hello <@7>",
        "author": ana,
        "attachments": [{"id": "1", "url": "a.png", "fileName": "a.png", "fileSizeBytes": 3}],
        "embeds": [embed],
        "stickers": [{"name": "s", "format": "Gif", "sourceUrl": "s.gif"}],
        "reactions": [{"emoji": emoji, "count": 1, "users": [ana]}],
        "mentions": [ana],
        "reference": {"messageId": "10", "channelId": "1", "type": "Default"},
        "forwardedMessage": {"content": "f", "timestamp": AT, "attachments": [], "embeds": []},
    }
    guild = {"id": "3", "name": "Home"}
    channel = {"id": "1", "type": "GuildTextChat", "name": "general", "category": "c", "categoryId": "2", "topic": "t"}
    plain = {"id": "12", "type": "Default", "timestamp": AT, "content": HEALTHY, "author": ana}
    told = {"guild": guild, "exportedAt": AT}
    return {
        "a.json": {**told, "channel": channel, "messages": [message], "messageCount": 1},
        "b.json": {**told, "channel": {**channel, "id": "2"}, "messages": [plain], "messageCount": 1},
    }


def _chatgpt() -> Files:
    def node(id: str, parent: str | None, role: str, content: Any, **more: Any) -> dict[str, Any]:
        message = {"id": id, "author": {"role": role, "name": None}, "content": content, "metadata": {}, **more}
        return {"id": id, "parent": parent, "message": message}

    words = {"content_type": "text", "parts": ["hello"]}
    picture = {"asset_pointer": "file-service://file-abc", "size_bytes": 3, "metadata": {"dalle": {"prompt": "p"}}}
    mixed = {"content_type": "multimodal_text", "parts": [picture, {"text": "spoken"}]}
    call = {"content_type": "code", "language": "python", "text": "1 + 1"}
    thoughts = {"content_type": "thoughts", "thoughts": [{"summary": "s", "content": "c"}]}
    context = {"content_type": "user_editable_context", "user_profile": "p", "user_instructions": "i"}
    about = {"attachments": [{"id": "file-abc", "name": "a.png", "mime_type": "image/png", "size": 3}]}
    mapping = {
        "root": {"id": "root", "parent": None, "message": None},
        "c": node("c", "root", "system", context),
        "1": node("1", "c", "user", mixed, metadata=about),
        "2": node("2", "1", "assistant", call, recipient="python.run"),
        "3": node("3", "2", "tool", {"content_type": "execution_output", "text": "2"}),
        "4": node("4", "3", "assistant", thoughts),
        "5": node("5", "3", "assistant", words, create_time=1700000000.5),
    }
    timeless = {"1": node("1", None, "user", words), "2": node("2", "1", "assistant", words)}
    talk = {"id": "c1", "conversation_id": "c1", "title": "t", "current_node": "4", "is_archived": False}
    healthy = {"id": "c2", "mapping": {"1": node("1", None, "user", {"content_type": "text", "parts": [HEALTHY]})}}
    return {
        "conversations.json": [{**talk, "mapping": mapping}, {"id": "c3", "mapping": timeless}, healthy],
        "user.json": {"id": "u1", "email": "ana@b.example", "name": "Ana"},
        "shared_conversations.json": [{"id": "s", "conversation_id": "c1", "title": "t"}],
        "message_feedback.json": [{"id": "f", "conversation_id": "c1", "rating": "up"}],
        "file-abc-a.png": "abc",
    }


def _claude() -> Files:
    def line(id: str, text: str, **more: Any) -> dict[str, Any]:
        return {"uuid": id, "sender": "human", "text": text, "content": [{"type": "text", "text": text}], **more}

    blocks = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "tool_use", "id": "t", "name": "search", "input": {"q": 1}, "citations": [{"url": "x"}]},
        {"type": "tool_result", "tool_use_id": "t", "name": "search", "content": [{"text": "r"}], "is_error": True},
    ]
    files = {"attachments": [{"id": "a", "file_name": "a.txt", "file_size": 3, "extracted_content": "x"}]}
    files |= {"files": [{"file_uuid": "f", "file_name": "b.png"}], "files_v2": [{"file_uuid": "g", "file_size": 1}]}
    said = [
        line("m1", "hello", **files),
        {**line("m2", "hm", parent_message_uuid="m1"), "sender": "assistant", "content": blocks},
    ]
    talk = {"uuid": "c1", "name": "t", "account": {"uuid": "u1"}, "is_starred": True, "current_leaf_message_uuid": "m2"}
    project = {"uuid": "p", "name": "P", "creator": {"uuid": "u1", "full_name": "Ana"}, "prompt_template": "Be kind."}
    docs = {"docs": [{"uuid": "d", "filename": "a", "content": "x"}]}
    memory = {"account_uuid": "u1", "conversations_memory": "likes tea", "project_memories": {"p": "x"}}
    return {
        "conversations.json": [
            {**talk, "chat_messages": said},
            {**talk, "uuid": "c2", "chat_messages": [line("h", HEALTHY)]},
        ],
        "users.json": [{"uuid": "u1", "full_name": "Ana"}],
        "projects.json": [{**project, **docs}],
        "memories.json": [memory],
    }


def _silly_tavern() -> Files:
    extra = {
        "reasoning": "hm",
        "type": "x",
        "media": [{"url": "user/images/a.png", "title": "a"}],
        "file": {"url": "user/files/b.txt", "name": "b", "size": 3, "text": "t"},
        "image": "user/images/c.png",
        "image_swipes": ["user/images/d.png"],
        "tool_invocations": [{"id": "t", "name": "n", "parameters": {"a": 1}, "result": "r", "error": "e"}],
    }
    header = {"user_name": "Ana", "character_name": "Luna", "chat_metadata": {"main_chat": "other", "note": "n"}}
    line = {"name": "Ana", "is_user": True, "is_system": False, "mes": "hello", "extra": extra}
    answer = {"name": "Luna", "is_user": False, "mes": "hm", "swipes": ["hm", "ah"], "swipe_id": 0, "swipe_info": []}
    entry = {"uid": 0, "key": ["tea"], "content": "Luna likes tea.", "disable": False, "enabled": True}
    card: dict[str, Any] = {
        "name": "Luna",
        "description": "d",
        "personality": "kind, quick",
        "first_mes": "Hi",
        "mes_example": "<START>x",
    }
    card |= {"scenario": "s", "tags": ["x"], "character_book": {"entries": [entry]}, "system_prompt": "Be kind."}
    return {
        "settings.json": {"username": "Ana"},
        "characters/Luna.json": {"spec": "chara_card_v2", "data": card},
        "chats/Luna/first.jsonl": [header, line, answer],
        "chats/Luna/other.jsonl": [
            {**header, "create_date": AT, "note": HEALTHY},
            {**line, "mes": HEALTHY, "send_date": AT},
        ],
        "groups/1.json": {"members": ["Luna.png"], "name": "Us", "chats": ["first"], "chat_id": "first"},
        "worlds/lore.json": {"entries": {"0": entry}},
    }


SOURCES = {
    "multi_bot_json": _multi_bot_json,
    "flatfile_v3": _flatfile_v3,
    "flatfile_v2": _flatfile_v2,
    "flatfile_sessions": _flatfile_sessions,
    "discord_chat_exporter": _discord_chat_exporter,
    "chatgpt": _chatgpt,
    "claude": _claude,
    "silly_tavern": _silly_tavern,
}


def put(folder: Path, name: str, content: Any) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes | str):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    elif name.endswith(".jsonl"):
        path.write_text("".join(json.dumps(each) + "\n" for each in content))
    else:
        path.write_text(json.dumps(content))


def read(format: str, folder: Path, at: datetime = NOON) -> list[Taken | Refused]:
    scratch = folder.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    with Source(folder) as source:
        return list(named(format).read(source, Terms("sage", UTC, timedelta(minutes=5), at, scratch)))


def told(each: Taken | Refused) -> object:
    """What of an item may not depend on when it is read: all but the times of what has none."""
    if isinstance(each, Refused):
        return each
    match each.item:
        case Message() as message:
            return message.model_dump(exclude={"at", "annotations"}), each.files
        case Session() as session:
            return session.model_dump(exclude={"opened_at", "last_at", "closed_at"})
        case Record() as record:
            return record.kind, record.id
    return each.item


def test_there_is_a_source_for_every_reader() -> None:
    assert set(SOURCES) == set(READERS)


@pytest.mark.parametrize("format", READERS)
def test_what_is_read_again_later_is_the_same(format: str, tmp_path: Path) -> None:
    for name, content in SOURCES[format]().items():
        put(tmp_path / "x", name, content)
    first = read(format, tmp_path / "x")
    later = read(format, tmp_path / "x", NOON + timedelta(days=400, seconds=5))
    assert [told(each) for each in later] == [told(each) for each in first]
    times = [each.item.at for each in later if isinstance(each, Taken) and isinstance(each.item, Message)]
    assert min(times) > datetime(2000, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("format", READERS)
def test_whatever_stands_in_a_place_only_that_is_refused(format: str, tmp_path: Path) -> None:
    spoiled = {name: list(_spoiled(content)) for name, content in SOURCES[format]().items()}
    for turn in range(max(map(len, spoiled.values()))):
        for name, contents in spoiled.items():  # one place in each file at a time
            put(tmp_path / "x", name, contents[min(turn, len(contents) - 1)])
        found = read(format, tmp_path / "x")
        items = [each.item for each in found if isinstance(each, Taken)]
        assert any(isinstance(each, Message) and each.words == HEALTHY for each in items)
        for each in items:
            if isinstance(each, BaseModel):
                assert type(each).model_validate_json(each.model_dump_json()) == each


def _spoiled(value: Any) -> Iterator[Any]:
    """A document with something odd in each of its places in turn, but for what is healthy."""
    for path in _paths(value):
        for odd in ODD:
            spoiled = copy.deepcopy(value)
            holder = spoiled
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = odd
            yield spoiled
    yield value


def _paths(value: Any) -> Iterator[tuple[Any, ...]]:
    inner: Any = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    if isinstance(value, Mapping) and HEALTHY in json.dumps(value):
        return
    for key, each in inner:
        if HEALTHY not in json.dumps(each):
            yield (key,)
            for path in _paths(each):
                yield (key, *path)
