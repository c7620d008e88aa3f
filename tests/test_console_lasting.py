"""What lasts in the console when things go wrong: a bot that goes, a connection that breaks, a page that fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from playwright.async_api import Page, Request, Route, WebSocketRoute, expect

from storage.model import Message, Sender, Text
from tests.browser import browsing, needs_chromium
from tests.test_console_chat import CAST, answers, composer, console, fine
from tests.test_console_chat import say as write
from tests.test_web_live import token_of
from tests.test_web_talking import lines
from tests.webfront import Web, web_front
from tests.wire.provider_server import ProviderServer

pytestmark = needs_chromium


@asynccontextmanager
async def held(page: Page, pattern: str, method: str) -> AsyncIterator[asyncio.Event]:
    """Holds requests back until left; tells when one has come."""
    came, go = asyncio.Event(), asyncio.Event()

    async def wait(route: Route) -> None:
        if route.request.method == method:
            came.set()
            await go.wait()
        await route.continue_()

    await page.route(pattern, wait)
    try:
        yield came
    finally:
        go.set()
        await page.unroute_all(behavior="wait")


async def filled(web: Web, session_id: str, count: int) -> list[Message]:
    """More lines behind the last of a session, as if they had been said elsewhere."""
    store = web.house.store
    session = await store.session(session_id)
    line, *_, last = await store.messages(session_id)
    assert session is not None
    made = []
    for n in range(1, count + 1):
        new: dict[str, Any] = {"id": f"{last.id}-{n:04}", "origin": None, "at": last.at + timedelta(milliseconds=n)}
        made.append(line.model_copy(update={**new, "parts": (Text(text=f"Line {n}"),)}))
        await store.append(session, made[-1])
    return made


def id_of(page: Page) -> str:
    return page.url.rpartition("/")[2].partition("?")[0]


async def talk(page: Page, words: str) -> str:
    """A new conversation with one line in it, and its id."""
    await page.keyboard.press("Control+Shift+o")
    await write(page, words)
    await expect(answers(page)).to_be_visible()
    return id_of(page)


async def test_who_leaves_while_something_is_on_its_way_loses_and_doubles_nothing(tmp_path: Path) -> None:
    async with console(tmp_path) as (web, _, windows), windows.open() as window:
        page = window.page
        first, second = await talk(page, "The first talk"), await talk(page, "The second talk")
        async with held(page, "**/messages?*", "POST") as came:
            await write(page, "Said in a hurry")
            await came.wait()
            await page.evaluate("id => { location.hash = `#/chat/${id}` }", first)
            await expect(page.get_by_role("heading", name="The first talk")).to_be_visible()
            await composer(page).fill("A newer draft")
        await page.goto(f"{windows.url}/#/chat/{second}")
        await expect(page.locator(".m.user .says").last).to_have_text("Said in a hurry")
        await expect(answers(page)).to_have_count(2)
        await expect(composer(page)).to_have_value("")
        assert [each.role for each in await lines(web, second)] == ["user", "assistant"] * 2

        async with held(page, f"**/sessions/{second}", "PUT") as came:
            await page.locator(".head").get_by_role("button", name="Star").click()
            await came.wait()
            await page.evaluate("id => { location.hash = `#/chat/${id}` }", first)
            await expect(page.get_by_role("heading", name="The first talk")).to_be_visible()
        await expect(page.locator(".entry", has_text="The second talk").locator("svg.full")).to_be_visible()
        await expect(composer(page)).to_have_value("A newer draft")
        assert id_of(page) == first

        await page.evaluate("location.hash = '#/files'")
        await page.reload()
        async with held(page, "**/api/chat/commands", "GET") as came:
            await page.evaluate("location.hash = '#/chat'")
            await came.wait()
            await page.evaluate("location.hash = '#/sessions'")
            await expect(page.get_by_role("heading", name="Sessions")).to_be_visible()
        await expect(page.get_by_role("heading", name="Sessions")).to_be_visible()
        await expect(page.locator(".chat")).to_have_count(0)
        await fine(window)


async def test_a_file_that_comes_late_joins_the_draft_and_leaves_its_words(tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("words")
    async with console(tmp_path) as (_, _model, windows), windows.open() as window:
        page = window.page
        first, second = await talk(page, "The first talk"), await talk(page, "The second talk")
        async with held(page, "**/api/chat/attachments", "POST") as came:
            await composer(page).fill("Old words")
            await page.get_by_label("Files to send").first.set_input_files(note)
            await came.wait()
            for id in (first, second):
                await page.evaluate("id => { location.hash = `#/chat/${id}` }", id)
                await expect(composer(page)).to_have_value("" if id == first else "Old words")
            await composer(page).fill("New words")
        await expect(page.locator(".sent li")).to_contain_text("note.txt")
        await expect(composer(page)).to_have_value("New words")


async def test_one_press_of_escape_stops_once_and_also_before_a_new_talk_has_begun(tmp_path: Path) -> None:
    async with console(tmp_path) as (_, model, windows), windows.open() as window:
        page = window.page
        stops: list[Request] = []
        page.on("request", lambda request: stops.append(request) if request.url.endswith("/stop") else None)
        gate = model.hold(3, "These words were said before it was stopped.")
        async with held(page, "**/api/chat/sessions", "POST") as came:
            await write(page, "Hello")
            await came.wait()
            await page.keyboard.press("Escape")
        await expect(page.locator(".coming")).to_have_count(0)
        await expect(page.get_by_role("button", name="Stop")).to_have_count(0)
        assert len(stops) == 1
        gate.open()
        model.hold(3, "These words were said before it was stopped.")
        await write(page, "Again")
        await expect(page.locator(".coming .says")).to_contain_text("These")
        await page.keyboard.press("Escape")
        await expect(page.locator(".m").last).to_contain_text("Stopped.")
        assert len(stops) == 2


async def test_far_back_in_a_talk_a_page_that_fails_is_asked_for_again_and_a_line_goes_to_its_end(
    tmp_path: Path,
) -> None:
    async with console(tmp_path) as (web, model, windows), windows.open() as window:
        page = window.page
        await talk(page, "The first line")
        made = await filled(web, id_of(page), 400)
        await page.route("**/messages?*cursor=*", lambda route: route.abort())
        await page.reload()
        await expect(page.get_by_text("Line 400", exact=True)).to_be_visible()
        await page.locator(".scroller").evaluate("(scroller) => { scroller.scrollTop = 0 }")
        await expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
        await page.unroute("**/messages?*cursor=*")
        await page.get_by_role("button", name="Try again").click()
        await expect(page.get_by_text("Line 340", exact=True)).to_be_attached()
        await expect(page.get_by_role("alert")).to_have_count(0)
        await page.goto(f"{windows.url}/#/chat/{id_of(page)}?at={made[9].id}")
        await expect(page.get_by_text("Line 10", exact=True)).to_be_in_viewport()
        model.answer("An answer to it.")
        await write(page, "Said from far back")
        await expect(page.locator(".m.user .says").last).to_have_text("Said from far back")
        await expect(answers(page).last).to_have_text("An answer to it.")
        await expect(page.get_by_text("Line 400", exact=True)).to_be_attached()
        await fine(window)


async def test_after_a_gap_nothing_is_missing_that_was_said_edited_or_deleted_meanwhile(tmp_path: Path) -> None:
    async with console(tmp_path) as (web, _, windows), windows.open("/#/files") as window:
        page, away, sockets = window.page, asyncio.Event(), list[WebSocketRoute]()

        async def through(socket: WebSocketRoute) -> None:
            if away.is_set():
                await socket.close()
                return
            socket.connect_to_server()
            sockets.append(socket)

        await page.route_web_socket("**/api/live", through)
        await page.reload()
        await page.evaluate("location.hash = '#/chat'")
        id = await talk(page, "The first line")
        gone, edited, *_ = await filled(web, id, 2)
        await page.reload()
        await expect(page.get_by_text("Line 2", exact=True)).to_be_visible()
        await page.wait_for_function("document.querySelectorAll('.entry').length > 0")
        away.set()
        await sockets[-1].close()
        assert (await web.client.delete(f"/api/chat/messages/{gone.id}")).status_code == 204
        assert (await web.client.put(f"/api/chat/messages/{edited.id}", json={"text": "Reworded"})).status_code == 200
        await filled(web, id, 130)
        other = await web.client.post("/api/chat/sessions", json={"title": "Begun elsewhere"})
        assert other.status_code in (200, 201)
        away.clear()
        await expect(page.get_by_text("Line 130", exact=True)).to_be_in_viewport()
        await expect(page.get_by_text("Reworded", exact=True)).to_be_attached()
        assert await page.get_by_text("Line 2", exact=True).count() == 1  # one of the new ones
        assert await page.locator(".m").count() == 2 + 1 + 130
        await expect(page.get_by_role("link", name="Begun elsewhere")).to_be_visible()


async def test_an_answer_ends_well_where_the_bot_is_started_anew_in_its_middle(tmp_path: Path) -> None:
    async with ProviderServer() as model, AsyncExitStack() as first:
        models = [{"provider": "openai", "model": "loopback", "base_url": model.openai_url}]
        web = await first.enter_async_context(web_front(tmp_path, personas=CAST, models=models))
        async with browsing(web.url) as windows, windows.open() as window:
            page = window.page
            model.hold(4, "These words were said before the bot went, these were not.")
            await write(page, "Hello")
            await expect(page.locator(".coming .says")).to_contain_text("These words")
            await first.aclose()
            port = {"port": int(web.url.rpartition(":")[2])}
            async with web_front(tmp_path, personas=CAST, models=models, web=port) as again:
                await expect(page.locator(".coming")).to_have_count(0, timeout=20_000)
                assert [each.role for each in await lines(again, id_of(page))] == ["user", "assistant"]
                await expect(page.locator(".m .says")).to_contain_text(["Hello", "These words were said"])
                model.answer("Here again.")
                await write(page, "Are you there?")
                await expect(answers(page).last).to_have_text("Here again.")
                await fine(window)


async def test_a_token_signs_in_and_who_may_only_read_is_offered_nothing_else(tmp_path: Path) -> None:
    async with console(tmp_path, web={"open": "never"}) as (web, _, windows):
        ann = Sender(type="user", id="ann", name="Ann")
        bearer = {"Authorization": f"Bearer {token_of(web, ann, 'chat')}"}
        made = await web.client.post("/api/chat/sessions", json={"title": "What was said"}, headers=bearer)
        path = f"/api/chat/sessions/{made.json()['id']}/messages"
        said = await web.client.post(path, json={"text": "Hello"}, headers=bearer)
        reacted = f"/api/chat/messages/{said.json()['line']['id']}/reactions/👍"
        assert (await web.client.put(reacted, headers=bearer)).status_code == 200
        async with windows.open("/#/sessions") as window:
            page = window.page
            await expect(page.get_by_text("troupe token create NAME --scope chat")).to_be_visible()
            await page.get_by_label("Token").fill("troupe_nonsense")
            await page.keyboard.press("Enter")
            await expect(page.get_by_role("alert")).to_be_visible()
            await page.get_by_label("Token").fill(token_of(web, ann, "read"))
            await page.keyboard.press("Enter")
            await expect(page.get_by_role("heading", name="Sessions")).to_be_visible()
            await page.evaluate("location.hash = '#/chat'")
            await expect(composer(page)).to_be_disabled()
            await page.get_by_role("link", name="What was said").click()
            await page.locator(".m.user").hover()
            for name in ("Reply", "React", "Regenerate", "New chat", "Attach files"):
                await expect(page.get_by_role("button", name=name)).to_have_count(0)
            await expect(page.get_by_role("link", name="New chat")).to_have_count(0)
            await expect(page.get_by_role("img", name="👍 from Ann")).to_be_visible()
            await page.get_by_role("button", name="More for What was said").click()
            await expect(page.get_by_role("menuitem")).to_have_text(["Export…", "Branches and comparison"])
            await fine(window)
            await page.keyboard.press("Escape")
            await page.evaluate("location.hash = '#/live'")
            await expect(page.get_by_role("alert")).to_contain_text("for those who run the bot")
            await page.get_by_role("button", name="Sign out").click()
            await expect(page.get_by_label("Token")).to_be_visible()


async def test_a_name_that_is_too_long_is_not_lost_and_a_long_title_leaves_room_for_the_buttons(
    tmp_path: Path,
) -> None:
    async with console(tmp_path) as (web, _, windows), windows.open(viewport={"width": 390, "height": 700}) as window:
        page = window.page
        made = await web.client.post("/api/chat/sessions", json={"title": "W" * 100, "tags": ["kept"]})
        await page.goto(f"{windows.url}/#/chat/{made.json()['id']}")
        await page.get_by_role("button", name="More for this conversation").click()
        await page.get_by_role("menuitem", name="Tags").click()
        await page.get_by_role("textbox", name="Tags").fill("kept, " + "long" * 11)
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("alert")).to_contain_text("too long for a tag")
        await page.get_by_role("textbox", name="Tags").fill("kept, short")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("dialog")).to_have_count(0)
        assert (await web.client.get(f"/api/chat/sessions/{made.json()['id']}")).json()["tags"] == ["kept", "short"]
        await page.goto(f"{windows.url}/#/sessions/{made.json()['id']}")
        await page.get_by_role("button", name="More…").click()
        await page.get_by_role("menuitem", name="Delete").click()
        box = await page.get_by_role("button", name="Delete", exact=True).bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= 390
        await fine(window)
