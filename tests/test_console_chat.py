"""The console's chat, as people use it: in a real browser, against a whole bot and a model on loopback."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from playwright.async_api import Page, expect

from storage.model import Text
from tests.browser import PHONE, WIDE, Window, Windows, browsing, needs_chromium
from tests.webfront import Web, web_front
from tests.wire.provider_server import ProviderServer
from tests.world import persona

pytestmark = needs_chromium

CAST = [
    persona("sage", description="Sorts thoughts with you.", examples=["Help me with a hard choice"]),
    persona("compass", description="Finds the next small step.", examples=["Should I take the job?"]),
]
RICH = (
    "Some **bold** words and $e^{x}$.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nprint('hello')\n```\n\n"
    + "A longer paragraph stands here. " * 6
)
HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>[x](javascript:window.hacked=1)'


GROWN = """async (grown) => {
  const { Answer } = await import("/static/chat_answer.js");
  const seen = [];
  for (const [first, more] of grown) {
    const answer = new Answer(() => {});
    answer.more(first);
    while (!answer.says.firstElementChild?.matches("p, .code")) await new Promise(requestAnimationFrame);
    answer.more(more);
    seen.push([answer.says.textContent, answer.says.querySelector("code")?.textContent ?? null]);
    answer.end();
  }
  return seen;
}"""
"""What of an answer is seen, and what in its code, once more words came than are made into Markdown."""


@asynccontextmanager
async def console(folder: Path, **settings: Any) -> AsyncIterator[tuple[Web, ProviderServer, Windows]]:
    async with ProviderServer() as model:
        models = [{"provider": "openai", "model": "loopback", "base_url": model.openai_url}]
        async with (
            web_front(folder, personas=CAST, models=models, **settings) as web,
            browsing(web.url) as windows,
        ):
            yield web, model, windows


def composer(page: Page) -> Any:
    return page.get_by_role("combobox", name="Your message")


def answers(page: Page) -> Any:
    return page.locator(".m.assistant:not(.coming) .says")


async def say(page: Page, words: str) -> None:
    await composer(page).fill(words)
    await composer(page).press("Enter")


async def fine(window: Window) -> None:
    assert await window.serious() == []
    assert window.trouble == []


async def test_a_newcomer_is_chatting_at_once_and_finds_it_again(tmp_path: Path) -> None:
    async with console(tmp_path) as (_, model, windows), windows.open() as window:
        page = window.page
        await expect(composer(page)).to_be_focused()
        await expect(page.get_by_text("Finds the next small step.")).to_be_visible()
        await fine(window)
        await page.get_by_role("button", name="Should I take the job?").click()
        await expect(composer(page)).to_have_value("Should I take the job?")
        model.answer(RICH)
        await page.keyboard.press("Enter")
        await expect(answers(page).locator("strong")).to_have_text("bold")
        await expect(answers(page).locator("math msup")).to_be_attached()
        await expect(answers(page).locator("td")).to_have_text(["1", "2"])
        await expect(page.locator(".m.assistant .who")).to_have_text("Compass")
        await expect(page.get_by_role("link", name="Should I take the job?")).to_be_visible()
        await expect(composer(page)).to_have_value("")
        await page.locator(".m.assistant").get_by_role("button", name="Reply").click()
        await expect(page.locator(".replying")).to_contain_text("Compass Some bold words")
        await fine(window)
        await page.reload()
        await expect(answers(page).locator("pre")).to_contain_text("print('hello')")
        await expect(page.get_by_role("heading", name="Should I take the job?")).to_be_visible()


async def test_an_answer_is_seen_as_it_comes_and_a_reload_in_its_middle_loses_nothing(tmp_path: Path) -> None:
    async with console(tmp_path) as (_, model, windows), windows.open() as window:
        page = window.page
        gate = model.hold(12, RICH)
        await say(page, "Hello")
        await expect(page.locator(".coming strong")).to_have_text("bold")
        await expect(page.get_by_role("button", name="Stop")).to_be_visible()
        await page.reload()
        await expect(page.locator(".coming strong")).to_have_text("bold")
        other = await windows.another(window.context, "/" + page.url.partition("/#")[2].join(["#", ""]))
        await expect(other.page.locator(".coming strong")).to_have_text("bold")
        gate.open()
        for each in (page, other.page):
            await expect(answers(each).locator("pre")).to_contain_text("print")
            await expect(each.locator(".coming")).to_have_count(0)
            await expect(each.locator(".m")).to_have_count(2)
        grown = [("one of a ", "slow"), ("```\nx = 1\n", "y = 2\n```\nAfter"), ("```\nx = 1\n```\n", "\nAfter")]
        assert await page.evaluate(GROWN, grown) == [
            ["one of a slow", None],
            ["x = 1\ny = 2\n", "x = 1\ny = 2\n"],
            ["x = 1After", "x = 1"],
        ]
        model.answer("And so on.")
        await say(other.page, "More, please")
        await expect(answers(page).last).to_have_text("And so on.")
        await expect(page.locator(".m")).to_have_count(4)
        await fine(window)


async def test_stopping_keeps_what_was_said_and_it_can_be_given_anew(tmp_path: Path) -> None:
    async with console(tmp_path) as (_, model, windows), windows.open() as window:
        page = window.page
        gate = model.hold(6, "These words were said before it was stopped, these were not.")
        await say(page, "Hello")
        await expect(page.locator(".coming .says")).to_contain_text("These words were")
        await composer(page).fill("Some words meanwhile")
        await expect(page.get_by_role("button", name="Send", exact=True)).to_be_visible()
        await page.get_by_role("button", name="Stop").click()
        await expect(answers(page)).to_have_text(re.compile(r"^These words were .*Stopped\.$", re.DOTALL))
        await expect(page.get_by_text("Stopped before its end.")).to_have_count(0)
        await expect(page.get_by_role("button", name="Stop")).to_have_count(0)
        await expect(composer(page)).to_have_value("Some words meanwhile")
        await expect(page.get_by_role("button", name="Continue")).to_be_visible()
        await page.get_by_role("button", name="Why").click()
        await expect(page.get_by_role("dialog")).to_contain_text("estimated: the answer ended early")
        await page.keyboard.press("Escape")
        gate.open()
        model.answer("A whole answer.")
        await page.get_by_role("button", name="Regenerate").click()
        await expect(answers(page)).to_have_text("A whole answer.")
        await expect(page.locator(".m")).to_have_count(2)


async def test_a_line_put_otherwise_branches_and_the_first_conversation_stays(tmp_path: Path) -> None:
    async with console(tmp_path) as (_, model, windows), windows.open() as window:
        page = window.page
        model.answer("Red.")
        await say(page, "Name a colour")
        await expect(answers(page)).to_have_text("Red.")
        first = page.url
        await page.locator(".m.user").hover()
        await page.locator(".m.user").get_by_role("button", name="Edit").click()
        model.answer("Oak.")
        await page.get_by_label("Your words").fill("Name a tree")
        await page.get_by_role("button", name="Answer in a branch").click()
        await expect(answers(page)).to_have_text("Oak.")
        assert page.url != first
        await page.goto(first)
        await expect(answers(page)).to_have_text("Red.")
        await expect(page.get_by_role("tab")).to_have_count(2)
        await fine(window)


async def test_a_file_is_shown_before_and_after_it_is_sent_and_a_draft_survives(tmp_path: Path) -> None:
    picture = tmp_path / "map <b>.png"
    picture.write_bytes(bytes.fromhex(PIXEL))
    async with console(tmp_path) as (_, _model, windows), windows.open() as window:
        page = window.page
        await composer(page).fill("What is on this?")
        await page.get_by_label("Files to send").first.set_input_files(picture)
        await expect(page.locator(".sent li")).to_contain_text("map <b>.png")
        await expect(page.locator(".sent .going")).to_have_count(0)
        await page.reload()
        await expect(composer(page)).to_have_value("What is on this?")
        await expect(page.locator(".sent li")).to_contain_text("map <b>.png")
        await fine(window)
        await composer(page).press("Enter")
        shown = page.locator(".m.user .picture img")
        await expect(shown).to_be_visible()
        assert await shown.evaluate("async (image) => { await image.decode(); return image.naturalWidth }") == 1
        await expect(answers(page)).to_be_visible()


async def test_what_people_write_stays_text(tmp_path: Path) -> None:
    async with console(tmp_path) as (web, model, windows), windows.open() as window:
        page = window.page
        model.answer(HOSTILE)
        await say(page, HOSTILE)
        await expect(answers(page)).to_contain_text("<script>")
        session = page.url.rpartition("/")[2]
        named = await web.client.put(f"/api/chat/sessions/{session}", json={"title": HOSTILE, "tags": ["<i>"]})
        assert named.status_code == 200
        await expect(page.get_by_role("heading", level=1)).to_contain_text("<img")
        await page.reload()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("<img")
        await expect(answers(page)).to_contain_text("<script>")
        assert await page.evaluate("window.hacked") is None
        assert await page.locator(".talk :is(img, script), .talk a[href^=javascript]").count() == 0
        await fine(window)


async def test_everything_is_done_by_keyboard(tmp_path: Path) -> None:
    async with console(tmp_path) as (_, _model, windows), windows.open() as window:
        page, keys = window.page, window.page.keyboard
        await say(page, "First line")
        await expect(answers(page)).to_be_visible()
        await keys.press("ArrowUp")
        await expect(page.locator(".m.assistant")).to_be_focused()
        await keys.press("Enter")
        await expect(page.get_by_role("menuitem", name="Why")).to_be_focused()
        await keys.press("Enter")
        await expect(page.get_by_role("dialog")).to_contain_text("Tokens")
        await fine(window)
        await keys.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await keys.press("Control+k")
        await keys.type("First")
        found = page.get_by_role("list", name="In what was said").get_by_role("listitem").first
        await expect(found.locator("mark")).to_have_text("First")
        await expect(found.locator(".of")).to_have_text("First lineToday")
        await keys.press("Control+Shift+o")
        await expect(composer(page)).to_be_focused()
        await keys.type("/")
        await expect(page.get_by_role("listbox", name="Commands")).to_be_visible()
        await keys.type("hel")
        await keys.press("Enter")
        await expect(page.locator(".aside")).to_contain_text("/memory")
        await say(page, "/privacy show")
        await expect(page.locator(".aside").last).to_contain_text("There is no /privacy here: see Operate, Your data.")
        await expect(composer(page)).to_have_value("/privacy show")
        await fine(window)
        await page.get_by_role("button", name="Send it as it is").press("Enter")
        await expect(page.locator(".m.user .says")).to_have_text("/privacy show")
        await expect(page.get_by_text("There is no /privacy")).to_have_count(0)


async def test_on_a_phone_and_in_the_dark_nothing_runs_over_the_edge(tmp_path: Path) -> None:
    async with console(tmp_path) as (_, model, windows):
        how: dict[str, Any] = {"viewport": PHONE, "has_touch": True, "is_mobile": True, "color_scheme": "dark"}
        async with windows.open(**how) as window:
            page = window.page
            await expect(page.get_by_role("heading", level=2)).to_be_in_viewport(ratio=1)
            await expect(page.get_by_role("link", name="Operate")).to_be_visible()
            await expect(composer(page)).not_to_be_focused()
            model.answer(RICH + "\n```\n" + "wide " * 60 + "\n```")
            await composer(page).fill("Hello " + "longwordwithoutanyblank" * 12)
            await page.get_by_role("button", name="Send", exact=True).tap()
            await expect(answers(page).locator("pre")).to_have_count(2)
            boxes = await page.locator(".head, .m .line, .composer, .says").all()
            for each in boxes:
                box = await each.bounding_box()
                assert box is not None
                assert box["x"] + box["width"] <= PHONE["width"]
            assert await page.evaluate("document.documentElement.dataset.theme") == "dark"
            await fine(window)
            await page.get_by_role("heading", level=1).tap()
            await expect(page.get_by_role("link", name="Chat", exact=True)).to_be_visible()
            await page.locator(".m.assistant").get_by_role("button", name="React").tap()
            await expect(page.get_by_role("menuitem").last).to_be_in_viewport(ratio=1)
            await page.keyboard.press("Escape")
            await page.get_by_role("button", name="Conversations").tap()
            await expect(page.get_by_role("searchbox")).to_be_visible()
            await fine(window)
        async with windows.open(viewport=WIDE) as window:
            await expect(window.page.get_by_role("link", name="Hello").first).to_be_visible()
            await fine(window)


async def test_a_refused_line_is_told_and_stays_where_it_was_written(tmp_path: Path) -> None:
    async with console(tmp_path) as (_, _model, windows), windows.open() as window:
        page = window.page
        await say(page, "One line")
        await expect(answers(page)).to_be_visible()
        await window.context.set_offline(True)
        await say(page, "Another line")
        await expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
        await expect(composer(page)).to_have_value("Another line")
        await window.context.set_offline(False)
        await composer(page).press("Enter")
        await expect(answers(page)).to_have_count(2)
        await page.goto(f"{windows.url}/#/chat/nothing-like-that")
        await expect(page.get_by_role("alert")).to_contain_text("not there")
        await fine(window)


async def test_of_a_long_conversation_only_what_is_near_is_in_the_page(tmp_path: Path) -> None:
    async with console(tmp_path) as (web, _model, windows), windows.open() as window:
        page = window.page
        await say(page, "Line 0")
        await expect(answers(page)).to_be_visible()
        id = page.url.rpartition("/")[2]
        store = web.house.store
        session = await store.session(id)
        assert session is not None
        (line, _) = await store.messages(id)
        for n in range(1, 451):
            parts = (Text(text=f"Line {n}"),)
            new = {"id": f"{line.id}-{n:04}", "origin": None, "at": line.at + timedelta(seconds=n), "parts": parts}
            await store.append(session, line.model_copy(update=new))
        await page.reload()
        await expect(page.get_by_text("Line 450", exact=True)).to_be_in_viewport()
        for _ in range(60):
            if await page.get_by_text("Line 0", exact=True).and_(page.locator(".says *")).count():
                break
            await page.locator(".scroller").evaluate("(scroller) => { scroller.scrollTop = 0 }")
            await page.evaluate("new Promise((done) => setTimeout(done, 30))")
            assert await page.locator(".m").count() <= 300
        await expect(page.locator(".m").first).to_contain_text("Line 0")
        assert await page.get_by_text("Line 450", exact=True).count() == 0
        await page.get_by_role("button", name="To the newest").click()
        await expect(page.get_by_text("Line 450", exact=True)).to_be_in_viewport()


PIXEL = (
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f6"
    "45400000000049454e44ae426082"
)
"""A picture of one pixel."""
