"""SillyTavern's chats and characters, as its versions have written them."""

from __future__ import annotations

import base64
import json
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from storage.legacy import Persona, Refused, Taken, Terms, silly_tavern
from storage.legacy.silly_tavern_cards import persona_id
from storage.legacy.source import Source
from storage.model import Message, Note, Sender, Session, Text, ToolCall, ToolResponse
from storage.records import Memory

NOON = datetime(2024, 1, 8, 12, 0, tzinfo=UTC)


def reading(path: Path) -> list[Taken | Refused]:
    with Source(path) as source:
        assert silly_tavern.recognise(source)
        return list(silly_tavern.read(source, Terms("sage", UTC, timedelta(hours=6), NOON, path.parent)))


def taken(found: list[Taken | Refused], kind: type[Any]) -> list[Any]:
    return [each.item for each in found if isinstance(each, Taken) and isinstance(each.item, kind)]


def refused(found: list[Taken | Refused]) -> list[str]:
    return [each.reason for each in found if isinstance(each, Refused)]


def put(path: Path, *records: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(each if isinstance(each, str) else json.dumps(each) for each in records))
    return path


def line(name: str, mes: str, minute: float, *, user: bool = False, **more: Any) -> dict[str, Any]:
    at = (NOON + timedelta(minutes=minute)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"name": name, "is_user": user, "is_system": False, "send_date": at, "mes": mes, "extra": {}} | more


HEADER = {"user_name": "Ann", "character_name": "Mira", "create_date": "2024-1-8 @12h 0m 0s 0ms", "chat_metadata": {}}


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def picture(**cards: Any) -> bytes:
    texts = (
        chunk(b"tEXt", key.encode() + b"\0" + base64.b64encode(json.dumps(card).encode()))
        for key, card in cards.items()
    )
    ihdr = chunk(b"IHDR", b"\0" * 13)
    return b"\x89PNG\r\n\x1a\n" + ihdr + chunk(b"IDAT", b"\0" * 70_000) + b"".join(texts) + chunk(b"IEND", b"")


CARD: dict[str, Any] = {
    "name": "Mira",
    "description": "{{char}} keeps a lighthouse.",
    "personality": "calm, wry",
    "scenario": "{{User}} has come ashore.",
    "first_mes": "Welcome, {{user}}.",
    "mes_example": "<START>\n{{user}}: Hi\n{{char}}: Hello\n<START>\n{{char}}: Mind the step.",
}
V2: dict[str, Any] = {
    "spec": "chara_card_v2",
    "spec_version": "2.0",
    "data": CARD
    | {
        "system_prompt": "Be brief. {{original}}",
        "creator_notes": "A keeper.",
        "tags": ["sea", "calm"],
        "creator": "bob",
        "alternate_greetings": ["Ahoy."],
        "character_book": {
            "entries": [
                {"keys": ["lamp"], "content": "The lamp is old.", "enabled": True, "id": 0},
                {"keys": ["cellar"], "content": "Not in use.", "enabled": False, "id": 1},
            ]
        },
    },
}


def test_a_chat_is_a_session_with_its_character(tmp_path: Path) -> None:
    chat = tmp_path / "data" / "ann" / "chats" / "Mira" / "Mira - 2024-01-08@12h00m00s.jsonl"
    put(chat, HEADER, line("Mira", "Welcome, {{user}}.", 0), line("Ann", "Hi!", 1, user=True), line("Mira", "Well?", 2))
    put(tmp_path / "data" / "ann" / "settings.json", {"username": "Ann"})
    found = reading(tmp_path / "data")
    first, asked, answer = taken(found, Message)
    session = taken(found, Session)[-1]
    assert (session.channel.id, session.channel.name) == ("silly_tavern-ann", "SillyTavern of Ann")
    assert (session.title, session.persona, session.closed_at) == (chat.stem, "mira", NOON + timedelta(minutes=2))
    assert (first.text, first.sender) == ("Welcome, Ann.", Sender(type="persona", id="mira", name="Mira"))
    assert (asked.role, asked.sender) == ("user", Sender(type="user", id="ann", name="Ann"))
    assert (answer.persona, answer.reply_to) == ("mira", asked.id)
    assert not refused(found)
    assert reading(tmp_path / "data") == found


