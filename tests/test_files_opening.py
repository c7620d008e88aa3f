"""What opening a files store finds in its folders, says of them, and makes shorter."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from storage.backends.files import FilesStore
from storage.errors import Unavailable
from storage.records import Run
from tests.contracts.samples import NOON, later, message, session
from tests.test_files_faults import S1, again, spoken, texts


async def test_a_broken_session_beside_a_link_is_said_and_left_alone(tmp_path: Path) -> None:
    await (await spoken(tmp_path / "outside")).close()
    store = await spoken(tmp_path / "root")
    await store.append(session("s2"), message(9, "s2"))
    await store.close()
    (tmp_path / "root" / "index.db").unlink()
    (tmp_path / "root" / S1 / "session_meta.json").write_text("{oops", "utf-8")
    (tmp_path / "root" / S1 / "messages.jsonl").unlink()
    (tmp_path / "root" / S1 / "messages.jsonl").symlink_to(tmp_path / "outside" / S1 / "messages.jsonl")
    store = await again(tmp_path / "root")
    assert [each.id for each in await store.sessions()] == ["s2"]
    linked, broken = store.problems
    assert "messages.jsonl is not a plain file" in linked
    assert "is not read" in broken
    await store.close()


async def test_a_channels_file_that_cannot_be_written_is_said_and_survived(tmp_path: Path) -> None:
    await (await spoken(tmp_path)).close()
    (tmp_path / "index.db").unlink()
    file = tmp_path / "channels" / "general_100" / "channel.json"
    file.unlink()
    file.mkdir()
    with pytest.raises(Unavailable, match=r"channel\.json could not be written"):
        await again(tmp_path)
    assert [path.name for path in file.parent.iterdir() if path != file] == ["s1"]
    file.rmdir()
    store = await again(tmp_path)
    assert await texts(store) == ["tea number 1", "tea number 2", "tea number 3"]
    assert json.loads(file.read_text("utf-8"))["name"] == "general"
    await store.close()


@pytest.mark.parametrize("index", ["kept", "gone"])
async def test_a_list_that_mostly_repeats_itself_is_made_shorter(tmp_path: Path, index: str) -> None:
    store = await again(tmp_path)
    for number in range(200):
        await store.keep(Run(id="r1", at=NOON, type="panel", state=f"step {number}"))
    await store.keep(Run(id="r2", at=later(1), type="panel", state="open"))
    before = (await store.records(Run)).items
    await store.close()
    file = tmp_path / "runs.jsonl"
    naive = b'{"id": "r1", "at": "2024-01-08T12:00:00", "type": "panel", "state": "odd"}\n'
    if index == "gone":
        (tmp_path / "index.db").unlink()
        file.write_bytes(file.read_bytes() + b"what is this?\n" + naive)
    store = await again(tmp_path)
    assert (await store.records(Run)).items == before
    await store.close()
    left = file.read_bytes().splitlines(keepends=True)
    assert [json.loads(each)["state"] for each in left[:2]] == ["step 199", "open"]
    assert left[2:] == ([b"what is this?\n", naive] if index == "gone" else [])
    store = await again(tmp_path)
    assert ((await store.records(Run)).items, store.problems) == (before, [])
    await store.close()
    assert file.read_bytes().splitlines(keepends=True) == left


async def test_reading_everything_again_is_told(tmp_path: Path) -> None:
    store = await again(tmp_path)
    await asyncio.gather(*(store.append(session(), message(number)) for number in range(600)))
    await store.close()
    heard: list[tuple[str, int, int]] = []
    for expected in ([], [("reading the files", 500, 0)]):
        store = await FilesStore.open_files(tmp_path, "sage", tell=lambda *how_far: heard.append(how_far))
        assert heard[:1] == expected
        await store.close()
        (tmp_path / "index.db").unlink()
