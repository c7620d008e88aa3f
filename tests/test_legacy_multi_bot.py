"""The multi-bot JSON files as that program wrote them: every bot gets its own conversations, and nothing twice."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from storage.legacy import Refused, Taken, Terms, multi_bot_json
from storage.legacy.source import Source
from storage.model import Message, Session

NOON = datetime(2024, 1, 8, 12)
GENERAL, IDEAS, ANA, BEN = 1180000000000000001, 1180000000000000002, 220000000000000007, 220000000000000008
NAMES = {ANA: "Ana", BEN: "Ben ☕"}


@dataclass
class Program:
    """Writes what the program did: a file for each channel and person, all of it anew with every line."""

    folder: Path
    at: datetime = NOON
    files: dict[Path, dict[str, Any]] = field(default_factory=dict)
    last_id: int = 1190000000000000000

    def said(self, bot: str, channel: int, user: int, text: str, *, shared: bool = False, id: int | None = None) -> int:
        """A line of a person that a bot took up; returns Discord's id of it."""
        self.last_id += 1
        id = id or self.last_id
        about = {"username": NAMES[user], "channel_name": f"room-{channel % 10}", "message_id": id}
        self._add(bot, channel, user, shared, "user", text, None, about)
        return id

    def answered(self, bot: str, channel: int, user: int, text: str, to: int, *, shared: bool = False) -> None:
        self._add(bot, channel, user, shared, "assistant", text, bot, {"response_to_message_id": to})

    def later(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)

    def _add(
        self, bot: str, channel: int, user: int, shared: bool, role: str, text: str, name: str | None, about: Any
    ) -> None:
        self.later(0.25)
        path = self.folder / "multi_bot_conversations" / ("" if shared else bot) / f"{channel}_{user}.json"
        known = self.files.setdefault(path, {"channel_id": channel, "user_id": user, "messages": []})
        line = {"role": role, "content": text, "timestamp": self.at.isoformat(), "bot_name": name, "metadata": about}
        there = list(dict.fromkeys(m["bot_name"] for m in (*known["messages"], line) if m["bot_name"]))
        known["messages"].append(line)
        known |= {"last_updated": self.at.isoformat(), "topic": None, "participants": there}
        write(path, known)


def write(path: Path, content: Any, encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding=encoding)


def terms(scratch: Path, bot: str = "sage", **more: Any) -> Terms:
    told = {"zone": UTC, "gap": timedelta(minutes=5), "at": datetime(2026, 1, 1, tzinfo=UTC), **more}
    folder = scratch / "scratch"
    folder.mkdir(exist_ok=True)
    return Terms(bot=bot, scratch=folder, **told)


@dataclass
class Read:
    messages: list[Message]
    sessions: dict[str, Session]
    """As they were given last."""
    refused: list[Refused]

    @property
    def words(self) -> list[str]:
        return [message.words for message in self.messages]

    @property
    def reasons(self) -> list[str]:
        return [each.reason for each in self.refused]


def sorted_out(found: Iterable[Taken | Refused]) -> Read:
    read = Read([], {}, [])
    for each in found:
        if isinstance(each, Refused):
            read.refused.append(each)
        elif isinstance(each.item, Message):
            assert each.item.session_id in read.sessions, "a session comes before its messages"
            read.messages.append(each.item)
        elif isinstance(each.item, Session):
            read.sessions[each.item.id] = each.item
    return read


def read(path: Path, scratch: Path, bot: str = "sage", *, channel: str | None = None, **more: Any) -> Read:
    with Source(path) as source:
        assert multi_bot_json.recognise(source)
        return sorted_out(multi_bot_json.read(source, terms(scratch, bot, **more), channel))


def one(folder: Path, messages: list[Any], **more: Any) -> Path:
    """One conversation of sage's."""
    path = folder / "multi_bot_conversations" / "sage" / "1_2.json"
    write(path, {"channel_id": 1, "user_id": 2, "messages": messages, "participants": ["sage"], **more})
    return folder