@pytest.mark.parametrize(
    "written",
    [
        "January 8, 2024 2:05pm",
        "2024-01-08@14h05m00s",
        "2024-1-8 @14h 5m 0s 0ms",
        "2024-01-08@14h05m00s000ms",
        "2024-01-08T13:05:00.000Z",
        "2024-01-08T14:05:00+01:00",
        1704719100000,
        "1704719100000",
        1704719100,
    ],
)
def test_every_way_of_writing_a_time_is_read(written: object) -> None:
    assert silly_tavern.timed(written, ZoneInfo("Europe/Berlin")) == datetime(2024, 1, 8, 13, 5, tzinfo=UTC)


def test_what_is_no_time_is_none() -> None:
    assert silly_tavern.timed("Smarch 13, 2024 2:05pm", UTC) is None
    assert silly_tavern.timed("2024-13-45@99h05m00s", UTC) is None


def test_lines_of_one_minute_keep_their_order_and_each_has_its_own_id(tmp_path: Path) -> None:
    same = {"send_date": "January 8, 2024 2:05pm"}
    lines = [line("Mira" if n % 2 else "Ann", str(n), 0, user=not n % 2, **same) for n in range(8)]
    said = taken(reading(put(tmp_path / "a.jsonl", HEADER, *lines)), Message)
    assert [each.text for each in sorted(said, key=lambda each: each.id)] == [str(n) for n in range(8)]


def test_the_wordings_that_were_not_chosen_are_annotations(tmp_path: Path) -> None:
    swiped = line("Mira", "second", 0, swipes=["first", "second", "third"], swipe_id=1)
    (said,) = taken(reading(put(tmp_path / "a.jsonl", HEADER, swiped)), Message)
    assert said.text == "second"
    assert [(each.kind, each.text) for each in said.annotations] == [("alternative", "first"), ("alternative", "third")]


def test_thoughts_tools_pictures_and_hidden_lines_are_kept(tmp_path: Path) -> None:
    call = {"id": "t1", "name": "Dice", "parameters": {"sides": 6}, "result": "4"}
    extra = {"reasoning": "Hm.", "tool_invocations": [call], "model": "gpt", "image": "/user/images/Mira/a.png"}
    lines = (
        line("Mira", "See.", 0, extra=extra),
        line("Ann", "(aside)", 1, user=True, is_system=True),
        line("Narrator", "It rains.", 2, is_system=True, extra={"type": "narrator"}),
        line("SillyTavern System", "Welcome!", 3, is_system=True, extra={"type": "welcome"}),
    )
    put(tmp_path / "u" / "chats" / "Mira" / "a.jsonl", HEADER, *lines)
    put(tmp_path / "u" / "user" / "images" / "Mira" / "a.png", "png")
    found = reading(tmp_path / "u")
    seen, aside, rain, welcome = taken(found, Message)
    assert seen.parts[:4] == (
        Note(text="Hm."),
        ToolCall(call_id="t1", tool="Dice", arguments={"sides": 6}),
        ToolResponse(call_id="t1", tool="Dice", result="4"),
        Text(text="See."),
    )
    files = next(e.files for e in found if isinstance(e, Taken) and e.item == seen)
    assert files == {"/user/images/Mira/a.png": "user/images/Mira/a.png"}
    assert (seen.metadata["model"], aside.metadata["hidden"], aside.role) == ("gpt", "true", "user")
    assert (rain.role, rain.parts) == ("system", (Text(text="It rains."),))
    assert welcome.parts == (Note(text="Welcome!"),)


def test_a_group_speaks_with_several_voices_and_a_branch_names_its_chat(tmp_path: Path) -> None:
    group = {"id": "1", "name": "Crew", "members": ["Mira.png", "Bo.png"], "chats": ["2024-01-08@12h00m00s"]}
    put(tmp_path / "g" / "groups" / "1.json", group)
    lines = [line("Mira", "Aye", 0, original_avatar="Mira.png"), line("Bo", "No", 1, original_avatar="Bo2.png")]
    put(tmp_path / "g" / "group chats" / "2024-01-08@12h00m00s.jsonl", *lines)
    branch = {"chat_metadata": {"main_chat": "2024-01-08@12h00m00s"}, "user_name": "unused", "character_name": "unused"}
    put(tmp_path / "g" / "group chats" / "Branch #1.jsonl", branch, *lines[:1])
    put(tmp_path / "g" / "backups" / "chat_copy.jsonl", *lines)
    found = reading(tmp_path / "g")
    sessions = {each.title: each for each in taken(found, Session)}
    main, other = sessions["Crew: 2024-01-08@12h00m00s"], sessions["Branch #1"]
    assert main.persona is None
    assert [each.id for each in main.participants] == ["mira", "bo2"]
    assert other.parent_id == main.id
    assert len(taken(found, Message)) == 3


