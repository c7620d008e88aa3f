"""Exports of DiscordChatExporter, in the shapes that its versions write."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from storage.legacy import Refused, Taken, Terms, discord_chat_exporter
from storage.legacy.source import Source
from storage.model import Attachment, Message, Note, Reaction, Sender, Session, Text

NOON = datetime(2024, 1, 8, 12, 0, tzinfo=UTC)
TOWN = {"id": "900", "name": "Town", "iconUrl": ""}


def reading(path: Path) -> list[Taken | Refused]:
    with Source(path) as source:
        assert discord_chat_exporter.recognise(source)
        terms = Terms("Sage", UTC, timedelta(hours=6), NOON, path.parent)
        return list(discord_chat_exporter.read(source, terms))


def said(found: list[Taken | Refused]) -> list[Message]:
    return [each.item for each in found if isinstance(each, Taken) and isinstance(each.item, Message)]


def sessions(found: list[Taken | Refused]) -> list[Session]:
    known = {e.item.id: e.item for e in found if isinstance(e, Taken) and isinstance(e.item, Session)}
    return list(known.values())


def refused(found: list[Taken | Refused]) -> list[str]:
    return [each.reason for each in found if isinstance(each, Refused)]


def who(id: str, name: str, *, bot: bool = False, **more: Any) -> dict[str, Any]:
    return {"id": id, "name": name, "discriminator": "0000", "nickname": name, "isBot": bot, "roles": []} | more


ANN, SAGE = who("7", "Ann"), who("99", "sage", bot=True)


def line(number: int, content: str, author: dict[str, Any] = ANN, **more: Any) -> dict[str, Any]:
    return {
        "id": str(number),
        "type": "Default",
        "timestamp": (NOON + timedelta(minutes=number)).isoformat(),
        "timestampEdited": None,
        "isPinned": False,
        "content": content,
        "author": author,
        "attachments": [],
        "embeds": [],
        "reactions": [],
        "mentions": [],
    } | more


def export(*lines: Any, channel: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    place = {"id": "100", "type": "GuildTextChat", "categoryId": "50", "category": "Talk", "name": "general"}
    told: dict[str, Any] = {
        "guild": TOWN,
        "channel": place | (channel or {}),
        "dateRange": {"after": None, "before": None},
    }
    return {
        **told,
        "exportedAt": "2024-02-01T00:00:00+00:00",
        "messages": list(lines),
        "messageCount": len(lines),
    } | more


def put(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False), encoding="utf-8")
    return path


def test_a_message_is_the_same_one_that_the_live_bot_keeps(tmp_path: Path) -> None:
    asked = line(1, "what is **love**?", isPinned=True, timestamp="2024-01-08T13:00:00.25+01:00")
    answer = line(2, "Baby", SAGE, type="Reply", reference={"messageId": "1", "channelId": "100", "guildId": "900"})
    again = line(3, "thanks", type="Reply", reference={"messageId": "2", "channelId": "100", "guildId": "900"})
    found = reading(put(tmp_path / "general.json", export(asked, answer, again)))
    one, two, three = said(found)
    assert (one.origin, one.role, one.text, one.pinned) == ("discord:100:1", "user", "what is **love**?", True)
    assert one.at == NOON + timedelta(milliseconds=250)
    assert (two.role, two.sender) == ("assistant", Sender(type="persona", id="Sage", name="sage"))
    assert (two.reply_to, three.reply_to) == (one.id, "discord:100:2")
    assert not refused(found)
    (whole,) = sessions(found)
    assert (whole.channel.guild_name, whole.channel.name) == ("Town", "general")
    assert whole.metadata["from"] == "discord_chat_exporter"
    assert whole.metadata["category"] == "Talk"


def test_every_kind_of_channel_is_known_in_words_and_in_numbers(tmp_path: Path) -> None:
    direct = {"guild": {"id": "0", "name": "Direct Messages"}}
    kinds = {
        "1": "GuildPublicThread",
        "2": "12",
        "3": "DirectTextChat",
        "4": "DirectGroupTextChat",
        "5": "GuildVoiceChat",
    }
    for id, kind in kinds.items():
        name = "Ann" if kind == "DirectTextChat" else "place"
        more = direct if kind.startswith("Direct") else {}
        place = {"id": id, "type": kind, "name": name}
        put(tmp_path / "all" / f"{id}.json", export(line(int(id), "hi"), channel=place, **more))
    places = {each.channel.id: each.channel for each in sessions(reading(tmp_path / "all"))}
    assert [places[id].kind for id in kinds] == ["thread", "thread", "dm", "dm", "channel"]
    assert [places[id].parent_id for id in kinds] == ["50", "50", "7", None, None]
    assert [places[id].guild_id for id in kinds] == ["900", "900", None, None, "900"]


def test_parts_of_a_channel_are_one_and_what_was_exported_twice_is_there_once(tmp_path: Path) -> None:
    put(tmp_path / "a" / "Town - general [100].json", export(line(1, "one"), line(2, "two")))
    put(tmp_path / "a" / "Town - general [100] [part 2].json", export(line(3, "three"), line(4, "four")))
    later = export(line(4, "four"), line(900, "next day"), channel={"name": "plaza"}, exportedAt="2024-03-01T00:00:00Z")
    put(tmp_path / "a" / "later.json", later)
    found = reading(tmp_path / "a")
    assert [each.text for each in said(found)] == ["one", "two", "three", "four", "next day"]
    assert len(sessions(found)) == 2
    assert sessions(found)[0].channel.name == "plaza"
    assert sessions(found)[0].channel.past_names == ("general",)
    assert refused(found) == ["1 message of it stands in Town - general [100] [part 2].json already."]
    assert reading(tmp_path / "a") == found


def test_a_second_export_of_a_channel_is_told_of_in_one_sentence(tmp_path: Path) -> None:
    for name in ("first.json", "second.json"):
        put(tmp_path / "a" / name, export(*(line(number, f"line {number}") for number in range(1, 30))))
    found = reading(tmp_path / "a")
    assert len(said(found)) == 29
    assert refused(found) == ["29 messages of it stand in first.json already."]


def test_of_two_messages_of_one_id_the_second_is_refused_where_it_says_something_else(tmp_path: Path) -> None:
    put(tmp_path / "a.json", export(line(1, "one"), line(1, "other")))
    found = reading(tmp_path / "a.json")
    assert [each.text for each in said(found)] == ["one"]
    (reason,) = refused(found)
    assert "says something else" in reason


def test_media_beside_an_export_are_found_and_nothing_outside_it(tmp_path: Path) -> None:
    urls = [
        "general.json_Files\\cat-1A2B3.png",
        "general.json_Files/a%20b-4C5D6.txt",
        "/home/ann/media/song-7E8F9.mp3",
        "../../../etc/passwd",
        "https://cdn.discordapp.com/attachments/1/2/far.mp4",
    ]
    files = [{"id": str(at), "url": url, "fileName": f"{at}.png", "fileSizeBytes": 5} for at, url in enumerate(urls)]
    held = ("out/general.json_Files/cat-1A2B3.png", "out/general.json_Files/a b-4C5D6.txt", "media/song-7E8F9.mp3")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed:
        packed.writestr("out/general.json", json.dumps(export(line(1, "look", attachments=files))))
        for name in held:
            packed.writestr(name, b"bytes")
    (taken,) = [e for e in reading(tmp_path / "all.zip") if isinstance(e, Taken) and isinstance(e.item, Message)]
    assert tuple(taken.files[url] for url in urls[:3]) == held
    assert len(taken.files) == 3
    assert isinstance(taken.item, Message)
    assert [each.url for each in taken.item.attachments] == urls


def test_what_discord_itself_says_is_a_note_that_no_model_hears(tmp_path: Path) -> None:
    joined = line(1, "Joined the server.", type="GuildMemberJoin")
    pinned = line(2, "Pinned a message.", type="ChannelPinnedMessage", reference={"messageId": "1", "channelId": "100"})
    boosted = line(3, "", type="8")
    found = said(reading(put(tmp_path / "a.json", export(joined, pinned, boosted))))
    assert [each.role for each in found] == ["system"] * 3
    assert [each.parts for each in found] == [
        (Note(text="Joined the server."),),
        (Note(text="Pinned a message."),),
        (Note(text="(8)"),),
    ]
    assert found[0].sender == Sender(type="system", id="7", name="Ann")
    assert '"1"' in found[1].metadata["reference"]


def test_other_bots_speak_with_their_embeds_and_previews_of_links_are_left_out(tmp_path: Path) -> None:
    embed = {
        "title": "Build 12",
        "url": "https://ci.example/12",
        "description": "It *passed*.",
        "fields": [{"name": "Tests", "value": "all", "isInline": True}],
        "image": {"url": "https://ci.example/badge.png", "width": 1, "height": 1},
        "images": [{"url": "https://ci.example/badge.png", "width": 1, "height": 1}],
    }
    hook = who("55", "CI", bot=True)
    ann = line(2, "see https://ci.example/12", embeds=[embed])
    first, second = said(reading(put(tmp_path / "a.json", export(line(1, "", hook, embeds=[embed]), ann))))
    assert first.sender == Sender(type="bot", id="55", name="CI")
    assert first.role == "user"
    assert first.text == "[Build 12](https://ci.example/12)\nIt *passed*.\n**Tests**\nall"
    assert [each.url for each in first.attachments] == ["https://ci.example/badge.png"]
    assert second.parts == (Text(text="see https://ci.example/12"),)


def test_reactions_stickers_forwards_commands_and_edits_are_kept(tmp_path: Path) -> None:
    paul = {"id": "46", "name": "paul", "code": "paul", "isAnimated": True}
    heart = {"id": "", "name": "❤", "isAnimated": False}
    forwarded = {"timestamp": "2023-01-01T00:00:00+00:00", "content": "from afar", "attachments": [], "embeds": []}
    full = line(
        1,
        "hey <@8> and <@!8>",
        mentions=[who("8", "Bob")],
        reactions=[{"emoji": paul, "count": 1, "users": [who("8", "Bob")]}, {"emoji": heart, "count": 3}],
        stickers=[{"id": "5", "name": "Wave", "format": "Lottie", "sourceUrl": "https://discord.com/stickers/5.json"}],
        forwardedMessage=forwarded,
        reference={"type": "Forward", "messageId": "3", "channelId": "4", "guildId": "5"},
        timestampEdited="2024-01-08T12:05:00+00:00",
        interaction={"id": "6", "name": "ask", "user": ANN},
    )
    (one,) = said(reading(put(tmp_path / "a.json", export(full))))
    assert one.parts[0] == Text(text="hey @Bob and @Bob")
    assert isinstance(one.parts[1], Attachment)
    assert (one.parts[1].name, one.parts[1].description) == ("Wave.json", "Wave")
    assert one.parts[2:] == (Note(text="Forwarded:\n"), Text(text="from afar"))
    bob = Sender(type="user", id="8", name="Bob")
    assert one.reactions == (Reaction(emoji="<a:paul:46>", sender=bob, at=one.at),)
    assert json.loads(one.metadata["reactions"]) == {"<a:paul:46>": 1, "❤": 3}
    assert (one.reply_to, one.metadata["edited_at"]) == (None, "2024-01-08T12:05:00+00:00")
    assert json.loads(one.metadata["interaction"])["name"] == "ask"


def test_what_cannot_be_taken_is_told_with_its_line_and_the_rest_goes_in(tmp_path: Path) -> None:
    bad_time, no_id = line(2, "when?", timestamp="yesterday"), line(3, "who?") | {"id": "../3"}
    no_author = line(4, "I?") | {"author": None}
    odd = line(5, "odd", attachments="none", reactions=[7], embeds={"a": 1}, mentions=None)
    whole = export(line(1, "fine"), bad_time, no_id, no_author, "torn", odd, messageCount=9)
    put(tmp_path / "a" / "general.json", whole)
    put(tmp_path / "a" / "nowhere.json", export(channel={"id": None}))
    torn = json.dumps(export(line(6, "before the tear"), line(7, "gone"), channel={"id": "101"}), indent=1)
    (tmp_path / "a" / "torn.json").write_text(torn[: torn.index("gone")])
    found = reading(tmp_path / "a")
    assert [each.text for each in said(found)] == ["fine", "odd", "before the tear"]
    reasons = " ".join(refused(found))
    for reason in ("'yesterday'", "'../3'", "no author", "this is none", "9 messages, and has 6", "channel has no id"):
        assert reason in reasons
    assert "cannot be read as JSON" in reasons
    lines = (tmp_path / "a" / "general.json").read_text().splitlines()
    at = next(each.spot.line for each in found if isinstance(each, Refused) and "yesterday" in each.reason)
    assert '"id": "2"' in "".join(lines[(at or 0) - 1 : (at or 0) + 1])


def test_a_large_export_in_another_encoding_is_read_and_other_json_is_not(tmp_path: Path) -> None:
    path = tmp_path / "utf16.json"
    path.write_text(json.dumps(export(line(1, "héllo"))), encoding="utf-16")
    assert [each.text for each in said(reading(path))] == ["héllo"]
    put(tmp_path / "b" / "package.json", {"name": "guild", "channel": "messages"})
    with Source(tmp_path / "b") as source:
        assert not discord_chat_exporter.recognise(source)