def line(text: str, at: str | None = "2024-01-08T12:00:00", role: str = "user", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": text, "timestamp": at, "bot_name": None, "metadata": {}, **more}


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path / "data")


def test_a_bot_gets_its_own_conversations_and_no_others(program: Program, tmp_path: Path) -> None:
    for bot in ("sage", "spark"):
        asked = program.said(bot, GENERAL, ANA, f"Hello {bot}!")
        program.answered(bot, GENERAL, ANA, f"I am {bot}.", asked)
    for path in (program.folder, program.folder / "multi_bot_conversations"):
        assert read(path, tmp_path).words == ["Hello sage!", "I am sage."]
        assert read(path, tmp_path, "spark").words == ["Hello spark!", "I am spark."]
    own = read(program.folder / "multi_bot_conversations" / "sage", tmp_path)
    alone = read(program.folder / "multi_bot_conversations" / "sage" / f"{GENERAL}_{ANA}.json", tmp_path)
    assert own.messages == alone.messages == read(program.folder, tmp_path).messages


def test_a_line_keeps_who_said_it_where_and_when_and_what_it_answers(program: Program, tmp_path: Path) -> None:
    asked = program.said("sage", GENERAL, ANA, "Grüße 語 🎉")
    program.answered("sage", GENERAL, ANA, "Hello.", asked)
    found = read(program.folder, tmp_path, zone=ZoneInfo("Europe/Berlin"))
    question, answer = found.messages
    assert question.at == datetime(2024, 1, 8, 11, 0, 0, 250_000, tzinfo=UTC)
    assert question.origin == f"discord:{GENERAL}:{asked}"
    assert (question.sender.type, question.sender.id, question.sender.name) == ("user", str(ANA), "Ana")
    assert (answer.role, answer.persona, answer.reply_to) == ("assistant", "sage", question.id)
    assert answer.metadata == {"from": "multi_bot_json"}
    session = found.sessions[question.session_id]
    assert (session.channel.key, session.channel.name) == (f"discord:{GENERAL}", "room-1")
    assert session.metadata == {"from": "multi_bot_json", "participants": '["sage"]'}


def test_files_of_one_channel_are_merged_in_time_and_cut_by_silence(program: Program, tmp_path: Path) -> None:
    for turn in range(4):
        user = (ANA, BEN)[turn % 2]
        asked = program.said("sage", GENERAL, user, f"question {turn}")
        program.answered("sage", GENERAL, user, f"answer {turn}", asked)
        program.later(400 if turn == 1 else 10)
    program.said("sage", IDEAS, BEN, "elsewhere")
    found = read(program.folder, tmp_path)
    talk = [f"{kind} {turn}" for turn in range(4) for kind in ("question", "answer")]
    assert found.words == [*talk, "elsewhere"]
    assert sorted(found.words[:8], key=lambda each: found.messages[found.words.index(each)].id) == talk
    first, second, other = found.sessions.values()
    assert second.follows == first.id
    assert other.channel.id == str(IDEAS)
    assert {person.name for person in first.participants} == {"Ana", "Ben ☕"}
    assert len(read(program.folder, tmp_path, gap=None).sessions) == 2


def test_of_a_shared_file_each_bot_gets_what_it_answered(program: Program, tmp_path: Path) -> None:
    both = program.said("sage", GENERAL, ANA, "both", shared=True)
    program.said("spark", GENERAL, ANA, "both", shared=True, id=both)  # stands there for each bot that took it up
    program.answered("spark", GENERAL, ANA, "spark to both", both, shared=True)
    spark = program.said("spark", GENERAL, ANA, "to spark", shared=True)
    program.answered("sage", GENERAL, ANA, "sage to both", both, shared=True)
    program.answered("spark", GENERAL, ANA, "spark again", spark, shared=True)
    program.said("spark", GENERAL, ANA, "unanswered", shared=True)
    assert read(program.folder, tmp_path).words == ["both", "sage to both"]
    found = read(program.folder, tmp_path, "spark")
    assert found.words == ["both", "spark to both", "to spark", "spark again", "unanswered"]
    (again,) = found.refused
    assert (again.spot.item, again.reason.endswith(", messages[0].")) == ("messages[1]", True)


