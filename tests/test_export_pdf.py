"""PDF files of sessions: every script, links, pictures, and words that stay words, as poppler sees them."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from PIL import Image

from storage.errors import StorageError
from storage.exports import Options
from storage.exports.apart import _ended_by, apart
from storage.exports.document import MOST
from storage.exports.pdf import pdf
from storage.model import Attachment

from .transcripts import (
    ALI,
    ANA,
    HOSTILE,
    MARKDOWN,
    NOON,
    SAGE,
    SCRIPTS,
    kept_in,
    picture,
    said,
    session,
    transcript,
    whole,
)

poppler = pytest.mark.skipif(shutil.which("pdftotext") is None, reason="poppler-utils is not installed")


def seen(tool: str, *arguments: str, data: bytes) -> str:
    return subprocess.run([tool, *arguments], input=data, capture_output=True, check=True).stdout.decode()


@poppler
async def test_words_of_every_script_are_in_it_in_order() -> None:
    talk = [said(ANA, word) for word in SCRIPTS]
    notes: list[str] = []
    made = await whole(pdf(transcript((session(), talk)), None, Options(), title="All", at=NOON, noted=notes.append))
    told = re.sub(r"\s", "", seen("pdftotext", "-", "-", data=made))
    if not notes:  # this machine has fonts for all of them
        found = [told.find(word) for word in SCRIPTS]
        assert found == sorted(found)
        assert -1 not in found
    assert "Ελληνικά" in told


@poppler
async def test_arabic_runs_from_right_to_left_with_english_in_it() -> None:
    talk = [said(ALI, "مرحبا English بالعالم")]
    made = await whole(pdf(transcript((session(), talk)), None, Options(), title="All", at=NOON))
    boxes = seen("pdftotext", "-bbox", "-", "-", data=made)
    at = {word[::-1]: float(left) for left, word in re.findall(r'xMin="(.+?)".*?>(.+)</word>', boxes)}
    assert at["بالعالم"] < at["hsilgnE"] < at["مرحبا"]


@poppler
async def test_markup_of_typst_and_html_comes_out_as_words() -> None:
    talk = [
        said(ANA, f"```\n{HOSTILE}\n```"),
        said(ANA, "#panic(2) and $y$", "\x00\x1b[31m"),
        said(ALI, "> " * 90 + "deep"),
    ]
    made = await whole(pdf(transcript((session(title="#eval(1)"), talk)), None, Options(), title=HOSTILE, at=NOON))
    told = " ".join(seen("pdftotext", "-layout", "-", "-", data=made).split())
    assert told.count(HOSTILE) == 2
    assert "#panic(2) and $y$\ufffd\ufffd[31m" in told
    assert "#eval(1)" in told
    assert "deep" in told


@poppler
async def test_a_line_that_is_answered_is_quoted_in_words_and_keeps_its_secrets() -> None:
    question = said(ANA, "# Who did it\n||the butler|| or the *cook*")
    talk = [question, said(ALI, "nobody").model_copy(update={"reply_to": question.id})]
    made = await whole(pdf(transcript((session(), talk)), None, Options(), title="All", at=NOON))
    told = seen("pdftotext", "-layout", "-", "-", data=made)
    quoted = next(line for line in told.splitlines() if "in reply to" in line)
    assert "Ana: Who did it" in quoted
    assert "butler" not in quoted
    assert "*" not in quoted


@poppler
async def test_markdown_is_set_and_nothing_is_beyond_the_margin() -> None:
    long = "x" * 400 + " https://example.com/" + "path/" * 60
    table = "|" + " column |" * 14 + "\n|" + "---|" * 14 + "\n|" + " value |" * 14
    talk = [said(SAGE, MARKDOWN), said(ANA, long), said(ANA, f"```\n{long}\n```"), said(ANA, table)]
    made = await whole(pdf(transcript((session(), talk)), None, Options(), title="All", at=NOON))
    told = seen("pdftotext", "-layout", "-", "-", data=made)
    assert re.search(r"Name +Value\n+ *你好 +1 234", told)
    assert "• one\n" in told
    assert "1. within" in told
    right = [float(found) for found in re.findall(r'xMax="([\d.]+)"', seen("pdftotext", "-bbox", "-", "-", data=made))]
    assert max(right) < 595 - 55
    assert told.count("value") == 14 + 1  # the first column stands in both halves
    assert b"(https://example.com/a?b=c)" in made


async def test_several_sessions_have_a_table_of_contents_and_a_title(tmp_path: Path) -> None:
    talks = [(session(id, title), [said(ANA, "hi", session=id)]) for id, title in (("a", "First"), ("b", "مرحبا"))]
    made = await whole(pdf(transcript(*talks), None, Options(), title="Two talks", at=NOON))
    again = await whole(pdf(transcript(*talks), None, Options(), title="Two talks", at=NOON))
    assert made == again
    if shutil.which("pdfinfo"):
        known = seen("pdfinfo", "-", data=made)
        assert re.search(r"Title: +Two talks", known)
        assert re.search(r"Tagged: +yes", known)
        told = seen("pdftotext", "-layout", "-", "-", data=made)
        assert re.search(r"First [ .]+1\n", told)


@poppler
async def test_pictures_are_shown_and_broken_ones_named(tmp_path: Path) -> None:
    blobs, notes = kept_in(tmp_path), list[str]()
    broken = await picture(blobs, "broken.png", b"\x89PNG\r\n\x1a\nno picture")
    away = Attachment(type="image", name="away.png", url="https://cdn.example/away.png", blob="0" * 64)
    talk = [said(ANA, "look", await picture(blobs, "red.webp"), broken, away)]
    made = await whole(pdf(transcript((session(), talk)), blobs, Options(), title="t", at=NOON, noted=notes.append))
    assert notes == ["1 picture cannot be shown, and is named instead."]
    told = seen("pdftotext", "-", "-", data=made)
    assert all(name in told for name in ("red.webp", "broken.png", "away.png"))
    seen("pdftoppm", "-r", "20", "-png", "-", str(tmp_path / "page"), data=made)
    with Image.open(next(tmp_path.glob("page*.png"))) as page:
        colours = page.convert("RGB").getcolors(1 << 16) or []
    assert sum(count for count, (red, green, blue) in colours if red > 240 and green + blue < 40) > 500  # type: ignore[misc]


async def test_letters_that_no_font_has_are_told() -> None:
    notes: list[str] = []
    talk = [said(ANA, "here: \U000f1234")]
    made = await whole(pdf(transcript((session(), talk)), None, Options(), title="t", at=NOON, noted=notes.append))
    assert made.startswith(b"%PDF")
    assert "U+F1234" in notes[0]


@poppler
async def test_times_and_what_is_known_can_be_left_out() -> None:
    talks = transcript((session(), [said(SAGE, "words")]))
    made = await whole(pdf(talks, None, Options(metadata=False, timestamps=False), title="t", at=NOON))
    told = seen("pdftotext", "-", "-", data=made)
    assert "words" in told
    assert "12:01" not in told
    assert "Troupers" not in told


async def test_too_long_a_document_is_refused_before_it_is_made() -> None:
    talk = [said(ANA, "x")] * (MOST + 1)
    with pytest.raises(StorageError, match=r"more than 5,000 messages cannot be made: take a zip"):
        await whole(pdf(transcript((session(), talk)), None, Options(), title="t", at=NOON))
    with pytest.raises(StorageError, match="more than 4,000,000 characters"):
        await whole(pdf(transcript((session(), [said(ANA, "x" * 4_000_001)])), None, Options(), title="t", at=NOON))


async def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "typst", None)
    with pytest.raises(StorageError, match=r"pip install 'troupe\[pdf\]'"):
        await whole(pdf(transcript(), None, Options(), title="t", at=NOON))


async def test_work_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="not made within 0 seconds"):
        await apart("pdf", tmp_path, seconds=0)


def children() -> list[psutil.Process]:
    """The processes that make a document just now."""
    found = []
    for each in psutil.Process().children():
        with suppress(psutil.Error):  # it has just ended
            if "storage.exports.pdf" in " ".join(each.cmdline()):
                found.append(each)
    return found


async def test_one_document_is_made_at_a_time() -> None:
    def made() -> asyncio.Future[bytes]:
        talk = transcript((session(), [said(ANA, "x")]))
        return asyncio.ensure_future(whole(pdf(talk, None, Options(), title="t", at=NOON)))

    making, most = [made(), made(), made()], 0
    async with asyncio.timeout(60):
        while not all(each.done() for each in making):
            await asyncio.wait(making, timeout=0.02)
            most = max(most, len(children()))
    assert most == 1
    assert all(each.startswith(b"%PDF") for each in await asyncio.gather(*making))


@pytest.mark.parametrize(
    ("code", "why"), [(-24, "10 seconds of processor time"), (-9, "was killed from outside"), (0, "3 GiB of memory")]
)
def test_what_ended_it_is_said(code: int, why: str) -> None:
    assert why in _ended_by(code, 5)


async def test_whoever_gives_up_leaves_nothing_behind() -> None:
    making = asyncio.ensure_future(
        whole(pdf(transcript((session(), [said(ANA, "x")] * 3000)), None, Options(), title="t", at=NOON))
    )
    async with asyncio.timeout(50):
        while not (found := children()):
            await asyncio.wait([making], timeout=0.001)
    child, folder = found[0], Path(found[0].cmdline()[-2])
    assert folder.is_dir()
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    assert not child.is_running()
    assert not folder.exists()
