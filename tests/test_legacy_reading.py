"""What old files are read with: torn, mislabelled and hostile ones lose nothing but what cannot be read."""

from __future__ import annotations

import json
import subprocess
import tracemalloc
import zipfile
from collections import deque
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from storage.legacy import Refused, Spot, Taken, unopened
from storage.legacy.cutting import cut
from storage.legacy.npy import BadNumbers, opened
from storage.legacy.reading import document, entries, flat, items, known_id, lines, outline, when
from storage.legacy.sorting import Sorted
from storage.legacy.source import BadSource, Source
from storage.model import Channel, Message, Sender, Session, Text

from .flatfile import npy

NOON = datetime(2024, 1, 8, 12, tzinfo=UTC)
ROOM = Channel(front="discord", id="1", kind="channel", name="general")
ANA = Sender(type="user", id="7", name="Ana")


def read(folder: Path, content: bytes, how: Any = items, *more: str) -> tuple[list[Any], list[Refused]]:
    """What a file gives, and what of it was refused."""
    (folder / "file").write_bytes(content)
    with Source(folder) as source:
        found = list(how(source, "file", *more))
    return [each[-1] for each in found if not isinstance(each, Refused)], [e for e in found if isinstance(e, Refused)]


def test_a_torn_line_is_refused_with_its_number_and_the_rest_is_read(tmp_path: Path) -> None:
    taken, refused = read(tmp_path, b'{"a": 1}\n\n{"a": \n{"a": 3}', lines)
    assert taken == [{"a": 1}, {"a": 3}]
    assert [each.spot for each in refused] == [Spot("file", 3)]
    assert "torn" in refused[0].reason


@pytest.mark.parametrize("mark", ["utf-8", "utf-8-sig", "utf-16"])
def test_lines_and_documents_are_read_in_whatever_encoding_their_mark_tells(tmp_path: Path, mark: str) -> None:
    assert read(tmp_path, '{"a": "ü"}\r\n{"a": "語"}\r\n'.encode(mark), lines)[0] == [{"a": "ü"}, {"a": "語"}]
    assert read(tmp_path, '{"list": ["ü", "語🎉"]}'.encode(mark), items, "list.item")[0] == ["ü", "語🎉"]
    (tmp_path / "file").write_bytes('["ü"]'.encode(mark))
    with Source(tmp_path) as source:
        assert document(source, "file") == ["ü"]


def test_only_what_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    taken, refused = read(tmp_path, '"good"\n"Grüße"\n"gut"'.encode("latin-1"), lines)
    assert taken == ["good", "gut"]
    assert (refused[0].spot.line, refused[0].reason) == (2, "It is not UTF-8: save the file as UTF-8 first.")
    taken, refused = read(tmp_path, '[\n{"a": "good"},\n{\n"a": "Grüße"},\n{"a": "gut"}]'.encode("cp1252"))
    assert taken == [{"a": "good"}, {"a": "gut"}]
    assert [each.spot for each in refused] == [Spot("file", 3, "[1]")]


@pytest.mark.parametrize("size", [1, 60_000])
def test_a_torn_document_gives_what_stands_before_the_tear_and_says_where_that_is(tmp_path: Path, size: int) -> None:
    told = json.dumps({"id": 1, "messages": [{"n": n, "text": "x" * 80} for n in range(size)], "late": 2}, indent=2)
    taken, refused = read(tmp_path, told[: told.rindex("}", 0, -10)].encode(), items, "messages.item")
    assert [each["n"] for each in taken] == list(range(size - 1))
    assert [each.spot for each in refused] == [Spot("file", 4 + 4 * (size - 1), f"messages[{size - 1}]")]
    assert "From here on" in refused[0].reason


def test_a_place_is_found_behind_texts_that_look_like_structure(tmp_path: Path) -> None:
    told = b'{"x": {"messages": [[], {}]},\n"messages": [\n"a, \\"] }\\\\",\n\n{"messages": [1,\n2]},\n"\xff"]}'
    taken, refused = read(tmp_path, told, items, "messages.item")
    assert len(taken) == 2
    assert [each.spot for each in refused] == [Spot("file", 7, "messages[2]")]


@pytest.mark.parametrize("content", [b"", b"[", b"null", b"\x00\x01", b"[" * 100_000, b'"' + b"x" * 10])
def test_what_is_no_document_is_refused_or_empty(tmp_path: Path, content: bytes) -> None:
    taken, _ = read(tmp_path, content)
    assert taken == []
    assert not read(tmp_path, content, entries)[0]


