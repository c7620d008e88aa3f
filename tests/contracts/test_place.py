"""What `storage.place.Place` promises, asked of a folder and of a bucket on a real S3-compatible server."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.errors import Unavailable
from storage.place import PART, Bucket, Folder, Missing, Place, open_place

if TYPE_CHECKING:
    from tests.s3 import S3

pytest_plugins = ("tests.s3",)

KEY = {"access_key_id": "AK", "secret_access_key": "c0rrect-h0rse"}
HOUSE = Path(__file__).parent.parent.parent
HOSTILE = [
    *("", ".", "..", "/", "//", "a/", "/a", "a//b", "/etc/passwd", "../a", "a/../../b", "a/..", "a/./b", "..\\a"),
    *("a\\b", "a\0b", "a\nb", "a b", ".partial/lock", ".hidden", "a/.b", "ä", "a%2fb", "a?b", "a#b", "~", "\ud800"),
    *("C:", "x" * 201, "a/" * 450 + "a"),
]


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return open_place(str(tmp_path / "deep" / "place"))
    server: S3 = request.getfixturevalue("s3")
    return open_place(server.corner(), server.options)


async def pieces(*chunks: bytes) -> AsyncGenerator[bytes, None]:
    for chunk in chunks:
        yield chunk


async def torn(*chunks: bytes) -> AsyncGenerator[bytes, None]:
    for chunk in chunks:
        yield chunk
    raise FileNotFoundError("the other side hung up")


async def got(place: Place, name: str) -> bytes:
    return b"".join([chunk async for chunk in place.get(name)])


async def names(place: Place, prefix: str = "", after: str = "") -> list[str]:
    return [name async for name in place.names(prefix, after)]


async def test_a_file_comes_back_as_it_was(place: Place) -> None:
    assert await place.put("a/b.txt", pieces(b"one", b"", b"two")) == 6
    assert await got(place, "a/b.txt") == b"onetwo"
    assert b"".join([chunk async for chunk in place.get("a/b.txt", first=4)]) == b"wo"
    assert await place.size("a/b.txt") == 6


async def test_a_file_can_be_empty(place: Place) -> None:
    assert await place.put("nothing", pieces()) == 0
    assert await got(place, "nothing") == b""
    assert await place.size("nothing") == 0


@pytest.mark.parametrize("size", [PART - 1, PART, 2 * PART + 1])
async def test_a_long_file_comes_in_bounded_chunks(place: Place, size: int) -> None:
    told = os.urandom(size)
    assert await place.put("long", pieces(*(told[at : at + 70_001] for at in range(0, size, 70_001)))) == size
    chunks = [chunk async for chunk in place.get("long")]
    assert b"".join(chunks) == told
    assert max(map(len, chunks)) < 4 << 20


async def test_a_file_put_again_is_replaced_whole(place: Place) -> None:
    await place.put("a", pieces(b"the first and longer one"))
    await place.put("a", pieces(b"second"))
    assert await got(place, "a") == b"second"


async def test_a_reader_keeps_the_file_it_opened(tmp_path: Path) -> None:
    place = Folder(tmp_path)
    await place.put("a", pieces(b"1" * (3 << 20)))
    async with aclosing(place.get("a")) as chunks:
        first = await anext(chunks)
        await place.put("a", pieces(b"2"))
        await place.remove("a")
        assert first + b"".join([chunk async for chunk in chunks]) == b"1" * (3 << 20)


async def test_what_is_not_there_is_said(place: Place) -> None:
    with pytest.raises(Missing, match=f"{place} holds no a/b"):
        await got(place, "a/b")
    assert await place.size("a/b") is None
    assert await place.remove("a/b") is False
    assert await names(place) == []
    assert await names(place, "a/") == []


async def test_a_folder_of_names_is_not_a_file(place: Place) -> None:
    await place.put("a/b", pieces(b"x"))
    assert (await place.size("a"), await place.size("a/b/c"), await place.remove("a")) == (None, None, False)
    for name in ("a", "a/b/c"):
        with pytest.raises(Missing):
            await got(place, name)
    assert await got(place, "a/b") == b"x"


async def test_what_is_removed_is_gone(place: Place) -> None:
    await place.put("a/b", pieces(b"x"))
    await place.put("a/c", pieces(b"y"))
    assert await place.remove("a/b") is True
    assert await place.remove("a/b") is False
    assert await names(place) == ["a/c"]


async def test_names_are_sorted_and_can_start_anywhere(place: Place) -> None:
    told = ["A", "_", "a-b", "a.b", "a/a", "a/b/c", "a/c", "a0", "b", "ba/x"]
    for name in reversed(told):
        await place.put(name, pieces(b"x"))
    assert await names(place) == told
    assert await names(place, "a/") == ["a/a", "a/b/c", "a/c"]
    assert await names(place, "b/") == []
    for at, name in enumerate(told):
        assert await names(place, after=name) == told[at + 1 :]
    assert await names(place, after="a/b") == told[5:]
    assert await names(place, "a/", after="a/b") == ["a/b/c", "a/c"]
    assert await names(place, "a/", after="b") == []


async def test_a_torn_upload_leaves_nothing(place: Place) -> None:
    await place.put("kept", pieces(b"before"))
    for size in (3, PART + 1):
        for name in ("new", "kept"):
            with pytest.raises(FileNotFoundError, match="hung up"):
                await place.put(name, torn(bytes(size), bytes(size)))
    assert await names(place) == ["kept"]
    assert await got(place, "kept") == b"before"


@pytest.mark.parametrize("many", [0, 1, 3])
async def test_an_upload_given_up_leaves_nothing(place: Place, many: int) -> None:
    halfway, never = asyncio.Event(), asyncio.Event()

    async def endless() -> AsyncGenerator[bytes, None]:
        for _ in range(many):
            yield bytes(PART + 1)
        halfway.set()
        await never.wait()

    putting = asyncio.ensure_future(place.put("new", endless()))
    await halfway.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert await names(place) == []
    assert await place.size("new") is None


async def test_of_many_at_once_one_stands_whole(place: Place) -> None:
    told = [bytes([number]) * 1000 for number in range(12)]
    await asyncio.gather(*(place.put("same", pieces(each[:500], each[500:])) for each in told))
    await asyncio.gather(*(place.put(f"own/{number}", pieces(each)) for number, each in enumerate(told)))
    assert await got(place, "same") in told
    assert [await got(place, f"own/{number}") for number in range(12)] == told


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_name_is_refused(place: Place, name: str) -> None:
    with pytest.raises(ValueError, match="is not a name for a file"):
        await place.put(name, pieces(b"x"))
    with pytest.raises(ValueError, match="is not a name for a file"):
        place.get(name)
    with pytest.raises(ValueError, match="is not a name for a file"):
        await place.size(name)
    with pytest.raises(ValueError, match="is not a name for a file"):
        await place.remove(name)
    with pytest.raises(ValueError, match="is not a"):
        place.names(prefix=f"{name}/" if name else "x")


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,30}", fullmatch=True), min_size=1, max_size=4))
def test_any_good_name_is_taken(place: Place, parts: list[str]) -> None:
    async def there_and_back() -> None:
        name = "/".join(f"in{part}" for part in parts[1:]) + f"/{parts[0]}" if parts[1:] else f"at{parts[0]}"
        await place.put(name, pieces(b"x"))
        assert await names(place) == [name]
        assert await place.remove(name)

    asyncio.run(there_and_back())


# A folder


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.sampled_from("a./\\\0~ é-"), max_size=8))
def test_no_name_leaves_its_folder(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "inside"
    try:
        asyncio.run(Folder(inside).put(name, pieces(b"x")))
    except (ValueError, Unavailable):
        return
    assert (inside / name).resolve().is_relative_to(inside.resolve())
    assert [entry.name for entry in tmp_path.iterdir()] == ["inside"]


async def test_files_are_their_owners_alone(tmp_path: Path) -> None:
    await Folder(tmp_path / "new" / "place").put("a/b", pieces(b"x"))
    made = [tmp_path / "new", *(tmp_path / "new").rglob("*")]
    folders = [path for path in made if path.is_dir()]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}
    assert (tmp_path / "new/place/a/b").stat().st_mode & 0o777 == 0o600


async def test_what_a_crash_left_is_swept_but_not_what_is_being_written(tmp_path: Path) -> None:
    place, other = Folder(tmp_path), Folder(tmp_path)
    halfway, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncGenerator[bytes, None]:
        yield b"slow "
        halfway.set()
        await go_on.wait()
        yield b"but whole"

    await place.put("a", pieces(b"x"))
    (tmp_path / ".partial" / "tmpdead").write_bytes(b"half")
    assert await names(place) == ["a"]
    writing = asyncio.ensure_future(place.put("slow", slow()))
    await halfway.wait()
    assert not (tmp_path / ".partial" / "tmpdead").exists()
    await other.put("b", pieces(b"y"))
    go_on.set()
    assert await writing == 14
    assert await got(place, "slow") == b"slow but whole"
    assert [path.name for path in (tmp_path / ".partial").iterdir()] == ["lock"]


async def test_other_peoples_files_in_a_folder_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "lost and found").mkdir()
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    await Folder(tmp_path).put("a", pieces(b"x"))
    assert await names(Folder(tmp_path)) == ["a"]


FULL_DISK = """
import asyncio, resource, sys
from pathlib import Path
from storage.errors import Unavailable
from storage.place import Folder

