"""The web page of an export, as a browser shows it: a chat that needs nothing else, and nobody's words break it."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.backend import Store
from storage.blobs import Blobs
from storage.exports import Export, Options
from storage.exports.exported import exported
from storage.exports.html_words import words
from storage.exports.markdown import Bullets, CodeBlock, Link, Paragraph, Quote, Spoiler, Table, blocks, gist
from storage.exports.markdown import Text as Words
from storage.model import Attachment, Edit, Reaction, Sender, Text, ToolCall, Usage
from tests.test_export_json import SESSION, here, line

from .generating import NOON, SENDERS

__all__ = ["here"]
CHROMIUM = shutil.which("chromium")
SAGE = Sender(type="persona", id="sage", name="Sage <b>")
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


async def once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def page(store: Store, blobs: Blobs, **options: object) -> str:
    told = exported(Export(store, blobs, "html", "sage", NOON, options=Options(**options)))  # type: ignore[arg-type]
    return b"".join([piece async for piece in told]).decode()


def shown(path: Path, *args: str) -> str:
    """What is in the page once Chromium has made sense of it."""
    assert CHROMIUM is not None
    quiet = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    more = f"--disable-component-update --disable-sync --user-data-dir={path.parent / 'browser'} --dump-dom"
    command = [CHROMIUM, *quiet.split(), *more.split(), *args, path.as_uri()]
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout.decode()


async def fill(store: Store, blobs: Blobs) -> None:
    blob = await blobs.keep(once(PNG), limit=1 << 20)
    cat = Attachment(type="image", name="cat.png", url="https://cdn.example/cat", blob=blob.hash, description='a "cat"')
    notes = Attachment(type="file", name="<notes>.txt", url="https://cdn.example/notes", size=2048)
    ask = "<script>document.title='mine'</script> **what** is `x`? ||secret|| [x](javascript:alert(1))"
    answer = "```python\ndef x(): return 1\n```\n|a|b|\n|-|-:|\n|1|2|\n\n<img src=x onerror=alert(1)>"
    await store.append(SESSION, line(1, parts=(Text(text=ask), cat, notes)))
    await store.append(
        SESSION,
        line(
            2,
            role="assistant",
            sender=SAGE,
            persona="sage",
            reply_to="m1",
            parts=(ToolCall(call_id="1", tool="sum", arguments={"</pre>": 1}), Text(text=answer)),
            usage=Usage(provider="openai", model="gpt", tokens_in=1200, tokens_out=30),
        ),
    )
    late = NOON + timedelta(days=1)
    thumbs = (Reaction(emoji="👍", sender=SENDERS[0], at=late),)
    edits = (Edit(parts=(Text(text="my secret"),), at=late),)
    await store.append(
        SESSION,
        line(3, sender=SENDERS[1], parts=(Text(text="مرحبا"),), at=late, reply_to="m1", reactions=thumbs, edits=edits),
    )


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
async def test_a_browser_shows_a_chat_and_runs_nothing_of_it(here: tuple[Store, Blobs], tmp_path: Path) -> None:
    await fill(*here)
    (tmp_path / "chat.html").write_text(await page(*here))
    dom = shown(tmp_path / "chat.html")
    assert "<title>&lt;script&gt;" in dom
    assert re.search(r'<button id="theme" type="button">\W+ (Light|Dark)</button>', dom), "the toggle works"
    assert dom.count("<script>") == 1
    assert "<img src=" not in dom.replace('<img src="data:image/png;base64,', "")
    assert "<strong>what</strong>" in dom
    assert 'class="k">def</span>' in dom


async def test_everything_that_belongs_to_a_chat_is_in_it(here: tuple[Store, Blobs]) -> None:
    await fill(*here)
    told = await page(*here)
    assert f"data:image/png;base64,{base64.b64encode(PNG).decode()}" in told
    assert 'alt="a &quot;cat&quot;"' in told
    assert "&lt;notes&gt;.txt" in told
    assert "cdn.example" not in told
    assert '<a href="#m-m1"><span class="away">In reply to </span>' in told
    assert "███" in told, "a quotation does not give a spoiler away"
    assert "Monday, 8 January 2024" in told
    assert "Tuesday, 9 January 2024" in told
    assert "👍 1" in told
    assert "edited" in told
    assert "my secret" not in told
    assert "openai gpt, 1,200 tokens in, 30 out" in told
    assert '<td dir="auto" class="right">2</td>' in told
    assert not re.search(r"(src|href)=\"(?!#|data:image|https?://)", told)


async def test_what_is_not_wanted_is_left_out(here: tuple[Store, Blobs]) -> None:
    await fill(*here)
    told = await page(*here, metadata=False, timestamps=False, images="link")
    assert "2024" not in told
    assert "tokens" not in told
    assert "general" not in told
    assert '<img src="https://cdn.example/cat"' in told
    assert "img-src data: https: http:" in told


async def test_several_sessions_have_a_table_of_contents_that_leads_to_them(here: tuple[Store, Blobs]) -> None:
    store, _ = here
    for number in range(3):
        session = SESSION.model_copy(update={"id": f"s{number}", "title": f"Talk {number}"})
        await store.append(session, line(number, session_id=session.id))
    told = await page(*here)
    assert told.index("Talk 0") < told.index("Talk 1") < told.index("Talk 2")
    links = re.findall(r'<li><a href="#(s-\w+)">', told)
    assert len(links) == 3
    assert all(f'id="{link}"' in told for link in links)


@given(st.text() | st.text(alphabet="<>&\"'`*_|[]()!-#:/ \nax@0~").map(lambda text: text * 3))
@settings(max_examples=200, deadline=None)
def test_words_never_become_anything_but_words(text: str) -> None:
    told = words(text, code_language="python", load_images=True)
    tags = re.findall(r"<(/?[a-zA-Z]+[0-9]?)([^>]*)>", told)
    assert {name.strip("/") for name, _ in tags} <= set(
        "p h4 h5 h6 ul ol li blockquote hr div table thead tbody tr td th pre code span a img br strong em s".split()
    )
    assert not re.search(r"\son\w+=|javascript:|style=", " ".join(attributes for _, attributes in tags))


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "*_" * 50_000, ">" * 100_000, "||a" * 30_000, "*" * 50_000 + "a" + "*" * 50_000, "- " * 50_000],
    ids=["brackets", "marks", "quotes", "spoilers", "stars", "lists"],
)
def test_nobody_can_keep_it_busy(text: str) -> None:
    began = time.process_time()
    assert blocks(text)
    assert time.process_time() - began < 10


def test_marks_of_discord_are_read_as_people_read_them() -> None:
    assert gist(blocks("<@12> in <#3> at <t:1700000000:R> <:smile:99> </ask:1>")) == (
        "@12 in #3 at 2023-11-14 22:13 UTC :smile: /ask"
    )
    assert blocks("-# small") == (Paragraph((Words("small"),), small=True),)
    assert blocks("||it||") == (Paragraph((Spoiler((Words("it"),)),)),)


def test_an_answer_below_a_quote_is_not_put_into_the_quoted_mouth() -> None:
    quote, answer = blocks("> you said\nI say")
    assert (quote, answer) == (Quote((Paragraph((Words("you said"),)),)), Paragraph((Words("I say"),)))


def test_addresses_are_links_and_only_safe_ones() -> None:
    (told,) = blocks("see https://a.example/b_(c). and [x](javascript:alert(1))")
    assert isinstance(told, Paragraph)
    assert [each.href for each in told.inlines if isinstance(each, Link)] == ["https://a.example/b_(c)"]


def test_lists_and_tables_within_quotes_are_kept() -> None:
    (quote,) = blocks("> - a\n>   - b\n>\n> |x|y|\n> |-|:-:|\n> |1|2|")
    assert isinstance(quote, Quote)
    assert [type(each) for each in quote.blocks] == [Bullets, Table]


def test_what_is_nested_too_deeply_is_still_there() -> None:
    assert "deep words" in gist(blocks(">" * 60 + "deep words"))
    assert "deep 59" in gist(blocks("\n".join("  " * depth + f"- deep {depth}" for depth in range(60))))


@pytest.mark.parametrize(
    ("text", "code", "around"),
    [
        ("look: ```python\nx = 1\n``` there", CodeBlock("python", "x = 1"), 2),
        ("```one line```", CodeBlock("", "one line"), 0),
        ("first\n```\nx\n```\nthen", CodeBlock("", "x"), 2),
        ("said ```py\nx``` and ```y```", CodeBlock("py", "x"), 2),
    ],
)
def test_code_may_begin_in_the_middle_of_a_line_as_on_discord(text: str, code: CodeBlock, around: int) -> None:
    found = blocks(text)
    assert code in found
    assert sum(isinstance(each, Paragraph) for each in found) == around