def test_without_ids_a_line_is_every_bots_that_answers_before_a_person_speaks_again(tmp_path: Path) -> None:
    told = [
        line("one", "2024-01-08T12:00:00"),
        line("a", "2024-01-08T12:00:01", "assistant", bot_name="sage"),
        line("b", "2024-01-08T12:00:02", "assistant", bot_name="spark"),
        line("two", "2024-01-08T12:00:03"),
        line("c", "2024-01-08T12:00:04", "assistant", bot_name="spark"),
        line("three", "2024-01-08T12:00:05"),
    ]
    write(tmp_path / "data" / "multi_bot_conversations" / "1_2.json", told)
    assert read(tmp_path / "data", tmp_path).words == ["one", "a"]
    assert read(tmp_path / "data", tmp_path, "spark").words == ["one", "b", "two", "c", "three"]
    assert read(tmp_path / "data", tmp_path, "logic").words == []


def test_copies_in_shared_and_own_files_are_one_message(program: Program, tmp_path: Path) -> None:
    asked = program.said("sage", GENERAL, ANA, "Hello", shared=True)
    program.answered("sage", GENERAL, ANA, "Hi", asked, shared=True)
    shared = program.folder / "multi_bot_conversations" / f"{GENERAL}_{ANA}.json"
    own = shared.parent / "sage" / f"channel_{GENERAL}_user_{ANA}.json"
    content = json.loads(shared.read_text())
    content["messages"] *= 2
    write(own, content)
    write(own.with_suffix(".tmp"), content)
    found = read(program.folder, tmp_path)
    assert found.words == ["Hello", "Hi"]
    assert len(found.refused) == 2  # a sentence for each file
    assert all(each.again for each in found.refused)


def test_of_two_lines_of_one_id_the_second_is_refused_where_it_says_something_else(tmp_path: Path) -> None:
    same = [line(text, metadata={"message_id": 345}) for text in ("first", "second")]
    found = read(one(tmp_path / "x", same), tmp_path)
    assert found.words == ["first"]
    assert "says something else" in found.reasons[0]
    assert not found.refused[0].again


def test_an_id_in_other_digits_than_discords_is_none(tmp_path: Path) -> None:
    found = read(one(tmp_path / "x", [line("hi", metadata={"message_id": "٣٤٥"})]), tmp_path)
    assert [(each.origin, each.metadata["legacy_id"]) for each in found.messages] == [(None, "٣٤٥")]


def test_an_answer_before_any_question_is_one_to_the_files_person(tmp_path: Path) -> None:
    talk = [line("SECRET is safe.", role="assistant"), line("Hello"), line("Hi", role="assistant")]
    found = read(one(tmp_path / "x", talk), tmp_path)
    assert [each.asker for each in found.messages] == ["2", None, None]


def test_a_file_that_is_written_to_while_it_is_read_is_refused_whole(tmp_path: Path) -> None:
    folder = one(tmp_path / "x", [1, line("hi")]) / "multi_bot_conversations"
    other = folder / "sage" / "2_2.json"
    write(other, {"messages": [line("elsewhere")]})
    (folder / "sage" / "1_2.json").rename(folder / "1_2.json")
    grown = [1, *[line("hi", bot_name="sage", role="assistant")] * 9]
    with Source(folder) as source:
        found = multi_bot_json.read(source, terms(tmp_path))
        first = next(found)  # that the 1 is no message: the file is being read
        write(folder / "1_2.json", {"messages": grown})
        rest = sorted_out(found)
    assert isinstance(first, Refused)
    assert rest.words == ["elsewhere"]
    assert "written to while it was read" in rest.reasons[-1]


