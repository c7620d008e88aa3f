"""`troupe export` and `troupe import` as somebody uses them who takes their talk along."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import storage
from bots.cli_cleanup import import_
from bots.cli_export import export
from bots.export_order import order
from bots.terminal import SOCKET, Door
from storage.backend import Store
from storage.blobs import Blobs
from storage.copying import contents
from storage.model import Attachment, Text
from storage.place import Folder
from storage.rootlock import RootLock
from tests.test_cli_cleanup import House
from tests.test_export_json import SESSION, line, talk

from .generating import NOON, SENDERS
from .stage import eventually
from .world import world

TROUPE = f"PYTHONPATH={Path(__file__).parents[1]} {sys.executable} -m bots export sage -o - --config config"


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.chdir(tmp_path)
    made = House(tmp_path)
    asyncio.run(fill(made.root))
    return made


async def once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def fill(root: Path) -> None:
    store = await storage.connect("sage", root)
    blob = await Blobs(Folder(root / "attachments"), root).keep(once(b"a cat"), limit=9)
    cat = Attachment(type="file", name="cat.txt", url="https://cdn.example/cat", blob=blob.hash, size=5)
    await talk(store, line(1), line(2, sender=SENDERS[1]), line(3, parts=(cat,)))
    await store.save_session(SESSION.model_copy(update={"tags": ("trip",), "title": "A trip"}))
    await store.close()


def run(house: House, *args: str) -> Result:
    return house.run(export, "sage", *args)


def test_the_whole_bot_goes_into_one_file(house: House, tmp_path: Path) -> None:
    done = run(house, "-o", "all.md")
    size = (tmp_path / "all.md").stat().st_size
    assert (done.exit_code, done.output) == (0, f"all.md: 3 messages in 1 session, {size:,} bytes\n")
    told = (tmp_path / "all.md").read_text()
    assert told.startswith("# A trip\n")
    assert "> line 1" in told
    assert "علي" in told


@pytest.mark.parametrize(
    ("args", "lines"),
    [
        (("--channel", "#général"), 3),
        (("--channel", "100", "--tag", "trip"), 3),
        (("--tag", "other"), 0),
        (("--starred",), 0),
        (("--user", "8"), 1),
        (("--user", "@ann"), 2),
        (("--since", "2024-01-08", "--until", "2024-01-08"), 3),
        (("--until", "2024-01-07"), 0),
        (("--since", "2024-01-08T12:02"), 2),
        (("--until", "2024-01-08T13:02", "--timezone", "Europe/Berlin"), 1),
        (("--session", "s1", "--until", "2024-01-08T14:02", "--timezone", "Asia/Tokyo"), 0),
        (("--until", "2024-01-08T12:02"), 1),
    ],
)
def test_only_what_is_asked_for_is_taken(args: tuple[str, ...], lines: int, house: House) -> None:
    done = run(house, *args, "--dry-run", "--json")
    assert json.loads(done.stdout)["messages"] == lines, done.output


def test_a_file_that_is_there_is_not_written_over(house: House, tmp_path: Path) -> None:
    (tmp_path / "all.md").write_text("mine")
    done = run(house, "-o", "all.md")
    assert done.exit_code == 1
    assert "all.md is there already: choose another name, or write over it with --force" in done.output
    assert (tmp_path / "all.md").read_text() == "mine"
    assert run(house, "-o", "all.md", "--force").exit_code == 0


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("--session", "nope"), "There is no session 'nope': `troupe sessions list sage` shows those that there are."),
        (("--channel", "nope"), "there are: général"),
        (("--user", "Nobody"), "Nobody called 'Nobody' is known here"),
        (("--user", "99"), "Nothing that sage keeps matches all that was asked for"),
        (("--persona", "nope", "-o", "-"), "Nothing that sage keeps matches all that was asked for"),
        (("--tag", "nope", "--form", "json"), "Nothing that sage keeps matches all that was asked for"),
        (("--since", "1.3.2024"), "'1.3.2024' is no day: write it as 2026-03-02"),
        (("--header-level", "2", "--form", "pdf"), "--header-level does nothing for pdf: it goes with md, docx."),
        (("--no-timestamps", "--form", "json"), "--no-timestamps does nothing for json"),
        (("-o", "config", "--force"), "config is a folder: name a file in it."),
        (("--timezone", "Mars/Olympus"), "There is no time zone 'Mars/Olympus'"),
        (("--complete", "--form", "html"), "--complete does nothing for html: it goes with json, v3."),
        (("--code-language", "a b"), "--code-language: "),
        (("-o", "no/such/folder.md"), "no/such/folder.md cannot be written"),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_nothing(
    args: tuple[str, ...], sentence: str, house: House, tmp_path: Path
) -> None:
    before = sorted(tmp_path.iterdir())
    done = run(house, *args)
    assert done.exit_code == 1
    assert sentence in done.output
    assert sorted(tmp_path.iterdir()) == before


def test_what_is_no_file_is_written_into_and_a_link_is_followed(house: House, tmp_path: Path) -> None:
    assert run(house, "-o", "/dev/null", "--force").exit_code == 0
    assert Path("/dev/null").is_char_device()
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "real.md").write_text("old")
    (tmp_path / "all.md").symlink_to("kept/real.md")
    assert run(house, "-o", "all.md", "--force").exit_code == 0
    assert (tmp_path / "all.md").is_symlink()
    assert "line 1" in (tmp_path / "kept" / "real.md").read_text()


def test_drafts_of_those_who_were_killed_are_cleared_away(house: House, tmp_path: Path) -> None:
    (tmp_path / ".all.md.abcd_123").write_text("half")
    (tmp_path / ".all.md.mine").write_text("mine")
    with (tmp_path / ".all.md.wr1tten_").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert run(house, "-o", "all.md").exit_code == 0
    assert sorted(each.name for each in tmp_path.glob(".all*")) == [".all.md.mine", ".all.md.wr1tten_"]


def test_a_zip_by_another_name_is_said_to_be_one(house: House) -> None:
    done = run(house, "--form", "v3", "--with-files", "-o", "all.v3", "--json")
    assert json.loads(done.stdout) | {"bytes": 0} == {
        "bot": "sage",
        "form": "v3",
        "file": "all.v3",
        "sessions": 1,
        "messages": 3,
        "files": 1,
        "bytes": 0,
    }
    assert done.stderr == "all.v3 is a zip: name it all.zip for programs that go by names.\n"
    back = house.run(import_, "all.v3", "--to", "sage")
    assert (back.exit_code, back.stderr) == (
        1,
        "Error: all.v3 looks like flatfile_v3: `troupe migrate all.v3 --to sage` takes that in.\n",
    )


def in_shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-c", f"set -o pipefail; {line}"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False, text=True)


@pytest.mark.parametrize(
    ("target", "code", "said"),
    [("> /dev/full", 1, "Error: The standard output cannot be written: No space left on device.\n"), ("| true", 1, "")],
)
def test_a_standard_output_that_takes_no_more_is_said_or_obeyed(
    target: str, code: int, said: str, house: House, tmp_path: Path
) -> None:
    done = in_shell(f"{TROUPE} --form html {target}", tmp_path)
    assert (done.returncode, done.stderr) == (code, said)


def test_an_import_says_which_lines_differ_and_that_a_file_is_empty(house: House, tmp_path: Path) -> None:
    assert run(house, "--form", "json", "-o", "all.json").exit_code == 0
    told = (tmp_path / "all.json").read_text()
    (tmp_path / "all.json").write_text(told.replace("line 2", "line two"))
    done = house.run(import_, "all.json", "--to", "sage")
    says = "3 messages were there already, and 1 of them says something else than the file, and stayed as kept"
    assert f"{says}: messages[1], m2" in done.stdout
    (tmp_path / "none.json").write_bytes(b"")
    assert "none.json is empty (0 bytes)" in house.run(import_, "none.json", "--to", "sage").stderr


def test_what_was_exported_whole_is_imported_whole(house: House, tmp_path: Path) -> None:
    whole = ("--form", "json", "--complete", "--with-files", "-o", "sage.zip")
    assert run(house, *whole).exit_code == 0
    with zipfile.ZipFile(tmp_path / "sage.zip") as opened:
        assert opened.testzip() is None
    other = House(tmp_path / "other")
    dry = other.run(import_, "sage.zip", "--to", "sage", "--dry-run", "--json")
    assert json.loads(dry.stdout)["messages"] == 3
    done = other.run(import_, "sage.zip", "--to", "sage")
    assert "3 messages, 1 sessions, 0 records and 1 files brought in, 0 messages were there already" in done.output
    assert asyncio.run(digest(other.root)) == asyncio.run(digest(house.root))
    assert "0 messages, 0 sessions" in other.run(import_, "sage.zip", "--to", "sage").output


BROKEN = "1 picture cannot be shown, and is named instead."


async def broken(store: Store, root: Path) -> None:
    blob = await Blobs(Folder(root / "attachments"), root).keep(once(b"no picture"), limit=99)
    picture = Attachment(type="image", name="cat.png", url="https://cdn.example/c", blob=blob.hash, size=blob.size)
    await talk(store, line(999, parts=(picture, Text(text="a letter of mine: \U000f1234"))))


@pytest.mark.parametrize("zipped", [(), ("--zip", "--with-files")])
def test_what_a_document_lacks_is_said_beside_it(zipped: tuple[str, ...], house: House) -> None:
    async def fill_more() -> None:
        store = await storage.connect("sage", house.root)
        await broken(store, house.root)
        await store.close()

    asyncio.run(fill_more())
    done = run(house, "--form", "pdf", "--json", "-o", "all.pdf", *zipped)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["form"] == "pdf"
    assert "U+F1234" in done.stderr
    assert done.stderr.splitlines()[-1] == BROKEN


async def digest(root: Path) -> str:
    store = await storage.connect("sage", root)
    try:
        return (await contents(store)).digest
    finally:
        await store.close()


async def test_a_running_bot_exports_through_its_door(tmp_path: Path) -> None:
    house = House(tmp_path)
    async with world(root=house.root) as w:
        await talk(w.store, *(line(number) for number in range(300)))
        lock = RootLock.take(house.root)
        blobs = Blobs(Folder(house.root / "attachments"), house.root)
        door = asyncio.create_task(Door(w.bot, {"export": order(w.store, blobs, "sage", lambda: NOON)}).serve())
        try:
            await eventually(lambda: (house.root / SOCKET).exists())
            args = ["sage", "--form", "json", "-o", str(tmp_path / "all.json"), "--config", str(tmp_path / "config")]
            done = await asyncio.to_thread(CliRunner().invoke, export, args)
            assert done.exit_code == 0, done.output
            assert len(json.loads((tmp_path / "all.json").read_text())["messages"]) == 300
            dry = await asyncio.to_thread(CliRunner().invoke, export, [*args, "--dry-run"])
            assert "300 messages in 1 session\n" in dry.output
            await broken(w.store, house.root)
            drawn = [*args[:2], "docx", "-o", str(tmp_path / "all.docx"), *args[-2:]]
            done = await asyncio.to_thread(CliRunner().invoke, export, drawn)
            assert (done.exit_code, done.stderr) == (0, f"{BROKEN}\n")
            piped = await asyncio.to_thread(in_shell, f"{TROUPE} --form html | true", tmp_path)
            assert (piped.returncode, piped.stderr) == (1, "")
            wrong = await asyncio.to_thread(CliRunner().invoke, export, [*args, "--force", "--session", "nope"])
            assert "There is no session 'nope'" in wrong.output
        finally:
            door.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await door
            lock.release()
