"""Word documents of sessions, read back by python-docx, and once by LibreOffice."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from docx import Document
from docx.oxml.ns import qn

from storage.errors import StorageError
from storage.exports import Options
from storage.exports.docx import docx

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


async def made(*said_: Any, options: Options = Options(), **more: Any) -> Any:  # noqa: B008
    pieces = docx(transcript((session(), said_)), more.pop("blobs", None), options, title="All", at=NOON, **more)
    return Document(io.BytesIO(await whole(pieces)))


def through_libreoffice(data: bytes, folder: Path) -> str:
    (folder / "talk.docx").write_bytes(data)
    office = ["soffice", f"-env:UserInstallation=file://{folder}/office", "--headless", "--convert-to", "pdf"]
    subprocess.run([*office, "--outdir", folder, folder / "talk.docx"], check=True, capture_output=True, timeout=50)
    return subprocess.run(["pdftotext", folder / "talk.pdf", "-"], check=True, capture_output=True).stdout.decode()


async def test_markdown_becomes_words_own_lists_tables_links_and_styles() -> None:
    document = await made(said(SAGE, MARKDOWN), said(ANA, "9. nine\n10. ten"))
    by_text = {paragraph.text: paragraph for paragraph in document.paragraphs}
    assert by_text["Above"].style.name == "ChatHeading"
    assert by_text["quoted"].style.name == "ChatQuote"
    assert [run.text for run in by_text["Some bold words, code, struck and a link."].runs if run.bold] == ["bold"]
    assert by_text["Some bold words, code, struck and a link."].hyperlinks[0].address == "https://example.com/a?b=c"
    levels = {name: by_text[name]._p.pPr.numPr.ilvl.val for name in ("one", "within", "two", "nine")}
    assert levels == {"one": 0, "within": 1, "two": 0, "nine": 0}
    starts = document.part.numbering_part.element.xpath("//w:startOverride/@w:val")
    assert starts == ["1", "9"]
    assert [[cell.text for cell in row.cells] for row in document.tables[0].rows] == [
        ["Name", "Value"],
        ["你好", "1 234"],
    ]
    code = next(paragraph for paragraph in document.paragraphs if paragraph.style.name == "ChatCode")
    assert len({run.font.color.rgb for run in code.runs}) > 2
    assert "Sage  [AI]\t2024-01-08 12:01:00" in (
        paragraph.text.replace("\u200e", "") for paragraph in document.paragraphs
    )


async def test_direction_and_script_are_said_of_paragraphs_and_runs() -> None:
    document = await made(said(ALI, "مرحبا English, 12"), said(ANA, "hello مرحبا"), said(ANA, "骨 ほね 🎉"))
    right = next(each for each in document.paragraphs if each.text == "مرحبا English, 12")
    assert right._p.pPr.find(qn("w:bidi")) is not None
    assert [(run.text, bool(run.font.rtl)) for run in right.runs] == [("مرحبا ", True), ("English, 12", False)]
    left = next(each for each in document.paragraphs if each.text == "hello مرحبا")
    assert left._p.pPr.find(qn("w:bidi")) is None
    assert [run.font.rtl for run in left.runs] == [None, True]
    east, emoji = next(each for each in document.paragraphs if "骨" in each.text).runs
    assert east._r.rPr.find(qn("w:lang")).get(qn("w:eastAsia")) == "ja-JP"
    assert emoji.font.name == "Segoe UI Emoji"


async def test_what_word_forbids_is_replaced_and_markup_is_words() -> None:
    document = await made(said(ANA, f"a\x00b\x0b\x1b\ufffe`{HOSTILE}`"), options=Options(header_level=3))
    words = "\n".join(paragraph.text for paragraph in document.paragraphs)
    assert f"a\ufffdb\ufffd\ufffd\ufffd{HOSTILE}" in words
    assert next(each for each in document.paragraphs if each.style.name == "Heading 3").text == "A talk"


async def test_pictures_fit_the_page_and_say_what_they_show(tmp_path: Path) -> None:
    blobs, notes = kept_in(tmp_path), list[str]()
    shown = (await picture(blobs, "red.webp")).model_copy(update={"description": "a red field"})
    broken = await picture(blobs, "broken.png", b"GIF89a but no picture")
    document = await made(said(ANA, shown, broken), blobs=blobs, noted=notes.append)
    assert [round(shape.width.mm) for shape in document.inline_shapes] == [64]
    assert document.inline_shapes[0]._inline.docPr.get("descr") == "a red field"
    assert notes == ["1 picture cannot be shown, and is named instead."]
    assert any(link.address.endswith("broken.png") for each in document.paragraphs for link in each.hyperlinks)


async def test_the_same_talk_makes_the_same_file() -> None:
    talks = [(session(id, title), [said(ANA, "hi", session=id)]) for id, title in (("a", "First"), ("b", "Second"))]
    one, other = [await whole(docx(transcript(*talks), None, Options(), title="t", at=NOON)) for _ in range(2)]
    assert one == other
    document = Document(io.BytesIO(one))
    assert document.core_properties.created is not None
    assert document.core_properties.created.replace(tzinfo=NOON.tzinfo) == NOON
    assert "TOC" in "".join(document.element.xpath("//w:instrText/text()"))
    assert document.element.xpath("//w:hyperlink/@w:anchor") == ["session1", "session2"]


async def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docx", None)
    with pytest.raises(StorageError, match=r"pip install 'troupe\[docx\]'"):
        await whole(docx(transcript(), None, Options(), title="t", at=NOON))


@pytest.mark.skipif(not shutil.which("soffice") or not shutil.which("pdftotext"), reason="LibreOffice is not installed")
async def test_libreoffice_shows_all_of_it(tmp_path: Path) -> None:
    talk = [said(SAGE, MARKDOWN), *(said(ANA, word) for word in SCRIPTS), said(ALI, "مرحبا English")]
    data = await whole(docx(transcript((session(), talk)), None, Options(), title="All", at=NOON))
    told = through_libreoffice(data, tmp_path)
    words = re.sub(r"[\s\u202a-\u202e\u2066-\u2069]", "", told)
    assert all(word in words for word in (*SCRIPTS[:3], *SCRIPTS[5:], "مرحبا", "1.within", 'print("hello")'))