@pytest.mark.parametrize(
    "content",
    [
        {"1_2": {"messages": [line("hi"), line("yes", role="assistant", bot_name="sage")]}},
        {"channel_1_user_2": [line("hi"), line("yes", role="assistant", bot_name="sage")]},
        {"version": 1, "conversations": {"1": {"2": [line("hi"), line("yes", role="bot", bot_name="Sage")]}}},
        {"sage": {"1_2": [line("hi"), line("yes", role="assistant")]}, "spark": {"1_2": [line("no")]}},
        [{"channel_id": 1, "user_id": "2", "messages": [line("hi"), line("yes", role="model", bot_name="sage")]}],
        [
            line("hi", channel_id="1", user_id=2),
            line("yes", role="assistant", bot_name="sage", metadata={"channel_id": 1, "user_id": 2}),
        ],
    ],
)
def test_shared_conversations_are_found_however_they_are_nested(tmp_path: Path, content: Any) -> None:
    write(tmp_path / "data" / "multi_bot_conversations" / "shared_conversations.json", content)
    found = read(tmp_path / "data", tmp_path)
    assert sorted(found.words) == ["hi", "yes"]
    assert {session.channel.key for session in found.sessions.values()} == {"discord:1"}
    assert next(each.sender.id for each in found.messages if each.role == "user") == "2"


def test_a_bare_list_belongs_to_whom_its_folder_or_a_person_says(tmp_path: Path) -> None:
    bare = [{"role": role, "content": role, "timestamp": "2024-01-08T12:00:00"} for role in ("user", "assistant")]
    write(tmp_path / "data" / "sage" / "1_2.json", bare)
    assert read(tmp_path / "data", tmp_path).words == ["user", "assistant"]
    assert read(tmp_path / "data", tmp_path, "spark").words == []
    write(tmp_path / "copied" / "1_2.json", bare)
    assert read(tmp_path / "copied", tmp_path).words == ["user", "assistant"]
    write(tmp_path / "multi_bot_conversations" / "1_2.json", bare)
    found = read(tmp_path / "multi_bot_conversations", tmp_path)
    assert not found.messages
    assert [(each.spot.line, each.reason[:28]) for each in found.refused] == [
        (2, "Nothing tells which bot it w"),
        (7, "Nothing tells which bot it w"),
    ]


def test_the_folder_of_another_bot_is_refused_with_a_way_out(program: Program, tmp_path: Path) -> None:
    program.answered("spark", GENERAL, ANA, "I am spark.", program.said("spark", GENERAL, ANA, "Hello"))
    found = read(program.folder / "multi_bot_conversations" / "spark", tmp_path)
    assert not found.messages
    assert "said to spark, and only what was said to sage" in found.reasons[0]


def test_what_cannot_be_taken_is_listed_with_its_line_and_the_rest_goes_in(tmp_path: Path) -> None:
    told = [
        line("good", "2024-01-08T12:00:00"),
        line("who?", "2024-01-08T12:00:01", "oracle"),
        line("when?", "yesterday"),
        "no message",
        line(None, "2024-01-08T12:00:02"),  # type: ignore[arg-type]
        line("good too", "2024-01-08T12:00:03", "human"),
    ]
    found = read(one(tmp_path, told), tmp_path)
    assert found.words == ["good", "good too"]
    assert [each.spot.line for each in found.refused] == [12, 19, 26, 27]
    assert found.reasons[0] == "Its role is 'oracle': user, assistant and system are known."
    assert found.reasons[1] == "Its timestamp is no time: 'yesterday'."


