"""Files on the web: taken as they come, told by their bytes, shown to those who may see them, never as live markup."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from bots.providers import Chunk, Prompt
from bots.web.attachments import Uploads, is_full, safe_name
from bots.web.problems import Conflict
from storage.model import Attachment
from tests.speaking import Says
from tests.test_web_auth import bearer, token_for
from tests.test_web_talking import begun, say
from tests.webfront import Web, web_front

pytestmark = pytest.mark.asyncio(loop_scope="module")

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(2)</script></svg>'
PAGE = b"<!doctype html><script>alert(1)</script>"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Web]:
    async with web_front(tmp_path_factory.mktemp("front")) as web:
        yield web


class Asked(Says):
    """A model that remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__("Read.")
        self.prompts: list[Prompt] = []

    def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        self.prompts.append(prompt)
        return super().stream(prompt)


async def hashes(web: Web) -> list[str]:
    return [each async for each in web.house.blobs.hashes()]


async def sent(
    web: Web, name: str, data: bytes, kind: str = "application/octet-stream", **more: Any
) -> httpx2.Response:
    return await web.client.post("/api/chat/attachments", files={"file": (name, data, kind)}, **more)


async def test_a_file_stands_beside_the_line_it_was_sent_for(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session = await begun(web)
        taken = (await sent(web, "cat.png", PNG, "image/png")).json()
        assert (taken["type"], taken["media_type"], taken["size"]) == ("image", "image/png", len(PNG))
        told = await say(web, session, "Look", attachments=[taken["hash"]])
        part = told["line"]["parts"][1]
        assert (part["name"], part["hash"]) == ("cat.png", hashlib.sha256(PNG).hexdigest())
        read = await web.client.get(part["url"])
        assert (read.content, read.headers["content-type"]) == (PNG, "image/png")


async def test_a_file_that_is_gone_has_to_be_sent_again(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session = await begun(web)
        hash = (await sent(web, "cat.png", PNG, "image/png")).json()["hash"]
        await web.house.blobs.remove(hash)
        line = {"text": "Look", "attachments": [hash], "answer": False}
        path = f"/api/chat/sessions/{session}/messages"
        refused = await web.client.post(path, json=line)
        assert (refused.status_code, "cat.png is no longer kept: send it again." in refused.text) == (404, True)
        assert (await sent(web, "cat.png", PNG, "image/png")).status_code == 201
        assert (await web.client.post(path, json=line)).is_success


async def test_files_that_were_said_before_a_restart_can_be_said_again(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session = await begun(web)
        told = [(await sent(web, f"{name}.txt", name.encode())).json()["hash"] for name in ("one", "two", "three")]
        await say(web, session, "These", attachments=told, answer=False)
    async with web_front(tmp_path) as web:
        again = await say(web, session, "Again", attachments=[told[2], told[0], told[2]], answer=False)
        assert [part.get("name") for part in again["line"]["parts"]] == [None, "three.txt", "one.txt"]


async def test_a_model_reads_a_text_that_was_sent(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session, model = await begun(web), Asked()
        web.house.bot.adopt(web.house.bot.settings, model)
        hash = (await sent(web, "notes.txt", b"The harbour opens at six.", "text/plain")).json()["hash"]
        await say(web, session, "When does it open?", attachments=[hash])
        assert "The harbour opens at six." in model.prompts[-1].lines[-1].text


@pytest.mark.parametrize(
    ("wanted", "status", "told"),
    [
        ("bytes=0-3", 206, PNG[:4]),
        ("bytes=-5", 206, PNG[-5:]),
        ("bytes=2000-", 206, PNG[2000:]),
        ("bytes=10-9999999", 206, PNG[10:]),
        ("bytes=999999-", 416, b""),
        ("bytes=5-2", 416, b""),
        ("bytes=-0", 416, b""),
        ("bytes=1-2,5-6", 200, PNG),
        ("lines=1-2", 200, PNG),
        ("bytes=a-b", 200, PNG),
        ("nonsense", 200, PNG),
    ],
)
async def test_a_part_of_a_file_can_be_had(front: Web, wanted: str, status: int, told: bytes) -> None:
    hash = (await sent(front, "cat.png", PNG, "image/png")).json()["hash"]
    read = await front.client.get(f"/api/chat/attachments/{hash}", headers={"Range": wanted})
    assert (read.status_code, read.content) == (status, told)


async def test_a_file_that_is_known_already_is_not_sent_again(front: Web) -> None:
    hash = (await sent(front, "cat.png", PNG, "image/png")).json()["hash"]
    first = await front.client.get(f"/api/chat/attachments/{hash}")
    again = await front.client.get(f"/api/chat/attachments/{hash}", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(("name", "data"), [("a.svg", SVG), ("a.html", PAGE), ("a.xml", b"<?xml version='1.0'?><a/>")])
async def test_markup_is_never_shown_as_markup(front: Web, name: str, data: bytes) -> None:
    taken = (await sent(front, name, data)).json()
    assert taken["type"] == "file"
    read = await front.client.get(f"/api/chat/attachments/{taken['hash']}")
    assert read.headers["content-type"] == "text/plain; charset=utf-8"
    assert read.headers["content-disposition"].startswith("attachment;")
    assert read.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in read.headers["content-security-policy"]


@pytest.mark.parametrize(("name", "data", "kind"), [("a.png", PAGE, "image/png"), ("a.mp4", b"words", "video/mp4")])
async def test_a_file_that_is_not_what_it_is_said_to_be_is_refused(
    front: Web, name: str, data: bytes, kind: str
) -> None:
    before = await hashes(front)
    refused = await sent(front, name, data, kind)
    assert refused.status_code == 400
    assert f"It is said to be {kind}, and its bytes are" in refused.json()["detail"]
    assert await hashes(front) == before


async def test_programs_and_empty_files_are_refused(front: Web) -> None:
    assert "not taken here" in (await sent(front, "a.txt", b"\x7fELF" + bytes(60))).json()["detail"]
    assert (await sent(front, "a.txt", b"")).json()["detail"] == "That file is empty."


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\secret\\plan.txt", "plan.txt"),
        ("gpj.\u202etxt.exe", "gpj.txt.exe"),
        ("a\nb\x00.txt", "ab\ufffd.txt"),
        ("<img src=x onerror=alert(1)>.txt", "<img src=x onerror=alert(1)>.txt"),
        ("...", "file"),
        ("n" * 400 + ".txt", "n" * 196 + ".txt"),
    ],
)
async def test_a_name_is_no_path_and_hides_nothing(name: str, kept: str) -> None:
    assert safe_name(name) == kept


async def test_a_file_that_is_too_large_leaves_nothing(tmp_path: Path) -> None:
    async with web_front(tmp_path, web={"upload_limit": 100_000}) as web:
        assert (await sent(web, "a.bin", bytes(99_000))).status_code == 201

        async def endless() -> AsyncIterator[bytes]:
            yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="big"\r\n\r\n'
            for _ in range(40):
                yield b"words " * 1_000

        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        refused = await web.client.post("/api/chat/attachments", content=endless(), headers=headers)
        assert (refused.status_code, refused.json()["title"]) == (413, "Too large")
        assert len(await hashes(web)) == 1


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhalf', "breaks off"),
        (b'--x\r\nContent-Disposition: form-data; name="note"\r\n\r\nwords\r\n--x--\r\n', "no file in the form"),
        (b'--x\r\nContent-Disposition: form-data; name="upload"; filename="a"\r\n\r\none\r\n--x--\r\n', "'upload'"),
        (b"this is no form at all", "cannot be read"),
        (b"", "no file in the form"),
        (b'--x\r\nContent-Disposition: form-data; name="x"\r\n\r\nq\r\n' * 300, "only the file"),
        (b'--x\r\nContent-Disposition: form-data; name="x"\r\n\r\n' + b"q" * 100_000, "only the file"),
        (b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\none' * 2, "breaks off"),
        (
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\none\r\n'
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="b"\r\n\r\ntwo\r\n--x--\r\n',
            "two files",
        ),
    ],
)
async def test_a_broken_form_is_refused_with_a_sentence(front: Web, body: bytes, told: str) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    before = await hashes(front)
    refused = await front.client.post("/api/chat/attachments", content=body, headers=headers)
    assert (refused.status_code, told in refused.json()["detail"]) == (400, True), refused.text
    assert await hashes(front) == before


async def test_what_is_no_form_is_refused(front: Web) -> None:
    refused = await front.client.post("/api/chat/attachments", content=b"{}", headers={"Content-Type": "text/plain"})
    assert "Send the file as a form" in refused.json()["detail"]


async def test_one_user_never_sees_or_sends_the_file_of_another(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        ann, ben = bearer(token_for(web, "ann")), bearer(token_for(web, "ben"))
        hash = (await sent(web, "cat.png", PNG, "image/png", headers=ann)).json()["hash"]
        path = f"/api/chat/attachments/{hash}"
        session = (await web.client.post("/api/chat/sessions", json={}, headers=ann)).json()["id"]
        said = await web.client.post(
            f"/api/chat/sessions/{session}/messages", json={"text": "Mine", "attachments": [hash]}, headers=ann
        )
        line = said.json()["line"]["id"]
        assert (await web.client.get(path, headers=ann)).status_code == 200
        for each in (path, f"{path}?message={line}"):
            assert (await web.client.get(each, headers=ben)).status_code == 404
        own = (await web.client.post("/api/chat/sessions", json={}, headers=ben)).json()["id"]
        stolen = await web.client.post(
            f"/api/chat/sessions/{own}/messages", json={"text": "Mine now", "attachments": [hash]}, headers=ben
        )
        assert stolen.status_code == 404
        assert (await web.client.get(f"{path}?message={line}")).status_code == 200  # whoever runs the bot sees all


async def test_one_person_takes_no_more_room_than_their_own(tmp_path: Path) -> None:
    clock = [datetime.now(UTC)]
    async with web_front(tmp_path, now=lambda: clock[0], web={"upload_limit": 100_000}) as web:
        ann, ben = bearer(token_for(web, "ann")), bearer(token_for(web, "ben"))
        first, *_ = [await sent(web, f"{n}.bin", bytes([n]) * 95_000, headers=ben) for n in range(4)]
        refused = await sent(web, "4.bin", bytes([4]) * 95_000, headers=ben)
        assert (refused.status_code, "not said yet" in refused.json()["detail"]) == (409, True)
        assert (await sent(web, "5.bin", bytes([5]) * 95_000, headers=ann)).status_code == 201
        assert len(await hashes(web)) == 5
        session = (await web.client.post("/api/chat/sessions", json={}, headers=ben)).json()["id"]
        line = {"text": "Look", "attachments": [first.json()["hash"]], "answer": False}
        assert (await web.client.post(f"/api/chat/sessions/{session}/messages", json=line, headers=ben)).is_success
        assert (await sent(web, "6.bin", bytes([6]) * 95_000, headers=ben)).status_code == 201
        assert (await sent(web, "7.bin", bytes([7]) * 95_000, headers=ben)).status_code == 409
        clock[0] += timedelta(hours=2)
        assert (await sent(web, "7.bin", bytes([7]) * 95_000, headers=ben)).status_code == 201


async def test_one_person_sends_no_more_files_than_can_be_said(tmp_path: Path) -> None:
    uploads, at = Uploads(), datetime.now(UTC)
    for number in range(50):
        with uploads.coming("ben", 1, 1_000, at):
            file = Attachment(type="file", name="a", url="", media_type="", size=1, blob=f"{number:064x}")
            uploads.sent("ben", file, at)
    with pytest.raises(Conflict, match="50 files"), uploads.coming("ben", 1, 1_000, at):
        pass
    with uploads.coming("ann", 600, 1_000, at), pytest.raises(Conflict), uploads.coming("ann", 600, 1_000, at):
        pass


@pytest.mark.parametrize(
    ("free", "total", "full"),
    [(2 << 30, 2 << 40, False), (1 << 29, 2 << 40, True), (1 << 29, 4 << 30, False), (1 << 26, 4 << 30, True)],
)
async def test_the_last_of_a_disk_is_left_to_the_talk(free: int, total: int, full: bool) -> None:
    assert is_full(free, total) == full


async def test_a_file_beside_a_deleted_line_is_out_of_sight(tmp_path: Path) -> None:
    async with web_front(tmp_path) as web:
        session = await begun(web)
        hash = (await sent(web, "cat.png", PNG, "image/png")).json()["hash"]
        line = (await say(web, session, "Look", attachments=[hash], answer=False))["line"]["id"]
    async with web_front(tmp_path) as web:
        for path in (f"/api/chat/attachments/{hash}", f"/api/chat/attachments/{hash}?message={line}"):
            assert (await web.client.get(path)).status_code == 200
        assert (await web.client.delete(f"/api/chat/messages/{line}")).is_success
        for path in (f"/api/chat/attachments/{hash}", f"/api/chat/attachments/{hash}?message={line}"):
            assert (await web.client.get(path)).status_code == 404