def test_a_card_in_a_picture_is_a_persona_with_its_names_filled_in(tmp_path: Path) -> None:
    path = tmp_path / "characters" / "Mira.png"
    path.parent.mkdir()
    path.write_bytes(picture(chara=CARD, ccv3=V2 | {"spec": "chara_card_v3"}))
    (mira,) = taken(reading(tmp_path), Persona)
    assert (mira.id, mira.name, mira.description, mira.picture) == ("mira", "Mira", "A keeper.", "characters/Mira.png")
    assert mira.prompt.split("\n\n") == [
        "Be brief.",
        "Mira keeps a lighthouse.",
        "Mira's personality: calm, wry",
        "Scenario: the user has come ashore.",
    ]
    assert (mira.traits, mira.tags, mira.greeting) == (("calm", "wry"), ("sea", "calm"), "Welcome, the user.")
    assert mira.examples == ("the user: Hi\nMira: Hello", "Mira: Mind the step.")
    assert mira.metadata["lore"] == "[lamp]\nThe lamp is old."
    assert json.loads(mira.metadata["alternate_greetings"]) == ["Ahoy."]
    assert mira.metadata["spec"] == "chara_card_v3"


@pytest.mark.parametrize("card", [CARD, V2, V2 | {"spec": "chara_card_v3"}])
def test_a_card_in_json_of_any_version_is_a_persona(tmp_path: Path, card: Any) -> None:
    (mira,) = taken(reading(put(tmp_path / "card.json", card)), Persona)
    assert (mira.name, mira.greeting) == ("Mira", "Welcome, the user.")


def test_a_name_in_any_script_gives_an_id_that_a_persona_may_have() -> None:
    assert persona_id("Émile's Café") == "emile-s-cafe"
    assert persona_id("雪乃") == persona_id("雪乃") != persona_id("雪")
    assert persona_id("../../etc/passwd") == "etc-passwd"
    assert persona_id("2B").startswith("character-")


def test_a_book_of_lore_is_remembered(tmp_path: Path) -> None:
    entry = {"uid": 0, "key": ["glade"], "content": "{{user}} is safe here.", "disable": False}
    put(tmp_path / "worlds" / "Eldoria.json", {"entries": {"0": entry}})
    put(tmp_path / "characters" / "Mira.json", CARD)
    (memory,) = taken(reading(tmp_path), Memory)
    assert (memory.text, memory.subject) == ("[glade]\nthe user is safe here.", "lore:Eldoria")
    assert memory.audience == "web:silly_tavern-default-user"


def test_pictures_that_lie_about_their_size_or_are_torn_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "characters"
    folder.mkdir()
    whole = picture(chara=V2)
    (folder / "a.png").write_bytes(whole)
    (folder / "huge.png").write_bytes(whole[:8] + b"\xff\xff\xff\xfftEXtchara\0" + b"A" * 100)
    (folder / "torn.png").write_bytes(whole.replace(b"chara\0", b"chara\0e30A"))
    (folder / "none.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "fake.png").write_bytes(b"GIF89a")
    found = reading(tmp_path)
    assert [each.name for each in taken(found, Persona)] == ["Mira"]
    assert len(refused(found)) == 4
    assert any("torn" in each for each in refused(found))


def test_lines_that_cannot_be_taken_are_told_and_the_rest_goes_in(tmp_path: Path) -> None:
    bad = (
        line("Mira", "when?", 1, send_date="soon"),
        {"name": "Mira"},
        "{torn",
        line("Mira", "x", 1) | {"mes": ["odd"]},
    )
    fine = (line("Mira", "fine", 0), line("Mira", "no time", 3, send_date=""), line("", "odd", 4, swipes=7, extra=[1]))
    path = put(tmp_path / "a.jsonl", HEADER, fine[0], *bad, *fine[1:])
    found = reading(path)
    assert [each.text for each in taken(found, Message)] == ["fine", "no time", "odd"]
    assert [each.spot.line for each in found if isinstance(each, Refused)] == [3, 4, 5, 6]
    assert "'soon'" in refused(found)[0]