def test_a_file_torn_or_in_another_encoding_loses_only_what_cannot_be_read(tmp_path: Path) -> None:
    path = one(tmp_path, [line("good"), line("Grüße"), line("torn", "2024-01-08T12:00:01")])
    file = path / "multi_bot_conversations" / "sage" / "1_2.json"
    text = file.read_text()
    file.write_bytes(text[: text.index("torn")].encode("cp1252"))
    found = read(path, tmp_path)
    assert found.words == ["good"]
    assert [each.spot.line for each in found.refused] == [12, 19]
    assert "UTF-8" in found.reasons[0]


def test_a_line_without_a_time_stands_behind_the_one_before(tmp_path: Path) -> None:
    told = [line("lost", None), line("one"), line("same", None), line("same", ""), line("two", role="system")]
    found = read(one(tmp_path, told), tmp_path)
    assert found.words == ["one", "two", "same", "same"]
    assert found.messages[3].metadata["time"] == "not known: just after the line before it"
    assert found.reasons == ["It has no timestamp, and neither has one before it."]


def test_a_topic_is_the_title_and_nothing_else_is_dropped(tmp_path: Path) -> None:
    told = [line("in private", metadata={"is_dm": True, "mood": {"calm": 1}, "message_id": "m-1"}, stars=3)]
    found = read(one(tmp_path, told, topic="Stoics", language="en"), tmp_path)
    session = next(iter(found.sessions.values()))
    assert (session.title, session.metadata["language"]) == ("Stoics", "en")
    assert (session.channel.kind, session.channel.parent_id) == ("dm", "2")
    assert found.messages[0].metadata == {
        "from": "multi_bot_json",
        "legacy_id": "m-1",
        "is_dm": "true",
        "mood": '{"calm": 1}',
        "stars": "3",
    }


def test_read_twice_grown_zipped_or_by_the_channel_it_gives_the_same_messages(program: Program, tmp_path: Path) -> None:
    for channel in (GENERAL, IDEAS):
        asked = program.said("sage", channel, ANA, "Hello")
        program.answered("sage", channel, ANA, "Hi", asked)
    before = read(program.folder, tmp_path)
    with zipfile.ZipFile(tmp_path / "old.zip", "w") as made:
        for path in program.files:
            made.write(path, path.relative_to(tmp_path))
    assert read(tmp_path / "old.zip", tmp_path).messages == before.messages
    by_channel = [read(program.folder, tmp_path, channel=str(id)).messages for id in (GENERAL, IDEAS)]
    assert [*by_channel[0], *by_channel[1]] == before.messages
    program.said("sage", GENERAL, BEN, "More")
    after = read(program.folder, tmp_path)
    assert [each for each in after.messages if each.words != "More"] == before.messages


@pytest.mark.parametrize(
    "content",
    [
        [{"id": "a", "conversation_id": "b", "title": "Shared from ChatGPT", "is_anonymous": True}],
        {"guild": {}, "channel": {}, "messages": [{"id": "1", "content": "x", "author": {}, "timestamp": "2024"}]},
        {"messages": [line("of no channel")]},
        [],
        "text",
    ],
)
def test_what_other_programs_wrote_is_not_recognised(tmp_path: Path, content: Any) -> None:
    for name in ("shared_conversations.json", "chat.json"):
        write(tmp_path / name, content)
        with Source(tmp_path / name) as source:
            assert not multi_bot_json.recognise(source)
    with Source(tmp_path) as source:
        assert not multi_bot_json.recognise(source)


def test_what_an_answer_answers_may_be_said_of_the_whole_conversation(tmp_path: Path) -> None:
    question = {**line("hello", "2024-01-08T12:00:00"), "metadata": {"message_id": 5}}
    told = [question, line("hi", "2024-01-08T12:00:01", "assistant")]
    write(tmp_path / "data" / "sage" / "1_2.json", {"response_to_message_id": 5, "messages": told})
    asked, answered = read(tmp_path / "data", tmp_path).messages
    assert answered.reply_to == asked.id