async def chunks(size):
    for _ in range(size >> 20):
        yield bytes(1 << 20)

async def fill():
    place = Folder(Path(sys.argv[1]))
    await place.put("kept", chunks(1 << 20))
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    for name in ("new", "kept"):
        try:
            await place.put(name, chunks(8 << 20))
        except Unavailable as error:
            print(error)
    await place.put("small", chunks(2 << 20))

asyncio.run(fill())
"""


def test_a_full_disk_keeps_what_was_there_and_nothing_by_halves(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path)]
    said = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(said) == 2
    assert all(f"Files cannot be kept in {tmp_path}" in line and "has room" in line for line in said)
    assert asyncio.run(names(Folder(tmp_path))) == ["kept", "small"]
    assert (tmp_path / "kept").stat().st_size == 1 << 20
    assert [path.name for path in (tmp_path / ".partial").iterdir()] == ["lock"]


async def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(Unavailable, match="belongs to the user who runs the bot"):
        await Folder(tmp_path / "file").put("a", pieces(b"x"))
    with pytest.raises(Unavailable):
        await Folder(tmp_path).put("file/below", pieces(b"x"))
    assert (tmp_path / "file").read_text() == "not a folder"


# A bucket


async def refusals(place: Place) -> list[str]:
    asked = (
        partial(place.put, "a", pieces(b"x")),
        partial(place.put, "a", pieces(bytes(PART + 1))),
        partial(got, place, "a"),
        partial(place.size, "a"),
        partial(place.remove, "a"),
        partial(names, place),
    )
    said = []
    for ask in asked:
        with pytest.raises(Unavailable) as refused:
            await ask()
        assert refused.value.__suppress_context__
        said.append(str(refused.value))
    return said


async def test_a_refused_key_is_said_and_the_secret_is_not(refusing: S3) -> None:
    place = open_place("s3://troupe/x/", refusing.options)
    said = await refusals(place)
    assert all(line.startswith("s3://troupe/x refused the key (403") for line in said)
    assert said[0].endswith(
        "(403, SignatureDoesNotMatch): check the access key, its secret and what it may do with this bucket. "
        "What was kept there is not touched."
    )
    hidden = (refusing.options["access_key_id"], refusing.options["secret_access_key"])
    assert not any(secret in text for text in [*said, repr(place), str(place)] for secret in hidden)


async def test_a_store_that_is_away_is_said() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        place = open_place("s3://troupe", KEY | {"endpoint": f"http://127.0.0.1:{bound.getsockname()[1]}"})
        with pytest.raises(Unavailable, match=r"could not be reached \(no answer\): check the endpoint") as refused:
            await place.put("a", pieces(b"x"))
    assert KEY["secret_access_key"] not in str(refused.value)


async def test_a_bucket_that_is_not_there_is_said(s3: S3) -> None:
    place = open_place("s3://nowhere", s3.options)
    for ask in (partial(place.put, "a", pieces(b"x")), partial(got, place, "a"), partial(names, place)):
        with pytest.raises(Unavailable, match="s3://nowhere does not exist"):
            await ask()


async def test_two_prefixes_of_a_bucket_do_not_meet(s3: S3) -> None:
    where = s3.corner()
    for name in ("a", "ab"):
        await open_place(f"{where}/{name}", s3.options).put("x", pieces(name.encode()))
    assert await names(open_place(f"{where}/a/", s3.options)) == ["x"]
    assert await names(open_place(where, s3.options)) == ["a/x", "ab/x"]


def test_the_environment_is_not_asked(s3: S3) -> None:
    script = "import asyncio, sys\nfrom storage.place import open_place\nasync def main():\n"
    script += "    place = open_place(sys.argv[1], dict(pair.split('=', 1) for pair in sys.argv[2:]))\n"
    script += "    print([name async for name in place.names()])\nasyncio.run(main())"
    stray = {"AWS_ENDPOINT": "http://127.0.0.1:1", "AWS_SESSION_TOKEN": "stray", "AWS_SKIP_SIGNATURE": "true"}
    command = [sys.executable, "-c", script, s3.corner(), *map("=".join, s3.options.items())]
    said = subprocess.run(command, cwd=HOUSE, env=stray, capture_output=True, text=True, check=False)
    assert (said.stdout, said.stderr) == ("[]\n", "")


@pytest.mark.parametrize(
    ("where", "given", "said"),
    [
        ("s3://", KEY, "s3://bucket or s3://bucket/prefix"),
        ("s3://AK:hunter2@bucket/x", KEY, "with nothing else in it"),
        ("s3://bucket/../x", KEY, "with nothing else in it"),
        ("s3://bucket?x=1", KEY, "with nothing else in it"),
        ("gs://bucket", KEY, "a folder's path or s3://bucket/prefix"),
        ("", KEY, "a folder's path or s3://bucket/prefix"),
        ("s3://bucket", {}, "s3://bucket needs access_key_id and secret_access_key"),
        ("s3://bucket", {"access_key_id": "AK", "secret_access_key": ""}, "needs secret_access_key$"),
        ("s3://bucket", KEY | {"acl": "public"}, "has the option 'acl'; allowed are access_key_id, endpoint"),
        ("s3://bucket", KEY | {"endpoint": "https://u:hunter2@h"}, "an endpoint that is not an address"),
        ("s3://bucket", KEY | {"endpoint": "ftp://h"}, "an endpoint that is not an address"),
    ],
)
def test_a_place_that_cannot_be_is_refused(where: str, given: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        open_place(where, given)
    assert "c0rrect" not in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_amazon_needs_no_endpoint_and_a_folder_no_options() -> None:
    assert isinstance(open_place("s3://bucket/a/b", KEY), Bucket)
    assert str(open_place("s3://bucket/a/b", KEY | {"endpoint": "", "region": ""})) == "s3://bucket/a/b"
    assert isinstance(open_place("data/sage"), Folder)