def test_a_large_document_is_read_in_little_memory(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        file.write("[")
        for number in range(40_000):
            file.write(("," if number else "") + json.dumps({"content": "word " * 40, "number": number}))
        file.write("]")
    assert (tmp_path / "file").stat().st_size > 8_000_000
    with Source(tmp_path) as source:
        tracemalloc.start()
        assert sum(1 for _ in items(source, "file")) == 40_000
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
        tracemalloc.stop()


def test_an_outline_leaves_out_what_is_large(tmp_path: Path) -> None:
    (tmp_path / "file").write_text('{"id": 5, "messages": [{"a": [1]}], "who": ["x", "y"], "more": {"id": 9}, "t": nul')
    with Source(tmp_path) as source:
        assert outline(source, "file") == {"id": 5, "messages": [], "who": ["x", "y"], "more": {}}


def test_members_of_an_object_come_with_their_keys(tmp_path: Path) -> None:
    (tmp_path / "file").write_text('{"1_2": {"a": 1}, "3_4": [2]}')
    with Source(tmp_path) as source:
        assert [each[1:] for each in entries(source, "file") if not isinstance(each, Refused)] == [
            ("1_2", {"a": 1}),
            ("3_4", [2]),
        ]


def test_a_zip_gives_its_files_but_none_that_leads_out_of_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "old.zip", "w") as made:
        for name in ("sage/1_2.json", "../evil.json", "/etc/evil.json", "C:/evil.json", "a\\..\\evil.json"):
            made.writestr(name, "[1]")
    with Source(tmp_path / "old.zip") as source:
        assert source.names == ["sage/1_2.json"]
        assert [each.spot.file for each in unopened(source)] == [
            "../evil.json",
            "/etc/evil.json",
            "C:/evil.json",
            "a\\..\\evil.json",
        ]
        assert [each[1] for each in items(source, "sage/1_2.json") if not isinstance(each, Refused)] == [1]
        with pytest.raises(BadSource, match="has no file"):
            source.open("../evil.json")


def test_of_two_files_of_one_name_in_a_zip_the_last_counts_and_the_first_is_listed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "old.zip", "w") as packed:
        packed.writestr("a.json", "first")
        with pytest.warns(UserWarning, match="Duplicate name"):
            packed.writestr("a.json", "second")
    with Source(tmp_path / "old.zip") as source:
        assert source.open("a.json").read() == b"second"
        assert ["two files of this name" in each.reason for each in unopened(source)] == [True]


def test_folders_are_read_however_deep(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(1_500):
        deep /= "d"
        deep.mkdir()
    (deep / "a.json").write_text("1")
    with Source(tmp_path) as source:
        assert len(source.names) == 1
    subprocess.run(["rm", "-r", tmp_path / "d"], check=True)  # Python itself cannot, before 3.13


def test_a_damaged_zip_is_refused_file_by_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "old.zip", "w") as made:
        made.writestr("a.json", json.dumps(["x" * 100]))
        made.writestr("b.json", "[2]")
    whole = (tmp_path / "old.zip").read_bytes()
    (tmp_path / "old.zip").write_bytes(whole.replace(b"xxxx", b"yxxx", 1))
    with Source(tmp_path / "old.zip") as source:
        assert "Bad CRC" in next(e.reason for e in items(source, "a.json") if isinstance(e, Refused))
        assert [each[1] for each in items(source, "b.json") if not isinstance(each, Refused)] == [2]


def test_links_that_lead_out_or_in_circles_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("[1]")
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "good.json").write_text("[2]")
    (folder / "out.json").symlink_to(tmp_path / "secret.json")
    (folder / "in.json").symlink_to(folder / "good.json")
    (folder / "round.json").symlink_to(folder / "round.json")
    (folder / "elsewhere").symlink_to(tmp_path)
    (folder / "here").symlink_to(folder)
    with Source(folder) as source:
        assert source.names == ["good.json", "in.json"]
        assert sorted(source.left_out) == ["elsewhere", "out.json", "round.json"]


def test_a_text_without_an_end_is_given_up_and_what_stands_before_it_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "old.zip", "w", zipfile.ZIP_DEFLATED) as made, made.open("a.json", "w") as file:
        file.write(b'["good", "')
        for _ in range(80):
            file.write(b"a" * (1 << 20))
        file.write(b'", "behind it"]')
    with Source(tmp_path / "old.zip") as source:
        good, refused = items(source, "a.json")
        assert not isinstance(good, Refused)
        assert good[1] == "good"
        assert isinstance(refused, Refused)
        assert "more than 64 MiB" in refused.reason


