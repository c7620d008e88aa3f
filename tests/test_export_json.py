"""JSON exports: what comes back is equal to what was exported, and a file from a stranger is trusted in nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

import storage
from storage.amendments import Deleted, Edited
from storage.backend import Store
from storage.blobs import Blobs
from storage.copying import contents
from storage.exports import Export, Form, Options
from storage.exports.exported import exported
from storage.exports.json_back import _checked, _Taking, import_json, is_export
from storage.exports.json_reading import BadExport, Opened
from storage.exports.zip import zip_of
from storage.forgetting import forget
from storage.model import Annotation, Message, Reaction, Session, Text
from storage.place import Folder
from storage.progress import silent
from storage.records import Tombstone
from storage.sought import EVERYTHING, Sought
from tests.postgres import fresh_name, postgres_url

from .generating import FILES, NOON, PLACES, SENDERS, Generated, fill, generated

ALL = Options(complete=True)


@asynccontextmanager
async def place(folder: Path) -> AsyncIterator[tuple[Store, Blobs]]:
    store = await storage.connect("sage", folder, enabled=False)
    try:
        yield store, Blobs(Folder(folder / "attachments"), folder)
    finally:
        await store.close()


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[tuple[Store, Blobs]]:
    async with place(tmp_path / "here") as opened:
        yield opened


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[tuple[Store, Blobs]]:
    async with place(tmp_path / "there") as opened:
        yield opened


async def written(pieces: AsyncIterator[bytes], path: Path) -> Path:
    path.write_bytes(b"".join([piece async for piece in pieces]))
    return path


async def as_json(store: Store, path: Path, options: Options = ALL, sought: Sought = EVERYTHING) -> Path:
    return await written(exported(Export(store, None, "json", "sage", NOON, sought=sought, options=options)), path)


def line(number: int, **fields: Any) -> Message:
    told: dict[str, Any] = {
        "id": f"m{number}",
        "session_id": "s1",
        "role": "user",
        "sender": SENDERS[0],
        "parts": (Text(text=f"line {number}"),),
        "at": NOON + timedelta(minutes=number),
    }
    return Message(**{**told, **fields})


SESSION = Session(id="s1", channel=PLACES[0], participants=SENDERS[:1], opened_at=NOON, last_at=NOON)


async def talk(store: Store, *messages: Message) -> None:
    for message in messages:
        await store.append(SESSION, message)


@settings(max_examples=12, deadline=None)
@given(generated())
async def test_a_store_made_of_a_complete_export_is_equal_to_the_one_it_was_made_of(told: Generated) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with place(Path(folder, "a")) as (one, files), place(Path(folder, "b")) as (other, _):
            await fill(one, told, files)
            path = await as_json(one, Path(folder, "all.json"))
            brought = await import_json(path, other)
            assert brought.messages == len(told.messages)
            assert await contents(other) == await contents(one)
            again = await import_json(path, other)
            assert (again.messages, again.known, again.records) == (0, len(told.messages), 0)
            assert await contents(other) == await contents(one)


@settings(max_examples=6, deadline=None)
@given(generated())
async def test_a_zip_brings_the_attachments_back_as_well(told: Generated) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with place(Path(folder, "a")) as (one, files), place(Path(folder, "b")) as (other, brought):
            await fill(one, told, files)
            zipped = zip_of(Export(one, files, "json", "sage", NOON, options=ALL))
            path = await written(zipped, Path(folder, "all.zip"))
            assert is_export(path)
            await import_json(path, other, brought)
            assert await contents(other) == await contents(one)
            kept = {hash async for hash in brought.hashes()}
            assert kept == {hash for message in told.messages for hash in message.blobs} <= set(FILES)


async def test_what_was_taken_back_is_in_it_only_where_that_is_asked_for(
    here: tuple[Store, Blobs], tmp_path: Path
) -> None:
    store, _ = here
    await talk(store, line(1), line(2, parts=(Text(text="my secret"),)), line(3, parts=(Text(text="gone"),)))
    await store.amend("m2", Edited(parts=(Text(text="nothing"),), at=NOON))
    await store.amend("m3", Deleted(at=NOON))
    path = await as_json(store, tmp_path / "seen.json", Options())
    told = json.loads(path.read_text())
    assert list(told) == ["troupe", "bot", "exported_at", "complete", "channels", "sessions", "messages", "records"]
    assert [Message.model_validate(each).words for each in told["messages"]] == ["line 1", "nothing"]
    assert "secret" not in path.read_text()
    assert told["messages"][1]["edits"] == []
    complete = (await as_json(store, tmp_path / "all.json")).read_text()
    assert "my secret" in complete
    assert "gone" in complete


@pytest.mark.parametrize("sought", [EVERYTHING, Sought(channel_keys=("discord:100", "web:room"))])
@pytest.mark.parametrize("meanwhile", [b'"channels"', b'"sessions"', b'"messages"'])
@pytest.mark.parametrize("complete", [True, False])
async def test_what_is_said_while_it_is_made_does_not_spoil_it(
    sought: Sought,
    meanwhile: bytes,
    complete: bool,
    here: tuple[Store, Blobs],
    there: tuple[Store, Blobs],
    tmp_path: Path,
) -> None:
    await talk(here[0], *(line(number) for number in range(300)))
    export = Export(here[0], None, "json", "sage", NOON, sought=sought, options=Options(complete=complete))
    told = False
    with (tmp_path / "all.json").open("wb") as file:
        async for piece in exported(export):
            file.write(piece)
            if meanwhile in piece and not told:
                told = True
                for number, where in ((1, PLACES[0]), (2, PLACES[3])):
                    new = SESSION.model_copy(update={"id": f"new{number}", "channel": where})
                    await here[0].append(new, line(1000 + number, session_id=new.id))
                await talk(here[0], line(999))
    brought = await import_json(tmp_path / "all.json", *there)
    assert brought.messages >= 300
    assert await there[0].message("m299") is not None


async def test_a_store_that_can_stand_still_is_told_as_it_stood(tmp_path: Path) -> None:
    store = await storage.connect(fresh_name(), tmp_path / "here", type="postgres", url=postgres_url())
    try:
        await talk(store, line(1))
        told = b""
        async for piece in exported(Export(store, None, "json", "sage", NOON, options=ALL)):
            told += piece
            await talk(store, line(2))
        assert [message["id"] for message in json.loads(told)["messages"]] == ["m1"]
    finally:
        await store.close()


@pytest.mark.parametrize("form", ["json", "md", "html"])
async def test_what_others_put_on_somebodys_words_is_not_in_their_own_export(
    form: Form, here: tuple[Store, Blobs]
) -> None:
    mine, other = SENDERS[0], SENDERS[1]
    remarks = tuple(
        Annotation(id=each.id, kind="remark", text=f"remark of {each.id}", sender=each, at=NOON)
        for each in (mine, other)
    )
    reactions = tuple(Reaction(emoji=sign, sender=each, at=NOON) for sign, each in (("👍", mine), ("👎", other)))
    await talk(here[0], line(1, annotations=remarks, reactions=reactions))
    pieces = exported(Export(*here, form, "sage", NOON, person=mine.id))
    told = b"".join([piece async for piece in pieces]).decode()
    assert "remark of 7" in told
    assert "👍" in told
    assert "remark of 8" not in told
    assert "👎" not in told


def test_an_export_as_json_needs_nothing_that_only_pages_need() -> None:
    loaded = "import sys, storage.exports.exported; print(*{'markdown_it', 'pygments', 'nh3'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == ""


async def test_whoever_asked_to_be_forgotten_does_not_come_back(
    here: tuple[Store, Blobs], there: tuple[Store, Blobs], tmp_path: Path
) -> None:
    await talk(here[0], line(1), line(2, sender=SENDERS[1]))
    path = await as_json(here[0], tmp_path / "all.json")
    await forget(there[0], "7", NOON + timedelta(days=1))
    await import_json(path, *there)
    page = await there[0].read(deleted=True)
    assert [message.sender.id for message in page.items] == ["8"]
    assert await there[0].record(Tombstone, "7") is not None


async def test_whoever_asked_to_be_forgotten_is_not_even_there_when_an_import_is_cut_off(
    here: tuple[Store, Blobs], there: tuple[Store, Blobs], tmp_path: Path
) -> None:
    await talk(
        here[0], line(1), line(2, role="assistant", sender=SENDERS[2], reply_to="m1"), line(3, sender=SENDERS[1])
    )
    path = await as_json(here[0], tmp_path / "all.json")
    await forget(there[0], "7", NOON + timedelta(days=1))
    reader = Opened(path)
    try:
        forgotten, _ = await _checked(reader, there[0], silent)
        await _Taking(reader, there[0], forgotten, silent).all()
    finally:
        reader.close()
    assert [message.id for message in (await there[0].read(deleted=True)).items] == ["m3"]


async def test_somebodys_own_export_has_no_line_of_others_that_replies_to_theirs(here: tuple[Store, Blobs]) -> None:
    answer = line(3, role="assistant", sender=SENDERS[2], reply_to="m1")
    await talk(here[0], line(1), line(2, sender=SENDERS[1], reply_to="m1"), answer)
    pieces = exported(Export(*here, "json", "sage", NOON, person="7"))
    told = json.loads(b"".join([piece async for piece in pieces]))
    assert [each["id"] for each in told["messages"]] == ["m1", "m3"]


async def test_a_dry_run_says_what_would_come_and_keeps_nothing(
    here: tuple[Store, Blobs], there: tuple[Store, Blobs], tmp_path: Path
) -> None:
    await talk(here[0], line(1), line(2))
    await talk(there[0], line(1))
    path = await as_json(here[0], tmp_path / "all.json")
    told = await import_json(path, *there, dry_run=True)
    assert (told.bot, told.sessions, told.messages, told.known) == ("sage", 0, 1, 1)
    assert (await there[0].counts()).messages == 1


async def changed(store: Store, path: Path, **fields: Any) -> Path:
    told = json.loads((await as_json(store, path)).read_text())
    path.write_text(json.dumps({**told, **fields}))
    return path


def message(**fields: Any) -> dict[str, Any]:
    return {**line(9).model_dump(mode="json"), **fields}


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"troupe": 2}, "is an export of version 2, and this program knows version 1"),
        ({"troupe": "1"}, "does not begin as an export of this program"),
        ({"messages": [message(), message(role="god")]}, r"at messages\[1\] \(role: "),
        ({"messages": [message(at="yesterday")]}, r"at messages\[0\] \(at: "),
        ({"messages": [message(at="2024-01-08T12:00:00")]}, r"at messages\[0\] a time without its zone"),
        ({"messages": [message(at="9999-12-31T23:59:59Z")]}, r"at messages\[0\] 9999-12-31 .*, and years go from 2"),
        ({"messages": [message(session_id="elsewhere")]}, r"messages\[0\] is of the session elsewhere, which is not"),
        ({"messages": ["words"]}, r"at messages\[0\]"),
        ({"messages": {}}, "something else than the lists"),
        ({"records": [{"kind": "spell", "id": "1"}]}, r"records\[0\] a record of the kind 'spell'; there are: memory"),
        ({"records": [{"kind": ["memory"]}]}, r"records\[0\] a record of the kind"),
        ({"more": 1}, "something else than the lists|goes on"),
        ({"messages": [message(metadata=json.loads("[" * 200 + "]" * 200))]}, r"too deeply at messages\[0\]"),
    ],
)
async def test_what_is_wrong_is_named_with_its_place_and_nothing_is_taken(
    fields: dict[str, Any], complaint: str, here: tuple[Store, Blobs], there: tuple[Store, Blobs], tmp_path: Path
) -> None:
    await talk(here[0], line(1))
    path = await changed(here[0], tmp_path / "bad.json", **fields)
    with pytest.raises(BadExport, match=complaint):
        await import_json(path, *there)
    assert (await there[0].counts()).messages == 0
    assert (await there[0].counts()).channels == 0


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"words", b"\xff\xfe\x00", b'{"troupe": 1', b"PK\x03\x04broken", b'{"a": 1}']
)
async def test_a_file_that_is_no_export_is_refused(data: bytes, there: tuple[Store, Blobs], tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_bytes(data)
    with pytest.raises(BadExport, match=r"odd\.json cannot be read back"):
        await import_json(path, *there)


async def test_a_torn_file_gives_nothing(here: tuple[Store, Blobs], there: tuple[Store, Blobs], tmp_path: Path) -> None:
    await talk(here[0], *(line(number) for number in range(50)))
    path = await as_json(here[0], tmp_path / "torn.json")
    path.write_bytes(path.read_bytes()[:-2_000])
    with pytest.raises(BadExport, match=r"ends in the middle.* at messages\[\d+\]"):
        await import_json(path, *there)
    assert (await there[0].counts()).messages == 0