def test_of_numbers_only_what_their_header_speaks_of_is_copied(tmp_path: Path) -> None:
    (tmp_path / "bomb").mkdir()
    with (tmp_path / "bomb" / "a.npy").open("wb") as file:
        file.write(npy([[1.0, 2.0]]))
        file.truncate(1 << 34)  # a hole: sixteen gigabytes of nothing
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999, 2)}"
    (tmp_path / "bomb" / "b.npy").write_bytes(b"\x93NUMPY\1\0" + len(head).to_bytes(2, "little") + head)
    with Source(tmp_path / "bomb") as source:
        with opened(source, "a.npy", tmp_path) as rows:
            assert (rows.count, rows.row(0)) == (1, (1.0, 2.0))
        with pytest.raises(BadNumbers, match="at most"), opened(source, "b.npy", tmp_path):
            pass


def test_the_hour_that_clocks_show_twice_is_told_apart_by_what_was_said_before() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    first = when("2024-10-27T02:50:00", berlin)
    assert first == datetime(2024, 10, 27, 0, 50, tzinfo=UTC)
    assert when("2024-10-27T02:10:00", berlin, first) == datetime(2024, 10, 27, 1, 10, tzinfo=UTC)
    assert when("2024-01-08T14:30:00", berlin, NOON + timedelta(days=1)) == datetime(2024, 1, 8, 13, 30, tzinfo=UTC)


@pytest.mark.parametrize("value", ["yesterday", "", None, True, float("nan"), "0001-01-01", 10**30, [], "9999-12-31"])
def test_what_is_no_time_is_none(value: object) -> None:
    assert when(value, UTC) is None


def test_metadata_that_is_nested_too_deeply_does_not_stop_anything() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert flat({"deep": deep, "n": 1, "none": None}) == {"deep": "(nested too deeply to be kept)", "n": "1"}


def line(number: int, at: datetime, *, role: Any = "user", sender: Sender = ANA, reply_to: str | None = None) -> Taken:
    message = Message(
        id=known_id(at, number),
        session_id="",
        role=role,
        sender=sender,
        parts=(Text(text=str(number)),),
        at=at,
        reply_to=reply_to,
    )
    return Taken(message, Spot("file", number))


def messages(found: list[Taken]) -> list[Message]:
    return [each.item for each in found if isinstance(each.item, Message)]


def sessions(found: list[Taken]) -> list[Session]:
    return [each.item for each in found if isinstance(each.item, Session)]


def test_sessions_of_many_channels_that_begin_at_one_moment_have_ids_of_their_own() -> None:
    channels = [ROOM.model_copy(update={"id": str(number)}) for number in range(5_000)]
    ids = {sessions(list(cut(each, [line(1, NOON)], None, "test")))[0].id for each in channels}
    assert len(ids) == 5_000


def test_only_people_move_the_clock_and_a_session_names_the_one_before() -> None:
    other = Sender(type="bot", id="9", name="Other")
    told = [
        line(1, NOON),
        line(2, NOON + timedelta(minutes=4), sender=other),
        line(3, NOON + timedelta(minutes=4), role="assistant"),
        line(4, NOON + timedelta(minutes=6)),
    ]
    found = list(cut(ROOM, told, timedelta(minutes=5), "test"))
    first, first_whole, second, second_whole = sessions(found)
    assert [each.text for each in messages(found) if each.session_id == first.id] == ["1", "2", "3"]
    assert first.id == first_whole.id != second.id == second_whole.id
    assert second.follows == first.id
    assert (first.closed_at, first_whole.closed_at) == (None, NOON + timedelta(minutes=4))
    assert first_whole.participants == (ANA,)


def test_without_a_gap_any_number_of_messages_is_one_session_in_little_memory() -> None:
    people = [Sender(type="user", id=str(number), name=str(number)) for number in range(500)]
    told = (line(n, NOON + timedelta(seconds=n), sender=people[n % 500]) for n in range(5_000))
    tracemalloc.start()
    last = deque(cut(ROOM, told, None, "test"), maxlen=1).pop().item
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    assert isinstance(last, Session)
    assert [each.id for each in last.participants] == [str(number) for number in range(450, 500)]


def test_messages_are_sorted_on_the_disk_and_leave_nothing_there(tmp_path: Path) -> None:
    with Sorted(tmp_path) as held:
        for number in reversed(range(2_500)):
            each = line(number, NOON + timedelta(seconds=number // 2))
            assert isinstance(each.item, Message)
            held.add("a" if number % 5 else "b", each.item, each.spot, {"u": "f"} if number == 4 else None)
        assert held.keys() == ["a", "b"]
        found = list(held.of("a"))
        assert [each.at for each in messages(found)] == sorted(each.at for each in messages(found))
        assert next(each for each in found if each.spot.line == 4).files == {"u": "f"}
    assert list(tmp_path.iterdir()) == []
